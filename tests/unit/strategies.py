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
    AddMpls,
    CheckPktLen,
    Clone,
    Ct,
    CtClear,
    DecTtl,
    Drop,
    Hash,
    HashAlgorithm,
    LbOutput,
    Meter,
    Nat,
    Output,
    PopEth,
    PopMpls,
    PopNsh,
    PopVlan,
    Psample,
    PushEth,
    PushMpls,
    PushNsh,
    PushVlan,
    Recirc,
    Sample,
    Set,
    SetNsh,
    SetTunnel,
    TnlPop,
    TnlPush,
    Trunc,
    Userspace,
)
from ctl.fields import Field, Format
from ctl.flow import Actions, Flow, FlowStats, Match
from ctl.headers import GeneveOption, Nsh, Tunnel, TunnelFlag
from ctl.text.headers import exact_nsh
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


# --- all actions, whether or not a datapath carries them out -------------------------------------

_U8, _U16 = (st.sampled_from([0, 1, top]) | st.integers(0, top) for top in (0xFF, 0xFFFF))
_U64 = st.sampled_from([0, 1, (1 << 64) - 1]) | st.integers(0, (1 << 64) - 1)
_U128 = st.sampled_from([0, 1, (1 << 128) - 1]) | st.integers(0, (1 << 128) - 1)
_MACS = st.integers(0, (1 << 48) - 1)
_SET_SECTIONS = tuple(fields.SET_ROWS)
_COOKIES = st.builds(
    lambda kind, body: bytes([kind, 0, 0, 0, 0xFF, 0xFF]) + bytes(18) + body,
    st.integers(0, 6),
    st.binary(min_size=24, max_size=24) | st.binary(max_size=6).map(lambda octets: octets.ljust(24, b"\0")),
)
_WORDS = st.binary(max_size=31).map(lambda octets: octets + bytes(-len(octets) % 4))


@st.composite
def any_set(draw) -> Set:
    """A set of any section, with any mask: also those that the datapath refuses."""
    name = draw(st.sampled_from(_SET_SECTIONS))
    rows = fields.SET_ROWS[name]
    value = tuple(draw(values(row)) for row in rows)
    if draw(_EITHER):
        return Set(name, value)
    return Set(name, value, tuple(draw(st.sampled_from([0, row.full]) | st.integers(0, row.full)) for row in rows))


@st.composite
def tunnels(draw) -> Tunnel:
    """A tunnel: where there is a tun_id, the flag says so."""
    flags = draw(st.integers(0, 15))
    options = st.builds(GeneveOption, _U16, _U8, _WORDS)
    return Tunnel(
        flags=flags,
        tun_id=draw(_U64) if flags & TunnelFlag.KEY else 0,
        ipv4_src=draw(_U32),
        ipv4_dst=draw(_U32),
        ipv6_src=draw(_U128),
        ipv6_dst=draw(_U128),
        tp_src=draw(_U16),
        tp_dst=draw(_U16),
        geneve=draw(st.lists(options, max_size=3).map(tuple)),
        **{
            name: draw(_U8)
            for name in ("tos", "ttl", "gbp_flags", "erspan_ver", "erspan_dir", "erspan_hwid", "gtpu_flags")
        },
        gtpu_msgtype=draw(_U8),
        gbp_id=draw(_U16),
        erspan_idx=draw(_U32),
    )


@st.composite
def nsh_headers(draw, size: int | None = None) -> Nsh:
    """A network service header with a context of ``size`` octets, else one that goes with its mdtype."""
    mdtype = draw(st.integers(0, 3) if size is None else _U8)
    sizes = {1: st.just(16), 2: st.integers(0, 248)}.get(mdtype, st.just(0)) if size is None else st.just(size)
    octets = draw(sizes)
    return Nsh(
        mdtype=mdtype,
        spi=draw(st.integers(0, 0xFFFFFF)),
        context=draw(st.binary(min_size=octets, max_size=octets) | st.just(bytes(octets))),
        **{name: draw(_U8) for name in ("flags", "ttl", "np", "si")},
    )


@st.composite
def set_nsh(draw) -> SetNsh:
    """A plain or a masked set of a network service header; the mask has a context like the value's."""
    value = draw(nsh_headers())
    mask = draw(st.none() | nsh_headers(len(value.context)))
    return SetNsh(value, None if mask == exact_nsh(value) else mask)


@st.composite
def nats(draw) -> Nat:
    """Legal details of a translation."""
    which = draw(st.sampled_from([None, "src", "dst"]))
    if which is None:
        return Nat()
    details = {name: draw(_EITHER) for name in ("persistent", "hash", "random")}
    if draw(_MOSTLY):
        size = draw(st.sampled_from([4, 16]))
        addresses = sorted(draw(st.lists(st.binary(min_size=size, max_size=size), min_size=1, max_size=2)))
        details |= dict(zip(("first", "last"), addresses, strict=False))
        details |= dict(
            zip(("first_port", "last_port"), sorted(draw(st.lists(_U16, max_size=2))), strict=False),
        )
    return Nat(which=which, **details)


_NAMES = st.text(min_size=1, max_size=15)
_CTS = st.builds(
    Ct,
    commit=_EITHER,
    force=_EITHER,
    zone=_U16,
    mark=st.none() | st.tuples(_U32, _U32),
    label=st.none() | st.tuples(_U128, _U128),
    helper=st.none() | st.just("ftp") | _NAMES,
    timeout=st.none() | _NAMES,
    eventmask=st.none() | _U32,
    nat=st.none() | nats(),
)
_FLAT = (
    _ANYWHERE
    | any_set()
    | _CTS
    | set_nsh()
    | st.builds(Drop, _U32)
    | st.builds(PushVlan, _U16, _U16)
    | st.builds(Trunc, _U32)
    | st.builds(Userspace, _U32, _COOKIES | st.binary(max_size=60), st.none() | _U32, st.booleans())
    | st.builds(PushMpls, _U32, _U16)
    | st.builds(AddMpls, _U32, _U16, st.booleans())
    | st.builds(PopMpls, _U16)
    | st.builds(Meter, _U32)
    | st.builds(Psample, _U32, st.none() | st.binary(min_size=1, max_size=16))
    | st.builds(PushEth, _MACS, _MACS)
    | st.builds(SetTunnel, tunnels())
    | st.builds(PushNsh, nsh_headers())
    | st.builds(TnlPush, _U32, _U32, _U8, st.binary(max_size=80))
    | st.builds(TnlPop, _U32)
    | st.builds(LbOutput, _U32)
    | st.sampled_from([PopVlan(), PopEth(), PopNsh(), CtClear()])
)


def _nesting(kinds: st.SearchStrategy) -> st.SearchStrategy:
    lists = st.lists(kinds, max_size=3).map(tuple)
    return (
        st.builds(Sample, _U32, lists)
        | st.builds(Clone, lists)
        | st.builds(CheckPktLen, _U16, lists, lists)
        | st.builds(DecTtl, lists)
    )


def all_actions() -> st.SearchStrategy[Actions]:
    """Every list that `ctl.action` can say, in and out of place."""
    return st.lists(st.recursive(_FLAT, _nesting, max_leaves=6), max_size=4).map(tuple)


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
