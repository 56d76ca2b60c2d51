"""What a flow key must be: from attributes to a `Match`, or a refusal that says why.

The rules are those of the OVS kernel interface (flow_netlink.c); the numbers in the comments count as in
the project's conformance list: 4 and 10 say which masks may be given, 5 to 8 which attributes a key must
have, 11 to 13 which masks are widened, 14 the VLAN tag, 15 the ranges.  Superfluous attributes are legal
in a key (9) and overwrite the leaves that they share.

`KeyAttrs` is the common ground of everything that reads flows: the text parser fills one for the key and
one for the mask, and so can a netlink codec.  Values are numbers, one for each row of the section.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from operator import gt
from typing import Final, NamedTuple

from ctl import abi, fields
from ctl.errors import FlowInvalid, NotSupported
from ctl.flow import FlowKey, Match

ETH_802_2: Final = 0x0004  # stands for the type that an 802.2 frame does not have
ETH_MIN: Final = 0x0600
ETH_IPV4: Final = 0x0800
ETH_IPV6: Final = 0x86DD
ETH_ARPS: Final = (0x0806, 0x8035)
TPIDS: Final = (0x8100, 0x88A8)
TCI_PRESENT: Final = 0x1000
ANY_PORT: Final = 0xFFFF  # in_port of a key that names none
_ALL8: Final = 0xFF
_ALL16: Final = 0xFFFF
_FRAG_LATER: Final = int(abi.FragKind.FRAG_LATER)

_L3_OF_TYPE: Final = {ETH_IPV4: "ipv4", ETH_IPV6: "ipv6"} | dict.fromkeys(ETH_ARPS, "arp")
_L4_OF_PROTO: Final = {
    "ipv4": {6: ("tcp", "tcp_flags"), 17: ("udp",), 1: ("icmp",)},
    "ipv6": {6: ("tcp", "tcp_flags"), 17: ("udp",), 58: ("icmpv6",)},
}
_SCTP: Final = 132
_ICMPV6: Final = 58
_ND_TYPES: Final = (135, 136)
SECOND_TAG: Final = "a second VLAN tag (vlan inside encap) is not supported yet"
_WIDENED: Final = {"in_port": (0xFFFFFFFF,), "eth_type": (0xFFFF,)}  # these masks are all or nothing
_L2: Final = ("recirc_id", "in_port", "eth", "eth_type")
_L3: Final = ("ipv4", "ipv6", "arp")

Values = tuple[int, ...]

# By section: the leaves of its rows, and their largest values.
_LEAVES: Final = {name: tuple(row.leaf for row in rows) for name, rows in fields.SECTIONS.items()}
_LARGEST: Final = {
    name: tuple(row.full if row.limit is None else row.limit for row in rows) for name, rows in fields.SECTIONS.items()
}


@dataclass(slots=True)
class KeyAttrs:
    """The attributes that a key (or mask) has: section name -> one number for each row of the section.

    ``encap`` holds what stands behind a VLAN tag; None: there is no such attribute.
    """

    sections: dict[str, Values] = field(default_factory=dict)
    encap: KeyAttrs | None = None


def sections_of(eth_type: int, proto: int, frag: int) -> tuple[str, ...]:
    """The layer 3 and 4 sections that a key of this type, protocol and fragment kind must have (7, 8)."""
    l3 = _L3_OF_TYPE.get(eth_type)
    if l3 is None:
        return ()
    if l3 == "arp" or frag == _FRAG_LATER:
        return (l3,)
    return (l3, *_L4_OF_PROTO[l3].get(proto, ()))


class _Shape(NamedTuple):
    """All that a key says about the masks that it may have."""

    names: tuple[str, ...]  # of its sections, on both levels
    tci: int | None  # None: there is no tag
    eth_type: int
    proto: int
    frag: int


class _Given(NamedTuple):
    """A mask's attributes, as a value."""

    sections: tuple[tuple[str, Values], ...]
    encap: tuple[tuple[str, Values], ...] | None


def match_from_attrs(key: KeyAttrs, mask: KeyAttrs | None) -> Match:
    """The match of a key and a mask; without a mask (None) every attribute of the key is exact.

    FlowInvalid names the first attribute that breaks a rule; NotSupported what this datapath lacks.
    """
    leaves, merged = _key_leaves(key)
    if mask is None:
        mask = _exact(key)
    if mask.encap is not None and mask.encap.encap is not None:
        raise NotSupported(SECOND_TAG)
    shape = _Shape(
        tuple(merged),
        None if key.encap is None else leaves["vlan_tci"],
        leaves["eth_type"],
        leaves.get("ip_proto", 0),
        leaves.get("ip_frag", 0),
    )
    encap = None if mask.encap is None else tuple(mask.encap.sections.items())
    return Match(FlowKey.of(**leaves), _mask(shape, _Given(tuple(mask.sections.items()), encap)))


def key_from_attrs(key: KeyAttrs) -> FlowKey:
    """The concrete key that names a flow without a UFID.  Raises as `match_from_attrs` does."""
    leaves, _ = _key_leaves(key)
    return FlowKey.of(**leaves)


def _exact(attrs: KeyAttrs) -> KeyAttrs:
    """All ones over the attributes that are there (3)."""
    ones = {name: tuple(row.full for row in fields.SECTIONS[name]) for name in attrs.sections}
    return KeyAttrs(ones, None if attrs.encap is None else _exact(attrs.encap))


def _key_leaves(key: KeyAttrs) -> tuple[dict[str, int], dict[str, Values]]:
    """The key's leaves, and its sections with those behind the tag in one dict."""
    sections = dict(key.sections) if key.encap is None else _merge(key.sections, key.encap.sections)
    leaves = {"l2_kind": int(abi.L2Kind.L2_ETHERNET if "eth" in sections else abi.L2Kind.L2_NONE)}
    outer = key.sections.get("eth_type")
    tagged = "eth" in key.sections and outer is not None and outer[0] in TPIDS
    if tagged or "vlan" in sections or key.encap is not None:
        leaves |= _tag_leaves(key, sections, tagged=tagged)
    _check_layer2(sections, leaves)
    _check_ranges(sections)
    if "in_port" not in sections:
        leaves["in_port"] = ANY_PORT  # 13
    for name, names in _LEAVES.items():
        if name in sections and name != "vlan":
            leaves.update(zip(names, sections[name], strict=True))
    _check_must_haves(sections, leaves)
    return leaves, sections


def _merge(outer: dict[str, Values], inner: dict[str, Values]) -> dict[str, Values]:
    """The sections of both levels, without the tag's own type.  One on both levels is a duplicate (1)."""
    outer = {name: values for name, values in outer.items() if name != "eth_type"}
    for name in inner:
        if name in outer:
            raise FlowInvalid("given both inside and outside encap", name)
    return outer | inner


def _tag_leaves(key: KeyAttrs, sections: dict[str, Values], *, tagged: bool) -> dict[str, int]:
    """Rule 14 for the key.  A truncated tag has no TCI and its TPID is the frame's type."""
    if not tagged:
        raise FlowInvalid(
            "needs eth() and a tag's eth_type outside encap",
            "vlan" if "vlan" in sections else "encap",
            "write eth(...),eth_type(0x8100),vlan(...),encap(eth_type(...),...)",
        )
    if "vlan" not in key.sections or key.encap is None:
        missing = "vlan" if "vlan" not in key.sections else "encap"
        raise FlowInvalid(f"{missing}() is missing", "eth_type", "a tagged frame has vlan(...) and encap(...)")
    inner = key.encap
    inner_type = inner.sections.get("eth_type")
    if inner.encap is not None or "vlan" in inner.sections or (inner_type is not None and inner_type[0] in TPIDS):
        raise NotSupported(SECOND_TAG)
    tpid, tci = key.sections["eth_type"][0], _pack_tci(key.sections["vlan"])
    if tci & TCI_PRESENT:
        return {"vlan_tci": tci, "vlan_tpid": tpid}
    if tci:
        raise FlowInvalid("a tag with cfi=0 must have vid=0 and pcp=0", "vlan", "leave cfi out, or write cfi=1")
    if inner.sections:
        raise FlowInvalid("a truncated tag (cfi=0) has nothing behind it", "encap", "leave cfi out, or write encap()")
    sections["eth_type"] = (tpid,)
    return {"vlan_tci": 0}


def _pack_tci(values: Values) -> int:
    return sum(value << row.shift for row, value in zip(fields.SECTIONS["vlan"], values, strict=True))


def _check_layer2(sections: dict[str, Values], leaves: dict[str, int]) -> None:
    """Rules 5 and 6."""
    if "eth_type" not in sections:
        if "eth" not in sections:
            raise FlowInvalid("a key needs eth() or eth_type()", "eth", "eth() matches every Ethernet frame")
        leaves["eth_type"] = ETH_802_2
    elif sections["eth_type"][0] < ETH_MIN:
        raise FlowInvalid(
            f"{sections['eth_type'][0]:#x} is a length, not a type (at least 0x0600)",
            "eth_type",
            "eth_type(0/0xffff) matches 802.2 frames",
        )


def _check_ranges(sections: dict[str, Values]) -> None:
    """Rules 13 and 15, and what this datapath cannot hold."""
    for name, values in sections.items():
        if any(map(gt, values, _LARGEST[name])):
            trios = zip(fields.SECTIONS[name], values, _LARGEST[name], strict=True)
            row, value, largest = next(trio for trio in trios if trio[1] > trio[2])
            raise FlowInvalid(f"{row.name or 'the value'} is {value}, at most {largest} is possible", name)
    if "in_port" in sections and sections["in_port"][0] >= ANY_PORT:
        raise FlowInvalid(f"{sections['in_port'][0]} is no port number (0 to {ANY_PORT - 1})", "in_port")
    if sections.get("recirc_id", (0,))[0]:
        raise NotSupported("recirc_id other than 0 is not supported yet")


def _check_must_haves(sections: dict[str, Values], leaves: dict[str, int]) -> None:
    """Rules 7 and 8, by what the leaves hold in the end."""
    eth_type = leaves["eth_type"]
    l3 = _L3_OF_TYPE.get(eth_type)
    if l3 is None:
        return
    _require(sections, l3, f"eth_type({eth_type:#06x})")
    proto = leaves["ip_proto"]
    if l3 == "arp" or leaves["ip_frag"] == _FRAG_LATER:
        return
    if proto == _SCTP:
        raise NotSupported(f"sctp ({l3} protocol {_SCTP}) is not supported yet")
    for l4 in _L4_OF_PROTO[l3].get(proto, ()):
        _require(sections, l4, f"{l3}(proto={proto})")
    if l3 == "ipv6" and proto == _ICMPV6 and leaves["tp_src"] in _ND_TYPES:
        raise NotSupported(f"nd (icmpv6 type {leaves['tp_src']}) is not supported yet")


def _require(sections: dict[str, Values], name: str, why: str) -> None:
    if name not in sections:
        wild = "tcp_flags(0/0)" if name == "tcp_flags" else f"{name}()"
        raise FlowInvalid(f"missing, and {why} needs it", name, f"add {wild} to match any")


@lru_cache(maxsize=1024)
def _mask(shape: _Shape, given: _Given) -> FlowKey:
    """The mask of a legal key.  Equal masks are one object: of many flows most share theirs."""
    bits = {"recirc_id": 0xFFFFFFFF, "l2_kind": _ALL8, "vlan_tci": _ALL16, "cvlan_tci": _ALL16}  # 12
    if shape.tci:
        bits["vlan_tpid"] = _ALL16
    sections = dict(given.sections)
    if sections.get("recirc_id", (bits["recirc_id"],))[0] != bits["recirc_id"]:
        raise FlowInvalid("is always matched exactly", "recirc_id", "leave the mask out")
    if given.encap is not None:
        sections = _mask_behind_tag(shape, sections, dict(given.encap), bits)
    elif any(sections.pop("vlan", ())):
        raise FlowInvalid("has a mask, and encap has none", "vlan")
    sections = {name: _WIDENED.get(name, values) for name, values in sections.items() if any(values)}  # 2, 11, 13
    for name in sections:
        if name not in shape.names and name not in _WIDENED:  # 4
            raise FlowInvalid("has a mask and no value", name)
    for name, values in sections.items():
        for row, value in zip(fields.SECTIONS[name], values, strict=True):
            bits[row.leaf] = row.to_leaf_mask(value)
    _check_layer_masks(shape, sections, bits)
    if bits.get("ip_frag", 0) not in (0, _ALL8):
        l3 = _L3_OF_TYPE[shape.eth_type]
        raise FlowInvalid(f"frag mask {bits['ip_frag']:#x} is neither 0 nor 0xff", l3, "give frag without a mask")
    return FlowKey.of(**bits)


def _mask_behind_tag(
    shape: _Shape, outer: dict[str, Values], inner: dict[str, Values], bits: dict[str, int]
) -> dict[str, Values]:
    """Rule 14 for the mask: the sections without those of the tag, whose bits go to ``bits``."""
    if shape.tci is None:
        raise FlowInvalid("has a mask, and the frame has no tag", "encap")
    tpid = outer.get("eth_type", (0,))[0]
    if tpid != _ALL16:
        raise FlowInvalid(f"the tag's type must be exact, its mask is {tpid:#06x}", "eth_type", "leave the mask out")
    sections = _merge(outer, inner)
    tci = _pack_tci(sections.pop("vlan", (0, 0, 0)))
    if not tci & TCI_PRESENT:
        raise FlowInvalid("cfi must be exact in a mask", "vlan", "leave cfi out: it is 1 in every tag")
    bits["vlan_tci"] = tci
    if shape.tci == 0:
        sections["eth_type"] = (tpid,)
    return sections


def _check_layer_masks(shape: _Shape, sections: dict[str, Values], bits: dict[str, int]) -> None:
    """Rule 10: a mask needs the lower layer's value, and that exactly."""
    l3 = _L3_OF_TYPE.get(shape.eth_type)
    allowed = sections_of(shape.eth_type, shape.proto, shape.frag)
    for name in sections:
        if name in _L2:
            continue
        if name in _L3 and name != l3:
            raise FlowInvalid(f"cannot be matched with eth_type({shape.eth_type:#06x})", name, f"leave {name}() out")
        if name not in allowed:
            raise FlowInvalid("cannot be matched with this protocol or fragment kind", name, f"leave {name}() out")
        if name in _L3:
            if bits.get("eth_type") != _ALL16:
                raise FlowInvalid("cannot be matched while eth_type is wild", name, "give eth_type without a mask")
        elif bits.get("ip_proto") != _ALL8:
            hint = f"give proto={shape.proto} without a mask"
            raise FlowInvalid(f"cannot be matched while the protocol of {l3} is not exact", name, hint)
