"""Topologies as data: hosts, their addresses and the ports they are plugged into.

Nothing here does anything.  Host N has MAC 02:00:00:00:00:NN, 198.18.0.N/24 (the range that is set
aside for benchmarks) and 2001:db8::N/64 (the one for documentation), so that a capture reads itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from ctl.errors import NotFound, UsageError
from ctl.netns import NetNs

MIN_HOSTS: Final = 2
MAX_HOSTS: Final = 64
MIN_MTU: Final = 1280  # IPv6 needs it
MAX_MTU: Final = 9000
HOST_DEVICE: Final = "eth0"
IPV4_PREFIX: Final = 24
IPV6_PREFIX: Final = 64
_DATAPATH: Final = "dp"
_LAB_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_]{0,11}")  # no '-': it separates the parts of a namespace's name


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A host with one device, HOST_DEVICE, and the port of the datapath at the other end of its cable."""

    name: str
    port: int  # port number in the datapath
    device: str  # of that port, in the datapath's namespace
    mac: str
    ipv4: str
    ipv6: str
    mtu: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """A lab: its name, which is part of every namespace's name, and its hosts in the order of their ports."""

    lab: str
    hosts: tuple[Host, ...]

    def __post_init__(self) -> None:
        if not _LAB_NAME.fullmatch(self.lab):
            raise UsageError(f"lab name {self.lab!r} is not 1 to 12 of a-z, 0-9 and '_'")
        if any(host.name == _DATAPATH for host in self.hosts):
            raise UsageError(f"a host cannot be called {_DATAPATH}: that is the datapath's namespace")
        for attribute in ("name", "port", "device", "mac", "ipv4", "ipv6"):
            values = [getattr(host, attribute) for host in self.hosts]
            if len(set(values)) != len(values):
                raise UsageError(f"two hosts of lab {self.lab} have the same {attribute}")

    def host(self, name: str) -> Host:
        """The host of that name.  NotFound names those there are."""
        for host in self.hosts:
            if host.name == name:
                return host
        raise NotFound(f"no host {name} in lab {self.lab}", "hosts: " + " ".join(h.name for h in self.hosts))

    def namespace(self, host: Host) -> NetNs:
        """The network namespace of a host."""
        return NetNs.named(f"{prefix(self.lab)}{host.name}")

    @property
    def datapath_namespace(self) -> NetNs:
        """The network namespace that holds the ports."""
        return NetNs.named(f"{prefix(self.lab)}{_DATAPATH}")

    def namespaces(self) -> list[NetNs]:
        """All of them, the datapath's first."""
        return [self.datapath_namespace, *(self.namespace(host) for host in self.hosts)]


def prefix(lab: str) -> str:
    """What the names of a lab's namespaces begin with.  No lab's prefix begins another's."""
    return f"ctl-{lab}-"


def star(n: int, lab: str = "lab", mtu: int = 1500) -> Topology:
    """``n`` hosts h1, h2, ... on ports 1, 2, ... of one datapath.  UsageError outside the bounds above."""
    if not MIN_HOSTS <= n <= MAX_HOSTS:
        raise UsageError(f"{n} hosts: a lab has {MIN_HOSTS} to {MAX_HOSTS}")
    if not MIN_MTU <= mtu <= MAX_MTU:
        raise UsageError(f"MTU {mtu}: a lab's is {MIN_MTU} to {MAX_MTU} octets")
    return Topology(lab=lab, hosts=tuple(_host(number, mtu) for number in range(1, n + 1)))


def existing(lab: str) -> Topology | None:
    """The star that is up under that name, told by its namespaces; None when it is not, or not whole."""
    begin = prefix(lab)
    names = {ns.name.removeprefix(begin) for ns in NetNs.all_named() if ns.name.startswith(begin)}
    hosts = names - {_DATAPATH}
    if _DATAPATH not in names or not MIN_HOSTS <= len(hosts) <= MAX_HOSTS:
        return None
    topology = star(len(hosts), lab)
    return topology if {host.name for host in topology.hosts} == hosts else None


def three_hosts(lab: str = "lab") -> Topology:
    """The default: h1, h2 and h3."""
    return star(3, lab)


def _host(number: int, mtu: int) -> Host:
    return Host(
        name=f"h{number}",
        port=number,
        device=f"p{number}",
        mac=f"02:00:00:00:00:{number:02x}",
        ipv4=f"198.18.0.{number}",
        ipv6=f"2001:db8::{number:x}",
        mtu=mtu,
    )
