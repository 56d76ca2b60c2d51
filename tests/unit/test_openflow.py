"""filter=: matches as OpenFlow writes them, with the meaning that ovs-dpctl gives them."""

import pytest

from ctl.errors import FlowSyntaxError
from ctl.flow import FlowKey, Match
from ctl.text import caret, parse_flow
from ctl.text.openflow import PROTOCOLS, parse_filter

NAMES = {"p2": 2}
ONES = FlowKey(b"\xff" * len(FlowKey().raw))
FLOWS = {
    "web": "in_port(1),eth(src=02:00:00:00:00:01),eth_type(0x0800),"
           "ipv4(src=10.0.0.1,dst=10.9.0.0/16,proto=6,tos=0x2c,ttl=64,frag=no),tcp(src=5000,dst=80),tcp_flags(syn)",
    "some": "in_port(2),eth(),eth_type(0x0800),ipv4(src=10.0.0.0/8,proto=4/0xf4,frag=no)",
    "any": "in_port(3),eth()",
    "dns": "in_port(1),eth(),eth_type(0x86dd),ipv6(src=fd00::1,proto=17,label=5),udp(dst=53)",
    "tagged": "in_port(1),eth(),eth_type(0x8100),vlan(vid=99,pcp=7),"
              "encap(eth_type(0x0800),ipv4(proto=1),icmp(type=8,code=0))",
    "arp": "in_port(1),eth(),eth_type(0x0806),arp(sip=10.0.0.7,op=1,sha=02:00:00:00:00:07)",
    "mpls": "in_port(1),eth(),eth_type(0x8847),mpls(label=100,tc=2,ttl=64,bos=1)",
    "nd": "in_port(1),eth(),eth_type(0x86dd),ipv6(proto=58),icmpv6(type=135,code=0),"
          "nd(target=fd00::9,sll=02:00:00:00:00:09)",
    "802.2": "in_port(1),eth(),eth_type(0/0xffff)",
}  # fmt: skip
MATCHES = {name: parse_flow(text).match for name, text in FLOWS.items()}
IP4 = {"web", "some", "any", "tagged"}


def passing(text):
    wanted = parse_filter(text, NAMES.get)
    return {name for name, match in MATCHES.items() if wanted.passes(match)}


def test_a_flow_passes_unless_both_compare_a_bit_and_differ():
    """web is TCP; some may be, of protocol 4 it compares bits that 6 has too; any compares no type."""
    assert passing("tcp") == {"web", "some", "any"}
    assert passing("udp") == {"any"}
    assert passing("tcp,nw_dst=10.9.77.1") == {"web", "some", "any"}
    assert passing("tcp,nw_dst=10.8.77.1") == {"some", "any"}
    assert passing("") == set(FLOWS)


def test_bits_that_only_one_of_both_compares_are_nothing():
    wanted = parse_filter("dl_type=0x0800")
    for key, mask, expected in ((0x0800, 0xFFFF, True), (0x0801, 0xFFFF, False), (0x0801, 0xFFFE, True), (5, 0, True)):
        assert wanted.passes(Match(FlowKey.of(eth_type=key), FlowKey.of(eth_type=mask))) is expected


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("in_port=2", {"some"}),
        ("in_port=p2", {"some"}),
        ("in_port=0", set()),
        ("dl_src=02:00:00:00:00:01", set(FLOWS)),
        ("eth_src=02:00:00:00:00:02", set(FLOWS) - {"web"}),
        ("ip", IP4),
        ("dl_type=0x0800", IP4),
        ("eth_type=2048", IP4),
        ("dl_type=0x05ff", {"any", "802.2"}),
        ("ip,nw_src=10.0.0.1", IP4),
        ("ip,ip_src=11.0.0.1", {"any", "tagged"}),
        ("ip,nw_src=10.1.0.0/16", IP4 - {"web"}),
        ("ip,nw_src=10.0.0.1/255.0.0.255", IP4),
        ("ip,nw_proto=6", {"web", "some", "any"}),
        ("ip,nw_tos=44", IP4),
        ("ip,nw_tos=48", IP4 - {"web"}),
        ("ip,ip_dscp=11", IP4),
        ("ip,nw_ecn=1", IP4 - {"web"}),
        ("ip,nw_ttl=63", IP4 - {"web"}),
        ("ip,nw_frag=later", {"any", "tagged"}),
        ("tcp,tp_dst=80", {"web", "some", "any"}),
        ("tcp,tcp_dst=81", {"some", "any"}),
        ("tcp tcp_dst(80)", {"web", "some", "any"}),
        ("tcp,tp_dst=0x51/0xfffe", {"web", "some", "any"}),
        ("tcp,tcp_flags=+syn-ack", {"web", "some", "any"}),
        ("tcp,tcp_flags=ack", {"some", "any"}),
        ("udp6,tp_dst=53", {"dns", "any"}),
        ("udp6,udp_dst=54", {"any"}),
        ("ipv6,ipv6_src=fd00::/16", {"dns", "any", "nd"}),
        ("ipv6,ipv6_label=0x6", {"any", "nd"}),
        ("dl_vlan=99", {"tagged"}),
        ("dl_vlan=98", set()),
        ("dl_vlan=99,ip,nw_proto=1", {"tagged"}),
        ("dl_vlan=99,vlan_pcp=6", set()),
        ("dl_vlan_pcp=7", {"tagged"}),
        ("vlan_vid=0x1063", {"tagged"}),
        ("vlan_tci=0", set(FLOWS) - {"tagged"}),
        ("vlan_tci=0x1000/0x1000", {"tagged"}),
        ("icmp,icmp_type=8,icmp_code=0", {"tagged", "any"}),
        ("icmp,icmp_type=3", {"any"}),
        ("arp,arp_spa=10.0.0.7,arp_op=1", {"arp", "any"}),
        ("arp,arp_op=2", {"any"}),
        ("arp,arp_sha=02:00:00:00:00:08", {"any"}),
        ("mpls,mpls_label=100,mpls_tc=2,mpls_bos=1,mpls_ttl=64", {"mpls", "any"}),
        ("mpls,mpls_label=101", {"any"}),
        ("icmp6,icmpv6_type=135,nd_target=fd00::9,nd_sll=02:00:00:00:00:09", {"nd", "any"}),
        ("icmp6,icmpv6_type=135,nd_target=fd00::8", {"any"}),
        ("recirc_id=0", set(FLOWS)),
        ("recirc_id=1", set()),
        ("pkt_mark=1,dp_hash=3,skb_priority=4,ct_zone=5,ct_mark=6,ct_label=7,tun_id=8", set(FLOWS)),
    ],
)  # fmt: skip
def test_every_field(text, wanted):
    assert passing(text) == wanted


def test_every_protocol_is_a_type_and_perhaps_a_number():
    assert parse_filter("sctp6").mask == parse_filter("ipv6,nw_proto=1").mask
    for name, (ethertype, protocol) in PROTOCOLS.items():
        key = FlowKey.of(eth_type=ethertype, ip_proto=protocol or 0)
        assert parse_filter(name).passes(Match(key, ONES))
        assert not parse_filter(name).passes(Match(key.with_leaves(eth_type=1), ONES))


@pytest.mark.parametrize(
    ("text", "said", "at"),
    [
        ("nw_src=10.0.0.1", "ip_src needs ip before it", "nw_src"),
        ("ip,tp_dst=80", "tp_dst needs tcp, udp, sctp", "tp_dst"),
        ("udp,tcp_dst=80", "tcp_dst needs tcp or tcp6", "tcp_dst"),
        ("ip,nw_frag=later,nw_proto=6,tp_dst=80", "tp_dst needs", "tp_dst"),
        ("vlan_pcp=1", "vlan_pcp needs dl_vlan", "vlan_pcp"),
        ("icmp6,icmpv6_type=136,nd_sll=02:00:00:00:00:01", "nd_sll needs icmp6,icmpv6_type=135", "nd_sll"),
        ("ip,tcp", "the Ethernet type is set twice", "tcp"),
        ("dl_type=0x0800,ip", "the Ethernet type is set twice", "ip"),
        ("tcp,nw_proto=6", "nw_proto is set twice", "nw_proto"),
        ("ip,nw_src=10.0.0.1,ip_src=10.0.0.2", "ip_src is set twice", "ip_src"),
        ("reg0=1", "'reg0' is neither a protocol nor a field", "reg0"),
        ("ip,nw_src", "ip_src has no value", ""),
        ("ip,nw_src=", "ip_src has no value", ""),
        ("ip,nw_src=10.0.0", "IPv4 address", "10.0.0"),
        ("ip,nw_src=10.0.0.0/33", "IPv4 address", "33"),
        ("in_port=65536", "up to 16 bits", "65536"),
        ("in_port=p9", "there is no port p9", "p9"),
        ("in_port=1/1", "in_port takes no mask", "/1"),
        ("ip,nw_tos=3", "up to 8 bits, and a multiple of 4", "3"),
        ("recirc_id=x", "expected a number", "x"),
        ("tcp,tcp_flags=+nonsense", "TCP flags", "+nonsense"),
        ("ip,=3", "expected a field before '='", "=3"),
    ],
)
def test_a_mistake_is_pointed_at(text, said, at):
    with pytest.raises(FlowSyntaxError, match=said) as error:
        parse_filter(text, NAMES.get)
    assert text[error.value.pos :].startswith(at)
    assert at or error.value.pos == len(text)
    assert caret(error.value)
