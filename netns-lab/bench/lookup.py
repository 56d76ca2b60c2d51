"""What a packet costs by the place of the mask that it hits, the number of masks and flows and their size class.

By BPF_PROG_TEST_RUN: the whole program, from extraction to the redirect's decision; nothing is sent.
`one flow` repeats one packet, so that everything it touches is in the nearest cache.  `uniform` hits
flows at random, by `bench_next`.  Each group of rows begins with an empty program measured the same way:
that is what is subtracted for the net figures.  The kernel gives a test run's time in whole nanoseconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Final

from ctl.flow import Output
from ctl.kernel.maps import Sizes
from netns_lab.bench import Effort
from netns_lab.bench.figures import NS, Case, Parameters, Row, rows
from netns_lab.bench.frames import BASE, MISS, OUT_PORT, L, M, S, Template, install
from netns_lab.bench.place import XDP_DROP, XDP_REDIRECT, Place, place
from netns_lab.bench.programs import Plan, loaded

EMPTY: Final = "empty program"
_OUT: Final = (Output(OUT_PORT),)


def lookup(effort: Effort) -> Iterator[Row]:
    """Rows of class S by masks and flows, then one mask of each larger class."""
    for masks in effort.mask_counts:
        for flows in effort.flow_counts:
            # Always full: the hash table is of the size that the flows need, whatever else is measured.
            with place(Sizes(max_flows=flows, max_masks=masks)) as here:
                install(here.datapath, S, range(flows), masks, _OUT)
                yield from _by_mask(here, effort, flows, masks)
    flows = effort.flow_counts[0]
    with place(Sizes(max_flows=flows, max_masks=1)) as here:
        for size, template in (("M", M), ("L", L)):
            install(here.datapath, template, range(flows), 1, _OUT)
            yield from _one_mask(here, effort, size, template)
            here.datapath.flow_flush()


def _by_mask(here: Place, effort: Effort, flows: int, masks: int) -> list[Row]:
    with ExitStack() as stack:
        told: Parameters = {"class": "S", "flows": flows, "masks": masks}
        group = _Group(stack, here, effort, S, told)
        cases = group.empty(flows)
        for mask in sorted({1, (masks + 1) // 2, masks}):
            # Flows whose number is mask - 1 in its last bits have that mask.
            cases += group.packets(f"mask {mask}", flows - 1 & ~(masks - 1), BASE | mask - 1)
        if masks > 1:
            cases += group.packets("any mask", flows - 1, BASE)[1:]
        cases += group.packets("none", flows - 1, MISS, XDP_DROP)
        return rows("lookup", NS, cases, effort.rounds)


def _one_mask(here: Place, effort: Effort, size: str, template: Template) -> list[Row]:
    flows = effort.flow_counts[0]
    with ExitStack() as stack:
        group = _Group(stack, here, effort, template, {"class": size, "flows": flows, "masks": 1})
        return rows("lookup", NS, group.empty(flows) + group.packets("mask 1", flows - 1, BASE), effort.rounds)


@dataclass(slots=True)
class _Group:
    """Cases that are measured in the same rounds, of one template; their programs live as long as the stack."""

    stack: ExitStack
    here: Place
    effort: Effort
    template: Template
    told: Parameters
    _empty: tuple[Case, ...] = field(default=(), init=False)

    def empty(self, flows: int) -> list[Case]:
        """What measuring costs, for each kind of traffic."""
        drop = self.stack.enter_context(loaded("bench_drop"))
        self._empty = tuple(self._both(EMPTY, self.told, drop.fd, flows - 1, BASE, XDP_DROP))
        return list(self._empty)

    def packets(self, hit: str, vary: int, fixed: int, verdict: int = XDP_REDIRECT) -> list[Case]:
        """Packets of one flow, and of all flows whose number has these bits fixed."""
        return self._both("packet", {**self.told, "hit": hit}, self.here.program, vary, fixed, verdict)

    def _both(  # noqa: PLR0913, PLR0917 - what a pair of cases is made of
        self, name: str, told: Parameters, program: int, vary: int, fixed: int, verdict: int
    ) -> list[Case]:
        template = self.template
        frame = bytearray(template.frame)
        frame[template.at : template.at + 4] = fixed.to_bytes(4, "big")
        follow = self.stack.enter_context(loaded("bench_next"))
        follow.plan(Plan(frame=template.frame, at=template.at, vary=vary, fixed=fixed))
        follow.call(program)
        traffics = (("one flow", program), ("uniform", follow.fd))
        return [
            Case(
                name=name,
                parameters={**told, "traffic": traffic},
                sample=self.here.sampler(fd, bytes(frame), verdict, self.effort.sample_s),
                empty=self._empty[number] if self._empty else None,
            )
            for number, (traffic, fd) in enumerate(traffics)
        ]
