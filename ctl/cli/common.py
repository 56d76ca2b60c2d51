"""What several commands share: printing rows, naming ports, and waiting."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

import click

from ctl.cli.main import DEFAULT_NAME, Context
from ctl.kernel.datapath import KernelDatapath

if TYPE_CHECKING:
    from netns_lab.traffic import Result

TRAFFIC_COUNT: Final = 23  # packets of a stream, unless said otherwise; prime, so that no multiple hides a loss

pass_context = click.make_pass_decorator(Context)


def examples(*lines: str) -> str:
    """The end of a command's help.  The backspace keeps click from joining the lines."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def examples_of(command: click.Command) -> list[str]:
    """The lines that `examples` put at the end of a command's help."""
    _, heading, lines = (command.epilog or "").partition("Examples:\n")
    return [line.removeprefix("  ") for line in lines.splitlines()] if heading else []


def print_json(context: Context, schema: str, name: str, rows: Iterable[dict[str, Any]]) -> None:
    """One document with all rows, or with jsonl a document for each row.  ``schema`` is in every one."""
    if context.output == "jsonl":
        for row in rows:
            click.echo(json.dumps({"schema": schema, **row}))
    else:
        click.echo(json.dumps({"schema": schema, name: list(rows)}, indent=2))


def port_number(datapath: KernelDatapath) -> Callable[[str], int | None]:
    """From the name of a port to its number; the ports are read when the first name comes."""
    names: dict[str, int] = {}

    def number(name: str) -> int | None:
        if not names:
            names.update({port.name: port.number for port in datapath.ports()})
        return names.get(name)

    return number


def port_name(datapath: KernelDatapath) -> Callable[[int], str | None]:
    """From the number of a port to its name."""
    return {port.number: port.name for port in datapath.ports()}.get


def now_ms() -> int:
    """CLOCK_MONOTONIC in milliseconds, the clock of `used`."""
    return time.monotonic_ns() // 1_000_000


def lab_name(context: Context) -> str:
    """The lab that is meant; its datapath has the same name."""
    return context.dp or DEFAULT_NAME


def traffic_text(result: Result) -> str:
    """What became of a stream of packets, in one line."""
    stream = result.stream
    text = f"{stream.src} -> {stream.dst} {stream.kind}: {result.sent} sent, {result.received} received"
    for count, word in (
        (result.mismatched, "changed"),
        (result.duplicated, "duplicated"),
        (result.elsewhere, "elsewhere"),
    ):
        text += f", {count} {word}" if count else ""
    return text
