"""The golden packets: why each is there, how scapy makes it, its bytes, and the key it must have.

packets.json is a list of rows.  ``recipe`` is an expression of scapy's; only one test reads it, to prove
that it makes ``hex``.  ``leaves`` names what the key has besides BASE, all else being zero.
"""

import json
import pathlib
from dataclasses import dataclass

from ctl.flow import FlowKey

IN_PORT = 1
BASE = {"in_port": IN_PORT, "l2_kind": 1, "eth_dst": 0x020000000002, "eth_src": 0x020000000001}
_FILE = pathlib.Path(__file__).with_name("packets.json")


@dataclass(frozen=True, kw_only=True)
class Golden:
    id: str
    why: str
    recipe: str
    frame: bytes
    key: FlowKey


def _golden(row):
    leaves = dict(leaf.split("=") for leaf in row["leaves"].split())
    return Golden(
        id=row["id"],
        why=row["why"],
        recipe=row["recipe"],
        frame=bytes.fromhex(row["hex"]),
        key=FlowKey.of(**BASE, **{name: int(value, 0) for name, value in leaves.items()}),
    )


GOLDEN = tuple(_golden(row) for row in json.loads(_FILE.read_text()))
EVERY_CUT = tuple(row.frame[:size] for row in GOLDEN for size in range(len(row.frame) + 1))
