"""Runs programs in a host: its network, but the files, pins and processes of the caller."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from contextlib import suppress

from ctl.errors import NotFound, NotPermitted, UsageError
from netns_lab.topology import Topology


def exec_in(topology: Topology, host: str, argv: Sequence[str]) -> int:
    """Run a command in a host and wait; its exit status, or 128 + N if signal N ended it.

    An interrupt at the terminal is the command's affair: we go on waiting.  NotFound when there is no
    such host or command, Absent when the lab is down.
    """
    if not argv:
        raise UsageError("no command to run")
    home = topology.namespace(topology.host(host))
    with home.enter():
        child = _start(argv)
    while True:
        with suppress(KeyboardInterrupt):
            status = child.wait()
            return status if status >= 0 else 128 - status


def shell(topology: Topology, host: str) -> int:
    """An interactive shell in a host: $SHELL, else sh.  Its exit status."""
    return exec_in(topology, host, [os.environ.get("SHELL") or "/bin/sh"])


def _start(argv: Sequence[str]) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(argv)
    except FileNotFoundError:
        raise NotFound(f"no command {argv[0]}") from None
    except PermissionError:
        raise NotPermitted(f"{argv[0]} is not executable") from None
