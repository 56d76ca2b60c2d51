"""Lines of files of changes: what they ask for, and where they are wrong."""

import pytest

from ctl.action import Drop, Output
from ctl.change import Add, Delete, Modify
from ctl.cli.many import LineParser
from ctl.errors import FlowSyntaxError, NotFound, UsageError
from ctl.text import parse_flow
from ctl.ufid import Ufid

U1 = Ufid(b"\1")
FLOW = "in_port(1),eth()"
MATCH = parse_flow(FLOW).match
LINE = f"ufid:0x01, recirc_id(0),{FLOW}, packets:3, bytes:180, used:0.1s, flags:S, offloaded:yes, dp:xdp, actions:2,3"


def parser(verb, **options):
    return LineParser(verb, {"p1": 1, "p2": 2}.get, **options)


@pytest.mark.parametrize(
    ("verb", "line", "change"),
    [
        ("add", f"{FLOW} 2", Add(MATCH, (Output(2),))),
        ("add", f"ufid:0x01,{FLOW}   2,3\n", Add(MATCH, (Output(2), Output(3)), U1)),
        ("add", f"  \t{FLOW} drop", Add(MATCH, ())),
        ("add", f"{FLOW.replace('1', 'p1')} p2", Add(MATCH, (Output(2),))),
        ("add", LINE, Add(MATCH, (Output(2), Output(3)), U1)),
        ("add", f"modify {FLOW} drop(1)", Modify(MATCH.key, (Drop(1),))),
        ("add", f"delete {FLOW}", Delete(MATCH.key)),
        ("modify", "ufid:0x01 2", Modify(U1, (Output(2),))),
        ("modify", f"add\tufid:0x01,{FLOW} 2", Add(MATCH, (Output(2),), U1)),
        ("modify", LINE, Modify(U1, (Output(2), Output(3)))),
        ("delete", "ufid:0x01", Delete(U1)),
        ("delete", LINE, Delete(U1)),
        ("delete", LINE.replace("ufid:0x01, ", ""), Delete(MATCH.key)),
        ("add", "", None),
        ("add", "  \n", None),
        ("add", "  # add", None),
    ],
)
def test_what_a_line_asks_for(verb, line, change):
    assert parser(verb).parse(line) == change


def test_options_of_mod_flows():
    options = {"clear": True, "may_create": True}
    assert parser("modify", **options).parse(f"ufid:0x01,{FLOW} 2") == Modify(U1, (Output(2),), True, MATCH)
    assert parser("modify", **options).parse("ufid:0x01 2") == Modify(U1, (Output(2),), True)


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("in_port(1),what(3) 2", "what"),
        ("  add in_port(1),what(3) 2", "what"),
        ("modify in_port(1),eth() set(what)", "what"),
        ("\tadd  ufid:0x01,in_port(1),eth()  2,set(what)", "what"),
        (LINE.replace("2,3", "2,set(what)"), "what"),
        ("delete what(3)", "what"),
    ],
)
@pytest.mark.parametrize("times", [1, 2])
def test_a_syntax_error_points_into_the_line(line, word, times):
    read = parser("add")
    for _ in range(times):
        with pytest.raises(FlowSyntaxError) as error:
            read.parse(line)
    assert (error.value.text, error.value.pos) == (line, line.index(word))


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("ufid:0x01 2", UsageError),
        ("delete 0a0b0c", UsageError),
        (f"{FLOW}", FlowSyntaxError),
        ("add", FlowSyntaxError),
        ("add ", FlowSyntaxError),
        (f"{FLOW} nobody", NotFound),
    ],
)
def test_what_is_no_change_is_refused(line, kind):
    with pytest.raises(kind):
        parser("add").parse(line)
