"""What a check is, and what it finds.

A check has two halves.  ``look`` asks the machine and returns facts; ``judge`` turns facts into findings and
touches nothing, so that every judgement can be had from made-up facts.
"""

from __future__ import annotations

import enum
import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from ctl.netns import RUN_DIR, NetNs

Facts = TypeVar("Facts")


class State(enum.Enum):
    """How a fact bears on what works: well; worth knowing; something does not work."""

    OK = "ok"
    NOTE = "note"
    FAULT = "fault"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mend:
    """How a finding is mended.

    ``command`` is for the user and a shell.  ``act`` does the same and is what --fix calls; None where the user
    may want it otherwise, and so has to decide.
    """

    command: str
    act: Callable[[], object] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One fact and what follows from it.  Group and check together name it; `ctl.doctor` fills in the group."""

    check: str
    state: State
    found: str
    consequence: str = ""
    mend: Mend | None = None
    group: str = ""
    fixed: bool = False

    @property
    def key(self) -> tuple[str, str]:
        """What it is called, before and after mending."""
        return self.group, self.check


@dataclass(frozen=True, slots=True)
class Check(Generic[Facts]):
    """A look at the machine and the judgement of what was seen.  ``name`` serves where looking fails."""

    group: str
    name: str
    look: Callable[[], Facts]
    judge: Callable[[Facts], Iterable[Finding]]


def ok(check: str, found: str) -> Finding:
    """All is well."""
    return Finding(check=check, state=State.OK, found=found)


def note(check: str, found: str, consequence: str, mend: Mend | None = None) -> Finding:
    """Worth knowing."""
    return Finding(check=check, state=State.NOTE, found=found, consequence=consequence, mend=mend)


def fault(check: str, found: str, consequence: str, mend: Mend | None = None) -> Finding:
    """Something does not work."""
    return Finding(check=check, state=State.FAULT, found=found, consequence=consequence, mend=mend)


def by_hand(*words: str) -> Mend:
    """A command that only the user runs, from its words."""
    return Mend(command=shlex.join(words))


def place(ns: NetNs) -> str:
    """What a network namespace is called in a row."""
    return ns.name if _has_path(ns) else "this namespace"


def within(ns: NetNs, *words: str) -> str:
    """A command as typed in the caller's shell for it to run in a network namespace.

    Not by ``ip netns exec``, which hides the BPF file system.
    """
    command = shlex.join(words)
    return f"nsenter --net={shlex.quote(str(ns.path))} {command}" if _has_path(ns) else command


def _has_path(ns: NetNs) -> bool:
    """Whether its path means the same to everybody; that of a thread in /proc means the reader's own."""
    return ns.path.parent == RUN_DIR or ns.path.is_relative_to("/proc/1")
