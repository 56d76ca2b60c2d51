"""The attributes of keys and masks, to and from `KeyAttrs`; and from the bits of a key.

What a key must have is for `ctl.validate` to say.  Here a list of attributes must only be one: known
numbers, each at most once on its level, of the right size, and no octets left over.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from ctl import abi, fields
from ctl.attrs import KeyAttrs, Values
from ctl.codec import layouts, nsh, tunnel
from ctl.codec.layouts import LAYOUTS, SECTION_OF
from ctl.codec.nla import HEADER, Attribute, attributes, by_number, nest, pack
from ctl.codec.numbers import KeyAttr
from ctl.fields import Field
from ctl.flow import FlowKey, Match
from ctl.validate import ANY_PORT, ETH_802_2, TPIDS, sections_of

_NAMES: Final = {
    int(KeyAttr.ENCAP): "encap",
    int(KeyAttr.TUNNEL): "tunnel",
    int(KeyAttr.NSH): "nsh",
} | SECTION_OF
# The kernel has none of these; OVS's userspace datapath writes them.
_USERSPACE: Final = (KeyAttr.PACKET_TYPE, KeyAttr.ND_EXTENSIONS)
_METADATA: Final = ("recirc_id", "dp_hash", "skb_priority", "in_port", "skb_mark")
_ALL16: Final = 0xFFFF
_ALL32: Final = 0xFFFFFFFF


def decode_key(octets: bytes, at: int = 0, *, userspace: bool = False) -> KeyAttrs:
    """The attributes of a key.  ``at``: the octet of the message where they begin.  FlowInvalid.

    ``userspace``: packet_type and nd_ext are taken, too, which only OVS's userspace datapath has.
    """
    return _decode(octets, _Reading("key", userspace), at, 0)


def decode_mask(octets: bytes, key: KeyAttrs, at: int = 0, *, userspace: bool = False) -> KeyAttrs:
    """The attributes of the mask of ``key``.  Those whose bits are all zero are as if they were not there."""
    return _decode(octets, _Reading("mask", userspace, key), at, 0)


class _Reading(NamedTuple):
    """What is read: a key, or the mask of one."""

    within: str
    userspace: bool
    key: KeyAttrs | None = None

    @property
    def is_mask(self) -> bool:
        return self.key is not None


def _decode(octets: bytes, reading: _Reading, at: int, depth: int) -> KeyAttrs:
    attrs = KeyAttrs()
    found = attributes(octets, reading.within, at)
    if reading.is_mask:
        found = (attribute for attribute in found if _is_encap(attribute) or any(attribute.octets))
    given = by_number(found, _NAMES, reading.within)
    encap = given.pop(KeyAttr.ENCAP, None)
    _decode_headers(given, attrs, reading)
    for number, attribute in given.items():
        name = SECTION_OF[number]
        if number in _USERSPACE and not reading.userspace:
            raise attribute.refused(name, "is of OVS's userspace datapath only")
        values = layouts.decode(name, attribute)
        attrs.sections[name] = _fitting(name, values) if reading.is_mask else values
    # An empty encap of a mask says something beside the mask of a tag only.
    if encap is not None and (encap.octets or not reading.is_mask or "vlan" in attrs.sections):
        if depth == len(fields.TAGS):
            raise encap.refused("encap", "a third tag cannot be matched")
        attrs.encap = _decode(encap.octets, reading, encap.at + HEADER.size, depth + 1)
    return attrs


def _decode_headers(given: dict[int, Attribute], attrs: KeyAttrs, reading: _Reading) -> None:
    """Take tunnel and nsh out of ``given``."""
    outer = given.pop(KeyAttr.TUNNEL, None)
    if outer is not None:
        of_key = None if reading.key is None else reading.key.tunnel
        attrs.tunnel = tunnel.decode(outer, is_mask=reading.is_mask, key=of_key)
    header = given.pop(KeyAttr.NSH, None)
    if header is not None:
        attrs.nsh = nsh.decode(header, is_mask=reading.is_mask)


def _is_encap(attribute: Attribute) -> bool:
    return attribute.number == KeyAttr.ENCAP


def _fitting(name: str, mask: Values) -> Values:
    """A mask as people write it: some fields have fewer bits than their attribute."""
    return tuple(bits & row.full for row, bits in zip(fields.ALL_SECTIONS[name], mask, strict=True))


def encode_key(attrs: KeyAttrs) -> bytes:
    """The attributes of a key in the order in which they are held, but a tunnel first and nsh and encap last."""
    return _encode(attrs, is_mask=False)


def encode_mask(attrs: KeyAttrs) -> bytes:
    """The attributes of a mask, likewise."""
    return _encode(attrs, is_mask=True)


def _encode(attrs: KeyAttrs, *, is_mask: bool) -> bytes:
    parts = []
    if attrs.tunnel is not None:
        parts.append(nest(KeyAttr.TUNNEL, tunnel.encode(attrs.tunnel, is_mask=is_mask)))
    parts += [pack(LAYOUTS[name].number, layouts.encode(name, values)) for name, values in attrs.sections.items()]
    if attrs.nsh is not None:
        parts.append(nest(KeyAttr.NSH, nsh.encode(attrs.nsh)))
    if attrs.encap is not None:
        parts.append(nest(KeyAttr.ENCAP, _encode(attrs.encap, is_mask=is_mask)))
    return b"".join(parts)


# --- from the bits of a key, as the kernel answers -------------------------------------------------


def key_attrs(key: FlowKey) -> KeyAttrs:
    """All attributes of a key, in the kernel's order."""
    return _attrs(key, key, is_mask=False)


def mask_attrs(match: Match) -> KeyAttrs:
    """All attributes of a mask, in the kernel's order: those that the key has."""
    return _attrs(match.key, match.mask, is_mask=True)


def _attrs(key: FlowKey, bits: FlowKey, *, is_mask: bool) -> KeyAttrs:
    """The attributes that ``key`` has, with the numbers of ``bits``, which is the key or its mask."""
    outer = KeyAttrs({name: _values(name, bits) for name in _METADATA})
    _set_port(outer, key, bits, is_mask=is_mask)
    level = outer
    if key["l2_kind"] == abi.L2Kind.L2_ETHERNET:
        level.sections["eth"] = _values("eth", bits)
        for depth, tag in enumerate(fields.TAGS):
            truncated = not key[tag.rows[0].leaf]
            if truncated and key["eth_type"] not in TPIDS:
                break
            tpid = _ALL16 if is_mask else key["eth_type" if truncated else tag.type.leaf]
            level.sections["eth_type"] = (tpid,)
            level.sections["vlan"] = tuple(_number(row, bits) for row in fields.TAGS[depth].rows)
            level.encap = KeyAttrs()
            level = level.encap
            if truncated:
                return outer
    level.sections |= _upper(key, bits, is_mask=is_mask)
    return outer


def _set_port(attrs: KeyAttrs, key: FlowKey, bits: FlowKey, *, is_mask: bool) -> None:
    """The port's mask has 32 bits or none.  Of a key that names no port, it is there if it looks at it."""
    if key["in_port"] == ANY_PORT and not (is_mask and bits["in_port"]):
        del attrs.sections["in_port"]
    elif is_mask:
        attrs.sections["in_port"] = (_ALL32 if bits["in_port"] else 0,)


def _upper(key: FlowKey, bits: FlowKey, *, is_mask: bool) -> dict[str, Values]:
    """The sections behind the tags.

    An 802.2 frame has no type, and a mask of one nevertheless.  A masked key whose type is wild has none left:
    where the kernel sends 0, which no reader takes, we send what reads as any type.
    """
    eth_type = key["eth_type"]
    ethernet = key["l2_kind"] == abi.L2Kind.L2_ETHERNET
    if ethernet and eth_type in (0, ETH_802_2):
        return {"eth_type": (bits["eth_type"],)} if is_mask and bits["eth_type"] else {}
    if not eth_type:
        return {"eth_type": (0 if is_mask else _ALL16,)}
    upper = sections_of(eth_type, key["ip_proto"], key["ip_frag"], key["tp_src"])
    return {name: _values(name, bits) for name in ("eth_type", *upper)}


def _values(name: str, bits: FlowKey) -> Values:
    return tuple(_number(row, bits) for row in fields.SECTIONS[name])


def _number(row: Field, bits: FlowKey) -> int:
    """A row's number: of a leaf that it has for itself all bits, of which an attribute sends what it has."""
    leaf = bits[row.leaf]
    return leaf >> row.shift & row.full if row.packed else leaf
