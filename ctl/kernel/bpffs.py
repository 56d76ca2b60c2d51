"""Where datapaths live: a folder of the BPF file system for each.

    /sys/fs/bpf/ufid/NAME/            maps by their names, the programs dp_xdp and dp_tc
    /sys/fs/bpf/ufid/NAME/links/N     the XDP link of port N
    /sys/fs/bpf/ufid/NAME/links/N-tc  its tcx link
    /sys/fs/bpf/ufid/NAME/sampler/    empty: who reads what psample sends holds its lock
    /sys/fs/bpf/ufid_mounted/         there when this project mounted the file system

CTL_BPFFS in the environment names another mount point than /sys/fs/bpf.

A folder without ``meta`` is what an interrupted creation or deletion left behind; so is one whose
``meta`` has no version yet (see `ctl.kernel.lifecycle`).
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import pathlib
import re
import shlex
import struct
from typing import Final

from ctl.errors import Absent, CtlError, NotPermitted, NotSupported
from ctl.faults import fault

ENVIRONMENT: Final = "CTL_BPFFS"
USUAL: Final = pathlib.Path("/sys/fs/bpf")
MOUNT_POINT: Final = pathlib.Path(os.environ.get(ENVIRONMENT) or USUAL)
ROOT: Final = MOUNT_POINT / "ufid"
LINKS: Final = "links"
SAMPLER: Final = "sampler"
_OURS: Final = MOUNT_POINT / "ufid_mounted"
_BPF_FS_MAGIC: Final = 0xCAFE4A11  # <linux/magic.h>

# The system calls that mount a file system in steps, by numbers that are the same on all architectures
_MOVE_MOUNT, _FSOPEN, _FSCONFIG, _FSMOUNT = 429, 430, 431, 432
_CLOEXEC = 1
_CMD_CREATE = 6
_FROM_EMPTY_PATH = 4
_AT_FDCWD = -100


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
    try:
        _mount_marked()
    except OSError as e:
        raise _mount_refused(e) from e
    fault("bpffs.mounted")


def _mount_marked() -> None:
    """Mount it with our mark in it from the first moment on: nobody sees one without."""
    with contextlib.ExitStack() as stack:

        def opened(fd: int) -> int:
            stack.callback(os.close, fd)
            return fd

        context = opened(_call(_FSOPEN, b"bpf", _CLOEXEC))
        _call(_FSCONFIG, context, _CMD_CREATE, None, None, 0)
        mount = opened(_call(_FSMOUNT, context, _CLOEXEC, 0))
        os.mkdir(_OURS.name, dir_fd=mount)
        _call(_MOVE_MOUNT, mount, b"", _AT_FDCWD, bytes(MOUNT_POINT), _FROM_EMPTY_PATH)


def _call(number: int, *arguments: object) -> int:
    result = _libc().syscall(number, *arguments)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return int(result)


def _mount_refused(error: OSError) -> CtlError:
    if error.errno in (errno.EPERM, errno.EACCES):
        return NotPermitted(f"cannot mount {MOUNT_POINT}: CAP_SYS_ADMIN is missing", "run it as root")
    if error.errno == errno.ENOENT:
        return NotSupported(f"there is no folder {MOUNT_POINT} to mount the BPF file system on", _another())
    return NotSupported(
        f"cannot mount {MOUNT_POINT}: {os.strerror(error.errno or 0)}",
        f"mount -t bpf bpf {MOUNT_POINT}, or {_another()}",
    )


def _another() -> str:
    return f"{ENVIRONMENT}=FOLDER names another place, such as one that is mounted already"


def make_root() -> None:
    """The folder of all datapaths, made if need be.  NotSupported on a file system that is read-only."""
    ensure_mounted()
    if os.statvfs(MOUNT_POINT).f_flag & os.ST_RDONLY:
        raise NotSupported(f"{MOUNT_POINT} is mounted read-only", f"mount -o remount,rw {MOUNT_POINT}, or {_another()}")
    ROOT.mkdir(exist_ok=True)


def absent(name: str) -> Absent:
    """There is no datapath of that name.  Says where there is one, on a BPF file system that is mounted elsewhere."""
    for place in _mounted():
        if place != MOUNT_POINT and (place / ROOT.name / name).is_dir():
            return Absent(
                f"there is no datapath {name} in {MOUNT_POINT}, but there is one in {place}",
                f"{ENVIRONMENT}={shlex.quote(str(place))} ctl ...",
            )
    return Absent(f"there is no datapath {name}", f"ctl add-dp {name}, or ctl up for a lab")


def _mounted() -> list[pathlib.Path]:
    """Every place where a BPF file system is mounted."""
    rows = [line.split(" ") for line in pathlib.Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()]
    return [pathlib.Path(_OCTAL.sub(lambda m: chr(int(m[1], 8)), row[1])) for row in rows if row[2] == "bpf"]


_OCTAL: Final = re.compile(r"\\(\d{3})")  # how blanks in paths are written there


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
    _libc().umount2(bytes(MOUNT_POINT), 0)  # fails where somebody has it open: whoever is the last will do it


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
    return ROOT / name / LINKS / str(port)


def tc_link(name: str, port: int) -> pathlib.Path:
    """The pin of a port's tcx link."""
    return ROOT / name / LINKS / f"{port}-tc"


def remove(name: str) -> None:
    """Unpin everything in a datapath's folder, ``meta`` first, and the folder.  Idempotent."""
    path = folder(name)
    with contextlib.suppress(FileNotFoundError):
        (path / "meta").unlink()
        fault("bpffs.withdrawn")
    for pin in [*path.glob(f"{LINKS}/*"), *(p for p in path.glob("*") if p.name not in (LINKS, SAMPLER))]:
        pin.unlink(missing_ok=True)
        fault("bpffs.unpinned")
    for directory in (path / LINKS, path / SAMPLER, path):
        with contextlib.suppress(FileNotFoundError):
            directory.rmdir()
            fault("bpffs.folder-removed")
