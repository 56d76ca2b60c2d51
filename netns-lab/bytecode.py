"""BPF instructions written out, and the system call that loads them.

For the few programs of the lab that are a dozen instructions long: they need no compiler, and work on a
machine where the real datapath does not build yet.  Whatever is longer is written in C.
"""

from __future__ import annotations

import ctypes
import platform
import struct
from typing import Final

from ctl.errors import NotSupported
from ctl.netns import error_from_errno

SCHED_CLS: Final = 3
XDP: Final = 6

_PROG_LOAD: Final = 5
_SYSCALL: Final = {"x86_64": 321, "aarch64": 280}


def instruction(code: int, dst: int = 0, src: int = 0, offset: int = 0, value: int = 0) -> bytes:
    """One instruction in host byte order; ``offset`` of a jump counts from the instruction after it."""
    return struct.pack("=BBhi", code, dst | src << 4, offset, value)


def bpf(command: int, attributes: ctypes.Structure, doing: str) -> int:
    """The bpf system call; what it returns.  NotPermitted, NotSupported, or what the errno says."""
    number = _SYSCALL.get(platform.machine())
    if number is None:
        raise NotSupported(f"the lab does not know the bpf system call of {platform.machine()}")
    libc = ctypes.CDLL(None, use_errno=True)
    result = int(libc.syscall(number, command, ctypes.byref(attributes), ctypes.sizeof(attributes)))
    if result < 0:
        raise error_from_errno(ctypes.get_errno(), doing, "CAP_BPF and CAP_NET_ADMIN")
    return result


class _ProgLoad(ctypes.Structure):
    """The head of union bpf_attr for BPF_PROG_LOAD; the kernel takes the rest for zero."""

    _fields_ = (
        ("prog_type", ctypes.c_uint32),
        ("insn_cnt", ctypes.c_uint32),
        ("insns", ctypes.c_uint64),
        ("license", ctypes.c_uint64),
        ("log_level", ctypes.c_uint32),
        ("log_size", ctypes.c_uint32),
        ("log_buf", ctypes.c_uint64),
        ("kern_version", ctypes.c_uint32),
        ("prog_flags", ctypes.c_uint32),
        ("prog_name", ctypes.c_char * 16),
    )


def load_program(program_type: int, code: bytes, name: str, flags: int = 0) -> int:
    """Load a program and return its file descriptor, which the caller closes.  ``name``: up to 15 octets."""
    instructions, licence = ctypes.create_string_buffer(code), ctypes.create_string_buffer(b"GPL")
    attributes = _ProgLoad(
        prog_type=program_type,
        insn_cnt=len(code) // 8,
        insns=ctypes.addressof(instructions),
        license=ctypes.addressof(licence),
        prog_flags=flags,
        prog_name=name.encode(),
    )
    return bpf(_PROG_LOAD, attributes, f"load the lab's program {name}")
