"""Which flow a request to install one meets, and what follows from that.

Ours: a UFID names one flow, a mask with a masked key is one flow, and of two flows without UFID the concrete
keys differ.  So there are two exact look-ups, by the name of the new flow and by its match, and flows that
merely overlap are none of its business.

    found by its name        must not exist: Exists
                             else: the same match, update it; another one, NotFound
    else found by its match  Exists, and the message names the holder: it is never changed under another's name

The kernel's (``like_kernel``): a request that its UFID does not find is looked up as a packet with its
concrete key would be, and what that hits is the same flow.

    found                    must not exist: Exists
                             a flow with UFID, whose masked key is the request's concrete key: update it
                             one without, with the request's concrete key: update it
                             one without, with another: update the one that has this key, if there is one
                             else NotFound

There masks are not compared, and the UFID of a request that updates another's flow is forgotten.
"""

from __future__ import annotations

from typing import Final, Protocol

from ctl import abi
from ctl.datapath import key_exists, match_exists, other_match, ufid_exists
from ctl.errors import Exists
from ctl.flow import Flow, FlowId, FlowKey, Match
from ctl.ufid import Ufid


class Table(Protocol):
    """The ways to find a flow."""

    def named(self, who: FlowId) -> Flow | None:
        """By its name."""
        ...

    def matching(self, match: Match) -> Flow | None:
        """By exactly this mask and masked key."""
        ...

    def hit_by(self, key: FlowKey) -> Flow | None:
        """As a packet with this key finds it; nothing is counted."""
        ...


def to_update(
    table: Table, match: Match, ufid: Ufid | None, *, may_exist: bool = False, like_kernel: bool = False
) -> Flow | None:
    """The flow whose actions a request to install one replaces; None: there is none, install it.

    Exists, NotFound: see the module.
    """
    decide = _kernel if like_kernel else _ours
    return decide(table, match, ufid, may_exist=may_exist)


def _ours(table: Table, match: Match, ufid: Ufid | None, *, may_exist: bool) -> Flow | None:
    who = match.key if ufid is None else ufid
    found = table.named(who)
    if found is None:
        holder = table.matching(match)
        if holder is not None:
            raise match_exists(holder.ufid)
        return None
    if not may_exist:
        raise _name_exists(ufid)
    if (found.match.mask, found.match.masked) != (match.mask, match.masked):
        raise other_match(who)
    return found


def _kernel(table: Table, match: Match, ufid: Ufid | None, *, may_exist: bool) -> Flow | None:
    found = table.named(ufid) if ufid is not None else None
    by_name = found is not None
    found = found or table.hit_by(match.key)
    if found is None:
        return None
    if not may_exist:
        raise _name_exists(ufid) if by_name else match_exists(found.ufid)
    if equal_within(match.key, found.match.key):
        return found
    same_key = table.named(match.key) if found.ufid is None else None
    if same_key is None:
        raise other_match(found.who)
    return same_key


def _name_exists(ufid: Ufid | None) -> Exists:
    return key_exists() if ufid is None else ufid_exists(ufid)


# The kernel compares from the first to the last attribute that the request's key has.  Only these are beyond
# all others, and missing in keys of the same kind of packet.
_BEYOND: Final = tuple(leaf for leaf in abi.KEY_LEAVES if leaf.startswith("tun_"))


def equal_within(request: FlowKey, stored: FlowKey) -> bool:
    """Whether two keys are equal in all that the request's says: of tunnels it may say nothing."""
    if not any(request[leaf] for leaf in _BEYOND):
        stored = stored.with_leaves(**dict.fromkeys(_BEYOND, 0))
    return request == stored
