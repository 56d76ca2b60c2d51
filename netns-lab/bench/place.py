"""A datapath to measure: its hosts, its ports, its programs, and frames run through them."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Final

from ctl.errors import Absent, Failure
from ctl.kernel import bpffs, libbpf
from ctl.kernel.attach import PROGRAM, attach
from ctl.kernel.datapath import KernelDatapath
from ctl.kernel.maps import Sizes
from ctl.kernel.structures import TestRunOpts
from ctl.manage import add_datapath, delete_datapath
from ctl.netns import release_run_dir
from netns_lab.build import build, destroy
from netns_lab.topology import Topology, star

XDP_DROP, XDP_REDIRECT = 1, 4
_ROOM: Final = 256
_TRIAL: Final = 1000  # repeats that tell how many make a sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A datapath in a lab of its own: host N on port N.  ``program`` is the one at the ports."""

    topology: Topology
    datapath: KernelDatapath
    program: int

    def run(self, program: int, frame: bytes, repeat: int, port: int = 1) -> tuple[int, int]:
        """Run a program ``repeat`` times over a frame that came in on a port: nanoseconds each, and the verdict."""
        out = ctypes.create_string_buffer(len(frame) + _ROOM)
        options = TestRunOpts(data_in=frame, data_size_in=len(frame), repeat=repeat)
        options.data_out, options.data_size_out = ctypes.addressof(out), len(out)
        with self.topology.datapath_namespace.enter():
            ifindex = self.topology.datapath_namespace.ifindex(self.topology.hosts[port - 1].device)
            # struct xdp_md: data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex
            options.ctx_in = struct.pack("<6I", 0, len(frame), 0, ifindex, 0, 0)
            options.ctx_size_in = 24
            libbpf.test_run(program, options)
        return options.duration, options.retval

    def sampler(self, program: int, frame: bytes, verdict: int, sample_s: float) -> Callable[[], float]:
        """A function that takes a sample of about that length: nanoseconds.  Failure for another verdict."""
        trial, _ = self.run(program, frame, _TRIAL)
        repeat = max(_TRIAL, int(sample_s * 1e9 / max(trial, 1)))

        def sample() -> float:
            took, found = self.run(program, frame, repeat)
            if found != verdict:
                raise Failure(f"a benchmark's packet had verdict {found} instead of {verdict}")
            return float(took)

        return sample


@contextmanager
def place(sizes: Sizes, hosts: int = 2, ports: int = 2) -> Iterator[Place]:
    """Make it, the first ``ports`` hosts on ports of the datapath; remove it at the end, whatever happens.

    The calling thread stays on one processor meanwhile.
    """
    topology = star(hosts, f"bn{os.getpid()}")
    name = topology.lab
    with ExitStack() as undo:
        undo.callback(release_run_dir)
        undo.callback(destroy, name)
        build(topology)
        undo.callback(_delete, name)
        add_datapath(name, sizes, topology.datapath_namespace)
        datapath = undo.enter_context(KernelDatapath(name))
        for host in topology.hosts[:ports]:
            attach(datapath, host.device, host.port)
        program = undo.enter_context(libbpf.opened(str(bpffs.folder(name) / PROGRAM)))
        here = os.sched_getaffinity(0)
        undo.callback(os.sched_setaffinity, 0, here)
        os.sched_setaffinity(0, {max(here)})
        yield Place(topology=topology, datapath=datapath, program=program)


def _delete(name: str) -> None:
    with suppress(Absent):
        delete_datapath(name)
