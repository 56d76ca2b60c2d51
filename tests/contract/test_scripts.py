"""The shell scripts: they parse, and their help names what can be set from outside."""

import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRIPTS = [ROOT / "setup", *sorted((ROOT / "tests").glob("*.sh"))]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_parses(script):
    run = subprocess.run(["sh", "-n", script], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")


def test_the_help_of_the_guest_names_every_setting():
    script = ROOT / "tests" / "guest.sh"
    settings = set(re.findall(r"\$\{([A-Z_]+)-", script.read_text()))
    run = subprocess.run([script, "--help"], capture_output=True, text=True, check=True)
    assert len(settings) == 4
    assert settings <= set(re.findall(r"[A-Z_]+", run.stdout))
