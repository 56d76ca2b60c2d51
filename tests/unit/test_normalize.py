"""What actions do on each VLAN: the same text for lists that do the same."""

import json
import pathlib

import pytest
from jsonschema import Draft202012Validator

from ctl.cli.main import run

IPV4 = "in_port(1),eth(),eth_type(0x0800),ipv4()"
TAGGED = "in_port(1),eth(),eth_type(0x88a8),vlan(vid=7,pcp=1),encap(eth_type(0x8100),vlan(vid=8,pcp=0),encap())"
MPLS = "in_port(1),eth(),eth_type(0x8847),mpls(label=16,tc=1,ttl=64,bos=1)"
SCHEMA = pathlib.Path(__file__).parents[2] / "ctl" / "share" / "schemas" / "normalized-1.json"


@pytest.mark.parametrize(
    ("flow", "actions", "lines"),
    [
        (IPV4, "3,1,2", ["no vlan: no mpls: 1,2,3"]),
        (IPV4, "3,set(tcp(dst=1)),2,1", ["no vlan: no mpls: 3,set(tcp(dst=1)),1,2"]),
        (IPV4, "push_vlan(vid=9,pcp=3),3,2,pop_vlan,1", ["no vlan: no mpls: 1", "vlan(vid=9,pcp=3): no mpls: 2,3"]),
        (IPV4, "1,push_vlan(vid=9,pcp=3),2,3", ["no vlan: no mpls: 1", "vlan(vid=9,pcp=3): no mpls: 2,3"]),
        (TAGGED, "1", ["vlan(tpid=0x88a8,vid=7,pcp=1): vlan(vid=8,pcp=0): no mpls: 1"]),
        (TAGGED, "pop_vlan,1,pop_vlan,2,pop_vlan,3", ["no vlan: no mpls: 2,3", "vlan(vid=8,pcp=0): no mpls: 1"]),
        (
            TAGGED,  # a third tag pushes the innermost out of sight
            "push_vlan(vid=1,pcp=0),1,pop_vlan,2",
            [
                "vlan(vid=1,pcp=0): vlan(tpid=0x88a8,vid=7,pcp=1): no mpls: 1",
                "vlan(tpid=0x88a8,vid=7,pcp=1): no mpls: 2",
            ],
        ),
        (MPLS, "1", ["no vlan: mpls(label=16,tc=1,ttl=64): 1"]),
        (IPV4, "drop", []),
    ],
)  # fmt: skip
def test_normalize_actions(capsys, flow, actions, lines):
    assert run(["normalize-actions", flow, actions]) == 0
    first, *rest = capsys.readouterr().out.splitlines()
    assert first.startswith("input flow: recirc_id(0),in_port(1),eth(")
    assert rest == lines


def test_as_json(capsys):
    assert run(["-o", "json", "normalize-actions", MPLS, "push_vlan(vid=9,pcp=3),3,2"]) == 0
    document = json.loads(capsys.readouterr().out)
    Draft202012Validator(json.loads(SCHEMA.read_text())).validate(document)
    assert document["normalized"] == [
        {
            "vlans": [{"tpid": 0x8100, "vid": 9, "pcp": 3}],
            "mpls": {"label": 16, "tc": 1, "ttl": 64},
            "actions": "2,3",
        }
    ]


@pytest.mark.parametrize(("flow", "actions"), [("ufid:0a", "1"), (IPV4, "1,("), ("eth(", "1")])
def test_mistakes(capsys, flow, actions):
    assert run(["normalize-actions", flow, actions]) == 2
    assert capsys.readouterr().out == ""
