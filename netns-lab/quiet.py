"""Keeps a host's stack from answering test frames, so that a count is exact.

A UDP datagram to a closed port, a stray TCP segment, an echo request: the stack would answer each, and
the answer would be counted by the datapath.  A tc program on the host's device drops what carries the
mark of `frames` at its end.  Packet sockets have seen the frame by then; everything else passes.

The mark ends in the number of the host that a frame is for.  A router drops only what is for itself, and
forwards the rest.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from ctl.kernel import libbpf
from netns_lab.bytecode import instruction

MARK: Final = b"ctl-lab"
MARK_SIZE: Final = len(MARK) + 1  # with the number of the receiver
TRAILER_SIZE: Final = 24  # the mark is its first octets; see `frames`

_SKB_LOAD_BYTES: Final = 26
_DROP, _NEXT = 2, -1  # TC_ACT_SHOT, TC_ACT_UNSPEC


def mark_of(receiver: int) -> bytes:
    """The mark of a frame for the host of that number, of 1 to 255."""
    return MARK + bytes([receiver])


def _program(value: bytes, mask: bytes) -> bytes:
    """Drop what has, masked, this value where its trailer would begin."""
    value_low, value_high = struct.unpack("=ii", value)
    mask_low, mask_high = struct.unpack("=ii", mask)
    return b"".join(
        (
            instruction(0xBF, 6, 1),  # r6 = skb
            instruction(0x61, 2, 1),  # r2 = skb->len, from the MAC header on
            instruction(0xA5, 2, offset=13, value=TRAILER_SIZE),  # shorter than a trailer: next
            instruction(0x07, 2, value=-TRAILER_SIZE),
            instruction(0xBF, 1, 6),
            instruction(0xBF, 3, 10),
            instruction(0x07, 3, value=-MARK_SIZE),
            instruction(0xB7, 4, value=MARK_SIZE),
            instruction(0x85, value=_SKB_LOAD_BYTES),  # skb_load_bytes(skb, len - trailer, stack, 8); or zeroes
            instruction(0x79, 1, 10, -MARK_SIZE),
            instruction(0x18, 2, value=mask_low) + instruction(0, value=mask_high),
            instruction(0x5F, 1, 2),
            instruction(0x18, 2, value=value_low) + instruction(0, value=value_high),
            instruction(0x1D, 1, 2, 2),  # equal: drop
            instruction(0xB7, 0, value=_NEXT),
            instruction(0x95),
            instruction(0xB7, 0, value=_DROP),
            instruction(0x95),
        )
    )


@contextmanager
def load_quiet_program(only_for: int | None = None) -> Iterator[int]:
    """A file descriptor of the program within the block; where it is attached it lives on.

    It drops every test frame, or only those for the host of one number.  OSError.
    """
    ones = b"\xff" * len(MARK)
    code = _program(mark_of(0), ones + b"\0") if only_for is None else _program(mark_of(only_for), ones + b"\xff")
    fd = libbpf.prog_load(libbpf.PROG_SCHED_CLS, "lab_quiet", code)
    try:
        yield fd
    finally:
        os.close(fd)
