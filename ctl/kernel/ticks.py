"""How the kernel's tick counter, by which flows are stamped, relates to CLOCK_MONOTONIC.

Reading the counter costs the program nothing, reading the time some 15 ns for each packet.  The kernel
adds one to the counter for every 1/HZ seconds of CLOCK_MONOTONIC, so two numbers, found out once when a
datapath is made, turn a stamp into a time; the result is at most a tick older than the packet.  The length
of a tick is what the kernel's coarse clocks have as their resolution: on a machine that is busy with others
it cannot be measured in a few ticks.
"""

from __future__ import annotations

import ctypes
import os
import struct
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from ctl.errors import Failure

_CLOCK_MONOTONIC_COARSE: Final = 6  # <linux/time.h>
_EDGES: Final = 3
_LIMIT_S: Final = 2.0
_WRAP: Final = 1 << 64
_PAIR: Final = struct.Struct("<QQ")

Sample = tuple[int, int]  # the counter, and CLOCK_MONOTONIC in nanoseconds


class Ticks(NamedTuple):
    """``tick_ns`` nanoseconds for each tick; ``zero_ns``: the time of the counter's zero, modulo 2^64."""

    tick_ns: int
    zero_ns: int

    def time_ns(self, counter: int) -> int:
        """CLOCK_MONOTONIC at which the counter took that value."""
        return (self.zero_ns + counter * self.tick_ns) % _WRAP


def measure() -> Ticks:
    """Run the kernel's two clocks side by side for a few ticks: 3 to 40 ms.  CompileError, Failure."""
    from ctl.kernel import compile as compiler
    from ctl.kernel import program

    fd = program.load_xdp("clock_pair", compiler.bytecode("clock_pair")[0], {})
    try:
        return fit(lambda: _sample(fd), tick_ns(), time.monotonic() + _LIMIT_S)
    finally:
        os.close(fd)


def tick_ns() -> int:
    """Nanoseconds in a tick of this kernel."""
    return round(time.clock_getres(_CLOCK_MONOTONIC_COARSE) * 1e9)


def fit(sample: Callable[[], Sample], tick_ns: int, deadline: float = float("inf")) -> Ticks:
    """From samples around the moments at which the counter moves.

    Interruptions make such a moment seem late, never early: of several the earliest is right.
    """
    edges: list[Sample] = []
    before = sample()
    while len(edges) < _EDGES:
        now = sample()
        if now[0] != before[0]:
            edges.append(now)
        before = now
        if time.monotonic() > deadline:
            raise Failure("the kernel's tick counter does not move")
    return Ticks(tick_ns, min((at - counter * tick_ns) % _WRAP for counter, at in edges))


def _sample(fd: int) -> Sample:
    from ctl.kernel import libbpf
    from ctl.kernel.structures import TestRunOpts

    out = ctypes.create_string_buffer(64)
    opts = TestRunOpts(data_in=bytes(64), data_size_in=64, repeat=1)
    opts.data_out, opts.data_size_out = ctypes.addressof(out), len(out)
    libbpf.test_run(fd, opts)
    counter, at = _PAIR.unpack_from(out, 0)
    return counter, at
