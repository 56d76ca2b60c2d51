"""The attributes of a tunnel, in the order in which OVS and the kernel send them.

An attribute whose number is 0 is not sent, but for the TTL.  Of a mask all one-bits are sent; the options
of a Geneve mask have their sizes from the key, because a mask of a size is none.
"""

from __future__ import annotations

import struct
from typing import Final

from ctl.codec.nla import Attribute, by_number, nest, pack, pack_uint
from ctl.codec.numbers import TunnelAttr, VxlanExt
from ctl.errors import FlowInvalid
from ctl.headers import GeneveOption, Tunnel, TunnelFlag

# The numbers of a tunnel by attribute: field and size.  All stand in network order.
_BEFORE_FLAGS: Final = {
    TunnelAttr.IPV4_SRC: ("ipv4_src", 4),
    TunnelAttr.IPV4_DST: ("ipv4_dst", 4),
    TunnelAttr.IPV6_SRC: ("ipv6_src", 16),
    TunnelAttr.IPV6_DST: ("ipv6_dst", 16),
    TunnelAttr.TOS: ("tos", 1),
    TunnelAttr.TTL: ("ttl", 1),
}
_PORTS: Final = {TunnelAttr.TP_SRC: ("tp_src", 2), TunnelAttr.TP_DST: ("tp_dst", 2)}
_NUMBERS: Final = {TunnelAttr.ID: ("tun_id", 8)} | _BEFORE_FLAGS | _PORTS
_FLAGS: Final = {
    TunnelAttr.DONT_FRAGMENT: TunnelFlag.DF,
    TunnelAttr.CSUM: TunnelFlag.CSUM,
    TunnelAttr.OAM: TunnelFlag.OAM,
}
_OPTIONS: Final = {
    TunnelAttr.GENEVE_OPTS: "geneve",
    TunnelAttr.VXLAN_OPTS: "vxlan",
    TunnelAttr.ERSPAN_OPTS: "erspan",
    TunnelAttr.GTPU_OPTS: "gtpu",
}
_NAMES: Final = (
    {int(number): f"tunnel {name}" for number, (name, _) in _NUMBERS.items()}
    | {int(number): f"tunnel {flag.name}".lower() for number, flag in _FLAGS.items()}
    | {int(number): f"tunnel {name}" for number, name in _OPTIONS.items()}
    | {int(TunnelAttr.PAD): "tunnel pad"}
)
_VXLAN_NAMES: Final = {int(VxlanExt.GBP): "tunnel vxlan gbp"}

_GENEVE: Final = struct.Struct(">HBB")  # class, type, data in units of four octets
_GENEVE_UNITS: Final = 0x1F  # of the last octet; the others are reserved
_GENEVE_MOST: Final = 255  # octets of all options
# struct erspan_metadata: version; then an index of four octets, or a timestamp of four, a group of two, and
# bits: the lowest two of an octet are hwid's upper ones; of the next, the upper four are its lower ones, 8 is dir.
_ERSPAN: Final = struct.Struct("=I8s")
_HWID: Final = 0x3F  # the largest hardware id
_ERSPAN_VERSIONS: Final = (1, 2)
_GTPU: Final = struct.Struct("BB")  # flags, message type
_ALL8: Final = 0xFF


def encode(tunnel: Tunnel, *, is_mask: bool = False) -> bytes:
    """The attributes of a tunnel, or of a mask of one."""
    parts = []
    if tunnel.flags & TunnelFlag.KEY or tunnel.tun_id:
        parts.append(pack_uint(TunnelAttr.ID, tunnel.tun_id, 8, "big"))
    parts += _encode_numbers(tunnel, _BEFORE_FLAGS)
    parts += [pack(number) for number, flag in _FLAGS.items() if tunnel.flags & flag & ~TunnelFlag.OAM]
    parts += _encode_numbers(tunnel, _PORTS)
    if tunnel.flags & TunnelFlag.OAM:
        parts.append(pack(TunnelAttr.OAM))
    return b"".join(parts + _encode_options(tunnel, is_mask=is_mask))


def _encode_numbers(tunnel: Tunnel, which: dict[TunnelAttr, tuple[str, int]]) -> list[bytes]:
    values = ((number, getattr(tunnel, name), size) for number, (name, size) in which.items())
    return [
        pack_uint(number, value, size, "big") for number, value, size in values if value or number == TunnelAttr.TTL
    ]


def _encode_options(tunnel: Tunnel, *, is_mask: bool) -> list[bytes]:
    parts = []
    if tunnel.gbp_id or tunnel.gbp_flags:
        gbp = pack_uint(VxlanExt.GBP, tunnel.gbp_flags << 16 | tunnel.gbp_id, 4)
        parts.append(nest(TunnelAttr.VXLAN_OPTS, gbp))
    if tunnel.geneve:
        options = b"".join(_encode_geneve(option, is_mask=is_mask) for option in tunnel.geneve)
        parts.append(pack(TunnelAttr.GENEVE_OPTS, options))
    if tunnel.erspan_ver or tunnel.erspan_idx or tunnel.erspan_dir or tunnel.erspan_hwid:
        parts.append(pack(TunnelAttr.ERSPAN_OPTS, _encode_erspan(tunnel, is_mask=is_mask)))
    if tunnel.gtpu_flags or tunnel.gtpu_msgtype:
        parts.append(pack(TunnelAttr.GTPU_OPTS, _GTPU.pack(tunnel.gtpu_flags, tunnel.gtpu_msgtype)))
    return parts


def _encode_geneve(option: GeneveOption, *, is_mask: bool) -> bytes:
    units = _GENEVE_UNITS if is_mask else len(option.data) // 4
    return _GENEVE.pack(option.cls, option.type, units) + option.data


def _encode_erspan(tunnel: Tunnel, *, is_mask: bool) -> bytes:
    """Version 1 says an index, version 2 a direction and a hardware id of 6 bits; in different octets."""
    if not is_mask and (tunnel.erspan_dir > 1 or tunnel.erspan_hwid > _HWID):
        raise FlowInvalid(f"erspan has a dir of 0 or 1, and a hwid of at most {_HWID}", "tunnel erspan")
    direction, hwid = tunnel.erspan_dir & 1, tunnel.erspan_hwid & _HWID
    upper, lower = hwid >> 4, (hwid & 0xF) << 4 | direction << 3
    return _ERSPAN.pack(tunnel.erspan_ver, tunnel.erspan_idx.to_bytes(4, "big") + bytes((0, 0, upper, lower)))


def decode(outer: Attribute, *, is_mask: bool = False, key: Tunnel | None = None) -> Tunnel:
    """The tunnel that an attribute holds; of a mask, beside the ``key``.

    FlowInvalid for an unknown attribute, one given twice or of a wrong size, two kinds of options, and, but
    for a mask, no TTL.
    """
    given = by_number(outer.inside("tunnel"), _NAMES, "tunnel")
    given.pop(TunnelAttr.PAD, None)
    values: dict[str, int] = {}
    for number, (name, size) in _NUMBERS.items():
        if number in given:
            values[name] = given[number].uint(_NAMES[number], size, "big")
    flags = TunnelFlag.KEY if TunnelAttr.ID in given else TunnelFlag(0)
    for number, flag in _FLAGS.items():
        if number in given and given[number].flag(_NAMES[number]):
            flags |= flag
    if not is_mask and TunnelAttr.TTL not in given:
        raise outer.refused("tunnel", "has no ttl", "write ttl=64")
    options = [given[number] for number in _OPTIONS if number in given]
    if len(options) > 1:
        raise options[1].refused("tunnel", "has options of two kinds")
    geneve: tuple[GeneveOption, ...] = ()
    for option in options:
        if option.number == TunnelAttr.GENEVE_OPTS:
            geneve = _decode_geneve(option, key.geneve if is_mask and key is not None else None)
        else:
            values |= _decode_option(option, is_mask=is_mask)
    return Tunnel(**values, flags=int(flags), geneve=geneve)


def _decode_option(option: Attribute, *, is_mask: bool) -> dict[str, int]:
    if option.number == TunnelAttr.VXLAN_OPTS:
        given = by_number(option.inside("tunnel vxlan"), _VXLAN_NAMES, "tunnel vxlan")
        gbp = given[VxlanExt.GBP].uint("tunnel vxlan gbp", 4) if given else 0
        if gbp >> 24:
            raise option.refused("tunnel vxlan", f"gbp is {gbp:#x}, flags have 8 bits and the id 16")
        return {"gbp_id": gbp & 0xFFFF, "gbp_flags": gbp >> 16}
    if option.number == TunnelAttr.GTPU_OPTS:
        flags, kind = _GTPU.unpack(option.sized("tunnel gtpu", _GTPU.size))
        return {"gtpu_flags": flags, "gtpu_msgtype": kind}
    return _decode_erspan(option, is_mask=is_mask)


def _decode_erspan(option: Attribute, *, is_mask: bool) -> dict[str, int]:
    version, rest = _ERSPAN.unpack(option.sized("tunnel erspan", _ERSPAN.size))
    if not is_mask and version not in _ERSPAN_VERSIONS:
        raise option.refused("tunnel erspan", f"version {version} is unknown", "1 and 2 are known")
    direction, hwid = rest[7] >> 3 & 1, (rest[6] & 3) << 4 | rest[7] >> 4
    if is_mask:  # what is exact here is exact in the text, whose masks have eight bits
        direction, hwid = direction * _ALL8, _ALL8 if hwid == _HWID else hwid
    return {
        "erspan_ver": version & _ALL8,
        "erspan_idx": int.from_bytes(rest[:4], "big"),
        "erspan_dir": direction,
        "erspan_hwid": hwid,
    }


def _decode_geneve(attribute: Attribute, of_key: tuple[GeneveOption, ...] | None) -> tuple[GeneveOption, ...]:
    """The options; of a mask, with the sizes that those of the key have."""
    octets = attribute.octets
    if len(octets) % 4 or len(octets) > _GENEVE_MOST:
        raise attribute.refused("tunnel geneve", f"has {len(octets)} octets, not a multiple of 4 up to 252")
    sizes = None if of_key is None else [len(option.data) for option in of_key]
    options: list[GeneveOption] = []
    place = 0
    while place < len(octets):
        cls, kind, units = _GENEVE.unpack_from(octets, place)
        place += _GENEVE.size
        size = 4 * (units & _GENEVE_UNITS)
        if sizes is not None:
            size = sizes[len(options)] if len(options) < len(sizes) else len(octets)
        if place + size > len(octets):
            raise attribute.refused("tunnel geneve", f"option {len(options) + 1} is cut short")
        options.append(GeneveOption(cls, kind, octets[place : place + size]))
        place += size
    if sizes is not None and len(options) != len(sizes):
        raise attribute.refused("tunnel geneve", f"the mask has {len(options)} options, the key {len(sizes)}")
    return tuple(options)
