"""How fast the flow table changes and is read, by the controller's own calls.

Matches, actions and UFIDs are made beforehand.  A single change takes the writer's lock and gives it
back; many in one hold share that, and their grace period.  `flow_apply` is given them all at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from statistics import median
from typing import Any, Final

from ctl.change import Add
from ctl.flow import Match, Output
from ctl.kernel.datapath import KernelDatapath
from ctl.kernel.maps import Sizes
from ctl.text import format_flow, format_terse
from ctl.ufid import Ufid
from netns_lab.bench import Effort
from netns_lab.bench.figures import RATE, US, Parameters, Row
from netns_lab.bench.frames import OUT_PORT, S, ufid
from netns_lab.bench.place import place

_OUT: Final = (Output(OUT_PORT),)
_Requests = list[tuple[Match, Ufid]]


def install(effort: Effort) -> Iterator[Row]:
    """Rows of many flows at once, then of single ones among as many."""
    requests = [(S.match(number), ufid(number)) for number in range(effort.bulk + effort.single)]
    samples: dict[tuple[str, str], list[float]] = {}
    with place(Sizes(max_flows=len(requests), max_masks=1)) as here:
        for _ in range(effort.rounds):
            for name, unit, value in _round(here.datapath, requests[: effort.bulk], requests[effort.bulk :]):
                samples.setdefault((name, unit), []).append(value)
    told: Parameters = {"class": "S", "masks": 1, "flows": effort.bulk}
    for (name, unit), found in samples.items():
        yield Row(benchmark="install", name=name, parameters=told, unit=unit, samples=tuple(found))


def _round(datapath: KernelDatapath, many: _Requests, few: _Requests) -> Iterator[tuple[str, str, float]]:
    """One sample of each row, the flow table being empty before and after."""

    def new(request: tuple[Match, Ufid]) -> None:
        datapath.flow_new(request[0], _OUT, request[1])

    def new_in_one_hold() -> None:
        with datapath.hold():
            for request in many:
                new(request)

    def apply(*, atomic: bool = False) -> None:
        for error in datapath.flow_apply(changes, atomic=atomic).values():
            raise error

    def dump_terse() -> None:
        now = time.monotonic_ns() // 1_000_000
        for flow in datapath.flow_dump_terse():
            format_terse(flow, now)

    def dump() -> None:
        now = time.monotonic_ns() // 1_000_000
        for flow in datapath.flow_dump():
            format_flow(flow, now)

    names = [name for _, name in few]
    changes = [Add(match, _OUT, name) for match, name in many]
    yield "flow_apply, all at once", RATE, len(many) / _seconds(apply)
    datapath.flow_flush()
    yield "flow_apply, atomic", RATE, len(many) / _seconds(lambda: apply(atomic=True))
    datapath.flow_flush()
    yield "flow_new, all in one hold", RATE, len(many) / _seconds(new_in_one_hold)
    yield "dump as text", RATE, len(many) / _seconds(dump)
    yield "dump as text, terse", RATE, len(many) / _seconds(dump_terse)
    yield "flow_new, single", US, _each_us(new, few)
    yield "flow_get, single", US, _each_us(datapath.flow_get, names)
    yield "flow_del, single", US, _each_us(datapath.flow_del, names)
    yield "flow_flush", RATE, len(many) / _seconds(datapath.flow_flush)


def _each_us(work: Callable[[Any], object], arguments: Iterable[Any]) -> float:
    """The median of what single calls take, in microseconds."""
    return 1e6 * median(_seconds(lambda: work(argument)) for argument in arguments)  # noqa: B023 - called at once


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
