"""The flows that let every host of a lab reach every other."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Final

from ctl.abi import L2Kind
from ctl.flow import Actions, FlowKey, Match, Output
from ctl.ufid import MAX_OCTETS, Ufid
from netns_lab.topology import Topology

_MAC: Final = (1 << 48) - 1

# Untagged Ethernet of any type from one host to one other.  A VLAN tag and the recirculation id are
# always matched, here as absent.
_MASK: Final = FlowKey.of(
    in_port=0xFFFF, eth_src=_MAC, eth_dst=_MAC, vlan_tci=0xFFFF, cvlan_tci=0xFFFF, recirc_id=0xFFFFFFFF, l2_kind=0xFF
)  # fmt: skip


def flows(topology: Topology) -> Iterator[tuple[Match, Actions, Ufid]]:
    """One flow for each ordered pair of hosts; all have one mask."""
    for src in topology.hosts:
        for dst in topology.hosts:
            if src is not dst:
                key = FlowKey.of(
                    in_port=src.port, eth_src=_number(src.mac), eth_dst=_number(dst.mac), l2_kind=L2Kind.L2_ETHERNET,
                    eth_type=0x0004,
                )  # fmt: skip
                match = Match(key, _MASK)
                yield match, (Output(dst.port),), ufid_of(match)


def ufid_of(match: Match) -> Ufid:
    """A UFID that is the same whenever the match is: 16 octets of BLAKE2b over masked key and mask."""
    digest = hashlib.blake2b(match.masked.raw + match.mask.raw, digest_size=MAX_OCTETS)
    return Ufid(digest.digest())


def _number(mac: str) -> int:
    return int(mac.replace(":", ""), 16)
