"""What header actions do to a frame, said of the model: the rules that one would look up."""

import pytest

from ctl.abi import DropReason
from ctl.action import AddMpls, Clone, Output, PopMpls, PopVlan, PushEth, PushMpls, PushVlan, Set
from ctl.datapath import check_executable
from ctl.errors import NotSupported
from ctl.execute import Packet, execute
from ctl.packet import extract, locate
from ctl.placement import why_not_xdp
from tests.golden.packets import GOLDEN, IN_PORT

FRAMES = {row.id: row.frame for row in GOLDEN}
ENTRY, ENTRY2 = 0x00010109, 0x00011040
OUT2 = Output(2)


def after(frame, *actions):
    """The frame as it leaves."""
    packet = Packet(frame, extract(frame, IN_PORT))
    outcome = execute((*actions, OUT2), packet)
    assert outcome.out_port == 2, outcome
    return packet.frame


def put(frame, at, octets):
    return frame[:at] + octets + frame[at + len(octets) :]


def test_a_label_is_put_where_layer_3_begins():
    udp = FRAMES["udp"]
    pushed = after(udp, PushMpls(ENTRY, 0x8847))
    assert pushed == udp[:12] + bytes.fromhex("884700010109") + udp[14:]
    assert after(udp, AddMpls(ENTRY, 0x8848, l3=True)) == udp[:12] + bytes.fromhex("884800010109") + udp[14:]
    two = after(udp, PushMpls(ENTRY, 0x8847), PushMpls(ENTRY2, 0x8848))
    assert two == udp[:12] + bytes.fromhex("88480001104000010109") + udp[14:]


def test_tags_stay_before_labels():
    udp = FRAMES["udp"]
    tagged = udp[:12] + bytes.fromhex("81000007") + udp[12:]
    label = bytes.fromhex("884700010109")
    assert after(udp, PushMpls(ENTRY, 0x8847), PushVlan(0x8100, 0x1007)) == tagged[:16] + label + udp[14:]
    assert after(tagged, PushMpls(ENTRY, 0x8847)) == tagged[:16] + label + udp[14:]
    assert after(tagged, PopVlan(), PushMpls(ENTRY, 0x8847)) == udp[:12] + label + udp[14:]


def test_a_label_in_snap_leaves_the_length_alone():
    udp = FRAMES["udp"]
    snap = udp[:12] + bytes.fromhex("0026aaaa03000000") + udp[12:]
    assert after(snap, PushMpls(ENTRY, 0x8847)) == snap[:20] + bytes.fromhex("884700010109") + udp[14:]
    assert after(snap, PushMpls(ENTRY, 0x8847), PopMpls(0x0800)) == snap


def test_what_goes_was_there():
    udp = FRAMES["udp"]
    assert after(udp, PushMpls(ENTRY, 0x8847), PushMpls(ENTRY2, 0x8847), PopMpls(0x8847), PopMpls(0x0800)) == udp


def test_a_set_changes_the_outer_label_alone():
    frame = FRAMES["mpls-3"]
    assert after(frame, Set("mpls", (0x12345, 5, 7, 1))) == put(frame, 14, bytes.fromhex("12345b07"))
    bit = Set("mpls", (0, 0, 0, 0), (0, 0, 0, 1))
    assert after(frame, bit) == put(frame, 16, bytes((frame[16] & 0xFE,)))


def test_an_arp_packet_has_all_its_fields_set():
    frame = FRAMES["arp-request"]
    changed = after(frame, Set("arp", (0x01020304, 0x05060708, 2, 0x0A0A0A0A0A0A, 0x0B0B0B0B0B0B)))
    assert changed == put(frame, 20, bytes.fromhex("0002 0a0a0a0a0a0a 01020304 0b0b0b0b0b0b 05060708"))


ND = bytes(12) + b"\x86\xdd" + b"\x60" + bytes(5) + bytes((58, 255)) + bytes(32)


def neighbour(kind, *options, code=0):
    return ND + bytes((kind, code)) + bytes(6) + bytes(16) + b"".join(options)


MTU, SLL, TLL = b"\5\1" + bytes(6), b"\1\1" + bytes(6), b"\2\1" + bytes(6)


@pytest.mark.parametrize(
    ("frame", "option"),
    [
        (neighbour(135), None),
        (neighbour(135, SLL), 78),
        (neighbour(136, MTU, TLL), 86),
        (neighbour(136, TLL, SLL), 78),
        (neighbour(135, *[MTU] * 7, SLL), 78 + 56),
        (neighbour(135, *[MTU] * 8, SLL), None),
        (neighbour(135, b"\1\2" + bytes(14)), None),
        (neighbour(135, SLL[:-1]), None),
        (neighbour(135, b"\5\0" + bytes(6), SLL), None),
        (neighbour(135, SLL, code=1), None),
        (neighbour(133, SLL), None),
        (FRAMES["udp"], None),
    ],
)
def test_the_option_of_a_neighbour_message(frame, option):
    """The first of eight that is 8 octets long and a link-layer address."""
    assert locate(frame).option == option


def test_a_neighbour_message_gets_one_address():
    frame = neighbour(136, TLL, SLL)
    changed = after(frame, Set("nd", (0, 0x010101010101, 0x020202020202), (0, (1 << 48) - 1, 0xFFFF)))
    assert changed == put(put(frame, 84, b"\2\2"), 56, b"\xfd\xfd"), "and the checksum for it"


@pytest.mark.parametrize(("size", "reason"), [(41, "ACTION_ERROR"), (42, "NONE")])
def test_type_and_code_need_a_whole_header(size, reason):
    frame = FRAMES["icmp"][:size]
    outcome = execute((Set("icmp", (0, 0)), OUT2), Packet(frame, extract(frame, IN_PORT)))
    assert outcome.reason == DropReason[f"DROP_{reason}"]


@pytest.mark.parametrize(
    ("name", "size", "action"),
    [
        ("mpls-3", 17, PopMpls(0x0800)),
        ("mpls-3", 17, Set("mpls", (1, 1, 1, 1))),
        ("arp-request", 41, Set("arp", (1, 2, 3, 4, 5))),
        ("nd-both", 77, Set("nd", (1, 2, 3))),
    ],
)
def test_what_is_cut_short_is_dropped(name, size, action):
    frame = FRAMES[name][:size]
    packet = Packet(frame, extract(frame, IN_PORT))
    assert execute((action, OUT2), packet).reason == DropReason.DROP_ACTION_ERROR
    assert packet.frame == frame


def test_a_later_fragment_has_no_type_to_set():
    frame = put(put(FRAMES["icmp"], 20, b"\0\1"), 34, b"\x55\x66")
    assert after(frame, Set("icmp", (0, 0))) == frame


def test_header_actions_need_no_copy():
    assert why_not_xdp((PushMpls(ENTRY, 0x8847), PopMpls(0x0800), Set("nd", (1, 2, 3)), OUT2)) is None


@pytest.mark.parametrize("wrap", [lambda action: action, lambda action: Clone((action,))], ids=["itself", "within"])
@pytest.mark.parametrize(
    ("action", "reason"), [(AddMpls(ENTRY, 0x8847, l3=False), "layer 3 packet"), (PushEth(1, 2), "push_eth")]
)
def test_what_makes_another_kind_of_packet_is_not_executed(wrap, action, reason):
    with pytest.raises(NotSupported, match=reason):
        check_executable((wrap(action), OUT2))
