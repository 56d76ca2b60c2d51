"""How flows are printed.  Apart from the commands that read flows, for those that only show them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ctl.cli.common import now_ms, port_name, print_json
from ctl.cli.main import Context
from ctl.jsonout import SCHEMA, flow_row
from ctl.text import format_flow

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ctl.flow import Flow
    from ctl.kernel.datapath import KernelDatapath


def print_flows(
    context: Context,
    datapath: KernelDatapath,
    flows: Iterable[Flow],
    *,
    more: bool = False,
    names: bool = False,
    omit: frozenset[str] = frozenset(),
) -> None:
    """Each flow as a line of text, or as a row of ctl/flow/1, without the parts ``omit``."""
    now = now_ms()
    if context.output != "text":
        print_json(context, SCHEMA, "flows", (flow_row(flow, now, datapath.name, omit) for flow in flows))
        return
    named = port_name(datapath) if names else None
    for flow in flows:
        line = format_flow(flow, now, more=more, port_name=named, omit=omit)
        name, comma, rest = line.partition(", ")
        click.echo((context.paint(name, "cyan") if flow.ufid else name) + comma + rest)
