"""Reading of keys: the grammar that `ctl.text.parse` describes, made of one pass of regular expressions.

Positions count characters of the whole text, so that an error can say where.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from ctl import fields
from ctl.attrs import KeyAttrs
from ctl.errors import FlowInvalid, FlowSyntaxError, NotFound, NotSupported
from ctl.fields import Field, Format
from ctl.text.headers import read_nsh, read_tunnel
from ctl.text.values import FLAG_FORMATS, MASK_READERS, VALUE_READERS, Reader, read_signed_flags
from ctl.ufid import MAX_OCTETS, Ufid

PortNumber = Callable[[str], int | None]

_MOST_NESTED: Final = 32  # levels of encap that are read, as in OVS; two are legal
QUOTED: Final = r'"(?:[^"\\]|\\.)*"'
_FIELD: Final = re.compile(r"[,\s]*(?:([A-Za-z_][A-Za-z0-9_-]*)([(:])?)?")
_SUB: Final = re.compile(r"\s*([A-Za-z0-9_]+)=([^,()/\s]*)(?:/([^,()\s]*))?\s*([,)])?")
_SINGLE: Final = re.compile(rf"\s*({QUOTED}|[^,()/\s]*)(?:/([^,()\s]*))?\s*(\))?")
_CLOSE: Final = re.compile(r"\s*\)")
_BLANKS: Final = re.compile(r"\s*")
_WORD: Final = re.compile(r"[^,\s]*")
_ESCAPED: Final = re.compile(r"\\(.)")
_OCTETS: Final = re.compile(r"0x([0-9a-f]{2}){17,}")


_HEADERS: Final = {"tunnel": read_tunnel, "nsh": read_nsh}


@dataclass(frozen=True, slots=True)
class _Column:
    """One row, as the parser needs it."""

    row: Field
    index: int
    read: Reader
    read_mask: Reader
    full: int


_COLUMNS: Final = {
    section: {
        row.name: _Column(row, index, VALUE_READERS[row.format], MASK_READERS[row.format], row.full)
        for index, row in enumerate(rows)
        if not row.group
    }
    for section, rows in fields.ALL_SECTIONS.items()
}
# OVS prints the ports of one tuple otherwise than it reads them; both names are read for both.
for _tuple, _names in (("ct_tuple4", ("src_port", "dst_port")), ("ct_tuple6", ("tp_src", "tp_dst"))):
    _COLUMNS[_tuple] |= zip(_names, list(_COLUMNS[_tuple].values())[-2:], strict=True)
_START: Final = {
    section: ([row.default for row in rows], [row.full if row.default else 0 for row in rows])
    for section, rows in fields.ALL_SECTIONS.items()
}


@dataclass(slots=True)
class Level:
    """The attributes on one side of a VLAN tag, of the key and of the mask."""

    key: KeyAttrs = field(default_factory=KeyAttrs)
    mask: KeyAttrs = field(default_factory=KeyAttrs)


class KeyParser:
    """One text, and what was found in it.  ``skip`` names words such as `packets:3` to pass over."""

    def __init__(
        self,
        text: str,
        port_number: PortNumber | None,
        skip: frozenset[str] = frozenset(),
        end: int | None = None,
    ) -> None:
        self.text = text
        self.ufid: Ufid | None = None
        self.level = Level()
        self._end = len(text) if end is None else end
        self._port_number = port_number
        self._skip = skip

    @property
    def has_key(self) -> bool:
        """Whether there was any field."""
        return not (self.level.key.is_empty and self.level.mask.is_empty)

    @property
    def kind(self) -> str:
        """Which language is read: texts with words to pass over, or without."""
        return "reported" if self._skip else "plain"

    def error(self, message: str, pos: int, hint: str = "") -> FlowSyntaxError:
        """An error at a place of the text."""
        return FlowSyntaxError(message, self.text, pos, hint)

    def blanks(self, pos: int) -> int:
        """The first place from ``pos`` that is not blank."""
        found = _BLANKS.match(self.text, pos)
        return pos if found is None else found.end()

    def read(self, end: int) -> None:
        """Read everything up to ``end`` into `ufid` and `level`."""
        self._end = end
        self._fields(0, self.level, 0)

    def _fields(self, pos: int, level: Level, depth: int) -> int:
        """Fields up to the end, or within encap (depth > 0) up to its closing parenthesis.  Where they ended."""
        text, end = self.text, self._end
        seen: set[str] = set()
        while True:
            found = _FIELD.match(text, pos, end)
            if found is None:
                raise self.error("expected a field", pos)
            name = found[1]
            if name is None:
                pos = found.end()
                if pos >= end or (depth and text[pos] == ")"):
                    break
                raise self.error("expected a field such as in_port(1)", pos)
            start = found.start(1)
            if name in seen:
                raise self.error(f"{name} is given twice", start)
            if start == pos and seen:
                raise self.error("expected ',' between fields", pos)
            seen.add(name)
            columns = _COLUMNS.get(name)
            if columns is None or found[2] != "(":
                pos = self._other(found, level, depth)
            else:
                pos = self.section(name, found.end(), level)
        if depth and pos >= end:
            raise self.error("expected ')' to close encap(", pos)
        return pos

    def section(self, name: str, pos: int, level: Level) -> int:
        """The inside of `name(...)` from ``pos``, into ``level``.  Where it ended."""
        return self._single(name, pos, level) if "" in _COLUMNS[name] else self._subfields(name, pos, level)

    def _other(self, found: re.Match[str], level: Level, depth: int) -> int:
        """What is no section with its parenthesis: encap, a `name:value` word or a mistake.  Where it ended."""
        name = found[1]
        if found[2] == ":" and not depth and (name.lower() == "ufid" or name in self._skip):
            return self._named_word(found)
        if name == "encap" and found[2] == "(":
            if depth == _MOST_NESTED:
                raise self.error("encap is nested too deeply", found.start(1), f"at most {_MOST_NESTED} levels")
            inner = Level()
            end = self._fields(found.end(), inner, depth + 1)
            level.key.encap, level.mask.encap = inner.key, inner.mask
            return end + 1
        if name in _HEADERS and found[2] == "(":
            return self._header(name, found.end(), level)
        if name in fields.NOT_YET:
            raise NotSupported(f"{name} is not supported yet")
        if name in fields.ATTRIBUTES:
            raise self.error(f"expected '(' after {name}", found.end(1))
        known = ", ".join(fields.ATTRIBUTES)
        raise self.error(f"unknown field {name}", found.start(1), f"known are {known}")

    def _header(self, name: str, pos: int, level: Level) -> int:
        """The inside of `tunnel(...)` or `nsh(...)`.  Where it ended."""
        value, mask, end = _HEADERS[name](self.text, pos, self._end)
        setattr(level.key, name, value)
        setattr(level.mask, name, mask)
        return end

    def _named_word(self, found: re.Match[str]) -> int:
        word = _WORD.match(self.text, found.end(), self._end)
        stop = found.end() if word is None else word.end()
        if found[1].lower() == "ufid":
            self.ufid = self._ufid(found.end(), stop)
        return stop

    def _ufid(self, start: int, stop: int) -> Ufid:
        word = self.text[start:stop].lower()
        if _OCTETS.fullmatch(word):
            raise FlowInvalid(f"{len(word) // 2 - 1} octets, at most {MAX_OCTETS} are possible", "ufid")
        try:
            return Ufid.from_text(word)
        except ValueError as error:
            raise self.error(str(error), start) from None

    def _single(self, name: str, pos: int, level: Level) -> int:
        """The inside of `name(value[/mask])`.  Where it ended."""
        column = _COLUMNS[name][""]
        found = _SINGLE.match(self.text, pos, self._end)
        if found is None or found[3] is None:
            raise self.error(f"expected ')' to close {name}(", pos if found is None else found.end())
        word = found[1]
        if column.row.format in FLAG_FORMATS and word[:1] in ("+", "-"):
            value, bits = self._signed_flags(column, found)
        elif column.row.format is Format.PORT and not word[:1].isdigit():
            value, bits = self.port(word, found.start(1)), self._mask(column, found, 2)
        else:
            value, bits = self._value(column, found, 1), self._mask(column, found, 2)
        if found[2] is None or value != column.row.absent:
            level.key.sections[name] = (value,)
        level.mask.sections[name] = (bits,)
        return found.end()

    def _signed_flags(self, column: _Column, found: re.Match[str]) -> tuple[int, int]:
        if found[2] is not None:
            raise self.error("expected ')': +flag and -flag have no other mask", found.start(2) - 1)
        try:
            return read_signed_flags(column.row.format, found[1])
        except ValueError as error:
            raise self.error(str(error), found.start(1)) from None

    def _subfields(self, name: str, pos: int, level: Level) -> int:
        """The inside of `name(sub=value[/mask],...)`.  Where it ended."""
        columns = _COLUMNS[name]
        values, masks = map(list, _START[name])
        seen: set[int] = set()
        first = 0  # index of the first row of the group
        closing = None
        while closing != ")":
            found = _SUB.match(self.text, pos, self._end)
            if found is None:
                empty = _CLOSE.match(self.text, pos, self._end)
                if empty is None or seen:
                    raise self._no_subfield(name, pos)
                pos = empty.end()
                break
            sub, _, mask, closing = found.groups()
            column = columns.get(sub)
            if column is None:
                raise self.error(f"{name} has no {sub}", found.start(1), f"it has {', '.join(columns)}")
            if column.index in seen:
                first = self._next_group(name, first, found)
                seen.clear()
            seen.add(column.index)
            values[first + column.index] = self._value(column, found, 2)
            masks[first + column.index] = column.full if mask is None else self._mask(column, found, 3)
            pos = found.end()
            if closing is None:
                raise self.error(f"expected ',' or ')' in {name}(", pos)
        level.key.sections[name] = tuple(values)
        level.mask.sections[name] = tuple(masks)
        return pos

    def _next_group(self, name: str, first: int, found: re.Match[str]) -> int:
        """A sub-field that was there already begins the next group, where the section has groups."""
        size, total = len(_COLUMNS[name]), len(_START[name][0])
        if size >= total:
            raise self.error(f"{found[1]} is given twice", found.start(1))
        if first + size == total:
            raise FlowInvalid(f"more than {total // size} labels", name, f"at most {total // size} can be matched")
        return first + size

    def _no_subfield(self, name: str, pos: int) -> FlowSyntaxError:
        start = self.blanks(pos)
        if start >= self._end:
            return self.error(f"expected ')' to close {name}(", self._end)
        return self.error(f"expected one of {', '.join(f'{sub}=' for sub in _COLUMNS[name])}", start)

    def _value(self, column: _Column, found: re.Match[str], group: int) -> int:
        try:
            value = column.read(found[group])
        except ValueError as error:
            raise self.error(str(error), found.start(group)) from None
        if value > column.full:
            raise self._too_large(column, value, found.start(group))
        return value

    def _mask(self, column: _Column, found: re.Match[str], group: int) -> int:
        """The mask of that group; none is the exact one."""
        if found[group] is None:
            return column.full
        try:
            mask = column.read_mask(found[group])
        except ValueError as error:
            raise self.error(f"bad mask: {error}", found.start(group)) from None
        if mask > column.full:
            raise self._too_large(column, mask, found.start(group))
        return mask

    def _too_large(self, column: _Column, value: int, pos: int) -> FlowSyntaxError:
        row = column.row
        what = row.name or row.section
        return self.error(
            f"{what}: {value} does not fit into {row.bits} bits", pos, f"at most {row.full} ({row.full:#x})"
        )

    def port(self, word: str, pos: int) -> int:
        """The number of the port with this name, which may be in quotation marks."""
        name = _ESCAPED.sub(r"\1", word[1:-1]) if word[:1] == '"' and len(word) > 1 else word
        if not name:
            raise self.error("expected a port number or name", pos)
        if self._port_number is None:
            raise self.error("expected a port number", pos, "names of ports are not known here")
        number = self._port_number(name)
        if number is None:
            raise NotFound(f"no port is named {name}", "ctl show lists the ports")
        return number
