"""The programs of bpf/bench.c, loaded with maps of their own."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Final

from ctl.kernel import libbpf
from ctl.kernel.compile import bytecode
from ctl.kernel.program import load_tc, load_xdp

HEAD_SIZE: Final = 64
_ZERO: Final = ctypes.c_uint32(0)


class _Plan(ctypes.Structure):
    """struct bench_plan of bench.c."""

    _fields_ = (
        ("random", ctypes.c_uint64),
        ("vary", ctypes.c_uint32),
        ("fixed", ctypes.c_uint32),
        ("at", ctypes.c_uint32),
        ("size", ctypes.c_uint32),
        ("head", ctypes.c_uint8 * HEAD_SIZE),
    )


# enum bench_map of bench.c: type, name, bytes of a value.
_MAPS: Final = (
    (libbpf.MAP_PROG_ARRAY, "bench_program", 4),
    (libbpf.MAP_ARRAY, "bench_plan", ctypes.sizeof(_Plan)),
    (libbpf.MAP_DEVMAP, "bench_ports", 4),
    (libbpf.MAP_ARRAY, "bench_count", 8),
    (libbpf.MAP_ARRAY, "bench_tc_ports", 4),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Frames like ``frame`` that differ in the 32-bit number at ``at``: random bits in ``vary``, ``fixed`` set."""

    frame: bytes
    at: int
    vary: int = 0
    fixed: int = 0


@dataclass(frozen=True, slots=True)
class Program:
    """One program and its maps, as descriptors."""

    fd: int
    maps: tuple[int, ...]

    def plan(self, plan: Plan) -> None:
        """What `bench_next` and `bench_send` make from now on."""
        value = _Plan(random=plan.fixed, vary=plan.vary, fixed=plan.fixed, at=plan.at, size=len(plan.frame))
        ctypes.memmove(value.head, plan.frame, HEAD_SIZE)
        libbpf.map_update(self.maps[1], _ZERO, value)

    def call(self, program: int) -> None:
        """What `bench_next` calls from now on."""
        libbpf.map_update(self.maps[0], _ZERO, ctypes.c_uint32(program))

    def send_to(self, ifindex: int) -> None:
        """Where the program sends to, if it does.  The device is one of the caller's namespace."""
        libbpf.map_update(self.maps[2], _ZERO, ctypes.c_uint32(ifindex))
        libbpf.map_update(self.maps[4], _ZERO, ctypes.c_uint32(ifindex))

    def count(self) -> int:
        """What `bench_sink` has counted."""
        value = ctypes.c_uint64()
        libbpf.map_lookup(self.maps[3], _ZERO, value)
        return value.value


@contextmanager
def loaded(name: str) -> Iterator[Program]:
    """A program of bench.c within the block; where it is attached by then it lives on."""
    with ExitStack() as undo:
        maps = []
        for map_type, map_name, size in _MAPS:
            maps.append(libbpf.map_create(map_type, map_name, 4, size, 1))
            undo.callback(os.close, maps[-1])
        load = load_tc if name == "bench_tc" else load_xdp
        fd = load(name, bytecode(name)[0], dict(enumerate(maps)))
        undo.callback(os.close, fd)
        yield Program(fd, tuple(maps))
