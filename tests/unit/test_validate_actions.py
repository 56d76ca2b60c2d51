"""The rules for action lists, each with what it accepts and what it refuses."""

import pytest

from ctl.action import MAX_ACTIONS, Output, Set, Trunc
from ctl.errors import FlowInvalid
from ctl.text import parse_actions, parse_flow
from ctl.validate_actions import check_actions

L2 = "eth()"
L3 = "eth_type(0x0800),ipv4()"
IP = "eth(),eth_type(0x0800),ipv4()"
IP6 = "eth(),eth_type(0x86dd),ipv6()"
TCP = "eth(),eth_type(0x0800),ipv4(proto=6),tcp(),tcp_flags(0/0)"
TCP6 = "eth(),eth_type(0x86dd),ipv6(proto=6,frag=first),tcp(),tcp_flags(0/0)"
UDP = "eth(),eth_type(0x0800),ipv4(proto=17),udp()"
SCTP = "eth(),eth_type(0x86dd),ipv6(proto=132),sctp()"
TAGGED = f"eth(),eth_type(0x8100),vlan(vid=1),encap({IP.removeprefix('eth(),')})"
ARP = "eth(),eth_type(0x0806),arp()"
WILD = "eth(),eth_type(0x0800/0),ipv4()"
WHOLE4 = "set(ipv4(src=1.1.1.1,dst=2.2.2.2,proto={},tos=0,ttl=1,frag={}))"
WHOLE6 = "set(ipv6(src=::1,dst=::2,label=0,proto={},tclass=0,hlimit=1,frag={}))"

ACCEPTED = [
    (L2, "drop"),
    (L2, "0,65534"),
    (L2, "1,drop(0)"),
    (L2, "trunc(14),1"),
    (L2, "trunc(4294967295)"),
    (L2, "recirc(0),1"),
    (L2, "hash(l4(4294967295)),hash(sym_l4(0))"),
    (L2, "userspace(pid=1)"),
    (L2, "userspace(pid=4294967295,userdata(),tunnel_out_port=65535,actions)"),
    (L2, "pop_vlan,pop_vlan,pop_vlan"),
    (L2, "push_vlan(vid=1),push_vlan(vid=2,tpid=0x88a8),push_vlan(vid=3)"),
    (L2, "set(eth(dst=02:00:00:00:00:01/ff:ff:ff:ff:ff:ff))"),
    (L2, "set(skb_mark(1/1)),set(skb_priority(7))"),
    (L3, "set(skb_mark(1)),set(ipv4(ttl=1)),recirc(1)"),
    (IP, "set(ipv4(src=10.0.0.0/8,tos=0/0x3)),set(ipv4())"),
    (IP, WHOLE4.format(0, "no")),
    (TCP, WHOLE4.format(6, "no")),
    (TCP6, WHOLE6.format(6, "first")),
    (IP6, "set(ipv6(label=0xfffff))"),
    (TAGGED, "pop_vlan,set(ipv4(ttl=1)),push_vlan(vid=1),set(ipv4(ttl=2))"),
    (TCP, "set(tcp(dst=80)),set(ipv4(ttl=1)),set(tcp(src=1,dst=2))"),
    (TCP6, "set(tcp(dst=80))"),
    (UDP, "set(udp(dst=80/0xff))"),
    (SCTP, "set(sctp(dst=80))"),
]

# flow, actions, the action that is named, a part of the message
REFUSED = [
    (L2, "65535", "action 1, output", "65535"),
    (L2, "1,2,70000", "action 3, output", "70000"),
    (L2, "drop(0),1", "action 1, drop", "nothing can follow"),
    (L2, "trunc(13)", "action 1, trunc", "13"),
    (L2, "userspace(pid=0)", "action 1, userspace", "pid is 0"),
    (L2, "1,push_vlan(vid=1,tpid=0x0800)", "action 2, push_vlan", "0x0800 is no type of a tag"),
    (L2, "push_vlan(vid=1,cfi=0)", "action 1, push_vlan", "cfi must be 1"),
    (L3, "push_vlan(vid=1)", "action 1, push_vlan", "no Ethernet header"),
    (L3, "pop_vlan", "action 1, pop_vlan", "no Ethernet header"),
    (L3, "set(eth(dst=02:00:00:00:00:01))", "action 1, set(eth)", "no Ethernet header"),
    (L2, "set(ipv4(ttl=1))", "action 1, set(ipv4)", "does not match eth_type(0x0800)"),
    (WILD, "set(ipv4(ttl=1))", "action 1, set(ipv4)", "does not match eth_type(0x0800)"),
    (IP6, "1,2,set(ipv4(ttl=1))", "action 3, set(ipv4)", "does not match eth_type(0x0800)"),
    (IP, "set(ipv6(hlimit=1))", "action 1, set(ipv6)", "does not match eth_type(0x86dd)"),
    (ARP, "set(ipv4(src=1.1.1.1))", "action 1, set(ipv4)", "does not match"),
    (IP, "set(ipv4(proto=6))", "action 1, set(ipv4)", "proto cannot be changed"),
    (IP, "set(ipv4(frag=no))", "action 1, set(ipv4)", "frag cannot be changed"),
    (IP6, "set(ipv6(proto=0/1))", "action 1, set(ipv6)", "proto cannot be changed"),
    (IP, WHOLE4.format(6, "no"), "action 1, set(ipv4)", "proto cannot be changed"),
    (TCP, WHOLE4.format(17, "no"), "action 1, set(ipv4)", "proto cannot be changed"),
    (TCP, WHOLE4.format(6, "first"), "action 1, set(ipv4)", "frag cannot be changed"),
    (TCP6, WHOLE6.format(6, "no"), "action 1, set(ipv6)", "frag cannot be changed"),
    (IP, "set(tcp(dst=1))", "action 1, set(tcp)", "does not match protocol 6"),
    (UDP, "set(tcp(dst=1))", "action 1, set(tcp)", "does not match protocol 6"),
    (TCP, "set(udp(dst=1))", "action 1, set(udp)", "does not match protocol 17"),
    (TCP6, "set(sctp(dst=1))", "action 1, set(sctp)", "does not match protocol 132"),
    ("eth(),eth_type(0x0800),ipv4(proto=6/0xf6),tcp(),tcp_flags(0/0)", "set(tcp(dst=1))", "action 1, set(tcp)", "6"),
    (L2, "set(tcp(dst=1))", "action 1, set(tcp)", "eth_type(0x0800) or eth_type(0x86dd)"),
    (L2, "set(skb_mark(2/1))", "action 1, set(skb_mark)", "outside its mask"),
    (TCP, "set(tcp(dst=3/0x1))", "action 1, set(tcp)", "dst has bits outside its mask"),
    (L2, "set(vlan(vid=1))", "action 1, set(vlan)", "cannot be set"),
    (ARP, "set(arp(op=1))", "action 1, set(arp)", "cannot be set"),
    (L2, "set(in_port(1))", "action 1, set(in_port)", "cannot be set"),
    (L2, "set(recirc_id(1))", "action 1, set(recirc_id)", "cannot be set"),
    (L2, "set(dp_hash(1))", "action 1, set(dp_hash)", "cannot be set"),
    (L2, "set(icmp(type=1))", "action 1, set(icmp)", "cannot be set"),
    (L2, "set(nd(target=::1))", "action 1, set(nd)", "cannot be set"),
    (TCP, "set(tcp_flags(syn))", "action 1, set(tcp_flags)", "cannot be set"),
]


def check(flow, actions):
    match = parse_flow(flow).match
    check_actions(actions, match.masked, match.mask)


@pytest.mark.parametrize(("flow", "text"), ACCEPTED)
def test_accepted(flow, text):
    check(flow, parse_actions(text))


@pytest.mark.parametrize(("flow", "text", "place", "message"), REFUSED)
def test_refused(flow, text, place, message):
    with pytest.raises(FlowInvalid) as caught:
        check(flow, parse_actions(text))
    assert caught.value.attribute == place
    assert message in caught.value.message
    assert caught.value.exit_status == 2


@pytest.mark.parametrize(
    "action",
    [
        Output(-1),
        Trunc(1 << 32),
        Set("tcp", (1,)),
        Set("tcp", (0x10000, 0)),
        Set("tcp", (0, 0), (0x10000, 0)),
        Set("skb_mark", (-1,)),
        Set("ipv6", (0, 0, 1 << 20, 0, 0, 0, 0), (0, 0, 1 << 20, 0, 0, 0, 0)),
    ],
)
def test_values_that_no_text_can_say(action):
    flow = TCP6 if getattr(action, "section", "") != "tcp" else TCP
    with pytest.raises(FlowInvalid):
        check(flow, (action,))


def test_the_longest_list():
    check(L2, (Output(1),) * MAX_ACTIONS)
    with pytest.raises(FlowInvalid, match="at most 64") as caught:
        check(L2, (Output(1),) * (MAX_ACTIONS + 2))
    assert caught.value.attribute == f"action {MAX_ACTIONS + 1}, output"


def test_hints_lead_to_a_legal_list():
    with pytest.raises(FlowInvalid) as caught:
        check(L2, parse_actions("1,set(skb_mark(0x13/0xf))"))
    assert caught.value.message == "action 2, set(skb_mark): the value has bits outside its mask: 0x13/0xf"
    assert caught.value.hint == "clear them: 0x3"
