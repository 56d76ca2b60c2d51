"""What earlier commands left that nothing needs: half made datapaths and labs, devices, files."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from ctl.doctor.datapaths import whole_datapaths
from ctl.doctor.finding import Check, Finding, Mend, by_hand, fault, note, ok, place, within
from ctl.errors import Absent
from ctl.kernel import bpffs, lifecycle
from ctl.kernel import compile as compiler
from ctl.netns import NetNs
from ctl.ports import LOCAL_SUFFIX, Links
from ctl.wiring import wiring

_ABANDONED_S: Final = 3600.0  # no compilation takes that long
_LAB_NAMESPACE: Final = re.compile(r"ctl-([^-]+)-([^-]+)")


# --- datapaths ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Folders:
    """Folders of datapaths that are not whole, and whether somebody makes or removes one at this moment."""

    remains: tuple[str, ...]
    busy: bool


def look_at_folders() -> Folders:
    """In the BPF file system."""
    whole = whole_datapaths()
    remains = tuple(name for name in bpffs.names() if name not in whole)
    return Folders(remains=remains, busy=bool(remains) and lifecycle.is_busy())


def judge_folders(seen: Folders) -> Iterator[Finding]:
    """A folder is half made for good only when nobody is at work on it."""
    if not seen.remains:
        yield ok("half made datapaths", "none")
    for name in seen.remains:
        check = f"{name} folder"
        if seen.busy:
            yield note(check, f"{bpffs.folder(name)} is being made or removed", "it is not finished yet")
        else:
            mend = Mend(command=f"ctl del-dp {name}", act=partial(lifecycle.clear_remains, name))
            yield fault(check, f"{bpffs.folder(name)} is half a datapath",
                        "an interrupted command left it; its maps take memory", mend)  # fmt: skip


# --- devices -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Stray:
    """A device that is named like the end of a local port, whose datapath is not there."""

    ns: NetNs
    datapath: str
    in_use: bool  # a program runs on it: some datapath that we do not see has it


def look_at_devices() -> list[Stray]:
    """In every namespace that we can find."""
    known = whole_datapaths()
    return [stray for ns in _namespaces() for stray in _strays(ns, known)]


def _namespaces() -> list[NetNs]:
    """Each once, though it may have several names."""
    found: dict[int, NetNs] = {}
    for ns in (NetNs.current(), *NetNs.all_named()):
        with suppress(Absent):
            if ns.exists():
                found.setdefault(ns.inode, ns)
    return list(found.values())


def _strays(ns: NetNs, known: list[str]) -> Iterator[Stray]:
    names = [device.removesuffix(LOCAL_SUFFIX) for device in ns.devices() if device.endswith(LOCAL_SUFFIX)]
    lost = [name for name in names if name not in known]
    for name in lost:
        pair = wiring(ns, name + LOCAL_SUFFIX)
        if pair.peer is not None and pair.peer.name == name:
            yield Stray(ns=ns, datapath=name, in_use=pair.link.has_xdp)


def judge_devices(seen: Iterable[Stray]) -> Iterator[Finding]:
    """They are in the way of a datapath of that name."""
    seen = list(seen)
    if not seen:
        yield ok("stray devices", "none")
    for stray in seen:
        device = stray.datapath + LOCAL_SUFFIX
        check = f"{device} in {place(stray.ns)}"
        if stray.in_use:
            yield note(check, "a program runs on it, of a datapath that is not seen from here",
                       f"no datapath {stray.datapath} can be made in this namespace")  # fmt: skip
        else:
            command = within(stray.ns, "ip", "link", "del", "dev", device)
            yield fault(check, "the local port of a datapath that is not there",
                        f"ctl add-dp {stray.datapath} is refused in this namespace",
                        Mend(command=command, act=partial(_delete, stray.ns, device)))  # fmt: skip


def _delete(ns: NetNs, device: str) -> None:
    with Links(ns) as links:
        links.delete(device)


# --- labs --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Lab:
    """The namespaces that a lab's name is on.  ``whole``: they are all there, and so are the datapaths."""

    name: str
    namespaces: tuple[str, ...]
    dead: tuple[str, ...]  # names without a namespace
    whole: bool
    processes: tuple[str, ...]  # in them, as "sleep (123) in h1"


def look_at_labs() -> list[Lab]:
    """Those that are up, and those of which something is left."""
    from netns_lab.record import existing

    parts: dict[str, list[NetNs]] = {}
    for ns in NetNs.all_named():
        if match := _LAB_NAMESPACE.fullmatch(ns.name):
            parts.setdefault(match[1], []).append(ns)
    datapaths = set(whole_datapaths())
    return [
        Lab(
            name=name,
            namespaces=tuple(ns.name for ns in members),
            dead=tuple(ns.name for ns in members if not ns.exists()),
            whole=(lab := existing(name)) is not None and set(lab.datapath_names()) <= datapaths,
            processes=tuple(_processes(members)),
        )
        for name, members in parts.items()
    ]


def _processes(members: Iterable[NetNs]) -> Iterator[str]:
    """Every process that lives in one of the namespaces."""
    homes = {ns.inode: ns.name for ns in members if ns.exists()}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with suppress(OSError):  # it ended meanwhile
                home = homes.get((folder / "ns/net").stat().st_ino)
                if home:
                    yield f"{(folder / 'comm').read_text(encoding='utf-8').strip()} ({folder.name}) in {home}"


def judge_labs(seen: Iterable[Lab]) -> Iterator[Finding]:
    """A lab that is not whole cannot be used, and keeps `ctl up` from making one of its name."""
    seen = list(seen)
    if not seen:
        yield ok("labs", "none is up")
    for lab in seen:
        down = by_hand("ctl", "--dp", lab.name, "down")
        if lab.whole and not lab.dead:
            yield ok(f"lab {lab.name}", f"up, with {len(lab.namespaces)} network namespaces")
        else:
            what = " ".join(lab.dead or lab.namespaces)
            yield fault(f"lab {lab.name}", f"half made: {what}" + (" is a name alone" if lab.dead else ""),
                        f"ctl --dp {lab.name} up refuses to build it again", down)  # fmt: skip
        if lab.processes:
            shown = ", ".join(lab.processes[:3]) + (", ..." if len(lab.processes) > 3 else "")
            yield note(f"lab {lab.name} processes", shown, "they stay when the lab goes, without a network")


# --- files -------------------------------------------------------------------------------------------


def look_at_files() -> list[Path]:
    """What was begun in the compile cache so long ago that nobody can be at it."""
    now = time.time()
    found = []
    for path in compiler.unfinished():
        with suppress(FileNotFoundError):
            if now - path.stat().st_mtime > _ABANDONED_S:
                found.append(path)
    return found


def judge_files(seen: Iterable[Path]) -> Iterator[Finding]:
    """They only take room."""
    seen = list(seen)
    if not seen:
        yield ok("cache files", "none is unfinished")
    for path in seen:
        mend = Mend(command=f"rm {path}", act=partial(path.unlink, missing_ok=True))
        yield note(str(path), "left by a compilation that was interrupted", "it takes room", mend)


CHECKS: Final = (
    Check("leftovers", "half made datapaths", look_at_folders, judge_folders),
    Check("leftovers", "stray devices", look_at_devices, judge_devices),
    Check("leftovers", "labs", look_at_labs, judge_labs),
    Check("leftovers", "cache files", look_at_files, judge_files),
)
