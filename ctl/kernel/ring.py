"""Reading the datapath's upcalls, and what psample actions send, from their ring buffers.

A ring is shared memory: a page with the consumer's position, which we write, then a page with the
producer's, and the data twice in a row, so that no record is ever broken by the end.  Each record has a
header of 8 bytes: its size, with two bits for "being written" and "to be skipped" (linux/bpf.h,
BPF_RINGBUF_*).  One process reads a ring; it holds a lock that the kernel releases with it.
"""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import select
import struct
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import ClassVar, Final, Generic, Self, TypeVar

from ctl import abi
from ctl.abi import MapId, UpcallReason
from ctl.action import Actions
from ctl.datapath import PacketSample, Upcall
from ctl.errors import Busy
from ctl.flow import FlowKey
from ctl.kernel import bpffs
from ctl.kernel.datapath import KernelDatapath
from ctl.kernel.maps import SAMPLE_RING_SIZE, UPCALL_RING_SIZE

_HEADER: Final = struct.Struct("<II")
_POSITION: Final = struct.Struct("<Q")
_BUSY: Final = 1 << 31
_DISCARD: Final = 1 << 30
_HAS_USERDATA, _HAS_TUN_PORT, _HAS_ACTIONS = 1, 2, 4
_HEAD_SIZE: Final = ctypes.sizeof(abi.Upcall)


_Record = TypeVar("_Record")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ring:
    """One of the rings.  ``folder``: whose lock its reader holds; ``listener``: where that one's pid is."""

    map_id: MapId
    size: int
    what: str
    folder: str
    listener: str


class _Reader(ABC, Generic[_Record]):
    """The one listener to a ring of a datapath.  A context manager: packets are handed over within the block.

    Busy when another process listens.  What was in the ring before is passed over.
    """

    _ring: ClassVar[_Ring]

    def __init__(self, datapath: KernelDatapath) -> None:
        self._datapath = datapath
        self._lock = -1

    @abstractmethod
    def _decode(self, raw: bytes) -> _Record:
        """What a record of the ring says."""

    def __enter__(self) -> Self:
        fd = self._datapath.maps.fd(self._ring.map_id)
        self._lock = _lock(self._datapath.name, self._ring.folder, self._ring.what)
        self._consumer = mmap.mmap(fd, mmap.PAGESIZE)
        self._producer = mmap.mmap(fd, mmap.PAGESIZE + 2 * self._ring.size, prot=mmap.PROT_READ, offset=mmap.PAGESIZE)
        self._poll = select.epoll()
        self._poll.register(fd, select.EPOLLIN)
        _POSITION.pack_into(self._consumer, 0, self._produced())
        setattr(self._datapath.reader.control, self._ring.listener, os.getpid())
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        setattr(self._datapath.reader.control, self._ring.listener, 0)
        self._poll.close()
        os.close(self._lock)

    def read(self, timeout_s: float = 0.0) -> list[_Record]:
        """What has come since the last call, oldest first; waits up to ``timeout_s`` for the first."""
        found = list(self._available())
        if not found and timeout_s > 0:
            self._poll.poll(timeout_s)
            found = list(self._available())
        return found

    def _produced(self) -> int:
        (position,) = _POSITION.unpack_from(self._producer, 0)
        return int(position)

    def _available(self) -> Iterator[_Record]:
        """Each record is copied before its place is given back."""
        (position,) = _POSITION.unpack_from(self._consumer, 0)
        while position < self._produced():
            at = mmap.PAGESIZE + position % self._ring.size
            size, _ = _HEADER.unpack_from(self._producer, at)
            if size & _BUSY:
                return
            start = at + _HEADER.size
            raw = None if size & _DISCARD else self._producer[start : start + size]
            position += (_HEADER.size + (size & ~_DISCARD) + 7) & ~7
            _POSITION.pack_into(self._consumer, 0, position)
            if raw is not None:
                yield self._decode(raw)


class UpcallReader(_Reader[Upcall]):
    """The one listener to misses and userspace actions."""

    _ring = _Ring(
        map_id=MapId.MAP_UPCALLS, size=UPCALL_RING_SIZE, what="upcalls", folder=bpffs.LINKS, listener="listener"
    )

    def _decode(self, raw: bytes) -> Upcall:
        return decode(raw, self._datapath.reader.list_of)


class SampleReader(_Reader[PacketSample]):
    """The one listener to psample actions, of all groups.  While there is none, nothing is copied."""

    _ring = _Ring(
        map_id=MapId.MAP_SAMPLES, size=SAMPLE_RING_SIZE, what="samples", folder=bpffs.SAMPLER, listener="sampler"
    )

    def _decode(self, raw: bytes) -> PacketSample:
        return decode_sample(raw)


def decode_sample(raw: bytes) -> PacketSample:
    """One record: struct sample and the frame."""
    head = abi.Sample.from_buffer_copy(raw)
    start = ctypes.sizeof(abi.Sample)
    return PacketSample(
        group=head.group,
        cookie=bytes(head.cookie[: head.cookie_size]) or None,
        rate=head.rate,
        in_port=head.in_port,
        packet=raw[start : start + head.packet_size],
        frame_size=head.frame_size,
        time_ns=head.time_ns,
        cpu=head.cpu,
    )


def decode(raw: bytes, list_of: Callable[[int, int, int], Actions | None]) -> Upcall:
    """One record: struct upcall and the frame.  ``list_of`` as in `ctl.kernel.records.RecordReader`."""
    head = abi.Upcall.from_buffer_copy(raw)
    return Upcall(
        reason="miss" if head.reason == UpcallReason.UPCALL_MISS else "action",
        key=FlowKey(bytes(head.key)),
        packet=raw[_HEAD_SIZE : _HEAD_SIZE + head.packet_size],
        frame_size=head.frame_size,
        time_ns=head.time_ns,
        cpu=head.cpu,
        pid=head.pid,
        userdata=bytes(head.userdata[: head.userdata_size]) if head.has & _HAS_USERDATA else None,
        egress_tun_port=head.tun_port if head.has & _HAS_TUN_PORT else None,
        actions=list_of(head.slot, head.generation, head.actions) if head.has & _HAS_ACTIONS else None,
    )


def _lock(name: str, folder: str, what: str) -> int:
    """A listener's lock, on a folder of the datapath's."""
    fd = os.open(bpffs.folder(name) / folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise Busy(f"another process reads the {what} of {name}", "one at a time") from None
    return fd
