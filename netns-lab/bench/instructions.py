"""How many instructions a processor carries out in the kernel, by perf_event_open(2), where it can count them."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

_PERF_EVENT_OPEN: Final = {"x86_64": 298, "aarch64": 241, "riscv64": 241}  # numbers of the system call
_TYPE_HARDWARE: Final = 0
_COUNT_HW_INSTRUCTIONS: Final = 1
_EXCLUDE_USER: Final = 1 << 4
_EXCLUDE_HV: Final = 1 << 6
_SIZE: Final = 64  # PERF_ATTR_SIZE_VER0
_FLAG_CLOEXEC: Final = 1 << 3

_REASONS: Final = {
    errno.ENOENT: "this processor, or its hypervisor, has no counter of instructions",
    errno.EOPNOTSUPP: "this processor, or its hypervisor, has no counter of instructions",
    errno.ENODEV: "this processor, or its hypervisor, has no counter of instructions",
    errno.ENOSYS: "this kernel was built without performance events",
    errno.EACCES: "performance events of the kernel are not permitted; see kernel.perf_event_paranoid",
    errno.EPERM: "performance events of the kernel are not permitted; see kernel.perf_event_paranoid",
    errno.EBUSY: "somebody else has the counter of instructions",
}


def why_not(number: int) -> str:
    """What an error of opening the counter means, in words."""
    return _REASONS.get(number) or os.strerror(number)


@contextmanager
def counter(cpu: int, note: Callable[[str], None]) -> Iterator[Callable[[], int] | None]:
    """Within the block a function that tells how many the processor has carried out in the kernel so far.

    None where they cannot be counted; the note says why.
    """
    try:
        fd = _open(cpu)
    except OSError as e:
        note(f"no instructions per packet: {why_not(e.errno or 0)}")
        yield None
        return
    try:
        yield lambda: int.from_bytes(os.read(fd, 8), "little")
    finally:
        os.close(fd)


def _open(cpu: int) -> int:
    # struct perf_event_attr: type, size, config, sample_period, sample_type, read_format, flags, and 16 zeros
    attributes = struct.pack(
        "<IIQQQQQ16x", _TYPE_HARDWARE, _SIZE, _COUNT_HW_INSTRUCTIONS, 0, 0, 0, _EXCLUDE_USER | _EXCLUDE_HV
    )
    number = _PERF_EVENT_OPEN.get(os.uname().machine)
    if number is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    syscall = ctypes.CDLL(None, use_errno=True).syscall
    syscall.restype = ctypes.c_long
    every_process, no_group = ctypes.c_long(-1), ctypes.c_long(-1)
    fd = syscall(
        ctypes.c_long(number), attributes, every_process, ctypes.c_long(cpu), no_group, ctypes.c_long(_FLAG_CLOEXEC)
    )
    if fd < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return int(fd)
