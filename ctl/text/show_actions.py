"""Printing of action lists, and of port names wherever they occur.  `ctl.text.actions` reads all of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, assert_never

from ctl import fields
from ctl.action import Action, Actions, Drop, Hash, Output, PopVlan, PushVlan, Recirc, Set, Trunc, Userspace
from ctl.fields import Field
from ctl.text.values import OVS_ACTIONS, hexadecimal, mask_text, value_text
from ctl.validate import TCI_PRESENT

PortName = Callable[[int], str | None]

_PLAIN_NAME: Final = re.compile(r"(?!drop$)[A-Za-z_][A-Za-z0-9_.:@-]*", re.IGNORECASE)
_ETH_VLAN: Final = 0x8100


def port_text(number: int, port_name: PortName | None) -> str:
    """A port's name, in quotation marks where it could be read as something else, or its number."""
    name = port_name(number) if port_name is not None else None
    if name is None:
        return str(number)
    if _PLAIN_NAME.fullmatch(name) and name not in OVS_ACTIONS:
        return name
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def format_actions(actions: Actions, port_name: PortName | None = None) -> str:
    """The text of an action list; `drop` for the empty one."""
    return ",".join([_action(action, port_name) for action in actions]) or "drop"


def _action(action: Action, port_name: PortName | None) -> str:
    match action:
        case Output(port=port):
            text = port_text(port, port_name)
        case Drop(reason=number) | Trunc(max_len=number):
            text = f"{action.name}({number})"
        case Recirc(id=number):
            text = f"recirc({hexadecimal(number)})"
        case PopVlan():
            text = "pop_vlan"
        case PushVlan():
            text = _push_vlan(action)
        case Hash(algorithm=algorithm, basis=basis):
            text = f"hash({algorithm.name.lower()}({basis}))"
        case Set():
            text = f"set({_section(action)})"
        case Userspace():
            text = _userspace(action, port_name)
        case _:
            assert_never(action)
    return text


def _push_vlan(action: PushVlan) -> str:
    tpid = "" if action.tpid == _ETH_VLAN else f"tpid={action.tpid:#06x},"
    cfi = "" if action.tci & TCI_PRESENT else ",cfi=0"
    return f"push_vlan({tpid}vid={action.tci & 0xFFF},pcp={action.tci >> 13}{cfi})"


def _section(action: Set) -> str:
    rows = fields.SECTIONS[action.section]
    masks = tuple(row.full for row in rows) if action.mask is None else action.mask
    trios = zip(rows, action.value, masks, strict=True)
    texts = [_row(*trio) for trio in trios if trio[1] or trio[2] or not trio[0].name]
    return f"{action.section}({','.join(texts)})"


def _row(row: Field, value: int, mask: int) -> str:
    name = f"{row.name}=" if row.name else ""
    suffix = "" if mask == row.full else f"/{mask_text(row, mask)}"
    return f"{name}{value_text(row, value)}{suffix}"


def _userspace(action: Userspace, port_name: PortName | None) -> str:
    userdata = "" if action.userdata is None else f",userdata({action.userdata.hex()})"
    flag = ",actions" if action.actions else ""
    out = action.egress_tun_port
    port = "" if out is None else f",tunnel_out_port={port_text(out, port_name)}"
    return f"userspace(pid={action.pid}{userdata}{flag}{port})"
