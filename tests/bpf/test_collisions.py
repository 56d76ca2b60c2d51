"""The collision matrix on the kernel datapath; on the model, tests/unit/test_collisions.py."""

import pytest

from tests import collisions
from tests.conformance import by_rule


@pytest.mark.parametrize("case", by_rule(collisions.CASES, collisions.name_of))
def test_what_a_request_meets(bench, case):
    collisions.check(bench.datapath, bench.run, case)


@pytest.mark.parametrize("like_kernel", [False, True])
@pytest.mark.parametrize("case", by_rule(collisions.BY_NAME, collisions.name_of))
def test_who_is_named(bench, case, like_kernel):
    collisions.check_by_name(bench.datapath, bench.run, case, like_kernel)


@pytest.mark.conformance("A9.14")
@pytest.mark.parametrize("like_kernel", [False, True])
def test_without_a_ufid_the_concrete_key_is_the_name(datapath, like_kernel):
    collisions.check_key_text(datapath, like_kernel)
