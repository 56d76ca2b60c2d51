"""What a flow key must be: from attributes to a `Match`, or a refusal that says why.

The rules are those of the OVS kernel interface (flow_netlink.c); the numbers in the comments count as in
the project's conformance list: 4 and 10 say which masks may be given, 5 to 8 which attributes a key must
have, 11 to 13 which masks are widened, 14 the VLAN tag, 15 the ranges.  Superfluous attributes are legal
in a key (9) and overwrite the leaves that they share.

`KeyAttrs` is the common ground of everything that reads flows: the text parser fills one for the key and
one for the mask, and so can a netlink codec.  What the datapath does not hold must be wild (2).
"""

from __future__ import annotations

from functools import lru_cache
from operator import gt
from typing import Final, NamedTuple

from ctl import abi, fields
from ctl.attrs import KeyAttrs, Values
from ctl.errors import FlowInvalid
from ctl.flow import FlowKey, Match
from ctl.validate_held import held, held_key

ETH_802_2: Final = 0x0004  # stands for the type that an 802.2 frame does not have
ETH_MIN: Final = 0x0600  # below, the field is a length (IEEE 802.3)
ETH_IPV4: Final = 0x0800
ETH_IPV6: Final = 0x86DD
ETH_ARPS: Final = (0x0806, 0x8035)
ETH_MPLS: Final = (0x8847, 0x8848)
ETH_NSH: Final = 0x894F  # RFC 8300
TPIDS: Final = (0x8100, 0x88A8)  # IEEE 802.1Q, 802.1ad
TCI_PRESENT: Final = 0x1000  # takes the place of the tag's drop-eligible bit
PROTO_OF: Final = {"tcp": 6, "udp": 17, "sctp": 132}  # IANA
ANY_PORT: Final = 0xFFFF  # in_port of a key that names none
ND_TYPES: Final = (135, 136)
_ALL8: Final = 0xFF
_ALL16: Final = 0xFFFF
_ALL32: Final = 0xFFFFFFFF
_FRAG_LATER: Final = int(abi.FragKind.FRAG_LATER)

_L3_OF_TYPE: Final = (
    {ETH_IPV4: "ipv4", ETH_IPV6: "ipv6"} | dict.fromkeys(ETH_ARPS, "arp") | dict.fromkeys(ETH_MPLS, "mpls")
)
_L4_OF_PROTO: Final = {
    "ipv4": {6: ("tcp", "tcp_flags"), 17: ("udp",), 132: ("sctp",), 1: ("icmp",)},
    "ipv6": {6: ("tcp", "tcp_flags"), 17: ("udp",), 132: ("sctp",), 58: ("icmpv6",)},
}
_WIDENED: Final = {"in_port": (_ALL32,), "eth_type": (_ALL16,)}  # these masks are all or nothing
_L2: Final = frozenset({"recirc_id", "dp_hash", "skb_priority", "in_port", "skb_mark", "eth", "eth_type"})
_L3: Final = frozenset(_L3_OF_TYPE.values())
_TAG_LEAVES: Final = tuple((tag.rows[0].leaf, tag.type.leaf) for tag in fields.TAGS)

# By section: its rows' leaf when they share it; else the leaves of its rows.  And their largest values.
_PACKED: Final = {name: rows[0].leaf for name, rows in fields.SECTIONS.items() if all(row.packed for row in rows)}
_LEAVES: Final = {name: tuple(row.leaf for row in rows) for name, rows in fields.SECTIONS.items()}
_LARGEST: Final = {
    name: tuple(row.full if row.limit is None else row.limit for row in rows) for name, rows in fields.SECTIONS.items()
}


def sections_of(eth_type: int, proto: int, frag: int, icmp_type: int) -> tuple[str, ...]:
    """The layer 3 and 4 sections that a key must have (7, 8).  ``icmp_type`` counts for ICMPv6 only."""
    l3 = _L3_OF_TYPE.get(eth_type)
    if l3 is None:
        return ()
    if l3 not in _L4_OF_PROTO or frag == _FRAG_LATER:
        return (l3,)
    l4 = _L4_OF_PROTO[l3].get(proto, ())
    return (l3, *l4, "nd") if "icmpv6" in l4 and icmp_type in ND_TYPES else (l3, *l4)


class _Shape(NamedTuple):
    """All that a key says about the masks that it may have."""

    names: tuple[str, ...]  # of its sections, on all levels
    tags: tuple[bool, ...]  # from the outer one; False: truncated
    needed: tuple[str, ...]  # the sections that this kind of packet has
    eth_type: int
    proto: int


# A mask's attributes as a value, level by level.
_Given = tuple[tuple[tuple[str, Values], ...], ...]


def match_from_attrs(key: KeyAttrs, mask: KeyAttrs | None) -> Match:
    """The match of a key and a mask; without a mask (None) every attribute of the key is exact.

    FlowInvalid names the first attribute that breaks a rule, NotSupported what is not wild and not held.
    """
    key, mask = held(key, mask)
    leaves, shape = _key_leaves(key)
    given = tuple(tuple(level.sections.items()) for level in (_exact(key) if mask is None else mask).levels())
    return Match(FlowKey.of(**leaves), _mask(shape, given))


def key_from_attrs(key: KeyAttrs) -> FlowKey:
    """The concrete key that names a flow without a UFID.  Raises as `match_from_attrs` does."""
    leaves, _ = _key_leaves(held_key(key))
    return FlowKey.of(**leaves)


def _exact(attrs: KeyAttrs) -> KeyAttrs:
    """All ones over the attributes that are there (3)."""
    ones = {name: tuple(row.full for row in fields.SECTIONS[name]) for name in attrs.sections}
    return KeyAttrs(ones, None if attrs.encap is None else _exact(attrs.encap))


def _key_leaves(key: KeyAttrs) -> tuple[dict[str, int], _Shape]:
    """The key's leaves, and what masks need to know."""
    ethernet = "eth" in key.sections
    leaves = {"l2_kind": int(abi.L2Kind.L2_ETHERNET if ethernet else abi.L2Kind.L2_NONE)}
    sections, tags = _behind_tags(key, leaves) if ethernet else (_untagged(key, 0), ())
    _check_layer2(sections, leaves)
    _check_ranges(sections)
    if "in_port" not in sections:
        leaves["in_port"] = ANY_PORT  # 13
    for name, names in _LEAVES.items():
        if name in sections:
            if name in _PACKED:
                leaves[_PACKED[name]] = _pack(name, sections[name])
            else:
                leaves.update(zip(names, sections[name], strict=True))
    needed = _check_must_haves(sections, leaves)
    return leaves, _Shape(tuple(sections), tags, needed, leaves["eth_type"], leaves.get("ip_proto", 0))


def _pack(name: str, values: Values) -> int:
    """The leaf that a section's rows share."""
    return sum(value << row.shift for row, value in zip(fields.SECTIONS[name], values, strict=True))


def _merge(outer: dict[str, Values], inner: dict[str, Values]) -> dict[str, Values]:
    """The sections of two levels.  One on both is a duplicate (1)."""
    for name in inner:
        if name in outer:
            raise FlowInvalid("given both inside and outside encap", name)
    return outer | inner


def _behind_tags(key: KeyAttrs, leaves: dict[str, int]) -> tuple[dict[str, Values], tuple[bool, ...]]:
    """Rule 14 for the key: its sections without those of tags, whose numbers go to ``leaves``; and its tags."""
    sections: dict[str, Values] = {}
    tags: list[bool] = []
    level = key
    for tci_leaf, tpid_leaf in _TAG_LEAVES:
        if level.sections.get("eth_type", (0,))[0] not in TPIDS:
            break
        here = dict(level.sections)
        tci, inner = _checked_tag(level)
        leaves[tci_leaf] = tci
        tags.append(bool(tci))
        if tci:
            leaves[tpid_leaf] = here.pop("eth_type")[0]
        del here["vlan"]
        sections = _merge(sections, here)
        level = inner
        if not tci:
            break
    return _merge(sections, _untagged(level, len(tags))), tuple(tags)


def _untagged(level: KeyAttrs, tags: int) -> dict[str, Values]:
    """The sections behind the last tag.  ``tags``: how many there were."""
    if "vlan" not in level.sections and level.encap is None:
        return level.sections
    name = "vlan" if "vlan" in level.sections else "encap"
    if tags == len(_TAG_LEAVES):
        raise FlowInvalid("a third tag cannot be matched", name, "leave it out, or match it as eth_type(0x8100)")
    raise FlowInvalid(
        "needs eth() and a tag's eth_type outside encap",
        name,
        "write eth(...),eth_type(0x8100),vlan(...),encap(eth_type(...),...)",
    )


def _checked_tag(level: KeyAttrs) -> tuple[int, KeyAttrs]:
    """The TCI of a tag, 0 if it is truncated, and what stands behind it."""
    if "vlan" not in level.sections or level.encap is None:
        missing = "vlan" if "vlan" not in level.sections else "encap"
        raise FlowInvalid(f"{missing}() is missing", "eth_type", "a tagged frame has vlan(...) and encap(...)")
    _check_ranges({"vlan": level.sections["vlan"]})
    tci = _pack("vlan", level.sections["vlan"])
    if tci and not tci & TCI_PRESENT:
        raise FlowInvalid("a tag with cfi=0 must have vid=0 and pcp=0", "vlan", "leave cfi out, or write cfi=1")
    if not tci and (level.encap.sections or level.encap.encap is not None):
        raise FlowInvalid("a truncated tag (cfi=0) has nothing behind it", "encap", "leave cfi out, or write encap()")
    return tci, level.encap


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


def _check_must_haves(sections: dict[str, Values], leaves: dict[str, int]) -> tuple[str, ...]:
    """Rules 7 and 8, by what the leaves hold in the end.  The sections that this kind of packet has."""
    eth_type, proto, icmp_type = leaves["eth_type"], leaves.get("ip_proto", 0), leaves.get("tp_src", 0)
    needed = sections_of(eth_type, proto, leaves.get("ip_frag", 0), icmp_type)
    for name in needed:
        if name not in sections:
            l3 = f"eth_type({eth_type:#06x})"
            why = {needed[0]: l3, "nd": f"icmpv6(type={icmp_type})"}.get(name, f"{needed[0]}(proto={proto})")
            wild = "tcp_flags(0/0)" if name == "tcp_flags" else f"{name}()"
            raise FlowInvalid(f"missing, and {why} needs it", name, f"add {wild} to match any")
    return needed


@lru_cache(maxsize=1024)
def _mask(shape: _Shape, given: _Given) -> FlowKey:
    """The mask of a legal key.  Equal masks are one object: of many flows most share theirs."""
    bits = {"recirc_id": _ALL32, "l2_kind": _ALL8, "vlan_tci": _ALL16, "cvlan_tci": _ALL16}  # 12
    for whole, (_, tpid_leaf) in zip(shape.tags, _TAG_LEAVES, strict=False):
        if whole:
            bits[tpid_leaf] = _ALL16
    sections = _mask_behind_tags(shape, given, bits)
    if sections.get("recirc_id", (_ALL32,))[0] != _ALL32:
        raise FlowInvalid("is always matched exactly", "recirc_id", "leave the mask out")
    sections = {name: _WIDENED.get(name, values) for name, values in sections.items() if any(values)}  # 2, 11, 13
    for name in sections:
        if name not in shape.names and name not in _WIDENED:  # 4
            raise FlowInvalid("has a mask and no value", name)
    for name, values in sections.items():
        if name in _PACKED:
            bits[_PACKED[name]] = _pack(name, values)
            continue
        for row, value in zip(fields.SECTIONS[name], values, strict=True):
            bits[row.leaf] = row.to_leaf_mask(value)
    _check_layer_masks(shape, sections, bits)
    if bits.get("ip_frag", 0) not in (0, _ALL8):
        l3 = shape.needed[0]
        raise FlowInvalid(f"frag mask {bits['ip_frag']:#x} is neither 0 nor 0xff", l3, "give frag without a mask")
    return FlowKey.of(**bits)


def _mask_behind_tags(shape: _Shape, given: _Given, bits: dict[str, int]) -> dict[str, Values]:
    """Rule 14 for the mask: the sections without those of tags, whose bits go to ``bits``."""
    sections: dict[str, Values] = {}
    for depth, items in enumerate(given[:-1]):
        if depth == len(shape.tags):
            which = "second tag" if depth else "tag"
            raise FlowInvalid(f"has a mask, and the frame has no {which}", "encap")
        level = dict(items)
        tpid = level.pop("eth_type", (0,))
        if tpid[0] != _ALL16:
            raise FlowInvalid(f"the tag's type must be exact, its mask is {tpid[0]:#06x}", "eth_type", "leave it out")
        tci = _pack("vlan", level.pop("vlan", (0, 0, 0)))
        if not tci & TCI_PRESENT:
            raise FlowInvalid("cfi must be exact in a mask", "vlan", "leave cfi out: it is 1 in every tag")
        bits[_TAG_LEAVES[depth][0]] = tci
        sections = _merge(sections, level)
        if not shape.tags[depth]:
            sections["eth_type"] = tpid
    last = dict(given[-1])
    if any(last.pop("vlan", ())):
        raise FlowInvalid("has a mask, and encap has none", "vlan")
    return _merge(sections, last)


def _check_layer_masks(shape: _Shape, sections: dict[str, Values], bits: dict[str, int]) -> None:
    """Rule 10: a mask needs the lower layer's value, and that exactly."""
    l3 = shape.needed[0] if shape.needed else None
    for name in sections:
        if name in _L2:
            continue
        if name in _L3 and name != l3:
            raise FlowInvalid(f"cannot be matched with eth_type({shape.eth_type:#06x})", name, f"leave {name}() out")
        if name not in shape.needed:
            raise FlowInvalid("cannot be matched with this protocol or fragment kind", name, f"leave {name}() out")
        if name in _L3:
            if bits.get("eth_type") != _ALL16:
                raise FlowInvalid("cannot be matched while eth_type is wild", name, "give eth_type without a mask")
        elif bits.get("ip_proto") != _ALL8:
            hint = f"give proto={shape.proto} without a mask"
            raise FlowInvalid(f"cannot be matched while the protocol of {l3} is not exact", name, hint)
        if name == "nd" and bits.get("tp_src") != _ALL16:
            hint = "give the type of icmpv6 without a mask"
            raise FlowInvalid("cannot be matched while the type of icmpv6 is not exact", name, hint)
