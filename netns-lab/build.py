"""Builds a topology out of network namespaces, and removes it.

The caller's own namespace is never touched: each veth is born with one end in a datapath's namespace and
the other in that of a host or of the next datapath.  `record` keeps what was to be made, and the kernel by
its names what was made: `destroy` therefore works after any failure, a kill -9 half way included.

Since every namespace counts devices from 1, the same ifindex means a different device in each.  That is
wanted: whoever resolves one in the wrong namespace is found out here.
"""

from __future__ import annotations

from contextlib import ExitStack, suppress
from typing import Final

from ctl import ethtool
from ctl.errors import Exists, NotFound
from ctl.ethtool import Feature
from ctl.netns import NetNs
from ctl.ports import Links, VethEnd, disable_ipv6, keep_tags_in_frames, make_safe_sender, silence_ipv6
from netns_lab import record
from netns_lab.paths import Network, networks, next_hops
from netns_lab.quiet import load_quiet_program
from netns_lab.record import find_leftovers
from netns_lab.tags import create_tagged
from netns_lab.topology import Device, Host, Interface, Topology, port_device

_ROUTER: Final = (
    ("ipv4/ip_forward", 1),
    ("ipv4/conf/all/send_redirects", 0),
    ("ipv4/conf/default/send_redirects", 0),
    ("ipv6/conf/all/forwarding", 1),
)
# With several networks, answers may take another way than questions.
_SEVERAL_NETWORKS: Final = (("ipv4/conf/all/rp_filter", 0), ("ipv4/conf/default/rp_filter", 0))


def build(topology: Topology) -> None:
    """Make all of it, up and addressed; the ports have no program yet.

    Exists when anything of this lab is there already.  On any failure or interrupt nothing is left.
    """
    lab = topology.lab
    if record.is_there(lab):
        what = " ".join(find_leftovers(lab)) or "its record alone is there"
        raise Exists(f"lab {lab} is up, or was left half made: {what}", "ctl down --force removes it")
    with ExitStack() as undo:
        undo.callback(destroy, lab)
        try:
            record.write(topology)
        except Exists:
            undo.pop_all()  # it is somebody else's, who began a moment ago
            raise
        for ns in topology.namespaces():
            ns.create()
            silence_ipv6(ns)
        _lay_cables(topology)
        with load_quiet_program() as quiet:
            for host in topology.hosts:
                _make_host(topology, host, quiet)
        for name in topology.datapaths:
            with Links(topology.namespace_of_datapath(name)) as links:
                for port in topology.ports(name):
                    links.set_up(port_device(port))
        undo.pop_all()


def destroy(lab: str) -> list[str]:
    """Remove every namespace of a lab and the devices in it, then its record; the names of what was removed.

    Devices go first and at once: a process that still runs in a host keeps the namespace alive, but
    cut off.  Nothing to remove is not an error.
    """
    names = find_leftovers(lab)
    for name in names:
        ns = NetNs.named(name)
        if ns.exists():
            _delete_devices(ns)
        ns.delete()
    record.remove(lab)
    return names


def _delete_devices(ns: NetNs) -> None:
    devices = [name for name in ns.devices() if name != "lo"]
    if devices:
        with Links(ns) as links:
            for name in devices:
                links.delete(name)


# --- datapaths ---------------------------------------------------------------------------------------


def _lay_cables(topology: Topology) -> None:
    """Those between datapaths, which carry whatever any host's cable carries."""
    mtu = max(device.mtu for host in topology.hosts for device in host.devices)
    for one, other in topology.cables:
        here, there = (topology.namespace_of_datapath(end.datapath) for end in (one, other))
        with Links(here) as links:
            ends = [VethEnd(name=port_device(end.port), mtu=mtu) for end in (one, other)]
            links.create_veth(ends[0], ends[1], there)
        for ns, end in ((here, one), (there, other)):
            _prepare_port(topology, ns, port_device(end.port))
            # To the other end's datapath this is a peer, which it looks at before there is a program here.
            _set_offloads(topology, ns, port_device(end.port))


def _prepare_port(topology: Topology, ns: NetNs, device: str) -> None:
    disable_ipv6(ns, device)
    if topology.hook == "xdp":
        keep_tags_in_frames(ns, device)


# --- hosts -------------------------------------------------------------------------------------------


def _make_host(topology: Topology, host: Host, quiet_fd: int) -> None:
    """Give a host its cables with addresses and neighbours, and the ways to other networks."""
    home = topology.namespace(host)
    with Links(home) as links, ExitStack() as stack:
        links.set_up("lo")
        settings = _SEVERAL_NETWORKS if len(host.interfaces()) > 1 else ()
        for key, value in (*settings, *(_ROUTER if host.router else ())):
            with suppress(NotFound):  # a kernel without IPv6
                home.sysctl(key, value)
        if host.router:
            quiet_fd = stack.enter_context(load_quiet_program(topology.number(host.name)))
        for device in host.devices:
            _plug_in(topology, home, device)
            links.attach_classifier(device.name, quiet_fd, "quiet")
            links.set_up(device.name)
        every = networks(topology)
        for network in every:
            for interface in network:
                if interface.host == host:
                    _give_address(topology, links, interface, network)
        for network in every:
            _add_routes(topology, links, host, network)


def _plug_in(topology: Topology, home: NetNs, device: Device) -> None:
    """Make a cable; the ends stay down."""
    ns = topology.namespace_of_datapath(device.datapath)
    with Links(ns) as ports:
        ports.create_veth(
            VethEnd(name=device.port_device, mtu=device.mtu),
            VethEnd(name=device.name, mac=device.mac, mtu=device.mtu),
            home,
        )
    _prepare_port(topology, ns, device.port_device)
    _set_offloads(topology, home, device.name)


def _set_offloads(topology: Topology, home: NetNs, device: str) -> None:
    """What the hook at the other end needs."""
    if topology.hook == "xdp":
        make_safe_sender(home, device)
    else:
        ethtool.switch(home, device, on=(Feature.GRO,))


def _give_address(topology: Topology, links: Links, interface: Interface, network: Network) -> None:
    """Addresses on the cable's device, or on one for their VLAN; and everybody else's of the network."""
    address = interface.address
    if address.tag is not None:
        create_tagged(links, interface)
        _set_offloads(topology, links.ns, interface.name)
        links.set_up(interface.name)
    for ip in (address.ipv4, address.ipv6):
        if ip is not None:
            links.add_address(interface.name, str(ip.ip), ip.network.prefixlen)
    neighbours = {
        other.address_of(ipv6=ipv6): other.device.mac
        for other in network
        for ipv6 in (False, True)
        if other is not interface and other.has_family(ipv6=ipv6) and interface.has_family(ipv6=ipv6)
    }
    links.add_neighbours(interface.name, neighbours)


def _add_routes(topology: Topology, links: Links, host: Host, network: Network) -> None:
    """The way to a network that the host is not in, by the next router."""
    for ipv6 in (False, True):
        leg = next_hops(topology, network, ipv6=ipv6).get(host.name)
        ips = [ip for i in network if (ip := i.address.ipv6 if ipv6 else i.address.ipv4) is not None]
        if leg is not None and ips:
            links.add_route(str(ips[0].network), leg.dst.address_of(ipv6=ipv6))
