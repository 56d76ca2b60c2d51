"""From bytecode to loaded programs: map numbers become file descriptors, and programs find each other."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from ctl.abi import MapId, ProgramId
from ctl.errors import Failure
from ctl.kernel import compile as compiler
from ctl.kernel import features, guard, libbpf
from ctl.kernel.guard import Guarded
from ctl.netns import NetNs

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


def load_tc(name: str, code: bytes, fds: Mapping[MapId, int] | Mapping[int, int]) -> int:
    """Load a program for the tc hook; its fd.  VerifierError."""
    return libbpf.prog_load(libbpf.PROG_SCHED_CLS, name, relocate(code, fds))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Hook:
    """The programs of a hook: the one that is attached, those that it calls, and their map."""

    entry: str
    called: dict[ProgramId, str]
    map_id: MapId
    load: Callable[[str, bytes, Mapping[MapId, int]], int]
    guard: Guarded


_HOOKS: Final = (
    _Hook(
        entry="dp_xdp",
        called={ProgramId.PROGRAM_AGAIN: "dp_xdp_again", ProgramId.PROGRAM_ACTIONS: "dp_xdp_actions"},
        map_id=MapId.MAP_PROGRAMS,
        load=load_xdp,
        guard=guard.XDP,
    ),
    _Hook(
        entry="dp_tc",
        called={ProgramId.PROGRAM_AGAIN: "dp_tc_again", ProgramId.PROGRAM_ACTIONS: "dp_tc_actions"},
        map_id=MapId.MAP_TC_PROGRAMS,
        load=load_tc,
        guard=guard.TC,
    ),
)


def load_all(fds: Mapping[MapId, int], namespace: NetNs) -> dict[str, int]:
    """The programs of both hooks in the variant for this kernel: the fds of those to attach, by name.

    They are for ports in ``namespace``.  The maps of programs keep the others.  CompileError, VerifierError.
    """
    loaded: dict[str, int] = {}
    try:
        for hook in _HOOKS:
            before = guard.prologue(hook.guard, namespace.cookie) if features.has("device_netns") else b""
            loaded[hook.entry] = _load_hook(hook, fds, variant(), before)
    except BaseException:
        for fd in loaded.values():
            os.close(fd)
        raise
    return loaded


def variant() -> tuple[str, ...]:
    """The definitions that the datapath's programs are compiled with for this kernel."""
    return ("HAVE_MAY_GOTO",) if features.has("may_goto") else ()


def is_compiled() -> bool:
    """Whether a datapath can be made without compiling anything."""
    entries = [name for hook in _HOOKS for name in (hook.entry, *hook.called.values())]
    return compiler.is_cached("clock_pair") and all(compiler.is_cached(entry, variant()) for entry in entries)


def _load_hook(hook: _Hook, fds: Mapping[MapId, int], defines: tuple[str, ...], before: bytes) -> int:
    for number, name in hook.called.items():
        fd = hook.load(name, compiler.bytecode(name, defines)[0], fds)
        try:
            libbpf.map_update(fds[hook.map_id], ctypes.c_uint32(number), ctypes.c_uint32(fd))
        finally:
            os.close(fd)
    return hook.load(hook.entry, before + compiler.bytecode(hook.entry, defines)[0], fds)
