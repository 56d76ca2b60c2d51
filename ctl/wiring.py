"""What a device is plugged into, and what the two ends need before one of them can be a port.

Known here once: `prepare_port` does it, and the doctor compares what it finds with it.
"""

from __future__ import annotations

from dataclasses import dataclass

from ctl import ethtool
from ctl.errors import CtlError
from ctl.ethtool import Feature
from ctl.netns import NetNs
from ctl.ports import FACING_XDP, UNDER_XDP, Link, Links, Need, namespace_of_peer, needs


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """What `prepare_port` did to a device and its peer, and what it could not do.

    Both are sentences for the user.  Packets may be lost while ``problems`` is not empty.
    """

    driver: str
    done: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wiring:
    """A device and, of a veth, its peer, with all that the two need.  ``peer`` None: none, or out of reach."""

    link: Link
    peer: Link | None = None
    peer_ns: NetNs | None = None
    needs: tuple[Need, ...] = ()

    @property
    def peer_is_hidden(self) -> bool:
        """Whether there is a peer that we cannot get at."""
        return self.link.kind == "veth" and self.peer is None


def wiring(ns: NetNs, device: str, peer_ns: NetNs | None = None, *, tc_only: bool = False) -> Wiring:
    """What ``device`` is plugged into, and needs as a port.

    Only a veth needs anything, mostly at its peer, which is looked for in ``peer_ns`` if that is given, else
    in ``ns`` and in every named namespace.  ``tc_only``: offloads stay, but the peer has to poll for what other
    ports send by XDP.  NotFound.
    """
    with Links(ns) as links:
        link = links.get(device)
        if link.kind != "veth":
            return Wiring(link=link)
        home = namespace_of_peer(links, link, peer_ns)
    here = () if tc_only else needs(ns, device, UNDER_XDP)
    if home is None or link.peer_ifindex is None:
        return Wiring(link=link, needs=here)
    with Links(home) as links:
        peer = links.get(link.peer_ifindex)
    facing = {Feature.GRO: True} if tc_only else dict(FACING_XDP)
    if peer.has_xdp:  # which makes it poll
        del facing[Feature.GRO]
    return Wiring(link=link, peer=peer, peer_ns=home, needs=(*here, *needs(home, peer.name, facing)))


def prepare_port(ns: NetNs, device: str, peer_ns: NetNs | None = None, *, tc_only: bool = False) -> Readiness:
    """Do what ``device`` needs before it becomes a port of a datapath in ``ns``; see `wiring`.

    What was already right is not in the result.
    """
    wired = wiring(ns, device, peer_ns, tc_only=tc_only)
    done, problems = [], []
    if wired.peer_is_hidden:
        problems.append(
            f"the peer of {device} is out of reach: it needs GRO on, or a program, else all that is sent to"
            f" {device} is lost; and tx checksum off"
        )
    for need in wired.needs:
        if need.is_met():
            continue
        try:
            need.meet()
        except CtlError as e:
            problems.append(f"could not switch {need}: {e.message}")
        else:
            done.append(str(need))
    return Readiness(driver=ethtool.driver(ns, device), done=tuple(done), problems=tuple(problems))
