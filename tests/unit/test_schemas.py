"""The schemas are schemas, leave no member unsaid, and hold for every flow."""

import json
import pathlib

import pytest
from hypothesis import given
from jsonschema import Draft202012Validator, ValidationError

from ctl.action import (
    AddMpls,
    CheckPktLen,
    Clone,
    DecTtl,
    Drop,
    Meter,
    Output,
    PopMpls,
    PopVlan,
    Psample,
    PushMpls,
    Sample,
    Set,
)
from ctl.flow import Flow, FlowStats
from ctl.jsonout import flow_row, flows_document
from ctl.text import parse_flow
from tests.unit import strategies

SCHEMAS = sorted((pathlib.Path(__file__).resolve().parents[2] / "ctl" / "share" / "schemas").glob("*.json"))
FLOWS = Draft202012Validator(json.loads(next(path for path in SCHEMAS if path.name == "flow-1.json").read_text()))
MAPS = {"drops", "parameters"}  # whose members are data


@pytest.fixture(params=SCHEMAS, ids=lambda path: path.name)
def schema(request):
    return json.loads(request.param.read_text())


def objects(shape, name=""):
    """(name, shape) of everything that describes an object, wherever it stands."""
    if isinstance(shape, list):
        for each in shape:
            yield from objects(each, name)
    elif isinstance(shape, dict):
        if "object" in shape.get("type", ()) and name not in MAPS:
            yield name, shape
        for key, inner in shape.items():
            yield from objects(inner, key)


def test_a_schema_is_one_and_is_named_after_itself(schema, request):
    Draft202012Validator.check_schema(schema)
    kind, version = schema["title"].removeprefix("ctl/").split("/")
    assert f"[{kind}-{version}.json]" in request.node.name
    assert schema["properties"]["schema"] == {"const": schema["title"]}
    assert schema["description"].endswith(".")


def test_every_member_is_required_and_no_other_allowed(schema):
    optional = {"key", "mask", "key_encap", "mask_encap"}  # keys have the sections of their kind of packet
    for name, shape in objects(schema["$defs"]):
        if name not in optional:
            assert sorted(shape["required"]) == sorted(shape["properties"]), name
        if name != "row":  # which is closed where it is used, for a line has the schema's name too
            assert shape["additionalProperties"] is False, name
    assert schema["$defs"]["line"]["unevaluatedProperties"] is False
    (rows,) = (shape for name, shape in schema["$defs"]["document"]["properties"].items() if name != "schema")
    assert rows["items"]["unevaluatedProperties"] is False


@given(strategies.flows())
def test_every_flow_is_what_the_schema_says(flow):
    FLOWS.validate(flows_document([flow], now_ms=1 << 40))
    FLOWS.validate({"schema": "ctl/flow/1", **flow_row(flow, now_ms=1 << 40)})


@pytest.mark.parametrize(
    ("action", "members"),
    [
        (PushMpls(0x10540, 0x8847), {"label": 16, "tc": 2, "bos": 1, "ttl": 64, "eth_type": 0x8847}),
        (AddMpls(0, 0x8848, l3=True), {"label": 0, "tc": 0, "bos": 0, "ttl": 0, "eth_type": 0x8848, "l3": True}),
        (PopMpls(0x0800), {"eth_type": 0x0800}),
        (Set("mpls", (16, 0, 64, 1)), {"value": {"label": 16, "tc": 0, "ttl": 64, "bos": 1}, "mask": None}),
        (Meter(3), {"id": 3}),
        (Psample(1), {"group": 1, "cookie": None}),
        (Psample(1, b"\1\2"), {"group": 1, "cookie": "0102"}),
        (Clone((PopVlan(),)), {"actions": [{"type": "pop_vlan"}]}),
        (DecTtl(()), {"actions": []}),
        (Sample(7, (Output(1),)), {"probability": 7, "actions": [{"type": "output", "port": 1}]}),
        (
            CheckPktLen(9, (Output(1),), (Drop(2),)),
            {
                "size": 9,
                "greater": [{"type": "output", "port": 1}],
                "less_equal": [{"type": "drop", "reason": 2}],
            },
        ),
    ],
)
def test_an_action_is_what_the_schema_says(action, members):
    flow = Flow(ufid=None, match=parse_flow("in_port(1),eth()").match, actions=(action,))
    row = flow_row(flow, now_ms=0)
    FLOWS.validate({"schema": "ctl/flow/1", **row})
    assert members.items() <= row["actions"][0].items()


def test_a_flow_that_lacks_or_adds_a_member_is_refused():
    match = parse_flow("in_port(1),eth(),eth_type(0x0800),ipv4(proto=17),udp(dst=53)").match
    row = flow_row(Flow(ufid=None, match=match, actions=(), stats=FlowStats()), now_ms=0)
    FLOWS.validate({"schema": "ctl/flow/1", **row})
    wrong = [{name: value for name, value in row.items() if name != missing} for missing in row]
    for each in [*wrong, {**row, "more": 1}, {**row, "packets": str(row["packets"])}]:
        with pytest.raises(ValidationError):
            FLOWS.validate({"schema": "ctl/flow/1", "flows": [each]})
