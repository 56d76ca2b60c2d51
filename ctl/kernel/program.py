"""From bytecode to a loaded program: map numbers become file descriptors."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Final

from ctl.abi import MapId
from ctl.errors import Failure
from ctl.kernel import libbpf

_LD_IMM64: Final = 0x18
_PSEUDO_MAP_FD: Final = 1


def relocate(code: bytes, fds: Mapping[MapId, int] | Mapping[int, int]) -> bytes:
    """Replace the number of each map by its fd.  Failure when the code refers to no such map."""
    known = {int(number): fd for number, fd in fds.items()}
    patched = bytearray(code)
    offset = 0
    while offset < len(patched):
        opcode, registers, _, immediate = struct.unpack_from("<BBhi", patched, offset)
        if opcode != _LD_IMM64:
            offset += 8
            continue
        if registers >> 4 == _PSEUDO_MAP_FD:
            try:
                struct.pack_into("<i", patched, offset + 4, known[immediate])
            except KeyError:
                raise Failure(f"the program refers to map {immediate}, which does not exist") from None
        offset += 16
    return bytes(patched)


def load_xdp(name: str, code: bytes, fds: Mapping[MapId, int] | Mapping[int, int]) -> int:
    """Load an XDP program that copes with frames in several buffers; its fd.  VerifierError."""
    return libbpf.prog_load(libbpf.PROG_XDP, name, relocate(code, fds), libbpf.F_XDP_HAS_FRAGS)
