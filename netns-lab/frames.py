"""Test frames: built once by scapy, then numbered without it.

Every frame ends in a trailer of 24 octets, big-endian:

    mark 7 | receiver 1 | run 4 | sequence 4 | ~sequence 4 | stream 4

The complement beside the sequence number keeps the internet checksum the same whatever the number is
(each 16-bit word is there with its inverse, and they sum to all ones).  So one frame is built, with
correct checksums, and the rest of a stream are copies with eight octets replaced.  SCTP's checksum is
no such sum: all frames have that of the first, and only there it is right.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from ctl.errors import UsageError
from netns_lab.paths import Leg, find_legs, legs_between
from netns_lab.quiet import MARK, MARK_SIZE, TRAILER_SIZE, mark_of
from netns_lab.rules import MAX_VLAN
from netns_lab.topology import Topology

Kind = Literal["udp", "tcp", "sctp", "icmp", "arp"]

MAX_COUNT: Final = 1_000_000
UDP_PORTS: Final = (49152, 7)
TCP_PORTS: Final = (49152, 7)
SCTP_PORTS: Final = (49152, 7)
_TAIL: Final = struct.Struct("!IIII")
_NUMBERS: Final = struct.Struct("!II")
_ALL_ONES: Final = 0xFFFFFFFF
_TTL: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """``count`` frames of one kind from one host to another, addressed as the host itself would.

    ``vlan`` is a tag in place of the one that the host's network has, if any.  ``arrives_as`` is what is
    expected to become of a frame on its way; None: what routers and the ports' VLANs make of it, and of a
    ``vlan`` nothing.  It must leave the trailer alone.
    """

    src: str
    dst: str
    kind: Kind = "udp"
    count: int = 23
    vlan: int | None = None
    ipv6: bool = False
    arrives_as: Callable[[bytes], bytes] | None = None

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise UsageError(f"no traffic of kind {self.kind!r}", "kinds: " + " ".join(get_args(Kind)))
        if not 1 <= self.count <= MAX_COUNT:
            raise UsageError(f"count {self.count} is not in 1 to {MAX_COUNT}")
        if self.vlan is not None and not 0 <= self.vlan <= MAX_VLAN:
            raise UsageError(f"VLAN {self.vlan} is not in 0 to {MAX_VLAN}")
        if self.ipv6 and self.kind == "arp":
            raise UsageError("ARP has no IPv6")


@dataclass(frozen=True, slots=True)
class Trailer:
    """What tells a test frame from any other.  ``receiver`` is the number of the host that it is for."""

    run: int
    sequence: int
    stream: int
    receiver: int

    def pack(self) -> bytes:
        """The 24 octets."""
        return mark_of(self.receiver) + _TAIL.pack(self.run, self.sequence, self.sequence ^ _ALL_ONES, self.stream)


def find_trailer(frame: bytes) -> Trailer | None:
    """The trailer of a frame, wherever it is in it; None for a foreign or a damaged one."""
    at = frame.rfind(MARK)
    if at < 0 or len(frame) < at + TRAILER_SIZE:
        return None
    run, sequence, inverse, stream = _TAIL.unpack_from(frame, at + MARK_SIZE)
    return Trailer(run, sequence, stream, frame[at + len(MARK)]) if sequence ^ inverse == _ALL_ONES else None


def legs_of(topology: Topology, stream: Stream) -> tuple[Leg, ...]:
    """The way of a stream.  UsageError when there is none for its kind."""
    legs = legs_between(topology, stream.src, stream.dst, ipv6=stream.ipv6)
    if stream.kind == "arp" and len(legs) > 1:
        raise UsageError(
            f"ARP stays in its network, and {legs[0].dst.host.name} is between {stream.src} and {stream.dst}",
            "send another kind",
        )
    return legs


def tour(topology: Topology, count: int) -> list[Stream]:
    """Each host sends every kind of traffic to the next one that it reaches, ARP within its network only."""
    hosts = [host.name for host in topology.hosts]
    streams: list[Stream] = []
    for number, src in enumerate(hosts):
        others = hosts[number + 1 :] + hosts[:number]
        dst, legs = next(((dst, legs) for dst in others if (legs := find_legs(topology, src, dst))), ("", ()))
        kinds: tuple[Kind, ...] = ("udp", "tcp", "icmp", "arp")
        kinds = kinds if len(legs) == 1 else kinds[:-1]
        streams += [Stream(src=src, dst=dst, kind=kind, count=count) for kind in kinds if dst]
    return streams


def build_frames(topology: Topology, stream: Stream, number: int, run: int) -> Iterator[bytes]:
    """The frames of a stream in the order of their sequence numbers, from 0."""
    return (sent for sent, _ in build_pairs(topology, stream, number, run))


def build_pairs(topology: Topology, stream: Stream, number: int, run: int) -> Iterator[tuple[bytes, bytes]]:
    """The same, each with what is expected to arrive."""
    legs = legs_of(topology, stream)
    trailer = Trailer(run, 0, number, topology.number(stream.dst))
    first, last = legs[0], legs[-1]
    tags = (first.src.address.tag, last.dst.address.tag) if stream.vlan is None else (stream.vlan, stream.vlan)
    payload = _arp(first) if stream.kind == "arp" else _ip(first, last, stream)
    sent = bytearray(_frame(first, tags[0], payload, _TTL, trailer))
    arriving = bytearray(_frame(last, tags[1], payload, _TTL - len(legs) + 1, trailer))
    for sequence in range(stream.count):
        for frame in (sent, arriving):
            _NUMBERS.pack_into(frame, len(frame) - TRAILER_SIZE + MARK_SIZE + 4, sequence, sequence ^ _ALL_ONES)
        expected = bytes(arriving) if stream.arrives_as is None else stream.arrives_as(bytes(sent))
        yield bytes(sent), expected


def _frame(leg: Leg, tag: int | None, payload: Any, ttl: int, trailer: Trailer) -> bytes:
    """A frame as it is on one leg."""
    from scapy.layers.l2 import Dot1Q, Ether

    packet = Ether(src=leg.src.device.mac, dst=leg.dst.device.mac)
    if tag is not None:
        packet /= Dot1Q(vlan=tag)
    packet /= payload.copy() / trailer.pack()
    for name in ("ttl", "hlim"):
        if name in payload.default_fields:
            setattr(packet.getlayer(type(payload)), name, ttl)
    return bytes(packet)


def _arp(leg: Leg) -> Any:
    from scapy.layers.l2 import ARP

    source, target = (end.address_of(ipv6=False) for end in (leg.src, leg.dst))
    return ARP(op="who-has", hwsrc=leg.src.device.mac, psrc=source, hwdst="00:00:00:00:00:00", pdst=target)


def _ip(first: Leg, last: Leg, stream: Stream) -> Any:
    from scapy.layers.inet import ICMP, IP, TCP, UDP
    from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6
    from scapy.layers.sctp import SCTP

    source, target = (end.address_of(ipv6=stream.ipv6) for end in (first.src, last.dst))
    ip = IPv6(src=source, dst=target) if stream.ipv6 else IP(src=source, dst=target)
    if stream.kind == "udp":
        return ip / UDP(sport=UDP_PORTS[0], dport=UDP_PORTS[1])
    if stream.kind == "tcp":
        # The same sequence number in each: GRO merges only segments that continue one another.
        return ip / TCP(sport=TCP_PORTS[0], dport=TCP_PORTS[1], flags="PA", seq=1, ack=1)
    if stream.kind == "sctp":
        return ip / SCTP(sport=SCTP_PORTS[0], dport=SCTP_PORTS[1], tag=1)
    return ip / (ICMPv6EchoRequest(id=1, seq=1) if stream.ipv6 else ICMP(id=1, seq=1))
