"""What stands before the programs: frames of a device that left the ports' namespace are dropped.

A device that moves to another network namespace takes its links along, and may get an ifindex there which is
another port's here.  The programs know devices by their ifindex alone, so they would take the frames of the
one for the other's.  The kernel does not tell a program its namespace, but lets it follow the kernel's own
pointers since Linux 6.2: frame, device, namespace, and that one's cookie.  Where these lie is asked of the
kernel's BTF when a program is loaded.
"""

from __future__ import annotations

import functools
import struct
from dataclasses import dataclass
from typing import Final

from ctl.errors import NotSupported
from ctl.kernel.btf import kernel_types

_TO_COOKIE: Final = (("net_device", "nd_net"), ("net", "net_cookie"))
_CAST: Final = "bpf_cast_to_kern_ctx"
_PSEUDO_KFUNC_CALL: Final = 2
_FURTHEST: Final = 0x7FFF  # an instruction's offset has 16 bits


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarded:
    """A hook: the members by which the kernel gets from a frame there to its device, and the verdict that drops it."""

    steps: tuple[tuple[str, str], ...]
    drop: int


XDP: Final = Guarded(steps=(("xdp_buff", "rxq"), ("xdp_rxq_info", "dev")), drop=1)
TC: Final = Guarded(steps=(("sk_buff", "dev"),), drop=2)


def prologue(hook: Guarded, cookie: int) -> bytes:
    """Instructions before those of a program: it goes on only with frames of the namespace with that cookie.

    NotFound, NotSupported where the kernel does not say what it takes.
    """
    function, *offsets = _places(hook)
    return b"".join(
        (
            _instruction(0xBF, 6, 1),  # r6 = r1
            _instruction(0x85, 0, _PSEUDO_KFUNC_CALL, immediate=function),  # r0 = the frame as the kernel knows it
            *(_instruction(0x79, 0, 0, offset) for offset in offsets),  # r0 = *(r0 + offset)
            _instruction(0x18, 2, 0, immediate=_signed(cookie)) + _instruction(0, immediate=_signed(cookie >> 32)),
            _instruction(0x1D, 0, 2, 2),  # if r0 == r2 go on after the next two
            _instruction(0xB7, 0, immediate=hook.drop),
            _instruction(0x95),
            _instruction(0xBF, 1, 6),  # r1 = r6
        )
    )


def trial(hook: Guarded) -> bytes:
    """A program that has it, and does nothing else."""
    return prologue(hook, 0) + _instruction(0xB7, 0, immediate=hook.drop) + _instruction(0x95)


@functools.cache
def _places(hook: Guarded) -> tuple[int, ...]:
    """The number of the function that gives the kernel's pointer, and the offset of each step from there."""
    with kernel_types() as types:
        offsets = [types.offset(structure, member) for structure, member in (*hook.steps, *_TO_COOKIE)]
        function = types.function(_CAST)
    if max(offsets) > _FURTHEST:
        raise NotSupported("the kernel's structures are larger than an instruction can reach into")
    return (function, *offsets)


def _instruction(opcode: int, target: int = 0, source: int = 0, offset: int = 0, immediate: int = 0) -> bytes:
    return struct.pack("<BBhi", opcode, target | source << 4, offset, immediate)


def _signed(word: int) -> int:
    """The low half of a number, as an instruction holds it."""
    word &= 0xFFFFFFFF
    return word - (1 << 32) if word >> 31 else word
