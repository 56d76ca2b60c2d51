"""Where action lists lie: runs of units in one array, given out and taken back.

A list takes a run of 2^k units.  Free runs of a size form a chain: the head is in the control structure,
and the first four bytes of a free run's first unit name the next one, as 1 + its index, 0 at the end.
Units from ``high_unit`` on were never used.  Nothing here waits for a grace period: the writer gives
back only what no program can read any more.  All of it can be derived again from the lists in use.
"""

from __future__ import annotations

import ctypes
import mmap
import struct
from collections.abc import Iterable
from typing import Any, Final

from ctl import abi

UNIT_SIZE: Final = ctypes.sizeof(abi.ActionUnit)
MAX_UNITS: Final = int(abi.ActionLimit.ACTION_UNITS_MAX)
_LINK: Final = struct.Struct("<I")


def run_class(units: int) -> int:
    """The k of the smallest run, 2^k units, that holds so many."""
    return (units - 1).bit_length()


class UnitStore:
    """The array of units of one datapath, for its writer."""

    def __init__(self, memory: mmap.mmap, control: Any, capacity: int) -> None:
        self._memory = memory
        self._control = control
        self.capacity = capacity

    def take(self, units: int) -> int | None:
        """The index of a run for that many units, from 1 to MAX_UNITS; None when none is free."""
        wanted = run_class(units)
        if self._control.free_units[wanted]:
            return self._pop(wanted)
        if self._control.high_unit + (1 << wanted) <= self.capacity:
            at: int = self._control.high_unit
            self._control.high_unit = at + (1 << wanted)
            return at
        return self._split(wanted)

    def give(self, at: int, units: int) -> None:
        """Take a run back that was taken for that many units."""
        self._push(run_class(units), at)

    def rebuild(self, used: Iterable[tuple[int, int]]) -> None:
        """Derive the chains again: all is free but the runs given as (index, units), which do not overlap.

        Neighbouring free runs become large ones again.
        """
        for k in range(len(self._control.free_units)):
            self._control.free_units[k] = 0
        end = 0
        for at, units in sorted(used):
            self._free_gap(end, at)
            end = at + (1 << run_class(units))
        self._control.high_unit = end

    def _free_gap(self, start: int, end: int) -> None:
        while start < end:
            k = min((end - start).bit_length() - 1, run_class(MAX_UNITS))
            self._push(k, start)
            start += 1 << k

    def _split(self, wanted: int) -> int | None:
        """Half of the smallest larger run that is free, or half of a half, and so on."""
        larger = range(wanted + 1, len(self._control.free_units))
        k = next((k for k in larger if self._control.free_units[k]), None)
        if k is None:
            return None
        at = self._pop(k)
        for half in range(k - 1, wanted - 1, -1):
            self._push(half, at + (1 << half))
        return at

    def _pop(self, k: int) -> int:
        at: int = self._control.free_units[k] - 1
        (self._control.free_units[k],) = _LINK.unpack_from(self._memory, at * UNIT_SIZE)
        return at

    def _push(self, k: int, at: int) -> None:
        _LINK.pack_into(self._memory, at * UNIT_SIZE, self._control.free_units[k])
        self._control.free_units[k] = at + 1
