"""Lines of a dump, word by word, and the JSON form."""

import dataclasses
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


NAMED = f"{UFID},in_port(1),eth(),eth_type(0x0800),ipv4(dst=10.0.0.0/255.0.0.0,proto=17,frag=no),udp()"
KEYED = "in_port(1),eth(),eth_type(0x1234)"
REST = "packets:0, bytes:0, used:never"
EXACT = (
    "recirc_id(0),dp_hash(0),skb_priority(0),in_port(1),skb_mark(0),eth(src=00:00:00:00:00:00,dst=00:00:00:00:00:00)"
)

EXACT_UDP = "eth_type(0x0800),ipv4(src=0.0.0.0,dst=10.0.0.0,proto=17,tos=0,ttl=0,frag=no),udp(src=0,dst=0)"


@pytest.mark.parametrize(
    ("text", "omit", "line"),
    [
        (NAMED, {"key", "mask", "actions"}, f"{UFID}, {REST}"),
        (NAMED, {"key"}, f"{UFID}, {REST}, actions:2"),
        (NAMED, {"actions"}, f"{NAMED.replace(',', ', recirc_id(0),', 1)}, {REST}"),
        (NAMED, {"mask"}, f"{UFID}, {EXACT},{EXACT_UDP}, {REST}, actions:2"),
        (KEYED, {"key", "actions"}, f"recirc_id(0),{KEYED}, {REST}"),
        (KEYED, {"key", "mask", "actions"}, f"{EXACT},eth_type(0x1234), {REST}"),
    ],
)  # fmt: skip
def test_parts_that_are_left_out(text, omit, line):
    """As with OVS_UFID_F_OMIT_*: the key of a flow that has no UFID stays, it is the flow's name."""
    assert format_flow(flow(text), NOW, omit=frozenset(omit)) == line


@pytest.mark.parametrize("part", ["key", "mask", "actions"])
def test_json_of_parts_that_are_left_out_is_null(part):
    named, keyed = (flow_row(flow(text), NOW, omit=frozenset({part})) for text in (NAMED, KEYED))
    assert [name for name, value in named.items() if value is None and name not in {"used_ms", "dp_reason"}] == [part]
    assert (keyed[part] is None) == (part != "key")


def test_more():
    line = format_flow(flow("in_port(1),eth(),eth_type(0x0800),ipv4(dst=10.0.0.1)"), NOW, more=True)
    assert line == (
        "recirc_id(0),dp_hash(0/0),skb_priority(0/0),in_port(1),skb_mark(0/0),"
        "eth(src=00:00:00:00:00:00/00:00:00:00:00:00,dst=00:00:00:00:00:00/00:00:00:00:00:00),"
        "eth_type(0x0800),ipv4(src=0.0.0.0/0.0.0.0,dst=10.0.0.1,proto=0/0,tos=0/0,ttl=0/0,frag=no/0), "
        "packets:0, bytes:0, used:never, offloaded:yes, dp:xdp, actions:2"
    )


def test_more_says_where_a_flow_runs():
    for reason, words in ((None, "offloaded:yes, dp:xdp"), ("more than one copy", "dp:tc")):
        line = format_flow(dataclasses.replace(flow("eth()"), not_xdp=reason), NOW, more=True)
        assert line.endswith(f", used:never, {words}, actions:2")


@pytest.mark.parametrize(
    ("written", "printed"),
    [
        ("mpls(label=1,bos=1)", "mpls(label=1,tc=0/0,ttl=0/0,bos=1)"),
        (
            "mpls(ttl=3,ttl=4)",
            "mpls(label=0/0,tc=0/0,ttl=3,bos=0/0,label=0/0,tc=0/0,ttl=4,bos=0/0)",
        ),
        ("mpls()", "mpls(label=0/0,tc=0/0,ttl=0/0,bos=0/0)"),
    ],
)
def test_more_of_labels(written, printed):
    match = parse_flow(f"eth_type(0x8847),{written}").match
    assert format_match(match.masked, match.mask, more=True).endswith(f"eth_type(0x8847),{printed}")
    assert parse_flow(f"eth_type(0x8847),{printed}").match == match


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
    row = flow_row(flow(text, packets=1, bytes=60, used_ms=NOW - 5, tcp_flags=2), NOW, "lab")
    ipv4 = {"src": "0.0.0.0", "dst": "0.0.0.0", "proto": 0, "tos": 0, "ttl": 0}
    assert row == {
        "datapath": "lab",
        "ufid": str(UFID).removeprefix("ufid:"),
        "key": {
            "recirc_id": 0,
            "dp_hash": 0,
            "skb_priority": 0,
            "in_port": 1,
            "skb_mark": 0,
            "eth": {"src": "02:00:00:00:00:01", "dst": "00:00:00:00:00:00"},
            "eth_type": 0x8100,
            "vlan": {"vid": 5, "pcp": 0, "cfi": 1},
            "encap": {"eth_type": 0x0800, "ipv4": ipv4 | {"frag": "no"}},
        },
        "mask": {
            "recirc_id": 0xFFFFFFFF,
            "dp_hash": 0,
            "skb_priority": 0,
            "in_port": 0xFFFFFFFF,
            "skb_mark": 0,
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
        "dp_reason": None,
        "generation": 0,
    }


def json_key(text):
    return flow_row(flow(text), NOW)["key"]


def test_json_of_two_tags():
    text = "eth(),eth_type(0x88a8),vlan(vid=1),encap(eth_type(0x8100),vlan(vid=2,pcp=3),encap(eth_type(0x88cc)))"
    row = json_key(text)
    assert (row["eth_type"], row["vlan"]) == (0x88A8, {"vid": 1, "pcp": 0, "cfi": 1})
    inner = {"eth_type": 0x8100, "vlan": {"vid": 2, "pcp": 3, "cfi": 1}, "encap": {"eth_type": 0x88CC}}
    assert row["encap"] == inner


def test_json_of_labels_and_neighbours():
    empty = {"label": 0, "tc": 0, "ttl": 0, "bos": 0}
    labels = [{"label": 5, "tc": 1, "ttl": 64, "bos": 0}, {"label": 6, "tc": 0, "ttl": 0, "bos": 1}, empty]
    assert json_key("eth(),eth_type(0x8847),mpls(label=5,tc=1,ttl=64,label=6,bos=1)")["mpls"] == labels
    nd = json_key("eth(),eth_type(0x86dd),ipv6(proto=58),icmpv6(type=136),nd(target=fd00::1,tll=02:00:00:00:00:01)")[
        "nd"
    ]
    assert nd == {"target": "fd00::1", "sll": "00:00:00:00:00:00", "tll": "02:00:00:00:00:01"}


@pytest.mark.parametrize(
    ("text", "row"),
    [
        ("2", {"type": "output", "port": 2}),
        ("drop(3)", {"type": "drop", "reason": 3}),
        ("push_vlan(vid=5,pcp=7,tpid=0x88a8)", {"type": "push_vlan", "tpid": 0x88A8, "vid": 5, "pcp": 7, "cfi": 1}),
        ("pop_vlan", {"type": "pop_vlan"}),
        ("trunc(100)", {"type": "trunc", "max_len": 100}),
        ("recirc(1)", {"type": "recirc", "id": 1}),
        ("hash(sym_l4(7))", {"type": "hash", "algorithm": "sym_l4", "basis": 7}),
        ("set(skb_mark(5))", {"type": "set", "field": "skb_mark", "value": 5, "mask": None}),
        (
            "set(tcp(dst=80))",
            {"type": "set", "field": "tcp", "value": {"src": 0, "dst": 80}, "mask": {"src": 0, "dst": 0xFFFF}},
        ),
        (
            "set(ipv4(src=1.1.1.1,dst=2.2.2.2,proto=6,tos=0,ttl=9,frag=no))",
            {
                "type": "set",
                "field": "ipv4",
                "value": {"src": "1.1.1.1", "dst": "2.2.2.2", "proto": 6, "tos": 0, "ttl": 9, "frag": "no"},
                "mask": None,
            },
        ),
        (
            "userspace(pid=1,userdata(0102),actions)",
            {"type": "userspace", "pid": 1, "userdata": "0102", "egress_tun_port": None, "actions": True},
        ),
        (
            "userspace(pid=1,tunnel_out_port=5)",
            {"type": "userspace", "pid": 1, "userdata": None, "egress_tun_port": 5, "actions": False},
        ),
    ],
)
def test_json_of_actions(text, row):
    (shown,) = flow_row(dataclasses.replace(flow("eth()"), actions=parse_actions(text)), NOW)["actions"]
    assert shown == row


def test_json_says_why_a_flow_is_not_in_xdp():
    row = flow_row(dataclasses.replace(flow("eth()"), not_xdp="more than one copy"), NOW)
    assert (row["offloaded"], row["dp"], row["dp_reason"]) == (False, "tc", "more than one copy")


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
