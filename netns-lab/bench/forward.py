"""Live frames end to end: how many a second get through the datapath, and through a bare redirect.

    host 1 eth0 ══ p1  datapath, XDP       p2 ══ eth0 host 2   counts and drops
    host 3 eth0 ══ p3  datapath, tc alone  p4 ══ eth0 host 4   counts and drops
    host 5 eth0 ══ p5  bare redirect, XDP  p6 ══ eth0 host 6   counts and drops
    host 7 eth0 ══ p7  bare redirect, tc   p8 ══ eth0 host 8   counts and drops

Four paths of the same devices, measured in turn.  The kernel makes the frames in the first host, sends
them in batches, and everything up to the sink runs on that one processor, the generator included: the
ratio of two is that of whole paths, not of programs.  Time is the generator's; what is on its way
when it ends, 300 frames or so, is not counted.  Instructions are all that the processor carries out in
the kernel from the first frame until nothing arrives any more, divided by the frames that arrived.
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Final

from ctl import ethtool
from ctl.errors import Failure
from ctl.ethtool import Feature
from ctl.flow import Output
from ctl.kernel import clsact, features, libbpf
from ctl.kernel.attach import attach
from ctl.kernel.maps import Sizes
from ctl.kernel.structures import TestRunOpts
from ctl.netns import NetNs
from netns_lab.bench import Effort, Note
from netns_lab.bench.figures import INSTRUCTIONS, MPPS, Case, Parameters, Row, ratios, rows
from netns_lab.bench.frames import BASE, OUT_PORT, S, install
from netns_lab.bench.instructions import counter
from netns_lab.bench.place import Place, place
from netns_lab.bench.programs import Plan, Program, loaded
from netns_lab.topology import HOST_DEVICE

BATCH: Final = 64
FLOWS: Final = 1024
_FRAMES_PER_FLOW: Final = 100  # of effort.bulk
_SETTLE_S: Final = 2.0


def forward(effort: Effort, note: Note) -> Iterator[Row]:
    """Packets a second by each path, the ratio of each round's two, and instructions if they can be counted."""
    frames = effort.bulk * _FRAMES_PER_FLOW
    flows = min(FLOWS, effort.flow_counts[0])
    with place(Sizes(max_flows=2 * FLOWS, max_masks=1), hosts=8) as here, ExitStack() as stack:
        _make_paths(stack, here, flows)
        count = stack.enter_context(counter(max(os.sched_getaffinity(0)), note))
        told: dict[str, str | int] = {"frames": frames, "batch": BATCH, "size": len(S.frame)}
        full: dict[str, str | int] = {**told, "flows": flows, "masks": 1}
        paths = [
            _Path(stack, here, count, "bare redirect", {"hook": "xdp", **told}, 5, range(flows)),
            _Path(stack, here, count, "datapath", {"hook": "xdp", **full}, 1, range(flows)),
            _Path(stack, here, count, "bare redirect", {"hook": "tc", **told}, 7, range(flows)),
            _Path(stack, here, count, "datapath", {"hook": "tc", **full}, 3, range(flows, 2 * flows)),
        ]
        cases = [Case(name=path.name, parameters=path.told, sample=path.sample) for path in paths]
        found = rows("forward", MPPS, cases, effort.rounds)
        yield from found
        for bare, ours in (found[:2], found[2:]):
            yield ratios(ours, bare, "datapath / bare")
        if count is not None:
            for path in paths:
                yield Row(benchmark="forward", name=path.name, parameters=path.told, unit=INSTRUCTIONS,
                          samples=tuple(path.instructions))  # fmt: skip


def _make_paths(stack: ExitStack, here: Place, flows: int) -> None:
    """The ports that are on tc alone, the flows of both hooks, and the bare programs."""
    home = here.topology.datapath_namespace
    for port in (3, 4):
        attach(here.datapath, f"p{port}", port, tc_only=True)
    on_tc = replace(S, leaves={**S.leaves, "in_port": 3})
    install(here.datapath, S, range(flows), 1, (Output(OUT_PORT),))
    install(here.datapath, on_tc, range(flows, 2 * flows), 1, (Output(4),))
    for port in (3, 7):  # else a veth without XDP does not poll, and takes no redirected frame
        ethtool.switch(home, f"p{port}", on=(Feature.GRO,))
    bare, bare_tc = stack.enter_context(loaded("bench_redirect")), stack.enter_context(loaded("bench_tc"))
    with home.enter():
        bare.send_to(home.ifindex("p6"))
        bare_tc.send_to(home.ifindex("p8"))
    _attach(stack, bare, home, "p5")
    _attach_tc(stack, bare_tc, home, "p7")


def _attach(stack: ExitStack, program: Program, home: NetNs, device: str) -> None:
    """Until the stack unwinds."""
    with home.enter():
        link = libbpf.link_create_xdp(program.fd, home.ifindex(device), libbpf.XDP_DRV_MODE)
    stack.callback(os.close, link)


def _attach_tc(stack: ExitStack, program: Program, home: NetNs, device: str) -> None:
    """Until the stack unwinds, or as a filter until the device is gone."""
    if not features.has("tcx"):
        clsact.attach(program.fd, home, device, home.ifindex(device))
        return
    with home.enter():
        link = libbpf.link_create_tcx(program.fd, home.ifindex(device))
    stack.callback(os.close, link)


class _Path:
    """From host ``first`` to the next: ``sample`` sends frames and tells how many a second arrived."""

    def __init__(  # noqa: PLR0913, PLR0917 - what a path is made of
        self, stack: ExitStack, here: Place, count: Callable[[], int] | None, name: str, told: Parameters, first: int,
        numbers: range,
    ) -> None:  # fmt: skip
        self.name, self.told = name, told
        self.instructions: list[float] = []  # for each frame, a number for each sample
        self._count, self._frames = count, int(told["frames"])
        self._source, target = (here.topology.namespace(here.topology.hosts[i]) for i in (first - 1, first))
        self._sender = stack.enter_context(loaded("bench_send"))
        self._sink = stack.enter_context(loaded("bench_sink"))
        _attach(stack, self._sink, target, HOST_DEVICE)
        self._sender.plan(Plan(frame=S.frame, at=S.at, vary=len(numbers) - 1, fixed=BASE + numbers.start))
        with self._source.enter():
            self._sender.send_to(self._source.ifindex(HOST_DEVICE))

    def sample(self) -> float:
        """Millions of packets a second.  Failure when nothing arrives."""
        before, counted = self._sink.count(), self._counted()
        took_ns = _send(self._source, self._sender.fd, self._frames)
        _wait_for_quiet(self._sink)
        arrived = self._sink.count() - before
        if not arrived:
            raise Failure(f"of {self._frames} frames none came through the path of the {self.name}")
        self.instructions.append((self._counted() - counted) / arrived)
        return arrived * 1000 / (self._frames * took_ns)

    def _counted(self) -> int:
        return 0 if self._count is None else self._count()


def _send(source: NetNs, program: int, frames: int) -> int:
    """Send; nanoseconds for each frame."""
    options = TestRunOpts(data_in=S.frame, data_size_in=len(S.frame), repeat=frames)
    options.flags, options.batch_size = libbpf.F_TEST_XDP_LIVE_FRAMES, BATCH
    with source.enter():
        ifindex = source.ifindex(HOST_DEVICE)
        options.ctx_in, options.ctx_size_in = struct.pack("<6I", 0, len(S.frame), 0, ifindex, 0, 0), 24
        libbpf.test_run(program, options)
    return max(1, int(options.duration))


def _wait_for_quiet(sink: Program) -> None:
    """Until nothing arrives any more."""
    deadline = time.monotonic() + _SETTLE_S
    count = -1
    while count != (count := sink.count()) and time.monotonic() < deadline:
        time.sleep(0.01)
