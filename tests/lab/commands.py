"""Running `ctl` as a user does: as a process, with its output and exit status."""

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Outcome:
    """What a command printed, and its exit status."""

    status: int
    out: str
    err: str

    @property
    def lines(self):
        return self.out.splitlines()


@contextmanager
def lab_up(letter, *options):
    """A lab within the block.  Its name begins with a letter that no other module has."""
    command = Ctl(f"{letter}{os.getpid()}")
    command("up", "--no-traffic", *options)
    yield command
    command("down")


class Ctl:
    """`ctl --dp NAME`; every call is a process of its own, so nothing outlives it."""

    def __init__(self, name):
        self.name = name

    def argv(self, *arguments):
        return [sys.executable, "-c", "from ctl.cli import main; main()", "--dp", self.name, *arguments]

    def __call__(self, *arguments, status=0):
        run = subprocess.run(self.argv(*arguments), capture_output=True, text=True, check=False, timeout=120)
        assert run.returncode == status, f"ctl {' '.join(arguments)}: {run.returncode}\n{run.stdout}\n{run.stderr}"
        assert "Traceback" not in run.stderr
        return Outcome(run.returncode, run.stdout, run.stderr)

    def json(self, *arguments):
        return json.loads(self("-o", "json", *arguments).out)

    def flow(self, name):
        (row,) = self.json("get-flow", name)["flows"]
        return row
