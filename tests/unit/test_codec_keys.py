"""Keys and masks on the wire: what is sent, what is read, and what is refused."""

import contextlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctl import fields
from ctl.attrs import KeyAttrs
from ctl.codec import decode_key, decode_mask, encode_key, encode_mask, key_attrs, mask_attrs
from ctl.codec.layouts import LAYOUTS
from ctl.codec.nla import nest, pack
from ctl.codec.numbers import KeyAttr, NshAttr
from ctl.errors import FlowInvalid
from ctl.flow import Match
from ctl.headers import GeneveOption, Nsh, Tunnel, TunnelFlag
from ctl.text import parse_flow
from ctl.text.grammar import KeyParser
from ctl.validate import match_from_attrs
from tests.unit import strategies
from tests.unit.attr_strategies import any_attrs
from tests.unit.codec_vectors import KEYS, NOT_HELD

ANY = KeyAttrs()


def attrs(text):
    parser = KeyParser(text, None)
    parser.read(len(text))
    return parser.level.key


def octets(text):
    return bytes.fromhex(text)


def match_of(key, mask):
    attrs = decode_key(key)
    return match_from_attrs(attrs, decode_mask(mask, attrs))


@pytest.mark.parametrize(("text", "wire"), KEYS.items())
def test_a_key_attribute_is_what_the_header_says(text, wire):
    assert encode_key(attrs(text)) == octets(wire)
    assert decode_key(octets(wire)) == attrs(text)


def test_there_is_a_vector_for_each_layout_and_a_layout_for_each_section():
    assert set(LAYOUTS) == set(fields.ALL_SECTIONS)
    written = {name for text in KEYS for name in re.findall(r"([a-z_0-9]+)\(", text)}
    assert written | {name for name, _ in NOT_HELD} >= set(LAYOUTS)


@pytest.mark.parametrize(("section", "wire"), NOT_HELD.items())
def test_an_attribute_that_is_not_matched_is_what_the_header_says(section, wire):
    name, values = section
    attrs = KeyAttrs({name: values})
    assert encode_key(attrs) == octets(wire)
    assert decode_key(octets(wire), userspace=True) == attrs
    assert decode_mask(octets(wire), attrs, userspace=True) == attrs


@pytest.mark.parametrize("number", [29, 30, 31])
def test_the_kernel_has_neither_packet_type_nor_nd_ext_nor_tunnel_info(number):
    size = 12 if number == 30 else 8
    wire = octets(f"{size:02x}00 {number:02x}00") + bytes(size - 5) + b"\1"
    for decode in (decode_key, lambda wire: decode_mask(wire, ANY)):
        with pytest.raises(FlowInvalid, match=r"of OVS's userspace datapath only|unknown attribute, number 31"):
            decode(wire)


TUNNEL = Tunnel(tun_id=5, flags=TunnelFlag.KEY, ipv4_dst=0x0A000001, ttl=64, geneve=(GeneveOption(0x102, 3, b"abcd"),))
TUNNEL_MASK = Tunnel(
    tun_id=0xFF,
    flags=TunnelFlag.KEY,
    ipv4_dst=0xFFFFFF00,
    ttl=0xFF,
    geneve=(GeneveOption(0xFFFF, 0xFF, b"\xff\0\0\0"),),
)
NSH = Nsh(mdtype=1, np=1, spi=7, context=bytes(range(16)))


def test_a_tunnel_and_a_service_header_are_nested():
    key = KeyAttrs({"in_port": (1,)}, tunnel=TUNNEL, nsh=NSH)
    mask = KeyAttrs({"in_port": (0xFFFFFFFF,)}, tunnel=TUNNEL_MASK, nsh=Nsh(spi=0xFFFFFF, context=bytes(16)))
    wire = encode_key(key)
    assert wire == octets(
        "2c00 1000  0c00 0000 0000000000000005  0800 0200 0a000001  0500 0400 40 000000  0c00 0800 0102 03 01 61626364"
        "0800 0300 01000000  2400 1c00  0c00 0100 00000101 00000700  1400 0200 000102030405060708090a0b0c0d0e0f"
    )
    assert decode_key(wire) == key
    assert decode_mask(encode_mask(mask), key) == mask


def test_a_tunnel_in_a_mask_alone_says_which_flags_are_looked_at():
    # As OVS sends it when the key has no tunnel.
    assert decode_mask(octets("0800 1000 0400 0600"), ANY).tunnel == Tunnel(flags=TunnelFlag.CSUM)


def test_a_mask_of_an_erspan_header_is_exact_where_its_bits_are():
    key = KeyAttrs(tunnel=Tunnel(ttl=1, erspan_ver=2, erspan_dir=1, erspan_hwid=0x2A))
    for hwid, wire in ((0xFF, "03 f8"), (0x0F, "00 f8")):
        mask = KeyAttrs(tunnel=Tunnel(erspan_dir=0xFF, erspan_hwid=hwid))
        sent = encode_mask(mask)
        assert sent.endswith(octets(f"00000000 00000000 0000 {wire}"))
        assert decode_mask(sent, key) == mask


@pytest.mark.parametrize(
    "beyond", [Tunnel(ttl=1, erspan_ver=2, erspan_dir=2), Tunnel(ttl=1, erspan_ver=2, erspan_hwid=64)]
)
def test_an_erspan_header_that_has_no_room_for_its_numbers_is_refused(beyond):
    with pytest.raises(FlowInvalid, match="at most 63"):
        encode_key(KeyAttrs(tunnel=beyond))


@given(any_attrs())
def test_attributes_that_no_rule_allows_come_back_too(drawn):
    back, refused = None, ""
    try:
        back = decode_key(encode_key(drawn.key), userspace=True)
    except FlowInvalid as e:
        refused = e.attribute
    # Options of two kinds, a direction of 2, a third tag.
    assert back == drawn.key or refused in ("tunnel", "tunnel erspan", "encap")


@given(strategies.attrs())
def test_attributes_come_back_as_they_were(drawn):
    assert decode_key(encode_key(drawn.key)) == drawn.key


@given(strategies.attrs())
def test_a_match_from_the_wire_is_the_match_of_its_attributes(drawn):
    match = match_from_attrs(drawn.key, drawn.mask)
    assert match_from_attrs(decode_key(encode_key(drawn.key)), decode_mask(encode_mask(drawn.mask), drawn.key)) == match


def is_superfluous(match):
    """Whether the key has bits that its kind of packet has no attribute for: those cannot be answered."""
    return match_from_attrs(decode_key(encode_key(key_attrs(match.key))), None).key != match.key


@given(strategies.matches())
def test_an_answer_is_read_as_the_flow_that_it_is_about(match):
    key, mask = encode_key(key_attrs(match.key)), encode_mask(mask_attrs(match))
    again = match_of(key, mask)
    assert again.masked == match.masked
    assert again.mask == match.mask
    assert again.key == match.key or is_superfluous(match)


@given(strategies.matches())
def test_a_masked_key_and_its_mask_are_read_as_that_flow(match):
    masked = Match(match.masked, match.mask)
    key, mask = encode_key(key_attrs(masked.key)), encode_mask(mask_attrs(masked))
    again = match_of(key, mask)
    assert (again.masked, again.mask) == (masked.key, masked.mask)


@given(strategies.matches())
def test_octets_that_we_send_are_read_and_sent_again_as_they_are(match):
    for wire in (encode_key(key_attrs(match.key)), encode_mask(mask_attrs(match))):
        assert encode_key(decode_key(wire)) == wire


TAGGED = "eth(),eth_type(0x8100),vlan(vid=5),encap(eth_type(0x0800),ipv4(proto=17),udp(dst=53))"


def answered(text):
    match = parse_flow(text).match
    return encode_key(key_attrs(match.key)), encode_mask(mask_attrs(match))


def test_the_kernels_order_of_attributes():
    key, mask = answered("in_port(1)," + TAGGED)
    front = (
        "0800 1400 00000000  0800 1300 00000000  0800 0200 00000000  0800 0300 01000000  0800 0f00 00000000"
        "1000 0400 000000000000000000000000  0600 0600 8100 0000  0600 0500 1005 0000"
    )
    assert key == octets(
        front + "2400 0100  0600 0600 0800 0000  1000 0700 0000000000000000 11000000  0800 0a00 0000 0035"
    )
    assert mask == octets(
        "0800 1400 ffffffff  0800 1300 00000000  0800 0200 00000000  0800 0300 ffffffff  0800 0f00 00000000"
        "1000 0400 000000000000000000000000  0600 0600 ffff 0000  0600 0500 1fff 0000"
        "2400 0100  0600 0600 ffff 0000  1000 0700 0000000000000000 ff000000  0800 0a00 0000 ffff"
    )


@pytest.mark.parametrize(
    ("text", "key_has", "mask_has"),
    [
        ("eth()", [], ["in_port"]),  # a port that is not named has no attribute; ours is wild
        ("eth(),eth_type(0/0xffff)", [], ["eth_type"]),  # 802.2: no type, and a mask of one
        ("eth(),eth_type(0x0800),ipv4()", ["eth_type", "ipv4"], ["eth_type", "ipv4"]),
        ("eth(),eth_type(0x0800/0),ipv4()", ["eth_type", "ipv4"], ["eth_type", "ipv4"]),
        ("eth_type(0x0800),ipv4()", ["eth_type", "ipv4"], ["eth_type", "ipv4"]),
    ],
)
def test_attributes_that_are_there_or_not(text, key_has, mask_has):
    match = parse_flow(text).match
    named = {"eth_type", "ipv4", "in_port"}
    assert named & set(key_attrs(match.key).sections) == set(key_has)
    assert named & set(mask_attrs(match).sections) == set(mask_has) - {"in_port"}


def test_a_port_that_is_looked_at_and_not_named_has_a_mask_only():
    match = parse_flow("in_port(65535/0xffffffff),eth()").match
    assert "in_port" not in key_attrs(match.key).sections
    assert mask_attrs(match).sections["in_port"] == (0xFFFFFFFF,)


def test_a_masked_key_of_any_type_is_sent_without_a_type():
    match = parse_flow("eth(),eth_type(0x1234/0)").match
    assert "eth_type" not in key_attrs(match.masked).sections
    layer_3 = parse_flow("eth_type(0x1234/0)").match
    assert key_attrs(layer_3.masked).sections["eth_type"] == (0xFFFF,)


def test_a_mask_of_zeros_is_as_if_it_were_not_there():
    wire = octets(KEYS["ipv4(src=10.0.0.1,dst=10.0.0.2,proto=6,tos=0x4,ttl=64,frag=first)"][:9] + 24 * "0")
    assert decode_mask(wire, ANY) == KeyAttrs()
    assert decode_mask(wire + wire, ANY) == KeyAttrs()  # not even a duplicate
    assert "ipv4" in decode_key(wire).sections


def test_bits_of_a_mask_beyond_the_field_are_dropped():
    wide = octets("0600 1200 ffff 0000")  # tcp_flags have 12 bits, their attribute 16
    assert decode_mask(wide, ANY).sections == {"tcp_flags": (0xFFF,)}
    assert decode_key(wide).sections == {"tcp_flags": (0xFFFF,)}


def test_an_empty_encap_of_a_mask_belongs_to_a_tags_mask():
    empty = octets("0400 0100")
    assert decode_mask(empty, ANY) == KeyAttrs()
    assert decode_mask(octets("0600 0500 1fff 0000") + empty, ANY).encap == KeyAttrs()
    assert decode_key(empty).encap == KeyAttrs()


def test_the_nested_bit_of_a_type_is_ignored():
    assert decode_key(octets("0c00 0180 0600 0600 0800 0000")) == decode_key(octets("0c00 0100 0600 0600 0800 0000"))


REFUSED = [
    ("0800 1f00 00000000", "key", "unknown attribute, number 31"),  # inside the kernel only
    ("0800 6300 00000000", "key", "unknown attribute, number 99"),
    ("0800 0000 00000000", "key", "unknown attribute, number 0"),
    ("0800 0300 01000000 0800 0300 01000000", "in_port", "given twice (at octet 8 of the message)"),
    ("0700 0300 010000 00", "in_port", "has 3 octets instead of 4"),
    ("0400 1500", "mpls", "has 0 octets instead of 4 or 8 or 12"),
    ("0700 1500 010203 00", "mpls", "has 3 octets"),
    ("1400 1500 00000001 00000002 00000003 00000004", "mpls", "has 16 octets"),
    ("0800 0300 01000000 0000", "key", "2 octets at the end are no attribute (at octet 8 of the message)"),
    ("0800 0300", "key", "4 octets at the end are no attribute"),
    ("0300 0300 00000000", "key", "8 octets at the end are no attribute"),
    ("0c00 0100 0700 0300 01000000", "in_port", "has 3 octets instead of 4 (at octet 4 of the message)"),
    ("1000 0100 0c00 0100 0800 0100 0400 0100", "encap", "a third tag cannot be matched"),
]


@pytest.mark.parametrize(("wire", "attribute", "why"), REFUSED)
def test_a_list_that_is_none_is_refused_by_name_and_place(wire, attribute, why):
    with pytest.raises(FlowInvalid, match=re.escape(why)) as caught:
        decode_key(octets(wire))
    assert caught.value.attribute == attribute
    assert "\n" not in str(caught.value)


NSH_BASE = "0c00 0100 00 3f {mdtype} 01 00000000"


def service_header(mdtype, *contexts):
    """The octets of a key with a service header and these attributes of context."""
    inner = octets(NSH_BASE.format(mdtype=f"{mdtype:02x}")) + b"".join(
        pack(number, context) for number, context in contexts
    )
    return nest(KeyAttr.NSH, inner)


@pytest.mark.conformance("A17.16")
@pytest.mark.parametrize(
    ("mdtype", "number", "context"),
    [(1, NshAttr.MD1, bytes(16)), (2, NshAttr.MD2, bytes(4)), (2, NshAttr.MD2, bytes(248))],
)
def test_a_service_header_with_the_context_of_its_kind_is_accepted(mdtype, number, context):
    header = decode_key(service_header(mdtype, (number, context))).nsh
    assert (header.mdtype, header.context) == (mdtype, context)


@pytest.mark.conformance("A17.16")
@pytest.mark.parametrize(
    ("mdtype", "contexts", "why"),
    [
        (1, [(NshAttr.MD1, bytes(12))], "nsh md1: has 12 octets"),
        (2, [(NshAttr.MD1, bytes(16))], "nsh md1: does not go with mdtype 2"),
        (1, [(NshAttr.MD2, bytes(16))], "nsh md2: does not go with mdtype 1"),
        (2, [(NshAttr.MD2, b"")], "nsh md2: has 0 octets"),
        (2, [(NshAttr.MD2, bytes(252))], "nsh md2: has 252 octets"),
        (1, [(NshAttr.MD1, bytes(16)), (NshAttr.MD2, bytes(16))], "md1 and md2 exclude each other"),
    ],
)
def test_a_service_header_with_another_context_is_refused(mdtype, contexts, why):
    with pytest.raises(FlowInvalid, match=re.escape(why)):
        decode_key(service_header(mdtype, *contexts))


@given(st.binary(max_size=64))
def test_any_octets_are_read_or_refused(wire):
    for decode in (decode_key, lambda wire: decode_mask(wire, KeyAttrs(tunnel=TUNNEL))):
        with contextlib.suppress(FlowInvalid):
            decode(wire)
