"""The command line."""

import click


@click.group()
def main() -> None:
    """Control a flow datapath whose flows are named by UFID."""


@main.command()
def version() -> None:
    """Print the version."""
    click.echo("ctl 0.1.0")
