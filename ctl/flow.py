"""What a flow is: a key with its mask, a name, actions, statistics.  Values only, nothing is done here.

A `FlowKey` is the bytes of struct flow_key (see `ctl.abi`), so that keys, masks and records have one
form from the text to the kernel.  Fields are read and written by leaf name as numbers: header fields
as the number they have on the wire, addresses as big-endian numbers of their full width.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Final, Literal

from ctl import abi
from ctl.action import Action, Actions, Output
from ctl.ufid import Ufid

__all__ = ["KEY_SIZE", "Action", "Actions", "Flow", "FlowId", "FlowKey", "FlowStats", "Match", "Output", "TerseFlow"]

KEY_SIZE: Final = ctypes.sizeof(abi.FlowKey)
_ZERO: Final = bytes(KEY_SIZE)
_ORDER: Final[dict[str, Literal["little", "big"]]] = {"little": "little", "big": "big"}
_LEAF: Final = {name: (slice(at, at + size), size, _ORDER[order]) for name, (at, size, order) in abi.KEY_LEAVES.items()}


@dataclass(frozen=True, slots=True)
class FlowKey:
    """A flow key or a mask: the bytes of struct flow_key, KEY_SIZE of them."""

    raw: bytes = _ZERO

    @classmethod
    def of(cls, **leaves: int) -> FlowKey:
        """A key with these leaves set and all others zero.  KeyError or OverflowError for a bad one."""
        raw = bytearray(KEY_SIZE)
        for name, value in leaves.items():
            place, size, order = _LEAF[name]
            raw[place] = value.to_bytes(size, order)
        return cls(bytes(raw))

    def __getitem__(self, leaf: str) -> int:
        place, _, order = _LEAF[leaf]
        return int.from_bytes(self.raw[place], order)

    def __repr__(self) -> str:
        leaves = ((name, self[name]) for name in abi.KEY_LEAVES)
        return f"FlowKey.of({', '.join(f'{name}={value:#x}' for name, value in leaves if value)})"

    def __and__(self, other: FlowKey) -> FlowKey:
        both = int.from_bytes(self.raw, "little") & int.from_bytes(other.raw, "little")
        return FlowKey(both.to_bytes(KEY_SIZE, "little"))

    def with_leaves(self, **leaves: int) -> FlowKey:
        """A copy with these leaves replaced."""
        raw = bytearray(self.raw)
        for name, value in leaves.items():
            place, size, order = _LEAF[name]
            raw[place] = value.to_bytes(size, order)
        return FlowKey(bytes(raw))


@dataclass(frozen=True, slots=True)
class Match:
    """A key and the mask that says which of its bits are compared.

    ``key`` is concrete: it may have bits outside the mask, which identify a flow that has no UFID.
    """

    key: FlowKey
    mask: FlowKey

    @property
    def masked(self) -> FlowKey:
        """The key without the bits that are not compared."""
        return self.key & self.mask


@dataclass(frozen=True, slots=True)
class FlowStats:
    """Counters of one flow.  ``used_ms`` is CLOCK_MONOTONIC in milliseconds, None before the first hit.

    ``tcp_flags`` is the OR of the low eight flag bits of all packets.
    """

    packets: int = 0
    bytes: int = 0
    used_ms: int | None = None
    tcp_flags: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """A flow as the datapath reports it.

    With a UFID, ``match.key`` is the masked key; without, it is the concrete key, the flow's identity.
    ``not_xdp`` says why XDP leaves its packets to tc; None: it does not.
    """

    ufid: Ufid | None
    match: Match
    actions: Actions
    stats: FlowStats = FlowStats()
    generation: int = 0
    not_xdp: str | None = None

    @property
    def who(self) -> FlowId:
        """Its name: the UFID if it has one, else its concrete key."""
        return self.match.key if self.ufid is None else self.ufid


@dataclass(frozen=True, slots=True, kw_only=True)
class TerseFlow:
    """A flow's name and statistics: what there is to say of it without its mask and its actions."""

    who: FlowId
    stats: FlowStats
    generation: int = 0


# What names a flow to get, set and delete: its UFID, or the concrete key of a flow that has none.
FlowId = Ufid | FlowKey
