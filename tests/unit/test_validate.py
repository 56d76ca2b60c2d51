"""The rules of the interface, each with what it accepts and what it refuses."""

import pytest

from ctl import fields
from ctl.errors import FlowInvalid
from ctl.text import parse_flow
from ctl.validate import KeyAttrs, key_from_attrs, match_from_attrs

IP = "eth(),eth_type(0x0800),"
IP6 = "eth(),eth_type(0x86dd),"
TAG = "eth(),eth_type(0x8100),"
TWO_TAGS = "eth(),eth_type(0x88a8),vlan(vid=1),encap(eth_type(0x8100),{})"
LABELS = "eth(),eth_type(0x8847),"

ACCEPTED = [
    (1, TAG + "vlan(),encap(eth_type(0x0800)),ipv4()"),
    (5, "eth()"),
    (5, "eth_type(0x1234)"),
    (6, "eth(),eth_type(0x0600)"),
    (7, IP + "ipv4()"),
    (7, IP6 + "ipv6()"),
    (7, "eth(),eth_type(0x0806),arp()"),
    (7, "eth(),eth_type(0x8035),arp()"),
    (7, "eth(),eth_type(0x88cc)"),
    (8, IP + "ipv4(proto=6),tcp(),tcp_flags(0/0)"),
    (8, IP + "ipv4(proto=17),udp()"),
    (8, IP + "ipv4(proto=1),icmp()"),
    (8, IP + "ipv4(proto=58)"),
    (8, IP6 + "ipv6(proto=6),tcp(),tcp_flags(0/0)"),
    (8, IP6 + "ipv6(proto=17),udp()"),
    (8, IP6 + "ipv6(proto=58),icmpv6()"),
    (8, IP6 + "ipv6(proto=1)"),
    (8, IP + "ipv4(proto=6,frag=later)"),
    (8, IP6 + "ipv6(proto=58,frag=later)"),
    (7, LABELS + "mpls()"),
    (7, "eth(),eth_type(0x8848),mpls(label=1)"),
    (8, IP + "ipv4(proto=132),sctp()"),
    (8, IP6 + "ipv6(proto=132),sctp()"),
    (8, IP + "ipv4(proto=132,frag=later)"),
    (8, IP6 + "ipv6(proto=58),icmpv6(type=135),nd()"),
    (8, IP6 + "ipv6(proto=58),icmpv6(type=136,code=1),nd()"),
    (8, IP6 + "ipv6(proto=58),icmpv6(type=134)"),
    (9, IP + "ipv4(),nd(),mpls(),sctp(src=1/0)"),
    (9, IP + "ipv4(proto=17),udp(),tcp(src=1/0)"),
    (9, IP + "ipv4(),ipv6(hlimit=3/0),arp()"),
    (9, "eth(),eth_type(0x88cc),ipv4(),icmp()"),
    (10, IP + "ipv4(proto=17),udp(dst=53)"),
    (10, IP + "ipv4(proto=17,frag=first),udp(dst=53)"),
    (10, LABELS + "mpls(label=1,label=2,label=3)"),
    (10, IP + "ipv4(proto=132),sctp(dst=53)"),
    (10, IP6 + "ipv6(proto=58),icmpv6(type=135),nd(target=fd00::1)"),
    (11, "eth(),eth_type(0x0800/0),ipv4()"),
    (11, "eth(),eth_type(0x8847/0),mpls()"),
    (12, "recirc_id(0xffffffff),dp_hash(1/1),skb_mark(2/3),skb_priority(4/0),eth()"),
    (13, "in_port(65534),eth()"),
    (13, "in_port(1/0),eth()"),
    (14, TAG + "vlan(vid=1),encap()"),
    (14, TAG + "vlan(vid=1),encap(eth_type(0x0800),ipv4())"),
    (14, TAG + "vlan(vid=1),encap(eth_type(0x0800)),ipv4()"),
    (14, "eth(),eth_type(0x88a8),vlan(),encap()"),
    (14, TAG + "vlan(vid=0,pcp=0,cfi=0),encap()"),
    (14, TAG + "vlan(cfi=0),encap()"),
    (14, "eth_type(0x8100)"),
    (14, TWO_TAGS.format("vlan(vid=2),encap()")),
    (14, TWO_TAGS.format("vlan(vid=2),encap(eth_type(0x0800),ipv4())")),
    (14, TWO_TAGS.format("vlan(vid=2),encap(eth_type(0x8100))")),
    (14, TWO_TAGS.format("vlan(cfi=0),encap()")),
    (14, TWO_TAGS.format("vlan(),encap(eth_type(0x88cc/0))")),
    (17, TWO_TAGS.format("vlan(vid=2),encap(eth_type(0x0800),ipv4())")),
    (15, IP + "ipv4(frag=later)"),
    (15, "eth(),eth_type(0x0806),arp(op=255)"),
    (15, IP6 + "ipv6(label=0xfffff)"),
]

# rule, text, the attribute that is named
REFUSED = [
    (1, TAG + "vlan(),encap(eth_type(0x0800),ipv4()),ipv4()", "ipv4"),
    (5, "in_port(1)", "eth"),
    (5, "recirc_id(0)", "eth"),
    (6, "eth(),eth_type(0x05ff)", "eth_type"),
    (6, "eth(),eth_type(0)", "eth_type"),
    (6, "eth(),eth_type(4/0)", "eth_type"),
    (7, "eth(),eth_type(0x0800)", "ipv4"),
    (7, "eth(),eth_type(0x0800/0)", "ipv4"),
    (7, IP + "ipv6()", "ipv4"),
    (7, "eth(),eth_type(0x86dd)", "ipv6"),
    (7, "eth(),eth_type(0x0806)", "arp"),
    (7, "eth(),eth_type(0x8035)", "arp"),
    (7, "eth(),eth_type(0x8847)", "mpls"),
    (7, "eth(),eth_type(0x8848/0)", "mpls"),
    (8, IP + "ipv4(proto=132)", "sctp"),
    (8, IP6 + "ipv6(proto=132,frag=first)", "sctp"),
    (8, IP6 + "ipv6(proto=58),icmpv6(type=135)", "nd"),
    (8, IP6 + "ipv6(proto=58),icmpv6(type=136/0)", "nd"),
    (8, IP + "ipv4(proto=6)", "tcp"),
    (8, IP + "ipv4(proto=6),tcp()", "tcp_flags"),
    (8, IP + "ipv4(proto=6),tcp_flags(0/0)", "tcp"),
    (8, IP + "ipv4(proto=6/0),tcp()", "tcp_flags"),
    (8, IP + "ipv4(proto=6,frag=first),tcp()", "tcp_flags"),
    (8, IP + "ipv4(proto=17)", "udp"),
    (8, IP + "ipv4(proto=1)", "icmp"),
    (8, IP6 + "ipv6(proto=17)", "udp"),
    (8, IP6 + "ipv6(proto=58)", "icmpv6"),
    (10, IP + "ipv4(),arp(op=9)", "arp"),
    (10, "eth(),eth_type(0x88cc),ipv4(src=1.2.3.4)", "ipv4"),
    (10, "eth(),eth_type(0x0800/0),ipv4(src=1.2.3.4)", "ipv4"),
    (10, IP + "ipv4(proto=17),udp(),tcp(src=1)", "tcp"),
    (10, IP + "ipv4(proto=17/0xf),udp(src=1)", "udp"),
    (10, IP + "ipv4(),udp(src=1)", "udp"),
    (10, IP + "ipv4(proto=17,frag=later),udp(src=1)", "udp"),
    (10, IP6 + "ipv6(proto=1),icmp(type=1)", "icmp"),
    (10, "eth(),eth_type(0x0806),arp(op=17),udp(src=1)", "udp"),
    (10, IP + "ipv4(),mpls(label=1)", "mpls"),
    (10, "eth(),eth_type(0x8847/0),mpls(label=1)", "mpls"),
    (10, IP + "ipv4(proto=17),udp(),sctp(src=1)", "sctp"),
    (10, IP + "ipv4(proto=132/0xf0),sctp(src=1)", "sctp"),
    (10, IP6 + "ipv6(proto=58),icmpv6(type=134),nd(target=::1)", "nd"),
    (10, IP6 + "ipv6(proto=58),icmpv6(type=135/0x7f),nd(target=::1)", "nd"),
    (10, IP6 + "ipv6(proto=58/0),icmpv6(type=135/0),nd(target=::1)", "nd"),
    (11, "eth(),eth_type(0x0800/0),ipv4(src=1.2.3.4)", "ipv4"),
    (12, "recirc_id(1/0xff),eth()", "recirc_id"),
    (13, "in_port(65535),eth()", "in_port"),
    (13, "in_port(0xffffffff),eth()", "in_port"),
    (14, "eth(),eth_type(0x8100)", "eth_type"),
    (14, TAG + "vlan(vid=1)", "eth_type"),
    (14, TAG + "encap()", "eth_type"),
    (14, "eth(),vlan(vid=1),encap()", "vlan"),
    (14, "eth(),encap()", "encap"),
    (14, "eth(),eth_type(0x0800),vlan(vid=1),encap(),ipv4()", "vlan"),
    (14, "eth_type(0x8100),vlan(vid=1),encap()", "vlan"),
    (14, TAG + "vlan(vid=1,cfi=0),encap()", "vlan"),
    (14, TAG + "vlan(cfi=0),encap(eth_type(0x1234))", "encap"),
    (14, "eth(),eth_type(0x8100/0),vlan(vid=1),encap()", "eth_type"),
    (14, "eth(),eth_type(0x8100/0xff00),vlan(vid=1),encap()", "eth_type"),
    (14, TAG + "vlan(vid=1,cfi=1/0),encap()", "vlan"),
    (14, TAG + "vlan(),encap(eth())", "eth"),
    (14, TWO_TAGS.format("encap()"), "eth_type"),
    (14, "eth(),eth_type(0x88a8),vlan(vid=1),encap(eth_type(0x8100))", "eth_type"),
    (14, TWO_TAGS.format("vlan(vid=2)"), "eth_type"),
    (14, "eth(),eth_type(0x88a8),vlan(vid=1),encap(eth_type(0x0800),vlan(vid=1),ipv4())", "vlan"),
    (14, TWO_TAGS.format("vlan(vid=2,cfi=0),encap()"), "vlan"),
    (14, TWO_TAGS.format("vlan(cfi=0),encap(encap())"), "encap"),
    (14, TWO_TAGS.format("vlan(vid=2,cfi=1/0),encap()"), "vlan"),
    (14, "eth(),eth_type(0x88a8),vlan(vid=1),encap(eth_type(0x8100/0),vlan(vid=2),encap())", "eth_type"),
    (14, TWO_TAGS.format("vlan(),encap(eth())"), "eth"),
    (14, TWO_TAGS.format("vlan(),encap(eth_type(0x8100),vlan(),encap())"), "vlan"),
    (14, "eth_type(0x8100),vlan(),encap(eth())", "vlan"),
    (17, TWO_TAGS.format("vlan(),encap(eth_type(0x8100),vlan(),encap())"), "vlan"),
    (15, LABELS + "mpls(label=1,label=2,label=3,label=4)", "mpls"),
    (15, "eth(),eth_type(0x0806),arp(op=256)", "arp"),
    (15, IP + "ipv4(frag=no/0x1)", "ipv4"),
    (15, "recirc_id(0/0),eth()", "recirc_id"),
]


def rule(*numbers):
    return pytest.mark.conformance(*(f"A17.{number}" for number in numbers))


def by_rule(rows):
    return [pytest.param(*row, marks=rule(number)) for number, *row in rows]


@pytest.mark.parametrize("text", by_rule(ACCEPTED))
def test_accepted(text):
    assert parse_flow(text).match is not None


@pytest.mark.parametrize(("text", "attribute"), by_rule(REFUSED))
def test_refused(text, attribute):
    with pytest.raises(FlowInvalid) as caught:
        parse_flow(text)
    assert caught.value.attribute == attribute
    assert caught.value.exit_status == 2


def attrs(encap=None, **sections):
    return KeyAttrs({name: value if isinstance(value, tuple) else (value,) for name, value in sections.items()}, encap)


ETH = (1, 2)
IPV4 = (1, 2, 47, 0, 0, 0)
ANY = (0,) * 6


@rule(3)
def test_no_mask_makes_every_given_attribute_exact():
    match = match_from_attrs(attrs(eth=ETH, eth_type=0x800, ipv4=IPV4), None)
    exact = parse_flow(
        "eth(src=0:0:0:0:0:1,dst=0:0:0:0:0:2),eth_type(0x800),ipv4(src=0.0.0.1,dst=0.0.0.2,proto=47,tos=0,ttl=0,frag=no)"
    )
    assert match == exact.match
    tagged = attrs(attrs(eth_type=0x88CC), eth=ETH, eth_type=0x8100, vlan=(1, 0, 1))
    assert match_from_attrs(tagged, None).mask["vlan_tci"] == 0xFFFF


@rule(3, 9)
def test_no_mask_refuses_superfluous_attributes():
    key = attrs(eth=ETH, eth_type=0x800, ipv4=IPV4, tcp=(1, 2))
    with pytest.raises(FlowInvalid, match="tcp"):
        match_from_attrs(key, None)
    assert key_from_attrs(key)["tp_src"] == 1


@rule(9)
def test_the_last_of_attributes_that_share_a_leaf_counts():
    key = attrs(eth=ETH, eth_type=0x800, ipv4=(1, 2, 17, 0, 0, 0), udp=(5, 6), tcp=(1, 2))
    assert key_from_attrs(key)["tp_src"] == 5


@rule(2)
def test_zero_masks_are_as_good_as_none():
    key = attrs(eth=ETH, eth_type=0x800, ipv4=IPV4)
    plain = match_from_attrs(key, attrs(eth_type=0xFFFF))
    assert match_from_attrs(key, attrs(eth=(0, 0), eth_type=0xFFFF, ipv4=ANY, udp=(0, 0))) == plain


@rule(2)
def test_a_mask_of_more_than_zeros_is_refused_without_its_value():
    with pytest.raises(FlowInvalid, match="udp"):
        match_from_attrs(attrs(eth=ETH, eth_type=0x800, ipv4=IPV4), attrs(eth_type=0xFFFF, udp=(0, 1)))


@rule(4)
def test_masks_that_need_no_value():
    for name in ("in_port", "eth_type"):
        assert match_from_attrs(attrs(eth=ETH), attrs(**{name: 1})).mask[name] == 0xFFFF


@rule(4)
def test_other_masks_are_refused_without_a_value():
    with pytest.raises(FlowInvalid, match="ipv4"):
        match_from_attrs(attrs(eth=ETH), attrs(ipv4=(1, 0, 0, 0, 0, 0)))


@rule(11, 13)
def test_type_and_port_masks_are_widened():
    match = match_from_attrs(attrs(in_port=3, eth=ETH, eth_type=0x88CC), attrs(in_port=1, eth_type=8))
    assert (match.mask["in_port"], match.mask["eth_type"]) == (0xFFFF, 0xFFFF)


@rule(12)
def test_the_tag_is_exact_when_the_mask_does_not_mention_it():
    key = attrs(attrs(eth_type=0x88CC), eth=ETH, eth_type=0x8100, vlan=(5, 0, 1))
    match = match_from_attrs(key, attrs(eth=(0, 1)))
    assert (match.mask["vlan_tci"], match.mask["vlan_tpid"], match.mask["eth_type"]) == (0xFFFF, 0xFFFF, 0)


@rule(14)
@pytest.mark.parametrize(
    ("mask", "attribute"),
    [
        (attrs(attrs(), eth_type=0xFFFF), "vlan"),
        (attrs(attrs(), vlan=(0xFFF, 7, 1)), "eth_type"),
        (attrs(attrs(), eth_type=0xFFFF, vlan=(0xFFF, 7, 0)), "vlan"),
        (attrs(vlan=(0xFFF, 7, 1)), "vlan"),
    ],
)
def test_refused_masks_of_a_tag(mask, attribute):
    key = attrs(attrs(eth_type=0x88CC), eth=ETH, eth_type=0x8100, vlan=(5, 0, 1))
    with pytest.raises(FlowInvalid) as caught:
        match_from_attrs(key, mask)
    assert caught.value.attribute == attribute


@rule(14)
def test_refused_masks_of_a_tag_that_is_not_there():
    for mask in (attrs(attrs(), eth_type=0xFFFF), attrs(vlan=(1, 0, 1))):
        with pytest.raises(FlowInvalid):
            match_from_attrs(attrs(eth=ETH), mask)


@rule(14, 17)
def test_a_refused_second_tag_in_the_mask():
    key = attrs(attrs(), eth=ETH, eth_type=0x8100, vlan=(5, 0, 1))
    with pytest.raises(FlowInvalid, match="no second tag"):
        match_from_attrs(key, attrs(attrs(attrs()), eth_type=0xFFFF, vlan=(0xFFF, 7, 1)))


@rule(12)
def test_second_tags_are_exact_when_the_mask_does_not_mention_them():
    key = attrs(
        attrs(attrs(eth_type=0x88CC), eth_type=0x8100, vlan=(6, 0, 1)), eth=ETH, eth_type=0x88A8, vlan=(5, 0, 1)
    )
    match = match_from_attrs(key, attrs(attrs(), eth_type=0xFFFF, vlan=(0xFFF, 0, 1)))
    assert (match.mask["vlan_tci"], match.mask["vlan_tpid"]) == (0x1FFF, 0xFFFF)
    assert (match.mask["cvlan_tci"], match.mask["cvlan_tpid"]) == (0xFFFF, 0xFFFF)
    assert match.mask["eth_type"] == 0


@rule(12)
def test_a_missing_second_tag_is_exact():
    match = parse_flow(TAG + "vlan(vid=1),encap(eth_type(0x88cc))").match
    assert (match.mask["cvlan_tci"], match.mask["cvlan_tpid"]) == (0xFFFF, 0)


@rule(15)
@pytest.mark.parametrize(
    "row",
    [row for row in fields.ROWS if row.section in ("ipv6", "ipv4", "vlan", "tcp_flags", "mpls", "nd", "skb_mark")],
)
def test_refused_values_wider_than_their_field(row):
    rows = fields.SECTIONS[row.section]
    values = tuple(row.full + 1 if other == row else other.default for other in rows)
    frame = {"eth": ETH, "eth_type": 0x88CC} | {row.section: values}
    key = attrs(**frame)
    if row.section == "vlan":
        key = attrs(attrs(), **(frame | {"eth_type": 0x8100}))
    with pytest.raises(FlowInvalid):
        key_from_attrs(key)


def test_equal_masks_are_one_object():
    first, second = (parse_flow(f"in_port({n}),eth(),eth_type(0x800),ipv4(dst=10.0.0.{n})") for n in (1, 2))
    assert first.match.mask is second.match.mask


def test_hints_lead_to_a_legal_flow():
    with pytest.raises(FlowInvalid) as caught:
        parse_flow(IP + "ipv4(proto=6),tcp()")
    assert caught.value.message == "tcp_flags: missing, and ipv4(proto=6) needs it"
    assert caught.value.hint == "add tcp_flags(0/0) to match any"
