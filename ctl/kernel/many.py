"""Many changes at once, for `ctl.kernel.datapath`: planned against the table, and carried out in bursts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from ctl.action import Actions
from ctl.change import Add, Change, Delete, Modify
from ctl.datapath import check_executable
from ctl.errors import CtlError, TableFull
from ctl.flow import FlowId, FlowKey, Match
from ctl.kernel.encode import encode
from ctl.kernel.writer import Writer
from ctl.plan import Plan, plan
from ctl.validate_actions import check_actions

_BURST: Final = 4096  # changes


def apply(datapath: str, writer: Writer, changes: Sequence[Change], *, atomic: bool) -> dict[int, CtlError]:
    """See `ctl.datapath.Datapath.flow_apply`.  What was retired is freed when the writer settles."""
    if not atomic:
        refused: dict[int, CtlError] = {}
        for start, burst in bursts(changes):
            refused |= {start + index: error for index, error in _each(datapath, writer, burst).items()}
        return refused
    planned = _plan(datapath, writer, changes)
    if not planned.refused:
        writer.apply(planned)
    return planned.refused


def refusals(datapath: str, writer: Writer, changes: Sequence[Change]) -> dict[int, CtlError]:
    """Which of them would be refused, and why."""
    return _plan(datapath, writer, changes).refused


def bursts(changes: Sequence[Change]) -> Iterator[tuple[int, Sequence[Change]]]:
    """Changes that can be carried out together and come to the same as one after the other, and where they begin.

    What follows a removal may need what that frees: a slot, or the rank of a mask.  And a flow that comes and goes
    has kept others from the rank of its mask meanwhile.
    """
    start, removing, new = 0, False, set[FlowId]()
    for index, change in enumerate(changes):
        removes = isinstance(change, Delete)
        if (removing and not removes) or index - start == _BURST or (isinstance(change, Delete) and change.who in new):
            yield start, changes[start:index]
            start = index
            new.clear()
        removing = removes
        match change:
            case Add(match=match, ufid=ufid):
                new.add(match.key if ufid is None else ufid)
            case Modify(who=who) if change.create is not None:
                new.add(who)
    if start < len(changes):
        yield start, changes[start:]


def _each(datapath: str, writer: Writer, changes: Sequence[Change]) -> dict[int, CtlError]:
    """Each change for itself: together while there is room for all of them, else one by one."""
    if writer.has_room_for([match for change in changes if (match := _new_match(change))]):
        try:
            planned = _plan(datapath, writer, changes)
            writer.apply(planned)
        except TableFull:
            pass  # no units: some of the changes may still find theirs
        else:
            return planned.refused
    refused: dict[int, CtlError] = {}
    for index, change in enumerate(changes):
        try:
            planned = _plan(datapath, writer, [change])
            writer.apply(planned)
        except TableFull as error:
            refused[index] = error
        else:
            refused.update(zip([index], planned.refused.values(), strict=False))
    return refused


def _new_match(change: Change) -> Match | None:
    """The match of the flow that a change may install."""
    match change:
        case Add(match=match) | Modify(create=match):
            return match
        case Delete():
            return None


def _plan(datapath: str, writer: Writer, changes: Sequence[Change]) -> Plan:
    executable: set[Actions] = set()

    def check(actions: Actions, masked: FlowKey, mask: FlowKey) -> None:
        check_actions(actions, masked, mask)
        if actions not in executable:
            check_executable(actions)
            encode(actions)
            executable.add(actions)

    return plan(datapath, _Table(writer), changes, check)


class _Table:
    """The flow table while no change is made: what was found out about masks stays true."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._masks: dict[FlowKey, int | None] = {}

    def slot_of(self, who: FlowId) -> int | None:
        """The flow of that name."""
        return self._writer.slot_of(who)

    def about(self, slot: int) -> tuple[FlowId, Match]:
        """The name and the match of a flow."""
        return self._writer.about(slot)

    def slot_under(self, mask: FlowKey, masked: FlowKey) -> int | None:
        """The flow with that mask and masked key."""
        if mask not in self._masks:
            self._masks[mask] = self._writer.mask_id_of(mask)
        mask_id = self._masks[mask]
        return None if mask_id is None else self._writer.slot_of_match(mask_id, masked)
