"""Meters: what they are, what they may be, and the arithmetic of their token bucket.

A meter counts the packets of every flow that has `meter(ID)` among its actions, and lets those that exceed its
band's rate end there (OpenFlow 1.3, 5.7; the OVS kernel datapath's meter.c).  bpf/bucket.h has the same
arithmetic for the program.

`capacity` is that of the OVS kernel datapath up to Linux 5.12: newer ones, and OVS in userspace, leave the
rate out of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from ctl.abi import DpLimit
from ctl.errors import UsageError

MAX_METERS: Final = DpLimit.DP_MAX_METERS
MAX_BANDS: Final = 1
_U32: Final = 0xFFFFFFFF
_PACKET: Final = 1000  # tokens that a packet takes of a meter in packets/s


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """Drop what exceeds ``rate`` for longer than ``burst`` lasts: kbit/s and kbit, or packets/s and packets."""

    rate: int
    burst: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterStats:
    """Counters of a meter.  Those that exceeded it are in ``packets`` too.

    ``used_ms`` is CLOCK_MONOTONIC in milliseconds at the last packet, None before the first.
    """

    packets: int = 0
    bytes: int = 0
    exceeded_packets: int = 0
    exceeded_bytes: int = 0
    used_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Meter:
    """A meter.  ``kbps``: its rate is in kbit/s, of the whole frame, instead of packets/s."""

    id: int
    kbps: bool
    bands: tuple[Band, ...]
    stats: MeterStats = field(default_factory=MeterStats)


def check_meter(meter: Meter) -> None:
    """UsageError for what no meter can be (OVS: EINVAL; EFBIG for the number)."""
    which = f"meter {meter.id}"
    if not 0 <= meter.id < MAX_METERS:
        raise UsageError(f"{which}: numbers are from 0 to {MAX_METERS - 1}")
    if not meter.bands:
        raise UsageError(f"{which}: bands are missing", "a meter has one band, such as band=type=drop,rate=100")
    if len(meter.bands) > MAX_BANDS:
        raise UsageError(f"{which}: it has {len(meter.bands)} bands", "a meter has one band")
    for band in meter.bands:
        if not 1 <= band.rate <= _U32:
            raise UsageError(f"{which}: its rate is {band.rate}", f"from 1 to {_U32}")
        if not 0 <= band.burst <= _U32:
            raise UsageError(f"{which}: its burst_size is {band.burst}", f"from 0 to {_U32}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """How many ``tokens`` there are, and up to which millisecond of CLOCK_MONOTONIC they have been filled in."""

    tokens: int
    time_ms: int


def capacity(band: Band) -> int:
    """Tokens in a full bucket: bits, or thousandths of a packet."""
    return (band.burst + band.rate) * 1000


def fill_ms(band: Band) -> int:
    """Milliseconds in which an empty bucket becomes full, rounded up."""
    return -(-capacity(band) // band.rate)


def full(band: Band, now_ms: int) -> Bucket:
    """A new meter's bucket."""
    return Bucket(tokens=capacity(band), time_ms=now_ms)


def take(meter: Meter, bucket: Bucket, now_ms: int, size: int) -> tuple[Bucket, bool]:
    """A packet of ``size`` bytes comes: the bucket afterwards, and whether the packet exceeds the meter.

    The bucket gains ``rate`` tokens with each whole millisecond.  A packet that finds too few takes none.
    """
    (band,) = meter.bands
    elapsed = max(now_ms - bucket.time_ms, 0)
    tokens = min(bucket.tokens + elapsed * band.rate, capacity(band))
    cost = size * 8 if meter.kbps else _PACKET
    exceeded = tokens < cost
    return Bucket(tokens=tokens if exceeded else tokens - cost, time_ms=bucket.time_ms + elapsed), exceeded


def counted(stats: MeterStats, now_ms: int, size: int, *, exceeded: bool) -> MeterStats:
    """The counters after one packet more."""
    return MeterStats(
        packets=stats.packets + 1,
        bytes=stats.bytes + size,
        exceeded_packets=stats.exceeded_packets + exceeded,
        exceeded_bytes=stats.exceeded_bytes + exceeded * size,
        used_ms=now_ms,
    )
