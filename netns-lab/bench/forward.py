"""Live frames end to end: how many a second get through the datapath, and through a bare redirect.

    host 1 eth0 ══ p1  datapath       p2 ══ eth0 host 2   counts and drops
    host 3 eth0 ══ p3  bare redirect  p4 ══ eth0 host 4   counts and drops

Two paths of the same devices, measured in turn.  The kernel makes the frames in the first host, sends
them in batches, and everything up to the sink runs on that one processor, the generator included: the
ratio of the two is that of whole paths, not of programs.  Time is the generator's; what is on its way
when it ends, 300 frames or so, is not counted.
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Final

from ctl.errors import Failure
from ctl.flow import Output
from ctl.kernel import libbpf
from ctl.kernel.maps import Sizes
from ctl.kernel.structures import TestRunOpts
from ctl.netns import NetNs
from netns_lab.bench import Effort
from netns_lab.bench.figures import MPPS, PERCENT, Case, Row, rows
from netns_lab.bench.frames import BASE, OUT_PORT, S, install
from netns_lab.bench.place import Place, place
from netns_lab.bench.programs import Plan, Program, loaded
from netns_lab.topology import HOST_DEVICE

BATCH: Final = 64
FLOWS: Final = 1024
_FRAMES_PER_FLOW: Final = 100  # of effort.bulk
_SETTLE_S: Final = 2.0


def forward(effort: Effort) -> Iterator[Row]:
    """Packets a second by either path, and the ratio of each round's two."""
    frames = effort.bulk * _FRAMES_PER_FLOW
    flows = min(FLOWS, effort.flow_counts[0])
    with place(Sizes(max_flows=FLOWS, max_masks=1), hosts=4) as here, ExitStack() as stack:
        install(here.datapath, S, range(flows), 1, (Output(OUT_PORT),))
        _attach_bare(stack, here)
        told: dict[str, str | int] = {"frames": frames, "batch": BATCH, "size": len(S.frame)}
        cases = [
            _case(stack, here, "bare redirect", (3, 4), flows, frames, told),
            _case(stack, here, "datapath", (1, 2), flows, frames, {**told, "flows": flows, "masks": 1}),
        ]
        found = rows("forward", MPPS, cases, effort.rounds)
        yield from found
        ratio = tuple(100 * ours / bare for bare, ours in zip(found[0].samples, found[1].samples, strict=True))
        yield Row(benchmark="forward", name="datapath / bare", parameters=found[1].parameters, unit=PERCENT,
                  samples=ratio)  # fmt: skip


def _attach_bare(stack: ExitStack, here: Place) -> None:
    home = here.topology.datapath_namespace
    bare = stack.enter_context(loaded("bench_redirect"))
    with home.enter():
        bare.send_to(home.ifindex("p4"))
    _attach(stack, bare, home, "p3")


def _attach(stack: ExitStack, program: Program, home: NetNs, device: str) -> None:
    """Until the stack unwinds."""
    with home.enter():
        link = libbpf.link_create_xdp(program.fd, home.ifindex(device), libbpf.XDP_DRV_MODE)
    stack.callback(os.close, link)


def _case(  # noqa: PLR0913, PLR0917 - what a case is made of
    stack: ExitStack, here: Place, name: str, ends: tuple[int, int], flows: int, frames: int,
    told: dict[str, str | int],
) -> Case:  # fmt: skip
    topology = here.topology
    source, target = (topology.namespace(topology.hosts[end - 1]) for end in ends)
    sender, sink = stack.enter_context(loaded("bench_send")), stack.enter_context(loaded("bench_sink"))
    _attach(stack, sink, target, HOST_DEVICE)
    sender.plan(Plan(frame=S.frame, at=S.at, vary=flows - 1, fixed=BASE))
    with source.enter():
        sender.send_to(source.ifindex(HOST_DEVICE))

    def sample() -> float:
        before = sink.count()
        took_ns = _send(source, sender.fd, frames)
        _wait_for_quiet(sink)
        arrived = sink.count() - before
        if not arrived:
            raise Failure(f"of {frames} frames none came through the path of the {name}")
        return arrived * 1000 / (frames * took_ns)

    return Case(name=name, parameters=told, sample=sample)


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
