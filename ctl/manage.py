"""Whole datapaths and ports: the kernel's part together with the devices.

Every change here is begun in the datapath's journal (`ctl.journal`), so that a command which is interrupted,
fails or is killed leaves nothing that the next one does not take back.  What takes it back is `undo`; the same
functions remove what a user wants removed.
"""

from __future__ import annotations

import contextlib
import pathlib
import re
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final

from ctl import journal, offloads
from ctl.datapath import Port
from ctl.errors import Absent, Failure, NotSupported, UsageError
from ctl.faults import fault
from ctl.journal import Entry, Journal, Tell
from ctl.kernel import attach, bpffs, lifecycle
from ctl.kernel.datapath import KernelDatapath
from ctl.kernel.maps import Sizes
from ctl.netns import NetNs

_UNDO_TIMEOUT_S: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """A new port, and what was or could not be done to make its device fit for XDP."""

    port: Port
    done: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


def _silent(_line: str) -> None:
    pass


# --- interrupted commands ----------------------------------------------------------------------------


def subject(name: str) -> str:
    """What the journal calls a datapath.  One in another BPF file system is another datapath."""
    elsewhere = "" if bpffs.MOUNT_POINT == bpffs.USUAL else re.sub(r"\W+", "-", str(bpffs.MOUNT_POINT))
    return f"datapath {name}{elsewhere}"


def begun(what: str, timeout_s: float, tell: Tell = _silent) -> AbstractContextManager[Journal]:
    """The journal of a subject for the block that changes it; see `ctl.journal.begun`."""
    return journal.begun(what, undo, timeout_s, tell)


def repair(what: str, timeout_s: float, tell: Tell = _silent) -> None:
    """Undo what an interrupted command left of a subject, if one did.  Busy."""
    if journal.is_left(what):
        with begun(what, timeout_s, tell):
            pass


def undo(entry: Entry) -> None:
    """Take back a step that a journal tells of, as far as it was taken."""
    match entry["undo"]:
        case "datapath":
            _clear_datapath(entry["name"], _known(entry), entry["ifindex"])
        case "whole datapath":
            with contextlib.suppress(Absent):
                delete_datapath(entry["name"])
        case "port":
            _clear_port(entry["name"], entry["number"], keep=entry["keep"])
        case "file":
            pathlib.Path(entry["name"]).unlink(missing_ok=True)
        case "namespace":
            from ctl.ports import remove_namespace

            remove_namespace(NetNs.named(entry["name"]))
        case other:
            raise Failure(f"the journal has a step {other!r}, which this version does not know", "update ctl")


def _known(entry: Entry) -> NetNs | None:
    return NetNs.by_cookie(entry["cookie"], entry["netns"]) if entry["cookie"] else None


# --- datapaths ---------------------------------------------------------------------------------------


def add_datapath(name: str, sizes: Sizes, namespace: NetNs, timeout_s: float = 10.0, tell: Tell = _silent) -> None:
    """Make a datapath with its local port, whose ports are to live in ``namespace``.

    Exists, UsageError, NotPermitted; nothing remains on any error.
    """
    from ctl.ports import create_local_port

    lifecycle.check_name(name)
    with begun(subject(name), timeout_s, tell) as steps:
        begin = _noting(steps, name, namespace)
        with lifecycle.creating(name, sizes, namespace, timeout_s, begin) as datapath:
            local = create_local_port(namespace, name)
            fault("manage.local-port-made")
            attach.attach(datapath, local.port, local_name=local.stack)


def delete_datapath(name: str, timeout_s: float = 10.0, tell: Tell = _silent) -> None:
    """Remove a datapath and its local port, or what an interrupted command left of them.  Absent."""
    lifecycle.check_name(name)
    with begun(subject(name), timeout_s, tell) as steps:
        if name not in bpffs.names():
            bpffs.unmount_if_ours()  # an add-dp that was killed early has come no further than that
            if steps.was_left:
                return  # that is what was begun, and it is done now
            raise bpffs.absent(name)
        namespace, ifindex = _home_of(name)
        _clear_datapath(name, namespace, ifindex, timeout_s, _noting(steps, name, namespace, ifindex))


def _noting(steps: Journal, name: str, namespace: NetNs | None, ifindex: int = 0) -> lifecycle.Begin:
    """Write down what `_clear_datapath` needs to know."""
    netns, cookie = (str(namespace.path), namespace.cookie) if namespace else ("", 0)
    return lambda: steps.note("datapath", name=name, netns=netns, cookie=cookie, ifindex=ifindex)


def _home_of(name: str) -> tuple[NetNs | None, int]:
    """Where a datapath's ports live, and the local port's device there.  None and 0 for what cannot be known."""
    with contextlib.suppress(Absent, NotSupported), KernelDatapath(name) as datapath:
        local = next((port for port in datapath.ports() if port.kind == "internal"), None)
        return datapath.netns, local.ifindex if local else 0
    return None, 0  # half made, of another version, or its namespace and so its devices are gone


def _clear_datapath(
    name: str,
    namespace: NetNs | None,
    ifindex: int,
    timeout_s: float = _UNDO_TIMEOUT_S,
    begin: lifecycle.Begin = lifecycle.nothing,
) -> None:
    """Remove whatever there is of a datapath; ``begin`` is called before the first change."""
    from ctl.ports import delete_local_port

    lifecycle.clear(name, timeout_s, begin)
    if namespace is not None:
        with contextlib.suppress(Absent):
            delete_local_port(namespace, name, ifindex)
            fault("manage.local-port-deleted")
    offloads.give_back(lambda holder: holder.startswith(f"{subject(name)}/"))


# --- ports -------------------------------------------------------------------------------------------


def add_port(  # noqa: PLR0913 - the last three are options, by keyword only
    datapath: KernelDatapath,
    device: str,
    number: int | None,
    namespace: NetNs | None,
    *,
    tc_only: bool = False,
    force: bool = False,
    tell: Tell = _silent,
) -> Added:
    """Make a device a port.  ``namespace``: where the caller says it is; None: the caller's own.

    ``tc_only`` leaves the device's offloads as they are.  A port whose device was gone gets it back, with its
    number and counters.  UsageError for a device that is elsewhere, or that carries the default route unless
    ``force``.
    """
    from ctl.wiring import prepare_port, wiring

    home = datapath.netns
    where = namespace or NetNs.current()
    if where.inode != home.inode:
        raise UsageError(
            f"{device} is looked for in {where.name}, but the ports of {datapath.name} live in {home.name}",
            f"add netns={home.name}, and move the device there if need be: ip link set dev {device} netns ...",
        )
    home.ifindex(device)
    if home.default_route_device() == device and not force:
        raise UsageError(f"{device} carries the default route, which would be cut off", "--force does it all the same")
    with begun(subject(datapath.name), datapath.timeout_s, tell) as steps:
        place = attach.place_for(datapath, device, number)
        steps.note("port", name=datapath.name, number=place.number, keep=place.is_known)
        needs = wiring(home, device, tc_only=tc_only).needs
        offloads.remember(_holder(datapath.name, place.number), [(need.ns, need.device) for need in needs])
        ready = prepare_port(home, device, tc_only=tc_only)
        fault("manage.port-ready")
        port = attach.attach(datapath, device, number, tc_only=tc_only)
        return Added(port=port, done=ready.done, problems=ready.problems)


def delete_port(datapath: KernelDatapath, number: int, tell: Tell = _silent) -> Port:
    """Take a port away; the device stays, with its offloads as they were found.

    NotFound, or UsageError for the local port.
    """
    with begun(subject(datapath.name), datapath.timeout_s, tell) as steps:
        attach.removable(datapath, number)
        steps.note("port", name=datapath.name, number=number, keep=False)
        port = attach.detach(datapath, number)
        _give_back(datapath.name, number)
        return port


def _clear_port(name: str, number: int, *, keep: bool) -> None:
    """No device is that port's any more.  ``keep``: the port itself stays, as one whose device is gone."""
    with contextlib.suppress(Absent, NotSupported), KernelDatapath(name, _UNDO_TIMEOUT_S) as datapath:
        attach.forget(datapath, number, keep=keep)
    _give_back(name, number)


def _give_back(name: str, number: int) -> None:
    offloads.give_back(_holder(name, number).__eq__)


def _holder(name: str, number: int) -> str:
    return f"{subject(name)}/{number}"
