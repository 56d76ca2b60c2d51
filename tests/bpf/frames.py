"""Frames and the keys that must be made of them.

Recipes are for reading and for making the table anew; tests use the frozen octets of frames.txt, so that
no version of scapy decides what is tested.  tests/unit checks that the two agree.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_Router_Alert
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
)
from scapy.layers.ipsec import AH
from scapy.layers.l2 import ARP, LLC, SNAP, Dot1AD, Dot1Q, Ether
from scapy.packet import Raw

DST, SRC, THA = 0x020000000002, 0x020000000001, 0x020000000009
SIP, DIP = 0xC6120001, 0xC6120002
SIP6, DIP6 = (0x20010DB8 << 96) + 1, (0x20010DB8 << 96) + 2
ETH = {"eth_dst": DST, "eth_src": SRC, "l2_kind": 1}
V4 = {"eth_type": 0x0800, "ipv4_src": SIP, "ipv4_dst": DIP, "ip_ttl": 61}
V6 = {"eth_type": 0x86DD, "ipv6_src": SIP6, "ipv6_dst": DIP6, "ip_ttl": 61}
PORTS = {"tp_src": 4001, "tp_dst": 53}


@dataclass(frozen=True)
class Case:
    """One frame.  ``leaves`` is what its key has besides in_port and the Ethernet header."""

    name: str
    recipe: Callable[[], bytes]
    leaves: dict[str, int]

    @property
    def frame(self):
        return FROZEN[self.name]

    @property
    def key(self):
        return ETH | self.leaves


def ether(*layers, **fields):
    """A recipe: Ethernet from host 1 to host 2, and what is in it."""

    def build():
        packet = Ether(dst="02:00:00:00:00:02", src="02:00:00:00:00:01", **fields)
        for layer in layers:
            packet /= layer
        return bytes(packet)

    return build


def ip(**fields):
    return IP(src="198.18.0.1", dst="198.18.0.2", **{"ttl": 61, "id": 7} | fields)


def ip6(**fields):
    return IPv6(src="2001:db8::1", dst="2001:db8::2", **{"hlim": 61} | fields)


def arp(op=1):
    addresses = {"hwsrc": "02:00:00:00:00:01", "hwdst": "02:00:00:00:00:09"}
    return ARP(op=op, psrc="198.18.0.1", pdst="198.18.0.2", **addresses)


def patched(recipe, at, octets):
    """What a recipe makes, with octets replaced."""

    def build():
        frame = recipe()
        return frame[:at] + octets + frame[at + len(octets) :]

    return build


def cut(recipe, size):
    """The first octets of what a recipe makes."""
    return lambda: recipe()[:size]


UDP_ = UDP(sport=4001, dport=53)
TCP_ = TCP(sport=4001, dport=53, flags="S", seq=1)
DATA = Raw(b"seventeen octets!")

CASES = (
    Case("unknown-type", ether(DATA, type=0x88B5), {"eth_type": 0x88B5}),
    Case("bare-header", ether(type=0x0800), {"eth_type": 0x0800}),
    Case("llc", ether(LLC(dsap=0x42, ssap=0x42, ctrl=3), DATA, type=20), {"eth_type": 0x0004}),
    Case("llc-cut", cut(ether(LLC(dsap=0xAA, ssap=0xAA, ctrl=3), SNAP(), type=8), 20), {"eth_type": 0x0004}),
    Case(
        "snap-ipv4",
        ether(LLC(dsap=0xAA, ssap=0xAA, ctrl=3), SNAP(OUI=0, code=0x0800), ip(), UDP_, type=36),
        V4 | PORTS | {"ip_proto": 17},
    ),
    Case("snap-other-oui", ether(LLC(dsap=0xAA, ssap=0xAA, ctrl=3), SNAP(OUI=9, code=0x2000), type=8), {"eth_type": 4}),
    Case(
        "vlan",
        ether(Dot1Q(vlan=291, prio=5), ip(), UDP_),
        V4 | PORTS | {"ip_proto": 17, "vlan_tpid": 0x8100, "vlan_tci": 0xB123},
    ),
    Case(
        "vlan-priority-only",
        ether(Dot1Q(vlan=0, prio=7, type=0x88B5), DATA),
        {"eth_type": 0x88B5, "vlan_tpid": 0x8100, "vlan_tci": 0xF000},
    ),
    Case("vlan-cut", cut(ether(Dot1Q(vlan=291)), 17), {"eth_type": 0x8100}),
    Case(
        "vlan-ad",
        ether(Dot1AD(vlan=5), ip(), UDP_, type=0x88A8),
        V4 | PORTS | {"ip_proto": 17, "vlan_tpid": 0x88A8, "vlan_tci": 0x1005},
    ),
    Case(
        "arp-request",
        ether(arp()),
        {"eth_type": 0x0806, "ip_proto": 1, "ipv4_src": SIP, "ipv4_dst": DIP, "arp_sha": SRC, "arp_tha": THA},
    ),
    Case(
        "arp-large-operation",
        ether(arp(op=0x0102)),
        {"eth_type": 0x0806, "ipv4_src": SIP, "ipv4_dst": DIP, "arp_sha": SRC, "arp_tha": THA},
    ),
    Case("arp-not-ipv4", patched(ether(arp()), 16, b"\x88\xb5"), {"eth_type": 0x0806}),
    Case("arp-cut", cut(ether(arp()), 41), {"eth_type": 0x0806}),
    Case("ipv4-udp", ether(ip(tos=0xB9), UDP_, DATA), V4 | PORTS | {"ip_proto": 17, "ip_tos": 0xB9}),
    Case("ipv4-udp-cut", cut(ether(ip(), UDP_), 41), V4 | {"ip_proto": 17}),
    Case("ipv4-tcp", ether(ip(), TCP_), V4 | PORTS | {"ip_proto": 6, "tcp_flags": 0x002}),
    Case(
        "ipv4-tcp-all-flags",
        ether(ip(), TCP(sport=4001, dport=53, flags=0x1FF, reserved=7, options=[("NOP", None)] * 4)),
        V4 | PORTS | {"ip_proto": 6, "tcp_flags": 0xFFF},
    ),
    Case("ipv4-tcp-cut", cut(ether(ip(), TCP_), 53), V4 | {"ip_proto": 6}),
    Case("ipv4-tcp-short-offset", ether(ip(), TCP(sport=4001, dport=53, dataofs=4)), V4 | {"ip_proto": 6}),
    Case("ipv4-tcp-options-cut", ether(ip(), TCP(sport=4001, dport=53, dataofs=15)), V4 | {"ip_proto": 6}),
    Case("ipv4-icmp", ether(ip(), ICMP(type=3, code=4)), V4 | {"ip_proto": 1, "tp_src": 3, "tp_dst": 4}),
    Case("ipv4-icmpv6-is-not-parsed", ether(ip(proto=58), ICMPv6EchoRequest(cksum=1)), V4 | {"ip_proto": 58}),
    Case("ipv4-options", ether(ip(options=[IPOption_Router_Alert()]), UDP_), V4 | PORTS | {"ip_proto": 17}),
    Case("ipv4-first-fragment", ether(ip(flags="MF"), UDP_, DATA), V4 | PORTS | {"ip_proto": 17, "ip_frag": 1}),
    Case("ipv4-later-fragment", ether(ip(frag=5, proto=17), DATA), V4 | {"ip_proto": 17, "ip_frag": 2}),
    Case("ipv4-ihl-4", ether(ip(ihl=4), UDP_), {"eth_type": 0x0800}),
    Case("ipv4-options-cut", cut(ether(ip(options=[IPOption_Router_Alert()])), 37), {"eth_type": 0x0800}),
    Case("ipv4-header-cut", cut(ether(ip()), 33), {"eth_type": 0x0800}),
    Case(
        "ipv6-udp",
        ether(ip6(tc=0xB9, fl=0xABCDE), UDP_),
        V6 | PORTS | {"ip_proto": 17, "ip_tos": 0xB9, "ipv6_label": 0xABCDE},
    ),
    Case(
        "ipv6-tcp",
        ether(ip6(), TCP(sport=4001, dport=53, flags="FPA")),
        V6 | PORTS | {"ip_proto": 6, "tcp_flags": 0x19},
    ),
    Case("ipv6-icmpv6", ether(ip6(), ICMPv6EchoRequest(code=9)), V6 | {"ip_proto": 58, "tp_src": 128, "tp_dst": 9}),
    Case("ipv6-icmp-is-not-parsed", ether(ip6(nh=1), ICMP()), V6 | {"ip_proto": 1}),
    Case("ipv6-no-next-header", ether(ip6(nh=59)), V6 | {"ip_proto": 59}),
    Case(
        "ipv6-extensions",
        ether(ip6(), IPv6ExtHdrHopByHop(), IPv6ExtHdrRouting(addresses=["::9"]), IPv6ExtHdrDestOpt(), UDP_),
        V6 | PORTS | {"ip_proto": 17},
    ),
    Case("ipv6-ah", ether(ip6(nh=51), AH(nh=17, payloadlen=4, icv=bytes(12)), UDP_), V6 | PORTS | {"ip_proto": 17}),
    Case("ipv6-extension-cut", cut(ether(ip6(), IPv6ExtHdrHopByHop()), 56), V6 | {"ip_proto": 59}),
    Case(
        "ipv6-first-fragment",
        ether(ip6(), IPv6ExtHdrFragment(m=1, id=3), UDP_),
        V6 | PORTS | {"ip_proto": 17, "ip_frag": 1},
    ),
    Case(
        "ipv6-only-fragment",
        ether(ip6(), IPv6ExtHdrFragment(m=0, id=3), UDP_),
        V6 | PORTS | {"ip_proto": 17, "ip_frag": 1},
    ),
    Case(
        "ipv6-later-fragment",
        ether(ip6(), IPv6ExtHdrFragment(offset=3, nh=17), DATA),
        V6 | {"ip_proto": 44, "ip_frag": 2},
    ),
    Case("ipv6-header-cut", cut(ether(ip6()), 53), {"eth_type": 0x86DD}),
)
TEXT = Path(__file__).with_name("frames.txt")


def thaw():
    """The frozen frames, by name: a name and octets on each line."""
    rows = (line.split() for line in TEXT.read_text(encoding="ascii").splitlines())
    return {name: bytes.fromhex(octets) for name, octets in rows}


def freeze():
    """Write frames.txt anew from the recipes."""
    TEXT.write_text("".join(f"{case.name} {case.recipe().hex()}\n" for case in CASES), encoding="ascii")


FROZEN = thaw() if TEXT.exists() else {}
