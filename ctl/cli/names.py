"""What a half-written word may become: the names that a shell completes.

Options and arguments say `shell_complete=complete("hosts")`, with the name of a function of this module, which
is imported when a shell asks.  The functions ask the kernel for what is there and stay quiet when it refuses:
whoever presses the tab key is in the middle of a line.  Of the flows only so many are looked at, so that a full
table does not hold up the shell.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import islice
from typing import Final

import click
from click.shell_completion import CompletionItem

from ctl.cli.main import COMMANDS, DEFAULT_NAME, Context
from ctl.errors import CtlError
from ctl.ufid import MAX_OCTETS

MOST_FLOWS: Final = 8192  # looked at, which takes a tenth of a second
MOST_NAMES: Final = 256  # offered

# What a completion is called with, and what it yields: a word, or one with a word of explanation.
Completion = Callable[[click.Context, click.Parameter, str], list[CompletionItem[str]]]
Name = str | tuple[str, str]


def completion(find: Callable[[Context, str], Iterable[Name]]) -> Completion:
    """From what finds names to a `shell_complete`: only what fits, never too much, and no errors."""

    @functools.wraps(find)
    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:  # noqa: ARG001 - click's signature
        items: list[CompletionItem[str]] = []
        with suppress(CtlError, OSError):
            for name in islice(_fitting(find(_context(ctx), incomplete), incomplete), MOST_NAMES):
                items.append(name)  # noqa: PERF402 - what was found before an error still helps
        return items

    return complete


def _fitting(names: Iterable[Name], incomplete: str) -> Iterator[CompletionItem[str]]:
    for name in names:
        word, note = (name, None) if isinstance(name, str) else name
        if word.startswith(incomplete):
            yield CompletionItem(word, help=note)


def _context(ctx: click.Context) -> Context:
    """What the options before the command say, which click has read but not passed to anybody."""
    said = ctx.find_root().params
    return Context(dp=said.get("dp"), output="text", timeout_s=0.0, verbose=False, color=False)


@completion
def commands(_context: Context, _incomplete: str) -> Iterator[Name]:
    """Every command."""
    for names in COMMANDS.values():
        yield from names


@completion
def datapaths(_context: Context, _incomplete: str) -> Iterable[Name]:
    """Every datapath."""
    from ctl.kernel.lifecycle import datapath_names

    return datapath_names()


@completion
def ports(context: Context, incomplete: str) -> Iterator[Name]:
    """The ports of the datapath that is meant: by name, or by number where one was begun."""
    with context.open() as datapath:
        for port in datapath.ports():
            number = f"{port.number}"
            yield (number, port.name) if incomplete.isdigit() else (port.name, f"port {number}")


@completion
def ufids(context: Context, incomplete: str) -> Iterator[Name]:
    """The UFIDs of flows, in the form that was begun: with `ufid:` or, of those of 16 octets, bare."""
    bare = bool(incomplete) and not "ufid:".startswith(incomplete[:5].lower())
    with context.open() as datapath:
        for flow in islice(datapath.flow_dump(), MOST_FLOWS):
            if flow.ufid is not None and not bare:
                yield str(flow.ufid)
            elif flow.ufid is not None and len(flow.ufid.octets) == MAX_OCTETS:
                yield flow.ufid.bare


@completion
def selections(_context: Context, incomplete: str) -> Iterator[Name]:
    """What chooses flows, and of a type the types."""
    from ctl.cli.selection import TYPES

    if incomplete.startswith("type="):
        yield from (f"type={name}" for name in TYPES)
    else:
        yield from ("filter=", "type=", "where=")


@completion
def meters(context: Context, _incomplete: str) -> Iterator[Name]:
    """The numbers of meters."""
    from ctl.text.meters import format_meter

    with context.open() as datapath:
        for meter in datapath.meters():
            yield f"{meter.id}", format_meter(meter)


@completion
def hosts(context: Context, _incomplete: str) -> Iterator[Name]:
    """The hosts of the lab that is meant."""
    from netns_lab.record import existing

    topology = existing(context.dp or DEFAULT_NAME)
    for host in topology.hosts if topology else ():
        yield host.name, host.ipv4


@completion
def topologies(_context: Context, incomplete: str) -> Iterator[Name]:
    """The topologies that are shipped, and the files here."""
    from netns_lab.files import BUILT_IN

    yield from BUILT_IN
    folder = os.path.dirname(incomplete)
    yield from (os.path.join(folder, name) for name in sorted(os.listdir(folder or ".")) if name.endswith(".toml"))


@completion
def namespaces(_context: Context, _incomplete: str) -> Iterator[Name]:
    """Every network namespace that has a name."""
    from ctl.netns import NetNs

    for namespace in NetNs.all_named():
        yield namespace.name


@completion
def devices(_context: Context, incomplete: str) -> Iterator[Name]:
    """The devices of this network namespace, and after a comma what may be said of a port."""
    from ctl.netns import NetNs

    device, comma, said = incomplete.rpartition(",")
    if not comma:
        yield from sorted(os.listdir("/sys/class/net"))
    elif said.startswith("netns="):
        yield from (f"{device},netns={namespace.name}" for namespace in NetNs.all_named())
    else:
        yield from (f"{device},{option}" for option in ("hook=tc", "hook=xdp", "netns=", "port_no="))


@completion
def benchmarks(_context: Context, _incomplete: str) -> Iterable[Name]:
    """Every benchmark."""
    from netns_lab.bench import BENCHMARKS

    return BENCHMARKS
