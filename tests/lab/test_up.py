"""`ctl up` and `ctl down`: the whole way, and nothing left behind."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from ctl.kernel import libbpf
from tests.lab.commands import Ctl
from tests.waiting import eventually

PORTS = 3
KINDS = 4
COUNT = 23
SENT = PORTS * KINDS * COUNT


@pytest.fixture
def ctl():
    command = Ctl(f"u{os.getpid()}")
    yield command
    command("down")


def everything_of(name):
    """All that a lab of that name has a name for, and what it could have touched."""
    return {
        "namespaces": sorted(p.name for p in Path("/run/netns").glob(f"ctl-{name}-*")),
        "links": sorted(p.name for p in Path("/sys/class/net").iterdir()),
        "pins": sorted(str(p) for p in Path("/sys/fs/bpf").glob(f"ufid/{name}")),
        "mounts": {line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()},
    }


def pinned_ids(name):
    """(kind, id) of every map, program and link that a datapath has pinned."""
    found = set()
    for pin in (p for p in Path(f"/sys/fs/bpf/ufid/{name}").rglob("*") if not p.is_dir()):
        with libbpf.opened(str(pin)) as fd:
            facts = Path(f"/proc/self/fdinfo/{fd}").read_text()
        found.update(re.findall(r"^(map_id|prog_id|link_id):\s+(\d+)", facts, re.MULTILINE))
    return found


def alive(ids):
    """Those that the kernel still has."""
    kinds = {"map_id": "map", "prog_id": "prog", "link_id": "link"}
    return {
        (kind, number)
        for kind, number in ids
        if subprocess.run(["bpftool", kinds[kind], "show", "id", number], capture_output=True, check=False).returncode
        == 0
    }


def test_up_sends_traffic_and_lists_flows_by_ufid(ctl):
    outcome = ctl("up")
    assert f"{SENT} packets sent, {SENT} received" in outcome.err
    flows = [line for line in outcome.lines if line.startswith("ufid:")]
    assert len(flows) == PORTS * (PORTS - 1)
    assert len({line.split(",")[0] for line in flows}) == len(flows)
    hit = [line for line in flows if f"packets:{KINDS * COUNT}, " in line]
    assert len(hit) == PORTS
    assert f"  lookups: hit:{SENT} missed:0 lost:0" in outcome.lines


def test_up_twice_is_harmless(ctl):
    ctl("up", "--no-traffic")
    before = ctl.json("dump-flows")["flows"]
    ctl("add-flow", "ufid:0x01,in_port(1),eth()", "drop")
    again = ctl("up")
    assert "is up already" in again.err
    after = ctl.json("dump-flows")["flows"]
    assert [row["ufid"] for row in after] == [*(row["ufid"] for row in before), "0x01"]


def test_down_leaves_nothing(ctl):
    before = everything_of(ctl.name)
    ctl("up", "--no-traffic")
    ctl("add-flow", "ufid:0x02,in_port(1),eth()", "drop")
    between, ids = everything_of(ctl.name), pinned_ids(ctl.name)
    assert len(between["namespaces"]) == PORTS + 1
    assert between["pins"]
    assert {kind for kind, _ in ids} == {"map_id", "prog_id", "link_id"}
    assert alive(ids) == ids
    assert between["links"] == before["links"], "the host's own network was touched"
    ctl("down")
    assert eventually(lambda: everything_of(ctl.name) == before), (everything_of(ctl.name), before)
    assert eventually(lambda: not alive(ids)), alive(ids)


def test_down_without_up_is_no_error(ctl):
    assert "nothing to remove" in ctl("down").err


@pytest.mark.parametrize("hosts", [2, 5])
def test_any_number_of_hosts(ctl, hosts):
    outcome = ctl("up", "--hosts", str(hosts), "--traffic", "7")
    assert f"{hosts * KINDS * 7} packets sent, {hosts * KINDS * 7} received" in outcome.err
    assert ctl.json("status")["status"][0]["hosts"] == [f"h{n}" for n in range(1, hosts + 1)]


@pytest.mark.parametrize("when", [0.15, 0.25, 0.35, 0.45, 0.6])
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_up_is_undone_or_cleared_away(ctl, when, end):
    before = everything_of(ctl.name)
    process = subprocess.Popen(ctl.argv("up", "--hosts", "16", "--no-traffic"), stderr=subprocess.PIPE, text=True)
    time.sleep(when)
    process.send_signal(end)
    _, err = process.communicate(timeout=30)
    if end == signal.SIGINT and process.returncode != 0:
        assert process.returncode == 130, err
        assert everything_of(ctl.name)["namespaces"] == []
        assert everything_of(ctl.name)["pins"] == []
    ctl("down")
    assert eventually(lambda: everything_of(ctl.name) == before), (everything_of(ctl.name), before)


def test_up_after_a_kill_half_way(ctl):
    process = subprocess.Popen(ctl.argv("up", "--hosts", "32", "--no-traffic"), stderr=subprocess.DEVNULL)
    assert eventually(lambda: len(everything_of(ctl.name)["namespaces"]) > PORTS)
    process.kill()
    process.wait()
    assert f"repaired lab {ctl.name}: an interrupted command left " in ctl("up", "--no-traffic").err
