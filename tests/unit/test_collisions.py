"""The collision matrix on the model; on the kernel datapath, tests/bpf/test_collisions.py."""

import pytest

from ctl.model import ModelDatapath
from tests import collisions
from tests.conformance import by_rule


@pytest.fixture
def model():
    made = ModelDatapath("m")
    made.add_port(1)
    return made


@pytest.mark.parametrize("case", by_rule(collisions.CASES, collisions.name_of))
def test_what_a_request_meets(model, case):
    collisions.check(model, lambda frame: model.process(frame, 1), case)


@pytest.mark.parametrize("like_kernel", [False, True])
@pytest.mark.parametrize("case", by_rule(collisions.BY_NAME, collisions.name_of))
def test_who_is_named(model, case, like_kernel):
    collisions.check_by_name(model, lambda frame: model.process(frame, 1), case, like_kernel)


@pytest.mark.conformance("A9.14")
@pytest.mark.parametrize("like_kernel", [False, True])
def test_without_a_ufid_the_concrete_key_is_the_name(model, like_kernel):
    collisions.check_key_text(model, like_kernel)
