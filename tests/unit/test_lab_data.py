"""Topologies and test frames are data: no root, no namespaces."""

import subprocess
import sys
from pathlib import Path

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether

from ctl.errors import NotFound, UsageError
from netns_lab.frames import Stream, Trailer, build_frames, find_trailer
from netns_lab.quiet import TRAILER_SIZE, mark_of
from netns_lab.topology import star, three_hosts

KINDS = [("udp", False), ("tcp", False), ("icmp", False), ("arp", False), ("udp", True), ("tcp", True), ("icmp", True)]


def test_three_hosts():
    topology = three_hosts()
    rows = [(h.name, h.port, h.device, h.mac, h.ipv4, h.ipv6) for h in topology.hosts]
    assert rows == [
        ("h1", 1, "p1", "02:00:00:00:00:01", "198.18.0.1", "2001:db8::1"),
        ("h2", 2, "p2", "02:00:00:00:00:02", "198.18.0.2", "2001:db8::2"),
        ("h3", 3, "p3", "02:00:00:00:00:03", "198.18.0.3", "2001:db8::3"),
    ]
    assert [ns.name for ns in topology.namespaces()] == ["ctl-lab-dp", "ctl-lab-h1", "ctl-lab-h2", "ctl-lab-h3"]


@pytest.mark.parametrize(
    "arguments", [(1,), (65,), (3, ""), (3, "a-b"), (3, "x" * 13), (3, "lab", 1279), (3, "lab", 9001)]
)
def test_topologies_out_of_bounds_are_refused(arguments):
    with pytest.raises(UsageError):
        star(*arguments)


def test_no_labs_prefix_begins_anothers():
    names = {lab: {ns.name for ns in star(2, lab).namespaces()} for lab in ("a", "aa", "a_h1", "b")}
    assert len(set.union(*names.values())) == sum(map(len, names.values()))


def test_unknown_host_names_those_there_are():
    with pytest.raises(NotFound) as error:
        three_hosts().host("h9")
    assert error.value.hint == "hosts: h1 h2 h3"


@pytest.mark.parametrize(("kind", "ipv6"), KINDS)
@pytest.mark.parametrize("vlan", [None, 0, 4094])
def test_all_frames_of_a_stream_have_right_checksums(kind, ipv6, vlan):
    """Every 65,521st number: carries into both halves of the sequence number."""
    stream = Stream(src="h1", dst="h2", kind=kind, ipv6=ipv6, vlan=vlan, count=131_101)
    for sequence, frame in enumerate(build_frames(three_hosts(), stream, 7, 0xDEADBEEF)):
        if sequence % 65_521 > 2:
            continue
        assert find_trailer(frame) == Trailer(run=0xDEADBEEF, sequence=sequence, stream=7, receiver=2)
        assert len(frame) >= 60
        assert bytes(without_checksums(Ether(frame))) == frame


def without_checksums(packet):
    """The same packet, its checksums to be computed anew."""
    layer = packet
    while layer:
        for name in ("chksum", "cksum"):
            if name in layer.fields:
                delattr(layer, name)
        layer = layer.payload
    return packet


def test_frames_say_what_the_host_would_say():
    frame = Ether(next(build_frames(three_hosts(), Stream(src="h3", dst="h1", kind="tcp"), 0, 1)))
    assert (frame.src, frame.dst) == ("02:00:00:00:00:03", "02:00:00:00:00:01")
    assert (frame[IP].src, frame[IP].dst) == ("198.18.0.3", "198.18.0.1")
    assert len(frame[TCP].payload) == TRAILER_SIZE
    assert UDP not in frame


@pytest.mark.parametrize("damage", [b"", mark_of(1), mark_of(1) + bytes(16)])
def test_what_is_no_trailer(damage):
    assert find_trailer(bytes(60) + damage) is None


def test_trailer_is_found_with_padding_behind_it():
    trailer = Trailer(run=1, sequence=2, stream=3, receiver=4)
    assert find_trailer(bytes(42) + trailer.pack() + bytes(9)) == trailer


@pytest.mark.parametrize(
    "wrong", [{"kind": "dccp"}, {"count": 0}, {"count": 1_000_001}, {"vlan": 4095}, {"kind": "arp", "ipv6": True}]
)
def test_streams_out_of_bounds_are_refused(wrong):
    with pytest.raises(UsageError):
        Stream(src="h1", dst="h2", **wrong)


def test_read_only_commands_pay_for_neither_pyroute2_nor_scapy():
    root = Path(__file__).resolve().parents[2]
    code = (
        f"import sys; sys.path[:0] = [{str(root)!r}, {str(root / 'tests')!r}]\n"
        "import conftest, ctl.netns, ctl.ethtool, ctl.ports, netns_lab.build, netns_lab.run, netns_lab.traffic\n"
        "print([m for m in ('pyroute2', 'scapy', 'bcc', 'numpy') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"
