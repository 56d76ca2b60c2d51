"""The text inside of `tunnel(...)` and `nsh(...)`, for keys and for set actions.

    tunnel := sub { "," sub }
    sub    := NAME "=" value | "flags(" FLAGS ")" | "vxlan(gbp(" sub "," sub "))" | "geneve(" option { option } ")"
            | "erspan(" sub { "," sub } ")" | "gtpu(" sub { "," sub } ")"
    option := "{class=" value ",type=" value ",len=" N [ "," 0xDIGITS [ "/" 0xDIGITS ] ] "}"
    value  := TEXT [ "/" MASK ]
    FLAGS  := "df|csum|key|oam" in any number, or 0: exactly these | "+df-csum": those with a sign | FLAGS "/" FLAGS
    nsh    := sub { "," sub }               c1 to c4 are 32 bits of context each, md2 the octets of another kind

A mask is a header of the same class.  What is not written is 0 in both.  A tun_id makes `TunnelFlag.KEY`
part of value and mask.  A Geneve option without data has zeros, with a mask of zeros.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from ctl.headers import GeneveOption, Nsh, Tunnel, TunnelFlag
from ctl.text.cursor import Cursor, Sub, decimal, hexa, ipv4, ipv6, prefixed
from ctl.text.values import hexadecimal

_KEY: Final = int(TunnelFlag.KEY)
_FLAGS: Final = {
    "oam": TunnelFlag.OAM, "df": TunnelFlag.DF, "csum": TunnelFlag.CSUM, "key": TunnelFlag.KEY,
}  # fmt: skip
_ALL_FLAGS: Final = int(TunnelFlag.OAM | TunnelFlag.DF | TunnelFlag.CSUM | TunnelFlag.KEY)
_FLAG_NAMES: Final = ", ".join(_FLAGS)
_SIGNED: Final = re.compile(r"([+-])([a-z]+)")
_ALL_SIGNED: Final = re.compile(r"(?:[+-][a-z]+)+")
_HEX: Final = re.compile(r"0[xX][0-9a-fA-F]+|0")
MOST_OPTION_DATA: Final = 124  # octets of a Geneve option: 5 bits of words (RFC 8926, 3.5)

# Sub-fields by the name of their field in `Tunnel`.
_TUNNEL: Final[dict[str, Sub]] = {
    "tun_id": hexa("tun_id", 64), "ipv4_src": ipv4("src"), "ipv4_dst": ipv4("dst"),
    "ipv6_src": ipv6("ipv6_src"), "ipv6_dst": ipv6("ipv6_dst"), "tos": hexa("tos", 8), "ttl": decimal("ttl", 8),
    "tp_src": decimal("tp_src", 16), "tp_dst": decimal("tp_dst", 16),
}  # fmt: skip
_ERSPAN: Final[dict[str, Sub]] = {
    "erspan_ver": decimal("ver", 8), "erspan_idx": hexa("idx", 32),
    "erspan_dir": decimal("dir", 8), "erspan_hwid": hexa("hwid", 8),
}  # fmt: skip
_ERSPAN_OF: Final = {1: ("erspan_ver", "erspan_idx"), 2: ("erspan_ver", "erspan_dir", "erspan_hwid")}
_GBP: Final[dict[str, Sub]] = {"gbp_id": decimal("id", 16), "gbp_flags": hexa("flags", 8)}
_GTPU: Final[dict[str, Sub]] = {"gtpu_flags": hexa("flags", 8), "gtpu_msgtype": decimal("msgtype", 8)}
_CLASS: Final = hexa("class", 16)
_TYPE: Final = hexa("type", 8)

_NSH: Final[dict[str, Sub]] = {
    "flags": decimal("flags", 8), "ttl": decimal("ttl", 8), "mdtype": decimal("mdtype", 8), "np": decimal("np", 8),
    "spi": prefixed("spi", 24), "si": decimal("si", 8),
}  # fmt: skip
_CONTEXT: Final = tuple(prefixed(f"c{n}", 32) for n in (1, 2, 3, 4))
MD1_OCTETS: Final = 16
_MD2: Final = 2

Pair = tuple[Any, Any]  # value and mask


def read_tunnel(text: str, pos: int, end: int, *, masked: bool = True) -> tuple[Tunnel, Tunnel, int]:
    """Value, mask, and where the text ended: behind the parenthesis that closes `tunnel(`.

    ``masked`` False refuses masks.  FlowSyntaxError.
    """
    reader = _Reader(text, pos, end, masked=masked)
    pairs = reader.tunnel()
    value, mask = ({name: pair[side] for name, pair in pairs.items()} for side in (0, 1))
    return Tunnel(**value), Tunnel(**mask), reader.pos


def read_nsh(text: str, pos: int, end: int, *, masked: bool = True) -> tuple[Nsh, Nsh, int]:
    """Value, mask, and where the text ended: behind the parenthesis that closes `nsh(`.

    The context has 16 octets where one of c1 to c4 is written, else those of md2, or none; that of the mask
    has as many.  ``masked`` False refuses masks.  FlowSyntaxError.
    """
    reader = _Reader(text, pos, end, masked=masked)
    pairs = reader.nsh()
    value, mask = ({name: pair[side] for name, pair in pairs.items()} for side in (0, 1))
    return Nsh(**value), Nsh(**mask), reader.pos


def read_options(text: str, pos: int, end: int) -> tuple[tuple[GeneveOption, ...], int]:
    """Geneve options without masks, and where they ended: behind the parenthesis."""
    reader = _Reader(text, pos, end, masked=False)
    return tuple(option for option, _ in reader.options()), reader.pos


class _Reader(Cursor):
    """Reads pairs of value and mask."""

    def __init__(self, text: str, pos: int, end: int, *, masked: bool) -> None:
        super().__init__(text, pos, end)
        self._masked = masked

    def tunnel(self) -> dict[str, Pair]:
        readers: dict[str, Callable[[int], dict[str, Pair]]] = {
            **{sub.name: self._sub(field, sub) for field, sub in _TUNNEL.items()},
            "erspan": lambda _: self._group("erspan", _ERSPAN),
            "vxlan": lambda _: self._vxlan(),
            "geneve": lambda _: self._geneve(),
            "gtpu": lambda _: self._group("gtpu", _GTPU),
            "flags": lambda _: self._flags(),
        }
        pairs: dict[str, Pair] = {}
        for found in self.items("tunnel", readers, empty=True).values():
            pairs |= found
        if "tun_id" in pairs:
            value, mask = pairs.get("flags", (0, 0))
            pairs["flags"] = value | _KEY, mask | _KEY
        return pairs

    def nsh(self) -> dict[str, Pair]:
        readers: dict[str, Callable[[int], dict[str, Pair]]] = {
            **{sub.name: self._sub(field, sub) for field, sub in _NSH.items()},
            **{sub.name: self._sub(sub.name, sub) for sub in _CONTEXT},
            "md2": self._md2,
        }
        start = self.next
        pairs: dict[str, Pair] = {}
        for found in self.items("nsh", readers, empty=True).values():
            pairs |= found
        words = [pairs.pop(sub.name, None) for sub in _CONTEXT]
        if any(words):
            if "context" in pairs:
                raise self.error("a context is c1 to c4, or md2", start)
            sides = zip(*(pair or (0, 0) for pair in words), strict=True)
            value, mask = (b"".join(word.to_bytes(4, "big") for word in side) for side in sides)
            pairs["context"] = value, mask
        return pairs

    def pair(self, sub: Sub, start: int) -> Pair:
        """`=value[/mask]`."""
        self.equals(sub.name, start)
        value = self.number(sub)
        return value, self.converted(*self.word(), sub) if self._slash() else sub.full

    def _slash(self) -> bool:
        """Whether a mask follows."""
        start = self.next
        if not self.accept("/"):
            return False
        if not self._masked:
            raise self.error("a mask cannot be here", start)
        return True

    def _sub(self, field: str, sub: Sub) -> Callable[[int], dict[str, Pair]]:
        return lambda start: {field: self.pair(sub, start)}

    def _group(self, call: str, subs: dict[str, Sub]) -> dict[str, Pair]:
        self.expect("(", f"expected '(' after {call}")
        readers = {sub.name: self._sub(field, sub) for field, sub in subs.items()}
        pairs: dict[str, Pair] = {}
        for found in self.items(call, readers, empty=True).values():
            pairs |= found
        return pairs

    def _vxlan(self) -> dict[str, Pair]:
        self.expect("(", "expected '(' after vxlan")
        self.expect("gbp", "expected gbp(")
        pairs = self._group("gbp", _GBP)
        self.close("vxlan")
        return pairs

    def _flags(self) -> dict[str, Pair]:
        self.expect("(", "expected '(' after flags")
        word, start = self.word()
        if word[:1] in ("+", "-"):
            pair = self._signed(word, start)
        else:
            value = self._names(word, start)
            pair = value, self._names(*self.word()) if self._slash() else _ALL_FLAGS
        self.close("flags")
        return {"flags": pair}

    def _signed(self, word: str, start: int) -> Pair:
        if not self._masked:
            raise self.error("a mask cannot be here", start)
        if _ALL_SIGNED.fullmatch(word) is None:
            raise self.error("expected + or - and a flag, such as +csum-df", start)
        value = mask = 0
        for sign, name in _SIGNED.findall(word):
            bit = self._names(name, start)
            mask |= bit
            value |= bit if sign == "+" else 0
        return value, mask

    def _names(self, word: str, start: int) -> int:
        if word in ("", "0"):
            return 0
        value = 0
        for name in word.split("|"):
            if name not in _FLAGS:
                raise self.error(f"expected flags of a tunnel ({_FLAG_NAMES})", start)
            value |= _FLAGS[name]
        return value

    def _geneve(self) -> dict[str, Pair]:
        self.expect("(", "expected '(' after geneve")
        options = self.options()
        return {"geneve": (tuple(value for value, _ in options), tuple(mask for _, mask in options))}

    def options(self) -> list[tuple[GeneveOption, GeneveOption]]:
        """`{...}{...})`: options, each with its mask."""
        options = [self._option()]
        while not self.accept(")"):
            options.append(self._option())
        return options

    def _option(self) -> tuple[GeneveOption, GeneveOption]:
        self.expect("{", "expected an option such as {class=0xffff,type=0x80,len=4,0x1}")
        pairs = {"class": (0, 0), "type": (0, 0)}
        data: Pair | None = None
        size: int | None = None
        while True:
            start = self.next
            if self.text.startswith("0", start):
                if size is None:
                    raise self.error("len stands before the data", start)
                data = self._data(size), self._data(size) if self._slash() else b"\xff" * size
            else:
                name, start = self.name()
                if name == "len":
                    size = self._size(start)
                elif name in pairs:
                    pairs[name] = self.pair(_CLASS if name == "class" else _TYPE, start)
                else:
                    raise self.error("expected one of class=, type=, len= or the data", start)
            if self.accept("}"):
                break
            self.expect(",", "expected ',' or '}' in an option")
        value, mask = data or (bytes(size or 0), b"" if not size else bytes(size))
        return (
            GeneveOption(pairs["class"][0], pairs["type"][0], value),
            GeneveOption(pairs["class"][1], pairs["type"][1], mask),
        )

    def _size(self, start: int) -> int:
        self.equals("len", start)
        where = self.next
        size = self.number(decimal("len", 8))
        if size > MOST_OPTION_DATA or size % 4:
            raise self.error(f"len: {size} octets", where, f"a multiple of 4, at most {MOST_OPTION_DATA}")
        return size

    def _data(self, size: int) -> bytes:
        """A number of ``size`` octets, in hexadecimal."""
        word, start = self.word()
        if _HEX.fullmatch(word) is None:
            raise self.error("expected data such as 0x1", start)
        value = int(word, 16)
        if value >> 8 * size:
            raise self.error(f"the data does not fit into {size} octets", start, "len says how many octets there are")
        return value.to_bytes(size, "big")

    def _md2(self, start: int) -> dict[str, Pair]:
        self.equals("md2", start)
        value = self.hex_octets("the octets of md2")
        if not self._slash():
            return {"context": (value, b"\xff" * len(value))}
        where = self.next
        mask = self.hex_octets("the mask of md2")
        if len(mask) != len(value):
            raise self.error(f"md2 has {len(value)} octets and its mask {len(mask)}", where)
        return {"context": (value, mask)}


def tunnel_text(value: Tunnel, mask: Tunnel | None = None) -> str:
    """The inside of `tunnel(...)`.

    With a mask: what it compares, and what the value says besides.  Without one: all that the tunnel has.
    """
    texts = [
        sub.text(getattr(value, field), None if mask is None else getattr(mask, field))
        for field, sub in _TUNNEL.items()
        if getattr(value, field) or (_has(value, field) if mask is None else getattr(mask, field))
    ]
    texts += _group_texts("erspan", _ERSPAN, _ERSPAN_OF.get(value.erspan_ver, ("erspan_ver",)), value, mask)
    texts += [f"vxlan({text})" for text in _group_texts("gbp", _GBP, tuple(_GBP), value, mask)]
    if value.geneve:
        masks = None if mask is None else mask.geneve
        texts.append(f"geneve({options_text(value.geneve, masks)})")
    texts += _group_texts("gtpu", _GTPU, tuple(_GTPU), value, mask)
    if mask is None or value.flags or mask.flags:
        texts.append(f"flags({_flags_text(value.flags, _ALL_FLAGS if mask is None else mask.flags)})")
    return ",".join(texts)


def _has(value: Tunnel, field: str) -> bool:
    """Whether a tunnel has an attribute whose number is 0."""
    return field == "ttl" or (field == "tun_id" and bool(value.flags & _KEY))


def _group_texts(
    call: str, subs: dict[str, Sub], whole: tuple[str, ...], value: Tunnel, mask: Tunnel | None
) -> list[str]:
    """`call(...)`, or nothing where the tunnel has no such options; ``whole`` are those that a group has together."""
    said = {field for field in subs if getattr(value, field) or (mask is not None and getattr(mask, field))}
    if said and mask is None:
        said.update(whole)
    texts = [
        sub.text(getattr(value, field), None if mask is None else getattr(mask, field))
        for field, sub in subs.items()
        if field in said
    ]
    return [f"{call}({','.join(texts)})"] if texts else []


def _flags_text(value: int, mask: int) -> str:
    if mask == _ALL_FLAGS:
        return _names_text(value)
    if value & ~mask:
        return f"{_names_text(value)}/{_names_text(mask)}"
    return "".join(("+" if value & bit else "-") + name for name, bit in _FLAGS.items() if mask & bit)


def _names_text(flags: int) -> str:
    return "|".join(name for name, bit in _FLAGS.items() if flags & bit) or "0"


def options_text(options: tuple[GeneveOption, ...], masks: tuple[GeneveOption, ...] | None = None) -> str:
    """Geneve options, each in braces.  No masks (None): exact ones; masks that are missing: zeros."""
    if masks is None:
        return "".join(_option_text(option, None) for option in options)
    missing = (GeneveOption(0, 0, bytes(len(option.data))) for option in options[len(masks) :])
    return "".join(_option_text(*pair) for pair in zip(options, (*masks, *missing), strict=True))


def _option_text(option: GeneveOption, mask: GeneveOption | None) -> str:
    texts = []
    for sub, value, bits in (
        (_CLASS, option.cls, None if mask is None else mask.cls),
        (_TYPE, option.type, None if mask is None else mask.type),
    ):
        if bits is None or value or bits:
            texts.append(sub.text(value, bits))
    texts.append(f"len={len(option.data)}")
    ones = b"\xff" * len(option.data)
    bits_text = "" if mask is None or mask.data == ones else f"/{_data_text(mask.data)}"
    if option.data and (mask is None or any(option.data) or any(mask.data)):
        texts.append(_data_text(option.data) + bits_text)
    return "{" + ",".join(texts) + "}"


def _data_text(data: bytes) -> str:
    return hexadecimal(int.from_bytes(data, "big"))


def nsh_text(value: Nsh, mask: Nsh | None = None) -> str:
    """The inside of `nsh(...)`.  With a mask: what it compares, and what the value says besides; else everything."""
    texts = [
        _nsh_text(sub, getattr(value, field), sub.full if mask is None else getattr(mask, field))
        for field, sub in _NSH.items()
        if mask is None or getattr(value, field) or getattr(mask, field)
    ]
    return ",".join([*texts, *_context_texts(value, None if mask is None else mask.context)])


def _nsh_text(sub: Sub, value: int, mask: int) -> str:
    """A sub-field; hexadecimal with a fixed number of digits where it has a mask."""
    if mask == sub.full:
        return sub.text(value)
    return f"{sub.name}=0x{value:02x}/0x{mask:02x}" if sub.bits == 8 else f"{sub.name}=0x{value:x}/0x{mask:08x}"


def _context_texts(value: Nsh, mask: bytes | None) -> list[str]:
    context = value.context
    if not context:
        return []
    if value.mdtype == _MD2 or len(context) != MD1_OCTETS:
        suffix = "" if mask is None or mask == b"\xff" * len(context) else f"/0x{mask.hex()}"
        return [f"md2=0x{context.hex()}{suffix}"]
    words = [int.from_bytes(context[n : n + 4], "big") for n in range(0, MD1_OCTETS, 4)]
    if mask is None:
        return [sub.text(word) for sub, word in zip(_CONTEXT, words, strict=True)]
    bits = [int.from_bytes(mask[n : n + 4], "big") for n in range(0, MD1_OCTETS, 4)]
    trios = list(zip(_CONTEXT, words, bits, strict=True))
    return [_nsh_text(*trio) for trio in trios if trio[1] or trio[2]] or [_nsh_text(_CONTEXT[0], 0, 0)]


def exact_nsh(value: Nsh) -> Nsh:
    """The mask that compares all of a header."""
    full: dict[str, Any] = {field: sub.full for field, sub in _NSH.items()}
    return Nsh(**full, context=b"\xff" * len(value.context))
