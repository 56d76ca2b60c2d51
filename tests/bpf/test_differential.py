"""The program and its control side against the model.  For longer: tests/long_differential.py."""

import random
import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ctl.action import Output, PushVlan, Set, Trunc, Userspace
from ctl.flow import FlowKey, Match
from ctl.packet import extract
from ctl.ufid import Ufid
from tests.bpf.harness import exact
from tests.differential import New, Packet, cases, changes, copied, histories, pair, play
from tests.golden.packets import EVERY_CUT, GOLDEN, IN_PORT
from tests.header_lists import cases as header_cases

U1 = Ufid(b"\1")
ANY = FlowKey.of()


@pytest.fixture(scope="module")
def both():
    with pair() as made:
        yield made


@pytest.fixture(scope="module")
def tc_only():
    with pair(tc_only=True) as made:
        yield made


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(steps=cases())
def test_same_flows_and_packets(both, steps):
    play(both, steps)


@settings(max_examples=10, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(steps=histories())
def test_same_long_histories(both, steps):
    play(both, steps)


@settings(max_examples=250, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(steps=changes())
def test_same_changes_of_a_frame(both, steps):
    play(both, steps)


@settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(steps=copied())
def test_same_copies_of_a_frame(both, steps):
    play(both, steps)


def test_golden_packets_cut_at_every_length_have_the_same_key(both):
    """From 14 bytes: a test run takes no shorter frame."""
    both.begin()
    for frame in EVERY_CUT:
        if len(frame) >= 14:
            both.packet(frame, IN_PORT)
    both.end()


def test_a_key_has_nothing_of_the_packet_before(both):
    both.begin()
    by_id = {row.id: row.frame for row in GOLDEN}
    for name in ("nd-both", "udp", "qinq", "mpls-3", "ipv6-udp", "arp-request", "unknown-type"):
        both.packet(by_id[name], IN_PORT)
    both.end()


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(steps=cases())
def test_same_flows_and_packets_on_the_tc_hook(tc_only, steps):
    play(tc_only, steps)


def test_what_no_hook_can_do_is_refused_and_costs_nothing(both):
    """Every slot, unit and mask that the refused calls could have kept is there afterwards."""
    both.begin()
    kernel = both.kernel
    both.control("flow_new", Match(ANY, ANY), (Output(1),), U1)
    control = kernel.reader.control
    before = control.n_free_slots, control.high_unit, control.n_masks
    for leaf in ("in_port", "eth_type", "ip_proto"):
        mask = FlowKey.of(**{leaf: 0xFF})
        both.control("flow_new", Match(ANY, mask), (Userspace(1, bytes(129)),), Ufid(b"\2"))
        both.control("flow_set", U1, (Userspace(1, bytes(129)),))
    assert (control.n_free_slots, control.high_unit, control.n_masks) == before
    both.end()


def test_flags_of_a_clear_long_ago_do_not_come_back(both):
    """A CLEAR's number is one of 255: after as many, the flags of the first must not count again."""
    both.begin()
    both.control("flow_new", Match(ANY, ANY), (), U1)
    both.packet(next(row.frame for row in GOLDEN if row.id == "tcp"), IN_PORT)
    with both.kernel.hold():
        for _ in range(255):
            both.control("flow_set", U1, None, clear=True)
    both.control("flow_get", U1)
    both.end()


def sctp(size, *, tags=0, extension=b"", fragment=0):
    """An SCTP frame with so many bytes from its header on, whose checksum is whatever stands there."""
    random_ = random.Random(size)
    ethernet = bytes(12) + bytes.fromhex("8100000a") * tags
    if extension:
        ip = b"\x86\xdd" + struct.pack(">IHBB", 6 << 28, len(extension) + size & 0xFFFF, 60, 64) + bytes(32) + extension
    else:
        ip = b"\x08\0" + struct.pack(">BBHHHBBH", 0x45, 0, 20 + size, 1, fragment, 64, 132, 0) + bytes(8)
    return ethernet + ip + random_.randbytes(size)


def test_ports_of_sctp(both):
    """Frames of all sizes that a number's digits tell apart, short headers, fragments, and layers moved by tags."""
    both.begin()
    mask = exact("l2_kind", "eth_type", "ip_proto", "ip_frag")
    frames = [sctp(size) for size in (*range(9, 90), 255, 256, 511, 512, 513, 1480, 3000)]
    frames += [sctp(size, tags=1, extension=b"\x84\0" + bytes(6)) for size in (0, 11, 12, 100)]
    frames += [sctp(40, fragment=offset) for offset in (0x2000, 0x2001, 1)]
    some = Set("sctp", (0x1200, 7), (0xFF00, 0x000F))
    for key in {FlowKey(bytes(a & b for a, b in zip(extract(f, IN_PORT).raw, mask.raw, strict=True))) for f in frames}:
        listed = (Set("sctp", (4242, 3868)), PushVlan(0x8100, 0x1005), some, Trunc(96), Set("sctp", (1, 2)), Output(2))
        both.control("flow_new", Match(key, mask), listed)
    for frame in frames:
        both.packet(frame, IN_PORT)
    stats = both.model.stats()
    assert (stats.hit, stats.drops["action_error"]) == (len(frames), 5)
    both.end()


def test_frames_of_the_golden_rows_are_not_too_short():
    assert all(extract(row.frame, IN_PORT) for row in GOLDEN)


@pytest.mark.parametrize("hook", ["both", "tc_only"])
@settings(max_examples=50, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(drawn=st.lists(header_cases(), min_size=1, max_size=7))
def test_same_changes_of_labels_and_rarer_headers(request, hook, drawn):
    """ARP, ICMP and neighbour discovery; several flows, and then a packet for each."""
    flows = [New(match, actions, None) for _, match, actions in drawn]
    play(request.getfixturevalue(hook), flows + [Packet(frame, IN_PORT) for frame, _, _ in drawn])
