"""Flow messages on the wire: requests as OVS sends them, answers as the kernel does."""

import errno
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctl.action import Clone, Output
from ctl.codec import decode_request, encode_reply, encode_request, numbers, reply_size
from ctl.codec.messages import HEADERS
from ctl.codec.nla import attributes
from ctl.codec.numbers import NLM_F_CREATE, NLM_F_DUMP, NLM_F_ECHO, NLM_F_EXCL, FlowAttr
from ctl.errors import CtlError, FlowInvalid
from ctl.flow import Flow, FlowStats
from ctl.requests import Command, FlowReply, FlowRequest, Omit
from ctl.text import parse_flow
from ctl.ufid import Ufid
from tests.unit import strategies

DP = 7
UFID_OCTETS = bytes.fromhex("ffee49a7b74558b60883c793b56759bc")
UFID = Ufid(UFID_OCTETS)
PORT_1 = "0800 0300 01000000"  # OVS_KEY_ATTR_IN_PORT
ETH = "1000 0400 000000000000 000000000000"


def octets(text):
    return bytes.fromhex(text)


def message(command, *parts):
    """genlmsghdr and ovs_header (command, version 1, zero, ifindex 7), then attributes."""
    return octets(f"0{command} 01 0000 07000000" + "".join(parts))


# --- numbers --------------------------------------------------------------------------------------------

# From <linux/openvswitch.h>: the names of each enum in their order, and the number of the first.
HEADER = {
    "FlowAttr": (1, "KEY ACTIONS STATS TCP_FLAGS USED CLEAR MASK PROBE UFID UFID_FLAGS PAD"),
    "KeyAttr": (
        1,
        (
            "ENCAP PRIORITY IN_PORT ETHERNET VLAN ETHERTYPE IPV4 IPV6 TCP UDP ICMP ICMPV6 ARP ND SKB_MARK TUNNEL SCTP"
            " TCP_FLAGS DP_HASH RECIRC_ID MPLS CT_STATE CT_ZONE CT_MARK CT_LABELS CT_ORIG_TUPLE_IPV4 CT_ORIG_TUPLE_IPV6"
            " NSH PACKET_TYPE ND_EXTENSIONS TUNNEL_INFO"
        ),
    ),
    "TunnelAttr": (
        0,
        (
            "ID IPV4_SRC IPV4_DST TOS TTL DONT_FRAGMENT CSUM OAM GENEVE_OPTS TP_SRC TP_DST VXLAN_OPTS IPV6_SRC IPV6_DST"
            " PAD ERSPAN_OPTS GTPU_OPTS"
        ),
    ),
    "VxlanExt": (1, "GBP"),
    "NshAttr": (1, "BASE MD1 MD2"),
    "ActionAttr": (
        1,
        (
            "OUTPUT USERSPACE SET PUSH_VLAN POP_VLAN SAMPLE RECIRC HASH PUSH_MPLS POP_MPLS SET_MASKED CT TRUNC PUSH_ETH"
            " POP_ETH CT_CLEAR PUSH_NSH POP_NSH METER CLONE CHECK_PKT_LEN ADD_MPLS DEC_TTL DROP PSAMPLE TUNNEL_PUSH"
            " TUNNEL_POP LB_OUTPUT"
        ),
    ),
    "UserspaceAttr": (1, "PID USERDATA EGRESS_TUN_PORT ACTIONS"),
    "SampleAttr": (1, "PROBABILITY ACTIONS"),
    "CtAttr": (1, "COMMIT ZONE MARK LABELS HELPER NAT FORCE_COMMIT EVENTMASK TIMEOUT"),
    "NatAttr": (1, "SRC DST IP_MIN IP_MAX PROTO_MIN PROTO_MAX PERSISTENT PROTO_HASH PROTO_RANDOM"),
    "CheckPktLenAttr": (1, "PKT_LEN IF_GREATER IF_LESS_EQUAL"),
    "DecTtlAttr": (1, "ACTION"),
    "PsampleAttr": (1, "GROUP COOKIE"),
}


@pytest.mark.conformance("B16")
@pytest.mark.parametrize("enum", HEADER)
def test_b16_attribute_numbers_are_those_of_the_header(enum):
    first, names = HEADER[enum]
    assert {member.name: int(member) for member in getattr(numbers, enum)} == {
        name: number for number, name in enumerate(names.split(), start=first)
    }


@pytest.mark.conformance("B16")
def test_b16_commands_and_flags_are_those_of_the_header():
    assert [(member.name, int(member)) for member in Command] == [("NEW", 1), ("DEL", 2), ("GET", 3), ("SET", 4)]
    assert (Omit.KEY, Omit.MASK, Omit.ACTIONS) == (1 << 0, 1 << 1, 1 << 2)
    assert (numbers.FLOW_FAMILY, numbers.FLOW_VERSION) == ("ovs_flow", 1)
    # <linux/netlink.h>
    assert (numbers.NLM_F_MULTI, NLM_F_ECHO, NLM_F_EXCL, NLM_F_DUMP, NLM_F_CREATE) == (2, 8, 0x200, 0x300, 0x400)


# --- requests -------------------------------------------------------------------------------------------


def test_a_new_flow_as_ovs_sends_it():
    wire = message(
        1,
        f"1400 0900 {UFID_OCTETS.hex()}",
        f"1c00 0100 {PORT_1} {ETH}",
        "0c00 0700 0800 0300 ffffffff",
        "0c00 0200 0800 0100 02000000",
    )
    ifindex, request = decode_request(wire, NLM_F_CREATE)
    assert ifindex == DP
    assert (request.command, request.create, request.echo) == (Command.NEW, True, False)
    assert request.key.sections == {"in_port": (1,), "eth": (0, 0)}
    assert request.mask.sections == {"in_port": (0xFFFFFFFF,)}
    assert (request.actions, request.ufid) == ((Output(2),), UFID_OCTETS)
    assert encode_request(request, DP) == (wire, NLM_F_CREATE)


def test_what_ovs_asks_to_list_and_to_remove():
    terse = "0800 0a00 07000000"
    assert decode_request(message(3, terse), NLM_F_DUMP) == (
        DP,
        FlowRequest(command=Command.GET, omit=Omit.KEY | Omit.MASK | Omit.ACTIONS),
    )
    _, removal = decode_request(message(2, f"1400 0900 {UFID_OCTETS.hex()}", terse), NLM_F_ECHO)
    assert (removal.ufid, removal.key, removal.echo) == (UFID_OCTETS, None, True)


@pytest.mark.conformance("B7")
@pytest.mark.parametrize("size", [1, 8, 15, 16])
def test_b7_a_ufid_of_any_length_passes_octet_for_octet(size):
    ufid = UFID_OCTETS[:size]
    wire, flags = encode_request(FlowRequest(command=Command.GET, ufid=ufid), DP)
    assert wire == message(3, f"{size + 4:02x}00 0900", ufid.hex(), "00" * (-size % 4))
    assert decode_request(wire, flags)[1].ufid == ufid
    (name,) = attributes(encode_reply(FlowReply(command=Command.GET, who=Ufid(ufid), stats=FlowStats()), DP)[8:], "", 0)
    assert (name.number, name.octets) == (9, ufid)


def test_a_ufid_is_text_in_another_order_than_on_the_wire():
    reply = FlowReply(command=Command.GET, who=UFID, stats=FlowStats())
    assert encode_reply(reply, DP) == message(3, "1400 0900 ffee49a7 b74558b6 0883c793 b56759bc")
    assert str(UFID) == "ufid:a749eeff-b658-45b7-93c7-8308bc5967b5"


@pytest.mark.parametrize("size", [0, 17, 40])
def test_a_ufid_of_an_impossible_length_is_there_for_others_to_judge(size):
    wire, flags = encode_request(FlowRequest(command=Command.DEL, ufid=bytes(size)), DP)
    assert decode_request(wire, flags)[1].ufid == bytes(size)


def test_clear_and_probe_are_flags():
    _, request = decode_request(message(4, "0400 0600", "0400 0800"), 0)
    assert (request.clear, request.probe) == (True, True)
    assert decode_request(message(4), 0)[1] == FlowRequest(command=Command.SET)


@pytest.mark.parametrize(("flags", "create"), [(0, False), (NLM_F_CREATE, True), (NLM_F_EXCL, True)])
def test_create_and_excl_say_the_same_of_a_new_flow(flags, create):
    assert decode_request(message(1), flags)[1].create is create
    assert decode_request(message(3), flags)[1].create is False


BROKEN = "0800 0100 0400 6300"  # as a key, an unknown attribute; as actions, an unknown action
NO_ACTIONS, NO_MASK = "0800 0200 0400 6300", "0800 0700 0800 6300"


def test_a_get_and_a_del_look_at_neither_mask_nor_actions():
    for command in (2, 3):
        _, request = decode_request(message(command, f"0c00 0100 {PORT_1}", NO_ACTIONS, "0800 0700 0400 6300"), 0)
        assert (request.mask, request.actions) == (None, None)
        assert request.key.sections == {"in_port": (1,)}
        with pytest.raises(FlowInvalid, match="unknown attribute, number 99"):
            decode_request(message(command, BROKEN), 0)
    assert decode_request(message(3, BROKEN), NLM_F_DUMP)[1].key is None


def test_unknown_attributes_and_bits_are_passed_over():
    wire = message(3, "0800 0c00 01020304", "0400 6300", "0800 0300 00000000", "0400 0b00", "0800 0a00 fcffffff")
    assert decode_request(wire, 0)[1] == FlowRequest(command=Command.GET, omit=Omit.ACTIONS)


@pytest.mark.parametrize(
    ("wire", "attribute", "why", "code"),
    [
        (b"\1\1\0\0", "message", "has 4 octets, its headers have 8", errno.EINVAL),
        (message(5), "message", "unknown command 5", errno.EOPNOTSUPP),
        (message(2, f"1400 0900 {UFID_OCTETS[:12].hex()}"), "message", "16 octets at the end are no", errno.EINVAL),
        (message(2, "0500 0900 01000000", "0500 0900 01000000"), "ufid", "given twice .at octet 32", errno.EINVAL),
        (message(2, "0600 0a00 01000000"), "ufid_flags", "has 2 octets instead of 4", errno.ERANGE),
        (message(4, "0500 0600 01000000"), "clear", "has 1 octets instead of 0", errno.ERANGE),
        (message(4, "0500 0800 01000000"), "probe", "has 1 octets instead of 0", errno.ERANGE),
        (message(1, NO_ACTIONS), "action 1", "number 99 .at octet 28 of the message", errno.EINVAL),
        (message(1, f"0c00 0100 {PORT_1}", "0c00 0700 0600 0300 01000000"), "in_port", "2 octets", errno.EINVAL),
    ],
)
def test_a_message_that_is_none_is_refused_by_name_and_place(wire, attribute, why, code):
    with pytest.raises(FlowInvalid, match=why) as caught:
        decode_request(wire, 0)
    assert (caught.value.attribute, caught.value.errno) == (attribute, code)


@st.composite
def requests(draw):
    match = draw(strategies.matches())
    drawn = draw(strategies.attrs())
    command = draw(st.sampled_from(Command))
    changes = command in (Command.NEW, Command.SET)
    key = draw(st.sampled_from([None, drawn.key]))
    return FlowRequest(
        command=command,
        key=key,
        actions=draw(st.none() | strategies.actions(match)) if changes else None,
        ufid=draw(st.none() | st.binary(min_size=1, max_size=20)),
        omit=Omit(draw(st.integers(0, 7))),
        create=command is Command.NEW and draw(st.booleans()),
        echo=draw(st.booleans()),
        clear=draw(st.booleans()),
        probe=draw(st.booleans()),
    )


@given(requests())
def test_a_request_comes_back_as_it_was(request):
    assert decode_request(*encode_request(request, DP)) == (DP, request)


@given(st.binary(max_size=64), st.sampled_from([0, NLM_F_DUMP, NLM_F_CREATE]), st.integers(1, 4))
def test_any_octets_are_read_or_refused(wire, flags, command):
    for payload in (wire, bytes((command, 1, 0, 0, 7, 0, 0, 0)) + wire):
        try:
            decode_request(payload, flags)
        except CtlError:
            continue


# --- answers --------------------------------------------------------------------------------------------

SHAPES = [Omit(bits) for bits in range(8)]
COUNTED = FlowStats(packets=3, bytes=180, used_ms=0x102030405, tcp_flags=0x12)
SMALL = parse_flow("in_port(1),eth()").match
# Every attribute that a key can have at once, nearly.
LARGE = parse_flow(
    "in_port(1),eth(),eth_type(0x88a8),vlan(vid=1),encap(eth_type(0x8100),vlan(vid=2),encap(eth_type(0x86dd),"
    "ipv6(proto=58,src=fd00::1),icmpv6(type=135),nd(target=fd00::2)))"
).match
ACTIONS = (Output(1), Clone((Output(2),)))


def reply(match, ufid, omit, stats=COUNTED, actions=ACTIONS):
    flow = Flow(ufid=ufid, match=match, actions=actions, stats=stats)
    return FlowReply(
        command=Command.NEW, who=flow.who, stats=flow.stats, match=flow.match, listed=flow.actions, omit=omit
    )


def numbers_of(wire):
    return [attribute.number for attribute in attributes(wire[HEADERS.size :], "reply", 0)]


@pytest.mark.parametrize("omit", SHAPES)
@pytest.mark.parametrize("ufid", [UFID, None])
def test_an_answer_has_its_attributes_in_the_kernels_order(ufid, omit):
    has_key = ufid is None or not omit & Omit.KEY
    order = (
        (FlowAttr.UFID, ufid is not None), (FlowAttr.KEY, has_key), (FlowAttr.MASK, not omit & Omit.MASK),
        (FlowAttr.USED, True), (FlowAttr.STATS, True), (FlowAttr.TCP_FLAGS, True),
        (FlowAttr.ACTIONS, not omit & Omit.ACTIONS),
    )  # fmt: skip
    wire = encode_reply(reply(SMALL, ufid, omit), DP)
    assert wire[:8] == message(1)
    assert numbers_of(wire) == [number for number, there in order if there]
    idle = encode_reply(reply(SMALL, ufid, omit, FlowStats()), DP)
    assert not {FlowAttr.USED, FlowAttr.STATS, FlowAttr.TCP_FLAGS} & set(numbers_of(idle))


@pytest.mark.conformance("B22")
@pytest.mark.parametrize("omit", SHAPES)
def test_b22_the_answer_about_a_flow_without_a_ufid_has_one_key(omit):
    assert numbers_of(encode_reply(reply(SMALL, None, omit), DP)).count(FlowAttr.KEY) == 1


@pytest.mark.conformance("B10")
def test_b10_a_ufid_goes_with_the_masked_key_and_no_ufid_with_the_concrete_one():
    match = parse_flow("eth(src=02:00:00:00:00:01/ff:ff:ff:00:00:00)").match
    assert octets("020000000001") not in encode_reply(reply(match, UFID, Omit.NOTHING), DP)
    assert octets("020000000001") in encode_reply(reply(match, None, Omit.NOTHING), DP)


def test_a_terse_answer_octet_for_octet():
    terse = Omit.KEY | Omit.MASK | Omit.ACTIONS
    wire = encode_reply(reply(SMALL, UFID, terse), DP)
    assert wire == message(
        1,
        f"1400 0900 {UFID_OCTETS.hex()}",
        "0c00 0500 0504030201000000",  # used, u64 ms
        "1400 0300 0300000000000000 b400000000000000",  # packets, bytes
        "0500 0400 12 000000",
    )
    assert encode_reply(reply(SMALL, UFID, terse, FlowStats()), DP) == message(1, f"1400 0900 {UFID_OCTETS.hex()}")


def test_the_empty_list_of_actions_is_sent():
    wire = encode_reply(reply(SMALL, UFID, Omit.KEY | Omit.MASK, FlowStats(), ()), DP)
    assert wire.endswith(octets("0400 0200"))


@pytest.mark.conformance("B18")
@pytest.mark.parametrize("ufid", [UFID, Ufid(b"u"), None])
def test_b18_the_computed_size_is_enough_and_close_for_terse(ufid):
    for omit, match, stats in itertools.product(SHAPES, (SMALL, LARGE), (COUNTED, FlowStats())):
        answer = reply(match, ufid, omit, stats)
        actual, computed = len(encode_reply(answer, DP)), reply_size(answer)
        assert computed >= actual
        if ufid is not None and omit & Omit.KEY and omit & Omit.MASK:
            # Only statistics that are not there make a difference: 12 + 20 + 8 octets.
            assert computed - actual == (40 if stats == FlowStats() else 0)


@pytest.mark.conformance("B18")
@given(strategies.flows(), st.integers(0, 7))
def test_b18_the_computed_size_is_enough_for_any_flow(flow, omit):
    answer = reply(flow.match, flow.ufid, Omit(omit), flow.stats, flow.actions)
    assert reply_size(answer) >= len(encode_reply(answer, DP))
