"""Flows as JSON, schema `ctl/flow/1`.

    {"schema": "ctl/flow/1", "flows": [
      {"ufid": "3b1c7f2e-...",       text without its prefix, or null
       "key":  {"recirc_id": 0, "in_port": 1, "eth": {"src": "02:...", "dst": "02:..."}, "eth_type": 2048,
                "ipv4": {"src": "10.0.0.1", ..., "frag": "no"}, "udp": {"src": 1, "dst": 2}},
       "mask": {the same members; a mask has the form of its value, but that of a frag is a number},
       "actions": [{"type": "output", "port": 2}],
       "packets": 23, "bytes": 966,
       "used_ms": 112,               milliseconds since the last packet, or null
       "tcp_flags": 0,
       "offloaded": true, "dp": "xdp",
       "generation": 0}]}

Every row has every member.  Key and mask have the sections that this kind of packet has, each with all
sub-fields, and nest as the text does: a tagged key has `vlan`, and `encap` around what stands behind it.
A key that names no port has `"in_port": 65535`; 802.2 frames have `"eth_type": 4`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from ctl import fields
from ctl.fields import Field, Format
from ctl.flow import Action, Flow, FlowKey
from ctl.text.show import Outline, outline
from ctl.text.values import mask_text, value_text

SCHEMA: Final = "ctl/flow/1"
_AS_TEXT: Final = frozenset({Format.MAC, Format.IPV4, Format.IPV6})

Json = dict[str, Any]


def flows_document(flows: Iterable[Flow], now_ms: int) -> Json:
    """The document for these flows.  ``now_ms`` is CLOCK_MONOTONIC in milliseconds."""
    return {"schema": SCHEMA, "flows": [flow_row(flow, now_ms) for flow in flows]}


def flow_row(flow: Flow, now_ms: int) -> Json:
    """One flow; also a line of `-o jsonl`."""
    layout = outline(flow.match.key)
    stats = flow.stats
    return {
        "ufid": None if flow.ufid is None else str(flow.ufid).removeprefix("ufid:"),
        "key": _nested(layout, flow.match.key, is_mask=False),
        "mask": _nested(layout, flow.match.mask, is_mask=True),
        "actions": [_action(action) for action in flow.actions],
        "packets": stats.packets,
        "bytes": stats.bytes,
        "used_ms": None if stats.used_ms is None else max(now_ms - stats.used_ms, 0),
        "tcp_flags": stats.tcp_flags,
        "offloaded": True,
        "dp": "xdp",
        "generation": flow.generation,
    }


def _action(action: Action) -> Json:
    return {"type": "output", "port": action.port}


def _nested(layout: Outline, key: FlowKey, *, is_mask: bool) -> Json:
    row: Json = {}
    for name in layout.outer:
        if name == "vlan":
            row["eth_type"] = key[layout.tag.leaf]
        row[name] = _section(name, key, is_mask=is_mask)
    if layout.inner is not None:
        row["encap"] = {name: _section(name, key, is_mask=is_mask) for name in layout.inner}
    return row


def _section(name: str, key: FlowKey, *, is_mask: bool) -> Json | int | str:
    rows = fields.SECTIONS[name]
    if not rows[0].name:
        return _value(rows[0], key, is_mask=is_mask)
    return {row.name: _value(row, key, is_mask=is_mask) for row in rows}


def _value(row: Field, key: FlowKey, *, is_mask: bool) -> int | str:
    leaf = key[row.leaf]
    value = row.from_leaf_mask(leaf) if is_mask else leaf >> row.shift & row.full
    if row.format in _AS_TEXT:
        return mask_text(row, value) if is_mask else value_text(row, value)
    return value_text(row, value) if row.format is Format.FRAG and not is_mask else value
