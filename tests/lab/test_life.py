"""A datapath with every process gone: forwarding, answering, carrying real traffic."""

import os
import re
import subprocess

import pytest

from ctl.netns import NetNs
from ctl.ports import Links
from netns_lab.bulk import tcp_transfer, udp_count
from netns_lab.record import existing
from netns_lab.topology import HOST_DEVICE
from tests.lab.commands import Ctl

DATAGRAMS = 10_007
MIB = 64


@pytest.fixture(scope="module")
def ctl():
    command = Ctl(f"l{os.getpid()}")
    command("up", "--no-traffic")
    yield command
    command("down")


@pytest.fixture(scope="module")
def topology(ctl):
    return existing(ctl.name)


def hits(ctl):
    return ctl.json("show")["datapaths"][0]["hit"]


def test_pings_go_on(ctl):
    before = hits(ctl)
    outcome = ctl("exec", "h1", "--", "ping", "-q", "-c", "7", "-i", "0.05", "-W", "2", "198.18.0.3")
    assert "7 received" in outcome.out
    assert hits(ctl) >= before + 14


def test_pings_over_ipv6(ctl):
    assert "7 received" in ctl("exec", "h2", "--", "ping", "-q", "-c", "7", "-i", "0.05", "2001:db8::1").out


def test_the_dump_answers_and_counts(ctl, topology):
    h1, h2 = topology.hosts[0], topology.hosts[1]
    pattern = re.compile(rf"in_port\(1\),eth\(src={h1.mac},dst={h2.mac}\), packets:(\d+), ")
    (before,) = pattern.findall(ctl("dump-flows").out)
    ctl("send", "h1", "h2", "--icmp", "--count", "101")
    (after,) = pattern.findall(ctl("dump-flows").out)
    assert int(after) == int(before) + 101


@pytest.mark.parametrize("ipv6", [False, True], ids=["ipv4", "ipv6"])
def test_tcp_arrives_whole(topology, ipv6):
    transfer = tcp_transfer(topology, "h1", "h2", mib=MIB, timeout_s=60, ipv6=ipv6)
    assert transfer.received_bytes == MIB << 20
    assert transfer.sent_sum == transfer.received_sum


def test_every_datagram_arrives(topology):
    counted = udp_count(topology, "h3", "h1", count=DATAGRAMS, rate=30_000)
    assert (counted.sent, counted.received) == (DATAGRAMS, DATAGRAMS)


def test_ifindexes_are_equal_all_over_and_confuse_nobody(ctl, topology):
    seen = [namespace.ifindex(HOST_DEVICE) for namespace in (topology.namespace(h) for h in topology.hosts)]
    ports = [port["ifindex"] for port in ctl.json("show")["datapaths"][0]["ports"]]
    assert len(set(seen)) == 1
    assert seen[0] in ports
    assert seen[0] in NetNs.current().devices().values() or len(NetNs.current().devices()) < seen[0]
    for a, b in (("h1", "h2"), ("h2", "h3"), ("h3", "h1")):
        ctl("send", a, b, "--udp", "--count", "23")


def test_a_frame_without_a_flow_is_counted_and_explained(ctl):
    outcome = ctl("send", "h1", "h2", "--vlan", "7", "--count", "23", status=1)
    assert "23 sent, 0 received" in outcome.out
    assert "dropped meanwhile: miss:23" in outcome.err


def test_own_frames(ctl, tmp_path):
    expression = 'Ether(src="02:00:00:00:00:01",dst="02:00:00:00:00:02",type=0x88b5)/b"0123456789"'
    assert "5 sent, 5 received" in ctl("send", "h1", "h2", "--scapy", expression, "--count", "5").out
    assert "--scapy: NameError" in ctl("send", "h1", "h2", "--scapy", "Nothing()", status=2).err
    capture = tmp_path / "no.pcap"
    capture.write_text("not a capture")
    assert "is no capture" in ctl("send", "h1", "h2", "--pcap", str(capture), status=2).err


def test_exec_passes_on_the_status(ctl):
    assert ctl("exec", "h1", "--", "sh", "-c", "exit 37", status=37).status == 37
    assert "no host h9" in ctl("exec", "h9", "--", "true", status=3).err


def test_the_local_port_takes_part(ctl, topology):
    """The stack behind port 0 sends to h1 through a flow, and h1's answer comes back through another."""
    ctl("add-flow", "ufid:0xaa,in_port(0),eth()", "1")
    ctl("add-flow", f"ufid:0xbb,in_port(1),eth(dst={local_mac(ctl, topology)})", "0")
    for command in (
        ["ip", "addr", "add", "198.18.0.99/24", "dev", ctl.name],
        ["ping", "-q", "-c", "5", "-i", "0.05", "-W", "2", "198.18.0.1"],
    ):
        with topology.datapath_namespace.enter():
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    assert ctl.flow("ufid:0xbb")["packets"] >= 5


def local_mac(ctl, topology):
    with Links(topology.datapath_namespace) as links:
        return links.get(ctl.name).mac
