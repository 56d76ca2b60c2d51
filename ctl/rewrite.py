"""Octets rewritten: what the executor's actions do to a header, given where it is.  Pure, to be read.

bpf/rewrite.h, csum.h and the hooks do the same in C.  All take a frame or a header and return it changed;
leaves are those of `ctl.action.Set.leaves`, values with masks.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Final

from ctl.validate import ETH_IPV4, ETH_IPV6

Leaves = dict[str, tuple[int, int]]
Places = dict[str, tuple[int, int]]  # by leaf: offset and size in bytes

_CRC32C: Final = 0x82F63B78  # the polynomial, bits reflected
_ICMP_CHECKSUM: Final = 2  # where it is
_ICMP_HEADER, _ARP_PACKET, _ND_MESSAGE, _ND_OPTION, _LABEL = 8, 28, 24, 8, 4  # bytes
_TTL, _HOP_LIMIT = 8, 7  # where they are
_SLL: Final = 1  # the type of an option that is a source link-layer address

_ARP_PLACES: Final = {
    "ip_proto": (6, 2), "arp_sha": (8, 6), "ipv4_src": (14, 4), "arp_tha": (18, 6), "ipv4_dst": (24, 4),
}  # fmt: skip
_ICMP_PLACES: Final = {"tp_src": (0, 1), "tp_dst": (1, 1)}


class Misfit(Exception):
    """The frame is too short for what an action wants to change."""


def header(frame: bytes, at: int, size: int) -> bytes:
    """``size`` bytes of a frame.  Misfit when they are not all there."""
    found = frame[at : at + size]
    if len(found) < size:
        raise Misfit
    return found


def replaced(frame: bytes, at: int, octets: bytes) -> bytes:
    """The frame with these octets in place of what is there."""
    return frame[:at] + octets + frame[at + len(octets) :]


def rewritten(octets: bytes, leaves: Leaves, places: Places) -> bytes:
    """A header with the bits of each leaf that its mask names replaced."""
    changed = bytearray(octets)
    for leaf, (at, size) in places.items():
        value, mask = leaves.get(leaf, (0, 0))
        was = int.from_bytes(octets[at : at + size], "big")
        changed[at : at + size] = (was & ~mask | value).to_bytes(size, "big")
    return bytes(changed)


def dec_ttl(frame: bytes, l3: int) -> bytes | None:
    """The frame with a TTL or hop limit that is one less; None when it is 1 or 0.  Others than IP have none, and stay.

    The type is the frame's own, right before layer 3: labels may have come or gone since the key was made.
    """
    place = {ETH_IPV4: _TTL, ETH_IPV6: _HOP_LIMIT}.get(int.from_bytes(frame[l3 - 2 : l3], "big"))
    if place is None:
        return frame
    was = header(frame, l3, 20 if place == _TTL else 40)
    if was[place] <= 1:
        return None
    now = replaced(was, place, bytes((was[place] - 1,)))
    if place == _TTL:
        now = with_checksum(now, 10, [(was, now)])
    return replaced(frame, l3, now)


# --- labels ------------------------------------------------------------------------------------------


def push_label(frame: bytes, l3: int, entry: int, ethertype: int) -> bytes:
    """A label stack entry (RFC 3032) where layer 3 begins, and its type before it.

    That type is the one which stands before layer 3, in an 802.2 frame that of SNAP.  The kernel's datapath
    would write it over such a frame's length.
    """
    return frame[: l3 - 2] + ethertype.to_bytes(2, "big") + entry.to_bytes(_LABEL, "big") + frame[l3:]


def pop_label(frame: bytes, l3: int, ethertype: int) -> bytes:
    """The outer entry taken away.  Misfit when it is not there."""
    header(frame, l3, _LABEL)
    return frame[: l3 - 2] + ethertype.to_bytes(2, "big") + frame[l3 + _LABEL :]


def set_label(frame: bytes, l3: int, value: int, mask: int) -> bytes:
    """Bits of the outer entry.  Misfit."""
    was = int.from_bytes(header(frame, l3, _LABEL), "big")
    return replaced(frame, l3, (was & ~mask | value).to_bytes(_LABEL, "big"))


# --- headers that only OVS's userspace datapath sets -------------------------------------------------


def set_arp(frame: bytes, l3: int, leaves: Leaves) -> bytes:
    """ARP for IPv4 over Ethernet (RFC 826).  Misfit."""
    return replaced(frame, l3, rewritten(header(frame, l3, _ARP_PACKET), leaves, _ARP_PLACES))


def set_icmp(frame: bytes, l4: int, leaves: Leaves) -> bytes:
    """Type and code, of ICMP and ICMPv6.  Misfit."""
    was = header(frame, l4, _ICMP_HEADER)
    changed = rewritten(was, leaves, _ICMP_PLACES)
    return replaced(frame, l4, with_checksum(changed, _ICMP_CHECKSUM, [(was[:2], changed[:2])]))


def set_nd(frame: bytes, l4: int, option: int | None, leaves: Leaves) -> bytes:
    """A neighbour message's target, and the address in the option at that place (RFC 4861).  Misfit.

    It is the first option that has an address, of source or target, and gets the one of its kind; a message
    has one such option, so that no other is looked for (OVS's packet_set_nd).
    """
    was = header(frame, l4, _ND_MESSAGE)
    changed = rewritten(was, leaves, {"nd_target": (8, 16)})
    differences = [(was, changed)]
    if option is not None:
        had = header(frame, option, _ND_OPTION)
        has = rewritten(had, leaves, {"nd_sll" if had[0] == _SLL else "nd_tll": (2, 6)})
        differences.append((had, has))
        frame = replaced(frame, option, has)
    return replaced(frame, l4, with_checksum(changed, _ICMP_CHECKSUM, differences))


# --- checksums ---------------------------------------------------------------------------------------


def with_checksum(
    octets: bytes, at: int, differences: Iterable[tuple[bytes, bytes]], *, zero_is_none: bool = False
) -> bytes:
    """A header with its 16-bit checksum changed for data that was the one and is the other."""
    check = int.from_bytes(octets[at : at + 2], "big")
    moved = [(was, now) for was, now in differences if was != now]
    if not moved or (zero_is_none and not check):
        return octets
    total = ~check & 0xFFFF
    for was, now in moved:
        total += sum(~word & 0xFFFF for word in _words(was)) + sum(_words(now))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    check = ~total & 0xFFFF
    if zero_is_none and not check:
        check = 0xFFFF
    return replaced(octets, at, check.to_bytes(2, "big"))


def crc32c(data: bytes) -> int:
    """CRC32c (RFC 3720, 12.1; RFC 9260, appendix A), bit by bit."""
    crc = 0xFFFFFFFF
    for octet in data:
        crc ^= octet
        for _ in range(8):
            crc = crc >> 1 ^ (_CRC32C if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def _words(data: bytes) -> tuple[int, ...]:
    return struct.unpack(f">{len(data) // 2}H", data)
