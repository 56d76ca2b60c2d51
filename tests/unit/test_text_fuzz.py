"""Whatever the text, the answer is a value or one of our errors, with its place inside the text."""

import pathlib

from hypothesis import given
from hypothesis import strategies as st

from ctl.errors import CtlError, FlowSyntaxError
from ctl.text import caret, parse_actions, parse_dump_line, parse_flow, parse_flow_id
from ctl.text.values import OVS_ACTIONS

GOLDEN = pathlib.Path(__file__).parents[1] / "golden" / "flows.txt"
LINES = [line for line in GOLDEN.read_text().splitlines() if not line.startswith("#")]
PIECES = ["(", ")", ",", "/", "=", ":", '"', "\\", "|", "+", "-", " ", "\n", "0x", "é", "\0", "encap(", "ufid:"]
NOISE = st.sampled_from([*PIECES, *sorted(OVS_ACTIONS)]) | st.text(max_size=4)


@st.composite
def damaged_lines(draw):
    line = draw(st.sampled_from(LINES)) + draw(st.sampled_from(["", ", packets:1, actions:2"]))
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
