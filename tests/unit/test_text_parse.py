"""Each production of the grammar, what it reads and how it refuses."""

import pytest

from ctl import fields
from ctl.errors import FlowInvalid, FlowSyntaxError, NotFound, NotSupported
from ctl.fields import NOT_YET
from ctl.flow import FlowKey, Output
from ctl.text import caret, parse_dump_line, parse_flow, parse_flow_id, shapes
from ctl.ufid import Ufid, UfidPrefix

IPV4 = "in_port(1),eth(),eth_type(0x0800),"
TCP = IPV4 + "ipv4(proto=6),tcp(),"
ICMP = IPV4 + "ipv4(proto=1),"
ETH6 = "eth(),eth_type(0x86dd),"
ARP = "eth(),eth_type(0x0806),"
VLAN = "eth(),eth_type(0x8100),"

ND = ETH6 + "ipv6(proto=58),icmpv6(type=135),"
MPLS = "eth(),eth_type(0x8847),"
QINQ = "eth(),eth_type(0x88a8),vlan(vid=1),encap(eth_type(0x8100),{},encap())"
LSE = 0x1503  # label 1, tc 2, bottom of the stack, ttl 3

# text, leaf, value, mask
READS = [
    ("eth()", "l2_kind", 1, 0xFF),
    ("eth_type(0x1234)", "l2_kind", 0, 0xFF),
    ("eth()", "recirc_id", 0, 0xFFFFFFFF),
    ("recirc_id(0),eth()", "recirc_id", 0, 0xFFFFFFFF),
    ("eth()", "cvlan_tci", 0, 0xFFFF),
    ("eth()", "in_port", 0xFFFF, 0),
    ("in_port(7),eth()", "in_port", 7, 0xFFFF),
    ("in_port(0x10),eth()", "in_port", 16, 0xFFFF),
    ("in_port(010),eth()", "in_port", 8, 0xFFFF),
    ("in_port(7/1),eth()", "in_port", 7, 0xFFFF),
    ("in_port(7/0),eth()", "in_port", 7, 0),
    ("in_port(uplink),eth()", "in_port", 5, 0xFFFF),
    ('in_port("a, (b)"),eth()', "in_port", 6, 0xFFFF),
    ("eth(src=2:0:0:0:0:1)", "eth_src", 0x020000000001, (1 << 48) - 1),
    ("eth(dst=FF:ff:FF:ff:FF:ff/01:00:00:00:00:00)", "eth_dst", (1 << 48) - 1, 1 << 40),
    ("eth()", "eth_type", 4, 0),
    ("eth(),eth_type(0/0xffff)", "eth_type", 4, 0xFFFF),
    ("eth(),eth_type(0/0)", "eth_type", 4, 0),
    ("eth(),eth_type(0x600)", "eth_type", 0x600, 0xFFFF),
    (IPV4 + "ipv4(src=10.1.2.3/255.0.0.0)", "ipv4_src", 0x0A010203, 0xFF000000),
    (IPV4 + "ipv4(dst=10.0.0.0/8)", "ipv4_dst", 0x0A000000, 0xFF000000),
    (IPV4 + "ipv4(dst=10.0.0.0/0)", "ipv4_dst", 0x0A000000, 0),
    (IPV4 + "ipv4(dst=10.0.0.0/32)", "ipv4_dst", 0x0A000000, 0xFFFFFFFF),
    (IPV4 + "ipv4( src=1.2.3.4 , dst=10.0.0.1 )", "ipv4_dst", 0x0A000001, 0xFFFFFFFF),
    (IPV4 + "ipv4( )", "ipv4_dst", 0, 0),
    (IPV4 + "ipv4(proto=0x2f)", "ip_proto", 47, 0xFF),
    (IPV4 + "ipv4(tos=0x10/0xfc)", "ip_tos", 0x10, 0xFC),
    (IPV4 + "ipv4(ttl=64)", "ip_ttl", 64, 0xFF),
    (IPV4 + "ipv4(frag=later)", "ip_frag", 2, 0xFF),
    (IPV4 + "ipv4(frag=first/0)", "ip_frag", 1, 0),
    (IPV4 + "ipv4(frag=first/0xff)", "ip_frag", 1, 0xFF),
    (ETH6 + "ipv6(src=::1/128)", "ipv6_src", 1, (1 << 128) - 1),
    (ETH6 + "ipv6(dst=fd00::/ff00::)", "ipv6_dst", 0xFD << 120, 0xFF << 120),
    (ETH6 + "ipv6(label=0x12345)", "ipv6_label", 0x12345, 0xFFFFFFFF),
    (ETH6 + "ipv6(label=0x12345/0xff)", "ipv6_label", 0x12345, 0xFF),
    (ETH6 + "ipv6(tclass=0x70)", "ip_tos", 0x70, 0xFF),
    (ETH6 + "ipv6(hlimit=1)", "ip_ttl", 1, 0xFF),
    (ARP + "arp(op=1)", "ip_proto", 1, 0xFF),
    (ARP + "arp(op=1/0xff00)", "ip_proto", 1, 0),
    (ARP + "arp(op=1/0x1)", "ip_proto", 1, 1),
    (ARP + "arp(sip=10.0.0.1)", "ipv4_src", 0x0A000001, 0xFFFFFFFF),
    (ARP + "arp(tha=02:00:00:00:00:01)", "arp_tha", 0x020000000001, (1 << 48) - 1),
    ("eth(),eth_type(0x8035),arp(tip=1.1.1.1)", "ipv4_dst", 0x01010101, 0xFFFFFFFF),
    (TCP + "tcp_flags(syn)", "tcp_flags", 2, 0xFFFF),
    (TCP + "tcp_flags(syn|ack)", "tcp_flags", 0x12, 0xFFFF),
    (TCP + "tcp_flags(+syn-ack)", "tcp_flags", 2, 0x12),
    (TCP + "tcp_flags(0x12/0x2)", "tcp_flags", 0x12, 2),
    (TCP + "tcp_flags([200]|[400]|[800])", "tcp_flags", 0xE00, 0xFFFF),
    (TCP + "tcp_flags(0)", "tcp_flags", 0, 0xFFFF),
    (TCP + "tcp_flags(0/0)", "tcp_flags", 0, 0),
    (IPV4 + "ipv4(proto=17),udp(dst=53/0xfff0)", "tp_dst", 53, 0xFFF0),
    (ICMP + "icmp(type=8)", "tp_src", 8, 0xFFFF),
    (ICMP + "icmp(code=8/0xf)", "tp_dst", 8, 0xF),
    (ETH6 + "ipv6(proto=58),icmpv6(type=128)", "tp_src", 128, 0xFFFF),
    ("eth()", "vlan_tci", 0, 0xFFFF),
    ("eth()", "vlan_tpid", 0, 0),
    (VLAN + "vlan(vid=5),encap()", "vlan_tci", 0x1005, 0x1FFF),
    (VLAN + "vlan(vid=5,pcp=3),encap()", "vlan_tci", 0x7005, 0xFFFF),
    (VLAN + "vlan(vid=5/0xf,cfi=1),encap()", "vlan_tci", 0x1005, 0x100F),
    (VLAN + "vlan(),encap()", "vlan_tci", 0x1000, 0x1000),
    (VLAN + "vlan(),encap()", "vlan_tpid", 0x8100, 0xFFFF),
    (VLAN + "vlan(),encap()", "eth_type", 4, 0),
    (VLAN + "vlan(),encap(eth_type(0x1234))", "eth_type", 0x1234, 0xFFFF),
    (VLAN + "vlan(vid=0,pcp=0,cfi=0),encap()", "eth_type", 0x8100, 0xFFFF),
    (VLAN + "vlan(vid=0,pcp=0,cfi=0),encap()", "vlan_tci", 0, 0xFFFF),
    (VLAN + "vlan(vid=0,pcp=0,cfi=0),encap()", "vlan_tpid", 0, 0),
    ("recirc_id(7),eth()", "recirc_id", 7, 0xFFFFFFFF),
    ("dp_hash(0x5/0xf),eth()", "dp_hash", 5, 0xF),
    ("dp_hash(5),eth()", "dp_hash", 5, 0xFFFFFFFF),
    ("skb_mark(0/0),eth()", "skb_mark", 0, 0),
    ("skb_priority(0x10001),eth()", "skb_priority", 0x10001, 0xFFFFFFFF),
    (IPV4 + "ipv4(proto=132),sctp(src=7)", "tp_src", 7, 0xFFFF),
    (ETH6 + "ipv6(proto=132),sctp(dst=7/0xf)", "tp_dst", 7, 0xF),
    (ND + "nd(target=fd00::1)", "nd_target", 0xFD << 120 | 1, (1 << 128) - 1),
    (ND + "nd(sll=02:00:00:00:00:01)", "nd_sll", 0x020000000001, (1 << 48) - 1),
    (ND + "nd(tll=02:00:00:00:00:01/ff:00:00:00:00:00)", "nd_tll", 0x020000000001, 0xFF << 40),
    (MPLS + "mpls(label=1,tc=2,ttl=3,bos=1)", "mpls_lse", LSE << 64, 0xFFFFFFFF << 64),
    (MPLS + "mpls(label=1/0xfffff,tc=2/7,ttl=3/0xff,bos=1/1)", "mpls_lse", LSE << 64, 0xFFFFFFFF << 64),
    (MPLS + "mpls(bos=0,label=0,label=1/0,ttl=3)", "mpls_lse", 0x1003 << 32, (0xFFFFF100 << 64) + (0xFF << 32)),
    (MPLS + "mpls(ttl=9,ttl=8,ttl=7)", "mpls_lse", (9 << 64) + (8 << 32) + 7, (0xFF << 64) + (0xFF << 32) + 0xFF),
    (QINQ.format("vlan(vid=2,pcp=1)"), "cvlan_tci", 0x3002, 0xFFFF),
    (QINQ.format("vlan(vid=2)"), "cvlan_tci", 0x1002, 0x1FFF),
    (QINQ.format("vlan(vid=2)"), "cvlan_tpid", 0x8100, 0xFFFF),
    (QINQ.format("vlan(vid=2)"), "vlan_tci", 0x1001, 0x1FFF),
    (QINQ.format("vlan(vid=2)"), "vlan_tpid", 0x88A8, 0xFFFF),
    (QINQ.format("vlan(vid=2)"), "eth_type", 4, 0),
    (QINQ.format("vlan(cfi=0)"), "cvlan_tpid", 0, 0),
    (QINQ.format("vlan(cfi=0)"), "eth_type", 0x8100, 0xFFFF),
    ("\tin_port(1) \n eth() , ,eth_type(0x1234)\r\n", "eth_type", 0x1234, 0xFFFF),
]
PORTS = {"uplink": 5, "a, (b)": 6, "ct": 7}.get


@pytest.mark.parametrize(("text", "leaf", "value", "mask"), READS)
def test_reads(text, leaf, value, mask):
    match = parse_flow(text, PORTS).match
    assert (match.key[leaf], match.mask[leaf]) == (value, mask)
    assert parse_flow_id(text, PORTS) == match.key


# text with ^ before the offending token, and a part of the message
REFUSES = [
    ("^", "expected a flow"),
    ("^foo(1)", "unknown field foo"),
    ("in_port(1),^bar(2)", "unknown field bar"),
    ("in_port^", "expected '(' after in_port"),
    ("in_port^:1", "expected '(' after in_port"),
    ("^packets:3", "unknown field packets"),
    ("^(1)", "expected a field"),
    ("^5,eth()", "expected a field"),
    ("eth()^)", "expected a field"),
    ("in_port(1^", "expected ')' to close in_port("),
    ("in_port(1^,eth()", "expected ')' to close in_port("),
    ("in_port(^)", "expected a port number or name"),
    ("in_port(^uplink)", "expected a port number"),
    ("in_port(1x^)", ""),
    ("in_port(^0x100000000),eth()", "does not fit into 32 bits"),
    ("in_port(1)^eth()", "expected ',' between fields"),
    ("in_port(1),^in_port(2)", "in_port is given twice"),
    ("eth(^foo=1)", "eth has no foo"),
    ("eth(src=02:00:00:00:00:01,^src=02:00:00:00:00:01)", "src is given twice"),
    ("eth(src=^02:00:00:00:00)", "expected an Ethernet address"),
    ("eth(src=^)", "expected an Ethernet address"),
    ("eth(src=02:00:00:00:00:01/^5)", "bad mask: expected an Ethernet address"),
    ("eth(src=02:00:00:00:00:01^", "expected ',' or ')' in eth("),
    ("eth(src=02:00:00:00:00:01 ^dst=02:00:00:00:00:01)", "expected ',' or ')' in eth("),
    ("eth(^src)", "expected one of src=, dst="),
    ("eth(src=02:00:00:00:00:01,^)", "expected one of src=, dst="),
    ("eth(^", "expected ')' to close eth("),
    ("eth(),eth_type(^0x10000)", "does not fit into 16 bits"),
    ("eth(),eth_type(^09)", "expected a number"),
    ("eth(),eth_type(^-1)", "expected a number"),
    ("eth(),eth_type(^1_0)", "expected a number"),
    ("eth(),eth_type(^0x)", "expected a number"),
    ("eth(),eth_type(0x800/^0x10000)", "does not fit into 16 bits"),
    ("eth(),eth_type(0x800/^x)", "bad mask: expected a number"),
    (IPV4 + "ipv4(src=^10.0.0)", "expected an IPv4 address"),
    (IPV4 + "ipv4(src=^10.0.0.256)", "expected an IPv4 address"),
    (IPV4 + "ipv4(src=10.0.0.1/^33)", "bad mask: expected an IPv4 address"),
    (IPV4 + "ipv4(proto=^256)", "does not fit into 8 bits"),
    (IPV4 + "ipv4(frag=^maybe)", "expected no, first or later"),
    (IPV4 + "ipv4(proto=^" + "9" * 5000 + ")", "expected a number"),
    (ETH6 + "ipv6(src=^fd00::1::2)", "expected an IPv6 address"),
    (ETH6 + "ipv6(label=^0x100000)", "does not fit into 20 bits"),
    (ICMP + "icmp(type=^256)", "does not fit into 8 bits"),
    (TCP + "tcp_flags(^syn|foo)", "expected TCP flags"),
    (TCP + "tcp_flags(^+syn-foo)", "expected TCP flags"),
    (TCP + "tcp_flags(^+syn|ack)", "expected + or -"),
    (TCP + "tcp_flags(+syn^/2)", "have no other mask"),
    (TCP + "tcp_flags(^0x1000)", "does not fit into 12 bits"),
    (VLAN + "vlan(vid=^4096),encap()", "does not fit into 12 bits"),
    (VLAN + "vlan(cfi=^2),encap()", "does not fit into 1 bits"),
    (VLAN + "vlan(vid=1),encap(eth_type(0x1234)^", "expected ')' to close encap("),
    (MPLS + "mpls(label=^1048576)", "does not fit into 20 bits"),
    (MPLS + "mpls(bos=^2)", "does not fit into 1 bits"),
    (MPLS + "mpls(^src=2)", "mpls has no src"),
    (ND + "nd(^sha=02:00:00:00:00:01)", "nd has no sha"),
    (ND + "nd(target=^10.0.0.1)", "expected an IPv6 address"),
    ("skb_mark(^0x100000000),eth()", "does not fit into 32 bits"),
    ("eth()," + "encap(" * 32 + "^encap(" + ")" * 33, "nested too deeply"),
    (VLAN + "vlan(vid=1),encap(^ufid:0x01)", "unknown field ufid"),
    ("ufid:^", "expected 32 hexadecimal digits"),
    ("ufid:^0x", "even number"),
    ("ufid:^0x123", "even number"),
    ("ufid:^0xzz", "even number"),
    ("ufid:^" + "0" * 31, "expected 32 hexadecimal digits"),
    ("ufid:^" + "0" * 33, "expected 32 hexadecimal digits"),
    ("ufid:^0000-0000-0000-0000-0000-0000-0000-0000,eth()", "expected 32 hexadecimal digits"),
]


@pytest.mark.parametrize(("marked", "message"), REFUSES)
def test_refuses_at_the_place(marked, message):
    text, pos = marked.replace("^", ""), marked.index("^")
    if message:
        with pytest.raises(FlowSyntaxError) as caught:
            parse_flow(text)
        assert (caught.value.pos, caught.value.text) == (pos, text)
        assert message in caught.value.message
    else:
        with pytest.raises(FlowSyntaxError):
            parse_flow(text)


@pytest.mark.parametrize("name", sorted(NOT_YET))
def test_fields_of_ovs_that_we_lack(name):
    with pytest.raises(NotSupported, match=name):
        parse_flow(f"eth(),{name}(1)")


def test_unknown_port_names():
    with pytest.raises(NotFound, match="nowhere"):
        parse_flow("in_port(nowhere),eth()", PORTS)


OCTETS = bytes(range(16))
TEXT = "03020100-0706-0504-0b0a-09080f0e0d0c"


@pytest.mark.parametrize(
    "form", [f"ufid:{TEXT}", f"ufid:{TEXT.upper()}", f"UFID:{TEXT}", f"ufid:{TEXT.replace('-', '')}"]
)
def test_ufids_of_sixteen_octets(form):
    assert parse_flow(f"ufid:{form}").ufid == parse_flow_id(f"UFID:{form}") == Ufid(OCTETS)
    assert str(Ufid(OCTETS)) == f"ufid:{TEXT}"


@pytest.mark.parametrize("length", range(1, 17))
def test_ufids_of_every_length(length):
    ufid = Ufid(OCTETS[:length])
    form = f"ufid:0x{ufid.octets.hex()}"
    assert parse_flow(form.upper()).ufid == parse_flow(f"{form}, eth()").ufid == ufid
    assert parse_flow(form).match is None
    assert parse_flow(str(ufid)).ufid == ufid


@pytest.mark.parametrize("length", [17, 18, 64])
def test_longer_ufids_are_invalid(length):
    with pytest.raises(FlowInvalid, match=f"{length} octets") as caught:
        parse_flow(f"ufid:0x{'ab' * length}")
    assert caught.value.attribute == "ufid"


def test_flow_id_forms():
    assert parse_flow_id("03020100-07") == UfidPrefix("0302010007")
    assert parse_flow_id("ABCDEF") == UfidPrefix("abcdef")
    assert parse_flow_id(f" {'0' * 31} ") == UfidPrefix("0" * 31)
    assert parse_flow_id(TEXT) == Ufid(OCTETS)
    assert parse_flow_id(f"ufid:{TEXT},in_port(1),eth()") == Ufid(OCTETS)
    assert isinstance(parse_flow_id("in_port(1),eth()"), FlowKey)


@pytest.mark.parametrize("text", ["12345", "", " ", "12345-", "0" * 33, "xyz", "g00000"])
def test_flow_ids_refused(text):
    with pytest.raises(FlowSyntaxError):
        parse_flow_id(text)


def test_flow_id_needs_a_legal_key():
    with pytest.raises(FlowInvalid):
        parse_flow_id("ufid:0x01,in_port(1)")


def test_prefixes():
    assert UfidPrefix("030201").matches(Ufid(OCTETS))
    assert not UfidPrefix("030202").matches(Ufid(OCTETS))
    assert not UfidPrefix("000102").matches(Ufid(OCTETS[:15]))
    with pytest.raises(ValueError, match="6 to 31"):
        UfidPrefix("12345")


def test_dump_lines():
    line = (
        f"ufid:{TEXT}, recirc_id(0),in_port(1),eth(),eth_type(0x0800),ipv4(frag=no), packets:23, bytes:966, "
        "used:0.112s, flags:SFP.[200], offloaded:yes, dp:xdp, actions:2, dp-extra-info:miniflow_bits(5,1)"
    )
    flow, actions = parse_dump_line(line)
    assert (flow.ufid, actions) == (Ufid(OCTETS), (Output(2),))
    assert flow.match == parse_flow(IPV4 + "ipv4(frag=no)").match
    assert parse_dump_line("eth() actions:drop")[1] == ()
    assert parse_dump_line("eth(),packets:0,bytes:0,used:never,actions:1")[1] == (Output(1),)


@pytest.mark.parametrize("marked", ["eth(), packets:1^", "eth(), actions:^", "eth(), actions:^x", "^x(), actions:1"])
def test_dump_lines_refused_at_the_place(marked):
    with pytest.raises(FlowSyntaxError) as caught:
        parse_dump_line(marked.replace("^", ""))
    assert caught.value.pos == marked.index("^")


def test_caret_under_the_column():
    with pytest.raises(FlowSyntaxError) as caught:
        parse_flow("in_port(1),\teht()")
    assert caret(caught.value) == "in_port(1), eht()\n            ^"


@pytest.mark.parametrize("pos", [0, 1, 50, 99, 100, 150, 200, 239, 240])
def test_caret_in_a_long_line(pos):
    text = "".join(chr(ord("a") + i % 26) for i in range(240))
    line, mark = caret(FlowSyntaxError("no", text, pos)).split("\n")
    assert len(line) <= 100
    assert mark.strip() == "^"
    column = len(mark) - 1
    assert column == 100 if pos == 240 else line[column] in (text[pos], ".")
    if 3 < column < 97:
        assert line[column] == text[pos]
    assert line.startswith("...") == (pos > 60)
    assert line.endswith("...") == (pos < 200)


MACS = ("02:00:00:00:00:01", "02:00:00:00:00:02")
SHAPES = [
    ("in_port({}),eth(src={}),eth_type(0x0800),ipv4(dst={}/8)", ("1", MACS[0], "10.0.0.1"), ("2", MACS[1], "10.0.0.2")),
    (f"ufid:{TEXT}, in_port(1),eth(),eth_type(0x8100),vlan(vid={{}}),encap()", ("1",), ("0xfff",)),
    ("skb_mark({}/0xff),eth(),eth_type(0x86dd),ipv6(label={},hlimit={})", ("1", "0x2", "3"), ("7", "8", "0xff")),
]


@pytest.mark.parametrize(("shape", "first", "second"), SHAPES)
def test_the_second_flow_of_a_shape_takes_the_short_cut(shape, first, second, monkeypatch):
    long_way = parse_flow(shape.format(*second))
    shapes._plans.clear()
    parse_flow(shape.format(*first))
    monkeypatch.setattr("ctl.text.grammar.KeyParser.read", None)
    assert parse_flow(shape.format(*second)) == long_way


def test_plans_are_few():
    for number in range(3 * shapes._MOST_PLANS):
        parse_flow(f"eth_type({0x8900 + number:#x})")
    assert len(shapes._plans) <= shapes._MOST_PLANS


def test_values_without_rules_are_rows():
    names = {row.name or row.section for row in fields.ROWS}
    assert {*shapes._SINGLES, *shapes._SUBS, *shapes._ARP_ND} <= names


def test_lists_with_port_names_are_read_for_each_reader():
    line = "in_port(1),eth(), actions:{},1"
    for number in (2, 3):
        assert parse_dump_line(line.format("uplink"), {"uplink": number}.get)[1] == (Output(number), Output(1))
        assert parse_dump_line(line.format(number))[1] == (Output(number), Output(1))
    with pytest.raises(FlowSyntaxError) as caught:
        parse_dump_line(line.format("uplink"))
    assert caught.value.pos == line.index("{")
