"""The unique flow identifier: 1 to 16 octets, opaque, chosen by whoever installs the flow.

Text.  Sixteen octets print as OVS prints them, `ufid:` and 8-4-4-4-12 hexadecimal digits, where the
digits are those of four 32-bit words in host (little-endian) order: each group of four octets stands
reversed.  Other lengths print as `ufid:0x` and the octets in the order of the wire.  Two UFIDs are
equal when both their lengths and their octets are.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import Final

MAX_OCTETS: Final = 16
_WORDS: Final = struct.Struct("<4I")

_OCTETS: Final = re.compile(r"(?:[0-9a-f]{2})+")
_DIGITS: Final = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_PREFIX: Final = re.compile(r"[0-9a-f]{6,31}")


@dataclass(frozen=True, slots=True, order=True)
class Ufid:
    """The octets of a UFID in the order of the wire.  ValueError unless there are 1 to 16."""

    octets: bytes

    def __post_init__(self) -> None:
        if not 1 <= len(self.octets) <= MAX_OCTETS:
            raise ValueError(f"a UFID has 1 to {MAX_OCTETS} octets, not {len(self.octets)}")

    @property
    def hex(self) -> str:
        """The digits in text order, without prefix or dashes."""
        if len(self.octets) != MAX_OCTETS:
            return self.octets.hex()
        return "".join(f"{word:08x}" for word in _WORDS.unpack(self.octets))

    def __str__(self) -> str:
        return f"ufid:{self.bare}"

    @property
    def bare(self) -> str:
        """The text without its prefix."""
        if len(self.octets) != MAX_OCTETS:
            return f"0x{self.octets.hex()}"
        a, b, c, d = _WORDS.unpack(self.octets)
        return f"{a:08x}-{b >> 16:04x}-{b & 0xFFFF:04x}-{c >> 16:04x}-{c & 0xFFFF:04x}{d:08x}"

    @classmethod
    def from_text_digits(cls, digits: str) -> Ufid:
        """From 32 hexadecimal digits in text order.  ValueError when they are not that."""
        if len(digits) != 2 * MAX_OCTETS:
            raise ValueError(f"32 hexadecimal digits, not {len(digits)}")
        return cls(struct.pack("<4I", *struct.unpack(">4I", bytes.fromhex(digits))))

    @classmethod
    def from_text(cls, text: str) -> Ufid:
        """From any written form, with or without `ufid:`, in any case.  ValueError when it is none.

        Dashes may be left out of the 32 digits.  After 0x stand 1 to 16 octets in the order of the wire.
        """
        digits = text.lower().removeprefix("ufid:")
        if digits.startswith("0x"):
            if _OCTETS.fullmatch(digits, 2) is None:
                raise ValueError("expected an even number of hexadecimal digits after 0x")
            return cls(bytes.fromhex(digits[2:]))
        if _DIGITS.fullmatch(digits) is None:
            raise ValueError("expected 32 hexadecimal digits (8-4-4-4-12), or 0x and 1 to 16 octets")
        return cls.from_text_digits(digits.replace("-", ""))


@dataclass(frozen=True, slots=True)
class UfidPrefix:
    """The first digits, in lower case and text order, of UFIDs of 16 octets.  ValueError unless 6 to 31."""

    digits: str

    def __post_init__(self) -> None:
        if _PREFIX.fullmatch(self.digits) is None:
            raise ValueError("a UFID is abbreviated to 6 to 31 hexadecimal digits")

    def matches(self, ufid: Ufid) -> bool:
        """Whether ``ufid`` has 16 octets and begins so."""
        return len(ufid.octets) == MAX_OCTETS and ufid.hex.startswith(self.digits)
