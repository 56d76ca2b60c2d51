"""The commands over the lab."""

from __future__ import annotations

import platform
import time
from typing import TYPE_CHECKING, Any, Final

import click

from ctl.cli.common import TRAFFIC_COUNT, examples, lab_name, pass_context, print_json, traffic_text
from ctl.cli.main import Context
from ctl.errors import Absent, CtlError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from netns_lab.topology import Topology
    from netns_lab.traffic import Result

_LAB_MAX_FLOWS: Final = 65536
_LAB_MAX_MASKS: Final = 64


class Steps:
    """One line for each step of `up`, on stderr, with what it took."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._began = time.monotonic()

    def done(self, what: str, text: str) -> None:
        """The step that began when the last one ended is over."""
        now = time.monotonic()
        self._context.note(f"{what:<12} {text}  ({now - self._began:.2f} s)")
        self._began = now


# --- up and down -------------------------------------------------------------------------------------


@click.command(epilog=examples("ctl up", "ctl up --hosts 5 --traffic 101"))
@click.option("--hosts", type=click.IntRange(2, 64), default=3, show_default=True, metavar="N",
              help="How many hosts.")  # fmt: skip
@click.option("--traffic", type=click.IntRange(1, 100_003), default=TRAFFIC_COUNT, show_default=True, metavar="N",
              help="Packets of each kind that each host sends.")  # fmt: skip
@click.option("--no-traffic", is_flag=True, help="Send nothing.")
@pass_context
def up(context: Context, hosts: int, traffic: int, no_traffic: bool) -> int:
    """Build a lab, send traffic through it and list its flows.

    The hosts h1, h2, ... are network namespaces, and so is the place of the datapath's ports: the
    host's own network is not touched.  Again is harmless: what is there stays.
    """
    from ctl.kernel.lifecycle import datapath_names
    from netns_lab.topology import existing, star

    name = lab_name(context)
    steps = Steps(context)
    topology = existing(name) if name in datapath_names() else None
    if topology is None:
        topology = star(hosts, name)
        _build(context, topology, steps)
    else:
        steps.done("lab", f"{name} is up already, with {len(topology.hosts)} hosts")
    return 0 if no_traffic or _run_traffic(context, topology, traffic) else 1


def _build(context: Context, topology: Topology, steps: Steps) -> None:
    """All of it or nothing."""
    from contextlib import ExitStack

    from ctl.kernel.maps import Sizes
    from ctl.manage import add_datapath, delete_datapath
    from netns_lab.build import build, destroy

    name = topology.lab
    with ExitStack() as undo:
        build(topology)
        undo.callback(destroy, name)
        steps.done("lab", f"{_host_list(topology)} (veth; GRO on, tx checksum off)")
        sizes = Sizes(max_flows=_LAB_MAX_FLOWS, max_masks=_LAB_MAX_MASKS)
        add_datapath(name, sizes, topology.datapath_namespace, context.timeout_s)
        undo.callback(delete_datapath, name)
        hooks = _attach_hosts(name, topology)
        steps.done("datapath", f"{name} on Linux {platform.release()}, attached {hooks}, pinned in bpffs")
        count = _install(name, topology)
        steps.done("flows", f"{count} installed")
        undo.pop_all()


def _attach_hosts(name: str, topology: Topology) -> str:
    from ctl.kernel.attach import attach
    from ctl.kernel.datapath import KernelDatapath

    with KernelDatapath(name) as datapath, datapath.hold():
        ports = [attach(datapath, host.device, host.port) for host in topology.hosts]
    return ", ".join(sorted({port.hook for port in ports}))


def _install(name: str, topology: Topology) -> int:
    from ctl.kernel.datapath import KernelDatapath
    from netns_lab.flows import flows

    with KernelDatapath(name) as datapath, datapath.hold():
        return len([datapath.flow_new(match, actions, ufid) for match, actions, ufid in flows(topology)])


def _host_list(topology: Topology) -> str:
    names = [host.name for host in topology.hosts]
    shown = " ".join(names if len(names) <= 8 else [*names[:3], "...", names[-1]])
    return f"{shown} on ports {topology.hosts[0].port} to {topology.hosts[-1].port}"


def _run_traffic(context: Context, topology: Topology, count: int) -> bool:
    """Each host sends every kind of traffic to the next one; whether all of it arrived as it was sent."""
    from netns_lab.frames import Stream
    from netns_lab.traffic import exchange

    hosts = [host.name for host in topology.hosts]
    pairs = list(zip(hosts, [*hosts[1:], hosts[0]], strict=True))
    streams = [Stream(src=a, dst=b, kind=kind, count=count) for a, b in pairs for kind in ("udp", "tcp", "icmp", "arp")]
    results = exchange(topology, streams)
    _report_traffic(context, results)
    with context.open_named(topology.lab) as datapath:
        from ctl.cli.flows import print_flows

        print_flows(context, datapath, datapath.flow_dump())
        if context.output == "text":
            from ctl.cli.dp import show_text

            show_text(context, datapath, statistics=False)
            context.note(
                "next: ctl dump-flows -m | ctl send h1 h2 --udp --count 101 | ctl exec h1 -- ping 198.18.0.2 | ctl down"
            )
    return all(result.ok for result in results)


def _report_traffic(context: Context, results: Sequence[Result]) -> None:
    pairs = list(dict.fromkeys(f"{r.stream.src}->{r.stream.dst}" for r in results))
    shown = ", ".join(pairs if len(pairs) <= 6 else [*pairs[:3], "..."])
    sent, received = sum(r.sent for r in results), sum(r.received for r in results)
    context.note(f"{'traffic':<12} {shown}: {sent} packets sent, {received} received")
    for result in results:
        if not result.ok:
            context.note(f"  {traffic_text(result)}")


@click.command(epilog=examples("ctl down", "ctl --dp blue down"))
@click.option("--force", is_flag=True, help="Also what an interrupted command left half made.")
@pass_context
def down(context: Context, force: bool) -> None:
    """Remove exactly what 'up' made.

    That is hosts, links, datapath and pins.  A lab that is not there is no error.
    """
    from ctl.kernel import bpffs
    from ctl.manage import delete_datapath
    from ctl.netns import release_run_dir
    from netns_lab.build import destroy

    del force  # what is half made is removed in any case: its names are ours alone
    name = lab_name(context)
    found = False
    if name in bpffs.names():
        delete_datapath(name, context.timeout_s)
        found = True
    gone = destroy(name)
    bpffs.unmount_if_ours()
    release_run_dir()
    if not found and not gone:
        context.note(f"lab {name} is not up; there was nothing to remove")
    elif context.verbose:
        context.note(f"lab {name} is gone: {' '.join(gone)}")


# --- looking and using -------------------------------------------------------------------------------


@click.command(epilog=examples("ctl status", "ctl -o json status"))
@pass_context
def status(context: Context) -> int:
    """Show on one screen what is up and whether it is well.

    Exit status 1 when something is not.  With --dp, only that lab and its datapath.
    """
    from ctl.kernel.lifecycle import datapath_names
    from netns_lab.topology import existing

    name = lab_name(context)
    topology = existing(name)
    row: dict[str, Any] = {
        "lab": name,
        "up": topology is not None,
        "hosts": [host.name for host in topology.hosts] if topology else [],
        "datapaths": [dp for dp in datapath_names() if context.dp in (None, dp)],
        "faults": [],
        "flows": 0, "hit": 0, "missed": 0, "lost": 0,
    }  # fmt: skip
    if topology is not None and name not in row["datapaths"]:
        row["faults"].append(f"lab {name} has no datapath: ctl down, ctl up")
    for dp in row["datapaths"]:
        try:
            _add_datapath_status(row, dp)
        except CtlError as e:
            row["faults"].append(f"{e.message}: {e.hint}")
    if context.output != "text":
        print_json(context, "ctl/status/1", "status", [row])
    else:
        _print_status(context, row)
    return 1 if row["faults"] else 0


def _add_datapath_status(row: dict[str, Any], name: str) -> None:
    from ctl.kernel.datapath import KernelDatapath

    with KernelDatapath(name) as datapath:
        stats = datapath.stats()
        for counter in ("flows", "hit", "missed", "lost"):
            row[counter] += getattr(stats, counter)
        row["faults"] += [
            f"port {port.number} of {name}: device {port.device} is gone: ctl --dp {name} del-if {port.number}"
            for port in datapath.ports()
            if not port.ifindex
        ]
        try:
            _ = datapath.netns
        except Absent as e:
            row["faults"].append(f"{e.message}: {e.hint}")


def _print_status(context: Context, row: dict[str, Any]) -> None:
    click.echo(f"lab        {row['lab']}: " + (f"up, hosts {' '.join(row['hosts'])}" if row["up"] else "down"))
    click.echo(f"datapaths  {' '.join(row['datapaths']) or 'none'}")
    click.echo(f"flows      {row['flows']}")
    click.echo(f"lookups    hit:{row['hit']} missed:{row['missed']} lost:{row['lost']}")
    health = context.paint(f"{len(row['faults'])} faults", "red") if row["faults"] else context.paint("well", "green")
    click.echo(f"health     {health}")
    for fault in row["faults"]:
        click.echo(f"  {fault}")
