"""`ctl normalize-actions`: what an action list does to the packets of each VLAN, whatever order it is written in.

Lists that differ may do the same: push a tag, output and pop it, or output first.  Here each action stands with
the tags that a packet of the flow has when it comes to that action; there, outputs that follow one another are
sorted.  Tags are all that is followed through the list.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

import click

from ctl.action import Output, PopVlan, PushVlan
from ctl.cli.common import examples, pass_context, port_name, port_number, print_json
from ctl.cli.main import Context
from ctl.errors import UsageError
from ctl.text import format_actions, format_match, parse_actions, parse_flow
from ctl.validate import ETH_MPLS, TCI_PRESENT

if TYPE_CHECKING:
    from ctl.action import Actions
    from ctl.flow import FlowKey
    from ctl.text.show_actions import PortName

SCHEMA: Final = "ctl/normalized/1"
_ETH_VLAN: Final = 0x8100
_MOST_TAGS: Final = 2

Tags = tuple[tuple[int, int], ...]  # type and TCI of each, from the outer one


def by_tags(actions: Actions, key: FlowKey) -> dict[Tags, Actions]:
    """The actions of a list, but for those that push and pop tags, by the tags before them, in the order of those."""
    tags = _tags(key)
    found: dict[Tags, list[Any]] = {}
    for action in actions:
        if isinstance(action, PopVlan):
            tags = tags[1:]
        elif isinstance(action, PushVlan):
            tags = ((action.tpid, action.tci), *tags)[:_MOST_TAGS]
        else:
            found.setdefault(tags, []).append(action)
    ordered = {}
    for at, list_ in sorted(found.items()):
        runs = groupby(list_, lambda action: isinstance(action, Output))
        ordered[at] = tuple(
            action
            for is_output, run in runs
            for action in (sorted(run, key=lambda output: output.port) if is_output else run)
        )
    return ordered


def _tags(key: FlowKey) -> Tags:
    both = ((key["vlan_tpid"], key["vlan_tci"]), (key["cvlan_tpid"], key["cvlan_tci"]))
    return tuple((tpid, tci) for tpid, tci in both if tci & TCI_PRESENT)


def _tags_text(tags: Tags) -> str:
    texts = []
    for tpid, tci in tags:
        kind = "" if tpid == _ETH_VLAN else f"tpid={tpid:#06x},"
        texts.append(f"vlan({kind}vid={tci & 0xFFF},pcp={tci >> 13}): ")
    return "".join(texts) or "no vlan: "


def _mpls(key: FlowKey) -> dict[str, int] | None:
    """The outer label."""
    if key["eth_type"] not in ETH_MPLS:
        return None
    lse = key["mpls_lse"] >> 64
    return {"label": lse >> 12, "tc": lse >> 9 & 7, "ttl": lse & 0xFF}


def _row(tags: Tags, actions: Actions, key: FlowKey, named: PortName | None) -> dict[str, Any]:
    vlans = [{"tpid": tpid, "vid": tci & 0xFFF, "pcp": tci >> 13} for tpid, tci in tags]
    return {"vlans": vlans, "mpls": _mpls(key), "actions": format_actions(actions, named)}


def _line(tags: Tags, actions: Actions, key: FlowKey, named: PortName | None) -> str:
    mpls = _mpls(key)
    label = "no mpls" if mpls is None else f"mpls({','.join(f'{name}={number}' for name, number in mpls.items())})"
    return f"{_tags_text(tags)}{label}: {format_actions(actions, named)}"


@click.command(
    "normalize-actions",
    epilog=examples(
        "ctl normalize-actions 'in_port(1),eth(),eth_type(0x0800),ipv4()' 'push_vlan(vid=9,pcp=0),3,2,pop_vlan,1'",
        "ctl -o json normalize-actions 'in_port(1),eth()' 2,1",
    ),
)
@click.option("--names", is_flag=True, help="Print ports by name, as the datapath has them.")
@click.argument("flow", metavar="FLOW", help="A key, such as 'in_port(1),eth()': what the packets are like at first.")
@click.argument("actions", metavar="ACTIONS", help="What becomes of them.")
@pass_context
def normalize_actions(context: Context, flow: str, actions: str, names: bool) -> None:
    """Print what actions do on each VLAN, in one order.

    Lists that send the same packets print the same.  Nothing is changed, and without names of ports no
    datapath is needed.
    """

    def number(name: str) -> int | None:
        with context.open() as datapath:
            return port_number(datapath)(name)

    match = parse_flow(flow, number).match
    if match is None:
        raise UsageError("a UFID alone says nothing of the packets", "give the key, such as in_port(1),eth()")
    groups = by_tags(parse_actions(actions, number), match.key)
    named = None
    if names:
        with context.open() as datapath:
            named = port_name(datapath)
    if context.output != "text":
        rows = [_row(tags, list_, match.key, named) for tags, list_ in groups.items()]
        print_json(context, SCHEMA, "normalized", rows)
        return
    click.echo(f"input flow: {format_match(match.key, match.mask, port_name=named)}")
    for tags, list_ in groups.items():
        click.echo(_line(tags, list_, match.key, named))
