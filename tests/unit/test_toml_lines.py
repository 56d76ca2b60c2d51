"""Lines of a TOML document: every place that tomllib finds has one, and no other."""

import tomllib

import pytest

from netns_lab.files import BUILT_IN, shipped
from netns_lab.toml_lines import lines_of

AWKWARD = r'''
# a comment with = and [brackets]
title = "a # in a \"string\"" # and behind it
'quoted key' = 1
"k\u0065y" = 2
a.b . c = { x = 1, y = [1, { z = "}" }], 'w.v' = 3 }
empty = []
none = {}
many = [ # a comment
    "one", [2, 3],

    { four = 4 }, # trailing comma
]
text = """
[not.a.table]
x = 1
""quoted"""""
raw = QQQ'a'
bQQQ
when = 1979-05-27 07:32:00.5
minus = -1.5e+3

[table]
x = 1
[ table . "sub" ]
y = 2

[[array]]
x = 1
[array.part]
y = 2
[[array.inner]]
z = 3
[[array.inner]]
z = 4
[[array]]
[[array.inner]]
z = 5
'''.replace("QQQ", "'''")


def places(value, place=()):
    """Every place in what tomllib made of a document."""
    if place:
        yield place
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*place, key))


@pytest.mark.parametrize("text", [AWKWARD, AWKWARD.replace("\n", "\r\n"), "", *map(shipped, BUILT_IN)])
def test_every_place_has_a_line(text):
    assert lines_of(text).keys() == set(places(tomllib.loads(text)))


def test_the_lines_are_right():
    lines = lines_of(AWKWARD)
    source = AWKWARD.splitlines()
    expected = {
        ("title",): "title", ("quoted key",): "'quoted", ("key",): '"k', ("a",): "a.b", ("a", "b", "c", "y", 1): "a.b",
        ("many",): "many", ("many", 0): '    "one"', ("many", 1, 1): '    "one"', ("many", 2, "four"): "    { four",
        ("text",): "text", ("raw",): "raw", ("when",): "when", ("minus",): "minus",
        ("table",): "[table]", ("table", "sub"): "[ table", ("table", "sub", "y"): "y = 2",
        ("array",): "[[array]]", ("array", 0): "[[array]]", ("array", 0, "inner", 1, "z"): "z = 4",
        ("array", 1, "inner", 0): "[[array.inner]]", ("array", 1, "inner", 0, "z"): "z = 5",
    }  # fmt: skip
    for place, beginning in expected.items():
        assert source[lines[place] - 1].startswith(beginning), place
    assert lines["array", 1] > lines["array", 0, "inner", 1, "z"]
