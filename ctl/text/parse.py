"""Reading: the flow language of `ovs-dpctl`, from text to values.  Actions: `ctl.text.actions`.

    flow      := [ufid SEP] field { SEP field }         SEP: commas and blanks, one or more
    field     := NAME "(" args ")"
    args      := value | sub { "," sub } | flow          the last one for encap
    sub       := NAME "=" value
    value     := TEXT [ "/" MASK ]

`X` alone compares all bits of X; a sub-field or field left out compares none.  Numbers are in base 0.
Everything that `ctl.text.show` prints can be read, and so can what OVS reads and prints, of the fields
that this datapath has.  Which fields those are is in `ctl.fields`, what they must be in `ctl.validate`.

Errors: FlowSyntaxError for text that is not of the language, at the place of the offending word;
FlowInvalid for a flow that the interface refuses; NotSupported for what OVS has and we have not yet.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from ctl.errors import FlowSyntaxError
from ctl.flow import Actions, FlowKey, Match
from ctl.text.actions import ActionParser
from ctl.text.grammar import KeyParser, PortNumber
from ctl.text.shapes import Written
from ctl.ufid import MAX_OCTETS, Ufid, UfidPrefix
from ctl.validate import key_from_attrs, match_from_attrs

_ACTIONS: Final = "actions:"
_EXTRA: Final = "dp-extra-info:"
_ACTIONS_AT: Final = re.compile(rf"(?:^|[,\s]){_ACTIONS}")
_EXTRA_INFO: Final = re.compile(rf"[,\s]+{_EXTRA}")
_HEX: Final = re.compile(r"[0-9a-fA-F][0-9a-fA-F-]*")
_REPORTED: Final = frozenset({"packets", "bytes", "used", "flags", "offloaded", "dp"})
_MOST_LISTS: Final = 1024
_MOST_CHARACTERS: Final = 1000
_known_lists: Final[dict[str, Actions]] = {}


@dataclass(frozen=True, slots=True)
class ParsedFlow:
    """A flow as it was written: a name, a match, or both."""

    ufid: Ufid | None
    match: Match | None


def parse_flow(text: str, port_number: PortNumber | None = None) -> ParsedFlow:
    """The flow that ``text`` names or describes: a UFID, a key with its mask, or both.

    ``port_number`` gives the number for a port's name, or None when there is no such port.
    """
    return _flow(KeyParser(text, port_number), len(text))


def parse_flow_id(text: str, port_number: PortNumber | None = None) -> Ufid | UfidPrefix | FlowKey:
    """What names one flow: a UFID, 6 to 31 bare digits of one, or a key, whose masks do not matter.

    Of a UFID and a key together, the UFID is the name; the key must still be legal.
    """
    word = text.strip()
    if _HEX.fullmatch(word):
        digits = word.replace("-", "").lower()
        try:
            return Ufid.from_text(word) if len(digits) == 2 * MAX_OCTETS else UfidPrefix(digits)
        except ValueError as error:
            raise FlowSyntaxError(str(error), text, text.index(word)) from None
    parser = KeyParser(text, port_number)
    parser.read(len(text))
    key = key_from_attrs(parser.level.key) if parser.has_key else None
    name = parser.ufid or key
    if name is None:
        raise parser.error("expected a UFID or a flow key", 0)
    return name


def parse_actions(text: str, port_number: PortNumber | None = None) -> Actions:
    """The action list.  What a flow may have of it is for `ctl.validate_actions` to say."""
    return _actions(text, 0, len(text), port_number)


def parse_dump_line(text: str, port_number: PortNumber | None = None) -> tuple[ParsedFlow, Actions]:
    """A line of dump-flows: the flow and, behind `actions:`, its actions.  Statistics are skipped."""
    parser = KeyParser(text, port_number, skip=_REPORTED)
    found = _ACTIONS_AT.search(text, max(text.find(_ACTIONS) - 1, 0))
    if found is None:
        raise parser.error("expected actions:", len(text.rstrip()))
    extra = _EXTRA_INFO.search(text, found.end()) if _EXTRA in text else None
    end = len(text) if extra is None else extra.start()
    return _flow(parser, found.start()), _actions(text, found.end(), end, port_number)


def _actions(text: str, start: int, end: int, port_number: PortNumber | None) -> Actions:
    """The action list there.  Many flows have the same one: lists that name no port are read once."""
    written = text[start:end]
    actions = _known_lists.get(written)
    if actions is not None:
        return actions
    asked = []

    def number(name: str) -> int | None:
        asked.append(name)
        return None if port_number is None else port_number(name)

    actions = ActionParser(text, start, end, None if port_number is None else number).read()
    if not asked and len(written) <= _MOST_CHARACTERS:
        if len(_known_lists) >= _MOST_LISTS:
            _known_lists.clear()
        _known_lists[written] = actions
    return actions


def _flow(parser: KeyParser, end: int) -> ParsedFlow:
    written = Written.of(parser.text[:end], parser.kind)
    if written is not None and (known := written.match()) is not None:
        return ParsedFlow(written.ufid, known)
    parser.read(end)
    if not parser.has_key and parser.ufid is None:
        raise parser.error("expected a flow", 0, "such as in_port(1),eth(),eth_type(0x0800),ipv4(dst=10.0.0.1)")
    match = match_from_attrs(parser.level.key, parser.level.mask) if parser.has_key else None
    if written is not None and match is not None:
        written.learn(match, parser.level.key)
    return ParsedFlow(parser.ufid, match)
