"""The README's session is run, command by command, and prints what the README says."""

import re
import shlex
import subprocess
from pathlib import Path

from ctl.cli.main import COMMANDS
from tests.lab.elsewhere import elsewhere

README = Path(__file__).resolve().parents[2] / "README.md"

# What differs from run to run: times, the kernel's name.
CHANGING = [
    (r"\(\d+\.\d\d s\)", "(T s)"),
    (r"used:\d+\.\d{3}s", "used:Ts"),
    (r"on Linux \S+,", "on Linux K,"),
]


def session():
    """(command, printed lines) of every command in the README's session."""
    block = re.search(r"```\n(\$ ctl up\n.*?)```", README.read_text(), re.DOTALL)[1]
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, *printed = part.splitlines()
        yield command, printed


def steady(lines):
    for pattern, text in CHANGING:
        lines = [re.sub(pattern, text, line) for line in lines]
    return lines


def test_the_session_is_true():
    with elsewhere() as place:
        run_session(place)


def run_session(place):
    for command, printed in session():
        program, *arguments = shlex.split(command)
        assert program == "ctl"
        # Lines come on stdout and stderr; a pipe for both keeps their order as a terminal would.
        run = subprocess.run(
            [*place.ctl, *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert run.returncode == 0, f"{command}\n{run.stdout}"
        assert steady(run.stdout.splitlines()) == steady(printed), command


def test_the_readme_is_short():
    assert len(README.read_text().splitlines()) < 200


def test_every_command_is_in_the_readme_or_its_help():
    text = README.read_text()
    named = {name for names in COMMANDS.values() for name in names if f"ctl {name}" in text}
    assert {"up", "down", "add-dp", "add-if", "add-flow", "get-flow", "mod-flow", "del-flow", "dump-flows"} <= named
