"""The text of the header that a tnl_push action puts before a frame, and its octets.

    header := "header(size=" N ",type=" N "," parts ")"
    parts  := eth "," ip "," tunnel | "octets(" HEX ")"
    ip     := "ipv4(...)" | "ipv6(...)"
    tunnel := "gre((flags=,proto=)" [ ",csum=" ] [ ",key=" ] [ ",seq=" ] ")" | "erspan(ver=,sid=,...)"
            | "udp(...)," ( "vxlan(...)" | "geneve(...)" | "gtpu(...)" ) | "srv6(segments_left=,segs(...))"

The type is a number of enum ovs_vport_type.  Lengths and the UDP length are 0 until the packet is there; the
checksum of the IPv4 header is right.  `octets` is for headers that the other form cannot say.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import IntEnum
from typing import Any, Final

from ctl.errors import FlowSyntaxError
from ctl.headers import GeneveOption
from ctl.text.cursor import IPV6_TEXT, Cursor, Sub, decimal, hexa, ipv4, ipv6, mac, prefixed
from ctl.text.headers import options_text, read_options
from ctl.text.values import read_ipv6

MOST_OCTETS: Final = 512
_HEX: Final = re.compile(r"\s*\(((?:[0-9A-Fa-f]{2})*)\)")


class _Type(IntEnum):
    """OVS_VPORT_TYPE_*."""

    GRE = 3
    VXLAN = 4
    GENEVE = 5
    ERSPAN = 107
    IP6ERSPAN = 108
    IP6GRE = 109
    GTPU = 110
    SRV6 = 112


_ETH_IPV4: Final = 0x0800
_ETH_BRIDGED: Final = 0x6558
_ETH_ERSPAN: Final = {1: 0x88BE, 2: 0x22EB}
_ROUTING: Final = 43  # the next header of IPv6 that srv6 is
_SEGMENT_ROUTING: Final = 4  # its type (RFC 8754)
MOST_SEGMENTS: Final = 6
_SEGMENT: Final = 16
_GRE_CSUM, _GRE_KEY, _GRE_SEQ = 0x8000, 0x2000, 0x1000
_OAM, _CRITICAL = 0x80, 0x40

_ETH: Final = (mac("dst"), mac("src"), Sub("dl_type", 16, show="0x{:04x}".format))
_IPV4: Final = (
    ipv4("src"), ipv4("dst"), decimal("proto", 8), hexa("tos", 8), decimal("ttl", 8), prefixed("frag", 16),
)  # fmt: skip
_IPV6: Final = (
    ipv6("src"), ipv6("dst"), decimal("label", 20), decimal("proto", 8), prefixed("tclass", 8), decimal("hlimit", 8),
)  # fmt: skip
_UDP: Final = (decimal("src", 16), decimal("dst", 16), prefixed("csum", 16))
_VXLAN: Final = (prefixed("flags", 32), prefixed("vni", 24))
_VNI: Final = prefixed("vni", 24)
_GTPU: Final = (prefixed("flags", 8), decimal("msgtype", 8), prefixed("teid", 32))
_GRE: Final = (prefixed("flags", 16), prefixed("proto", 16))
# Optional parts of a GRE header, in their order: the flag, the sub-field, and zeros behind it.
_GRE_PARTS: Final = (
    (_GRE_CSUM, prefixed("csum", 16), 2), (_GRE_KEY, prefixed("key", 32), 0), (_GRE_SEQ, prefixed("seq", 32), 0),
)  # fmt: skip
_ERSPAN_SUBS: Final = (
    decimal("ver", 4), prefixed("sid", 10), prefixed("idx", 32), decimal("dir", 1), prefixed("hwid", 6),
)  # fmt: skip
_ERSPAN_OF: Final = {1: ("ver", "sid", "idx"), 2: ("ver", "sid", "dir", "hwid")}
_SUBS_OF: Final[dict[str, tuple[Sub, ...]]] = {
    "eth": _ETH, "ipv4": _IPV4, "ipv6": _IPV6, "udp": _UDP, "vxlan": _VXLAN, "gtpu": _GTPU,
}  # fmt: skip
_OVER_UDP: Final = {"vxlan": _Type.VXLAN, "geneve": _Type.GENEVE, "gtpu": _Type.GTPU}
_TUNNELS: Final = ("gre", "erspan", "srv6", *_OVER_UDP)


def _octets(size: int, value: int) -> bytes:
    return value.to_bytes(size, "big")


# --- reading: from text to octets ----------------------------------------------------------------


def read_header(cursor: Cursor) -> tuple[int, bytes]:
    """Type and octets of `header(...)`, from behind the opening parenthesis to behind the closing one."""
    start = cursor.next
    readers: dict[str, Callable[[int], Any]] = {
        "size": cursor.reader(decimal("size", 32)),
        "type": cursor.reader(decimal("type", 32)),
        "octets": lambda where: _read_octets(cursor, where),
        **{name: _part(cursor, name) for name in (*_SUBS_OF, "gre", "erspan", "srv6", "geneve")},
    }
    found = cursor.items("header", readers)
    cursor.need("header", ("size", "type"), found, start)
    if "octets" in found:
        header, kind = found["octets"], found["type"]
    else:
        header, kind = _assembled(cursor, found, start)
    if found["type"] != kind:
        raise cursor.error(f"type is {found['type']}, this header has type {kind}", start)
    if found["size"] != len(header):
        raise cursor.error(f"size is {found['size']}, this header has {len(header)} octets", start)
    if len(header) > MOST_OCTETS:
        raise cursor.error(f"a header of {len(header)} octets", start, f"at most {MOST_OCTETS} are possible")
    return kind, header


def _part(cursor: Cursor, name: str) -> Callable[[int], Any]:
    def read(_: int) -> Any:
        cursor.expect("(", f"expected '(' after {name}")
        special = _SPECIAL.get(name)
        return cursor.numbers(name, _SUBS_OF[name]) if special is None else special(cursor)

    return read


def _read_octets(cursor: Cursor, start: int) -> bytes:
    found = cursor.take(_HEX)
    if found is None:
        raise cursor.error("expected octets(...) with an even number of hexadecimal digits", start)
    return bytes.fromhex(found[1])


def _read_gre(cursor: Cursor) -> bytes:
    cursor.expect("(", "expected (flags=...,proto=...)")
    base = cursor.numbers("gre", _GRE)
    header = _octets(2, base["flags"]) + _octets(2, base["proto"])
    for flag, sub, zeros in _GRE_PARTS:
        if base["flags"] & flag:
            cursor.expect(",", f"expected ,{sub.name}=, which flags say is there")
            cursor.expect(sub.name, f"expected {sub.name}=, which flags say is there")
            cursor.expect("=")
            header += _octets(sub.bits // 8, cursor.number(sub)) + bytes(zeros)
    cursor.close("gre")
    return header


def _read_erspan(cursor: Cursor) -> bytes:
    start = cursor.next
    found = cursor.items("erspan", {sub.name: cursor.reader(sub) for sub in _ERSPAN_SUBS})
    version = found.get("ver", 0)
    if version not in _ERSPAN_OF or set(found) != set(_ERSPAN_OF[version]):
        forms = " or ".join(f"ver={number},{','.join(names[1:])}" for number, names in _ERSPAN_OF.items())
        raise cursor.error(f"expected {forms}", start)
    header = _octets(2, _GRE_SEQ) + _octets(2, _ETH_ERSPAN[version]) + bytes(4)
    header += _octets(2, version << 12) + _octets(2, found["sid"])
    if version == 1:
        return header + _octets(4, found["idx"])
    hwid = found["hwid"]
    return header + bytes(6) + bytes([hwid >> 4, (hwid & 0xF) << 4 | found["dir"] << 3])


def _read_srv6(cursor: Cursor) -> bytes:
    start = cursor.next
    found: dict[str, Any] = cursor.items(
        "srv6",
        {"segments_left": cursor.reader(decimal("segments_left", 8)), "segs": lambda _: _read_segments(cursor)},
    )
    cursor.need("srv6", ("segments_left", "segs"), found, start)
    left, segments = found["segments_left"], found["segs"]
    if len(segments) != left + 1 or len(segments) > MOST_SEGMENTS:
        raise cursor.error(
            f"{len(segments)} segments with segments_left={left}",
            start,
            f"one more than segments_left, at most {MOST_SEGMENTS}",
        )
    header = bytes([0, 2 * len(segments), _SEGMENT_ROUTING, left, left, 0, 0, 0])
    return header + b"".join(_octets(_SEGMENT, segment) for segment in reversed(segments))


def _read_segments(cursor: Cursor) -> list[int]:
    cursor.expect("(", "expected '(' after segs")
    segment = Sub("segs", 128, read_ipv6)
    segments = [cursor.number(segment)]
    while cursor.accept(","):
        segments.append(cursor.number(segment))
    cursor.close("segs")
    return segments


def _read_geneve(cursor: Cursor) -> bytes:
    start = cursor.next
    readers: dict[str, Callable[[int], Any]] = {
        "oam": cursor.flag("oam"),
        "crit": cursor.flag("crit"),
        "vni": cursor.reader(_VNI),
        "options": lambda _: _read_options(cursor),
    }
    found = cursor.items("geneve", readers)
    cursor.need("geneve", ("vni",), found, start)
    options: tuple[GeneveOption, ...] = found.get("options", ())
    body = b"".join(
        _octets(2, option.cls) + bytes([option.type, len(option.data) // 4]) + option.data for option in options
    )
    if len(body) // 4 >= 1 << 6:
        raise cursor.error(f"options of {len(body)} octets", start, "at most 252 are possible")
    bits = _OAM * ("oam" in found) | _CRITICAL * ("crit" in found)
    return bytes([len(body) // 4, bits]) + _octets(2, _ETH_BRIDGED) + _octets(4, found["vni"] << 8) + body


def _read_options(cursor: Cursor) -> tuple[GeneveOption, ...]:
    cursor.expect("(", "expected '(' after options")
    options, cursor.pos = read_options(cursor.text, cursor.pos, cursor.end)
    return options


_SPECIAL: Final[dict[str, Callable[[Cursor], bytes]]] = {
    "gre": _read_gre,
    "erspan": _read_erspan,
    "srv6": _read_srv6,
    "geneve": _read_geneve,
}


def _assembled(cursor: Cursor, found: dict[str, Any], start: int) -> tuple[bytes, int]:
    """The whole header of its parts, and its type."""
    cursor.need("header", ("eth",), found, start)
    eth = found["eth"]
    over, missing = ("ipv4", "ipv6") if eth["dl_type"] == _ETH_IPV4 else ("ipv6", "ipv4")
    tunnels = [name for name in _TUNNELS if name in found]
    if over not in found or missing in found or len(tunnels) != 1 or ("udp" in found) != (tunnels[0] in _OVER_UDP):
        hint = "eth, then ipv4 or ipv6 as dl_type says, then gre, erspan, srv6, or udp with vxlan, geneve or gtpu"
        raise cursor.error("these parts are no header of a tunnel", start, hint)
    name = tunnels[0]
    if name == "srv6" and (over != "ipv6" or found["ipv6"]["proto"] != _ROUTING):
        raise cursor.error(f"srv6 is behind ipv6 with proto={_ROUTING}", start)
    header = _octets(6, eth["dst"]) + _octets(6, eth["src"]) + _octets(2, eth["dl_type"])
    header += _ipv4_header(found["ipv4"]) if over == "ipv4" else _ipv6_header(found["ipv6"])
    if "udp" in found:
        udp = found["udp"]
        header += _octets(2, udp["src"]) + _octets(2, udp["dst"]) + bytes(2) + _octets(2, udp["csum"])
    return header + _tunnel_header(name, found[name]), _type_of(name, over)


def _type_of(name: str, over: str) -> int:
    types = {"gre": (_Type.GRE, _Type.IP6GRE), "erspan": (_Type.ERSPAN, _Type.IP6ERSPAN), "srv6": (0, _Type.SRV6)}
    return int(_OVER_UDP[name] if name in _OVER_UDP else types[name][over == "ipv6"])


def _tunnel_header(name: str, part: Any) -> bytes:
    if name == "vxlan":
        return _octets(4, part["flags"]) + _octets(4, part["vni"] << 8)
    if name == "gtpu":
        return bytes([part["flags"], part["msgtype"], 0, 0]) + _octets(4, part["teid"])
    header: bytes = part
    return header


def _ipv4_header(part: dict[str, int]) -> bytes:
    front = bytes([0x45, part["tos"], 0, 0, 0, 0]) + _octets(2, part["frag"]) + bytes([part["ttl"], part["proto"]])
    addresses = _octets(4, part["src"]) + _octets(4, part["dst"])
    return front + _octets(2, _checksum(front + addresses)) + addresses


def _checksum(octets: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    total = sum(int.from_bytes(octets[n : n + 2], "big") for n in range(0, len(octets), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _ipv6_header(part: dict[str, int]) -> bytes:
    front = _octets(4, 6 << 28 | part["tclass"] << 20 | part["label"]) + bytes([0, 0, part["proto"], part["hlimit"]])
    return front + _octets(16, part["src"]) + _octets(16, part["dst"])


# --- printing: from octets to text ---------------------------------------------------------------


def header_text(kind: int, header: bytes) -> str:
    """`header(...)`: by parts where they say all of it, else as octets."""
    front = f"header(size={len(header)},type={kind},"
    parts = _parts_text(kind, header)
    if parts is not None:
        text = f"{front}{parts})"
        try:
            if read_header(Cursor(text, len("header("), len(text))) == (kind, header):
                return text
        except FlowSyntaxError:
            pass
    return f"{front}octets({header.hex()}))"


class _Octets:
    """Octets that are taken one after another; ValueError where there are too few."""

    def __init__(self, octets: bytes) -> None:
        self._left = octets

    def take(self, size: int) -> bytes:
        if size > len(self._left):
            raise ValueError("truncated")
        taken, self._left = self._left[:size], self._left[size:]
        return taken

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")


def _parts_text(kind: int, header: bytes) -> str | None:
    """The parts; None for a type without a text, or a truncated header."""
    octets = _Octets(header)
    try:
        dst, src, dl_type = octets.number(6), octets.number(6), octets.number(2)
        texts = [_text("eth", _ETH, (dst, src, dl_type))]
        texts.append(_ipv4_text(octets) if dl_type == _ETH_IPV4 else _ipv6_text(octets))
        if kind in _OVER_UDP.values():
            source, target, _, csum = (octets.number(2) for _ in range(4))
            texts.append(_text("udp", _UDP, (source, target, csum)))
        tunnel = _TUNNEL_TEXTS.get(kind)
        return None if tunnel is None else ",".join([*texts, tunnel(octets)])
    except ValueError:
        return None


def _text(call: str, subs: tuple[Sub, ...], values: tuple[int, ...]) -> str:
    return f"{call}({','.join(sub.text(value) for sub, value in zip(subs, values, strict=True))})"


def _ipv4_text(octets: _Octets) -> str:
    _, tos, _, frag = octets.number(1), octets.number(1), octets.number(4), octets.number(2)
    ttl, proto, _ = octets.number(1), octets.number(1), octets.number(2)
    return _text("ipv4", _IPV4, (octets.number(4), octets.number(4), proto, tos, ttl, frag))


def _ipv6_text(octets: _Octets) -> str:
    flow, _, proto, hlimit = octets.number(4), octets.number(2), octets.number(1), octets.number(1)
    addresses = octets.number(16), octets.number(16)
    return _text("ipv6", _IPV6, (*addresses, flow & 0xFFFFF, proto, flow >> 20 & 0xFF, hlimit))


def _vxlan_text(octets: _Octets) -> str:
    return _text("vxlan", _VXLAN, (octets.number(4), octets.number(4) >> 8))


def _gtpu_text(octets: _Octets) -> str:
    flags, msgtype, _ = octets.number(1), octets.number(1), octets.number(2)
    return _text("gtpu", _GTPU, (flags, msgtype, octets.number(4)))


def _geneve_text(octets: _Octets) -> str:
    words, bits, _ = octets.number(1) & 0x3F, octets.number(1), octets.number(2)
    texts = [word for word, bit in (("oam", _OAM), ("crit", _CRITICAL)) if bits & bit]
    texts.append(_VNI.text(octets.number(4) >> 8))
    left = _Octets(octets.take(4 * words))
    options = []
    size = 4 * words
    while size > 0:
        cls, kind, length = left.number(2), left.number(1), left.number(1) & 0x1F
        options.append(GeneveOption(cls, kind, left.take(4 * length)))
        size -= 4 + 4 * length
    if options:
        texts.append(f"options({options_text(tuple(options))})")
    return f"geneve({','.join(texts)})"


def _gre_text(octets: _Octets) -> str:
    flags, proto = octets.number(2), octets.number(2)
    texts = [_text("", _GRE, (flags, proto))]
    for flag, sub, zeros in _GRE_PARTS:
        if flags & flag:
            texts.append(sub.text(octets.number(sub.bits // 8)))
            octets.take(zeros)
    return f"gre({','.join(texts)})"


def _erspan_text(octets: _Octets) -> str:
    octets.take(8)  # GRE with a sequence number
    version, sid = octets.number(2) >> 12, octets.number(2) & 0x3FF
    values = {"ver": version, "sid": sid}
    if version == 1:
        values["idx"] = octets.number(4)
    else:
        octets.take(6)
        high, low = octets.number(1), octets.number(1)
        values |= {"dir": low >> 3 & 1, "hwid": (high & 3) << 4 | low >> 4}
    return f"erspan({','.join(sub.text(values[sub.name]) for sub in _ERSPAN_SUBS if sub.name in values)})"


def _srv6_text(octets: _Octets) -> str:
    octets.take(3)
    left, last, _ = octets.number(1), octets.number(1), octets.take(3)
    segments = [octets.number(_SEGMENT) for _ in range(last + 1)]
    return f"srv6(segments_left={left},segs({','.join(IPV6_TEXT(segment) for segment in reversed(segments))}))"


_TUNNEL_TEXTS: Final[dict[int, Callable[[_Octets], str]]] = {
    _Type.VXLAN: _vxlan_text,
    _Type.GENEVE: _geneve_text,
    _Type.GTPU: _gtpu_text,
    _Type.GRE: _gre_text,
    _Type.IP6GRE: _gre_text,
    _Type.ERSPAN: _erspan_text,
    _Type.IP6ERSPAN: _erspan_text,
    _Type.SRV6: _srv6_text,
}
