"""The few questions that read-only commands ask of netlink, without the 175 ms of pyroute2.

Messages are those of <linux/netlink.h>, <linux/genetlink.h>, <linux/netdev.h> and <linux/pkt_sched.h>, in
host byte order.  A request is one datagram; what comes back is read to its end.
"""

from __future__ import annotations

import enum
import errno
import os
import socket
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from ctl.netns import NetNs

_HEADER: Final = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_ATTRIBUTE: Final = struct.Struct("=HH")
_GENERIC: Final = struct.Struct("=BBH")  # command, version, reserved
_TC: Final = struct.Struct("=BxxxiIII")  # family, ifindex, handle, parent, info
_REQUEST, _DUMP = 0x001, 0x300
_ERROR, _DONE = 2, 3
_NETLINK_GENERIC: Final = 16
_TYPE_MASK: Final = 0x3FFF

_CTRL_ID, _CTRL_GET_FAMILY, _CTRL_FAMILY_ID, _CTRL_FAMILY_NAME = 0x10, 3, 1, 2
_NETDEV_DEV_GET, _NETDEV_IFINDEX, _NETDEV_XDP_FEATURES = 1, 1, 3
_GET_FILTER: Final = 46
_TCA_KIND, _TCA_OPTIONS, _TCA_BPF_ID = 1, 2, 11
INGRESS: Final = 0xFFFFFFF2  # TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS)
EGRESS: Final = 0xFFFFFFF3


class XdpFeature(enum.IntFlag):
    """What a device can do for XDP: enum netdev_xdp_act."""

    BASIC = 1
    REDIRECT = 2
    NDO_XMIT = 4  # it takes frames that XDP redirects to it


class Filter(NamedTuple):
    """A tc filter of a device: ``program_id`` 0 when it is no BPF program."""

    program_id: int
    handle: int
    priority: int


def xdp_features(ns: NetNs, ifindex: int) -> XdpFeature | None:
    """What a device can do for XDP; None before Linux 6.3, which cannot be asked."""
    with _socket(ns, _NETLINK_GENERIC) as sock:
        try:
            family = _family(sock, b"netdev")
            body = _GENERIC.pack(_NETDEV_DEV_GET, 1, 0) + _attribute(_NETDEV_IFINDEX, struct.pack("=I", ifindex))
            (answer,) = _ask(sock, family, 0, body)
        except OSError:
            return None
    (bits,) = struct.unpack_from("=Q", _attributes(answer[_GENERIC.size :])[_NETDEV_XDP_FEATURES])
    return XdpFeature(bits)


def filters(ns: NetNs, ifindex: int, parent: int = INGRESS) -> list[Filter]:
    """The tc filters on what a device receives (or sends, EGRESS); none without clsact or device."""
    with _socket(ns, socket.NETLINK_ROUTE) as sock:
        try:
            answers = _ask(sock, _GET_FILTER, _DUMP, _TC.pack(0, ifindex, 0, parent, 0))
        except OSError as e:
            if e.errno in (errno.EINVAL, errno.ENODEV, errno.ENOENT, errno.EOPNOTSUPP):
                return []
            raise
    return [found for found in map(_filter, answers) if found.handle]


def _filter(answer: bytes) -> Filter:
    """Handle 0 is the chain itself, which is listed beside its filters."""
    _, _, handle, _, info = _TC.unpack_from(answer)
    given = _attributes(answer[_TC.size :])
    options = _attributes(given.get(_TCA_OPTIONS, b"")) if given.get(_TCA_KIND) == b"bpf\0" else {}
    (program_id,) = struct.unpack("=I", options.get(_TCA_BPF_ID, bytes(4)))
    return Filter(program_id, handle, info >> 16)


def _socket(ns: NetNs, protocol: int) -> socket.socket:
    """A netlink socket of a namespace.  It stays there."""
    with ns.enter():
        return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)


def _family(sock: socket.socket, name: bytes) -> int:
    body = _GENERIC.pack(_CTRL_GET_FAMILY, 1, 0) + _attribute(_CTRL_FAMILY_NAME, name + b"\0")
    (answer,) = _ask(sock, _CTRL_ID, 0, body)
    (number,) = struct.unpack_from("=H", _attributes(answer[_GENERIC.size :])[_CTRL_FAMILY_ID])
    return int(number)


def _ask(sock: socket.socket, kind: int, flags: int, body: bytes) -> list[bytes]:
    """Send a request; the payload of every message of the answer.  OSError as the kernel says."""
    sock.send(_HEADER.pack(_HEADER.size + len(body), kind, _REQUEST | flags, 1, 0) + body)
    answers: list[bytes] = []
    while True:
        for message_kind, payload in _messages(sock.recv(1 << 18)):
            if message_kind == _ERROR:
                (code,) = struct.unpack_from("=i", payload)
                raise OSError(-code, os.strerror(-code))
            if message_kind == _DONE:
                return answers
            answers.append(payload)
        if not flags & _DUMP:
            return answers


def _messages(datagram: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(datagram):
        size, kind, *_ = _HEADER.unpack_from(datagram, at)
        yield kind, datagram[at + _HEADER.size : at + size]
        at += (size + 3) & ~3


def _attribute(kind: int, value: bytes) -> bytes:
    size = _ATTRIBUTE.size + len(value)
    return _ATTRIBUTE.pack(size, kind) + value + bytes(-size % 4)


def _attributes(data: bytes) -> dict[int, bytes]:
    """The values by their types."""
    found, at = {}, 0
    while at < len(data):
        size, kind = _ATTRIBUTE.unpack_from(data, at)
        found[kind & _TYPE_MASK] = data[at + _ATTRIBUTE.size : at + size]
        at += (size + 3) & ~3
    return found
