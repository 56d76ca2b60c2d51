"""Generate the JSON Schemas (draft 2020-12) that hold flows, from the table of fields: flow-1, change-1, overlap-1.

    python -m ctl.devtools.gen_schemas [--check]

The other schemas are written by hand.  All have the same form: the document of `-o json` is the schema's name
and a list of rows, the line of `-o jsonl` the schema's name and the members of one row.
"""

from __future__ import annotations

import json
import pathlib
import sys
from collections.abc import Iterator
from typing import Any, Final

from ctl import fields
from ctl.action import SETTABLE, HashAlgorithm
from ctl.fields import Field, Format
from ctl.jsonout import SCHEMA

SCHEMAS: Final = pathlib.Path(__file__).resolve().parents[1] / "share" / "schemas"

Json = dict[str, Any]

_INTEGER: Final[Json] = {"type": "integer", "minimum": 0}
_PATTERNS: Final[dict[Format, str]] = {
    Format.MAC: "^([0-9a-f]{2}:){5}[0-9a-f]{2}$",
    Format.IPV4: r"^\d+\.\d+\.\d+\.\d+$",
    Format.IPV6: "^[0-9a-f:.]+$",
}
_LABEL: Final[Json] = dict.fromkeys(("label", "tc", "bos", "ttl", "eth_type"), _INTEGER)
_METADATA: Final = ("recirc_id", "dp_hash", "skb_priority", "in_port", "skb_mark")  # every key has these


def _of(required: Json, optional: Json | None = None) -> Json:
    return {
        "type": "object",
        "properties": {**required, **(optional or {})},
        "required": list(required),
        "additionalProperties": False,
    }


def _value(row: Field, *, is_mask: bool) -> Json:
    if row.format in _PATTERNS:
        return {"type": "string", "pattern": _PATTERNS[row.format]}
    if row.format is Format.FRAG and not is_mask:
        return {"enum": ["no", "first", "later"]}
    return {**_INTEGER, "maximum": row.full}


def _section(name: str, *, is_mask: bool) -> Json:
    """A number or text; an object; or an object for each group of sub-fields."""
    rows = fields.SECTIONS[name]
    if not rows[-1].name:
        return _value(rows[-1], is_mask=is_mask)
    one = _of({row.name: _value(row, is_mask=is_mask) for row in rows if not row.group})
    groups = rows[-1].group + 1
    return one if groups == 1 else {"type": "array", "items": one, "minItems": groups, "maxItems": groups}


def _ref(name: str) -> Json:
    return {"$ref": f"#/$defs/{name}"}


def _key(kind: str, *, is_mask: bool) -> Json:
    """The definitions of a key or a mask; behind a tag, `encap` has what stands there."""
    sections = {f"{kind}_{name}": _section(name, is_mask=is_mask) for name in fields.SECTIONS}
    inner = {name: _ref(f"{kind}_{name}") for name in (*fields.SECTIONS, "encap") if name not in _METADATA}
    outer = {name: _ref(f"{kind}_{name}") for name in _METADATA}
    return {kind: _of(outer, inner), f"{kind}_encap": _of({}, inner), **sections}


def _action(kind: str, **members: Json) -> Json:
    return _of({"type": {"const": kind}, **members})


def _set(name: str) -> Json:
    """Of a section that repeats its sub-fields a set has one group."""
    groups = fields.SECTIONS[name][-1].group
    value, mask = ("#/$defs/" + kind + "_" + name + ("/items" if groups else "") for kind in ("key", "mask"))
    return _action(
        "set", field={"const": name}, value={"$ref": value}, mask={"oneOf": [{"type": "null"}, {"$ref": mask}]}
    )


def _actions() -> list[Json]:
    octets = {"type": ["string", "null"], "pattern": "^([0-9a-f]{2})*$"}
    nested = _ref("actions")
    return [
        _action("output", port=_INTEGER),
        _action("drop", reason=_INTEGER),
        _action("push_vlan", tpid=_INTEGER, vid=_INTEGER, pcp=_INTEGER, cfi=_INTEGER),
        _action("pop_vlan"),
        _action("push_mpls", **_LABEL),
        _action("add_mpls", **_LABEL, l3={"type": "boolean"}),
        _action("pop_mpls", eth_type=_INTEGER),
        _action("trunc", max_len=_INTEGER),
        _action("recirc", id=_INTEGER),
        _action("hash", algorithm={"enum": [known.name.lower() for known in HashAlgorithm]}, basis=_INTEGER),
        _action(
            "userspace",
            pid=_INTEGER,
            userdata=octets,
            egress_tun_port={**_INTEGER, "type": ["integer", "null"]},
            actions={"type": "boolean"},
        ),
        _action("sample", probability={**_INTEGER, "maximum": 0xFFFFFFFF}, actions=nested),
        _action("clone", actions=nested),
        _action("check_pkt_len", size=_INTEGER, greater=nested, less_equal=nested),
        _action("dec_ttl", actions=nested),
        _action("meter", id=_INTEGER),
        _action("psample", group=_INTEGER, cookie=octets),
        *map(_set, SETTABLE),
    ]


def _or_omitted(name: str) -> Json:
    return {"oneOf": [_ref(name), {"type": "null", "description": "left out, with --omit or --terse"}]}


def _row() -> Json:
    return {
        "datapath": {"type": "string"},
        "ufid": {"type": ["string", "null"], "description": "without its prefix; null: named by its key"},
        "key": _or_omitted("key"),
        "mask": _or_omitted("mask"),
        "actions": _or_omitted("actions"),
        "packets": _INTEGER,
        "bytes": _INTEGER,
        "used_ms": {"type": ["integer", "null"], "minimum": 0, "description": "since the last packet; null: never"},
        "tcp_flags": {**_INTEGER, "maximum": 0xFF},
        "offloaded": {"type": "boolean", "description": "executed by XDP"},
        "dp": {"enum": ["xdp", "tc"]},
        "dp_reason": {"type": ["string", "null"], "description": "why not in XDP"},
        "generation": _INTEGER,
    }


def _flow(*, or_null: bool = False) -> Json:
    return {"oneOf": [{"type": "null"}, _ref("flow")]} if or_null else _ref("flow")


def _change() -> Json:
    counted = {**_INTEGER, "type": ["integer", "null"]}
    return {
        "datapath": {"type": "string"},
        "change": {"enum": ["added", "changed", "deleted", "flushed"]},
        "generation": {**_INTEGER, "description": "of the last change of this flow"},
        "until": {**_INTEGER, "description": "to go on from: all changes up to this generation are told"},
        "ufid": {"type": ["string", "null"], "description": "without its prefix; null: named by its key, or a flush"},
        "key": {"oneOf": [{"type": "null"}, _ref("key")], "description": "of a flow without a UFID"},
        "flow": {**_flow(or_null=True), "description": "as it is now; null: gone"},
        "flows": {**_INTEGER, "description": "that a flush removed; else 1"},
        "packets": {**counted, "description": "of all flows that a flush removed; null: none did, or it is not known"},
        "bytes": {**counted, "description": "likewise"},
    }


def schema(title: str, plural: str, description: str, row: Json) -> Json:
    """A whole schema.  Its definitions have ``flow``, what a row of ctl/flow/1 is."""
    flow = _row()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        "description": description,
        "type": "object",
        "required": ["schema"],
        "properties": {"schema": {"const": title}},
        "oneOf": [_ref("document"), _ref("line")],
        "$defs": {
            "document": _of({
                "schema": True,
                plural: {"type": "array", "items": {**_ref("row"), "unevaluatedProperties": False}},
            }),
            "line": {**_ref("row"), "properties": {"schema": True}, "unevaluatedProperties": False},
            "row": {"type": "object", "required": list(row), "properties": row},
            **({} if row == flow else {"flow": _of(flow)}),
            "actions": {
                "type": "array",
                "items": {"oneOf": _actions()},
                "description": "in order; an empty list drops",
            },
            **_key("key", is_mask=False),
            **_key("mask", is_mask=True),
        },
    }  # fmt: skip


def schemas() -> Iterator[Json]:
    """All that are generated."""
    yield schema(SCHEMA, "flows", "Flows, as dump-flows, get-flow, up, mod-flow -s and del-flow -s print them.", _row())
    yield schema(
        "ctl/change/1", "changes", "What has changed since a generation, as dump-flows --since prints it.", _change()
    )
    yield schema(
        "ctl/overlap/1",
        "overlaps",
        "Pairs of flows that overlap and have different actions, as flow-check prints them.",
        {"datapath": {"type": "string"}, "winner": _flow(), "loser": _flow()},
    )


def main(argv: list[str]) -> int:
    """Write the files, or with --check compare them; exit status 1 when one is not current."""
    status = 0
    for made in schemas():
        kind, version = made["title"].removeprefix("ctl/").split("/")
        target, text = SCHEMAS / f"{kind}-{version}.json", json.dumps(made, indent=1) + "\n"
        if "--check" not in argv:
            target.write_text(text)
        elif not target.exists() or target.read_text() != text:
            print(f"{target.name}: not current; run python -m ctl.devtools.gen_schemas", file=sys.stderr)
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
