"""Measurements of the datapath: what a packet costs, how many get through, how fast flows change.

`figures` turns samples into rows, `place` makes a datapath to measure and removes it, `programs` loads
the programs of bpf/bench.c, `frames` has the packets and the flows they hit, `instructions` counts what
a processor carries out; each other module is a benchmark.  Cases that are to be compared are measured in
turn, round by round, so that a noisy minute falls on all of them alike.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace

from netns_lab.bench.figures import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How long to measure.  A sample of a test run lasts about ``sample_s``."""

    rounds: int
    sample_s: float
    flow_counts: tuple[int, ...]  # powers of two, not less than the masks
    mask_counts: tuple[int, ...]  # powers of two
    bulk: int  # flows to install and list; for each, forward sends 100 frames
    single: int  # flows to install and delete one by one


FULL = Effort(
    rounds=11, sample_s=0.02, flow_counts=(1024, 16384, 131072), mask_counts=(1, 32, 256), bulk=16384, single=61
)
LARGE = replace(FULL, flow_counts=(*FULL.flow_counts, 1 << 20))
QUICK = Effort(rounds=3, sample_s=0.001, flow_counts=(256,), mask_counts=(1, 32, 256), bulk=512, single=7)


Note = Callable[[str], None]  # told what could not be measured, and why


def _lookup(effort: Effort, _note: Note) -> Iterator[Row]:
    from netns_lab.bench.lookup import lookup

    return lookup(effort)


def _actions(effort: Effort, _note: Note) -> Iterator[Row]:
    from netns_lab.bench.actions import actions

    return actions(effort)


def _forward(effort: Effort, note: Note) -> Iterator[Row]:
    from netns_lab.bench.forward import forward

    return forward(effort, note)


def _install(effort: Effort, _note: Note) -> Iterator[Row]:
    from netns_lab.bench.install import install

    return install(effort)


def _text(effort: Effort, _note: Note) -> Iterator[Row]:
    from netns_lab.bench.text import text

    return text(effort)


def _startup(effort: Effort, _note: Note) -> Iterator[Row]:
    from netns_lab.bench.startup import startup

    return startup(effort)


BENCHMARKS: dict[str, Callable[[Effort, Note], Iterator[Row]]] = {
    "lookup": _lookup,
    "actions": _actions,
    "forward": _forward,
    "install": _install,
    "text": _text,
    "startup": _startup,
}


def measure(names: Sequence[str], effort: Effort, note: Note) -> Generator[Row, None, None]:
    """The rows of these benchmarks, each as soon as it is there.

    What they make is gone with the last row, or when the generator is closed.
    """
    for name in names:
        yield from BENCHMARKS[name](effort, note)
