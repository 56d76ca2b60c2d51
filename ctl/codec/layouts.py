"""How the sections of a key lie in their attributes: one row each, for both directions and for set actions.

A layout names the section's rows in the order in which their octets come; the names and what they mean are
in `ctl.fields`.  Octets stand in network order, except for metadata, which never was in a packet and stands
in host order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from ctl import fields
from ctl.attrs import Values
from ctl.codec.nla import HOST, Attribute
from ctl.codec.numbers import KeyAttr
from ctl.fields import Field

MPLS_ENTRY: Final = 4  # octets of a label stack entry (RFC 3032)


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the rows of a section are.  ``parts``: their names and sizes; the rest of ``size`` is zero.

    No parts: all rows are bits of one number, whose first octets are sent.
    """

    number: KeyAttr
    size: int
    parts: tuple[tuple[str, int], ...] = ()
    order: Literal["little", "big"] = "big"


def _one(number: KeyAttr, size: int, order: Literal["little", "big"] = HOST) -> Layout:
    return Layout(number, size, (("", size),), order)


def _ports(number: KeyAttr, size: int = 2, names: tuple[str, str] = ("src", "dst")) -> Layout:
    return Layout(number, 2 * size, tuple((name, size) for name in names))


LAYOUTS: Final[dict[str, Layout]] = {
    "recirc_id": _one(KeyAttr.RECIRC_ID, 4),
    "dp_hash": _one(KeyAttr.DP_HASH, 4),
    "skb_priority": _one(KeyAttr.PRIORITY, 4),
    "in_port": _one(KeyAttr.IN_PORT, 4),
    "skb_mark": _one(KeyAttr.SKB_MARK, 4),
    "eth": _ports(KeyAttr.ETHERNET, 6),
    "eth_type": _one(KeyAttr.ETHERTYPE, 2, "big"),
    "vlan": Layout(KeyAttr.VLAN, 2),
    "ipv4": Layout(KeyAttr.IPV4, 12, (("src", 4), ("dst", 4), ("proto", 1), ("tos", 1), ("ttl", 1), ("frag", 1))),
    "ipv6": Layout(
        KeyAttr.IPV6,
        40,
        (("src", 16), ("dst", 16), ("label", 4), ("proto", 1), ("tclass", 1), ("hlimit", 1), ("frag", 1)),
    ),
    "arp": Layout(KeyAttr.ARP, 24, (("sip", 4), ("tip", 4), ("op", 2), ("sha", 6), ("tha", 6))),
    "mpls": Layout(KeyAttr.MPLS, fields.MPLS_LABELS * MPLS_ENTRY),
    "tcp": _ports(KeyAttr.TCP),
    "tcp_flags": _one(KeyAttr.TCP_FLAGS, 2, "big"),
    "udp": _ports(KeyAttr.UDP),
    "sctp": _ports(KeyAttr.SCTP),
    "icmp": _ports(KeyAttr.ICMP, 1, ("type", "code")),
    "icmpv6": _ports(KeyAttr.ICMPV6, 1, ("type", "code")),
    "nd": Layout(KeyAttr.ND, 28, (("target", 16), ("sll", 6), ("tll", 6))),
    "ct_state": _one(KeyAttr.CT_STATE, 4),
    "ct_zone": _one(KeyAttr.CT_ZONE, 2),
    "ct_mark": _one(KeyAttr.CT_MARK, 4),
    "ct_label": _one(KeyAttr.CT_LABELS, 16),
    "ct_tuple4": Layout(
        KeyAttr.CT_ORIG_TUPLE_IPV4, 16, (("src", 4), ("dst", 4), ("tp_src", 2), ("tp_dst", 2), ("proto", 1))
    ),
    "ct_tuple6": Layout(
        KeyAttr.CT_ORIG_TUPLE_IPV6, 40, (("src", 16), ("dst", 16), ("src_port", 2), ("dst_port", 2), ("proto", 1))
    ),
    "packet_type": _ports(KeyAttr.PACKET_TYPE, 2, ("ns", "id")),
    "nd_ext": Layout(KeyAttr.ND_EXTENSIONS, 8, (("nd_reserved", 4), ("nd_options_type", 1))),
}

SECTION_OF: Final = {int(layout.number): name for name, layout in LAYOUTS.items()}


def encode(name: str, values: Sequence[int]) -> bytes:
    """The octets of a section.

    Of a number that is wider than its place the lower bits are sent, so that a mask may be that of a wider
    leaf.  Label stack entries of zeros at the end are left out, but for the first.
    """
    octets = _encode(name, values, fields.ALL_SECTIONS[name])
    return octets[: MPLS_ENTRY * labels(octets)] if name == "mpls" else octets


def encode_set(name: str, values: Sequence[int]) -> bytes:
    """The octets of the value, or the mask, of a set action, which has one label stack entry."""
    octets = _encode(name, values, fields.SET_ROWS[name])
    return octets[:MPLS_ENTRY] if name == "mpls" else octets


def _encode(name: str, values: Sequence[int], rows: tuple[Field, ...]) -> bytes:
    layout = LAYOUTS[name]
    if not layout.parts:
        return sum(value << row.shift for row, value in zip(rows, values, strict=True)).to_bytes(layout.size, "big")
    by_name = {row.name: value for row, value in zip(rows, values, strict=True)}
    parts = ((by_name[part] & ((1 << 8 * size) - 1)).to_bytes(size, layout.order) for part, size in layout.parts)
    return b"".join(parts).ljust(layout.size, b"\0")


def labels(octets: bytes) -> int:
    """How many label stack entries there are up to the last that is not zero; at least one."""
    return max(1, -(-len(octets.rstrip(b"\0")) // MPLS_ENTRY))


def decode(name: str, attribute: Attribute) -> tuple[int, ...]:
    """The numbers of a section's rows.  FlowInvalid for a wrong size."""
    return _decode(name, attribute.sized(name, *_sizes(name)), fields.ALL_SECTIONS[name])


def decode_set(name: str, attribute: Attribute, *, masked: bool) -> tuple[Values, Values | None]:
    """Value and mask of a set action, which has one label stack entry."""
    size = MPLS_ENTRY if name == "mpls" else LAYOUTS[name].size
    octets = attribute.sized(name, 2 * size if masked else size)
    rows = fields.SET_ROWS[name]
    return _decode(name, octets[:size], rows), _decode(name, octets[size:], rows) if masked else None


def _sizes(name: str) -> tuple[int, ...]:
    """The sizes that a section's attribute may have."""
    size = LAYOUTS[name].size
    return tuple(range(MPLS_ENTRY, size + 1, MPLS_ENTRY)) if name == "mpls" else (size,)


def _decode(name: str, octets: bytes, rows: tuple[Field, ...]) -> Values:
    layout = LAYOUTS[name]
    if not layout.parts:
        number = int.from_bytes(octets.ljust(layout.size, b"\0"), "big")
        return tuple(number >> row.shift & row.full for row in rows)
    by_name, place = {}, 0
    for part, size in layout.parts:
        by_name[part] = int.from_bytes(octets[place : place + size], layout.order)
        place += size
    return tuple(by_name[row.name] for row in rows)
