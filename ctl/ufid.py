"""The unique flow identifier: 1 to 16 octets, opaque, chosen by whoever installs the flow.

Text.  Sixteen octets print as OVS prints them, `ufid:` and 8-4-4-4-12 hexadecimal digits, where the
digits are those of four 32-bit words in host (little-endian) order: each group of four octets stands
reversed.  Other lengths print as `ufid:0x` and the octets in the order of the wire.  Two UFIDs are
equal when both their lengths and their octets are.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

MAX_OCTETS: Final = 16


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
        return "".join(f"{word:08x}" for word in struct.unpack("<4I", self.octets))

    def __str__(self) -> str:
        digits = self.hex
        if len(self.octets) != MAX_OCTETS:
            return f"ufid:0x{digits}"
        return f"ufid:{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"

    @classmethod
    def from_text_digits(cls, digits: str) -> Ufid:
        """From 32 hexadecimal digits in text order.  ValueError when they are not that."""
        if len(digits) != 2 * MAX_OCTETS:
            raise ValueError(f"32 hexadecimal digits, not {len(digits)}")
        return cls(
            struct.pack(">4I", *(int.from_bytes(bytes.fromhex(digits[i : i + 8]), "little") for i in (0, 8, 16, 24)))
        )
