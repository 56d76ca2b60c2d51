"""The commands over the lab."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from ctl.cli.common import pass_context, print_json
from ctl.cli.main import DEFAULT_NAME, Context
from ctl.errors import Absent, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from netns_lab.topology import Topology
    from netns_lab.traffic import Result

TRAFFIC_COUNT: Final = 23
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


def _lab_name(context: Context) -> str:
    return context.dp or DEFAULT_NAME


def _topology(context: Context) -> Topology:
    """The lab that is up.  Absent."""
    from netns_lab.topology import existing

    topology = existing(_lab_name(context))
    if topology is None:
        raise Absent(f"lab {_lab_name(context)} is not up", "ctl up")
    return topology


# --- up and down -------------------------------------------------------------------------------------


@click.command()
@click.option("--hosts", type=click.IntRange(2, 64), default=3, show_default=True, help="How many hosts.")
@click.option("--traffic", type=click.IntRange(1, 100_003), default=TRAFFIC_COUNT, show_default=True, metavar="N",
              help="Packets of each kind that each host sends.")  # fmt: skip
@click.option("--no-traffic", is_flag=True, help="Send nothing.")
@pass_context
def up(context: Context, hosts: int, traffic: int, no_traffic: bool) -> int:
    r"""Build a lab, install its flows, send real traffic through them and list them by UFID.

    The hosts h1, h2, ... are network namespaces, and so is the place of the datapath's ports: the
    host's own network is not touched.  Again is harmless: what is there stays.

    \b
    ctl up
    ctl up --hosts 5 --traffic 101
    """
    from ctl.kernel.lifecycle import datapath_names
    from netns_lab.topology import existing, star

    name = _lab_name(context)
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

            show_text(datapath, statistics=False)
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
            context.note(f"  {_result_text(result)}")


def _result_text(result: Result) -> str:
    stream = result.stream
    text = f"{stream.src} -> {stream.dst} {stream.kind}: {result.sent} sent, {result.received} received"
    for count, word in (
        (result.mismatched, "changed"),
        (result.duplicated, "duplicated"),
        (result.elsewhere, "elsewhere"),
    ):
        text += f", {count} {word}" if count else ""
    return text


@click.command()
@click.option("--force", is_flag=True, help="Also what an interrupted command left half made.")
@pass_context
def down(context: Context, force: bool) -> None:
    """Remove exactly what 'up' made: hosts, links, datapath, pins.

    A lab that is not there is no error.
    """
    from ctl.kernel import bpffs
    from ctl.manage import delete_datapath
    from ctl.netns import release_run_dir
    from netns_lab.build import destroy

    del force  # what is half made is removed in any case: its names are ours alone
    name = _lab_name(context)
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


@click.command()
@pass_context
def status(context: Context) -> int:
    """Show on one screen what is up and whether it is well.  Exit status 1 when something is not."""
    from ctl.kernel.lifecycle import datapath_names
    from netns_lab.topology import existing

    name = _lab_name(context)
    topology = existing(name)
    row: dict[str, Any] = {
        "lab": name,
        "up": topology is not None,
        "hosts": [host.name for host in topology.hosts] if topology else [],
        "datapaths": datapath_names(),
        "faults": [],
        "flows": 0, "hit": 0, "missed": 0, "lost": 0,
    }  # fmt: skip
    if topology is not None and name not in row["datapaths"]:
        row["faults"].append(f"lab {name} has no datapath: ctl down, ctl up")
    for dp in row["datapaths"]:
        _add_datapath_status(row, dp)
    if context.output != "text":
        print_json(context, "ctl/status/1", "status", [row])
    else:
        _print_status(row)
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


def _print_status(row: dict[str, Any]) -> None:
    click.echo(f"lab        {row['lab']}: " + (f"up, hosts {' '.join(row['hosts'])}" if row["up"] else "down"))
    click.echo(f"datapaths  {' '.join(row['datapaths']) or 'none'}")
    click.echo(f"flows      {row['flows']}")
    click.echo(f"lookups    hit:{row['hit']} missed:{row['missed']} lost:{row['lost']}")
    click.echo("health     " + ("well" if not row["faults"] else f"{len(row['faults'])} faults"))
    for fault in row["faults"]:
        click.echo(f"  {fault}")


@click.command("exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("host")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@pass_context
def exec_(context: Context, host: str, command: tuple[str, ...]) -> int:
    r"""Run a command in a host's network namespace, and pass on its exit status.

    \b
    ctl exec h1 -- ping -c 3 198.18.0.2
    """
    from netns_lab.run import exec_in

    return exec_in(_topology(context), host, command[1:] if command[0] == "--" else command)


@click.command()
@click.argument("host")
@pass_context
def shell(context: Context, host: str) -> int:
    """Open a shell in a host's network namespace."""
    from netns_lab.run import shell as run_shell

    return run_shell(_topology(context), host)


@click.command()
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@click.option("--udp", "kind", flag_value="udp", default=True, help="UDP datagrams.  [default]")
@click.option("--tcp", "kind", flag_value="tcp", help="TCP segments.")
@click.option("--icmp", "kind", flag_value="icmp", help="ICMP echo requests.")
@click.option("--arp", "kind", flag_value="arp", help="ARP requests.")
@click.option("--pcap", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="The frames of a capture.")
@click.option("--scapy", metavar="EXPR", help="What a scapy expression makes, such as 'Ether()/IP()/UDP()'.")
@click.option("--count", type=click.IntRange(1, 1_000_000), default=TRAFFIC_COUNT, show_default=True, help="How many.")
@click.option("--vlan", type=click.IntRange(0, 4094), help="With an 802.1Q tag.")
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), metavar="PPS", help="Packets per second.")
@pass_context
def send(
    context: Context, source: str, target: str, kind: str, pcap: Path | None, scapy: str | None, count: int,
    vlan: int | None, rate: float | None,
) -> int:  # fmt: skip
    r"""Send packets from one host to another, and count and check them at the receiver.

    Exit status 1 when not all arrived as they were sent.

    \b
    ctl send h1 h2 --udp --count 101
    ctl send h2 h3 --scapy 'Ether(dst="02:00:00:00:00:03")/IP(dst="198.18.0.3")/ICMP()'
    """
    topology = _topology(context)
    if pcap or scapy:
        if pcap and scapy:
            raise UsageError("--pcap and --scapy are two sources of packets", "give one")
        from netns_lab.own import from_capture, from_expression

        frames = from_capture(pcap) if pcap else from_expression(scapy or "", count)
        return _send_own(context, topology, (source, target), frames, rate)
    from netns_lab.frames import Stream
    from netns_lab.traffic import exchange

    stream = Stream(src=source, dst=target, kind=kind, count=count, vlan=vlan)  # type: ignore[arg-type]
    with _explaining_drops(context, topology):
        result = exchange(topology, [stream], rate=rate)[0]
    row = {"from": source, "to": target, "kind": kind, "sent": result.sent, "received": result.received,
           "changed": result.mismatched, "duplicated": result.duplicated, "elsewhere": result.elsewhere}  # fmt: skip
    if context.output == "text":
        click.echo(_result_text(result))
    else:
        print_json(context, "ctl/traffic/1", "traffic", [row])
    return 0 if result.ok else 1


@contextmanager
def _explaining_drops(context: Context, topology: Topology) -> Iterator[None]:
    """Say for what reasons the datapath dropped packets within the block, if it did."""
    with context.open_named(topology.lab) as datapath:
        before = datapath.stats().drops
        yield
        dropped = {reason: count - before[reason] for reason, count in datapath.stats().drops.items()}
    if any(dropped.values()):
        context.note("dropped meanwhile: " + " ".join(f"{reason}:{n}" for reason, n in dropped.items() if n))


def _send_own(
    context: Context, topology: Topology, ends: tuple[str, str], frames: list[bytes], rate: float | None
) -> int:
    from netns_lab.traffic import send_frames

    with _explaining_drops(context, topology):
        result = send_frames(topology, *ends, frames, rate=rate)
    row = {"from": ends[0], "to": ends[1], "kind": "own", "sent": result.sent, "received": result.received,
           "changed": 0, "duplicated": 0, "elsewhere": result.elsewhere}  # fmt: skip
    if context.output == "text":
        extra = f", {result.elsewhere} elsewhere" if result.elsewhere else ""
        click.echo(f"{ends[0]} -> {ends[1]}: {result.sent} sent, {result.received} received{extra}")
    else:
        print_json(context, "ctl/traffic/1", "traffic", [row])
    return 0 if result.sent == result.received and not result.elsewhere else 1
