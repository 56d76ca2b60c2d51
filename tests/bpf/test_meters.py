"""Meters in the program: exact on both hooks and on two processors, and never half written."""

import os
import signal
import time

import pytest

from ctl import faults
from ctl.action import Meter as MeterAction
from ctl.action import Output
from ctl.errors import NotFound
from ctl.kernel.datapath import KernelDatapath
from ctl.meter import Band, Meter, MeterStats
from tests.bpf.harness import TC_REDIRECT, TC_SHOT, XDP_DROP, XDP_REDIRECT, numbered, udp_frame
from tests.bpf.test_hammer import FIRST, LAST, Traffic
from tests.metering import change_bucket, remove_meters, stop_filling

FRAME = udp_frame(0x0A000001)  # 53 bytes
METERED = (MeterAction(7), Output(2))


def meter(rate=1, burst=0, *, number=7, kbps=False):
    return Meter(id=number, kbps=kbps, bands=(Band(rate=rate, burst=burst),))


@pytest.fixture
def datapath(bench):
    """With a flow that has a meter, and without any meter."""
    remove_meters(bench.datapath)
    bench.datapath.flow_new(numbered(1), METERED)
    return bench.datapath


def set_meter(datapath, which, **options):
    """Set a meter whose bucket gains nothing, however long the test takes."""
    old = datapath.meter_set(which, **options)
    stop_filling(datapath, which.id)
    return old


@pytest.mark.parametrize("hook", ["run", "run_tc"])
@pytest.mark.parametrize("kbps", [False, True], ids=["pktps", "kbps"])
def test_what_the_bucket_holds_passes_and_no_more(bench, datapath, counted, hook, kbps):
    set_meter(datapath, meter(rate=2, burst=9, kbps=kbps))
    passing = 11_000 // (8 * 53) if kbps else 11
    sent, ended = (XDP_REDIRECT, XDP_DROP) if hook == "run" else (TC_REDIRECT, TC_SHOT)
    verdicts = [getattr(bench, hook)(FRAME).verdict for _ in range(passing + 3)]
    assert verdicts == [sent] * passing + [ended] * 3
    assert (counted()["drop_meter"], counted()["rx_dropped_1"]) == (3, 3)
    stats = datapath.meter_get(7).stats
    assert (stats.packets, stats.bytes) == (passing + 3, 53 * (passing + 3))
    assert (stats.exceeded_packets, stats.exceeded_bytes, stats.used_ms is None) == (3, 159, False)


def test_a_bucket_fills_with_time_by_the_monotonic_clock(bench, datapath):
    """It was empty a second before the machine began: one packet passes, and more than that it cannot hold."""
    datapath.meter_set(meter())
    change_bucket(datapath, 7, tokens=0, time_ms=0)
    before = time.monotonic_ns() // 1_000_000
    assert bench.run(FRAME).verdict == XDP_REDIRECT
    assert before <= datapath.meter_get(7).stats.used_ms <= time.monotonic_ns() // 1_000_000


def test_no_such_meter_lets_all_pass(bench, datapath, counted):
    set_meter(datapath, meter(number=6))
    datapath.flow_set(numbered(1).key, (MeterAction(7), MeterAction(4096), MeterAction(0xFFFFFFFF), Output(2)))
    assert {bench.run(FRAME).verdict for _ in range(5)} == {XDP_REDIRECT}
    assert datapath.meter_get(6).stats == MeterStats()
    assert "drop_meter" not in counted()


def test_two_processors_share_one_bucket_exactly(bench, datapath):
    """150,000 packets of which two processors at once want the last of 100,000."""
    set_meter(datapath, meter(rate=1, burst=99_999))
    both = [Traffic(bench, FRAME, rounds=75, repeat=1000, cpu=cpu) for cpu in (FIRST, LAST)]
    for each in both:
        each.wait()
    stats = datapath.meter_get(7).stats
    assert (stats.packets, stats.bytes) == (150_000, 150_000 * 53)
    assert (stats.exceeded_packets, stats.exceeded_bytes) == (50_000, 50_000 * 53)


def test_replacing_a_meter_under_traffic_loses_no_count(bench, datapath):
    set_meter(datapath, meter(rate=1, burst=5))
    running = Traffic(bench, FRAME, rounds=30, repeat=1000, cpu=FIRST)
    while running.goes_on():
        datapath.meter_set(meter(rate=1, burst=5))
    running.wait()
    assert datapath.meter_get(7).stats.packets == 30_000


@pytest.mark.parametrize(("call", "wanted"), [("set", 9), ("del", None)])
def test_a_writer_that_dies_leaves_a_whole_meter(datapath, call, wanted):
    """The one system call is through or it is not; whatever the writer had still to do, the next one does."""
    datapath.meter_set(meter(burst=1))
    child = os.fork()
    if child == 0:
        faults.arm("meters.written")
        with KernelDatapath(datapath.name) as theirs:
            theirs.meter_set(meter(burst=9)) if call == "set" else theirs.meter_del(7)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert [each.bands[0].burst for each in datapath.meters()] == ([] if wanted is None else [wanted])
    datapath.meter_set(meter(burst=3))
    assert datapath.meter_del(7).bands == (Band(rate=1, burst=3),)
    with pytest.raises(NotFound):
        datapath.meter_get(7)


def test_numbers_end_where_the_map_does(datapath):
    for number in (0, 4095):
        datapath.meter_set(meter(number=number))
    assert [each.id for each in datapath.meters()] == [0, 4095]
    for number in (4096, -1, 2**32):
        with pytest.raises(NotFound):
            datapath.meter_get(number)
