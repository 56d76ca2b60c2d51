"""From samples to figures: medians, tables, and what a figure must say of the machine it comes from."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any, Final

import ctl

Parameters = Mapping[str, str | int]

NS, MPPS, PERCENT, RATE, US = "ns/packet", "Mpackets/s", "%", "flows/s", "us"
MS, TIMES, INSTRUCTIONS = "ms", "times", "instructions/packet"
_MORE_IS_BETTER: Final = {MPPS, PERCENT, RATE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One figure: what was measured and how, a sample for each round."""

    benchmark: str
    name: str
    parameters: Parameters
    unit: str
    samples: tuple[float, ...]
    subtracted: str = ""  # the row of what measuring costs, of which ``net`` is free, round by round
    net: tuple[float, ...] = ()

    @property
    def median(self) -> float:
        """The figure to quote."""
        return median(self.samples)

    @property
    def best(self) -> float:
        """The figure of the quietest round."""
        return max(self.samples) if self.unit in _MORE_IS_BETTER else min(self.samples)

    def to_dict(self, machine: Mapping[str, Any]) -> dict[str, Any]:
        """A row of ctl/bench/1."""
        net = None
        if self.net:
            net = {
                "median": median(self.net),
                "min": min(self.net),
                "max": max(self.net),
                "subtracted": self.subtracted,
            }
        return {
            "benchmark": self.benchmark,
            "name": self.name,
            "parameters": dict(self.parameters),
            "unit": self.unit,
            "median": self.median,
            "min": min(self.samples),
            "max": max(self.samples),
            "rounds": len(self.samples),
            "net": net,
            **machine,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Something to measure: ``sample`` takes one sample of it.

    ``empty`` is the case, of the same rounds, that tells what measuring this one costs.
    """

    name: str
    parameters: Parameters
    sample: Callable[[], float]
    empty: Case | None = None


def interleave(cases: Sequence[Case], rounds: int) -> list[tuple[float, ...]]:
    """The samples of each case.  A round takes one of each; every other round goes backwards."""
    samples: list[list[float]] = [[] for _ in cases]
    for number in range(rounds):
        order = range(len(cases)) if number % 2 == 0 else range(len(cases) - 1, -1, -1)
        for i in order:
            samples[i].append(cases[i].sample())
    return [tuple(each) for each in samples]


def rows(benchmark: str, unit: str, cases: Sequence[Case], rounds: int) -> list[Row]:
    """Measure the cases in turn; a row for each."""
    samples = dict(zip(map(id, cases), interleave(cases, rounds), strict=True))

    def row(case: Case) -> Row:
        taken = samples[id(case)]
        made = Row(benchmark=benchmark, name=case.name, parameters=case.parameters, unit=unit, samples=taken)
        if case.empty is None:
            return made
        net = tuple(whole - empty for whole, empty in zip(taken, samples[id(case.empty)], strict=True))
        return replace(made, subtracted=case.empty.name, net=net)

    return [row(case) for case in cases]


def ratios(ours: Row, theirs: Row, name: str, unit: str = PERCENT) -> Row:
    """What ``ours`` is of ``theirs``, round by round, in percent or in times."""
    scale = 100 if unit == PERCENT else 1
    samples = tuple(scale * one / other for one, other in zip(ours.samples, theirs.samples, strict=True))
    return Row(benchmark=ours.benchmark, name=name, parameters=ours.parameters, unit=unit, samples=samples)


# --- printing ----------------------------------------------------------------------------------------


def number(value: float) -> str:
    """Three or four digits that mean something."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def table(found: Iterable[Row]) -> list[str]:
    """Rows under one heading, as lines: what, how, median, best, unit; and net, the median of it, if any has that."""
    shown = list(found)
    cells: list[tuple[str, ...]] = [("", "", "median", "best", "net", "unit")]
    for row in shown:
        how = " ".join(f"{key}={value}" for key, value in row.parameters.items())
        net = number(median(row.net)) if row.net else ""
        cells.append((row.name, how, number(row.median), number(row.best), net, row.unit))
    if not any(row.net for row in shown):
        cells = [(*cell[:4], cell[5]) for cell in cells]
    widths = [max(len(cell) for cell in column) for column in zip(*cells, strict=True)]
    aligned = ["<", "<", *[">"] * (len(widths) - 3), "<"]
    return [
        "  ".join(f"{cell:{side}{width}}" for cell, side, width in zip(line, aligned, widths, strict=True)).rstrip()
        for line in cells
    ]


# --- the machine -------------------------------------------------------------------------------------


def machine() -> dict[str, Any]:
    """What every row says of where it was measured."""
    return {
        "kernel": platform.release(),
        "cpu": _cpu_model(),
        "cpus": _cpu_count(),
        "version": ctl.__version__,
        "commit": _commit(),
    }


def _cpu_model() -> str:
    """The processor's name as the kernel gives it, else its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _cpu_count() -> int:
    return os.cpu_count() or 1


def _commit() -> str:
    """The commit of the checkout that runs, with `-dirty` if it was edited; empty where there is none."""
    top = Path(ctl.__file__).resolve().parents[1]
    if not (top / ".git").exists():
        return ""
    try:
        told = subprocess.run(
            ["git", "-C", str(top), "describe", "--always", "--dirty", "--exclude=*"],
            capture_output=True, text=True, check=True, timeout=10,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return ""
    return told.stdout.strip()
