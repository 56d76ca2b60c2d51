"""The C extractor against the reference, in a process with sanitizers."""

import random

import pytest
from hypothesis import HealthCheck, example, given, settings

from ctl.packet import extract, locate
from tests.frames import frames
from tests.golden.packets import EVERY_CUT, GOLDEN, IN_PORT


def agrees(driver, frame, in_port):
    """Key and layout are those of the reference."""
    key = driver.extract(frame, in_port)
    assert key == extract(frame, in_port), frame.hex()
    if key is not None:
        got, expected = driver.layout, locate(frame)
        beyond = got.l4 is not None and got.l4 >= len(frame) == expected.l4  # how far does not matter
        assert (got.l3, len(frame) if beyond else got.l4) == expected[:2], frame.hex()
        assert expected.l4 is None or got.is_routed == expected.is_routed, frame.hex()
        assert got.option == expected.option, frame.hex()


MANY = settings(max_examples=1500, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.parametrize("row", GOLDEN, ids=lambda row: row.id)
def test_golden_packet_has_its_key(driver, row):
    assert driver.extract(row.frame, IN_PORT) == row.key


def test_golden_packets_cut_at_every_length(driver):
    for cut in EVERY_CUT:
        agrees(driver, cut, IN_PORT)


@MANY
@given(frame=frames)
@example(frame=b"")
def test_plausible_frames(driver, frame):
    agrees(driver, frame, 1023)


def test_golden_packets_with_bytes_changed(driver):
    """Sooner than garbage, these come to the ends of the parser."""
    random_ = random.Random(1)
    for _ in range(20_000):
        frame = bytearray(random_.choice(GOLDEN).frame)
        for _ in range(random_.randrange(1, 5)):
            frame[random_.randrange(len(frame))] = random_.choice((0, 1, 0xFF, random_.randrange(256)))
        cut = bytes(frame[: random_.randrange(14, len(frame) + 1)])
        agrees(driver, cut, 0)


def test_garbage(driver):
    random_ = random.Random(2)
    for _ in range(5_000):
        frame = random_.randbytes(random_.randrange(200))
        agrees(driver, frame, 7)


def test_a_read_beyond_the_frame_is_noticed(driver_of):
    """The first byte behind an Ethernet header, by a cursor that does not look where the frame ends."""
    with pytest.raises(pytest.fail.Exception, match="heap-buffer-overflow"):
        driver_of("overread.c").extract(bytes(12) + b"\x08\x06", IN_PORT)
