"""Offload features of a device: read them and switch them, by the ethtool ioctl; and whether it is up.

A feature here is one that decides whether a veth works under XDP.  The value of an ioctl is in host
byte order.  Nothing is imported but the standard library; the ioctl is resolved by name in the
namespace that the caller passes.
"""

from __future__ import annotations

import ctypes
import enum
import errno
import fcntl
import socket
import struct
from collections.abc import Iterable
from typing import Final

from ctl.errors import NotSupported
from ctl.netns import NetNs, error_from_errno

_SIOCETHTOOL: Final = 0x8946
_GET_DRIVER, _GET_FLAGS, _SET_FLAGS = 0x03, 0x25, 0x26
_NAME_SIZE: Final = 16
_SIOCGIFFLAGS: Final = 0x8913
_IFF_UP: Final = 1


class Feature(enum.Enum):
    """A feature, named as ``ethtool -K`` names it.  The value: command to read, to set, bit of the flags word."""

    TX_CHECKSUM = (0x16, 0x17, 1)
    TSO = (0x1E, 0x1F, 1)
    GSO = (0x23, 0x24, 1)
    GRO = (0x2B, 0x2C, 1)
    TX_VLAN = (_GET_FLAGS, _SET_FLAGS, 1 << 7)
    RX_VLAN = (_GET_FLAGS, _SET_FLAGS, 1 << 8)


class _Ifreq(ctypes.Structure):
    _fields_ = (("name", ctypes.c_char * _NAME_SIZE), ("data", ctypes.c_void_p), ("pad", ctypes.c_char * 16))


class _Value(ctypes.Structure):
    _fields_ = (("command", ctypes.c_uint32), ("data", ctypes.c_uint32))


class _DriverInfo(ctypes.Structure):
    _fields_ = (("command", ctypes.c_uint32), ("driver", ctypes.c_char * 32), ("rest", ctypes.c_char * 160))


def features(ns: NetNs, device: str) -> frozenset[Feature]:
    """The features of the device that are on.  One that the device does not know is off.  NotFound."""
    with ns.enter(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        return frozenset(feature for feature in Feature if _is_on(sock, device, feature))


def switch(ns: NetNs, device: str, *, on: Iterable[Feature] = (), off: Iterable[Feature] = ()) -> None:
    """Switch features on and off.

    The kernel drags others along: without TX_CHECKSUM there is neither TSO nor GSO.  NotSupported when
    the device keeps one as it was; NotFound, NotPermitted.
    """
    with ns.enter(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for wanted, group in ((True, on), (False, off)):
            for feature in group:
                _set(sock, device, feature, on=wanted)


def driver(ns: NetNs, device: str) -> str:
    """The name of the driver ("veth", "virtio_net"), or "" when the device does not tell.  NotFound."""
    info = _DriverInfo(command=_GET_DRIVER)
    with ns.enter(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            _ioctl(sock, device, info)
        except NotSupported:
            return ""
    return bytes(info.driver).decode(errors="replace")


def is_up(ns: NetNs, device: str) -> bool:
    """Whether the device may carry packets (IFF_UP).  NotFound."""
    request = struct.pack(f"{_NAME_SIZE}sH22x", device.encode(), 0)
    with ns.enter(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            answer = fcntl.ioctl(sock, _SIOCGIFFLAGS, request)
        except OSError as e:
            raise error_from_errno(e.errno, f"flags of {device}") from e
    (flags,) = struct.unpack_from("H", answer, _NAME_SIZE)
    return bool(flags & _IFF_UP)


def _is_on(sock: socket.socket, device: str, feature: Feature) -> bool:
    get, _, bit = feature.value
    value = _Value(command=get)
    try:
        _ioctl(sock, device, value)
    except NotSupported:
        return False
    return bool(value.data & bit)


def _set(sock: socket.socket, device: str, feature: Feature, *, on: bool) -> None:
    """Flags share one word: the others are written back as they are."""
    if _is_on(sock, device, feature) == on:
        return
    get, command, bit = feature.value
    value = _Value(command=get)
    _ioctl(sock, device, value)
    value.command = command
    value.data = value.data | bit if on else value.data & ~bit
    _ioctl(sock, device, value)
    if _is_on(sock, device, feature) != on:
        raise NotSupported(f"{device} keeps {feature.name} {'off' if on else 'on'}")


def _ioctl(sock: socket.socket, device: str, argument: ctypes.Structure) -> None:
    if len(device.encode()) >= _NAME_SIZE:
        raise error_from_errno(errno.ENODEV, f"offload settings of {device}")
    request = _Ifreq(name=device.encode(), data=ctypes.addressof(argument))
    try:
        fcntl.ioctl(sock, _SIOCETHTOOL, request)
    except OSError as e:
        raise error_from_errno(e.errno, f"offload settings of {device}") from e
