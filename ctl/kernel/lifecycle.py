"""Making and removing datapaths.  Their ports are in `ctl.kernel.attach`.

Creation publishes last: everything is made and pinned, and only then does ``meta`` get its version.
An interrupted one leaves a folder without a version, which the next creation or deletion clears away.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
from collections.abc import Callable, Iterator
from typing import Final

from ctl import abi
from ctl.abi import DpLimit, MapId
from ctl.errors import Busy, Exists, UsageError
from ctl.faults import fault
from ctl.kernel import bpffs, clsact, libbpf, program, ticks
from ctl.kernel import maps as mapping
from ctl.kernel.attach import PROGRAM, detach_link
from ctl.kernel.datapath import TC_PROGRAM, KernelDatapath, read_meta
from ctl.kernel.lock import lock_folder
from ctl.kernel.maps import Sizes
from ctl.kernel.structures import ProgInfo
from ctl.netns import NetNs

Begin = Callable[[], None]  # called before the first change, for who has to write down that there will be one

NAME_PATTERN: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,10}")


def nothing() -> None:
    """Nobody has to know."""


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


def is_busy() -> bool:
    """Whether somebody is making or removing a datapath at this moment."""
    try:
        os.close(lock_folder(bpffs.ROOT, timeout_s=0))
    except Busy:
        return True
    except FileNotFoundError:
        pass  # nobody can be
    return False


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
        bpffs.make_root()
        with contextlib.suppress(FileNotFoundError):
            fd = lock_folder(bpffs.ROOT, timeout_s)
            if bpffs.is_root(fd):
                return fd
            os.close(fd)


# --- making ------------------------------------------------------------------------------------------


@contextlib.contextmanager
def creating(
    name: str, sizes: Sizes, namespace: NetNs, timeout_s: float = 10.0, begin: Begin = nothing
) -> Iterator[KernelDatapath]:
    """Make a datapath whose ports are to live in ``namespace``; it is published when the block ends well.

    ``begin`` is called before the first change.  Exists; UsageError; CompileError, VerifierError.  On any error
    nothing of it remains.
    """
    check_name(name)
    check_sizes(sizes)
    with _all_locked(timeout_s), contextlib.ExitStack() as undo:
        if read_meta(name):
            raise Exists(f"datapath {name} exists", f"ctl show, or ctl del-dp {name}")
        begin()
        bpffs.remove(name)
        undo.callback(bpffs.remove, name)
        meta = _make(name, sizes, namespace)
        with KernelDatapath(name, timeout_s, unpublished=meta) as datapath:
            with datapath.hold() as writer:
                writer.recover()
            yield datapath
            meta.abi_version = DpLimit.DP_ABI_VERSION
            libbpf.map_update(datapath.maps.fd(MapId.MAP_META), ctypes.c_uint32(0), meta)
            fault("lifecycle.published")
        undo.pop_all()


def _make(name: str, sizes: Sizes, namespace: NetNs) -> abi.DpMeta:
    """Create, load and pin.  The descriptors are closed again: the pins keep everything."""
    folder = bpffs.folder(name)
    folder.mkdir()
    fault("lifecycle.folder-made")
    (folder / bpffs.LINKS).mkdir()
    (folder / bpffs.SAMPLER).mkdir()
    fds = mapping.create_all(sizes)
    try:
        programs = program.load_all(fds, namespace)
        try:
            meta = _meta(name, sizes, namespace, programs[PROGRAM])
            libbpf.map_update(fds[MapId.MAP_META], ctypes.c_uint32(0), meta)
            for entry, fd in programs.items():
                libbpf.obj_pin(fd, str(folder / entry))
                fault("lifecycle.program-pinned")
        finally:
            for fd in programs.values():
                os.close(fd)
        for map_id, fd in fds.items():
            libbpf.obj_pin(fd, str(folder / mapping.name_of(map_id)))
            fault("lifecycle.map-pinned")
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
        token=int.from_bytes(os.urandom(8), "little"),
    )
    path = lasting_path(namespace)
    tag = bytes(libbpf.info(program_fd, ProgInfo).tag).hex()
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


# --- removing ----------------------------------------------------------------------------------------


def destroy(name: str, timeout_s: float = 10.0) -> None:
    """Detach and remove a datapath, or what is left of one.  Absent when there is nothing of that name."""
    check_name(name)
    if name not in bpffs.names():
        raise bpffs.absent(name)
    clear(name, timeout_s)


def clear(name: str, timeout_s: float = 10.0, begin: Begin = nothing) -> None:
    """Detach and remove whatever there is of a datapath.  ``begin`` is called before the first change."""
    with _all_locked(timeout_s):
        begin()
        _clear(name)
    bpffs.unmount_if_ours()


def clear_remains(name: str, timeout_s: float = 10.0) -> None:
    """Remove what is left of a datapath, unless it is whole by now."""
    with _all_locked(timeout_s):
        if not read_meta(name):
            _clear(name)
    bpffs.unmount_if_ours()


def _clear(name: str) -> None:
    """For who has the lock."""
    for link in sorted(bpffs.folder(name).glob(f"{bpffs.LINKS}/*")):  # of each port XDP first
        detach_link(str(link))
        fault("lifecycle.link-detached")
    _detach_filters(name)
    bpffs.remove(name)
    bpffs.remove_root_if_empty()
    fault("lifecycle.cleared")


def _detach_filters(name: str) -> None:
    """Take the program of the tc hook off devices that have it without a link.

    All namespaces are looked through: a datapath of another version, or half of one, does not say where it is.
    """
    pin = bpffs.folder(name) / TC_PROGRAM
    if not pin.exists():
        return
    with libbpf.opened(str(pin)) as fd:
        program_id = libbpf.info(fd, ProgInfo).id
    clsact.detach_everywhere(program_id, [NetNs.current(), *NetNs.all_named()])
