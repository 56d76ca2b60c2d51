"""The rewriting of headers in C against the reference, in a process with sanitizers."""

from hypothesis import given, settings
from hypothesis import strategies as st

from ctl import rewrite
from ctl.kernel.encode import encode
from ctl.kernel.units import UNIT_SIZE
from tests.frames import octets
from tests.header_lists import sets

MANY = settings(max_examples=300, deadline=None, derandomize=True)


def folded(difference):
    """A difference as a checksum takes it: 16 bits, either zero being 0."""
    return difference % 0xFFFF


def reference(was, now):
    """The difference of two octet strings, word by word as the machine reads them (little-endian)."""
    words = [int.from_bytes(data[at : at + 2], "little") for data in (was, now) for at in range(0, len(data), 2)]
    half = len(words) // 2
    return folded(sum(words[half:]) - sum(words[:half]))


@MANY
@given(packet=octets(28), action=sets(("arp",)))
def test_arp(driver, packet, action):
    operand = encode((action,))[UNIT_SIZE:]
    assert driver.arp(packet, operand) == rewrite.set_arp(packet, 0, action.leaves())


@MANY
@given(option=octets(8), value=octets(8), mask=octets(8) | st.sampled_from((bytes(8), b"\0\0" + b"\xff" * 6)))
def test_option(driver, option, value, mask):
    value = bytes(v & m for v, m in zip(value, mask, strict=True))
    now, difference = driver.option(option, value, mask)
    assert now == bytes(o & ~m & 0xFF | v for o, v, m in zip(option, value, mask, strict=True))
    assert folded(difference) == reference(option, now)
    assert now != option or difference == 0, "nothing to mend"


@MANY
@given(message=octets(8), action=sets(("icmp", "icmpv6")))
def test_type_and_code(driver, message, action):
    """As the head of a message: the checksum's own half of the word stays."""
    wide = encode((action,))[8:16]
    word, difference = driver.word(message[:4], wide[:4], wide[4:])
    expected = rewrite.set_icmp(message, 0, action.leaves())
    assert word == expected[:2] + message[2:4]
    assert folded(difference) == reference(message[:2], expected[:2])
