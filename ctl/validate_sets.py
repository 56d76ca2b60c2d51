"""What a set action must be, for a flow: its rules for `ctl.validate_actions`.

A header can be set where the flow makes sure of it: `set(ipv4)` needs the type matched exactly, and
`set(tcp)` the protocol.  Of what the OVS interface can set the kernel's datapath refuses ARP, ICMP and
neighbour discovery; ours sets them, as OVS's userspace datapath does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ctl import fields
from ctl.action import NEVER_SET, SETTABLE, Set, SetTunnel
from ctl.flow import FlowKey
from ctl.headers import Nsh
from ctl.validate import ETH_ARPS, ETH_IPV4, ETH_IPV6, ETH_MPLS, ND_TYPES, PROTO_OF

_ALL8: Final = 0xFF
_ALL16: Final = 0xFFFF
_ICMP, _ICMPV6 = 1, 58
_IP: Final = (ETH_IPV4, ETH_IPV6)
_TYPES_OF: Final = {
    "ipv4": (ETH_IPV4,), "ipv6": (ETH_IPV6,), "arp": ETH_ARPS, "mpls": ETH_MPLS,
    "tcp": _IP, "udp": _IP, "sctp": _IP, "icmp": (ETH_IPV4,), "icmpv6": (ETH_IPV6,), "nd": (ETH_IPV6,),
}  # fmt: skip
_PROTO_OF: Final = PROTO_OF | {"icmp": _ICMP, "icmpv6": _ICMPV6, "nd": _ICMPV6}
_NOT_IN_KERNEL: Final = frozenset({"arp", "icmp", "icmpv6", "nd"})
_MD1, _MD2 = 1, 2
_MD1_OCTETS, _MD2_MOST = 16, 248

# Why an action is refused, and a hint; the hint may be empty.
Refusal = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of every packet at one place of a flow's list: what the flow matches, and what actions did.

    ``eth_type`` is that of the layer 3 header, None when it is not known; ``moved``: an action changed it.
    ``labels`` counts the MPLS labels that are known.
    """

    key: FlowKey  # masked
    mask: FlowKey
    is_ethernet: bool
    is_tagged: bool
    eth_type: int | None
    labels: int
    moved: bool = False
    like_kernel: bool = False


def refuse_set(action: Set, known: Known) -> Refusal | None:
    """Why a set action cannot stand here; None: it can."""
    if action.section not in SETTABLE or (known.like_kernel and action.section in _NOT_IN_KERNEL):
        hint = "use push_vlan and pop_vlan" if action.section in ("vlan", "eth_type") else ""
        return f"{action.section} cannot be set", hint or f"what can be set: {' '.join(SETTABLE)}"
    return _unmatched(action.section, known) or _bits(action) or _fixed(action, known.key)


def refuse_tunnel(action: SetTunnel) -> Refusal | None:
    """A tunnel to send through has an end and a TTL."""
    tunnel = action.tunnel
    if not tunnel.ipv4_dst and not tunnel.ipv6_dst:
        return "a tunnel needs dst or ipv6_dst", "say where it ends"
    if tunnel.ipv4_dst and tunnel.ipv6_dst:
        return "a tunnel has dst or ipv6_dst, not both", "leave one out"
    return None if tunnel.ttl else ("a tunnel needs a ttl", "write ttl=64")


def refuse_nsh(nsh: Nsh) -> Refusal | None:
    """The context of a header that is pushed has the size that its kind asks for (RFC 8300, 2.4 and 2.5)."""
    if nsh.mdtype == _MD1 and len(nsh.context) == _MD1_OCTETS:
        return None
    if nsh.mdtype == _MD2 and len(nsh.context) <= _MD2_MOST:
        return None
    return f"mdtype {nsh.mdtype} with {len(nsh.context)} octets of context", "mdtype 1 has 16, mdtype 2 at most 248"


def no_ethernet(known: Known) -> Refusal | None:
    """Refuses where the packets have no Ethernet header."""
    if known.is_ethernet:
        return None
    return "the flow's packets have no Ethernet header", "give the flow eth()"


def unmatched_types(types: tuple[int, ...], known: Known) -> Refusal | None:
    """Refuses unless the type of the layer 3 header is known to be one of these."""
    if known.eth_type in types:
        return None
    names = " or ".join(f"eth_type({number:#06x})" for number in types)
    if known.moved:
        return f"the packet is not known to be {names} after the actions before", "recirculate, and go on in a new flow"
    return f"the flow does not match {names}", "match it, without a mask"


def _unmatched(section: str, known: Known) -> Refusal | None:
    """The headers that the flow must be sure of."""
    if section == "eth":
        return no_ethernet(known)
    refusal = unmatched_types(_TYPES_OF[section], known) if section in _TYPES_OF else None
    if refusal:
        return refusal
    key, mask = known.key, known.mask
    proto = _PROTO_OF.get(section)
    if proto is not None and (mask["ip_proto"] != _ALL8 or key["ip_proto"] != proto):
        return f"the flow does not match protocol {proto}", f"match proto={proto}, without a mask"
    if section == "nd" and (mask["tp_src"] != _ALL16 or key["tp_src"] not in ND_TYPES):
        return "the flow does not match icmpv6(type=135) or icmpv6(type=136)", "match the type, without a mask"
    return None


def _bits(action: Set) -> Refusal | None:
    """Values and masks fit their fields, and values their masks."""
    rows = fields.SET_ROWS[action.section]
    masks = tuple(row.full for row in rows) if action.mask is None else action.mask
    if not len(action.value) == len(masks) == len(rows):
        return f"needs {len(rows)} values", ""
    for row, value, mask in zip(rows, action.value, masks, strict=True):
        name = row.name or "the value"
        largest = row.full if row.limit is None else row.limit
        if not 0 <= value <= largest or not 0 <= mask <= row.full:
            return f"{name} is {value:#x}/{mask:#x}, at most {largest:#x} is possible", ""
        if value & ~mask:
            return f"{name} has bits outside its mask: {value:#x}/{mask:#x}", f"clear them: {value & mask:#x}"
    return None


def _fixed(action: Set, key: FlowKey) -> Refusal | None:
    """Protocol and fragment kind: a plain set repeats what the flow matches, a masked one leaves them out."""
    if action.section not in ("ipv4", "ipv6"):
        return None
    for index, row in enumerate(fields.SET_ROWS[action.section]):
        if row.leaf not in NEVER_SET:
            continue
        if action.mask is not None and action.mask[index]:
            return f"{row.name} cannot be changed", f"leave {row.name} out"
        if action.mask is None and action.value[index] != key[row.leaf]:
            return f"{row.name} cannot be changed", f"leave {row.name} out, or repeat the flow's: {key[row.leaf]}"
    return None
