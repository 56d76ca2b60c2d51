"""Devices for the datapath: veth pairs, the local port, and what a port needs before XDP works on it.

The only import of pyroute2 in ctl/, inside functions because it costs a command 175 ms.  Knows nothing
of BPF.

Three traps of veth are handled here and nowhere else.  A frame that is redirected into a veth is lost
without a trace unless the *peer* has GRO on or a program of its own, for only then does the peer poll.
A sender that leaves checksums to the device leaves them to nobody, since XDP cannot say "to be filled
in".  A VLAN tag that is offloaded is not in the bytes that XDP reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final, Self

from ctl import ethtool
from ctl.errors import Exists, NotFound, UsageError
from ctl.ethtool import Feature
from ctl.faults import fault
from ctl.interrupts import deferred
from ctl.netns import NetNs, error_from_errno

MAX_NAME: Final = 15
LOCAL_SUFFIX: Final = ".p0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """What the kernel says of one device.  Indexes are those of its own namespace, but for the peer's."""

    name: str
    ifindex: int
    kind: str  # "veth", "bridge", ...; "" for hardware
    mac: str
    mtu: int
    up: bool
    carrier: bool
    has_xdp: bool
    peer_ifindex: int | None  # of a veth, in the peer's namespace
    peer_nsid: int | None  # which namespace that is; None: the same one


@dataclass(frozen=True, slots=True, kw_only=True)
class VethEnd:
    """One end of a veth pair that is to be made.  ``mac`` None: the kernel invents one."""

    name: str
    mac: str | None = None
    mtu: int = 1500


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalPort:
    """The two ends of a datapath's local port: ``stack`` is the host's, ``port`` the datapath's."""

    stack: str
    port: str


def import_iproute() -> Any:
    """pyroute2's IPRoute.

    Ctrl-C waits until it is there: asyncio, which comes with it, cannot be imported again after half of it
    was, and whoever undoes what was begun needs it.
    """
    with deferred():
        from pyroute2 import IPRoute
    return IPRoute


class Links:
    """Devices of one network namespace, over a netlink socket that stays open.  A context manager.

    Every method raises NotFound for a device that is not there, Exists, NotPermitted or UsageError.
    """

    def __init__(self, ns: NetNs) -> None:
        self.ns = ns
        connect = import_iproute()
        with ns.enter():
            self._route: Any = connect()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket."""
        self._route.close()

    def get(self, device: str | int) -> Link:
        """The device of that name or ifindex."""
        which = {"index": device} if isinstance(device, int) else {"ifname": device}
        with _netlink(f"look for device {device} in {self.ns.name}"):
            found = list(self._route.link("get", **which))
        return _link_of(found[0])

    def create_veth(self, here: VethEnd, there: VethEnd, peer_ns: NetNs | None = None) -> None:
        """Make a veth pair, both ends down: ``here`` in this namespace, ``there`` directly in ``peer_ns``.

        ``peer_ns`` None: in this one.  No other namespace sees either of them at any time.
        """
        _check_name(here.name)
        _check_name(there.name)
        with ExitStack() as stack:
            peer = _end(there)
            if peer_ns is not None:
                peer["net_ns_fd"] = stack.enter_context(peer_ns.opened())
            with _netlink(f"create veth {here.name} with {there.name} in {self.ns.name}"):
                self._route.link("add", kind="veth", peer=peer, **_end(here))

    def delete(self, device: str) -> bool:
        """Delete a device, a veth with its peer; False when there was none."""
        try:
            index = self.ns.ifindex(device)
        except NotFound:
            return False
        with _netlink(f"delete {device} in {self.ns.name}"):
            self._route.link("del", index=index)
        return True

    def set_up(self, device: str) -> None:
        """Let the device carry packets."""
        with _netlink(f"bring {device} up in {self.ns.name}"):
            self._route.link("set", index=self.ns.ifindex(device), state="up")

    def set_down(self, device: str) -> None:
        """Let the device carry none."""
        with _netlink(f"bring {device} down in {self.ns.name}"):
            self._route.link("set", index=self.ns.ifindex(device), state="down")

    def set_mtu(self, device: str, mtu: int) -> None:
        """Change the MTU, in octets, Ethernet header not counted."""
        with _netlink(f"set the MTU of {device} to {mtu}"):
            self._route.link("set", index=self.ns.ifindex(device), mtu=mtu)

    def add_address(self, device: str, address: str, prefix: int) -> None:
        """Give the device an IPv4 or IPv6 address and the route of its network.  IPv6: without DAD."""
        extra = {"flags": _IFA_F_NODAD} if ":" in address else {}
        with _netlink(f"add address {address}/{prefix} to {device}"):
            self._route.addr("add", index=self.ns.ifindex(device), address=address, prefixlen=prefix, **extra)

    def add_route(self, network: str, gateway: str) -> None:
        """The way to a network, ADDRESS/PREFIX, by a router that is a neighbour."""
        with _netlink(f"add a route to {network} by {gateway} in {self.ns.name}"):
            self._route.route("add", dst=network, gateway=gateway)

    def add_neighbours(self, device: str, neighbours: dict[str, str]) -> None:
        """Permanent neighbour entries, address to MAC, replacing what is there."""
        index = self.ns.ifindex(device)
        with _netlink(f"add neighbours on {device}"):
            for address, mac in neighbours.items():
                self._route.neigh("replace", dst=address, lladdr=mac, ifindex=index, state=_NUD_PERMANENT)

    def nsid_of(self, other: NetNs) -> int | None:
        """The number by which this namespace knows ``other``; None when it does not."""
        with other.opened() as fd, _netlink(f"identify {other.name}"):
            answer = self._route.get_netnsid(fd=fd)
        return None if answer is None or answer["nsid"] in (None, _NSID_UNKNOWN) else int(answer["nsid"])

    def add_clsact(self, device: str) -> None:
        """Prepare the device for tc programs.  Exists."""
        with _netlink(f"prepare {device} for tc programs"):
            self._route.tc("add", "clsact", self.ns.ifindex(device))

    def attach_classifier(
        self, device: str, program_fd: int, name: str, *, egress: bool = False, priority: int = 1
    ) -> None:
        """Run a direct-action tc program on all that the device receives or sends, until the device goes.

        Of several programs each leaves to the next ``priority`` what it says nothing of.
        """
        index = self.ns.ifindex(device)
        where = {"parent": _EGRESS if egress else _INGRESS, "prio": priority, "direct_action": True}
        with suppress(Exists):
            self.add_clsact(device)
        with _netlink(f"attach {name} to {device}"):
            self._route.tc("add-filter", "bpf", index, fd=program_fd, name=name, **where)


_IFA_F_NODAD: Final = 0x02
_NUD_PERMANENT: Final = 0x80
_NSID_UNKNOWN: Final = -1
_INGRESS: Final = 0xFFFFFFF2  # TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS)
_EGRESS: Final = 0xFFFFFFF3


def silence_ipv6(ns: NetNs) -> None:
    """Devices made in ``ns`` from now on say nothing by themselves: no link-local address, DAD or RS.

    Addresses that are added by hand work.  The multicast report that each of them causes cannot be
    suppressed; it is all out within milliseconds of the device's coming up, instead of a second.
    """
    with suppress(NotFound):  # a kernel without IPv6 is silent
        for key, value in _SILENT_IPV6:
            ns.sysctl(f"ipv6/conf/default/{key}", value)


_SILENT_IPV6: Final = (
    ("addr_gen_mode", 1),
    ("accept_dad", 0),
    ("dad_transmits", 0),
    ("accept_ra", 0),
    ("router_solicitations", 0),
    ("mldv1_unsolicited_report_interval", 1),  # milliseconds
    ("mldv2_unsolicited_report_interval", 1),
)


def disable_ipv6(ns: NetNs, device: str) -> None:
    """No IPv6 on the device: it neither answers nor solicits."""
    with suppress(NotFound):
        ns.sysctl(f"ipv6/conf/{device}/disable_ipv6", 1)


def local_port_names(name: str) -> LocalPort:
    """The device names of the local port of datapath ``name``.  UsageError: longer than 12 octets."""
    if len(name.encode()) > MAX_NAME - len(LOCAL_SUFFIX):
        raise UsageError(f"datapath name {name!r} is longer than {MAX_NAME - len(LOCAL_SUFFIX)} octets")
    _check_name(name)
    return LocalPort(stack=name, port=name + LOCAL_SUFFIX)


def create_local_port(ns: NetNs, name: str, *, mac: str | None = None, mtu: int = 1500) -> LocalPort:
    """Make port 0 of datapath ``name`` in ``ns``, both ends up and safe for XDP at the ``port`` end.

    ``mac`` is that of the stack's end.  Exists, UsageError; nothing is left behind on failure.
    """
    local = local_port_names(name)
    with Links(ns) as links, ExitStack() as undo:
        links.create_veth(VethEnd(name=local.stack, mac=mac, mtu=mtu), VethEnd(name=local.port, mtu=mtu))
        undo.callback(links.delete, local.stack)
        fault("ports.local-pair-made")
        for device in (local.stack, local.port):
            disable_ipv6(ns, device)
        keep_tags_in_frames(ns, local.port)
        make_safe_sender(ns, local.stack)
        for device in (local.stack, local.port):
            links.set_up(device)
        undo.pop_all()
    return local


def delete_local_port(ns: NetNs, name: str, ifindex: int = 0) -> bool:
    """Remove what `create_local_port` made; False when it was gone already.

    It is known by the names of both its ends, or by the ifindex of one of them and the name of either.
    """
    local = local_port_names(name)
    names = {local.stack, local.port}
    candidates: tuple[tuple[str | int, int], ...] = ((local.stack, 2), (ifindex, 1))
    with Links(ns) as links:
        for which, least in candidates if ifindex else candidates[:1]:
            with suppress(NotFound):
                link = links.get(which)
                peer = links.get(link.peer_ifindex).name if link.peer_ifindex and link.peer_nsid is None else ""
                if link.kind == "veth" and len({link.name, peer} & names) >= least:
                    return links.delete(link.name)
    return False


def remove_namespace(ns: NetNs) -> None:
    """Remove a named namespace and the devices in it, as far as they are there.

    Devices go first and at once: a process that still runs in it keeps the namespace alive, but cut off.
    """
    if ns.exists():
        with Links(ns) as links:
            for device in [name for name in ns.devices() if name != "lo"]:
                links.delete(device)
                fault("ports.device-deleted")
    ns.delete()


# --- what XDP needs ----------------------------------------------------------------------------------

UNDER_XDP: Final = {Feature.TX_VLAN: False, Feature.RX_VLAN: False}
FACING_XDP: Final = {Feature.GRO: True, Feature.TX_CHECKSUM: False, **UNDER_XDP}


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """A feature that has to be on, or off, at a device for XDP to work there or at its peer; see `ctl.wiring`."""

    ns: NetNs
    device: str
    feature: Feature
    on: bool

    def __str__(self) -> str:
        """For example "gro on at eth0 in blue"."""
        feature = self.feature.name.lower().replace("_", " ")
        return f"{feature} {'on' if self.on else 'off'} at {self.device} in {self.ns.name}"

    def is_met(self) -> bool:
        """Whether it is as it should be.  NotFound, Absent."""
        return (self.feature in ethtool.features(self.ns, self.device)) == self.on

    def meet(self) -> None:
        """See to it.  NotSupported, NotPermitted, NotFound, Absent."""
        ethtool.switch(self.ns, self.device, **{"on" if self.on else "off": (self.feature,)})


def make_safe_sender(ns: NetNs, device: str) -> None:
    """Make a veth end safe to face an XDP port: GRO on, checksums computed in software, tags in the frame.

    TSO and GSO go with the checksum: the kernel allows neither without it.
    """
    for need in needs(ns, device, FACING_XDP):
        need.meet()


def keep_tags_in_frames(ns: NetNs, device: str) -> None:
    """VLAN tags stay in the bytes, in both directions."""
    for need in needs(ns, device, UNDER_XDP):
        need.meet()


def needs(ns: NetNs, device: str, states: Mapping[Feature, bool]) -> tuple[Need, ...]:
    """Features as they have to be at a device."""
    return tuple(Need(ns=ns, device=device, feature=feature, on=on) for feature, on in states.items())


def namespace_of_peer(links: Links, link: Link, peer_ns: NetNs | None) -> NetNs | None:
    """Which of the namespaces that we can open holds the peer.  Decided by nsid: ifindexes are equal all over."""
    if link.peer_nsid is None:
        return links.ns
    candidates = [peer_ns] if peer_ns is not None else [NetNs.current(), *NetNs.all_named()]
    return next((ns for ns in candidates if ns.exists() and links.nsid_of(ns) == link.peer_nsid), None)


def _link_of(message: Any) -> Link:
    kind = message.get_nested("IFLA_LINKINFO", "IFLA_INFO_KIND") or ""
    xdp = message.get_nested("IFLA_XDP", "IFLA_XDP_ATTACHED")
    return Link(
        name=message.get_attr("IFLA_IFNAME"),
        ifindex=message["index"],
        kind=kind,
        mac=message.get_attr("IFLA_ADDRESS") or "",
        mtu=message.get_attr("IFLA_MTU"),
        up=message["state"] == "up",
        carrier=bool(message.get_attr("IFLA_CARRIER")),
        has_xdp=xdp not in (None, 0, "none"),
        peer_ifindex=message.get_attr("IFLA_LINK") if kind == "veth" else None,
        peer_nsid=message.get_attr("IFLA_LINK_NETNSID"),
    )


def _end(end: VethEnd) -> dict[str, Any]:
    attributes: dict[str, Any] = {"ifname": end.name, "mtu": end.mtu}
    return attributes if end.mac is None else attributes | {"address": end.mac}


def _check_name(name: str) -> None:
    if not 0 < len(name.encode()) <= MAX_NAME or name in (".", "..") or any(c in "/:" or c.isspace() for c in name):
        raise UsageError(
            f"{name!r} cannot be the name of a device", f"1 to {MAX_NAME} octets without '/', ':' or blanks"
        )


@contextmanager
def _netlink(doing: str) -> Iterator[None]:
    """Netlink's refusals become errors of ours."""
    from pyroute2.netlink.exceptions import NetlinkError

    try:
        yield
    except NetlinkError as e:
        raise error_from_errno(int(e.code), doing) from e
    except OSError as e:
        raise error_from_errno(e.errno, doing) from e
