"""The reference extractor: from a frame to its flow key, to be read.

bpf/key.h does the same in C, and the tests hold the two against each other.  The rules are those of the
OVS kernel datapath (net/openvswitch/flow.c): extraction is total.  Only a frame shorter than an Ethernet
header has no key.  Whatever else is cut short, or says nonsense, leaves its fields zero, and the flows
decide about the packet.  Lengths are judged by the frame's end alone, so that padding counts as payload;
IP versions, total lengths and checksums are not looked at.

A function here takes the rest of the frame from its header on and returns the leaves of struct flow_key
that it finds, by name, as numbers in the sense of `ctl.flow.FlowKey`; what it does not name is zero.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Final, NamedTuple

from ctl.abi import FragKind, L2Kind
from ctl.flow import FlowKey
from ctl.validate import ETH_802_2, ETH_IPV4, ETH_IPV6, ETH_MIN, TCI_PRESENT, TPIDS

Leaves = dict[str, int]
Extractor = Callable[[bytes], Leaves]

MAX_MPLS_LABELS: Final = 3
MAX_IPV6_EXTENSIONS: Final = 6
MAX_ND_OPTIONS: Final = 8

_HOP_BY_HOP, _ROUTING, _FRAGMENT, _AUTH, _NO_NEXT, _DESTINATION = 0, 43, 44, 51, 59, 60
_ICMPV6: Final = 58
_EXTENSIONS: Final = (_HOP_BY_HOP, _ROUTING, _FRAGMENT, _AUTH, _DESTINATION)


def extract(frame: bytes, in_port: int) -> FlowKey | None:
    """The key of a frame that came in on that port; None when it is under 14 bytes."""
    if len(frame) < 14:
        return None
    tags, eth_type, rest = _link_layer(frame[12:])
    leaves = {
        "in_port": in_port,
        "l2_kind": L2Kind.L2_ETHERNET.value,
        "eth_dst": _number(frame[0:6]),
        "eth_src": _number(frame[6:12]),
        "eth_type": eth_type,
    }
    network = _L3.get(eth_type, _nothing)
    return FlowKey.of(**leaves, **tags, **network(rest))


# --- link layer --------------------------------------------------------------------------------------


def _link_layer(rest: bytes) -> tuple[Leaves, int, bytes]:
    """Tags, type, and what follows.  ``rest`` begins with the first type field.

    Up to two tags, of either kind each.  One that the frame's end cuts short, its type field included,
    is not a tag: then its TPID is the type.
    """
    leaves: Leaves = {}
    for tag in ("vlan", "cvlan"):
        tpid = _number(rest[:2])
        if tpid not in TPIDS or len(rest) < 6:
            break
        leaves |= {f"{tag}_tpid": tpid, f"{tag}_tci": _number(rest[2:4]) | TCI_PRESENT}
        rest = rest[4:]
    return leaves, *_ether_type(rest)


def _ether_type(rest: bytes) -> tuple[int, bytes]:
    """The type, and what it speaks of.

    A length instead of a type (IEEE 802.3) means LLC.  LLC with SNAP and the OUI zero names a type
    (RFC 1042); any other 802.2 frame gets the type 0x0004, and nothing more of it is read.  The control
    field of LLC is not looked at.
    """
    eth_type, rest = _number(rest[:2]), rest[2:]
    if eth_type >= ETH_MIN:
        return eth_type, rest
    if len(rest) < 8 or rest[:2] != b"\xaa\xaa" or rest[3:6] != bytes(3):
        return ETH_802_2, rest
    eth_type = _number(rest[6:8])
    return (eth_type if eth_type >= ETH_MIN else ETH_802_2), rest[8:]


# --- network layer -----------------------------------------------------------------------------------


def _nothing(_: bytes) -> Leaves:
    return {}


def _arp(rest: bytes) -> Leaves:
    """ARP and RARP (RFC 826, RFC 903).  Anything but IPv4 over Ethernet leaves all zero.

    The operation has 8 bits in the key: a larger one counts as zero.
    """
    if len(rest) < 28 or struct.unpack_from(">HHBB", rest) != (1, ETH_IPV4, 6, 4):
        return {}
    operation = _number(rest[6:8])
    return {
        "ip_proto": operation if operation <= 0xFF else 0,
        "arp_sha": _number(rest[8:14]),
        "ipv4_src": _number(rest[14:18]),
        "arp_tha": _number(rest[18:24]),
        "ipv4_dst": _number(rest[24:28]),
    }


def _mpls(rest: bytes) -> Leaves:
    """Up to three label stack entries (RFC 3032), outermost first, down to the bottom of the stack.

    A stack that the frame's end cuts short keeps its whole entries.  What the labels carry is not read.
    """
    stack = b""
    for at in range(0, 4 * MAX_MPLS_LABELS, 4):
        entry = rest[at : at + 4]
        if len(entry) < 4:
            break
        stack += entry
        if entry[2] & 1:
            break
    return {"mpls_lse": _number(stack.ljust(4 * MAX_MPLS_LABELS, b"\0"))}


def _ipv4(rest: bytes) -> Leaves:
    """IPv4 (RFC 791).  A header whose options go beyond the frame leaves all zero.

    A later fragment has no transport header: its ports stay zero.
    """
    if len(rest) < 20:
        return {}
    size = (rest[0] & 0x0F) * 4
    if size < 20 or len(rest) < size:
        return {}
    leaves = {
        "ipv4_src": _number(rest[12:16]),
        "ipv4_dst": _number(rest[16:20]),
        "ip_proto": rest[9],
        "ip_tos": rest[1],
        "ip_ttl": rest[8],
    }
    flags_and_offset = _number(rest[6:8])
    if flags_and_offset & 0x1FFF:
        return leaves | {"ip_frag": FragKind.FRAG_LATER.value}
    first = FragKind.FRAG_FIRST if flags_and_offset & 0x2000 else FragKind.FRAG_NONE
    transport = _L4_OF_IPV4.get(rest[9], _nothing)
    return leaves | {"ip_frag": first.value} | transport(rest[size:])


def _ipv6(rest: bytes) -> Leaves:
    """IPv6 (RFC 8200).  ip_proto is the protocol behind the extension headers."""
    if len(rest) < 40:
        return {}
    word = _number(rest[0:4])
    leaves = {
        "ipv6_label": word & 0xFFFFF,
        "ip_tos": word >> 20 & 0xFF,
        "ip_ttl": rest[7],
        "ipv6_src": _number(rest[8:24]),
        "ipv6_dst": _number(rest[24:40]),
    }
    chain, payload = _extensions(rest[6], rest[40:])
    transport = _L4_OF_IPV6.get(chain["ip_proto"], _nothing)
    return leaves | chain | (transport(payload) if payload is not None else {})


def _extensions(protocol: int, rest: bytes) -> tuple[Leaves, bytes | None]:
    """ip_proto and ip_frag, and what follows the extension headers; None: no transport header does.

    A chain that is cut short, or longer than six headers, has protocol 59, "no next header".  A header
    is read if its first two bytes are there, four of routing and fragment headers; one that reaches
    beyond the frame is skipped all the same, and its protocol named.
    """
    fragment = FragKind.FRAG_NONE.value
    for _ in range(MAX_IPV6_EXTENSIONS):
        if protocol not in _EXTENSIONS:
            break
        if protocol == _FRAGMENT and len(rest) >= 2:
            fragment = FragKind.FRAG_FIRST.value
        if len(rest) < (4 if protocol in (_ROUTING, _FRAGMENT) else 2):
            return {"ip_proto": _NO_NEXT, "ip_frag": fragment}, None
        if protocol == _FRAGMENT and _number(rest[2:4]) & ~7:
            return _later_fragment(rest[0]), None
        protocol, rest = rest[0], rest[_extension_size(protocol, rest[1]) :]
    if protocol in _EXTENSIONS:
        return {"ip_proto": _NO_NEXT, "ip_frag": fragment}, None
    return {"ip_proto": protocol, "ip_frag": fragment}, rest


def _extension_size(protocol: int, size: int) -> int:
    """Bytes of an extension header whose size field has that value: the unit is not the same for all."""
    if protocol == _FRAGMENT:
        return 8
    return (size + 2) * 4 if protocol == _AUTH else (size + 1) * 8


def _later_fragment(following: int) -> Leaves:
    """Protocol 44 for a later fragment, whatever it continues.

    But the kernel's ipv6_find_hdr refuses one that continues an extension header, after it has seen
    that there is a fragment and before it says which: such a packet counts as a first fragment of a
    malformed chain.
    """
    if following in _EXTENSIONS:
        return {"ip_proto": _NO_NEXT, "ip_frag": FragKind.FRAG_FIRST.value}
    return {"ip_proto": _FRAGMENT, "ip_frag": FragKind.FRAG_LATER.value}


# --- transport layer ---------------------------------------------------------------------------------


def _ports(header_size: int) -> Extractor:
    """Source and destination port, if a header of that many bytes is there."""

    def extract_ports(rest: bytes) -> Leaves:
        if len(rest) < header_size:
            return {}
        return {"tp_src": _number(rest[0:2]), "tp_dst": _number(rest[2:4])}

    return extract_ports


def _tcp(rest: bytes) -> Leaves:
    """TCP (RFC 9293): ports and 12 bits of flags, unless the header with its options goes beyond the frame."""
    if len(rest) < 20:
        return {}
    size = (rest[12] >> 4) * 4
    if size < 20 or len(rest) < size:
        return {}
    return _ports(20)(rest) | {"tcp_flags": _number(rest[12:14]) & 0x0FFF}


def _icmp(rest: bytes) -> Leaves:
    """ICMP (RFC 792): type and code stand where ports do."""
    return {"tp_src": rest[0], "tp_dst": rest[1]} if len(rest) >= 8 else {}


def _icmpv6(rest: bytes) -> Leaves:
    """ICMPv6 (RFC 4443), and neighbour solicitations and advertisements with code 0 (RFC 4861)."""
    leaves = _icmp(rest)
    return leaves | _neighbour_discovery(rest) if _is_neighbour_message(rest) else leaves


def _is_neighbour_message(rest: bytes) -> bool:
    return len(rest) >= 24 and rest[0] in (135, 136) and rest[1] == 0


def _neighbour_discovery(rest: bytes) -> Leaves:
    """Target, and source (option 1) and target (option 2) link-layer address.

    Only options of exactly 8 bytes are addresses.  Naming one twice voids all three fields; an address
    of zero does not count as named.  So do more options than are read: better no answer than one that
    depends on what nobody looked at.
    """
    found: Leaves = {"nd_target": _number(rest[8:24]), "nd_sll": 0, "nd_tll": 0}
    for i, option in enumerate(_nd_options(rest[24:])):
        if i == MAX_ND_OPTIONS:
            return {}
        leaf = {1: "nd_sll", 2: "nd_tll"}.get(option[0])
        if leaf is None or len(option) != 8:
            continue
        if found[leaf]:
            return {}
        found[leaf] = _number(option[2:8])
    return found


def _nd_options(rest: bytes) -> Iterator[bytes]:
    """The options, until one says that it is empty or longer than what is left."""
    while len(rest) >= 8:
        size = rest[1] * 8
        if not 0 < size <= len(rest):
            return
        yield rest[:size]
        rest = rest[size:]


def _number(octets: bytes) -> int:
    """Octets in network order as a number."""
    return int.from_bytes(octets, "big")


_L4_OF_BOTH: Final[dict[int, Extractor]] = {6: _tcp, 17: _ports(8), 132: _ports(12)}  # SCTP: RFC 9260
_L4_OF_IPV4: Final[dict[int, Extractor]] = {**_L4_OF_BOTH, 1: _icmp}
_L4_OF_IPV6: Final[dict[int, Extractor]] = {**_L4_OF_BOTH, _ICMPV6: _icmpv6}
_L3: Final[dict[int, Extractor]] = {
    ETH_IPV4: _ipv4,
    ETH_IPV6: _ipv6,
    0x0806: _arp,
    0x8035: _arp,
    0x8847: _mpls,
    0x8848: _mpls,
}


# --- where the layers begin --------------------------------------------------------------------------


class Layout(NamedTuple):
    """Offsets of the network and the transport header in a frame.

    ``l4`` is None where there is no transport header, as in a later fragment; it may be the frame's end.
    ``is_routed``: an IPv6 routing header has another destination, which the transport checksum is about.
    ``option`` is that of a neighbour message's first option for a link-layer address, None where there is none.
    """

    l3: int
    l4: int | None
    is_routed: bool
    option: int | None = None


def locate(frame: bytes) -> Layout:
    """Where the layers of a frame of at least 14 bytes begin."""
    _, eth_type, rest = _link_layer(frame[12:])
    l3 = len(frame) - len(rest)
    if eth_type == ETH_IPV4 and (leaves := _ipv4(rest)) and leaves["ip_frag"] != FragKind.FRAG_LATER:
        return Layout(l3, l3 + (rest[0] & 0x0F) * 4, is_routed=False)
    if eth_type == ETH_IPV6 and len(rest) >= 40:
        chain, payload = _extensions(rest[6], rest[40:])
        l4 = None if payload is None else len(frame) - len(payload)
        option = _address_option(payload) if payload is not None and chain["ip_proto"] == _ICMPV6 else None
        return Layout(
            l3, l4, is_routed=_is_routed(rest[6], rest[40:]), option=l4 + option if l4 and option is not None else None
        )
    return Layout(l3, None, is_routed=False)


def _address_option(message: bytes) -> int | None:
    """Where in an ICMPv6 message the first of its options is that are addresses, if it is a neighbour message."""
    at = 24
    for option in islice(_nd_options(message[at:]), MAX_ND_OPTIONS) if _is_neighbour_message(message) else ():
        if option[0] in (1, 2) and len(option) == 8:
            return at
        at += len(option)
    return None


def _is_routed(protocol: int, rest: bytes) -> bool:
    """Whether a routing header among the extensions has segments left."""
    for _ in range(MAX_IPV6_EXTENSIONS):
        if protocol not in _EXTENSIONS or len(rest) < 4:
            return False
        if protocol == _ROUTING and rest[3]:
            return True
        protocol, rest = rest[0], rest[_extension_size(protocol, rest[1]) :]
    return False
