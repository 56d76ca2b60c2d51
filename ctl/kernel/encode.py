"""Action lists to the units that the program reads, and back.  Pure.

Layouts are struct action_unit and the set_* structures of bpf/abi.h.  Back gives the same list, plain
sets as plain sets; bits that a set action does not write are kept beside it for that.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Final

from ctl import fields
from ctl.abi import ActionFlag, ActionLimit, ActionType, NestedBits, UserspaceBits
from ctl.action import (
    MAX_DEPTH,
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
    is_fixed,
    nested,
)
from ctl.errors import FlowInvalid, NotSupported
from ctl.kernel.units import MAX_UNITS, UNIT_SIZE
from ctl.validate import PROTO_OF

_UNIT: Final = struct.Struct("<BBHIQ")
_PORTS: Final = struct.Struct(">HH")
_SECTION_OF_PROTOCOL: Final = {number: section for section, number in PROTO_OF.items()}

# Sections whose operand is a structure: its type, and where each row of the section lies in it, in the
# order of ctl.fields.SET_ROWS, as (offset, size).  Multi-byte fields are in network order.
_LAYOUTS: Final[dict[str, tuple[ActionType, int, tuple[tuple[int, int], ...]]]] = {
    "eth": (ActionType.ACTION_SET_ETH, 16, ((6, 6), (0, 6))),
    "ipv4": (ActionType.ACTION_SET_IPV4, 16, ((0, 4), (4, 4), (10, 1), (8, 1), (9, 1), (11, 1))),
    "ipv6": (ActionType.ACTION_SET_IPV6, 48, ((0, 16), (16, 16), (32, 4), (38, 1), (36, 1), (37, 1), (39, 1))),
    "arp": (ActionType.ACTION_SET_ARP, 32, ((14, 4), (24, 4), (6, 2), (8, 6), (18, 6))),
    "nd": (ActionType.ACTION_SET_ND, 32, ((0, 16), (18, 6), (26, 6))),
}
_SECTION_OF_TYPE: Final = {layout[0]: section for section, layout in _LAYOUTS.items()}

# Sections of one number beside the frame, which fits into the unit.
_METADATA: Final = {"skb_mark": ActionType.ACTION_SET_MARK, "skb_priority": ActionType.ACTION_SET_PRIORITY}
# Type and code, and whose they are.
_ICMP: Final = struct.Struct("<BBxx")
_ICMP_PROTOCOLS: Final = {"icmp": 1, "icmpv6": 58}
_ICMP_OF_PROTOCOL: Final = {number: section for section, number in _ICMP_PROTOCOLS.items()}

_METADATA_OF_TYPE: Final = {int(kind): section for section, kind in _METADATA.items()}


def encode(actions: Actions) -> bytes:
    """The units of a list, none for the empty one.

    NotSupported for an action that this datapath does not execute, FlowInvalid for a list that is too long, with all
    that is within it, or nested too deep.
    """
    raw = _encode_list(actions, 0)
    if len(raw) > MAX_UNITS * UNIT_SIZE:
        raise FlowInvalid(
            f"the list and those within it take {len(raw) // UNIT_SIZE} units, the most is {MAX_UNITS}",
            "actions",
            "recirculate, and continue in a second flow",
        )
    return raw


def _encode_list(actions: Actions, depth: int) -> bytes:
    """One list, which is within so many others."""
    if depth > MAX_DEPTH:
        raise FlowInvalid(f"lists are nested more than {MAX_DEPTH} deep", "actions", "recirculate, and go on there")
    return b"".join(_encode_nested(action, depth) if nested(action) else _encode_one(action) for action in actions)


def decode(raw: bytes) -> Actions:
    """The list that these units are.  ValueError, KeyError, struct.error for units that are none."""
    return tuple(_decode_all(raw, 0))


def _unit(kind: ActionType, arg: int = 0, wide: int = 0, operand: bytes = b"", flags: int = 0) -> bytes:
    operand = operand.ljust(-(-len(operand) // UNIT_SIZE) * UNIT_SIZE, b"\0")
    return _UNIT.pack(kind, flags, len(operand) // UNIT_SIZE, arg, wide) + operand


def _encode_one(action: Action) -> bytes:  # noqa: C901, PLR0911, PLR0912 - a row for each action
    match action:
        case Output(port=port):
            return _unit(ActionType.ACTION_OUTPUT, port)
        case Drop(reason=reason):
            return _unit(ActionType.ACTION_DROP, reason)
        case PushVlan(tpid=tpid, tci=tci):
            return _unit(ActionType.ACTION_PUSH_VLAN, tpid << 16 | tci)
        case PopVlan():
            return _unit(ActionType.ACTION_POP_VLAN)
        case Recirc(id=recirc_id):
            return _unit(ActionType.ACTION_RECIRC, recirc_id)
        case Hash(algorithm=algorithm, basis=basis):
            return _unit(ActionType.ACTION_HASH, algorithm, basis)
        case Trunc(max_len=max_len):
            return _unit(ActionType.ACTION_TRUNC, max_len)
        case Userspace():
            return _encode_userspace(action)
        case Psample(group=group, cookie=cookie):
            return _unit(ActionType.ACTION_PSAMPLE, group, len(cookie or b""), cookie or b"")
        case PushMpls() | PopMpls() | AddMpls(l3=True):
            return _encode_label(action)
        case Meter(id=number):
            return _unit(ActionType.ACTION_METER, number)
        case Set():
            return _encode_set(action)
        case _:
            raise NotSupported(f"this datapath does not execute {action.name}")


def _encode_label(action: PushMpls | PopMpls | AddMpls) -> bytes:
    if isinstance(action, PopMpls):
        return _unit(ActionType.ACTION_POP_MPLS, action.ethertype)
    flags = ActionFlag.ACTION_ADD_MPLS if isinstance(action, AddMpls) else 0
    return _unit(ActionType.ACTION_PUSH_MPLS, _on_wire(action.lse), action.ethertype, flags=flags)


def _on_wire(entry: int) -> int:
    """A label stack entry as a number that lies in memory as the entry does in a frame; and back."""
    return int.from_bytes(entry.to_bytes(4, "big"), "little")


_CHANGES: Final = (ActionFlag.ACTION_FIRST_CHANGES, ActionFlag.ACTION_SECOND_CHANGES)
_LIST_SHIFTS: Final = (NestedBits.NESTED_FIRST_SHIFT, NestedBits.NESTED_SECOND_SHIFT)


def _encode_nested(action: Action, depth: int) -> bytes:
    """An action that has lists, and those."""
    kind, arg = _head(action)
    lists = nested(action)
    parts = [_encode_list(actions, depth + 1) for actions in lists]
    wide = sum(len(part) // UNIT_SIZE << shift for part, shift in zip(parts, _LIST_SHIFTS, strict=False))
    flags = sum(flag for flag, actions in zip(_CHANGES, lists, strict=False) if changes_frame(actions))
    return _unit(kind, arg, wide, flags=flags) + b"".join(parts)


def _head(action: Action) -> tuple[ActionType, int]:
    match action:
        case Sample(probability=probability):
            return ActionType.ACTION_SAMPLE, probability
        case CheckPktLen(size=size):
            return ActionType.ACTION_CHECK_PKT_LEN, size
        case DecTtl():
            return ActionType.ACTION_DEC_TTL, 0
        case _:
            return ActionType.ACTION_CLONE, 0


def _encode_set(action: Set) -> bytes:
    flags = ActionFlag.ACTION_PLAIN_SET if action.mask is None else 0
    value, mask = _value_and_mask(action)
    if action.section in PROTO_OF:
        wide = int.from_bytes(_PORTS.pack(*value) + _PORTS.pack(*mask), "little")
        return _unit(ActionType.ACTION_SET_TP, PROTO_OF[action.section], wide, flags=flags)
    if action.section in _ICMP_PROTOCOLS:
        wide = int.from_bytes(_ICMP.pack(*value) + _ICMP.pack(*mask), "little")
        return _unit(ActionType.ACTION_SET_ICMP, _ICMP_PROTOCOLS[action.section], wide, flags=flags)
    if action.section == "mpls":
        entry, bits = action.entry()
        return _unit(ActionType.ACTION_SET_MPLS, _on_wire(entry), _on_wire(bits), flags=flags)
    if action.section in _METADATA:
        return _unit(_METADATA[action.section], value[0], mask[0], flags=flags)
    kind, size, places = _LAYOUTS[action.section]
    return _unit(kind, operand=_place(value, places, size) + _place(mask, places, size), flags=flags)


def _value_and_mask(action: Set) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """What to write and where; rows that are never set keep their value under a mask of 0."""
    rows = fields.SET_ROWS[action.section]
    full = tuple(row.full for row in rows) if action.mask is None else action.mask
    kept = tuple(is_fixed(row) for row in rows)
    mask = tuple(0 if keep else bits for keep, bits in zip(kept, full, strict=True))
    value = tuple(v if keep else v & m for v, m, keep in zip(action.value, mask, kept, strict=True))
    return value, mask


def _place(numbers: tuple[int, ...], places: tuple[tuple[int, int], ...], size: int) -> bytes:
    raw = bytearray(size)
    for number, (offset, width) in zip(numbers, places, strict=True):
        raw[offset : offset + width] = number.to_bytes(width, "big")
    return bytes(raw)


def _encode_userspace(action: Userspace) -> bytes:
    data = action.userdata or b""
    if len(data) > ActionLimit.USERDATA_MAX:
        raise NotSupported(f"a userspace action's userdata has {len(data)} octets, at most 128 are carried")
    wide = (action.egress_tun_port or 0) << UserspaceBits.USERSPACE_TUN_PORT_SHIFT
    wide |= len(data) << UserspaceBits.USERSPACE_SIZE_SHIFT
    wide |= (action.userdata is not None) << UserspaceBits.USERSPACE_HAS_USERDATA_SHIFT
    wide |= (action.egress_tun_port is not None) << UserspaceBits.USERSPACE_HAS_TUN_PORT_SHIFT
    wide |= action.actions << UserspaceBits.USERSPACE_ACTIONS_SHIFT
    return _unit(ActionType.ACTION_USERSPACE, action.pid, wide, data)


# --- back --------------------------------------------------------------------------------------------


def _decode_all(raw: bytes, depth: int) -> Iterator[Action]:
    if depth > MAX_DEPTH:
        raise ValueError("nested too deep")
    at = 0
    while at < len(raw):
        kind, flags, units, arg, wide = _UNIT.unpack_from(raw, at)
        at += UNIT_SIZE
        if kind in _NESTED:
            first, second = (UNIT_SIZE * (wide >> shift & 0xFFFFFFFF) for shift in _LIST_SHIFTS)
            end = at + first + second
            lists = (tuple(_decode_all(part, depth + 1)) for part in (raw[at : at + first], raw[at + first : end]))
            yield _NESTED[kind](arg, *lists)
            at = end
            continue
        operand = raw[at : at + units * UNIT_SIZE]
        yield _DECODERS[kind](kind, flags, arg, wide, operand)
        at += units * UNIT_SIZE


def _decode_set(kind: int, flags: int, _arg: int, _wide: int, operand: bytes) -> Set:
    section = _SECTION_OF_TYPE[ActionType(kind)]
    _, size, places = _LAYOUTS[section]
    value, mask = (
        tuple(int.from_bytes(half[offset : offset + width], "big") for offset, width in places)
        for half in (operand[:size], operand[size : 2 * size])
    )
    return Set(section, value, None if flags & ActionFlag.ACTION_PLAIN_SET else mask)


def _decode_ports(_kind: int, flags: int, arg: int, wide: int, _operand: bytes) -> Set:
    raw = wide.to_bytes(8, "little")
    mask = None if flags & ActionFlag.ACTION_PLAIN_SET else _PORTS.unpack_from(raw, 4)
    return Set(_SECTION_OF_PROTOCOL[arg], _PORTS.unpack_from(raw), mask)


def _decode_icmp(_kind: int, flags: int, arg: int, wide: int, _operand: bytes) -> Set:
    raw = wide.to_bytes(8, "little")
    mask = None if flags & ActionFlag.ACTION_PLAIN_SET else _ICMP.unpack_from(raw, 4)
    return Set(_ICMP_OF_PROTOCOL[arg], _ICMP.unpack_from(raw), mask)


def _decode_entry(_kind: int, flags: int, arg: int, wide: int, _operand: bytes) -> Set:
    rows = fields.SET_ROWS["mpls"]
    lowest = min(row.shift for row in rows)
    value, mask = (
        tuple(_on_wire(number) >> row.shift - lowest & row.full for row in rows) for number in (arg, wide & 0xFFFFFFFF)
    )
    return Set("mpls", value, None if flags & ActionFlag.ACTION_PLAIN_SET else mask)


def _decode_push_mpls(_kind: int, flags: int, arg: int, wide: int, _operand: bytes) -> PushMpls | AddMpls:
    if flags & ActionFlag.ACTION_ADD_MPLS:
        return AddMpls(_on_wire(arg), wide, l3=True)
    return PushMpls(_on_wire(arg), wide)


def _decode_metadata(kind: int, flags: int, arg: int, wide: int, _operand: bytes) -> Set:
    return Set(_METADATA_OF_TYPE[kind], (arg,), None if flags & ActionFlag.ACTION_PLAIN_SET else (wide,))


def _decode_userspace(_kind: int, _flags: int, arg: int, wide: int, operand: bytes) -> Userspace:
    size = wide >> UserspaceBits.USERSPACE_SIZE_SHIFT & 0xFFFF
    return Userspace(
        arg,
        operand[:size] if wide >> UserspaceBits.USERSPACE_HAS_USERDATA_SHIFT & 1 else None,
        wide & 0xFFFFFFFF if wide >> UserspaceBits.USERSPACE_HAS_TUN_PORT_SHIFT & 1 else None,
        bool(wide >> UserspaceBits.USERSPACE_ACTIONS_SHIFT & 1),
    )


_Decoder = Callable[[int, int, int, int, bytes], Action]
_DECODERS: Final[dict[int, _Decoder]] = {
    ActionType.ACTION_OUTPUT: lambda _k, _f, arg, _w, _o: Output(arg),
    ActionType.ACTION_DROP: lambda _k, _f, arg, _w, _o: Drop(arg),
    ActionType.ACTION_PUSH_VLAN: lambda _k, _f, arg, _w, _o: PushVlan(arg >> 16, arg & 0xFFFF),
    ActionType.ACTION_POP_VLAN: lambda _k, _f, _a, _w, _o: PopVlan(),
    ActionType.ACTION_RECIRC: lambda _k, _f, arg, _w, _o: Recirc(arg),
    ActionType.ACTION_HASH: lambda _k, _f, arg, wide, _o: Hash(HashAlgorithm(arg), wide),
    ActionType.ACTION_TRUNC: lambda _k, _f, arg, _w, _o: Trunc(arg),
    ActionType.ACTION_USERSPACE: _decode_userspace,
    ActionType.ACTION_PUSH_MPLS: _decode_push_mpls,
    ActionType.ACTION_POP_MPLS: lambda _k, _f, arg, _w, _o: PopMpls(arg),
    ActionType.ACTION_SET_MPLS: _decode_entry,
    ActionType.ACTION_SET_ARP: _decode_set,
    ActionType.ACTION_SET_ICMP: _decode_icmp,
    ActionType.ACTION_SET_ND: _decode_set,
    ActionType.ACTION_PSAMPLE: lambda _k, _f, arg, wide, operand: Psample(arg, operand[:wide] or None),
    ActionType.ACTION_METER: lambda _k, _f, arg, _w, _o: Meter(arg),
    ActionType.ACTION_SET_ETH: _decode_set,
    ActionType.ACTION_SET_IPV4: _decode_set,
    ActionType.ACTION_SET_IPV6: _decode_set,
    ActionType.ACTION_SET_TP: _decode_ports,
    ActionType.ACTION_SET_MARK: _decode_metadata,
    ActionType.ACTION_SET_PRIORITY: _decode_metadata,
}
_NESTED: Final[dict[int, Callable[[int, Actions, Actions], Action]]] = {
    ActionType.ACTION_SAMPLE: lambda arg, first, _: Sample(arg, first),
    ActionType.ACTION_CLONE: lambda _, first, _s: Clone(first),
    ActionType.ACTION_CHECK_PKT_LEN: CheckPktLen,
    ActionType.ACTION_DEC_TTL: lambda _, first, _s: DecTtl(first),
}
