"""What has become of a flow table since some moment, from the log of its changes.  Pure.

A datapath counts its changes: the generation.  Its log has an entry for each, which says what was about to be
done to which flow.  Entries of one flow fold into one difference between then and now: whether it was there
then is what its first entry says, and whether it is there now is what the table says.  So an entry for a change
that never came, because the writer died, at most calls a flow changed that is as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from ctl.abi import ChangeKind
from ctl.errors import NotFound, UsageError
from ctl.flow import Flow, FlowId

ADDED: Final = "added"
CHANGED: Final = "changed"
DELETED: Final = "deleted"
FLUSHED: Final = "flushed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """An entry of the log.  ``who`` is None for a flush, which has ``flows`` and perhaps the final sums."""

    generation: int
    kind: ChangeKind
    who: FlowId | None = None
    flows: int = 0
    packets: int | None = None
    bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One flow that is not as it was: ``change`` is ADDED, CHANGED or DELETED.  Or FLUSHED: none was left.

    ``generation`` is that of its last change, ``flow`` the flow as it is now.  A flush tells how many flows it
    removed and what they had counted at the end, None when its writer died before it knew.
    """

    change: str
    generation: int
    who: FlowId | None = None
    flow: Flow | None = None
    flows: int = 1
    packets: int | None = None
    bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """All differences since a generation, and the generation up to which they are known."""

    generation: int
    differences: tuple[Difference, ...]


def differences(
    events: Iterable[Event], find: Callable[[FlowId], Flow | None], everything: Callable[[], Iterable[Flow]]
) -> tuple[Difference, ...]:
    """Fold events, the oldest first.  ``find`` and ``everything`` ask for flows as they are now.

    Behind a flush every flow that there is counts as added, whoever put it there: what a flush that was
    interrupted left is among them.
    """
    first: dict[FlowId, Event] = {}
    last: dict[FlowId, int] = {}
    flushes: list[Difference] = []
    for event in events:
        if event.who is None:
            first.clear()
            last.clear()
            flushes.append(
                Difference(
                    change=FLUSHED,
                    generation=event.generation,
                    flows=event.flows,
                    packets=event.packets,
                    bytes=event.bytes,
                )
            )
        else:
            first.setdefault(event.who, event)
            last[event.who] = event.generation
    if flushes:
        now = [(flow.who, flow) for flow in everything()]
        began = flushes[-1].generation
        left = [Difference(change=ADDED, generation=last.get(w, began), who=w, flow=flow) for w, flow in now]
        return (*flushes, *left)
    folded = (_fold(event, last[who], find(who)) for who, event in first.items())
    return tuple(row for row in folded if row is not None)


def _fold(first: Event, generation: int, now: Flow | None) -> Difference | None:
    """None: it came and went."""
    was_there = first.kind != ChangeKind.CHANGE_ADD
    if now is not None:
        return Difference(change=CHANGED if was_there else ADDED, generation=generation, who=first.who, flow=now)
    return Difference(change=DELETED, generation=generation, who=first.who) if was_there else None


# --- refusals ----------------------------------------------------------------------------------------


def forgotten(datapath: str, since: int, now: int) -> NotFound:
    """The log has lost entries that came after that generation."""
    return NotFound(
        f"the change log of {datapath} no longer reaches back to generation {since}; it is at {now}",
        f"take all flows with ctl dump-flows, then their changes with --since {now}",
    )


def not_yet(datapath: str, since: int, now: int) -> UsageError:
    """That generation is still to come, or was that of another datapath of the same name."""
    return UsageError(
        f"generation {since} is yet to come: {datapath} is at {now}",
        f"was it made anew?  Take all flows with ctl dump-flows, then their changes with --since {now}",
    )
