"""Sends test frames between hosts and compares what arrives, octet by octet.

Packet sockets are opened inside the hosts' namespaces and used from outside.  One thread sends in
bursts and empties the receivers between them, so that nothing depends on the scheduler.  Every call is
bounded: in frames by the streams, in time by the rate and ``timeout_s``.
"""

from __future__ import annotations

import errno
import secrets
import select
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Final

from ctl.errors import Busy, UsageError
from ctl.netns import error_from_errno
from netns_lab.frames import Stream, build_pairs, find_trailer, legs_of
from netns_lab.paths import find_legs
from netns_lab.topology import HOST_DEVICE, Topology

_ETH_P_ALL: Final = 3
_SOL_PACKET: Final = 263
_PACKET_AUXDATA: Final = 8
_SO_RCVBUFFORCE: Final = 33
_PACKET_OUTGOING: Final = 4
_AUXDATA: Final = struct.Struct("=IIIHHHH")  # status, length, captured, mac, net, tag, its ethertype
_TAG_VALID, _TPID_VALID = 1 << 4, 1 << 6
_BUFFER: Final = 32 << 20
_LARGEST_FRAME: Final = 65536
_BURST: Final = 32  # a veth queues 256
_SETTLE_S: Final = 0.02  # how long late copies are waited for, once all is there


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of a stream.  Frames that arrived twice count once in ``received``.

    ``mismatched`` of the ``received`` were not what was expected; ``duplicated`` came again;
    ``elsewhere`` came to other hosts, routers on the way not counted.
    """

    stream: Stream
    sent: int
    received: int
    mismatched: int = 0
    duplicated: int = 0
    elsewhere: int = 0

    @property
    def ok(self) -> bool:
        """Every frame arrived, once, as expected, and nowhere else."""
        return self.sent == self.received and not (self.mismatched or self.duplicated or self.elsewhere)


@dataclass(slots=True)
class _Tally:
    """The count of one stream while it runs.  ``routers`` are those on its way."""

    stream: Stream
    device: str  # that it is sent from
    routers: frozenset[str] = frozenset()
    expected: list[bytes] = field(default_factory=list)
    sent: int = 0
    seen: set[int] = field(default_factory=set)
    mismatched: int = 0
    duplicated: int = 0
    elsewhere: int = 0

    def outgoing(self, pairs: Iterable[tuple[bytes, bytes]]) -> Iterator[bytes]:
        """The frames, what each is to become noted before it leaves."""
        for frame, expected in pairs:
            self.expected.append(expected)
            yield frame

    def arrived(self, host: str, sequence: int, frame: bytes) -> None:
        if host != self.stream.dst:
            self.elsewhere += host not in self.routers
        elif sequence in self.seen or sequence >= len(self.expected):
            self.duplicated += 1
        else:
            self.seen.add(sequence)
            self.mismatched += frame != self.expected[sequence]

    def result(self) -> Result:
        return Result(
            stream=self.stream,
            sent=self.sent,
            received=len(self.seen),
            mismatched=self.mismatched,
            duplicated=self.duplicated,
            elsewhere=self.elsewhere,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """What became of frames that are recognised by their content alone."""

    sent: int
    received: int
    elsewhere: int = 0


def exchange(
    topology: Topology, streams: Sequence[Stream], *, rate: float | None = None, timeout_s: float = 2.0
) -> list[Result]:
    """Send the streams one after the other and say what arrived, in the same order.

    ``rate`` is in frames per second; None: as fast as they go.  After the last frame the rest is waited
    for, ``timeout_s`` at most.  Absent when the lab is down, NotFound, NotPermitted, UsageError.
    """
    run = secrets.randbits(32)
    tallies = [_tally(topology, stream) for stream in streams]

    def note(host: str, frame: bytes) -> None:
        trailer = find_trailer(frame)
        if trailer is not None and trailer.run == run and trailer.stream < len(tallies):
            tallies[trailer.stream].arrived(host, trailer.sequence, frame)

    with ExitStack() as stack:
        wire = _Wire(topology, stack, note)
        for number, tally in enumerate(tallies):
            pairs = build_pairs(topology, tally.stream, number, run)
            tally.sent = wire.send((tally.stream.src, tally.device), tally.outgoing(pairs), rate)
        wire.wait(lambda: all(len(tally.seen) == tally.sent for tally in tallies), timeout_s)
    return [tally.result() for tally in tallies]


def _tally(topology: Topology, stream: Stream) -> _Tally:
    legs = legs_of(topology, stream)
    routers = frozenset(leg.dst.host.name for leg in legs[:-1])
    return _Tally(stream=stream, device=legs[0].src.device.name, routers=routers)


def send_frames(  # noqa: PLR0913 -- the last two are options, by keyword only
    topology: Topology,
    src: str,
    dst: str,
    frames: Sequence[bytes],
    *,
    rate: float | None = None,
    timeout_s: float = 2.0,
) -> Count:
    """Send frames of the caller's own making, and count those that come to ``dst`` octet by octet the same.

    One that is changed on the way counts as lost.  Unlike test frames, these are answered by the stack of
    the host that they reach.  They leave by the device that leads to ``dst``, or by the first.  Bounds and
    errors are those of `exchange`.
    """
    legs = find_legs(topology, src, dst)
    device = legs[0].src.device.name if legs else HOST_DEVICE
    missing = Counter(frames)
    foreign = set(frames)
    received, elsewhere = 0, 0

    def note(host: str, frame: bytes) -> None:
        nonlocal received, elsewhere
        if host == dst and missing[frame] > 0:
            missing[frame] -= 1
            received += 1
        elif frame in foreign:
            elsewhere += 1

    with ExitStack() as stack:
        wire = _Wire(topology, stack, note)
        sent = wire.send((src, device), frames, rate)
        wire.wait(lambda: received == sent, timeout_s)
    return Count(sent=sent, received=received, elsewhere=elsewhere)


class _Wire:
    """A packet socket on every cable of every host.  ``note`` is told of each frame that a host receives."""

    def __init__(self, topology: Topology, stack: ExitStack, note: Callable[[str, bytes], None]) -> None:
        self._note = note
        self._sockets = {
            (host.name, device.name): stack.enter_context(open_socket(topology, host.name, device.name))
            for host in topology.hosts
            for device in host.devices
        }
        self._ends = {sock.fileno(): (name, sock) for (name, _), sock in self._sockets.items()}
        self._poll = select.poll()
        for number in self._ends:
            self._poll.register(number, select.POLLIN)

    def send(self, src: tuple[str, str], frames: Iterable[bytes], rate: float | None) -> int:
        """Send from a host's device, in bursts; at a rate, one by one, each when it is due.  How many there were."""
        if rate is not None and rate <= 0:
            raise UsageError(f"rate {rate} is not above 0 frames per second")
        start, sent = time.monotonic(), 0
        for frame in frames:
            if rate is not None:
                self._drain_until(start + sent / rate)
            elif sent % _BURST == 0:
                self._drain(0)
            self._send_one(src, frame)
            sent += 1
        return sent

    def wait(self, is_done: Callable[[], bool], timeout_s: float) -> None:
        """Receive until everything is there and late copies had their time, or time is up."""
        deadline = time.monotonic() + timeout_s
        while not is_done():
            if (left := deadline - time.monotonic()) <= 0:
                return
            self._drain(left)
        self._drain_until(time.monotonic() + _SETTLE_S)

    def _drain_until(self, deadline: float) -> None:
        while (left := deadline - time.monotonic()) > 0:
            self._drain(left)

    def _drain(self, timeout_s: float) -> None:
        """Take in what is there, after waiting for the first of it."""
        for number, _ in self._poll.poll(timeout_s * 1000):
            host, sock = self._ends[number]
            while (frame := receive(sock)) is not None:
                if frame:
                    self._note(host, frame)

    def _send_one(self, src: tuple[str, str], frame: bytes) -> None:
        """A full queue empties itself in microseconds; a second of it is a fault."""
        deadline = time.monotonic() + 1
        while True:
            try:
                self._sockets[src].send(frame)
            except OSError as e:
                if e.errno not in (errno.ENOBUFS, errno.EAGAIN):
                    raise error_from_errno(e.errno, f"send {len(frame)} octets") from e
                if time.monotonic() > deadline:
                    raise Busy(f"{src[1]} of {src[0]} takes no frames") from e
                self._drain(0.001)
            else:
                return


def open_socket(topology: Topology, host: str, device: str = HOST_DEVICE) -> socket.socket:
    """A non-blocking packet socket on a host's device.  NotFound, Absent, NotPermitted."""
    with topology.namespace(topology.host(host)).enter():
        try:
            sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
        except PermissionError as e:
            raise error_from_errno(errno.EPERM, f"open a packet socket in {host}", "CAP_NET_RAW") from e
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
        sock.setsockopt(_SOL_PACKET, _PACKET_AUXDATA, 1)
        sock.bind((device, _ETH_P_ALL))
    return sock


def receive(sock: socket.socket) -> bytes | None:
    """The next frame as it was on the wire; empty for one that the host itself sent; None: none is there."""
    try:
        frame, ancillary, _, address = sock.recvmsg(_LARGEST_FRAME, socket.CMSG_SPACE(_AUXDATA.size))
    except BlockingIOError:
        return None
    return b"" if address[2] == _PACKET_OUTGOING else _with_tag(frame, ancillary)


def _with_tag(frame: bytes, ancillary: Iterable[tuple[int, int, bytes]]) -> bytes:
    """The stack takes the outer VLAN tag off before a packet socket sees the frame: put it back."""
    for level, kind, data in ancillary:
        if level == _SOL_PACKET and kind == _PACKET_AUXDATA:
            fields: tuple[Any, ...] = _AUXDATA.unpack_from(data)
            status, tag, tpid = fields[0], fields[5], fields[6]
            if status & _TAG_VALID:
                ethertype = tpid if status & _TPID_VALID else 0x8100
                return frame[:12] + struct.pack("!HH", ethertype, tag) + frame[12:]
    return frame
