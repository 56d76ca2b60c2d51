"""The frozen frames of tests/bpf are what their recipes make: a new scapy does not change what is tested."""

import pytest

from tests.bpf.frames import CASES, FROZEN


def test_every_case_is_frozen_under_a_name_of_its_own():
    assert [case.name for case in CASES] == list(FROZEN)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_recipe_makes_the_frozen_frame(case):
    assert case.recipe().hex() == case.frame.hex()
