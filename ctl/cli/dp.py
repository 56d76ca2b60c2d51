"""The commands over datapaths and ports."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import click

from ctl.cli.common import examples, pass_context, print_json
from ctl.cli.main import Context, complete
from ctl.errors import Absent, NotFound, UsageError
from ctl.netns import DeviceCounters, NetNs

if TYPE_CHECKING:
    from ctl.datapath import PortStats
    from ctl.kernel.datapath import KernelDatapath
    from ctl.manage import Added

DEFAULT_MAX_FLOWS: Final = 65536
DEFAULT_MAX_MASKS: Final = 64
_STATE_NOTES: Final = {"attached": [], "gone": ["device gone"], "moved": ["moved to another namespace"]}
_HOOK_NOTES: Final = {"xdp/generic": ["generic XDP"], "tc": ["tc only"]}


@click.command("add-dp", epilog=examples("ctl add-dp br0", "ctl add-dp br1 --max-flows 100000 --netns blue"))
@click.option("--max-flows", type=int, default=DEFAULT_MAX_FLOWS, show_default=True, metavar="N",
              help="How many flows it can hold.")  # fmt: skip
@click.option("--max-masks", type=int, default=DEFAULT_MAX_MASKS, show_default=True, metavar="N",
              help="How many masks, up to 256.")  # fmt: skip
@click.option("--max-action-units", type=int, metavar="N",
              help="Room for action lists: an output takes 1, a NAT to an IPv4 address and port about 8.  "
                   "[default: 1.5 for each flow]")  # fmt: skip
@click.option("--netns", metavar="NAME", shell_complete=complete("namespaces"),
              help="Where its ports live.  [default: the caller's network namespace]")  # fmt: skip
@click.argument("name", metavar="[NAME]", required=False,
                help="Its name, and that of its local port.  [default: --dp, else lab]")  # fmt: skip
@pass_context
def add_dp(
    context: Context, name: str | None, max_flows: int, max_masks: int, max_action_units: int | None, netns: str | None
) -> None:
    """Make a datapath with its local port 0.

    The local port is a device of the same name, through which the host's own stack takes part.
    """
    from ctl.kernel.maps import Sizes
    from ctl.manage import add_datapath

    namespace = NetNs.named(netns) if netns else NetNs.current()
    sizes = Sizes(max_flows=max_flows, max_masks=max_masks, max_units=max_action_units or 0)
    add_datapath(_new_name(context, name), sizes, namespace, context.timeout_s, context.note)


def _new_name(context: Context, name: str | None) -> str:
    return name or context.dp or "lab"


@click.command("del-dp", epilog=examples("ctl del-dp br0"))
@click.argument("name", metavar="[NAME]", required=False, shell_complete=complete("datapaths"),
                help="The datapath.  [default: --dp, else the only one there is]")  # fmt: skip
@pass_context
def del_dp(context: Context, name: str | None) -> None:
    """Remove a datapath with its local port and its flows.

    The devices that were its ports stay.
    """
    from ctl.manage import delete_datapath

    delete_datapath(name or context.name, context.timeout_s, context.note)


@click.command("dump-dps", epilog=examples("ctl dump-dps", "ctl -o json dump-dps"))
@pass_context
def dump_dps(context: Context) -> None:
    """List the datapaths."""
    from ctl.kernel.lifecycle import datapath_names

    names = datapath_names()
    if context.output != "text":
        print_json(context, "ctl/dp-name/1", "datapaths", ({"name": name} for name in names))
        return
    for name in names:
        click.echo(f"xdp@{name}")


@click.command("show", epilog=examples("ctl show", "ctl --dp br0 show -s"))
@click.option("-s", "--statistics", is_flag=True, help="Print the counters of each port, and of each drop reason.")
@pass_context
def show(context: Context, statistics: bool) -> None:
    """Show datapaths: look-ups, flows, masks and ports."""
    from ctl.kernel.datapath import KernelDatapath
    from ctl.kernel.lifecycle import datapath_names

    context.note_interrupted()
    names = [context.dp] if context.dp else datapath_names()
    if not names:
        raise Absent("there is no datapath", "ctl add-dp NAME, or ctl up for a lab")
    rows = []
    for name in names:
        with KernelDatapath(name, context.timeout_s) as datapath:
            if context.output == "text":
                show_text(context, datapath, statistics=statistics)
            else:
                rows.append(dp_to_dict(datapath))
    if context.output != "text":
        print_json(context, "ctl/dp/1", "datapaths", rows)


def show_text(context: Context, datapath: KernelDatapath, *, statistics: bool) -> None:
    """One datapath as `ovs-dpctl show` prints it."""
    stats = datapath.stats()
    lookups = stats.hit + stats.missed
    click.echo(context.paint(f"xdp@{datapath.name}:", "cyan"))
    click.echo(f"  lookups: hit:{stats.hit} missed:{stats.missed} lost:{stats.lost}")
    click.echo(f"  flows: {stats.flows}")
    click.echo(
        f"  masks: hit:{stats.mask_hit} total:{stats.masks} hit/pkt:{stats.mask_hit / lookups if lookups else 0:.2f}"
    )
    if statistics:
        click.echo("  drops: " + " ".join(f"{reason}:{count}" for reason, count in stats.drops.items()))
        click.echo(f"  stale: {stats.stale}  upcalls: {stats.upcalls}  generation: {stats.generation}")
    counters = datapath.port_stats() if statistics else {}
    devices = _device_counters(datapath) if statistics else {}
    for port in datapath.ports():
        notes = [port.kind] if port.kind != "netdev" else []
        notes += _HOOK_NOTES.get(port.hook, [])
        notes += _STATE_NOTES[port.state]
        notes += [] if port.takes_redirects else ["no redirects"]
        click.echo(f"  port {port.number}: {port.name}" + (f" ({', '.join(notes)})" if notes else ""))
        if port.number in counters:
            _show_counters(counters[port.number], devices.get(port.device))


def _show_counters(ours: PortStats, device: DeviceCounters | None) -> None:
    """A port's counters as OVS prints them.

    Packets, bytes and what is dropped on the way in are the program's; all else is the device's own: what
    it lost after the program had sent it is under TX.
    """
    d = device._asdict() if device else dict.fromkeys(DeviceCounters._fields, "?")
    click.echo(
        f"    RX packets:{ours.rx_packets} errors:{d['rx_errors']} dropped:{ours.rx_dropped}"
        f" overruns:{d['rx_overruns']} frame:{d['rx_frame']}"
    )
    click.echo(
        f"    TX packets:{ours.tx_packets} errors:{d['tx_errors']} dropped:{d['tx_dropped']}"
        f" aborted:? carrier:{d['tx_carrier']}"
    )
    click.echo(f"    collisions:{d['collisions']}")
    click.echo(f"    RX bytes:{ours.rx_bytes}  TX bytes:{ours.tx_bytes}")


def _device_counters(datapath: KernelDatapath) -> dict[str, DeviceCounters]:
    """Of all devices where the ports live; none when that is gone."""
    try:
        return datapath.netns.device_counters()
    except Absent:
        return {}


def dp_to_dict(datapath: KernelDatapath) -> dict[str, Any]:
    """One datapath as a row of ctl/dp/1."""
    counters, devices = datapath.port_stats(), _device_counters(datapath)
    return {
        "name": datapath.name,
        "max_flows": datapath.sizes.max_flows,
        "max_masks": datapath.sizes.max_masks,
        "max_action_units": datapath.sizes.max_units,
        **asdict(datapath.stats()),
        "ports": [
            {
                **asdict(port),
                "statistics": asdict(counters[port.number]),
                "device_statistics": devices[port.device]._asdict() if port.device in devices else None,
            }
            for port in datapath.ports()
        ],
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Device:
    """One argument of add-if: DEV[,port_no=N][,hook=xdp|tc][,netns=NS]."""

    name: str
    number: int | None = None
    netns: str | None = None
    tc_only: bool = False


def _device(argument: str) -> _Device:
    name, *options = argument.split(",")
    number, netns, tc_only = None, None, False
    if not name:
        raise UsageError(f"{argument!r} names no device", "DEV[,port_no=N][,hook=tc][,netns=NS]")
    for option in options:
        key, _, value = option.partition("=")
        if key == "port_no" and value.isdigit():
            number = int(value)
        elif key == "netns" and value:
            netns = value
        elif key == "hook" and value in ("xdp", "tc"):
            tc_only = value == "tc"
        else:
            raise UsageError(f"{option!r} is no option of a port", "port_no=NUMBER, hook=xdp, hook=tc or netns=NAME")
    return _Device(name=name, number=number, netns=netns, tc_only=tc_only)


@click.command(
    "add-if", epilog=examples("ctl add-if eth1 eth2,port_no=7", "ctl --dp br1 add-if eth3,netns=blue,hook=tc")
)
@click.option("--force", is_flag=True, help="Even a device that carries the default route.")
@click.argument("devices", metavar="DEV[,OPTION]...", nargs=-1, required=True, shell_complete=complete("devices"),
                help="A device, with port_no=N, hook=xdp, hook=tc or netns=NAME behind commas.")  # fmt: skip
@pass_context
def add_if(context: Context, devices: tuple[str, ...], force: bool) -> None:
    """Make devices ports of the datapath.

    They are looked for in the caller's network namespace, or in netns=NAME.  With hook=tc a port has no XDP:
    slower for single packets, but the host's own TCP keeps its offloads.  A port whose
    device was deleted or moved away gets the device of that name, with its old number and counters.
    """
    from ctl.manage import add_port

    wanted = [_device(argument) for argument in devices]
    with context.change() as datapath:
        made = (
            add_port(
                datapath, device.name, device.number, NetNs.named(device.netns) if device.netns else None,
                tc_only=device.tc_only, force=force, tell=context.note,
            )
            for device in wanted
        )  # fmt: skip
        if context.output != "text":
            print_json(context, "ctl/port/1", "ports", (added_to_dict(datapath.name, added) for added in made))
            return
        for added in made:
            port = added.port
            context.note(f"{port.device} is port {port.number} of {datapath.name} ({port.hook})")
            for line in (*added.done, *added.problems):
                context.note(f"  {line}")


def added_to_dict(datapath: str, added: Added) -> dict[str, Any]:
    """A new port as a row of ctl/port/1."""
    return {"datapath": datapath, **asdict(added.port), "done": list(added.done), "problems": list(added.problems)}


@click.command("del-if", epilog=examples("ctl del-if eth1", "ctl del-if 7"))
@click.argument("ports", metavar="DEV|PORT...", nargs=-1, required=True, shell_complete=complete("ports"),
                help="A port's device, name or number.")  # fmt: skip
@pass_context
def del_if(context: Context, ports: tuple[str, ...]) -> None:
    """Take ports out of the datapath.

    The devices stay, with their offloads as add-if found them.
    """
    from ctl.manage import delete_port

    with context.change() as datapath:
        for number in [_port(datapath, argument) for argument in ports]:
            delete_port(datapath, number, context.note)


def _port(datapath: KernelDatapath, argument: str) -> int:
    """The number of a port given by number, name or device."""
    for port in datapath.ports():
        if argument in (str(port.number), port.name, port.device):
            return port.number
    raise NotFound(f"{datapath.name} has no port {argument}", "ctl show lists the ports")
