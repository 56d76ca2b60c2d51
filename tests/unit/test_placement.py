"""Which action lists XDP can execute."""

import pytest
from hypothesis import given

from ctl.action import Output
from ctl.placement import layer, why_not_tc, why_not_xdp
from ctl.text import parse_actions
from tests.unit import strategies


@pytest.mark.parametrize(
    "text",
    [
        "drop",
        "1",
        "drop(0)",
        "recirc(1)",
        "set(eth(dst=02:00:00:00:00:01)),push_vlan(vid=1),pop_vlan,hash(l4(0)),1",
        "set(ipv4(ttl=1)),recirc(1)",
        "trunc(100),1",
        "trunc(100),set(ipv4(ttl=1)),1",
        "userspace(pid=1),1",
        "userspace(pid=1),set(ipv4(ttl=1)),trunc(64),userspace(pid=2),recirc(1)",
    ],
)
def test_xdp_can(text):
    assert why_not_xdp(parse_actions(text)) is None
    assert layer(parse_actions(text)) == "xdp"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1,2", "more than one copy"),
        ("1,recirc(1)", "more than one copy"),
        ("recirc(1),1", "more than one copy"),
        ("1,userspace(pid=1)", "more than one copy"),
        ("trunc(100),1,2", "more than one copy"),
        ("1,drop(0)", "more than one copy"),
        ("set(skb_mark(1)),1", "sets skb_mark"),
        ("set(skb_priority(1/1))", "sets skb_priority"),
    ],
)
def test_xdp_cannot(text, reason):
    assert why_not_xdp(parse_actions(text)) == reason
    assert layer(parse_actions(text)) == "tc"


@pytest.mark.parametrize(("text", "reason"), [("1,2,recirc(1)", None), ("recirc(1),1", "recirculates a copy")])
def test_tc_can_all_but_look_up_a_copy_again(text, reason):
    assert why_not_tc(parse_actions(text)) == reason


@given(strategies.flows())
def test_one_output_at_the_end_is_all_that_xdp_sends(flow):
    if why_not_xdp(flow.actions) is None:
        assert not any(isinstance(action, Output) for action in flow.actions[:-1])
