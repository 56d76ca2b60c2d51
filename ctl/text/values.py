"""How single values are read and written, by `fields.Format`.  Knows no fields and no positions.

Readers take one word and return a number, or raise ValueError with a message for people.  Printers are
made for a row and a mask, since one mask serves many flows: they take the leaf's bytes as they stand in
struct flow_key and return `value` or `value/mask`.
"""

from __future__ import annotations

import math
import re
import socket
from collections.abc import Callable
from typing import Final, Literal

from ctl import abi
from ctl.fields import Field, Format

Reader = Callable[[str], int]
Printer = Callable[[bytes], str]
PortText = Callable[[int], str]  # the text of a port number

CERTAIN: Final = 0xFFFFFFFF  # the probability of 100 %

TCP_FLAGS: Final = ("fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr", "ns", "[200]", "[400]", "[800]")
TCP_LETTERS: Final = ("F", "S", "R", "P", ".", "U", "E", "C")
CT_STATES: Final = ("new", "est", "rel", "rpl", "inv", "trk", "snat", "dnat")
FRAGS: Final = ("no", "first", "later")
ETH_802_2_RAW: Final = b"\x00\x04"


# The names of OVS's actions: of those that this datapath lacks, and in quotation marks when a port has one.
OVS_ACTIONS: Final = frozenset({
    "trunc", "recirc", "userspace", "set", "push_vlan", "pop_vlan", "push_mpls", "pop_mpls", "push_eth", "pop_eth",
    "hash", "dec_ttl", "meter", "sample", "clone", "ct", "ct_clear", "push_nsh", "pop_nsh", "check_pkt_len", "add_mpls",
    "psample", "tnl_push", "tnl_pop", "lb_output",
})  # fmt: skip

_MOST_DIGITS: Final = 40
_ALL32: Final = 0xFFFFFFFF
_NUMBER: Final = re.compile(rf"0[xX][0-9a-fA-F]{{1,{_MOST_DIGITS}}}|0[0-7]{{0,{_MOST_DIGITS}}}")
_PREFIX: Final = re.compile(r"[0-9]{1,3}")
_MAC: Final = re.compile(r"[0-9a-fA-F]{1,2}(?::[0-9a-fA-F]{1,2}){5}")
_SIGNED_FLAGS: Final = re.compile(r"(?:[+-][a-z0-9\[\]]+)+")
_SIGNED_FLAG: Final = re.compile(r"([+-])([a-z0-9\[\]]+)")
_BITS_OF: Final = {
    Format.TCP_FLAGS: {name: 1 << bit for bit, name in enumerate(TCP_FLAGS)},
    Format.CT_STATE: {name: 1 << bit for bit, name in enumerate(CT_STATES)},
}
FLAG_FORMATS: Final = frozenset(_BITS_OF)
_EXPECTED: Final = {
    Format.TCP_FLAGS: f"TCP flags ({' '.join(TCP_FLAGS[:9])})",
    Format.CT_STATE: f"states of a connection ({' '.join(CT_STATES)})",
}


def read_number(word: str) -> int:
    """A number in base 0: 0x is hexadecimal, another leading 0 octal, as strtoul reads them."""
    if word.isascii() and word.isdecimal() and (word[0] != "0" or word == "0") and len(word) <= _MOST_DIGITS:
        return int(word)
    if _NUMBER.fullmatch(word) is None:
        raise ValueError("expected a number")
    return int(word, 16 if word[1] in "xX" else 8)


def read_mac(word: str) -> int:
    """Six octets in hexadecimal with colons between them."""
    if _MAC.fullmatch(word) is None:
        raise ValueError("expected an Ethernet address such as 02:00:00:00:00:01")
    return int(word.replace(":", "") if len(word) == 17 else "".join(part.zfill(2) for part in word.split(":")), 16)


def read_ipv4(word: str) -> int:
    """Four decimal octets with dots between them."""
    try:
        return int.from_bytes(socket.inet_pton(socket.AF_INET, word), "big")
    except (OSError, ValueError):
        raise ValueError("expected an IPv4 address such as 10.0.0.1") from None


def read_ipv6(word: str) -> int:
    """Any of the forms of RFC 4291."""
    try:
        return int.from_bytes(socket.inet_pton(socket.AF_INET6, word), "big")
    except (OSError, ValueError):
        raise ValueError("expected an IPv6 address such as fd00::1") from None


def _read_prefix_or(reader: Reader, bits: int) -> Reader:
    def read(word: str) -> int:
        if _PREFIX.fullmatch(word) and int(word) <= bits:
            return ((1 << int(word)) - 1) << (bits - int(word))
        return reader(word)

    return read


def _read_frag(word: str) -> int:
    if word in FRAGS:
        return FRAGS.index(word)
    raise ValueError("expected no, first or later")


def _flags_reader(kind: Format) -> Reader:
    """Reads a number, or names with | between them; numbers among them, too."""

    def read(word: str) -> int:
        value = 0
        for part in word.split("|"):
            value |= read_number(part) if part[:1].isdigit() else _flag_bit(kind, part)
        return value

    return read


def _read_ct_state(word: str) -> int:
    return _known_states(_flags_reader(Format.CT_STATE)(word))


def _read_ct_state_mask(word: str) -> int:
    mask = read_number(word)
    return mask if mask == _ALL32 else _known_states(mask)


def _known_states(value: int) -> int:
    """A state has 32 bits, of which these mean something (15)."""
    if value >> len(CT_STATES):
        raise ValueError(f"{value:#x} has bits without a name, expected {_EXPECTED[Format.CT_STATE]}")
    return value


def _flag_bit(kind: Format, name: str) -> int:
    if name not in _BITS_OF[kind]:
        raise ValueError(f"expected {_EXPECTED[kind]}, + and - before them for a mask")
    return _BITS_OF[kind][name]


def read_signed_flags(kind: Format, word: str) -> tuple[int, int]:
    """Value and mask of `+syn-ack` or `+trk-inv`."""
    if _SIGNED_FLAGS.fullmatch(word) is None:
        example = "+syn-ack" if kind is Format.TCP_FLAGS else "+trk-inv"
        raise ValueError(f"expected + or - and a flag, such as {example}")
    value = mask = 0
    for sign, name in _SIGNED_FLAG.findall(word):
        bit = _flag_bit(kind, name)
        if mask & bit:
            raise ValueError(f"{name} is given twice")
        mask |= bit
        value |= bit if sign == "+" else 0
    return value, mask


VALUE_READERS: Final[dict[Format, Reader]] = {
    Format.DEC: read_number,
    Format.HEX: read_number,
    Format.ETHERTYPE: read_number,
    Format.MAC: read_mac,
    Format.IPV4: read_ipv4,
    Format.IPV6: read_ipv6,
    Format.FRAG: _read_frag,
    Format.TCP_FLAGS: _flags_reader(Format.TCP_FLAGS),
    Format.PORT: read_number,
    Format.CT_STATE: _read_ct_state,
    Format.PREFIXED: read_number,
}
MASK_READERS: Final[dict[Format, Reader]] = VALUE_READERS | {
    Format.IPV4: _read_prefix_or(read_ipv4, 32),
    Format.IPV6: _read_prefix_or(read_ipv6, 128),
    Format.FRAG: read_number,
    Format.TCP_FLAGS: read_number,
    Format.CT_STATE: _read_ct_state_mask,
}


def probability_of(percent: float) -> int:
    """The probability, in 2^32 - 1 parts, that a percentage is, computed as OVS does."""
    return math.floor(CERTAIN * (percent / 100.0) + 0.5)


def hexadecimal(value: int) -> str:
    """As C's %#x: zero has no prefix."""
    return f"{value:#x}" if value else "0"


def _mac(value: int) -> str:
    return value.to_bytes(6, "big").hex(":")


def _ipv4(value: int) -> str:
    return socket.inet_ntop(socket.AF_INET, value.to_bytes(4, "big"))


def _ipv6(value: int) -> str:
    return socket.inet_ntop(socket.AF_INET6, value.to_bytes(16, "big"))


def _frag(value: int) -> str:
    return FRAGS[value] if value < len(FRAGS) else str(value)


def _flags_shower(kind: Format) -> Callable[[int], str]:
    return lambda value: "|".join(name for name, bit in _BITS_OF[kind].items() if value & bit) or "0"


_VALUE: Final[dict[Format, Callable[[int], str]]] = {
    Format.DEC: str,
    Format.HEX: hexadecimal,
    Format.ETHERTYPE: "0x{:04x}".format,
    Format.MAC: _mac,
    Format.IPV4: _ipv4,
    Format.IPV6: _ipv6,
    Format.FRAG: _frag,
    Format.TCP_FLAGS: _flags_shower(Format.TCP_FLAGS),
    Format.PORT: str,
    Format.CT_STATE: _flags_shower(Format.CT_STATE),
    Format.PREFIXED: hex,
}
_MASK: Final = (
    _VALUE
    | dict.fromkeys((Format.DEC, Format.FRAG, Format.TCP_FLAGS, Format.PORT, Format.CT_STATE), hexadecimal)
    | {Format.PREFIXED: "0x{:08x}".format}
)

# The usual ways straight from the bytes, without a number between.
_FROM_BYTES: Final[dict[Format, Printer]] = {
    Format.MAC: lambda raw: raw.hex(":"),
    Format.IPV4: socket.inet_ntoa,
    Format.IPV6: lambda raw: socket.inet_ntop(socket.AF_INET6, raw),
}


def value_text(row: Field, value: int) -> str:
    """A value by itself."""
    return _VALUE[row.format](value)


def mask_text(row: Field, mask: int) -> str:
    """A mask by itself."""
    return _MASK[row.format](mask)


def printer(row: Field, mask: int) -> Printer:
    """The printer of a row whose mask (as people write it) is ``mask``."""
    if row.format is Format.ETHERTYPE:
        return _ethertype_printer(mask)
    if row.format is Format.TCP_FLAGS and mask not in (0, row.full):
        return _signed_flags_printer(mask)
    if row.format is Format.PORT:
        return _port_printer(mask, row)
    suffix = "" if mask == row.full else "/" + mask_text(row, mask)
    plain = _plain_printer(row)
    if not suffix:
        return plain
    return lambda raw: plain(raw) + suffix


def _plain_printer(row: Field) -> Printer:
    if row.format in _FROM_BYTES:
        return _FROM_BYTES[row.format]
    show = _VALUE[row.format]
    if row.leaf_bits == 8:
        table = [show(value) for value in range(256)]
        return lambda raw: table[raw[0]]
    order: Literal["little", "big"] = "little" if abi.KEY_LEAVES[row.leaf][2] == "little" else "big"
    if not row.packed:
        return lambda raw: show(int.from_bytes(raw, order))
    shift, full = row.shift, row.full
    return lambda raw: show(int.from_bytes(raw, order) >> shift & full)


def _ethertype_printer(mask: int) -> Printer:
    """An 802.2 frame has no type: its text is a value of 0 with a mask."""
    suffix = "/0x0000" if mask == 0 else ""
    no_type = "0" + (suffix or "/0xffff")
    return lambda raw: no_type if raw in (ETH_802_2_RAW, b"\x00\x00") else f"0x{raw.hex()}{suffix}"


def _port_printer(mask: int, row: Field) -> Printer:
    """A key without in_port has a value that is no port, and is written with a mask."""
    absent = f"{row.absent}/{hexadecimal(mask)}"

    def show(raw: bytes) -> str:
        value = int.from_bytes(raw, "little")
        if value == row.absent:
            return absent
        return str(value) if mask else f"{value}/0"

    return show


def _signed_flags_printer(mask: int) -> Printer:
    return lambda raw: signed_flags_text(Format.TCP_FLAGS, int.from_bytes(raw, "big"), mask)


def signed_flags_text(kind: Format, value: int, mask: int) -> str:
    """`+syn-ack`; numbers when the value has bits outside the mask."""
    if value & ~mask:
        return f"{hexadecimal(value)}/{hexadecimal(mask)}"
    return "".join(("+" if value & bit else "-") + name for name, bit in _BITS_OF[kind].items() if mask & bit)
