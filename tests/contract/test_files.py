"""Files stay small, say nothing of the machine they were written on, and lie where they belong."""

import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOPS = (".ci", "bpf", "ctl", "docs", "netns-lab", "tests")
SUFFIXES = {"", ".c", ".h", ".md", ".py", ".sh", ".toml"}
MOST_LINES = 450
GENERATED = {"ctl/abi.py"}

# A path below somebody's home or work folder, but not "${x}/root/" or "a/root/".
MACHINE_PATH = re.compile(r"(?<![\w.$})*-])/(?:root|work|home/\w+)/")


def files():
    singles = [path for path in ROOT.iterdir() if path.is_file() and path.suffix in SUFFIXES and path.name != ".git"]
    below = [path for top in TOPS for path in (ROOT / top).rglob("*") if path.is_file() and path.suffix in SUFFIXES]
    return sorted(path for path in singles + below if "__pycache__" not in path.parts)


@pytest.fixture(params=files(), ids=lambda path: str(path.relative_to(ROOT)))
def file(request):
    return request.param


def test_no_file_is_long(file):
    assert len(file.read_text().splitlines()) <= MOST_LINES or str(file.relative_to(ROOT)) in GENERATED


def test_no_file_knows_a_machine(file):
    assert MACHINE_PATH.findall(file.read_text()) == []


def test_machine_paths_are_recognised():
    assert all(MACHINE_PATH.search(f'"/{top}/x"') for top in ("work", "root", "home/me"))
    assert not MACHINE_PATH.search("$top/root/x")
