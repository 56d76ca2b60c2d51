"""The flow commands as a user meets them: what they print, and how they end."""

import os
import re
import subprocess
import sys

import pytest

from tests.lab.commands import Ctl, lab_up

UFID = "ufid:0a0b0c0d-0000-0000-0000-000000000001"
KEY = "in_port(1),eth(),eth_type(0x0800),ipv4(dst=10.0.0.0/255.0.0.0)"


@pytest.fixture(scope="module")
def lab():
    with lab_up("f", "--hosts", "2") as command:
        yield command


@pytest.fixture
def ctl(lab):
    lab("del-flows")
    return lab


def test_add_get_mod_del_by_ufid(ctl):
    ctl("add-flow", f"{UFID},{KEY}", "2")
    (line,) = ctl("get-flow", UFID).lines
    assert line == f"{UFID}, recirc_id(0),{KEY}, packets:0, bytes:0, used:never, actions:2"
    assert ctl("mod-flow", "-s", UFID, "1").lines == [line.replace("actions:2", "actions:1")]
    assert ctl("mod-flow", UFID, "drop").out == ""
    assert ctl("get-flow", UFID).lines[0].endswith("actions:drop")
    assert ctl("del-flow", "-s", UFID).lines[0].startswith(UFID)
    ctl("get-flow", UFID, status=3)
    assert ctl("dump-flows").out == ""


def test_a_unique_prefix_is_enough(ctl):
    ctl("add-flow", f"{UFID},{KEY}", "2")
    ctl("add-flow", "ufid:0a0b0cff-0000-0000-0000-000000000001,in_port(2),eth()", "1")
    assert ctl("get-flow", "0a0b0c0d").lines[0].startswith(UFID)
    refusal = ctl("get-flow", "0a0b0c", status=2).err
    assert "0a0b0c begins 2 UFIDs" in refusal
    assert UFID in refusal
    ctl("mod-flow", "0a0b0cff", "drop")
    ctl("del-flow", "0a0b0c0d")
    ctl("del-flow", "0a0b0c0d", status=3)
    assert len(ctl("dump-flows").lines) == 1


def test_a_ufid_flow_is_not_found_by_its_key_nor_the_reverse(ctl):
    ctl("add-flow", f"{UFID},{KEY}", "2")
    for command in ("get-flow", "del-flow"):
        ctl(command, KEY, status=3)
    ctl("mod-flow", KEY, "1", status=3)
    other = KEY.replace("10.0.0.0/255", "10.9.8.7/255")
    ctl("add-flow", other.replace("in_port(1)", "in_port(2)"), "1")
    ctl("get-flow", other.replace("in_port(1)", "in_port(2)"))
    ctl("get-flow", KEY.replace("in_port(1)", "in_port(2)"), status=3)
    assert {row["ufid"] for row in ctl.json("dump-flows")["flows"]} == {UFID.removeprefix("ufid:"), None}


def test_what_exists_is_refused_with_4(ctl):
    ctl("add-flow", f"{UFID},{KEY}", "2")
    assert "exists" in ctl("add-flow", f"{UFID},in_port(2),eth()", "2", status=4).err
    assert UFID in ctl("add-flow", f"ufid:0x01,{KEY}", "2", status=4).err
    assert UFID in ctl("add-flow", KEY, "2", status=4).err


@pytest.mark.parametrize(
    ("flow", "column"),
    [
        ("in_port(1),eth(),eth_type(0x0800),ipv4(dst=10.0.0/8)", "10.0.0/8"),
        ("in_port(1),eth(),what(3)", "what"),
        ("in_port(1", ""),
    ],
)
def test_a_syntax_error_has_a_caret_under_its_place(ctl, flow, column):
    _, shown, caret = ctl("add-flow", flow, "2", status=2).err.splitlines()
    assert shown == flow
    assert caret.index("^") == (flow.index(column) if column else len(flow))


def test_what_the_interface_refuses_names_the_attribute(ctl):
    assert "tcp" in ctl("add-flow", "in_port(1),eth(),eth_type(0x0800),ipv4(proto=6)", "2", status=2).err
    assert "tunnel" in ctl("add-flow", f"tunnel(tun_id=1),{KEY}", "2", status=6).err
    assert "action ct" in ctl("add-flow", KEY, "ct(commit),2", status=6).err
    assert "17" in ctl("add-flow", f"ufid:0x{'ab' * 17},{KEY}", "2", status=2).err


def test_no_datapath_is_7():
    assert "there is no datapath none" in Ctl("none")("dump-flows", status=7).err
    Ctl("none")("get-flow", UFID, status=7)
    Ctl("none")("add-flow", KEY, "2", status=7)


def test_ufids_of_other_lengths(ctl):
    for octets in (1, 8, 15):
        ctl("add-flow", f"ufid:0x{'5a' * octets},in_port({octets}),eth()", "drop")
        assert ctl("get-flow", f"ufid:0x{'5A' * octets}").lines[0].startswith(f"ufid:0x{'5a' * octets}, ")


def test_ports_by_name(ctl):
    ctl("add-flow", f"{UFID},in_port(p1),eth()", "p2")
    (line,) = ctl("get-flow", "--names", UFID).lines
    assert "in_port(p1)" in line
    assert line.endswith("actions:p2")
    assert "no port is named p9; ctl show" in ctl("add-flow", "in_port(p9),eth()", "drop", status=3).err
    ctl("add-flow", "in_port(p1),eth()", "p9", status=3)


def test_may_create_and_clear(ctl):
    ctl("mod-flow", f"{UFID},{KEY}", "2", status=3)
    ctl("mod-flow", "--may-create", f"{UFID},{KEY}", "2")
    ctl("mod-flow", "--may-create", f"{UFID},{KEY}", "1")
    ctl("add-flow", "ufid:0x77,in_port(1),eth(dst=02:00:00:00:00:02)", "2")
    ctl("send", "h1", "h2", "--icmp", "--count", "13")
    assert ctl.flow("ufid:0x77")["packets"] == 13
    (before,) = ctl("mod-flow", "--clear", "-s", "ufid:0x77", "2").lines
    assert "packets:13, " in before
    assert ctl.flow("ufid:0x77")["packets"] == 0
    assert ctl.flow("ufid:0x77")["used_ms"] is None
    ctl("send", "h1", "h2", "--tcp", "--count", "17")
    row = ctl.flow("ufid:0x77")
    assert (row["packets"], row["tcp_flags"] != 0) == (17, True)


def test_may_exist_updates_the_same_flow_alone(ctl):
    ctl("add-flow", f"{UFID},{KEY}", "2")
    assert "exists" in ctl("add-flow", f"{UFID},{KEY}", "1", status=4).err
    ctl("add-flow", "--may-exist", f"{UFID},{KEY}", "1")
    assert ctl("get-flow", UFID).lines[0].endswith("actions:1")
    assert "has another" in ctl("add-flow", "--may-exist", f"{UFID},in_port(2),eth()", "2", status=3).err
    assert UFID in ctl("mod-flow", "--may-create", f"ufid:0x02,{KEY}", "2", status=4).err
    assert "packets:0" in ctl("mod-flow", "--may-create", "--clear", "-s", f"{UFID},{KEY}", "2").lines[0]


def test_the_kernel_s_rules_on_request(ctl):
    wider, kernel = "in_port(1),eth(),eth_type(0x0800),ipv4(dst=10.0.0.0/254.0.0.0)", "--compat=kernel"
    ctl("add-flow", f"{UFID},{KEY}", "2")
    ctl("add-flow", kernel, f"ufid:0x02,{wider}", "1", status=4)
    ctl("add-flow", kernel, "--may-exist", f"ufid:0x02,{wider}", "1")
    (line,) = ctl("dump-flows").lines
    assert line.startswith(UFID)
    assert line.endswith("actions:1")
    assert "key: missing" in ctl("mod-flow", kernel, UFID, "2", status=2).err
    ctl("mod-flow", kernel, f"{UFID},{KEY}", "2")


def test_a_refusal_is_logged_but_for_a_probe(ctl):
    refused = ("add-flow", "in_port(1),eth()", "set(tcp(src=1))")
    logged = "ctl.requests: flow new refused: EINVAL: action 1, set(tcp)"
    assert logged in ctl("-v", *refused, status=2).err
    assert logged not in ctl("-v", *refused, "--probe", status=2).err
    assert logged not in ctl(*refused, status=2).err


def test_maps_says_where_a_flow_lies(ctl):
    ctl("add-flow", f"{UFID},{KEY}", "2")
    lines = ctl("get-flow", "--maps", UFID).lines
    assert lines[0].startswith(f"{UFID}, ")
    assert lines[1] == "  slot 0, mask 0, table flows_s"
    (row,) = ctl.json("get-flow", "--maps", UFID)["flow-maps"]
    assert [e["map"] for e in row["elements"]] == ["masks", "flows_s", "ufids", "records", "tails", "actions"]
    assert lines[4].split(" key ")[1].startswith("0d 0c 0b 0a 00 00 00 00 00 00 00 00 01 00 00 00 10")


def test_more_says_where_a_flow_runs(ctl):
    ctl("add-flow", f"{UFID},{KEY}", "2")
    (line,) = ctl("dump-flows", "-m").lines
    assert ", offloaded:yes, dp:xdp, actions:2" in line
    assert "src=0.0.0.0/0.0.0.0" in line


def test_what_a_dump_shows_and_in_which_order(ctl):
    ctl("add-flow", f"{UFID},{KEY}", "2")
    ctl("add-flow", "ufid:0x05,in_port(2),eth(),eth_type(0x86dd),ipv6()", "drop")
    ctl("add-flow", "in_port(1),eth(),eth_type(0x1234)", "set(skb_mark(1)),2")

    def dumped(*options):
        return [row["ufid"] and row["ufid"][:4] for row in ctl.json("dump-flows", *options)["flows"]]

    assert dumped("filter=ip,nw_dst=10.1.2.3") == ["0a0b"]
    assert dumped("filter=in_port=p2") == ["0x05"]
    assert dumped("where=actions has drop or ufid == none", "--sort", "ufid") == ["0x05", None]
    assert dumped("type=tc") == [None]
    assert dumped("type=offloaded", "filter=ip") == ["0a0b"]
    assert dumped("--sort", "-in_port", "--limit", "1", "-s") == ["0x05"]
    (terse,) = ctl("dump-flows", "--terse", "where=ufid == 0x05").lines
    assert terse == "ufid:0x05, packets:0, bytes:0, used:never"
    (keyed,) = ctl("dump-flows", "--omit", "actions,mask", "type=tc").lines
    assert keyed.startswith("recirc_id(0),dp_hash(0),skb_priority(0),in_port(1),")
    assert keyed.endswith(",eth_type(0x1234), packets:0, bytes:0, used:never")
    (row,) = ctl.json("dump-flows", "--omit", "key,actions", "where=ufid == 0x05")["flows"]
    assert (row["key"], row["actions"], row["mask"]["eth_type"]) == (None, None, 0xFFFF)


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("filter=ip,nw_src=10.0.0", "expected an IPv4 address such as 10.0.0.1\nip,nw_src=10.0.0\n          ^"),
        ("where=packets > x", "expected a number, such as 100 or 1.5M\npackets > x\n          ^"),
        ("type=x", "type=x: there is no such type; types: all, xdp, offloaded,"),
        ("tcp", "'tcp' picks no flows; filter=FLOW, where=CONDITION or type=TYPE"),
        ("--omit=stats", "--omit stats: flows have no part 'stats'; parts: actions, key, mask"),
        ("--sort=x", "--sort x: flows have no such field; fields: packets,"),
    ],
)
def test_what_a_dump_cannot_choose_by(ctl, option, said):
    assert said in ctl("dump-flows", option, status=2).err


def test_jsonl_is_a_document_for_each_flow(ctl):
    ctl("add-flow", f"{UFID},{KEY}", "2")
    ctl("add-flow", "in_port(2),eth()", "drop")
    assert [line.count("ctl/flow/1") for line in ctl("-o", "jsonl", "dump-flows").lines] == [1, 1]


def test_a_full_table_is_8():
    ctl = Ctl(f"s{os.getpid()}")
    ctl("add-dp", "--max-flows", "3", "--max-masks", "2")
    try:
        for port in (1, 2, 3):
            ctl("add-flow", f"ufid:0x0{port},in_port({port}),eth()", "drop")
        before = ctl.json("dump-flows")["flows"]
        full = ctl("add-flow", "ufid:0x04,in_port(4),eth()", "drop", status=8).err
        assert "3 flows" in full
        assert "--max-flows" in full
        assert ctl.json("dump-flows")["flows"] == before
        ctl("del-flow", "ufid:0x02")
        ctl("add-flow", "ufid:0x04,eth()", "drop")
        ctl("del-flow", "ufid:0x01")
        assert "--max-masks" in ctl("add-flow", "ufid:0x05,eth(src=02:00:00:00:00:01)", "drop", status=8).err
        ctl("add-dp", "--max-flows", "3", status=4)
    finally:
        ctl("del-dp")
    ctl("del-dp", status=7)


def test_ports_come_and_go(ctl):
    name = f"ctl-{ctl.name}-dp"
    ctl("del-if", "p2")
    assert "port 2" not in ctl("show").out
    assert "netns=" in ctl("add-if", "p2", status=2).err
    assert "p2 is port 2" in ctl("add-if", f"p2,port_no=2,netns={name}").err
    ctl("add-if", f"p2,netns={name}", status=4)
    assert "local port" in ctl("del-if", "0", status=2).err
    ctl("del-if", "77", status=3)
    ctl("add-if", f"nothing,netns={name}", status=3)


@pytest.mark.parametrize("command", [("show",), ("get-flow", UFID), ("dump-flows",), ("dump-dps",)])
def test_looking_needs_no_heavy_library(ctl, command):
    ctl("add-flow", f"{UFID},{KEY}", "2")
    code = f"""
import sys
from ctl.cli import main
try:
    main({["--dp", ctl.name, *command]!r})
finally:
    print(sorted({{"numpy", "pyroute2", "scapy", "bcc"}} & sys.modules.keys()), file=sys.stderr)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stderr.splitlines()[-1] == "[]"


def test_every_command_has_help_and_examples(ctl):
    from ctl.cli.main import COMMANDS

    listed = ctl("--help").out
    for name in (name for commands in COMMANDS.values() for name in commands):
        assert re.search(rf"^  {name} ", listed, re.MULTILINE), name
        assert "Usage: ctl" in (text := ctl(name, "--help").out)
        assert "\\b" not in text
    assert "\n    ctl add-flow 'in_port(2),eth()' drop\n" in ctl("add-flow", "--help").out
