"""Header actions on both hooks against the model: labels, and sets of ARP, MPLS, ICMP and neighbour discovery."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ctl.abi import DropReason
from ctl.action import AddMpls, Output, PopMpls, PushMpls, Set
from ctl.errors import NotSupported
from ctl.flow import Match
from ctl.packet import extract
from tests.bpf.harness import TC_SHOT, XDP_DROP
from tests.differential import New, Packet, pair, play
from tests.golden.packets import GOLDEN
from tests.header_lists import EXACT, cases

SOME = settings(max_examples=50, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
several = st.lists(cases(), min_size=1, max_size=7)


@pytest.fixture(scope="module")
def both():
    with pair() as made:
        yield made


@pytest.fixture(scope="module")
def tc_only():
    with pair(tc_only=True) as made:
        yield made


def steps(drawn):
    """All flows first, then a packet for each."""
    flows = [New(match, actions, None) for _, match, actions in drawn]
    return flows + [Packet(frame, 1) for frame, _, _ in drawn]


@SOME
@given(drawn=several)
def test_same_changes_on_xdp(both, drawn):
    play(both, steps(drawn))


@SOME
@given(drawn=several)
def test_same_changes_on_tc(tc_only, drawn):
    play(tc_only, steps(drawn))
