"""BPF instructions written out.

For the few programs of the lab that are a dozen instructions long: they need no compiler, and work on a
machine where the real datapath does not build yet.  Whatever is longer is written in C.
"""

from __future__ import annotations

import struct


def instruction(code: int, dst: int = 0, src: int = 0, offset: int = 0, value: int = 0) -> bytes:
    """One instruction in host byte order; ``offset`` of a jump counts from the instruction after it."""
    return struct.pack("=BBhi", code, dst | src << 4, offset, value)
