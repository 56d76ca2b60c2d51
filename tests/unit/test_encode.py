"""Action lists as units: back again the same, and the bytes that the program reads."""

import ctypes
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctl import abi, fields
from ctl.abi import ActionType
from ctl.action import (
    MAX_DEPTH,
    AddMpls,
    CheckPktLen,
    Clone,
    CtClear,
    DecTtl,
    Drop,
    Hash,
    HashAlgorithm,
    Meter,
    Output,
    PopMpls,
    PopVlan,
    Psample,
    PushMpls,
    PushVlan,
    Recirc,
    Sample,
    Set,
    Trunc,
    Userspace,
    is_fixed,
)
from ctl.errors import FlowInvalid, NotSupported
from ctl.kernel.encode import decode, encode
from ctl.kernel.units import MAX_UNITS, UNIT_SIZE

U32 = st.integers(0, 2**32 - 1)
SECTIONS = (
    "skb_mark",
    "skb_priority",
    "eth",
    "ipv4",
    "ipv6",
    "tcp",
    "udp",
    "sctp",
    "mpls",
    "arp",
    "icmp",
    "icmpv6",
    "nd",
)


def sets(section):
    rows = fields.SET_ROWS[section]
    numbers = st.tuples(*(st.integers(0, row.full) for row in rows))

    def masked(pair):
        value, mask = pair
        mask = tuple(0 if is_fixed(row) else bits for row, bits in zip(rows, mask, strict=True))
        return Set(section, tuple(v & m for v, m in zip(value, mask, strict=True)), mask)

    return numbers.map(lambda value: Set(section, value)) | st.tuples(numbers, numbers).map(masked)


simple = st.one_of(
    U32.map(Output),
    U32.map(Drop),
    st.builds(PushVlan, st.sampled_from([0x8100, 0x88A8]), st.integers(0x1000, 0xFFFF)),
    st.just(PopVlan()),
    st.builds(PushMpls, U32, st.integers(0, 0xFFFF)),
    st.builds(AddMpls, U32, st.integers(0, 0xFFFF), st.just(True)),
    st.integers(0, 0xFFFF).map(PopMpls),
    U32.map(Recirc),
    U32.map(Meter),
    st.builds(Hash, st.sampled_from(HashAlgorithm), U32),
    st.builds(Trunc, U32),
    st.builds(Userspace, U32, st.none() | st.binary(max_size=128), st.none() | U32, st.booleans()),
    st.builds(Psample, U32, st.none() | st.binary(min_size=1, max_size=16)),
)


def nesting(lists):
    """Lists with actions that have some of these inside."""
    actions = st.one_of(
        simple,
        st.builds(Sample, U32, lists),
        st.builds(Clone, lists),
        st.builds(CheckPktLen, st.integers(1, 0xFFFF), lists, lists),
        st.builds(DecTtl, lists),
    )
    return st.lists(actions, max_size=5).map(tuple)


flat = st.lists(simple | st.sampled_from(SECTIONS).flatmap(sets), max_size=40).map(tuple)
lists = flat | st.recursive(flat, nesting, max_leaves=9)


@given(lists)
def test_a_list_comes_back_as_it_was(actions):
    raw = encode(actions)
    assert len(raw) % UNIT_SIZE == 0
    assert decode(raw) == actions


def test_nothing_takes_nothing():
    assert encode(()) == b""
    assert decode(b"") == ()


def test_an_output_is_one_unit():
    assert encode((Output(7),)) == struct.pack("<BBHIQ", ActionType.ACTION_OUTPUT, 0, 0, 7, 0)


def test_operands_lie_where_the_header_says():
    raw = encode((Set("ipv4", (0x0A000001, 0x0B000002, 0, 3, 64, 0), (0xFFFFFFFF, 0xFF000000, 0, 0xFF, 0, 0)),))
    value = abi.SetIpv4.from_buffer_copy(raw, UNIT_SIZE)
    mask = abi.SetIpv4.from_buffer_copy(raw, UNIT_SIZE + ctypes.sizeof(abi.SetIpv4))
    assert (value.src, value.dst, value.tos, value.ttl) == (0x0A000001, 0x0B000000, 3, 0)
    assert (mask.src, mask.dst, mask.tos, mask.ttl, mask.proto) == (0xFFFFFFFF, 0xFF000000, 0xFF, 0, 0)


def test_ipv6_takes_three_units_for_each_half():
    raw = encode((Set("ipv6", (1, 2, 3, 6, 5, 64, 0)),))
    assert len(raw) == 7 * UNIT_SIZE
    value = abi.SetIpv6.from_buffer_copy(raw, UNIT_SIZE)
    assert (bytes(value.src)[-1], bytes(value.dst)[-1], value.label, value.tclass, value.hop_limit) == (1, 2, 3, 5, 64)


def test_ports_are_in_network_order():
    raw = encode((Set("udp", (0x1234, 0)),))
    assert raw[8:16] == bytes.fromhex("12340000ffffffff")


def test_labels_lie_as_on_the_wire():
    entry = 0x12345 << 12 | 5 << 9 | 1 << 8 | 64
    raw = encode((PushMpls(entry, 0x8847), Set("mpls", (0x12345, 5, 64, 1), (0xFFFFF, 7, 0xFF, 0))))
    assert (raw[4:8], raw[8:10]) == (bytes.fromhex("12345b40"), b"\x47\x88")
    assert (raw[20:24], raw[24:28]) == (bytes.fromhex("12345a40"), bytes.fromhex("fffffeff"))


def test_headers_of_the_userspace_datapath_lie_where_they_say():
    raw = encode((Set("arp", (1, 2, 3, 4, 5)), Set("icmpv6", (129, 7), (0xFF, 0)), Set("nd", (6, 7, 8))))
    arp = abi.SetArp.from_buffer_copy(raw, UNIT_SIZE)
    assert (arp.op, bytes(arp.sip)[-1], bytes(arp.tip)[-1], bytes(arp.sha)[-1], bytes(arp.tha)[-1]) == (3, 1, 2, 4, 5)
    at = UNIT_SIZE + 2 * ctypes.sizeof(abi.SetArp)
    assert (raw[at + 4], raw[at + 8 : at + 16]) == (58, bytes((129, 0, 0, 0, 0xFF, 0, 0, 0)))
    nd = abi.SetNd.from_buffer_copy(raw, at + 2 * UNIT_SIZE)
    assert (bytes(nd.target)[-1], bytes(nd.sll)[-1], bytes(nd.tll)[-1]) == (6, 7, 8)


@pytest.mark.parametrize("section", ["skb_mark", "skb_priority"])
@pytest.mark.parametrize("mask", [None, (0xFF,)])
def test_mark_and_priority_are_one_unit(section, mask):
    actions = (Set(section, (0x13,), mask),)
    raw = encode(actions)
    assert struct.unpack_from("<IQ", raw, 4) == (0x13, 0xFFFFFFFF if mask is None else 0xFF)
    assert (len(raw), decode(raw)) == (UNIT_SIZE, actions)


def test_limits_of_a_list():
    ipv6 = Set("ipv6", (0,) * len(fields.SECTIONS["ipv6"]))
    assert len(encode((ipv6,) * 64)) == 64 * 7 * UNIT_SIZE <= MAX_UNITS * UNIT_SIZE
    longest = (Clone((ipv6,) * 64),) * 4
    with pytest.raises(FlowInvalid, match=f"those within it take {4 + 5 * 448} units, the most is {MAX_UNITS}"):
        encode((*longest, *(ipv6,) * 64))
    assert decode(encode(longest)) == longest
    with pytest.raises(NotSupported, match="ct_clear"):
        encode((Clone((CtClear(),)),))
    with pytest.raises(NotSupported):
        encode((Userspace(1, bytes(129)),))


def nested(depth):
    """A list with so many within one another."""
    actions = (Output(1),)
    for _ in range(depth):
        actions = (Clone(actions), Output(2))
    return actions


def test_lists_are_nested_sixteen_deep():
    assert decode(encode(nested(MAX_DEPTH))) == nested(MAX_DEPTH)
    with pytest.raises(FlowInvalid, match="nested more than 16 deep"):
        encode(nested(MAX_DEPTH + 1))


def test_units_that_are_no_list_are_refused():
    """As a reader may find where a list was, and another is being written."""
    with pytest.raises(ValueError, match="nested too deep"):
        decode(b"".join(struct.pack("<BBHIQ", ActionType.ACTION_CLONE, 0, 0, 0, 99 - n) for n in range(99)))


PUSH = PushVlan(0x8100, 0x1000)


@pytest.mark.parametrize(
    ("action", "flags", "first", "second"),
    [
        (Clone((Output(1), Hash(HashAlgorithm.L4, 0))), 0, 2, 0),
        (Clone((Set("skb_mark", (1,)), Drop(0))), 0, 2, 0),
        (Clone((Sample(3, (PUSH,)),)), 4, 2, 0),
        (Clone((DecTtl(()),)), 4, 1, 0),
        (CheckPktLen(7, (Output(1),), (PopVlan(), Output(1))), 8, 1, 2),
        (CheckPktLen(7, (Set("eth", (1, 2)), Output(1)), (PUSH,)), 12, 4, 1),
    ],
)
def test_an_action_says_how_long_its_lists_are_and_whether_they_change_the_frame(action, flags, first, second):
    _, found, operand, _, wide = struct.unpack_from("<BBHIQ", encode((action,)))
    assert (found, operand, wide) == (flags, 0, first | second << 32)


def test_a_cookie_is_a_unit_of_its_own():
    raw = encode((Psample(7, b"\1\2"),))
    assert raw == struct.pack("<BBHIQ", ActionType.ACTION_PSAMPLE, 0, 1, 7, 2) + b"\1\2".ljust(16, b"\0")
