"""The log of changes of one datapath: struct change in a mapped ring, for its writer and for readers.

The writer makes an entry before the change that it names, and sets the datapath's generation to the entry's when
the change is whole.  So an entry of a generation yet to come is none, and a writer that dies leaves no change
without its entry.  Readers take no lock: they copy the ring, and leave out what may have been overwritten
meanwhile.
"""

from __future__ import annotations

import mmap
import struct
from typing import Any, Final

from ctl import abi
from ctl.abi import ChangeKind
from ctl.flow import KEY_SIZE, FlowId, FlowKey
from ctl.history import Event, forgotten, not_yet
from ctl.ufid import Ufid

# struct change: generation, slot, kind, by_key, size, part, name.
_CELL: Final = struct.Struct("<QIBBBB16s")
_PART: Final = 16  # bytes of a name in a cell
_MOST: Final = -(-KEY_SIZE // _PART)  # cells of an entry
_SUMS: Final = struct.Struct("<QQ")
_SUMS_OFFSET: Final = abi.Change.name.offset
_SIZE_OFFSET: Final = abi.Change.size.offset


class ChangeLog:
    """The ring, of so many cells, and what the control structure says of it."""

    def __init__(self, memory: mmap.mmap, control: Any, cells: int) -> None:
        self._memory = memory
        self._control = control
        self._cells = cells

    # --- writing ---------------------------------------------------------------------------------

    def note(self, kind: ChangeKind, slot: int, who: FlowId) -> int:
        """Name a flow that is about to change; the generation that the datapath has afterwards."""
        by_key = isinstance(who, FlowKey)
        name = who.raw.rstrip(b"\0") if isinstance(who, FlowKey) else who.octets
        return self._append(kind, slot, name, by_key=by_key)

    def note_flush(self, flows: int) -> int:
        """All flows, so many, are about to go; the generation that the datapath has afterwards."""
        return self._append(ChangeKind.CHANGE_FLUSH, flows, b"", by_key=False)

    def tell_sums(self, packets: int, n_bytes: int) -> None:
        """What the flows of the flush that was noted last had counted in the end."""
        at = (self._control.next_change - 1) % self._cells * _CELL.size
        _SUMS.pack_into(self._memory, at + _SUMS_OFFSET, packets, n_bytes)
        self._memory[at + _SIZE_OFFSET] = _SUMS.size

    def _append(self, kind: ChangeKind, slot: int, name: bytes, *, by_key: bool) -> int:
        control = self._control
        generation: int = max(control.generation, control.change_generation) + 1
        place, parts = control.next_change, max(1, -(-len(name) // _PART))
        for part in range(parts):
            _CELL.pack_into(
                self._memory, (place + part) % self._cells * _CELL.size,
                generation, slot, kind, by_key, len(name), part, name[part * _PART : (part + 1) * _PART],
            )  # fmt: skip
        control.change_generation = generation
        control.next_change = place + parts
        return generation

    # --- reading ---------------------------------------------------------------------------------

    def events(self, datapath: str, since: int) -> tuple[int, list[Event]]:
        """The generation now, and all changes after ``since`` up to it, the oldest first.

        NotFound when the log does not reach back so far, UsageError for a generation that is yet to come.
        """
        now: int = self._control.generation
        if since > now:
            raise not_yet(datapath, since, now)
        end: int = self._control.next_change
        ring = self._memory[: self._cells * _CELL.size]
        start = max(0, self._control.next_change + _MOST - self._cells)
        events: list[Event] = []
        place = end
        while place > start:
            cell = _CELL.unpack_from(ring, (place - 1) % self._cells * _CELL.size)
            generation, part = cell[0], cell[5]
            if generation <= since:
                return now, events[::-1]
            place -= part + 1
            if place < start:
                raise forgotten(datapath, since, now)
            if generation <= now:
                events.append(self._event(ring, place, part + 1))
        if start and not (events and events[-1].generation == since + 1):
            raise forgotten(datapath, since, now)
        return now, events[::-1]

    def _event(self, ring: bytes, place: int, parts: int) -> Event:
        cells = [_CELL.unpack_from(ring, (place + part) % self._cells * _CELL.size) for part in range(parts)]
        generation, slot, kind, by_key, size, _, name = cells[0]
        if kind == ChangeKind.CHANGE_FLUSH:
            packets, n_bytes = _SUMS.unpack(name) if size else (None, None)
            return Event(
                generation=generation, kind=ChangeKind.CHANGE_FLUSH, flows=slot, packets=packets, bytes=n_bytes
            )
        whole = b"".join(cell[6] for cell in cells)[:size]
        who = FlowKey(whole.ljust(KEY_SIZE, b"\0")) if by_key else Ufid(whole)
        return Event(generation=generation, kind=ChangeKind(kind), who=who)
