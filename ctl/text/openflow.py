"""Matches as OpenFlow writes them, to pick flows from a dump: `filter=tcp,nw_dst=10.0.0.1,tp_dst=80`.

The meaning is that of `ovs-dpctl dump-flows filter=`.  A flow passes unless it and the filter both compare some
bit and differ in it: what a flow leaves open, it may well match.  So `filter=tcp` shows the TCP flows, and also
those that match any packet.

Words are parted by commas or blanks.  A word is the name of a protocol (`tcp6`) or FIELD=VALUE.  A field comes
behind what leads to it: `ip` or `dl_type=0x0800` before `nw_src=`.  What OVS does not take in a filter, and this
does: VALUE/MASK, and tp_src and tp_dst of UDP and SCTP.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, NoReturn, TypeVar

from ctl.errors import FlowSyntaxError
from ctl.fields import Format
from ctl.flow import FlowKey, Match
from ctl.text.values import FLAG_FORMATS, MASK_READERS, VALUE_READERS, read_number, read_signed_flags

_T = TypeVar("_T")
PortNumber = Callable[[str], int | None]
Known = dict[str, int]  # leaves that the filter has compared so far, and their values

_WORD: Final = re.compile(r"[,\s]*(?P<name>[^:=(,\s]+)(?:[:=](?P<value>[^,\s]*)|\((?P<inner>[^)]*)\)?)?")
_IP, _ARP, _RARP, _IPV6, _MPLS, _MPLS_MULTICAST = 0x0800, 0x0806, 0x8035, 0x86DD, 0x8847, 0x8848
_ICMP, _TCP, _UDP, _SCTP, _ICMPV6 = 1, 6, 17, 132, 58
_SOLICIT, _ADVERT = 135, 136  # RFC 4861, 4.3 and 4.4
_NO_TYPE, _NO_TYPE_OPENFLOW = 0x0004, 0x05FF  # the type of an 802.2 frame, in the key and in OpenFlow
_LATER: Final = 2  # ip_frag
_CFI: Final = 0x1000

# Protocols: type and, if it is one above IP, protocol number.
PROTOCOLS: Final[dict[str, tuple[int, int | None]]] = {
    **dict.fromkeys(("ip", "ipv4", "ip4"), (_IP, None)),
    **dict.fromkeys(("ipv6", "ip6"), (_IPV6, None)),
    "arp": (_ARP, None),
    "rarp": (_RARP, None),
    "mpls": (_MPLS, None),
    "mplsm": (_MPLS_MULTICAST, None),
    "icmp": (_IP, _ICMP),
    "tcp": (_IP, _TCP),
    "udp": (_IP, _UDP),
    "sctp": (_IP, _SCTP),
    "icmp6": (_IPV6, _ICMPV6),
    "tcp6": (_IPV6, _TCP),
    "udp6": (_IPV6, _UDP),
    "sctp6": (_IPV6, _SCTP),
}


@dataclass(frozen=True, slots=True)
class Filter:
    """What a filter compares.  Bits of ``value`` outside of ``mask`` are zero."""

    value: int
    mask: int

    def passes(self, match: Match) -> bool:
        """Whether a flow of this match and the filter agree in all that both compare."""
        both = self.mask & int.from_bytes(match.mask.raw, "little")
        return not both or not (int.from_bytes(match.key.raw, "little") ^ self.value) & both


@dataclass(frozen=True, slots=True)
class _Need:
    """What must have been said before a field, in words for people and as a test."""

    words: str
    is_met: Callable[[Known], bool]


@dataclass(frozen=True, slots=True)
class _Field:
    """A field of OpenFlow: where it is in the key.  ``beside``: bits of the leaf that are compared with it and are 1.

    ``limit`` is the largest value and ``step`` what it must be a multiple of.
    """

    leaf: str
    format: Format
    bits: int
    need: _Need | None = None
    maskable: bool = True
    shift: int = 0
    beside: int = 0
    step: int = 1


def _type(*types: int) -> Callable[[Known], bool]:
    return lambda known: known.get("eth_type") in types


def _above_ip(*protocols: int) -> Callable[[Known], bool]:
    """Protocols above IP have no header in a later fragment."""

    def is_met(known: Known) -> bool:
        is_ip = known.get("eth_type") in (_IP, _IPV6) and known.get("ip_frag") != _LATER
        return is_ip and known.get("ip_proto") in protocols

    return is_met


def _icmp(ethertype: int, protocol: int, *types: int) -> Callable[[Known], bool]:
    def is_met(known: Known) -> bool:
        is_icmp = (known.get("eth_type"), known.get("ip_proto")) == (ethertype, protocol)
        return is_icmp and (not types or (known.get("tp_src") in types and not known.get("tp_dst")))

    return is_met


_F = Format
_N_IPV4 = _Need("ip", _type(_IP))
_N_IPV6 = _Need("ipv6", _type(_IPV6))
_N_IP = _Need("ip or ipv6", _type(_IP, _IPV6))
_N_ARP = _Need("arp or rarp", _type(_ARP, _RARP))
_N_MPLS = _Need("mpls", _type(_MPLS, _MPLS_MULTICAST))
_N_TCP = _Need("tcp or tcp6", _above_ip(_TCP))
_N_UDP = _Need("udp or udp6", _above_ip(_UDP))
_N_SCTP = _Need("sctp or sctp6", _above_ip(_SCTP))
_N_PORTS = _Need("tcp, udp, sctp or one of them with 6", _above_ip(_TCP, _UDP, _SCTP))
_N_ICMP = _Need("icmp", _icmp(_IP, _ICMP))
_N_ICMPV6 = _Need("icmp6", _icmp(_IPV6, _ICMPV6))
_N_ND = _Need("icmp6,icmpv6_type=135 or 136", _icmp(_IPV6, _ICMPV6, _SOLICIT, _ADVERT))
_N_SOLICIT = _Need("icmp6,icmpv6_type=135", _icmp(_IPV6, _ICMPV6, _SOLICIT))
_N_ADVERT = _Need("icmp6,icmpv6_type=136", _icmp(_IPV6, _ICMPV6, _ADVERT))
_N_TAG = _Need("dl_vlan", lambda known: bool(known.get("vlan_tci", 0) & _CFI))


def _mpls(bits: int, shift: int) -> _Field:
    """A part of the outer label's entry, whose four octets are the first of the leaf."""
    return _Field("mpls_lse", _F.DEC, bits, _N_MPLS, maskable=False, shift=64 + shift)


FIELDS: Final[dict[str, _Field]] = {
    "in_port": _Field("in_port", _F.PORT, 16, maskable=False),
    "recirc_id": _Field("recirc_id", _F.DEC, 32, maskable=False),
    "dp_hash": _Field("dp_hash", _F.HEX, 32),
    "skb_priority": _Field("skb_priority", _F.HEX, 32, maskable=False),
    "pkt_mark": _Field("skb_mark", _F.HEX, 32),
    "eth_src": _Field("eth_src", _F.MAC, 48),
    "eth_dst": _Field("eth_dst", _F.MAC, 48),
    "eth_type": _Field("eth_type", _F.HEX, 16, maskable=False),
    "vlan_tci": _Field("vlan_tci", _F.HEX, 16),
    "dl_vlan": _Field("vlan_tci", _F.DEC, 12, maskable=False, beside=_CFI),
    "vlan_vid": _Field("vlan_tci", _F.DEC, 13),
    "dl_vlan_pcp": _Field("vlan_tci", _F.DEC, 3, maskable=False, shift=13, beside=_CFI),
    "vlan_pcp": _Field("vlan_tci", _F.DEC, 3, _N_TAG, maskable=False, shift=13, beside=_CFI),
    "mpls_label": _mpls(20, 12),
    "mpls_tc": _mpls(3, 9),
    "mpls_bos": _mpls(1, 8),
    "mpls_ttl": _mpls(8, 0),
    "ip_src": _Field("ipv4_src", _F.IPV4, 32, _N_IPV4),
    "ip_dst": _Field("ipv4_dst", _F.IPV4, 32, _N_IPV4),
    "ipv6_src": _Field("ipv6_src", _F.IPV6, 128, _N_IPV6),
    "ipv6_dst": _Field("ipv6_dst", _F.IPV6, 128, _N_IPV6),
    "ipv6_label": _Field("ipv6_label", _F.HEX, 20, _N_IPV6),
    "nw_proto": _Field("ip_proto", _F.DEC, 8, _N_IP, maskable=False),
    "nw_tos": _Field("ip_tos", _F.DEC, 8, _N_IP, maskable=False, step=4),
    "ip_dscp": _Field("ip_tos", _F.DEC, 6, _N_IP, maskable=False, shift=2),
    "nw_ecn": _Field("ip_tos", _F.DEC, 2, _N_IP, maskable=False),
    "nw_ttl": _Field("ip_ttl", _F.DEC, 8, _N_IP, maskable=False),
    "ip_frag": _Field("ip_frag", _F.FRAG, 8, _N_IP, maskable=False),
    "arp_op": _Field("ip_proto", _F.DEC, 8, _N_ARP, maskable=False),
    "arp_spa": _Field("ipv4_src", _F.IPV4, 32, _N_ARP),
    "arp_tpa": _Field("ipv4_dst", _F.IPV4, 32, _N_ARP),
    "arp_sha": _Field("arp_sha", _F.MAC, 48, _N_ARP),
    "arp_tha": _Field("arp_tha", _F.MAC, 48, _N_ARP),
    "tp_src": _Field("tp_src", _F.DEC, 16, _N_PORTS),
    "tp_dst": _Field("tp_dst", _F.DEC, 16, _N_PORTS),
    "tcp_src": _Field("tp_src", _F.DEC, 16, _N_TCP),
    "tcp_dst": _Field("tp_dst", _F.DEC, 16, _N_TCP),
    "tcp_flags": _Field("tcp_flags", _F.TCP_FLAGS, 12, _N_TCP),
    "udp_src": _Field("tp_src", _F.DEC, 16, _N_UDP),
    "udp_dst": _Field("tp_dst", _F.DEC, 16, _N_UDP),
    "sctp_src": _Field("tp_src", _F.DEC, 16, _N_SCTP),
    "sctp_dst": _Field("tp_dst", _F.DEC, 16, _N_SCTP),
    "icmp_type": _Field("tp_src", _F.DEC, 8, _N_ICMP, maskable=False),
    "icmp_code": _Field("tp_dst", _F.DEC, 8, _N_ICMP, maskable=False),
    "icmpv6_type": _Field("tp_src", _F.DEC, 8, _N_ICMPV6, maskable=False),
    "icmpv6_code": _Field("tp_dst", _F.DEC, 8, _N_ICMPV6, maskable=False),
    "nd_target": _Field("nd_target", _F.IPV6, 128, _N_ND),
    "nd_sll": _Field("nd_sll", _F.MAC, 48, _N_SOLICIT),
    "nd_tll": _Field("nd_tll", _F.MAC, 48, _N_ADVERT),
    "ct_zone": _Field("ct_zone", _F.HEX, 16, maskable=False),
    "ct_mark": _Field("ct_mark", _F.HEX, 32),
    "ct_label": _Field("ct_labels", _F.HEX, 128),
    "tun_id": _Field("tun_id", _F.HEX, 64),
}
ALIASES: Final = {
    "dl_src": "eth_src", "dl_dst": "eth_dst", "dl_type": "eth_type", "nw_src": "ip_src", "nw_dst": "ip_dst",
    "ip_proto": "nw_proto", "ip_ecn": "nw_ecn", "nw_frag": "ip_frag", "tunnel_id": "tun_id", "skb_mark": "pkt_mark",
}  # fmt: skip


def parse_filter(text: str, port_number: PortNumber | None = None) -> Filter:
    """The filter that a text describes.  FlowSyntaxError with the place.

    ``port_number`` gives the number for a port's name, or None when there is no such port.
    """
    return _Parser(text, port_number).read()


class _Parser:
    """One text, and what it has said so far, by leaf."""

    def __init__(self, text: str, port_number: PortNumber | None) -> None:
        self._text = text
        self._port_number = port_number
        self._known: Known = {}
        self._masks: Known = {}
        self._said: set[str] = set()

    def read(self) -> Filter:
        at = 0
        while found := _WORD.match(self._text, at):
            at = found.end()
            name, place = found["name"], found.start("name")
            if name in PROTOCOLS:
                self._protocol(name, place)
            else:
                group = "inner" if found["inner"] is not None else "value"
                value = (found[group] or "", found.end("name") if found[group] is None else found.start(group))
                self._field(ALIASES.get(name, name), place, value)
        if rest := self._text[at:].strip(", \t\r\n"):
            self._refuse(f"expected a field before {rest[0]!r}", self._text.index(rest, at))
        bits, mask = (int.from_bytes(FlowKey.of(**leaves).raw, "little") for leaves in (self._known, self._masks))
        return Filter(bits & mask, mask)

    def _protocol(self, name: str, place: int) -> None:
        ethertype, protocol = PROTOCOLS[name]
        self._once("eth_type", place, "the Ethernet type")
        self._compare("eth_type", ethertype, 0xFFFF)
        if protocol is not None:
            self._once("nw_proto", place, "the protocol")
            self._compare("ip_proto", protocol, 0xFF)

    def _field(self, name: str, place: int, value: tuple[str, int]) -> None:
        field = FIELDS.get(name)
        if field is None:
            self._refuse(f"{name!r} is neither a protocol nor a field of the key", place, "such as tcp,tp_dst=80")
        if field.need and not field.need.is_met(self._known):
            self._refuse(f"{name} needs {field.need.words} before it", place)
        self._once(name, place, name)
        number, mask = self._read(name, field, *value)
        self._compare(field.leaf, number << field.shift | field.beside, mask << field.shift | field.beside)

    def _read(self, name: str, field: _Field, word: str, place: int) -> tuple[int, int]:
        """Value and mask of a field, without what stands beside them."""
        if not word:
            self._refuse(f"{name} has no value", place, f"{name}=VALUE")
        if field.format in FLAG_FORMATS and word[0] in "+-":
            return self._number(partial(read_signed_flags, field.format), word, place)
        written, slash, mask_written = word.partition("/")
        full = (1 << field.bits) - 1
        number = self._value(name, field, written, place)
        if number > full or number % field.step:
            more = f", and a multiple of {field.step}" if field.step > 1 else ""
            self._refuse(f"{name} is a number of up to {field.bits} bits{more}", place)
        if not slash:
            return number, full - field.step + 1
        if not field.maskable:
            self._refuse(f"{name} takes no mask", place + len(written))
        mask = self._number(MASK_READERS[field.format], mask_written, place + len(written) + 1)
        return number & mask, mask & full

    def _value(self, name: str, field: _Field, word: str, place: int) -> int:
        if field.format is Format.PORT and not word[:1].isdigit():
            port = self._port_number(word.strip('"')) if self._port_number else None
            return self._refuse(f"there is no port {word}", place, "ctl show lists the ports") if port is None else port
        reader = read_number if field.format in (Format.DEC, Format.HEX) else VALUE_READERS[field.format]
        number = self._number(reader, word, place)
        return _NO_TYPE if name == "eth_type" and number == _NO_TYPE_OPENFLOW else number

    def _number(self, reader: Callable[[str], _T], word: str, place: int) -> _T:
        try:
            return reader(word)
        except ValueError as error:
            self._refuse(str(error), place)

    def _once(self, name: str, place: int, words: str) -> None:
        if name in self._said:
            self._refuse(f"{words} is set twice", place)
        self._said.add(name)

    def _compare(self, leaf: str, value: int, mask: int) -> None:
        self._known[leaf] = self._known.get(leaf, 0) & ~mask | value
        self._masks[leaf] = self._masks.get(leaf, 0) | mask

    def _refuse(self, message: str, place: int, hint: str = "") -> NoReturn:
        raise FlowSyntaxError(message, self._text, place, hint)
