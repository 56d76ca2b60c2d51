"""A small language to pick flows from a dump: `where='packets > 100 and ipv4.dst in 10.0.0.0/8'`.

    condition   = or-parts joined by `or`; each is joined by `and` of parts; `not PART`; `(condition)`
    part        = NUMBER-FIELD (== != < <= > >=) NUMBER | NUMBER-FIELD in FIRST..LAST
                | `flags has` FLAGS | `actions has` (NAME | PORT) | `ufid` (== !=) (UFID | DIGITS | none)
                | `dp` (== !=) (xdp | tc) | `offloaded`
                | KEY-FIELD (== != < <= > >=) VALUE | KEY-FIELD in (VALUE/MASK | FIRST..LAST) | KEY-FIELD

NUMBER-FIELDs are packets, bytes, generation, and used: seconds since the last packet, where `never` is longer
ago than any time.  A KEY-FIELD is called as in the text of flows, `ipv4.dst`, `in_port`, `mpls.label` (the outer
one).  Alone it says that the flow compares it.

A comparison of a key field holds if it holds for every packet that the flow can match.  So `tcp.dst < 1024` wants a
flow whose ports all lie below that, and a flow without such a field passes neither that nor `tcp.dst != 80`.

Nothing of a text is ever executed: it becomes functions of this module.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, NoReturn, TypeVar

from ctl import fields
from ctl.action import Action, Output, walk
from ctl.errors import FlowSyntaxError
from ctl.fields import Field, Format
from ctl.flow import Flow
from ctl.outline import outline
from ctl.text.values import FLAG_FORMATS, MASK_READERS, OVS_ACTIONS, TCP_FLAGS, VALUE_READERS, read_signed_flags
from ctl.ufid import Ufid, UfidPrefix

_T = TypeVar("_T")
PortNumber = Callable[[str], int | None]
Test = Callable[[Flow, int], bool]  # of a flow, and CLOCK_MONOTONIC in milliseconds

MAX_DEPTH: Final = 32  # parentheses and `not` within one another
_TOKEN: Final = re.compile(r'\s*("[^"]*"|[()]|[=!<>]=?|[^\s()=!<>"]+)')
_OPERATORS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
_AMOUNT: Final = re.compile(r"(\d+(?:\.\d+)?)(k|M|G)?")
_TIME: Final = re.compile(r"(\d+(?:\.\d+)?)(s|ms)?")
_FACTORS: Final = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "s": 1000, "ms": 1}


def _age_ms(flow: Flow, now_ms: int) -> float:
    return math.inf if flow.stats.used_ms is None else max(now_ms - flow.stats.used_ms, 0)


NUMBERS: Final[dict[str, Callable[[Flow, int], float]]] = {
    "packets": lambda flow, _: flow.stats.packets,
    "bytes": lambda flow, _: flow.stats.bytes,
    "used": _age_ms,
    "generation": lambda flow, _: flow.generation,
}
_HELP: Final = f"{', '.join(NUMBERS)}, flags, actions, ufid, dp, offloaded, or a field such as ipv4.dst"

KEY_FIELDS: Final[dict[str, Field]] = {
    f"{row.section}.{row.name}" if row.name else row.section: row for row in fields.ROWS if not row.group
}


@dataclass(frozen=True, slots=True)
class _Span:
    """What a flow says of a field: its bits, which of them it compares, and the field's width."""

    value: int
    mask: int
    full: int

    @property
    def least(self) -> int:
        """The lowest number that a packet of the flow can have there."""
        return self.value

    @property
    def most(self) -> int:
        """The highest."""
        return self.value | self.full & ~self.mask


def _span(flow: Flow, row: Field) -> _Span | None:
    """None when packets of this flow have no such field, or need not have it."""
    masked = flow.match.masked
    is_there = (
        masked["vlan_tci"]
        if row.section == "vlan"
        else any(row.section in level.sections for level in outline(masked).levels)
    )
    if not is_there:
        return None
    full = row.full & ((1 << row.leaf_bits) - 1)
    mask = flow.match.mask[row.leaf] >> row.shift & full
    return _Span(masked[row.leaf] >> row.shift & full, mask, full)


def parse_where(text: str, port_number: PortNumber | None = None) -> Test:
    """The test that a text describes.  FlowSyntaxError with the place.

    ``port_number`` gives the number for a port's name, or None when there is no such port.
    """
    parser = _Parser(text, port_number)
    test = parser.condition()
    parser.end()
    return test


def sort_key(name: str) -> Callable[[Flow, int], tuple[bool, float | str]] | None:
    """What flows are sorted by, given CLOCK_MONOTONIC in milliseconds; None for an unknown name.

    Flows that lack it come last.
    """
    if name in NUMBERS:
        number = NUMBERS[name]
        return lambda flow, now_ms: (False, number(flow, now_ms))
    if name == "ufid":
        return lambda flow, _: (flow.ufid is None, flow.ufid.hex if flow.ufid else "")
    if name == "dp":
        return lambda flow, _: (False, _dp(flow))
    if name not in KEY_FIELDS:
        return None
    row = KEY_FIELDS[name]

    def of(flow: Flow, _: int) -> tuple[bool, float | str]:
        span = _span(flow, row)
        return (True, 0) if span is None or not span.mask else (False, span.value)

    return of


def _dp(flow: Flow) -> str:
    return "tc" if flow.not_xdp else "xdp"


class _Parser:
    """One text, and how far it has been read."""

    def __init__(self, text: str, port_number: PortNumber | None) -> None:
        self._text = text
        self._port_number = port_number
        self._tokens = self._split()
        self._next = 0
        self._depth = 0

    def _split(self) -> list[tuple[str, int]]:
        tokens, at, end = [], 0, len(self._text.rstrip())
        while at < end:
            found = _TOKEN.match(self._text, at)
            if found is None:
                self._refuse("a closing quotation mark is missing", len(self._text) - len(self._text[at:].lstrip()))
            tokens.append((found[1], found.start(1)))
            at = found.end()
        return tokens

    # --- conditions ------------------------------------------------------------------------------

    def condition(self) -> Test:
        parts = [self._conjunction()]
        while self._takes("or"):
            parts.append(self._conjunction())
        return parts[0] if len(parts) == 1 else lambda flow, now: any(part(flow, now) for part in parts)

    def _conjunction(self) -> Test:
        parts = [self._negation()]
        while self._takes("and"):
            parts.append(self._negation())
        return parts[0] if len(parts) == 1 else lambda flow, now: all(part(flow, now) for part in parts)

    def _negation(self) -> Test:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            self._refuse(f"more than {MAX_DEPTH} levels", self._place())
        if self._takes("not"):
            part = self._negation()
            test: Test = lambda flow, now: not part(flow, now)  # noqa: E731 - as its neighbours are written
        elif self._takes("("):
            test = self.condition()
            if not self._takes(")"):
                self._refuse("expected and, or, or a closing parenthesis", self._place())
        else:
            test = self._part()
        self._depth -= 1
        return test

    def end(self) -> None:
        """Nothing may follow."""
        if self._next < len(self._tokens):
            self._refuse("expected and, or, or the end", self._place())

    # --- parts -----------------------------------------------------------------------------------

    def _part(self) -> Test:
        name, place = self._token("expected a condition", _HELP)
        words = {"flags": self._of_flags, "actions": self._of_actions, "ufid": self._of_ufid, "dp": self._of_dp}
        if name in words:
            return words[name]()
        if name in NUMBERS:
            return self._of_number(name)
        if name in KEY_FIELDS:
            return self._of_field(KEY_FIELDS[name])
        if name not in fields.SECTIONS and name != "offloaded":
            self._refuse(f"{name!r} is nothing that a flow has", place, _HELP)
        rows = [row for row in fields.SECTIONS.get(name, ()) if not row.group]
        return lambda flow, _: any(_compares(flow, row) for row in rows) if rows else flow.not_xdp is None

    def _of_number(self, name: str) -> Test:
        number, word = NUMBERS[name], self._operator(in_too=True)
        read = self._age if name == "used" else self._amount
        if word == "in":
            first, last = self._ends()
            low, high = read(*first), read(*last)
            return lambda flow, now: low <= number(flow, now) <= high
        compare, wanted = _OPERATORS[word], read(*self._token(f"expected what {name} is compared with"))
        return lambda flow, now: compare(number(flow, now), wanted)

    def _amount(self, word: str, place: int) -> float:
        found = _AMOUNT.fullmatch(word)
        if found is None:
            self._refuse("expected a number, such as 100 or 1.5M", place)
        return float(found[1]) * _FACTORS[found[2] or ""]

    def _age(self, word: str, place: int) -> float:
        if word == "never":
            return math.inf
        found = _TIME.fullmatch(word)
        if found is None:
            self._refuse("expected seconds, such as 5, 0.5s or 20ms, or never", place)
        return float(found[1]) * _FACTORS[found[2] or "s"]

    def _of_field(self, row: Field) -> Test:
        word = self._operator(in_too=True, may_end=True)
        if not word:
            return lambda flow, _: _compares(flow, row)
        if word == "in":
            return self._of_field_in(row)
        wanted, compare = self._value(row, *self._token("expected a value")), _OPERATORS[word]

        def test(flow: Flow, _: int) -> bool:
            span = _span(flow, row)
            if span is None:
                return False
            if word == "!=":
                return bool((span.value ^ wanted) & span.mask)
            return compare(span.least, wanted) and compare(span.most, wanted)

        return test

    def _of_field_in(self, row: Field) -> Test:
        word, place = self._token("expected VALUE/MASK or FIRST..LAST")
        if ".." in word:
            self._next -= 1
            low, high = (self._value(row, *end) for end in self._ends())
            return lambda flow, _: (span := _span(flow, row)) is not None and low <= span.least and span.most <= high
        if row.format in FLAG_FORMATS and word[0] in "+-":
            value, mask = self._read(partial(read_signed_flags, row.format), word, place)
        else:
            written, slash, mask_written = word.partition("/")
            value = self._value(row, written, place)
            mask = self._read(MASK_READERS[row.format], mask_written, place + len(written) + 1) if slash else row.full

        def test(flow: Flow, _: int) -> bool:
            span = _span(flow, row)
            wanted = mask & span.full if span else 0
            return span is not None and span.mask & wanted == wanted and not (span.value ^ value) & wanted

        return test

    def _value(self, row: Field, word: str, place: int) -> int:
        if row.format is Format.PORT and not word[:1].isdigit():
            return self._port(word, place)
        value = self._read(VALUE_READERS[row.format], word, place)
        if value > row.full:
            self._refuse(f"a number of up to {row.bits} bits is expected", place)
        return value

    def _of_flags(self) -> Test:
        self._has()
        word, place = self._token("expected flags", "|".join(TCP_FLAGS[:5]))
        flags = self._read(VALUE_READERS[Format.TCP_FLAGS], word, place)
        return lambda flow, _: flow.stats.tcp_flags & flags == flags

    def _of_actions(self) -> Test:
        self._has()
        word, place = self._token("expected the name of an action, or a port")
        if word == "drop":
            return lambda flow, _: not flow.actions or any(_name(action) == word for action in walk(flow.actions))
        if word == "output" or word in OVS_ACTIONS:
            return lambda flow, _: any(_name(action) == word for action in walk(flow.actions))
        sent = Output(int(word) if word.isdecimal() else self._port(word, place))
        return lambda flow, _: sent in walk(flow.actions)

    def _of_ufid(self) -> Test:
        same = self._operator(only=("==", "!=")) == "=="
        word, place = self._token("expected a UFID, the first 6 digits or more of one, or none")
        if word == "none":
            return lambda flow, _: (flow.ufid is None) == same
        digits = word.lower()
        if re.fullmatch(r"[0-9a-f]{6,31}", digits):
            prefix = UfidPrefix(digits)
            return lambda flow, _: (flow.ufid is not None and prefix.matches(flow.ufid)) == same
        wanted = self._read(Ufid.from_text, word, place)
        return lambda flow, _: (flow.ufid == wanted) == same

    def _of_dp(self) -> Test:
        same = self._operator(only=("==", "!=")) == "=="
        word, place = self._token("expected xdp or tc")
        if word not in ("xdp", "tc"):
            self._refuse("expected xdp or tc", place)
        return lambda flow, _: (_dp(flow) == word) == same

    # --- words -----------------------------------------------------------------------------------

    def _port(self, word: str, place: int) -> int:
        port = self._port_number(word.strip('"')) if self._port_number else None
        if port is None:
            self._refuse(f"there is no port {word}, nor an action of that name", place, "ctl show lists the ports")
        return port

    def _ends(self) -> tuple[tuple[str, int], tuple[str, int]]:
        """The ends of FIRST..LAST, each with its place."""
        word, place = self._token("expected FIRST..LAST")
        first, dots, last = word.partition("..")
        if not dots:
            self._refuse("expected FIRST..LAST, such as 80..90", place)
        return (first, place), (last, place + len(first) + 2)

    def _operator(self, *, in_too: bool = False, may_end: bool = False, only: tuple[str, ...] = ()) -> str:
        known = only or (*_OPERATORS, *(("in",) if in_too else ()))
        word = self._tokens[self._next][0] if self._next < len(self._tokens) else ""
        if word in known:
            self._next += 1
            return word
        if not may_end or word not in ("", ")", "and", "or"):
            self._refuse(f"expected {' '.join(known)}", self._place())
        return ""

    def _has(self) -> None:
        if not self._takes("has"):
            self._refuse("expected has", self._place())

    def _takes(self, word: str) -> bool:
        if self._next < len(self._tokens) and self._tokens[self._next][0] == word:
            self._next += 1
            return True
        return False

    def _token(self, missing: str, hint: str = "") -> tuple[str, int]:
        """The next word, and where it is."""
        if self._next == len(self._tokens) or self._tokens[self._next][0] in "()":
            self._refuse(missing, self._place(), hint)
        self._next += 1
        return self._tokens[self._next - 1]

    def _place(self) -> int:
        return self._tokens[self._next][1] if self._next < len(self._tokens) else len(self._text.rstrip())

    def _read(self, reader: Callable[[str], _T], word: str, place: int) -> _T:
        try:
            return reader(word)
        except ValueError as error:
            self._refuse(str(error), place)

    def _refuse(self, message: str, place: int, hint: str = "") -> NoReturn:
        raise FlowSyntaxError(message, self._text, place, hint)


def _compares(flow: Flow, row: Field) -> bool:
    span = _span(flow, row)
    return span is not None and bool(span.mask)


def _name(action: Action) -> str:
    return action.name.partition("(")[0]
