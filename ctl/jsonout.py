"""Flows as JSON, schema `ctl/flow/1`.

    {"schema": "ctl/flow/1", "flows": [
      {"ufid": "3b1c7f2e-...",       text without its prefix, or null
       "key":  {"recirc_id": 0, "dp_hash": 0, "skb_priority": 0, "in_port": 1, "skb_mark": 0,
                "eth": {"src": "02:...", "dst": "02:..."}, "eth_type": 2048,
                "ipv4": {"src": "10.0.0.1", ..., "frag": "no"}, "udp": {"src": 1, "dst": 2}},
       "mask": {the same members; a mask has the form of its value, but that of a frag is a number},
       "actions": [{"type": "output", "port": 2}],      see below
       "packets": 23, "bytes": 966,
       "used_ms": 112,               milliseconds since the last packet, or null
       "tcp_flags": 0,
       "offloaded": true,            executed by XDP
       "dp": "xdp",                  or "tc", then not offloaded, and
       "dp_reason": null,            why not in XDP, in words
       "generation": 0}]}

Every row has every member; what --terse or --omit leaves out is null.  Key and mask have the sections
that this kind of packet has, each with all sub-fields, and nest as the text does: a tagged key has `vlan`,
and `encap` around what stands behind it.
Of the labels of `mpls` there is a list.  A key that names no port has `"in_port": 65535`; 802.2 frames
have `"eth_type": 4`.  Actions:

    {"type": "output", "port": 2}                  {"type": "drop", "reason": 0}
    {"type": "push_vlan", "tpid": 33024, "vid": 5, "pcp": 0, "cfi": 1}
    {"type": "pop_vlan"}                           {"type": "trunc", "max_len": 100}
    {"type": "recirc", "id": 1}                    {"type": "hash", "algorithm": "l4", "basis": 0}
    {"type": "set", "field": "eth", "value": {"src": ..., "dst": ...}, "mask": {...}}
    {"type": "userspace", "pid": 1, "userdata": "0102", "egress_tun_port": null, "actions": false}
    {"type": "push_mpls", "label": 16, "tc": 0, "bos": 1, "ttl": 64, "eth_type": 34887}      add_mpls: and "l3"
    {"type": "pop_mpls", "eth_type": 2048}
    {"type": "sample", "probability": 4294967, "actions": [...]}      of 2^32 - 1
    {"type": "clone", "actions": [...]}            {"type": "dec_ttl", "actions": [...]}
    {"type": "check_pkt_len", "size": 1500, "greater": [...], "less_equal": [...]}
    {"type": "meter", "id": 1}                     {"type": "psample", "group": 1, "cookie": "0102"}

An empty list drops.  The mask of a plain set is null, and so is userdata that is not there.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any, Final

from ctl import fields
from ctl.action import Action, AddMpls, Hash, PopMpls, PushMpls, PushVlan, Set
from ctl.fields import Field, Format
from ctl.flow import Flow, FlowKey
from ctl.history import Difference
from ctl.outline import Outline, outline
from ctl.text.values import mask_text, value_text
from ctl.ufid import Ufid

SCHEMA: Final = "ctl/flow/1"
_AS_TEXT: Final = frozenset({Format.MAC, Format.IPV4, Format.IPV6})

Json = dict[str, Any]


def flows_document(flows: Iterable[Flow], now_ms: int) -> Json:
    """The document for these flows.  ``now_ms`` is CLOCK_MONOTONIC in milliseconds."""
    return {"schema": SCHEMA, "flows": [flow_row(flow, now_ms) for flow in flows]}


def flow_row(flow: Flow, now_ms: int, datapath: str = "", omit: frozenset[str] = frozenset()) -> Json:
    """One flow, and the name of the datapath that has it, if any has; also a line of `-o jsonl`.

    ``omit`` as in `ctl.text.format_flow`; what is left out is null.
    """
    layout = outline(flow.match.key)
    stats = flow.stats
    return {
        "datapath": datapath,
        "ufid": None if flow.ufid is None else flow.ufid.bare,
        "key": None if "key" in omit and flow.ufid else _nested(layout, flow.match.key, is_mask=False),
        "mask": None if "mask" in omit else _nested(layout, flow.match.mask, is_mask=True),
        "actions": None if "actions" in omit else [_action(action) for action in flow.actions],
        "packets": stats.packets,
        "bytes": stats.bytes,
        "used_ms": None if stats.used_ms is None else max(now_ms - stats.used_ms, 0),
        "tcp_flags": stats.tcp_flags,
        "offloaded": flow.not_xdp is None,
        "dp": "tc" if flow.not_xdp else "xdp",
        "dp_reason": flow.not_xdp,
        "generation": flow.generation,
    }


def change_row(row: Difference, now_ms: int, datapath: str, until: int) -> Json:
    """A row of ctl/change/1.  ``until``: the generation up to which all changes are told."""
    key = row.who if isinstance(row.who, FlowKey) else None
    return {
        "datapath": datapath,
        "change": row.change,
        "generation": row.generation,
        "until": until,
        "ufid": row.who.bare if isinstance(row.who, Ufid) else None,
        "key": None if key is None else _nested(outline(key), key, is_mask=False),
        "flow": None if row.flow is None else flow_row(row.flow, now_ms, datapath),
        "flows": row.flows,
        "packets": row.packets,
        "bytes": row.bytes,
    }


def _action(action: Action) -> Json:
    return {"type": action.name.partition("(")[0]} | _members(action)


def _members(action: Action) -> Json:
    """What an action says: its own numbers, but for those that are several in one."""
    match action:
        case Hash(algorithm=algorithm, basis=basis):
            return {"algorithm": algorithm.name.lower(), "basis": basis}
        case PushVlan(tpid=tpid, tci=tci):
            return {"tpid": tpid, "vid": tci & 0xFFF, "pcp": tci >> 13, "cfi": tci >> 12 & 1}
        case PushMpls(lse=lse) | AddMpls(lse=lse):
            position = {"l3": action.l3} if isinstance(action, AddMpls) else {}
            parts = {"label": lse >> 12, "tc": lse >> 9 & 7, "bos": lse >> 8 & 1, "ttl": lse & 0xFF}
            return parts | {"eth_type": action.ethertype} | position
        case PopMpls(ethertype=ethertype):
            return {"eth_type": ethertype}
        case Set(section=section, value=value, mask=mask):
            masked = None if mask is None else _numbers(section, mask, is_mask=True)
            return {"field": section, "value": _numbers(section, value, is_mask=False), "mask": masked}
        case _:
            return {row.name: _member(getattr(action, row.name)) for row in dataclasses.fields(action)}


def _member(value: Any) -> Any:
    """Lists of actions within an action, octets in hexadecimal, headers by their fields."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, tuple):
        return [_action(item) if hasattr(item, "name") else _member(item) for item in value]
    if dataclasses.is_dataclass(value):
        return {row.name: _member(getattr(value, row.name)) for row in dataclasses.fields(value)}
    return value


def _numbers(section: str, numbers: tuple[int, ...], *, is_mask: bool) -> Any:
    pairs = zip(fields.SET_ROWS[section], numbers, strict=True)
    return _named([(row, _shown(row, number, is_mask=is_mask)) for row, number in pairs])


def _nested(layout: Outline, key: FlowKey, *, is_mask: bool) -> Json:
    row: Json = {name: _section(fields.SECTIONS[name], key, is_mask=is_mask) for name in layout.sections}
    if layout.tag is not None and layout.inner is not None:
        row["eth_type"] = key[layout.tag.type.leaf]
        row["vlan"] = _section(layout.tag.rows, key, is_mask=is_mask)
        row["encap"] = _nested(layout.inner, key, is_mask=is_mask)
    return row


def _section(rows: tuple[Field, ...], key: FlowKey, *, is_mask: bool) -> Any:
    return _named([(row, _value(row, key, is_mask=is_mask)) for row in rows])


def _named(pairs: list[tuple[Field, int | str]]) -> Any:
    """A single value; a dict of sub-fields; or a list of dicts, one for each group of them."""
    last, only = pairs[-1]
    if not last.name:
        return only
    groups: list[Json] = [{} for _ in range(last.group + 1)]
    for row, shown in pairs:
        groups[row.group][row.name] = shown
    return groups if len(groups) > 1 else groups[0]


def _value(row: Field, key: FlowKey, *, is_mask: bool) -> int | str:
    leaf = key[row.leaf]
    return _shown(row, row.from_leaf_mask(leaf) if is_mask else leaf >> row.shift & row.full, is_mask=is_mask)


def _shown(row: Field, value: int, *, is_mask: bool) -> int | str:
    if row.format in _AS_TEXT:
        return mask_text(row, value) if is_mask else value_text(row, value)
    return value_text(row, value) if row.format is Format.FRAG and not is_mask else value
