"""Named points at which a test can make a command die, be interrupted or fail.

``fault("attach.tc-pinned")`` costs one comparison, and does something only where the environment variable
CTL_FAULT named that point when the process began:

    CTL_FAULT=NAME        end as by kill -9, when the point is reached for the first time
    CTL_FAULT=NAME:N      the N-th time
    CTL_FAULT=NAME:int    as by Ctrl-C; NAME:N:int
    CTL_FAULT=NAME:error  an OSError; NAME:N:error

A point stands behind each step that changes something which outlives the process.
"""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable
from typing import Final

ENVIRONMENT: Final = "CTL_FAULT"


def fault(name: str) -> None:
    """The point of that name is reached."""
    if _reached is not None:
        _reached(name)


def arm(what: str) -> None:
    """From now on do what a value of CTL_FAULT says."""
    name, *options = what.split(":")
    end = next((option for option in options if not option.isdigit()), "kill")
    left = next((int(option) for option in options if option.isdigit()), 1)

    def reached(point: str) -> None:
        nonlocal left
        left -= point == name
        if point == name and not left:
            _ENDS[end](name)

    listen(reached)


def listen(reached: Callable[[str], None] | None) -> None:
    """Have a function told the name of each point that is reached; None: nobody."""
    global _reached  # noqa: PLW0603 - the one switch of this module
    _reached = reached


def _kill(_name: str) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _interrupt(_name: str) -> None:
    raise KeyboardInterrupt


def _fail(name: str) -> None:
    raise OSError(errno.EIO, f"fault {name}")


_ENDS: Final[dict[str, Callable[[str], None]]] = {"kill": _kill, "int": _interrupt, "error": _fail}
_reached: Callable[[str], None] | None = None

if ENVIRONMENT in os.environ:
    arm(os.environ[ENVIRONMENT])
