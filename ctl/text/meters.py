"""The text of meters: that of `ovs-ofctl add-meter`, to values and back.

    meter=1,pktps,burst,stats,band=type=drop,rate=100,burst_size=10

Words are parted by commas or blanks, so that what `format_meter` prints can be read.  First the number, the
unit (kbps or pktps) and flags in any order; behind `band=` or `bands=` each band, which begins with its type.
Without `burst` the burst is as large as the rate, as OVS has it.  `stats` changes nothing: a meter always counts.
"""

from __future__ import annotations

import re
from typing import Final, Never

from ctl.errors import FlowSyntaxError
from ctl.meter import Band, Meter

_WORD: Final = re.compile(r"[,\s]*(?:([A-Za-z_]+)\s*(=\s*)?)?")
_VALUE: Final = re.compile(r"[^,\s=]*")
_NUMBER: Final = re.compile(r"0[xX][0-9a-fA-F]+|[0-9]+")
_UNITS: Final = ("kbps", "pktps")
_FLAGS: Final = (*_UNITS, "burst", "stats")
_BANDS: Final = ("band", "bands")
_SHAPE: Final = "such as meter=1,pktps,band=type=drop,rate=100"


def parse_meter(text: str) -> Meter:
    """The meter that a text describes.  FlowSyntaxError with the place.

    What a meter cannot be, such as one with two bands, is read all the same: `ctl.meter.check_meter` refuses it.
    """
    return _Reader(text).meter()


def format_meter(meter: Meter, now_ms: int = 0, *, statistics: bool = False) -> str:
    """A meter in one line; with its statistics, in which `used` is relative to CLOCK_MONOTONIC ``now_ms``."""
    bands = " ".join(f"type=drop rate={band.rate} burst_size={band.burst}" for band in meter.bands)
    line = f"meter={meter.id} {'kbps' if meter.kbps else 'pktps'} burst stats bands={bands}"
    if not statistics:
        return line
    stats = meter.stats
    used = "never" if stats.used_ms is None else f"{max(now_ms - stats.used_ms, 0) / 1000:.3f}s"
    return (
        f"{line}, packets:{stats.packets}, bytes:{stats.bytes}, used:{used}, "
        f"exceeded: packets:{stats.exceeded_packets}, bytes:{stats.exceeded_bytes}"
    )


class _Reader:
    """One text, and how far it has been read."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0  # behind what has been read
        self._word_at = 0  # where the last word begins

    def meter(self) -> Meter:
        number: int | None = None
        flags: set[str] = set()
        while (word := self._word()) not in _BANDS:
            if word in _FLAGS:
                if word in _UNITS and flags & {*_UNITS} - {word}:
                    self._refuse("a meter is in kbps or in pktps, not in both")
                flags.add(word)
            elif word == "meter":
                number = self._number(word)
            elif word:
                self._refuse(f"{word!r} is nothing that a meter has", f"meter=, {', '.join(_FLAGS)}, band=")
            else:
                self._refuse("a meter has a band", _SHAPE)
        if number is None:
            self._refuse("the meter's number is missing", _SHAPE)
        if not flags & {*_UNITS}:
            self._refuse("kbps or pktps is missing", _SHAPE)
        return Meter(id=number, kbps="kbps" in flags, bands=self._bands(has_burst="burst" in flags))

    def _bands(self, *, has_burst: bool) -> tuple[Band, ...]:
        bands: list[Band] = []
        said: dict[str, int] | None = None  # of the band that was begun
        while word := self._word():
            if word == "type":
                bands += [] if said is None else [self._band(said, has_burst=has_burst)]
                self._read_type()
                said = {}
            elif said is None:
                self._refuse("a band begins with its type", "band=type=drop,rate=100")
            elif word in ("rate", "burst_size"):
                said[word] = self._number(word)
            else:
                self._refuse(f"{word!r} is nothing that a band has", "type=drop, rate=, burst_size=")
        if said is None:
            self._refuse("a band is missing", _SHAPE)
        return (*bands, self._band(said, has_burst=has_burst))

    def _band(self, said: dict[str, int], *, has_burst: bool) -> Band:
        if "rate" not in said:
            self._refuse("the band's rate is missing", "rate=100")
        if has_burst and "burst_size" not in said:
            self._refuse("the band's burst_size is missing", "the meter has the flag burst")
        if "burst_size" in said and not has_burst:
            self._refuse("burst_size needs the flag burst", "meter=1,pktps,burst,band=...")
        return Band(rate=said["rate"], burst=said.get("burst_size", said["rate"]))

    def _word(self) -> str:
        """The next word, without what stands behind its =; empty at the end."""
        found = _WORD.match(self._text, self._at)
        word = found.group(1) if found else None
        self._word_at = found.start(1) if found and word else len(self._text)
        if found:
            self._at = found.end()
        if word is None and self._text[self._at :].strip(", \t"):
            self._word_at = self._at
            self._refuse("a word is missing here", _SHAPE)
        return word or ""

    def _value(self, name: str) -> str:
        """What stands behind the = of the last word."""
        if not self._text[self._word_at : self._at].rstrip().endswith("="):
            self._refuse(f"{name} has no value", f"{name}=...")
        found = _VALUE.match(self._text, self._at)
        self._word_at = self._at
        if found:
            self._at = found.end()
        return found.group() if found else ""

    def _number(self, name: str) -> int:
        value = self._value(name)
        if not _NUMBER.fullmatch(value) or (number := int(value, 0 if value[:2] in ("0x", "0X") else 10)) >> 32:
            self._refuse(f"{name}={value} is no number of 32 bits")
        return number

    def _read_type(self) -> None:
        kind = self._value("type")
        if kind != "drop":
            self._refuse(f"a band cannot be of type {kind!r}", "type=drop")

    def _refuse(self, message: str, hint: str = "") -> Never:
        raise FlowSyntaxError(message, self._text, self._word_at, hint)
