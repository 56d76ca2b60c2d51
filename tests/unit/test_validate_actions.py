"""The rules for action lists, each with what it accepts and what it refuses."""

import pytest

from ctl.action import (
    MAX_ACTIONS,
    MAX_DEPTH,
    AddMpls,
    CheckPktLen,
    Clone,
    Ct,
    CtClear,
    DecTtl,
    Drop,
    Hash,
    HashAlgorithm,
    LbOutput,
    Meter,
    Nat,
    Output,
    PopEth,
    PopMpls,
    PopNsh,
    PopVlan,
    Psample,
    PushEth,
    PushMpls,
    PushNsh,
    PushVlan,
    Recirc,
    Sample,
    Set,
    SetNsh,
    SetTunnel,
    TnlPop,
    TnlPush,
    Trunc,
)
from ctl.errors import FlowInvalid
from ctl.headers import Nsh, Tunnel
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
PARTLY = "eth(),eth_type(0x0800),ipv4(proto=6/0xf6),tcp(),tcp_flags(0/0)"
WHOLE4 = "set(ipv4(src=1.1.1.1,dst=2.2.2.2,proto={},tos=0,ttl=1,frag={}))"
WHOLE6 = "set(ipv6(src=::1,dst=::2,label=0,proto={},tclass=0,hlimit=1,frag={}))"

MPLS = "eth(),eth_type(0x8847),mpls(label=1,bos=0,label=2,bos=1)"
ICMP = "eth(),eth_type(0x0800),ipv4(proto=1),icmp()"
ICMP6 = "eth(),eth_type(0x86dd),ipv6(proto=58),icmpv6(type=1)"
ND = "eth(),eth_type(0x86dd),ipv6(proto=58),icmpv6(type=135),nd()"
LABEL = {"lse": 0x1140, "ethertype": 0x8847}

# rule, flow, actions
ACCEPTED = [
    ("drop", L2, "drop"),
    ("output", L2, "0,65534"),
    ("drop", L2, "1,drop(0)"),
    ("trunc", L2, "trunc(14),1"),
    ("trunc", L2, "trunc(4294967295)"),
    ("recirc", L2, "recirc(0),1"),
    ("hash", L2, "hash(l4(4294967295)),hash(sym_l4(0))"),
    ("userspace", L2, "userspace(pid=1)"),
    ("userspace", L2, "userspace(pid=4294967295,userdata(),tunnel_out_port=65535,actions)"),
    ("pop_vlan", L2, "pop_vlan,pop_vlan,pop_vlan"),
    ("push_vlan", L2, "push_vlan(vid=1),push_vlan(vid=2,tpid=0x88a8),push_vlan(vid=3)"),
    ("set", L2, "set(eth(dst=02:00:00:00:00:01/ff:ff:ff:ff:ff:ff))"),
    ("set", L2, "set(skb_mark(1/1)),set(skb_priority(7))"),
    ("set", L3, "set(skb_mark(1)),set(ipv4(ttl=1)),recirc(1)"),
    ("set", IP, "set(ipv4(src=10.0.0.0/8,tos=0/0x3)),set(ipv4())"),
    ("set", IP, WHOLE4.format(0, "no")),
    ("set", TCP, WHOLE4.format(6, "no")),
    ("set", TCP6, WHOLE6.format(6, "first")),
    ("set", IP6, "set(ipv6(label=0xfffff))"),
    ("set", TAGGED, "pop_vlan,set(ipv4(ttl=1)),push_vlan(vid=1),set(ipv4(ttl=2))"),
    ("set", TCP, "set(tcp(dst=80)),set(ipv4(ttl=1)),set(tcp(src=1,dst=2))"),
    ("set", TCP6, "set(tcp(dst=80))"),
    ("set", UDP, "set(udp(dst=80/0xff))"),
    ("set", SCTP, "set(sctp(dst=80))"),
    ("set", ARP, "set(arp(op=1,sha=02:00:00:00:00:01))"),
    ("set", ICMP, "set(icmp(type=0))"),
    ("set", ICMP6, "set(icmpv6(code=3))"),
    ("set", ND, "set(nd(target=::1,sll=02:00:00:00:00:01))"),
]
# The same for actions as values, so that nothing depends on how they are written.
ACCEPTED_VALUES = [
    ("set", MPLS, (Set("mpls", (16, 0, 64, 1)), Set("mpls", (0, 0, 9, 0), (0, 0, 0xFF, 0)))),
    ("push_mpls", IP, (PushMpls(**LABEL), PushMpls(**LABEL), Set("mpls", (16, 0, 64, 0)))),
    ("push_mpls", ARP, (PushMpls(0, 0x8848),)),
    ("push_mpls", L3, (PushMpls(**LABEL),)),
    ("push_mpls", TAGGED, (PopVlan(), PushMpls(**LABEL), PushVlan(0x8100, 0x1001))),
    ("pop_mpls", MPLS, (PopMpls(0x8847), Set("mpls", (16, 0, 64, 1)), PopMpls(0x0800), Set("eth", (1, 2)))),
    ("pop_mpls", IP, (PushMpls(**LABEL), PushMpls(**LABEL), PopMpls(0x8847), PopMpls(0x0800))),
    ("add_mpls", L2, (AddMpls(**LABEL, l3=False), AddMpls(**LABEL, l3=False), PushEth(1, 2))),
    ("add_mpls", IP, (AddMpls(**LABEL, l3=True), PopMpls(0x0800))),
    ("sample", L2, (Sample(0, ()), Sample(0xFFFFFFFF, (Output(1),)))),
    ("clone", IP, (Clone((Set("ipv4", (0,) * 6), PushMpls(**LABEL))), Set("ipv4", (0,) * 6))),
    ("clone", L2, (Clone((Drop(1),)), Output(1))),
    ("check_pkt_len", L2, (CheckPktLen(1, (), ()), CheckPktLen(0xFFFF, (Output(1),), (Drop(0),)))),
    ("dec_ttl", IP, (DecTtl(()), DecTtl((Output(1),)), Output(2))),
    ("meter", L2, (Meter(0), Meter(0xFFFFFFFF))),
    ("psample", L2, (Psample(0), Psample(0xFFFFFFFF, b"\1"), Psample(1, bytes(16)))),
    ("push_eth", L3, (PushEth(1, 2), PushVlan(0x8100, 0x1001))),
    ("push_eth", L2, (PopEth(), PushEth(1, 2))),
    ("push_eth", TAGGED, (PopVlan(), PopEth())),
    ("nsh", L2, (PushNsh(Nsh(mdtype=1, context=bytes(16))), SetNsh(Nsh(ttl=3), Nsh(ttl=63)), PopNsh())),
    ("nsh", L2, (PushNsh(Nsh(mdtype=2, context=bytes(248))),)),
    ("tunnel", L2, (SetTunnel(Tunnel(ipv4_dst=1, ttl=64)), SetTunnel(Tunnel(ipv6_dst=1, ttl=1)))),
    ("ct", IP, (Ct(), Ct(zone=0xFFFF), CtClear(), Recirc(1))),
    ("ct", IP6, (Ct(commit=True, mark=(1, 1), label=(0, 1), timeout="a", helper="ftp"),)),
    ("ct", IP, (Ct(nat=Nat()), Ct(force=True, nat=Nat(which="src")))),
    ("ct", IP, (Ct(commit=True, nat=Nat(which="dst", first=b"1234", last=b"2345", first_port=1, last_port=2)),)),
    ("userspace_only", L2, (TnlPush(1, 2, 3, b"x"), TnlPop(1), LbOutput(1))),
]

# rule, flow, actions, the action that is named, a part of the message
REFUSED = [
    ("output", L2, "65535", "action 1, output", "65535"),
    ("output", L2, "1,2,70000", "action 3, output", "70000"),
    ("drop", L2, "drop(0),1", "action 1, drop", "nothing can follow"),
    ("trunc", L2, "trunc(13)", "action 1, trunc", "13"),
    ("userspace", L2, "userspace(pid=0)", "action 1, userspace", "pid is 0"),
    ("push_vlan", L2, "1,push_vlan(vid=1,tpid=0x0800)", "action 2, push_vlan", "0x0800 is no type of a tag"),
    ("push_vlan", L2, "push_vlan(vid=1,cfi=0)", "action 1, push_vlan", "cfi must be 1"),
    ("push_vlan", L3, "push_vlan(vid=1)", "action 1, push_vlan", "no Ethernet header"),
    ("pop_vlan", L3, "pop_vlan", "action 1, pop_vlan", "no Ethernet header"),
    ("set", L3, "set(eth(dst=02:00:00:00:00:01))", "action 1, set(eth)", "no Ethernet header"),
    ("set", L2, "set(ipv4(ttl=1))", "action 1, set(ipv4)", "does not match eth_type(0x0800)"),
    ("set", WILD, "set(ipv4(ttl=1))", "action 1, set(ipv4)", "does not match eth_type(0x0800)"),
    ("set", IP6, "1,2,set(ipv4(ttl=1))", "action 3, set(ipv4)", "does not match eth_type(0x0800)"),
    ("set", IP, "set(ipv6(hlimit=1))", "action 1, set(ipv6)", "does not match eth_type(0x86dd)"),
    ("set", ARP, "set(ipv4(src=1.1.1.1))", "action 1, set(ipv4)", "does not match"),
    ("set", IP, "set(ipv4(proto=6))", "action 1, set(ipv4)", "proto cannot be changed"),
    ("set", IP, "set(ipv4(frag=no))", "action 1, set(ipv4)", "frag cannot be changed"),
    ("set", IP6, "set(ipv6(proto=0/1))", "action 1, set(ipv6)", "proto cannot be changed"),
    ("set", IP, WHOLE4.format(6, "no"), "action 1, set(ipv4)", "proto cannot be changed"),
    ("set", TCP, WHOLE4.format(17, "no"), "action 1, set(ipv4)", "proto cannot be changed"),
    ("set", TCP, WHOLE4.format(6, "first"), "action 1, set(ipv4)", "frag cannot be changed"),
    ("set", TCP6, WHOLE6.format(6, "no"), "action 1, set(ipv6)", "frag cannot be changed"),
    ("set", IP, "set(tcp(dst=1))", "action 1, set(tcp)", "does not match protocol 6"),
    ("set", UDP, "set(tcp(dst=1))", "action 1, set(tcp)", "does not match protocol 6"),
    ("set", TCP, "set(udp(dst=1))", "action 1, set(udp)", "does not match protocol 17"),
    ("set", TCP6, "set(sctp(dst=1))", "action 1, set(sctp)", "does not match protocol 132"),
    ("set", PARTLY, "set(tcp(dst=1))", "action 1, set(tcp)", "6"),
    ("set", L2, "set(tcp(dst=1))", "action 1, set(tcp)", "eth_type(0x0800) or eth_type(0x86dd)"),
    ("set", L2, "set(skb_mark(2/1))", "action 1, set(skb_mark)", "outside its mask"),
    ("set", TCP, "set(tcp(dst=3/0x1))", "action 1, set(tcp)", "dst has bits outside its mask"),
    ("set", L2, "set(vlan(vid=1))", "action 1, set(vlan)", "cannot be set"),
    ("set", L2, "set(in_port(1))", "action 1, set(in_port)", "cannot be set"),
    ("set", L2, "set(recirc_id(1))", "action 1, set(recirc_id)", "cannot be set"),
    ("set", L2, "set(dp_hash(1))", "action 1, set(dp_hash)", "cannot be set"),
    ("set", TCP, "set(tcp_flags(syn))", "action 1, set(tcp_flags)", "cannot be set"),
    ("set", IP, "set(arp(op=1))", "action 1, set(arp)", "does not match eth_type(0x0806)"),
    ("set", ICMP6, "set(icmp(type=1))", "action 1, set(icmp)", "does not match eth_type(0x0800)"),
    ("set", ICMP, "set(icmpv6(type=1))", "action 1, set(icmpv6)", "does not match eth_type(0x86dd)"),
    ("set", ICMP6, "set(nd(target=::1))", "action 1, set(nd)", "icmpv6(type=135)"),
]
REFUSED_VALUES = [
    ("hash", L2, (Hash(HashAlgorithm.L4, 1 << 32),), "action 1, hash", "basis"),
    ("recirc", L2, (Recirc(-1),), "action 1, recirc", "id is -1"),
    ("set", IP, (Set("mpls", (0, 0, 0, 0)),), "action 1, set(mpls)", "does not match eth_type(0x8847)"),
    ("push_mpls", L2, (PushMpls(**LABEL),), "action 1, push_mpls", "does not match"),
    ("push_mpls", IP, (PushMpls(0, 0x0800),), "action 1, push_mpls", "no type of MPLS"),
    ("push_mpls", TAGGED, (PushMpls(**LABEL),), "action 1, push_mpls", "VLAN tag"),
    ("push_mpls", IP, (PushVlan(0x8100, 0x1001), PushMpls(**LABEL)), "action 2, push_mpls", "VLAN tag"),
    ("push_mpls", IP, (PushMpls(**LABEL), Set("ipv4", (0,) * 6)), "action 2, set(ipv4)", "after the actions before"),
    ("pop_mpls", IP, (PopMpls(0x0800),), "action 1, pop_mpls", "does not match eth_type(0x8847)"),
    ("pop_mpls", MPLS, (PushVlan(0x8100, 0x1001), PopMpls(0x0800)), "action 2, pop_mpls", "VLAN tag"),
    ("pop_mpls", MPLS, (PopMpls(0x8847), PopMpls(0x8847), PopMpls(0x8847)), "action 3, pop_mpls", "after the actions"),
    ("pop_mpls", MPLS, (PopMpls(0x0800), Set("ipv4", (0,) * 6)), "action 2, set(ipv4)", "after the actions before"),
    ("pop_mpls", MPLS, (PopMpls(0x6558),), "action 1, pop_mpls", "Ethernet frame cannot follow"),
    ("add_mpls", L2, (AddMpls(0, 0x0800, l3=False),), "action 1, add_mpls", "no type of MPLS"),
    ("add_mpls", L2, (AddMpls(**LABEL, l3=True),), "action 1, add_mpls", "does not match"),
    ("add_mpls", L2, (AddMpls(**LABEL, l3=False), PopVlan()), "action 2, pop_vlan", "no Ethernet header"),
    ("sample", L2, (Sample(1 << 32, ()),), "action 1, sample", "probability"),
    ("sample", L2, (Sample(1, (Output(1), Trunc(0))),), "action 1, sample, action 2, trunc", "max_len"),
    ("clone", L2, (Clone((Drop(0), Output(1))), Output(1)), "action 1, clone, action 1, drop", "nothing can follow"),
    ("check_pkt_len", L2, (CheckPktLen(0, (), ()),), "action 1, check_pkt_len", "size is 0"),
    ("check_pkt_len", L2, (CheckPktLen(1, (), (PopNsh(),)),), "action 1, check_pkt_len, action 1, pop_nsh", "0x894f"),
    ("dec_ttl", L2, (DecTtl((Set("ipv4", (0,) * 6),)),), "action 1, dec_ttl, action 1, set(ipv4)", "does not match"),
    ("meter", L2, (Meter(1 << 32),), "action 1, meter", "id"),
    ("psample", L2, (Psample(1, b""),), "action 1, psample", "0 octets"),
    ("psample", L2, (Psample(1, bytes(17)),), "action 1, psample", "17 octets"),
    ("psample", L2, (Psample(-1),), "action 1, psample", "group is -1"),
    ("push_eth", L2, (PushEth(1, 2),), "action 1, push_eth", "has an Ethernet header"),
    ("push_eth", L3, (PopEth(),), "action 1, pop_eth", "no Ethernet header"),
    ("push_eth", TAGGED, (PopEth(),), "action 1, pop_eth", "VLAN tag"),
    ("nsh", L2, (PushNsh(Nsh(mdtype=1, context=bytes(8))),), "action 1, push_nsh", "8 octets of context"),
    ("nsh", L2, (PushNsh(Nsh(mdtype=2, context=bytes(249))),), "action 1, push_nsh", "249 octets of context"),
    ("nsh", L2, (SetNsh(Nsh(ttl=1)),), "action 1, set(nsh)", "does not match eth_type(0x894f)"),
    ("tunnel", L2, (SetTunnel(Tunnel(ttl=1)),), "action 1, set(tunnel)", "needs dst"),
    ("tunnel", L2, (SetTunnel(Tunnel(ipv4_dst=1, ipv6_dst=1, ttl=1)),), "action 1, set(tunnel)", "not both"),
    ("tunnel", L2, (SetTunnel(Tunnel(ipv4_dst=1)),), "action 1, set(tunnel)", "ttl"),
    ("ct", L2, (Ct(),), "action 1, ct", "does not match eth_type(0x0800) or eth_type(0x86dd)"),
    ("ct", IP, (Ct(mark=(1, 1)),), "action 1, ct", "mark needs commit"),
    ("ct", IP, (Ct(commit=True, label=(0, 0)),), "action 1, ct", "the mask of label is zero"),
    ("ct", IP, (Ct(timeout="x"),), "action 1, ct", "timeout needs commit"),
    ("ct", IP, (Ct(zone=1 << 16),), "action 1, ct", "zone is 65536"),
    ("ct", IP, (Ct(nat=Nat(which="src")),), "action 1, ct", "nat(src) needs commit"),
    ("ct", IP, (Ct(commit=True, nat=Nat(random=True)),), "action 1, ct", "needs src or dst"),
    ("ct", IP, (Ct(commit=True, nat=Nat(which="src", hash=True, random=True)),), "action 1, ct", "not both"),
    ("ct", IP, (Ct(commit=True, nat=Nat(which="src", first_port=1)),), "action 1, ct", "no address"),
    ("ct", IP, (Ct(commit=True, nat=Nat(which="src", first=b"1234", last=bytes(16))),), "action 1, ct", "one family"),
]


def check(flow, actions, **options):
    match = parse_flow(flow).match
    check_actions(actions, match.masked, match.mask, **options)


def by_rule(rows):
    """Each row as a case that shows its rule."""
    return [pytest.param(*row, marks=pytest.mark.conformance(f"A19.{rule}")) for rule, *row in rows]


@pytest.mark.parametrize(("flow", "text"), by_rule(ACCEPTED))
def test_accepted(flow, text):
    check(flow, parse_actions(text))


@pytest.mark.parametrize(("flow", "actions"), by_rule(ACCEPTED_VALUES))
def test_accepted_value(flow, actions):
    check(flow, actions)


@pytest.mark.parametrize(("flow", "text", "place", "message"), by_rule(REFUSED))
def test_refused(flow, text, place, message):
    refuse(flow, parse_actions(text), place, message)


@pytest.mark.parametrize(("flow", "actions", "place", "message"), by_rule(REFUSED_VALUES))
def test_refused_value(flow, actions, place, message):
    refuse(flow, actions, place, message)


def refuse(flow, actions, place, message, **options):
    with pytest.raises(FlowInvalid) as caught:
        check(flow, actions, **options)
    assert caught.value.attribute == place
    assert message in caught.value.message
    assert caught.value.exit_status == 2


@pytest.mark.conformance("A19.kernel")
@pytest.mark.parametrize(
    ("flow", "action"),
    [
        (ARP, Set("arp", (0, 0, 1, 0, 0))),
        (ICMP, Set("icmp", (0, 0))),
        (ICMP6, Set("icmpv6", (1, 0))),
        (ND, Set("nd", (0, 0, 0))),
        (L2, TnlPush(1, 2, 3, b"x")),
        (L2, TnlPop(1)),
        (L2, LbOutput(1)),
    ],
)
def test_what_only_the_userspace_datapath_has_is_refused_like_the_kernel_does(flow, action):
    check(flow, (action,))
    with pytest.raises(FlowInvalid):
        check(flow, (action,), like_kernel=True)


@pytest.mark.conformance("A19.depth")
@pytest.mark.parametrize(
    "wrap", [Clone, DecTtl, lambda inner: Sample(1, inner), lambda inner: CheckPktLen(1, (), inner)]
)
def test_the_deepest_list(wrap):
    actions = (Output(1),)
    for _ in range(MAX_DEPTH):
        actions = (wrap(actions),)
    check(L2, actions)
    name = wrap(()).name
    refuse(L2, (wrap(actions),), ", ".join([f"action 1, {name}"] * (MAX_DEPTH + 1)), "nested more than 16 deep")


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


@pytest.mark.conformance("A19.size")
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
