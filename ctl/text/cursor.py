"""A place in a text that moves on as it is read, and the lists of items that actions and headers are made of.

    items := item { "," item } ")"
    item  := NAME [ "=" VALUE [ "/" MASK ] | "(" ... ")" ]

Positions count characters of the whole text, so that an error can say where.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Mapping, Sequence
from functools import partial
from typing import Final, NamedTuple, TypeVar

from ctl import fields
from ctl.errors import FlowSyntaxError
from ctl.text.values import Reader, hexadecimal, read_ipv4, read_ipv6, read_mac, read_number, value_text

_BLANKS: Final = re.compile(r"\s*")
_WORD: Final = re.compile(r"\s*([^,()/{}\s]*)")
_NAME: Final = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*)?")
_AFTER: Final = re.compile(r"\s*([,)])")
_VALUE_FOLLOWS: Final = re.compile(r"\s*[=(]")
_DIGITS: Final = re.compile(r"0[xX]([0-9a-fA-F]+)")

Show = Callable[[int], str]
T = TypeVar("T")


class Sub(NamedTuple):
    """A sub-field: how it is called, how wide it is, and how a value and a mask are read and written."""

    name: str
    bits: int
    read: Reader = read_number
    show: Show = str
    show_mask: Show = hexadecimal

    @property
    def full(self) -> int:
        """The exact mask."""
        return (1 << self.bits) - 1

    def text(self, value: int, mask: int | None = None) -> str:
        """`name=value`, and `/mask` where it is not exact."""
        suffix = "" if mask in (None, self.full) else f"/{self.show_mask(mask or 0)}"
        return f"{self.name}={self.show(value)}{suffix}"


def _shown_as(section: str) -> Show:
    """How the first sub-field of a key's section is written."""
    return partial(value_text, fields.SECTIONS[section][0])


MAC_TEXT: Final = _shown_as("eth")
IPV4_TEXT: Final = _shown_as("ipv4")
IPV6_TEXT: Final = _shown_as("ipv6")
PREFIXED: Final[Show] = "{:#x}".format  # zero has a prefix too


def decimal(name: str, bits: int) -> Sub:
    """A sub-field in decimal."""
    return Sub(name, bits)


def hexa(name: str, bits: int) -> Sub:
    """A sub-field in hexadecimal, zero without a prefix."""
    return Sub(name, bits, show=hexadecimal)


def prefixed(name: str, bits: int) -> Sub:
    """A sub-field in hexadecimal, zero being 0x0."""
    return Sub(name, bits, show=PREFIXED, show_mask=PREFIXED)


def mac(name: str) -> Sub:
    """An Ethernet address."""
    return Sub(name, 48, read_mac, MAC_TEXT, MAC_TEXT)


def ipv4(name: str) -> Sub:
    """An IPv4 address, its mask dotted."""
    return Sub(name, 32, read_ipv4, IPV4_TEXT, IPV4_TEXT)


def ipv6(name: str) -> Sub:
    """An IPv6 address and a mask like it."""
    return Sub(name, 128, read_ipv6, IPV6_TEXT, IPV6_TEXT)


class Cursor:
    """A place in ``text``, of which nothing from ``end`` on is read."""

    def __init__(self, text: str, pos: int, end: int) -> None:
        self.text = text
        self.pos = pos
        self.end = end

    def error(self, message: str, pos: int | None = None, hint: str = "") -> FlowSyntaxError:
        """An error at a place; by default at the next that is not blank."""
        return FlowSyntaxError(message, self.text, min(self.next if pos is None else pos, len(self.text)), hint)

    @property
    def next(self) -> int:
        """The next place that is not blank, or the end."""
        found = _BLANKS.match(self.text, self.pos, self.end)
        return self.pos if found is None else found.end()

    def take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """What matches here; the cursor is behind it then."""
        found = pattern.match(self.text, self.pos, self.end)
        if found is not None:
            self.pos = found.end()
        return found

    def accept(self, token: str) -> bool:
        """Whether ``token`` is next; then the cursor is behind it."""
        start = self.next
        if not self.text.startswith(token, start, self.end):
            return False
        self.pos = start + len(token)
        return True

    def expect(self, token: str, message: str = "") -> None:
        """Pass over ``token``, which must be next."""
        if not self.accept(token):
            raise self.error(message or f"expected '{token}'")

    def close(self, call: str) -> None:
        """Pass over the parenthesis that ends a call."""
        self.expect(")", f"expected ')' to close {call}(")

    def word(self) -> tuple[str, int]:
        """Characters up to a separator, and where they begin."""
        found = self.take(_WORD)
        return ("", self.pos) if found is None else (found[1], found.start(1))

    def name(self) -> tuple[str, int]:
        """A name, or nothing, and where it begins."""
        found = self.take(_NAME)
        return ("", self.pos) if found is None else (found[1] or "", found.start(1) if found[1] else found.end())

    def converted(self, word: str, pos: int, sub: Sub) -> int:
        """The number that a word at ``pos`` stands for."""
        try:
            value = sub.read(word)
        except ValueError as error:
            raise self.error(str(error), pos) from None
        if value > sub.full:
            message = f"{sub.name}: {value} does not fit into {sub.bits} bits"
            raise self.error(message, pos, f"at most {sub.full} ({sub.full:#x})")
        return value

    def number(self, sub: Sub) -> int:
        """The value that is next."""
        return self.converted(*self.word(), sub)

    def argument(self, call: str, bits: int = 32) -> int:
        """The number of `call(N)`, behind its opening parenthesis, and the closing one."""
        value = self.number(decimal("number", bits))
        self.close(call)
        return value

    def equals(self, name: str, start: int) -> None:
        """The equals sign behind a name."""
        if not self.accept("="):
            raise self.error(f"expected {name}=NUMBER", start)

    def hex_octets(self, expected: str) -> bytes:
        """Octets written as 0x and digits; where their number is odd, a zero is missing in front."""
        word, start = self.word()
        found = _DIGITS.fullmatch(word)
        if found is None:
            raise self.error(f"expected {expected}", start, "0x and hexadecimal digits, two for each octet")
        return bytes.fromhex("0" * (len(found[1]) % 2) + found[1])

    def items(self, call: str, readers: Mapping[str, Callable[[int], T]], *, empty: bool = False) -> dict[str, T]:
        """Items up to the closing parenthesis, in any order, each once.  A reader gets the place of its name.

        ``empty``: there may be none.
        """
        found: dict[str, T] = {}
        if empty and self.accept(")"):
            return found
        while True:
            name, start = self.name()
            if name not in readers:
                raise self.error(f"expected one of {', '.join(readers)} in {call}(", start)
            if name in found:
                raise self.error(f"{name} is given twice", start)
            found[name] = readers[name](start)
            after = self.take(_AFTER)
            if after is None:
                raise self.error(f"expected ',' or ')' in {call}(", self.pos)
            if after[1] == ")":
                return found

    def numbers(self, call: str, subs: Sequence[Sub], defaults: Mapping[str, int] | None = None) -> dict[str, int]:
        """The values of `name=value` items; of those without a default, each must be there."""
        start = self.next
        found = {**(defaults or {}), **self.items(call, {sub.name: self.reader(sub) for sub in subs})}
        self.need(call, [sub.name for sub in subs], found, start)
        return found

    def need(self, call: str, names: Sequence[str], found: Container[str], start: int) -> None:
        """An error at ``start`` for the first name that was not found."""
        for name in names:
            if name not in found:
                raise self.error(f"expected {name}= in {call}(", start)

    def reader(self, sub: Sub) -> Callable[[int], int]:
        """Reads `=value`."""

        def read(start: int) -> int:
            self.equals(sub.name, start)
            return self.number(sub)

        return read

    def flag(self, name: str) -> Callable[[int], bool]:
        """Reads nothing: the name alone says it."""

        def read(start: int) -> bool:
            if _VALUE_FOLLOWS.match(self.text, self.pos, self.end):
                raise self.error(f"{name} has no value", start)
            return True

        return read
