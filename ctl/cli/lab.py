"""The commands over the lab."""

from __future__ import annotations

import platform
import time
from typing import TYPE_CHECKING, Any, Final

import click

from ctl.cli.common import TRAFFIC_COUNT, examples, lab_name, now_ms, pass_context, print_json, traffic_text
from ctl.cli.main import MENDING, Context, complete
from ctl.errors import Absent, CtlError, Exists, UsageError
from ctl.faults import fault

if TYPE_CHECKING:
    from collections.abc import Sequence

    from netns_lab.topology import Topology
    from netns_lab.traffic import Result

_FAULTS: Final = {"gone": "is gone", "moved": "moved to another namespace"}
_LAB_MAX_FLOWS: Final = 65536
_LAB_MAX_MASKS: Final = 64
_OFFLOADS: Final = {"xdp": "veth; GRO on, tx checksum off", "tc": "veth; all offloads on"}


def lab_subject(name: str) -> str:
    """What the journal calls a lab."""
    return f"lab {name}"


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


@click.command(
    epilog=examples(
        "ctl up",
        "ctl up --hosts 5 --traffic 101",
        "ctl up router --hook tc",
        "ctl up --print chain > mine.toml",
        "ctl --dp mine up mine.toml",
    )
)
@click.argument("topology", metavar="[TOPOLOGY|FILE]", required=False, shell_complete=complete("topologies"),
                help="two, star (the default), trunk, chain, router, or a file that describes one.")  # fmt: skip
@click.option("--hosts", type=click.IntRange(2, 64), metavar="N",
              help="How many hosts the star has.  [default: 3]")  # fmt: skip
@click.option("--hook", type=click.Choice(["xdp", "tc"]),
              help="Where programs run: in XDP with tc behind it, or in tc alone.  [default: xdp]")  # fmt: skip
@click.option("--traffic", type=click.IntRange(1, 100_003), default=TRAFFIC_COUNT, show_default=True, metavar="N",
              help="Packets of each kind that each host sends.")  # fmt: skip
@click.option("--no-traffic", is_flag=True, help="Send nothing.")
@click.option("--print", "only_print", is_flag=True, help="Print the file of a TOPOLOGY, and do nothing else.")
@pass_context
def up(
    context: Context, topology: str | None, hosts: int | None, hook: str | None, traffic: int, no_traffic: bool,
    only_print: bool,
) -> int:  # fmt: skip
    """Build a lab, send traffic through it and list its flows.

    Hosts are network namespaces, and so are the places of the datapaths' ports: the host's own
    network is not touched.  docs/topologies.md says what is in a FILE.  Again is harmless: what is
    there stays.
    """
    from ctl.kernel.lifecycle import datapath_names
    from ctl.manage import repair
    from netns_lab.record import existing

    if only_print:
        return _print_topology(topology, hosts)
    name = lab_name(context)
    repair(lab_subject(name), context.timeout_s, context.note)
    _forget_what_is_gone(name)
    asked = (topology, hosts, hook) != (None, None, None)
    wanted = _wanted(name, topology, hosts, hook)
    steps = Steps(context)
    here = existing(name)
    if here is None or not set(here.datapath_names()) <= set(datapath_names()):
        here = wanted
        _build(context, here, steps)
    elif asked and here != wanted:
        raise Exists(
            f"lab {name} is up with another topology: {here.title} with {len(here.hosts)} hosts, hook {here.hook}",
            "ctl down removes it",
        )
    else:
        steps.done("lab", f"{name} is up already, with {len(here.hosts)} hosts")
    return 0 if no_traffic or _run_traffic(context, here, traffic) else 1


def _forget_what_is_gone(name: str) -> None:
    """Remove a lab's record when it is all that is left: of a lab that lost everything else, as by a kill."""
    from ctl.kernel import bpffs
    from netns_lab import record

    there = set(_datapaths_of(name)) & set(bpffs.names())
    if not there and not record.find_leftovers(name):
        record.remove(name)


def _print_topology(topology: str | None, hosts: int | None) -> int:
    from netns_lab.files import shipped

    if hosts is not None:
        raise UsageError("--print prints a topology as it is shipped", "leave --hosts out")
    click.echo(shipped(topology or "star"), nl=False)
    return 0


def _wanted(name: str, topology: str | None, hosts: int | None, hook: str | None) -> Topology:
    """The topology that is asked for, checked.  UsageError."""
    from dataclasses import replace

    from netns_lab.files import load
    from netns_lab.rules import check
    from netns_lab.topology import star

    if hosts is not None and topology not in (None, "star"):
        raise UsageError("--hosts is for the star", "write the hosts of another topology into a file")
    wanted = load(topology or "star", name) if hosts is None else check(star(hosts, name))
    return wanted if hook is None else replace(wanted, hook="tc" if hook == "tc" else "xdp")


def _build(context: Context, topology: Topology, steps: Steps) -> None:
    """All of it or nothing."""
    from ctl.kernel.lifecycle import datapath_names
    from ctl.kernel.maps import Sizes
    from ctl.manage import add_datapath, begun
    from netns_lab.build import build

    names = topology.datapath_names()
    with begun(lab_subject(topology.lab), context.timeout_s, context.note) as noted:
        build(topology, lambda what, name: noted.note(what, name=name))
        steps.done("lab", f"{_host_list(topology)} ({_OFFLOADS[topology.hook]})")
        sizes = Sizes(max_flows=_LAB_MAX_FLOWS, max_masks=_LAB_MAX_MASKS)
        for name, datapath in zip(names, topology.datapaths, strict=True):
            if name in datapath_names():  # somebody else's, which is not to be undone
                raise Exists(f"datapath {name} exists", f"ctl show, or ctl del-dp {name}")
            noted.note("whole datapath", name=name)
            add_datapath(name, sizes, topology.namespace_of_datapath(datapath), context.timeout_s)
        hooks = ", ".join(sorted({hook for datapath in topology.datapaths for hook in _attach(topology, datapath)}))
        fault("up.attached")
        steps.done("datapath", f"{' '.join(names)} on Linux {platform.release()}, attached {hooks}, pinned in bpffs")
        count = _install(topology)
        fault("up.installed")
        steps.done("flows", f"{count} installed")


def _attach(topology: Topology, datapath: str) -> list[str]:
    """Make the ports of a datapath; where each one's programs run."""
    from ctl.kernel.attach import attach
    from ctl.kernel.datapath import KernelDatapath
    from netns_lab.topology import port_device

    with KernelDatapath(topology.datapath_name(datapath)) as opened, opened.hold():
        tc_only = topology.hook == "tc"
        return [attach(opened, port_device(n), n, tc_only=tc_only).hook for n in topology.ports(datapath)]


def _install(topology: Topology) -> int:
    """Install the flows of all datapaths; how many there are."""
    from ctl.kernel.datapath import KernelDatapath
    from netns_lab.flows import flows

    entries = flows(topology)
    for datapath in topology.datapaths:
        with KernelDatapath(topology.datapath_name(datapath)) as opened, opened.hold():
            for match, actions, ufid in entries[datapath]:
                opened.flow_new(match, actions, ufid)
    return sum(map(len, entries.values()))


def _host_list(topology: Topology) -> str:
    names = [host.name for host in topology.hosts]
    shown = " ".join(names if len(names) <= 8 else [*names[:3], "...", names[-1]])
    if len(topology.datapaths) > 1:
        return f"{shown} on {' '.join(topology.datapaths)}"
    ports = sorted(topology.ports(topology.datapaths[0]))
    whole = ports[-1] - ports[0] == len(ports) - 1
    return f"{shown} on ports " + (f"{ports[0]} to {ports[-1]}" if whole else " ".join(map(str, ports)))


def _run_traffic(context: Context, topology: Topology, count: int) -> bool:
    """Hosts send every kind of traffic to one another; whether all of it arrived as it should."""
    from netns_lab.frames import tour
    from netns_lab.traffic import exchange

    results = exchange(topology, tour(topology, count))
    _report_traffic(context, results)
    _list_flows(context, topology)
    if context.output == "text":
        context.note(f"next: {_next_commands(context, topology, results)}")
    return all(result.ok for result in results)


def _list_flows(context: Context, topology: Topology) -> None:
    """Datapath by datapath, its flows, and as text its ports too."""
    from contextlib import ExitStack

    from ctl.cli.dp import show_text
    from ctl.cli.rows import print_flows
    from ctl.jsonout import SCHEMA, flow_row

    with ExitStack() as stack:
        opened = [stack.enter_context(context.open_named(name)) for name in topology.datapath_names()]
        if context.output != "text":
            now = now_ms()
            rows = (flow_row(flow, now, dp.name) for dp in opened for flow in dp.flow_dump())
            print_json(context, SCHEMA, "flows", rows)
            return
        for datapath in opened:
            print_flows(context, datapath, datapath.flow_dump())
            show_text(context, datapath, statistics=False)


def _next_commands(context: Context, topology: Topology, results: Sequence[Result]) -> str:
    """What to try now, for this lab."""
    from netns_lab.paths import legs_between

    lab = f"ctl --dp {context.dp}" if context.dp else "ctl"
    names = topology.datapath_names()
    datapath = f"ctl --dp {names[0]}" if len(names) > 1 else lab
    commands = [f"{datapath} dump-flows -m"]
    for src, dst in [(result.stream.src, result.stream.dst) for result in results[:1]]:
        address = legs_between(topology, src, dst)[-1].dst.address_of(ipv6=False)
        commands += [f"{lab} send {src} {dst} --udp --count 101", f"{lab} exec {src} -- ping {address}"]
    return " | ".join([*commands, f"{lab} down"])


def _report_traffic(context: Context, results: Sequence[Result]) -> None:
    if not results:
        context.note(f"{'traffic':<12} none: no two hosts have a way to one another")
        return
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
    from ctl.manage import begun, delete_datapath
    from ctl.netns import release_run_dir
    from netns_lab import record
    from netns_lab.build import destroy

    del force  # what is half made is removed in any case: its names are ours alone
    name = lab_name(context)
    with begun(lab_subject(name), context.timeout_s, context.note) as noted:
        there = [datapath for datapath in _datapaths_of(name) if datapath in bpffs.names()]
        entries = [{"undo": "file", "name": str(record.path(name))}] if record.is_there(name) else []
        entries += [{"undo": "namespace", "name": namespace} for namespace in record.find_leftovers(name)]
        noted.note_all([*entries, *({"undo": "whole datapath", "name": datapath} for datapath in there)])
        for datapath in there:
            delete_datapath(datapath, context.timeout_s, context.note)
        gone = destroy(name)
        bpffs.unmount_if_ours()
        release_run_dir()
    if not there and not gone and not noted.was_left:
        context.note(f"lab {name} is not up; there was nothing to remove")
    elif context.verbose:
        context.note(f"lab {name} is gone: {' '.join(gone)}")


def _datapaths_of(lab: str) -> list[str]:
    """Those that `up` made, or was about to make.  A lab without a record had one, of its own name."""
    from netns_lab.record import find_leftovers, recorded

    topology = recorded(lab)
    if topology is None:
        return [lab] if find_leftovers(lab) else []
    return topology.datapath_names()


# --- looking and using -------------------------------------------------------------------------------


@click.command(epilog=examples("ctl status", "ctl -o json status"))
@pass_context
def status(context: Context) -> int:
    """Show on one screen what is up and whether it is well.

    Exit status 1 when something is not.  With --dp, only that lab and its datapath.
    """
    from ctl.journal import describe, left_behind
    from ctl.kernel.lifecycle import datapath_names
    from netns_lab.record import existing, is_there

    name = lab_name(context)
    topology = existing(name)
    own = topology.datapath_names() if topology else [name]
    row: dict[str, Any] = {
        "lab": name,
        "up": topology is not None,
        "topology": topology.title if topology else None,
        "hosts": [host.name for host in topology.hosts] if topology else [],
        "datapaths": [dp for dp in datapath_names() if context.dp is None or dp in own],
        "faults": [],
        "flows": 0, "hit": 0, "missed": 0, "lost": 0,
    }  # fmt: skip
    if topology is None and is_there(name):
        row["faults"].append(f"lab {name} is half made: ctl --dp {name} down")
    for dp in own if topology else []:
        if dp not in row["datapaths"]:
            row["faults"].append(f"lab {name} has no datapath {dp}: ctl --dp {name} down, and up again")
    for dp in row["datapaths"]:
        try:
            _add_datapath_status(row, dp)
        except CtlError as e:
            row["faults"].append(f"{e.message}: {e.hint}")
    row["faults"] += [
        f"{what}: an interrupted command left {describe(entries)}: {MENDING}" for what, entries in left_behind().items()
    ]
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
            f"port {port.number} of {name}: device {port.device} {_FAULTS[port.state]}: ctl --dp {name} del-if"
            f" {port.number}, or add-if {port.device} when it is back"
            for port in datapath.ports()
            if port.state in _FAULTS
        ]
        try:
            _ = datapath.netns
        except Absent as e:
            row["faults"].append(f"{e.message}: {e.hint}")


def _print_status(context: Context, row: dict[str, Any]) -> None:
    click.echo(
        f"lab        {row['lab']}: " + (f"up, {row['topology']} of {' '.join(row['hosts'])}" if row["up"] else "down")
    )
    click.echo(f"datapaths  {' '.join(row['datapaths']) or 'none'}")
    click.echo(f"flows      {row['flows']}")
    click.echo(f"lookups    hit:{row['hit']} missed:{row['missed']} lost:{row['lost']}")
    health = context.paint(f"{len(row['faults'])} faults", "red") if row["faults"] else context.paint("well", "green")
    click.echo(f"health     {health}")
    for found in row["faults"]:
        click.echo(f"  {found}")
