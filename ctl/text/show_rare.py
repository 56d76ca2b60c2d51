"""Printing of the actions that few flows have: labels, tunnels, service headers, connection tracking, cookies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from ctl.action import (
    Action,
    AddMpls,
    Ct,
    PopMpls,
    PushEth,
    PushMpls,
    PushNsh,
    SetNsh,
    SetTunnel,
    TnlPush,
    Userspace,
)
from ctl.text.actions import ETH, ETH_TYPE, LSE
from ctl.text.ct import ct_text
from ctl.text.headers import exact_nsh, nsh_text, tunnel_text
from ctl.text.tunnel_header import header_text
from ctl.text.userspace import userspace_text
from ctl.text.values import PortText


def _set_nsh(action: SetNsh, _: PortText) -> str:
    return f"set(nsh({nsh_text(action.nsh, exact_nsh(action.nsh) if action.mask is None else action.mask)}))"


def _mpls(action: PushMpls | AddMpls, _: PortText) -> str:
    lse = action.lse
    numbers = (lse >> 12, lse >> 9 & 7, lse & 0xFF, lse >> 8 & 1)
    texts = [sub.text(number) for sub, number in zip(LSE, numbers, strict=True)]
    place = ["l3"] if isinstance(action, AddMpls) and action.l3 else []
    return f"{action.name}({','.join([*texts, ETH_TYPE.text(action.ethertype), *place])})"


def _push_eth(action: PushEth, _: PortText) -> str:
    return f"push_eth({ETH[0].text(action.src)},{ETH[1].text(action.dst)})"


def _tnl_push(action: TnlPush, port: PortText) -> str:
    header = header_text(action.tnl_type, action.header)
    return f"tnl_push(tnl_port({port(action.tnl_port)}),{header},out_port({port(action.out_port)}))"


RARE_TEXTS: Final[dict[type[Action], Callable[[Any, PortText], str]]] = {
    TnlPush: _tnl_push,
    SetTunnel: lambda action, _: f"set(tunnel({tunnel_text(action.tunnel)}))",
    SetNsh: _set_nsh,
    PushNsh: lambda action, _: f"push_nsh({nsh_text(action.nsh)})",
    PushMpls: _mpls,
    AddMpls: _mpls,
    PopMpls: lambda action, _: f"pop_mpls({ETH_TYPE.text(action.ethertype)})",
    PushEth: _push_eth,
    Ct: lambda action, _: ct_text(action),
    Userspace: userspace_text,
}
