"""Printing: matches, actions and flows in the text of `ovs-dpctl dump-flows`.

What is printed can be read again and means the same (`ctl.text.parse`).  For that it says a little
more than OVS: a section that the key must have is printed when it is all wild (`ipv4()`), and so are
values outside the mask when there are any, because they name a flow that has no UFID
(`ipv4(dst=10.1.2.3/255.0.0.0,ttl=64/0)`).

Many flows share few masks, so a mask and the kind of packet are compiled into a `_Plan` once: a format
string, and for each blank in it the bytes of the key to fill in and how to show them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from ctl import abi, fields
from ctl.fields import Field, Tag
from ctl.flow import KEY_SIZE, Flow, FlowKey, FlowStats, TerseFlow
from ctl.outline import CATCH_ALL, METADATA, Outline, outline
from ctl.text.show_actions import PortName, format_actions, port_text
from ctl.text.values import ETH_802_2_RAW, TCP_LETTERS, Printer, printer
from ctl.validate import ANY_PORT

_OPTIONAL: Final = frozenset({*METADATA, "eth_type"})  # the others are printed when all wild, too
_ANY_TYPE: Final = "eth_type(0xffff/0x0000)"  # what a layer 3 key needs in its place
_ALL: Final = FlowKey(b"\xff" * KEY_SIZE)


def _place(leaf: str) -> slice:
    offset, size, _ = abi.KEY_LEAVES[leaf]
    return slice(offset, offset + size)


_TAG_ROWS: Final = tuple(row for tag in fields.TAGS for row in (tag.type, *tag.rows))
_PLACE: Final = {row.leaf: _place(row.leaf) for row in (*fields.ROWS, *_TAG_ROWS)}
_TYPE: Final = _PLACE["eth_type"]
_PORT: Final = _PLACE["in_port"]
_NO_PORT: Final = ANY_PORT.to_bytes(2, "little")


@dataclass(frozen=True, slots=True)
class _Plan:
    template: str
    parts: tuple[tuple[slice, Printer], ...]
    port: int | None  # index of the part that shows an exact port number

    def fill(self, raw: bytes, port_name: PortName | None) -> str:
        values = [show(raw[where]) for where, show in self.parts]
        if port_name is not None and self.port is not None and raw[_PORT] != _NO_PORT:
            values[self.port] = port_text(int.from_bytes(raw[_PORT], "little"), port_name)
        return self.template % tuple(values)


class _Planner:
    """Builds a plan.  Sub-fields with a one-bit in ``mask`` or ``said`` are printed; all if ``more``."""

    def __init__(self, mask: FlowKey, said: FlowKey, *, more: bool) -> None:
        self._mask = mask
        self._bits = _either(said, mask)
        self._visible = _ALL if more else self._bits
        self._any_type = not (mask["eth_type"] or said["eth_type"])
        self._parts: list[tuple[slice, Printer]] = []
        self._port: int | None = None

    def plan(self, layout: Outline, extra: tuple[str, ...]) -> _Plan:
        self._any_type &= "eth" not in layout.sections
        body = self._level(layout)
        rest = [self._text(name, [(row, 0) for row in self._shown(name)]) for name in extra]
        return _Plan(_join([body, *rest]), tuple(self._parts), self._port)

    def _level(self, layout: Outline) -> str:
        texts = [self._section(name) for name in layout.sections]
        if layout.tag is not None and layout.inner is not None:
            texts.append(self._tag(layout.tag))
            texts.append(f"encap({self._level(layout.inner)})")
        return _join(texts)

    def _tag(self, tag: Tag) -> str:
        kind = self._text("eth_type", [(tag.type, tag.type.full)])
        truncated = tag.type.leaf == "eth_type"
        rows = [row for row in tag.rows if (truncated if row.default else self._is_visible(row))]
        return f"{kind},{self._text('vlan', [(row, self._written_mask(row)) for row in rows])}"

    def _section(self, name: str) -> str:
        if name == "in_port" and self._mask["in_port"]:
            self._port = len(self._parts)
        if name == "eth_type" and self._any_type:
            return _ANY_TYPE
        rows = self._shown(name)
        if not rows and name in _OPTIONAL:
            return ""
        if not rows and not fields.SECTIONS[name][0].name:
            return f"{name}(0/0)"
        return self._text(name, [(row, self._written_mask(row)) for row in rows])

    def _shown(self, name: str) -> list[Field]:
        """The rows to print.  Of groups, those up to the last that says anything, each with its first row."""
        rows = fields.SECTIONS[name]
        if not rows[-1].group:
            return [row for row in rows if self._is_visible(row)]
        last = max((row.group for row in rows if row.from_leaf_mask(self._bits[row.leaf])), default=0)
        size = len(rows) // (rows[-1].group + 1)
        firsts = rows[::size] if last else ()
        return [row for row in rows if row.group <= last and (row in firsts or self._is_visible(row))]

    def _is_visible(self, row: Field) -> bool:
        return row.from_leaf_mask(self._visible[row.leaf]) != 0

    def _written_mask(self, row: Field) -> int:
        return row.from_leaf_mask(self._mask[row.leaf])

    def _text(self, name: str, rows: list[tuple[Field, int]]) -> str:
        blanks = (f"{row.name}={self._blank(row, mask)}" if row.name else self._blank(row, mask) for row, mask in rows)
        return f"{name}({','.join(blanks)})"

    def _blank(self, row: Field, mask: int) -> str:
        self._parts.append((_PLACE[row.leaf], printer(row, mask)))
        return "%s"


def _join(texts: Iterable[str]) -> str:
    return ",".join(text for text in texts if text)


@lru_cache(maxsize=2048)
def _masked_plan(mask: FlowKey, layout: Outline, more: bool) -> _Plan:  # noqa: FBT001
    return _Planner(mask, FlowKey(), more=more).plan(layout, ())


def _concrete_plan(key: FlowKey, mask: FlowKey, layout: Outline, *, more: bool) -> _Plan:
    """The plan of a key with bits outside the mask: all of them are printed, in superfluous sections if need be."""
    sections = [name for level in layout.levels for name in level.sections]
    named = {row.leaf for name in sections for row in fields.SECTIONS[name]}
    left = bytearray(key.raw)
    for leaf in named:
        left[_PLACE[leaf]] = bytes(_PLACE[leaf].stop - _PLACE[leaf].start)
    extra = []
    for name in CATCH_ALL:
        places = [_PLACE[row.leaf] for row in fields.SECTIONS[name]]
        if name not in sections and any(any(left[place]) for place in places):
            extra.append(name)
            for place in places:
                left[place] = bytes(place.stop - place.start)
    return _Planner(mask, key, more=more).plan(layout, tuple(extra))


def _either(one: FlowKey, other: FlowKey) -> FlowKey:
    bits = int.from_bytes(one.raw, "little") | int.from_bytes(other.raw, "little")
    return FlowKey(bits.to_bytes(KEY_SIZE, "little"))


def format_match(
    key: FlowKey, mask: FlowKey, *, concrete: bool = False, more: bool = False, port_name: PortName | None = None
) -> str:
    """The text of a match.  ``more`` adds wild sub-fields (`src=0.0.0.0/0.0.0.0`).

    ``concrete``: the key was not masked, so an in_port of 0 that is wild is part of a name.
    ``port_name`` gives the name for a port number, or None to have the number printed.
    """
    layout = outline(key)
    said = _said(key, concrete=concrete)
    if int.from_bytes(said.raw, "little") & ~int.from_bytes(mask.raw, "little"):
        plan = _concrete_plan(said, mask, layout, more=more)
    else:
        plan = _masked_plan(mask, layout, more)
    return plan.fill(key.raw, port_name)


def _said(key: FlowKey, *, concrete: bool) -> FlowKey:
    """The key with one-bits in what it says: an absent in_port or eth_type says nothing, port 0 does."""
    if key.raw[_PORT] == _NO_PORT:
        key = key.with_leaves(in_port=0)
    elif concrete:
        key = key.with_leaves(in_port=ANY_PORT)
    if key.raw[_TYPE] == ETH_802_2_RAW:
        key = key.with_leaves(eth_type=0)
    return key


def format_flow(
    flow: Flow,
    now_ms: int,
    *,
    more: bool = False,
    port_name: PortName | None = None,
    omit: frozenset[str] = frozenset(),
) -> str:
    """One line of dump-flows, without the newline.

    ``now_ms`` is CLOCK_MONOTONIC in milliseconds, to which `used` is relative.  ``more`` adds where the
    flow runs and wild sub-fields.  ``omit`` leaves parts out (OVS_UFID_F_OMIT_*):
    "key", with its mask, but of a flow that has no other name; "mask", as if the key were exact; "actions".
    """
    name = "" if flow.ufid is None else f"{flow.ufid}, "
    match = "" if "key" in omit and name else f"{_match(flow, omit, more=more, port_name=port_name)}, "
    where = "" if not more else ", dp:tc" if flow.not_xdp else ", offloaded:yes, dp:xdp"
    actions = "" if "actions" in omit else f", actions:{format_actions(flow.actions, port_name)}"
    return f"{name}{match}{_counters(flow.stats, now_ms)}{where}{actions}"


def format_terse(flow: TerseFlow, now_ms: int, *, port_name: PortName | None = None) -> str:
    """As `format_flow` without key, mask and actions, from what needs none of them."""
    who = flow.who
    name = format_match(who, _ALL, concrete=True, port_name=port_name) if isinstance(who, FlowKey) else who
    return f"{name}, {_counters(flow.stats, now_ms)}"


def _counters(stats: FlowStats, now_ms: int) -> str:
    used = "never" if stats.used_ms is None else f"{max(now_ms - stats.used_ms, 0) / 1000:.3f}s"
    flags = f", flags:{_letters(stats.tcp_flags)}" if stats.tcp_flags else ""
    return f"packets:{stats.packets}, bytes:{stats.bytes}, used:{used}{flags}"


def _match(flow: Flow, omit: frozenset[str], *, more: bool, port_name: PortName | None) -> str:
    """A flow's key with its mask, or as if all of it were compared."""
    mask = _ALL if "mask" in omit else flow.match.mask
    return format_match(flow.match.key, mask, concrete=flow.ufid is None, more=more, port_name=port_name)


@lru_cache(maxsize=256)
def _letters(tcp_flags: int) -> str:
    return "".join(letter for bit, letter in enumerate(TCP_LETTERS) if tcp_flags >> bit & 1)
