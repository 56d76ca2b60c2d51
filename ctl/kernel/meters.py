"""The meters of a datapath, in the maps that the program looks them up in.

A meter's record is written by one system call under the lock that is in it (BPF_F_LOCK), so the program
never sees half of one, whoever dies when.  Its counters are the program's alone: what they were at the last
CLEAR is in the record, and is subtracted by the reader.  Changes are for the holder of the writer's lock.
"""

from __future__ import annotations

import ctypes
import time
from typing import Any, Final

from ctl import abi
from ctl.abi import MapId
from ctl.faults import fault
from ctl.kernel import libbpf
from ctl.kernel.maps import Maps
from ctl.meter import MAX_METERS, Band, Meter, MeterStats, capacity, fill_ms, full

_RATE: Final = abi.MeterRecord.rate.offset // 4  # in words of 32 bits
_WORDS: Final = ctypes.sizeof(abi.MeterRecord) // 4
_COUNTED: Final = ("packets", "bytes", "exceeded_packets", "exceeded_bytes")


class MeterTable:
    """The meters of one datapath.  Numbers are from 0 to MAX_METERS - 1."""

    def __init__(self, maps: Maps) -> None:
        self._maps = maps

    def get(self, number: int) -> Meter | None:
        """A meter with its statistics; None when there is none of that number."""
        record = self._record(number)
        return self._meter(number, record) if record.rate else None

    def all(self) -> list[Meter]:
        """Every meter, in the order of their numbers."""
        records = libbpf.map_array(self._maps.fd(MapId.MAP_METERS), abi.MeterRecord, MAX_METERS, libbpf.F_LOCK)
        rates = memoryview(records).cast("B").cast("I")[_RATE::_WORDS]
        return [self._meter(number, records[number]) for number, rate in enumerate(rates) if rate]

    def set(self, meter: Meter, *, clear: bool) -> Meter | None:
        """Make or replace a meter; the one that it replaces.  Statistics go on, unless ``clear``."""
        before = self._record(meter.id)
        old = self._meter(meter.id, before) if before.rate else None
        record = _record_of(meter, time.monotonic_ns() // 1_000_000)
        for name in _COUNTED:
            base = getattr(before, f"base_{name}") if old else getattr(self._counters(meter.id), name)
            setattr(record, f"base_{name}", base + getattr(old.stats, name) if old and clear else base)
        self._write(meter.id, record)
        return old

    def delete(self, number: int) -> Meter:
        """Remove a meter that is there; it with its statistics, which are final by then."""
        record = self._record(number)
        self._write(number, abi.MeterRecord())
        return self._meter(number, record)

    def _record(self, number: int) -> Any:
        """A record, read whole."""
        record = abi.MeterRecord()
        libbpf.map_lookup(self._maps.fd(MapId.MAP_METERS), ctypes.c_uint32(number), record, libbpf.F_LOCK)
        return record

    def _write(self, number: int, record: Any) -> None:
        libbpf.map_update(self._maps.fd(MapId.MAP_METERS), ctypes.c_uint32(number), record, libbpf.F_LOCK)
        fault("meters.written")

    def _counters(self, number: int) -> Any:
        """What the program has counted, as it lies in memory."""
        size = ctypes.sizeof(abi.MeterCounters)
        return abi.MeterCounters.from_buffer(self._maps.memory(MapId.MAP_METER_COUNTERS), number * size)

    def _meter(self, number: int, record: Any) -> Meter:
        counters = self._counters(number)
        counts = {name: getattr(counters, name) - getattr(record, f"base_{name}") for name in _COUNTED}
        return Meter(
            id=number,
            kbps=bool(record.kbps),
            bands=(Band(rate=record.rate, burst=record.burst),),
            stats=MeterStats(**counts, used_ms=counters.used_ms if counts["packets"] else None),
        )


def _record_of(meter: Meter, now_ms: int) -> Any:
    """A meter's record, its bucket full."""
    (band,) = meter.bands
    bucket = full(band, now_ms)
    return abi.MeterRecord(
        rate=band.rate,
        burst=band.burst,
        kbps=meter.kbps,
        capacity=capacity(band),
        tokens=bucket.tokens,
        time_ms=bucket.time_ms,
        fill_ms=fill_ms(band),
    )
