"""dump-flows: all flows, those that are asked for, or what has changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from ctl.cli.common import examples, now_ms, pass_context, port_name, port_number, print_json
from ctl.cli.main import Context, complete
from ctl.cli.rows import print_flows
from ctl.errors import UsageError
from ctl.flow import KEY_SIZE, FlowKey
from ctl.history import ADDED, CHANGED, DELETED, FLUSHED, Changes
from ctl.jsonout import change_row
from ctl.text import format_flow, format_match, format_terse

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ctl.flow import Flow
    from ctl.kernel.datapath import KernelDatapath

_SIGNS: Final = {ADDED: "+", CHANGED: "~", DELETED: "-", FLUSHED: "-"}
_EXACT: Final = FlowKey(b"\xff" * KEY_SIZE)
_PARTS: Final = frozenset({"key", "mask", "actions"})  # that --omit leaves out


def _print_changes(
    context: Context, datapath: KernelDatapath, changes: Changes, *, more: bool = False, names: bool = False
) -> None:
    """Each difference as a line of text, then the generation; or as a row of ctl/change/1."""
    now = now_ms()
    if context.output != "text":
        rows = (change_row(row, now, datapath.name, changes.generation) for row in changes.differences)
        print_json(context, "ctl/change/1", "changes", rows)
        return
    named = port_name(datapath) if names else None
    for row in changes.differences:
        if row.flow is not None:
            text = format_flow(row.flow, now, more=more, port_name=named)
        elif isinstance(row.who, FlowKey):
            text = format_match(row.who, _EXACT, port_name=named)
        elif row.who is not None:
            text = str(row.who)
        else:
            sums = "" if row.packets is None else f", packets:{row.packets}, bytes:{row.bytes}"
            text = f"all, flows:{row.flows}{sums}"
        click.echo(f"{_SIGNS[row.change]} {text}")
    click.echo(f"generation: {changes.generation}")


def _print_terse(context: Context, datapath: KernelDatapath, *, names: bool) -> None:
    """Names and statistics, read without key, mask and actions."""
    now, named = now_ms(), port_name(datapath) if names else None
    for flow in datapath.flow_dump_terse():
        name, comma, rest = format_terse(flow, now, port_name=named).partition(", ")
        click.echo((name if isinstance(flow.who, FlowKey) else context.paint(name, "cyan")) + comma + rest)


def _parts(ctx: click.Context, param: click.Parameter, value: str | None) -> frozenset[str]:  # noqa: ARG001 - click's signature
    """The parts of flows that --omit names."""
    parts = frozenset(value.split(",")) if value else frozenset()
    for part in sorted(parts - _PARTS):
        raise UsageError(f"--omit {value}: flows have no part {part!r}", f"parts: {', '.join(sorted(_PARTS))}")
    return parts


@click.command(
    "dump-flows",
    epilog=examples(
        "ctl dump-flows -m",
        "ctl dump-flows filter=tcp,tp_dst=80 --sort -bytes --limit 10",
        "ctl dump-flows type=tc where='packets > 100 and ipv4.dst in 10.0.0.0/8 and used < 5'",
        "ctl -o jsonl dump-flows --terse",
        "ctl dump-flows --since 0",
    ),
)
@click.option("-m", "--more", is_flag=True, help="Print wildcarded fields too, and where each flow runs.")
@click.option("-s", "--statistics", is_flag=True, expose_value=False, help="As without: statistics are always printed.")
@click.option("--names", is_flag=True, help="Print ports by name.")
@click.option("--terse", is_flag=True, help="Print names and statistics alone: --omit key,mask,actions.")
@click.option("--omit", metavar="PARTS", callback=_parts,
              help="Leave out key, mask or actions, or several of them with commas between; a flow without a UFID "
                   "keeps its key.")  # fmt: skip
@click.option("--sort", metavar="FIELD",
              help="Sort by packets, bytes, used, ufid or a field of keys such as ipv4.dst; "
                   "-FIELD: largest first.")  # fmt: skip
@click.option("--limit", type=click.IntRange(min=0), metavar="N", help="Print the first N alone.")
@click.option("--since", type=click.IntRange(min=0), metavar="GENERATION",
              help="Print what is not as it was then: + new, ~ changed, - removed; and the generation.")  # fmt: skip
@click.argument("words", metavar="[WORD]...", nargs=-1, shell_complete=complete("selections"),
                help="filter=FLOW, where=CONDITION or type=TYPE: which flows.  "
                     "The manual page has the fields of both.")  # fmt: skip
@pass_context
def dump_flows(
    context: Context, words: tuple[str, ...], more: bool, names: bool, terse: bool, omit: frozenset[str],
    sort: str | None, limit: int | None, since: int | None,
) -> None:  # fmt: skip
    """Print all flows, or those that words choose.

    filter= is ovs-dpctl's: a match as OpenFlow writes it. type= is xdp (or offloaded), tc (or non-offloaded) or all;
    ovs, dpdk and partially-offloaded are known and have no flows here.

    Each change of the flow table is a generation. To follow the table take its generation from 'show -s' or JSON,
    then all flows, then --since with the generation that was printed last. Several changes of a flow are one.
    '- all' is that of del-flows; what follows it is all there is. The log of changes is short: when it does
    not reach back so far the exit status is 3, and one begins anew.
    """
    chosen = bool(words or sort) or limit is not None
    if since is not None and (chosen or terse or omit):
        raise UsageError(
            "--since prints every change whole", "choose or shorten without --since, or say -m and --names"
        )
    with context.open() as datapath:
        if since is not None:
            _print_changes(context, datapath, datapath.flow_changes(since), more=more, names=names)
            return
        if (terse or omit == _PARTS) and context.output == "text" and not (more or chosen):
            _print_terse(context, datapath, names=names)
            return
        flows: Iterable[Flow] = datapath.flow_dump()
        if chosen:
            from ctl.cli.selection import conditions_of, selected

            flows = selected(flows, conditions_of(words, port_number(datapath)), sort, limit, now_ms())
        print_flows(context, datapath, flows, more=more, names=names, omit=_PARTS if terse else omit)
