"""Topologies as data: datapaths, the cables between them, and hosts with their addresses.

Nothing here does anything, and nothing is judged: `rules` says whether a topology makes sense, `paths` how
its hosts reach one another, `files` reads one that a user wrote.

A host has devices, each with a cable to a port of a datapath.  A device is in one network, untagged, or
in several by VLAN tags.  Datapaths carry the frames of a VLAN with its tag over the cables between them;
a port with a VLAN of its own (`Device.vlan`) is one where that tag is put on and taken off.

The star's host N has MAC 02:00:00:00:00:NN, 198.18.0.N/24 (the range that is set aside for benchmarks)
and 2001:db8::N/64 (the one for documentation), so that a capture reads itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import IPv4Interface, IPv6Interface
from typing import Final, Literal

from ctl.errors import NotFound, UsageError
from ctl.netns import NetNs

MIN_HOSTS: Final = 2
MAX_HOSTS: Final = 64
MIN_MTU: Final = 1280  # IPv6 needs it
MAX_MTU: Final = 9000
DEFAULT_MTU: Final = 1500
HOST_DEVICE: Final = "eth0"  # a host's first
DATAPATH: Final = "dp"  # the only one's name, unless a file gives it another
_LAB_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_]{0,11}")  # no '-': it separates the parts of a namespace's name

Hook = Literal["xdp", "tc"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A device's place in one network.  ``tag``: the VLAN tag that its frames have at the host, if any."""

    ipv4: IPv4Interface
    ipv6: IPv6Interface | None = None
    tag: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A device of a host, and the port at the other end of its cable.

    ``vlan``: the VLAN that the datapath takes its untagged frames for; None: of none.
    """

    name: str
    datapath: str
    port: int
    mac: str
    mtu: int
    vlan: int | None = None
    addresses: tuple[Address, ...]

    @property
    def port_device(self) -> str:
        """The port's device, in the datapath's namespace."""
        return port_device(self.port)


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A host; with ``router`` it forwards between its networks.

    ``gateway`` is the router that it sends everything to which is not in its own networks; None: for each
    network the nearest router.  The properties are those of the first device, which is mostly the only one.
    """

    name: str
    devices: tuple[Device, ...]
    router: bool = False
    gateway: str | None = None

    @property
    def port(self) -> int:
        """The number of its port in the datapath."""
        return self.devices[0].port

    @property
    def device(self) -> str:
        """Its port's device, in the datapath's namespace."""
        return self.devices[0].port_device

    @property
    def mac(self) -> str:
        """Its MAC address."""
        return self.devices[0].mac

    @property
    def ipv4(self) -> str:
        """Its IPv4 address, without a prefix."""
        return str(self.devices[0].addresses[0].ipv4.ip)

    @property
    def ipv6(self) -> str:
        """Its IPv6 address, without a prefix.  UsageError when it has none."""
        return self.interfaces()[0].address_of(ipv6=True)

    def interfaces(self) -> list[Interface]:
        """Its places in networks, in the order of the devices."""
        return [Interface(self, device, address) for device in self.devices for address in device.addresses]


@dataclass(frozen=True, slots=True)
class Interface:
    """A host's place in one network."""

    host: Host
    device: Device
    address: Address

    @property
    def name(self) -> str:
        """The device that has the address: that of the cable, or one for the tag on top of it."""
        return self.device.name if self.address.tag is None else f"{self.device.name}.{self.address.tag}"

    @property
    def vlan(self) -> int | None:
        """The VLAN that its network is, between the ports of datapaths."""
        return self.device.vlan if self.address.tag is None else self.address.tag

    def has_family(self, *, ipv6: bool) -> bool:
        """Whether it has an address of that family."""
        return not ipv6 or self.address.ipv6 is not None

    def address_of(self, *, ipv6: bool) -> str:
        """Its address without a prefix.  UsageError when it has none of that family."""
        if not ipv6:
            return str(self.address.ipv4.ip)
        if self.address.ipv6 is None:
            raise UsageError(f"{self.host.name} has no IPv6 address on {self.name}")
        return str(self.address.ipv6.ip)


@dataclass(frozen=True, slots=True)
class End:
    """One end of a cable between datapaths."""

    datapath: str
    port: int

    def __str__(self) -> str:
        return f"{self.datapath}:{self.port}"


@dataclass(frozen=True, slots=True)
class Topology:
    """A lab: its name, which is part of every namespace's name, and all that is in it.

    ``title`` is what the user calls it, a name or a file, and makes no difference.  ``hook`` "tc": the
    ports have no XDP.  UsageError for a name that no lab can have.
    """

    lab: str
    hosts: tuple[Host, ...]
    datapaths: tuple[str, ...] = (DATAPATH,)
    cables: tuple[tuple[End, End], ...] = ()
    hook: Hook = "xdp"
    title: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        if not _LAB_NAME.fullmatch(self.lab):
            raise UsageError(f"lab name {self.lab!r} is not 1 to 12 of a-z, 0-9 and '_'")

    def host(self, name: str) -> Host:
        """The host of that name.  NotFound names those there are."""
        for host in self.hosts:
            if host.name == name:
                return host
        raise NotFound(f"no host {name} in lab {self.lab}", "hosts: " + " ".join(h.name for h in self.hosts))

    def number(self, name: str) -> int:
        """A host's place among the hosts, from 1."""
        return self.hosts.index(self.host(name)) + 1

    def interfaces(self) -> list[Interface]:
        """Those of all hosts, in order."""
        return [interface for host in self.hosts for interface in host.interfaces()]

    def namespace(self, host: Host) -> NetNs:
        """The network namespace of a host."""
        return NetNs.named(f"{prefix(self.lab)}{host.name}")

    def namespace_of_datapath(self, datapath: str) -> NetNs:
        """The network namespace of a datapath's ports."""
        return NetNs.named(f"{prefix(self.lab)}{datapath}")

    @property
    def datapath_namespace(self) -> NetNs:
        """The one that holds the ports of the only datapath, or of the first."""
        return self.namespace_of_datapath(self.datapaths[0])

    def namespaces(self) -> list[NetNs]:
        """All of them, the datapaths' first."""
        return [*map(self.namespace_of_datapath, self.datapaths), *map(self.namespace, self.hosts)]

    def datapath_name(self, datapath: str) -> str:
        """What ``ctl --dp`` calls a datapath of this lab: as the lab when it is the only one."""
        return self.lab if len(self.datapaths) == 1 else f"{self.lab}-{datapath}"

    def datapath_names(self) -> list[str]:
        """What ``ctl --dp`` calls each of them, in order."""
        return [self.datapath_name(datapath) for datapath in self.datapaths]

    def ports(self, datapath: str) -> list[int]:
        """The numbers of a datapath's ports: those of hosts, then those of cables."""
        of_hosts = [d.port for host in self.hosts for d in host.devices if d.datapath == datapath]
        return of_hosts + [end.port for cable in self.cables for end in cable if end.datapath == datapath]


def port_device(port: int) -> str:
    """The name of a port's device, in its datapath's namespace."""
    return f"p{port}"


def prefix(lab: str) -> str:
    """What the names of a lab's namespaces begin with.  No lab's prefix begins another's."""
    return f"ctl-{lab}-"


def default_mac(number: int) -> str:
    """The MAC of the lab's device of that number, unless it is given another."""
    return f"02:00:00:00:{number >> 8:02x}:{number & 0xFF:02x}"


def star(n: int, lab: str = "lab", mtu: int = DEFAULT_MTU) -> Topology:
    """``n`` hosts h1, h2, ... on ports 1, 2, ... of one datapath.  UsageError outside the bounds above."""
    if not MIN_HOSTS <= n <= MAX_HOSTS:
        raise UsageError(f"{n} hosts: a lab has {MIN_HOSTS} to {MAX_HOSTS}")
    if not MIN_MTU <= mtu <= MAX_MTU:
        raise UsageError(f"MTU {mtu}: a lab's is {MIN_MTU} to {MAX_MTU} octets")
    return Topology(lab, tuple(_host(number, mtu) for number in range(1, n + 1)), title="star")


def three_hosts(lab: str = "lab") -> Topology:
    """The default: h1, h2 and h3."""
    return star(3, lab)


def _host(number: int, mtu: int) -> Host:
    address = Address(ipv4=IPv4Interface(f"198.18.0.{number}/24"), ipv6=IPv6Interface(f"2001:db8::{number:x}/64"))
    device = Device(
        name=HOST_DEVICE, datapath=DATAPATH, port=number, mac=default_mac(number), mtu=mtu, addresses=(address,)
    )
    return Host(name=f"h{number}", devices=(device,))
