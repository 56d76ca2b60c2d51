"""Many changes of the flow table as one: all of them, or none, whatever happens meanwhile.

First everything is made where nobody looks: action lists, masks that are not live, records in the state
prepared.  Then the journal, a map that names each slot and what is to become of it, is pinned in the datapath's
folder, and new flows are entered in the tables, where they do not take another's place.  All this can fail, and
can be taken back.  Then comes the commit, one store into the journal.  What follows is done to its end, by the
next writer if this one dies:

    lists of changed flows are replaced, elements are redirected to the flows that take another's place,
    new masks become live, new flows are marked live, removed ones are withdrawn

Packets see a new flow under a mask that is live already when it is entered, a moment before the commit; all
new flows under one new mask at once; and a removed flow until what replaces it is there.
"""

from __future__ import annotations

import mmap
import os
import pathlib
import struct
from collections import defaultdict
from dataclasses import dataclass
from typing import Final, NamedTuple, Self

from ctl import abi
from ctl.abi import ChangeKind, MapId, RecordState, SizeClass
from ctl.action import Actions
from ctl.errors import TableFull
from ctl.faults import fault
from ctl.flow import FlowKey, Match
from ctl.interrupts import deferred
from ctl.kernel import libbpf
from ctl.kernel.encode import encode
from ctl.kernel.records import key_for_table, run_of, size_class, table_key, ufid_key
from ctl.kernel.store import Store
from ctl.kernel.structures import MapInfo
from ctl.plan import Added, Changed, Plan

JOURNAL: Final = "transaction"  # the name of its pin
_INTENT: Final = struct.Struct("<IIQ")  # struct intent
_COMMITTED: Final = 1

Element = tuple[MapId, bytes]


class Intent(NamedTuple):
    """What is to become of the flow at a slot.  ``actions``: the new reference, if that is to be replaced."""

    slot: int
    kind: ChangeKind
    actions: int = 0


class Journal:
    """The map of a transaction at work."""

    def __init__(self, path: pathlib.Path, fd: int, count: int) -> None:
        self._path = path
        size = (1 + count) * _INTENT.size
        self._memory = mmap.mmap(fd, -(-size // mmap.PAGESIZE) * mmap.PAGESIZE)
        self._head = abi.Intent.from_buffer(self._memory)

    @classmethod
    def write(cls, folder: pathlib.Path, intents: list[Intent]) -> Self:
        """Pin one that says these, not committed."""
        path = folder / JOURNAL
        fd = libbpf.map_create(libbpf.MAP_ARRAY, JOURNAL, 4, _INTENT.size, 1 + len(intents), libbpf.F_MMAPABLE)
        try:
            journal = cls(path, fd, len(intents))
            content = _INTENT.pack(0, 0, len(intents)) + b"".join(_INTENT.pack(*intent) for intent in intents)
            journal._memory[: len(content)] = content
            libbpf.obj_pin(fd, str(path))
        finally:
            os.close(fd)
        return journal

    @classmethod
    def find(cls, folder: pathlib.Path) -> Self | None:
        """The one that a writer left."""
        path = folder / JOURNAL
        if not path.exists():
            return None
        with libbpf.opened(str(path)) as fd:
            return cls(path, fd, int(libbpf.info(fd, MapInfo).max_entries) - 1)

    @property
    def committed(self) -> bool:
        """Whether what it says is to be done, rather than never to have been."""
        return bool(self._head.slot == _COMMITTED)

    def commit(self) -> None:
        """From now on it is."""
        self._head.slot = _COMMITTED

    def intents(self) -> list[Intent]:
        """What it says."""
        end = (1 + self._head.actions) * _INTENT.size
        rows = _INTENT.iter_unpack(self._memory[_INTENT.size : end])
        return [Intent(slot, ChangeKind(kind), actions) for slot, kind, actions in rows]

    def remove(self) -> None:
        """All is done, or taken back."""
        self._path.unlink(missing_ok=True)


@dataclass(slots=True)
class _Prepared:
    """What a plan needs: slots and elements of the flows to install, references of those to change."""

    slots: list[int]
    new_masks: list[int]
    fresh: dict[MapId, list[tuple[bytes, int]]]  # elements that are not there yet, with their slots
    replacing: list[tuple[MapId, bytes, int]]  # those whose place another flow has
    references: dict[int, int]  # by slot


class Transactions(Store):
    """A flow table that can be changed by plans."""

    def apply(self, plan: Plan) -> None:
        """Carry a plan out, all of it.  TableFull, with nothing changed.

        OSError: `repair_transaction` has to find out which of the two is the case, as after a death.
        """
        prepared = self._prepare(plan)
        journal = Journal.write(self._folder, self._intents(plan, prepared))
        fault("transaction.prepared")
        for map_id in sorted(prepared.fresh, reverse=True):  # the UFID index first, which no program reads
            self._enter_all(map_id, prepared.fresh[map_id])
        fault("transaction.entered")
        generation = self._note(plan, prepared)
        with deferred(late=True):
            journal.commit()
            fault("transaction.committed")
            self._publish_plan(plan, prepared)
            self.control.generation = generation
            journal.remove()
            fault("transaction.finished")
        self._prepared_lists.clear()

    def _publish_plan(self, plan: Plan, prepared: _Prepared) -> None:
        """What packets see, in its order."""
        self._change(plan.modifies, prepared.references)
        self._show(prepared)
        fault("transaction.shown")
        self._withdraw_all(plan.deletes, {(map_id, key) for map_id, key, _ in prepared.replacing})
        fault("transaction.withdrawn")

    def has_room_for(self, matches: list[Match]) -> bool:
        """Whether there are slots and masks for a flow of each match, with what can be freed for them."""
        masks = len({match.mask for match in matches} - {self.mask(i) for i in self.live_masks()})
        if len(matches) > self.control.n_free_slots:
            self.settle()
        return len(matches) <= self.control.n_free_slots and (not masks or masks <= len(self._free_mask_ids()))

    # --- before the commit -----------------------------------------------------------------------

    def _prepare(self, plan: Plan) -> _Prepared:
        """Make everything that the plan needs where nobody looks.  TableFull, with all of it given back."""
        if len(plan.adds) > self.control.n_free_slots:
            self.settle()
        if len(plan.adds) > self.control.n_free_slots:
            raise self._full(f"its flow table holds {self.sizes.max_flows} flows", "--max-flows")
        masks, new_masks = self._choose_masks(plan.adds)
        lists = self._fill_lists([add.actions for add in plan.adds])
        try:
            changed = [row for row in plan.modifies if row.actions is not None]
            references = self._fill_lists([row.actions or () for row in changed])
        except TableFull:
            self._give_back(lists)
            raise
        prepared = _Prepared([], new_masks, defaultdict(list), [], {})
        prepared.references.update(zip((row.slot for row in changed), references, strict=True))
        leaving = {element for slot in plan.deletes for element in self.elements_of(slot)} if plan.adds else set()
        for add, reference in zip(plan.adds, lists, strict=True):
            slot, elements = self._prepare_flow(add, masks[add.match.mask], reference)
            prepared.slots.append(slot)
            for map_id, key in elements:
                if (map_id, key) in leaving:
                    prepared.replacing.append((map_id, key, slot))
                else:
                    prepared.fresh[map_id].append((key, slot))
        return prepared

    def _choose_masks(self, adds: tuple[Added, ...]) -> tuple[dict[FlowKey, tuple[int, SizeClass]], list[int]]:
        """The id and the size of each mask, and those ids that are new, whose masks are written.  TableFull."""
        wanted = dict.fromkeys(add.match.mask for add in adds)
        known = {mask: self.mask_id_of(mask) for mask in wanted}
        new = [mask for mask, mask_id in known.items() if mask_id is None]
        free = self._free_mask_ids() if new else []
        if len(new) > len(free):
            raise self._full(f"its mask table holds {self.sizes.max_masks} masks", "--max-masks")
        places = {mask: (mask_id, size_class(mask)) for mask, mask_id in known.items() if mask_id is not None}
        for mask, mask_id in zip(new, free, strict=False):
            places[mask] = mask_id, size_class(mask)
            self._fill_mask(mask_id, mask, size_class(mask))
        return places, free[: len(new)]

    def _fill_lists(self, wanted: list[Actions]) -> list[int]:
        """A reference to each list.  TableFull, with none of them left."""
        contents: dict[Actions, tuple[bytes, bool]] = {}
        filled: list[int] = []
        for actions in wanted:
            if actions not in contents:
                contents[actions] = encode(actions), self._needs_tc(actions)
            content, not_xdp = contents[actions]
            try:
                filled.append(self._fill_list(content, not_xdp=not_xdp))
            except TableFull:
                self._give_back(filled)
                raise
            self._prepared_lists.append(filled[-1])
        return filled

    def _give_back(self, references: list[int]) -> None:
        """Lists that nobody has seen."""
        for reference in filter(None, references):
            self._units.give(*run_of(reference))
        self._prepared_lists.clear()

    def _prepare_flow(self, add: Added, place: tuple[int, SizeClass], reference: int) -> tuple[int, list[Element]]:
        """The slot of a flow whose record is filled, and the elements that will lead to it."""
        mask_id, size = place
        slot = self._pop(MapId.MAP_FREE_SLOTS, "n_free_slots")
        masked = key_for_table(add.masked, mask_id)
        key = masked if add.ufid else key_for_table(add.match.key, mask_id)
        self._fill_record(slot, key, size, reference, add.ufid)
        elements = [(MapId.MAP_UFIDS, ufid_key(add.ufid))] if add.ufid else []
        return slot, [*elements, table_key(size, masked)]

    def _intents(self, plan: Plan, prepared: _Prepared) -> list[Intent]:
        changed = [Intent(slot, ChangeKind.CHANGE_MODIFY, new) for slot, new in prepared.references.items()]
        return [
            *(Intent(slot, ChangeKind.CHANGE_ADD) for slot in prepared.slots),
            *changed,
            *(Intent(row.slot, ChangeKind.CHANGE_CLEAR) for row in plan.modifies if row.clear),
            *(Intent(slot, ChangeKind.CHANGE_DELETE) for slot in plan.deletes),
        ]

    def _note(self, plan: Plan, prepared: _Prepared) -> int:
        """Name every flow in the log, those that go first: a name may come back; the generation of the last."""
        generation: int = self.control.generation
        for slot in plan.deletes:
            generation = self.log.note(ChangeKind.CHANGE_DELETE, slot, self.name_at(slot))
        for add, slot in zip(plan.adds, prepared.slots, strict=True):
            generation = self.log.note(ChangeKind.CHANGE_ADD, slot, add.ufid or add.match.key)
        for row in plan.modifies:
            kind = ChangeKind.CHANGE_CLEAR if row.actions is None else ChangeKind.CHANGE_MODIFY
            generation = self.log.note(kind, row.slot, self.name_at(row.slot))
        return generation

    # --- behind it -------------------------------------------------------------------------------

    def _change(self, changed: tuple[Changed, ...], references: dict[int, int]) -> None:
        for row in changed:
            record = self.record(row.slot)
            if row.slot in references:
                self._retired_lists.append(record.actions)
                record.actions = references[row.slot]
            if row.clear and (flow := self.flow(row.slot)):
                self._zero(row.slot, flow.stats)

    def _show(self, prepared: _Prepared) -> None:
        """Have packets and readers see what is new."""
        tables = [entry for entry in prepared.replacing if entry[0] != MapId.MAP_UFIDS]
        for map_id, key, slot in tables:
            self._enter(map_id, key, slot, flags=0)
        fault("transaction.replaced")
        self.control.high_slot = max(self.control.high_slot, 1 + max(prepared.slots, default=-1))
        for mask_id in prepared.new_masks:
            self._show_mask(mask_id)
        for slot in prepared.slots:
            record = self.record(slot)
            self.mask_entry(record.key.mask_id).flows += 1
            record.state = RecordState.RECORD_LIVE
        for map_id, key, slot in prepared.replacing:
            if map_id == MapId.MAP_UFIDS:  # its readers find the flow that goes until the other one is live
                self._enter(map_id, key, slot, flags=0)
        self.control.n_flows += len(prepared.slots)

    def _withdraw_all(self, slots: tuple[int, ...], replaced: set[Element]) -> None:
        """Retire flows; elements that lead to others by now stay."""
        elements: dict[MapId, list[bytes]] = defaultdict(list)
        for slot in slots:
            self.record(slot).state = RecordState.RECORD_RETIRING
            for map_id, key in self.elements_of(slot):
                if (map_id, key) not in replaced:
                    elements[map_id].append(key)
        for map_id in sorted(elements, reverse=True):
            self._leave_all(map_id, elements[map_id])
        for slot in slots:
            record = self.record(slot)
            self._release_mask(record.key.mask_id)
            self._retired_slots.append(slot)
            self._retired_lists.append(record.actions)
        self.control.n_flows -= len(slots)

    # --- repair ----------------------------------------------------------------------------------

    def repair_transaction(self) -> Journal | None:
        """Finish a transaction that was committed, but for the freeing of what it retired.

        One that was not is undone by whoever withdraws all prepared flows.  The journal, which is to be removed
        when everything is right, or None when there is none.
        """
        self._prepared_lists.clear()
        journal = Journal.find(self._folder)
        if journal is not None and journal.committed:
            for intent in journal.intents():
                self._finish(intent)
        return journal

    def _finish(self, intent: Intent) -> None:
        """Do, perhaps once more, what is to become of a flow.  One that is gone by now went in an earlier repair."""
        slot, kind, actions = intent
        record = self.record(slot)
        state = record.state
        if kind == ChangeKind.CHANGE_ADD and state in (RecordState.RECORD_PREPARED, RecordState.RECORD_LIVE):
            for map_id, key in self.elements_of(slot):
                if self._hint(map_id, key) != slot:
                    self._enter(map_id, key, slot, flags=0)
            record.state = RecordState.RECORD_LIVE
        elif state != RecordState.RECORD_LIVE:
            return
        elif kind == ChangeKind.CHANGE_MODIFY:
            record.actions = actions
        elif kind == ChangeKind.CHANGE_DELETE:
            record.state = RecordState.RECORD_RETIRING
        elif kind == ChangeKind.CHANGE_CLEAR and (flow := self.flow(slot)):
            self._zero(slot, flow.stats)
