"""How fast flows become text and text becomes flows, without a datapath: lines such as megaflows have."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Final, cast
from uuid import UUID

from ctl.flow import Flow, FlowStats, Match
from ctl.text import format_flow, parse_dump_line
from netns_lab.bench import Effort
from netns_lab.bench.figures import RATE, Case, Row, rows

_SPREAD: Final = 0x9E3779B97F4A7C15F39CC0605CEDC835  # odd, so that no two names are the same

# Addresses, ports and statistics differ from flow to flow, action lists mostly repeat.
LINES: Final = (
    (
        "ufid:{ufid}, recirc_id(0),in_port(1),eth(src=02:00:00:00:00:01,dst=02:00:00:00:{hi:02x}:{lo:02x}),"
        "eth_type(0x0800),ipv4(dst=10.0.{hi}.{lo},frag=no), packets:{n}, bytes:{bytes}, used:0.520s, actions:2"
    ),
    (
        "ufid:{ufid}, recirc_id(0),in_port(2),eth(src=02:00:00:00:{hi:02x}:{lo:02x},dst=02:00:00:00:00:02),"
        "eth_type(0x0800),ipv4(src=10.1.{hi}.{lo},dst=10.0.0.0/255.255.0.0,proto=6,tos=0/0x3,frag=no),"
        "tcp(src={port},dst=443),tcp_flags(psh|ack), packets:{n}, bytes:{bytes}, used:1.004s, flags:SP., "
        "actions:set(eth(src=02:00:00:00:00:02,dst=02:00:00:00:{lo:02x}:01)),set(ipv4(ttl=63)),3"
    ),
    (
        "ufid:{ufid}, recirc_id(0),in_port(1),eth(),eth_type(0x86dd),"
        "ipv6(src=2001:db8:{hi:x}:{lo:x}::/ffff:ffff:ffff:ffff::,dst=2001:db8::{lo:x}:1,proto=17,frag=no),udp(dst=53), "
        "packets:{n}, bytes:{bytes}, used:never, actions:push_vlan(vid=5,pcp=0),4"
    ),
    (
        "ufid:{ufid}, recirc_id({lo:#x}),in_port(3),eth(dst=02:00:00:00:{hi:02x}:{lo:02x}),eth_type(0x8100),"
        "vlan(vid={lo},pcp=0),encap(eth_type(0x0806),arp(op=1)), packets:0, bytes:0, used:never, actions:drop"
    ),
)


def lines(count: int) -> list[str]:
    """Lines of dump-flows, all different, in turn of each kind."""
    return [
        LINES[n % len(LINES)].format(
            ufid=UUID(int=(n + 1) * _SPREAD % (1 << 128)),
            hi=n >> 8 & 255, lo=n & 255, port=1024 + n % 60000, n=n + 1, bytes=60 * (n + 1),
        )
        for n in range(count)
    ]  # fmt: skip


def text(effort: Effort) -> Iterator[Row]:
    """Flows a second by `format_flow` and by `parse_dump_line`."""
    written = lines(effort.bulk)
    flows = [flow_of(line) for line in written]

    def printed() -> None:
        for flow in flows:
            format_flow(flow, 1_000_000)

    def parsed() -> None:
        for line in written:
            parse_dump_line(line)

    told = {"flows": effort.bulk}
    cases = [
        Case(name="format_flow", parameters=told, sample=_rate(printed, len(flows))),
        Case(name="parse_dump_line", parameters=told, sample=_rate(parsed, len(written))),
    ]
    yield from rows("text", RATE, cases, effort.rounds)


def flow_of(line: str) -> Flow:
    """The flow of a line, with statistics of its own."""
    flow, actions = parse_dump_line(line)
    stats = FlowStats(packets=1000, bytes=60_000, used_ms=999_480, tcp_flags=0x18)
    return Flow(ufid=flow.ufid, match=cast("Match", flow.match), actions=actions, stats=stats)


def _rate(work: Callable[[], None], flows: int) -> Callable[[], float]:
    def sample() -> float:
        start = time.perf_counter()
        work()
        return flows / (time.perf_counter() - start)

    return sample
