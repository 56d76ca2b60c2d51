"""What a meter may be, its bucket, and how the model's meters behave."""

import pytest

from ctl.action import Meter as MeterAction
from ctl.action import Output, PushVlan, Trunc
from ctl.datapath import PortStats
from ctl.errors import FlowSyntaxError, NotFound, UsageError
from ctl.flow import Match
from ctl.meter import Band, Meter, MeterStats, capacity, check_meter, fill_ms, full, take
from ctl.model import ModelDatapath
from ctl.packet import extract
from ctl.text import caret
from ctl.text.meters import format_meter, parse_meter
from tests.bpf.harness import exact, numbered, udp_frame

FRAME = udp_frame(0x0A000001)  # 53 bytes


def meter(*bands, number=1, kbps=False):
    return Meter(id=number, kbps=kbps, bands=bands or (Band(rate=1, burst=2),))


# --- the bucket --------------------------------------------------------------------------------------


def passed(which, come, begin=0):
    """For each packet, of a moment and a size, whether it passes."""
    bucket, result = full(which.bands[0], begin), []
    for now_ms, size in come:
        bucket, exceeded = take(which, bucket, now_ms, size)
        result.append(not exceeded)
    return result


def test_a_full_bucket_lets_burst_and_rate_pass():
    assert passed(meter(Band(rate=3, burst=4)), [(0, 60)] * 9) == [True] * 7 + [False] * 2


def test_an_empty_bucket_gains_rate_with_each_whole_millisecond():
    """3 packets/s: 1000 tokens after 334 ms, of which 2 are left over; then after 333 more."""
    come = [*[(0, 60)] * 3, (333, 60), (334, 60), (666, 60), (667, 60), (1000, 60)]
    assert passed(meter(Band(rate=3, burst=0)), come) == [True] * 3 + [False, True, False, True, True]


def test_a_bucket_is_never_more_than_full():
    assert passed(meter(Band(rate=1, burst=1)), [*[(0, 60)] * 2, *[(10**9, 60)] * 3]) == [True, True, True, True, False]


def test_kbps_takes_the_bits_of_each_packet():
    """12 kbit are 1500 bytes.  A large one that does not pass takes nothing from those behind it."""
    sizes = [1000, 600, 500, 1]
    assert passed(meter(Band(rate=2, burst=10), kbps=True), [(0, size) for size in sizes]) == [True, False, True, False]


def test_an_earlier_moment_than_the_last_is_that():
    assert passed(meter(Band(rate=1, burst=0)), [(5000, 60), (4000, 60), (5999, 60), (6000, 60)]) == [
        True, False, False, True,
    ]  # fmt: skip


@pytest.mark.parametrize("band", [Band(rate=1, burst=0), Band(rate=7, burst=3), Band(rate=2**32 - 1, burst=2**32 - 1)])
def test_what_fills_a_bucket_is_as_much_as_it_holds(band):
    assert (fill_ms(band) - 1) * band.rate < capacity(band) <= fill_ms(band) * band.rate


# --- what it may be ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (meter(number=-1), "numbers are from 0 to 4095"),
        (meter(number=4096), "numbers are from 0 to 4095"),
        (Meter(id=1, kbps=False, bands=()), "bands are missing"),
        (meter(Band(rate=1, burst=1), Band(rate=2, burst=2)), "2 bands"),
        (meter(Band(rate=0, burst=1)), "rate is 0"),
        (meter(Band(rate=2**32, burst=1)), "rate is 4294967296"),
        (meter(Band(rate=1, burst=2**32)), "burst_size is 4294967296"),
        (meter(Band(rate=1, burst=-1)), "burst_size is -1"),
    ],
)
def test_what_no_meter_can_be_is_refused(wrong, said):
    with pytest.raises(UsageError, match=said):
        check_meter(wrong)
    datapath = ModelDatapath("m")
    with pytest.raises(UsageError, match=said):
        datapath.meter_set(wrong)
    assert datapath.meters() == []


# --- the model ---------------------------------------------------------------------------------------


@pytest.fixture
def model():
    made = ModelDatapath("m", clock=lambda: 7_000_000)
    for number in (1, 2):
        made.add_port(number)
    made.flow_new(numbered(1), (Output(1), MeterAction(1), Output(2)))
    return made


def test_a_packet_that_exceeds_ends_behind_the_copies_before(model):
    model.meter_set(meter(Band(rate=1, burst=1)))
    verdicts = [model.process(FRAME, 1) for _ in range(3)]
    assert [verdict.sent for verdict in verdicts] == [((1, FRAME), (2, FRAME))] * 2 + [((1, FRAME),)]
    assert model.stats().drops["meter"] == 1
    assert model.port_stats()[1] == PortStats(
        rx_packets=3, rx_bytes=159, tx_packets=3, tx_bytes=159, rx_dropped=1
    )  # fmt: skip
    assert model.meter_get(1).stats == MeterStats(
        packets=3, bytes=159, exceeded_packets=1, exceeded_bytes=53, used_ms=7
    )


def test_no_such_meter_lets_all_pass(model):
    model.meter_set(meter(number=2))
    assert model.process(FRAME, 1).out_port == 2
    assert model.meter_get(2).stats == MeterStats()


def test_a_meter_counts_the_frame_as_it_is_then_and_not_as_it_will_be_cut(model):
    model.flow_flush()
    model.flow_new(
        Match(extract(FRAME, 1), exact("in_port", "l2_kind", "eth_type")),
        (PushVlan(0x8100, 0x1005), Trunc(20), MeterAction(1), Output(2)),
    )
    model.meter_set(meter())
    assert len(model.process(FRAME, 1).frame) == 20
    assert model.meter_get(1).stats.bytes == 57


@pytest.mark.parametrize(("clear", "left"), [(False, 3), (True, 0)])
def test_a_meter_that_is_replaced_is_full_and_keeps_its_statistics_unless_cleared(model, clear, left):
    assert model.meter_set(meter(Band(rate=1, burst=1))) is None
    for _ in range(3):
        model.process(FRAME, 1)
    old = model.meter_set(meter(Band(rate=9, burst=9)), clear=clear)
    assert (old.bands, old.stats.packets) == ((Band(rate=1, burst=1),), 3)
    assert model.meter_get(1).stats.packets == left
    assert model.process(FRAME, 1).out_port == 2


def test_a_removed_meter_is_gone_and_what_is_made_anew_has_counted_nothing(model):
    model.meter_set(meter())
    model.process(FRAME, 1)
    assert model.meter_del(1).stats.packets == 1
    for call in (model.meter_get, model.meter_del):
        with pytest.raises(NotFound, match="m has no meter 1"):
            call(1)
    model.meter_set(meter())
    assert model.meter_get(1).stats == MeterStats()


# --- text --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("meter=1,pktps,burst,band=type=drop,rate=100,burst_size=10", meter(Band(rate=100, burst=10))),
        ("meter=1 kbps bands=type=drop rate=8000", meter(Band(rate=8000, burst=8000), kbps=True)),
        ("stats kbps\tmeter=0x10,burst, bands=\ntype=drop rate=1 burst_size=0",
         meter(Band(rate=1, burst=0), number=16, kbps=True)),
        ("meter=1,pktps,bands=type=drop,rate=1,type=drop,rate=2", meter(Band(rate=1, burst=1), Band(rate=2, burst=2))),
    ],
)  # fmt: skip
def test_text_is_read_as_ovs_ofctl_does(text, wanted):
    assert parse_meter(text) == wanted
    assert parse_meter(format_meter(wanted)) == wanted


def test_a_meter_is_printed_in_one_line():
    counted = MeterStats(packets=5, bytes=300, exceeded_packets=1, exceeded_bytes=60, used_ms=400)
    shown = Meter(id=1, kbps=True, bands=(Band(rate=8, burst=2),), stats=counted)
    line = "meter=1 kbps burst stats bands=type=drop rate=8 burst_size=2"
    assert format_meter(shown) == line
    more = ", packets:5, bytes:300, used:0.100s, exceeded: packets:1, bytes:60"
    assert format_meter(shown, 500, statistics=True) == line + more
    assert "used:never" in format_meter(meter(), 500, statistics=True)


@pytest.mark.parametrize(
    ("text", "said", "at"),
    [
        ("", "a meter has a band", ""),
        ("meter=1,pktps", "a meter has a band", ""),
        ("meter=1,pktps,bands=", "a band is missing", ""),
        ("pktps,band=type=drop,rate=1", "number is missing", "band="),
        ("meter=1,burst,band=type=drop,rate=1", "kbps or pktps is missing", "band="),
        ("meter=1,kbps,pktps,band=type=drop,rate=1", "not in both", "pktps"),
        ("meter=1,kbps,rate=1,band=type=drop", "'rate' is nothing that a meter has", "rate"),
        ("meter=all,kbps,band=type=drop,rate=1", "no number", "all"),
        ("meter=4294967296,kbps,band=type=drop,rate=1", "no number", "4294967296"),
        ("meter,kbps,band=type=drop,rate=1", "meter has no value", "meter"),
        ("meter=1,kbps,band=rate=1,type=drop", "begins with its type", "rate"),
        ("meter=1,kbps,band=type=dscp_remark,rate=1", "'dscp_remark'", "dscp_remark"),
        ("meter=1,kbps,band=type=drop,rate=-1", "no number", "-1"),
        ("meter=1,kbps,band=type=drop,prec_level=1", "'prec_level' is nothing that a band has", "prec_level"),
        ("meter=1,kbps,band=type=drop", "rate is missing", ""),
        ("meter=1,kbps,burst,band=type=drop,rate=1", "burst_size is missing", ""),
        ("meter=1,kbps,band=type=drop,rate=1,burst_size=1", "needs the flag burst", ""),
        ("meter=1,kbps;band=type=drop,rate=1", "a word is missing here", ";band"),
    ],
)
def test_a_mistake_is_pointed_at(text, said, at):
    with pytest.raises(FlowSyntaxError, match=said) as error:
        parse_meter(text)
    assert text[error.value.pos :].startswith(at)
    assert error.value.pos <= len(text)
    assert at or error.value.pos == len(text)
    assert caret(error.value).endswith("^")
