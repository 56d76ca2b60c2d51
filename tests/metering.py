"""Meters for the tests: buckets that stand still, and steps of the differential test."""

from dataclasses import dataclass

from hypothesis import strategies as st

from ctl.kernel.meters import MeterTable
from ctl.meter import MAX_METERS, Band, Meter


def stop_filling(datapath, number):
    """A meter's bucket gains nothing from now on, as the model's, whose clock stands still."""
    if number < MAX_METERS and MeterTable(datapath.maps).get(number):
        change_bucket(datapath, number, time_ms=1 << 62)


def change_bucket(datapath, number, **members):
    """Write members of a meter's record."""
    table = MeterTable(datapath.maps)
    record = table._record(number)
    for name, value in members.items():
        setattr(record, name, value)
    table._write(number, record)


def remove_meters(datapath):
    for meter in datapath.meters():
        datapath.meter_del(meter.id)


meter_ids = st.sampled_from([0, 0, 1, 4095, 4096, 0xFFFFFFFF])
meters = st.builds(
    Meter,
    id=meter_ids,
    kbps=st.booleans(),
    bands=st.lists(st.builds(Band, rate=st.integers(0, 3), burst=st.integers(0, 2)), min_size=1, max_size=1).map(tuple),
)


@dataclass(frozen=True)
class SetMeter:
    meter: Meter
    clear: bool

    def play(self, pair):
        pair.control("meter_set", self.meter, clear=self.clear)
        stop_filling(pair.kernel, self.meter.id)


@dataclass(frozen=True)
class DeleteMeter:
    number: int

    def play(self, pair):
        pair.control("meter_del", self.number)


meter_steps = st.builds(SetMeter, meters, st.booleans()) | st.builds(DeleteMeter, meter_ids)
