"""The BPF file system and /run/netns: missing, read-only, elsewhere, and mounted by a command that dies."""

import os
import subprocess
import sys

import pytest

from ctl.kernel import bpffs

CTL = [sys.executable, "-c", "from ctl.cli import main; main()"]


class Elsewhere:
    """A mount namespace with an empty /run and, unless asked for, no BPF file system."""

    def __init__(self, mounts):
        private = "if mountpoint -q /; then mount --make-rprivate /; fi; umount -l /sys/fs/bpf 2>/dev/null"
        script = f"{private}; mount -t tmpfs none /run && {mounts} && echo ready && read _"
        self._holder = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "unchanged", "sh", "-c", script],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self._holder.stdout.readline() == "ready\n"

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        self("ip", "-all", "netns", "delete")
        self._holder.stdin.close()
        self._holder.wait()
        self._holder.stdout.close()

    def __call__(self, *command, **environment):
        enter = ["nsenter", "--mount", "--root", "--target", str(self._holder.pid)]
        return subprocess.run(
            [*enter, *command], capture_output=True, text=True, check=False, timeout=60,
            env={**os.environ, **environment},
        )  # fmt: skip

    def ctl(self, *arguments, status=0, **environment):
        run = self(*CTL, *arguments, **environment)
        assert run.returncode == status, run.stdout + run.stderr
        assert "Traceback" not in run.stderr
        return run

    def mounts(self):
        """Where anything is mounted."""
        return [line.split()[1] for line in self("cat", "/proc/self/mounts").stdout.splitlines()]


@pytest.fixture
def name():
    return f"b{os.getpid()}"


def test_it_is_mounted_when_it_is_missing_and_unmounted_with_the_last_datapath(name):
    with Elsewhere("true") as there:
        before = there.mounts()
        there.ctl("--dp", name, "up", "--hosts", "2", "--no-traffic")
        assert "/sys/fs/bpf" in there.mounts()[len(before) :]
        there.ctl("--dp", name, "down")
        assert there.mounts() == before
        assert there("find", "/run", "-mindepth", "1").stdout == ""


def test_a_death_between_mounting_and_the_first_use(name):
    """Every point where something is mounted, or was: the next command takes it back in the end."""
    for point in ("bpffs.mounted", "netns.marked", "netns.bound"):
        with Elsewhere("true") as there:
            before = there.mounts()
            there.ctl("--dp", name, "up", "--hosts", "2", "--no-traffic", status=-9, CTL_FAULT=point)
            there.ctl("--dp", name, "down")
            assert there.mounts() == before, point
            assert there("find", "/run", "-type", "f").stdout == "", point


def test_a_death_between_unmounting_and_the_end(name):
    with Elsewhere("true") as there:
        before = there.mounts()
        there.ctl("--dp", name, "up", "--hosts", "2", "--no-traffic")
        there.ctl("--dp", name, "down", status=-9, CTL_FAULT="netns.released")
        there.ctl("--dp", name, "down")
        assert there.mounts() == before
        assert there("find", "/run", "-type", "f").stdout == ""


def test_a_read_only_one_is_said_to_be_so(name):
    with Elsewhere("mount -t bpf none /sys/fs/bpf && mount -o remount,bind,ro /sys/fs/bpf") as there:
        said = there.ctl("--dp", name, "up", status=6).stderr
        assert "/sys/fs/bpf is mounted read-only; mount -o remount,rw /sys/fs/bpf" in said
        assert there("ls", "/run/netns").stdout == "", "the hosts are gone again"


def test_with_a_datapath_in_it_that_became_read_only_nothing_is_lost(name):
    with Elsewhere("mount -t bpf none /sys/fs/bpf") as there:
        there.ctl("--dp", name, "up", "--hosts", "2", "--no-traffic")
        there("mount", "-o", "remount,bind,ro", "/sys/fs/bpf")
        assert "read-only" in there.ctl("--dp", name, "down", status=6).stderr
        there("mount", "-o", "remount,bind,rw", "/sys/fs/bpf")
        assert "repaired" in there.ctl("--dp", name, "down").stderr
        assert there("find", "/sys/fs/bpf", "-mindepth", "1", "-name", "ufid*").stdout == ""


def test_one_that_is_mounted_elsewhere_is_used_by_name_and_pointed_at(name):
    with Elsewhere("mkdir '/run/b p f' && mount -t bpf none '/run/b p f'") as there:
        place = {bpffs.ENVIRONMENT: "/run/b p f"}
        there.ctl("--dp", name, "up", "--hosts", "2", "--no-traffic", **place)
        assert there("ls", f"/run/b p f/ufid/{name}/meta").returncode == 0
        said = there.ctl("--dp", name, "dump-flows", status=7).stderr
        assert f"there is no datapath {name} in /sys/fs/bpf, but there is one in /run/b p f" in said
        assert "CTL_BPFFS='/run/b p f' ctl" in said
        there.ctl("--dp", name, "down", **place)
        assert "ufid" not in there("ls", "-A", "/run/b p f").stdout


def test_a_place_that_is_not_there_is_said_to_be_missing(name):
    with Elsewhere("true") as there:
        said = there.ctl("add-dp", name, status=6, CTL_BPFFS="/run/nowhere").stderr
        assert "there is no folder /run/nowhere" in said
