"""What ./setup leaves below /usr/local, and that its own words take it away again."""

import hashlib
import re
import subprocess
import sys

import pytest

from tests.lab.elsewhere import elsewhere

LINKS = {
    "bin/ctl",
    "share/man/man1/ctl.1",
    "share/bash-completion/completions/ctl",
    "share/zsh/site-functions/_ctl",
    "share/fish/vendor_completions.d/ctl.fish",
}


@pytest.fixture
def place(checkout, require):
    """Where /usr/local is empty."""
    stamp = checkout / ".venv" / "stamp"
    require(stamp.exists() and sys.prefix == str(checkout / ".venv"), "not run in the environment that ./setup makes")
    made_from = [checkout / name for name in ("setup", "requirements.lock", "tests/requirements.lock")]
    current = hashlib.sha256(b"".join(path.read_bytes() for path in made_from)).hexdigest()
    require(current in stamp.read_text(), "the environment is not current, and ./setup would make it anew")
    with elsewhere() as place:
        place.run("mount", "-t", "tmpfs", "none", "/usr/local", check=True)
        yield place


def links(place):
    found = place.run("find", "/usr/local", "-type", "l", "-printf", "%P\n", capture_output=True, text=True, check=True)
    return set(found.stdout.split())


def test_links_come_and_go(place, checkout):
    setup = str(checkout / "setup")
    assert "ctl 0." in place.run(setup, "version", capture_output=True, text=True, check=True).stdout
    assert links(place) == LINKS
    for link in LINKS:
        assert place.run("test", "-s", f"/usr/local/{link}", check=False).returncode == 0, link
    usage = place.run(setup, "--help", capture_output=True, text=True, check=True).stdout
    undo = re.search(r"find /usr/local -lname .*", usage)[0]
    place.run("sh", "-c", undo, check=True)
    assert links(place) == set()


def test_what_is_somebody_elses_stays(place, checkout):
    place.run("sh", "-c", "mkdir /usr/local/bin && echo theirs >/usr/local/bin/ctl", check=True)
    run = place.run(str(checkout / "setup"), "version", stdout=subprocess.PIPE, text=True, check=True)
    assert "ctl 0." in run.stdout
    assert links(place) == set()
