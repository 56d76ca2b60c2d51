"""Printing of action lists, and of port names wherever they occur.  `ctl.text.actions` reads all of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from ctl import fields
from ctl.action import (
    Action,
    Actions,
    CheckPktLen,
    Clone,
    CtClear,
    DecTtl,
    Drop,
    Hash,
    LbOutput,
    Meter,
    Output,
    PopEth,
    PopNsh,
    PopVlan,
    Psample,
    PushVlan,
    Recirc,
    Sample,
    Set,
    TnlPop,
    Trunc,
)
from ctl.fields import Field
from ctl.text.values import CERTAIN, OVS_ACTIONS, PortText, hexadecimal, mask_text, probability_of, value_text
from ctl.validate import TCI_PRESENT

PortName = Callable[[int], str | None]

_PLAIN_NAME: Final = re.compile(r"(?!drop$)[A-Za-z_][A-Za-z0-9_.:@-]*", re.IGNORECASE)
_ETH_VLAN: Final = 0x8100
_MOST_DECIMALS: Final = 10  # of a percentage: fewer tell any two probabilities apart


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
    return _list(actions, lambda number: port_text(number, port_name))


def _list(actions: Actions, port: PortText) -> str:
    return ",".join([_TEXTS.get(type(action), _rare)(action, port) for action in actions]) or "drop"


def _rare(action: Action, port: PortText) -> str:
    """Imported when there is one, for every command prints flows and few have such actions."""
    from ctl.text.show_rare import RARE_TEXTS

    return RARE_TEXTS[type(action)](action, port)


# --- header fields -------------------------------------------------------------------------------


def _set(action: Set, port: PortText) -> str:
    rows = fields.SET_ROWS[action.section]
    masks = tuple(row.full for row in rows) if action.mask is None else action.mask
    trios = zip(rows, action.value, masks, strict=True)
    return f"set({action.section}({','.join(_row(*trio, port) for trio in trios if _is_said(*trio))}))"


def _is_said(row: Field, value: int, mask: int) -> bool:
    """Whether a sub-field must be written; if not, it is read as 0 without a mask, or as its default with one."""
    if row.default:
        return (value, mask) != (row.default, row.full)
    return bool(value or mask or not row.name)


def _row(row: Field, value: int, mask: int, port: PortText) -> str:
    name = f"{row.name}=" if row.name else ""
    suffix = "" if mask == row.full else f"/{mask_text(row, mask)}"
    is_port = row.format is fields.Format.PORT and not suffix
    return f"{name}{port(value) if is_port else value_text(row, value)}{suffix}"


def _push_vlan(action: PushVlan, _: PortText) -> str:
    tpid = "" if action.tpid == _ETH_VLAN else f"tpid={action.tpid:#06x},"
    cfi = "" if action.tci & TCI_PRESENT else ",cfi=0"
    return f"push_vlan({tpid}vid={action.tci & 0xFFF},pcp={action.tci >> 13}{cfi})"


# --- lists within --------------------------------------------------------------------------------


def _sample(action: Sample, port: PortText) -> str:
    return f"sample(sample={_percentage(action.probability)}%,actions({_list(action.actions, port)}))"


def _percentage(probability: int) -> str:
    """With one decimal, as OVS prints it, or with as many as make it the same probability again."""
    percent = 100.0 * probability / CERTAIN
    texts = (f"{percent:.{decimals}f}" for decimals in range(1, _MOST_DECIMALS))
    return next((text for text in texts if probability_of(float(text)) == probability), f"{percent:.{_MOST_DECIMALS}f}")


def _check_pkt_len(action: CheckPktLen, port: PortText) -> str:
    greater, less_equal = _list(action.greater, port), _list(action.less_equal, port)
    return f"check_pkt_len(size={action.size},gt({greater}),le({less_equal}))"


def _psample(action: Psample, _: PortText) -> str:
    cookie = "" if action.cookie is None else f",cookie=0x{action.cookie.hex()}"
    return f"psample(group={action.group}{cookie})"


def _name(action: Action, _: PortText) -> str:
    return action.name


_TEXTS: Final[dict[type[Action], Callable[[Any, PortText], str]]] = {
    Output: lambda action, port: port(action.port),
    Drop: lambda action, _: f"drop({action.reason})",
    Trunc: lambda action, _: f"trunc({action.max_len})",
    Recirc: lambda action, _: f"recirc({hexadecimal(action.id)})",
    Meter: lambda action, _: f"meter({action.id})",
    LbOutput: lambda action, _: f"lb_output({action.bond})",
    TnlPop: lambda action, port: f"tnl_pop({port(action.port)})",
    Hash: lambda action, _: f"hash({action.algorithm.name.lower()}({action.basis}))",
    Set: _set,
    PopNsh: lambda _, __: "pop_nsh()",
    PushVlan: _push_vlan,
    PopVlan: _name,
    PopEth: _name,
    CtClear: _name,
    Sample: _sample,
    Clone: lambda action, port: f"clone({_list(action.actions, port)})",
    CheckPktLen: _check_pkt_len,
    DecTtl: lambda action, port: f"dec_ttl(le_1({_list(action.actions, port)}))",
    Psample: _psample,
}
