"""Each whole datapath: whether we can read it, whether it is settled, and how much room it has."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from ctl.doctor.finding import Check, Finding, Mend, by_hand, fault, note, ok
from ctl.errors import Absent, Busy, CtlError, Failure
from ctl.kernel import bpffs, lifecycle
from ctl.kernel.datapath import KernelDatapath, text
from ctl.kernel.lock import lock_folder
from ctl.netns import RUN_DIR

NEARLY_FULL: Final = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """How much of something a datapath holds, how much it can, and the option of add-dp that says so."""

    what: str
    used: int
    limit: int
    option: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """A datapath.  ``refused``: why it cannot be read, and then nothing else is known."""

    name: str
    refused: CtlError | None = None
    namespace: str = ""  # its name or path; "": it has none, and so only those in it can get there
    lost: CtlError | None = None  # why the namespace cannot be found
    interrupted: bool = False  # a writer died at work
    tables: tuple[Table, ...] = ()
    listener: int = 0  # pid of who reads upcalls
    unheard: int = 0  # packets without a flow that nobody was told of


def whole_datapaths(only: str | None = None) -> list[str]:
    """The names of the datapaths that have been published.  PermissionError where we may not look."""
    if bpffs.is_mounted():
        os.listdir(bpffs.MOUNT_POINT)  # else "nothing is there" and "hidden from us" look alike
    return [name for name in lifecycle.datapath_names() if only in {None, name}]


def look(only: str | None = None) -> list[Condition]:
    """Every one of them, or the one that is named."""
    return [_condition(name) for name in whole_datapaths(only)]


def _condition(name: str) -> Condition:
    try:
        with KernelDatapath(name) as datapath:
            return _condition_of(datapath)
    except CtlError as e:
        return Condition(name=name, refused=e)
    except FileNotFoundError as e:
        return Condition(name=name, refused=Failure(f"a part of it is missing: {e.strerror}"))


def _condition_of(datapath: KernelDatapath) -> Condition:
    control, sizes = datapath.reader.control, datapath.sizes
    lost = None
    try:
        _ = datapath.netns
    except Absent as e:
        lost = e
    stats = datapath.stats()
    return Condition(
        name=datapath.name,
        namespace=text(datapath.meta.netns_path),
        lost=lost,
        interrupted=bool(control.dirty) and not _writer_at_work(datapath),
        tables=(
            Table(what="flows", used=stats.flows, limit=sizes.max_flows, option="--max-flows"),
            Table(what="masks", used=stats.masks, limit=sizes.max_masks, option="--max-masks"),
            Table(what="action units", used=datapath.reader.units_in_use(), limit=sizes.max_units,
                  option="--max-action-units"),
        ),
        listener=control.listener if os.path.exists(f"/proc/{control.listener}") else 0,
        unheard=stats.lost,
    )  # fmt: skip


def _writer_at_work(datapath: KernelDatapath) -> bool:
    """Whether somebody holds the writer's lock; whoever waits for it polls, and loses nothing by our trying."""
    try:
        os.close(lock_folder(bpffs.folder(datapath.name), timeout_s=0))
    except Busy:
        return True
    return not datapath.reader.control.dirty  # it had just finished


def judge(seen: Iterable[Condition]) -> Iterator[Finding]:
    """One row for each fact of each datapath."""
    seen = list(seen)
    if not seen:
        yield ok("datapaths", "there is none")
    for condition in seen:
        yield from _judge_one(condition)


def _judge_one(seen: Condition) -> Iterator[Finding]:
    name = seen.name
    if seen.refused is not None:
        yield fault(name, seen.refused.message, "it may forward, but its flows can be neither seen nor changed",
                    by_hand("ctl", "del-dp", name))  # fmt: skip
        return
    yield ok(name, "of this version")
    yield _judge_namespace(seen)
    if seen.interrupted:
        repair = Mend(command=f"ctl --dp {name} doctor --fix datapaths", act=partial(_repair, name))
        yield fault(f"{name} writer", "the last one was interrupted at work",
                    "a change may be half made, until the next one finishes or undoes it", repair)  # fmt: skip
    else:
        yield ok(f"{name} writer", "no change is left unfinished")
    for table in seen.tables:
        yield _judge_table(seen, table)
    if seen.listener:
        yield ok(f"{name} upcalls", f"read by process {seen.listener}")
    elif seen.unheard:
        yield note(f"{name} upcalls", f"nobody reads them, and {seen.unheard} packets had no flow",
                   "they were dropped, and counted as lost", by_hand("ctl", "--dp", name, "show", "-s"))  # fmt: skip
    else:
        yield ok(f"{name} upcalls", "nobody reads them, and no packet lacked a flow")


def _repair(name: str) -> None:
    """Who takes the writer's lock mends first."""
    with KernelDatapath(name) as datapath, datapath.hold():
        pass


def _judge_namespace(seen: Condition) -> Finding:
    check = f"{seen.name} namespace"
    if seen.lost is None:
        return ok(check, seen.namespace or "the caller's own, which has no name")
    if not seen.namespace:
        return note(check, "not the caller's, and without a name",
                    "its ports can be looked at and changed only from within that namespace")  # fmt: skip
    return fault(check, seen.lost.message, "its ports went with the namespace", by_hand("ctl", "del-dp", seen.name))


def _judge_table(seen: Condition, table: Table) -> Finding:
    check = f"{seen.name} {table.what}"
    found = f"{table.used} of {table.limit}"
    if table.used < table.limit * NEARLY_FULL:
        return ok(check, found)
    if table.used < table.limit:
        return note(check, found, "nearly full: a flow that finds no room is refused", _enlarge(seen, table))
    return fault(check, found, "full: flows that need more are refused", _enlarge(seen, table))


def _enlarge(seen: Condition, table: Table) -> Mend:
    """Capacities are fixed when a datapath is made; its flows and ports have to be entered again."""
    command = f"ctl del-dp {seen.name} && ctl add-dp {seen.name} {table.option} {2 * table.limit}"
    namespace = Path(seen.namespace)
    return Mend(command=f"{command} --netns {namespace.name}" if namespace.parent == RUN_DIR else command)


def checks(datapath: str | None) -> tuple[Check[list[Condition]], ...]:
    """Of all datapaths, or of the one that is named."""
    return (Check("datapaths", "datapaths", lambda: look(datapath), judge),)
