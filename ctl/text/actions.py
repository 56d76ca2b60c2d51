"""Reading of action lists.

    actions   := "drop" | action { SEP action }                   SEP: a comma, or blanks
    action    := PORT | "pop_vlan" | NAME "(" args ")"            PORT: a number or a name
    args      := NUMBER                                           trunc, recirc, drop
               | ("l4" | "sym_l4") "(" NUMBER ")"                 hash
               | field                                            set: as in a key, with masks
               | item { "," item }                                push_vlan, userspace
    item      := NAME [ "=" VALUE | "(" VALUE ")" ]

A port whose name is that of an action is written in quotation marks.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import ClassVar, Final

from ctl import fields
from ctl.action import (
    Action,
    Actions,
    Drop,
    Hash,
    HashAlgorithm,
    Output,
    PopVlan,
    PushVlan,
    Recirc,
    Set,
    Trunc,
    Userspace,
)
from ctl.errors import FlowSyntaxError, NotSupported
from ctl.text.grammar import QUOTED, KeyParser, Level, PortNumber
from ctl.text.values import OVS_ACTIONS, read_number
from ctl.validate import TCI_PRESENT

_HEAD: Final = re.compile(rf"({QUOTED}|[^,()\s]*)(\()?")
_SEPARATOR: Final = re.compile(r"\s*,\s*|\s+")
_NUMBER: Final = re.compile(r"\s*([^,()\s]*)\s*(\))?")
_CLOSE: Final = re.compile(r"\s*\)")
_NAME: Final = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*)?(\()?")
_ITEM: Final = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*)(?:=([^,()\s]*)|\(([^()]*)\))?\s*([,)])?")
_HEX: Final = re.compile(r"(?:[0-9A-Fa-f]{2})*")

_EXPECTED: Final = "a port number, a port name or drop"
_ALGORITHMS: Final = {"l4": HashAlgorithm.L4, "sym_l4": HashAlgorithm.SYM_L4}
_COOKIES: Final = frozenset({"sFlow", "slow_path", "flow_sample", "ipfix", "controller"})
_BITS: Final = {"vid": 12, "pcp": 3, "cfi": 1, "tpid": 16, "pid": 32}
_ETH_VLAN: Final = 0x8100

Item = re.Match[str]


class ActionParser:
    """The actions between two positions of a text."""

    def __init__(self, text: str, start: int, end: int, port_number: PortNumber | None) -> None:
        self._keys = KeyParser(text, port_number, end=end)
        self._text = text
        self._start = start
        self._end = end

    def read(self) -> Actions:
        """The list.  Raises as `ctl.text.parse` says."""
        text = self._text
        pos = self._keys.blanks(self._start)
        whole = text[pos : self._end].rstrip()
        self._end = pos + len(whole)
        if not whole:
            raise self._error("expected actions", min(pos, len(text)), _EXPECTED)
        if whole.lower() == "drop":
            return ()
        actions = []
        while True:
            action, pos = self._action(pos)
            actions.append(action)
            if pos >= self._end:
                return tuple(actions)
            between = _SEPARATOR.match(text, pos, self._end)
            if between is None:
                raise self._error("expected ',' or the end of the actions", pos)
            pos = between.end()

    def _error(self, message: str, pos: int, hint: str = "") -> FlowSyntaxError:
        return self._keys.error(message, pos, hint)

    def _match(self, pattern: re.Pattern[str], pos: int, expected: str) -> re.Match[str]:
        found = pattern.match(self._text, pos, self._end)
        if found is None:
            raise self._error(expected, min(self._keys.blanks(pos), self._end))
        return found

    def _action(self, pos: int) -> tuple[Action, int]:
        """The action at a place, and where it ended."""
        found = self._match(_HEAD, pos, "expected an action")
        word, end = found[1], found.end()
        if found[2] is None:
            return self._word(word, pos, end), end
        read = self._CALLS.get(word)
        if read is None:
            raise self._unknown(word, pos)
        return read(self, end)

    def _word(self, word: str, pos: int, end: int) -> Action:
        """An action without a parenthesis."""
        if word[:1].isdigit():
            return Output(self._value(word, pos, "port number", 32))
        if word == "pop_vlan":
            return PopVlan()
        if word.lower() == "drop":
            raise self._error("drop stands alone", pos, "as one action of a list it has a reason: drop(0)")
        if word in self._CALLS:
            raise self._error(f"expected '(' after {word}", end)
        if not word or word in OVS_ACTIONS:
            raise self._unknown(word, pos)
        return Output(self._keys.port(word, pos))

    def _unknown(self, word: str, pos: int) -> FlowSyntaxError | NotSupported:
        if word == "pop_vlan":
            return self._error("pop_vlan has no arguments", pos + len(word))
        if word in OVS_ACTIONS:
            return NotSupported(f"action {word} is not supported yet")
        return self._error("unknown action" if word else "expected an action", pos, _EXPECTED)

    # --- numbers ---------------------------------------------------------------------------------

    def _value(self, word: str, pos: int, what: str, bits: int) -> int:
        try:
            value = read_number(word)
        except ValueError:
            raise self._error(f"expected a {what}", pos) from None
        if value >> bits:
            raise self._error(f"{what}: {value} does not fit into {bits} bits", pos, f"at most {(1 << bits) - 1}")
        return value

    def _argument(self, pos: int, call: str) -> tuple[int, int]:
        """The 32-bit number of `call(N)`, and where the call ended."""
        found = self._match(_NUMBER, pos, "expected a number")
        value = self._value(found[1], found.start(1), "number", 32)
        if found[2] is None:
            raise self._error(f"expected ')' to close {call}(", found.end())
        return value, found.end()

    # --- calls -----------------------------------------------------------------------------------

    def _trunc(self, pos: int) -> tuple[Action, int]:
        value, end = self._argument(pos, "trunc")
        return Trunc(value), end

    def _recirc(self, pos: int) -> tuple[Action, int]:
        value, end = self._argument(pos, "recirc")
        return Recirc(value), end

    def _drop(self, pos: int) -> tuple[Action, int]:
        value, end = self._argument(pos, "drop")
        return Drop(value), end

    def _hash(self, pos: int) -> tuple[Action, int]:
        found = self._match(_NAME, pos, "expected an algorithm")
        if found[1] not in _ALGORITHMS or found[2] is None:
            raise self._error("expected l4( or sym_l4(", self._keys.blanks(pos))
        basis, end = self._argument(found.end(), found[1])
        return Hash(_ALGORITHMS[found[1]], basis), self._closed(end, "hash")

    def _set(self, pos: int) -> tuple[Action, int]:
        found = self._match(_NAME, pos, "expected a field")
        name = found[1]
        if name is None:
            raise self._error("expected a field such as eth(dst=02:00:00:00:00:01)", self._keys.blanks(pos))
        if name in fields.NOT_YET or name == "mpls":
            raise NotSupported(f"set({name}) is not supported yet")
        if name not in fields.SECTIONS:
            raise self._error(f"unknown field {name}", found.start(1))
        if found[2] is None:
            raise self._error(f"expected '(' after {name}", found.end())
        level = Level()
        end = self._keys.section(name, found.end(), level)
        # A single value that stands for an absent attribute is in the mask alone.
        value = level.key.sections.get(name, (0,))
        return Set(name, value, level.mask.sections[name]), self._closed(end, "set")

    def _closed(self, pos: int, call: str) -> int:
        return self._match(_CLOSE, pos, f"expected ')' to close {call}(").end()

    def _items(self, pos: int, call: str, names: tuple[str, ...]) -> tuple[dict[str, Item], int]:
        """The items of a call by name, and where the call ended."""
        items: dict[str, Item] = {}
        expected = f"expected one of {', '.join(names)} in {call}("
        while True:
            found = self._match(_ITEM, pos, expected)
            name = found[1]
            if name in _COOKIES and call == "userspace":
                raise NotSupported(f"{name} of userspace is not supported yet, only userdata(...)")
            if name not in names:
                raise self._error(expected, found.start(1))
            if name in items:
                raise self._error(f"{name} is given twice", found.start(1))
            items[name] = found
            pos = found.end()
            if found[4] is None:
                raise self._error(f"expected ',' or ')' in {call}(", pos)
            if found[4] == ")":
                return items, pos

    def _number(self, items: dict[str, Item], name: str, default: int) -> int:
        if name not in items:
            return default
        found = items[name]
        return self._value(self._text_of(found), found.start(2), "number", _BITS[name])

    def _text_of(self, found: Item) -> str:
        """What stands behind the equals sign."""
        if found[2] is None:
            raise self._error(f"expected {found[1]}=NUMBER", found.start(1))
        return found[2]

    def _push_vlan(self, pos: int) -> tuple[Action, int]:
        items, end = self._items(pos, "push_vlan", ("vid", "pcp", "cfi", "tpid"))
        if "vid" not in items:
            raise self._error("expected vid=NUMBER in push_vlan(", self._keys.blanks(pos))
        tci = self._number(items, "vid", 0) | self._number(items, "pcp", 0) << 13
        tci |= TCI_PRESENT * self._number(items, "cfi", 1)
        return PushVlan(self._number(items, "tpid", _ETH_VLAN), tci), end

    def _userspace(self, pos: int) -> tuple[Action, int]:
        items, end = self._items(pos, "userspace", ("pid", "userdata", "actions", "tunnel_out_port"))
        if "pid" not in items:
            raise self._error("expected pid=NUMBER in userspace(", self._keys.blanks(pos))
        port = items.get("tunnel_out_port")
        action = Userspace(
            self._number(items, "pid", 0),
            self._userdata(items["userdata"]) if "userdata" in items else None,
            None if port is None else self._port(self._text_of(port), port.start(2)),
            actions="actions" in items,
        )
        flag = items.get("actions")
        if flag is not None and (flag[2] is not None or flag[3] is not None):
            raise self._error("actions has no value", flag.start(1))
        return action, end

    def _port(self, word: str, pos: int) -> int:
        return self._value(word, pos, "port number", 32) if word[:1].isdigit() else self._keys.port(word, pos)

    def _userdata(self, found: Item) -> bytes:
        digits = found[3]
        if digits is None or _HEX.fullmatch(digits) is None:
            at = found.start(1) if digits is None else found.start(3)
            raise self._error("expected userdata(...) with an even number of hexadecimal digits", at)
        return bytes.fromhex(digits)

    _CALLS: ClassVar[dict[str, Callable[[ActionParser, int], tuple[Action, int]]]] = {
        "trunc": _trunc,
        "recirc": _recirc,
        "drop": _drop,
        "hash": _hash,
        "set": _set,
        "push_vlan": _push_vlan,
        "userspace": _userspace,
    }
