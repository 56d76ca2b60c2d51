"""The commands over many flows at once: files of changes, and what they come to."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any, Final

import click

from ctl.change import Add, Change, Delete, Modify
from ctl.cli.common import examples, now_ms, pass_context, port_number, print_json
from ctl.cli.main import Context
from ctl.errors import CtlError, FlowSyntaxError, UsageError
from ctl.interrupts import deferred
from ctl.jsonout import flow_row
from ctl.text import ParsedFlow, caret, format_flow, parse_actions, parse_dump_line, parse_flow, parse_flow_id
from ctl.ufid import UfidPrefix

if TYPE_CHECKING:
    from ctl.flow import Actions, FlowId
    from ctl.kernel.datapath import KernelDatapath
    from ctl.overlap import Overlap

_CHUNK: Final = 4096  # lines between two looks at the terminal
_VERBS: Final = ("add", "modify", "delete")
_PATH: Final = click.Path(dir_okay=False, allow_dash=True)
_FILE_HELP: Final = "Lines '[add|modify|delete] FLOW ACTIONS', or of dump-flows; '-' is standard input."
_ATOMIC_HELP: Final = "Make all changes of the file, or none if a line is wrong."


# --- lines -------------------------------------------------------------------------------------------


class LineParser:
    """From lines of a file to changes.  ``verb`` is what a line does that does not say it."""

    def __init__(
        self, verb: str, port_number: Callable[[str], int | None], *, clear: bool = False, may_create: bool = False
    ) -> None:
        self._verb = verb
        self._port_number = port_number
        self._clear = clear
        self._may_create = may_create

    def parse(self, line: str) -> Change | None:
        """The change that a line asks for; None for one that is blank or a comment.  FlowSyntaxError is of the line."""
        line = line.rstrip()
        start = len(line) - len(line.lstrip())
        if start == len(line) or line[start] == "#":
            return None
        word = line[start:].split(None, 1)[0]
        verb = word if word in _VERBS else self._verb
        if word in _VERBS:
            start += len(word)
            start += len(line[start:]) - len(line[start:].lstrip())
        try:
            return self._change(verb, line[start:])
        except FlowSyntaxError as error:
            raise FlowSyntaxError(error.message, line, error.pos + start, error.hint) from None

    def _change(self, verb: str, text: str) -> Change:
        if verb == "delete":
            return Delete(self._name(text))
        parsed, actions = self._flow(text)
        if verb == "add":
            if parsed.match is None:
                raise UsageError("a UFID alone is no flow to add", "its key behind it, such as in_port(1),eth()")
            return Add(parsed.match, actions, parsed.ufid)
        who = _name_of(parsed)
        if who is None:
            raise UsageError("no flow is named", "ufid:... or a key")
        return Modify(who, actions, clear=self._clear, create=parsed.match if self._may_create else None)

    def _name(self, text: str) -> FlowId:
        name: FlowId | UfidPrefix | None
        if "actions:" in text:
            name = _name_of(parse_dump_line(text, self._port_number)[0])
        else:
            name = parse_flow_id(text, self._port_number)
        if name is None or isinstance(name, UfidPrefix):
            raise UsageError(f"{text!r} names no flow", "a whole UFID, ufid:..., or a key")
        return name

    def _flow(self, text: str) -> tuple[ParsedFlow, Actions]:
        if "actions:" in text:
            return parse_dump_line(text, self._port_number)
        flow, _, rest = text.partition(" ")
        if not rest.strip():
            raise FlowSyntaxError("expected actions", text, len(text), "FLOW, without a blank in it, then ACTIONS")
        return parse_flow(flow, self._port_number), self._action_list(rest, len(flow) + 1, text)

    def _action_list(self, text: str, at: int, whole: str) -> Actions:
        """The list that stands at a place of a line.  An error is told of the line."""
        try:
            return parse_actions(text, self._port_number)
        except FlowSyntaxError as error:
            raise FlowSyntaxError(error.message, whole, at + error.pos, error.hint) from None


def _name_of(parsed: ParsedFlow) -> FlowId | None:
    if parsed.ufid is not None:
        return parsed.ufid
    return None if parsed.match is None else parsed.match.key


@dataclass(slots=True)
class Tally:
    """What has come of a file so far: so many ``lines`` were read, those up to ``applied`` are carried out."""

    lines: int = 0
    applied: int = 0
    done: Counter[str] = field(default_factory=Counter)
    refused: list[tuple[int, CtlError]] = field(default_factory=list)

    def count(self, changes: Sequence[tuple[int, Change]], refused: dict[int, CtlError]) -> None:
        """Some changes with the numbers of their lines were asked for, and these were refused."""
        for index, (line, change) in enumerate(changes):
            if index in refused:
                self.refused.append((line, refused[index]))
            else:
                self.done[type(change).__name__.lower()] += 1

    def __str__(self) -> str:
        words = {"add": "added", "modify": "changed", "delete": "removed"}
        done = ", ".join(f"{self.done[kind]} {word}" for kind, word in words.items() if self.done[kind])
        flows = f"flows: {done}" if done else "no flow was changed"
        return f"{flows}; {len(self.refused)} lines skipped" if self.refused else flows


ParserOf = Callable[["KernelDatapath"], LineParser]


# --- files -------------------------------------------------------------------------------------------


def apply_file(context: Context, path: str, parser_of: ParserOf, *, atomic: bool) -> int:
    """Carry out the changes of a file, tell what was wrong and what has come of it; the exit status."""
    tally = Tally()
    with _opened(path) as file, context.change() as datapath:
        changes = _changes(file, parser_of(datapath), tally)
        try:
            if atomic:
                _all_or_none(datapath, list(changes), tally)
            else:
                _each(datapath, changes, tally)
        except KeyboardInterrupt:
            if atomic:
                raise
            context.note(f"ctl: interrupted; up to line {tally.applied} the file is carried out, {tally}")
            return 130
        finally:
            _tell_refused(context, tally)
        if context.output != "text":
            print_json(context, "ctl/applied/1", "applied", [_to_dict(datapath.name, tally)])
        elif tally.refused and atomic:
            context.note("ctl: nothing is changed, because of these lines")
        elif tally.refused or context.verbose:
            context.note(f"ctl: {tally}")
    return 1 if tally.refused else 0


def _opened(path: str) -> IO[str]:
    """The file of that name, or standard input.  UsageError."""
    try:
        return click.open_file(path, encoding="utf-8", errors="replace")
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None


def _changes(file: IO[str], parser: LineParser, tally: Tally) -> Iterator[tuple[int, Change]]:
    """The changes of a file with the numbers of their lines; what is none is counted as refused."""
    for number, line in enumerate(file, 1):
        tally.lines = number
        try:
            change = parser.parse(line)
        except CtlError as error:
            tally.refused.append((number, error))
        else:
            if change is not None:
                yield number, change


def _all_or_none(datapath: KernelDatapath, changes: list[tuple[int, Change]], tally: Tally) -> None:
    wanted = [change for _, change in changes]
    with datapath.hold():
        refused = datapath.refusals(wanted) if tally.refused else datapath.flow_apply(wanted, atomic=True)
    if tally.refused or refused:
        changes = [changes[index] for index in refused]
        refused = dict(enumerate(refused.values()))
    tally.count(changes, refused)


def _each(datapath: KernelDatapath, changes: Iterator[tuple[int, Change]], tally: Tally) -> None:
    """In one hold of the lock; an interrupt comes between two chunks, so that the tally is true."""
    shown = time.monotonic()
    with datapath.hold():
        while True:
            chunk = [change for _, change in zip(range(_CHUNK), changes, strict=False)]
            if not chunk:
                break
            with deferred():
                tally.count(chunk, datapath.flow_apply([change for _, change in chunk]))
                tally.applied = chunk[-1][0]
            if sys.stderr.isatty() and time.monotonic() - shown > 0.2:
                shown = time.monotonic()
                click.echo(f"\r\033[Kline {tally.lines}: {tally}", err=True, nl=False)
    if sys.stderr.isatty():
        click.echo("\r\033[K", err=True, nl=False)


def _tell_refused(context: Context, tally: Tally) -> None:
    tally.refused.sort(key=lambda row: row[0])
    for line, error in tally.refused if context.output == "text" else ():
        hint = f"; {error.hint}" if error.hint else ""
        context.note(f"ctl: line {line}, skipped: {error.message}{hint}")
        if isinstance(error, FlowSyntaxError):
            context.note(caret(error))


def _to_dict(datapath: str, tally: Tally) -> dict[str, Any]:
    """A row of ctl/applied/1."""
    return {
        "datapath": datapath,
        "lines": tally.lines,
        "added": tally.done["add"],
        "changed": tally.done["modify"],
        "removed": tally.done["delete"],
        "refused": [
            {"line": line, "message": error.message, "hint": error.hint, "status": error.exit_status}
            for line, error in tally.refused
        ],
    }


@click.command("add-flows", epilog=examples("ctl add-flows flows.txt", "ctl add-flows --atomic flows.txt"))
@click.option("--atomic", is_flag=True, help=_ATOMIC_HELP)
@click.argument("file", metavar="FILE", type=_PATH, help=_FILE_HELP)
@pass_context
def add_flows(context: Context, file: str, atomic: bool) -> int:
    """Install the flows of a file.

    FLOW has no blanks, unless the line is one of dump-flows, so that 'ctl dump-flows | ctl add-flows -' restores a
    table. Blank lines and those that begin with # are
    skipped. A line that is wrong is named and skipped, and the exit status is 1 at the end. With --atomic every
    wrong line is named and nothing is changed. Packets then see all new flows of one new mask at once, the others
    one after the other within a moment, and those that go when what replaces them is there.
    """
    return apply_file(context, file, lambda datapath: LineParser("add", port_number(datapath)), atomic=atomic)


@click.command("mod-flows", epilog=examples("ctl mod-flows --may-create flows.txt", "ctl mod-flows --atomic flows.txt"))
@click.option("--atomic", is_flag=True, help=_ATOMIC_HELP)
@click.option("--may-create", is_flag=True, help="Install flows that are not there.")
@click.option("--clear", is_flag=True, help="Zero their statistics.")
@click.argument("file", metavar="FILE", type=_PATH, help=_FILE_HELP)
@pass_context
def mod_flows(context: Context, file: str, atomic: bool, may_create: bool, clear: bool) -> int:
    """Replace the actions of the flows of a file.

    As add-flows, but a line that does not say what it does modifies.
    """

    def parser(datapath: KernelDatapath) -> LineParser:
        return LineParser("modify", port_number(datapath), clear=clear, may_create=may_create)

    return apply_file(context, file, parser, atomic=atomic)


@click.command(
    "del-flows", epilog=examples("ctl del-flows", "ctl --dp br0 -o json del-flows", "ctl del-flows flows.txt")
)
@click.option("--atomic", is_flag=True, help=_ATOMIC_HELP)
@click.argument("file", metavar="[FILE]", type=_PATH, required=False,
                help=f"{_FILE_HELP} FLOW alone will do.  [default: all flows]")  # fmt: skip
@pass_context
def del_flows(context: Context, file: str | None, atomic: bool) -> int:
    """Remove all flows, or those of a file.

    With -v or in JSON, say how many there were. With a file, as add-flows.
    """
    if file is not None:
        return apply_file(context, file, lambda datapath: LineParser("delete", port_number(datapath)), atomic=atomic)
    with context.change() as datapath:
        count = datapath.flow_flush()
    if context.output != "text":
        print_json(context, "ctl/removed/1", "removed", [{"datapath": datapath.name, "flows": count}])
    elif context.verbose:
        context.note(f"{count} flows removed from {datapath.name}")
    return 0


# --- overlaps ----------------------------------------------------------------------------------------


@click.command("flow-check", epilog=examples("ctl flow-check", "ctl -o jsonl flow-check"))
@pass_context
def flow_check(context: Context) -> int:
    """Find flows that overlap and have different actions.

    Of each pair the first has the lower mask, and its actions are carried out. The exit status is 1 if there is any.
    """
    from ctl.overlap import overlaps

    count = 0
    with context.open() as datapath:
        now, found = now_ms(), overlaps(datapath.flow_dump(), datapath.masks())

        def counted() -> Iterator[Overlap]:
            nonlocal count
            for row in found:
                count += 1
                yield row

        if context.output != "text":
            print_json(context, "ctl/overlap/1", "overlaps", (_pair(row, now, datapath.name) for row in counted()))
        else:
            for row in counted():
                click.echo(f"{format_flow(row.winner, now)}\n  wins over {format_flow(row.loser, now)}")
    if count and context.output == "text":
        context.note(f"ctl: {count} pairs of flows overlap and have different actions")
    return 1 if count else 0


def _pair(row: Overlap, now: int, datapath: str) -> dict[str, Any]:
    """A row of ctl/overlap/1."""
    return {
        "datapath": datapath,
        "winner": flow_row(row.winner, now, datapath),
        "loser": flow_row(row.loser, now, datapath),
    }
