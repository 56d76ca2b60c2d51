"""The BPF file system, in which everything lives that outlasts a command."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ctl.doctor.finding import Check, Finding, Mend, by_hand, fault, note, ok
from ctl.kernel import bpffs


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """What is mounted where.  ``elsewhere``: BPF file systems at other places that hold datapaths of ours.

    ``lockable`` None: we may not even open it.
    """

    known: bool  # to the kernel
    place: bool  # there is a folder to mount it on
    mounted: bool
    read_only: bool
    elsewhere: tuple[str, ...]
    lockable: bool | None


def look() -> Storage:
    """As it is in the caller's mount namespace."""
    mounts = _bpf_mounts()
    here = str(bpffs.MOUNT_POINT)
    mounted = bpffs.is_mounted()
    return Storage(
        known="\tbpf\n" in Path("/proc/filesystems").read_text(encoding="ascii"),
        place=bpffs.MOUNT_POINT.is_dir(),
        mounted=mounted,
        read_only=mounted and bool(os.statvfs(here).f_flag & os.ST_RDONLY),
        elsewhere=tuple(place for place in mounts if place != here and os.path.isdir(f"{place}/{bpffs.ROOT.name}")),
        lockable=_lockable() if mounted else None,
    )


def _bpf_mounts() -> list[str]:
    """Where BPF file systems are mounted, by proc_mounts(5): device, place, type, ..."""
    rows = [line.split() for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()]
    return [row[1] for row in rows if row[2] == "bpf"]


def _lockable() -> bool | None:
    try:
        fd = os.open(bpffs.MOUNT_POINT, os.O_RDONLY | os.O_DIRECTORY)
    except PermissionError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True  # somebody has locked it
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def judge(seen: Storage) -> Iterator[Finding]:
    """Mounted, writable, and good for locks."""
    yield _judge_mount(seen)
    if not seen.mounted:
        return
    here = str(bpffs.MOUNT_POINT)
    if seen.read_only:
        remount = by_hand("mount", "-o", "remount,rw", here)
        yield fault("writable", f"{here} is read-only", "no datapath and no port can be made or removed", remount)
    else:
        yield ok("writable", f"{here} is mounted for writing")
    if seen.lockable is None:
        yield note(
            "locks", f"{here} may not be opened", "datapaths are seen by root alone", by_hand("sudo", "ctl", "doctor")
        )
    elif seen.lockable:
        yield ok("locks", "flock(2) works on its folders")
    else:
        yield fault("locks", f"flock(2) is refused on {here}", "writers cannot keep out of each other's way")


def _judge_mount(seen: Storage) -> Finding:
    here = str(bpffs.MOUNT_POINT)
    if seen.mounted:
        return ok("mounted", f"at {here}")
    if not seen.known:
        return fault(
            "mounted", "this kernel has no BPF file system", "nothing can be kept: CONFIG_BPF_SYSCALL is missing"
        )
    if seen.elsewhere:
        return fault(
            "mounted",
            f"not at {here}, but with datapaths in it at {seen.elsewhere[0]}",
            "these datapaths forward, and no command finds them",
            by_hand("mount", "--bind", seen.elsewhere[0], here),
        )
    if not seen.place:
        return fault(
            "mounted",
            f"there is no folder {here}",
            "sysfs is not mounted",
            by_hand("mount", "-t", "sysfs", "sysfs", "/sys"),
        )
    return note("mounted", f"not at {here}", "there is no datapath; who makes the first one mounts it", MOUNT)


MOUNT: Final = Mend(command=f"mount -t bpf bpf {bpffs.MOUNT_POINT}", act=bpffs.ensure_mounted)
CHECKS: Final = (Check("bpffs", "mounted", look, judge),)
