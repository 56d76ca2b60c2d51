"""The model datapath: the `Datapath` protocol and the walk of a packet, in plain Python, to be read.

It says what the kernel datapath must do.  The tests feed both the same flows and packets and compare
verdicts, keys and counters.  Nothing here is fast, and nothing is kept that could be derived.

    m = ModelDatapath("m")
    m.add_port(1)
    m.add_port(2)
    m.flow_new(match, (Output(2),), ufid)
    m.process(frame, in_port=1).out_port
"""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, NamedTuple, cast

from ctl.abi import ActionLimit, DpLimit, DropReason
from ctl.action import Psample, Userspace
from ctl.datapath import (
    DatapathStats,
    Port,
    PortStats,
    no_meter,
)
from ctl.errors import Exists, NotFound, UsageError
from ctl.execute import Nested, Outcome, Packet, Pass, execute
from ctl.flow import Flow, FlowKey, FlowStats
from ctl.meter import Bucket, Meter, MeterStats, check_meter, counted, take
from ctl.meter import full as full_bucket
from ctl.model_table import ModelTable
from ctl.packet import extract

_MTU_UNCHECKED: Final = 576
_ETHERNET_AND_TAG: Final = 14 + 4
_REASONS: Final = tuple(r for r in DropReason if r not in (DropReason.DROP_NONE, DropReason.DROP_REASONS))


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of a packet: it left by ``out_port``, or ended here for ``reason``, or behind its last copy.

    ``frame`` is as it left or ended.  ``sent`` is all that left, copies before it included: port and frame.
     ``key`` and ``flow`` are those of the last pass: ``key`` None when none
    was extracted, ``flow`` None when none was hit, and as the packet found it.  ``upcalls`` are those of
    userspace actions, each with the frame that it sent; ``samples`` those of psample, as in `ctl.execute.Packet`.
    """

    out_port: int | None = None
    reason: DropReason = DropReason.DROP_NONE
    frame: bytes
    key: FlowKey | None = None
    flow: Flow | None = None
    sent: tuple[tuple[int, bytes], ...] = ()
    upcalls: tuple[tuple[Userspace, bytes], ...] = ()
    samples: tuple[tuple[Psample, int, bytes], ...] = ()


class _Walk(NamedTuple):
    """A packet, or a copy, that is to begin a pass or to carry out a list of its own.

    ``passes``: how many there were before; ``flow``: whose list it is.
    """

    passes: int
    begin: Pass | Nested
    flow: Flow | None = None

    def beginning(self) -> Verdict:
        """What is known of it so far."""
        if isinstance(self.begin, Pass):
            return Verdict(frame=self.begin.frame)
        return Verdict(frame=self.begin.packet.frame, key=self.begin.packet.key, flow=self.flow)


def _with_copy(verdict: Verdict, copy: Verdict) -> Verdict:
    """A packet's verdict, with what became of a copy that was recirculated."""
    return replace(
        verdict,
        key=copy.key,
        flow=copy.flow,
        sent=(*verdict.sent, *copy.sent),
        upcalls=(*verdict.upcalls, *copy.upcalls),
        samples=(*verdict.samples, *copy.samples),
    )


class ModelDatapath(ModelTable):
    """A datapath in memory.  ``clock`` gives CLOCK_MONOTONIC in nanoseconds, ``draw`` 32 bits at random."""

    def __init__(
        self,
        name: str,
        *,
        max_flows: int = 65536,
        max_masks: int = 64,
        clock: Callable[[], int] = time.monotonic_ns,
        draw: Callable[[], int] = lambda: random.getrandbits(32),
    ) -> None:
        super().__init__(name, max_flows, max_masks)
        self._clock = clock
        self._draw = draw
        self._ports: dict[int, Port] = {}
        self._port_stats: dict[int, PortStats] = {}
        self._hit = self._missed = self._lost = self._mask_hit = 0
        self._mtus: dict[int, int] = {}
        self._drops: dict[DropReason, int] = dict.fromkeys(_REASONS, 0)
        self._meters: dict[int, Meter] = {}
        self._buckets: dict[int, Bucket] = {}

    # --- ports -----------------------------------------------------------------------------------

    def add_port(self, number: int, name: str = "", mtu: int = 1500) -> Port:
        """Add a port, its counters zero.  Exists, UsageError.  Number 0 is the local port."""
        if not 0 <= number < DpLimit.DP_MAX_PORTS:
            raise UsageError(f"port number {number}: from 0 to {DpLimit.DP_MAX_PORTS - 1}")
        if number in self._ports:
            raise Exists(f"port {number} is {self._ports[number].name}", "choose another port_no, or leave it out")
        name = name or f"port{number}"
        kind = "netdev" if number else "internal"
        port = Port(number=number, name=name, device=name, kind=kind, ifindex=0, hook="model")
        self._ports[number], self._port_stats[number], self._mtus[number] = port, PortStats(), mtu
        return port

    def remove_port(self, number: int) -> Port:
        """Take a port away.  NotFound.  Flows that send to it drop from now on."""
        if number not in self._ports:
            raise NotFound(f"{self.name} has no port {number}", "ctl show lists the ports")
        del self._port_stats[number]
        return self._ports.pop(number)

    def ports(self) -> list[Port]:
        """See `ctl.datapath.Datapath`."""
        return [self._ports[number] for number in sorted(self._ports)]

    def port_stats(self) -> dict[int, PortStats]:
        """See `ctl.datapath.Datapath`."""
        return dict(sorted(self._port_stats.items()))

    # --- meters ----------------------------------------------------------------------------------

    def meter_set(self, meter: Meter, *, clear: bool = False) -> Meter | None:
        """See `ctl.datapath.Datapath`."""
        check_meter(meter)
        old = self._meters.get(meter.id)
        self._meters[meter.id] = replace(meter, stats=old.stats if old and not clear else MeterStats())
        self._buckets[meter.id] = full_bucket(meter.bands[0], self._now_ms())
        return old

    def meter_get(self, number: int) -> Meter:
        """See `ctl.datapath.Datapath`."""
        if number not in self._meters:
            raise no_meter(self.name, number)
        return self._meters[number]

    def meter_del(self, number: int) -> Meter:
        """See `ctl.datapath.Datapath`."""
        old = self.meter_get(number)
        del self._meters[number], self._buckets[number]
        return old

    def meters(self) -> list[Meter]:
        """See `ctl.datapath.Datapath`."""
        return [self._meters[number] for number in sorted(self._meters)]

    def _exceeds(self, number: int, size: int) -> bool:
        """A packet comes to a meter: whether it is too many.  No meter has no limit."""
        meter = self._meters.get(number)
        if meter is None:
            return False
        self._buckets[number], exceeded = take(meter, self._buckets[number], self._now_ms(), size)
        self._meters[number] = replace(meter, stats=counted(meter.stats, self._now_ms(), size, exceeded=exceeded))
        return exceeded

    def _now_ms(self) -> int:
        return self._clock() // 1_000_000

    # --- packets ---------------------------------------------------------------------------------

    def process(self, frame: bytes, in_port: int) -> Verdict:
        """A frame comes in on a port: count it, walk it through its passes, count what left and how it ended.

        Its mark and priority are 0 until an action sets them.  Copies that are to be recirculated, or changed by a
        list of their own, wait until it has ended, and walk in the order in which they were made.  The verdict is
        that of the frame itself, but for ``sent``, ``upcalls`` and ``samples``, which are of all, and ``key`` and
        ``flow``, which are of the last pass.
        """
        if in_port not in self._ports:
            self._drops[DropReason.DROP_NOT_A_PORT] += 1
            return Verdict(reason=DropReason.DROP_NOT_A_PORT, frame=frame)
        self._count_arrival(in_port, len(frame))
        waiting: deque[_Walk] = deque([_Walk(0, Pass(frame=frame))])
        verdict: Verdict | None = None
        while waiting:
            ended = self._walk(waiting.popleft(), in_port, waiting)
            self._lost += len(ended.upcalls)  # nobody listens
            self._count_end(ended.out_port, ended.reason, len(ended.frame), in_port)
            verdict = _with_copy(verdict, ended) if verdict else ended
        return cast("Verdict", verdict)

    def _walk(self, walk: _Walk, in_port: int, waiting: deque[_Walk]) -> Verdict:
        """Extract, look up, account, carry out; again after each recirculation, up to the limit.

        A copy with a list of its own begins by carrying that out.  If that comes to no output, it is no drop.
        """
        so_far, begin = walk.beginning(), walk.begin
        for passes in range(walk.passes, ActionLimit.RECIRC_LIMIT + 1):
            if isinstance(begin, Pass):
                so_far, todo = self._look_up(begin, so_far, in_port)
                if todo is None:
                    return so_far
            else:
                todo = begin
            packet, outcome = todo.packet, execute(todo.actions, todo.packet)
            if todo is begin and outcome.reason == DropReason.DROP_ACTION:
                outcome = Outcome()
            so_far = self._after(so_far, packet, outcome, in_port)
            self._let_go(packet, passes, so_far.flow, in_port, waiting)
            if outcome.recirc_id is None:
                return so_far
            begin = packet.next_pass(outcome.recirc_id)
        return replace(so_far, reason=DropReason.DROP_RECIRC_LIMIT)

    def _look_up(self, now: Pass, so_far: Verdict, in_port: int) -> tuple[Verdict, Nested | None]:
        """The beginning of a pass, and the list that is to be carried out; None when the packet ends here."""
        key = extract(now.frame, in_port)
        if key is None:
            return replace(so_far, reason=DropReason.DROP_SHORT_FRAME, key=None, flow=None), None
        key = key.with_leaves(
            recirc_id=now.recirc_id, dp_hash=now.dp_hash, skb_mark=now.mark, skb_priority=now.priority
        )
        flow = self.lookup(key)
        if flow is None:
            self._missed += 1
            self._lost += 1
            return replace(so_far, reason=DropReason.DROP_MISS, key=key, flow=None), None
        self._hit += 1
        self._replace(flow, replace(flow, stats=self._accounted(flow.stats, len(so_far.frame), key["tcp_flags"])))
        packet = Packet(now.frame, key, now.dp_hash, now.mark, now.priority, draw=self._draw, exceeds=self._exceeds)
        return replace(so_far, key=key, flow=flow), Nested(flow.actions, packet)

    def _let_go(self, packet: Packet, passes: int, flow: Flow | None, in_port: int, waiting: deque[_Walk]) -> None:
        """Copies wait, unless they are to be recirculated and have been so too often."""
        for begin in packet.again:
            if isinstance(begin, Nested):
                waiting.append(_Walk(passes, begin, flow))
            elif passes == ActionLimit.RECIRC_LIMIT:
                self._count_end(None, DropReason.DROP_RECIRC_LIMIT, len(begin.frame), in_port)
            else:
                waiting.append(_Walk(passes + 1, begin))

    def _after(self, before: Verdict, packet: Packet, outcome: Outcome, in_port: int) -> Verdict:
        """What has become of a packet after one list; its copies are counted."""
        sent = list(before.sent)
        for reason in packet.drops:
            self._count_end(None, reason, 0, in_port)
        for port, copy in packet.copies:
            reason = self._why_not_sent(port, len(copy))
            self._count_end(None if reason else port, reason, len(copy), in_port)
            sent += [] if reason else [(port, copy)]
        reason, out_port = outcome.reason, outcome.out_port
        if out_port is not None:
            reason = self._why_not_sent(out_port, len(packet.frame))
            out_port = None if reason else out_port
            sent += [] if out_port is None else [(out_port, packet.frame)]
        return replace(
            before,
            out_port=out_port,
            reason=reason,
            frame=packet.frame,
            sent=tuple(sent),
            upcalls=(*before.upcalls, *packet.upcalls),
            samples=(*before.samples, *packet.samples),
        )

    def _why_not_sent(self, out_port: int | None, size: int) -> DropReason:
        """A frame of up to 576 bytes fits every port; a longer one may exceed the MTU by its header and one tag."""
        if out_port not in self._ports:
            return DropReason.DROP_NO_PORT
        if size > _MTU_UNCHECKED and size > self._mtus[out_port] + _ETHERNET_AND_TAG:
            return DropReason.DROP_TOO_LONG
        return DropReason.DROP_NONE

    def lookup(self, key: FlowKey) -> Flow | None:
        """The flow that a packet's key hits.  Counts the masks tried."""
        found = self.hit_by(key)
        masks = [mask for _, mask in sorted(self._masks.items())]
        self._mask_hit += len(masks) if found is None else 1 + masks.index(found.match.mask)
        return found

    def _accounted(self, stats: FlowStats, size: int, tcp_flags: int) -> FlowStats:
        """One packet more, of ``size`` bytes.  Eight of the flags are kept."""
        return FlowStats(
            packets=stats.packets + 1,
            bytes=stats.bytes + size,
            used_ms=self._now_ms(),
            tcp_flags=stats.tcp_flags | tcp_flags & 0xFF,
        )

    def _count_arrival(self, in_port: int, size: int) -> None:
        port = self._port_stats[in_port]
        self._port_stats[in_port] = replace(port, rx_packets=port.rx_packets + 1, rx_bytes=port.rx_bytes + size)

    def _count_end(self, out_port: int | None, reason: DropReason, size: int, in_port: int) -> None:
        """Where a packet or a copy left or, if it ended for a reason, where it had come in and by that."""
        if reason:
            self._drops[reason] += 1
            port = self._port_stats[in_port]
            self._port_stats[in_port] = replace(port, rx_dropped=port.rx_dropped + 1)
        elif out_port is not None:
            port = self._port_stats[out_port]
            self._port_stats[out_port] = replace(port, tx_packets=port.tx_packets + 1, tx_bytes=port.tx_bytes + size)

    def stats(self) -> DatapathStats:
        """See `ctl.datapath.Datapath`.  Nobody listens, so each upcall is lost; nothing is ever stale."""
        return DatapathStats(
            hit=self._hit,
            missed=self._missed,
            lost=self._lost,
            mask_hit=self._mask_hit,
            flows=len(self._flows),
            masks=len(self._masks),
            generation=self._generation,
            drops={r.name.removeprefix("DROP_").lower(): count for r, count in self._drops.items()},
        )
