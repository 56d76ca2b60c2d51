"""Action lists: what is read, how it is printed, and how mistakes are refused."""

import pytest

from ctl.action import (
    Drop,
    Hash,
    HashAlgorithm,
    Output,
    PopVlan,
    PushVlan,
    Recirc,
    Set,
    Trunc,
    Userspace,
)
from ctl.errors import FlowSyntaxError, NotFound, NotSupported
from ctl.text import format_actions, parse_actions
from ctl.text.values import OVS_ACTIONS

PORTS = {"uplink": 5, "a, (b)": 6, "ct": 7}.get
MAC1 = 0x020000000001
OURS = {"trunc", "recirc", "hash", "set", "push_vlan", "pop_vlan", "userspace"}

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
    ("set(in_port(65535/0xffff))", (Set("in_port", (0,), (0xFFFF,)),)),  # refused by check_actions
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


@pytest.mark.parametrize("name", sorted(OVS_ACTIONS - OURS))
@pytest.mark.parametrize("arguments", ["", "(x=1,y(2))"])
def test_actions_of_ovs_that_we_lack(name, arguments):
    for before in ("", "1,"):
        with pytest.raises(NotSupported, match=name):
            parse_actions(before + name + arguments)


@pytest.mark.parametrize(
    "text",
    [
        "userspace(pid=1,slow_path(action))",
        "userspace(pid=1,sFlow(vid=0,pcp=0,output=1))",
        "userspace(pid=1,flow_sample(probability=1))",
        "userspace(pid=1,ipfix(output_port=1))",
        "userspace(pid=1,controller(reason=1,dont_send=0))",
        "set(mpls(label=1))",
        "set(tunnel(tun_id=0x1))",
        "set(ct_mark(1))",
    ],
)
def test_forms_of_ovs_that_we_lack(text):
    with pytest.raises(NotSupported) as caught:
        parse_actions(text)
    assert caught.value.exit_status == 6


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
    ("1,^drop", "drop stands alone"),
    ("^DROP,1", "drop stands alone"),
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
    ('^"x', ""),
]


@pytest.mark.parametrize(("marked", "message"), REFUSES)
def test_refuses_at_the_place(marked, message):
    text = marked.replace("^", "")
    with pytest.raises(FlowSyntaxError) as caught:
        parse_actions(text)
    assert (caught.value.pos, caught.value.text) == (marked.index("^"), text)
    assert message in caught.value.message
