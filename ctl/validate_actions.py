"""What an action list must be, for a flow: a refusal that says which action is wrong, and why.

The rules are those of the OVS kernel interface (flow_netlink.c).  They look at the flow's masked key,
since a list must be safe for every packet that the flow can hit: what the flow does not match is not
known.  So `set(ipv4)` needs the type matched, and `set(tcp)` the protocol, exactly.

Nothing carries over from one action of a list to the next: the type and the protocol are those behind
all tags, which pushing and popping tags does not change, and popping is legal without a tag.
"""

from __future__ import annotations

from typing import Final

from ctl import abi, fields
from ctl.action import (
    MAX_ACTIONS,
    NEVER_SET,
    SETTABLE,
    Action,
    Actions,
    Drop,
    Hash,
    Output,
    PopVlan,
    PushVlan,
    Recirc,
    Set,
    Trunc,
    Userspace,
)
from ctl.errors import FlowInvalid
from ctl.flow import FlowKey
from ctl.validate import ANY_PORT, ETH_IPV4, ETH_IPV6, PROTO_OF, TCI_PRESENT, TPIDS

MIN_TRUNC: Final = 14  # bytes: an Ethernet header
_ALL16: Final = 0xFFFF
_ALL32: Final = 0xFFFFFFFF
_TYPE_OF: Final = {"ipv4": ETH_IPV4, "ipv6": ETH_IPV6}


def check_actions(actions: Actions, masked_key: FlowKey, mask: FlowKey) -> None:
    """FlowInvalid for a list that a flow of this masked key and mask cannot have.

    Its attribute is the action's number, counted from 1, and its name: `action 3, set(ipv4)`.
    """
    for number, action in enumerate(actions, start=1):
        place = f"action {number}, {action.name}"
        if number > MAX_ACTIONS:
            hint = "recirculate, and continue in a second flow"
            raise FlowInvalid(f"the list is too long, at most {MAX_ACTIONS} actions are possible", place, hint)
        if isinstance(action, Drop) and number != len(actions):
            raise FlowInvalid("nothing can follow a drop", place, "leave out the actions after it")
        refusal = _refusal(action, masked_key, mask)
        if refusal is not None:
            raise FlowInvalid(refusal[0], place, refusal[1])


# Why an action is refused, and a hint.
Refusal = tuple[str, str]

# By action: its numbers, each with the least and the largest that are legal, and a hint.
_RANGES: Final[dict[type[Action], tuple[tuple[str, int, int, str], ...]]] = {
    Output: (("port", 0, ANY_PORT - 1, "ctl show lists the ports"),),
    Drop: (("reason", 0, _ALL32, ""),),
    Recirc: (("id", 0, _ALL32, ""),),
    Hash: (("basis", 0, _ALL32, ""),),
    Trunc: (("max_len", MIN_TRUNC, _ALL32, f"an Ethernet header has {MIN_TRUNC} bytes"),),
    Userspace: (("pid", 1, _ALL32, "write userspace(pid=1)"), ("egress_tun_port", 0, _ALL32, "")),
    PushVlan: (("tci", 0, _ALL16, ""),),
}


def _refusal(action: Action, key: FlowKey, mask: FlowKey) -> Refusal | None:
    match action:
        case Set():
            return _set(action, key, mask)
        case PushVlan():
            return _no_ethernet(key) or _out_of_range(action) or _push_vlan(action)
        case PopVlan():
            return _no_ethernet(key)
        case _:
            return _out_of_range(action)


def _out_of_range(action: Action) -> Refusal | None:
    for name, least, largest, hint in _RANGES[type(action)]:
        number = getattr(action, name)
        if number is not None and not least <= number <= largest:
            return f"{name} is {number}, possible are {least} to {largest}", hint
    return None


def _no_ethernet(key: FlowKey) -> Refusal | None:
    if key["l2_kind"] == abi.L2Kind.L2_ETHERNET:
        return None
    return "the flow's packets have no Ethernet header", "give the flow eth()"


def _push_vlan(action: PushVlan) -> Refusal | None:
    if action.tpid not in TPIDS:
        return f"{action.tpid:#06x} is no type of a tag", "tpid is 0x8100 or 0x88a8"
    if not action.tci & TCI_PRESENT:
        return "cfi must be 1", "leave cfi out"
    return None


def _set(action: Set, key: FlowKey, mask: FlowKey) -> Refusal | None:
    if action.section not in SETTABLE:
        hint = "use push_vlan and pop_vlan" if action.section in ("vlan", "eth_type") else ""
        return f"{action.section} cannot be set", hint or f"what can be set: {' '.join(SETTABLE)}"
    return _unmatched(action.section, key, mask) or _bits(action) or _fixed(action, key)


def _unmatched(section: str, key: FlowKey, mask: FlowKey) -> Refusal | None:
    """The headers that the flow must be sure of."""
    if section == "eth":
        return _no_ethernet(key)
    types = (_TYPE_OF[section],) if section in _TYPE_OF else (ETH_IPV4, ETH_IPV6) if section in PROTO_OF else ()
    if types and (mask["eth_type"] != _ALL16 or key["eth_type"] not in types):
        names = " or ".join(f"eth_type({number:#06x})" for number in types)
        return f"the flow does not match {names}", "match it, without a mask"
    proto = PROTO_OF.get(section)
    if proto is not None and (mask["ip_proto"] != 0xFF or key["ip_proto"] != proto):
        return f"the flow does not match protocol {proto}", f"match proto={proto}, without a mask"
    return None


def _bits(action: Set) -> Refusal | None:
    """Values and masks fit their fields, and values their masks."""
    rows = fields.SECTIONS[action.section]
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
    for index, row in enumerate(fields.SECTIONS[action.section]):
        if row.leaf not in NEVER_SET:
            continue
        if action.mask is not None and action.mask[index]:
            return f"{row.name} cannot be changed", f"leave {row.name} out"
        if action.mask is None and action.value[index] != key[row.leaf]:
            return f"{row.name} cannot be changed", f"leave {row.name} out, or repeat the flow's: {key[row.leaf]}"
    return None
