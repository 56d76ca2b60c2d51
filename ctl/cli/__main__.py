"""`python -m ctl.cli`."""

from ctl.cli import main

main()
