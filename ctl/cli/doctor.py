"""`ctl doctor`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

import click

from ctl.cli.common import examples, pass_context, print_json
from ctl.cli.main import Context
from ctl.doctor import GROUPS

if TYPE_CHECKING:
    from ctl.doctor import Check, Finding

SCHEMA: Final = "ctl/doctor/1"
_COLORS: Final = {"ok": "green", "note": "yellow", "fault": "red"}
_WIDTH: Final = 26


@click.command(
    epilog=examples("ctl doctor", "ctl doctor --fix", "ctl --dp lab doctor datapaths ports", "ctl -o json doctor")
)
@click.option("--fix", is_flag=True, help="Do what is safe to do, say so, and look again.")
@click.argument("groups", metavar="[GROUP]...", type=click.Choice(GROUPS), nargs=-1,
                help=f"Only these of {', '.join(GROUPS)}.")  # fmt: skip
@pass_context
def doctor(context: Context, groups: tuple[str, ...], fix: bool) -> int:
    """Find out what works, what does not, and what mends it.

    Each thing that the program rests upon is tried.  A fault means that packets or commands are lost as
    things are, and makes the exit status 1.  What you might want otherwise is never done by --fix: its
    command is printed.  With --dp, of datapaths and ports only that one and its ports are examined.
    """
    from ctl.doctor import State, after_mending, checks, examine

    wanted = [check for check in checks(context.dp) if not groups or check.group in groups]
    mended = _mended(context, wanted) if fix else []
    findings = list(after_mending(mended, examine(wanted)))
    if context.output == "text":
        _print(findings)
    else:
        print_json(context, SCHEMA, "findings", map(_to_dict, findings))
    return 1 if any(finding.state is State.FAULT for finding in findings) else 0


def _mended(context: Context, wanted: Sequence[Check[Any]]) -> list[Finding]:
    """Those that something safe could be done about; says what.  One mend may be what another waits for."""
    from ctl.doctor import examine, mend

    mended: dict[tuple[str, str], Finding] = {}
    while todo := [finding for finding in examine(wanted) if finding.key not in mended]:
        before = len(mended)
        for finding, error in mend(todo):
            what = f"{finding.group}, {finding.check}: {finding.found}"
            context.note(f"{what}: could not be mended: {error}" if error else f"{what}: mended")
            if not error:
                mended[finding.key] = finding
        if len(mended) == before:
            break
    return list(mended.values())


def _to_dict(finding: Finding) -> dict[str, Any]:
    """A row of ctl/doctor/1."""
    return {
        "group": finding.group,
        "check": finding.check,
        "state": finding.state.value,
        "found": finding.found,
        "consequence": finding.consequence,
        "mend": finding.mend.command if finding.mend else "",
        "safe": bool(finding.mend and finding.mend.act),
        "fixed": finding.fixed,
    }


def _print(findings: Iterable[Finding]) -> None:
    """Under a heading for each group; then what it comes to."""
    findings = list(findings)
    for group, rows in groupby(findings, key=lambda finding: finding.group):
        click.echo(group)
        for row in rows:
            _print_row(row)
    states = Counter(finding.state.value for finding in findings)
    safe = sum(bool(finding.mend and finding.mend.act) for finding in findings)
    text = f"{_count(states['fault'], 'fault')}, {_count(states['note'], 'note')}"
    click.echo(text + (f"; ctl doctor --fix mends {safe} of them" if safe else ""))


def _print_row(row: Finding) -> None:
    state = click.style(f"{row.state.value:<5}", fg=_COLORS[row.state.value])
    click.echo(f"  {state}  {row.check:<{_WIDTH}}  {row.found}" + (" (mended)" if row.fixed else ""))
    for line in (row.consequence, f"mend: {row.mend.command}" if row.mend else ""):
        if line:
            click.echo(f"{'':<9}{line}")


def _count(number: int, what: str) -> str:
    return f"{number or 'no'} {what}" + ("" if number == 1 else "s")
