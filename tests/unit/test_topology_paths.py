"""Flows and ways in any topology: frames are walked through models of its datapaths."""

import ipaddress
import itertools
import struct
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Dot1Q, Ether

from ctl.errors import UsageError
from ctl.model import ModelDatapath
from netns_lab.files import BUILT_IN, load, read
from netns_lab.flows import flows
from netns_lab.frames import Stream, build_pairs, find_trailer, tour
from netns_lab.paths import find_legs, legs_between, networks, next_hops
from netns_lab.rules import check
from netns_lab.topology import Address, Device, End, Host, Topology, default_mac

ANYTHING = Address(ipv4=ipaddress.IPv4Interface("192.0.2.1/24"))
VLANS = st.sampled_from([None, None, 10, 20])


@st.composite
def topologies(draw):
    """Up to five datapaths with up to as many cables, and hosts and routers anywhere on them."""
    names = [f"s{n}" for n in range(draw(st.integers(1, 5)))]
    last = dict.fromkeys(names, 0)

    def port(name):
        last[name] += 1
        return last[name]

    pair = st.tuples(st.sampled_from(names), st.sampled_from(names)).filter(lambda ends: ends[0] != ends[1])
    cables = draw(st.lists(pair, max_size=5)) if len(names) > 1 else []
    ends = tuple((End(a, port(a)), End(b, port(b))) for a, b in cables)
    numbers = iter(range(1, 100))
    hosts = []
    for index in range(draw(st.integers(2, 6))):
        devices = []
        for eth in range(draw(st.integers(1, 3))):
            tags = draw(st.lists(st.sampled_from([10, 20, 30]), max_size=3, unique=True))
            datapath = draw(st.sampled_from(names))
            devices.append(
                Device(
                    name=f"eth{eth}", datapath=datapath, port=port(datapath), mac=default_mac(next(numbers)), mtu=1500,
                    vlan=None if tags else draw(VLANS),
                    addresses=tuple(replace(ANYTHING, tag=tag) for tag in tags) or (ANYTHING,),
                )
            )  # fmt: skip
        hosts.append(Host(name=f"h{index}", devices=tuple(devices)))
    return addressed(Topology("lab", tuple(hosts), tuple(names), ends), draw(st.integers(0, 63)))


def addressed(topology, routers):
    """Every interface with an address of its network, and no host twice in one; some, by their bits, routers."""
    places = {}
    for number, network in enumerate(networks(topology)):
        seen = set()
        for position, interface in enumerate(network):
            if interface.host.name in seen:
                continue
            seen.add(interface.host.name)
            ipv6 = ipaddress.IPv6Interface(f"2001:db8:{number:x}::{position + 1:x}/64") if number % 3 else None
            ipv4 = ipaddress.IPv4Interface(f"10.0.{number}.{position + 1}/24")
            place = (interface.host.name, interface.device.name, interface.address.tag)
            places[place] = Address(ipv4=ipv4, ipv6=ipv6, tag=interface.address.tag)
    hosts = []
    for index, host in enumerate(topology.hosts):
        devices = []
        for device in host.devices:
            kept = [places.get((host.name, device.name, address.tag)) for address in device.addresses]
            if any(kept):
                devices.append(replace(device, addresses=tuple(filter(None, kept))))
        count = sum(len(device.addresses) for device in devices)
        hosts.append(replace(host, devices=tuple(devices), router=count > 1 and bool(routers >> index & 1)))
    return check(replace(topology, hosts=tuple(hosts)))


class Fabric:
    """Models of all datapaths, with their flows and the cables between them."""

    def __init__(self, topology):
        self.topology = topology
        self.models = {}
        self.peers = {end: other for one, two in topology.cables for end, other in ((one, two), (two, one))}
        for name, entries in flows(topology).items():
            model = self.models[name] = ModelDatapath(name)
            for port in topology.ports(name):
                model.add_port(port)
            for entry in entries:
                model.flow_new(*entry)

    def send(self, device, frame):
        """Where a frame of a host's device comes out, and how: None when a datapath drops it."""
        at = End(device.datapath, device.port)
        for _ in range(len(self.models) + 1):
            verdict = self.models[at.datapath].process(frame, at.port)
            if verdict.out_port is None:
                return None
            frame, out = verdict.frame, End(at.datapath, verdict.out_port)
            if out not in self.peers:
                return out, frame
            at = self.peers[out]
        raise AssertionError("a frame goes in circles")


def frame_of(src, dst, tag):
    """A frame from one interface to another, as the first sends it."""
    head = b"".join(bytes.fromhex(end.device.mac.replace(":", "")) for end in (dst, src))
    return head + (b"" if tag is None else struct.pack("!HH", 0x8100, tag)) + b"\x88\xb5" + bytes(46)


@settings(max_examples=150, deadline=None)
@given(topologies())
def test_interfaces_of_one_network_reach_one_another_and_no_others(topology):
    fabric = Fabric(topology)
    network_of = {id(i.address): number for number, network in enumerate(networks(topology)) for i in network}
    for src in topology.interfaces():
        for dst in topology.interfaces():
            if src.host == dst.host:
                continue
            arrived = fabric.send(src.device, frame_of(src, dst, src.address.tag))
            shared = [i for i in dst.host.interfaces() if network_of[id(i.address)] == network_of[id(src.address)]]
            if dst in shared:
                assert arrived == (End(dst.device.datapath, dst.device.port), frame_of(src, dst, dst.address.tag))
            elif dst.device not in [i.device for i in shared]:  # whose MAC is the same in all its networks
                assert arrived is None


@settings(max_examples=150, deadline=None)
@given(topologies(), st.booleans())
def test_packets_find_their_way_wherever_routers_join_networks(topology, ipv6):
    """Hop by hop along the legs, each of which is one that `next_hops` gives to the routing tables."""
    members = [[i for i in network if i.has_family(ipv6=ipv6)] for network in networks(topology)]
    for src in topology.hosts:
        reached = reachable(members, src)
        for dst in topology.hosts:
            legs = find_legs(topology, src.name, dst.name, ipv6=ipv6)
            assert bool(legs) == (dst.name in reached and src != dst)
            if legs:
                assert legs[0].src.host == src
                assert legs[-1].dst.host == dst
                assert all(
                    one.dst.host == two.src.host and one.dst.host.router for one, two in itertools.pairwise(legs)
                )
                assert all(any(leg.src in network and leg.dst in network for network in members) for leg in legs)
                target = next(n for n in networks(topology) if legs[-1].dst in n)
                hops = next_hops(topology, target, ipv6=ipv6)
                assert [hops[leg.src.host.name] for leg in legs[:-1]] == list(legs[:-1])
                assert legs[-1].src.host.name not in hops


def reachable(members, src):
    """The hosts that a packet of one can come to, found by spreading from it."""
    reached, open_ = {src.name}, [src]
    for host in open_:
        if host != src and not host.router:
            continue
        for network in members:
            if any(i.host == host for i in network):
                fresh = [i.host for i in network if i.host.name not in reached]
                reached |= {other.name for other in fresh}
                open_ += fresh
    return reached


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_traffic_of_up_comes_through_the_models_as_expected(name):
    """Routers are stood in for by what they are expected to make of a packet."""
    topology = load(name, "lab")
    fabric = Fabric(topology)
    streams = tour(topology, 3)
    assert {stream.src for stream in streams} == {host.name for host in topology.hosts}
    for number, stream in enumerate(streams):
        legs = find_legs(topology, stream.src, stream.dst)
        for sequence, (sent, expected) in enumerate(build_pairs(topology, stream, number, 1)):
            frame = sent
            for hop, leg in enumerate(legs):
                if hop:
                    frame = routed(frame, leg)
                out, frame = fabric.send(leg.src.device, frame)
                assert out == End(leg.dst.device.datapath, leg.dst.device.port)
            assert frame == expected
            assert find_trailer(frame).sequence == sequence


def routed(frame, leg):
    """What a router makes of a packet: one hop less, and its own Ethernet header."""
    packet = Ether(frame)
    ip = packet.getlayer(IP) or packet.getlayer(IPv6)
    if IP in packet:
        ip.ttl -= 1
        del ip.chksum
    else:
        ip.hlim -= 1
    head = Ether(src=leg.src.device.mac, dst=leg.dst.device.mac)
    return bytes((head if leg.src.address.tag is None else head / Dot1Q(vlan=leg.src.address.tag)) / ip)


def test_frames_through_a_router():
    topology = load("router", "lab")
    sent, arriving = map(Ether, next(build_pairs(topology, Stream(src="h1", dst="h3"), 0, 1)))
    r = topology.host("r")
    assert (sent.src, sent.dst) == (topology.host("h1").mac, r.mac)
    assert (arriving.src, arriving.dst) == (r.mac, topology.host("h3").mac)
    assert (sent[IP].ttl, arriving[IP].ttl) == (64, 63)
    assert (sent[IP].src, sent[IP].dst) == ("198.18.10.1", "198.18.20.3")
    v6 = Ether(next(build_pairs(topology, Stream(src="h1", dst="h3", ipv6=True, kind="tcp"), 0, 1))[1])
    assert (v6[IPv6].hlim, v6[IPv6].src) == (63, "2001:db8:0:10::1")


def test_arp_stays_in_its_network():
    topology = load("router", "lab")
    frame = Ether(next(build_pairs(topology, Stream(src="h1", dst="r", kind="arp"), 0, 1))[0])
    assert (frame[ARP].psrc, frame[ARP].pdst) == ("198.18.10.1", "198.18.10.254")
    with pytest.raises(UsageError, match="ARP stays in its network, and r is between h1 and h3"):
        next(build_pairs(topology, Stream(src="h1", dst="h3", kind="arp"), 0, 1))


def test_there_is_no_way_between_vlans_without_a_router():
    topology = load("trunk", "lab")
    with pytest.raises(UsageError, match="there is no way from h1 to h2"):
        legs_between(topology, "h1", "h2")
    assert not find_legs(topology, "h1", "h1")


def test_a_gateway_is_preferred_to_the_nearest_router():
    """r1 and r2 join the same two networks; only who says so goes by r2."""
    text = """
[hosts.h1]
port = 1
vlan = 1
ipv4 = "10.0.1.1/24"
[hosts.h2]
port = 2
vlan = 1
ipv4 = "10.0.1.2/24"
gateway = "r2"
[hosts.h3]
port = 3
vlan = 2
ipv4 = "10.0.2.3/24"
[hosts.r1]
router = true
port = 4
trunk = [{ vlan = 1, ipv4 = "10.0.1.8/24" }, { vlan = 2, ipv4 = "10.0.2.8/24" }]
[hosts.r2]
router = true
port = 5
trunk = [{ vlan = 1, ipv4 = "10.0.1.9/24" }, { vlan = 2, ipv4 = "10.0.2.9/24" }]
"""
    topology = read(text, "two-routers.toml", "lab")
    ways = {src: [leg.dst.host.name for leg in find_legs(topology, src, "h3")] for src in ("h1", "h2")}
    assert ways == {"h1": ["r1", "h3"], "h2": ["r2", "h3"]}
    assert [leg.dst.host.name for leg in find_legs(topology, "h2", "r1")] == ["r1"], "in its own network"
    with pytest.raises(UsageError, match="there is no IPv6 way from h1 to h3"):
        legs_between(topology, "h1", "h3", ipv6=True)


def test_flows_of_a_chain_are_those_of_the_shortest_way():
    topology = load("chain", "lab")
    assert {name: len(entries) for name, entries in flows(topology).items()} == {"s1": 4, "s2": 6, "s3": 4}
    ring = replace(topology, cables=(*topology.cables, (End("s3", 9), End("s1", 9))))
    assert {name: len(entries) for name, entries in flows(ring).items()} == {"s1": 4, "s2": 4, "s3": 4}
