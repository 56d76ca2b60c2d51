"""Lines of a dump, word by word, and the JSON form."""

import json
import subprocess
import sys

import pytest
from hypothesis import given

from ctl.flow import Flow, FlowStats, Match, Output
from ctl.jsonout import flow_row, flows_document
from ctl.text import format_actions, format_flow, format_match, parse_actions, parse_flow
from ctl.ufid import Ufid
from tests.unit import strategies

NOW = 1_000_000
UFID = Ufid(bytes(range(16)))


def flow(text, **stats):
    parsed = parse_flow(text)
    return Flow(ufid=parsed.ufid, match=parsed.match, actions=(Output(2),), stats=FlowStats(**stats))


def test_a_whole_line():
    text = f"{UFID}, recirc_id(0),in_port(1),eth(),eth_type(0x0800),ipv4(proto=17,frag=no),udp()"
    line = format_flow(flow(text, packets=23, bytes=966, used_ms=NOW - 112), NOW)
    assert line == f"{text}, packets:23, bytes:966, used:0.112s, actions:2"


@pytest.mark.parametrize(
    ("stats", "words"),
    [
        ({}, "used:never"),
        ({"used_ms": NOW}, "used:0.000s"),
        ({"used_ms": NOW + 5}, "used:0.000s"),
        ({"used_ms": NOW - 61_001}, "used:61.001s"),
        ({"tcp_flags": 0}, "used:never"),
        ({"tcp_flags": 0x02}, "used:never, flags:S"),
        ({"tcp_flags": 0xFF}, "used:never, flags:FSRP.UEC"),
    ],
)
def test_statistics(stats, words):
    line = format_flow(flow("eth()", **stats), NOW)
    assert line == f"recirc_id(0),eth(), packets:0, bytes:0, {words}, actions:2"


def test_more():
    line = format_flow(flow("in_port(1),eth(),eth_type(0x0800),ipv4(dst=10.0.0.1)"), NOW, more=True)
    assert line == (
        "recirc_id(0),in_port(1),eth(src=00:00:00:00:00:00/00:00:00:00:00:00,dst=00:00:00:00:00:00/00:00:00:00:00:00),"
        "eth_type(0x0800),ipv4(src=0.0.0.0/0.0.0.0,dst=10.0.0.1,proto=0/0,tos=0/0,ttl=0/0,frag=no/0), "
        "packets:0, bytes:0, used:never, offloaded:yes, dp:xdp, actions:2"
    )


def test_masked_keys_say_nothing_about_wild_fields():
    match = parse_flow("in_port(3/0),eth(src=02:00:00:00:00:01/0:0:0:0:0:0),eth_type(0x1234/0)").match
    assert format_match(match.masked, match.mask) == "recirc_id(0),eth()"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("eth0.100", "eth0.100"),
        ("veth-a@if3", "veth-a@if3"),
        (None, "2"),
        ("5", '"5"'),
        ("a,b", '"a,b"'),
        ('a"\\', '"a\\"\\\\"'),
        ("drop", '"drop"'),
        ("Drop", '"Drop"'),
        ("ct", '"ct"'),
    ],
)
def test_port_names(name, text):
    assert format_actions((Output(2),), {2: name}.get) == text
    assert parse_actions(text, {name: 2}.get) == (Output(2),)
    match = parse_flow("in_port(2),eth()").match
    line = format_match(match.key, match.mask, port_name={2: name}.get)
    assert line == f"recirc_id(0),in_port({text}),eth()"
    assert parse_flow(line, {name: 2}.get).match == match


def test_a_key_without_a_port_has_no_port_name():
    match = parse_flow("in_port(65535/0xffffffff),eth()").match
    assert format_match(match.key, match.mask, port_name=str) == "recirc_id(0),in_port(65535/0xffffffff),eth()"


def test_empty_action_list():
    assert format_actions(()) == "drop"


def test_json_row():
    tagged = "eth_type(0x8100),vlan(vid=5),encap(eth_type(0x0800),ipv4(frag=no))"
    text = f"{UFID},in_port(1),eth(src=02:00:00:00:00:01),{tagged}"
    row = flow_row(flow(text, packets=1, bytes=60, used_ms=NOW - 5, tcp_flags=2), NOW)
    ipv4 = {"src": "0.0.0.0", "dst": "0.0.0.0", "proto": 0, "tos": 0, "ttl": 0}
    assert row == {
        "ufid": str(UFID).removeprefix("ufid:"),
        "key": {
            "recirc_id": 0,
            "in_port": 1,
            "eth": {"src": "02:00:00:00:00:01", "dst": "00:00:00:00:00:00"},
            "eth_type": 0x8100,
            "vlan": {"vid": 5, "pcp": 0, "cfi": 1},
            "encap": {"eth_type": 0x0800, "ipv4": ipv4 | {"frag": "no"}},
        },
        "mask": {
            "recirc_id": 0xFFFFFFFF,
            "in_port": 0xFFFFFFFF,
            "eth": {"src": "ff:ff:ff:ff:ff:ff", "dst": "00:00:00:00:00:00"},
            "eth_type": 0xFFFF,
            "vlan": {"vid": 0xFFF, "pcp": 0, "cfi": 1},
            "encap": {"eth_type": 0xFFFF, "ipv4": ipv4 | {"frag": 255}},
        },
        "actions": [{"type": "output", "port": 2}],
        "packets": 1,
        "bytes": 60,
        "used_ms": 5,
        "tcp_flags": 2,
        "offloaded": True,
        "dp": "xdp",
        "generation": 0,
    }


@given(strategies.flows())
def test_json_rows_have_every_member(flow):
    document = json.loads(json.dumps(flows_document([flow], NOW)))
    assert document["schema"] == "ctl/flow/1"
    (row,) = document["flows"]
    assert list(row) == list(flow_row(Flow(ufid=None, match=Match(flow.match.key, flow.match.mask), actions=()), NOW))
    assert row["key"].keys() == row["mask"].keys()


def test_start_up_imports_little():
    code = "import sys, ctl.text, ctl.jsonout; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert not {"numpy", "click", "scapy", "pyroute2", "ipaddress", "bcc", "json"} & set(loaded)
