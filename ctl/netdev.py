"""What a device says it does for XDP, by the kernel's generic netlink family "netdev" (Linux 6.3).

Nothing is imported but the standard library.  A message is a header, a command, and attributes; numbers
are in host byte order, everything is padded to four octets.  Numbers are those of <linux/netdev.h> and
<linux/genetlink.h>.
"""

from __future__ import annotations

import errno
import socket
import struct
import sys
from collections.abc import Iterator
from typing import Final

from ctl.netns import NetNs, error_from_errno

_NETLINK_GENERIC: Final = 16
_FIND_FAMILY: Final = (16, 3)  # message type GENL_ID_CTRL, command CTRL_CMD_GETFAMILY
_FAMILY_ID, _FAMILY_NAME = 1, 2
_DEVICE_GET: Final = 1
_IFINDEX, _XDP_FEATURES = 1, 3
_NDO_XMIT: Final = 1 << 2

_HEADER: Final = struct.Struct("=IHHIIBBH")  # length, type, flags, sequence, port; command, version, reserved
_ATTRIBUTE: Final = struct.Struct("=HH")
_REQUEST: Final = 1
_ERROR: Final = 2


def takes_redirects(ns: NetNs, device: str) -> bool | None:
    """Whether the device sends out what XDP redirects to it; None where the kernel does not tell.  NotFound."""
    ifindex = ns.ifindex(device)
    with ns.enter(), socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_GENERIC) as sock:
        sock.bind((0, 0))
        try:
            family = _ask(sock, _FIND_FAMILY, {_FAMILY_NAME: b"netdev\0"})[_FAMILY_ID]
        except FileNotFoundError:
            return None
        kind = int.from_bytes(family, sys.byteorder), _DEVICE_GET
        try:
            answer = _ask(sock, kind, {_IFINDEX: struct.pack("=I", ifindex)})
        except OSError as e:
            raise error_from_errno(e.errno, f"ask for the XDP features of {device}") from e
    return bool(int.from_bytes(answer[_XDP_FEATURES], sys.byteorder) & _NDO_XMIT)


def _ask(sock: socket.socket, kind: tuple[int, int], attributes: dict[int, bytes]) -> dict[int, bytes]:
    """The attributes of the answer.  OSError as the kernel refuses."""
    body = b"".join(
        _padded(_ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), number) + value) for number, value in attributes.items()
    )
    sock.send(_HEADER.pack(_HEADER.size + len(body), kind[0], _REQUEST, 1, 0, kind[1], 1, 0) + body)
    answer = sock.recv(1 << 16)
    length, message_type = struct.unpack_from("=IH", answer)
    if message_type == _ERROR:
        (code,) = struct.unpack_from("=i", answer, 16)
        raise OSError(-code or errno.EPROTO, "netlink")
    return dict(_attributes(answer[_HEADER.size : length]))


def _attributes(body: bytes) -> Iterator[tuple[int, bytes]]:
    while body:
        length, number = _ATTRIBUTE.unpack_from(body)
        yield number, body[_ATTRIBUTE.size : length]
        body = body[(length + 3) & ~3 :]


def _padded(octets: bytes) -> bytes:
    return octets + bytes(-len(octets) % 4)
