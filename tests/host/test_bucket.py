"""The token bucket in C against the same in Python."""

from hypothesis import given, settings
from hypothesis import strategies as st

from ctl.kernel.meters import _record_of
from ctl.meter import Band, Meter, full, take

number = st.integers(0, 5) | st.sampled_from([999, 1000, 1001, 2**31, 2**32 - 1])
meters = st.builds(
    Meter,
    id=st.just(0),
    kbps=st.booleans(),
    bands=st.tuples(st.builds(Band, rate=number.map(lambda n: n or 1), burst=number)),
)
moments = st.integers(0, 5000) | st.sampled_from([2**40, 2**63])
packets = st.lists(st.tuples(moments, st.integers(14, 1600) | st.just(2**20)), min_size=1, max_size=30)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(meter=meters, begin=st.integers(0, 3000), come=packets)
def test_both_let_the_same_packets_pass(driver, meter, begin, come):
    """At any moments, such as earlier ones than the last; tokens and time agree after each."""
    bucket, record = full(meter.bands[0], begin), _record_of(meter, begin)
    for now_ms, size in come:
        bucket, expected = take(meter, bucket, now_ms, size)
        record, exceeded = driver.take(record, now_ms, size)
        assert (exceeded, record.tokens, record.time_ms) == (expected, bucket.tokens, bucket.time_ms)
