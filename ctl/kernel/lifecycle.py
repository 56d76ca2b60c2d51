"""Making and removing datapaths, and attaching them to devices.

Creation publishes last: everything is made and pinned, and only then does ``meta`` get its version.
An interrupted one leaves a folder without a version, which the next creation or deletion clears away.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import re
from collections.abc import Iterator
from typing import Final

from ctl import abi
from ctl.abi import DpLimit, MapId, PortKind, ProgramId
from ctl.datapath import Port
from ctl.errors import Absent, CompileError, Exists, NotFound, NotSupported, UsageError
from ctl.kernel import bpffs, libbpf, places, program, ticks
from ctl.kernel import compile as compiler
from ctl.kernel import maps as mapping
from ctl.kernel.datapath import KernelDatapath, read_meta
from ctl.kernel.maps import Maps, Sizes
from ctl.kernel.writer import lock_folder
from ctl.netns import NetNs

NAME_PATTERN: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,10}")
PROGRAM: Final = "dp_xdp"

# What the first program calls, and where in the map of programs.
CALLED: Final = {ProgramId.PROGRAM_XDP_AGAIN: "dp_xdp_again", ProgramId.PROGRAM_XDP_ACTIONS: "dp_xdp_actions"}


def check_name(name: str) -> None:
    """UsageError unless a datapath may have that name; its local port is a device of the same name."""
    if not NAME_PATTERN.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot be the name of a datapath",
            "a letter, then up to 10 letters, digits, '-' or '_': its local port is a device of that name",
        )


def check_sizes(sizes: Sizes) -> None:
    """UsageError unless a datapath can be that large."""
    if not 1 <= sizes.max_flows <= 1 << 24:
        raise UsageError(f"--max-flows {sizes.max_flows}: from 1 to {1 << 24}")
    if not 1 <= sizes.max_masks <= DpLimit.DP_MAX_MASKS:
        raise UsageError(f"--max-masks {sizes.max_masks}: from 1 to {DpLimit.DP_MAX_MASKS.value}")
    if not 1 <= sizes.max_units <= 1 << 25:
        raise UsageError(f"--max-action-units {sizes.max_units}: from 1 to {1 << 25}")


def datapath_names() -> list[str]:
    """The names of all datapaths, in order."""
    return [name for name in bpffs.names() if read_meta(name)]


@contextlib.contextmanager
def _all_locked(timeout_s: float) -> Iterator[None]:
    """Nobody else makes or removes a datapath within the block.  Busy."""
    fd = _lock_root(timeout_s)
    try:
        yield
    finally:
        os.close(fd)


def _lock_root(timeout_s: float) -> int:
    """The lock on the folder of all datapaths, which is made if need be.

    Who removes the last datapath removes the folder too, under this lock: one who waited for it begins anew.
    """
    while True:
        bpffs.ensure_mounted()
        bpffs.ROOT.mkdir(exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            fd = lock_folder(bpffs.ROOT, timeout_s)
            if bpffs.is_root(fd):
                return fd
            os.close(fd)


# --- making ------------------------------------------------------------------------------------------


@contextlib.contextmanager
def creating(name: str, sizes: Sizes, namespace: NetNs, timeout_s: float = 10.0) -> Iterator[KernelDatapath]:
    """Make a datapath whose ports are to live in ``namespace``; it is published when the block ends well.

    Exists; UsageError; CompileError, VerifierError.  On any error nothing of it remains.
    """
    check_name(name)
    check_sizes(sizes)
    with _all_locked(timeout_s), contextlib.ExitStack() as undo:
        if read_meta(name):
            raise Exists(f"datapath {name} exists", f"ctl show, or ctl del-dp {name}")
        bpffs.remove(name)
        undo.callback(bpffs.remove, name)
        meta = _make(name, sizes, namespace)
        with KernelDatapath(name, timeout_s, unpublished=meta) as datapath:
            with datapath.hold() as writer:
                writer.recover()
            yield datapath
            meta.abi_version = DpLimit.DP_ABI_VERSION
            libbpf.map_update(datapath.maps.fd(MapId.MAP_META), ctypes.c_uint32(0), meta)
        undo.pop_all()


def _make(name: str, sizes: Sizes, namespace: NetNs) -> abi.DpMeta:
    """Create, load and pin.  The descriptors are closed again: the pins keep everything."""
    folder = bpffs.folder(name)
    folder.mkdir()
    (folder / "links").mkdir()
    fds = mapping.create_all(sizes)
    try:
        program_fd = load_program(fds)
        try:
            meta = _meta(name, sizes, namespace, program_fd)
            libbpf.map_update(fds[MapId.MAP_META], ctypes.c_uint32(0), meta)
            libbpf.obj_pin(program_fd, str(folder / PROGRAM))
        finally:
            os.close(program_fd)
        for map_id, fd in fds.items():
            libbpf.obj_pin(fd, str(folder / mapping.name_of(map_id)))
    finally:
        for fd in fds.values():
            os.close(fd)
    return meta


def _meta(name: str, sizes: Sizes, namespace: NetNs, program_fd: int) -> abi.DpMeta:
    clock = ticks.measure()
    meta = abi.DpMeta(
        layout=abi.LAYOUT,
        tick_ns=clock.tick_ns,
        tick_zero_ns=clock.zero_ns,
        max_flows=sizes.max_flows,
        max_masks=sizes.max_masks,
        max_units=sizes.max_units,
        netns_inode=namespace.inode,
    )
    path = lasting_path(namespace)
    tag = bytes(libbpf.info(program_fd, libbpf.ProgInfo).tag).hex()
    for field, value in (("netns_path", path), ("name", name), ("program_tag", tag)):
        ctypes.memmove(getattr(meta, field), value.encode(), len(value))
    return meta


def lasting_path(namespace: NetNs) -> str:
    """A path by which the namespace will be found again; empty when it has none."""
    init = NetNs(namespace.path.__class__("/proc/1/ns/net"))
    with contextlib.suppress(OSError):
        if init.inode == namespace.inode:
            return str(init.path)
    path = str(namespace.path)
    return "" if path.startswith("/proc/") or len(path) >= DpLimit.DP_PATH_SIZE else path


def load_program(fds: dict[MapId, int]) -> int:
    """The programs in the best variant that this kernel takes; the fd of the first, the map keeps the others.

    CompileError, VerifierError.
    """
    try:
        return _load_variant(fds, ("HAVE_MAY_GOTO",))
    except (CompileError, OSError):
        return _load_variant(fds, ())


def _load_variant(fds: dict[MapId, int], defines: tuple[str, ...]) -> int:
    for number, name in CALLED.items():
        fd = program.load_xdp(name, compiler.bytecode(name, defines=defines)[0], fds)
        try:
            libbpf.map_update(fds[MapId.MAP_PROGRAMS], ctypes.c_uint32(number), ctypes.c_uint32(fd))
        finally:
            os.close(fd)
    return program.load_xdp(PROGRAM, compiler.bytecode(PROGRAM, defines=defines)[0], fds)


# --- removing ----------------------------------------------------------------------------------------


def destroy(name: str, timeout_s: float = 10.0) -> None:
    """Detach and remove a datapath, or what is left of one.  Absent when there is nothing of that name."""
    check_name(name)
    if name not in bpffs.names():
        raise Absent(f"there is no datapath {name}", "ctl dump-dps lists those there are")
    with _all_locked(timeout_s):
        for link in sorted(bpffs.folder(name).glob("links/*")):
            _detach(str(link))
        bpffs.remove(name)
        bpffs.remove_root_if_empty()
    bpffs.unmount_if_ours()


def _detach(pin: str) -> None:
    """Detach a pinned link; one whose device is gone has nothing to detach."""
    with contextlib.suppress(OSError), libbpf.opened(pin) as fd:
        libbpf.link_detach(fd)


# --- ports -------------------------------------------------------------------------------------------


def attach(datapath: KernelDatapath, device: str, number: int | None = None, *, local_name: str = "") -> Port:
    """Make a device of the datapath's namespace a port.  ``local_name`` makes it the local port, number 0.

    Without a number it gets the lowest free one from 1.  NotFound, Exists, UsageError, NotSupported; on
    any error nothing is changed.
    """
    with datapath.hold(), contextlib.ExitStack() as undo:
        ifindex = datapath.netns.ifindex(device)
        taken = {port.number: port for port in datapath.ports()}
        _refuse_port(datapath, device, ifindex, taken)
        number = _choose_number(number, taken, local=bool(local_name))
        undo.callback(_forget, datapath, number, ifindex)
        _reset_stats(datapath.maps, number)
        places.enter(datapath.maps.memory(MapId.MAP_PORT_OF), ifindex, number)
        generic = _link(datapath, device, ifindex, number)
        kind = PortKind.PORT_INTERNAL if local_name else PortKind.PORT_NETDEV
        _write_info(datapath.maps, number, (local_name or device, device, ifindex, kind, generic))
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
        info = abi.PortInfo.from_buffer_copy(
            datapath.maps.memory(MapId.MAP_PORT_INFO), number * ctypes.sizeof(abi.PortInfo)
        )
        _forget(datapath, number, info.ifindex)
        return port


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


def _link(datapath: KernelDatapath, device: str, ifindex: int, number: int) -> bool:
    """Attach the program and pin the link; whether it had to be in generic mode."""
    folder = bpffs.folder(datapath.name)
    with libbpf.opened(str(folder / PROGRAM)) as program_fd, datapath.netns.enter():
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
    try:
        libbpf.obj_pin(fd, str(bpffs.link(datapath.name, number)))
    finally:
        os.close(fd)
    return generic


def _forget(datapath: KernelDatapath, number: int, ifindex: int) -> None:
    """Undo every part of an attachment that is there.  Output to the port ends first."""
    libbpf_errors = contextlib.suppress(OSError)
    with libbpf_errors:
        libbpf.map_delete(datapath.maps.fd(MapId.MAP_PORTS), ctypes.c_uint32(number))
    pin = bpffs.link(datapath.name, number)
    if pin.exists():
        _detach(str(pin))
        pin.unlink()
    places.leave(datapath.maps.memory(MapId.MAP_PORT_OF), ifindex, number)
    _write_info(datapath.maps, number, ("", "", 0, PortKind.PORT_NONE, False))


def _write_info(maps: Maps, number: int, values: tuple[str, str, int, PortKind, bool]) -> None:
    name, device, ifindex, kind, generic = values
    info = abi.PortInfo(ifindex=ifindex, kind=kind, generic=generic)
    ctypes.memmove(info.name, name.encode(), len(name))
    ctypes.memmove(info.device, device.encode(), len(device))
    size = ctypes.sizeof(info)
    maps.memory(MapId.MAP_PORT_INFO)[number * size : (number + 1) * size] = bytes(info)


def _reset_stats(maps: Maps, number: int) -> None:
    """A port begins at zero; nothing counts on it yet."""
    zeros = (abi.PortStats * libbpf.possible_cpus())()
    libbpf.map_update(maps.fd(MapId.MAP_PORT_STATS), ctypes.c_uint32(number), zeros)
