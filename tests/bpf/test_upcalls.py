"""Upcalls: every byte of a record, who may read, and what is counted when nobody does."""

import os

import pytest

from ctl.action import Output, PushVlan, Recirc, Trunc, Userspace
from ctl.errors import Busy
from ctl.kernel.datapath import KernelDatapath
from ctl.kernel.maps import UPCALL_RING_SIZE
from ctl.kernel.ring import UpcallReader
from ctl.packet import extract
from tests.bpf.harness import OUT2, match_of, udp_frame

FRAME = udp_frame(0x0A000007)
EVERYTHING = match_of(in_port=1)


@pytest.fixture
def counted(datapath):
    """What was counted since the fixture was made."""
    before = datapath.stats()

    def since():
        now = datapath.stats()
        return {name: getattr(now, name) - getattr(before, name) for name in ("missed", "lost", "upcalls", "hit")}

    return since


def test_a_miss_with_nobody_listening_is_lost(bench, datapath, counted):
    bench.run(FRAME)
    assert counted() == {"missed": 1, "lost": 1, "upcalls": 0, "hit": 0}
    with UpcallReader(datapath) as reader:
        assert reader.read() == []


def test_a_miss_is_told_byte_by_byte(bench, datapath, counted):
    with UpcallReader(datapath) as reader:
        bench.run(FRAME, port=3)
        (upcall,) = reader.read(1.0)
    assert (upcall.reason, upcall.packet, upcall.frame_size) == ("miss", FRAME, len(FRAME))
    assert upcall.key == extract(FRAME, 3)
    assert (upcall.pid, upcall.userdata, upcall.egress_tun_port, upcall.actions) == (0, None, None, None)
    assert upcall.time_ns > 0
    assert counted() == {"missed": 1, "lost": 0, "upcalls": 1, "hit": 0}


@pytest.mark.parametrize("size", [14, 15, 60, 1514, 3400])
def test_frames_of_any_size_arrive_whole(bench, datapath, size):
    frame = bytes(12) + b"\x88\xb5" + bytes(n % 251 for n in range(size - 14))
    with UpcallReader(datapath) as reader:
        bench.run(frame)
        (upcall,) = reader.read(1.0)
    assert upcall.packet == frame


@pytest.mark.parametrize(
    "action",
    [
        Userspace(7),
        Userspace(7, b""),
        Userspace(0xFFFFFFFF, b"0123456789abcdef!"),
        Userspace(1, bytes(range(128)), 5),
        Userspace(1, None, 0, actions=True),
    ],
)
def test_what_a_userspace_action_says_comes_back(bench, datapath, counted, action):
    actions = (action, Output(2))
    datapath.flow_new(EVERYTHING, actions)
    with UpcallReader(datapath) as reader:
        bench.run(FRAME)
        (upcall,) = reader.read(1.0)
    assert (upcall.reason, upcall.packet, upcall.key) == ("action", FRAME, extract(FRAME, 1))
    assert (upcall.pid, upcall.userdata, upcall.egress_tun_port) == (
        action.pid, action.userdata, action.egress_tun_port,
    )  # fmt: skip
    assert upcall.actions == (actions if action.actions else None)
    assert counted() == {"missed": 0, "lost": 0, "upcalls": 1, "hit": 1}


@pytest.mark.parametrize("change", ["modified", "replaced", "removed"])
def test_actions_that_the_flow_has_no_more_are_not_told(bench, datapath, change):
    """Their place may be another list's by the time that the upcall is read."""
    datapath.flow_new(EVERYTHING, (Userspace(1, None, None, actions=True), Output(2)))
    with UpcallReader(datapath) as reader:
        bench.run(FRAME)
        if change == "modified":
            datapath.flow_set(EVERYTHING.key, (Output(3),))
        else:
            datapath.flow_flush()
        if change == "replaced":
            datapath.flow_new(EVERYTHING, (Userspace(2, None, None, actions=True), Output(3)))
        (upcall,) = reader.read(1.0)
    assert (upcall.pid, upcall.actions) == (1, None)


def test_trunc_cuts_what_the_next_upcall_carries_and_nothing_else(bench, datapath):
    datapath.flow_new(EVERYTHING, (Trunc(20), Userspace(1), Userspace(2), Output(2)))
    with UpcallReader(datapath) as reader:
        assert bench.run(FRAME).frame == FRAME
        first, second = reader.read(1.0)
    assert (first.packet, first.frame_size) == (FRAME[:20], len(FRAME))
    assert (second.packet, second.frame_size) == (FRAME, len(FRAME))


def test_a_miss_after_recirculation_tells_the_key_and_the_frame_of_that_pass(bench, datapath):
    datapath.flow_new(match_of(in_port=1, l2_kind=1, recirc_id=0), (PushVlan(0x8100, 0x1005), Recirc(9)))
    with UpcallReader(datapath) as reader:
        bench.run(FRAME)
        (upcall,) = reader.read(1.0)
    tagged = FRAME[:12] + bytes.fromhex("81000005") + FRAME[12:]
    assert upcall.packet == tagged
    assert upcall.key == extract(tagged, 1).with_leaves(recirc_id=9)


def test_a_full_ring_is_counted_and_goes_on_when_it_is_read(bench, datapath, counted):
    frame = bytes(12) + b"\x88\xb5" + bytes(1500)
    many = UPCALL_RING_SIZE // len(frame) + 101
    with UpcallReader(datapath) as reader:
        bench.run(frame, repeat=many)
        told = reader.read()
        got = counted()
        assert got["missed"] == many
        assert got["upcalls"] == len(told) > UPCALL_RING_SIZE // 2 // len(frame)
        assert got["lost"] == many - len(told) > 0
        assert all(upcall.packet == frame for upcall in told)
        bench.run(FRAME)
        assert [upcall.packet for upcall in reader.read(1.0)] == [FRAME]


def test_records_keep_their_order_around_the_end_of_the_ring(bench, datapath):
    frames = [bytes(12) + b"\x88\xb5" + n.to_bytes(2, "big") + bytes(n % 1400) for n in range(2003)]
    with UpcallReader(datapath) as reader:
        told = []
        for frame in frames:
            bench.run(frame)
            told += reader.read()
    assert [upcall.packet for upcall in told] == frames


def test_one_reader_at_a_time(datapath):
    with UpcallReader(datapath), KernelDatapath(datapath.name) as other, pytest.raises(Busy), UpcallReader(other):
        pass
    with UpcallReader(datapath):
        assert datapath.reader.control.listener == os.getpid()
    assert datapath.reader.control.listener == 0


def test_a_reader_that_died_is_forgotten_by_the_next_writer(bench, datapath, counted):
    child = os.fork()
    if not child:
        UpcallReader(datapath).__enter__()
        os._exit(0)  # as by kill -9: nothing is put in order
    os.waitpid(child, 0)
    assert datapath.reader.control.listener == child
    datapath.flow_new(EVERYTHING, (Userspace(1), *OUT2))
    assert datapath.reader.control.listener == 0
    bench.run(FRAME)
    assert counted()["lost"] == 1
    with UpcallReader(datapath) as reader:
        bench.run(FRAME)
        assert len(reader.read(1.0)) == 1


def test_flows_go_on_while_nobody_reads(bench, datapath, counted):
    datapath.flow_new(EVERYTHING, (Userspace(1), *OUT2))
    assert bench.run(FRAME).frame == FRAME
    assert counted() == {"missed": 0, "lost": 1, "upcalls": 0, "hit": 1}
