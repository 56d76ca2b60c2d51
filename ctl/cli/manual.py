"""What the commands say of themselves, as data: for the manual page, and for tests that all of them say it."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Final

import click

from ctl.cli.common import examples_of
from ctl.cli.main import COMMANDS, cli

_HELP: Final = "help"  # the option that every command has


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A command, or `ctl` itself, whose name is empty.  Arguments and options: how one writes it, what it means."""

    name: str
    usage: str  # what stands behind the name
    summary: str
    paragraphs: tuple[str, ...]  # the summary is not repeated
    arguments: tuple[tuple[str, str], ...]
    options: tuple[tuple[str, str], ...]
    examples: tuple[str, ...]


def top() -> Entry:
    """What stands before every command."""
    return _entry("", cli, click.Context(cli, info_name="ctl"))


def entries() -> dict[str, list[Entry]]:
    """The commands under the headings of `ctl --help`."""
    parent = click.Context(cli, info_name="ctl")
    return {heading: [_command(parent, name) for name in names] for heading, names in COMMANDS.items()}


def _command(parent: click.Context, name: str) -> Entry:
    command = cli.get_command(parent, name)
    if command is None:
        raise AssertionError(f"{name} is in COMMANDS and nowhere else")
    return _entry(name, command, click.Context(command, parent=parent, info_name=name))


def _entry(name: str, command: click.Command, context: click.Context) -> Entry:
    summary, *paragraphs = (" ".join(part.split()) for part in inspect.cleandoc(command.help or "").split("\n\n"))
    records = [(param, param.get_help_record(context)) for param in command.params if param.name != _HELP]
    return Entry(
        name=name,
        usage=" ".join(command.collect_usage_pieces(context)),
        summary=summary,
        paragraphs=tuple(paragraphs),
        arguments=tuple(record for param, record in records if isinstance(param, click.Argument) and record),
        options=tuple(record for param, record in records if isinstance(param, click.Option) and record),
        examples=tuple(examples_of(command)),
    )
