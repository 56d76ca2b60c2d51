"""The parts of which changes of a flow table are made: slots, masks, lists, records, and elements of the maps.

Each leaves the table as packets see it alone, or changes one thing of it.  In which order they follow one
another is for `ctl.kernel.writer` and `ctl.kernel.transaction` to say, whoever holds the lock.
"""

from __future__ import annotations

import ctypes
import errno
import pathlib
import struct
import time
from collections.abc import Callable
from typing import Final

from ctl import abi
from ctl.abi import MapId, RecordState, SizeClass
from ctl.action import Actions
from ctl.datapath import full
from ctl.errors import TableFull
from ctl.flow import FlowKey, FlowStats
from ctl.kernel import grace, libbpf
from ctl.kernel.maps import Maps, Sizes
from ctl.kernel.records import (
    HOT_SIZE,
    RECORD_REST,
    RECORD_SIZE,
    TAIL_SIZE,
    RecordReader,
    reference_to,
    run_of,
)
from ctl.kernel.units import UNIT_SIZE, UnitStore
from ctl.placement import why_not_xdp
from ctl.ufid import Ufid

_ENOMEM_TRIES: Final = 50


_REF: Final = struct.Struct("<II")  # struct flow_ref


def _patiently(call: Callable[[], None]) -> None:
    """Call again while the kernel has no memory: it refills its cache of elements from an interrupt."""
    for attempt in range(_ENOMEM_TRIES):
        try:
            call()
        except OSError as e:
            if e.errno != errno.ENOMEM or attempt == _ENOMEM_TRIES - 1:
                raise
            time.sleep(0.001)
        else:
            return


class Store(RecordReader):
    """The flow table of a datapath, to be changed."""

    def __init__(self, maps: Maps, sizes: Sizes, folder: pathlib.Path) -> None:
        super().__init__(maps, sizes)
        self._folder = folder
        self._retired_slots: list[int] = []
        self._retired_lists: list[int] = []
        self._units = UnitStore(self._actions, self.control, sizes.max_units)
        self._retired_masks: set[int] = set()
        self._prepared_lists: list[int] = []  # filled, and no record refers to them yet

    def settle(self) -> None:
        """Wait out a grace period for what was retired, if anything was, and free it."""
        if self._retired_slots or self._retired_lists or self._retired_masks:
            grace.wait()
            self._free_retired()

    def _needs_tc(self, actions: Actions) -> bool:
        return why_not_xdp(actions, self.takes_redirects) is not None

    # --- parts of an insertion -------------------------------------------------------------------

    def _reserve(self, mask: FlowKey) -> int:
        """Make sure of a free slot, and find the mask's id, which is the mask's already or free to be."""
        if not self.control.n_free_slots:
            self.settle()
        if not self.control.n_free_slots:
            raise self._full(f"its flow table holds {self.sizes.max_flows} flows", "--max-flows")
        mask_id = self.mask_id_of(mask)
        if mask_id is None:
            mask_id = next(iter(self._free_mask_ids()), None)
        if mask_id is None:
            raise self._full(f"its mask table holds {self.sizes.max_masks} masks", "--max-masks")
        return mask_id

    def _full(self, what: str, option: str) -> TableFull:
        return full(self._folder.name, what, option)

    def _free_mask_ids(self) -> list[int]:
        """Every mask id that is free, rising.

        Those that programs may still be looking at are waited for: a new mask takes the lowest rank that no flow
        has, whatever went just before.
        """
        if self._retired_masks:
            self.settle()
        return [i for i in range(self.sizes.max_masks) if not self.mask_entry(i).live]

    def _hold_mask(self, mask_id: int, mask: FlowKey, size: SizeClass) -> None:
        """One flow more for a mask, which is made live if it was not."""
        entry = self.mask_entry(mask_id)
        if not entry.live:
            self._fill_mask(mask_id, mask, size)
            self._show_mask(mask_id)
        entry.flows += 1

    def _fill_mask(self, mask_id: int, mask: FlowKey, size: SizeClass) -> None:
        """Write a mask where no program looks."""
        entry = self.mask_entry(mask_id)
        entry.flows = 0
        entry.size_class = size
        bits = b"\xff\xff" + mask.raw[2:]
        ctypes.memmove(ctypes.addressof(entry), bits, len(bits))

    def _show_mask(self, mask_id: int) -> None:
        """Have programs look under a mask."""
        self.mask_entry(mask_id).live = 1
        self.control.n_masks = max(self.control.n_masks, mask_id + 1)

    def _release_mask(self, mask_id: int) -> None:
        """One flow less for a mask, which is retired with the last."""
        entry = self.mask_entry(mask_id)
        entry.flows -= 1
        if not entry.flows:
            entry.live = 0
            self._retired_masks.add(mask_id)
            self.control.n_masks = 1 + max(self.live_masks(), default=-1)

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
        references = [self.record(slot).actions for slot in self.live_slots()] + self._prepared_lists
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

    def _enter(self, map_id: MapId, key: bytes, slot: int, flags: int = libbpf.NOEXIST) -> None:
        """Add an element; with flags 0 it may take another's place."""
        _patiently(lambda: libbpf.map_update(self.maps.fd(map_id), key, abi.FlowRef(slot=slot), flags))

    def _enter_all(self, map_id: MapId, entries: list[tuple[bytes, int]]) -> None:
        """Add elements, or replace them, as (key, slot)."""
        done = 0

        def go_on() -> None:
            nonlocal done
            keys, refs = zip(*((key, _REF.pack(slot, 0)) for key, slot in entries[done:]), strict=True)
            count, error = libbpf.map_update_batch(self.maps.fd(map_id), keys, refs)
            done += count
            if error:
                raise error

        if entries:
            _patiently(go_on)

    # --- parts of a removal ----------------------------------------------------------------------

    def _withdraw(self, slot: int) -> None:
        """Take a flow out of the UFID index and the flow table, as far as it is there."""
        for map_id, key in self.elements_of(slot):
            self._leave(map_id, key, slot)

    def _leave_all(self, map_id: MapId, keys: list[bytes]) -> None:
        """Remove elements, each of which is there."""
        done = 0
        while done < len(keys):
            count, error = libbpf.map_delete_batch(self.maps.fd(map_id), keys[done:])
            done += count
            if error:
                raise error

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

    def _zero(self, slot: int, counted: FlowStats) -> None:
        """What was read of a flow's statistics goes to the base that readers subtract; a new epoch begins."""
        record, tail = self.record(slot), self.tail(slot)
        tail.base_packets += counted.packets
        tail.base_bytes += counted.bytes
        epoch = record.clear_epoch % 255 + 1
        for bit, seen in enumerate(record.tcp_flags):
            if seen == epoch:  # 255 CLEARs ago; what the program writes here now is not this number
                record.tcp_flags[bit] = 0
        record.clear_epoch = epoch

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
