"""The command group, its options, and what becomes of errors."""

from __future__ import annotations

import errno
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import click

from ctl.errors import CompileError, CtlError, FlowSyntaxError, NotPermitted, NotSupported, UsageError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from ctl.kernel.datapath import KernelDatapath

DEFAULT_NAME: Final = "lab"
MENDING: Final = "the next command that changes it removes that"

# Every command, in the order and under the headings of `ctl --help`, and the module that defines it.
COMMANDS: Final[dict[str, dict[str, str]]] = {
    "Lab": {
        **dict.fromkeys(("up", "down", "status"), "ctl.cli.lab"),
        **dict.fromkeys(("exec", "shell", "send"), "ctl.cli.hosts"),
    },
    "Datapath": dict.fromkeys(("add-dp", "del-dp", "dump-dps", "show", "add-if", "del-if"), "ctl.cli.dp"),
    "Flows": {
        **dict.fromkeys(("add-flow", "mod-flow", "get-flow", "del-flow"), "ctl.cli.flows"),
        "dump-flows": "ctl.cli.dump",
        **dict.fromkeys(("add-flows", "mod-flows", "del-flows", "flow-check"), "ctl.cli.many"),
        "normalize-actions": "ctl.cli.normalize",
    },
    "Meters": dict.fromkeys(("add-meter", "get-meter", "del-meter"), "ctl.cli.meters"),
    "Look": {
        "doctor": "ctl.cli.doctor",
        "bench": "ctl.cli.bench",
        **dict.fromkeys(("help", "version"), "ctl.cli.about"),
        "completion": "ctl.cli.completion",
    },
}
_ATTRIBUTES: Final = {"exec": "exec_", "help": "help_"}  # names that Python has already
COMPLETE_VARIABLE: Final = "_CTL_COMPLETE"  # set by a shell that asks how a line may go on


@dataclass(slots=True)
class Context:
    """What the options before the command say."""

    dp: str | None
    output: str
    timeout_s: float
    verbose: bool
    color: bool | None  # None: on a terminal

    @property
    def name(self) -> str:
        """The datapath that is meant: the one named, else the only one there is, else `lab`.

        UsageError where there are several, and none of that name.
        """
        if self.dp:
            return self.dp
        from ctl.kernel.lifecycle import datapath_names

        names = datapath_names()
        if len(names) > 1 and DEFAULT_NAME not in names:
            raise UsageError("which datapath is meant?", f"ctl --dp NAME, of {' '.join(names)}")
        return names[0] if len(names) == 1 else DEFAULT_NAME

    def open(self) -> KernelDatapath:
        """The datapath that is meant.  Absent."""
        return self.open_named(self.name)

    def change(self) -> KernelDatapath:
        """The datapath that is meant, to change it: what an interrupted command left of it is undone first.

        Absent, Busy.
        """
        from ctl.journal import is_any_left

        if is_any_left():
            from ctl.manage import repair, subject

            repair(subject(self.name), self.timeout_s, self.note)
        return self.open()

    def note_interrupted(self) -> None:
        """Say what interrupted commands left; to look changes nothing."""
        from ctl.journal import describe, left_behind

        for what, entries in left_behind().items():
            self.note(f"{what}: an interrupted command left {describe(entries)}; {MENDING}")

    def open_named(self, name: str) -> KernelDatapath:
        """The datapath of that name.  Absent."""
        from ctl.kernel.datapath import KernelDatapath

        return KernelDatapath(name, self.timeout_s)

    def note(self, text: str) -> None:
        """One line for the reader, beside the data."""
        click.echo(text, err=True)

    def paint(self, text: str, color: str) -> str:
        """Text for stdout, in colour where that is wanted."""
        wanted = sys.stdout.isatty() if self.color is None else self.color
        return click.style(text, fg=color) if wanted else text


class Group(click.Group):
    """Commands by module, imported when they are asked for, and listed under headings."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """All names, in the order of the help."""
        return [name for commands in COMMANDS.values() for name in commands]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - likewise
        """The command of that name, imported now."""
        for commands in COMMANDS.values():
            if cmd_name in commands:
                module = importlib.import_module(commands[cmd_name])
                command: click.Command = getattr(module, _ATTRIBUTES.get(cmd_name, cmd_name.replace("-", "_")))
                return command
        return None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The headings with their commands."""
        for heading, commands in COMMANDS.items():
            rows = [(name, self._summary(ctx, name)) for name in commands]
            with formatter.section(heading):
                formatter.write_dl(rows)

    def _summary(self, ctx: click.Context, name: str) -> str:
        command = self.get_command(ctx, name)
        return command.get_short_help_str(limit=60) if command else ""


def complete(kind: str) -> Callable[[click.Context, click.Parameter, str], list[CompletionItem[str]]]:
    """The `shell_complete` of a parameter that takes names of a kind: a function of `ctl.cli.names`."""

    def ask(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
        from ctl.cli import names

        found: list[CompletionItem[str]] = getattr(names, kind)(ctx, param, incomplete)
        return found

    return ask


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--dp", metavar="NAME", shell_complete=complete("datapaths"),
              help="The datapath; by default the only one there is, else 'lab'.")  # fmt: skip
@click.option("-o", "--output", type=click.Choice(["text", "json", "jsonl"]), default="text",
              help="How data is printed: json is one document, jsonl one for each row.  [default: text]")  # fmt: skip
@click.option("-t", "--timeout", type=click.FloatRange(min=0), default=10.0, metavar="SECONDS",
              help="How long to wait for another writer.  [default: 10]")  # fmt: skip
@click.option("-v", "--verbose", is_flag=True, help="Say more; with an error, all that is known of it.")
@click.option("--color", type=click.Choice(["auto", "always", "never"]), default="auto",
              help="When to use colour; auto: on a terminal, unless NO_COLOR is set.  [default: auto]")  # fmt: skip
@click.pass_context
def cli(ctx: click.Context, dp: str | None, output: str, timeout: float, verbose: bool, color: str) -> None:
    """A flow datapath in eBPF whose flows are named by UFID.

    'ctl up' builds a lab, sends traffic through it and lists its flows; 'ctl COMMAND --help' has
    examples.  Flows are written as ovs-dpctl writes them.
    """
    wanted = {"always": True, "never": False}.get(color, False if os.environ.get("NO_COLOR") else None)
    ctx.obj = Context(dp=dp, output=output, timeout_s=timeout, verbose=verbose, color=wanted)
    ctx.color = wanted
    if verbose:
        import logging

        logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")


def run(arguments: Sequence[str]) -> int:
    """Run one command line; the exit status."""
    verbose = "-v" in arguments or "--verbose" in arguments
    if COMPLETE_VARIABLE in os.environ:
        from ctl.cli import completion  # noqa: F401 - makes our scripts' side known to click
    try:
        result = cli.main(args=list(arguments), prog_name="ctl", standalone_mode=False)
    except BaseException as e:  # noqa: BLE001 - the last line of defence: no traceback for users
        return _outcome(e, verbose=verbose)
    return result if isinstance(result, int) else 0


def _outcome(error: BaseException, *, verbose: bool) -> int:
    """Say what went wrong, in one line where it is an error; the exit status."""
    match error:
        case click.exceptions.Abort() | KeyboardInterrupt():
            return _interrupted()
        case click.ClickException():
            error.show()
            return error.exit_code
        case BrokenPipeError():  # the reader has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        case CtlError():
            return _report(error, verbose=verbose)
        case OSError():
            return _report(_from_os(error), verbose=verbose)
        case SystemExit():
            raise error
        case _:
            return _unexpected(error, verbose=verbose)


def _interrupted() -> int:
    from ctl.journal import left_behind

    for what in (left := left_behind()):
        click.echo(f"ctl: interrupted, {what} half way; {MENDING}, or ctl {_remover(what)}", err=True)
    if not left:
        click.echo("ctl: interrupted; what was begun is undone", err=True)
    return 130


def _remover(what: str) -> str:
    kind, name = what.split(" ", 1)
    return f"--dp {name} down" if kind == "lab" else f"del-dp {name}"


def _report(error: CtlError, *, verbose: bool) -> int:
    line = f"ctl: {error.message}"
    if error.hint:
        line += f"; {error.hint}"
    click.echo(line, err=True)
    if isinstance(error, FlowSyntaxError):
        from ctl.text import caret

        click.echo(caret(error), err=True)
    if isinstance(error, CompileError) and verbose:
        click.echo(error.log, err=True)
    return error.exit_status


def _from_os(error: OSError) -> CtlError:
    if error.errno in (errno.EPERM, errno.EACCES):
        return NotPermitted(
            f"{error.filename or error.strerror}: not permitted; CAP_BPF, CAP_NET_ADMIN or CAP_SYS_ADMIN is missing",
            "run it as root",
        )
    if error.errno == errno.EROFS:
        return NotSupported(
            f"{error.filename or error.strerror} is on a file system that is mounted read-only",
            "findmnt /sys/fs/bpf, then mount -o remount,rw",
        )
    return CtlError(f"{error.filename or ''} {error.strerror}".strip(), "ctl -v shows where")


def _unexpected(error: BaseException, *, verbose: bool) -> int:
    import traceback

    if verbose:
        traceback.print_exception(error)
    click.echo(f"ctl: unexpected {type(error).__name__}: {error}; the same command with ctl -v shows where", err=True)
    return CtlError.exit_status
