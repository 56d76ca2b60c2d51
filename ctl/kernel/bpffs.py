"""Where datapaths live: a folder of the BPF file system for each.

    /sys/fs/bpf/ufid/NAME/            maps by their names, the programs dp_xdp and dp_tc
    /sys/fs/bpf/ufid/NAME/links/N     the XDP link of port N
    /sys/fs/bpf/ufid/NAME/links/N-tc  its tcx link
    /sys/fs/bpf/ufid_mounted/         there when this project mounted the file system

A folder without ``meta`` is what an interrupted creation or deletion left behind; so is one whose
``meta`` has no version yet (see `ctl.kernel.lifecycle`).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pathlib
import struct
from typing import Final

from ctl.errors import NotPermitted, NotSupported

MOUNT_POINT: Final = pathlib.Path("/sys/fs/bpf")
ROOT: Final = MOUNT_POINT / "ufid"
_OURS: Final = MOUNT_POINT / "ufid_mounted"
_BPF_FS_MAGIC: Final = 0xCAFE4A11  # <linux/magic.h>


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def is_mounted() -> bool:
    """Whether the BPF file system is where it belongs."""
    buffer = ctypes.create_string_buffer(256)
    if _libc().statfs(bytes(MOUNT_POINT), buffer) != 0:
        return False
    (kind,) = struct.unpack_from("<q", buffer)
    return bool(kind & 0xFFFFFFFF == _BPF_FS_MAGIC)


def ensure_mounted() -> None:
    """Mount the BPF file system unless it is.  NotPermitted, NotSupported."""
    if is_mounted():
        return
    if _libc().mount(b"bpf", bytes(MOUNT_POINT), b"bpf", 0, None) != 0:
        code = ctypes.get_errno()
        if code in (1, 13):  # EPERM, EACCES
            raise NotPermitted(f"cannot mount {MOUNT_POINT}: CAP_SYS_ADMIN is missing", "run it as root")
        raise NotSupported(f"cannot mount {MOUNT_POINT}: {os.strerror(code)}", f"mount -t bpf bpf {MOUNT_POINT}")
    _OURS.mkdir()


def is_root(fd: int) -> bool:
    """Whether an open folder is what ROOT is now."""
    try:
        return os.path.samestat(os.fstat(fd), os.stat(ROOT))
    except FileNotFoundError:
        return False


def remove_root_if_empty() -> None:
    """Take ROOT away with the last folder in it.  Only for who holds its lock."""
    with contextlib.suppress(OSError):
        ROOT.rmdir()


def unmount_if_ours() -> None:
    """Undo ensure_mounted when nothing is left in the file system but our mark."""
    if not is_mounted() or not _OURS.is_dir():
        return
    if [name for name in os.listdir(MOUNT_POINT) if name not in (_OURS.name, "maps.debug", "progs.debug")]:
        return
    _OURS.rmdir()
    if _libc().umount2(bytes(MOUNT_POINT), 0) != 0:
        _OURS.mkdir()  # somebody has it open: whoever is the last will do it


def names() -> list[str]:
    """Every folder of ours, whole datapaths and remains, in the order of the names."""
    try:
        return sorted(os.listdir(ROOT))
    except OSError:
        return []


def folder(name: str) -> pathlib.Path:
    """The folder of a datapath of that name."""
    return ROOT / name


def link(name: str, port: int) -> pathlib.Path:
    """The pin of a port's XDP link, which a port on the tc hook alone does not have."""
    return ROOT / name / "links" / str(port)


def tc_link(name: str, port: int) -> pathlib.Path:
    """The pin of a port's tcx link."""
    return ROOT / name / "links" / f"{port}-tc"


def remove(name: str) -> None:
    """Unpin everything in a datapath's folder, ``meta`` first, and the folder.  Idempotent."""
    path = folder(name)
    with contextlib.suppress(FileNotFoundError):
        (path / "meta").unlink()
    for pin in [*path.glob("links/*"), *(p for p in path.glob("*") if p.name != "links")]:
        pin.unlink(missing_ok=True)
    for directory in (path / "links", path):
        with contextlib.suppress(FileNotFoundError):
            directory.rmdir()
