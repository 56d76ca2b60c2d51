"""From pairs of the two clocks to the rate and the zero of the tick counter."""

import pytest

from ctl.errors import Failure
from ctl.kernel.ticks import Ticks, fit, tick_ns

ZERO = 987_654_321
RATES = (100, 250, 300, 1000)  # CONFIG_HZ


def clock(rate, late=()):
    """Samples every 7 us of a counter that moves at that rate; before the nth edge it halts for a while."""
    tick, at = 1_000_000_000 // rate, [5_000_000_000]

    def sample():
        before = (at[0] - ZERO) // tick
        at[0] += 7_000
        after = (at[0] - ZERO) // tick
        if after != before:
            at[0] += late[after % len(late)] if late else 0
        return (at[0] - ZERO) // tick, at[0]

    return sample


@pytest.mark.parametrize("rate", RATES)
def test_zero(rate):
    ticks = fit(clock(rate), 1_000_000_000 // rate)
    assert abs(ticks.zero_ns - ZERO) < 10_000


def test_interruptions_do_not_matter_as_long_as_one_edge_is_clean():
    """The first edge is so late that 250 ticks a second look like 300."""
    ticks = fit(clock(250, late=(0, 300_000, 1_400_000)), 4_000_000)
    assert ticks.tick_ns == 4_000_000
    assert abs(ticks.zero_ns - ZERO) < 10_000


def test_this_kernels_ticks_are_of_a_length_that_kernels_have():
    assert tick_ns() in {1_000_000_000 // rate for rate in RATES}


def test_a_counter_that_began_below_zero():
    """The kernel's begins at 2^32 - 300 seconds, so its zero was long before the clock's."""
    ticks = Ticks(4_000_000, -(2**32 - 75_000) * 4_000_000 % 2**64)
    assert ticks.time_ns(2**32 - 75_000 + 250) == 1_000_000_000


def test_a_clock_that_stands_still():
    with pytest.raises(Failure):
        fit(lambda: (5, 5), 4_000_000, deadline=0.0)
