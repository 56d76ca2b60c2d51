"""The reference extractor, and the golden packets it is held against."""

import pytest
import scapy.all
import scapy.contrib.mpls

from ctl.packet import extract
from tests.golden.packets import EVERY_CUT, GOLDEN, IN_PORT

golden = pytest.mark.parametrize("row", GOLDEN, ids=lambda row: row.id)


@golden
def test_recipe_makes_the_frozen_bytes(row):
    words = {**vars(scapy.all), "MPLS": scapy.contrib.mpls.MPLS}
    assert bytes(eval(row.recipe, words)).hex() == row.frame.hex()


@golden
def test_golden_packet_has_its_key(row):
    assert extract(row.frame, IN_PORT) == row.key


def test_rows_have_names_of_their_own():
    assert len({row.id for row in GOLDEN}) == len({row.frame for row in GOLDEN}) == len(GOLDEN)


def test_only_a_frame_without_ethernet_header_has_no_key():
    assert [len(cut) for cut in EVERY_CUT if extract(cut, IN_PORT) is None] == list(range(14)) * len(GOLDEN)
