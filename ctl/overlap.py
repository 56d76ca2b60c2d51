"""Which flows overlap: a packet that both match is under the lower mask's actions, whichever flow came first.  Pure.

Two flows overlap when their keys agree in the bits that both masks compare.  Flows of one mask never do.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from ctl.action import Actions
from ctl.flow import Flow, FlowKey, Match


@dataclass(frozen=True, slots=True)
class Overlap:
    """Two flows that do different things with the same packets, which are the winner's."""

    winner: Flow
    loser: Flow


def overlaps(flows: Iterable[Flow], masks: Sequence[FlowKey]) -> Iterator[Overlap]:
    """Every pair that overlaps and has different actions.  ``masks`` are in the order of their ranks.

    For each pair of masks the flows of both are looked at once, and the pairs found: no flow with every other.
    """
    groups: dict[FlowKey, list[tuple[int, Flow]]] = defaultdict(list)
    for flow in flows:
        groups[flow.match.mask].append((_number(flow.match.key), flow))
    known = [mask for mask in masks if mask in groups]
    ranked = [*known, *(mask for mask in groups if mask not in set(known))]
    for upper, lower in combinations(ranked, 2):
        common = _number(upper) & _number(lower)
        winners: dict[int, list[Flow]] = defaultdict(list)
        for key, flow in groups[upper]:
            winners[key & common].append(flow)
        for key, loser in groups[lower]:
            for winner in winners.get(key & common, ()):
                if winner.actions != loser.actions:
                    yield Overlap(winner, loser)


def overlapping(match: Match, actions: Actions, flows: Iterable[Flow]) -> Iterator[Flow]:
    """The flows with which a new one would overlap, and which have other actions."""
    key, mask = _number(match.key), _number(match.mask)
    for flow in flows:
        common = mask & _number(flow.match.mask)
        same = flow.match.mask == match.mask
        if not same and not (key ^ _number(flow.match.key)) & common and flow.actions != actions:
            yield flow


def _number(key: FlowKey) -> int:
    return int.from_bytes(key.raw, "little")
