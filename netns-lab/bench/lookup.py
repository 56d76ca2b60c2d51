"""What a packet costs by the place of the mask that it hits, the number of flows and their size class.

By BPF_PROG_TEST_RUN: the whole program, from extraction to the redirect's decision; nothing is sent.
`one flow` repeats one packet, so that everything it touches is in the nearest cache.  `uniform` hits
flows at random, by `bench_next`, whose own cost is a row like the test run's: nothing is subtracted.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Final

from ctl.flow import Output
from ctl.kernel.maps import Sizes
from netns_lab.bench import Effort
from netns_lab.bench.figures import NS, Case, Parameters, Row, rows
from netns_lab.bench.frames import BASE, MISS, OUT_PORT, L, M, S, Template, install
from netns_lab.bench.place import XDP_DROP, XDP_REDIRECT, Place, place
from netns_lab.bench.programs import Plan, Program, loaded

MASKS: Final = 32
_PLACES: Final = (1, 8, 32)  # of masks, in the order in which they are tried
_OUT: Final = (Output(OUT_PORT),)


def lookup(effort: Effort) -> Iterator[Row]:
    """Rows of class S by mask and flow count, then one mask of each class."""
    with place(Sizes(max_flows=effort.flow_counts[-1], max_masks=MASKS)) as here:
        yield from _overhead(here, effort)
        installed = 0
        for count in effort.flow_counts:
            install(here.datapath, S, range(installed, count), MASKS, _OUT)
            installed = count
            yield from _by_mask(here, effort, count)
        for size, template in (("S", S), ("M", M), ("L", L)):
            here.datapath.flow_flush()
            install(here.datapath, template, range(effort.flow_counts[0]), 1, _OUT)
            yield from _one_mask(here, effort, size, template)


def _overhead(here: Place, effort: Effort) -> list[Row]:
    """What measuring costs."""
    with loaded("bench_drop") as drop, loaded("bench_next") as follow:
        follow.plan(Plan(frame=S.frame, at=S.at, vary=effort.flow_counts[-1] - 1, fixed=BASE))
        follow.call(drop.fd)
        cases = [
            Case(name=name, parameters={}, sample=here.sampler(fd, S.frame, XDP_DROP, effort.sample_s))
            for name, fd in (("test run of a drop", drop.fd), ("the same, uniform", follow.fd))
        ]
        return rows("lookup", NS, cases, effort.rounds)


def _by_mask(here: Place, effort: Effort, flows: int) -> list[Row]:
    common: dict[str, str | int] = {"class": "S", "flows": flows, "masks": MASKS}
    with ExitStack() as stack:
        cases = []
        for mask in _PLACES:
            # Flows whose number is mask - 1 in the last five bits have that mask.
            told = {**common, "hit": f"mask {mask}"}
            cases += _both(stack, here, effort, told, (S, flows - 1 & ~(MASKS - 1), BASE | mask - 1))
        cases += _both(stack, here, effort, {**common, "hit": "any mask"}, (S, flows - 1, BASE))[1:]
        cases += _both(stack, here, effort, {**common, "hit": "none"}, (S, flows - 1, MISS), XDP_DROP)
        return rows("lookup", NS, cases, effort.rounds)


def _one_mask(here: Place, effort: Effort, size: str, template: Template) -> list[Row]:
    flows = effort.flow_counts[0]
    told: dict[str, str | int] = {"class": size, "flows": flows, "masks": 1, "hit": "mask 1"}
    with ExitStack() as stack:
        cases = _both(stack, here, effort, told, (template, flows - 1, BASE))
        return rows("lookup", NS, cases, effort.rounds)


def _both(  # noqa: PLR0913, PLR0917 - what a pair of cases is made of
    stack: ExitStack,
    here: Place,
    effort: Effort,
    told: Parameters,
    numbers: tuple[Template, int, int],
    verdict: int = XDP_REDIRECT,
) -> list[Case]:
    """Two cases, of one flow and of all whose number has some bits; ``numbers``: template, varying and fixed bits."""
    template, vary, fixed = numbers
    frame = bytearray(template.frame)
    frame[template.at : template.at + 4] = fixed.to_bytes(4, "big")
    follow: Program = stack.enter_context(loaded("bench_next"))
    follow.plan(Plan(frame=template.frame, at=template.at, vary=vary, fixed=fixed))
    follow.call(here.program)
    return [
        Case(
            name="packet",
            parameters={**told, "traffic": traffic},
            sample=here.sampler(program, bytes(frame), verdict, effort.sample_s),
        )
        for traffic, program in (("one flow", here.program), ("uniform", follow.fd))
    ]
