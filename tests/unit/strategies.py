"""Hypothesis strategies for matches, UFIDs, actions and flows, made from the rows of `ctl.fields`.

`attrs()` draws legal key and mask attributes the way a client writes them; a `Match` then comes out of
the validator, so that every match drawn is one that the interface can hold, and none is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from hypothesis import strategies as st

from ctl import fields
from ctl.action import (
    NEVER_SET,
    Drop,
    Hash,
    HashAlgorithm,
    Output,
    PopVlan,
    PushVlan,
    Recirc,
    Set,
    Trunc,
    Userspace,
)
from ctl.fields import Field, Format
from ctl.flow import Actions, Flow, FlowStats, Match
from ctl.ufid import Ufid
from ctl.validate import (
    ETH_ARPS,
    ETH_IPV4,
    ETH_IPV6,
    ETH_MPLS,
    ND_TYPES,
    TPIDS,
    KeyAttrs,
    match_from_attrs,
    sections_of,
)

ETH_TYPES = (ETH_IPV4, ETH_IPV6, *ETH_ARPS, *ETH_MPLS, 0x88CC, 0x88B5, 0x0600, 0xFFFF)
PROTOS = (1, 6, 17, 47, 58, 132)
L3 = ("ipv4", "ipv6", "arp", "mpls")
L4 = ("tcp", "tcp_flags", "udp", "sctp", "icmp", "icmpv6", "nd")
METADATA = ("dp_hash", "skb_priority", "skb_mark")


_RARELY = st.sampled_from([False, False, False, True])
_MOSTLY = st.sampled_from([True, True, True, False])
_EITHER = st.booleans()
_ANY_L4 = st.lists(st.sampled_from(L4), unique=True, max_size=2)
_ANY_UPPER = st.lists(st.sampled_from(L3 + L4), unique=True, max_size=3)
_ANY_METADATA = st.lists(st.sampled_from(METADATA), unique=True, max_size=3)
_ICMP_TYPES = st.sampled_from(ND_TYPES) | st.integers(0, 255)
_PORTS = st.integers(0, 0xFFFE)


@cache
def values(row: Field) -> st.SearchStrategy[int]:
    """Any value of a row, the edges often."""
    top = row.full if row.limit is None else row.limit
    return st.sampled_from([0, 1, top]) | st.integers(0, top)


@cache
def masks(row: Field) -> st.SearchStrategy[int]:
    """Any mask of a row; exact and wild ones often."""
    if row.default:
        return st.just(row.full)
    some = st.sampled_from([0, row.full])
    return some if row.format is Format.FRAG else some | st.integers(0, row.full)


@cache
def _section(name: str, strategy) -> st.SearchStrategy[tuple[int, ...]]:
    return st.tuples(*(strategy(row) for row in fields.SECTIONS[name]))


def _column(name: str, leaf: str) -> int:
    return [row.leaf for row in fields.SECTIONS[name]].index(leaf)


def _set(section: tuple[int, ...], column: int, value: int) -> tuple[int, ...]:
    return (*section[:column], value, *section[column + 1 :])


@dataclass
class Drawn:
    key: KeyAttrs
    mask: KeyAttrs


@st.composite
def attrs(draw) -> Drawn:
    """Key and mask attributes that the interface accepts."""
    outer = Drawn(KeyAttrs({}), KeyAttrs({}))
    if draw(_EITHER):
        outer.key.sections["recirc_id"] = draw(_section("recirc_id", values))
    for name in draw(_ANY_METADATA):
        outer.key.sections[name] = draw(_section(name, values))
        outer.mask.sections[name] = draw(_section(name, masks))
    if draw(_EITHER):
        outer.key.sections["in_port"] = (draw(_PORTS),)
    if draw(_MOSTLY):
        outer.mask.sections["in_port"] = draw(_section("in_port", masks))
    ethernet = draw(_MOSTLY)
    if ethernet:
        outer.key.sections["eth"] = draw(_section("eth", values))
        outer.mask.sections["eth"] = draw(_section("eth", masks))
    level = outer
    for _ in range(draw(st.integers(0, 2)) if ethernet else 0):
        inner = Drawn(KeyAttrs({}), KeyAttrs({}))
        truncated = _tag(draw, level)
        level.key.encap, level.mask.encap = inner.key, inner.mask
        if truncated:
            return outer
        level = inner
    _inner(draw, level, may_lack_type=ethernet)
    return outer


def _tag(draw, outer: Drawn) -> bool:
    truncated = draw(_RARELY)
    outer.key.sections["eth_type"] = (draw(st.sampled_from(TPIDS)),)
    outer.mask.sections["eth_type"] = (0xFFFF,)
    vid, pcp, _ = draw(_section("vlan", values))
    outer.key.sections["vlan"] = (0, 0, 0) if truncated else (vid, pcp, 1)
    outer.mask.sections["vlan"] = draw(_section("vlan", masks))
    return truncated


def _inner(draw, level: Drawn, *, may_lack_type: bool) -> None:
    exact_type = draw(_MOSTLY)
    level.mask.sections["eth_type"] = (0xFFFF if exact_type else 0,)
    if may_lack_type and draw(_RARELY):
        return
    eth_type = draw(st.sampled_from(ETH_TYPES))
    level.key.sections["eth_type"] = (eth_type,)
    proto, frag = draw(st.sampled_from(PROTOS)), draw(st.integers(0, 2))
    icmp_type = draw(_ICMP_TYPES)
    needed = sections_of(eth_type, proto, frag, icmp_type)
    for name in needed:
        level.key.sections[name] = draw(_section(name, values))
    # A key may carry attributes that its kind of packet does not have, without masks.
    for name in draw(_ANY_L4 if needed else _ANY_UPPER):
        if name not in needed:
            level.key.sections[name] = draw(_section(name, values))
    if not needed:
        return
    l3 = needed[0]
    if l3 in ("ipv4", "ipv6"):
        section = _set(level.key.sections[l3], _column(l3, "ip_proto"), proto)
        level.key.sections[l3] = _set(section, _column(l3, "ip_frag"), frag)
    if "icmpv6" in needed:
        level.key.sections["icmpv6"] = (icmp_type, draw(st.integers(0, 255)))
    if exact_type:
        _upper_masks(draw, level, needed)


def _upper_masks(draw, level: Drawn, needed: tuple[str, ...]) -> None:
    l3 = needed[0]
    level.mask.sections[l3] = draw(_section(l3, masks))
    if len(needed) == 1 or level.mask.sections[l3][_column(l3, "ip_proto")] != 0xFF:
        return
    for name in needed[1:]:
        if name != "nd" or level.mask.sections["icmpv6"][0] == 0xFF:
            level.mask.sections[name] = draw(_section(name, masks))


def matches() -> st.SearchStrategy[Match]:
    """Every match that the interface can hold, with bits outside the mask."""
    return attrs().map(lambda drawn: match_from_attrs(drawn.key, drawn.mask))


def ufids() -> st.SearchStrategy[Ufid]:
    return st.binary(min_size=1, max_size=16).map(Ufid)


_U32 = st.sampled_from([0, 1, 0xFFFFFFFF]) | st.integers(0, 0xFFFFFFFF)
_ANYWHERE = (
    st.builds(Output, st.integers(0, 0xFFFE))
    | st.builds(Recirc, _U32)
    | st.builds(Hash, st.sampled_from(HashAlgorithm), _U32)
    | st.builds(Trunc, st.integers(14, 0xFFFFFFFF))
    | st.builds(
        Userspace,
        st.integers(1, 0xFFFFFFFF),
        st.none() | st.binary(max_size=8),
        st.none() | _U32,
        st.booleans(),
    )
)
_ON_ETHERNET = st.just(PopVlan()) | st.builds(
    PushVlan, st.sampled_from(TPIDS), st.integers(0, 0xFFFF).map(lambda tci: tci | 0x1000)
)


def settable(match: Match) -> list[str]:
    """The sections that a flow of this match may set."""
    key, mask = match.masked, match.mask
    sections = ["skb_priority", "skb_mark", *(["eth"] if key["l2_kind"] else [])]
    l3 = {ETH_IPV4: "ipv4", ETH_IPV6: "ipv6"}.get(key["eth_type"])
    if l3 is None:
        return sections
    l4 = {6: "tcp", 17: "udp", 132: "sctp"}.get(key["ip_proto"])
    return [*sections, l3, *([l4] if l4 and mask["ip_proto"] == 0xFF else [])]


@st.composite
def sets(draw, match: Match) -> Set:
    """A plain or a masked set that a flow of this match may have."""
    name = draw(st.sampled_from(settable(match)))
    rows = fields.SECTIONS[name]
    value = draw(_section(name, values))
    fixed = [row.leaf in NEVER_SET for row in rows]
    if draw(_EITHER):
        return Set(
            name, tuple(match.masked[row.leaf] if f else v for row, v, f in zip(rows, value, fixed, strict=True))
        )
    mask = tuple(0 if f else m for f, m in zip(fixed, draw(_section(name, masks)), strict=True))
    return Set(name, tuple(v & m for v, m in zip(value, mask, strict=True)), mask)


@st.composite
def actions(draw, match: Match) -> Actions:
    """An action list that a flow of this match may have."""
    kinds = _ANYWHERE | sets(match)
    if match.masked["l2_kind"]:
        kinds |= _ON_ETHERNET
    listed = draw(st.lists(kinds, max_size=6))
    return (*listed, *([Drop(draw(_U32))] if draw(_RARELY) else []))


def stats() -> st.SearchStrategy[FlowStats]:
    counter = st.integers(0, (1 << 64) - 1)
    return st.builds(
        FlowStats,
        packets=counter,
        bytes=counter,
        used_ms=st.none() | st.integers(0, 10**12),
        tcp_flags=st.integers(0, 255),
    )


@st.composite
def flows(draw) -> Flow:
    """A flow as a datapath reports it: with a UFID, its key is masked."""
    ufid = draw(st.none() | ufids())
    match = draw(matches())
    if ufid is not None:
        match = Match(match.masked, match.mask)
    return Flow(ufid=ufid, match=match, actions=draw(actions(match)), stats=draw(stats()))
