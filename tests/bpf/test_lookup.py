"""From frames to keys, from keys to flows, and what is counted on the way."""

import os
import time

import pytest

from ctl import abi
from ctl.abi import MapId
from ctl.flow import FlowKey, Match, Output
from ctl.kernel import attach
from ctl.kernel.records import reference_to
from tests.bpf.frames import CASES, FROZEN
from tests.bpf.harness import (
    DROP,
    ONES,
    OUT2,
    XDP_DROP,
    XDP_REDIRECT,
    exact,
    match_of,
    numbered,
    numbered_v6,
    udp_frame,
)

by_name = {case.name: case for case in CASES}
UDP4, TCP4, UDP6 = FROZEN["ipv4-udp"], FROZEN["ipv4-tcp"], FROZEN["ipv6-udp"]
EVERYTHING = Match(FlowKey(), FlowKey())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_key_of_a_frame(bench, case):
    assert bench.extract(case.frame, 3) == FlowKey.of(in_port=3, **case.key)


def test_no_field_of_an_earlier_frame_is_left_in_a_key(bench):
    bench.run(UDP6)
    bench.run(FROZEN["ipv4-tcp-all-flags"])
    case = by_name["unknown-type"]
    assert bench.extract(case.frame) == FlowKey.of(in_port=1, **case.key)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_flow_that_matches_every_field_is_hit(bench, datapath, counted, case):
    match = match_of(in_port=1, **case.key)
    flow = datapath.flow_new(match, OUT2)
    outcome = bench.run(case.frame)
    assert outcome.verdict == XDP_REDIRECT
    assert outcome.frame == case.frame
    stats = datapath.flow_get(flow.match.key).stats
    assert (stats.packets, stats.bytes) == (1, len(case.frame))
    assert stats.tcp_flags == case.leaves.get("tcp_flags", 0) & 0xFF
    size = len(case.frame)
    ports = {"rx_packets_1": 1, "rx_bytes_1": size, "tx_packets_2": 1, "tx_bytes_2": size}
    assert counted() == {"hit": 1, "mask_hit": 1} | ports


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_flow_that_differs_in_one_bit_of_any_field_is_not_hit(bench, datapath, counted, case):
    own = case.key | {"in_port": 1}
    with datapath.hold():
        for leaf, value in own.items():
            others = {name: ONES[name] for name in own}
            wrong = FlowKey.of(**own | {leaf: value ^ 1})
            datapath.flow_new(Match(wrong, FlowKey.of(**others)), OUT2)
    assert bench.run(case.frame).verdict == XDP_DROP
    got = counted()
    assert got["missed"] == got["lost"] == got["drop_miss"] == got["rx_dropped_1"] == 1
    assert "hit" not in got


def partly(leaf, value, bits):
    """A match on some bits of one leaf."""
    return Match(FlowKey.of(**{leaf: value}), FlowKey.of(**{leaf: bits}))


@pytest.mark.parametrize(
    ("match", "hits"),
    [
        (partly("ipv4_dst", 0xC6120000, 0xFFFF0000), True),
        (partly("ipv4_dst", 0xC6130000, 0xFFFF0000), False),
        (partly("ipv4_dst", 0xC6130000, 0xFFFE0000), True),
        (partly("ipv4_dst", 0x00000002, 0x000000FF), True),
        (partly("tp_dst", 0x0030, 0xFFF0), True),
        (partly("tp_dst", 0x0030, 0xFFF4), False),
        (partly("eth_dst", 0x020000000000, 0xFFFFFFFFFF00), True),
        (partly("eth_dst", 0x010000000000, 0x010000000000), False),
        (partly("in_port", 0, 0), True),
    ],
)
def test_only_the_bits_of_a_mask_are_compared(bench, datapath, match, hits):
    datapath.flow_new(match, OUT2)
    assert (bench.run(UDP4).verdict == XDP_REDIRECT) == hits


@pytest.mark.parametrize(
    ("match", "hits"),
    [
        (partly("ipv6_dst", 0x20010DB8 << 96, 0xFFFFFFFF << 96), True),
        (partly("ipv6_dst", 0x20010DB9 << 96, 0xFFFFFFFF << 96), False),
        (partly("ipv6_dst", 2, 0xFF), True),
        (partly("ipv6_src", 2, 0xFF), False),
        (partly("ipv6_label", 0x00CDE, 0x00FFF), True),
        (partly("ipv6_label", 0x00CDF, 0x00FFF), False),
    ],
)
def test_only_the_bits_of_a_mask_of_class_m_are_compared(bench, datapath, match, hits):
    datapath.flow_new(match, OUT2)
    assert (bench.run(UDP6).verdict == XDP_REDIRECT) == hits


def test_tcp_flags_can_be_matched_and_are_gathered(bench, datapath):
    syn = Match(FlowKey.of(ip_proto=6, tcp_flags=0x002), FlowKey.of(ip_proto=0xFF, tcp_flags=0x002))
    flow = datapath.flow_new(syn, OUT2)
    assert bench.run(FROZEN["ipv6-tcp"]).verdict == XDP_DROP
    assert bench.run(TCP4).verdict == XDP_REDIRECT
    assert datapath.flow_get(flow.match.key).stats.tcp_flags == 0x02
    assert bench.run(FROZEN["ipv4-tcp-all-flags"]).verdict == XDP_REDIRECT
    assert datapath.flow_get(flow.match.key).stats.tcp_flags == 0xFF


def test_one_mask_separates_many_flows(bench, datapath):
    with datapath.hold():
        for number in range(53):
            datapath.flow_new(numbered(number), OUT2)
    for number in (0, 17, 52):
        assert bench.run(udp_frame(0x0A000000 + number)).verdict == XDP_REDIRECT
    hits = {flow.match.key["ipv4_dst"] & 0xFF: flow.stats.packets for flow in datapath.flow_dump()}
    assert hits == {number: int(number in (0, 17, 52)) for number in range(53)}
    assert bench.run(udp_frame(0x0A000000 + 53)).verdict == XDP_DROP


# --- which of several flows --------------------------------------------------------------------------

NARROW, MIDDLE, WIDE = match_of(tp_dst=53), match_of(eth_type=0x0800), match_of(in_port=1)


def winner(bench, datapath, frame=UDP4):
    """Which port the frame goes to."""
    before = {flow.actions: flow.stats.packets for flow in datapath.flow_dump()}
    bench.run(frame)
    (actions,) = [f.actions for f in datapath.flow_dump() if f.stats.packets > before[f.actions]]
    return actions[0].port


@pytest.mark.parametrize("order", [(NARROW, MIDDLE, WIDE), (WIDE, MIDDLE, NARROW), (MIDDLE, WIDE, NARROW)])
def test_the_mask_that_came_first_wins_however_wide(bench, datapath, counted, order):
    for port, match in enumerate(order, 1):
        datapath.flow_new(match, (Output(port),))
    assert winner(bench, datapath) == 1
    assert counted()["mask_hit"] == 1


def test_a_mask_keeps_its_rank_when_one_before_it_goes_and_the_next_takes_the_free_id(bench, datapath, counted):
    flows = [datapath.flow_new(m, (Output(port),)) for port, m in enumerate((NARROW, MIDDLE, WIDE), 1)]
    datapath.flow_del(flows[0].match.key)
    assert datapath.reader.live_masks() == [1, 2]
    assert winner(bench, datapath) == 2
    assert counted()["mask_hit"] == 1, "a mask that is gone is not tried"
    datapath.flow_new(match_of(ip_proto=17), (Output(4),))
    assert datapath.reader.live_masks() == [0, 1, 2]
    assert winner(bench, datapath) == 4


def test_a_mask_that_returns_while_its_id_is_taken_comes_last(bench, datapath):
    flow = datapath.flow_new(NARROW, (Output(1),))
    datapath.flow_new(MIDDLE, (Output(2),))
    datapath.flow_del(flow.match.key)
    datapath.flow_new(WIDE, (Output(3),))
    datapath.flow_new(NARROW, (Output(1),))
    assert winner(bench, datapath) == 3


def test_masks_of_both_classes_stand_in_one_order(bench, datapath):
    datapath.flow_new(match_of(ipv6_label=0xABCDE), (Output(2),))
    datapath.flow_new(match_of(eth_type=0x86DD), (Output(3),))
    assert winner(bench, datapath, UDP6) == 2
    datapath.flow_flush()
    datapath.flow_new(match_of(eth_type=0x86DD), (Output(3),))
    datapath.flow_new(match_of(ipv6_label=0xABCDE), (Output(2),))
    assert winner(bench, datapath, UDP6) == 3


def test_every_mask_is_tried_before_a_miss(bench, datapath, counted):
    leaves = ("eth_src", "eth_dst", "ip_tos", "ip_ttl", "ipv4_src", "ipv4_dst", "ipv6_src")
    for leaf in leaves:
        datapath.flow_new(Match(FlowKey.of(**{leaf: ONES[leaf]}), exact(leaf)), OUT2)
    bench.run(UDP4)
    assert counted()["mask_hit"] == len(leaves)
    assert counted()["missed"] == 1


def test_the_last_of_all_masks_is_found(bench, datapath):
    with datapath.hold():
        for prefix in range(30):
            mask = FlowKey.of(in_port=0xFFFF, ipv4_src=(1 << prefix) - 1)
            datapath.flow_new(Match(FlowKey.of(in_port=9 + prefix), mask), DROP)
        datapath.flow_new(match_of(tp_dst=53), OUT2)
    assert datapath.reader.live_masks() == list(range(datapath.sizes.max_masks))
    assert bench.run(UDP4).verdict == XDP_REDIRECT


# --- what becomes of the packet ----------------------------------------------------------------------


def test_miss(bench, counted):
    assert bench.run(UDP4).verdict == XDP_DROP
    size = len(UDP4)
    expected = {"missed": 1, "lost": 1, "drop_miss": 1, "rx_packets_1": 1, "rx_bytes_1": size, "rx_dropped_1": 1}
    assert counted() == expected


def test_a_flow_without_actions_drops(bench, datapath, counted):
    flow = datapath.flow_new(EVERYTHING, DROP)
    assert bench.run(UDP4).verdict == XDP_DROP
    assert datapath.flow_get(flow.match.key).stats.packets == 1
    got = counted()
    assert (got["hit"], got["drop_action"], got["rx_dropped_1"]) == (1, 1, 1)


def test_output_to_a_port_that_does_not_exist(bench, datapath, counted):
    for port in (4, 1023, 1024, 65534):
        datapath.flow_flush()
        datapath.flow_new(EVERYTHING, (Output(port),))
        assert bench.run(UDP4).verdict == XDP_DROP
    got = counted()
    assert got["drop_no_port"] == got["rx_dropped_1"] == got["hit"] == 4


def test_output_to_the_port_it_came_from_and_to_the_local_port(bench, datapath, counted):
    flow = datapath.flow_new(EVERYTHING, (Output(1),))
    assert bench.run(UDP4).verdict == XDP_REDIRECT
    datapath.flow_set(flow.match.key, (Output(0),))
    assert bench.run(UDP4).verdict == XDP_REDIRECT
    assert (counted()["tx_packets_1"], counted()["tx_packets_0"]) == (1, 1)


def test_an_action_list_that_the_program_cannot_read(bench, datapath, counted):
    flow = datapath.flow_new(EVERYTHING, OUT2)
    record = datapath.reader.record(datapath.reader.slot_of_key(flow.match.key))
    good = record.actions
    try:
        beyond = reference_to(datapath.sizes.max_units, 1)
        unused = reference_to(datapath.sizes.max_units - 1, 1)  # of no type
        for bad in (beyond, unused):
            record.actions = bad
            assert bench.run(UDP4).verdict == XDP_DROP
    finally:
        record.actions = good
    assert counted()["drop_bad_actions"] == 2


def test_a_frame_from_a_device_that_is_no_port(bench, datapath, counted):
    datapath.flow_new(EVERYTHING, OUT2)
    assert bench.run(UDP4, port=None).verdict == XDP_DROP
    assert counted() == {"drop_not_a_port": 1}


def test_no_short_frame_can_be_run(bench):
    """BPF_PROG_TEST_RUN refuses what the program would drop: the host tests cover frames under 14 octets."""
    assert bench.run(FROZEN["bare-header"]).verdict == XDP_DROP
    with pytest.raises(OSError, match="Invalid argument"):
        bench.run(FROZEN["bare-header"][:13])


def test_a_port_that_is_taken_away_and_comes_back(bench, datapath):
    datapath.flow_new(EVERYTHING, (Output(3),))
    assert bench.run(UDP4).verdict == XDP_REDIRECT
    attach.detach(datapath, 3)
    try:
        assert bench.run(UDP4).verdict == XDP_DROP
    finally:
        assert attach.attach(datapath, "p3", 3).number == 3
    assert bench.run(UDP4).verdict == XDP_REDIRECT
    assert datapath.port_stats()[3].tx_packets == 1, "a port begins at zero"


# --- accounting --------------------------------------------------------------------------------------


def test_many_packets_are_counted_exactly(bench, datapath, counted):
    flows = {n: datapath.flow_new(numbered(n), OUT2) for n in (0, 1)}
    for number, repeat in ((0, 10007), (1, 7919), (0, 101), (2, 1013)):
        bench.run(udp_frame(0x0A000000 + number), repeat=repeat)
    stats = {n: datapath.flow_get(flow.match.key).stats for n, flow in flows.items()}
    assert [(s.packets, s.bytes) for s in stats.values()] == [(10108, 10108 * 53), (7919, 7919 * 53)]
    got = counted()
    assert (got["hit"], got["missed"], got["rx_packets_1"]) == (10108 + 7919, 1013, 10108 + 7919 + 1013)
    assert got["tx_bytes_2"] == (10108 + 7919) * 53


def test_used_is_none_before_the_first_packet_and_never_goes_back(bench, datapath):
    flow = datapath.flow_new(EVERYTHING, OUT2)
    assert flow.stats.used_ms is None
    record = datapath.reader.record(datapath.reader.slot_of_key(flow.match.key))
    seen = [0]
    for _ in range(211):
        bench.run(UDP4)
        seen.append(record.used)
    assert seen == sorted(seen)
    assert seen[1] > 0
    assert datapath.flow_get(flow.match.key).stats.used_ms == datapath.reader._ticks.time_ns(seen[-1]) // 1_000_000
    used_ms = datapath.flow_get(flow.match.key).stats.used_ms
    assert abs(time.monotonic_ns() // 1_000_000 - used_ms) < 2000, "the tick counter says another time"
    record.used = (1 << 64) - 1
    bench.run(UDP4)
    assert record.used == (1 << 64) - 1, "a later time stays"


def test_counters_of_processors_are_added_up(bench, datapath, counted):
    datapath.flow_new(EVERYTHING, OUT2)
    here = os.sched_getaffinity(0)
    try:
        for cpu in here:
            os.sched_setaffinity(0, {cpu})
            bench.run(UDP4, repeat=13)
    finally:
        os.sched_setaffinity(0, here)
    assert counted()["hit"] == counted()["tx_packets_2"] == 13 * len(here)
    assert sum(bool(cpu.hit) for cpu in datapath.maps.per_cpu(MapId.MAP_DP_STATS, 0, abi.DpStats)) >= len(here)


def test_flows_of_both_classes_under_the_same_hot_part(bench, datapath):
    """The class is that of the mask: an IPv6 packet hits a flow of class S as well."""
    small = datapath.flow_new(match_of(eth_type=0x86DD, tp_dst=53), OUT2)
    bench.run(UDP6)
    assert datapath.flow_get(small.match.key).stats.packets == 1
    datapath.flow_del(small.match.key)
    with datapath.hold():
        for number in range(41):
            datapath.flow_new(numbered_v6(number), OUT2)
    assert bench.run(UDP6).verdict == XDP_DROP
