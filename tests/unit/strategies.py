"""Hypothesis strategies for matches, UFIDs, actions and flows, made from the rows of `ctl.fields`.

`attrs()` draws legal key and mask attributes the way a client writes them; a `Match` then comes out of
the validator, so that every match drawn is one that the interface can hold, and none is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from hypothesis import strategies as st

from ctl import fields
from ctl.fields import Field, Format
from ctl.flow import Flow, FlowStats, Match, Output
from ctl.ufid import Ufid
from ctl.validate import ETH_ARPS, ETH_IPV4, ETH_IPV6, TPIDS, KeyAttrs, match_from_attrs, sections_of

ETH_TYPES = (ETH_IPV4, ETH_IPV6, *ETH_ARPS, 0x88CC, 0x88B5, 0x0600, 0xFFFF)
PROTOS = (1, 6, 17, 47, 58)
L3 = ("ipv4", "ipv6", "arp")
L4 = ("tcp", "tcp_flags", "udp", "icmp", "icmpv6")


_RARELY = st.sampled_from([False, False, False, True])
_MOSTLY = st.sampled_from([True, True, True, False])
_EITHER = st.booleans()
_ANY_L4 = st.lists(st.sampled_from(L4), unique=True, max_size=2)
_ANY_UPPER = st.lists(st.sampled_from(L3 + L4), unique=True, max_size=3)
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
        outer.key.sections["recirc_id"] = (0,)
    if draw(_EITHER):
        outer.key.sections["in_port"] = (draw(_PORTS),)
    if draw(_MOSTLY):
        outer.mask.sections["in_port"] = draw(_section("in_port", masks))
    ethernet = draw(_MOSTLY)
    if ethernet:
        outer.key.sections["eth"] = draw(_section("eth", values))
        outer.mask.sections["eth"] = draw(_section("eth", masks))
    level = outer
    if ethernet and draw(_EITHER):
        level = Drawn(KeyAttrs({}), KeyAttrs({}))
        truncated = _tag(draw, outer)
        outer.key.encap, outer.mask.encap = level.key, level.mask
        if truncated:
            return outer
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
    needed = sections_of(eth_type, proto, frag)
    for name in needed:
        level.key.sections[name] = draw(_section(name, values))
    # A key may carry attributes that its kind of packet does not have, without masks.
    for name in draw(_ANY_L4 if needed else _ANY_UPPER):
        if name not in needed:
            level.key.sections[name] = draw(_section(name, values))
    if not needed:
        return
    l3 = needed[0]
    if l3 != "arp":
        section = _set(level.key.sections[l3], _column(l3, "ip_proto"), proto)
        level.key.sections[l3] = _set(section, _column(l3, "ip_frag"), frag)
    if "icmpv6" in needed:
        level.key.sections["icmpv6"] = (draw(st.integers(0, 134)), draw(st.integers(0, 255)))
    if exact_type:
        _upper_masks(draw, level, needed)


def _upper_masks(draw, level: Drawn, needed: tuple[str, ...]) -> None:
    l3 = needed[0]
    level.mask.sections[l3] = draw(_section(l3, masks))
    if level.mask.sections[l3][_column(l3, "ip_proto")] == 0xFF:
        for name in needed[1:]:
            level.mask.sections[name] = draw(_section(name, masks))


def matches() -> st.SearchStrategy[Match]:
    """Every match that the interface can hold, with bits outside the mask."""
    return attrs().map(lambda drawn: match_from_attrs(drawn.key, drawn.mask))


def ufids() -> st.SearchStrategy[Ufid]:
    return st.binary(min_size=1, max_size=16).map(Ufid)


def actions() -> st.SearchStrategy[tuple[Output, ...]]:
    return st.just(()) | st.integers(0, 0xFFFE).map(lambda port: (Output(port),))


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
    return Flow(ufid=ufid, match=match, actions=draw(actions()), stats=draw(stats()))
