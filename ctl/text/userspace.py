"""The text of userspace actions.

    userspace(pid=N [ "," userdata ] [ ",actions" ] [ ",tunnel_out_port=" PORT ])
    userdata := "userdata(" HEX ")" | what `ctl.text.cookies` has a name for

The items may stand in any order.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from ctl.action import Userspace
from ctl.text.cookies import COOKIES, PortReader, cookie_text, read_cookie
from ctl.text.cursor import Cursor, decimal
from ctl.text.values import PortText

_USERDATA: Final = re.compile(r"\s*\(([^()]*)\)")
_HEX: Final = re.compile(r"(?:[0-9A-Fa-f]{2})*")
_MOST: Final = 0xFFFF  # octets of a netlink attribute


def read_userspace(cursor: Cursor, port: PortReader) -> Userspace:
    """The action, from behind the opening parenthesis to behind the closing one."""
    start = cursor.next
    found = cursor.items("userspace", _readers(cursor, port))
    cursor.need("userspace", ("pid",), found, start)
    forms = [name for name in ("userdata", *COOKIES) if name in found]
    if len(forms) > 1:
        raise cursor.error(f"{' and '.join(forms)}: there is one userdata", start)
    userdata = found[forms[0]] if forms else None
    action = Userspace(found["pid"], userdata, found.get("tunnel_out_port"), actions="actions" in found)
    most = _most_userdata(action)
    if userdata is not None and len(userdata) > most:
        hint = f"at most {most} fit beside the others into an attribute of netlink, which holds {_MOST}"
        raise cursor.error(f"userdata of {len(userdata)} octets", start, hint)
    return action


def _readers(cursor: Cursor, port: PortReader) -> dict[str, Callable[[int], Any]]:
    def tunnel_out_port(start: int) -> int:
        cursor.equals("tunnel_out_port", start)
        return port()

    return {
        "pid": cursor.reader(decimal("pid", 32)),
        "userdata": lambda start: _userdata(cursor, start),
        **{name: _named(cursor, name, port) for name in COOKIES},
        "actions": cursor.flag("actions"),
        "tunnel_out_port": tunnel_out_port,
    }


def _userdata(cursor: Cursor, start: int) -> bytes:
    found = cursor.take(_USERDATA)
    if found is None or _HEX.fullmatch(found[1]) is None:
        where = start if found is None else found.start(1)
        raise cursor.error("expected userdata(...) with an even number of hexadecimal digits", where)
    return bytes.fromhex(found[1])


def _named(cursor: Cursor, name: str, port: PortReader) -> Callable[[int], bytes]:
    def read(_: int) -> bytes:
        cursor.expect("(", f"expected '(' after {name}")
        return read_cookie(cursor, name, port)

    return read


def _most_userdata(action: Userspace) -> int:
    """How many octets of userdata fit into the attribute, beside the others (each has a header of 4 octets)."""
    left = _MOST - 4 - 8 - 4  # the action's header, the pid, the header of userdata
    left -= 4 if action.actions else 0
    left -= 8 if action.egress_tun_port is not None else 0
    return left // 4 * 4


def userspace_text(action: Userspace, port: PortText) -> str:
    """The text of the action."""
    userdata = ""
    if action.userdata is not None:
        userdata = "," + (cookie_text(action.userdata, port) or f"userdata({action.userdata.hex()})")
    flag = ",actions" if action.actions else ""
    out = "" if action.egress_tun_port is None else f",tunnel_out_port={port(action.egress_tun_port)}"
    return f"userspace(pid={action.pid}{userdata}{flag}{out})"
