"""The attributes of a network service header (RFC 8300): its base, and the context of type 1 or 2.

The mask of a masked set stands behind the value, attribute by attribute.
"""

from __future__ import annotations

import struct
from typing import Final

from ctl.codec.nla import Attribute, by_number, needed, pack
from ctl.codec.numbers import NshAttr
from ctl.headers import Nsh

_BASE: Final = struct.Struct(">BBBBI")  # flags, ttl, mdtype, np, path: 24 bits of spi and 8 of si
_MD1, _MD2 = 1, 2
_MD1_OCTETS: Final = 16
_MD2_MOST: Final = 248
_NAMES: Final = {int(NshAttr.BASE): "nsh", int(NshAttr.MD1): "nsh md1", int(NshAttr.MD2): "nsh md2"}


def encode(nsh: Nsh, mask: Nsh | None = None) -> bytes:
    """The attributes of a header; with the ``mask`` of a masked set behind each value."""
    masks = (b"", b"") if mask is None else (_base(mask), mask.context)
    parts = [pack(NshAttr.BASE, _base(nsh) + masks[0])]
    if nsh.context or masks[1]:
        number = NshAttr.MD1 if len(nsh.context) == _MD1_OCTETS and nsh.mdtype != _MD2 else NshAttr.MD2
        parts.append(pack(number, nsh.context + masks[1]))
    return b"".join(parts)


def _base(nsh: Nsh) -> bytes:
    return _BASE.pack(nsh.flags, nsh.ttl, nsh.mdtype, nsh.np, nsh.spi << 8 | nsh.si)


def decode(outer: Attribute, *, is_mask: bool = False) -> Nsh:
    """The header that an attribute holds, or its mask.  FlowInvalid for attributes that do not go together."""
    given = _given(outer)
    base = given[NshAttr.BASE].sized("nsh", _BASE.size)
    context = b""
    if NshAttr.MD1 in given:
        context = given[NshAttr.MD1].sized("nsh md1", _MD1_OCTETS)
    elif NshAttr.MD2 in given:
        context = given[NshAttr.MD2].octets
        if not 0 < len(context) <= _MD2_MOST:
            raise given[NshAttr.MD2].refused("nsh md2", f"has {len(context)} octets", "1 to 248 are possible")
    nsh = _header(base, context)
    kind = {NshAttr.MD1: _MD1, NshAttr.MD2: _MD2}
    for number, mdtype in kind.items():
        if number in given and nsh.mdtype != mdtype and not is_mask:
            raise given[number].refused(_NAMES[number], f"does not go with mdtype {nsh.mdtype}")
    return nsh


def decode_masked(outer: Attribute) -> tuple[Nsh, Nsh]:
    """Value and mask of a masked set."""
    given = _given(outer)
    if NshAttr.MD2 in given:
        raise given[NshAttr.MD2].refused("nsh md2", "cannot be set")
    base = given[NshAttr.BASE].sized("nsh", 2 * _BASE.size)
    context = given[NshAttr.MD1].sized("nsh md1", 2 * _MD1_OCTETS) if NshAttr.MD1 in given else b""
    half = len(context) // 2
    return _header(base[: _BASE.size], context[:half]), _header(base[_BASE.size :], context[half:])


def _given(outer: Attribute) -> dict[int, Attribute]:
    given = by_number(outer.inside("nsh"), _NAMES, "nsh")
    needed(given, [NshAttr.BASE], _NAMES, outer)
    if NshAttr.MD1 in given and NshAttr.MD2 in given:
        raise given[NshAttr.MD2].refused("nsh md2", "md1 and md2 exclude each other")
    return given


def _header(base: bytes, context: bytes) -> Nsh:
    flags, ttl, mdtype, np, path = _BASE.unpack(base)
    return Nsh(flags=flags, ttl=ttl, mdtype=mdtype, np=np, spi=path >> 8, si=path & 0xFF, context=context)
