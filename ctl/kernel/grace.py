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
    from ctl.kernel.features import switched_off

    if "membarrier" in switched_off() or not by_membarrier():
        _by_map_update()


def by_membarrier() -> bool:
    """Wait by membarrier(2); False where the kernel refuses it, as it does with nohz_full processors."""
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
