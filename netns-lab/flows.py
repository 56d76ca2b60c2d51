"""The flows that let every host of a network reach every other, on every datapath between them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Final

from ctl.abi import L2Kind
from ctl.action import Action, Actions, Output, PopVlan, PushVlan
from ctl.flow import FlowKey, Match
from ctl.ufid import MAX_OCTETS, Ufid
from ctl.validate import TCI_PRESENT, TPIDS
from netns_lab.paths import Hop, Leg, hops, networks, ways_to
from netns_lab.topology import Topology

_MAC: Final = (1 << 48) - 1
_VID: Final = 0xFFF
_TPID: Final = TPIDS[0]
_NO_TYPE: Final = 0x0004  # the Ethernet type of a key that says nothing of it

# Ethernet of any type from one host to one other.  A VLAN tag and the recirculation id are always matched,
# here as absent; and here a tag of any priority.
_UNTAGGED: Final = FlowKey.of(
    in_port=0xFFFF, eth_src=_MAC, eth_dst=_MAC, vlan_tci=0xFFFF, cvlan_tci=0xFFFF, recirc_id=0xFFFFFFFF, l2_kind=0xFF
)  # fmt: skip
_TAGGED: Final = _UNTAGGED.with_leaves(vlan_tci=TCI_PRESENT | _VID, vlan_tpid=0xFFFF)

Entry = tuple[Match, Actions, Ufid]


def flows(topology: Topology) -> dict[str, list[Entry]]:
    """By datapath, a flow for each ordered pair of hosts in one network whose frames pass it.

    A datapath's flows have one mask for frames without a tag, and one for those with.
    """
    ways = {name: ways_to(topology, name) for name in topology.datapaths}
    found: dict[str, list[Entry]] = {name: [] for name in topology.datapaths}
    for network in networks(topology):
        for leg in (Leg(src, dst) for src in network for dst in network if src is not dst):
            steps = list(hops(leg, ways[leg.dst.device.datapath]))
            for hop, tags in zip(steps, _tags(leg, len(steps)), strict=True):
                match, actions = _flow(leg, hop, *tags)
                found[hop.datapath].append((match, actions, ufid_of(match)))
    return found


def _tags(leg: Leg, count: int) -> Iterator[tuple[int | None, int | None]]:
    """The VLAN tag with which a frame comes to each datapath on its way, and with which it leaves."""
    between = [leg.src.vlan] * (count - 1)
    yield from zip([leg.src.address.tag, *between], [*between, leg.dst.address.tag], strict=True)


def _flow(leg: Leg, hop: Hop, tag: int | None, leaving: int | None) -> tuple[Match, Actions]:
    key = FlowKey.of(
        in_port=hop.in_port, eth_src=_number(leg.src.device.mac), eth_dst=_number(leg.dst.device.mac),
        l2_kind=L2Kind.L2_ETHERNET, eth_type=_NO_TYPE,
    )  # fmt: skip
    change: tuple[Action, ...] = ()
    if tag is None and leaving is not None:
        change = (PushVlan(tpid=_TPID, tci=TCI_PRESENT | leaving),)
    elif tag is not None and leaving is None:
        change = (PopVlan(),)
    if tag is None:
        return Match(key, _UNTAGGED), (*change, Output(hop.out_port))
    key = key.with_leaves(vlan_tci=TCI_PRESENT | tag, vlan_tpid=_TPID)
    return Match(key, _TAGGED), (*change, Output(hop.out_port))


def ufid_of(match: Match) -> Ufid:
    """A UFID that is the same whenever the match is: 16 octets of BLAKE2b over masked key and mask."""
    digest = hashlib.blake2b(match.masked.raw + match.mask.raw, digest_size=MAX_OCTETS)
    return Ufid(digest.digest())


def _number(mac: str) -> int:
    return int(mac.replace(":", ""), 16)
