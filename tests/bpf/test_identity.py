"""How a flow is named: by its UFID alone when it has one, else by its concrete key alone."""

import itertools

import pytest

from ctl.action import Userspace
from ctl.errors import CtlError, Exists, NotFound
from ctl.flow import FlowKey, FlowStats, Match, Output
from ctl.ufid import Ufid
from tests.bpf.audit import state_of
from tests.bpf.frames import FROZEN
from tests.bpf.harness import DROP, OUT2, XDP_DROP, XDP_REDIRECT, exact, match_of, numbered, numbered_v6, udp_frame

U1, U2 = Ufid(bytes(range(16))), Ufid(bytes(range(1, 17)))
# A concrete key with bits that the mask does not compare.
WILD = Match(FlowKey.of(in_port=1, ipv4_dst=0x0A000005), FlowKey.of(in_port=0xFFFF, ipv4_dst=0xFFFFFF00))
WILD_M = Match(FlowKey.of(in_port=1, ipv6_dst=5), FlowKey.of(in_port=0xFFFF, ipv6_dst=0xFFFF << 112))


def all_of(datapath):
    return sorted(datapath.flow_dump(), key=lambda flow: (flow.ufid is not None, flow.ufid, flow.match.key.raw))


# --- UFIDs of every length ---------------------------------------------------------------------------


@pytest.mark.parametrize("size", range(1, 17))
def test_a_ufid_of_any_length_goes_in_and_comes_out(datapath, size):
    ufid = Ufid(bytes(range(200, 200 + size)))
    datapath.flow_new(WILD, OUT2, ufid)
    assert datapath.flow_get(ufid).ufid == ufid
    assert datapath.ufids() == [ufid]
    assert datapath.flow_set(ufid, DROP).ufid == ufid
    assert datapath.flow_del(ufid).ufid == ufid
    with pytest.raises(NotFound):
        datapath.flow_get(ufid)


@pytest.mark.conformance("A3.equal")
@pytest.mark.parametrize("octets", [b"\0", b"\xaa", b"\xaa\0\0"])
def test_equal_octets_of_different_length_are_different_names(bench, datapath, octets):
    ufids = [Ufid(octets.ljust(size, b"\0")) for size in range(len(octets), 17)]
    for number, ufid in enumerate(ufids):
        datapath.flow_new(numbered(number), OUT2, ufid)
    for number, ufid in enumerate(ufids):
        bench.run(udp_frame(0x0A000000 + number), repeat=number + 1)
        assert datapath.flow_get(ufid).stats.packets == number + 1
    datapath.flow_del(ufids[1])
    assert sorted(datapath.ufids()) == sorted([ufids[0], *ufids[2:]])


def test_a_prefix_of_a_ufid_names_nothing(datapath):
    datapath.flow_new(WILD, OUT2, U1)
    for size in range(1, 16):
        with pytest.raises(NotFound):
            datapath.flow_get(Ufid(U1.octets[:size]))


# --- one name, not two -------------------------------------------------------------------------------


def requests(datapath, who):
    return (lambda: datapath.flow_get(who), lambda: datapath.flow_set(who, DROP), lambda: datapath.flow_del(who))


@pytest.mark.parametrize("match", [WILD, WILD_M, numbered(3), numbered_v6(3)])
def test_a_flow_with_a_ufid_is_not_found_by_any_key(datapath, match):
    datapath.flow_new(match, OUT2, U1)
    before = state_of(datapath)
    for key in (match.key, match.masked):
        for request in requests(datapath, key):
            with pytest.raises(NotFound):
                request()
    assert state_of(datapath) == before
    assert datapath.flow_get(U1).actions == OUT2


@pytest.mark.parametrize("match", [WILD, WILD_M])
def test_a_flow_without_one_is_found_by_its_concrete_key_alone(datapath, match):
    datapath.flow_new(match, OUT2)
    near = match.key.with_leaves(ip_ttl=9)
    for who in (match.masked, near, U1, Ufid(match.key.raw[:16])):
        for request in requests(datapath, who):
            with pytest.raises(NotFound):
                request()
    assert datapath.flow_get(match.key).actions == OUT2
    assert datapath.flow_set(match.key, DROP).actions == DROP
    assert datapath.flow_del(match.key).match == match
    assert all_of(datapath) == []


def test_both_kinds_of_flow_are_in_one_table(bench, datapath):
    datapath.flow_new(numbered(1), OUT2, U1)
    datapath.flow_new(numbered(2), OUT2)
    assert [flow.ufid for flow in all_of(datapath)] == [None, U1]
    assert datapath.stats().masks == 1
    assert bench.run(udp_frame(0x0A000001)).verdict == bench.run(udp_frame(0x0A000002)).verdict == XDP_REDIRECT


def test_the_key_that_is_shown_is_masked_with_a_ufid_and_concrete_without(datapath):
    for match, ufid in itertools.product((WILD, WILD_M), (U1, None)):
        flow = datapath.flow_new(match, OUT2, ufid)
        who = ufid or match.key
        want = Match(match.masked if ufid else match.key, match.mask)
        assert flow.match == datapath.flow_get(who).match == all_of(datapath)[0].match == want
        assert datapath.flow_del(who).match == want


def test_the_datapath_invents_no_ufid(datapath):
    replies = [datapath.flow_new(WILD, OUT2), datapath.flow_get(WILD.key), *datapath.flow_dump()]
    replies += [datapath.flow_set(WILD.key, DROP, clear=True), datapath.flow_del(WILD.key)]
    assert [flow.ufid for flow in replies] == [None] * 5
    assert datapath.ufids() == []


# --- what exists already -----------------------------------------------------------------------------

OTHER_MASK = Match(WILD.key, FlowKey.of(in_port=0xFFFF, ipv4_dst=0xFFFF0000))
SAME_MASKED = Match(WILD.key.with_leaves(ipv4_dst=0x0A000077), WILD.mask)


@pytest.mark.conformance("D3")
@pytest.mark.parametrize(
    ("old", "new", "accepted"),
    [
        ((WILD, U1), (WILD, U1), False),
        ((WILD, U1), (OTHER_MASK, U1), False),
        ((WILD, U1), (numbered(9), U1), False),
        ((WILD, U1), (numbered_v6(9), U1), False),
        ((WILD, U1), (WILD, U2), False),
        ((WILD, U1), (SAME_MASKED, U2), False),
        ((WILD, U1), (WILD, None), False),
        ((WILD, None), (WILD, U1), False),
        ((WILD, None), (SAME_MASKED, None), False),
        ((WILD, None), (SAME_MASKED, U1), False),
        ((WILD, None), (OTHER_MASK, None), False),  # one concrete key names one flow
        ((WILD, None), (OTHER_MASK, U2), True),
        ((WILD, U1), (OTHER_MASK, U2), True),
        ((WILD, U1), (OTHER_MASK, None), True),
        ((WILD, U1), (numbered(5), U2), True),  # narrower, under the other
        ((WILD, None), (numbered(7), None), True),
    ],
)
def test_what_counts_as_the_same_flow(bench, datapath, old, new, accepted):
    first = datapath.flow_new(old[0], OUT2, old[1])
    bench.run(udp_frame(0x0A000005), repeat=7)
    before = state_of(datapath)
    if accepted:
        assert datapath.flow_new(new[0], DROP, new[1]).stats == FlowStats()
        assert len(all_of(datapath)) == 2
    else:
        with pytest.raises(Exists):
            datapath.flow_new(new[0], DROP, new[1])
        assert state_of(datapath) == before
    kept = datapath.flow_get(old[1] or old[0].key)
    assert (kept.actions, kept.match, kept.stats.packets) == (OUT2, first.match, 7)


def test_a_wider_flow_whose_concrete_key_is_new_is_accepted(bench, datapath):
    """1.1.1.1/192.0.0.0 first, then 192.1.1.1/0.0.0.0: a masked look-up would take them for one."""
    narrow = Match(FlowKey.of(ipv4_src=0x01010101), FlowKey.of(ipv4_src=0xC0000000))
    wide = Match(FlowKey.of(ipv4_src=0xC0010101), FlowKey())
    datapath.flow_new(narrow, DROP)
    datapath.flow_new(wide, OUT2)
    assert datapath.flow_get(wide.key).match == wide
    assert bench.run(udp_frame(1)).verdict == XDP_DROP
    assert bench.run(FROZEN["ipv4-udp"]).verdict == XDP_REDIRECT


def test_two_masks_may_hold_flows_of_one_masked_key(bench, datapath):
    zero = [Match(FlowKey(), exact(leaf)) for leaf in ("ip_tos", "vlan_tci", "ipv6_label")]
    for number, match in enumerate(zero):
        datapath.flow_new(match, OUT2, Ufid(bytes((number,))))
    assert len(all_of(datapath)) == 3
    bench.run(udp_frame(1))
    assert datapath.flow_get(Ufid(b"\0")).stats.packets == 1


def test_flow_set_creates_nothing(datapath):
    for who in (U1, WILD.key):
        with pytest.raises(NotFound):
            datapath.flow_set(who, OUT2)
    assert all_of(datapath) == []


def test_flow_set_replaces_actions_and_keeps_the_rest(bench, datapath):
    first = datapath.flow_new(numbered(5), OUT2, U1)
    bench.run(udp_frame(0x0A000005), repeat=3)
    changed = datapath.flow_set(U1, DROP)
    assert (changed.actions, changed.match, changed.stats.packets) == (DROP, first.match, 3)
    assert bench.run(udp_frame(0x0A000005)).verdict == XDP_DROP
    assert datapath.flow_set(U1, None).actions == DROP
    assert datapath.flow_set(U1, OUT2).stats.packets == 4
    assert bench.run(udp_frame(0x0A000005)).verdict == XDP_REDIRECT


def test_an_action_list_that_no_hook_can_execute_changes_nothing(datapath):
    datapath.flow_new(numbered(5), OUT2, U1)
    before = state_of(datapath)
    refused = (Userspace(1, bytes(129)), Output(2))
    for request in (
        lambda: datapath.flow_new(numbered(6), refused),
        lambda: datapath.flow_new(numbered_v6(6), refused, U2),
        lambda: datapath.flow_set(U1, refused),
    ):
        with pytest.raises(CtlError):
            request()
        assert state_of(datapath) == before


# --- statistics --------------------------------------------------------------------------------------


@pytest.mark.conformance("A5.8", "A11.clear")
@pytest.mark.parametrize("ufid", [U1, None])
def test_clear_returns_what_was_and_then_counts_from_zero(bench, datapath, ufid):
    flow = datapath.flow_new(match_of(eth_type=0x0800), OUT2, ufid)
    who = ufid or flow.match.key
    frame, other = FROZEN["ipv4-tcp-all-flags"], FROZEN["ipv4-tcp"]
    bench.run(frame, repeat=11)
    cleared = datapath.flow_set(who, None, clear=True)
    assert (cleared.stats.packets, cleared.stats.bytes, cleared.stats.tcp_flags) == (11, 11 * len(frame), 0xFF)
    assert cleared.stats.used_ms is not None
    assert datapath.flow_get(who).stats == FlowStats()
    bench.run(other, repeat=5)
    after = datapath.flow_set(who, DROP, clear=True)
    assert (after.stats.packets, after.stats.bytes, after.stats.tcp_flags) == (5, 5 * len(other), 0x02)
    assert after.actions == DROP
    bench.run(other, repeat=3)
    gone = datapath.flow_del(who)
    assert (gone.stats.packets, gone.stats.bytes, gone.stats.tcp_flags) == (3, 3 * len(other), 0x02)


@pytest.mark.conformance("A11.clear")
def test_flags_are_cleared_through_every_epoch(bench, datapath):
    datapath.flow_new(match_of(ip_proto=6), OUT2, U1)
    for _ in range(257):
        bench.run(FROZEN["ipv4-tcp"])
        assert datapath.flow_set(U1, None, clear=True).stats.tcp_flags == 0x02
        assert datapath.flow_get(U1).stats.tcp_flags == 0


@pytest.mark.conformance("A7.5")
def test_a_deleted_flow_gives_its_final_statistics_and_a_new_one_begins_at_zero(bench, datapath):
    for number in (5, 3, 2):
        datapath.flow_new(numbered(5), OUT2, U1)
        bench.run(udp_frame(0x0A000005), repeat=number)
        gone = datapath.flow_del(U1)
        assert (gone.stats.packets, gone.stats.bytes) == (number, 53 * number)


def test_flush(bench, datapath):
    assert datapath.flow_flush() == 0
    for number in range(29):
        datapath.flow_new(numbered(number), OUT2, Ufid(bytes((number,))) if number % 2 else None)
        datapath.flow_new(numbered_v6(number), OUT2)
    assert datapath.flow_flush() == 58
    assert all_of(datapath) == []
    assert (datapath.stats().flows, datapath.stats().masks) == (0, 0)
    assert bench.run(udp_frame(0x0A000005)).verdict == XDP_DROP
