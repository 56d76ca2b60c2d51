"""`ctl bench`."""

from __future__ import annotations

import sys
from contextlib import closing
from typing import TYPE_CHECKING, Final

import click

from ctl.cli.common import examples, pass_context, print_json
from ctl.cli.main import Context, complete
from ctl.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from netns_lab.bench import Effort
    from netns_lab.bench.figures import Row

SCHEMA: Final = "ctl/bench/1"


@click.command(
    epilog=examples(
        "ctl bench", "ctl bench forward --rounds 31", "ctl bench lookup --large", "ctl -o json bench lookup actions"
    )
)
@click.option("--quick", is_flag=True, help="Little of everything: to see that it works, not to compare.")
@click.option("--large", is_flag=True, help="Look up among 1,048,576 flows too, which takes minutes and 1 GB more.")
@click.option("--rounds", type=click.IntRange(1, 1000), metavar="N", help="How often each figure is taken.")
@click.argument("names", metavar="[NAME]...", nargs=-1, shell_complete=complete("benchmarks"),
                help="lookup, actions, forward, install, text or startup; all of them by default.")  # fmt: skip
@pass_context
def bench(context: Context, names: tuple[str, ...], quick: bool, large: bool, rounds: int | None) -> None:
    """Measure the datapath on this machine.

    Each that needs a lab makes one of its own, and removes it.  What is to be compared is measured in turn.
    The median of the rounds is the figure; the best one tells how quiet the machine was; net is the median
    without what measuring costs.  docs/performance.md says what each row means.
    """
    from dataclasses import replace

    from netns_lab.bench import BENCHMARKS, FULL, LARGE, QUICK

    if quick and large:
        raise UsageError("--quick and --large exclude each other")

    for name in names:
        if name not in BENCHMARKS:
            raise UsageError(f"there is no benchmark {name!r}", "there are " + ", ".join(BENCHMARKS))
    effort = QUICK if quick else LARGE if large else FULL
    if rounds:
        effort = replace(effort, rounds=rounds)
    _print(context, names or tuple(BENCHMARKS), effort)


def _print(context: Context, names: Sequence[str], effort: Effort) -> None:
    from netns_lab.bench import measure
    from netns_lab.bench.figures import machine, table

    about = machine()
    if context.output != "text":
        with closing(measure(names, effort, context.note)) as found:
            print_json(context, SCHEMA, "figures", (row.to_dict(about) for row in _watched(found)))
        return
    click.echo(
        f"kernel {about['kernel']}, {about['cpus']} x {about['cpu']}, ctl {about['version']}"
        + (f" ({about['commit']})" if about["commit"] else "")
    )
    for name in names:
        with closing(measure([name], effort, context.note)) as found:
            lines = table(_watched(found))
        click.echo(f"\n{name}  (rounds: {effort.rounds})")
        for line in lines:
            click.echo(f"  {line}")


def _watched(found: Iterable[Row]) -> Iterator[Row]:
    """The rows, while whoever sits at the terminal sees that they come."""
    watched = sys.stderr.isatty()
    for count, row in enumerate(found, 1):
        if watched:
            click.echo(f"\r{row.benchmark}: {count} figures ", err=True, nl=False)
        yield row
    if watched:
        click.echo("\r\033[K", err=True, nl=False)
