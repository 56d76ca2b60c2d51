"""The record of a lab that is up: its topology, as JSON under /run, so that any later process finds it.

It is written before anything is made and removed when everything is gone.  So a lab is whole when it has a
record and all the namespaces that the record names; with less it is half made, and `build.destroy` clears
it away.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict
from ipaddress import IPv4Interface, IPv6Interface
from pathlib import Path
from typing import Any, Final

from ctl.errors import UsageError
from ctl.netns import NetNs, error_from_errno
from netns_lab.topology import Address, Device, End, Host, Topology, prefix

RUN_DIR: Final = Path("/run/ufid-datapath/labs")


def existing(lab: str) -> Topology | None:
    """The topology that is up under that name; None when there is none, or it is not whole."""
    topology = recorded(lab)
    return topology if topology and all(ns.exists() for ns in topology.namespaces()) else None


def find_leftovers(lab: str) -> list[str]:
    """The names of the namespaces of a lab that are there now, whole or half made."""
    return [ns.name for ns in NetNs.all_named() if ns.name.startswith(prefix(lab))]


def is_there(lab: str) -> bool:
    """Whether anything of a lab is there, whole or half made."""
    return path(lab).exists() or bool(find_leftovers(lab))


def recorded(lab: str) -> Topology | None:
    """The topology in the record of a lab, whatever is left of the lab; None without a record that can be read."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        return _from_json(json.loads(path(lab).read_text(encoding="utf-8")))
    return None


def write(topology: Topology) -> None:
    """Make the record, all of it at once.  Exists when there is one, of a lab that is up or in the making."""
    whole = path(topology.lab)
    begun = whole.with_suffix(f".{os.getpid()}.new")
    text = json.dumps(asdict(topology), default=str, indent=1)
    try:
        _write_in_folder(begun, text)
        os.link(begun, whole)
    except OSError as e:
        raise error_from_errno(e.errno, f"write {whole}", "CAP_DAC_OVERRIDE") from e
    finally:
        begun.unlink(missing_ok=True)


def _write_in_folder(path: Path, text: str) -> None:
    """Who removes the last record removes the folder: then it is made again."""
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            path.write_text(text, encoding="utf-8")
            return


def remove(lab: str) -> bool:
    """Remove the record, and the folders when they are empty; False when there was none."""
    whole = path(lab)
    found = whole.exists()
    for name in (whole, *whole.parent.glob(f"{lab}.*.new")):
        name.unlink(missing_ok=True)
    for folder in (whole.parent, whole.parent.parent):
        with suppress(OSError):
            folder.rmdir()
    return found


def path(lab: str) -> Path:
    """Where the record of a lab is."""
    if "/" in lab:
        raise UsageError(f"{lab!r} cannot be the name of a lab")
    return RUN_DIR / f"{lab}.json"


def _from_json(row: dict[str, Any]) -> Topology:
    hosts = tuple(
        Host(**host | {"devices": tuple(_device(device) for device in host["devices"])}) for host in row["hosts"]
    )
    cables = tuple((End(**one), End(**other)) for one, other in row["cables"])
    return Topology(**row | {"hosts": hosts, "cables": cables, "datapaths": tuple(row["datapaths"])})


def _device(row: dict[str, Any]) -> Device:
    return Device(**row | {"addresses": tuple(_address(address) for address in row["addresses"])})


def _address(row: dict[str, Any]) -> Address:
    ipv6 = None if row["ipv6"] is None else IPv6Interface(row["ipv6"])
    return Address(ipv4=IPv4Interface(row["ipv4"]), ipv6=ipv6, tag=row["tag"])
