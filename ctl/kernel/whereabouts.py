"""Where one flow lies in the maps of its datapath: every element that is its own, with key and value.

The octets are those that `bpftool map lookup` takes and prints.  Layouts are in bpf/abi.h; what each map
is for, in bpf/maps.h.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from dataclasses import dataclass

from ctl import abi
from ctl.abi import MapId, RecordState
from ctl.kernel.maps import name_of
from ctl.kernel.records import RecordReader, key_for_table, run_of, size_class, table_key
from ctl.kernel.units import UNIT_SIZE


@dataclass(frozen=True, slots=True)
class Element:
    """One element of a map, by the map's name."""

    map: str
    key: bytes
    value: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Whereabouts:
    """The slot of a flow, the id of its mask, which is its rank, the name of its flow table, and its elements."""

    slot: int
    mask_id: int
    table: str
    elements: tuple[Element, ...]


def whereabouts(reader: RecordReader, slot: int) -> Whereabouts | None:
    """Of the flow at a slot; None when none is live there, or it went away or changed while being read."""
    record = reader.record(slot)
    before = record.generation, record.actions
    if record.state != RecordState.RECORD_LIVE:
        return None
    mask_id = record.key.mask_id
    mask = reader.mask(mask_id)
    table, key = table_key(size_class(mask), key_for_table(reader.key(slot) & mask, mask_id))
    elements = (
        _at(MapId.MAP_MASKS, mask_id, reader.mask_entry(mask_id)),
        Element(name_of(table), key, bytes(abi.FlowRef(slot=slot))),
        *_named(record, slot),
        _at(MapId.MAP_RECORDS, slot, record),
        _at(MapId.MAP_TAILS, slot, reader.tail(slot)),
        *_listed(reader, before[1]),
    )
    if (record.generation, record.actions, record.state) != (*before, RecordState.RECORD_LIVE):
        return None
    return Whereabouts(slot=slot, mask_id=mask_id, table=name_of(table), elements=elements)


def _named(record: abi.FlowRecord, slot: int) -> Iterator[Element]:
    """What leads to a flow from its UFID, if it has one."""
    if record.ufid_len:
        key = bytes(record.ufid) + bytes((record.ufid_len,))
        yield Element(name_of(MapId.MAP_UFIDS), key, bytes(abi.FlowRef(slot=slot)))


def _listed(reader: RecordReader, reference: int) -> Iterator[Element]:
    """The units of an action list."""
    at, units = run_of(reference)
    memory = reader.maps.memory(MapId.MAP_ACTIONS)
    for unit in range(at, at + units):
        yield Element(name_of(MapId.MAP_ACTIONS), _number(unit), memory[unit * UNIT_SIZE : (unit + 1) * UNIT_SIZE])


def _at(map_id: MapId, index: int, structure: ctypes.Structure) -> Element:
    return Element(name_of(map_id), _number(index), bytes(structure))


def _number(number: int) -> bytes:
    return number.to_bytes(4, "little")
