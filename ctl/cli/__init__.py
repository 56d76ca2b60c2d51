"""The command line.  Commands are imported when they are called; what each needs, it imports itself."""

from __future__ import annotations

import sys


def main() -> None:
    """The entry point of `ctl`: run, and turn every outcome into an exit status."""
    from ctl.cli.main import run

    sys.exit(run(sys.argv[1:]))
