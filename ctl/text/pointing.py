"""Pointing at the place of a syntax error."""

from __future__ import annotations

from typing import Final

from ctl.errors import FlowSyntaxError

WIDTH: Final = 100
_AHEAD: Final = 60  # most columns shown before the caret of a trimmed line
_DOTS: Final = "..."


def caret(error: FlowSyntaxError) -> str:
    """Two lines: the text, and a caret below the place.  At most WIDTH columns of a long text are shown.

    Each control character takes one column as a blank, so that columns agree.
    """
    line = "".join(char if char.isprintable() else " " for char in error.text)
    column = min(error.pos, len(line))
    if len(line) > WIDTH:
        start = max(0, min(column - _AHEAD, len(line) - WIDTH))
        head, tail = start > 0, start + WIDTH < len(line)
        line = line[start : start + WIDTH]
        column -= start
        if head:
            line = _DOTS + line[len(_DOTS) :]
        if tail:
            line = line[: -len(_DOTS)] + _DOTS
    return f"{line}\n{' ' * column}^"
