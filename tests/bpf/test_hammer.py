"""Flows that come and go under traffic: every packet is counted once, on its own flow or as a miss.

A child process runs frames through the program on one processor while this one changes the flow table on
another.  The child's number of frames is the bound: the test is over when all of them have been run.
"""

import os
import select
import signal
from contextlib import contextmanager

import pytest

from ctl import abi
from ctl.flow import Match, Output
from ctl.kernel import libbpf
from ctl.kernel.datapath import KernelDatapath
from ctl.kernel.records import key_for_table, table_key
from ctl.ufid import Ufid
from tests.bpf.frames import FROZEN
from tests.bpf.harness import DROP, XDP_DROP, match_of, numbered, udp_frame

CPUS = sorted(os.sched_getaffinity(0))
FIRST, LAST = CPUS[0], CPUS[-1]


class Traffic:
    """A child that runs a frame ``rounds * repeat`` times on one processor."""

    def __init__(self, bench, frame, rounds, repeat, cpu):
        self.packets = rounds * repeat
        self._end, there = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            status = 1
            try:
                os.sched_setaffinity(0, {cpu})
                for _ in range(rounds):
                    bench.run(frame, repeat=repeat)
                status = 0
            finally:
                os._exit(status)
        os.close(there)

    def goes_on(self):
        """Whether there are frames left to run."""
        return not select.select([self._end], [], [], 0)[0]

    def wait(self):
        _, status = os.waitpid(self._pid, 0)
        os.close(self._end)
        assert os.waitstatus_to_exitcode(status) == 0


@contextmanager
def traffic(bench, frame, rounds, repeat, cpu=FIRST):
    """Run frames beside the block, which has a processor to itself, and wait for the last one after it."""
    running = Traffic(bench, frame, rounds, repeat, cpu)
    os.sched_setaffinity(0, {LAST})
    try:
        yield running
    finally:
        os.sched_setaffinity(0, CPUS)
        running.wait()


def test_two_processors_count_on_one_flow(bench, datapath, counted):
    frames = FROZEN["ipv4-tcp"], FROZEN["ipv4-tcp-all-flags"]
    datapath.flow_new(match_of(ip_proto=6), DROP, Ufid(b"A"))
    record = datapath.reader.record(datapath.reader.slot_of_ufid(Ufid(b"A")))
    used = [0]
    with traffic(bench, frames[0], 3, 1_000_003, FIRST) as one, traffic(bench, frames[1], 3, 1_000_003, LAST) as other:
        while one.goes_on() or other.goes_on():
            used.append(record.used)
    stats = datapath.flow_get(Ufid(b"A")).stats
    assert stats.packets == one.packets + other.packets == counted()["hit"]
    assert stats.bytes == one.packets * len(frames[0]) + other.packets * len(frames[1])
    assert stats.tcp_flags == 0xFF
    assert used == sorted(used), "used went back"
    assert len(set(used)) > 1


@pytest.mark.parametrize(
    ("leaf", "frame"), [("ipv4_dst", FROZEN["ipv4-udp"]), ("ipv6_dst", FROZEN["ipv6-udp"])], ids=["S", "M"]
)
def test_elements_recycled_under_a_look_up_never_give_a_foreign_flow(bench, datapath, counted, leaf, frame):
    """A's element is freed and holds B a moment later, again and again, without any grace period between."""
    own = match_of(**{leaf: bench.extract(frame)[leaf]})
    foreign = [Match(own.key.with_leaves(**{leaf: 7 + n}), own.mask) for n in range(5)]
    flows = [datapath.flow_new(match, DROP, Ufid(bytes((n,)))) for n, match in enumerate([own, *foreign])]
    slots = [datapath.reader.slot_of_ufid(flow.ufid) for flow in flows]
    size = datapath.reader.record(slots[0]).size_class
    elements = [table_key(size, key_for_table(flow.match.key, 0)) for flow in flows]
    refs = [abi.FlowRef(slot=slot) for slot in slots]
    fd = datapath.maps.fd(elements[0][0])
    for _, key in elements[1:]:
        libbpf.map_delete(fd, key)
    turns = 0
    with traffic(bench, frame, 7, 1_000_003) as running:
        while running.goes_on():
            other = elements[1 + turns % 5][1]
            libbpf.map_delete(fd, elements[0][1])
            libbpf.map_update(fd, other, refs[1 + turns % 5])
            libbpf.map_delete(fd, other)
            libbpf.map_update(fd, elements[0][1], refs[0])
            turns += 1
    for (_, key), ref in zip(elements, refs, strict=True):
        libbpf.map_update(fd, key, ref)
    packets = [datapath.flow_get(flow.ufid).stats.packets for flow in flows]
    got = counted()
    got["missed"] -= 1  # the one that the key was taken from
    figures = f"{turns} turns, {running.packets} look-ups, {got['missed']} misses, {got.get('stale', 0)} stale hits"
    print(f"\n{figures}")  # noqa: T201 - for whoever runs it with -s
    assert packets[1:] == [0] * 5
    assert packets[0] + got["missed"] == running.packets
    assert got["drop_action"] == got["hit"] == packets[0]
    assert turns > 100


def test_flows_deleted_and_inserted_under_traffic_account_for_every_packet(bench, datapath, counted):
    """The sum of final statistics is exact: they are read when no packet can hit the flow any more."""
    total, turns, foreign = 0, 0, [numbered(n) for n in range(1, 12)]
    with traffic(bench, udp_frame(0x0A000000), 211, 100_003) as running:
        while running.goes_on():
            turns += 1
            who = Ufid(turns.to_bytes(4, "big")) if turns % 2 else None
            flow = datapath.flow_new(numbered(0), DROP, who)
            datapath.flow_new(foreign[turns % 11], DROP, Ufid(b"B"))
            gone = datapath.flow_del(flow.ufid or flow.match.key)
            assert gone.generation == flow.generation
            total += gone.stats.packets
            assert datapath.flow_del(Ufid(b"B")).stats.packets == 0
    got = counted()
    assert total == got.get("hit", 0)
    assert total + got.get("missed", 0) == running.packets
    assert turns > 3


def test_statistics_cleared_under_traffic_add_up(bench, datapath):
    """What is read by each CLEAR and what is left at the end is every packet, once."""
    frame = udp_frame(0x0A000000)
    datapath.flow_new(numbered(0), DROP, Ufid(b"A"))
    packets = size = 0
    with traffic(bench, frame, 7, 1_000_003) as running:
        while running.goes_on():
            read = datapath.flow_set(Ufid(b"A"), None, clear=True).stats
            assert min(read.packets, read.bytes) >= 0
            packets, size = packets + read.packets, size + read.bytes
    last = datapath.flow_del(Ufid(b"A")).stats
    assert packets + last.packets == running.packets
    assert size + last.bytes == running.packets * len(frame)


def test_actions_replaced_under_traffic_are_the_old_or_the_new(bench, datapath, counted):
    """Every packet is dropped for one of the two reasons: no port 9, or no action; never for a third."""
    datapath.flow_new(numbered(0), DROP, Ufid(b"A"))
    nowhere = (Output(9),)
    turns = 0
    with traffic(bench, udp_frame(0x0A000000), 7, 1_000_003) as running, datapath.hold():
        while running.goes_on():
            datapath.flow_set(Ufid(b"A"), nowhere if turns % 2 else DROP)
            turns += 1
    got = counted()
    assert got.get("drop_action", 0) + got.get("drop_no_port", 0) == got["hit"] == running.packets
    assert turns > 100


def test_a_hint_to_another_flow_is_refused(bench, datapath, counted):
    """As if the element had been recycled at every look-up: one more try, then no hit."""
    for n, match in enumerate(
        (numbered(0), numbered(1), match_of(in_port=1, ipv6_dst=1), match_of(in_port=1, ipv6_dst=2))
    ):
        datapath.flow_new(match, DROP, Ufid(bytes((n,))))
    before = [datapath.reader.slot_of_ufid(Ufid(bytes((n,)))) for n in range(4)]
    for own, other, frame in ((0, 1, udp_frame(0x0A000000)), (2, 3, ipv6_to(1))):
        flow = datapath.flow_get(Ufid(bytes((own,))))
        mask_id = datapath.reader.mask_id_of(flow.match.mask)
        size = datapath.reader.record(before[own]).size_class
        table, key = table_key(size, key_for_table(flow.match.key, mask_id))
        fd = datapath.maps.fd(table)
        for slot in (before[other], 0xFFFFFFFF):
            libbpf.map_update(fd, key, abi.FlowRef(slot=slot))
            assert bench.run(frame).verdict == XDP_DROP
        libbpf.map_update(fd, key, abi.FlowRef(slot=before[own]))
    assert [flow.stats.packets for flow in datapath.flow_dump()] == [0, 0, 0, 0]
    assert (counted()["stale"], counted()["missed"]) == (4, 4)


def ipv6_to(dst):
    return bytes(12) + b"\x86\xdd\x60" + bytes(5) + b"\x3b\x40" + bytes(16) + dst.to_bytes(16, "big")


def test_readers_beside_a_writer_see_whole_flows(datapath):
    """Each UFID says what its flow must be: a reader that mixed two flows up would show it."""
    pid, seen = os.fork(), 0
    if pid == 0:
        _churn_whole_flows(datapath.name)
    try:
        while seen < 2003:
            for flow in datapath.flow_dump():
                number = flow.ufid.octets[0]
                assert flow.match.key["ipv4_dst"] == 0x0A000000 + number
                assert flow.actions == (Output(number),)
                seen += 1
            assert os.waitpid(pid, os.WNOHANG) == (0, 0), "the writer has ended"
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        with datapath.hold():
            pass


def _churn_whole_flows(name):
    """In a child, for ever: five flows come into five slots, in another order each time, and go."""
    turn = 0
    with KernelDatapath(name) as datapath:
        while True:
            turn += 1
            with datapath.hold() as writer:
                for number in sorted(range(5), key=lambda n: n * turn % 5):
                    datapath.flow_new(numbered(number), (Output(number),), Ufid(bytes((number,))))
                writer.remove(list(writer.live_slots()))
