"""The kernel datapath: the `Datapath` protocol over pinned BPF maps.

No process stands behind it.  Every call opens the pins, and whoever changes flows holds the writer's
lock for as long as that takes; `hold` keeps it over many changes, which then share their grace period.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import errno
import functools
import pathlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, Self

from ctl import abi
from ctl.abi import DropReason, MapId, PortKind
from ctl.action import Actions
from ctl.change import Change
from ctl.datapath import (
    DatapathStats,
    Port,
    PortStats,
    check_executable,
    check_set,
    no_flow,
    no_meter,
    out_of_memory,
)
from ctl.errors import Absent, CtlError, NotFound, NotSupported
from ctl.flow import Flow, FlowId, FlowKey, Match, TerseFlow
from ctl.history import Changes, differences
from ctl.identity import to_update
from ctl.kernel import bpffs, libbpf
from ctl.kernel.maps import Maps, Sizes, name_of, port_info
from ctl.kernel.meters import MeterTable
from ctl.kernel.records import RecordReader
from ctl.kernel.structures import DeviceLinkInfo, MapInfo, ProgInfo
from ctl.kernel.whereabouts import Whereabouts, whereabouts
from ctl.meter import MAX_METERS, Meter, check_meter
from ctl.netns import NetNs
from ctl.ufid import Ufid
from ctl.validate_actions import check_actions

if TYPE_CHECKING:  # whoever only reads does without
    from ctl.kernel.writer import Writer

TC_PROGRAM: Final = "dp_tc"


def read_meta(name: str) -> abi.DpMeta | None:
    """What a datapath says of itself; None when there is no whole datapath of that name.

    One of another version may say more, or less: of that nothing but the version is to be relied upon.
    """
    try:
        with libbpf.opened(str(bpffs.folder(name) / name_of(MapId.MAP_META))) as fd:
            size = max(libbpf.info(fd, MapInfo).value_size, ctypes.sizeof(abi.DpMeta))
            raw = (ctypes.c_uint8 * size)()
            libbpf.map_lookup(fd, ctypes.c_uint32(0), raw)
    except FileNotFoundError:
        return None
    meta = abi.DpMeta.from_buffer_copy(raw)
    return meta if meta.abi_version else None


def _link_ifindex(pin: pathlib.Path) -> int:
    """What a link is attached to, in whichever namespace that is; 0 when it is gone."""
    try:
        with libbpf.opened(str(pin)) as fd:
            return int(libbpf.info(fd, DeviceLinkInfo).ifindex)
    except FileNotFoundError:
        return 0


def text(octets: Any) -> str:
    """A zero-padded array of octets as text."""
    return bytes(octets).rstrip(b"\0").decode()


class KernelDatapath:
    """A datapath by name.  Absent when there is none; NotSupported for one of another version of the layout.

    ``unpublished`` is what a datapath that is still being made will say of itself.
    """

    def __init__(self, name: str, timeout_s: float = 10.0, unpublished: abi.DpMeta | None = None) -> None:
        meta = unpublished or read_meta(name)
        if meta is None:
            raise bpffs.absent(name)
        if not unpublished and (meta.abi_version, meta.layout) != (abi.DpLimit.DP_ABI_VERSION, abi.LAYOUT):
            raise NotSupported(
                f"datapath {name} was made by another version of this program: its layout is "
                f"{meta.abi_version}/{meta.layout:08x}, ours {abi.DpLimit.DP_ABI_VERSION.value}/{abi.LAYOUT:08x}",
                f"use the program that made it, or remove it: ctl del-dp {name}",
            )
        self.name = name
        self.timeout_s = timeout_s
        self.maps = Maps(bpffs.folder(name))
        self.meta = meta
        self.sizes = Sizes(max_flows=meta.max_flows, max_masks=meta.max_masks, max_units=meta.max_units)
        self._reader: RecordReader | None = None
        self._writer: Writer | None = None

    # --- the namespace of the ports --------------------------------------------------------------

    @property
    def netns(self) -> NetNs:
        """The network namespace that all ports live in.  Absent when it is gone or another has its name."""
        path = text(self.meta.netns_path)
        namespace = NetNs(pathlib.Path(path)) if path else NetNs.current()
        if not namespace.exists() or namespace.inode != self.meta.netns_inode:
            where = path or "a namespace without a name"
            raise Absent(
                f"datapath {self.name} was made in {where}, which is not the network namespace there now",
                f"ctl del-dp {self.name}",
            )
        return namespace

    # --- flows -----------------------------------------------------------------------------------

    @property
    def reader(self) -> RecordReader:
        """The flow table, to read."""
        if self._reader is None:
            self._reader = RecordReader(self.maps, self.sizes)
        return self._reader

    @contextlib.contextmanager
    def hold(self) -> Iterator[Writer]:
        """The writer's lock for the block, with everything settled at its end.  Nests.  Busy."""
        if self._writer is not None:
            try:
                yield self._writer
            except CtlError:
                raise  # a request that was refused has changed nothing
            except BaseException:
                self._writer.recover()
                raise
            return
        from ctl.kernel.writer import Writer

        with Writer(self.maps, self.sizes, bpffs.folder(self.name), self.timeout_s) as writer:
            self._writer = writer
            try:
                yield writer
            finally:
                self._writer = None

    def flow_new(
        self,
        match: Match,
        actions: Actions,
        ufid: Ufid | None = None,
        *,
        may_exist: bool = False,
        like_kernel: bool = False,
    ) -> Flow:
        """See `ctl.datapath.Datapath`."""
        check_actions(actions, match.masked, match.mask, like_kernel=like_kernel)
        check_executable(actions)
        try:
            with self.hold() as writer:
                old = to_update(writer, match, ufid, may_exist=may_exist, like_kernel=like_kernel)
                if old is None:
                    return self._at(writer, writer.insert(match, actions, ufid))
                slot = self._find(writer, old.who)
                writer.modify(slot, actions)
                return self._at(writer, slot)
        except OSError as e:  # what was begun is undone by now
            if e.errno != errno.ENOMEM:
                raise
            raise out_of_memory(self.name) from e

    def flow_set(
        self,
        who: FlowId,
        actions: Actions | None,
        *,
        match: Match | None = None,
        clear: bool = False,
        like_kernel: bool = False,
    ) -> Flow:
        """See `ctl.datapath.Datapath`."""
        if actions is not None:
            check_set(who, actions, match, like_kernel=like_kernel)
        with self.hold() as writer:
            slot = self._find(writer, who)
            if actions is not None:
                if match is None or not like_kernel:
                    own = self._at(writer, slot).match
                    check_actions(actions, own.masked, own.mask, like_kernel=like_kernel)
                writer.modify(slot, actions)
            flow = self._at(writer, slot)
            if clear:
                writer.clear(slot, flow.stats)
            return flow

    def flow_get(self, who: FlowId) -> Flow:
        """See `ctl.datapath.Datapath`."""
        while True:
            flow = self._at(self.reader, self._find(self.reader, who))
            if who == (flow.ufid or flow.match.key):
                return flow  # else the slot was given to another flow since it was found

    def where(self, who: FlowId) -> Whereabouts:
        """Where the flow of that name lies in the maps.  NotFound."""
        while True:
            slot = self._find(self.reader, who)
            found = whereabouts(self.reader, slot)
            if found is not None and self.reader.slot_of(who) == slot:
                return found

    def flow_del(self, who: FlowId) -> Flow:
        """See `ctl.datapath.Datapath`."""
        with self.hold() as writer:
            return writer.remove([self._find(writer, who)])[0]

    def flow_flush(self) -> int:
        """See `ctl.datapath.Datapath`."""
        with self.hold() as writer:
            return writer.flush()

    def flow_apply(self, changes: Sequence[Change], *, atomic: bool = False) -> dict[int, CtlError]:
        """See `ctl.datapath.Datapath`.  An OSError other than ENOMEM may leave the changes done or not, all of them."""
        from ctl.kernel import many

        try:
            with self.hold() as writer:
                return many.apply(self.name, writer, changes, atomic=atomic)
        except OSError as e:
            if e.errno != errno.ENOMEM:
                raise
            raise out_of_memory(self.name) from e

    def refusals(self, changes: Sequence[Change]) -> dict[int, CtlError]:
        """Which of these changes would be refused, and why; nothing is changed."""
        from ctl.kernel import many

        with self.hold() as writer:
            return many.refusals(self.name, writer, changes)

    def masks(self) -> list[FlowKey]:
        """The masks of all flows in the order of their ranks."""
        return [self.reader.mask(mask_id) for mask_id in self.reader.live_masks()]

    def flow_changes(self, since: int) -> Changes:
        """See `ctl.datapath.Datapath`."""
        generation, events = self.reader.log.events(self.name, since)
        return Changes(generation=generation, differences=differences(events, self._flow_if_any, self.flow_dump))

    def _flow_if_any(self, who: FlowId) -> Flow | None:
        try:
            return self.flow_get(who)
        except NotFound:
            return None

    def flow_dump(self) -> Iterator[Flow]:
        """See `ctl.datapath.Datapath`."""
        for slot in self.reader.live_slots():
            flow = self.reader.flow(slot)
            if flow is not None:
                yield flow

    def flow_dump_terse(self) -> Iterator[TerseFlow]:
        """See `ctl.datapath.Datapath`."""
        for slot in self.reader.live_slots():
            flow = self.reader.terse(slot)
            if flow is not None:
                yield flow

    def ufids(self) -> list[Ufid]:
        """The UFID of every flow that has one."""
        return [flow.who for flow in self.flow_dump_terse() if isinstance(flow.who, Ufid)]

    def _find(self, table: RecordReader, who: FlowId) -> int:
        slot = table.slot_of(who)
        if slot is None:
            raise no_flow(self.name, who)
        return slot

    @staticmethod
    def _at(table: RecordReader, slot: int) -> Flow:
        flow = table.flow(slot)
        if flow is None:
            raise NotFound("the flow went away meanwhile", "ctl dump-flows lists those there are")
        return flow

    # --- meters ----------------------------------------------------------------------------------

    def meter_set(self, meter: Meter, *, clear: bool = False) -> Meter | None:
        """See `ctl.datapath.Datapath`."""
        check_meter(meter)
        with self.hold():
            return MeterTable(self.maps).set(meter, clear=clear)

    def meter_get(self, number: int) -> Meter:
        """See `ctl.datapath.Datapath`."""
        meter = MeterTable(self.maps).get(number) if 0 <= number < MAX_METERS else None
        if meter is None:
            raise no_meter(self.name, number)
        return meter

    def meter_del(self, number: int) -> Meter:
        """See `ctl.datapath.Datapath`."""
        with self.hold():
            self.meter_get(number)
            return MeterTable(self.maps).delete(number)

    def meters(self) -> list[Meter]:
        """See `ctl.datapath.Datapath`."""
        return MeterTable(self.maps).all()

    # --- ports and counters ----------------------------------------------------------------------

    def ports(self) -> list[Port]:
        """See `ctl.datapath.Datapath`."""
        infos = [self.port_info(number) for number in range(abi.DpLimit.DP_MAX_PORTS)]
        names = self._device_names()
        return [self._port(n, info, names) for n, info in enumerate(infos) if info.kind != PortKind.PORT_NONE]

    def port_info(self, number: int) -> Any:
        """What the program knows of a port, copied: an abi.PortInfo."""
        return port_info(self.maps, number)

    def _device_names(self) -> dict[int, str]:
        """What devices are called now; none when the namespace is gone."""
        try:
            return {index: name for name, index in self.netns.devices().items()}
        except Absent:
            return {}

    def _port(self, number: int, info: abi.PortInfo, names: dict[int, str]) -> Port:
        """A device that was renamed has its present name, and so has its port."""
        ifindex = self._ifindex(number)
        device, is_local = text(info.device), info.kind == PortKind.PORT_INTERNAL
        present = names.get(ifindex, device)
        return Port(
            number=number,
            name=text(info.name) if is_local else present,
            device=present,
            kind=PortKind(info.kind).name.removeprefix("PORT_").lower(),
            ifindex=ifindex,
            state="attached" if ifindex else "moved" if self._is_elsewhere(number) else "gone",
            takes_redirects=not info.no_redirect,
            hook="tc" if info.tc_only else "xdp/generic" if info.generic else "xdp/native",
        )

    def _ifindex(self, number: int) -> int:
        """A port's device in the ports' namespace; 0 when it is not there.

        The kernel takes a device out of this map when it is deleted or moves to another namespace.
        """
        found = ctypes.c_uint32()
        libbpf.map_lookup(self.maps.fd(MapId.MAP_PORTS), ctypes.c_uint32(number), found)
        return found.value

    def _is_elsewhere(self, number: int) -> bool:
        """Whether a port's device moved to another namespace: it takes its links along."""
        return any(map(_link_ifindex, (bpffs.link(self.name, number), bpffs.tc_link(self.name, number))))

    @functools.cached_property
    def tc_program_id(self) -> int:
        """By which the kernel knows the program of the tc hook."""
        with libbpf.opened(str(bpffs.folder(self.name) / TC_PROGRAM)) as fd:
            return int(libbpf.info(fd, ProgInfo).id)

    def port_stats(self) -> dict[int, PortStats]:
        """See `ctl.datapath.Datapath`."""
        names = [f.name for f in dataclasses.fields(PortStats)]
        result = {}
        for port in self.ports():
            cpus = self.maps.per_cpu(MapId.MAP_PORT_STATS, port.number, abi.PortStats)
            result[port.number] = PortStats(**{name: sum(getattr(cpu, name) for cpu in cpus) for name in names})
        return result

    def stats(self) -> DatapathStats:
        """See `ctl.datapath.Datapath`."""
        cpus = self.maps.per_cpu(MapId.MAP_DP_STATS, 0, abi.DpStats)
        totals = {
            name: sum(getattr(cpu, name) for cpu in cpus)
            for name in ("hit", "missed", "lost", "mask_hit", "stale", "upcalls", "samples", "samples_lost")
        }
        reasons = [r for r in DropReason if r not in (DropReason.DROP_NONE, DropReason.DROP_REASONS)]
        return DatapathStats(
            **totals,
            flows=self.reader.control.n_flows,
            masks=len(self.reader.live_masks()),
            generation=self.reader.control.generation,
            drops={r.name.removeprefix("DROP_").lower(): sum(cpu.drops[r] for cpu in cpus) for r in reasons},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Give up descriptors; the datapath itself stays."""
        self._reader = None
        self.maps.close()
