"""An installed wheel builds a lab, forwards and answers where the checkout cannot be seen."""

import importlib.metadata
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab.elsewhere import elsewhere
from tests.wheels import build_wheel

DISTRIBUTION = Path("/usr/bin/python3")
BCC = Path("/usr/lib/python3/dist-packages/bcc")
DEPENDENCIES = ("click", "pyroute2", "scapy")


@pytest.fixture(scope="module")
def installed(checkout, tmp_path_factory):
    """A virtual environment of the distribution's Python with the wheel, its dependencies and the link to BCC."""
    venv = tmp_path_factory.mktemp("installed")
    subprocess.run([DISTRIBUTION, "-I", "-m", "venv", "--without-pip", venv], check=True)
    (packages,) = venv.glob("lib/python3*/site-packages")
    for name in DEPENDENCIES:
        copy_distribution(name, packages)
    (packages / "bcc").symlink_to(BCC)
    wheel = build_wheel(checkout, tmp_path_factory.mktemp("build"))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", venv / "bin" / "python3"]
    subprocess.run([*pip, "install", "--quiet", "--no-index", wheel], check=True, timeout=120)
    subprocess.run([*pip, "check"], check=True, timeout=120)
    return venv


def copy_distribution(name, packages):
    """A copy of what is installed here: a link would lead back into the checkout."""
    found = importlib.metadata.distribution(name)
    for top in {file.parts[0] for file in found.files if file.parts[0] != ".."}:
        source = Path(found.locate_file(top))
        if source.is_dir():
            shutil.copytree(source, packages / top, dirs_exist_ok=True)
        else:
            shutil.copy(source, packages)


@pytest.fixture
def ctl(installed, checkout, tmp_path):
    """`ctl` of the wheel, run where the checkout is an empty folder and nothing has been compiled."""
    with elsewhere() as place:
        for covered in (checkout, "/var/cache"):
            place.run("mount", "-t", "tmpfs", "none", covered, check=True)
        try:
            yield lambda *arguments: place.run(
                "env", "-C", tmp_path, installed / "bin" / "ctl", *arguments,
                capture_output=True, text=True, check=True, timeout=120,
            )  # fmt: skip
        finally:
            place.run(installed / "bin" / "ctl", "down", capture_output=True, check=True)


def test_an_installed_wheel_needs_no_checkout(ctl):
    assert "276 packets sent, 276 received" in ctl("up").stderr
    assert len(ctl("dump-flows").stdout.splitlines()) == 6
    assert "7 received" in ctl("exec", "h1", "--", "ping", "-q", "-c", "7", "-i", "0.05", "198.18.0.2").stdout
    assert "complete -o nosort -F _ctl_completion ctl" in ctl("completion", "bash").stdout
    ctl("down")


def test_an_installed_wheel_brings_the_manual_page(installed, checkout):
    page = installed / "share" / "man" / "man1" / "ctl.1"
    assert page.read_bytes() == (checkout / "ctl" / "share" / "man" / "man1" / "ctl.1").read_bytes()
