"""The least that forwards: XDP on every port, frame to the port that the last octet of its MAC names."""

import ctypes
import os
from contextlib import ExitStack, contextmanager

from netns_lab.bytecode import XDP, bpf, instruction, load_program

_MAP_CREATE, _MAP_UPDATE, _LINK_CREATE = 0, 2, 28
_DEVMAP, _REDIRECT_MAP, _ATTACH_XDP, _NATIVE = 14, 51, 37, 1 << 2
_HAS_FRAGS = 1 << 5
_DROP, _PASS = 1, 2


class _MapCreate(ctypes.Structure):
    _fields_ = [(n, ctypes.c_uint32) for n in ("map_type", "key_size", "value_size", "max_entries", "flags")]


class _MapUpdate(ctypes.Structure):
    _fields_ = [
        ("fd", ctypes.c_uint64),
        ("key", ctypes.c_uint64),
        ("value", ctypes.c_uint64),
        ("flags", ctypes.c_uint64),
    ]


class _LinkCreate(ctypes.Structure):
    _fields_ = [(n, ctypes.c_uint32) for n in ("program", "ifindex", "attach_type", "flags")]


def _redirect_code(devmap):
    return b"".join(
        (
            instruction(0x61, 2, 1, 0),  # r2 = data
            instruction(0x61, 3, 1, 4),  # r3 = data_end
            instruction(0xBF, 4, 2),
            instruction(0x07, 4, value=6),
            instruction(0x2D, 4, 3, 6),  # shorter than a MAC: drop
            instruction(0x71, 2, 2, 5),  # r2 = last octet of the destination
            instruction(0x18, 1, 1, value=devmap) + instruction(0),
            instruction(0xB7, 3, value=_DROP),  # what a missing port means
            instruction(0x85, value=_REDIRECT_MAP),
            instruction(0x95),
            instruction(0xB7, 0, value=_DROP),
            instruction(0x95),
        )
    )


@contextmanager
def redirecting(topology, *, frags=False):
    """Forward between the hosts within the block, by native XDP links that go with it."""
    with ExitStack() as stack:

        def keep(fd):
            stack.callback(os.close, fd)
            return fd

        devmap = keep(bpf(_MAP_CREATE, _MapCreate(_DEVMAP, 4, 4, 256, 0), "create a devmap"))
        code = _redirect_code(devmap)
        program = keep(load_program(XDP, code, "lab_redirect", _HAS_FRAGS if frags else 0))
        with topology.datapath_namespace.enter():
            ports = topology.datapath_namespace.devices()
            for host in topology.hosts:
                key, value = ctypes.c_uint32(int(host.mac[-2:], 16)), ctypes.c_uint32(ports[host.device])
                update = _MapUpdate(devmap, ctypes.addressof(key), ctypes.addressof(value), 0)
                bpf(_MAP_UPDATE, update, "fill the devmap")
                keep(attach(program, ports[host.device]))
        yield


@contextmanager
def passing(ns, device):
    """A program on a device that passes everything: a veth with one polls as if GRO were on."""
    program = load_program(XDP, instruction(0xB7, 0, value=_PASS) + instruction(0x95), "lab_pass")
    try:
        with ns.enter():
            link = attach(program, ns.ifindex(device))
        try:
            yield
        finally:
            os.close(link)
    finally:
        os.close(program)


def attach(program, ifindex):
    return bpf(_LINK_CREATE, _LinkCreate(program, ifindex, _ATTACH_XDP, _NATIVE), "attach a program")
