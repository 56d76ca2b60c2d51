"""Test frames: built once by scapy, then numbered without it.

Every frame ends in a trailer of 24 octets, big-endian:

    mark 8 | run 4 | sequence 4 | ~sequence 4 | stream 4

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
from netns_lab.quiet import MARK, TRAILER_SIZE
from netns_lab.topology import Host, Topology

Kind = Literal["udp", "tcp", "sctp", "icmp", "arp"]

MAX_COUNT: Final = 1_000_000
UDP_PORTS: Final = (49152, 7)
TCP_PORTS: Final = (49152, 7)
SCTP_PORTS: Final = (49152, 7)
_TAIL: Final = struct.Struct("!IIII")
_NUMBERS: Final = struct.Struct("!II")
_ALL_ONES: Final = 0xFFFFFFFF
_MAX_VLAN: Final = 4094


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """``count`` frames of one kind from one host to another, addressed as the host itself would.

    ``arrives_as`` is what the datapath is expected to make of a frame; None: nothing.  It must leave
    the trailer alone.
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
        if self.vlan is not None and not 0 <= self.vlan <= _MAX_VLAN:
            raise UsageError(f"VLAN {self.vlan} is not in 0 to {_MAX_VLAN}")
        if self.ipv6 and self.kind == "arp":
            raise UsageError("ARP has no IPv6")


@dataclass(frozen=True, slots=True)
class Trailer:
    """What tells a test frame from any other."""

    run: int
    sequence: int
    stream: int

    def pack(self) -> bytes:
        """The 24 octets."""
        return MARK + _TAIL.pack(self.run, self.sequence, self.sequence ^ _ALL_ONES, self.stream)


def find_trailer(frame: bytes) -> Trailer | None:
    """The trailer of a frame, wherever it is in it; None for a foreign or a damaged one."""
    at = frame.rfind(MARK)
    if at < 0 or len(frame) < at + TRAILER_SIZE:
        return None
    run, sequence, inverse, stream = _TAIL.unpack_from(frame, at + len(MARK))
    return Trailer(run, sequence, stream) if sequence ^ inverse == _ALL_ONES else None


def build_frames(topology: Topology, stream: Stream, number: int, run: int) -> Iterator[bytes]:
    """The frames of a stream in the order of their sequence numbers, from 0."""
    frame = bytearray(_template(topology, stream, Trailer(run, 0, number)))
    at = len(frame) - TRAILER_SIZE + len(MARK) + 4
    for sequence in range(stream.count):
        _NUMBERS.pack_into(frame, at, sequence, sequence ^ _ALL_ONES)
        yield bytes(frame)


def _template(topology: Topology, stream: Stream, trailer: Trailer) -> bytes:
    from scapy.layers.l2 import Dot1Q, Ether

    src, dst = topology.host(stream.src), topology.host(stream.dst)
    layers = Ether(src=src.mac, dst=dst.mac)
    if stream.vlan is not None:
        layers /= Dot1Q(vlan=stream.vlan)
    layers /= _arp(src, dst) if stream.kind == "arp" else _ip(src, dst, stream)
    return bytes(layers / trailer.pack())


def _arp(src: Host, dst: Host) -> Any:
    from scapy.layers.l2 import ARP

    return ARP(op="who-has", hwsrc=src.mac, psrc=src.ipv4, hwdst="00:00:00:00:00:00", pdst=dst.ipv4)


def _ip(src: Host, dst: Host, stream: Stream) -> Any:
    from scapy.layers.inet import ICMP, IP, TCP, UDP
    from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6
    from scapy.layers.sctp import SCTP

    ip = IPv6(src=src.ipv6, dst=dst.ipv6) if stream.ipv6 else IP(src=src.ipv4, dst=dst.ipv4)
    if stream.kind == "udp":
        return ip / UDP(sport=UDP_PORTS[0], dport=UDP_PORTS[1])
    if stream.kind == "tcp":
        # The same sequence number in each: GRO merges only segments that continue one another.
        return ip / TCP(sport=TCP_PORTS[0], dport=TCP_PORTS[1], flags="PA", seq=1, ack=1)
    if stream.kind == "sctp":
        return ip / SCTP(sport=SCTP_PORTS[0], dport=SCTP_PORTS[1], tag=1)
    return ip / (ICMPv6EchoRequest(id=1, seq=1) if stream.ipv6 else ICMP(id=1, seq=1))
