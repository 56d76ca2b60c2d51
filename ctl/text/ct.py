"""The text of ct actions.

    ct    := "ct" [ "(" item { "," item } ")" ]
    item  := "commit" | "force_commit" | "zone=" N | "mark=" N [ "/" N ] | "label=" N [ "/" N ]
           | "helper=" NAME | "timeout=" NAME | "eventmask=" N | "nat" [ "(" nat { "," nat } ")" ]
    nat   := ( "src" | "dst" ) [ "=" range ] | "persistent" | "hash" | "random"
    range := ADDRESS [ "-" ADDRESS ] [ ":" PORT [ "-" PORT ] ]

With ports, IPv6 addresses stand in brackets.  A name with a separator in it stands in quotation marks.
`ct(zone=0)` is `ct`.  OVS has no text for an eventmask.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from typing import Any, Final

from ctl.action import Ct, Nat
from ctl.text.cursor import Cursor, Sub, decimal, hexa
from ctl.text.values import hexadecimal

_QUOTED_OR_WORD: Final = re.compile(r'\s*("(?:[^"\\]|\\.)*"|[^,()\s"]+)')
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)
_PLAIN: Final = re.compile(r'[^,()\s"]+')
_ADDRESS: Final = re.compile(r"\s*(?:\[([0-9a-fA-F:.]+)\]|([0-9]{1,3}(?:\.[0-9]{1,3}){3})|([0-9a-fA-F:.]+))")
_PORT: Final = re.compile(r"[0-9]{1,5}")
_MARK: Final = hexa("mark", 32)
_LABEL: Final = hexa("label", 128)
_ZONE: Final = decimal("zone", 16)
_EVENTS: Final = hexa("eventmask", 32)
_PORTS: Final = decimal("port", 16)
_IPV4_OCTETS: Final = 4


def read_ct(cursor: Cursor) -> Ct:
    """The action, from behind the opening parenthesis to behind the closing one."""
    readers: dict[str, Callable[[int], Any]] = {
        "commit": cursor.flag("commit"),
        "force_commit": cursor.flag("force_commit"),
        "zone": cursor.reader(_ZONE),
        "mark": lambda start: _pair(cursor, _MARK, start),
        "label": lambda start: _pair(cursor, _LABEL, start),
        "helper": lambda start: _name(cursor, "helper", start),
        "timeout": lambda start: _name(cursor, "timeout", start),
        "eventmask": cursor.reader(_EVENTS),
        "nat": lambda _: _read_nat(cursor),
    }
    found = cursor.items("ct", readers, empty=True)
    found["force"] = found.pop("force_commit", False)
    return Ct(**found)


def _pair(cursor: Cursor, sub: Sub, start: int) -> tuple[int, int]:
    cursor.equals(sub.name, start)
    value = cursor.number(sub)
    return value, cursor.number(sub) if cursor.accept("/") else sub.full


def _name(cursor: Cursor, what: str, start: int) -> str:
    if not cursor.accept("="):
        raise cursor.error(f"expected {what}=NAME", start)
    found = cursor.take(_QUOTED_OR_WORD)
    if found is None:
        raise cursor.error(f"expected the name of a {what}")
    word = found[1]
    return _ESCAPED.sub(r"\1", word[1:-1]) if word[0] == '"' else word


def _read_nat(cursor: Cursor) -> Nat:
    if not cursor.accept("("):
        return Nat()
    start = cursor.next
    readers: dict[str, Callable[[int], Any]] = {
        "src": lambda _: _range(cursor),
        "dst": lambda _: _range(cursor),
        **{word: cursor.flag(word) for word in ("persistent", "hash", "random")},
    }
    found = cursor.items("nat", readers, empty=True)
    sides = [name for name in ("src", "dst") if name in found]
    if len(sides) > 1:
        raise cursor.error("nat has src or dst, not both", start)
    details = found.pop(sides[0]) if sides else {}
    return Nat(which=sides[0] if sides else None, **details, **found)


def _range(cursor: Cursor) -> dict[str, Any]:
    """What stands behind src or dst."""
    if not cursor.accept("="):
        return {}
    start = cursor.next
    details: dict[str, Any] = {"first": _address(cursor)}
    if cursor.accept("-"):
        details["last"] = _address(cursor)
        if len(details["last"]) != len(details["first"]) or details["last"] < details["first"]:
            raise cursor.error("a range of addresses goes from a lower one to a higher one of the same kind", start)
    start = cursor.next
    if cursor.accept(":"):
        details["first_port"] = _port(cursor)
        if cursor.accept("-"):
            details["last_port"] = _port(cursor)
            if details["last_port"] < details["first_port"]:
                raise cursor.error("a range of ports goes from a lower one to a higher one", start + 1)
    return details


def _address(cursor: Cursor) -> bytes:
    start = cursor.next
    found = cursor.take(_ADDRESS)
    if found is not None:
        family = socket.AF_INET if found[2] else socket.AF_INET6
        try:
            return socket.inet_pton(family, found[1] or found[2] or found[3])
        except OSError:
            pass
    raise cursor.error("expected an address such as 10.0.0.1 or [fd00::1]", start)


def _port(cursor: Cursor) -> int:
    start = cursor.next
    found = cursor.take(_PORT)
    if found is None:
        raise cursor.error("expected a port", start)
    return cursor.converted(str(int(found[0])), start, _PORTS)


def ct_text(action: Ct) -> str:
    """The text of the action."""
    items = [word for word, said in (("commit", action.commit), ("force_commit", action.force)) if said]
    if action.zone:
        items.append(_ZONE.text(action.zone))
    if action.mark is not None:
        items.append(f"mark={hexadecimal(action.mark[0])}/{hexadecimal(action.mark[1])}")
    if action.label is not None:
        items.append(_LABEL.text(*action.label))
    for what, name in (("helper", action.helper), ("timeout", action.timeout)):
        if name is not None:
            items.append(f"{what}={_name_text(name)}")
    if action.eventmask is not None:
        items.append(_EVENTS.text(action.eventmask))
    if action.nat is not None:
        items.append(_nat_text(action.nat))
    return f"ct({','.join(items)})" if items else "ct"


def _name_text(name: str) -> str:
    if _PLAIN.fullmatch(name):
        return name
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _nat_text(nat: Nat) -> str:
    items = [] if nat.which is None else [nat.which + _range_text(nat)]
    items += [word for word in ("persistent", "hash", "random") if getattr(nat, word)]
    return f"nat({','.join(items)})" if items else "nat"


def _range_text(nat: Nat) -> str:
    if nat.first is None:
        return ""
    bracket = nat.first_port is not None
    last = "" if nat.last is None else f"-{_address_text(nat.last, bracket=bracket)}"
    ports = "" if nat.first_port is None else f":{nat.first_port}"
    last_port = "" if nat.last_port is None else f"-{nat.last_port}"
    return f"={_address_text(nat.first, bracket=bracket)}{last}{ports}{last_port}"


def _address_text(address: bytes, *, bracket: bool) -> str:
    if len(address) == _IPV4_OCTETS:
        return socket.inet_ntop(socket.AF_INET, address)
    text = socket.inet_ntop(socket.AF_INET6, address)
    return f"[{text}]" if bracket else text
