"""The model says what a datapath does; these are the rules that one would look up."""

import pytest

from ctl.abi import DropReason
from ctl.action import PopVlan, PushVlan, Recirc, Set, Trunc
from ctl.datapath import Datapath, PortStats
from ctl.errors import Exists, NotFound, TableFull, UsageError
from ctl.flow import FlowKey, FlowStats, Match, Output
from ctl.model import ModelDatapath
from ctl.packet import extract
from ctl.ufid import Ufid
from tests.golden.packets import GOLDEN, IN_PORT

FRAMES = {row.id: row.frame for row in GOLDEN}
UDP, TCP = FRAMES["udp"], FRAMES["tcp"]
U1, U2 = Ufid(b"\1"), Ufid(b"\2")
TYPE, PROTOCOL, ALL = FlowKey.of(eth_type=0xFFFF), FlowKey.of(ip_proto=0xFF), FlowKey.of()
L2 = FlowKey.of(l2_kind=0xFF)
OUT2 = (Output(2),)


@pytest.fixture
def model():
    made = ModelDatapath("m", max_flows=3, max_masks=2, clock=lambda: 5_000_000)
    made.add_port(IN_PORT)
    made.add_port(2)
    return made


def match(mask, frame=UDP):
    return Match(extract(frame, IN_PORT), mask)


def test_it_is_a_datapath(model):
    datapath: Datapath = model
    assert [port.number for port in datapath.ports()] == [1, 2]


@pytest.mark.parametrize(
    ("actions", "out_port", "reason"),
    [(OUT2, 2, "NONE"), ((), None, "ACTION"), ((Output(3),), None, "NO_PORT")],
)
def test_a_hit_is_accounted_before_its_actions(model, actions, out_port, reason):
    model.flow_new(match(ALL), actions, U1)
    verdict = model.process(UDP, IN_PORT)
    assert (verdict.out_port, verdict.reason, verdict.frame) == (out_port, DropReason[f"DROP_{reason}"], UDP)
    assert model.flow_get(U1).stats == FlowStats(packets=1, bytes=len(UDP), used_ms=5)


def test_ports_count_each_packet_once(model):
    model.flow_new(match(ALL), OUT2, U1)
    model.process(UDP, IN_PORT)
    model.process(UDP, 2)
    model.process(bytes(13), 2)
    size = len(UDP)
    assert model.port_stats() == {
        1: PortStats(rx_packets=1, rx_bytes=size),
        2: PortStats(rx_packets=2, rx_bytes=size + 13, rx_dropped=1, tx_packets=2, tx_bytes=2 * size),
    }


def test_what_was_not_looked_up_is_no_miss(model):
    model.process(UDP, 9)
    model.process(b"", IN_PORT)
    model.process(UDP, IN_PORT)
    stats = model.stats()
    assert (stats.hit, stats.missed, stats.lost) == (0, 1, 1)
    assert {name: count for name, count in stats.drops.items() if count} == {
        "not_a_port": 1,
        "short_frame": 1,
        "miss": 1,
    }


@pytest.mark.conformance("D15")
def test_the_lowest_rank_wins_and_a_free_rank_is_used_again(model):
    model.flow_new(match(TYPE), OUT2, U1)
    model.flow_new(match(PROTOCOL), (), U2)
    assert model.process(UDP, IN_PORT).flow.ufid == U1
    model.flow_del(U1)
    model.flow_new(match(ALL), OUT2, U1)
    assert model.process(UDP, IN_PORT).flow.ufid == U1
    assert model.stats().mask_hit == 2


def test_clear_returns_what_it_clears(model):
    model.flow_new(match(ALL), OUT2, U1)
    model.process(TCP, IN_PORT)
    before = model.flow_set(U1, (), clear=True)
    assert (before.actions, before.stats.packets, before.stats.tcp_flags) == ((), 1, 0x12)
    assert model.flow_get(U1).stats == FlowStats()


def test_a_flow_has_one_name(model):
    by_ufid, by_key = match(TYPE), match(PROTOCOL)
    model.flow_new(by_ufid, OUT2, U1)
    model.flow_new(by_key, OUT2)
    assert model.flow_get(U1).match.key == by_ufid.masked
    assert model.flow_get(by_key.key).match == by_key
    for who in (by_ufid.masked, by_key.masked, U2):
        with pytest.raises(NotFound):
            model.flow_get(who)


@pytest.mark.parametrize(
    ("mask", "ufid"), [(PROTOCOL, U1), (TYPE, U2), (TYPE, None)], ids=["same UFID", "same match", "same match, no UFID"]
)
def test_what_is_there_is_refused(model, mask, ufid):
    model.flow_new(match(TYPE), OUT2, U1)
    with pytest.raises(Exists):
        model.flow_new(match(mask), OUT2, ufid)
    assert model.stats().masks == 1


def test_two_flows_without_ufid_need_two_keys(model):
    model.flow_new(match(TYPE), OUT2)
    with pytest.raises(Exists):
        model.flow_new(match(PROTOCOL), OUT2)
    model.flow_new(match(PROTOCOL, TCP), OUT2)


def test_full_tables_change_nothing(model):
    model.flow_new(match(TYPE), OUT2, U1)
    model.flow_new(match(PROTOCOL), OUT2, U2)
    with pytest.raises(TableFull, match="2 masks"):
        model.flow_new(match(ALL), OUT2, Ufid(b"\3"))
    model.flow_new(match(PROTOCOL, TCP), OUT2, Ufid(b"\3"))
    with pytest.raises(TableFull, match="3 flows"):
        model.flow_new(match(PROTOCOL, FRAMES["icmp"]), OUT2, Ufid(b"\4"))
    assert model.flow_flush() == 3
    assert (model.stats().flows, model.stats().masks) == (0, 0)


def test_each_output_sends_the_packet_as_it_then_is(model):
    tag = PushVlan(0x8100, 0x1005)
    model.flow_new(match(L2), (Trunc(20), Output(1), Output(7), tag, Output(2)), U1)
    verdict = model.process(UDP, IN_PORT)
    tagged = UDP[:12] + bytes.fromhex("81000005") + UDP[12:]
    assert verdict.sent == ((1, UDP[:20]), (2, tagged))
    assert (verdict.out_port, verdict.frame, model.stats().drops["no_port"]) == (2, tagged, 1)
    assert model.port_stats()[1] == PortStats(rx_packets=1, rx_bytes=len(UDP), tx_packets=1, tx_bytes=20, rx_dropped=1)


def test_nothing_is_dropped_behind_a_copy(model):
    model.flow_new(match(L2), (Output(2), PopVlan()), U1)
    verdict = model.process(UDP, IN_PORT)
    assert (verdict.out_port, verdict.reason, verdict.sent) == (None, DropReason.DROP_NONE, ((2, UDP),))
    assert not any(model.stats().drops.values())


def test_a_mark_is_seen_by_the_next_pass(model):
    model.flow_new(match(FlowKey.of(recirc_id=0xFFFFFFFF)), (Set("skb_mark", (0x17,), (0xFF,)), Recirc(1)), U1)
    marked = FlowKey.of(recirc_id=1, skb_mark=0x17)
    model.flow_new(Match(marked, FlowKey.of(recirc_id=0xFFFFFFFF, skb_mark=0xF)), OUT2, U2)
    verdict = model.process(UDP, IN_PORT)
    assert (verdict.out_port, verdict.key["skb_mark"]) == (2, 0x17)


def test_a_copy_is_looked_up_again_when_the_packet_has_ended(model):
    whole = FlowKey.of(recirc_id=0xFFFFFFFF, l2_kind=0xFF)
    model.flow_new(match(whole), (Recirc(1), PushVlan(0x8100, 0x1005), Recirc(2), Output(2)), U1)
    for number, port in ((1, 3), (2, 4)):
        model.add_port(port)
        key = FlowKey.of(recirc_id=number, l2_kind=1)
        model.flow_new(Match(key, whole), (Output(port),), Ufid(bytes((number + 7,))))
    tagged = UDP[:12] + bytes.fromhex("81000005") + UDP[12:]
    verdict = model.process(UDP, IN_PORT)
    assert verdict.sent == ((2, tagged), (3, UDP), (4, tagged))
    assert (verdict.out_port, verdict.key["recirc_id"], model.stats().hit) == (2, 2, 3)


def test_copies_are_recirculated_five_times(model):
    model.flow_new(match(FlowKey.of()), (Recirc(1), Output(2)), U1)
    verdict = model.process(UDP, IN_PORT)
    assert verdict.sent == ((2, UDP),) * 6
    assert model.stats().drops["recirc_limit"] == 1


def test_ports_come_and_go(model):
    with pytest.raises(Exists):
        model.add_port(2)
    with pytest.raises(UsageError):
        model.add_port(1024)
    assert model.remove_port(2).number == 2
    with pytest.raises(NotFound):
        model.remove_port(2)
