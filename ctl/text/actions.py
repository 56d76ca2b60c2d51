"""Reading of action lists.

    actions   := "drop" | action { SEP action }                   SEP: a comma, or blanks
    action    := PORT | NAME | NAME "(" args ")"                  PORT: a number or a name
    args      := NUMBER                                           trunc, recirc, drop, meter, lb_output; tnl_pop: PORT
               | ("l4" | "sym_l4") "(" NUMBER ")"                 hash
               | field                                            set: as in a key, with masks; tunnel without
               | [ actions ]                                      clone
               | item { "," item }                                the others
    item      := NAME [ "=" VALUE | "(" VALUE ")" ]

A list within another may be empty, or `drop`, which is the same.  Where it is not alone, `drop` is `drop(0)`.
A port whose name is that of an action is written in quotation marks.

What OVS prints is read, and what is printed is read as what it was.  Where OVS has no text for something,
there is one of ours: `drop(N)` for a reason, `l3` in add_mpls, `eventmask` in ct, `octets(...)` in tnl_push,
and as many digits in `sample=P%` as the probability needs.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, ClassVar, Final

from ctl import fields
from ctl.action import (
    Action,
    Actions,
    AddMpls,
    CheckPktLen,
    Clone,
    Ct,
    CtClear,
    DecTtl,
    Drop,
    Hash,
    HashAlgorithm,
    LbOutput,
    Meter,
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
)
from ctl.errors import FlowSyntaxError
from ctl.headers import Nsh
from ctl.text.ct import read_ct
from ctl.text.cursor import Cursor, Sub, decimal, mac, prefixed
from ctl.text.grammar import QUOTED, KeyParser, Level, PortNumber
from ctl.text.headers import MD1_OCTETS, exact_nsh, read_nsh, read_tunnel
from ctl.text.tunnel_header import read_header
from ctl.text.userspace import read_userspace
from ctl.text.values import probability_of, read_number
from ctl.validate import TCI_PRESENT

MOST_NESTED: Final = 32  # lists within one another that are read, as in OVS; 16 are legal
MOST_COOKIE: Final = 16  # octets of psample

_HEAD: Final = re.compile(rf"\s*({QUOTED}|[^,()\s]*)(\()?")
_SEPARATOR: Final = re.compile(r"\s*,\s*|\s+")
_PERCENT: Final = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)%")
_PORT: Final = re.compile(rf"\s*({QUOTED}|[^,()\s]*)")

_EXPECTED: Final = "a port number, a port name or drop"
_ALGORITHMS: Final = {"l4": HashAlgorithm.L4, "sym_l4": HashAlgorithm.SYM_L4}
_ETH_VLAN: Final = 0x8100
_VLAN: Final = (decimal("vid", 12), decimal("pcp", 3), decimal("cfi", 1), decimal("tpid", 16))
LSE: Final = (decimal("label", 20), decimal("tc", 3), decimal("ttl", 8), decimal("bos", 1))
ETH_TYPE: Final = prefixed("eth_type", 16)
ETH: Final = (mac("src"), mac("dst"))
# What push_nsh has where nothing is said: one hop less than most, an Ethernet frame behind (RFC 8300).
_NSH_DEFAULTS: Final = {"ttl": 63, "mdtype": 1, "np": 3, "si": 255}
_MD1: Final = 1
_BARE_DROP: Final = Drop()  # a drop without a reason: nothing, where it is alone
_WORDS: Final[dict[str, Action]] = {
    "pop_vlan": PopVlan(),
    "pop_eth": PopEth(),
    "pop_nsh": PopNsh(),
    "ct": Ct(),
    "ct_clear": CtClear(),
    "drop": _BARE_DROP,
}


def _read_port_number(word: str) -> int:
    try:
        return read_number(word)
    except ValueError:
        raise ValueError("expected a port number") from None


_PORT_NUMBER: Final = Sub("port number", 32, _read_port_number)


class ActionParser:
    """The actions between two positions of a text."""

    def __init__(self, text: str, start: int, end: int, port_number: PortNumber | None) -> None:
        self._keys = KeyParser(text, port_number, end=end)
        self._at = Cursor(text, start, end)
        self._depth = 0

    def read(self) -> Actions:
        """The list.  Raises as `ctl.text.parse` says."""
        at = self._at
        at.pos = at.next
        at.end = at.pos + len(at.text[at.pos : at.end].rstrip())
        if at.pos == at.end:
            raise self._error("expected actions", min(at.pos, len(at.text)), _EXPECTED)
        return self._list("")

    def _error(self, message: str, pos: int, hint: str = "") -> FlowSyntaxError:
        return self._at.error(message, pos, hint)

    # --- lists -----------------------------------------------------------------------------------

    def _list(self, call: str) -> Actions:
        """Actions up to the end of the text, or to the parenthesis that closes ``call``."""
        at = self._at
        actions: list[Action] = []
        while True:
            actions.append(self._action())
            if at.text.startswith(")", at.next, at.end) if call else at.pos == at.end:
                break
            if at.take(_SEPARATOR) is None:
                after = f"')' in {call}(" if call else "the end of the actions"
                raise self._error(f"expected ',' or {after}", at.pos)
        return () if len(actions) == 1 and actions[0] is _BARE_DROP else tuple(actions)

    def _nested(self, call: str) -> Actions:
        """The list in `call(...)`, from behind the opening parenthesis to behind the closing one."""
        at = self._at
        if self._depth == MOST_NESTED:
            raise self._error("lists are nested too deeply", at.pos, f"at most {MOST_NESTED} are read")
        if at.accept(")"):
            return ()
        self._depth += 1
        actions = self._list(call)
        self._depth -= 1
        at.close(call)
        return actions

    def _within(self, name: str) -> Callable[[int], Actions]:
        """Reads `(...)` behind a name."""

        def read(_: int) -> Actions:
            self._at.expect("(", f"expected '(' after {name}")
            return self._nested(name)

        return read

    def _action(self) -> Action:
        """The action that is next."""
        found = self._at.take(_HEAD)
        if found is None:
            raise self._error("expected an action", self._at.next)
        word, start, end = found[1], found.start(1), found.end(1)
        if found[2] is None:
            return self._word(word, start, end)
        read = self._CALLS.get(word)
        if read is None:
            raise self._unknown(word, start)
        return read(self)

    def _word(self, word: str, start: int, end: int) -> Action:
        """An action without a parenthesis."""
        if word[:1].isdigit():
            return Output(self._port_number(word, start))
        action = _WORDS.get(word if word.lower() != "drop" else "drop")
        if action is not None:
            return action
        if word in self._CALLS:
            raise self._error(f"expected '(' after {word}", end)
        if not word:
            raise self._unknown(word, start)
        return Output(self._keys.port(word, start))

    def _unknown(self, word: str, start: int) -> FlowSyntaxError:
        if word in _WORDS:
            return self._error(f"{word} has no arguments", start + len(word))
        return self._error("unknown action" if word else "expected an action", start, _EXPECTED)

    # --- ports -----------------------------------------------------------------------------------

    def _port_number(self, word: str, start: int) -> int:
        return self._at.converted(word, start, _PORT_NUMBER)

    def _port(self) -> int:
        """A port's number or name."""
        found = self._at.take(_PORT)
        word, start = ("", self._at.pos) if found is None else (found[1], found.start(1))
        return self._port_number(word, start) if word[:1].isdigit() else self._keys.port(word, start)

    def _port_in(self, call: str) -> int:
        """`(PORT)` behind a name."""
        self._at.expect("(", f"expected '(' after {call}")
        port = self._port()
        self._at.close(call)
        return port

    # --- calls -----------------------------------------------------------------------------------

    def _trunc(self) -> Action:
        return Trunc(self._at.argument("trunc"))

    def _recirc(self) -> Action:
        return Recirc(self._at.argument("recirc"))

    def _drop(self) -> Action:
        return Drop(self._at.argument("drop"))

    def _meter(self) -> Action:
        return Meter(self._at.argument("meter"))

    def _lb_output(self) -> Action:
        return LbOutput(self._at.argument("lb_output"))

    def _tnl_pop(self) -> Action:
        port = self._port()
        self._at.close("tnl_pop")
        return TnlPop(port)

    def _pop_nsh(self) -> Action:
        self._at.close("pop_nsh")
        return PopNsh()

    def _hash(self) -> Action:
        at = self._at
        start = at.next
        name, _ = at.name()
        if name not in _ALGORITHMS or not at.accept("("):
            raise self._error("expected l4( or sym_l4(", start)
        basis = at.argument(name)
        at.close("hash")
        return Hash(_ALGORITHMS[name], basis)

    def _push_vlan(self) -> Action:
        numbers = self._at.numbers("push_vlan", _VLAN, {"pcp": 0, "cfi": 1, "tpid": _ETH_VLAN})
        tci = numbers["vid"] | numbers["pcp"] << 13 | TCI_PRESENT * numbers["cfi"]
        return PushVlan(numbers["tpid"], tci)

    def _push_mpls(self) -> Action:
        numbers = self._at.numbers("push_mpls", (*LSE, ETH_TYPE))
        return PushMpls(_lse(numbers), numbers["eth_type"])

    def _add_mpls(self) -> Action:
        at, start = self._at, self._at.next
        readers: dict[str, Callable[[int], int]] = {sub.name: at.reader(sub) for sub in (*LSE, ETH_TYPE)}
        readers["l3"] = at.flag("l3")
        found = at.items("add_mpls", readers)
        at.need("add_mpls", [sub.name for sub in (*LSE, ETH_TYPE)], found, start)
        return AddMpls(_lse(found), found["eth_type"], l3="l3" in found)

    def _pop_mpls(self) -> Action:
        return PopMpls(self._at.numbers("pop_mpls", (ETH_TYPE,))["eth_type"])

    def _push_eth(self) -> Action:
        numbers = self._at.numbers("push_eth", ETH)
        return PushEth(numbers["src"], numbers["dst"])

    def _push_nsh(self) -> Action:
        at = self._at
        value, mask, at.pos = read_nsh(at.text, at.pos, at.end, masked=False)
        names = ("flags", "ttl", "mdtype", "np", "spi", "si")
        said = {name: getattr(value, name) for name in names if getattr(mask, name)}
        header: dict[str, Any] = _NSH_DEFAULTS | said
        context = value.context or bytes(MD1_OCTETS if header["mdtype"] == _MD1 else 0)
        return PushNsh(Nsh(**header, context=context))

    def _clone(self) -> Action:
        return Clone(self._nested("clone"))

    def _dec_ttl(self) -> Action:
        return DecTtl(self._at.items("dec_ttl", {"le_1": self._within("le_1")})["le_1"])

    def _sample(self) -> Action:
        at, start = self._at, self._at.next
        readers: dict[str, Callable[[int], Any]] = {"sample": self._percentage, "actions": self._within("actions")}
        found = at.items("sample", readers)
        at.need("sample", ("sample", "actions"), found, start)
        return Sample(found["sample"], found["actions"])

    def _percentage(self, start: int) -> int:
        at = self._at
        at.equals("sample", start)
        where = at.next
        found = at.take(_PERCENT)
        if found is None:
            raise self._error("expected a percentage such as 12.5%", where)
        if float(found[1]) > 100:
            raise self._error(f"{found[1]}% is more than all", where, "at most 100%")
        return probability_of(float(found[1]))

    def _check_pkt_len(self) -> Action:
        at, start = self._at, self._at.next
        readers: dict[str, Callable[[int], Any]] = {
            "size": at.reader(decimal("size", 16)),
            "gt": self._within("gt"),
            "le": self._within("le"),
        }
        found = at.items("check_pkt_len", readers)
        at.need("check_pkt_len", tuple(readers), found, start)
        return CheckPktLen(found["size"], found["gt"], found["le"])

    def _psample(self) -> Action:
        at, start = self._at, self._at.next
        readers: dict[str, Callable[[int], Any]] = {"group": at.reader(decimal("group", 32)), "cookie": self._cookie}
        found = at.items("psample", readers)
        at.need("psample", ("group",), found, start)
        return Psample(found["group"], found.get("cookie"))

    def _cookie(self, start: int) -> bytes:
        at = self._at
        at.equals("cookie", start)
        where = at.next
        cookie = at.hex_octets("a cookie such as 0x0102")
        if len(cookie) > MOST_COOKIE:
            raise self._error(f"a cookie of {len(cookie)} octets", where, f"at most {MOST_COOKIE} are possible")
        return cookie

    def _ct(self) -> Action:
        return read_ct(self._at)

    def _userspace(self) -> Action:
        return read_userspace(self._at, self._port)

    def _tnl_push(self) -> Action:
        at, start = self._at, self._at.next
        readers: dict[str, Callable[[int], Any]] = {
            "tnl_port": lambda _: self._port_in("tnl_port"),
            "header": lambda _: self._header(),
            "out_port": lambda _: self._port_in("out_port"),
        }
        found = at.items("tnl_push", readers)
        at.need("tnl_push", tuple(readers), found, start)
        kind, header = found["header"]
        return TnlPush(found["tnl_port"], found["out_port"], kind, header)

    def _header(self) -> tuple[int, bytes]:
        self._at.expect("(", "expected '(' after header")
        return read_header(self._at)

    # --- set -------------------------------------------------------------------------------------

    def _set(self) -> Action:
        at = self._at
        name, start = at.name()
        if not name:
            raise self._error("expected a field such as eth(dst=02:00:00:00:00:01)", start)
        if name not in ("tunnel", "nsh") and name not in fields.SECTIONS:
            raise self._error(f"unknown field {name}", start)
        if not at.accept("("):
            raise self._error(f"expected '(' after {name}", start + len(name))
        action = self._SETS[name](self) if name in self._SETS else self._set_section(name)
        at.close("set")
        return action

    def _set_section(self, name: str) -> Action:
        at = self._at
        start = at.pos
        level = Level()
        at.pos = self._keys.section(name, at.pos, level)
        rows = fields.SET_ROWS[name]
        # A single value that stands for an absent attribute is in the mask alone.
        value = level.key.sections.get(name, tuple(row.absent or 0 for row in rows))
        mask = level.mask.sections[name]
        count = len(rows)
        if any(value[count:]) or any(mask[count:]):
            raise self._error(f"set changes one {name} entry", start, "the outer one")
        return Set(name, value[:count], mask[:count])

    def _set_tunnel(self) -> Action:
        at = self._at
        tunnel, _, at.pos = read_tunnel(at.text, at.pos, at.end, masked=False)
        return SetTunnel(tunnel)

    def _set_nsh(self) -> Action:
        at = self._at
        value, mask, at.pos = read_nsh(at.text, at.pos, at.end)
        return SetNsh(value, None if mask == exact_nsh(value) else mask)

    _SETS: ClassVar[dict[str, Callable[[ActionParser], Action]]] = {"tunnel": _set_tunnel, "nsh": _set_nsh}
    _CALLS: ClassVar[dict[str, Callable[[ActionParser], Action]]] = {
        "trunc": _trunc,
        "recirc": _recirc,
        "drop": _drop,
        "meter": _meter,
        "lb_output": _lb_output,
        "tnl_pop": _tnl_pop,
        "tnl_push": _tnl_push,
        "pop_nsh": _pop_nsh,
        "push_nsh": _push_nsh,
        "hash": _hash,
        "set": _set,
        "push_vlan": _push_vlan,
        "push_mpls": _push_mpls,
        "add_mpls": _add_mpls,
        "pop_mpls": _pop_mpls,
        "push_eth": _push_eth,
        "clone": _clone,
        "dec_ttl": _dec_ttl,
        "sample": _sample,
        "check_pkt_len": _check_pkt_len,
        "psample": _psample,
        "ct": _ct,
        "userspace": _userspace,
    }


def _lse(numbers: dict[str, int]) -> int:
    return numbers["label"] << 12 | numbers["tc"] << 9 | numbers["bos"] << 8 | numbers["ttl"]
