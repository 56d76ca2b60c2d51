"""Moves data between hosts through their own stacks: TCP with a checksum, UDP with a count.

Frames of `traffic` are finished before they are sent, and so never show what offloads do.  These do.
Sockets are opened inside the hosts; the two ends run in threads of the caller.
"""

from __future__ import annotations

import hashlib
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Final

from ctl.errors import UsageError
from netns_lab.paths import legs_between
from netns_lab.topology import Topology

MAX_MIB: Final = 1024
MAX_DATAGRAMS: Final = 1_000_000
TCP_PORT, UDP_PORT = 5001, 5002
_CHUNK: Final = 1 << 20
_SO_RCVBUFFORCE: Final = 33
_BUFFER: Final = 32 << 20
_PACE: Final = 64  # datagrams between two looks at the clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """A TCP transfer.  Sums are SHA-256 in hex, of what was written and of what was read."""

    wanted_bytes: int
    sent_bytes: int
    received_bytes: int
    sent_sum: str
    received_sum: str
    seconds: float

    @property
    def ok(self) -> bool:
        """Everything arrived as it was sent."""
        return self.wanted_bytes == self.sent_bytes == self.received_bytes and self.sent_sum == self.received_sum


@dataclass(frozen=True, slots=True, kw_only=True)
class Datagrams:
    """A count of UDP datagrams.  ``received`` counts distinct ones with the right content."""

    sent: int
    received: int


def tcp_transfer(  # noqa: PLR0913 -- the last three are options, by keyword only
    topology: Topology, src: str, dst: str, *, mib: int = 16, timeout_s: float = 10.0, ipv6: bool = False
) -> Transfer:
    """Send ``mib`` MiB over TCP.  ``timeout_s`` bounds every single wait; a transfer that stalls ends early.

    A path that does not work is a Transfer that is not ok, never an error.
    """
    if not 1 <= mib <= MAX_MIB:
        raise UsageError(f"{mib} MiB: a transfer is 1 to {MAX_MIB}")
    receiver, sender = _Receiver(), _Sender()
    start = time.monotonic()
    with _tcp_pair(topology, src, dst, timeout_s, ipv6=ipv6) as (listener, client, address):
        thread = threading.Thread(target=receiver.run, args=(listener, timeout_s), name="bulk-receiver")
        thread.start()
        try:
            sender.run(client, address, mib)
        finally:
            client.close()
            thread.join()
    return Transfer(
        wanted_bytes=mib * _CHUNK,
        sent_bytes=sender.size,
        received_bytes=receiver.size,
        sent_sum=sender.sum.hexdigest(),
        received_sum=receiver.sum.hexdigest(),
        seconds=time.monotonic() - start,
    )


def udp_count(  # noqa: PLR0913 -- likewise
    topology: Topology,
    src: str,
    dst: str,
    *,
    count: int = 10_007,
    size: int = 1000,
    rate: float = 50_000.0,
    timeout_s: float = 2.0,
) -> Datagrams:
    """Send ``count`` datagrams of ``size`` octets at ``rate`` per second and count the arrivals.

    The receiver's buffer takes them all, so that a lost one was lost on the way.
    """
    if not (1 <= count <= MAX_DATAGRAMS and 8 <= size <= 1472 and rate > 0):
        raise UsageError(f"{count} datagrams of {size} octets at {rate}/s is out of bounds")
    with ExitStack() as stack:
        address = _address(topology, src, dst)
        receiver = stack.enter_context(_udp_socket(topology, dst, address))
        sender = stack.enter_context(_udp_socket(topology, src, _address(topology, dst, src)))
        seen: set[int] = set()
        start = time.monotonic()
        for number in range(count):
            if number % _PACE == 0:
                time.sleep(max(0.0, start + number / rate - time.monotonic()))
                _collect(receiver, size, seen)
            sender.sendto(_datagram(number, size), (address, UDP_PORT))
        deadline = time.monotonic() + timeout_s
        while len(seen) < count and time.monotonic() < deadline:
            _collect(receiver, size, seen)
            time.sleep(0.001)
    return Datagrams(sent=count, received=len(seen))


class _Sender:
    """Connects, writes chunks and half-closes.  A failure of the path just ends it."""

    def __init__(self) -> None:
        self.size = 0
        self.sum: Any = hashlib.sha256()

    def run(self, client: socket.socket, address: tuple[str, int], mib: int) -> None:
        try:
            client.connect(address)
            for number in range(mib):
                chunk = _chunk(number)
                client.sendall(chunk)
                self.sum.update(chunk)
                self.size += len(chunk)
            client.shutdown(socket.SHUT_WR)
        except OSError:
            return


class _Receiver:
    """Accepts one connection and reads it to its end."""

    def __init__(self) -> None:
        self.size = 0
        self.sum: Any = hashlib.sha256()

    def run(self, listener: socket.socket, timeout_s: float) -> None:
        try:
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(timeout_s)
                while data := connection.recv(_CHUNK):
                    self.size += len(data)
                    self.sum.update(data)
        except OSError:
            return


@contextmanager
def _tcp_pair(
    topology: Topology, src: str, dst: str, timeout_s: float, *, ipv6: bool
) -> Iterator[tuple[socket.socket, socket.socket, tuple[str, int]]]:
    """A listener in ``dst``, a client in ``src`` that is not connected yet, and where to connect to."""
    family = socket.AF_INET6 if ipv6 else socket.AF_INET
    address = (_address(topology, src, dst, ipv6=ipv6), TCP_PORT)
    with topology.namespace(topology.host(dst)).enter():
        listener = socket.socket(family, socket.SOCK_STREAM)
    with topology.namespace(topology.host(src)).enter():
        client = socket.socket(family, socket.SOCK_STREAM)
    with listener, client:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.settimeout(timeout_s)
        client.settimeout(timeout_s)
        listener.bind(address)
        listener.listen(1)
        yield listener, client, address


def _address(topology: Topology, src: str, dst: str, *, ipv6: bool = False) -> str:
    """By which address one host reaches another.  UsageError when it does not."""
    return legs_between(topology, src, dst, ipv6=ipv6)[-1].dst.address_of(ipv6=ipv6)


def _udp_socket(topology: Topology, host: str, address: str) -> socket.socket:
    with topology.namespace(topology.host(host)).enter():
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
    sock.bind((address, UDP_PORT))
    sock.settimeout(0)
    return sock


def _collect(sock: socket.socket, size: int, seen: set[int]) -> None:
    while True:
        try:
            data = sock.recv(65536)
        except BlockingIOError:
            return
        number = int.from_bytes(data[:8], "big")
        if data == _datagram(number, size):
            seen.add(number)


def _datagram(number: int, size: int) -> bytes:
    """The number, then a pattern that depends on it."""
    return number.to_bytes(8, "big") + bytes([number % 251]) * (size - 8)


def _chunk(number: int) -> bytes:
    """One MiB that repeats neither itself nor another: a lost, doubled or swapped segment changes the sum."""
    seed = hashlib.sha256(number.to_bytes(8, "big")).digest()
    return hashlib.shake_128(seed).digest(_CHUNK)
