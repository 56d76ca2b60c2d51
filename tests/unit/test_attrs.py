"""Attributes: from text and back, from a match and back, and what of them the datapath takes."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctl import fields
from ctl.attrs import KeyAttrs
from ctl.errors import CtlError, FlowInvalid, FlowSyntaxError, NotSupported
from ctl.flow import Match
from ctl.headers import Nsh, Tunnel
from ctl.outline import attrs_of
from ctl.text import format_attrs, parse_attrs, parse_flow, parse_flow_id
from ctl.validate import match_from_attrs
from tests.unit import strategies
from tests.unit.attr_strategies import any_attrs

GOLDEN = Path(__file__).parents[1] / "golden" / "attrs.txt"
LINES = [line for line in GOLDEN.read_text().splitlines() if not line.startswith("#")]


@given(strategies.matches())
def test_a_match_comes_back_from_its_attributes(match):
    assert match_from_attrs(*attrs_of(match)) == match
    masked = match_from_attrs(*attrs_of(Match(match.masked, match.mask)))
    assert (masked.masked, masked.mask) == (match.masked, match.mask)


def test_a_truncated_tag_may_have_a_wild_type():
    tag = KeyAttrs({"eth": (1, 2), "eth_type": (0x8100,), "vlan": (0, 0, 0)}, KeyAttrs())
    match = match_from_attrs(tag, KeyAttrs({"eth": (0, 1)}))
    assert match_from_attrs(*attrs_of(match)) == match


@given(any_attrs(), st.none() | strategies.ufids())
def test_all_attributes_come_back_from_their_text(drawn, ufid):
    text = format_attrs(drawn.key, drawn.mask, ufid=ufid)
    assert parse_attrs(text) == (ufid, drawn.key, drawn.mask)


@pytest.mark.parametrize("line", LINES)
def test_golden_lines_come_back(line):
    parsed = parse_attrs(line)
    assert format_attrs(parsed.key, parsed.mask, ufid=parsed.ufid) == line


def test_the_golden_lines_have_every_attribute():
    text = "\n".join(LINES)
    assert [name for name in fields.NOT_HELD if f"{name}(" not in text] == []
    assert all(f"{row.name}=" in text for rows in fields.NOT_HELD.values() for row in rows if row.name)


def test_without_a_mask_everything_is_exact():
    key = KeyAttrs({"in_port": (1,), "ct_state": (0x21,), "vlan": (0, 0, 1), "mpls": (1, 0, 0, 1) + (0,) * 8})
    key.tunnel, key.nsh = Tunnel(ipv4_dst=1), Nsh(mdtype=2)
    assert format_attrs(key, None) == (
        "tunnel(dst=0.0.0.1,ttl=0,flags(0)),in_port(1),ct_state(new|trk),vlan(vid=0,pcp=0),"
        "mpls(label=1,tc=0,ttl=0,bos=1,label=0,tc=0,ttl=0,bos=0,label=0,tc=0,ttl=0,bos=0),"
        "nsh(flags=0,ttl=0,mdtype=2,np=0,spi=0x0,si=0)"
    )


def test_masks_that_are_missing_are_zeros():
    key = KeyAttrs({"ct_mark": (5,)}, KeyAttrs(), Tunnel(ttl=1), Nsh(si=2))
    assert format_attrs(key, KeyAttrs()) == "tunnel(ttl=1/0),ct_mark(0x5/0),encap(),nsh(si=0x02/0x00)"


def test_port_names_are_printed():
    assert format_attrs(KeyAttrs({"in_port": (1,)}), None, port_name={1: "up"}.get) == "in_port(up)"


@pytest.mark.parametrize(
    "mask", [KeyAttrs({"ct_mark": (1,)}), KeyAttrs(encap=KeyAttrs()), KeyAttrs(tunnel=Tunnel()), KeyAttrs(nsh=Nsh())]
)
def test_a_mask_without_a_value_has_no_text(mask):
    with pytest.raises(FlowInvalid, match="has a mask and no value"):
        format_attrs(KeyAttrs(), mask)


# What is read beside what is printed.
READS = [
    ("ct_tuple6(tp_src=1,tp_dst=2)", "ct_tuple6(src_port=1,dst_port=2)"),
    ("ct_tuple4(src_port=1,dst_port=2)", "ct_tuple4(tp_src=1,tp_dst=2)"),
    ("ct_state(0x21)", "ct_state(new|trk)"),
    ("ct_state(trk|0x1)", "ct_state(new|trk)"),
    ("ct_state(0x21/0xffffffff)", "ct_state(new|trk)"),
    ("ct_state(0x20/0x21)", "ct_state(-new+trk)"),
    ("ct_label(16)", "ct_label(0x10)"),
    ("tunnel(tun_id=5)", "tunnel(tun_id=0x5,flags(+key))"),
    ("tunnel(flags(key|df))", "tunnel(flags(df|key))"),
    ("in_port(1),tunnel(ttl=2)", "tunnel(ttl=2),in_port(1)"),
    (
        "mpls(label=1,label=2)",
        "mpls(label=1/0xfffff,tc=0/0,ttl=0/0x0,bos=0/0,label=2/0xfffff,tc=0/0,ttl=0/0x0,bos=0/0)",
    ),
    (f"{'encap(' * 32}{')' * 32}", f"{'encap(' * 32}{')' * 32}"),
    ("ufid:00112233445566778899aabbccddeeff", "ufid:00112233-4455-6677-8899-aabbccddeeff, "),
]


@pytest.mark.parametrize(("text", "printed"), READS, ids=range(len(READS)))
def test_other_forms_are_read(text, printed):
    parsed = parse_attrs(text)
    assert format_attrs(parsed.key, parsed.mask, ufid=parsed.ufid) == printed


# The place is marked by ^.
REFUSES = [
    (f"{'encap(' * 32}^encap(){')' * 32}", "nested too deeply"),
    ("ct_state(^0x100)", "bits without a name"),
    ("ct_state(1/^0x100)", "bits without a name"),
    ("ct_state(^new|old)", "expected states of a connection"),
    ("ct_state(^+new+old)", "expected states of a connection"),
    ("ct_state(^+new-new)", "given twice"),
    ("ct_zone(^0x10000)", "does not fit into 16 bits"),
    ("ct_mark(1/^0x100000000)", "does not fit into 32 bits"),
    ("ct_label(^0x100000000000000000000000000000000)", "does not fit into 128 bits"),
    ("ct_tuple6(src_port=1,^tp_src=1)", "given twice"),
    ("ct_tuple4(^sport=1)", "has no sport"),
    ("packet_type(ns=^0x10000)", "does not fit"),
    ("nd_ext(nd_options_type=^256)", "does not fit"),
    ("ct_mark(1),^ct_mark(1)", "given twice"),
    ("tunnel(),^tunnel()", "given twice"),
    ("nsh(),^nsh()", "given twice"),
    ("encap(),^encap()", "given twice"),
    ("tunnel^", "expected '('"),
    ("tunnel(ttl=^256)", "does not fit"),
    ("tunnel(tun_id=^0x10000000000000000)", "does not fit"),
    ("nsh(spi=^0x1000000)", "does not fit"),
]


@pytest.mark.parametrize(("marked", "message"), REFUSES, ids=[marked[-40:] for marked, _ in REFUSES])
def test_mistakes_are_shown_at_their_place(marked, message):
    with pytest.raises(FlowSyntaxError) as caught:
        parse_attrs(marked.replace("^", ""))
    assert caught.value.pos == marked.index("^")
    assert message in caught.value.message


NOT_MATCHED = ["tunnel(ttl=1)", "tunnel(flags(key))", "ct_state(0)", "ct_state(+trk)", "ct_zone(0)", "ct_mark(1/1)",
    "ct_label(0)", "ct_tuple4(proto=6)", "ct_tuple6(proto=6)", "nd_ext(nd_options_type=1)", "nsh(si=0)",
    "nsh(c1=0x0)", "packet_type(ns=1,id=0x800)", "tunnel(geneve({class=0,len=0}))"]  # fmt: skip


@pytest.mark.parametrize("field", NOT_MATCHED)
def test_what_the_datapath_lacks_is_refused_by_name(field):
    with pytest.raises(NotSupported, match=rf"^{field.partition('(')[0]} cannot be matched") as caught:
        parse_flow(f"in_port(1),eth(),{field}")
    assert caught.value.exit_status == 6


WILD = ["tunnel()", "tunnel(dst=192.0.2.1/0.0.0.0)", "tunnel(geneve({len=4}))", "ct_state(0/0)", "ct_zone(7/0)",
    "ct_mark(0/0)", "ct_label(0/0)", "ct_tuple4()", "ct_tuple6()", "nd_ext()", "nsh()", "packet_type(ns=1/0)",
    "packet_type(ns=0,id=0)"]  # fmt: skip


@pytest.mark.parametrize("field", WILD)
def test_what_is_wild_is_as_if_it_were_not_there(field):
    for port in (1, 2):  # the second flow is like the first
        plain = parse_flow(f"in_port({port}),eth(dst=02:00:00:00:00:01)")
        assert parse_flow(f"{field},in_port({port}),eth(dst=02:00:00:00:00:01)") == plain


def test_without_a_mask_what_the_datapath_lacks_is_exact():
    with pytest.raises(NotSupported, match="ct_mark"):
        match_from_attrs(KeyAttrs({"eth": (0, 0), "ct_mark": (0,)}), None)
    with pytest.raises(NotSupported, match="tunnel"):
        match_from_attrs(KeyAttrs({"eth": (0, 0)}, tunnel=Tunnel()), None)


def test_a_flow_is_named_without_what_the_datapath_lacks():
    assert parse_flow_id("tunnel(),ct_zone(0),in_port(1),eth()") == parse_flow_id("in_port(1),eth()")
    with pytest.raises(NotSupported, match="ct_zone"):
        parse_flow_id("ct_zone(7/0),in_port(1),eth()")


def test_packet_type_of_ethernet_needs_eth():
    with pytest.raises(CtlError):
        parse_flow("packet_type(ns=0,id=0/0xff),eth_type(0x1234)")
