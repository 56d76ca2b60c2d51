"""Changing the flow table of one datapath.  One writer at a time; packets and readers never wait.

Order is everything.  To publish a flow: fill its action list and its record (state prepared), make
its mask live, enter it in the flow table, enter it in the UFID index, mark it live.  To retract one:
mark it retiring, take it out of the UFID index, then out of the flow table; after a grace period its
statistics are final and its slot, units and mask id may be used again.  To modify one: fill a new list
and store the reference, 8 aligned bytes; after a grace period the old list's units are free.

The lock is flock(2) on the datapath's folder, which the kernel releases when a writer dies.  While a
writer is at work the control structure is marked dirty.  Who finds the mark finishes or undoes what
was begun: the records' states say how far each flow had come, and all else is derived from them.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import pathlib
import struct
import time
from types import TracebackType
from typing import Final, Self

from ctl import abi
from ctl.abi import MapId, RecordState, SizeClass
from ctl.action import Actions, Output, walk
from ctl.datapath import full
from ctl.errors import Busy, CtlError, TableFull
from ctl.faults import fault
from ctl.flow import Flow, FlowKey, FlowStats, Match
from ctl.kernel import grace, libbpf
from ctl.kernel.encode import encode
from ctl.kernel.maps import Maps, Sizes
from ctl.kernel.records import (
    HOT_SIZE,
    RECORD_REST,
    RECORD_SIZE,
    TAIL_SIZE,
    RecordReader,
    key_for_table,
    placed,
    reference_to,
    run_of,
    size_class,
    table_key,
    ufid_key,
)
from ctl.kernel.units import UNIT_SIZE, UnitStore
from ctl.placement import why_not_xdp
from ctl.ufid import Ufid

_LOCK_POLL_S: Final = 0.01
_ENOMEM_TRIES: Final = 50


class Writer(RecordReader):
    """The lock on a datapath's flow table, and every change to it.  A context manager.

    Entering waits up to ``timeout_s`` for another writer, then raises Busy.
    """

    def __init__(self, maps: Maps, sizes: Sizes, folder: pathlib.Path, timeout_s: float = 10.0) -> None:
        super().__init__(maps, sizes)
        self._folder = folder
        self._timeout_s = timeout_s
        self._lock = -1
        self._retired_slots: list[int] = []
        self._retired_lists: list[int] = []
        self._units = UnitStore(self._actions, self.control, sizes.max_units)
        self._retired_masks: set[int] = set()

    def __enter__(self) -> Self:
        self._lock = lock_folder(self._folder, self._timeout_s)
        try:
            if self.control.dirty:
                self.recover()
            for listener in ("listener", "sampler"):
                pid = getattr(self.control, listener)
                if pid and not os.path.exists(f"/proc/{pid}"):
                    setattr(self.control, listener, 0)  # it died; packets would be written for nobody
            self.control.owner = os.getpid()
            self.control.dirty = 1
            fault("writer.begun")
        except BaseException:
            os.close(self._lock)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        try:
            if kind is None or issubclass(kind, CtlError):
                self.settle()
            else:
                self.recover()
            self.control.dirty = 0
            fault("writer.settled")
        finally:
            os.close(self._lock)
            self._lock = -1

    # --- changes ---------------------------------------------------------------------------------

    def insert(self, match: Match, actions: Actions, ufid: Ufid | None) -> int:
        """Install a flow that is not there yet; its slot.  TableFull, with nothing changed."""
        size = size_class(match.mask)
        content = encode(actions)
        mask_id = self._reserve(match.mask)
        reference = self._fill_list(content, not_xdp=self._needs_tc(actions))
        slot = self._pop(MapId.MAP_FREE_SLOTS, "n_free_slots")
        self._hold_mask(mask_id, match.mask, size)
        key = match.masked if ufid else match.key
        self._fill_record(slot, key_for_table(key, mask_id), size, reference, ufid)
        fault("writer.prepared")
        self.control.high_slot = max(self.control.high_slot, slot + 1)
        self._publish(slot, table_key(size, key_for_table(match.masked, mask_id)), ufid)
        return slot

    def modify(self, slot: int, actions: Actions) -> None:
        """Replace a flow's actions."""
        reference = self._fill_list(encode(actions), not_xdp=self._needs_tc(actions))
        record = self.record(slot)
        old = record.actions
        record.actions = reference
        fault("writer.modified")
        self._retired_lists.append(old)
        self.control.generation += 1

    def place_again(self, port: int) -> None:
        """Decide anew on which hook every flow is executed that outputs to a port."""
        for slot in self.live_slots():
            record = self.record(slot)
            actions = self.action_list(record.actions)
            if any(isinstance(action, Output) and action.port == port for action in walk(actions)):
                record.actions = placed(record.actions, not_xdp=self._needs_tc(actions))
        self.control.generation += 1

    def _needs_tc(self, actions: Actions) -> bool:
        return why_not_xdp(actions, self.takes_redirects) is not None

    def clear(self, slot: int, counted: FlowStats) -> None:
        """Zero a flow's statistics: what was read of them goes to the base that readers subtract.

        What has been counted since that reading stays, so no packet is ever lost between two readings.
        """
        record, tail = self.record(slot), self.tail(slot)
        tail.base_packets += counted.packets
        tail.base_bytes += counted.bytes
        epoch = record.clear_epoch % 255 + 1
        for bit, seen in enumerate(record.tcp_flags):
            if seen == epoch:  # 255 CLEARs ago; what the program writes here now is not this number
                record.tcp_flags[bit] = 0
        record.clear_epoch = epoch
        self.control.generation += 1

    def remove(self, slots: list[int]) -> list[Flow]:
        """Remove flows; each with its final statistics, read when no packet can hit it any more."""
        self.settle()
        for slot in slots:
            self._retract(slot)
        if slots:
            grace.wait()
            fault("writer.waited")
        flows = [self.final(slot) for slot in slots]
        self._free_retired()
        return flows

    def settle(self) -> None:
        """Wait out a grace period for what was retired, if anything was, and free it."""
        if self._retired_slots or self._retired_lists or self._retired_masks:
            grace.wait()
            self._free_retired()

    # --- parts of an insertion -------------------------------------------------------------------

    def _reserve(self, mask: FlowKey) -> int:
        """Make sure of a free slot, and find the mask's id, which is the mask's already or free to be."""
        if not self.control.n_free_slots:
            self.settle()
        if not self.control.n_free_slots:
            raise self._full(f"its flow table holds {self.sizes.max_flows} flows", "--max-flows")
        mask_id = self.mask_id_of(mask)
        if mask_id is None:
            mask_id = self._free_mask_id()
        if mask_id is None:
            self.settle()
            mask_id = self._free_mask_id()
        if mask_id is None:
            raise self._full(f"its mask table holds {self.sizes.max_masks} masks", "--max-masks")
        return mask_id

    def _full(self, what: str, option: str) -> TableFull:
        return full(self._folder.name, what, option)

    def _free_mask_id(self) -> int | None:
        """The lowest mask id that no program can still be looking at."""
        candidates = (i for i in range(self.sizes.max_masks) if i not in self._retired_masks)
        return next((i for i in candidates if not self.mask_entry(i).live), None)

    def _hold_mask(self, mask_id: int, mask: FlowKey, size: SizeClass) -> None:
        """One flow more for a mask, which is made live if it was not."""
        entry = self.mask_entry(mask_id)
        if not entry.live:
            entry.flows = 0
            entry.size_class = size
            bits = b"\xff\xff" + mask.raw[2:]
            ctypes.memmove(ctypes.addressof(entry), bits, len(bits))
            entry.live = 1
            self.control.n_masks = max(self.control.n_masks, mask_id + 1)
        entry.flows += 1

    def _fill_list(self, content: bytes, *, not_xdp: bool) -> int:
        """Write an action list where nobody looks yet; the reference to it."""
        units = len(content) // UNIT_SIZE
        if not units:
            return 0
        at = self._units.take(units)
        if at is None:
            self.settle()
            self._rebuild_units()  # neighbouring free runs become large ones
            at = self._units.take(units)
        if at is None:
            raise self._full(f"its action lists take all {self.sizes.max_units} units", "--max-action-units")
        self._actions[at * UNIT_SIZE : at * UNIT_SIZE + len(content)] = content
        return reference_to(at, units, not_xdp=not_xdp, serial=self.control.generation)

    def _rebuild_units(self) -> None:
        references = (self.record(slot).actions for slot in self.live_slots())
        self._units.rebuild(run_of(reference) for reference in references if reference)

    def _fill_record(self, slot: int, key: bytes, size: SizeClass, reference: int, ufid: Ufid | None) -> None:
        generation = (self.record(slot).generation + 1) & 0xFFFFFFFF
        octets = ufid.octets if ufid else b""
        rest = RECORD_REST.pack(
            0, 0, 0, bytes(8), reference, octets.ljust(16, b"\0"), generation, RecordState.RECORD_FREE,
            len(octets), 1, size,
        )  # fmt: skip
        self._tails[slot * TAIL_SIZE : (slot + 1) * TAIL_SIZE] = key[HOT_SIZE:].ljust(TAIL_SIZE, b"\0")
        self._records[slot * RECORD_SIZE : (slot + 1) * RECORD_SIZE] = key[:HOT_SIZE] + rest
        self.record(slot).state = RecordState.RECORD_PREPARED  # last: now all of it is there

    def _publish(self, slot: int, entry: tuple[MapId, bytes], ufid: Ufid | None) -> None:
        ref = abi.FlowRef(slot=slot)
        self._enter(entry[0], entry[1], ref)
        fault("writer.entered")
        if ufid:
            self._enter(MapId.MAP_UFIDS, ufid_key(ufid), ref)
        self.record(slot).state = RecordState.RECORD_LIVE
        fault("writer.published")
        self.control.n_flows += 1
        self.control.generation += 1

    def _enter(self, map_id: MapId, key: bytes, ref: abi.FlowRef) -> None:
        """Add an element.  The kernel refills its cache of elements from an interrupt: ENOMEM may pass."""
        for attempt in range(_ENOMEM_TRIES):
            try:
                libbpf.map_update(self.maps.fd(map_id), key, ref, libbpf.NOEXIST)
            except OSError as e:
                if e.errno != errno.ENOMEM or attempt == _ENOMEM_TRIES - 1:
                    raise
                time.sleep(0.001)
            else:
                return

    # --- parts of a removal ----------------------------------------------------------------------

    def _retract(self, slot: int) -> None:
        record = self.record(slot)
        record.state = RecordState.RECORD_RETIRING
        fault("writer.retiring")
        mask_id = record.key.mask_id
        self._withdraw(slot)
        fault("writer.withdrawn")
        entry = self.mask_entry(mask_id)
        entry.flows -= 1
        if not entry.flows:
            entry.live = 0
            self._retired_masks.add(mask_id)
            self.control.n_masks = 1 + max(self.live_masks(), default=-1)
        self._retired_slots.append(slot)
        self._retired_lists.append(record.actions)
        self.control.n_flows -= 1
        self.control.generation += 1

    def _withdraw(self, slot: int) -> None:
        """Take a flow out of the UFID index and the flow table, as far as it is there."""
        record = self.record(slot)
        if record.ufid_len:
            self._leave(MapId.MAP_UFIDS, bytes(record.ufid) + bytes((record.ufid_len,)), slot)
        mask = self.mask(record.key.mask_id)
        masked = key_for_table(self.key(slot) & mask, record.key.mask_id)
        self._leave(*table_key(size_class(mask), masked), slot)

    def _leave(self, map_id: MapId, key: bytes, slot: int) -> None:
        if self._hint(map_id, key) == slot:
            libbpf.map_delete(self.maps.fd(map_id), key)

    def _free_retired(self) -> None:
        """Free what was retired before the grace period that has just passed; low slots are used first."""
        for slot in sorted(self._retired_slots, reverse=True):
            self._blank(slot)
            self._push(MapId.MAP_FREE_SLOTS, "n_free_slots", slot)
        for reference in filter(None, self._retired_lists):
            self._units.give(*run_of(reference))
        self._retired_slots.clear()
        self._retired_lists.clear()
        self._retired_masks.clear()

    def _blank(self, slot: int) -> None:
        """Empty a record, but for its generation."""
        generation = self.record(slot).generation
        rest = RECORD_REST.pack(0, 0, 0, bytes(8), 0, bytes(16), generation, RecordState.RECORD_FREE, 0, 0, 0)
        self._records[slot * RECORD_SIZE : (slot + 1) * RECORD_SIZE] = bytes(HOT_SIZE) + rest
        self._tails[slot * TAIL_SIZE : (slot + 1) * TAIL_SIZE] = bytes(TAIL_SIZE)

    # --- free lists ------------------------------------------------------------------------------

    def _pop(self, map_id: MapId, counter: str) -> int:
        depth: int = getattr(self.control, counter) - 1
        (number,) = struct.unpack_from("<I", self.maps.memory(map_id), depth * 4)
        setattr(self.control, counter, depth)
        return int(number)

    def _push(self, map_id: MapId, counter: str, number: int) -> None:
        depth: int = getattr(self.control, counter)
        struct.pack_into("<I", self.maps.memory(map_id), depth * 4, number)
        setattr(self.control, counter, depth + 1)

    def _fill_free_list(self, map_id: MapId, counter: str, taken: set[int], end: int) -> None:
        """Every number below ``end`` that is not taken, so that the lowest is popped first."""
        free = [n for n in range(end - 1, -1, -1) if n not in taken]
        struct.pack_into(f"<{len(free)}I", self.maps.memory(map_id), 0, *free)
        setattr(self.control, counter, len(free))

    # --- beginning and repair --------------------------------------------------------------------

    def recover(self) -> None:
        """Finish or undo what was begun, and derive counts, masks and free lists from the records.

        Also what a new datapath begins with, where there is no record yet.
        """
        end = self.sizes.max_flows
        broken = [*self.slots_in(RecordState.RECORD_PREPARED, end), *self.slots_in(RecordState.RECORD_RETIRING, end)]
        for slot in broken:
            self._withdraw(slot)
        live = list(self.slots_in(RecordState.RECORD_LIVE, end))
        self._derive_masks(live)
        grace.wait()
        for slot in broken:
            self._blank(slot)
        self._fill_free_list(MapId.MAP_FREE_SLOTS, "n_free_slots", set(live), end)
        self.control.n_flows = len(live)
        self.control.high_slot = 1 + max(live, default=-1)
        self._rebuild_units()
        self.control.generation += 1
        self._retired_slots.clear()
        self._retired_lists.clear()
        self._retired_masks.clear()

    def _derive_masks(self, live: list[int]) -> None:
        counts = dict.fromkeys(range(self.sizes.max_masks), 0)
        for slot in live:
            counts[self.record(slot).key.mask_id] += 1
        for mask_id, flows in counts.items():
            entry = self.mask_entry(mask_id)
            entry.flows = flows
            entry.live = bool(flows)
        self.control.n_masks = 1 + max((i for i, flows in counts.items() if flows), default=-1)


def lock_folder(folder: pathlib.Path, timeout_s: float) -> int:
    """An fd that holds the writer's lock on a folder of bpffs.  Busy when it is not free in time."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                os.close(fd)
                raise Busy(f"another process is changing {folder.name}", "wait, or allow more time with -t") from None
            time.sleep(_LOCK_POLL_S)
        except BaseException:
            os.close(fd)
            raise
        else:
            return fd
