"""What is printed is read back as the same thing."""

import pathlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctl.flow import TerseFlow
from ctl.text import (
    format_actions,
    format_flow,
    format_match,
    format_terse,
    parse_actions,
    parse_dump_line,
    parse_flow,
    parse_flow_id,
)
from ctl.validate_actions import check_actions
from tests.unit import strategies

GOLDEN = pathlib.Path(__file__).parents[1] / "golden" / "flows.txt"
ACTIONS = GOLDEN.with_name("actions.txt")
ACTION_LINES = [line for line in ACTIONS.read_text().splitlines() if line and not line.startswith("#")]
LINES = [line for line in GOLDEN.read_text().splitlines() if line and not line.startswith("#")]


@pytest.mark.parametrize("line", LINES)
def test_golden_lines_survive_byte_for_byte(line):
    parsed = parse_flow(line)
    name = "" if parsed.ufid is None else f"{parsed.ufid}, "
    assert name + format_match(parsed.match.key, parsed.match.mask, concrete=True) == line


def test_golden_lines_are_a_few_dozen():
    assert len(LINES) == len(set(LINES)) >= 36


@given(strategies.matches())
def test_concrete_matches(match):
    text = format_match(match.key, match.mask, concrete=True)
    assert parse_flow(text).match == match
    assert parse_flow_id(text) == match.key


@given(strategies.matches())
def test_concrete_matches_in_full(match):
    assert parse_flow(format_match(match.key, match.mask, concrete=True, more=True)).match == match


@given(strategies.flows())
def test_dump_lines(flow):
    for more in (False, True):
        parsed, actions = parse_dump_line(format_flow(flow, 10**12, more=more))
        assert parsed.ufid == flow.ufid
        assert parsed.match.mask == flow.match.mask
        assert parsed.match.masked == flow.match.masked
        assert actions == flow.actions
        if flow.ufid is None:
            assert parsed.match == flow.match


@given(strategies.flows())
def test_printing_is_a_fixed_point(flow):
    concrete = flow.ufid is None
    line = format_match(flow.match.key, flow.match.mask, concrete=concrete)
    again = parse_flow(line).match
    assert format_match(again.key if concrete else again.masked, again.mask, concrete=concrete) == line


@given(strategies.ufids())
def test_ufids(ufid):
    assert parse_flow(str(ufid)).ufid == ufid
    assert parse_flow(str(ufid).upper()).ufid == ufid
    assert parse_flow_id(f"ufid:0x{ufid.octets.hex()}") == ufid


@given(strategies.flows())
def test_actions(flow):
    actions = flow.actions
    assert parse_actions(format_actions(actions)) == actions
    check_actions(actions, flow.match.masked, flow.match.mask)
    text = format_actions(actions, lambda port: f"eth{port}.7")
    assert parse_actions(text, lambda name: int(name[3:-2])) == actions


@given(strategies.all_actions())
def test_all_actions(actions):
    text = format_actions(actions)
    assert parse_actions(text) == actions
    assert parse_actions(text.replace(",", " , ")) == actions or '"' in text
    named = format_actions(actions, lambda port: f"eth{port}.7")
    assert parse_actions(named, lambda name: int(name[3:-2])) == actions


@given(st.sampled_from([line for line in ACTION_LINES if line.startswith("tnl_push")]), st.data())
def test_headers_of_tunnels_are_their_octets(line, data):
    """Whatever is changed in a header, and wherever it ends: what is printed are the same octets."""
    (action,) = parse_actions(line)
    octets = bytearray(action.header[: data.draw(st.integers(0, len(action.header)) | st.just(len(action.header)))])
    for place in data.draw(st.lists(st.integers(0, max(len(octets) - 1, 0)), max_size=2)) if octets else []:
        octets[place] = data.draw(st.integers(0, 255))
    actions = (replace(action, header=bytes(octets)),)
    assert parse_actions(format_actions(actions)) == actions


@pytest.mark.parametrize("line", ACTION_LINES)
def test_golden_actions_survive_byte_for_byte(line):
    assert format_actions(parse_actions(line)) == line


@given(strategies.flows())
def test_a_terse_line_is_the_line_without_key_mask_and_actions(flow):
    terse = TerseFlow(who=flow.who, stats=flow.stats, generation=flow.generation)
    assert format_terse(terse, 1 << 40) == format_flow(flow, 1 << 40, omit=frozenset({"key", "mask", "actions"}))
