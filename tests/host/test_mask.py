"""Masking and comparing in C against the same on numbers."""

from hypothesis import given, settings
from hypothesis import strategies as st

part = st.binary(min_size=64, max_size=64)
bit = st.integers(0, 511)


def flipped(octets, which):
    return (int.from_bytes(octets, "little") ^ 1 << which).to_bytes(64, "little")


@settings(max_examples=300, deadline=None, derandomize=True)
@given(key=part, mask=part, which=bit)
def test_a_bit_makes_a_difference_where_the_mask_compares_it(driver, key, mask, which):
    masked = bytes(k & m for k, m in zip(key, mask, strict=True))
    compared = bool(int.from_bytes(mask, "little") >> which & 1)
    assert driver.mask(key, key, mask) == (masked, False)
    assert driver.mask(key, masked, mask) == (masked, False)
    assert driver.mask(key, flipped(key, which), mask) == (masked, compared)
