"""Traffic between hosts is counted exactly and compared octet by octet."""

import socket
import time
from dataclasses import replace

import pytest

from ctl.errors import Absent, NotFound
from netns_lab.bulk import tcp_transfer, udp_count
from netns_lab.frames import Stream
from netns_lab.topology import star
from netns_lab.traffic import Count, exchange, send_frames
from tests.lab.redirect import redirecting

pytestmark = pytest.mark.usefixtures("forwarding")


@pytest.fixture(scope="module")
def forwarding(shared_lab):
    with redirecting(shared_lab):
        yield


def rx_packets(lab):
    with lab.datapath_namespace.enter(), open("/proc/thread-self/net/dev") as file:
        rows = [line.split() for line in file.readlines()[2:]]
    return {row[0].rstrip(":"): int(row[2]) for row in rows}


@pytest.mark.parametrize("vlan", [None, 5, 4094])
@pytest.mark.parametrize("kind", ["udp", "tcp", "icmp", "arp", "udp6", "tcp6", "icmp6"])
def test_every_frame_arrives_once_and_unchanged(shared_lab, kind, vlan):
    stream = Stream(src="h1", dst="h3", kind=kind.rstrip("6"), ipv6=kind.endswith("6"), vlan=vlan, count=23)
    assert exchange(shared_lab, [stream])[0].ok


def test_no_stack_answers_test_frames_and_nobody_speaks_unasked(shared_lab):
    exchange(shared_lab, [Stream(src="h1", dst="h2", kind=kind) for kind in ("udp", "tcp", "icmp", "arp")])
    before = rx_packets(shared_lab)
    counts = {"udp": 23, "tcp": 29, "icmp": 31, "arp": 37}
    exchange(shared_lab, [Stream(src="h1", dst="h2", kind=kind, count=n) for kind, n in counts.items()])
    time.sleep(1.2)
    after = rx_packets(shared_lab)
    assert {name: after[name] - before[name] for name in ("p1", "p2", "p3")} == {"p1": 120, "p2": 0, "p3": 0}


def test_streams_in_all_directions(shared_lab):
    pairs = [(a, b) for a in ("h1", "h2", "h3") for b in ("h1", "h2", "h3") if a != b]
    results = exchange(shared_lab, [Stream(src=a, dst=b, count=101) for a, b in pairs])
    assert [(r.sent, r.received, r.mismatched) for r in results] == [(101, 101, 0)] * 6


def test_a_frame_that_arrives_otherwise_than_expected_is_a_mismatch(shared_lab):
    def without_last_bit(frame):
        return bytes([frame[0] ^ 1]) + frame[1:]

    result = exchange(shared_lab, [Stream(src="h1", dst="h2", count=7, arrives_as=without_last_bit)])[0]
    assert (result.received, result.mismatched, result.ok) == (7, 7, False)


def test_a_frame_that_comes_to_another_host_is_elsewhere(shared_lab):
    """h2's MAC is what the path goes by: the stream is for h3 in name only."""
    macs = {h.name: h.mac for h in shared_lab.hosts}
    macs |= {"h2": macs["h3"], "h3": macs["h2"]}
    hosts = [replace(h, devices=(replace(h.devices[0], mac=macs[h.name]),)) for h in shared_lab.hosts]
    swapped = replace(shared_lab, hosts=tuple(hosts))
    result = exchange(swapped, [Stream(src="h1", dst="h3", count=11)], timeout_s=0.2)[0]
    assert (result.received, result.elsewhere) == (0, 11)


def test_ten_thousand_frames_without_a_pause(shared_lab):
    assert exchange(shared_lab, [Stream(src="h2", dst="h3", count=10_007)])[0].ok


def test_frames_of_ones_own(shared_lab):
    """Three of them, one twice, and none that the quiet program knows."""
    h1, h2, h3 = (bytes.fromhex(h.mac.replace(":", "")) for h in shared_lab.hosts)
    frames = [h2 + h1 + bytes.fromhex("88b5") + bytes([n]) * 46 for n in (1, 2, 2)]
    assert send_frames(shared_lab, "h1", "h2", frames) == Count(sent=3, received=3)
    stray = [h3 + h1 + bytes.fromhex("88b5") + bytes(46)]
    assert send_frames(shared_lab, "h1", "h2", stray, timeout_s=0.1) == Count(sent=1, received=0, elsewhere=1)


def test_rate(shared_lab):
    start = time.monotonic()
    assert exchange(shared_lab, [Stream(src="h1", dst="h2", count=101)], rate=500)[0].ok
    assert 0.19 < time.monotonic() - start < 1.5


@pytest.mark.parametrize("ipv6", [False, True])
def test_tcp_sums_are_equal(shared_lab, ipv6):
    transfer = tcp_transfer(shared_lab, "h1", "h3", mib=23, ipv6=ipv6)
    assert transfer.ok
    assert transfer.received_bytes == 23 << 20


def test_udp_loses_none(shared_lab):
    assert udp_count(shared_lab, "h3", "h2", count=10_007).received == 10_007


def test_unknown_host_and_absent_lab(shared_lab):
    with pytest.raises(NotFound, match="no host h9"):
        exchange(shared_lab, [Stream(src="h9", dst="h1")])
    with pytest.raises(Absent):
        exchange(star(2, "never"), [Stream(src="h1", dst="h2")])


def test_stack_answers_what_is_no_test_frame(shared_lab):
    with shared_lab.namespace(shared_lab.host("h1")).enter():
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    with sock:
        sock.settimeout(2)
        with pytest.raises(ConnectionRefusedError):
            sock.connect((shared_lab.host("h2").ipv4, 9))
