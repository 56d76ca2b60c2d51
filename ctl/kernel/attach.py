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
from typing import Final

from ctl import abi
from ctl.abi import ClsactUse, DpLimit, MapId, PortKind
from ctl.datapath import Port
from ctl.errors import CtlError, Exists, NotFound, NotSupported, UsageError
from ctl.kernel import bpffs, clsact, features, libbpf, places, redirect
from ctl.kernel.datapath import TC_PROGRAM, KernelDatapath
from ctl.kernel.maps import Maps

PROGRAM: Final = "dp_xdp"


def attach(
    datapath: KernelDatapath, device: str, number: int | None = None, *, local_name: str = "", tc_only: bool = False
) -> Port:
    """Make a device of the datapath's namespace a port.  ``local_name`` makes it the local port, number 0.

    ``tc_only``: without XDP, so that frames keep what the stack left to the device.  Without a number it
    gets the lowest free one from 1.  NotFound, Exists, UsageError, NotSupported; on any error nothing is
    changed.
    """
    with datapath.hold() as writer, contextlib.ExitStack() as undo:
        ifindex = datapath.netns.ifindex(device)
        taken = {port.number: port for port in datapath.ports()}
        _refuse_port(datapath, device, ifindex, taken)
        number = _choose_number(number, taken, local=bool(local_name))
        undo.callback(_forget, datapath, number, ifindex)
        _reset_stats(datapath.maps, number)
        places.enter(datapath.maps.memory(MapId.MAP_PORT_OF), ifindex, number)
        info = abi.PortInfo(ifindex=ifindex, tc_only=tc_only)
        info.clsact = _attach_tc(datapath, device, ifindex, number)
        _write_info(datapath.maps, number, info, local_name or device, device)  # who undoes it has to know of a filter
        info.generic = not tc_only and _link_xdp(datapath, device, ifindex, number)
        info.no_redirect = not redirect.is_taken(datapath.netns, device, ifindex)
        info.kind = PortKind.PORT_INTERNAL if local_name else PortKind.PORT_NETDEV
        _write_info(datapath.maps, number, info, local_name or device, device)
        if info.no_redirect:
            writer.place_again(number)
        with datapath.netns.enter():
            libbpf.map_update(datapath.maps.fd(MapId.MAP_PORTS), ctypes.c_uint32(number), ctypes.c_uint32(ifindex))
        undo.pop_all()
        return next(port for port in datapath.ports() if port.number == number)


def detach(datapath: KernelDatapath, number: int) -> Port:
    """Take a port away; the device stays.  NotFound, or UsageError for the local port."""
    with datapath.hold():
        port = next((p for p in datapath.ports() if p.number == number), None)
        if port is None:
            raise NotFound(f"{datapath.name} has no port {number}", "ctl show lists the ports")
        if port.kind == "internal":
            raise UsageError(f"port 0 of {datapath.name} is its local port", f"it goes with ctl del-dp {datapath.name}")
        _forget(datapath, number, datapath.port_info(number).ifindex)
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
            return bool(libbpf.info(link, libbpf.DeviceLinkInfo).prog_id == libbpf.info(own, libbpf.ProgInfo).id)
    except FileNotFoundError:
        return False


def _refuse_port(datapath: KernelDatapath, device: str, ifindex: int, taken: dict[int, Port]) -> None:
    if device == "lo":
        raise UsageError("the loopback device cannot be a port")
    for port in taken.values():
        if port.ifindex == ifindex or device == port.name:
            raise Exists(f"{device} is port {port.number} of {datapath.name}", "ctl show lists the ports")
        if port.device == device and not port.ifindex:
            raise Exists(
                f"{device} was port {port.number} of {datapath.name}, on a device that is gone",
                f"ctl del-if {port.number}, then add it again",
            )


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


def _attach_tc(datapath: KernelDatapath, device: str, ifindex: int, number: int) -> ClsactUse:
    """Attach the program of the tc hook: by a link, which is pinned, or as a filter."""
    with _program(datapath, TC_PROGRAM) as program_fd:
        if not features.has("tcx"):
            return clsact.attach(program_fd, datapath.netns, device, ifindex)
        try:
            fd = libbpf.link_create_tcx(program_fd, ifindex)
        except OSError as e:
            raise NotSupported(f"{device} takes no tc program: {os.strerror(e.errno or 0)}") from e
    _pin(fd, bpffs.tc_link(datapath.name, number))
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


def _forget(datapath: KernelDatapath, number: int, ifindex: int) -> None:
    """Undo every part of an attachment that is there.  XDP's output to the port ends first."""
    info = datapath.port_info(number)
    with contextlib.suppress(OSError):
        libbpf.map_delete(datapath.maps.fd(MapId.MAP_PORTS), ctypes.c_uint32(number))
    for pin in (bpffs.link(datapath.name, number), bpffs.tc_link(datapath.name, number)):
        if pin.exists():
            detach_link(str(pin))
            pin.unlink()
    if info.clsact:
        with contextlib.suppress(CtlError):  # the namespace is gone, and all in it
            own = info.clsact == ClsactUse.CLSACT_OWN
            clsact.detach(datapath.tc_program_id, datapath.netns, ifindex, own=own)
    places.leave(datapath.maps.memory(MapId.MAP_PORT_OF), ifindex, number)
    _write_info(datapath.maps, number, abi.PortInfo(), "", "")
    if info.no_redirect:
        with datapath.hold() as writer:
            writer.place_again(number)


def _write_info(maps: Maps, number: int, info: abi.PortInfo, name: str, device: str) -> None:
    ctypes.memmove(info.name, name.encode(), len(name))
    ctypes.memmove(info.device, device.encode(), len(device))
    size = ctypes.sizeof(info)
    maps.memory(MapId.MAP_PORT_INFO)[number * size : (number + 1) * size] = bytes(info)


def _reset_stats(maps: Maps, number: int) -> None:
    """A port begins at zero; nothing counts on it yet."""
    zeros = (abi.PortStats * libbpf.possible_cpus())()
    libbpf.map_update(maps.fd(MapId.MAP_PORT_STATS), ctypes.c_uint32(number), zeros)
