"""`ctl version`."""

from __future__ import annotations

import platform

import click

from ctl import __version__, abi
from ctl.cli.common import pass_context, print_json
from ctl.cli.main import Context


@click.command()
@pass_context
def version(context: Context) -> None:
    """Print the versions of this program, its layout and the kernel."""
    row = {"version": __version__, "abi": int(abi.DpLimit.DP_ABI_VERSION), "kernel": platform.release()}
    if context.output == "text":
        click.echo(f"ctl {row['version']}  layout {row['abi']}  kernel {row['kernel']}")
    else:
        print_json(context, "ctl/version/1", "versions", [row])
