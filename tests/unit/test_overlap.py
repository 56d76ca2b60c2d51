"""Overlaps against the definition: a packet that both flows match, and different actions."""

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from ctl.action import Output
from ctl.flow import Flow, FlowKey, Match
from ctl.overlap import overlapping, overlaps
from ctl.ufid import Ufid

# Keys of two leaves with two bits each, so that all packets can be tried.
values = st.integers(0, 3)
masks = st.builds(lambda a, b: FlowKey.of(in_port=a, tp_dst=b), values, values)
matches = st.builds(lambda a, b, mask: Match(FlowKey.of(in_port=a, tp_dst=b), mask), values, values, masks)
lists = st.sampled_from([(), (Output(1),), (Output(2),)])
PACKETS = [FlowKey.of(in_port=a, tp_dst=b) for a in range(4) for b in range(4)]


def hits(match, packet):
    return packet & match.mask == match.masked


def meet(one, other):
    return any(hits(one, packet) and hits(other, packet) for packet in PACKETS)


@st.composite
def tables(draw):
    """Flows as a table can have them, some with their bits outside the mask, and the masks in any order."""
    rows = draw(
        st.lists(st.tuples(matches, lists), max_size=12, unique_by=lambda row: (row[0].mask.raw, row[0].masked.raw))
    )
    flows = [
        Flow(ufid=Ufid(bytes((n + 1,))) if n % 2 else None, match=match, actions=actions)
        for n, (match, actions) in enumerate(rows)
    ]
    return flows, draw(st.permutations(list(dict.fromkeys(flow.match.mask for flow in flows))))


@given(tables())
def test_overlaps_are_the_pairs_that_a_packet_hits(table):
    flows, ranks = table
    found = [(row.winner, row.loser) for row in overlaps(flows, ranks)]
    expected = {
        frozenset((one.match, other.match))
        for one, other in combinations(flows, 2)
        if meet(one.match, other.match) and one.actions != other.actions
    }
    assert len(found) == len(expected)
    assert {frozenset((winner.match, loser.match)) for winner, loser in found} == expected
    for winner, loser in found:
        assert ranks.index(winner.match.mask) < ranks.index(loser.match.mask)


@given(tables(), matches, lists)
def test_a_new_flow_overlaps_with_those_that_a_packet_of_it_hits(table, match, actions):
    flows, _ = table
    expected = [
        flow for flow in flows if flow.match.mask != match.mask and meet(flow.match, match) and flow.actions != actions
    ]
    assert list(overlapping(match, actions, flows)) == expected


def test_a_mask_that_is_newer_than_the_ranks_comes_last():
    flows = [
        Flow(ufid=None, match=Match(FlowKey.of(in_port=1), FlowKey.of(in_port=3)), actions=(Output(1),)),
        Flow(ufid=None, match=Match(FlowKey(), FlowKey()), actions=()),
    ]
    (row,) = overlaps(flows, [FlowKey()])
    assert (row.winner, row.loser) == (flows[1], flows[0])


def test_thousands_of_flows_are_not_compared_with_one_another():
    """Each mask pair costs the sum of its flows: the keys that are looked up are counted."""
    flows = [
        Flow(
            ufid=None,
            match=Match(FlowKey.of(in_port=n, tp_dst=n), FlowKey.of(in_port=0xFFFF, tp_dst=mask)),
            actions=(Output(mask),),
        )
        for n in range(1000)
        for mask in (0xFFFF, 0x0FFF)
    ]
    found = list(overlaps(flows, []))
    assert len(found) == 1000
    assert all(row.winner.match.key == row.loser.match.key for row in found)
