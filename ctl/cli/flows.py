"""The commands over one flow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from ctl.cli.common import examples, now_ms, pass_context, port_number, print_json
from ctl.cli.main import Context, complete
from ctl.cli.rows import print_flows
from ctl.errors import NotFound, UsageError
from ctl.flow import FlowId
from ctl.text import format_flow, parse_actions, parse_flow, parse_flow_id
from ctl.ufid import UfidPrefix

if TYPE_CHECKING:
    from collections.abc import Callable

    from ctl.flow import Flow, Match
    from ctl.kernel.datapath import KernelDatapath

MAPS_SCHEMA: Final = "ctl/flow-maps/1"
_FLOW_HELP: Final = "A UFID, the first 6 digits or more of one, or the key of a flow without a UFID."


def _which(datapath: KernelDatapath, argument: str) -> FlowId:
    """The flow that an argument names: a UFID, the beginning of one, or a key."""
    name = parse_flow_id(argument, port_number(datapath))
    if not isinstance(name, UfidPrefix):
        return name
    found = [ufid for ufid in datapath.ufids() if name.matches(ufid)]
    if not found:
        raise NotFound(f"{datapath.name} has no flow whose UFID begins with {name.digits}", "ctl dump-flows lists them")
    if len(found) > 1:
        shown = " ".join(str(ufid) for ufid in sorted(found)[:10])
        raise UsageError(f"{name.digits} begins {len(found)} UFIDs", f"give more digits: {shown}")
    return found[0]


def _compat(command: Callable[..., None]) -> Callable[..., None]:
    """The options of commands that ask what a client of the kernel's datapath could ask."""
    probe = click.option("--probe", is_flag=True, help="Do not log a refusal, which -v shows otherwise.")
    kernel = click.option(
        "--compat",
        type=click.Choice(["ours", "kernel"]),
        default="ours",
        help="Whose rules hold; with 'kernel' overlapping flows can be taken for one.  [default: ours]",
    )
    return kernel(probe(command))


def _own_match(datapath: KernelDatapath, argument: str) -> Match | None:
    """The match that an argument has; None when it is a UFID, or the beginning of one, alone."""
    return parse_flow(argument, port_number(datapath)).match if "(" in argument else None


@click.command(
    "add-flow",
    epilog=examples(
        "ctl add-flow 'ufid:0a0b0c0d-0000-0000-0000-000000000001,in_port(1),eth(),eth_type(0x86dd),ipv6()' 2",
        "ctl add-flow 'in_port(2),eth()' drop",
    ),
)
@click.option("--may-exist", is_flag=True, help="Replace the actions if a flow of this name and match is there.")
@click.option("--check-overlap", is_flag=True, help="Name the flows that overlap with it and have other actions.")
@_compat
@click.argument("flow", metavar="FLOW", help="A key with masks, such as 'in_port(1),eth()'; 'ufid:...' names it.")
@click.argument("actions", metavar="ACTIONS", help="What becomes of its packets: ports, edits, or 'drop'.")
@pass_context
def add_flow(
    context: Context, flow: str, actions: str, may_exist: bool, check_overlap: bool, compat: str, probe: bool
) -> None:
    """Install a flow.

    With 'ufid:...' in FLOW it is named by that, else by its key. A flow that overlaps with others is installed with
    --check-overlap too.
    """
    from ctl.requests import Command, refusals_logged

    with context.change() as datapath, refusals_logged(Command.NEW, probe=probe):
        parsed = parse_flow(flow, port_number(datapath))
        action_list = parse_actions(actions, port_number(datapath))
        if parsed.match is None:
            raise UsageError("a UFID alone is no flow: add-flow needs its key", "such as in_port(1),eth(),...")
        with datapath.hold():
            installed = datapath.flow_new(
                parsed.match, action_list, parsed.ufid, may_exist=may_exist, like_kernel=compat == "kernel"
            )
            if check_overlap:
                _tell_overlaps(context, datapath, installed)


def _tell_overlaps(context: Context, datapath: KernelDatapath, flow: Flow) -> None:
    """Name the flows with which one overlaps, and who wins."""
    from ctl.overlap import overlapping

    ranks, now = datapath.masks(), now_ms()
    for other in overlapping(flow.match, flow.actions, datapath.flow_dump()):
        wins = ranks.index(flow.match.mask) < ranks.index(other.match.mask)
        context.note(f"ctl: overlaps, and {'wins over' if wins else 'loses to'} {format_flow(other, now)}")


@click.command(
    "mod-flow",
    epilog=examples("ctl mod-flow ufid:0a0b0c0d-0000-0000-0000-000000000001 3", "ctl mod-flow --clear -s 0a0b0c drop"),
)
@click.option("--may-create", is_flag=True, help="Install the flow if it is not there; FLOW then needs its key.")
@click.option("--clear", is_flag=True, help="Zero the flow's statistics.")
@click.option("-s", "--statistics", is_flag=True, help="Print the flow with its statistics from before.")
@_compat
@click.argument("flow", metavar="FLOW", shell_complete=complete("ufids"), help=_FLOW_HELP)
@click.argument("actions", metavar="ACTIONS", help="What becomes of its packets from now on.")
@pass_context
def mod_flow(
    context: Context,
    flow: str,
    actions: str,
    may_create: bool,
    clear: bool,
    statistics: bool,
    compat: str,
    probe: bool,
) -> None:
    """Replace a flow's actions.

    A key beside the UFID is no name, but the actions must suit it too.
    """
    from ctl.requests import Command, refusals_logged

    like_kernel = compat == "kernel"
    with context.change() as datapath, datapath.hold(), refusals_logged(Command.SET, probe=probe):
        action_list = parse_actions(actions, port_number(datapath))
        match = _own_match(datapath, flow)
        if may_create and match is not None:
            ufid = parse_flow(flow, port_number(datapath)).ufid
            changed = datapath.flow_new(match, action_list, ufid, may_exist=True, like_kernel=like_kernel)
            if clear and not like_kernel:
                changed = datapath.flow_set(changed.who, None, clear=True)
        else:
            who = _which(datapath, flow)
            changed = datapath.flow_set(who, action_list, match=match, clear=clear, like_kernel=like_kernel)
        if statistics:
            print_flows(context, datapath, [changed])


@click.command(
    "get-flow",
    epilog=examples(
        "ctl get-flow ufid:0a0b0c0d-0000-0000-0000-000000000001", "ctl get-flow 0a0b0c", "ctl get-flow --maps 0a0b0c"
    ),
)
@click.option("-m", "--more", is_flag=True, help="Print wildcarded fields too, and where the flow runs.")
@click.option("--names", is_flag=True, help="Print ports by name.")
@click.option("--maps", is_flag=True, help="Print where it lies in the maps too; in JSON, that alone.")
@click.argument("flow", metavar="FLOW", shell_complete=complete("ufids"), help=_FLOW_HELP)
@pass_context
def get_flow(context: Context, flow: str, more: bool, names: bool, maps: bool) -> None:
    """Print one flow.

    A flow that has a UFID is not found by its key, nor the reverse. With --maps, each element of a map that
    belongs to it, as bpftool prints it.
    """
    with context.open() as datapath:
        found = datapath.flow_get(_which(datapath, flow))
        if not maps or context.output == "text":
            print_flows(context, datapath, [found], more=more, names=names)
        if maps:
            _print_maps(context, datapath, found)


def _print_maps(context: Context, datapath: KernelDatapath, flow: Flow) -> None:
    """The elements of a flow, and how to look at one, or a row of ctl/flow-maps/1."""
    from ctl.kernel.bpffs import folder

    where, pins = datapath.where(flow.who), folder(datapath.name)
    if context.output != "text":
        elements = [
            {"map": e.map, "pin": str(pins / e.map), "key": e.key.hex(), "value": e.value.hex()} for e in where.elements
        ]
        ufid = None if flow.ufid is None else flow.ufid.bare
        place = {"slot": where.slot, "mask_id": where.mask_id, "table": where.table, "elements": elements}
        print_json(context, MAPS_SCHEMA, "flow-maps", [{"datapath": datapath.name, "ufid": ufid, **place}])
        return
    click.echo(f"  slot {where.slot}, mask {where.mask_id}, table {where.table}")
    for element in where.elements:
        click.echo(f"  {element.map:<8} key {element.key.hex(' ')}  value {element.value.hex(' ')}")
    click.echo(f"  bpftool map lookup pinned {pins}/MAP key hex KEY")


@click.command(
    "del-flow", epilog=examples("ctl del-flow ufid:0a0b0c0d-0000-0000-0000-000000000001", "ctl del-flow -s 0a0b0c")
)
@click.option("-s", "--statistics", is_flag=True, help="Print the flow with its final statistics.")
@click.argument("flow", metavar="FLOW", shell_complete=complete("ufids"), help=_FLOW_HELP)
@pass_context
def del_flow(context: Context, flow: str, statistics: bool) -> None:
    """Remove one flow."""
    with context.change() as datapath, datapath.hold():
        gone = datapath.flow_del(_which(datapath, flow))
        if statistics:
            print_flows(context, datapath, [gone])
