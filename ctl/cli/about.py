"""`ctl help` and `ctl version`."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Final

import click

from ctl import __version__, abi
from ctl.cli.common import examples, pass_context, print_json
from ctl.cli.main import Context, complete
from ctl.errors import NotFound, UsageError

MAN_PAGE: Final = Path(__file__).resolve().parents[1] / "share" / "man" / "man1" / "ctl.1"


@click.command("help", epilog=examples("ctl help", "ctl help add-flow", "ctl help --man"))
@click.option("--man", is_flag=True, help="Show the manual page.")
@click.argument("command", metavar="[COMMAND]", required=False, shell_complete=complete("commands"),
                help="What help is wanted about.")  # fmt: skip
@click.pass_context
def help_(ctx: click.Context, command: str | None, man: bool) -> None:
    """Print help, or show the manual page.

    The help is that of --help, of a command or of ctl.
    """
    if man:
        _show_manual()
        return
    top = ctx.find_root()
    group = top.command
    if command is None or not isinstance(group, click.Group):
        click.echo(top.get_help())
        return
    found = group.get_command(top, command)
    if found is None:
        raise UsageError(f"there is no command {command!r}", "ctl help lists them")
    with click.Context(found, parent=top, info_name=command) as about:
        click.echo(found.get_help(about))


def _show_manual() -> None:
    """By `man`, which knows the reader's terminal and pager."""
    import shutil
    import subprocess

    man = shutil.which("man")
    if man is None:
        raise NotFound("there is no program man here", f"the manual page is {MAN_PAGE}")
    subprocess.run([man, "-l", str(MAN_PAGE)], check=False)


@click.command(epilog=examples("ctl version", "ctl -o json version"))
@pass_context
def version(context: Context) -> None:
    """Print the versions of program, layout and kernel."""
    row = {"version": __version__, "abi": int(abi.DpLimit.DP_ABI_VERSION), "kernel": platform.release()}
    if context.output == "text":
        click.echo(f"ctl {row['version']}  layout {row['abi']}  kernel {row['kernel']}")
    else:
        print_json(context, "ctl/version/1", "versions", [row])
