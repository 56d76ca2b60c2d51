"""Ctrl-C while pyroute2 is being imported."""

import subprocess
import sys

PROGRAM = """
import builtins, os, signal
from ctl.ports import import_iproute

plain = builtins.__import__
interrupts = [signal.SIGINT]


def interrupting(name, *arguments):
    module = plain(name, *arguments)
    if name == "base_events" and arguments[0]["__name__"] == "asyncio" and interrupts:
        os.kill(os.getpid(), interrupts.pop())
    return module


builtins.__import__ = interrupting
try:
    import_iproute()
except KeyboardInterrupt:
    print("interrupted,", import_iproute().__name__)
"""


def test_an_interrupt_waits_until_what_undoes_the_work_can_be_used():
    ran = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert (ran.stdout, ran.stderr) == ("interrupted, IPRoute\n", "")
