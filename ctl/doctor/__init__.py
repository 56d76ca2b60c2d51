"""Every fact that decides whether things work: found by trying, with what follows from it and what mends it.

Works in any state of the machine: what cannot be looked at is a finding like any other.  Nothing is changed
but by `mend`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, Final

from ctl.doctor.finding import Check, Finding, State, by_hand, fault, note
from ctl.errors import CtlError, NotPermitted

__all__ = ["GROUPS", "Check", "Finding", "State", "after_mending", "checks", "examine", "mend"]

GROUPS: Final = ("machine", "rights", "bpffs", "toolchain", "kernel", "datapaths", "ports", "leftovers")


def checks(datapath: str | None = None) -> tuple[Check[Any], ...]:
    """All of them, in the order in which they are told; of datapaths only the one that is named, if one is."""
    from ctl.doctor import datapaths, kernel, leftovers, machine, ports, storage, toolchain

    return (
        *machine.CHECKS,
        *storage.CHECKS,
        *toolchain.CHECKS,
        *kernel.CHECKS,
        *datapaths.checks(datapath),
        *ports.checks(datapath),
        *leftovers.CHECKS,
    )


def examine(wanted: Iterable[Check[Any]]) -> Iterator[Finding]:
    """What the checks find, group by group."""
    for check in wanted:
        for finding in _examine(check):
            yield replace(finding, group=check.group)


def _examine(check: Check[Any]) -> Iterable[Finding]:
    try:
        facts = check.look()
    except (NotPermitted, PermissionError) as e:
        return [
            note(check.name, f"not looked at: {_said(e)}", "it takes more rights", by_hand("sudo", "ctl", "doctor"))
        ]
    except Exception as e:  # noqa: BLE001 - machines are broken in ways that nobody has thought of
        return [fault(check.name, f"could not be looked at: {_said(e)}", _hint(e) or "nothing is known of it")]
    return check.judge(facts)


def _said(error: Exception) -> str:
    if isinstance(error, CtlError):
        return error.message
    return str(error) if isinstance(error, OSError | ImportError) else f"{type(error).__name__}: {error}"


def _hint(error: Exception) -> str:
    return error.hint if isinstance(error, CtlError) else ""


def mend(found: Iterable[Finding]) -> Iterator[tuple[Finding, CtlError | OSError | None]]:
    """Do what is safe for each finding that has such a mend; the finding, and why it could not be mended."""
    for finding in found:
        if finding.mend is None or finding.mend.act is None:
            continue
        try:
            finding.mend.act()
        except (CtlError, OSError) as e:
            yield finding, e
        else:
            yield finding, None


def after_mending(mended: Iterable[Finding], again: Iterable[Finding]) -> Iterator[Finding]:
    """What was found the second time, marked where it is well thanks to a mend.

    What is not found again at all, because it is gone, is told once more as well.
    """
    open_ends = {finding.key: finding for finding in mended}
    for finding in again:
        fixed = open_ends.pop(finding.key, None) is not None and finding.state is State.OK
        yield replace(finding, fixed=fixed)
    for finding in open_ends.values():
        yield Finding(group=finding.group, check=finding.check, state=State.OK, found="gone", fixed=True)
