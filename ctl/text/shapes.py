"""A short cut for flows that are written like an earlier one and differ in plain values only.

The "shape" of a text is the text without the values that no rule looks at: addresses, ports, marks.
The first flow of a shape is read the long way (`ctl.text.grammar`, `ctl.validate`).  From what came of it
a plan is made: the mask, the other bits of the key, and where in the key each of the values goes.  What
is unusual gets no plan.  What a plan cannot read is read the long way again, which knows how to complain.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, NamedTuple

from ctl import abi, fields
from ctl.attrs import KeyAttrs
from ctl.fields import Field
from ctl.flow import KEY_SIZE, FlowKey, Match
from ctl.text.values import VALUE_READERS, Reader
from ctl.ufid import Ufid
from ctl.validate import ANY_PORT, sections_of

# Names whose values no rule depends on, but for their ranges; and words of a dump that are passed over.
_SINGLES: Final = ("recirc_id", "dp_hash", "skb_priority", "in_port", "skb_mark")
_SUBS: Final = ("src", "dst", "tos", "ttl", "tclass", "hlimit", "label", "vid", "pcp", "code")
_ARP_ND: Final = ("sip", "tip", "sha", "tha", "target", "sll", "tll")
_PASSED: Final = ("packets", "bytes", "used", "flags")
_FREE: Final = re.compile(
    rf"\b((?:{'|'.join(_SUBS + _ARP_ND)})=|(?:{'|'.join(_SINGLES)})\(|(?:{'|'.join(_PASSED)}):)([^,()/\s]+)"
)
_HEAD: Final = re.compile(r"\b([a-z_0-9]+)\(")
_MOST_PLANS: Final = 1024
_MOST_CHARACTERS: Final = 2000


class _Sink(NamedTuple):
    """Where a value goes: `value << shift` of the key read as one big-endian number."""

    read: Reader
    largest: int
    shift: int
    swapped: int  # size in bytes of a little-endian leaf, 0 for a big-endian one
    most: int  # all the bits that the value may have there


@dataclass(frozen=True, slots=True)
class _Plan:
    mask: FlowKey
    rest: int  # the key without the values
    sinks: tuple[_Sink, ...]


_plans: Final[dict[tuple[str, ...], _Plan | None]] = {}


@dataclass(frozen=True, slots=True)
class Written:
    """A text, taken apart."""

    ufid: Ufid | None
    shape: tuple[str, ...]  # the kind, then: what stands between values, name, between, name, ..., between
    values: list[str]

    @classmethod
    def of(cls, text: str, kind: str) -> Written | None:
        """None for what is never worth a plan: quoted names, truncated tags, very long texts.

        ``kind`` keeps apart texts to which different rules apply.
        """
        if '"' in text or "cfi" in text or len(text) > _MOST_CHARACTERS:
            return None
        ufid = None
        if text.startswith("ufid:"):
            word, comma, text = text.partition(",")
            try:
                ufid = Ufid.from_text(word[5:].lower())
            except ValueError:
                return None
            text = comma + text
        pieces = _FREE.split(text)
        values = pieces[2::3]
        del pieces[2::3]
        return cls(ufid, (kind, *pieces), values)

    def match(self) -> Match | None:
        """The match, if there is a plan for this shape and it can read the values."""
        plan = _plans.get(self.shape)
        if plan is None:
            return None
        key = plan.rest
        for word, (read, largest, shift, swapped, _) in zip(self.values, plan.sinks, strict=True):
            try:
                value = read(word)
            except ValueError:
                return None
            if value > largest:
                return None
            if swapped:
                value = int.from_bytes(value.to_bytes(swapped, "little"), "big")
            key |= value << shift
        return Match(FlowKey(key.to_bytes(KEY_SIZE, "big")), plan.mask)

    def learn(self, match: Match, attrs: KeyAttrs) -> None:
        """Make the plan for this shape from how the text was read the long way."""
        if self.shape not in _plans:
            if len(_plans) >= _MOST_PLANS:
                _plans.clear()
            _plans[self.shape] = self._plan(match, attrs)

    def _plan(self, match: Match, attrs: KeyAttrs) -> _Plan | None:
        if _has_superfluous(match.key, attrs):
            return None
        sinks = self._sinks()
        if sinks is None:
            return None
        values = 0
        for sink in sinks:
            values |= sink.most << sink.shift
        return _Plan(match.mask, int.from_bytes(match.key.raw, "big") & ~values, tuple(sinks))

    def _sinks(self) -> list[_Sink] | None:
        """Where each value goes; None when one is of a section whose sub-fields repeat."""
        sinks = []
        section = ""
        tags = 0
        for between, name in zip(self.shape[1::2], self.shape[2::2], strict=False):
            for head in _HEAD.findall(between):
                section = head
                tags += head == "vlan"
            word = name[:-1]
            if word in _PASSED:
                sinks.append(_PASS)
                continue
            if word in _SINGLES:
                section, word = word, ""
            rows = fields.TAGS[tags - 1].rows if section == "vlan" else fields.SECTIONS[section]
            if rows[-1].group:
                return None
            sinks.append(_sink(next(row for row in rows if row.name == word)))
        return sinks


def _sink(row: Field) -> _Sink:
    offset, size, order = abi.KEY_LEAVES[row.leaf]
    swapped = size if order == "little" else 0
    largest = ANY_PORT - 1 if row.leaf == "in_port" else row.full
    shift = 8 * (KEY_SIZE - offset - size) + row.shift
    return _Sink(VALUE_READERS[row.format], largest, shift, swapped, (1 << 8 * swapped) - 1 if swapped else row.full)


_PASS: Final = _Sink(lambda _: 0, 0, 0, 0, 0)


def _has_superfluous(key: FlowKey, attrs: KeyAttrs) -> bool:
    """Whether there are sections that this kind of packet has not, and that may share leaves with others."""
    if any(level.tunnel or level.nsh for level in attrs.levels()):
        return True
    used = {name for level in attrs.levels() for name in level.sections}
    upper = sections_of(key["eth_type"], key["ip_proto"], key["ip_frag"], key["tp_src"])
    return not used <= {*_SINGLES, "eth", "eth_type", "vlan", *upper}
