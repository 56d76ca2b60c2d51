"""Each port: its device, the programs on it, and what stands between it and the other ports."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from ctl.datapath import Port
from ctl.doctor.datapaths import whole_datapaths
from ctl.doctor.finding import Check, Finding, Mend, by_hand, fault, note, ok, place, within
from ctl.errors import CtlError, NotFound
from ctl.ethtool import Feature
from ctl.kernel import attach, redirect
from ctl.kernel.datapath import KernelDatapath
from ctl.netns import RUN_DIR, NetNs
from ctl.ports import Link, Need
from ctl.wiring import Wiring, wiring


@dataclass(frozen=True, slots=True, kw_only=True)
class Socket:
    """A port, and what was found at it.  ``wired`` None: its device is not in the datapath's namespace."""

    datapath: str
    home: NetNs
    port: Port
    namesake: bool = False  # the device is gone, and another of its name is there
    wired: Wiring | None = None
    unmet: tuple[Need, ...] = ()
    foreign: tuple[str, ...] = ()  # hooks on which not the datapath's program runs
    takes_redirects: bool = True  # the device does, now

    @property
    def subject(self) -> str:
        """What its rows begin with."""
        return f"{self.datapath}:{self.port.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """All ports of all datapaths, and whether there is an ethtool to change them with."""

    sockets: tuple[Socket, ...]
    ethtool: bool


# --- looking -----------------------------------------------------------------------------------------


def look(only: str | None = None) -> Panel:
    """Every port of every datapath that we can read, or of the one that is named."""
    sockets: list[Socket] = []
    for name in whole_datapaths(only):
        with suppress(CtlError, FileNotFoundError), KernelDatapath(name) as datapath:
            sockets += _sockets(datapath, datapath.netns)
    return Panel(sockets=tuple(sockets), ethtool=shutil.which("ethtool") is not None)


def _sockets(datapath: KernelDatapath, home: NetNs) -> Iterator[Socket]:
    for port in datapath.ports():
        try:
            yield _socket(datapath, home, port)
        except NotFound:
            namesake = port.device in home.devices()
            yield Socket(datapath=datapath.name, home=home, port=port, namesake=namesake)


def _socket(datapath: KernelDatapath, home: NetNs, port: Port) -> Socket:
    """NotFound when the device is gone, or goes meanwhile."""
    device = home.device_name(port.ifindex)
    wired = wiring(home, device, tc_only=port.hook == "tc")
    if device != port.device and port.hook != "tc" and not wired.link.has_xdp:
        raise NotFound(f"{port.device} is in another namespace, and {device} has its ifindex here")
    return Socket(
        datapath=datapath.name,
        home=home,
        port=port,
        wired=wired,
        unmet=tuple(need for need in wired.needs if not need.is_met()),
        foreign=attach.foreign_hooks(datapath, port),
        takes_redirects=redirect.is_taken(home, device, port.ifindex),
    )


# --- judging -----------------------------------------------------------------------------------------


def judge(seen: Panel) -> Iterator[Finding]:
    """One row for each fact of each port."""
    for socket in seen.sockets:
        if socket.wired is None:
            yield _judge_gone(socket)
            continue
        yield _judge_device(socket, socket.wired)
        yield _judge_programs(socket, socket.wired)
        yield _judge_link(socket, socket.wired)
        yield _judge_mtu(socket, socket.wired, _siblings(seen, socket))
        yield from _judge_needs(socket, socket.wired, ethtool=seen.ethtool)
        yield from _judge_redirects(socket, socket.wired)


def _siblings(seen: Panel, socket: Socket) -> list[Link]:
    """The devices of the other ports of the same datapath."""
    return [
        other.wired.link
        for other in seen.sockets
        if other.datapath == socket.datapath and other is not socket and other.wired is not None
    ]


def _judge_gone(socket: Socket) -> Finding:
    port = socket.port
    if not port.ifindex:
        found = f"{port.device} is gone" + (", and another device has its name" if socket.namesake else "")
    else:
        found = f"{port.device} is not in {place(socket.home)} any more"
    remove = by_hand("ctl", *_dp(socket), "del-if", str(port.number))
    again = _add_again(socket, port.device) if socket.namesake else remove
    return fault(socket.subject, found, f"what flows send to port {port.number} is lost", again)


def _judge_device(socket: Socket, wired: Wiring) -> Finding:
    port, link = socket.port, wired.link
    kind = link.kind or "a device of its own kind"
    if link.name == port.device:
        return ok(socket.subject, f"port {port.number}: {link.name} ({kind}) in {place(socket.home)}")
    return note(socket.subject, f"{port.device} is called {link.name} now",
                "packets do not care; ctl knows it by its old name", _add_again(socket, link.name))  # fmt: skip


def _judge_programs(socket: Socket, wired: Wiring) -> Finding:
    check, hook = f"{socket.subject} program", socket.port.hook
    if socket.foreign:
        return fault(check, f"on {' and '.join(socket.foreign)} the datapath's program does not run",
                     "what it receives is not handled there", _add_again(socket, wired.link.name))  # fmt: skip
    if hook == "xdp/generic":
        return note(check, "xdp/generic: the driver has no XDP of its own",
                    "each packet is copied into a socket buffer first, which costs most of what XDP saves")  # fmt: skip
    return ok(check, hook)


def _judge_link(socket: Socket, wired: Wiring) -> Finding:
    check = f"{socket.subject} link"
    link, peer, peer_ns = wired.link, wired.peer, wired.peer_ns
    lost = "nothing gets through this port"
    if not link.up:
        return fault(check, f"{link.name} is down", lost, _set_up(socket.home, link))
    if link.carrier:
        return ok(check, "up")
    if peer is not None and peer_ns is not None and not peer.up:
        return fault(check, f"its peer {peer.name} in {place(peer_ns)} is down", lost, _set_up(peer_ns, peer))
    return fault(check, f"{link.name} has no carrier", f"{lost}: the other end of the cable is off or missing")


def _set_up(ns: NetNs, link: Link) -> Mend:
    return Mend(command=within(ns, "ip", "link", "set", "dev", link.name, "up"))


def _judge_mtu(socket: Socket, wired: Wiring, siblings: Iterable[Link]) -> Finding:
    check, link, peer = f"{socket.subject} mtu", wired.link, wired.peer
    if peer is not None and wired.peer_ns is not None and peer.mtu != link.mtu:
        low = (socket.home, link) if link.mtu < peer.mtu else (wired.peer_ns, peer)
        return fault(check, f"{link.mtu}, and {peer.mtu} at its peer {peer.name} in {place(wired.peer_ns)}",
                     f"longer packets than {low[1].mtu} octets are lost between the two without a trace",
                     _set_mtu(*low, max(link.mtu, peer.mtu)))  # fmt: skip
    largest = max(siblings, key=lambda sibling: sibling.mtu, default=link)
    if largest.mtu <= link.mtu:
        return ok(check, str(link.mtu))
    return note(check, f"{link.mtu}, and {largest.mtu} at {largest.name}",
                f"longer packets than {link.mtu} octets that flows send here are dropped",
                _set_mtu(socket.home, link, largest.mtu, wired))  # fmt: skip


def _set_mtu(ns: NetNs, link: Link, mtu: int, wired: Wiring | None = None) -> Mend:
    """At both ends where both are known and have to change."""
    commands = [within(ns, "ip", "link", "set", "dev", link.name, "mtu", str(mtu))]
    if wired is not None and wired.peer is not None and wired.peer_ns is not None:
        commands.append(within(wired.peer_ns, "ip", "link", "set", "dev", wired.peer.name, "mtu", str(mtu)))
    return Mend(command=" && ".join(commands))


# What each feature is called, by ethtool -K too, and what comes of it when it is not as it has to be.
_GRO_LOSS: Final = "all that XDP sends to this port is lost: its peer does not poll"
_CHECKSUM_LOSS: Final = "TCP and UDP of the stack behind the peer arrive with checksums that nobody filled in"
_TAG_LOSS: Final = "a VLAN tag is kept beside the frame, where XDP does not see it"
_FEATURES: Final = (
    ("gro", {Feature.GRO: "gro"}, _GRO_LOSS),
    ("tx checksum", {Feature.TX_CHECKSUM: "tx"}, _CHECKSUM_LOSS),
    ("vlan offload", {Feature.TX_VLAN: "txvlan", Feature.RX_VLAN: "rxvlan"}, _TAG_LOSS),
)


def _judge_needs(socket: Socket, wired: Wiring, *, ethtool: bool) -> Iterator[Finding]:
    for name, words, consequence in _FEATURES:
        check = f"{socket.subject} {name}"
        unmet = [need for need in socket.unmet if need.feature in words]
        needs = [need for need in wired.needs if need.feature in words]
        if unmet:
            found = ", ".join(f"{words[n.feature]} {_state(not n.on)} at {n.device} in {place(n.ns)}" for n in unmet)
            yield fault(check, found, consequence, _switch(socket, unmet, words, ethtool=ethtool))
        elif needs:
            places = dict.fromkeys(f"{need.device} in {place(need.ns)}" for need in needs)
            yield ok(check, f"{_state(needs[0].on)} at {' and '.join(places)}")
    if wired.peer_is_hidden:
        settings = "gro on" if socket.port.hook == "tc" else "gro on tx off txvlan off rxvlan off"
        yield note(f"{socket.subject} peer", "in a network namespace that has no name here",
                   f"its offloads cannot be looked at; they have to be {settings}",
                   Mend(command=f"ethtool -K DEVICE {settings}  # of the peer, in its namespace"))  # fmt: skip


def _state(on: bool) -> str:  # noqa: FBT001 - it is the subject
    return "on" if on else "off"


def _switch(socket: Socket, needs: list[Need], words: dict[Feature, str], *, ethtool: bool) -> Mend:
    """As `ctl add-if` did when the port was made, so it may be done again."""

    def meet() -> None:
        for need in needs:
            need.meet()

    settings: dict[tuple[NetNs, str], list[str]] = {}
    for need in needs:
        settings.setdefault((need.ns, need.device), []).extend((words[need.feature], _state(need.on)))
    commands = [within(ns, "ethtool", "-K", device, *states) for (ns, device), states in settings.items()]
    without = shlex.join(("ctl", *_dp(socket), "doctor", "--fix", "ports"))
    return Mend(command=" && ".join(commands) if ethtool else without, act=meet)


def _judge_redirects(socket: Socket, wired: Wiring) -> Iterator[Finding]:
    """What the device takes, and what it took when it became a port: by that flows were placed on XDP or tc.

    A veth whose peer's GRO is known to be off has its row for that.
    """
    check, device, expected = f"{socket.subject} redirects", wired.link.name, socket.port.takes_redirects
    again = _add_again(socket, device)
    if any(need.feature is Feature.GRO for need in socket.unmet):
        return
    if socket.takes_redirects:
        if expected:
            yield ok(check, "taken by the device")
        else:
            yield note(check, f"{device} takes them now, and did not when it became a port",
                       "flows that output to it are executed on tc, slower", again)  # fmt: skip
    elif expected:
        yield fault(check, f"{device} takes them no more", "what XDP sends to it is lost", again)
    else:
        yield note(check, f"{device} takes none", "flows that output to it are executed on tc, slower")


# --- commands ----------------------------------------------------------------------------------------


def _add_again(socket: Socket, device: str) -> Mend:
    """Take the port out and make the device a port anew, under the same number."""
    port = socket.port
    if port.kind == "internal":  # it comes and goes with the datapath
        return by_hand("ctl", "del-dp", socket.datapath)
    options = [device, f"port_no={port.number}"]
    options += ["hook=tc"] if port.hook == "tc" else []
    options += [f"netns={socket.home.name}"] if socket.home.path.parent == RUN_DIR else []
    remove = shlex.join(("ctl", *_dp(socket), "del-if", str(port.number)))
    return Mend(command=f"{remove} && {shlex.join(('ctl', *_dp(socket), 'add-if', ','.join(options)))}")


def _dp(socket: Socket) -> tuple[str, str]:
    return "--dp", socket.datapath


def checks(datapath: str | None) -> tuple[Check[Panel], ...]:
    """Of all datapaths, or of the one that is named."""
    return (Check("ports", "ports", lambda: look(datapath), judge),)
