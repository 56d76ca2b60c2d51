"""Netlink attributes: a length and a type of 16 bits each, the octets, and zeros up to a multiple of four.

Numbers are in host order, but where a layout says otherwise.  Every refusal is a FlowInvalid that names the
attribute and the octet of the message where it begins, counted as NLMSGERR_ATTR_OFFS does: from the netlink
header on.
"""

from __future__ import annotations

import errno
import struct
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final, Literal

from ctl.codec.numbers import NLA_TYPE_MASK
from ctl.errors import FlowInvalid

HEADER: Final = struct.Struct("=HH")  # length with this header, type
MOST: Final = 0xFFFF - HEADER.size  # octets that an attribute can have
HOST: Final[Literal["little", "big"]] = sys.byteorder


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute.  ``at`` is the octet of the message where its header begins."""

    number: int
    octets: bytes
    at: int

    def refused(self, name: str, why: str, hint: str = "", *, errno: int | None = None) -> FlowInvalid:
        """The error for this attribute, whose name in the flow language is ``name``."""
        return FlowInvalid(f"{why} (at octet {self.at} of the message)", name, hint, errno=errno)

    def sized(self, name: str, *sizes: int) -> bytes:
        """Its octets, which must be as many as one of ``sizes``."""
        if len(self.octets) not in sizes:
            wanted = " or ".join(str(size) for size in sizes)
            raise self.refused(name, f"has {len(self.octets)} octets instead of {wanted}")
        return self.octets

    def uint(self, name: str, size: int, order: Literal["little", "big"] = HOST) -> int:
        """Its octets as one number of exactly ``size`` octets."""
        return int.from_bytes(self.sized(name, size), order)

    def flag(self, name: str) -> bool:
        """True: it is there, which is all that it says."""
        self.sized(name, 0)
        return True

    def inside(self, name: str) -> Iterator[Attribute]:
        """The attributes nested in it."""
        return attributes(self.octets, name, self.at + HEADER.size)


def attributes(octets: bytes, name: str, at: int) -> Iterator[Attribute]:
    """The attributes that ``octets`` consist of.  ``name`` is theirs together; they begin at octet ``at``.

    FlowInvalid when the octets do not come out even; zeros behind the last one may be missing.
    """
    place = 0
    while place < len(octets):
        left = len(octets) - place
        size, kind = HEADER.unpack_from(octets, place) if left >= HEADER.size else (0, 0)
        if not HEADER.size <= size <= left:
            why = f"{left} octets at the end are no attribute (at octet {at + place} of the message)"
            raise FlowInvalid(why, name)
        yield Attribute(kind & NLA_TYPE_MASK, octets[place + HEADER.size : place + size], at + place)
        place += size + -size % 4


def by_number(found: Iterator[Attribute], names: dict[int, str], within: str) -> dict[int, Attribute]:
    """The attributes by their numbers, which must be among those of ``names``, each at most once."""
    given: dict[int, Attribute] = {}
    for attribute in found:
        name = names.get(attribute.number)
        if name is None:
            raise attribute.refused(within, f"has an unknown attribute, number {attribute.number}")
        if attribute.number in given:
            raise attribute.refused(name, "given twice")
        given[attribute.number] = attribute
    return given


def needed(given: dict[int, Attribute], numbers: Collection[int], names: dict[int, str], outer: Attribute) -> None:
    """FlowInvalid for the first of ``numbers`` that is missing in ``outer``."""
    for number in numbers:
        if number not in given:
            raise outer.refused(names[number], "missing")


def size_of(octets: int) -> int:
    """The octets that an attribute of that many takes in a message."""
    return HEADER.size + octets + -octets % 4


def pack(number: int, octets: bytes = b"") -> bytes:
    """An attribute.  FlowInvalid (EMSGSIZE) for more octets than one can have."""
    if len(octets) > MOST:
        why = f"attribute {number} has {len(octets)} octets, at most {MOST} are possible"
        raise FlowInvalid(why, "message", errno=errno.EMSGSIZE)
    return HEADER.pack(HEADER.size + len(octets), number) + octets + bytes(-len(octets) % 4)


def pack_uint(number: int, value: int, size: int, order: Literal["little", "big"] = HOST) -> bytes:
    """An attribute that is one number."""
    return pack(number, value.to_bytes(size, order))


def nest(number: int, *inner: bytes) -> bytes:
    """An attribute that has others inside."""
    return pack(number, b"".join(inner))
