"""Making devices ports of a datapath, and taking them away.

A port has a program on the tc hook and, unless it is on that alone, an XDP link before it.  XDP leaves to
tc what it cannot do, and tc lets nothing pass: so tc is attached first and detached last, and no frame ever
gets past the datapath.  On the tc hook that is a tcx link or, where there are none, a filter of clsact.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import pathlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ctl import abi
from ctl.abi import ClsactUse, DpLimit, MapId, PortKind
from ctl.datapath import Port
from ctl.errors import CtlError, Exists, NotFound, NotSupported, UsageError
from ctl.faults import fault
from ctl.kernel import bpffs, clsact, features, libbpf, places, redirect
from ctl.kernel.datapath import TC_PROGRAM, KernelDatapath
from ctl.kernel.maps import Maps
from ctl.kernel.structures import DeviceLinkInfo, ProgInfo

PROGRAM: Final = "dp_xdp"
_OUTPUTS: Final = (MapId.MAP_PORTS, MapId.MAP_TC_PORTS)  # where each hook looks for the device of a port


def attach(
    datapath: KernelDatapath, device: str, number: int | None = None, *, local_name: str = "", tc_only: bool = False
) -> Port:
    """Make a device of the datapath's namespace a port.  ``local_name`` makes it the local port, number 0.

    ``tc_only``: without XDP, so that frames keep what the stack left to the device.  Without a number it
    gets the lowest free one from 1.  NotFound, Exists, UsageError, NotSupported; on any error nothing is
    changed.
    """
    with datapath.hold() as writer, contextlib.ExitStack() as undo:
        place = place_for(datapath, device, number, local=bool(local_name))
        number, ifindex = place.number, datapath.netns.ifindex(device)
        undo.callback(forget, datapath, number, keep=place.is_known)
        info = abi.PortInfo(ifindex=ifindex, tc_only=tc_only)
        _enter(datapath, place, info)
        info.clsact = _attach_tc(datapath, device, ifindex, number)
        info.generic = not tc_only and _link_xdp(datapath, device, ifindex, number)
        info.no_redirect = not redirect.is_taken(datapath.netns, device, ifindex)
        info.kind = PortKind.PORT_INTERNAL if local_name else PortKind.PORT_NETDEV
        _write_info(datapath.maps, number, info, local_name or device, device)
        fault("attach.published")
        if info.no_redirect or place.is_known:
            writer.place_again(number)
        with datapath.netns.enter():
            for map_id in _OUTPUTS:
                libbpf.map_update(datapath.maps.fd(map_id), ctypes.c_uint32(number), ctypes.c_uint32(ifindex))
                fault("attach.redirected")
        undo.pop_all()
        return next(port for port in datapath.ports() if port.number == number)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The number that a device is to have.  ``is_known``: it had it before it went away."""

    number: int
    is_known: bool = False


def place_for(datapath: KernelDatapath, device: str, number: int | None, *, local: bool = False) -> Place:
    """Where `attach` would put a device.  NotFound, Exists, UsageError."""
    ifindex = datapath.netns.ifindex(device)
    if device == "lo":
        raise UsageError("the loopback device cannot be a port")
    taken = {port.number: port for port in datapath.ports()}
    for port in taken.values():
        if port.ifindex == ifindex:
            raise Exists(f"{device} is port {port.number} of {datapath.name}", "ctl show lists the ports")
        if not port.ifindex and device in (port.name, port.device):
            return _back(datapath, port, number)
        if device == port.name:
            raise Exists(f"port {port.number} of {datapath.name} has the name {device}", "ctl show lists the ports")
    return Place(number=_choose_number(number, taken, local=local))


def _back(datapath: KernelDatapath, port: Port, number: int | None) -> Place:
    """A port's device is there again."""
    if number not in (None, port.number):
        raise Exists(
            f"{port.device} was port {port.number} of {datapath.name}, on a device that is gone",
            f"leave port_no out, or ctl del-if {port.number} first",
        )
    return Place(number=port.number, is_known=True)


def detach(datapath: KernelDatapath, number: int) -> Port:
    """Take a port away; the device stays.  NotFound, or UsageError for the local port."""
    with datapath.hold():
        port = removable(datapath, number)
        forget(datapath, number)
        return port


def removable(datapath: KernelDatapath, number: int) -> Port:
    """The port that `detach` would take away.  NotFound, UsageError."""
    port = next((p for p in datapath.ports() if p.number == number), None)
    if port is None:
        raise NotFound(f"{datapath.name} has no port {number}", "ctl show lists the ports")
    if port.kind == "internal":
        raise UsageError(f"port 0 of {datapath.name} is its local port", f"it goes with ctl del-dp {datapath.name}")
    return port


def foreign_hooks(datapath: KernelDatapath, port: Port) -> tuple[str, ...]:
    """The hooks of a port, "xdp" and "tc", whose link runs another program than the datapath's, or is gone.

    A filter in the place of the link on tc is known by the program alone: without it the port has no device.
    """
    pins = {}
    if not datapath.port_info(port.number).clsact:
        pins["tc"] = (bpffs.tc_link(datapath.name, port.number), TC_PROGRAM)
    if port.hook != "tc":
        pins["xdp"] = (bpffs.link(datapath.name, port.number), PROGRAM)
    return tuple(hook for hook, (pin, program) in pins.items() if not _runs(datapath, pin, program))


def _runs(datapath: KernelDatapath, pin: pathlib.Path, program: str) -> bool:
    """Whether a pinned link runs the datapath's pinned program of that name."""
    try:
        with libbpf.opened(str(pin)) as link, libbpf.opened(str(bpffs.folder(datapath.name) / program)) as own:
            return bool(libbpf.info(link, DeviceLinkInfo).prog_id == libbpf.info(own, ProgInfo).id)
    except FileNotFoundError:
        return False


def _choose_number(number: int | None, taken: dict[int, Port], *, local: bool) -> int:
    if local:
        return 0
    if number is None:
        number = next((n for n in range(1, DpLimit.DP_MAX_PORTS) if n not in taken), DpLimit.DP_MAX_PORTS)
    if not 1 <= number < DpLimit.DP_MAX_PORTS:
        raise UsageError(f"port number {number}: from 1 to {DpLimit.DP_MAX_PORTS - 1}")
    if number in taken:
        raise Exists(f"port {number} is {taken[number].name}", "choose another port_no, or leave it out")
    return number


def _enter(datapath: KernelDatapath, place: Place, info: abi.PortInfo) -> None:
    """From now on the program knows the device.  Ports that have lost theirs give up the ifindex, which may be its own.

    What `forget` has to know is written down: a filter, which has no pin, is known by the ifindex alone.
    """
    for port in datapath.ports():
        if not port.ifindex:
            forget(datapath, port.number, keep=True)
    known = datapath.port_info(place.number)  # empty for a new port
    known.ifindex = info.ifindex
    known.clsact = ClsactUse.CLSACT_NONE if features.has("tcx") else ClsactUse.CLSACT_FOUND
    _store_info(datapath.maps, place.number, known)
    if not place.is_known:
        _reset_stats(datapath.maps, place.number)
    places.enter(datapath.maps.memory(MapId.MAP_PORT_OF), info.ifindex, place.number)
    fault("attach.entered")


def _attach_tc(datapath: KernelDatapath, device: str, ifindex: int, number: int) -> ClsactUse:
    """Attach the program of the tc hook: by a link, which is pinned, or as a filter."""
    with _program(datapath, TC_PROGRAM) as program_fd:
        if not features.has("tcx"):
            use = clsact.attach(program_fd, datapath.netns, device, ifindex)
            fault("attach.filter-made")
            return use
        try:
            fd = libbpf.link_create_tcx(program_fd, ifindex)
        except OSError as e:
            raise NotSupported(f"{device} takes no tc program: {os.strerror(e.errno or 0)}") from e
    _pin(fd, bpffs.tc_link(datapath.name, number))
    fault("attach.tc-pinned")
    return ClsactUse.CLSACT_NONE


def _link_xdp(datapath: KernelDatapath, device: str, ifindex: int, number: int) -> bool:
    """Attach the program of the XDP hook and pin the link; whether it had to be in generic mode."""
    with _program(datapath, PROGRAM) as program_fd:
        generic = False
        try:
            fd = libbpf.link_create_xdp(program_fd, ifindex, libbpf.XDP_DRV_MODE)
        except OSError as e:
            if e.errno in (errno.EBUSY, errno.EEXIST):
                raise Exists(
                    f"{device} has an XDP program already", f"ip link set dev {device} xdp off, or ctl del-if there"
                ) from e
            if e.errno != errno.EOPNOTSUPP:
                raise NotSupported(f"{device} takes no XDP program: {os.strerror(e.errno or 0)}") from e
            generic = True
            fd = libbpf.link_create_xdp(program_fd, ifindex, libbpf.XDP_SKB_MODE)
    _pin(fd, bpffs.link(datapath.name, number))
    fault("attach.xdp-pinned")
    return generic


@contextlib.contextmanager
def _program(datapath: KernelDatapath, name: str) -> Iterator[int]:
    """The fd of a pinned program, within the block, which runs in the namespace of the ports."""
    with libbpf.opened(str(bpffs.folder(datapath.name) / name)) as fd, datapath.netns.enter():
        yield fd


def _pin(fd: int, path: pathlib.Path) -> None:
    try:
        libbpf.obj_pin(fd, str(path))
    finally:
        os.close(fd)


def detach_link(pin: str) -> None:
    """Detach a pinned link; one whose device is gone has nothing to detach."""
    with contextlib.suppress(OSError), libbpf.opened(pin) as fd:
        libbpf.link_detach(fd)


def forget(datapath: KernelDatapath, number: int, *, keep: bool = False) -> None:
    """Undo every part of an attachment that is there.  Output to the port ends first.

    ``keep``: the port stays, without a device.
    """
    with datapath.hold() as writer:
        for map_id in _OUTPUTS:
            with contextlib.suppress(OSError):
                libbpf.map_delete(datapath.maps.fd(map_id), ctypes.c_uint32(number))
            fault("attach.unredirected")
        for pin in (bpffs.link(datapath.name, number), bpffs.tc_link(datapath.name, number)):
            if pin.exists():
                detach_link(str(pin))
                fault("attach.detached")
                pin.unlink()
                fault("attach.unpinned")
        info = datapath.port_info(number)
        if info.clsact:
            with contextlib.suppress(CtlError):  # the namespace is gone, and all in it
                own = info.clsact == ClsactUse.CLSACT_OWN
                clsact.detach(datapath.tc_program_id, datapath.netns, info.ifindex, own=own)
            fault("attach.filter-removed")
        places.leave(datapath.maps.memory(MapId.MAP_PORT_OF), number)
        fault("attach.left")
        kept = abi.PortInfo.from_buffer_copy(info) if keep else abi.PortInfo()
        kept.ifindex = kept.clsact = 0
        _store_info(datapath.maps, number, kept)
        if info.no_redirect and not keep:
            writer.place_again(number)


def _write_info(maps: Maps, number: int, info: abi.PortInfo, name: str, device: str) -> None:
    ctypes.memmove(info.name, name.encode(), len(name))
    ctypes.memmove(info.device, device.encode(), len(device))
    _store_info(maps, number, info)


def _store_info(maps: Maps, number: int, info: abi.PortInfo) -> None:
    size = ctypes.sizeof(info)
    maps.memory(MapId.MAP_PORT_INFO)[number * size : (number + 1) * size] = bytes(info)


def _reset_stats(maps: Maps, number: int) -> None:
    """A port begins at zero; nothing counts on it yet."""
    zeros = (abi.PortStats * libbpf.possible_cpus())()
    libbpf.map_update(maps.fd(MapId.MAP_PORT_STATS), ctypes.c_uint32(number), zeros)
