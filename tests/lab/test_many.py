"""Files of flows, what has changed, and overlaps, as a user meets them."""

import os
import signal
import subprocess

import pytest

from tests.lab.commands import lab_up

NAMED = "ufid:0x01,in_port(1),eth(),eth_type(0x0800),ipv4(dst=10.0.0.0/255.0.0.0)"
KEYED = "in_port(2),eth(),eth_type(0x0806),arp()"
WIDE = "ufid:0x02,in_port(1),eth()"


@pytest.fixture(scope="module")
def lab():
    with lab_up("m", "--hosts", "2") as command:
        yield command


@pytest.fixture
def ctl(lab):
    lab("del-flows")
    return lab


@pytest.fixture
def file_of(tmp_path):
    def write(*lines):
        path = tmp_path / "changes"
        path.write_text("\n".join(lines) + "\n")
        return str(path)

    return write


def generation(ctl):
    return ctl.json("show")["datapaths"][0]["generation"]


def flows(ctl):
    return sorted(line.partition(", packets")[0] + line.partition(" actions")[2] for line in ctl("dump-flows").lines)


def test_what_dump_flows_prints_restores_the_table(ctl, file_of):
    ctl("add-flows", file_of(f"{NAMED} 2", f"{KEYED} drop", f"{WIDE} set(eth(dst=02:00:00:00:00:01)),1"))
    before, dumped = flows(ctl), ctl("dump-flows", "-m", "--names").out
    assert len(before) == 3
    ctl("del-flows")
    given = subprocess.run(ctl.argv("add-flows", "-"), input=dumped, capture_output=True, text=True, check=False)
    assert (given.returncode, given.stderr) == (0, "")
    assert flows(ctl) == before


def test_a_wrong_line_is_named_and_skipped(ctl, file_of):
    lines = ["# flows", "", f"{NAMED} 2", "in_port(1),what() 2", f"{NAMED} 3", f"delete {WIDE}", f"{KEYED} 1"]
    said = ctl("add-flows", file_of(*lines), status=1).err.splitlines()
    assert said[0].startswith("ctl: line 4, skipped: ")
    assert said[1:3] == ["in_port(1),what() 2", "           ^"]
    assert said[3].startswith("ctl: line 5, skipped: a flow with ufid:0x01 exists")
    assert said[4].startswith("ctl: line 6, skipped: ")
    assert said[5:] == ["ctl: flows: 2 added; 3 lines skipped"]
    assert len(flows(ctl)) == 2


def test_with_atomic_nothing_is_changed_and_all_errors_are_listed(ctl, file_of):
    ctl("add-flow", WIDE, "2")
    mark = generation(ctl)
    file = file_of(f"{NAMED} 2", "in_port(1),what() 2", f"{WIDE} 3", "modify ufid:0x07 drop", f"delete {WIDE}")
    said = ctl("add-flows", "--atomic", file, status=1).err.splitlines()
    assert [line.partition(",")[0] for line in said if "skipped" in line] == [f"ctl: line {n}" for n in (2, 3, 4)]
    assert said[-1] == "ctl: nothing is changed, because of these lines"
    assert generation(ctl) == mark
    (row,) = ctl.json("dump-flows")["flows"]
    assert row["ufid"] == "0x02"


def test_with_atomic_a_table_is_replaced(ctl, file_of):
    ctl("add-flows", file_of(f"{NAMED} 2", f"{KEYED} 1"))
    said = ctl("-v", "add-flows", "--atomic", file_of(f"delete {KEYED}", f"{WIDE} 2", "modify ufid:0x01 drop")).err
    assert said == "ctl: flows: 1 added, 1 changed, 1 removed\n"
    assert {row["ufid"]: len(row["actions"]) for row in ctl.json("dump-flows")["flows"]} == {"0x01": 0, "0x02": 1}


def test_mod_flows_and_del_flows(ctl, file_of):
    ctl("mod-flows", file_of(f"{NAMED} 2"), status=1)
    ctl("mod-flows", "--may-create", "--clear", file_of(f"{NAMED} 2", f"{KEYED} 2"))
    ctl("mod-flows", file_of("ufid:0x01 drop"))
    assert ctl("get-flow", "ufid:0x01").lines[0].endswith("actions:drop")
    report = subprocess.run(
        ctl.argv("-o", "json", "del-flows", file_of("ufid:0x01", "ufid:0x09")),
        capture_output=True,
        text=True,
        check=False,
    )
    assert report.returncode == 1
    assert '"removed": 1' in report.stdout
    assert '"line": 2' in report.stdout
    assert len(flows(ctl)) == 1


def test_a_file_that_is_not_there(ctl):
    assert "No such file" in ctl("add-flows", "/nowhere/flows", status=2).err


def test_an_interrupt_says_how_far_it_came(ctl):
    """Two chunks are read, and half a line of the third."""
    child = subprocess.Popen(
        ctl.argv("add-flows", "-"), stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1
    )
    for number in range(2 * 4096):
        child.stdin.write(
            f"ufid:0x{number:08x},in_port(1),eth(dst=02:00:00:00:{number >> 8:02x}:{number & 255:02x}) 2\n"
        )
    child.stdin.flush()
    while ctl.json("show")["datapaths"][0]["flows"] < 2 * 4096:
        assert child.poll() is None
    os.kill(child.pid, signal.SIGINT)
    _, said = child.communicate(timeout=60)
    assert child.returncode == 130
    assert said == "ctl: interrupted; up to line 8192 the file is carried out, flows: 8192 added\n"
    assert len(ctl.json("dump-flows")["flows"]) == 8192


def test_changes_since_a_generation(ctl, file_of):
    ctl("add-flows", file_of(f"{NAMED} 2", f"{KEYED} 1"))
    mark = generation(ctl)
    ctl("add-flows", file_of(f"{WIDE} 2", "modify ufid:0x01 drop", f"delete {KEYED}"))
    *rows, last = ctl("dump-flows", "--since", str(mark)).lines
    assert sorted(row[:11] for row in rows) == ["+ ufid:0x02", "- recirc_id", "~ ufid:0x01"]
    (gone,) = (row[2:] for row in rows if row[0] == "-")
    ctl("add-flow", KEYED, "1")
    ctl("del-flow", gone)
    now = last.removeprefix("generation: ")
    ctl("del-flows")
    ctl("add-flow", KEYED, "1")
    flush, added, _ = ctl("dump-flows", "--since", now).lines
    assert flush == "- all, flows:2, packets:0, bytes:0"
    assert added.startswith("+ recirc_id(0),in_port(2)")
    assert "is yet to come" in ctl("dump-flows", "--since", "999999999", status=2).err


def test_overlaps_are_reported_and_never_refused(ctl, file_of):
    ctl("add-flows", file_of(f"{WIDE} 2", f"{KEYED} 1"))
    assert ctl("flow-check").out == ""
    said = ctl("add-flow", "--check-overlap", NAMED, "1").err
    assert said.startswith("ctl: overlaps, and loses to ufid:0x02, ")
    assert ctl("add-flow", "--check-overlap", NAMED.replace("0x01", "0x03").replace("10.", "11."), "2").err == ""
    winner, loser = ctl("flow-check", status=1).lines
    assert winner.startswith("ufid:0x02, ")
    assert loser.startswith("  wins over ufid:0x01, ")
