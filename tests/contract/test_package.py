"""A wheel holds everything, and works away from the checkout."""

import importlib.resources
import re
import subprocess
import sys
import tomllib
import zipfile

import pytest

from tests.wheels import build_wheel


@pytest.fixture(scope="module")
def wheel(checkout, tmp_path_factory):
    return build_wheel(checkout, tmp_path_factory.mktemp("wheel"))


@pytest.fixture
def installed(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    return tmp_path


def sources(checkout):
    """Where a wheel has what the checkout has: the folder netns-lab is the package netns_lab."""
    for path in (checkout / "bpf").rglob("*.[ch]"):
        yield f"ctl/bpf/{path.relative_to(checkout / 'bpf')}", path
    for top, package in (("ctl", "ctl"), ("netns-lab", "netns_lab")):
        for path in (checkout / top).rglob("*.py"):
            yield f"{package}/{path.relative_to(checkout / top)}", path
    for path in (checkout / "ctl" / "share").rglob("*"):
        if path.is_file():
            yield f"ctl/share/{path.relative_to(checkout / 'ctl' / 'share')}", path
    yield "ctl/abi.btf", checkout / "ctl" / "abi.btf"
    yield "share/man/man1/ctl.1", checkout / "ctl" / "share" / "man" / "man1" / "ctl.1"


def test_a_wheel_has_every_source(checkout, wheel):
    expected = {name: path.read_bytes() for name, path in sources(checkout)}
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if "dist-info" not in name]
        # What stands below NAME.data/data/ is for the environment's own folders.
        found = {re.sub(r"^[^/]*\.data/data/", "", name): archive.read(name) for name in names}
    assert found.keys() - {"ctl/py.typed", "netns_lab/py.typed"} == expected.keys()
    assert all(found[name] == content for name, content in expected.items())


def test_a_wheel_carries_its_licence_and_command(wheel):
    with zipfile.ZipFile(wheel) as archive:
        info = {name.partition(".dist-info/")[2]: name for name in archive.namelist() if ".dist-info/" in name}
        metadata = archive.read(info["METADATA"]).decode()
        commands = archive.read(info["entry_points.txt"]).decode()
    assert "License-Expression: GPL-2.0-only OR BSD-2-Clause" in metadata
    assert "licenses/LICENSE" in info
    assert "ctl = ctl.cli:main" in commands
    assert "Requires-Dist: bcc" not in metadata
    assert "Requires-Python: >=3.11" in metadata
    assert "Description-Content-Type: text/markdown" in metadata
    assert "# ufid-datapath" in metadata, "README.md describes the project"


def test_a_wheel_works_away_from_the_checkout(installed, tmp_path_factory):
    program = f"""if True:
        import sys
        sys.path.insert(0, {str(installed)!r})
        import importlib.resources, ctl.abi, ctl.cli, netns_lab
        print(ctl.__path__[0])
        assert (importlib.resources.files("ctl.bpf") / "abi.h").is_file()
        assert (importlib.resources.files("ctl") / "abi.btf").is_file()
        ctl.cli.main(["--help"])
    """
    where = tmp_path_factory.mktemp("elsewhere")
    run = [sys.executable, "-I", "-c", program]
    result = subprocess.run(run, cwd=where, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(str(installed))


def test_the_checkout_finds_its_c_sources_in_the_same_place(checkout):
    found = importlib.resources.files("ctl.bpf") / "abi.h"
    assert found.read_bytes() == (checkout / "bpf" / "abi.h").read_bytes()


def pins(lock):
    return dict(re.findall(r"^([\w-]+)==(\S+)", lock.read_text(), re.MULTILINE))


def names(requirements):
    return {re.match(r"[\w-]+", requirement)[0] for requirement in requirements}


def test_the_locks_pin_what_the_project_names(checkout):
    project = tomllib.loads((checkout / "pyproject.toml").read_text())["project"]
    run, test = pins(checkout / "requirements.lock"), pins(checkout / "tests" / "requirements.lock")
    assert names(project["dependencies"]) <= run.keys()
    assert names(project["optional-dependencies"]["dev"]) <= test.keys()
    assert run.items() <= test.items()


def test_the_unrelated_bcc_of_pypi_is_never_installed(checkout):
    assert "bcc" not in pins(checkout / "tests" / "requirements.lock")
