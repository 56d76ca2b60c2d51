"""Datapaths for the tests of this folder, and frames run through them by BPF_PROG_TEST_RUN.

A datapath lives in a network namespace of its own.  Its ports are veth ends whose peers stay down, so no
packet ever arrives but those that a test runs: every counter is exactly what the test did.  A test run
counts like a real packet, and its verdict is what the driver would be told; nothing is sent.
"""

import ctypes
import itertools
import os
import struct
from contextlib import contextmanager
from dataclasses import dataclass, field

from ctl import abi, ethtool
from ctl.abi import MapId
from ctl.ethtool import Feature
from ctl.flow import FlowKey, Match, Output
from ctl.kernel import attach, bpffs, libbpf, program
from ctl.kernel import compile as compiler
from ctl.kernel.datapath import KernelDatapath
from ctl.kernel.maps import Sizes
from ctl.kernel.structures import TestRunOpts
from ctl.manage import add_datapath, delete_datapath
from ctl.netns import NetNs
from ctl.ports import Links, VethEnd, disable_ipv6

XDP_DROP, XDP_PASS, XDP_REDIRECT = 1, 2, 4
TC_SHOT, TC_REDIRECT = 2, 7
NOTE_SIZE = ctypes.sizeof(abi.HandOver)
PORTS = (1, 2, 3)
_letters = itertools.cycle("abcdefghijklmnopqrstuvwxyz")


@dataclass(frozen=True)
class Outcome:
    """What a test run returned."""

    verdict: int
    frame: bytes


@dataclass
class Bench:
    """A datapath with ports 1, 2 and 3.  ``programs``: fds by name, those of the two hooks and dp_tc_again."""

    datapath: KernelDatapath
    programs: dict[str, int]
    devices: dict[int, int] = field(default_factory=dict)  # ifindex by port number

    def run(self, frame, port=1, repeat=1, meta=0):
        """Run a frame as if it had come in on a port; None: on the loopback device, which is no port.

        ``meta``: so many bytes of metadata lie before it already.
        """
        frame = bytes(meta) + frame
        out = ctypes.create_string_buffer(len(frame) + 256)
        opts = TestRunOpts(data_in=frame, data_size_in=len(frame), repeat=repeat)
        opts.data_out, opts.data_size_out = ctypes.addressof(out), len(out)
        if port is not None:
            # struct xdp_md: data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex
            opts.ctx_in = struct.pack("<6I", meta, len(frame), 0, self.devices[port], 0, 0)
            opts.ctx_size_in = 24
        with self.datapath.netns.enter():
            libbpf.test_run(self.programs["dp_xdp"], opts)
        return Outcome(opts.retval, out.raw[: opts.data_size_out])

    def run_tc(self, frame, port=1, *, entry="dp_tc", mark=0, priority=0, note=None):  # noqa: PLR0913 - options
        """Likewise at the tc hook.  Tags are in the bytes that go in; one that is put on is not in those that come out.

        ``entry`` dp_tc_again: go on with the walk whose state is in this processor's working memory.  ``note``: an
        abi.CopyNote that lies beside the frame.
        """
        out = ctypes.create_string_buffer(len(frame) + 256)
        opts = TestRunOpts(data_in=frame, data_size_in=len(frame), repeat=1)
        opts.data_out, opts.data_size_out = ctypes.addressof(out), len(out)
        # struct __sk_buff, from its beginning to cb
        ifindex = 1 if port is None else self.devices[port]
        beside = bytes(note or abi.CopyNote())
        opts.ctx_in = struct.pack("<12I20s", 0, 0, mark, 0, 0, 0, 0, 0, priority, 0, ifindex, 0, beside)
        opts.ctx_size_in = 68
        with self.datapath.netns.enter():
            libbpf.test_run(self.programs[entry], opts)
        return Outcome(opts.retval, out.raw[: opts.data_size_out])

    def extract(self, frame, port=1):
        """The flow key that the program makes of a frame, read from its working memory."""
        here = os.sched_getaffinity(0)
        cpu = min(here)
        os.sched_setaffinity(0, {cpu})
        try:
            self.run(frame, port)
        finally:
            os.sched_setaffinity(0, here)
        return FlowKey(bytes(self.datapath.maps.per_cpu(MapId.MAP_SCRATCH, 0, abi.Scratch)[cpu].key))

    def drops(self):
        """The drop reasons that have been counted."""
        return {reason: count for reason, count in self.datapath.stats().drops.items() if count}


@contextmanager
def bench(max_flows=97, max_masks=31):
    """A datapath of that size, removed with its namespace at the end."""
    name = f"tb{os.getpid()}{next(_letters)}"
    namespace = NetNs.named(name)
    namespace.create()
    try:
        add_datapath(name, Sizes(max_flows=max_flows, max_masks=max_masks), namespace)
        try:
            with (
                KernelDatapath(name) as datapath,
                libbpf.opened(str(bpffs.folder(name) / attach.PROGRAM)) as xdp,
                libbpf.opened(str(bpffs.folder(name) / attach.TC_PROGRAM)) as tc,
                _again(datapath) as again,
            ):
                made = Bench(datapath, {"dp_xdp": xdp, "dp_tc": tc, "dp_tc_again": again})
                made.devices[0] = namespace.ifindex(f"{name}.p0")
                for number in PORTS:
                    made.devices[number] = _make_port(datapath, namespace, number)
                yield made
        finally:
            delete_datapath(name)
    finally:
        namespace.delete()


@contextmanager
def _again(datapath):
    """The tc hook's program for a further pass, once more: the datapath's own has no name."""
    fds = {map_id: datapath.maps.fd(map_id) for map_id in MapId}
    fd = program.load_tc("dp_tc_again", compiler.bytecode("dp_tc_again", program.variant())[0], fds)
    try:
        yield fd
    finally:
        os.close(fd)


def _make_port(datapath, namespace, number):
    device, peer = f"p{number}", f"q{number}"
    with Links(namespace) as links:
        links.create_veth(VethEnd(name=device), VethEnd(name=peer))
        for end in (device, peer):
            disable_ipv6(namespace, end)
        ethtool.switch(namespace, peer, on=(Feature.GRO,))
        links.set_up(device)
    return attach.attach(datapath, device, number).ifindex


# --- flows in few words ------------------------------------------------------------------------------

ONES = {name: (1 << 8 * size) - 1 for name, (_, size, _) in abi.KEY_LEAVES.items()}
OUT2 = (Output(2),)
DROP = ()


def exact(*leaves):
    """A mask with all bits of these leaves."""
    return FlowKey.of(**{leaf: ONES[leaf] for leaf in leaves})


def match_of(**leaves):
    """A match on exactly these leaves."""
    return Match(FlowKey.of(**leaves), exact(*leaves))


def numbered(number):
    """One of many matches of class S under one mask."""
    return match_of(in_port=1, eth_type=0x0800, ipv4_dst=0x0A000000 + number)


def numbered_v6(number):
    """One of many matches of class M under one mask."""
    return match_of(in_port=1, eth_type=0x86DD, ipv6_dst=(0xFD << 120) + number)


def udp_frame(dst):
    """An IPv4 frame of 53 octets to an address given as a number, which ``numbered`` matches on port 1."""
    ip = struct.pack(">BBHHHBBHII", 0x45, 0, 39, 0, 0, 64, 17, 0, 0x0A000001, dst)
    return bytes(12) + b"\x08\x00" + ip + struct.pack(">HHHH", 7, 9, 19, 0) + bytes(11)
