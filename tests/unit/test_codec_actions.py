"""Action lists on the wire: what is sent, what is read, and what is refused."""

import contextlib
import errno
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctl import action as kinds
from ctl.action import MAX_DEPTH, Action, CheckPktLen, Clone, DecTtl, Output, Sample, Set, SetTunnel, Userspace
from ctl.codec import decode_actions, encode_actions
from ctl.codec.nla import Attribute
from ctl.codec.tunnel import decode as decode_tunnel
from ctl.codec.tunnel import encode as encode_tunnel
from ctl.errors import FlowInvalid
from ctl.fields import SET_ROWS
from ctl.headers import GeneveOption, Nsh, Tunnel, TunnelFlag
from tests.unit.codec_vectors import ACTIONS


def octets(text):
    return bytes.fromhex(text)


@pytest.mark.parametrize(("action", "wire"), ACTIONS, ids=[action.name for action, _ in ACTIONS])
def test_an_action_is_what_the_header_says(action, wire):
    assert encode_actions((action,)).hex(" ", 4) == octets(wire).hex(" ", 4)
    assert decode_actions(octets(wire)) == (action,)


def test_there_is_a_vector_for_each_action():
    assert {type(action) for action, _ in ACTIONS} == set(Action.__args__)


U8, U16, U32 = st.integers(0, 0xFF), st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF)
MAC = st.integers(0, 2**48 - 1)
WORDS = st.text("abcdefghijklmnopqrstuvwxyz-0123456789", min_size=1, max_size=15)


@st.composite
def sets(draw):
    section = draw(st.sampled_from(sorted(SET_ROWS)))
    numbers = st.tuples(*(st.integers(0, row.full) for row in SET_ROWS[section]))
    return Set(section, draw(numbers), draw(st.none() | numbers))


@st.composite
def tunnels(draw):
    ends = draw(st.sampled_from([("ipv4_src", "ipv4_dst", 2**32), ("ipv6_src", "ipv6_dst", 2**128)]))
    values = {name: draw(st.integers(0, ends[2] - 1)) for name in ends[:2]}
    flags = draw(st.integers(0, 15))
    if flags & TunnelFlag.KEY:
        values["tun_id"] = draw(st.integers(0, 2**64 - 1))
    numbers = {"tos": U8, "ttl": U8, "tp_src": U16, "tp_dst": U16}
    values |= {name: draw(strategy) for name, strategy in numbers.items()}
    option = st.builds(
        GeneveOption, U16, U8, st.integers(0, 8).flatmap(lambda n: st.binary(min_size=4 * n, max_size=4 * n))
    )
    kinds_of_options = (
        {"gbp_id": U16, "gbp_flags": U8},
        {"geneve": st.lists(option, max_size=4).map(tuple)},
        {"erspan_ver": st.just(1), "erspan_idx": U32},
        {"erspan_ver": st.just(2), "erspan_dir": st.integers(0, 1), "erspan_hwid": st.integers(0, 63)},
        {"gtpu_flags": U8, "gtpu_msgtype": U8},
        {},
    )
    options = draw(st.sampled_from(kinds_of_options))
    return Tunnel(**values, flags=flags, **{name: draw(strategy) for name, strategy in options.items()})


@st.composite
def nshs(draw, *, md1=False):
    mdtype = 1 if md1 else draw(st.integers(1, 2))
    context = st.binary(min_size=16, max_size=16) if mdtype == 1 else st.binary(min_size=1, max_size=248)
    numbers = {"flags": U8, "ttl": U8, "np": U8, "spi": st.integers(0, 2**24 - 1), "si": U8}
    return Nsh(mdtype=mdtype, context=draw(context), **{name: draw(of) for name, of in numbers.items()})


ADDRESSES = st.none() | st.binary(min_size=4, max_size=4) | st.binary(min_size=16, max_size=16)
PAIRS_32 = st.none() | st.tuples(U32, U32)
PAIRS_128 = st.none() | st.tuples(st.integers(0, 2**128 - 1), st.integers(0, 2**128 - 1))
NATS = st.builds(
    kinds.Nat, which=st.sampled_from([None, "src", "dst"]), first=ADDRESSES, last=ADDRESSES,
    first_port=st.none() | U16, last_port=st.none() | U16,
    persistent=st.booleans(), hash=st.booleans(), random=st.booleans(),
)  # fmt: skip
CTS = st.builds(
    kinds.Ct, commit=st.booleans(), zone=U16, mark=PAIRS_32, label=PAIRS_128, helper=st.none() | WORDS,
    timeout=st.none() | WORDS, eventmask=st.none() | U32, nat=st.none() | NATS,
)  # fmt: skip
FLAT = st.one_of(
    *(st.builds(kind, U32) for kind in (Output, kinds.Drop, kinds.Recirc, kinds.Trunc, kinds.Meter, kinds.LbOutput)),
    *(st.builds(kind) for kind in (kinds.PopVlan, kinds.PopEth, kinds.PopNsh, kinds.CtClear)),
    st.builds(Userspace, U32, st.none() | st.binary(max_size=30), st.none() | U32, st.booleans()),
    sets(),
    CTS,
    st.builds(SetTunnel, tunnels()),
    st.builds(kinds.SetNsh, nshs(md1=True), st.none() | nshs(md1=True)),
    st.builds(kinds.PushNsh, nshs()),
    st.builds(kinds.Hash, st.sampled_from(kinds.HashAlgorithm), U32),
    st.builds(kinds.PushVlan, U16, U16) | st.builds(kinds.PushMpls, U32, U16) | st.builds(kinds.PopMpls, U16),
    st.builds(kinds.AddMpls, U32, U16, st.booleans()) | st.builds(kinds.PushEth, MAC, MAC),
    st.builds(kinds.Psample, U32, st.none() | st.binary(min_size=1, max_size=16)),
    st.builds(kinds.TnlPush, U32, U32, U32, st.binary(max_size=512)) | st.builds(kinds.TnlPop, U32),
)


def lists_of(inner):
    some = st.lists(inner, max_size=4).map(tuple)
    return st.one_of(
        st.builds(Clone, some),
        st.builds(DecTtl, some),
        st.builds(Sample, U32, some),
        st.builds(CheckPktLen, U16, some, some),
    )


LISTS = st.lists(st.recursive(FLAT, lists_of, max_leaves=8), max_size=6).map(tuple)


@given(LISTS)
def test_a_list_comes_back_as_it_was_and_so_do_its_octets(actions):
    wire = encode_actions(actions)
    assert decode_actions(wire) == actions
    assert encode_actions(decode_actions(wire)) == wire
    assert len(wire) % 4 == 0


@given(tunnels())
def test_every_kind_of_tunnel_comes_back_as_it_was(tunnel):
    assert decode_tunnel(Attribute(16, encode_tunnel(tunnel), 0)) == tunnel


def test_a_plain_set_and_one_with_a_mask_are_told_apart():
    assert encode_actions((Set("udp", (1, 2)),))[2] == 3
    assert encode_actions((Set("udp", (1, 0), (0xFFFF, 0)),))[2] == 11
    # A mask of all ones is the plain set, however it came.
    (action,) = decode_actions(octets("1000 0b00  0c00 0a00 0001 0002 ffff ffff"))
    assert action == Set("udp", (1, 2))


# --- masks of tunnels, which no action has ------------------------------------------------------------

MASK = Tunnel(
    tun_id=0xFFFF, ipv4_dst=0xFFFFFF00, ttl=0, flags=TunnelFlag.KEY | TunnelFlag.CSUM,
    geneve=(GeneveOption(0xFFFF, 0xFF, b"\xff\0\xff\0"), GeneveOption(0xFFFF, 0, b"")),
)  # fmt: skip
OF_KEY = Tunnel(ipv4_dst=1, ttl=1, geneve=(GeneveOption(1, 2, b"abcd"), GeneveOption(1, 3, b"")))


def test_a_mask_of_geneve_options_has_their_sizes_from_the_key():
    wire = encode_tunnel(MASK, is_mask=True)
    assert octets("0500 0400 00 000000") in wire
    assert octets("1000 0800  ffff ff 1f ff00ff00  ffff 00 1f") in wire
    assert decode_tunnel(Attribute(16, wire, 0), is_mask=True, key=OF_KEY) == MASK
    shorter = Tunnel(ipv4_dst=1, geneve=OF_KEY.geneve[:1])
    with pytest.raises(FlowInvalid, match="option 2 is cut short"):
        decode_tunnel(Attribute(16, wire, 0), is_mask=True, key=shorter)


def test_a_mask_needs_no_ttl():
    wire = octets("0400 0600")
    assert decode_tunnel(Attribute(16, wire, 0), is_mask=True) == Tunnel(flags=TunnelFlag.CSUM)
    with pytest.raises(FlowInvalid, match="tunnel: has no ttl"):
        decode_tunnel(Attribute(16, wire, 0))


# --- what is refused ------------------------------------------------------------------------------------

FTP = "0800 0500 66747000"
REFUSED = [
    ("0800 6300 00000000", "action 1", "unknown action, number 99"),
    ("0800 1d00 00000000", "action 1", "unknown action, number 29"),
    ("0400 0000", "action 1", "unknown action, number 0"),
    ("0600 0100 0100 0000", "action 1, output", "has 2 octets instead of 4 (at octet 0 of the message)"),
    ("0800 0500 00000000", "action 1, pop_vlan", "has 4 octets instead of 0"),
    ("0800 0100 01000000 0600 0400 8100 0000", "action 2, push_vlan", "has 2 octets instead of 4 (at octet 8"),
    ("0a00 0900 00001503 8847 0000", "action 1, push_mpls", "has 6 octets instead of 8"),
    ("0c00 1600 00001503 8847 0200", "action 1, add_mpls", "unknown flags 0x2"),
    ("0c00 0800 02000000 00000000", "action 1, hash", "unknown algorithm 2"),
    ("0400 0200", "action 1, userspace pid", "missing"),
    ("0c00 0200 0800 0500 00000000", "action 1, userspace", "unknown attribute, number 5"),
    ("0c00 0600 0800 0100 00000080", "action 1, sample actions", "missing"),
    ("0800 0600 0400 0200", "action 1, sample probability", "missing"),
    ("1000 1500 0600 0100 0100 0000 0400 0200", "action 1, check_pkt_len if_less_equal", "missing"),
    ("0400 1700", "action 1, dec_ttl action", "missing"),
    ("0400 1900", "action 1, psample group", "missing"),
    ("1000 1900 0800 0100 05000000 0400 0200", "action 1, psample", "a cookie of 0 octets"),
    ("0400 0300", "action 1, set", "has 0 attributes instead of one"),
    ("1400 0300 0800 0f00 00000000 0800 0f00 00000000", "action 1, set", "has 2 attributes instead of one"),
    ("0c00 0300 0800 6300 00000000", "action 1, set", "attribute 99 cannot be set"),
    ("0800 0300 0400 0100", "action 1, set", "attribute 1 cannot be set"),
    ("0c00 0300 0700 0900 000000 00", "tcp", "has 3 octets instead of 4"),
    ("0c00 0b00 0800 0900 00000000", "tcp", "has 4 octets instead of 8"),
    ("1000 0300 0c00 1500 00000000 00000000", "mpls", "has 8 octets instead of 4"),
    ("0800 0b00 0400 1000", "set(tunnel)", "cannot be masked"),
    ("0800 0300 0400 1000", "tunnel", "has no ttl"),
    ("1800 0300 1400 1000 0500 0400 01000000 0500 0400 01000000", "tunnel ttl", "given twice"),
    ("1000 0300 0c00 1000 0500 6300 01000000", "tunnel", "unknown attribute, number 99"),
    (
        "2400 0300 2000 1000 0500 0400 01000000 0600 1000 34ff 0000 0c00 0b00 0800 0100 01000000",
        "tunnel",
        "options of two kinds",
    ),
    ("1800 0300 1400 1000 0500 0400 01000000 0800 0800 0000 00 01", "tunnel geneve", "option 1 is cut short"),
    ("1800 0300 1400 1000 0500 0400 01000000 0700 0800 000000 00", "tunnel geneve", "not a multiple of 4"),
    (
        "2000 0300 1c00 1000 0500 0400 01000000 1000 0f00 03000000 00000000 00000000",
        "tunnel erspan",
        "version 3 is unknown",
    ),
    (
        "1c00 0300 1800 1000 0500 0400 01000000 0c00 0b00 0800 0100 00000001",
        "tunnel vxlan",
        "flags have 8 bits",
    ),
    ("0400 1100", "action 1, push_nsh", "needs one nsh attribute"),
    ("0800 1100 0400 1c00", "nsh", "missing"),
    ("2800 1100 2400 1c00 0c00 0100 00000201 00000000 1400 0200" + 32 * "0", "nsh md1", "does not go with mdtype 2"),
    ("0c00 0c00 0400 0100 0400 0700", "action 1, ct", "commit and force_commit exclude each other"),
    (f"1400 0c00 {FTP} {FTP}", "action 1, ct helper", "given twice"),
    ("0c00 0c00 0700 0500 667470 00", "action 1, ct", "expected a word of 1 to 15 characters and a zero"),
    ("1000 0c00 0c00 0600 0400 0100 0400 0200", "action 1, ct", "src and dst exclude each other"),
    ("1000 0c00 0c00 0600 0600 0300 0a00 0000", "action 1, ct ip_min", "has 2 octets instead of 4 or 16"),
    ("1400 1a00 01000000 02000000 01000000 04000000", "action 1, tnl_push", "the header has 0 octets, and says 1"),
    ("0800 1a00 01000000", "action 1, tnl_push", "has 4 octets"),
    ("0c00 1400 0800 6300 00000000", "action 1, clone, action 1", "unknown action, number 99 (at octet 4"),
    ("0700 1400 000000 00", "action 1, clone", "3 octets at the end are no attribute"),
]


@pytest.mark.conformance("A19.unknown")
@pytest.mark.parametrize(("wire", "attribute", "why"), REFUSED)
def test_what_is_no_action_is_refused_by_name_and_place(wire, attribute, why):
    with pytest.raises(FlowInvalid, match=re.escape(why)) as caught:
        decode_actions(octets(wire))
    assert caught.value.attribute == attribute
    assert "\n" not in str(caught.value)


def nested(depth):
    actions = (Output(1),)
    for _ in range(depth):
        actions = (Clone(actions),)
    return actions


def test_lists_are_nested_no_deeper_than_the_interface_has_it():
    assert decode_actions(encode_actions(nested(MAX_DEPTH))) == nested(MAX_DEPTH)
    with pytest.raises(FlowInvalid, match="nested more than 16 deep") as caught:
        decode_actions(encode_actions(nested(MAX_DEPTH + 1)))
    assert caught.value.errno == errno.EOVERFLOW
    # As deep as 32 KiB go: it ends there all the same.
    hostile = b""
    for depth in range(8000):
        hostile = (4 * depth + 4).to_bytes(2, "little") + b"\x14\0" + hostile
    with pytest.raises(FlowInvalid, match="nested more than 16 deep"):
        decode_actions(hostile)


def test_a_list_has_at_most_32_kib():
    fits = (Output(1),) * 4096
    assert len(encode_actions(fits)) == 32 * 1024
    assert decode_actions(encode_actions(fits)) == fits
    for refused in (
        lambda: encode_actions((*fits, Output(1))),
        lambda: decode_actions(encode_actions(fits) + octets("0400 0500")),
        lambda: encode_actions((Clone((Userspace(1, bytes(65500)), Output(1), Output(1), Output(1))),)),
    ):
        with pytest.raises(FlowInvalid) as caught:
            refused()
        assert caught.value.errno == errno.EMSGSIZE


@given(st.binary(max_size=96))
def test_any_octets_are_read_or_refused(wire):
    with contextlib.suppress(FlowInvalid):
        decode_actions(wire)


@given(LISTS, st.data())
def test_a_list_with_wrong_octets_is_read_or_refused(actions, data):
    wire = bytearray(encode_actions(actions))
    for _ in range(data.draw(st.integers(1, 3)) if wire else 0):
        wire[data.draw(st.integers(0, len(wire) - 1))] = data.draw(U8)
    with contextlib.suppress(FlowInvalid):
        decode_actions(bytes(wire))
