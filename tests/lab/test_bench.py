"""`ctl bench --quick`: rows have their form and their figures make sense.  How fast is not asked here."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.lab.commands import Ctl

FIELDS = {
    "benchmark", "name", "parameters", "unit", "median", "min", "max", "rounds",
    "kernel", "cpu", "cpus", "version", "commit",
}  # fmt: skip
NAMES = {
    "lookup": {"test run of a drop", "the same, uniform", "packet"},
    "actions": {"make the frame, drop", "drop", "output", "set eth, output", "set eth, ipv4 and udp (NAT), output",
                "push_vlan, output", "recirc; output in the second pass"},
    "forward": {"bare redirect", "datapath", "datapath / bare"},
    "install": {"flow_new, all in one hold", "dump as text", "flow_new, single", "flow_get, single",
                "flow_del, single", "flow_flush"},
}  # fmt: skip


@pytest.fixture
def ctl(lab_name):
    return Ctl(lab_name)


@pytest.mark.parametrize("name", NAMES)
def test_every_benchmark_has_rows_that_make_sense(ctl, name):
    document = ctl.json("bench", "--quick", name)
    figures = document["figures"]
    assert document["schema"] == "ctl/bench/1"
    assert {row["name"] for row in figures} == NAMES[name]
    for row in figures:
        assert row.keys() == FIELDS
        assert row["benchmark"] == name
        assert row["rounds"] == 3
        assert 0 < row["min"] <= row["median"] <= row["max"]
        assert row["kernel"] == os.uname().release
    wheres = [(row["name"], tuple(row["parameters"].items())) for row in figures]
    assert len(set(wheres)) == len(wheres)


def test_lookup_covers_masks_classes_and_traffic(ctl):
    packets = [row["parameters"] for row in ctl.json("bench", "--quick", "lookup")["figures"] if row["parameters"]]
    assert {p["hit"] for p in packets} == {"mask 1", "mask 8", "mask 32", "any mask", "none"}
    assert {p["class"] for p in packets} == {"S", "M", "L"}
    assert {p["traffic"] for p in packets} == {"one flow", "uniform"}


def test_text_is_a_table_under_the_machine(ctl):
    lines = ctl("bench", "--quick", "--rounds", "1", "actions").lines
    assert lines[0].startswith(f"kernel {os.uname().release}, ")
    assert lines[2] == "actions  (rounds: 1)"
    assert lines[3].split() == ["median", "best", "unit"]
    assert len(lines) == 4 + len(NAMES["actions"])


def test_an_unknown_benchmark_is_refused(ctl):
    refused = ctl("bench", "speed", status=2)
    assert refused.err == "ctl: there is no benchmark 'speed'; there are lookup, actions, forward, install\n"


def test_an_interrupt_leaves_nothing(ctl):
    process = subprocess.Popen(ctl.argv("bench", "lookup"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    lab = f"bn{process.pid}"
    deadline = time.monotonic() + 30
    while not Path(f"/sys/fs/bpf/ufid/{lab}/links/2").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.strip() == "ctl: interrupted; what was begun is undone"
    assert not list(Path("/run/netns").glob(f"ctl-{lab}-*"))
    assert not Path(f"/sys/fs/bpf/ufid/{lab}").exists()
