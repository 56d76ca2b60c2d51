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

import os
import pathlib
from types import TracebackType
from typing import Self

from ctl.abi import ChangeKind, MapId, RecordState
from ctl.action import Actions, Output, walk
from ctl.errors import CtlError
from ctl.faults import fault
from ctl.flow import Flow, FlowStats, Match
from ctl.kernel import grace
from ctl.kernel.encode import encode
from ctl.kernel.lock import lock_folder
from ctl.kernel.maps import Maps, Sizes
from ctl.kernel.records import key_for_table, placed, run_of, size_class, table_key, ufid_key
from ctl.kernel.transaction import Transactions
from ctl.ufid import Ufid


class Writer(Transactions):
    """The lock on a datapath's flow table, and every change to it.  A context manager.

    Entering waits up to ``timeout_s`` for another writer, then raises Busy.
    """

    def __init__(self, maps: Maps, sizes: Sizes, folder: pathlib.Path, timeout_s: float = 10.0) -> None:
        super().__init__(maps, sizes, folder)
        self._timeout_s = timeout_s
        self._lock = -1

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
        generation = self.log.note(ChangeKind.CHANGE_ADD, slot, ufid or match.key)
        self._publish(slot, table_key(size, key_for_table(match.masked, mask_id)), ufid)
        self.control.generation = generation
        return slot

    def modify(self, slot: int, actions: Actions) -> None:
        """Replace a flow's actions."""
        reference = self._fill_list(encode(actions), not_xdp=self._needs_tc(actions))
        self._refer(slot, reference)

    def _refer(self, slot: int, reference: int) -> None:
        """Have a flow follow another list; its old one is retired."""
        generation = self.log.note(ChangeKind.CHANGE_MODIFY, slot, self.name_at(slot))
        record = self.record(slot)
        old = record.actions
        record.actions = reference
        fault("writer.modified")
        if run_of(old) != run_of(reference):
            self._retired_lists.append(old)
        self.control.generation = generation

    def place_again(self, port: int) -> None:
        """Decide anew on which hook every flow is executed that outputs to a port."""
        for slot in self.live_slots():
            record = self.record(slot)
            actions = self.action_list(record.actions)
            if any(isinstance(action, Output) and action.port == port for action in walk(actions)):
                reference = placed(record.actions, not_xdp=self._needs_tc(actions))
                if reference != record.actions:
                    self._refer(slot, reference)

    def clear(self, slot: int, counted: FlowStats) -> None:
        """Zero a flow's statistics: what was read of them goes to the base that readers subtract.

        What has been counted since that reading stays, so no packet is ever lost between two readings.
        """
        generation = self.log.note(ChangeKind.CHANGE_CLEAR, slot, self.name_at(slot))
        self._zero(slot, counted)
        self.control.generation = generation

    def remove(self, slots: list[int]) -> list[Flow]:
        """Remove flows; each with its final statistics, read when no packet can hit it any more."""
        self.settle()
        for slot in slots:
            generation = self.log.note(ChangeKind.CHANGE_DELETE, slot, self.name_at(slot))
            self._retract(slot)
            self.control.generation = generation
        return self._finals(slots)

    def flush(self) -> int:
        """Remove all flows, as one change; how many there were."""
        slots = list(self.live_slots())
        if not slots:
            return 0
        self.settle()
        generation = self.log.note_flush(len(slots))
        for slot in slots:
            self._retract(slot)
        finals = self._finals(slots)
        self.log.tell_sums(sum(flow.stats.packets for flow in finals), sum(flow.stats.bytes for flow in finals))
        self.control.generation = generation
        return len(slots)

    def _finals(self, slots: list[int]) -> list[Flow]:
        """What was retracted, when a grace period is over; its places are free then."""
        if slots:
            grace.wait()
            fault("writer.waited")
        flows = [self.final(slot) for slot in slots]
        self._free_retired()
        return flows

    # --- parts of an insertion and a removal -----------------------------------------------------

    def _publish(self, slot: int, entry: tuple[MapId, bytes], ufid: Ufid | None) -> None:
        self._enter(entry[0], entry[1], slot)
        fault("writer.entered")
        if ufid:
            self._enter(MapId.MAP_UFIDS, ufid_key(ufid), slot)
        self.record(slot).state = RecordState.RECORD_LIVE
        fault("writer.published")
        self.control.n_flows += 1

    def _retract(self, slot: int) -> None:
        record = self.record(slot)
        record.state = RecordState.RECORD_RETIRING
        fault("writer.retiring")
        mask_id = record.key.mask_id
        self._withdraw(slot)
        fault("writer.withdrawn")
        self._release_mask(mask_id)
        self._retired_slots.append(slot)
        self._retired_lists.append(record.actions)
        self.control.n_flows -= 1

    # --- beginning and repair --------------------------------------------------------------------

    def recover(self) -> None:
        """Finish or undo what was begun, and derive counts, masks and free lists from the records.

        Also what a new datapath begins with, where there is no record yet.
        """
        end = self.sizes.max_flows
        journal = self.repair_transaction()
        broken = [*self.slots_in(RecordState.RECORD_PREPARED, end), *self.slots_in(RecordState.RECORD_RETIRING, end)]
        live = list(self.slots_in(RecordState.RECORD_LIVE, end))
        self._derive_masks(live)
        for slot in broken:
            self._withdraw(slot)
        grace.wait()
        for slot in broken:
            self._blank(slot)
        self._fill_free_list(MapId.MAP_FREE_SLOTS, "n_free_slots", set(live), end)
        self.control.n_flows = len(live)
        self.control.high_slot = 1 + max(live, default=-1)
        self._rebuild_units()
        self.control.generation = max(self.control.generation, self.control.change_generation) + 1
        self._retired_slots.clear()
        self._retired_lists.clear()
        self._retired_masks.clear()
        if journal is not None:
            journal.remove()

    def _derive_masks(self, live: list[int]) -> None:
        counts = dict.fromkeys(range(self.sizes.max_masks), 0)
        for slot in live:
            counts[self.record(slot).key.mask_id] += 1
        for mask_id, flows in counts.items():
            entry = self.mask_entry(mask_id)
            entry.flows = flows
            entry.live = bool(flows)
        self.control.n_masks = 1 + max((i for i, flows in counts.items() if flows), default=-1)
