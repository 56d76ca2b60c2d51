"""Waiting until no program can still see what was taken away: an RCU grace period."""

from __future__ import annotations

import ctypes
import os
import platform
from typing import Final

from ctl.kernel import libbpf

# __NR_membarrier; <asm/unistd.h> of each architecture.  glibc has no wrapper.
_NR_MEMBARRIER: Final = {"x86_64": 324, "aarch64": 283}
_CMD_GLOBAL: Final = 1
_MAP_ARRAY_OF_MAPS: Final = 12

_libc = ctypes.CDLL(None, use_errno=True)


def wait() -> None:
    """Return after every program that ran when the call began has ended.  About 10 ms."""
    if not _by_membarrier():
        _by_map_update()


def _by_membarrier() -> bool:
    """membarrier(2) waits for a grace period; kernels with nohz_full processors refuse it."""
    number = _NR_MEMBARRIER.get(platform.machine())
    return number is not None and _libc.syscall(number, _CMD_GLOBAL, 0, 0) == 0


def _by_map_update() -> None:
    """Replacing a map within a map waits for programs that may still use the old one."""
    inner = libbpf.map_create(libbpf.MAP_ARRAY, "grace_inner", 4, 4, 1)
    try:
        outer = libbpf.map_create(_MAP_ARRAY_OF_MAPS, "grace_outer", 4, 4, 1, inner_map_fd=inner)
        try:
            libbpf.map_update(outer, ctypes.c_uint32(0), ctypes.c_uint32(inner))
        finally:
            os.close(outer)
    finally:
        os.close(inner)
