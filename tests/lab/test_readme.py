"""The README's session is run, command by command, and prints what the README says."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from ctl.cli.main import COMMANDS

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


@pytest.fixture
def elsewhere():
    """A mount namespace with an empty /run and BPF file system: the session's names are nobody else's there."""
    # Where / is no mount, as in a chroot, there is nothing to make private.
    private = "if mountpoint -q /; then mount --make-rprivate /; fi"
    mounts = f"{private} && mount -t tmpfs none /run && mount -t bpf none /sys/fs/bpf && echo ready && read _"
    with subprocess.Popen(
        ["unshare", "--mount", "--propagation", "unchanged", "sh", "-c", mounts],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as holder:  # fmt: skip
        assert holder.stdout.readline() == "ready\n"
        yield holder.pid
        subprocess.run([*ctl(holder.pid), "down"], capture_output=True, check=False)
        holder.stdin.close()


def ctl(pid):
    """The command line that is `ctl` in a process's mount namespace."""
    # --root: the namespace's own / is not the one that a chroot sees.
    enter = ["nsenter", "--mount", "--root", "--target", str(pid)]
    return [*enter, sys.executable, "-u", "-c", "from ctl.cli import main; main()"]


def test_the_session_is_true(elsewhere):
    for command, printed in session():
        program, *arguments = shlex.split(command)
        assert program == "ctl"
        # Lines come on stdout and stderr; a pipe for both keeps their order as a terminal would.
        run = subprocess.run(
            [*ctl(elsewhere), *arguments],
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
