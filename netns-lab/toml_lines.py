"""On which line of a TOML document each key and each element of an array is.

`tomllib` parses and judges, but forgets the lines.  This reads a document that it has accepted, and so
needs to understand no more than where things begin and end.
"""

from __future__ import annotations

import re
import tomllib
from typing import Final

Place = tuple[str | int, ...]

_TOKEN: Final = re.compile(
    r"""(?P<blank>[ \t\r]+|\#[^\n]*)
      | (?P<end>\n)
      | (?P<text>\"\"\"(?:\\.|[^\\])*?\"\"\"\"{0,2} | '''.*?''''{0,2} | "(?:\\.|[^"\\\n])*" | '[^'\n]*')
      | (?P<mark>[\[\]{}=,.])
      | (?P<bare>[^\s\[\]{}=,.\#"']+)""",
    re.VERBOSE | re.DOTALL,
)


def lines_of(text: str) -> dict[Place, int]:
    """The line, from 1, of every place in a valid document: a path of keys, and of numbers within arrays."""
    reader = _Reader(text)
    reader.document()
    return reader.lines


class _Reader:
    """Goes through the tokens once; the last one is always an end of line."""

    def __init__(self, text: str) -> None:
        self.lines: dict[Place, int] = {}
        self._tokens: list[tuple[str, str, int]] = []
        self._at = 0
        self._counts: dict[Place, int] = {}  # of the tables in each [[array]]
        line = 1
        for match in _TOKEN.finditer(text + "\n"):
            if match.lastgroup != "blank":
                self._tokens.append((match.lastgroup or "", match[0], line))
            line += match[0].count("\n")

    def document(self) -> None:
        table: Place = ()
        while self._at < len(self._tokens):
            if self._skip("\n"):
                continue
            line = self._line
            if self._skip("["):
                table = self._array_table(line) if self._skip("[") else self._header(line)
            else:
                self._pair(table)

    def _header(self, line: int) -> Place:
        table = self._resolve(self._key())
        self._skip("]")
        self._note(table, line)
        return table

    def _array_table(self, line: int) -> Place:
        *above, last = self._key()
        self._skip("]")
        self._skip("]")
        array = (*self._resolve(tuple(above)), last)
        index = self._counts[array] = self._counts.get(array, -1) + 1
        self._note((*array, index), line)
        return (*array, index)

    def _resolve(self, key: Place) -> Place:
        """A key in a header means, of an array of tables, the last table so far."""
        place: Place = ()
        for part in key:
            place = (*place, part)
            if place in self._counts:
                place = (*place, self._counts[place])
        return place

    def _pair(self, table: Place) -> None:
        line = self._line
        place = (*table, *self._key())
        self._note(place, line)
        self._skip("=")
        self._value(place)

    def _value(self, place: Place) -> None:
        self._note(place, self._line)
        if self._skip("["):
            index = 0
            while not self._skip("]"):
                if self._skip("\n") or self._skip(","):
                    continue
                self._value((*place, index))
                index += 1
        elif self._skip("{"):
            while not self._skip("}"):
                if self._skip("\n") or self._skip(","):
                    continue
                self._pair(place)
        else:
            while self._tokens[self._at][1] not in ("\n", ",", "]", "}"):
                self._at += 1

    def _key(self) -> Place:
        parts = [self._part()]
        while self._skip("."):
            parts.append(self._part())
        return tuple(parts)

    def _part(self) -> str:
        kind, text, _ = self._tokens[self._at]
        self._at += 1
        return str(tomllib.loads(f"text = {text}")["text"]) if kind == "text" else text

    def _note(self, place: Place, line: int) -> None:
        """What is on a line, and what it is part of if that was not said before."""
        for size in range(1, len(place) + 1):
            self.lines.setdefault(place[:size], line)

    def _skip(self, text: str) -> bool:
        if self._at < len(self._tokens) and self._tokens[self._at][1] == text:
            self._at += 1
            return True
        return False

    @property
    def _line(self) -> int:
        return self._tokens[self._at][2]
