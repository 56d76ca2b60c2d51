"""The least that forwards: XDP on every port, frame to the port that the last octet of its MAC names."""

import ctypes
import os
from contextlib import ExitStack, contextmanager

from ctl.kernel import libbpf
from netns_lab.bytecode import instruction

_REDIRECT_MAP = 51
_DROP, _PASS = 1, 2


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

        devmap = keep(libbpf.map_create(libbpf.MAP_DEVMAP, "lab_devmap", 4, 4, 256))
        code = _redirect_code(devmap)
        program = keep(libbpf.prog_load(libbpf.PROG_XDP, "lab_redirect", code, libbpf.F_XDP_HAS_FRAGS if frags else 0))
        with topology.datapath_namespace.enter():
            ports = topology.datapath_namespace.devices()
            for host in topology.hosts:
                key, value = ctypes.c_uint32(int(host.mac[-2:], 16)), ctypes.c_uint32(ports[host.device])
                libbpf.map_update(devmap, key, value)
                keep(attach(program, ports[host.device]))
        yield


@contextmanager
def passing(ns, device):
    """A program on a device that passes everything: a veth with one polls as if GRO were on."""
    program = libbpf.prog_load(libbpf.PROG_XDP, "lab_pass", instruction(0xB7, 0, value=_PASS) + instruction(0x95))
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
    return libbpf.link_create_xdp(program, ifindex, libbpf.XDP_DRV_MODE)
