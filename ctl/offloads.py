"""The offloads of ports' devices as they were found, so that they can be given back.

Becoming a port switches features of a device and of its peer (see `ctl.ports`).  What they were is kept in a
file, written before the first of them is switched; it lives no longer than the machine's uptime, as do the
settings.  A device is known by its namespace's cookie and its ifindex, not by names, which may change.

Ports share devices: each of two ports at both ends of one cable is also the other's peer.  So a device lists
its holders, and the last of them gives it back.  The file is for all datapaths, since those share cables too.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pathlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Final

from ctl import ethtool
from ctl.errors import CtlError, NotFound
from ctl.ethtool import Feature
from ctl.faults import fault
from ctl.netns import NetNs

FILE: Final = pathlib.Path("/run/ufid-datapath/offloads.json")
_NEW: Final = FILE.with_suffix(".new")

_SWITCHED_ON: Final = (Feature.GRO,)
_SWITCHED_OFF: Final = (Feature.TX_CHECKSUM, Feature.TX_VLAN, Feature.RX_VLAN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A device as the first port that needed it found it.  ``netns`` is where the namespace was, ``on`` by name."""

    cookie: int
    netns: str
    ifindex: int
    on: tuple[str, ...]
    holders: tuple[str, ...]


def held(known: list[Found], holder: str, found: Found) -> list[Found]:
    """What is known when a port holds a device too, which ``found`` tells of as it is now."""
    same = [f for f in known if (f.cookie, f.ifindex) == (found.cookie, found.ifindex)]
    if not same:
        return [*known, replace(found, holders=(holder,))]
    return [replace(f, holders=tuple(dict.fromkeys((*f.holders, holder)))) if f in same else f for f in known]


def released(known: list[Found], is_holder: Callable[[str], bool]) -> tuple[list[Found], list[Found]]:
    """What is still known when such holders let go, and the devices that are to be given back."""
    kept: list[Found] = []
    free: list[Found] = []
    for found in known:
        left = tuple(holder for holder in found.holders if not is_holder(holder))
        (kept if left else free).append(replace(found, holders=left))
    return kept, free


def remember(holder: str, devices: list[tuple[NetNs, str]]) -> None:
    """A port is about to switch features of these devices."""
    with _locked():
        known = _read()
        for ns, device in devices:
            on = tuple(feature.name for feature in Feature if feature in ethtool.features(ns, device))
            found = Found(cookie=ns.cookie, netns=str(ns.path), ifindex=ns.ifindex(device), on=on, holders=())
            known = held(known, holder, found)
        _write(known)
    fault("offloads.remembered")


def give_back(is_holder: Callable[[str], bool]) -> None:
    """Such holders are ports no more: devices that nobody else holds get their features back.

    One that is gone, or that refuses, is forgotten.
    """
    if not FILE.exists() and not _NEW.exists():
        return
    with _locked():
        kept, free = released(_read(), is_holder)
        for found in free:
            with contextlib.suppress(CtlError):
                _restore(found)
        _write(kept)
    fault("offloads.forgotten")


def _restore(found: Found) -> None:
    ns = NetNs.by_cookie(found.cookie, found.netns)
    if ns is None:
        raise NotFound(f"no network namespace {found.netns}")
    device = ns.device_name(found.ifindex)
    for feature in _SWITCHED_OFF:
        if feature.name in found.on:
            ethtool.switch(ns, device, on=(feature,))
            fault("offloads.given-back")
    for feature in _SWITCHED_ON:
        if feature.name not in found.on:
            ethtool.switch(ns, device, off=(feature,))
            fault("offloads.given-back")


@contextlib.contextmanager
def _locked() -> Iterator[None]:
    """Nobody else reads or writes the file within the block, which is short."""
    FILE.parent.mkdir(exist_ok=True)
    fd = os.open(FILE.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _read() -> list[Found]:
    try:
        rows = json.loads(FILE.read_bytes())
    except FileNotFoundError:
        return []
    return [Found(**{**row, "on": tuple(row["on"]), "holders": tuple(row["holders"])}) for row in rows]


def _write(known: list[Found]) -> None:
    """The whole file anew, or none where nothing is known: a reader sees the old one or the new one."""
    if not known:
        FILE.unlink(missing_ok=True)
        _NEW.unlink(missing_ok=True)
        return
    _NEW.write_text(json.dumps([asdict(found) for found in known]), encoding="ascii")
    os.replace(_NEW, FILE)
