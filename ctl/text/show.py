"""Printing: matches, actions and flows in the text of `ovs-dpctl dump-flows`.

What is printed can be read again and means the same (`ctl.text.parse`).  For that it says a little
more than OVS: a section that the key must have is printed when it is all wild (`ipv4()`), and so are
values outside the mask when there are any, because they name a flow that has no UFID
(`ipv4(dst=10.1.2.3/255.0.0.0,ttl=64/0)`).

Many flows share few masks, so a mask and the kind of packet are compiled into a `_Plan` once: a format
string, and for each blank in it the bytes of the key to fill in and how to show them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from ctl import abi, fields
from ctl.fields import Field
from ctl.flow import KEY_SIZE, Actions, Flow, FlowKey
from ctl.text.values import ETH_802_2_RAW, OVS_ACTIONS, TCP_LETTERS, Printer, printer
from ctl.validate import ANY_PORT, TCI_PRESENT, TPIDS, sections_of

PortName = Callable[[int], str | None]

_PLAIN_NAME: Final = re.compile(r"(?!drop$)[A-Za-z_][A-Za-z0-9_.:@-]*", re.IGNORECASE)
_OPTIONAL: Final = frozenset({"in_port", "eth_type"})  # the others are printed when all wild, too
_CATCH_ALL: Final = ("ipv4", "ipv6", "tcp", "tcp_flags")  # between them they name every byte above layer 2
_ANY_TYPE: Final = "eth_type(0xffff/0x0000)"  # what a layer 3 key needs in its place
_ALL: Final = FlowKey(b"\xff" * KEY_SIZE)


def _place(leaf: str) -> slice:
    offset, size, _ = abi.KEY_LEAVES[leaf]
    return slice(offset, offset + size)


_PLACE: Final = {row.leaf: _place(row.leaf) for row in (*fields.ROWS, fields.TAG_TYPE)}
_TYPE: Final = _PLACE["eth_type"]
_PORT: Final = _PLACE["in_port"]
_NO_PORT: Final = ANY_PORT.to_bytes(2, "little")
_TCI: Final = _PLACE["vlan_tci"].start
_PROTO: Final = _PLACE["ip_proto"].start
_FRAG: Final = _PLACE["ip_frag"].start
_L2: Final = _place("l2_kind").start


@dataclass(frozen=True, slots=True)
class Outline:
    """Which sections a key has.  ``inner`` stands in encap; None when there is no tag."""

    outer: tuple[str, ...]
    inner: tuple[str, ...] | None
    tag: Field = fields.TAG_TYPE  # the type outside encap, where there is one

    @property
    def truncated(self) -> bool:
        """A tag of which only the type is there."""
        return self.inner == ()


def outline(key: FlowKey) -> Outline:
    """The outline of a key."""
    raw = key.raw
    tagged = bool(raw[_TCI] & TCI_PRESENT >> 8)
    return _outline(raw[_L2], tagged, int.from_bytes(raw[_TYPE], "big"), raw[_PROTO], raw[_FRAG])


@lru_cache(maxsize=4096)
def _outline(l2_kind: int, tagged: bool, eth_type: int, proto: int, frag: int) -> Outline:  # noqa: FBT001
    front = ("recirc_id", "in_port", *(("eth",) if l2_kind == abi.L2Kind.L2_ETHERNET else ()))
    rest = ("eth_type", *sections_of(eth_type, proto, frag))
    if tagged:
        return Outline((*front, "vlan"), rest)
    if l2_kind == abi.L2Kind.L2_ETHERNET and eth_type in TPIDS:
        return Outline((*front, "vlan"), (), fields.SECTIONS["eth_type"][0])
    return Outline(front + rest, None)


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
        self._visible = _ALL if more else _either(said, mask)
        self._any_type = not (mask["eth_type"] or said["eth_type"])
        self._parts: list[tuple[slice, Printer]] = []
        self._port: int | None = None

    def plan(self, layout: Outline, extra: tuple[str, ...]) -> _Plan:
        texts = [self._section(name, layout) for name in layout.outer]
        tail = [self._section(name, layout) for name in layout.inner or ()]
        rest = [self._wild_section(name) for name in extra]
        if layout.inner is None:
            return self._finish(texts + rest)
        return self._finish([*texts, f"encap({_join(tail)})", *rest])

    def _finish(self, texts: Iterable[str]) -> _Plan:
        return _Plan(_join(texts), tuple(self._parts), self._port)

    def _section(self, name: str, layout: Outline) -> str:
        if name == "vlan":
            tag_type = self._text(layout.tag.section, [(layout.tag, layout.tag.full)])
            return f"{tag_type},{self._subfields(name, layout)}"
        if name == "in_port" and self._mask["in_port"]:
            self._port = len(self._parts)
        if name == "eth_type" and "eth" not in layout.outer and self._any_type:
            return _ANY_TYPE
        return self._subfields(name, layout)

    def _subfields(self, name: str, layout: Outline) -> str:
        rows = [row for row in fields.SECTIONS[name] if self._shown(row, layout)]
        if not rows and name in _OPTIONAL:
            return ""
        if not rows and not fields.SECTIONS[name][0].name:
            return f"{name}(0/0)"
        return self._text(name, [(row, row.from_leaf_mask(self._mask[row.leaf])) for row in rows])

    def _shown(self, row: Field, layout: Outline) -> bool:
        if row.default:
            return layout.truncated
        return row.from_leaf_mask(self._visible[row.leaf]) != 0

    def _wild_section(self, name: str) -> str:
        return self._text(name, [(row, 0) for row in fields.SECTIONS[name] if self._visible[row.leaf]])

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
    sections = (*layout.outer, *(layout.inner or ()))
    named = {row.leaf for name in sections for row in fields.SECTIONS[name]}
    left = bytearray(key.raw)
    for leaf in named:
        left[_PLACE[leaf]] = bytes(_PLACE[leaf].stop - _PLACE[leaf].start)
    extra = []
    for name in _CATCH_ALL:
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


def port_text(number: int, port_name: PortName | None) -> str:
    """A port's name, in quotation marks where it could be read as something else, or its number."""
    name = port_name(number) if port_name is not None else None
    if name is None:
        return str(number)
    if _PLAIN_NAME.fullmatch(name) and name not in OVS_ACTIONS:
        return name
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def format_actions(actions: Actions, port_name: PortName | None = None) -> str:
    """The text of an action list; `drop` for the empty one."""
    return ",".join([port_text(action.port, port_name) for action in actions]) or "drop"


def format_flow(flow: Flow, now_ms: int, *, more: bool = False, port_name: PortName | None = None) -> str:
    """One line of dump-flows, without the newline.

    ``now_ms`` is CLOCK_MONOTONIC in milliseconds, to which `used` is relative.  ``more`` adds where the
    flow runs and wild sub-fields.
    """
    stats = flow.stats
    name = "" if flow.ufid is None else f"{flow.ufid}, "
    concrete = flow.ufid is None
    match = format_match(flow.match.key, flow.match.mask, concrete=concrete, more=more, port_name=port_name)
    used = "never" if stats.used_ms is None else f"{max(now_ms - stats.used_ms, 0) / 1000:.3f}s"
    flags = f", flags:{_letters(stats.tcp_flags)}" if stats.tcp_flags else ""
    where = ", offloaded:yes, dp:xdp" if more else ""
    actions = format_actions(flow.actions, port_name)
    return f"{name}{match}, packets:{stats.packets}, bytes:{stats.bytes}, used:{used}{flags}{where}, actions:{actions}"


@lru_cache(maxsize=256)
def _letters(tcp_flags: int) -> str:
    return "".join(letter for bit, letter in enumerate(TCP_LETTERS) if tcp_flags >> bit & 1)
