"""The CRC's difference in C against two CRCs, by a table and over all their octets."""

from hypothesis import given, settings
from hypothesis import strategies as st

from ctl.rewrite import crc32c
from tests.frames import octets

LONGEST = (1 << 18) - 1
sizes = st.integers(4, 64) | st.integers(3, 18).map(lambda n: (1 << n) - 1) | st.integers(4, LONGEST)


def table_entry(octet):
    """An octet's register after eight steps of division by the polynomial, bits reflected."""
    for _ in range(8):
        octet = octet >> 1 ^ (0x82F63B78 if octet & 1 else 0)
    return octet


TABLE = [table_entry(octet) for octet in range(256)]


def by_table(data):
    crc = 0xFFFFFFFF
    for octet in data:
        crc = crc >> 8 ^ TABLE[(crc ^ octet) & 0xFF]
    return crc ^ 0xFFFFFFFF


def test_examples_of_rfc_3720():
    """Its appendix B.4, and the check value by which catalogues know CRC32c."""
    ascending = bytes(range(32))
    for data, crc in (
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (ascending, 0x46DD794E),
        (ascending[::-1], 0x113FDB5C),
        (b"123456789", 0xE3069283),
    ):
        assert by_table(data) == crc32c(data) == crc


@settings(max_examples=200, deadline=None, derandomize=True)
@given(was=octets(4), now=octets(4), size=sizes, rest=st.binary(max_size=64))
def test_difference_of_two_messages(driver, was, now, size, rest):
    """What stands behind the change does not matter, only how much it is."""
    behind = rest.ljust(size - 4, b"\x5a")[: size - 4]
    difference = bytes(a ^ b for a, b in zip(was, now, strict=True))
    assert driver.crc32c_diff(difference, size) == by_table(was + behind) ^ by_table(now + behind)


def test_every_digit_of_every_place(driver):
    """Every number in the source, alone, beside a register that takes one octet of zero at a time."""
    wanted = {digit << shift for shift in range(0, 18, 3) for digit in range(8)}
    register = 0x80000000
    for size in range(LONGEST + 1):
        if size in wanted:
            assert driver.crc32c_diff(b"\0\0\0\x80", size) == register, size
        register = register >> 8 ^ TABLE[register & 0xFF]
