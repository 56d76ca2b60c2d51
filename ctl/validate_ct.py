"""What a ct action must be: the rules of the OVS kernel interface (conntrack.c), for `ctl.validate_actions`."""

from __future__ import annotations

from typing import Final

from ctl.action import Ct, Nat

_ALL16: Final = 0xFFFF
_SIZES: Final = (4, 16)  # octets of an address


def refuse_ct(action: Ct) -> tuple[str, str] | None:
    """Why a ct action is refused, and a hint; None: it is not."""
    for name, pair in (("mark", action.mark), ("label", action.label)):
        if pair is None:
            continue
        if not (action.commit or action.force):
            return f"{name} needs commit", "write ct(commit,...)"
        if not pair[1]:
            return f"the mask of {name} is zero", f"leave {name} out"
    if action.timeout is not None and not (action.commit or action.force):
        return "timeout needs commit", "write ct(commit,...)"
    if not 0 <= action.zone <= _ALL16:
        return f"zone is {action.zone}, possible are 0 to {_ALL16}", ""
    return None if action.nat is None else _nat(action, action.nat)


def _nat(action: Ct, nat: Nat) -> tuple[str, str] | None:
    details = (nat.first, nat.last, nat.first_port, nat.last_port)
    if nat.which is None:
        given = nat.persistent or nat.hash or nat.random or any(detail is not None for detail in details)
        refusal = ("nat needs src or dst for addresses, ports and flags", "write nat(src=...) or nat(dst=...)")
        return refusal if given else None
    if not (action.commit or action.force):
        return f"nat({nat.which}) needs commit", "write ct(commit,...)"
    if nat.hash and nat.random:
        return "nat chooses ports by hash or at random, not both", "leave one out"
    return _range(nat)


def _range(nat: Nat) -> tuple[str, str] | None:
    if nat.first is None and any(detail is not None for detail in (nat.last, nat.first_port, nat.last_port)):
        return "nat has the end of a range, or ports, and no address", f"write nat({nat.which}=ADDRESS...)"
    sizes = {len(address) for address in (nat.first, nat.last) if address is not None}
    if len(sizes) > 1 or not sizes <= set(_SIZES):
        return "the addresses of nat are not of one family", ""
    return None
