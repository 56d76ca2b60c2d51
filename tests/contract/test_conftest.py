"""Skips are visible, and forbidden on demand; what tests leave behind fails the run."""

import os
import re
import subprocess
import sys

import pytest

SKIPS = {
    "by require": "def test(require): require(False, 'no such thing')",
    "by a missing tool": "def test(require): require.tool('no-such-tool')",
    "by a mark": "import pytest\n@pytest.mark.skip(reason='no')\ndef test(): pass",
    "by its module": "import pytest\npytest.skip('no', allow_module_level=True)",
}


@pytest.fixture
def run(checkout, tmp_path):
    """Run pytest on one test file below a copy of conftest.py that watches tmp_path for remains."""
    path = {"PYTHONPATH": str(checkout)}  # where the copy finds what it imports

    def run(source, required):
        conftest = (checkout / "tests" / "conftest.py").read_text()
        (tmp_path / "conftest.py").write_text(conftest.replace("/run/netns/ctl-*", f"{tmp_path}/ctl-*"))
        (tmp_path / "test_it.py").write_text(source)
        options = ["-c", str(checkout / "pyproject.toml"), "-p", "no:cacheprovider", str(tmp_path)]
        environment = os.environ | path | {"CTL_REQUIRE": required}
        argv = [sys.executable, "-m", "pytest", *options]
        return subprocess.run(argv, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    return run


@pytest.mark.parametrize("source", SKIPS.values(), ids=SKIPS.keys())
def test_a_skip_is_named_and_fails_where_it_is_forbidden(run, source):
    assert "SKIPPED [1]" in run(source, "").stdout
    strict = run(source, "root")
    assert strict.returncode != 0
    assert "CTL_REQUIRE=root forbids this" in strict.stdout


def test_an_expected_failure_is_no_skip(run):
    assert run("import pytest\n@pytest.mark.xfail\ndef test(): assert False", "root").returncode == 0


def test_remains_fail_the_run_and_are_named(run, tmp_path):
    result = run(f"import pathlib\ndef test(): pathlib.Path({str(tmp_path / 'ctl-h1')!r}).touch()", "")
    assert result.returncode == 1
    assert f"{tmp_path}/ctl-h1" in result.stdout
    assert run("def test(): pass", "").returncode == 0


def test_skips_go_through_require(checkout):
    skip = re.compile(r"pytest\.(skip|importorskip|mark\.skip)|\bskipif\b|unittest\.skip")
    here = {"conftest.py", "test_conftest.py"}
    tests = [path for path in (checkout / "tests").rglob("*.py") if path.name not in here]
    assert [path.name for path in tests if skip.search(path.read_text())] == []
