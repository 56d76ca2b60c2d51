"""Hypothesis strategies for attributes of any kind: what text and netlink can say, legal or not."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from ctl import fields
from ctl.attrs import KeyAttrs
from ctl.fields import Field, Format
from ctl.headers import GeneveOption, Tunnel, TunnelFlag
from tests.unit import strategies


def _mask_of(row: Field) -> st.SearchStrategy[int]:
    """Any mask that the text can say; of a state's bits only those with a name, or all."""
    most = row.full if row.limit is None or row.format is not Format.CT_STATE else row.limit
    return st.sampled_from([0, row.full]) | st.integers(0, most)


@st.composite
def _pair_of(draw, name: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Numbers and masks of one section, legal or not."""
    rows = fields.ALL_SECTIONS[name]
    return tuple(draw(strategies.values(row)) for row in rows), tuple(draw(_mask_of(row)) for row in rows)


@st.composite
def tunnel_pairs(draw) -> tuple[Tunnel, Tunnel]:
    """A tunnel and any mask of it: one of a tun_id goes with the flag that says there is one."""
    value = draw(strategies.tunnels())
    options = tuple(
        GeneveOption(draw(st.integers(0, 0xFFFF)), draw(strategies._U8), draw(st.binary(min_size=size, max_size=size)))
        for size in (len(option.data) for option in value.geneve)
    )
    mask = replace(draw(strategies.tunnels()), geneve=options)
    if value.flags & TunnelFlag.KEY != mask.flags & TunnelFlag.KEY:
        value, mask = replace(value, tun_id=0), replace(mask, tun_id=0)
    return value, mask


_ANY_SECTIONS = st.lists(st.sampled_from(sorted(fields.ALL_SECTIONS)), unique=True, max_size=6)


@st.composite
def any_attrs(draw, depth: int = 0) -> strategies.Drawn:
    """Any attributes of a key, each with its mask, also what no datapath has and no rule allows."""
    key, mask = KeyAttrs(), KeyAttrs()
    for name in draw(_ANY_SECTIONS):
        key.sections[name], mask.sections[name] = draw(_pair_of(name))
    for name in ("eth_type", "in_port"):  # those that a mask may have without the key
        (row,) = fields.ALL_SECTIONS[name]
        if key.sections.get(name) == (row.absent,) and mask.sections[name] != (row.full,):
            key.sections[name] = (1,)
        if name not in key.sections and draw(strategies._RARELY):
            mask.sections[name] = (draw(_mask_of(row)),)
    if draw(strategies._RARELY):
        key.tunnel, mask.tunnel = draw(tunnel_pairs())
    if draw(strategies._RARELY):
        key.nsh = draw(strategies.nsh_headers())
        mask.nsh = draw(strategies.nsh_headers(len(key.nsh.context)))
    if depth < 3 and draw(strategies._RARELY):
        inner = draw(any_attrs(depth + 1))
        key.encap, mask.encap = inner.key, inner.mask
    return strategies.Drawn(key, mask)
