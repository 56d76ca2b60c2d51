"""What an action list must be, for a flow: a refusal that says which action is wrong, and why.

The rules are those of the OVS kernel interface (flow_netlink.c).  They look at the flow's masked key,
since a list must be safe for every packet that the flow can hit: what the flow does not match is not
known.  So `set(ipv4)` needs the type matched, and `set(tcp)` the protocol, exactly.

Some actions change what is known: behind a label that was pushed nothing can be set, and whether there is
a tag or an Ethernet header decides what can be pushed.  `Known` is handed from action to action; a list
within another begins with what is known there and hands nothing back.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from ctl import abi
from ctl.action import (
    MAX_ACTIONS,
    MAX_DEPTH,
    Action,
    Actions,
    AddMpls,
    CheckPktLen,
    Ct,
    Drop,
    Hash,
    LbOutput,
    Output,
    PopEth,
    PopMpls,
    PopNsh,
    PopVlan,
    Psample,
    PushEth,
    PushMpls,
    PushNsh,
    PushVlan,
    Recirc,
    Sample,
    Set,
    SetNsh,
    SetTunnel,
    TnlPop,
    TnlPush,
    Trunc,
    Userspace,
    nested,
)
from ctl.action import Meter as MeterAction
from ctl.errors import FlowInvalid
from ctl.flow import FlowKey
from ctl.validate import ANY_PORT, ETH_ARPS, ETH_IPV4, ETH_IPV6, ETH_MPLS, ETH_NSH, TCI_PRESENT, TPIDS
from ctl.validate_ct import refuse_ct
from ctl.validate_sets import (
    Known,
    Refusal,
    no_ethernet,
    refuse_nsh,
    refuse_set,
    refuse_tunnel,
    unmatched_types,
)

MIN_TRUNC: Final = 14  # bytes: an Ethernet header
MOST_COOKIE: Final = 16  # octets, of psample
ETH_BRIDGED: Final = 0x6558  # what a label says that has an Ethernet frame behind it
_ALL16: Final = 0xFFFF
_ALL32: Final = 0xFFFFFFFF
_UNDER_LABELS: Final = (ETH_IPV4, ETH_IPV6, *ETH_ARPS, *ETH_MPLS)
_USERSPACE_ONLY: Final = (TnlPush, TnlPop, LbOutput)


def check_actions(actions: Actions, masked_key: FlowKey, mask: FlowKey, *, like_kernel: bool = False) -> None:
    """FlowInvalid for a list that a flow of this masked key and mask cannot have.

    Its attribute is the action's number, counted from 1, and its name: `action 3, set(ipv4)`; within
    another, that one's comes first: `action 2, clone, action 1, output`.  ``like_kernel`` refuses what the
    kernel's datapath does and ours does not.
    """
    eth_type = masked_key["eth_type"] if mask["eth_type"] == _ALL16 else None
    known = Known(
        key=masked_key,
        mask=mask,
        is_ethernet=masked_key["l2_kind"] == abi.L2Kind.L2_ETHERNET,
        is_tagged=bool(masked_key["vlan_tci"] & TCI_PRESENT),
        eth_type=eth_type,
        labels=_matched_labels(mask) if eth_type in ETH_MPLS else 0,
        like_kernel=like_kernel,
    )
    _check_list(actions, known, "", 0)


def _matched_labels(mask: FlowKey) -> int:
    """How many label stack entries a mask looks at; a frame with an MPLS type has one."""
    entries = mask["mpls_lse"].to_bytes(12, "big")
    return max((n for n in (1, 2, 3) if any(entries[4 * n - 4 : 4 * n])), default=1)


def _check_list(actions: Actions, known: Known, before: str, depth: int) -> None:
    """One list, after the place ``before`` and within ``depth`` others."""
    for number, action in enumerate(actions, start=1):
        place = f"{before}action {number}, {action.name}"
        if number > MAX_ACTIONS:
            hint = "recirculate, and continue in a second flow"
            raise FlowInvalid(
                f"the list is too long, at most {MAX_ACTIONS} actions are possible", place, hint, errno=errno.EMSGSIZE
            )
        if isinstance(action, Drop) and number != len(actions):
            raise FlowInvalid("nothing can follow a drop", place, "leave out the actions after it")
        refusal = _refusal(action, known)
        if refusal is not None:
            raise FlowInvalid(refusal[0], place, refusal[1])
        for inner in nested(action):
            if depth == MAX_DEPTH:
                why = f"lists are nested more than {MAX_DEPTH} deep"
                raise FlowInvalid(why, place, "recirculate, and go on there", errno=errno.EOVERFLOW)
            _check_list(inner, known, f"{place}, ", depth + 1)
        known = _after(action, known)


# By action: its numbers, each with the least and the largest that are legal, and a hint.
_RANGES: Final[dict[type[Action], tuple[tuple[str, int, int, str], ...]]] = {
    Output: (("port", 0, ANY_PORT - 1, "ctl show lists the ports"),),
    Drop: (("reason", 0, _ALL32, ""),),
    Recirc: (("id", 0, _ALL32, ""),),
    Hash: (("basis", 0, _ALL32, ""),),
    Trunc: (("max_len", MIN_TRUNC, _ALL32, f"an Ethernet header has {MIN_TRUNC} bytes"),),
    Userspace: (("pid", 1, _ALL32, "write userspace(pid=1)"), ("egress_tun_port", 0, _ALL32, "")),
    PushVlan: (("tci", 0, _ALL16, ""),),
    PushMpls: (("lse", 0, _ALL32, ""),),
    AddMpls: (("lse", 0, _ALL32, ""),),
    PopMpls: (("ethertype", 0, _ALL16, ""),),
    Sample: (("probability", 0, _ALL32, ""),),
    CheckPktLen: (("size", 1, _ALL16, ""),),
    MeterAction: (("id", 0, _ALL32, "ctl get-meter lists the meters"),),
    Psample: (("group", 0, _ALL32, ""),),
}


def _refusal(action: Action, known: Known) -> Refusal | None:
    if known.like_kernel and isinstance(action, _USERSPACE_ONLY):
        return "the kernel's datapath has no such action", ""
    return _out_of_range(action) or _misplaced(action, known)


def _out_of_range(action: Action) -> Refusal | None:
    for name, least, largest, hint in _RANGES.get(type(action), ()):
        number = getattr(action, name)
        if number is not None and not least <= number <= largest:
            return f"{name} is {number}, possible are {least} to {largest}", hint
    return None


def _misplaced(action: Action, known: Known) -> Refusal | None:
    """What an action asks of the packet."""
    rule = _RULES.get(type(action))
    return rule(action, known) if rule is not None else None


def _tagged(known: Known) -> Refusal | None:
    return ("there is a VLAN tag in the way", "take it away: pop_vlan") if known.is_tagged else None


def _push_vlan(action: PushVlan) -> Refusal | None:
    if action.tpid not in TPIDS:
        return f"{action.tpid:#06x} is no type of a tag", "tpid is 0x8100 or 0x88a8"
    if not action.tci & TCI_PRESENT:
        return "cfi must be 1", "leave cfi out"
    return None


def _push_mpls(action: PushMpls | AddMpls, known: Known) -> Refusal | None:
    if action.ethertype not in ETH_MPLS:
        return f"{action.ethertype:#06x} is no type of MPLS", "eth_type is 0x8847 or 0x8848"
    if isinstance(action, AddMpls) and not action.l3:
        return None
    return _tagged(known) or unmatched_types(_UNDER_LABELS, known)


def _pop_mpls(action: PopMpls, known: Known) -> Refusal | None:
    if action.ethertype == ETH_BRIDGED and known.is_ethernet:
        return "an Ethernet frame cannot follow an Ethernet header", "give the type of what follows the label"
    return _tagged(known) or unmatched_types(ETH_MPLS, known)


def _cookie(action: Psample) -> Refusal | None:
    if action.cookie is None or 1 <= len(action.cookie) <= MOST_COOKIE:
        return None
    return f"a cookie of {len(action.cookie)} octets, possible are 1 to {MOST_COOKIE}", ""


_RULES: Final[dict[type[Action], Callable[[Any, Known], Refusal | None]]] = {
    Set: refuse_set,
    SetTunnel: lambda action, _: refuse_tunnel(action),
    SetNsh: lambda _, known: unmatched_types((ETH_NSH,), known),
    PushVlan: lambda action, known: no_ethernet(known) or _push_vlan(action),
    PopVlan: lambda _, known: no_ethernet(known),
    PushMpls: _push_mpls,
    AddMpls: _push_mpls,
    PopMpls: _pop_mpls,
    PushEth: lambda _, known: ("the packet has an Ethernet header", "") if known.is_ethernet else None,
    PopEth: lambda _, known: no_ethernet(known) or _tagged(known),
    PushNsh: lambda action, _: refuse_nsh(action.nsh),
    PopNsh: lambda _, known: unmatched_types((ETH_NSH,), known),
    Ct: lambda action, known: refuse_ct(action) or unmatched_types((ETH_IPV4, ETH_IPV6), known),
    Psample: lambda action, _: _cookie(action),
}


def _after(action: Action, known: Known) -> Known:  # noqa: PLR0911 - a row for each action
    """What is known behind an action."""
    match action:
        case PushVlan():
            return replace(known, is_tagged=True)
        case PopVlan():
            return replace(known, is_tagged=False)
        case PushMpls() | AddMpls(l3=True):
            return replace(known, eth_type=action.ethertype, labels=known.labels + 1, moved=True)
        case AddMpls():  # the label is the first of those behind a new beginning, if there was an Ethernet header
            labels = 1 if known.is_ethernet else known.labels + 1
            return replace(known, eth_type=action.ethertype, labels=labels, is_ethernet=False, moved=True)
        case PopMpls():
            labels = known.labels - 1
            behind = action.ethertype if labels and action.ethertype in ETH_MPLS else None
            return replace(known, eth_type=behind, labels=labels, moved=True)
        case PushEth():
            return replace(known, is_ethernet=True)
        case PopEth():
            return replace(known, is_ethernet=False)
        case PushNsh():
            return replace(known, eth_type=ETH_NSH, is_ethernet=False, moved=True)
        case PopNsh():
            return replace(known, eth_type=None, moved=True)
        case _:
            return known
