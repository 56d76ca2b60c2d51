"""What a flow does to its packets: an action list, each action a value of its own class.

Numbers are those that people write (a TCI of 0x1005, a port of 80), with no byte order.  What a list
must be is in `ctl.validate_actions`, how it is written in `ctl.text`, where it can run in `ctl.placement`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar, Final

from ctl import fields

MAX_ACTIONS: Final = 64  # most actions in a list

# Sections that `Set` may change; and their leaves that no set changes, because a flow is found by them.
SETTABLE: Final = ("skb_priority", "skb_mark", "eth", "ipv4", "ipv6", "tcp", "udp", "sctp")
NEVER_SET: Final = frozenset({"ip_proto", "ip_frag"})


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
    """Change header fields.  ``value`` and ``mask`` have a number for each row of the section.

    Without a mask (None) it is a plain set, which writes the whole section.  A mask of all ones says the
    same and becomes None, so that one meaning has one form.  KeyError for an unknown section.
    """

    section: str
    value: tuple[int, ...]
    mask: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.mask == tuple(row.full for row in fields.SECTIONS[self.section]):
            object.__setattr__(self, "mask", None)

    @property
    def name(self) -> str:
        """Such as `set(ipv4)`."""
        return f"set({self.section})"

    def leaves(self) -> dict[str, tuple[int, int]]:
        """By leaf of the key: the bits to write, and a mask that says which; leaves that stay are left out.

        Masks are no wider than the field (20 bits of ipv6_label).  `NEVER_SET` leaves never occur: of the
        protocol and the fragment kind, a plain set repeats those that the flow has.
        """
        rows = fields.SECTIONS[self.section]
        mask = tuple(row.full for row in rows) if self.mask is None else self.mask
        trios = zip(rows, self.value, mask, strict=True)
        return {row.leaf: (value & bits, bits) for row, value, bits in trios if bits and row.leaf not in NEVER_SET}


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


Action = Output | Drop | PushVlan | PopVlan | Set | Recirc | Hash | Trunc | Userspace

# In the order of their execution; the empty list drops.
Actions = tuple[Action, ...]
