"""What actions do to a frame: the specification of the executor, to be read.

bpf/action.h does the same in C, and the tests hold the two against each other.  Actions run from left to
right on the frame as it then is; its layers stay where they were found, shifted by the tags that come and
go.  An action that does not fit the frame drops it, as in the OVS kernel datapath (actions.c).

Checksums are changed by difference (RFC 1624), never computed anew: a packet that came with a wrong one
leaves with one that is wrong by as much.  A UDP checksum of zero means that there is none, and stays.
SCTP's is a CRC: here the difference is that of two CRCs over all there is, bpf/crc32c.h knows a shorter way.
How octets are rewritten is in `ctl.rewrite`.
"""

from __future__ import annotations

import copy
import random
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from ctl import rewrite
from ctl.abi import DropReason, FragKind
from ctl.action import (
    Action,
    Actions,
    AddMpls,
    CheckPktLen,
    Clone,
    DecTtl,
    Drop,
    Hash,
    HashAlgorithm,
    Meter,
    Output,
    PopMpls,
    PopVlan,
    Psample,
    PushMpls,
    PushVlan,
    Recirc,
    Sample,
    Set,
    Trunc,
    Userspace,
    changes_frame,
)
from ctl.flow import FlowKey
from ctl.packet import locate
from ctl.rewrite import Misfit
from ctl.validate import ETH_IPV6, TCI_PRESENT, TPIDS

_TCP, _UDP, _ICMPV6 = 6, 17, 58
_SCTP_HEADER: Final = 12  # bytes, of which the last 4 are the checksum
_WORD: Final = (1 << 64) - 1
_HASH_FACTOR: Final = 0x9E3779B97F4A7C15
ALWAYS: Final = 0xFFFFFFFF  # the probability of a sample that is no choice
_NO_OUTPUT: Final = (DropReason.DROP_NONE, DropReason.DROP_ACTION)  # how a list ends that has no output at its end

# Where a transport header keeps its checksum, and how long the header is at least, by protocol.
_CHECKSUMS: Final = {_TCP: (16, 20), _UDP: (6, 8), _ICMPV6: (2, 8)}

# Where the leaves that can be set lie in their header: offset and size in bytes.
_PLACES: Final = {
    "eth": {"eth_dst": (0, 6), "eth_src": (6, 6)},
    "ipv4": {"ip_tos": (1, 1), "ip_ttl": (8, 1), "ipv4_src": (12, 4), "ipv4_dst": (16, 4)},
    "ipv6": {"ip_ttl": (7, 1), "ipv6_src": (8, 16), "ipv6_dst": (24, 16)},
    "ports": {"tp_src": (0, 2), "tp_dst": (2, 2)},
}
_HEADER_SIZES: Final = {"eth": 14, "ipv4": 20, "ipv6": 40}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """What a packet comes into a pass with, beside its port."""

    frame: bytes
    recirc_id: int = 0
    dp_hash: int = 0
    mark: int = 0
    priority: int = 0


@dataclass(slots=True)
class Packet:
    """A frame on its way through an action list.

    ``l3``, ``l4`` and ``option`` as in `ctl.packet.Layout`; ``cut``: bytes that trunc takes off the end of the next
    copy.  ``mark`` and ``priority`` are kept beside the frame.  ``copies`` is what outputs sent that were not
    the end of the list: port and frame as it then was.  ``again`` is what waits until the packet has ended: copies,
    each about to begin a pass or to carry out a list of its own.  ``drops``: why copies ended that were dropped.
    ``upcalls`` is what userspace actions sent: the action and the frame as cut; ``samples`` what psample sent: the
    action, how many of 2^32 - 1 packets are chosen, and the frame as cut.  ``probability`` is that of the sample
    action whose list this is, 0 in none; ``draw`` gives a number of 32 bits at random.
    ``exceeds`` asks a meter, by its number, whether a frame of that size is too many.
    """

    frame: bytes
    key: FlowKey
    dp_hash: int = 0
    mark: int = 0
    priority: int = 0
    cut: int = 0
    copies: list[tuple[int, bytes]] = field(default_factory=list)
    again: list[Pass | Nested] = field(default_factory=list)
    drops: list[DropReason] = field(default_factory=list)
    upcalls: list[tuple[Userspace, bytes]] = field(default_factory=list)
    samples: list[tuple[Psample, int, bytes]] = field(default_factory=list)
    probability: int = 0
    draw: Callable[[], int] = lambda: random.getrandbits(32)
    exceeds: Callable[[int, int], bool] = lambda _number, _size: False
    l3: int = field(init=False)
    l4: int | None = field(init=False)
    is_routed: bool = field(init=False)
    option: int | None = field(init=False)

    def __post_init__(self) -> None:
        self.l3, self.l4, self.is_routed, self.option = locate(self.frame)

    @property
    def made(self) -> int:
        """How many copies went somewhere, or will."""
        return len(self.copies) + len(self.again)

    def next_pass(self, recirc_id: int) -> Pass:
        """The pass that a recirculation leads to, with the packet as it is now."""
        return Pass(frame=self.frame, recirc_id=recirc_id, dp_hash=self.dp_hash, mark=self.mark, priority=self.priority)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a list ended: one of an output, another pass, a drop, and nothing at all behind a copy."""

    out_port: int | None = None
    recirc_id: int | None = None
    reason: DropReason = DropReason.DROP_NONE


@dataclass(frozen=True, slots=True)
class Nested:
    """A copy of a packet that waits to carry out a list, which changes it, when the packet itself has ended."""

    actions: Actions
    packet: Packet


def execute(actions: Actions, packet: Packet) -> Outcome:
    """Carry out a list on a packet, which is changed in place."""
    try:
        for left, action in zip(range(len(actions) - 1, -1, -1), actions, strict=True):
            if isinstance(action, Output) and left:
                packet.copies.append((action.port, _taken_cut(packet)))
                continue
            if isinstance(action, Recirc) and left:
                packet.again.append(packet.next_pass(action.id))
                continue
            if isinstance(action, DecTtl):
                frame = rewrite.dec_ttl(packet.frame, packet.l3)
                if frame is None:
                    return _ttl_is_gone(action.actions, packet)
                packet.frame = frame
                continue
            if isinstance(action, Sample | Clone | CheckPktLen):
                outcome = _execute_nested(action, packet, is_last=not left)
            else:
                outcome = _execute_one(action, packet)
            if outcome is not None:
                return outcome
    except Misfit:
        return Outcome(reason=DropReason.DROP_ACTION_ERROR)
    return Outcome(reason=DropReason.DROP_NONE if packet.made else DropReason.DROP_ACTION)


def _execute_one(action: Action, packet: Packet) -> Outcome | None:  # noqa: C901 - a row for each action
    """The effect of one action; an outcome ends the list."""
    match action:
        case Output(port=port):
            packet.frame = _taken_cut(packet)
            return Outcome(out_port=port)
        case Drop(reason=reason):
            return Outcome(reason=DropReason.DROP_EXPLICIT_ERROR if reason else DropReason.DROP_EXPLICIT)
        case Recirc(id=recirc_id):
            return Outcome(recirc_id=recirc_id)
        case Hash(algorithm=algorithm, basis=basis):
            packet.dp_hash = hash_key(packet.key, algorithm, basis)
        case Trunc(max_len=max_len):
            packet.cut = max(0, len(packet.frame) - max_len)
        case Userspace():
            packet.upcalls.append((action, packet.frame[: len(packet.frame) - packet.cut]))
            packet.cut = 0
        case Psample():
            rate = packet.probability or ALWAYS
            packet.samples.append((action, rate, packet.frame[: len(packet.frame) - packet.cut]))
            packet.cut = 0
        case Meter(id=number):
            if packet.exceeds(number, len(packet.frame)):
                return Outcome(reason=DropReason.DROP_METER)
        case PushVlan() | PopVlan():
            _change_tags(action, packet)
        case PushMpls() | PopMpls() | AddMpls():
            _change_labels(action, packet)
        case Set():
            _set(action, packet)
    return None


def _taken_cut(packet: Packet) -> bytes:
    """The frame without what trunc cuts; at least an Ethernet header is left."""
    cut = min(packet.cut, len(packet.frame) - 14)
    packet.cut = 0
    return packet.frame[: len(packet.frame) - cut]


# --- lists within actions ----------------------------------------------------------------------------


def _execute_nested(action: Sample | Clone | CheckPktLen, packet: Packet, *, is_last: bool) -> Outcome | None:
    """The list within an action, on a copy; when nothing follows, on the packet itself.

    A copy that changes waits until the packet has ended.  One whose list comes to no output is no drop.
    """
    actions = _chosen(action, packet)
    if actions is None:
        return None
    probability = action.probability if isinstance(action, Sample) else packet.probability
    if is_last:
        packet.probability = probability
        return execute(actions, packet)
    twin = copy.copy(packet)
    twin.probability = probability
    if changes_frame(actions):
        twin.copies, twin.again, twin.drops, twin.upcalls, twin.samples = [], [], [], [], []
        packet.again.append(Nested(actions, twin))
        return None
    outcome = execute(actions, twin)
    if outcome.out_port is not None:
        packet.copies.append((outcome.out_port, twin.frame))
    elif outcome.recirc_id is not None:
        packet.again.append(twin.next_pass(outcome.recirc_id))
    elif outcome.reason not in _NO_OUTPUT:
        packet.drops.append(outcome.reason)
    return None


def _chosen(action: Sample | Clone | CheckPktLen, packet: Packet) -> Actions | None:
    """The list that is to be carried out, if any is.  An outer tag does not count as length (actions.c)."""
    match action:
        case Sample(probability=probability):
            is_chosen = probability and (probability == ALWAYS or packet.draw() <= probability)
            return action.actions if is_chosen else None
        case CheckPktLen(size=size):
            is_longer = len(packet.frame) - (4 if _has_tag(packet.frame) else 0) > size
            return action.greater if is_longer else action.less_equal
        case Clone():
            return action.actions


def _ttl_is_gone(actions: Actions, packet: Packet) -> Outcome:
    """The rest of a packet that had no TTL left."""
    before = packet.made
    outcome = execute(actions, packet)
    if outcome.out_port is not None or outcome.recirc_id is not None or outcome.reason not in _NO_OUTPUT:
        return outcome
    return Outcome(reason=DropReason.DROP_NONE if packet.made > before else DropReason.DROP_TTL)


# --- tags --------------------------------------------------------------------------------------------


def _change_tags(action: PushVlan | PopVlan, packet: Packet) -> None:
    """A tag comes or goes behind the addresses.  Without a whole tag and a type behind it none goes."""
    frame = packet.frame
    if isinstance(action, PushVlan):
        tag = struct.pack(">HH", action.tpid, action.tci & ~TCI_PRESENT)
        packet.frame = frame[:12] + tag + frame[12:]
        _shift(packet, 4)
    elif _has_tag(frame):
        packet.frame = frame[:12] + frame[16:]
        _shift(packet, -4)


def _has_tag(frame: bytes) -> bool:
    """Whether a frame has a whole tag, and a type behind it."""
    return len(frame) >= 18 and int.from_bytes(frame[12:14], "big") in TPIDS


def _shift(packet: Packet, size: int) -> None:
    packet.l3 += size
    if packet.l4 is not None:
        packet.l4 += size
    if packet.option is not None:
        packet.option += size


def _change_labels(action: PushMpls | PopMpls | AddMpls, packet: Packet) -> None:
    """A label comes or goes where layer 3 begins, behind the tags.  What is behind a label is not known."""
    packet.l4 = packet.option = None
    if isinstance(action, PopMpls):
        packet.frame = rewrite.pop_label(packet.frame, packet.l3, action.ethertype)
    else:
        packet.frame = rewrite.push_label(packet.frame, packet.l3, action.lse, action.ethertype)


# --- headers -----------------------------------------------------------------------------------------


def _set(action: Set, packet: Packet) -> None:
    if action.section in ("tcp", "udp", "sctp"):
        _set_ports(action, packet)
        return
    if action.section in ("skb_mark", "skb_priority"):
        _set_beside(action, packet)
        return
    if action.section == "mpls":
        packet.frame = rewrite.set_label(packet.frame, packet.l3, *action.entry())
        return
    if action.section == "arp":
        packet.frame = rewrite.set_arp(packet.frame, packet.l3, action.leaves())
        return
    if action.section in ("icmp", "icmpv6"):
        _set_icmp(action, packet)
        return
    if action.section == "nd":
        packet.frame = rewrite.set_nd(packet.frame, _there(packet.l4), packet.option, action.leaves())
        return
    at = 0 if action.section == "eth" else packet.l3
    header = rewrite.header(packet.frame, at, _HEADER_SIZES[action.section])
    changed = rewrite.rewritten(header, action.leaves(), _PLACES[action.section])
    if action.section == "ipv6":
        changed = _with_first_word(changed, action.leaves())
    if action.section == "ipv4":
        changed = rewrite.with_checksum(changed, 10, [(header, changed)])
    packet.frame = rewrite.replaced(packet.frame, at, changed)
    if action.section in ("ipv4", "ipv6"):
        _mend_transport(packet, action.section, header, changed)


def _set_beside(action: Set, packet: Packet) -> None:
    """Mark and priority."""
    name = action.section.removeprefix("skb_")
    value, mask = action.leaves().get(action.section, (0, 0))
    setattr(packet, name, getattr(packet, name) & ~mask | value)


def _set_ports(action: Set, packet: Packet) -> None:
    """Ports, and the checksum that covers them.  A later fragment has no ports: it stays as it is."""
    if packet.key["ip_frag"] == FragKind.FRAG_LATER:
        return
    if action.section == "sctp":
        _set_sctp_ports(action, packet)
        return
    protocol = _TCP if action.section == "tcp" else _UDP
    place, size = _CHECKSUMS[protocol]
    at = _there(packet.l4)
    header = rewrite.header(packet.frame, at, size)
    changed = rewrite.rewritten(header, action.leaves(), _PLACES["ports"])
    changed = rewrite.with_checksum(changed, place, [(header, changed)], zero_is_none=protocol == _UDP)
    packet.frame = rewrite.replaced(packet.frame, at, changed)


def _set_icmp(action: Set, packet: Packet) -> None:
    """Type and code.  A later fragment has none: it stays as it is."""
    if packet.key["ip_frag"] != FragKind.FRAG_LATER:
        packet.frame = rewrite.set_icmp(packet.frame, _there(packet.l4), action.leaves())


def _there(place: int | None) -> int:
    """Where a header is that must be there.  Misfit."""
    if place is None:
        raise Misfit
    return place


def _set_sctp_ports(action: Set, packet: Packet) -> None:
    """The checksum covers all from its header to the end of the frame, padding too (actions.c, set_sctp)."""
    at = _there(packet.l4)
    header = rewrite.header(packet.frame, at, _SCTP_HEADER)
    changed = rewrite.rewritten(header, action.leaves(), _PLACES["ports"])
    rest = packet.frame[at + _SCTP_HEADER :]
    error = int.from_bytes(header[8:], "little") ^ _sctp_checksum(header, rest)
    check = _sctp_checksum(changed, rest) ^ error
    packet.frame = rewrite.replaced(packet.frame, at, changed[:8] + check.to_bytes(4, "little"))


def _with_first_word(header: bytes, leaves: dict[str, tuple[int, int]]) -> bytes:
    """Traffic class and flow label share the first word of an IPv6 header with the version."""
    (tclass, tclass_mask), (label, label_mask) = (leaves.get(leaf, (0, 0)) for leaf in ("ip_tos", "ipv6_label"))
    mask = tclass_mask << 20 | label_mask
    word = int.from_bytes(header[:4], "big") & ~mask | tclass << 20 | label
    return word.to_bytes(4, "big") + header[4:]


# --- checksums ---------------------------------------------------------------------------------------


def _mend_transport(packet: Packet, section: str, header: bytes, changed: bytes) -> None:
    """The addresses are in the transport checksum.  Only a whole transport header is mended."""
    protocol = packet.key["ip_proto"]
    place, size = _CHECKSUMS.get(protocol, (0, 0))
    if packet.l4 is None or not size or (protocol == _ICMPV6 and section == "ipv4"):
        return
    transport = packet.frame[packet.l4 : packet.l4 + size]
    if len(transport) < size:
        return
    spans = [slice(12, 20)] if section == "ipv4" else [slice(8, 24), slice(24, 40)][: 1 if packet.is_routed else 2]
    differences = [(header[span], changed[span]) for span in spans]
    mended = rewrite.with_checksum(transport, place, differences, zero_is_none=protocol == _UDP)
    packet.frame = rewrite.replaced(packet.frame, packet.l4, mended)


def _sctp_checksum(header: bytes, rest: bytes) -> int:
    """What the checksum should be: the CRC of the packet with zeros in the checksum's place (RFC 9260, 6.8)."""
    return rewrite.crc32c(header[:8] + bytes(4) + rest)


# --- hash --------------------------------------------------------------------------------------------


def hash_key(key: FlowKey, algorithm: HashAlgorithm, basis: int) -> int:
    """The hash action's number, 1 to 2^32 - 1, from the key of this pass: bpf/hash.h.

    Words, in this order: basis; protocol; source address, two 64-bit words in the order and byte order of
    the key; destination address; ports.  Symmetric: source and destination are added up first.
    """
    ports = tuple(int.from_bytes(key[leaf].to_bytes(2, "big"), "little") for leaf in ("tp_src", "tp_dst"))
    if key["eth_type"] == ETH_IPV6:
        source, destination = (struct.unpack("<2Q", key[f"ipv6_{end}"].to_bytes(16, "big")) for end in ("src", "dst"))
    else:
        source, destination = (
            (int.from_bytes(key[f"ipv4_{end}"].to_bytes(4, "big"), "little"), 0) for end in ("src", "dst")
        )
    if algorithm == HashAlgorithm.SYM_L4:
        words = (source[0] + destination[0], source[1] + destination[1], sum(ports))
    else:
        words = (*source, *destination, ports[0] << 16 | ports[1])
    value = _HASH_FACTOR
    for word in (basis, key["ip_proto"], *words):
        value = (value ^ word & _WORD) * _HASH_FACTOR & _WORD
        value ^= value >> 32
    return value & 0xFFFFFFFF or 1
