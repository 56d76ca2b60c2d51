"""where=: conditions on flows, and what flows are sorted by."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctl.action import Clone, Drop, Meter, Output, PopVlan, Set
from ctl.cli.selection import TYPES, conditions_of, selected
from ctl.errors import FlowSyntaxError, UsageError
from ctl.flow import Flow, FlowStats
from ctl.text import caret, parse_flow
from ctl.text.where import MAX_DEPTH, parse_where, sort_key
from tests.unit import strategies

PORTS = {"p2": 2, "set": 9}
NOW = 100_000


def flow(text, actions=(), *, not_xdp=None, generation=0, **stats):
    parsed = parse_flow(text)
    return Flow(ufid=parsed.ufid, match=parsed.match, actions=actions, stats=FlowStats(**stats), not_xdp=not_xdp,
                generation=generation)  # fmt: skip


FLOWS = {
    "web": flow(
        "ufid:0a0b0c0d-0000-0000-0000-000000000001,in_port(1),eth(src=02:00:00:00:00:01),eth_type(0x0800),"
        "ipv4(dst=10.9.0.0/16,proto=6,frag=no),tcp(dst=80),tcp_flags(0/0)",
        (PopVlan(), Output(2)), packets=1500, bytes=90_000, used_ms=NOW - 2500, tcp_flags=0x12, generation=3,
    ),
    "low": flow(
        "ufid:0x01,in_port(2),eth(),eth_type(0x86dd),ipv6(src=fd00::/16,proto=17),udp(dst=0x40/0xffc0)",
        (Drop(1),), packets=3, bytes=180, used_ms=NOW - 20, generation=2,
    ),
    "idle": flow("in_port(3),eth()", generation=1),
    "tagged": flow(
        "ufid:0x02,in_port(2),eth(),eth_type(0x8100),vlan(vid=99,pcp=7),encap(eth_type(0x0806),arp(op=1))",
        (Clone((Set("skb_mark", (1,)), Output(2))), Meter(4), Output(1)), not_xdp="sets skb_mark", packets=3, bytes=400,
        used_ms=NOW, generation=4,
    ),
}  # fmt: skip
ALL = set(FLOWS)


def chosen(condition):
    test = parse_where(condition, PORTS.get)
    return {name for name, each in FLOWS.items() if test(each, NOW)}


@pytest.mark.parametrize(
    ("condition", "wanted"),
    [
        ("packets > 3", {"web"}),
        ("packets>=3 and packets<1.5k", {"low", "tagged"}),
        ("packets == 1.5k", {"web"}),
        ("bytes in 180..400", {"low", "tagged"}),
        ("bytes != 0", ALL - {"idle"}),
        ("generation <= 2", {"low", "idle"}),
        ("used < 2.6", ALL - {"idle"}),
        ("used < 20ms", {"tagged"}),
        ("used <= 0.02s", {"low", "tagged"}),
        ("used > 2", {"web", "idle"}),
        ("used == never", {"idle"}),
        ("used != never", ALL - {"idle"}),
        ("flags has syn", {"web"}),
        ("flags has syn|ack", {"web"}),
        ("flags has fin", set()),
        ("actions has output", {"web", "tagged"}),
        ("actions has drop", {"low", "idle"}),
        ("actions has meter", {"tagged"}),
        ("actions has set", {"tagged"}),
        ("actions has clone", {"tagged"}),
        ("actions has 2", {"web", "tagged"}),
        ("actions has p2", {"web", "tagged"}),
        ("actions has 1", {"tagged"}),
        ('actions has "set"', set()),
        ("ufid == 0a0b0c", {"web"}),
        ("ufid == ufid:0A0B0C0D-0000-0000-0000-000000000001", {"web"}),
        ("ufid != 0x01", ALL - {"low"}),
        ("ufid == none", {"idle"}),
        ("dp == tc", {"tagged"}),
        ("dp != tc", ALL - {"tagged"}),
        ("offloaded", ALL - {"tagged"}),
        ("in_port == 2", {"low", "tagged"}),
        ("in_port == p2", {"low", "tagged"}),
        ("in_port in 1..2", ALL - {"idle"}),
        ("eth.src == 02:00:00:00:00:01", {"web"}),
        ("eth.src != 02:00:00:00:00:01", set()),
        ("eth_type == 0x0806", {"tagged"}),
        ("eth_type == 2048", {"web"}),
        ("ipv4.dst in 10.0.0.0/8", {"web"}),
        ("ipv4.dst in 10.9.0.0/255.255.0.0", {"web"}),
        ("ipv4.dst in 10.9.7.0/24", set()),
        ("ipv4.dst == 10.9.0.0", set()),
        ("ipv4.dst != 10.9.7.7", set()),
        ("ipv4.dst != 10.8.0.0", {"web"}),
        ("ipv4.dst < 10.10.0.0", {"web"}),
        ("ipv4.dst <= 10.9.255.254", set()),
        ("ipv4.dst in 10.9.0.0..10.9.255.255", {"web"}),
        ("ipv4.frag == no", {"web"}),
        ("ipv6.src in fd00::/8", {"low"}),
        ("tcp.dst == 80", {"web"}),
        ("tcp.dst in 80/0xffff", {"web"}),
        ("udp.dst < 128", {"low"}),
        ("udp.dst < 127", set()),
        ("udp.dst >= 64", {"low"}),
        ("udp.dst > 64", set()),
        ("udp.dst in 64..127", {"low"}),
        ("udp.dst != 128", {"low"}),
        ("arp.op == 1", {"tagged"}),
        ("vlan.vid == 99", {"tagged"}),
        ("vlan", {"tagged"}),
        ("ipv4.dst", {"web"}),
        ("ipv4.ttl", set()),
        ("tcp", {"web"}),
        ("not vlan", ALL - {"tagged"}),
        ("not not vlan", {"tagged"}),
        ("vlan or tcp", {"tagged", "web"}),
        ("vlan or tcp and packets == 0", {"tagged"}),
        ("(vlan or tcp) and packets > 3", {"web"}),
        ("not (vlan or tcp)", {"low", "idle"}),
        ("packets > 100 and ipv4.dst in 10.0.0.0/8 and used < 5 and actions has output", {"web"}),
    ],
)
def test_a_condition(condition, wanted):
    assert chosen(condition) == wanted


@settings(max_examples=60, deadline=None)
@given(strategies.flows(), st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), st.integers(0, 65535))
def test_a_comparison_holds_if_it_does_for_every_packet(any_flow, operator, number):
    """Both of a comparison and its opposite can be untrue, never both true."""
    opposite = {"==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}[operator]
    holds, fails = (parse_where(f"tcp.dst {op} {number}")(any_flow, NOW) for op in (operator, opposite))
    assert not (holds and fails)
    if any_flow.match.mask["tp_dst"] == 0xFFFF and parse_where("tcp.dst")(any_flow, NOW):
        assert holds or fails


@pytest.mark.parametrize(
    ("condition", "said", "at"),
    [
        ("", "expected a condition", ""),
        ("packets >", "what packets is compared with", ""),
        ("packets = 3", "expected == != < <= > >= in", "= 3"),
        ("packets", "expected == != < <= > >= in", ""),
        ("packets > many", "expected a number", "many"),
        ("packets in 3", r"expected FIRST\.\.LAST", "3"),
        ("packets in 3..x", "expected a number", "x"),
        ("used < 5h", "expected seconds", "5h"),
        ("flags == syn", "expected has", "=="),
        ("flags has sny", "TCP flags", "sny"),
        ("actions has p9", "there is no port p9, nor an action", "p9"),
        ("actions has", "name of an action", ""),
        ("ufid < 3", "expected == !=", "<"),
        ("ufid == xyz", "32 hexadecimal digits", "xyz"),
        ("dp == ovs", "expected xdp or tc", "ovs"),
        ("ipv4.dest == 10.0.0.1", "'ipv4.dest' is nothing that a flow has", "ipv4.dest"),
        ("ipv4.dst == 10.0.0", "IPv4 address", "10.0.0"),
        ("ipv4.dst in 10.0.0.0/33", "IPv4 address", "33"),
        ("ipv4.ttl == 256", "up to 8 bits", "256"),
        ("in_port == p9", "there is no port p9", "p9"),
        ("(vlan", "closing parenthesis", ""),
        ("vlan)", "expected and, or, or the end", ")"),
        ("vlan tcp", "expected and, or, or the end", "tcp"),
        ("vlan and", "expected a condition", ""),
        ('in_port == "p2', "closing quotation mark", '"p2'),
        ("__import__ == 1", "is nothing that a flow has", "__import__"),
        ("not " * (MAX_DEPTH + 1) + "vlan", "levels", "not vlan"),
        ("(" * (MAX_DEPTH + 1), "levels", "("),
    ],
)
def test_a_mistake_is_pointed_at(condition, said, at):
    with pytest.raises(FlowSyntaxError, match=said) as error:
        parse_where(condition, PORTS.get)
    assert condition[error.value.pos :].startswith(at)
    assert at or error.value.pos == len(condition)
    assert caret(error.value)


@given(st.text(alphabet="ab()<>=!. \"'1/:-", max_size=30))
def test_any_text_is_a_condition_or_a_syntax_error(text):
    places = [0]
    try:
        parse_where(text)
    except FlowSyntaxError as error:
        places.append(error.pos)
    assert max(places) <= len(text)


# --- types, order and number -------------------------------------------------------------------------


def names_of(flows):
    return [next(name for name, each in FLOWS.items() if each is found) for found in flows]


@pytest.mark.parametrize(
    ("field", "wanted"),
    [
        ("packets", ["idle", "low", "tagged", "web"]),
        ("-bytes", ["web", "tagged", "low", "idle"]),
        ("used", ["tagged", "low", "web", "idle"]),
        ("-generation", ["tagged", "web", "low", "idle"]),
        ("ufid", ["low", "tagged", "web", "idle"]),
        ("dp", ["tagged", "web", "low", "idle"]),
        ("in_port", ["web", "low", "tagged", "idle"]),
        ("vlan.vid", ["tagged", "web", "low", "idle"]),
    ],
)
def test_flows_are_sorted_and_equals_keep_their_order(field, wanted):
    assert names_of(selected(FLOWS.values(), [], field, None, NOW)) == wanted
    assert names_of(selected(FLOWS.values(), [], field, 2, NOW)) == wanted[:2]


def test_a_limit_ends_the_dump():
    """No flow is asked for that is not printed."""
    flows = iter(FLOWS.values())
    assert names_of(selected(flows, [], None, 1, NOW)) == ["web"]
    assert len(list(flows)) == 3
    assert list(selected(FLOWS.values(), [], None, 0, NOW)) == []


def test_an_unknown_field_is_refused():
    assert sort_key("ipv4.dest") is None
    with pytest.raises(UsageError, match="--sort -colour") as error:
        list(selected(FLOWS.values(), [], "-colour", None, NOW))
    assert "packets, bytes, used" in error.value.hint


@pytest.mark.parametrize("name", TYPES)
def test_types_are_hooks(name):
    wanted = {"xdp": ALL - {"tagged"}, "offloaded": ALL - {"tagged"}, "tc": {"tagged"}, "non-offloaded": {"tagged"},
              "all": ALL}.get(name, set())  # fmt: skip
    assert (
        set(names_of(selected(FLOWS.values(), conditions_of([f"type={name}"], PORTS.get), None, None, NOW))) == wanted
    )


def test_words_are_joined_by_and():
    words = ["type=ovs,xdp", "filter=in_port=p2", "where=packets > 1"]
    assert names_of(selected(FLOWS.values(), conditions_of(words, PORTS.get), None, None, NOW)) == ["low"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["type=ebpf"], "type=ebpf: there is no such type"),
        (["type="], "there is no such type"),
        (["tcp"], "'tcp' picks no flows"),
        (["filter=tcp", "filter=udp"], "filter= is given twice"),
    ],
)
def test_other_words_are_refused(words, said):
    with pytest.raises(UsageError, match=said):
        conditions_of(words, PORTS.get)
