"""How hosts reach one another: over cables within a network, through routers between networks.

A network is all interfaces of one VLAN, or of none, on datapaths that cables join.  Within it frames take
the shortest way; between networks packets go to the nearest router.  Everything is a pure function of the
topology, so that flows, routes and what test frames are expected to look like cannot disagree.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ctl.errors import UsageError
from netns_lab.topology import Host, Interface, Topology

Network = tuple[Interface, ...]


@dataclass(frozen=True, slots=True)
class Leg:
    """A frame's way within one network, from the host that makes it to the one that it is addressed to."""

    src: Interface
    dst: Interface


@dataclass(frozen=True, slots=True)
class Hop:
    """A frame's way through one datapath."""

    datapath: str
    in_port: int
    out_port: int


# --- within a network --------------------------------------------------------------------------------


def networks(topology: Topology) -> list[Network]:
    """Every network, in the order of its first interface."""
    island = {name: min(topology.datapaths.index(n) for n in ways_to(topology, name)) for name in topology.datapaths}
    found: dict[tuple[int, int | None], list[Interface]] = {}
    for interface in topology.interfaces():
        found.setdefault((island[interface.device.datapath], interface.vlan), []).append(interface)
    return [tuple(members) for members in found.values()]


def ways_to(topology: Topology, target: str) -> dict[str, tuple[int, str, int] | None]:
    """The shortest ways to a datapath: from each that has one the port, and the datapath and port behind it.

    None at the target itself.  Of several ways that are equally short, that of the first cable.
    """
    ways: dict[str, tuple[int, str, int] | None] = {target: None}
    ahead = [target]
    for here in ahead:  # grows meanwhile
        for cable in topology.cables:
            for near, far in (cable, cable[::-1]):
                if near.datapath == here and far.datapath not in ways:
                    ways[far.datapath] = (far.port, here, near.port)
                    ahead.append(far.datapath)
    return ways


def hops(leg: Leg, ways: dict[str, tuple[int, str, int] | None]) -> Iterator[Hop]:
    """The datapaths that a frame passes.  ``ways`` are those to the receiver's datapath."""
    here, in_port = leg.src.device.datapath, leg.src.device.port
    while way := ways[here]:
        out_port, following, next_port = way
        yield Hop(here, in_port, out_port)
        here, in_port = following, next_port
    yield Hop(here, in_port, leg.dst.device.port)


# --- between networks --------------------------------------------------------------------------------


def next_hops(topology: Topology, target: Network, *, ipv6: bool = False) -> dict[str, Leg]:
    """By the name of each host that is not in the target network but reaches it: its leg to the next router."""
    inside = {interface.host.name for interface in target if interface.has_family(ipv6=ipv6)}
    legs: dict[str, Leg] = {}
    every = networks(topology)
    ahead = [host for host in topology.hosts if host.router and host.name in inside]
    for router in ahead:  # grows meanwhile: routers in the order of their distance
        for leg in _legs_to(router, every, ipv6=ipv6):
            host = leg.src.host
            if host.name not in inside and host.name not in legs:
                legs[host.name] = leg
                ahead += [host] if host.router else []
    return dict(_by_gateways(topology, legs, every, ipv6=ipv6))


def _legs_to(router: Host, every: list[Network], *, ipv6: bool) -> Iterator[Leg]:
    """From every other interface of its networks to the router."""
    for network in every:
        members = [interface for interface in network if interface.has_family(ipv6=ipv6)]
        gates = [interface for interface in members if interface.host == router]
        yield from (Leg(other, gates[0]) for other in members if gates and other.host != router)


def _by_gateways(
    topology: Topology, nearest: dict[str, Leg], every: list[Network], *, ipv6: bool
) -> Iterator[tuple[str, Leg]]:
    """The same legs, but to its own gateway from each host that has one."""
    for name, leg in nearest.items():
        gateway = topology.host(name).gateway
        if gateway is None or gateway == leg.dst.host.name:
            yield name, leg
        else:
            own = _legs_to(topology.host(gateway), every, ipv6=ipv6)
            yield from [(name, other) for other in own if other.src.host.name == name][:1]


def legs_between(topology: Topology, src: str, dst: str, *, ipv6: bool = False) -> tuple[Leg, ...]:
    """The way of a packet from one host to another: one leg, and one more for each router on the way.

    To the nearest of the receiver's interfaces.  UsageError when there is no way.
    """
    if not (legs := find_legs(topology, src, dst, ipv6=ipv6)):
        raise UsageError(
            f"there is no {'IPv6 ' if ipv6 else ''}way from {src} to {dst}",
            "no network has both of them, and no router joins theirs",
        )
    return legs


def find_legs(topology: Topology, src: str, dst: str, *, ipv6: bool = False) -> tuple[Leg, ...]:
    """The same, or nothing when there is no way."""
    source, target = topology.host(src), topology.host(dst)
    if source == target:
        return ()
    found = [
        legs
        for network in networks(topology)
        for interface in network
        if interface.host == target and (legs := _way(topology, source, interface, network, ipv6=ipv6))
    ]
    return min(found, key=len, default=())


def _way(topology: Topology, source: Host, target: Interface, network: Network, *, ipv6: bool) -> tuple[Leg, ...]:
    """From a host to one interface, of that network."""
    if not target.has_family(ipv6=ipv6):
        return ()
    steps = next_hops(topology, network, ipv6=ipv6)
    way: list[Leg] = []
    here = source
    while step := steps.get(here.name):
        way.append(step)
        here = step.dst.host
    last = [other for other in network if other.host == here and other.has_family(ipv6=ipv6)]
    return (*way, Leg(last[0], target)) if last and here != target.host else ()
