"""What makes sense as a topology: bounds, names, ports, addresses, and what they have to do with one another.

A `Fault` says where in the topology it is, as a path of keys of a topology file, so that `files` can name
the line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Interface
from typing import Final

from ctl.abi import DpLimit
from ctl.errors import UsageError
from netns_lab.paths import networks
from netns_lab.topology import MAX_HOSTS, MAX_MTU, MIN_HOSTS, MIN_MTU, Device, Host, Interface, Topology

MAX_DATAPATHS: Final = 16
MAX_INTERFACES: Final = 256  # each pair has a flow, and a datapath of a lab holds 65,536
MAX_DATAPATH_NAME: Final = 11  # its local port is a device of that name, with a suffix
MIN_VLAN, MAX_VLAN = 1, 4094
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,11}")
_MAC: Final = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")

Place = tuple[str | int, ...]


class Fault(UsageError):
    """A topology that makes no sense, and the place of what is wrong."""

    def __init__(self, place: Place, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.place = place


@dataclass(frozen=True, slots=True)
class _Spot:
    """A device of a host, and where a file says so."""

    host: Host
    device: Device
    place: Place

    def fault(self, key: str, message: str, hint: str = "") -> Fault:
        return Fault((*self.place, key), f"host {self.host.name}: {message}", hint)


def check(topology: Topology) -> Topology:
    """The topology, if it makes sense.  Fault says what the first thing is that does not."""
    _check_datapaths(topology)
    _check_hosts(topology)
    spots = list(_spots(topology))
    _check_cables(topology, _check_ports(topology, spots))
    for spot in spots:
        _check_device(spot)
    _check_macs(spots)
    _check_networks(topology)
    for host in topology.hosts:
        _check_routing(topology, host)
    return topology


def _spots(topology: Topology) -> Iterator[_Spot]:
    for host in topology.hosts:
        for index, device in enumerate(host.devices):
            yield _Spot(host, device, ("hosts", host.name, "devices", index))


def _check_datapaths(topology: Topology) -> None:
    names = topology.datapaths
    if not 1 <= len(names) <= MAX_DATAPATHS:
        raise Fault(("datapaths",), f"{len(names)} datapaths: a lab has 1 to {MAX_DATAPATHS}")
    for index, name in enumerate(names):
        place: Place = ("datapaths", index)
        _check_name(place, "datapath", name)
        if name in names[:index]:
            raise Fault(place, f"datapath {name} is there twice")
        full = topology.datapath_name(name)
        if len(full) > MAX_DATAPATH_NAME:
            hint = f"at most {MAX_DATAPATH_NAME}: shorten the datapath's name, or the lab's with ctl --dp NAME"
            raise Fault(place, f"datapath {name} of lab {topology.lab}: {full} is {len(full)} characters long", hint)
        if not full[0].isalpha():
            hint = "the name of a datapath, and so that of its lab, begins with a letter: ctl --dp NAME"
            raise Fault(place, f"datapath {name} of lab {topology.lab} cannot be called {full}", hint)


def _check_hosts(topology: Topology) -> None:
    if not MIN_HOSTS <= len(topology.hosts) <= MAX_HOSTS:
        raise Fault(("hosts",), f"{len(topology.hosts)} hosts: a lab has {MIN_HOSTS} to {MAX_HOSTS}")
    if (count := len(topology.interfaces())) > MAX_INTERFACES:
        raise Fault(("hosts",), f"the hosts have {count} addresses: at most {MAX_INTERFACES}")
    for host in topology.hosts:
        _check_name(("hosts", host.name), "host", host.name)
        if host.name in topology.datapaths:
            hint = "their network namespaces would have one name"
            raise Fault(("hosts", host.name), f"host {host.name} is called like a datapath", hint)


def _check_name(place: Place, what: str, name: str) -> None:
    if not _NAME.fullmatch(name):
        hint = "a letter of a to z, then up to 11 of a to z, 0 to 9 and '_'"
        raise Fault(place, f"{name!r} cannot be the name of a {what}", hint)


# --- ports -------------------------------------------------------------------------------------------


def _check_ports(topology: Topology, spots: list[_Spot]) -> dict[tuple[str, int], str]:
    """Who has each port."""
    owners: dict[tuple[str, int], str] = {}
    for spot in spots:
        place, who = (*spot.place, "port"), f"host {spot.host.name}"
        _take_port(topology, owners, (spot.device.datapath, spot.device.port), who, place)
    return owners


def _check_cables(topology: Topology, owners: dict[tuple[str, int], str]) -> None:
    for index, (one, other) in enumerate(topology.cables):
        place: Place = ("cables", index)
        for end in (one, other):
            _take_port(topology, owners, (end.datapath, end.port), f"cable {one} - {other}", place)
        if one.datapath == other.datapath:
            raise Fault(place, f"cable {one} - {other}: both ends are at one datapath", "a cable joins two")


def _take_port(
    topology: Topology, owners: dict[tuple[str, int], str], port: tuple[str, int], who: str, place: Place
) -> None:
    """Note whose a port is, if it is there and free."""
    name, number = port
    if name not in topology.datapaths:
        raise Fault(place, f"{who}: there is no datapath {name}", "datapaths: " + " ".join(topology.datapaths))
    if not 1 <= number < DpLimit.DP_MAX_PORTS:
        raise Fault(place, f"{who}: port {number}: from 1 to {DpLimit.DP_MAX_PORTS - 1}")
    if port in owners:
        used = " ".join(str(n) for n in sorted(set(topology.ports(name))))
        raise Fault(place, f"{who}: port {number} of {name} is {owners[port]}", f"ports in use: {used}")
    owners[port] = f"{who.removeprefix('host ')}'s" if who.startswith("host ") else f"that of {who}"


# --- devices and addresses ---------------------------------------------------------------------------


def _check_device(spot: _Spot) -> None:
    device = spot.device
    check_mtu(device.mtu, (*spot.place, "mtu"), f"host {spot.host.name}")
    if not _MAC.fullmatch(device.mac):
        raise spot.fault("mac", f"{device.mac!r} is no MAC address", "such as 02:00:00:00:00:01, in lower case")
    if int(device.mac[:2], 16) & 1 or not int(device.mac.replace(":", ""), 16):
        raise spot.fault("mac", f"{device.mac} is no address of a single device", "the first octet is even")
    if device.vlan is not None:
        _check_vlan(spot, (*spot.place, "vlan"), device.vlan)
    tags = [address.tag for address in device.addresses]
    for index, address in enumerate(device.addresses):
        place: Place = spot.place if address.tag is None else (*spot.place, "trunk", index)
        if address.tag is not None:
            _check_vlan(spot, (*place, "vlan"), address.tag)
            if address.tag in tags[:index]:
                raise Fault((*place, "vlan"), f"host {spot.host.name}: VLAN {address.tag} is twice on {device.name}")
        for key, ip in (("ipv4", address.ipv4), ("ipv6", address.ipv6)):
            if ip is not None and (why := _unfit(ip)):
                raise Fault((*place, key), f"host {spot.host.name}: {ip} {why}", "an address of a host and its prefix")


def check_mtu(mtu: int, place: Place, who: str) -> int:
    """The MTU, if a device can have it.  Fault."""
    if not MIN_MTU <= mtu <= MAX_MTU:
        raise Fault(place, f"{who}: MTU {mtu}: from {MIN_MTU} to {MAX_MTU}")
    return mtu


def _check_vlan(spot: _Spot, place: Place, vlan: int) -> None:
    if not MIN_VLAN <= vlan <= MAX_VLAN:
        raise Fault(place, f"host {spot.host.name}: VLAN {vlan}: from {MIN_VLAN} to {MAX_VLAN}")


def _unfit(ip: IPv4Interface | IPv6Interface) -> str | None:
    """Why a host cannot have that address."""
    if ip.ip.is_multicast or ip.ip.is_loopback or ip.ip.is_unspecified or ip.ip.is_link_local:
        return "is an address of a kind that no host can be given here"
    if not 1 <= ip.network.prefixlen <= ip.max_prefixlen - 1:
        return f"leaves no room for other hosts, or for other networks: a prefix is 1 to {ip.max_prefixlen - 1}"
    edges = {ip.network.network_address}
    if isinstance(ip, IPv4Interface):
        edges.add(ip.network.broadcast_address)
    if ip.network.prefixlen < ip.max_prefixlen - 1 and ip.ip in edges:
        return "is the address of the network itself, or its broadcast address"
    return None


def _check_macs(spots: list[_Spot]) -> None:
    seen: dict[str, str] = {}
    for spot in spots:
        mac = spot.device.mac
        if mac in seen:
            raise spot.fault("mac", f"{mac} is the MAC address of {seen[mac]}", "each device has its own")
        seen[mac] = spot.host.name


# --- networks and routers ----------------------------------------------------------------------------


def _check_networks(topology: Topology) -> None:
    """Who is in one network has addresses of one prefix, and no two networks overlap."""
    seen: dict[str, str] = {}
    heads: list[_Given] = []
    for network in networks(topology):
        for position, interface in enumerate(network):
            if any(peer.host == interface.host for peer in network[:position]):
                place = (*_place(interface), "port")
                raise Fault(place, f"host {interface.host.name} is twice in {_which(interface)}")
        for ipv6 in (False, True):
            given = [_Given(i, ip) for i in network if (ip := i.address.ipv6 if ipv6 else i.address.ipv4) is not None]
            for one in given:
                _check_prefix(one, given[0], seen)
            for one in given[:1]:
                _check_overlap(one, heads)
            heads += given[:1]


@dataclass(frozen=True, slots=True)
class _Given:
    """An address that a host is given."""

    interface: Interface
    ip: IPv4Interface | IPv6Interface

    def fault(self, message: str, hint: str = "") -> Fault:
        place = (*_place(self.interface), f"ipv{self.ip.version}")
        return Fault(place, f"host {self.interface.host.name}: {message}", hint)


def _check_prefix(one: _Given, head: _Given, seen: dict[str, str]) -> None:
    """An address is nobody else's, and of the same prefix as the first of its network."""
    if owner := seen.get(str(one.ip.ip)):
        raise one.fault(f"{one.ip.ip} is the address of {owner}", "each host has its own")
    seen[str(one.ip.ip)] = one.interface.host.name
    if one.ip.network != head.ip.network:
        raise one.fault(
            f"{one.ip} is not of the prefix of {head.interface.host.name}, which has {head.ip}",
            f"both are in {_which(one.interface)}",
        )


def _check_overlap(one: _Given, heads: list[_Given]) -> None:
    for head in heads:
        if one.ip.version == head.ip.version and one.ip.network.overlaps(head.ip.network):
            raise one.fault(
                f"{one.ip} overlaps the prefix of {head.interface.host.name}, which has {head.ip} in another network",
                f"one is {_which(one.interface)}, the other {_which(head.interface)}: give each a prefix of its own",
            )


def _check_routing(topology: Topology, host: Host) -> None:
    place: Place = ("hosts", host.name)
    if host.router and len(host.interfaces()) < 2:
        raise Fault((*place, "router"), f"router {host.name} is in one network alone", "a router joins two or more")
    if host.gateway is None:
        return
    place = (*place, "gateway")
    if host.router:
        hint = "a router finds its ways by itself; a gateway is for other hosts"
        raise Fault(place, f"router {host.name} has a gateway", hint)
    routers = [other.name for other in topology.hosts if other.router]
    hint = f"routers: {' '.join(routers) or 'none'}"
    if host.gateway not in routers:
        raise Fault(place, f"host {host.name}: gateway {host.gateway} is no router", hint)
    shared = [n for n in networks(topology) if {host.name, host.gateway} <= {i.host.name for i in n}]
    if not shared:
        raise Fault(place, f"host {host.name}: gateway {host.gateway} is in no network with it", hint)


def _place(interface: Interface) -> Place:
    place: Place = ("hosts", interface.host.name, "devices", interface.host.devices.index(interface.device))
    if interface.address.tag is None:
        return place
    return (*place, "trunk", interface.device.addresses.index(interface.address))


def _which(interface: Interface) -> str:
    name = "the untagged network" if interface.vlan is None else f"VLAN {interface.vlan}"
    return f"{name} of {interface.device.datapath}"
