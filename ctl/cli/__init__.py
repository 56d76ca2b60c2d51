"""The command line.  Commands are imported when they are called; what each needs, it imports itself."""

from __future__ import annotations

import sys


def main(arguments: list[str] | None = None) -> None:
    """The entry point of `ctl`: run one command line and exit with its status."""
    from ctl.cli.main import run

    sys.exit(run(sys.argv[1:] if arguments is None else arguments))
