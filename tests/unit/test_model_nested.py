"""What the model does with lists within actions, rule by rule."""

import struct

import pytest

from ctl.abi import DropReason
from ctl.action import (
    CheckPktLen,
    Clone,
    DecTtl,
    Drop,
    Hash,
    HashAlgorithm,
    Output,
    PopVlan,
    Psample,
    PushVlan,
    Recirc,
    Sample,
    Set,
    Trunc,
    Userspace,
)
from ctl.execute import hash_key
from ctl.flow import FlowKey, Match
from ctl.model import ModelDatapath
from ctl.packet import extract
from tests.golden.packets import GOLDEN, IN_PORT

UDP = next(row.frame for row in GOLDEN if row.id == "udp")
TAG = PushVlan(0x8100, 0x1005)
TAGGED = UDP[:12] + bytes.fromhex("81000005") + UDP[12:]
TWICE = TAGGED[:12] + bytes.fromhex("81000005") + TAGGED[12:]
SIZE = len(UDP)
ALWAYS = 0xFFFFFFFF
TELL = Psample(7, b"\1")
MASK = FlowKey.of(l2_kind=0xFF, eth_type=0xFFFF, recirc_id=ALWAYS, ip_proto=0xFF)


def run(*actions, frame=UDP, draw=0, after=()):
    """The verdict of one frame, and the reasons of all drops.  ``after``: the actions of recirc_id 1."""
    model = ModelDatapath("m", draw=lambda: draw)
    for number in (IN_PORT, 2, 3):
        model.add_port(number)
    key = extract(frame, IN_PORT)
    model.flow_new(Match(key, MASK), actions)
    model.flow_new(Match(key.with_leaves(recirc_id=1), MASK), after)
    verdict = model.process(frame, IN_PORT)
    return verdict, {name: count for name, count in model.stats().drops.items() if count}


@pytest.mark.parametrize(
    ("actions", "sent"),
    [
        ((Clone((Output(3),)), Output(2)), [(3, UDP), (2, UDP)]),
        ((Clone((TAG, Output(3))), Output(2)), [(2, UDP), (3, TAGGED)]),
        ((TAG, Clone((PopVlan(), Output(3))), Output(2)), [(2, TAGGED), (3, UDP)]),
        ((Output(3), Clone((TAG, Output(2)))), [(3, UDP), (2, TAGGED)]),
        ((Clone((TAG, Clone((TAG, Output(3))), Output(2))), Output(2)), [(2, UDP), (2, TAGGED), (3, TWICE)]),
        ((Clone((Clone((Clone((Output(3),)), Output(2))),)), Output(3)), [(3, UDP), (2, UDP), (3, UDP)]),
    ],
    ids=["copy", "changed copy", "copy of what was changed", "nothing follows", "copies of a copy", "deep"],
)  # fmt: skip
def test_what_a_list_changes_the_packet_does_not_see(actions, sent):
    verdict, drops = run(*actions)
    assert (list(verdict.sent), drops) == (sent, {})


@pytest.mark.parametrize(
    ("actions", "sizes"),
    [
        ((Trunc(20), Clone((Output(3),)), Output(2)), [20, 20]),
        ((Trunc(20), Clone((Output(3), Output(3))), Output(2)), [20, SIZE, 20]),
        ((Clone((Trunc(20), Output(3))), Output(2)), [20, SIZE]),
        ((Clone((Trunc(20),)), Output(2)), [SIZE]),
        ((Trunc(20), Clone((Userspace(1),)), Output(2)), [20]),
        ((Trunc(20), Clone((Output(3),))), [20]),
    ],
    ids=["both", "its first output", "within", "stays within", "each has its own", "the packet itself"],
)
def test_a_copy_is_cut_as_the_packet_would_be(actions, sizes):
    assert [len(frame) for _, frame in run(*actions)[0].sent] == sizes


def test_hash_mark_and_priority_of_a_copy_stay_with_it():
    marks = (Set("skb_mark", (7,)), Set("skb_priority", (9,)), Hash(HashAlgorithm.L4, 0))
    own, _ = run(Clone((*marks, Output(3))), Recirc(1))
    assert [own.key[leaf] for leaf in ("skb_mark", "skb_priority", "dp_hash")] == [0, 0, 0]
    copied, _ = run(Clone((*marks, Recirc(1))), Output(2))
    expected = hash_key(extract(UDP, IN_PORT), HashAlgorithm.L4, 0)
    assert [copied.key[leaf] for leaf in ("skb_mark", "skb_priority", "dp_hash")] == [7, 9, expected]


@pytest.mark.parametrize(
    ("probability", "draw", "is_chosen"),
    [(0, 0, False), (ALWAYS, ALWAYS, True), (5, 5, True), (5, 6, False), (1, 0, True)],
)
def test_sample_chooses_by_chance(probability, draw, is_chosen):
    verdict, drops = run(Sample(probability, (Output(3),)), Output(2), draw=draw)
    assert [port for port, _ in verdict.sent] == [3, 2] if is_chosen else [2]
    verdict, drops = run(Sample(probability, (Output(3),)), draw=draw)
    assert ([port for port, _ in verdict.sent], drops) == (([3], {}) if is_chosen else ([], {"action": 1}))


@pytest.mark.parametrize(("size", "port"), [(SIZE, 3), (SIZE - 1, 2), (SIZE + 1, 3)])
@pytest.mark.parametrize("frame", [UDP, TAGGED], ids=["", "tagged"])
def test_a_frame_is_measured_without_its_outer_tag(size, port, frame):
    verdict, _ = run(CheckPktLen(size, (Output(2),), (Output(3),)), frame=frame)
    assert verdict.out_port == port


def test_of_two_tags_the_inner_one_counts():
    assert run(CheckPktLen(SIZE + 3, (Output(2),), (Output(3),)), frame=TWICE)[0].out_port == 2
    assert run(CheckPktLen(SIZE + 4, (Output(2),), (Output(3),)), frame=TWICE)[0].out_port == 3


def test_check_pkt_len_measures_what_is_there_not_what_trunc_will_cut():
    assert run(Trunc(20), CheckPktLen(20, (Output(2),), (Output(3),)))[0].out_port == 2


def ttl(frame, number):
    """The frame with another TTL, and the checksum of its header right."""
    header = bytearray(frame[14:34])
    header[8], header[10:12] = number, b"\0\0"
    total = sum(struct.unpack(">10H", header))
    header[10:12] = (~((total & 0xFFFF) + (total >> 16)) & 0xFFFF).to_bytes(2, "big")
    return frame[:14] + bytes(header) + frame[34:]


@pytest.mark.parametrize("number", [2, 64, 255])
def test_dec_ttl_takes_one_and_mends_the_checksum(number):
    verdict, _ = run(DecTtl((Output(3),)), Output(2), frame=ttl(UDP, number))
    assert verdict.sent == ((2, ttl(UDP, number - 1)),)


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize(
    ("within", "before", "sent", "drops"),
    [
        ((), (), [], {"ttl": 1}),
        ((Userspace(1),), (), [], {"ttl": 1}),
        ((Userspace(1),), (Output(2),), [2], {"ttl": 1}),
        ((Output(3),), (), [3], {}),
        ((Clone((Output(3),)), Userspace(1)), (), [3], {}),
        ((DecTtl(()), Output(3)), (), [], {"ttl": 1}),
        ((Drop(0),), (), [], {"explicit": 1}),
        ((Sample(0, (Output(3),)),), (), [], {"ttl": 1}),
    ],
    ids=["nothing", "userspace", "after an output", "output", "copy", "again", "drop", "not chosen"],
)
def test_without_ttl_its_list_is_the_packets_rest(number, within, before, sent, drops):
    frame = ttl(UDP, number)
    verdict, counted = run(*before, DecTtl(within), Output(2), frame=frame)
    assert (verdict.sent, counted) == (tuple((port, frame) for port in sent), drops)


def test_within_a_copy_it_is_the_copys_rest():
    verdict, drops = run(Clone((DecTtl(()), Output(3))), Output(2), frame=ttl(UDP, 1))
    assert (verdict.sent, drops) == (((2, ttl(UDP, 1)),), {"ttl": 1})


@pytest.mark.parametrize(
    "row", [row for row in GOLDEN if row.id in {"arp-request", "ipv6-udp"}], ids=lambda row: row.id
)
def test_hop_limits_are_taken_from_and_other_frames_stay(row):
    changed, at = bytearray(row.frame), 14 + 7
    changed[at] -= row.id == "ipv6-udp"
    verdict, _ = run(DecTtl(()), Output(2), frame=row.frame)
    assert verdict.frame == bytes(changed)


def test_a_header_that_is_cut_short_is_an_error():
    frame = UDP[: 14 + 19]
    verdict, drops = run(DecTtl((Output(3),)), Output(2), frame=frame)
    assert (verdict.reason, drops) == (DropReason.DROP_ACTION_ERROR, {"action_error": 1})


def test_an_error_in_a_copy_ends_only_that():
    frame = UDP[: 14 + 19]
    verdict, drops = run(Clone((DecTtl(()), Output(3))), Output(2), frame=frame)
    assert (verdict.sent, drops) == (((2, frame),), {"action_error": 1})


@pytest.mark.parametrize(
    ("within", "drops"), [((Drop(0),), {"explicit": 1}), ((Drop(1),), {"explicit_error": 1}), ((), {}), ((TAG,), {})]
)
def test_a_copy_is_dropped_on_purpose_only(within, drops):
    """One whose list comes to no output is no loss: the packet goes on."""
    verdict, counted = run(Clone(within), Output(2))
    assert (verdict.sent, counted) == (((2, UDP),), drops)


@pytest.mark.parametrize("within", [(Output(3),), (TAG, Output(3))])
def test_nothing_is_dropped_behind_a_copy(within):
    assert run(Clone(within), Trunc(99))[1] == {}
    assert run(Clone((Userspace(1),)), Trunc(99))[1] == {"action": 1}


@pytest.mark.parametrize(
    ("actions", "rates", "sizes"),
    [
        ((TELL, Output(2)), [ALWAYS], [SIZE]),
        ((Trunc(20), TELL, TELL), [ALWAYS, ALWAYS], [20, SIZE]),
        ((Sample(5, (Trunc(30), TELL)), TELL), [5, ALWAYS], [30, SIZE]),
        ((Sample(5, (Clone((TELL,)), Sample(3, (TELL,)), TELL)), Output(2)), [5, 3, 5], [SIZE] * 3),
    ],
    ids=["all", "cut", "within sample", "the innermost"],
)  # fmt: skip
def test_samples_say_how_many_are_chosen(actions, rates, sizes):
    verdict, _ = run(*actions)
    assert [(action.cookie, rate, len(frame)) for action, rate, frame in verdict.samples] == [
        (b"\1", rate, size) for rate, size in zip(rates, sizes, strict=True)
    ]


def test_recirculation_within_a_list_is_another_pass_of_a_copy():
    verdict, _ = run(Clone((TAG, Recirc(1))), Clone((Recirc(1),)), Output(2), after=(Output(3),))
    assert verdict.sent == ((2, UDP), (3, TAGGED), (3, UDP))
