"""Builds a topology out of network namespaces, and removes it.

The caller's own namespace is never touched: each veth is born with one end in the datapath's namespace
and the other in its host's.  What exists is written down nowhere but in the kernel, by name: `destroy`
therefore works after any failure, a kill -9 half way included.

Since every namespace counts devices from 1, the same ifindex means a different device in each.  That is
wanted: whoever resolves one in the wrong namespace is found out here.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

from ctl.errors import Exists
from ctl.faults import fault
from ctl.netns import NetNs
from ctl.ports import (
    Links,
    VethEnd,
    disable_ipv6,
    keep_tags_in_frames,
    make_safe_sender,
    remove_namespace,
    silence_ipv6,
)
from netns_lab.quiet import load_quiet_program
from netns_lab.topology import HOST_DEVICE, IPV4_PREFIX, IPV6_PREFIX, Host, Topology, prefix


def build(topology: Topology, noting: Callable[[NetNs], None] = lambda _: None) -> None:
    """Make all of it, up and addressed; the ports have no program yet.

    ``noting`` is told of each namespace before it is made.  Exists when a namespace of this lab is there
    already.  On any failure or interrupt nothing is left.
    """
    if leftovers := find_leftovers(topology.lab):
        raise Exists(
            f"lab {topology.lab} is up, or was left half made: {' '.join(leftovers)}", "ctl down --force removes it"
        )
    with ExitStack() as undo:
        undo.callback(destroy, topology.lab)
        for ns in topology.namespaces():
            noting(ns)
            ns.create()
            fault("build.namespace-made")
            silence_ipv6(ns)
        with Links(topology.datapath_namespace) as ports, load_quiet_program() as quiet:
            for host in topology.hosts:
                _plug_in(topology, host, ports, quiet)
        undo.pop_all()


def destroy(lab: str) -> list[str]:
    """Remove every namespace of a lab and the devices in it; the names of what was removed.

    Devices go first and at once: a process that still runs in a host keeps the namespace alive, but
    cut off.  Nothing to remove is not an error.
    """
    names = find_leftovers(lab)
    for name in names:
        remove_namespace(NetNs.named(name))
        fault("build.namespace-removed")
    return names


def find_leftovers(lab: str) -> list[str]:
    """The names of the namespaces of a lab that are there now, whole or half made."""
    return [ns.name for ns in NetNs.all_named() if ns.name.startswith(prefix(lab))]


def _plug_in(topology: Topology, host: Host, ports: Links, quiet_fd: int) -> None:
    """Give a host its cable: device, offloads, addresses and neighbours; then both ends up."""
    home = topology.namespace(host)
    ports.create_veth(
        VethEnd(name=host.device, mtu=host.mtu), VethEnd(name=HOST_DEVICE, mac=host.mac, mtu=host.mtu), home
    )
    disable_ipv6(ports.ns, host.device)
    keep_tags_in_frames(ports.ns, host.device)
    make_safe_sender(home, HOST_DEVICE)
    with Links(home) as links:
        links.attach_classifier(HOST_DEVICE, quiet_fd, "quiet")
        links.set_up("lo")
        links.set_up(HOST_DEVICE)
        links.add_address(HOST_DEVICE, host.ipv4, IPV4_PREFIX)
        links.add_address(HOST_DEVICE, host.ipv6, IPV6_PREFIX)
        links.add_neighbours(HOST_DEVICE, _neighbours(topology, host))
    ports.set_up(host.device)
    fault("build.host-plugged-in")


def _neighbours(topology: Topology, host: Host) -> dict[str, str]:
    others = [other for other in topology.hosts if other is not host]
    return {o.ipv4: o.mac for o in others} | {o.ipv6: o.mac for o in others}
