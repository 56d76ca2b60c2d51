"""`ctl bench --quick`: rows have their form and their figures make sense.  How fast is not asked here."""

import json
import os
import signal
import subprocess
import time
from functools import cache
from pathlib import Path

import pytest

from tests.lab.commands import Ctl

FIELDS = {
    "benchmark", "name", "parameters", "unit", "median", "min", "max", "rounds", "net",
    "kernel", "cpu", "cpus", "version", "commit",
}  # fmt: skip
NAMES = {
    "lookup": {"empty program", "packet"},
    "actions": {"make the frame, drop", "drop", "output", "set eth, output", "set eth, ipv4 and udp (NAT), output",
                "push_vlan, output", "recirc; output in the second pass"},
    "forward": {"bare redirect", "datapath", "datapath / bare"},
    "install": {"flow_apply, all at once", "flow_apply, atomic", "flow_new, all in one hold", "dump as text",
                "dump as text, terse", "flow_new, single", "flow_get, single", "flow_del, single", "flow_flush"},
    "text": {"format_flow", "parse_dump_line"},
    "startup": {"python -c 'import click'",
                *(f"ctl {command}{over}" for command in ("version", "show", "get-flow UFID", "dump-flows")
                  for over in ("", " / bare"))},
}  # fmt: skip

NET = {"lookup": {"packet"}, "actions": NAMES["actions"] - {"make the frame, drop"}}  # measuring is taken off


@pytest.fixture
def ctl(lab_name):
    return Ctl(lab_name)


@pytest.fixture(scope="module")
def quick():
    """What `ctl bench --quick NAME` prints as JSON, and on stderr; it runs once for each name."""

    @cache
    def run(name):
        printed = Ctl("none")("-o", "json", "bench", "--quick", name)
        return json.loads(printed.out), printed.err

    return run


@pytest.mark.parametrize("name", NAMES)
def test_every_benchmark_has_rows_that_make_sense(quick, name):
    document, _ = quick(name)
    figures = document["figures"]
    assert document["schema"] == "ctl/bench/1"
    assert {row["name"] for row in figures} == NAMES[name]
    for row in figures:
        assert row.keys() == FIELDS
        assert (row["net"] is not None) == (row["name"] in NET.get(name, ()))
        assert row["benchmark"] == name
        assert row["rounds"] == 3
        assert 0 < row["min"] <= row["median"] <= row["max"]
        assert row["kernel"] == os.uname().release
    wheres = [(row["name"], row["unit"], tuple(row["parameters"].items())) for row in figures]
    assert len(set(wheres)) == len(wheres)


def test_lookup_covers_masks_classes_and_traffic(quick):
    figures = quick("lookup")[0]["figures"]
    packets = [row["parameters"] for row in figures if row["name"] == "packet"]
    assert {(p["masks"], p["hit"]) for p in packets if p["class"] == "S"} == {
        (1, "mask 1"), (1, "none"),
        *((32, hit) for hit in ("mask 1", "mask 16", "mask 32", "any mask", "none")),
        *((256, hit) for hit in ("mask 1", "mask 128", "mask 256", "any mask", "none")),
    }  # fmt: skip
    assert {p["class"] for p in packets} == {"S", "M", "L"}
    assert {p["traffic"] for p in packets} == {"one flow", "uniform"}
    assert {row["net"]["subtracted"] for row in figures if row["name"] == "packet"} == {"empty program"}


def test_text_is_a_table_under_the_machine(ctl):
    lines = ctl("bench", "--quick", "--rounds", "1", "actions").lines
    assert lines[0].startswith(f"kernel {os.uname().release}, ")
    assert lines[2] == "actions  (rounds: 1)"
    assert lines[3].split() == ["median", "best", "net", "unit"]
    assert len(lines) == 4 + len(NAMES["actions"])


def test_an_unknown_benchmark_is_refused(ctl):
    refused = ctl("bench", "speed", status=2)
    assert refused.err == "ctl: there is no benchmark 'speed'; there are " + ", ".join(NAMES) + "\n"


def test_forward_has_both_hooks_and_instructions_or_why_not(quick):
    document, err = quick("forward")
    figures = document["figures"]
    rates = {(row["name"], row["parameters"]["hook"]) for row in figures if row["unit"] == "Mpackets/s"}
    assert rates == {(name, hook) for name in ("bare redirect", "datapath") for hook in ("xdp", "tc")}
    assert {row["parameters"]["hook"] for row in figures if row["unit"] == "%"} == {"xdp", "tc"}
    counted = {(row["name"], row["parameters"]["hook"]) for row in figures if row["unit"] == "instructions/packet"}
    assert counted == (set() if err.startswith("no instructions per packet: ") else rates)


def test_little_and_much_are_not_asked_for_together(ctl):
    assert ctl("bench", "--quick", "--large", status=2).err == "ctl: --quick and --large exclude each other\n"


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
