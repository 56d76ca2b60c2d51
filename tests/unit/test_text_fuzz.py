"""Whatever the text, the answer is a value or one of our errors, with its place inside the text."""

import pathlib
import re

from hypothesis import given
from hypothesis import strategies as st

from ctl.errors import CtlError, FlowSyntaxError
from ctl.text import caret, parse_actions, parse_dump_line, parse_flow, parse_flow_id, shapes
from ctl.text.values import OVS_ACTIONS

GOLDEN = pathlib.Path(__file__).parents[1] / "golden" / "flows.txt"
LINES = [line for line in GOLDEN.read_text().splitlines() if not line.startswith("#")]
LISTS = GOLDEN.with_name("actions.txt").read_text().splitlines()
PIECES = ["(", ")", ",", "/", "=", ":", '"', "\\", "|", "+", "-", " ", "\n", "0x", "é", "\0", "encap(", "ufid:"]
NOISE = st.sampled_from([*PIECES, *sorted(OVS_ACTIONS)]) | st.text(max_size=4)


@st.composite
def damaged_lines(draw):
    line = draw(st.sampled_from(LINES)) + draw(
        st.sampled_from(["", ", packets:1, actions:" + draw(st.sampled_from(LISTS))])
    )
    line = draw(st.sampled_from([line, draw(st.sampled_from(LISTS))]))
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(line)))
        stop = draw(st.integers(start, min(len(line), start + 8)))
        line = line[:start] + draw(NOISE) + line[stop:]
    return line


def refusal(parse, text, names):
    try:
        parse(text, names)
    except CtlError as error:
        return error
    return None


@given(damaged_lines() | st.text() | st.lists(NOISE).map("".join))
def test_only_our_errors(text):
    for parse in (parse_flow, parse_flow_id, parse_actions, parse_dump_line):
        for names in (None, {}.get):
            error = refusal(parse, text, names)
            if error is not None:
                assert error.exit_status in (2, 3, 6)
                assert "\n" not in error.message + error.hint
            if isinstance(error, FlowSyntaxError):
                assert error.text == text
                assert 0 <= error.pos <= len(text)
                assert caret(error).count("\n") == 1


def outcome(text):
    """What comes of a text: the flow, or the error with its place."""
    try:
        return parse_flow(text), parse_dump_line(text + ", actions:1")
    except CtlError as error:
        return type(error), error.message, error.hint, getattr(error, "pos", None)


@given(st.sampled_from(LINES), damaged_lines())
def test_the_short_cut_leads_to_the_same_place(line, damaged):
    outcome(line)
    for text in (line, damaged):
        short = outcome(text)
        shapes._plans.clear()
        assert short == outcome(text)


NUMBERS = st.integers(0, 300).map(str) | st.integers(0, 1 << 33).map(hex)
VALUES = (
    st.sampled_from(["02:00:00:00:00:09", "10.0.0.9", "fd00::9", "65535", "65534", "010", "p9", "", "09"]) | NUMBERS
)
VALUE = re.compile(r"(?<=[=(:])[0-9a-fx:.]+(?=[,)/])")


@given(st.sampled_from(LINES), st.data())
def test_other_values_in_the_same_shape(line, data):
    outcome(line)
    other = VALUE.sub(lambda found: data.draw(st.just(found[0]) | VALUES), line)
    short = outcome(other)
    shapes._plans.clear()
    assert short == outcome(other)
