"""Lists within actions where the differential test does not look: limits, copies that wait, and samples."""

import ctypes
import os

import pytest

from ctl import abi
from ctl.abi import CopyLimit, MapId
from ctl.action import (
    Clone,
    Drop,
    Hash,
    HashAlgorithm,
    Output,
    Psample,
    PushVlan,
    Recirc,
    Sample,
    Set,
    Trunc,
    Userspace,
)
from ctl.errors import Busy
from ctl.kernel import libbpf
from ctl.kernel.datapath import KernelDatapath
from ctl.kernel.maps import SAMPLE_RING_SIZE
from ctl.kernel.records import run_of
from ctl.kernel.ring import SampleReader
from ctl.ports import Links
from tests.bpf.harness import TC_REDIRECT, TC_SHOT, XDP_DROP, XDP_PASS, XDP_REDIRECT, match_of, udp_frame
from tests.waiting import eventually

FRAME = udp_frame(0x0A000007)
SIZE = len(FRAME)
EVERYTHING = match_of(in_port=1, l2_kind=1)
TAG = PushVlan(0x8100, 0x7005)
ALWAYS = 0xFFFFFFFF


def deep(depth, *before):
    """Lists within one another, each with these actions, and behind each an output to port 3."""
    actions = (*before, Output(3))
    for _ in range(depth):
        actions = (*before, Clone(actions), Output(3))
    return actions


# --- lists -------------------------------------------------------------------------------------------


def test_xdp_goes_on_within_the_last_action(bench, datapath, counted):
    datapath.flow_new(EVERYTHING, (Sample(ALWAYS, (Userspace(1),)), Clone((TAG, Output(2)))))
    ran = bench.run(FRAME)
    assert (ran.verdict, ran.frame) == (XDP_REDIRECT, FRAME[:12] + bytes.fromhex("81006005") + FRAME[12:])
    assert counted()["tx_packets_2"] == 1


def test_a_drop_ends_the_copy_alone_on_xdp_as_well(bench, datapath, counted):
    datapath.flow_new(EVERYTHING, (Clone((Drop(3),)), Output(2)))
    assert bench.run(FRAME).verdict == XDP_REDIRECT
    assert (counted()["drop_explicit_error"], counted()["tx_packets_2"]) == (1, 1)


def test_lists_sixteen_deep_are_carried_out(bench, datapath, counted):
    datapath.flow_new(EVERYTHING, deep(16, Trunc(20), Hash(HashAlgorithm.L4, 0)))
    assert bench.run_tc(FRAME).verdict == TC_REDIRECT
    assert (counted()["tx_packets_3"], counted()["tx_bytes_3"]) == (17, 17 * 20)


def test_copies_of_copies_wait_sixteen_deep(bench, datapath, counted):
    datapath.flow_new(EVERYTHING, deep(16, TAG))
    assert bench.run_tc(FRAME).verdict == TC_REDIRECT
    assert eventually(lambda: counted().get("tx_packets_3") == 17), counted()
    assert counted()["tx_bytes_3"] == sum(SIZE + 4 * n for n in range(1, 18))


def test_many_actions_are_carried_out_one_program_after_the_other(bench, datapath, counted):
    datapath.flow_new(EVERYTHING, (*(Clone((Output(3),) * 13),) * 64,))
    bench.run_tc(FRAME)
    assert (counted()["tx_packets_3"], "drop_too_many" in counted()) == (64 * 13, False)


@pytest.mark.parametrize("hook", ["xdp", "tc"])
def test_too_many_in_a_row_are_dropped_by_name(bench, datapath, counted, hook):
    datapath.flow_new(EVERYTHING, (*(Clone((Trunc(99),) * 20),) * 63, Output(3)))
    ran = bench.run(FRAME) if hook == "xdp" else bench.run_tc(FRAME)
    assert ran.verdict == (XDP_DROP if hook == "xdp" else TC_SHOT)
    assert (counted()["drop_too_many"], "tx_packets_3" in counted()) == (1, False)


def test_chance_decides_for_each_packet(bench, datapath, counted):
    """Half of them: that all of 97 go the same way has a chance of 2^-96."""
    datapath.flow_new(EVERYTHING, (Sample(1 << 31, (Output(2),)),))
    for _ in range(97):
        bench.run(FRAME)
    assert counted()["tx_packets_2"] + counted()["drop_action"] == 97


# --- copies that wait --------------------------------------------------------------------------------


def test_a_copy_goes_on_as_it_left(bench, datapath, counted):
    """With its port, mark, priority, hash and cut, within the list; the packet itself is unchanged."""
    sets = (Set("skb_mark", (0x17,)), Set("skb_priority", (5,)), Hash(HashAlgorithm.L4, 0))
    datapath.flow_new(
        match_of(in_port=1, recirc_id=0, l2_kind=1), (*sets, Trunc(30), Clone((Recirc(1), TAG, Output(3))), Output(2))
    )
    datapath.flow_new(match_of(in_port=1, recirc_id=1, skb_mark=0x17, skb_priority=5), (Trunc(20), Output(3)))
    assert bench.run_tc(FRAME).verdict == TC_REDIRECT
    assert eventually(lambda: counted().get("tx_packets_3") == 2), counted()
    gained = counted()
    assert (gained["tx_bytes_2"], gained["tx_bytes_3"], gained["hit"]) == (30, 30 + 4 + 20, 2)


def test_a_copy_that_cannot_wait_is_counted(bench, datapath, counted):
    datapath.flow_new(match_of(in_port=1, l2_kind=1), (Clone((TAG, Output(3))), Output(2)))
    with Links(datapath.netns) as links:
        links.set_down(f"{datapath.name}.p0")
        try:
            assert bench.run_tc(FRAME).verdict == TC_REDIRECT
            assert counted()["drop_deferred"] == 1
        finally:
            links.set_up(f"{datapath.name}.p0")


PLACE, NUMBER = 7, 41


def come_back(bench, number=NUMBER, place=PLACE, **changes):
    """A copy comes back to the last unit of the only flow's list, and says that it waited at that place."""
    reader = bench.datapath.reader
    (slot,) = reader.live_slots()
    record = reader.record(slot)
    at, units = run_of(record.actions)
    copy = abi.NestedCopy(
        number=NUMBER, bytes=SIZE, unit=at + units - 1, units_end=at + units, slot=slot,
        generation=record.generation, actions=record.actions,
    )  # fmt: skip
    for name, value in changes.items():
        setattr(copy, name, value)
    libbpf.map_update(bench.datapath.maps.fd(MapId.MAP_NESTED_COPIES), ctypes.c_uint32(PLACE), copy)
    token = bench.datapath.meta.token & 0xFFFFFFFF
    note = abi.CopyNote(token=token, recirc_id=place, dp_hash=number, in_port=1, passes=CopyLimit.COPY_NESTED)
    return bench.run_tc(FRAME, 0, note=note)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"number": NUMBER - 1}, "deferred"),
        ({"place": 1 << 20}, "deferred"),
        ({"slot": 1 << 20}, "stale_copy"),
        ({"slot": 5}, "stale_copy"),
        ({"generation": 0}, "stale_copy"),
        ({"actions": 1}, "stale_copy"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else None,
)
def test_a_copy_goes_on_only_if_its_flow_has_the_list_still(bench, datapath, counted, changes, reason):
    datapath.flow_new(EVERYTHING, (Clone((TAG, Output(3))),))
    assert come_back(bench, **changes).verdict == (TC_SHOT if reason else TC_REDIRECT)
    expected = {f"drop_{reason}": 1, "rx_dropped_1": 1} if reason else {"tx_packets_3": 1, "tx_bytes_3": SIZE}
    assert counted() == expected


def test_a_list_in_the_place_of_another_is_not_taken_for_it(datapath):
    """Three of the same size: the third one lies where the first one did."""
    datapath.flow_new(EVERYTHING, (Clone((TAG, Output(3))),))
    references = []
    for port in (1, 2, 3):
        datapath.flow_set(EVERYTHING.key, (Clone((TAG, Output(port))),))
        (slot,) = datapath.reader.live_slots()
        references.append(datapath.reader.record(slot).actions)
    assert run_of(references[0]) == run_of(references[2])
    assert references[0] != references[2]


# --- samples -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("cookie", [None, b"\1", bytes(range(16))])
@pytest.mark.parametrize("hook", ["xdp", "tc"])
def test_a_sample_is_told_byte_by_byte(bench, datapath, cookie, hook):
    tell = Psample(0x01020304, cookie)
    actions = (*([TAG] if hook == "xdp" else [Set("skb_mark", (3,)), TAG]), Trunc(40), Sample(7, (tell,)), tell, tell)
    datapath.flow_new(match_of(in_port=3, l2_kind=1), actions)
    datapath.reader.control.luck = 1
    tagged = FRAME[:12] + bytes.fromhex("81006005") + FRAME[12:]
    try:
        with SampleReader(datapath) as reader:
            if bench.run(FRAME, 3).verdict == XDP_PASS:
                bench.run_tc(FRAME, 3)
            samples = reader.read(1.0)
    finally:
        datapath.reader.control.luck = 0
    assert [(s.group, s.cookie, s.in_port, s.frame_size) for s in samples] == [(tell.group, cookie, 3, len(tagged))] * 3
    assert [(s.rate, s.packet) for s in samples] == [(7, tagged[:40]), (ALWAYS, tagged[:40]), (ALWAYS, tagged)]
    assert all(s.time_ns > 0 and s.cpu < os.cpu_count() for s in samples)


def test_with_nobody_listening_no_sample_is_lost(bench, datapath):
    datapath.flow_new(EVERYTHING, (Psample(1), Output(2)))
    before = datapath.stats()
    assert bench.run(FRAME).verdict == XDP_REDIRECT
    after = datapath.stats()
    assert (after.samples, after.samples_lost, after.lost) == (before.samples, before.samples_lost, before.lost)
    with SampleReader(datapath) as reader:
        assert reader.read() == []


def test_a_full_ring_loses_samples_and_counts_them(bench, datapath):
    datapath.flow_new(EVERYTHING, (Psample(1), Output(2)))
    before, frame = datapath.stats(), FRAME + bytes(3300)
    with SampleReader(datapath) as reader:
        for _ in range(SAMPLE_RING_SIZE // len(frame) + 3):
            bench.run(frame)
        read = len(reader.read())
    after = datapath.stats()
    assert (after.samples - before.samples, after.samples_lost > before.samples_lost) == (read, True)


def test_one_process_reads_samples_beside_the_one_that_reads_upcalls(datapath):
    with SampleReader(datapath), KernelDatapath(datapath.name) as again:
        assert datapath.reader.control.sampler == os.getpid()
        with pytest.raises(Busy, match="samples"):
            SampleReader(again).__enter__()
    assert datapath.reader.control.sampler == 0
