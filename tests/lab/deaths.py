"""Commands that die, each in a child of this process, which has everything imported: a death costs milliseconds.

Where one dies is a named fault point, a line of code counted as they are executed, or a moment.
"""

import atexit
import json
import os
import signal
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import ctl
import netns_lab
from ctl import faults
from ctl.cli.main import run as run_command

OURS = tuple(str(Path(package.__file__).parent) for package in (ctl, netns_lab))


@dataclass(frozen=True)
class End:
    """How a command ended: its exit status, or minus the signal that ended it, and what it said."""

    status: int
    said: str


@dataclass(frozen=True)
class Child:
    """A command at work."""

    pid: int
    said: object


def started(arguments, prepare=lambda: None):
    """A command line in a child; ``prepare`` is called there first."""
    said = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed by ended()
    pid = os.fork()
    if not pid:
        _child(arguments, prepare, said.fileno())
    return Child(pid, said)


def ended(child):
    """Wait for a command's end."""
    status = os.waitstatus_to_exitcode(os.waitpid(child.pid, 0)[1])
    with child.said as said:
        said.seek(0)
        return End(status, said.read())


def run(arguments, prepare=lambda: None, kill_after_s=None):
    """A command's whole life."""
    child = started(arguments, prepare)
    if kill_after_s is not None:
        time.sleep(kill_after_s)
        os.kill(child.pid, signal.SIGKILL)
    return ended(child)


def _child(arguments, prepare, out):
    status = 99
    atexit._clear()  # what was registered is the parent's
    try:
        os.dup2(out, 1)
        os.dup2(out, 2)
        sys.stdout = sys.stderr = open(out, "w", buffering=1, closefd=False)  # noqa: SIM115 - for as long as it lives
        prepare()
        status = run_command(arguments)
        sys.settrace(None)
        atexit._run_exitfuncs()
    finally:
        os._exit(status)


def points_of(arguments):
    """The fault points that a command reaches, in the order of the first time, and how often each."""
    with tempfile.TemporaryFile("w+") as told:
        end = run(arguments, lambda: faults.listen(lambda name: os.write(told.fileno(), f"{name}\n".encode())))
        assert end.status == 0, end.said
        told.seek(0)
        counts = {}
        for name in told.read().split():
            counts[name] = counts.get(name, 0) + 1
        return counts


def lines_of(arguments):
    """The lines of ours that a command executes, as (file, number), and how often each."""
    counts = {}
    with tempfile.TemporaryFile("w+") as told:

        def prepare():
            _trace(lambda site: counts.update({site: counts.get(site, 0) + 1}))
            atexit.register(lambda: os.write(told.fileno(), json.dumps(list(counts.items())).encode()))

        end = run(arguments, prepare)
        assert end.status == 0, end.said
        told.seek(0)
        return {tuple(site): count for site, count in json.load(told)}


def dying_at(site, occurrence):
    """What makes a child kill itself before it executes a line for the so-manieth time."""
    left = [occurrence]

    def reached(here):
        left[0] -= here == site
        if here == site and not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)

    return lambda: _trace(reached)


def _trace(reached):
    """Have a function told each line of ours before it is executed, in any thread."""

    def trace(frame, event, _argument):
        if not frame.f_code.co_filename.startswith(OURS):
            return None
        if event == "line":
            reached((frame.f_code.co_filename, frame.f_lineno))
        return trace

    threading.settrace(trace)
    sys.settrace(trace)
