"""Which action lists XDP can execute."""

import pytest
from hypothesis import given

from ctl.action import (
    CheckPktLen,
    Clone,
    DecTtl,
    Drop,
    Hash,
    HashAlgorithm,
    Output,
    Psample,
    PushVlan,
    Recirc,
    Sample,
    Set,
    Trunc,
    Userspace,
)
from ctl.placement import why_not_xdp
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


@pytest.mark.parametrize(("text", "reason"), [("2", None), ("3", "port 3 takes nothing from XDP"), ("recirc(3)", None)])
def test_what_xdp_sends_must_arrive(text, reason):
    assert why_not_xdp(parse_actions(text), lambda port: port != 3) == reason


@given(strategies.flows())
def test_one_output_at_the_end_is_all_that_xdp_sends(flow):
    if why_not_xdp(flow.actions) is None:
        assert not any(isinstance(action, Output) for action in flow.actions[:-1])


TAG, TELL, OUT = PushVlan(0x8100, 0x1005), Userspace(1), Output(2)
MARK = Set("skb_mark", (1,))


@pytest.mark.parametrize(
    "actions",
    [
        (Sample(7, (TELL,)), OUT),
        (Clone((Trunc(20), Psample(1), Hash(HashAlgorithm.L4, 0), Drop(0))), TAG, OUT),
        (Clone((Clone((Sample(7, (TELL,)), TELL)),)), OUT),
        (TAG, Clone((TAG, OUT))),
        (Sample(7, (TAG, Recirc(1))),),
        (CheckPktLen(7, (TAG, OUT), (Recirc(1),)),),
        (CheckPktLen(7, (TELL,), (Clone((TAG, OUT)),)),),
        (DecTtl((TELL, TAG, OUT)), OUT),
        (Clone((DecTtl((OUT,)), OUT)),),
    ],
    ids=str,
)
def test_xdp_can_have_lists_within_actions(actions):
    assert why_not_xdp(actions) is None


@pytest.mark.parametrize(
    ("actions", "reason"),
    [
        ((Clone((OUT,)), OUT), "more than one copy"),
        ((Sample(7, (Recirc(1),)), TELL), "more than one copy"),
        ((Clone((OUT, TELL)),), "more than one copy"),
        ((CheckPktLen(7, (TELL,), (Sample(7, (OUT,)),)), OUT), "more than one copy"),
        ((DecTtl((OUT, OUT)), OUT), "more than one copy"),
        ((OUT, DecTtl(())), "more than one copy"),
        ((Clone((TAG, TELL)), OUT), "clone changes a copy"),
        ((Sample(7, (DecTtl(()), TELL)), OUT), "sample changes a copy"),
        ((Clone((TELL, CheckPktLen(7, (TAG,), ()), TELL)),), "check_pkt_len changes a copy"),
        ((Clone((Sample(7, (MARK,)), TELL)), OUT), "sets skb_mark"),
        ((Clone((Output(3),)),), "port 3 takes nothing from XDP"),
    ],
    ids=str,
)
def test_lists_within_actions_that_xdp_cannot_have(actions, reason):
    assert why_not_xdp(actions, lambda port: port != 3) == reason
