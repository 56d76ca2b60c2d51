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

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from ctl.abi import DpLimit, DropReason
from ctl.datapath import (
    DatapathStats,
    Port,
    PortStats,
    check_actions,
    full,
    match_exists,
    no_flow,
    ufid_exists,
)
from ctl.errors import Exists, NotFound, UsageError
from ctl.flow import Actions, Flow, FlowId, FlowKey, FlowStats, Match
from ctl.packet import extract
from ctl.ufid import Ufid

_REASONS: Final = tuple(r for r in DropReason if r not in (DropReason.DROP_NONE, DropReason.DROP_REASONS))


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of a packet: it left by ``out_port``, or ended here for ``reason``.

    ``key`` is None when none was extracted, ``flow`` when none was hit; ``flow`` is as the packet found it.
    """

    out_port: int | None = None
    reason: DropReason = DropReason.DROP_NONE
    frame: bytes
    key: FlowKey | None = None
    flow: Flow | None = None


class ModelDatapath:
    """A datapath in memory.  ``clock`` gives CLOCK_MONOTONIC in nanoseconds."""

    def __init__(
        self, name: str, *, max_flows: int = 65536, max_masks: int = 64, clock: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self.name = name
        self._max_flows = max_flows
        self._max_masks = max_masks
        self._clock = clock
        self._masks: dict[int, FlowKey] = {}  # by rank
        self._flows: list[Flow] = []
        self._generation = 0
        self._ports: dict[int, Port] = {}
        self._port_stats: dict[int, PortStats] = {}
        self._hit = self._missed = self._mask_hit = 0
        self._drops: dict[DropReason, int] = dict.fromkeys(_REASONS, 0)

    # --- ports -----------------------------------------------------------------------------------

    def add_port(self, number: int, name: str = "") -> Port:
        """Add a port, its counters zero.  Exists, UsageError.  Number 0 is the local port."""
        if not 0 <= number < DpLimit.DP_MAX_PORTS:
            raise UsageError(f"port number {number}: from 0 to {DpLimit.DP_MAX_PORTS - 1}")
        if number in self._ports:
            raise Exists(f"port {number} is {self._ports[number].name}", "choose another port_no, or leave it out")
        name = name or f"port{number}"
        kind = "netdev" if number else "internal"
        port = Port(number=number, name=name, device=name, kind=kind, ifindex=0, hook="model")
        self._ports[number], self._port_stats[number] = port, PortStats()
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

    # --- flows -----------------------------------------------------------------------------------

    def flow_new(self, match: Match, actions: Actions, ufid: Ufid | None = None) -> Flow:
        """See `ctl.datapath.Datapath`.

        A UFID names one flow, and a mask with a masked key is one flow.  Of two flows that have no UFID
        the concrete keys differ as well, or their names would not.
        """
        self._refuse_existing(match, ufid)
        check_actions(actions)
        if len(self._flows) == self._max_flows:
            raise full(self.name, f"its flow table holds {self._max_flows} flows", "--max-flows")
        self._hold_mask(match.mask)
        self._generation += 1
        flow = Flow(
            ufid=ufid,
            match=Match(match.masked, match.mask) if ufid else match,
            actions=actions,
            generation=self._generation,
        )
        self._flows.append(flow)
        return flow

    def _refuse_existing(self, match: Match, ufid: Ufid | None) -> None:
        if ufid is not None and any(flow.ufid == ufid for flow in self._flows):
            raise ufid_exists(ufid)
        for flow in self._flows:
            if flow.match.mask == match.mask and flow.match.masked == match.masked:
                raise match_exists(flow.ufid)
        if ufid is None and any(flow.ufid is None and flow.match.key == match.key for flow in self._flows):
            raise match_exists(None)

    def flow_set(self, who: FlowId, actions: Actions | None, *, clear: bool = False) -> Flow:
        """See `ctl.datapath.Datapath`."""
        flow = self.flow_get(who)
        if actions is not None:
            check_actions(actions)
            flow = self._replace(flow, replace(flow, actions=actions))
        if clear:
            self._replace(flow, replace(flow, stats=FlowStats()))
        return flow

    def flow_get(self, who: FlowId) -> Flow:
        """See `ctl.datapath.Datapath`."""
        for flow in self._flows:
            if who == (flow.match.key if flow.ufid is None else flow.ufid):
                return flow
        raise no_flow(self.name, who)

    def flow_del(self, who: FlowId) -> Flow:
        """See `ctl.datapath.Datapath`."""
        flow = self.flow_get(who)
        self._flows.remove(flow)
        used = {flow.match.mask for flow in self._flows}
        self._masks = {rank: mask for rank, mask in self._masks.items() if mask in used}
        return flow

    def flow_flush(self) -> int:
        """See `ctl.datapath.Datapath`."""
        count = len(self._flows)
        self._flows.clear()
        self._masks.clear()
        return count

    def flow_dump(self) -> Iterator[Flow]:
        """See `ctl.datapath.Datapath`."""
        yield from tuple(self._flows)

    def _hold_mask(self, mask: FlowKey) -> None:
        """A new mask takes the lowest rank that is free, and keeps it until its last flow goes.  TableFull."""
        if mask in self._masks.values():
            return
        rank = next((rank for rank in range(self._max_masks) if rank not in self._masks), None)
        if rank is None:
            raise full(self.name, f"its mask table holds {self._max_masks} masks", "--max-masks")
        self._masks[rank] = mask

    def _replace(self, old: Flow, new: Flow) -> Flow:
        self._flows[self._flows.index(old)] = new
        return new

    # --- packets ---------------------------------------------------------------------------------

    def process(self, frame: bytes, in_port: int) -> Verdict:
        """A frame comes in on a port: extract its key, look up, account, carry out, count the verdict."""
        if in_port not in self._ports:
            self._drops[DropReason.DROP_NOT_A_PORT] += 1
            return Verdict(reason=DropReason.DROP_NOT_A_PORT, frame=frame)
        verdict = self._verdict(frame, in_port)
        self._count(verdict, in_port)
        return verdict

    def _verdict(self, frame: bytes, in_port: int) -> Verdict:
        key = extract(frame, in_port)
        if key is None:
            return Verdict(reason=DropReason.DROP_SHORT_FRAME, frame=frame)
        flow = self.lookup(key)
        if flow is None:
            self._missed += 1
            return Verdict(reason=DropReason.DROP_MISS, frame=frame, key=key)
        self._hit += 1
        self._replace(flow, replace(flow, stats=self._accounted(flow.stats, len(frame), key["tcp_flags"])))
        if not flow.actions:
            return Verdict(reason=DropReason.DROP_ACTION, frame=frame, key=key, flow=flow)
        out_port = flow.actions[0].port
        if out_port not in self._ports:
            return Verdict(reason=DropReason.DROP_NO_PORT, frame=frame, key=key, flow=flow)
        return Verdict(out_port=out_port, frame=frame, key=key, flow=flow)

    def lookup(self, key: FlowKey) -> Flow | None:
        """The flow that a key hits: under the mask of lowest rank that has one.  Counts the masks tried."""
        for _, mask in sorted(self._masks.items()):
            self._mask_hit += 1
            for flow in self._flows:
                if flow.match.mask == mask and flow.match.masked == key & mask:
                    return flow
        return None

    def _accounted(self, stats: FlowStats, size: int, tcp_flags: int) -> FlowStats:
        """One packet more, of ``size`` bytes.  Eight of the flags are kept."""
        return FlowStats(
            packets=stats.packets + 1,
            bytes=stats.bytes + size,
            used_ms=self._clock() // 1_000_000,
            tcp_flags=stats.tcp_flags | tcp_flags & 0xFF,
        )

    def _count(self, verdict: Verdict, in_port: int) -> None:
        """A packet counts once where it came in, and where it left or, if it ended here, by the reason."""
        size = len(verdict.frame)
        arrived = self._port_stats[in_port]
        arrived = replace(arrived, rx_packets=arrived.rx_packets + 1, rx_bytes=arrived.rx_bytes + size)
        if verdict.out_port is None:
            self._drops[verdict.reason] += 1
            arrived = replace(arrived, rx_dropped=arrived.rx_dropped + 1)
        self._port_stats[in_port] = arrived
        if verdict.out_port is not None:
            left = self._port_stats[verdict.out_port]
            left = replace(left, tx_packets=left.tx_packets + 1, tx_bytes=left.tx_bytes + size)
            self._port_stats[verdict.out_port] = left

    def stats(self) -> DatapathStats:
        """See `ctl.datapath.Datapath`.  Nobody listens for misses, so each is lost; nothing is ever stale."""
        return DatapathStats(
            hit=self._hit,
            missed=self._missed,
            lost=self._missed,
            mask_hit=self._mask_hit,
            flows=len(self._flows),
            masks=len(self._masks),
            drops={r.name.removeprefix("DROP_").lower(): count for r, count in self._drops.items()},
        )
