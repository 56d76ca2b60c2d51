"""Keeps a host's stack from answering test frames, so that a count is exact.

A UDP datagram to a closed port, a stray TCP segment, an echo request: the stack would answer each, and
the answer would be counted by the datapath.  A tc program on the host's device drops what carries the
mark of `frames` at its end.  Packet sockets have seen the frame by then; everything else passes.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from ctl.kernel import libbpf
from netns_lab.bytecode import instruction

MARK: Final = b"ctl-test"
TRAILER_SIZE: Final = 24  # the mark is its first 8 octets; see `frames`

_SKB_LOAD_BYTES: Final = 26
_DROP, _NEXT = 2, -1  # TC_ACT_SHOT, TC_ACT_UNSPEC
_LOW, _HIGH = struct.unpack("=ii", MARK)

_PROGRAM: Final = b"".join(
    (
        instruction(0xBF, 6, 1),  # r6 = skb
        instruction(0x61, 2, 1),  # r2 = skb->len, from the MAC header on
        instruction(0xA5, 2, offset=10, value=TRAILER_SIZE),  # shorter than a trailer: next
        instruction(0x07, 2, value=-TRAILER_SIZE),
        instruction(0xBF, 1, 6),
        instruction(0xBF, 3, 10),
        instruction(0x07, 3, value=-len(MARK)),
        instruction(0xB7, 4, value=len(MARK)),
        instruction(0x85, value=_SKB_LOAD_BYTES),  # skb_load_bytes(skb, len - trailer, stack, 8); zeroes if it cannot
        instruction(0x79, 1, 10, -len(MARK)),
        instruction(0x18, 2, value=_LOW) + instruction(0, value=_HIGH),  # r2 = MARK
        instruction(0x1D, 1, 2, 2),  # equal: drop
        instruction(0xB7, 0, value=_NEXT),
        instruction(0x95),
        instruction(0xB7, 0, value=_DROP),
        instruction(0x95),
    )
)


@contextmanager
def load_quiet_program() -> Iterator[int]:
    """A file descriptor of the program within the block; where it is attached it lives on.  OSError."""
    fd = libbpf.prog_load(libbpf.PROG_SCHED_CLS, "lab_quiet", _PROGRAM)
    try:
        yield fd
    finally:
        os.close(fd)
