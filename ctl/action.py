"""What a flow does to its packets: an action list, each action a value of its own class.

Numbers are those that people write (a TCI of 0x1005, a port of 80), with no byte order.  What a list
must be is in `ctl.validate_actions`, how it is written in `ctl.text`, where it can run in `ctl.placement`.

All actions of the OVS interface are here.  Those that this datapath does not execute yet (`NOT_EXECUTED`)
are read, printed and encoded like the others, and refused when a flow is to be installed with one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar, Final

from ctl import fields
from ctl.headers import Nsh, Tunnel

MAX_ACTIONS: Final = 64  # most actions in a list
MAX_DEPTH: Final = 16  # most lists within one another

# Sections that `Set` may change; and the leaves of IP that no set changes, because a flow is found by them.
SETTABLE: Final = (
    "skb_priority", "skb_mark", "eth", "ipv4", "ipv6", "arp", "mpls", "tcp", "udp", "sctp", "icmp", "icmpv6", "nd",
)  # fmt: skip
NEVER_SET: Final = frozenset({"ip_proto", "ip_frag"})


def is_fixed(row: fields.Field) -> bool:
    """Whether no set changes this row.  ARP's operation has the leaf of the protocol, and can be set."""
    return row.leaf in NEVER_SET and row.section != "arp"


class HashAlgorithm(IntEnum):
    """What dp_hash is computed over, numbered as OVS_HASH_ALG_*."""

    L4 = 0
    SYM_L4 = 1  # the same in both directions


@dataclass(frozen=True, slots=True)
class Output:
    """Send the packet out of a port."""

    name: ClassVar[str] = "output"
    port: int


@dataclass(frozen=True, slots=True)
class Drop:
    """Drop the packet for a reason that somebody chose: 0 on purpose, another because of an error.

    The empty list drops as well, without a word about it.
    """

    name: ClassVar[str] = "drop"
    reason: int = 0


@dataclass(frozen=True, slots=True)
class PushVlan:
    """Put a VLAN tag before all others.  ``tci`` has its bit 0x1000 set, as in a key."""

    name: ClassVar[str] = "push_vlan"
    tpid: int
    tci: int


@dataclass(frozen=True, slots=True)
class PopVlan:
    """Take the outer VLAN tag away, if there is one."""

    name: ClassVar[str] = "pop_vlan"


@dataclass(frozen=True, slots=True)
class Set:
    """Change header fields.  ``value`` and ``mask`` have a number for each of `fields.SET_ROWS` of the section.

    Without a mask (None) it is a plain set, which writes the whole section.  A mask of all ones says the
    same and becomes None, so that one meaning has one form.  KeyError for an unknown section.
    """

    section: str
    value: tuple[int, ...]
    mask: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.mask == tuple(row.full for row in fields.SET_ROWS[self.section]):
            object.__setattr__(self, "mask", None)

    @property
    def name(self) -> str:
        """Such as `set(ipv4)`."""
        return f"set({self.section})"

    def leaves(self) -> dict[str, tuple[int, int]]:
        """By leaf of the key: the bits to write, and a mask that says which; leaves that stay are left out.

        Masks are no wider than the field (20 bits of ipv6_label).  Rows that are fixed never occur: of the
        protocol and the fragment kind, a plain set repeats those that the flow has.  Not for mpls, whose rows
        share one leaf: that has an `entry`.
        """
        rows = fields.SET_ROWS[self.section]
        mask = tuple(row.full for row in rows) if self.mask is None else self.mask
        trios = zip(rows, self.value, mask, strict=True)
        return {row.leaf: (value & bits, bits) for row, value, bits in trios if bits and not is_fixed(row)}

    def entry(self) -> tuple[int, int]:
        """Of a set of mpls: the bits of a label stack entry (RFC 3032) to write, and a mask that says which."""
        rows = fields.SET_ROWS[self.section]
        mask = tuple(row.full for row in rows) if self.mask is None else self.mask
        lowest = min(row.shift for row in rows)
        value, bits = (
            sum(n << row.shift - lowest for n, row in zip(numbers, rows, strict=True)) for numbers in (self.value, mask)
        )
        return value & bits, bits


@dataclass(frozen=True, slots=True)
class Recirc:
    """Look the packet up again, as it is now, with this recirc_id in its key."""

    name: ClassVar[str] = "recirc"
    id: int


@dataclass(frozen=True, slots=True)
class Hash:
    """Compute dp_hash over the packet's addresses and ports, starting from ``basis``."""

    name: ClassVar[str] = "hash"
    algorithm: HashAlgorithm
    basis: int = 0


@dataclass(frozen=True, slots=True)
class Trunc:
    """Cut what the next Output or Userspace sends to ``max_len`` bytes, from the Ethernet header on."""

    name: ClassVar[str] = "trunc"
    max_len: int


@dataclass(frozen=True, slots=True)
class Userspace:
    """Send a copy to the controller.

    ``userdata`` comes back as it is, None and empty being different.  ``egress_tun_port`` asks for the
    tunnel that an output there would use; ``actions`` for the flow's actions.
    """

    name: ClassVar[str] = "userspace"
    pid: int
    userdata: bytes | None = None
    egress_tun_port: int | None = None
    actions: bool = False


@dataclass(frozen=True, slots=True)
class PushMpls:
    """Put a label before the layer 3 header; ``ethertype`` (0x8847, 0x8848) becomes the frame's type.

    ``lse`` is the label stack entry (RFC 3032): label << 12 | tc << 9 | bottom of stack << 8 | ttl.
    """

    name: ClassVar[str] = "push_mpls"
    lse: int
    ethertype: int


@dataclass(frozen=True, slots=True)
class PopMpls:
    """Take the outer label away; ``ethertype`` is that of what stands behind it."""

    name: ClassVar[str] = "pop_mpls"
    ethertype: int


@dataclass(frozen=True, slots=True)
class AddMpls:
    """As push_mpls, or (``l3`` False) before the Ethernet header, where the result is a layer 3 packet."""

    name: ClassVar[str] = "add_mpls"
    lse: int
    ethertype: int
    l3: bool


@dataclass(frozen=True, slots=True)
class Sample:
    """Carry out a list on a copy of ``probability`` of 2^32 - 1 packets, chosen at random."""

    name: ClassVar[str] = "sample"
    probability: int
    actions: Actions


@dataclass(frozen=True, slots=True)
class Clone:
    """Carry out a list on a copy: what it changes, the packet does not see."""

    name: ClassVar[str] = "clone"
    actions: Actions


@dataclass(frozen=True, slots=True)
class CheckPktLen:
    """Carry out one of two lists on a copy, by the size of the frame: greater than ``size`` bytes, or not."""

    name: ClassVar[str] = "check_pkt_len"
    size: int
    greater: Actions
    less_equal: Actions


@dataclass(frozen=True, slots=True)
class DecTtl:
    """Lower TTL or hop limit by one.  A packet whose TTL is 1 or 0 has this list for its rest instead."""

    name: ClassVar[str] = "dec_ttl"
    actions: Actions


@dataclass(frozen=True, slots=True)
class Meter:
    """Drop the packet if the meter of that number says that there are too many.  No such meter: it passes."""

    name: ClassVar[str] = "meter"
    id: int


@dataclass(frozen=True, slots=True)
class Psample:
    """Send a copy to those who listen to a sampling group; ``cookie`` has 1 to 16 octets."""

    name: ClassVar[str] = "psample"
    group: int
    cookie: bytes | None = None


@dataclass(frozen=True, slots=True)
class PushEth:
    """Give a layer 3 packet an Ethernet header."""

    name: ClassVar[str] = "push_eth"
    src: int
    dst: int


@dataclass(frozen=True, slots=True)
class PopEth:
    """Take the Ethernet header away."""

    name: ClassVar[str] = "pop_eth"


@dataclass(frozen=True, slots=True)
class SetTunnel:
    """Give the packet the tunnel that an output to a tunnel port sends it through."""

    name: ClassVar[str] = "set(tunnel)"
    tunnel: Tunnel


@dataclass(frozen=True, slots=True)
class SetNsh:
    """Change fields of a network service header.  ``mask`` None: a plain set."""

    name: ClassVar[str] = "set(nsh)"
    nsh: Nsh
    mask: Nsh | None = None


@dataclass(frozen=True, slots=True)
class PushNsh:
    """Put a network service header (RFC 8300) before the packet."""

    name: ClassVar[str] = "push_nsh"
    nsh: Nsh


@dataclass(frozen=True, slots=True)
class PopNsh:
    """Take the network service header away."""

    name: ClassVar[str] = "pop_nsh"


@dataclass(frozen=True, slots=True, kw_only=True)
class Nat:
    """Address translation of a ct action.  ``which``: "src", "dst", or None to translate as the connection says.

    Addresses have 4 or 16 octets; of a range both ends are there, of a single one the first.  Ports likewise.
    """

    which: str | None = None
    first: bytes | None = None
    last: bytes | None = None
    first_port: int | None = None
    last_port: int | None = None
    persistent: bool = False
    hash: bool = False
    random: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Ct:
    """Send the packet through connection tracking.  ``mark`` and ``label``: value and mask."""

    name: ClassVar[str] = "ct"
    commit: bool = False
    force: bool = False
    zone: int = 0
    mark: tuple[int, int] | None = None
    label: tuple[int, int] | None = None
    helper: str | None = None
    timeout: str | None = None
    eventmask: int | None = None
    nat: Nat | None = None


@dataclass(frozen=True, slots=True)
class CtClear:
    """Forget what connection tracking said."""

    name: ClassVar[str] = "ct_clear"


@dataclass(frozen=True, slots=True)
class TnlPush:
    """Put ``header`` before the frame (OVS's userspace datapath): it goes out of ``out_port``."""

    name: ClassVar[str] = "tnl_push"
    tnl_port: int
    out_port: int
    tnl_type: int
    header: bytes


@dataclass(frozen=True, slots=True)
class TnlPop:
    """Hand the frame to a tunnel port, which takes its outer headers away (OVS's userspace datapath)."""

    name: ClassVar[str] = "tnl_pop"
    port: int


@dataclass(frozen=True, slots=True)
class LbOutput:
    """Send the packet out of one of the ports of a bond (OVS's userspace datapath)."""

    name: ClassVar[str] = "lb_output"
    bond: int


Action = (
    Output | Drop | PushVlan | PopVlan | Set | Recirc | Hash | Trunc | Userspace
    | PushMpls | PopMpls | AddMpls | Sample | Clone | CheckPktLen | DecTtl | Meter | Psample
    | PushEth | PopEth | SetTunnel | SetNsh | PushNsh | PopNsh | Ct | CtClear | TnlPush | TnlPop | LbOutput
)  # fmt: skip

# In the order of their execution; the empty list drops.
Actions = tuple[Action, ...]

# Read, printed and encoded, but not carried out by any datapath of this project yet.
NOT_EXECUTED: Final = (
    PushEth, PopEth, SetTunnel, SetNsh, PushNsh, PopNsh, Ct, CtClear, TnlPush, TnlPop, LbOutput,
)  # fmt: skip


# Sections that are kept beside the frame; and the actions that leave it as it is, but for what is nested in them.
BESIDE: Final = ("skb_priority", "skb_mark")
_LEAVE_FRAME: Final = (
    Output, Drop, Recirc, Hash, Trunc, Userspace, Meter, Psample, Sample, Clone, CheckPktLen,
)  # fmt: skip


def nested(action: Action) -> tuple[Actions, ...]:
    """The lists that an action has inside."""
    match action:
        case Sample() | Clone() | DecTtl():
            return (action.actions,)
        case CheckPktLen():
            return action.greater, action.less_equal
        case _:
            return ()


def walk(actions: Actions) -> Iterator[Action]:
    """Every action of a list, each before those of the lists that it has inside."""
    for action in actions:
        yield action
        for inner in nested(action):
            yield from walk(inner)


def changes_frame(actions: Actions) -> bool:
    """Whether a list, or one within it, may change the frame's bytes."""
    return any(
        not isinstance(action, _LEAVE_FRAME) and not (isinstance(action, Set) and action.section in BESIDE)
        for action in walk(actions)
    )
