"""The commands over meters."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

import click

from ctl.cli.common import examples, now_ms, pass_context, print_json
from ctl.cli.main import Context, complete
from ctl.errors import UsageError
from ctl.text.meters import format_meter, parse_meter

if TYPE_CHECKING:
    from ctl.kernel.datapath import KernelDatapath
    from ctl.meter import Meter

SCHEMA: Final = "ctl/meter/1"


def meter_row(meter: Meter, now: int, datapath: str) -> dict[str, Any]:
    """A meter as a row of ctl/meter/1.  ``now`` is CLOCK_MONOTONIC in milliseconds."""
    stats = meter.stats
    return {
        "datapath": datapath,
        "id": meter.id,
        "unit": "kbps" if meter.kbps else "pktps",
        "packets": stats.packets,
        "bytes": stats.bytes,
        "used_ms": None if stats.used_ms is None else max(now - stats.used_ms, 0),
        "bands": [
            {
                "type": "drop",
                "rate": band.rate,
                "burst_size": band.burst,
                "packets": stats.exceeded_packets,
                "bytes": stats.exceeded_bytes,
            }
            for band in meter.bands
        ],
    }


def _print(context: Context, datapath: KernelDatapath, meters: Iterable[Meter], *, statistics: bool) -> None:
    now = now_ms()
    if context.output != "text":
        print_json(context, SCHEMA, "meters", (meter_row(meter, now, datapath.name) for meter in meters))
        return
    for meter in meters:
        click.echo(format_meter(meter, now, statistics=statistics))


@click.command(
    "add-meter",
    epilog=examples(
        "ctl add-meter meter=1,pktps,burst,band=type=drop,rate=100,burst_size=10",
        "ctl add-meter --clear -s 'meter=1 kbps bands=type=drop rate=8000'",
    ),
)
@click.option("--clear", is_flag=True, help="Zero the statistics of a meter that is there.")
@click.option("-s", "--statistics", is_flag=True, help="Print the meter that is replaced, if any, with its statistics.")
@click.argument("meter", metavar="METER", help="Its number, kbps or pktps, and its band, as ovs-ofctl writes them.")
@pass_context
def add_meter(context: Context, meter: str, clear: bool, statistics: bool) -> None:
    """Make a meter, or replace one.

    Packets of flows with meter(ID) among their actions that exceed the rate end there. The first burst_size + rate
    packets or kbit pass at once; without the flag burst, burst_size is the rate. Statistics of a
    meter that is replaced go on.
    """
    wanted = parse_meter(meter)
    with context.change() as datapath:
        old = datapath.meter_set(wanted, clear=clear)
        if statistics:
            _print(context, datapath, [old] if old else [], statistics=True)


@click.command("get-meter", epilog=examples("ctl get-meter 1", "ctl get-meter -s", "ctl -o json get-meter"))
@click.option("-s", "--statistics", is_flag=True, help="Print what the meters have counted, too.")
@click.argument("meter", metavar="[ID]", type=int, required=False, shell_complete=complete("meters"),
                help="The meter's number.  [default: all meters]")  # fmt: skip
@pass_context
def get_meter(context: Context, meter: int | None, statistics: bool) -> None:
    """Print meters.

    What is printed without -s, add-meter reads.
    """
    with context.open() as datapath:
        found = datapath.meters() if meter is None else [datapath.meter_get(meter)]
        _print(context, datapath, found, statistics=statistics)


@click.command("del-meter", epilog=examples("ctl del-meter -s 1", "ctl del-meter --all"))
@click.option("-s", "--statistics", is_flag=True, help="Print what goes, with its final statistics.")
@click.option("--all", "every", is_flag=True, help="Remove all meters.")
@click.argument("meter", metavar="[ID]", type=int, required=False, shell_complete=complete("meters"),
                help="The meter's number.")  # fmt: skip
@pass_context
def del_meter(context: Context, meter: int | None, every: bool, statistics: bool) -> None:
    """Remove a meter.

    Flows that name it stay, and let all packets pass.
    """
    if every == (meter is not None):
        raise UsageError("which meter is meant?", "ctl del-meter ID, or ctl del-meter --all")
    with context.change() as datapath, datapath.hold():
        numbers = [each.id for each in datapath.meters()] if meter is None else [meter]
        gone = [datapath.meter_del(number) for number in numbers]
        if statistics:
            _print(context, datapath, gone, statistics=True)
