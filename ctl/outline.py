"""From a `Match` back to attributes: which a key has, and what they and their masks are.

Printers walk along the `Outline` of a key.  Replies of the netlink interface need the attributes themselves.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from ctl import abi, fields
from ctl.attrs import KeyAttrs, Values
from ctl.fields import Field, Tag
from ctl.flow import FlowKey, Match
from ctl.validate import ANY_PORT, ETH_802_2, TCI_PRESENT, TPIDS, sections_of

METADATA: Final = ("recirc_id", "dp_hash", "skb_priority", "in_port", "skb_mark")
CATCH_ALL: Final = ("ipv4", "ipv6", "tcp", "tcp_flags", "nd")  # between them they name every byte above layer 2
_NO_TYPE: Final = (0, ETH_802_2)  # what the leaf of eth_type has where the attribute is not there
_ANY_TYPE: Final = 0xFFFF  # what a layer 3 key has in its place


def _place(leaf: str) -> slice:
    offset, size, _ = abi.KEY_LEAVES[leaf]
    return slice(offset, offset + size)


_TYPE: Final = _place("eth_type")
_TCI: Final = _place("vlan_tci").start
_CTCI: Final = _place("cvlan_tci").start
_PROTO: Final = _place("ip_proto").start
_FRAG: Final = _place("ip_frag").start
_ICMP_TYPE: Final = _place("tp_src").stop - 1
_L2: Final = _place("l2_kind").start


@dataclass(frozen=True, slots=True, eq=False)
class Outline:
    """Which sections a key has, and the VLAN tag behind them with what stands in its encap.

    Keys that are alike share theirs, so that it is a quick key of a dictionary: it is equal to itself only.
    """

    sections: tuple[str, ...]
    tag: Tag | None = None
    inner: Outline | None = None

    @property
    def levels(self) -> tuple[Outline, ...]:
        """This and all that is inside of it."""
        return (self,) if self.inner is None else (self, *self.inner.levels)


def outline(key: FlowKey) -> Outline:
    """The outline of a key."""
    raw = key.raw
    tags = 0
    if raw[_TCI] & TCI_PRESENT >> 8:
        tags = 2 if raw[_CTCI] & TCI_PRESENT >> 8 else 1
    eth_type = int.from_bytes(raw[_TYPE], "big")
    return _outline(raw[_L2], tags, eth_type, sections_of(eth_type, raw[_PROTO], raw[_FRAG], raw[_ICMP_TYPE]))


@lru_cache(maxsize=1024)
def _outline(l2_kind: int, tags: int, eth_type: int, upper: tuple[str, ...]) -> Outline:
    front = (*METADATA, *(("eth",) if l2_kind == abi.L2Kind.L2_ETHERNET else ()))
    layout = Outline(("eth_type", *upper))
    if l2_kind == abi.L2Kind.L2_ETHERNET and eth_type in TPIDS and tags < len(fields.TAGS):
        truncated = Tag(fields.SECTIONS["eth_type"][0], fields.TAGS[tags].rows)
        layout = Outline((), truncated, Outline(()))
    for tag in reversed(fields.TAGS[:tags]):
        layout = Outline((), tag, layout)
    return replace(layout, sections=front + layout.sections)


def attrs_of(match: Match) -> tuple[KeyAttrs, KeyAttrs]:
    """The attributes of the key, as it stands (concrete or masked), and of the mask.

    Each attribute of the key has its mask, of zeros where nothing is compared.  `match_from_attrs` makes an
    equal match of them; of a masked key, one that is equal when masked.
    """
    key, mask = _level(match, outline(match.key))
    for name in _superfluous(match.key, key):
        key.sections[name] = _numbers(match.key, fields.SECTIONS[name])
        mask.sections[name] = (0,) * len(key.sections[name])
    return key, mask


def _level(match: Match, layout: Outline) -> tuple[KeyAttrs, KeyAttrs]:
    key, mask = KeyAttrs(), KeyAttrs()
    for name in layout.sections:
        rows = fields.SECTIONS[name]
        values, masks = _numbers(match.key, rows), _masks(match.mask, rows)
        if name == "in_port" and values[0] == ANY_PORT:
            values = ()
        if name == "eth_type" and values[0] in _NO_TYPE:
            values = () if match.key["l2_kind"] == abi.L2Kind.L2_ETHERNET else (_ANY_TYPE,)
        if values:
            key.sections[name] = values
        if values or any(masks):
            mask.sections[name] = masks
    if layout.tag is not None and layout.inner is not None:
        key.encap, mask.encap = _level(match, layout.inner)
        _add_tag(match, layout.tag, key, mask)
    return key, mask


def _add_tag(match: Match, tag: Tag, key: KeyAttrs, mask: KeyAttrs) -> None:
    """The attributes of a tag.  One that is cut short may have a wild type; then its mask has no encap."""
    key.sections["eth_type"] = (match.key[tag.type.leaf],)
    key.sections["vlan"] = _numbers(match.key, tag.rows)
    mask.sections["eth_type"] = (match.mask[tag.type.leaf],)
    mask.sections["vlan"] = _masks(match.mask, tag.rows)
    if not match.mask[tag.type.leaf]:
        mask.sections["vlan"] = (0,) * len(tag.rows)
        mask.encap = None


def _numbers(key: FlowKey, rows: tuple[Field, ...]) -> Values:
    return tuple(key[row.leaf] >> row.shift & row.full if row.packed else key[row.leaf] for row in rows)


def _masks(mask: FlowKey, rows: tuple[Field, ...]) -> Values:
    return tuple(row.from_leaf_mask(mask[row.leaf]) for row in rows)


def _superfluous(key: FlowKey, attrs: KeyAttrs) -> list[str]:
    """The sections that bits of the key need, and that this kind of packet has not."""
    named = {name for level in attrs.levels() for name in level.sections}
    leaves = {row.leaf for name in named for row in fields.SECTIONS[name]}
    found = []
    for name in CATCH_ALL:
        own = {row.leaf for row in fields.SECTIONS[name]}
        if name not in named and any(key[leaf] for leaf in own - leaves):
            found.append(name)
            leaves |= own
    return found
