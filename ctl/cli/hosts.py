"""The commands in and between the hosts of the lab."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ctl.cli.common import TRAFFIC_COUNT, examples, lab_name, pass_context, print_json, traffic_text
from ctl.cli.main import Context, complete
from ctl.errors import Absent, UsageError

if TYPE_CHECKING:
    from netns_lab.topology import Topology


def _topology(context: Context) -> Topology:
    """The lab that is up.  Absent."""
    from netns_lab.record import existing

    topology = existing(lab_name(context))
    if topology is None:
        raise Absent(f"lab {lab_name(context)} is not up", "ctl up")
    return topology


@click.command(
    "exec",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    epilog=examples("ctl exec h1 -- ping -c 3 198.18.0.2"),
)
@click.argument("host", metavar="HOST", shell_complete=complete("hosts"), help="A host of the lab, such as h1.")
@click.argument("command", metavar="COMMAND...", nargs=-1, required=True, type=click.UNPROCESSED,
                help="The command with its arguments; '--' before it keeps them apart from ctl's.")  # fmt: skip
@pass_context
def exec_(context: Context, host: str, command: tuple[str, ...]) -> int:
    """Run a command in a host.

    The host is a network namespace: files and processes are the caller's.  The exit status is the command's.
    """
    from netns_lab.run import exec_in

    return exec_in(_topology(context), host, command[1:] if command[0] == "--" else command)


@click.command(epilog=examples("ctl shell h1"))
@click.argument("host", metavar="HOST", shell_complete=complete("hosts"), help="A host of the lab, such as h1.")
@pass_context
def shell(context: Context, host: str) -> int:
    """Open a shell in a host: $SHELL, else sh."""
    from netns_lab.run import shell as run_shell

    return run_shell(_topology(context), host)


@click.command(
    epilog=examples(
        "ctl send h1 h2 --udp --count 101",
        'ctl send h1 h2 --scapy \'Ether(src="02:00:00:00:00:01",dst="02:00:00:00:00:02",type=0x88b5)/b"hello"\'',
    )
)
@click.argument("source", metavar="FROM", shell_complete=complete("hosts"), help="The host that sends, such as h1.")
@click.argument("target", metavar="TO", shell_complete=complete("hosts"), help="The host that is to receive.")
@click.option("--udp", "kind", flag_value="udp", default=True, help="UDP datagrams.  [default]")
@click.option("--tcp", "kind", flag_value="tcp", help="TCP segments.")
@click.option("--icmp", "kind", flag_value="icmp", help="ICMP echo requests.")
@click.option("--arp", "kind", flag_value="arp", help="ARP requests.")
@click.option(
    "--pcap",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The frames of a capture.",
)
@click.option("--scapy", metavar="EXPR", help="What a scapy expression makes, such as 'Ether()/IP()/UDP()'.")
@click.option("--count", type=click.IntRange(1, 1_000_000), default=TRAFFIC_COUNT, show_default=True, metavar="N",
              help="How many.")  # fmt: skip
@click.option("--vlan", type=click.IntRange(0, 4094), metavar="VID", help="With an 802.1Q tag.")
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), metavar="PPS", help="Packets per second.")
@pass_context
def send(
    context: Context, source: str, target: str, kind: str, pcap: Path | None, scapy: str | None, count: int,
    vlan: int | None, rate: float | None,
) -> int:  # fmt: skip
    """Send packets between hosts, and check them at the receiver.

    They are expected as they were sent, but for what routers and the ports of VLANs change on the way.
    Exit status 1 when not all arrived so.
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
        click.echo(traffic_text(result))
    else:
        print_json(context, "ctl/traffic/1", "traffic", [row])
    return 0 if result.ok else 1


@contextmanager
def _explaining_drops(context: Context, topology: Topology) -> Iterator[None]:
    """Say for what reasons datapaths dropped packets within the block, if they did."""
    with ExitStack() as stack:
        opened = [stack.enter_context(context.open_named(name)) for name in topology.datapath_names()]
        before = [datapath.stats().drops for datapath in opened]
        yield
        after = [datapath.stats().drops for datapath in opened]
    for datapath, old, new in zip(opened, before, after, strict=True):
        if dropped := " ".join(f"{reason}:{new[reason] - old[reason]}" for reason in new if new[reason] > old[reason]):
            where = f" by {datapath.name}" if len(opened) > 1 else ""
            context.note(f"dropped meanwhile{where}: {dropped}")


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
