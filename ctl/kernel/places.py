"""The table of ports by ifindex: bpf/port.h looks there for every frame."""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Iterator
from typing import Final

from ctl import abi
from ctl.abi import DpLimit
from ctl.errors import TableFull

_SIZE: Final = ctypes.sizeof(abi.PortPlace)
_IFINDEX: Final = 0xFFFFFFFF  # the low half of a place; the port's number is the high one


def enter(memory: mmap.mmap, ifindex: int, number: int) -> None:
    """Make a device a port.  TableFull when eight others with neighbouring numbers are there already."""
    for at in _places(ifindex):
        if not abi.PortPlace.from_buffer(memory, at).ifindex:
            ctypes.c_uint64.from_buffer(memory, at).value = ifindex | number << 32  # one store: both or neither
            return
    raise TableFull(f"no place is left for a device with ifindex {ifindex}", "make the device anew for another ifindex")


def leave(memory: mmap.mmap, number: int) -> None:
    """No device is that port, whichever was."""
    with memoryview(memory) as raw, raw.cast("Q") as words:
        for at, word in enumerate(words):
            if word & _IFINDEX and word >> 32 == number:
                words[at] = 0


def _places(ifindex: int) -> Iterator[int]:
    """Where a device can stand, as byte offsets."""
    return ((ifindex + i) % DpLimit.PORT_PLACES * _SIZE for i in range(DpLimit.PORT_PROBES))
