"""From many changes in their order to what becomes of the table in the end.  Pure.

Changes see one another: a flow that one of them removed can be added again, one that was added can be changed.
What is left when all have been looked at is a `Plan`: flows to install, to change and to remove, each once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ctl.action import Actions
from ctl.change import Add, Change, Delete, Modify
from ctl.datapath import check_executable, key_exists, match_exists, no_flow, ufid_exists
from ctl.errors import CtlError
from ctl.flow import FlowId, FlowKey, Match
from ctl.ufid import Ufid


class Table(Protocol):
    """The flow table as it is before the changes; a slot stands for a flow."""

    def slot_of(self, who: FlowId) -> int | None:
        """The flow of that name."""
        ...

    def slot_under(self, mask: FlowKey, masked: FlowKey) -> int | None:
        """The flow with that mask and masked key."""
        ...

    def about(self, slot: int) -> tuple[FlowId, Match]:
        """A flow's name and match."""
        ...


@dataclass(frozen=True, slots=True)
class Added:
    """A flow that is new.  ``masked`` is the match's masked key."""

    match: Match
    masked: FlowKey
    actions: Actions
    ufid: Ufid | None


@dataclass(frozen=True, slots=True)
class Changed:
    """What becomes of a flow that stays.  ``actions`` None: they stay too."""

    slot: int
    actions: Actions | None
    clear: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the changes come to, and those that are refused, by their index among the changes."""

    adds: tuple[Added, ...] = ()
    modifies: tuple[Changed, ...] = ()
    deletes: tuple[int, ...] = ()
    refused: dict[int, CtlError] = field(default_factory=dict)


Check = Callable[[Actions, FlowKey, FlowKey], None]  # raises what is wrong with a list, for a masked key and its mask


def plan(datapath: str, table: Table, changes: Sequence[Change], check: Check) -> Plan:
    """What these changes, one after the other, come to.  One that is refused changes nothing for those behind it."""
    planner = _Planner(datapath, table, check)
    refused = {}
    for index, change in enumerate(changes):
        try:
            planner.take(change)
        except CtlError as error:
            refused[index] = error
    return planner.plan(refused)


@dataclass(slots=True, eq=False)
class _Entry:
    """A flow that a change has named.  ``slot`` is None for one that is to be installed."""

    slot: int | None
    who: FlowId
    match: Match
    masked: FlowKey
    actions: Actions | None = None
    clear: bool = False

    @property
    def place(self) -> tuple[bytes, bytes]:
        """What no two flows share."""
        return self.match.mask.raw, self.masked.raw


class _Planner:
    """The table with the changes so far laid over it.  What was looked up or changed is in the dictionaries."""

    def __init__(self, datapath: str, table: Table, check: Check) -> None:
        self._datapath = datapath
        self._table = table
        self._check = check
        self._by_name: dict[FlowId, _Entry | None] = {}
        self._by_place: dict[tuple[bytes, bytes], _Entry | None] = {}
        self._by_slot: dict[int, _Entry] = {}
        self._adds: dict[FlowId, _Entry] = {}
        self._deletes: list[int] = []

    def plan(self, refused: dict[int, CtlError]) -> Plan:
        """What has come of it."""
        kept = (entry for entry in self._by_slot.values() if self._by_name[entry.who] is entry)
        return Plan(
            adds=tuple(
                Added(
                    entry.match,
                    entry.masked,
                    entry.actions or (),
                    None if isinstance(entry.who, FlowKey) else entry.who,
                )
                for entry in self._adds.values()
            ),
            modifies=tuple(
                Changed(entry.slot, entry.actions, entry.clear)
                for entry in kept
                if entry.slot is not None and (entry.actions is not None or entry.clear)
            ),
            deletes=tuple(self._deletes),
            refused=refused,
        )

    def take(self, change: Change) -> None:
        """One change more.  CtlError, with nothing taken, when it is refused."""
        match change:
            case Add(match=match, actions=actions, ufid=ufid):
                self._add(match, actions, match.key if ufid is None else ufid)
            case Modify():
                self._modify(change)
            case Delete(who=who):
                self._delete(self._named(who))

    def _add(self, match: Match, actions: Actions, who: FlowId) -> None:
        masked = match.masked
        self._check(actions, masked, match.mask)
        if self._find(who) is not None:
            raise key_exists() if isinstance(who, FlowKey) else ufid_exists(who)
        entry = _Entry(None, who, match, masked, actions)
        place = entry.place
        holder = self._holder(place, match.mask, masked)
        if holder is not None:
            raise match_exists(None if isinstance(holder.who, FlowKey) else holder.who)
        self._by_name[who] = self._by_place[place] = self._adds[who] = entry

    def _modify(self, change: Modify) -> None:
        entry = self._find(change.who)
        if entry is None and change.create is not None:
            self._add(change.create, change.actions or (), change.who)
            return
        if change.actions is not None:
            check_executable(change.actions)
        if entry is None:
            raise no_flow(self._datapath, change.who)
        if change.actions is not None:
            self._check(change.actions, entry.masked, entry.match.mask)
            entry.actions = change.actions
        entry.clear |= change.clear

    def _delete(self, entry: _Entry) -> None:
        self._by_name[entry.who] = self._by_place[entry.place] = None
        if entry.slot is None:
            del self._adds[entry.who]
        else:
            self._deletes.append(entry.slot)

    def _named(self, who: FlowId) -> _Entry:
        entry = self._find(who)
        if entry is None:
            raise no_flow(self._datapath, who)
        return entry

    def _find(self, who: FlowId) -> _Entry | None:
        if who not in self._by_name:
            slot = self._table.slot_of(who)
            self._by_name[who] = None if slot is None else self._entry(slot)
        return self._by_name[who]

    def _holder(self, place: tuple[bytes, bytes], mask: FlowKey, masked: FlowKey) -> _Entry | None:
        if place not in self._by_place:
            slot = self._table.slot_under(mask, masked)
            self._by_place[place] = None if slot is None else self._entry(slot)
        return self._by_place[place]

    def _entry(self, slot: int) -> _Entry:
        """A flow of the table, which is about to be known by its name and by its match."""
        if slot not in self._by_slot:
            who, match = self._table.about(slot)
            entry = _Entry(slot, who, match, match.masked)
            self._by_slot[slot] = self._by_name[entry.who] = self._by_place[entry.place] = entry
        return self._by_slot[slot]
