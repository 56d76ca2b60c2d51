"""Action lists: what is read, how it is printed, and how mistakes are refused."""

import re

import pytest

from ctl.action import (
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
    Trunc,
    Userspace,
)
from ctl.datapath import check_executable
from ctl.errors import FlowSyntaxError, NotFound, NotSupported
from ctl.headers import GeneveOption, Nsh, Tunnel, TunnelFlag
from ctl.text import format_actions, parse_actions
from ctl.text.actions import MOST_NESTED
from ctl.text.values import OVS_ACTIONS

PORTS = {"uplink": 5, "a, (b)": 6, "ct": 7}.get
MAC1 = 0x020000000001


def _words(*words):
    return b"".join(word.to_bytes(4, "big") for word in words)


READS = [
    ("3", (Output(3),)),
    (" 3 ", (Output(3),)),
    ("0x10", (Output(16),)),
    ("0", (Output(0),)),
    ("65534", (Output(65534),)),
    ("65535", (Output(65535),)),  # refused by check_actions
    ("drop", ()),
    (" DROP\n", ()),
    ("uplink", (Output(5),)),
    ('"ct"', (Output(7),)),
    ('"a, (b)"', (Output(6),)),
    ("1,2", (Output(1), Output(2))),
    ("1 , 2", (Output(1), Output(2))),
    ("1 2", (Output(1), Output(2))),
    ('uplink,"a, (b)",1', (Output(5), Output(6), Output(1))),
    ("drop(0)", (Drop(0),)),
    ("1,drop( 0x10 )", (Output(1), Drop(16))),
    ("1,drop", (Output(1), Drop(0))),  # as OVS prints it
    ("DROP,1", (Drop(0), Output(1))),  # refused by check_actions
    ("clone(drop)", (Clone(()),)),
    ("clone()", (Clone(()),)),
    ("clone( 1 , drop )", (Clone((Output(1), Drop(0))),)),
    ("dec_ttl(le_1(drop(0))),2", (DecTtl((Drop(0),)), Output(2))),
    ("check_pkt_len(le(2),size=0x10,gt(uplink,drop))", (CheckPktLen(16, (Output(5), Drop(0)), (Output(2),)),)),
    ("sample(sample=100%,actions())", (Sample(0xFFFFFFFF, ()),)),
    ("sample(sample=0.0%,actions(1))", (Sample(0, (Output(1),)),)),
    ("sample(sample=50%,actions(1))", (Sample(0x80000000, (Output(1),)),)),
    ("recirc(17)", (Recirc(17),)),
    ("meter(0x10)", (Meter(16),)),
    ("lb_output(3)", (LbOutput(3),)),
    ("tnl_pop(uplink)", (TnlPop(5),)),
    ("push_mpls(label=16,tc=1,ttl=64,bos=1,eth_type=0x8847)", (PushMpls(0x10340, 0x8847),)),
    ("add_mpls(l3,label=16,tc=1,ttl=64,bos=1,eth_type=0x8848)", (AddMpls(0x10340, 0x8848, l3=True),)),
    ("add_mpls(label=16,tc=1,ttl=64,bos=1,eth_type=0x8848)", (AddMpls(0x10340, 0x8848, l3=False),)),
    ("pop_mpls(eth_type=0x800)", (PopMpls(0x0800),)),
    ("set(mpls(label=1,tc=2,ttl=3,bos=1))", (Set("mpls", (1, 2, 3, 1)),)),
    ("set(mpls(ttl=3))", (Set("mpls", (0, 0, 3, 0), (0, 0, 255, 0)),)),
    ("set(vlan(vid=5))", (Set("vlan", (5, 0, 1), (0xFFF, 0, 1)),)),
    ("push_eth(src=02:00:00:00:00:01,dst=0:0:0:0:0:2),pop_eth", (PushEth(MAC1, 2), PopEth())),
    ("psample(group=1,cookie=0x0a0b)", (Psample(1, b"\n\x0b"),)),
    ("psample(group=1,cookie=0xa0b)", (Psample(1, b"\n\x0b"),)),  # as OVS prints it
    ("pop_nsh pop_nsh()", (PopNsh(), PopNsh())),
    ("push_nsh()", (PushNsh(Nsh(ttl=63, mdtype=1, np=3, si=255, context=bytes(16))),)),
    ("push_nsh(mdtype=2,md2=0x01020304)", (PushNsh(Nsh(ttl=63, mdtype=2, np=3, si=255, context=b"\1\2\3\4")),)),
    ("set(nsh(ttl=5))", (SetNsh(Nsh(ttl=5), Nsh(ttl=255)),)),
    ("set(nsh(c2=0x1/0xff))", (SetNsh(Nsh(context=_words(0, 1, 0, 0)), Nsh(context=_words(0, 255, 0, 0))),)),
    ("set(nsh(flags=0,ttl=1,mdtype=2,np=3,spi=4,si=5))", (SetNsh(Nsh(ttl=1, mdtype=2, np=3, spi=4, si=5)),)),
    ("set(tunnel(dst=1.1.1.1,ttl=64))", (SetTunnel(Tunnel(ipv4_dst=0x01010101, ttl=64)),)),
    ("set(tunnel(tun_id=0,flags(df)))", (SetTunnel(Tunnel(flags=TunnelFlag.KEY | TunnelFlag.DF)),)),
    (
        "set(tunnel(ttl=1,geneve({class=0x102,type=3,len=8,0x1}),flags(0)))",
        (SetTunnel(Tunnel(ttl=1, geneve=(GeneveOption(0x102, 3, bytes(7) + b"\1"),))),),
    ),
    ("ct", (Ct(),)),
    ("ct(),ct_clear", (Ct(), CtClear())),
    ("ct(zone=0)", (Ct(),)),
    ("ct(commit,mark=1,label=2)", (Ct(commit=True, mark=(1, 0xFFFFFFFF), label=(2, (1 << 128) - 1)),)),
    ("ct(force_commit,eventmask=0x3)", (Ct(force=True, eventmask=3),)),
    ('ct(helper="a,b")', (Ct(helper="a,b"),)),
    ("ct(nat())", (Ct(nat=Nat()),)),
    (
        "ct(commit,nat(src=[fd00::1]-[fd00::2]:1-2,hash))",
        (
            Ct(
                commit=True,
                nat=Nat(
                    which="src",
                    first=bytes.fromhex("fd" + 29 * "0" + "1"),
                    last=bytes.fromhex("fd" + 29 * "0" + "2"),
                    first_port=1,
                    last_port=2,
                    hash=True,
                ),
            ),
        ),
    ),
    ("trunc(100),1", (Trunc(100), Output(1))),
    ("recirc(1)", (Recirc(1),)),
    ("recirc(0x10)", (Recirc(16),)),
    ("hash(l4(0))", (Hash(HashAlgorithm.L4, 0),)),
    ("hash( sym_l4( 0x7 ) )", (Hash(HashAlgorithm.SYM_L4, 7),)),
    ("pop_vlan", (PopVlan(),)),
    ("pop_vlan 1", (PopVlan(), Output(1))),
    ("push_vlan(vid=5,pcp=3)", (PushVlan(0x8100, 0x7005),)),
    ("push_vlan(vid=5)", (PushVlan(0x8100, 0x1005),)),
    ("push_vlan(tpid=0x88a8,vid=5,pcp=3,cfi=1)", (PushVlan(0x88A8, 0x7005),)),
    ("push_vlan( vid=5 , pcp=3 , cfi=0 , tpid=0x88a8 )", (PushVlan(0x88A8, 0x6005),)),
    ("set(eth(src=02:00:00:00:00:01,dst=02:00:00:00:00:01))", (Set("eth", (MAC1, MAC1)),)),
    ("set(eth(dst=02:00:00:00:00:01))", (Set("eth", (0, MAC1), (0, (1 << 48) - 1)),)),
    ("set( tcp(dst=0x50/0xff) )", (Set("tcp", (0, 80), (0, 0xFF)),)),
    ("set(skb_mark(5))", (Set("skb_mark", (5,)),)),
    ("set(skb_mark(5/0xf))", (Set("skb_mark", (5,), (15,)),)),
    ("set(skb_priority(0xffff0001/0xffffffff))", (Set("skb_priority", (0xFFFF0001,)),)),
    ("set(ipv4(ttl=1/0xff))", (Set("ipv4", (0, 0, 0, 0, 1, 0), (0, 0, 0, 0, 255, 0)),)),
    ("set(ipv4(dst=10.0.0.0/8))", (Set("ipv4", (0, 10 << 24, 0, 0, 0, 0), (0, 255 << 24, 0, 0, 0, 0)),)),
    ("set(arp(op=1))", (Set("arp", (0, 0, 1, 0, 0), (0, 0, 0xFFFF, 0, 0)),)),  # refused by check_actions
    ("set(in_port(65535/0xffff))", (Set("in_port", (0xFFFF,), (0xFFFF,)),)),  # refused by check_actions
    ("userspace(pid=1)", (Userspace(1),)),
    ("userspace(pid=1,userdata(0A0b))", (Userspace(1, b"\n\x0b"),)),
    ("userspace(pid=1,userdata())", (Userspace(1, b""),)),
    ("userspace(pid=1,tunnel_out_port=uplink,actions)", (Userspace(1, None, 5, actions=True),)),
    ("userspace( actions , tunnel_out_port=0x5 , pid=7 )", (Userspace(7, None, 5, actions=True),)),
]


@pytest.mark.parametrize(("text", "actions"), READS)
def test_reads(text, actions):
    assert parse_actions(text, PORTS) == actions


@pytest.mark.parametrize("actions", [actions for _, actions in READS])
def test_what_is_printed_is_read(actions):
    assert parse_actions(format_actions(actions)) == actions


def test_names_of_tunnel_ports_are_printed():
    assert format_actions((Userspace(1, None, 7),), {7: "ct"}.get) == 'userspace(pid=1,tunnel_out_port="ct")'


def test_a_mask_of_all_ones_is_no_mask():
    assert Set("tcp", (1, 2), (0xFFFF, 0xFFFF)) == Set("tcp", (1, 2))
    assert Set("tcp", (1, 2), (0xFFFF, 0xFFFE)).mask == (0xFFFF, 0xFFFE)


@pytest.mark.parametrize(
    ("text", "leaves"),
    [
        ("set(eth(dst=02:00:00:00:00:01))", {"eth_dst": (MAC1, (1 << 48) - 1)}),
        ("set(skb_mark(0x5/0xf))", {"skb_mark": (5, 15)}),
        ("set(tcp(src=1,dst=2))", {"tp_src": (1, 0xFFFF), "tp_dst": (2, 0xFFFF)}),
        ("set(ipv4(tos=0/0x3,ttl=7))", {"ip_tos": (0, 3), "ip_ttl": (7, 255)}),
        (
            "set(ipv6(src=::1,dst=::2,label=3,proto=6,tclass=4,hlimit=5,frag=no))",
            {
                "ipv6_src": (1, (1 << 128) - 1),
                "ipv6_dst": (2, (1 << 128) - 1),
                "ipv6_label": (3, 0xFFFFF),
                "ip_tos": (4, 255),
                "ip_ttl": (5, 255),
            },
        ),
    ],
)
def test_leaves_of_a_set(text, leaves):
    (action,) = parse_actions(text)
    assert action.leaves() == leaves


@pytest.mark.parametrize("name", sorted(OVS_ACTIONS - {"ct", "ct_clear", "pop_vlan", "pop_eth", "pop_nsh"}))
def test_every_action_wants_its_parenthesis(name):
    with pytest.raises(FlowSyntaxError, match=re.escape(f"expected '(' after {name}")) as caught:
        parse_actions(f"1,{name}")
    assert caught.value.pos == 2 + len(name)


def test_unknown_port_names():
    for text in ("nowhere", "1,nowhere", "userspace(pid=1,tunnel_out_port=nowhere)"):
        with pytest.raises(NotFound, match="nowhere"):
            parse_actions(text, PORTS)


# text with ^ before the offending token, and a part of the message
REFUSES = [
    ("^", "expected actions"),
    ("  ^", "expected actions"),
    ("^1x", "expected a port number"),
    ("^09", "expected a port number"),
    ("^0x100000000", "does not fit into 32 bits"),
    ("^uplink", "expected a port number"),
    ("^foo(1)", "unknown action"),
    ("^1(2)", "unknown action"),
    ("^,1", "expected an action"),
    ("1,^", "expected an action"),
    ("1,^,2", "expected an action"),
    ("1^)", "expected ',' or the end"),
    ("pop_vlan^()", "pop_vlan has no arguments"),
    ("drop(^)", "expected a number"),
    ("trunc^", "expected '(' after trunc"),
    ("1,trunc^,2", "expected '(' after trunc"),
    ("trunc(^)", "expected a number"),
    ("trunc(^x)", "expected a number"),
    ("trunc(14^", "expected ')' to close trunc("),
    ("trunc(14^,2)", "expected ')' to close trunc("),
    ("recirc(^0x100000000)", "does not fit into 32 bits"),
    ("hash(^)", "expected l4( or sym_l4("),
    ("hash(^l3(0))", "expected l4( or sym_l4("),
    ("hash(l4(^))", "expected a number"),
    ("hash(l4(0)^", "expected ')' to close hash("),
    ("set(^)", "expected a field"),
    ("set(^eht())", "unknown field eht"),
    ("set(^encap())", "unknown field encap"),
    ("set(eth^)", "expected '(' after eth"),
    ("set(eth(^foo=1))", "eth has no foo"),
    ("set(eth(dst=^x))", "expected an Ethernet address"),
    ("set(eth()^,tcp())", "expected ')' to close set("),
    ("1,set(ipv4(ttl=^256))", "does not fit into 8 bits"),
    ("set(ipv6(label=^0x100000))", "does not fit into 20 bits"),
    ("push_vlan(^)", "expected one of vid"),
    ("push_vlan(^pcp=1)", "expected vid="),
    ("push_vlan(vid=^4096)", "does not fit into 12 bits"),
    ("push_vlan(vid=1,pcp=^8)", "does not fit into 3 bits"),
    ("push_vlan(vid=1,cfi=^2)", "does not fit into 1 bits"),
    ("push_vlan(vid=1,^vid=2)", "vid is given twice"),
    ("push_vlan(vid=1,^foo=2)", "expected one of vid"),
    ("push_vlan(^vid)", "expected vid=NUMBER"),
    ("push_vlan(vid=1^", "expected ',' or ')' in push_vlan("),
    ("userspace(^)", "expected one of pid"),
    ("userspace(^actions)", "expected pid="),
    ("userspace(pid=^x)", "expected a number"),
    ("userspace(pid=1,userdata(^0))", "even number"),
    ("userspace(pid=1,userdata(^xx))", "even number"),
    ("userspace(pid=1,^userdata)", "even number"),
    ("userspace(pid=1,^actions=1)", "actions has no value"),
    ("userspace(pid=1,^actions(1))", "actions has no value"),
    ("userspace(pid=1,^foo)", "expected one of pid"),
    ("userspace(pid=1,^tunnel_out_port)", "expected tunnel_out_port=NUMBER"),
    ("userspace(pid=1^", "expected ',' or ')' in userspace("),
    ("userspace(^pid=1,userdata(00),ipfix(output_port=1))", "there is one userdata"),
    ("userspace(pid=1,sFlow^)", "expected '(' after sFlow"),
    ("userspace(pid=1,sFlow(^vid=1,pcp=2))", "expected output="),
    ("userspace(pid=1,sFlow(vid=^4096,pcp=2,output=1))", "does not fit into 12 bits"),
    ("userspace(pid=1,slow_path(^))", "expected reasons"),
    ("userspace(pid=1,slow_path(cfm,^foo))", "expected reasons"),
    ("userspace(pid=1,slow_path(0^,cfm))", "expected ')' to close slow_path("),
    ("userspace(pid=1,flow_sample(^probability=1))", "expected collector_set_id="),
    ("userspace(pid=1,ipfix(^))", "expected one of output_port"),
    ("userspace(pid=1,controller(^reason=1,dont_send=0))", "expected continuation="),
    ("userspace(pid=1,controller(reason=1,dont_send=^2))", "does not fit into 1 bits"),
    ("set(mpls(^label=1,label=2))", "set changes one mpls entry"),
    ("set(tunnel(dst=1.1.1.1^/8))", "a mask cannot be here"),
    ("set(tunnel(flags(^+df)))", "a mask cannot be here"),
    ("set(tunnel(flags(^foo)))", "expected flags of a tunnel"),
    ("set(tunnel(^foo=1))", "expected one of tun_id"),
    ("set(tunnel(vxlan(^foo)))", "expected gbp("),
    ("set(tunnel(geneve(^)))", "expected an option"),
    ("set(tunnel(geneve({class=1,type=2,len=^3})))", "len: 3 octets"),
    ("set(tunnel(geneve({len=4,^0x100000000})))", "does not fit into 4 octets"),
    ("set(tunnel(geneve({^0x1})))", "len stands before the data"),
    ("set(tunnel(geneve({len=4^))", "expected ',' or '}' in an option"),
    ("set(nsh(^c1=1,md2=0x01))", "a context is c1 to c4, or md2"),
    ("set(nsh(md2=0x0102/^0xff))", "md2 has 2 octets and its mask 1"),
    ("push_nsh(ttl=1^/2)", "a mask cannot be here"),
    ("push_nsh(md2=^x)", "expected the octets of md2"),
    ("push_mpls(^label=1)", "expected tc="),
    ("push_mpls(label=^1048576,tc=0,ttl=1,bos=1,eth_type=0x8847)", "does not fit into 20 bits"),
    ("add_mpls(label=1,tc=0,ttl=1,bos=1,eth_type=1,^l3=1)", "l3 has no value"),
    ("pop_mpls(^)", "expected one of eth_type"),
    ("pop_nsh(^1)", "expected ')' to close pop_nsh("),
    ("push_eth(^src=02:00:00:00:00:01)", "expected dst="),
    ("push_eth(src=^x)", "expected an Ethernet address"),
    ("pop_eth^()", "pop_eth has no arguments"),
    ("ct_clear^()", "ct_clear has no arguments"),
    ("meter(^4294967296)", "does not fit into 32 bits"),
    ("tnl_pop(^)", "expected a port number"),
    ("clone(^,1)", "expected an action"),
    ("clone(1^", "expected ',' or ')' in clone("),
    ("clone(1,^)", "expected an action"),
    ("clone(1,clone(2)^x)", "expected ',' or ')' in clone("),
    ("sample(^sample=10%)", "expected actions="),
    ("sample(sample=^10,actions(1))", "expected a percentage"),
    ("sample(sample=^100.1%,actions(1))", "more than all"),
    ("check_pkt_len(^size=1,gt(1))", "expected le="),
    ("check_pkt_len(size=^65536,gt(1),le(2))", "does not fit into 16 bits"),
    ("check_pkt_len(size=1,gt^=1,le(2))", "expected '(' after gt"),
    ("dec_ttl(^1)", "expected one of le_1"),
    ("psample(^cookie=0x01)", "expected group="),
    ("psample(group=1,cookie=^12)", "expected a cookie"),
    ("psample(group=1,cookie=^0x" + 17 * "01" + ")", "a cookie of 17 octets"),
    ("ct(^foo)", "expected one of commit"),
    ("ct(zone=^65536)", "does not fit into 16 bits"),
    ("ct(^helper)", "expected helper=NAME"),
    ("ct(helper=^)", "expected the name of a helper"),
    ("ct(commit^=1)".replace("commit^", "^commit"), "commit has no value"),
    ("ct(nat(^src,dst))", "src or dst, not both"),
    ("ct(nat(src=^x))", "expected an address"),
    ("ct(nat(src=^1.2.3.256))", "expected an address"),
    ("ct(nat(src=^10.0.0.2-10.0.0.1))", "from a lower one to a higher one"),
    ("ct(nat(src=^10.0.0.2-fd00::1))", "of the same kind"),
    ("ct(nat(src=1.2.3.4:^x))", "expected a port"),
    ("ct(nat(src=1.2.3.4:^65536))", "does not fit into 16 bits"),
    ("ct(nat(src=1.2.3.4:^2-1))", "from a lower one to a higher one"),
    ("tnl_push(^tnl_port(1),out_port(2))", "expected header="),
    ("tnl_push(tnl_port(1),header(^type=3),out_port(2))", "expected size="),
    ("tnl_push(tnl_port(1),header(^size=1,type=3),out_port(2))", "expected eth="),
    ("tnl_push(tnl_port(1),header(^size=3,type=3,octets(0102)),out_port(2))", "this header has 2 octets"),
    ("tnl_push(tnl_port(1),header(size=1,type=3,^octets(1)),out_port(2))", "even number"),
    ('^"x', ""),
]


@pytest.mark.parametrize(("marked", "message"), REFUSES)
def test_refuses_at_the_place(marked, message):
    text = marked.replace("^", "")
    with pytest.raises(FlowSyntaxError) as caught:
        parse_actions(text)
    assert (caught.value.pos, caught.value.text) == (marked.index("^"), text)
    assert message in caught.value.message


def test_lists_are_read_to_a_depth():
    """Deeper ones would use up Python's stack; the interface has 16."""
    deep = "clone(" * MOST_NESTED + "1" + ")" * MOST_NESTED
    assert format_actions(parse_actions(deep)) == deep
    for levels in (MOST_NESTED + 1, 100_000):
        with pytest.raises(FlowSyntaxError, match="nested too deeply") as caught:
            parse_actions("clone(" * levels + "1")
        assert caught.value.pos == 6 * (MOST_NESTED + 1)


@pytest.mark.parametrize("others", ["", ",actions", ",tunnel_out_port=10", ",actions,tunnel_out_port=10"])
def test_userdata_is_what_fits_into_an_attribute(others):
    """65,535 octets hold the headers of the action and of userdata (4 each), the pid (8), and the others (4, 8)."""
    most = (65535 - 16 - 4 * ("actions" in others) - 8 * ("tunnel" in others)) // 4 * 4
    (action,) = parse_actions(f"userspace(pid=1,userdata({'ab' * most}){others})")
    assert action.userdata == b"\xab" * most
    with pytest.raises(FlowSyntaxError, match="userdata of") as caught:
        parse_actions(f"userspace(pid=1,userdata({'ab' * (most + 1)}){others})")
    assert str(most) in caught.value.hint


def test_long_lists():
    text = ",".join(f"clone(set(tcp(dst={port})),{port})" for port in range(8000))
    assert format_actions(parse_actions(text)) == text


@pytest.mark.parametrize(
    ("probability", "text"),
    [
        (0, "0.0"),
        (0xFFFFFFFF, "100.0"),
        (0xFFFFFFFE, "99.99999998"),
        (1, "0.00000002"),
        (4294967, "0.1"),
        (0x80000000, "50.0"),
        (123456789, "2.87445237"),
    ],
)
def test_a_probability_has_the_digits_that_it_needs(probability, text):
    printed = format_actions((Sample(probability, (Output(1),)),))
    assert printed == f"sample(sample={text}%,actions(1))"
    assert parse_actions(printed) == (Sample(probability, (Output(1),)),)


@pytest.mark.parametrize("text", ["pop_eth", "ct", "lb_output(1)", "clone(1,dec_ttl(le_1(tnl_pop(2))))"])
def test_what_is_not_carried_out_is_refused_by_name(text):
    with pytest.raises(NotSupported, match=r"action (pop_eth|ct|lb_output|tnl_pop) is not supported") as caught:
        check_executable(parse_actions(text))
    assert caught.value.exit_status == 6
    check_executable(parse_actions("1,clone(drop),userspace(pid=1)"))
