"""How long a command of `ctl` takes, from start to exit, beside a Python that imports click and does nothing."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Final

from ctl.errors import Failure
from ctl.flow import Output
from ctl.kernel.maps import Sizes
from netns_lab.bench import Effort
from netns_lab.bench.figures import MS, TIMES, Case, Row, ratios, rows
from netns_lab.bench.frames import OUT_PORT, S, install, ufid
from netns_lab.bench.place import place

FLOWS: Final = 16
BARE: Final = "python -c 'import click'"


def startup(effort: Effort) -> Iterator[Row]:
    """Milliseconds for each command and for the bare one; then what each is of the bare one, in times."""
    with place(Sizes(max_flows=FLOWS, max_masks=1)) as here:
        install(here.datapath, S, range(FLOWS), 1, (Output(OUT_PORT),))
        ctl = [sys.executable, "-c", "from ctl.cli import main; main()", "--dp", here.datapath.name]
        commands = {
            "ctl version": [*ctl, "version"],
            "ctl show": [*ctl, "show"],
            "ctl get-flow UFID": [*ctl, "get-flow", str(ufid(0))],
            "ctl dump-flows": [*ctl, "dump-flows"],
        }
        cases = [_case(BARE, [sys.executable, "-c", "import click"]), *(_case(*each) for each in commands.items())]
        bare, *ours = rows("startup", MS, cases, effort.rounds)
    yield from (bare, *ours)
    yield from (ratios(row, bare, f"{row.name} / bare", TIMES) for row in ours)


def _case(name: str, command: list[str]) -> Case:
    def sample() -> float:
        start = time.perf_counter()
        run = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        took = time.perf_counter() - start
        if run.returncode:
            raise Failure(f"{name} ended with status {run.returncode}: {run.stderr.strip()}")
        return 1000 * took

    return Case(name=name, parameters={"flows": FLOWS} if name == "ctl dump-flows" else {}, sample=sample)
