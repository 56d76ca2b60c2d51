"""What all tests share: the one way to skip, the marks that folders give, and the check for remains.

A test that needs something of its machine says so with ``require(condition, why)``.  Where it is not
met the test is skipped; with CTL_REQUIRE=root in the environment it fails, whatever made it skip.
"""

import os
import pathlib
import shutil
import sys

import hypothesis
import pytest

# Machines are shared: how long an example takes says nothing.
hypothesis.settings.register_profile("ctl", deadline=None)
hypothesis.settings.load_profile("ctl")

TESTS = pathlib.Path(__file__).parent
sys.path.insert(0, str(TESTS.parent))  # tests import from each other as tests.*
from tests import conformance  # noqa: E402 - found by the line above

STRICT = os.environ.get("CTL_REQUIRE") == "root"
MARKS = {"bpf": ("bpf", "root"), "lab": ("lab", "root")}
REMAINS = ("/run/netns/ctl-*", "/sys/fs/bpf/ufid*", "/sys/class/net/*", "/run/ufid-datapath/labs/*")


class Require:
    """Skip the calling test unless the machine has what it needs."""

    def __call__(self, condition, why):
        if not condition:
            pytest.skip(why)

    def tool(self, *names):
        self(any(shutil.which(name) for name in names), f"{' or '.join(names)} is not installed")

    def root(self):
        self(os.geteuid() == 0, "not root")


@pytest.fixture(scope="session")
def require():
    return Require()


@pytest.fixture(scope="session")
def checkout():
    return TESTS.parent


def pytest_addoption(parser):
    parser.addoption("--conformance-report", action="store_true", help="with -m conformance: write docs/conformance.md")


def pytest_configure(config):
    config.pluginmanager.register(conformance.Report(config), "conformance")


def pytest_collection_modifyitems(items):
    for item in items:
        room = item.path.relative_to(TESTS).parts[0]
        for mark in MARKS.get(room, ()):
            item.add_marker(mark)


def pytest_runtest_setup(item):
    if item.get_closest_marker("root"):
        Require().root()


def _required(report):
    """With CTL_REQUIRE=root, turn a skipped report into a failed one."""
    if STRICT and report.skipped and not hasattr(report, "wasxfail"):
        why = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"CTL_REQUIRE=root forbids this: {why}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    report = yield
    _required(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report():
    report = yield
    _required(report)
    return report


def _remains():
    """Everything on this machine that a test could have left behind."""
    root = pathlib.Path("/")
    return {str(path) for pattern in REMAINS for path in root.glob(pattern[1:])}


def pytest_sessionstart(session):
    session.config.stash[BEFORE] = _remains()


def pytest_sessionfinish(session):
    left = session.config.stash[LEFT] = sorted(_remains() - session.config.stash[BEFORE])
    if left and session.exitstatus in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter, config):
    if left := config.stash.get(LEFT, []):
        terminalreporter.section("left behind", red=True, bold=True)
        for path in left:
            terminalreporter.line(path)


BEFORE = pytest.StashKey[set[str]]()
LEFT = pytest.StashKey[list[str]]()
