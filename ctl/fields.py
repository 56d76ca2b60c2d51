"""The key fields of the flow language, one row each.

A row says where a sub-field such as `dst` of `ipv4(...)` is stored in struct flow_key and how people
write it.  The parser, the printer, the validator, the JSON form and the test strategies are all driven
by `ROWS`; to give the language one more field is to add a row (and a reader for its must-haves, if the
interface has any, to `ctl.validate`).  This file knows neither text nor flows.

A "section" is what the text calls a field and netlink an attribute: a name and its sub-fields, in the
order in which they print.  A section whose only row has an empty name is a single value: `eth_type(2048)`.

A section may repeat its sub-fields, as `mpls(label=1,...,bos=0,label=2,...,bos=1)` does for each label.
Its rows are then those of all "groups", first to last, under the same names.  The second VLAN tag has no
rows of its own: its text is that of the first, one level deeper (`TAGS`).

The text and netlink know more than the datapath can match: `ALL_SECTIONS` has that, too (`NOT_HELD`), and
`ATTRIBUTES` names everything in the order of the interface.

Numbers.  A row's value is the number that people write.  Its mask has ``bits`` bits in the text.  Where
the row has its leaf for itself, an exact mask fills the whole leaf, so that one meaning has one mask:
`icmp(type=8)` compares all 16 bits of tp_src although the type has 8, `label=1` all 32 bits of
ipv6_label.  An ARP operation has 16 bits on the wire and 8 in its leaf (larger ones are refused).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import Final

from ctl import abi


class Format(Enum):
    """How a value is written; masks are written likewise, where nothing else is said."""

    DEC = auto()  # decimal, mask in hexadecimal
    HEX = auto()
    ETHERTYPE = auto()  # 0x and four digits
    MAC = auto()
    IPV4 = auto()  # dotted; reads /24 as well
    IPV6 = auto()
    FRAG = auto()  # no, first, later
    TCP_FLAGS = auto()  # syn|ack, +syn-ack
    PORT = auto()  # decimal or a port's name
    CT_STATE = auto()  # new|trk, +trk-new
    PREFIXED = auto()  # hexadecimal, 0x even before zero; masks with eight digits


@dataclass(frozen=True, slots=True)
class Field:
    """One row.  ``limit`` is the largest legal value when that is less than ``bits`` allow.

    ``leaf`` is empty in the rows of what the datapath does not hold.
    ``default`` stands for an omitted sub-field, with an exact mask, where it is not 0 with mask 0.
    ``packed``: other rows of the section have bits in the same leaf.
    ``absent`` is written, with an explicit mask, for an attribute that the mask has and the key has not.
    """

    section: str
    name: str
    leaf: str
    format: Format
    bits: int
    shift: int = 0  # of the value's lowest bit in the leaf
    packed: bool = False
    limit: int | None = None
    default: int = 0
    absent: int | None = None
    group: int = 0  # of a section that repeats its sub-fields, from 0

    full: int = field(init=False)  # the exact mask as people write it

    def __post_init__(self) -> None:
        object.__setattr__(self, "full", (1 << self.bits) - 1)

    @property
    def leaf_bits(self) -> int:
        """Width of the leaf."""
        return 8 * abi.KEY_LEAVES[self.leaf][1]

    def to_leaf_mask(self, mask: int) -> int:
        """The bits of the leaf that a written mask compares."""
        if self.packed:
            return mask << self.shift
        leaf_full = (1 << self.leaf_bits) - 1
        significant = self.full & leaf_full
        return leaf_full if mask & significant == significant else mask & leaf_full

    def from_leaf_mask(self, mask: int) -> int:
        """The mask to write for these bits of the leaf; the exact one is `full`."""
        own = (mask >> self.shift) & self.full
        significant = self.full & ((1 << self.leaf_bits) - 1)
        return self.full if own & significant == significant else own


_F = Format


def _tuple_rows(section: str, address: Format, bits: int, ports: tuple[str, str]) -> tuple[Field, ...]:
    """The original direction of a connection."""
    return (
        Field(section, "src", "", address, bits),
        Field(section, "dst", "", address, bits),
        Field(section, "proto", "", _F.DEC, 8),
        *(Field(section, port, "", _F.DEC, 16) for port in ports),
    )


MPLS_LABELS: Final = 3


def _mpls_rows(group: int) -> tuple[Field, ...]:
    """The sub-fields of one label stack entry; the first entry has the highest bits of the leaf."""
    lowest = 32 * (MPLS_LABELS - 1 - group)
    return (
        Field("mpls", "label", "mpls_lse", _F.DEC, 20, shift=lowest + 12, packed=True, group=group),
        Field("mpls", "tc", "mpls_lse", _F.DEC, 3, shift=lowest + 9, packed=True, group=group),
        Field("mpls", "ttl", "mpls_lse", _F.DEC, 8, shift=lowest, packed=True, group=group),
        Field("mpls", "bos", "mpls_lse", _F.DEC, 1, shift=lowest + 8, packed=True, group=group),
    )


ROWS: Final[tuple[Field, ...]] = (
    Field("recirc_id", "", "recirc_id", _F.HEX, 32),
    Field("dp_hash", "", "dp_hash", _F.HEX, 32),
    Field("skb_priority", "", "skb_priority", _F.HEX, 32),
    Field("in_port", "", "in_port", _F.PORT, 32, absent=0xFFFF),
    Field("skb_mark", "", "skb_mark", _F.HEX, 32),
    Field("eth", "src", "eth_src", _F.MAC, 48),
    Field("eth", "dst", "eth_dst", _F.MAC, 48),
    Field("eth_type", "", "eth_type", _F.ETHERTYPE, 16, absent=0),
    Field("vlan", "vid", "vlan_tci", _F.DEC, 12, packed=True),
    Field("vlan", "pcp", "vlan_tci", _F.DEC, 3, shift=13, packed=True),
    Field("vlan", "cfi", "vlan_tci", _F.DEC, 1, shift=12, packed=True, default=1),
    Field("ipv4", "src", "ipv4_src", _F.IPV4, 32),
    Field("ipv4", "dst", "ipv4_dst", _F.IPV4, 32),
    Field("ipv4", "proto", "ip_proto", _F.DEC, 8),
    Field("ipv4", "tos", "ip_tos", _F.HEX, 8),
    Field("ipv4", "ttl", "ip_ttl", _F.DEC, 8),
    Field("ipv4", "frag", "ip_frag", _F.FRAG, 8, limit=int(abi.FragKind.FRAG_LATER)),
    Field("ipv6", "src", "ipv6_src", _F.IPV6, 128),
    Field("ipv6", "dst", "ipv6_dst", _F.IPV6, 128),
    Field("ipv6", "label", "ipv6_label", _F.HEX, 20),
    Field("ipv6", "proto", "ip_proto", _F.DEC, 8),
    Field("ipv6", "tclass", "ip_tos", _F.HEX, 8),
    Field("ipv6", "hlimit", "ip_ttl", _F.DEC, 8),
    Field("ipv6", "frag", "ip_frag", _F.FRAG, 8, limit=int(abi.FragKind.FRAG_LATER)),
    Field("arp", "sip", "ipv4_src", _F.IPV4, 32),
    Field("arp", "tip", "ipv4_dst", _F.IPV4, 32),
    Field("arp", "op", "ip_proto", _F.DEC, 16, limit=255),
    Field("arp", "sha", "arp_sha", _F.MAC, 48),
    Field("arp", "tha", "arp_tha", _F.MAC, 48),
    *(row for group in range(MPLS_LABELS) for row in _mpls_rows(group)),
    Field("tcp", "src", "tp_src", _F.DEC, 16),
    Field("tcp", "dst", "tp_dst", _F.DEC, 16),
    Field("tcp_flags", "", "tcp_flags", _F.TCP_FLAGS, 12),
    Field("udp", "src", "tp_src", _F.DEC, 16),
    Field("udp", "dst", "tp_dst", _F.DEC, 16),
    Field("sctp", "src", "tp_src", _F.DEC, 16),
    Field("sctp", "dst", "tp_dst", _F.DEC, 16),
    Field("icmp", "type", "tp_src", _F.DEC, 8),
    Field("icmp", "code", "tp_dst", _F.DEC, 8),
    Field("icmpv6", "type", "tp_src", _F.DEC, 8),
    Field("icmpv6", "code", "tp_dst", _F.DEC, 8),
    Field("nd", "target", "nd_target", _F.IPV6, 128),
    Field("nd", "sll", "nd_sll", _F.MAC, 48),
    Field("nd", "tll", "nd_tll", _F.MAC, 48),
)

# The sections in the order in which they print, and in which the kernel stores them: where two share
# a leaf, the later one has the last word.
SECTIONS: Final[dict[str, tuple[Field, ...]]] = {
    section: tuple(row for row in ROWS if row.section == section)
    for section in dict.fromkeys(row.section for row in ROWS)
}

# The rows that a set action has a number for: of a section that repeats its sub-fields, those of one group.
SET_ROWS: Final[dict[str, tuple[Field, ...]]] = {
    section: tuple(row for row in rows if not row.group) for section, rows in SECTIONS.items()
}


# What OVS writes, too, and what this datapath cannot match yet.  These rows have no leaf.
NOT_HELD: Final[dict[str, tuple[Field, ...]]] = {
    "ct_state": (Field("ct_state", "", "", _F.CT_STATE, 32, limit=0xFF),),
    "ct_zone": (Field("ct_zone", "", "", _F.HEX, 16),),
    "ct_mark": (Field("ct_mark", "", "", _F.HEX, 32),),
    "ct_label": (Field("ct_label", "", "", _F.HEX, 128),),
    "ct_tuple4": _tuple_rows("ct_tuple4", _F.IPV4, 32, ("tp_src", "tp_dst")),
    "ct_tuple6": _tuple_rows("ct_tuple6", _F.IPV6, 128, ("src_port", "dst_port")),
    "packet_type": (
        Field("packet_type", "ns", "", _F.DEC, 16),
        Field("packet_type", "id", "", _F.HEX, 16),
    ),
    "nd_ext": (
        Field("nd_ext", "nd_reserved", "", _F.PREFIXED, 32),
        Field("nd_ext", "nd_options_type", "", _F.DEC, 8),
    ),
}

# The headers that are values of their own (`ctl.headers`), of which the datapath matches none yet.
HEADERS: Final = ("tunnel", "nsh")

_CT: Final = ("ct_state", "ct_zone", "ct_mark", "ct_label", "ct_tuple4", "ct_tuple6")
_FRONT: Final = (
    "recirc_id", "dp_hash", "skb_priority", "tunnel", "in_port", "skb_mark", *_CT, "packet_type", "eth",
    "eth_type", "vlan", "encap",
)  # fmt: skip

# All attributes of a key, in the order in which OVS sends and prints them; encap, too.
ATTRIBUTES: Final = (*_FRONT, *(name for name in SECTIONS if name not in _FRONT), "nd_ext", "nsh")

# The rows of every attribute that is made of numbers, held by the datapath or not.
ALL_SECTIONS: Final[dict[str, tuple[Field, ...]]] = {
    name: rows for name in ATTRIBUTES if (rows := SECTIONS.get(name) or NOT_HELD.get(name, ()))
}


@dataclass(frozen=True, slots=True)
class Tag:
    """Where a VLAN tag is stored: its eth_type(...), which stands outside of encap(...), and its vlan(...)."""

    type: Field
    rows: tuple[Field, ...]


def _tag(tci: str, tpid: str) -> Tag:
    return Tag(
        Field("eth_type", "", tpid, Format.ETHERTYPE, 16),
        tuple(replace(row, leaf=tci) for row in SECTIONS["vlan"]),
    )


# From the outer tag to the inner one.
TAGS: Final = (_tag("vlan_tci", "vlan_tpid"), _tag("cvlan_tci", "cvlan_tpid"))

# Leaves that no row names: written by rules (the kind of layer 2), or through TAGS.
IMPLIED_LEAVES: Final = frozenset({"l2_kind", "vlan_tpid", "cvlan_tci", "cvlan_tpid"})
RESERVED_LEAVES: Final = frozenset({
    "mask_id", "arp_zero", "mpls_zero", "nd_zero",
    "ct_state", "ct_zone", "ct_mark", "ct_labels", "ct_proto", "ct_tp_src", "ct_tp_dst",
    "ct_ipv4_src", "ct_ipv4_dst", "ct_ipv6_src", "ct_ipv6_dst", "ct_zero",
    "tun_id", "tun_ipv4_src", "tun_ipv4_dst", "tun_ipv6_src", "tun_ipv6_dst", "tun_zero", "tun_tp_src", "tun_tp_dst",
    "tun_flags", "tun_tos", "tun_ttl", "tun_kind", "tun_opts_kind", "tun_opts_size", "tun_opts",
})  # fmt: skip

# Fields that only some kernels write.
NOT_YET: Final = frozenset({"ipv6_exthdrs"})
