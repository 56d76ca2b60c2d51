"""The predicted cost of a flow.  tests/bpf compares it with what the kernel says."""

import pytest

from ctl.abi import SizeClass
from ctl.kernel.memory import LIMIT_BYTES, element_cost, flow_cost


@pytest.mark.parametrize(
    ("key", "cost"), [(17, 96), (64, 128), (65, 192), (80, 192), (128, 192), (129, 256), (232, 512)]
)
def test_elements_fill_kmalloc_sizes(key, cost):
    assert element_cost(key) == cost


@pytest.mark.parametrize("size", SizeClass)
def test_a_million_flows_of_any_class_fit(size):
    assert sum(flow_cost(1_000_000)[size].values()) <= LIMIT_BYTES


def test_components_at_a_million_flows():
    cost = {size: {name: round(value) for name, value in parts.items()} for size, parts in flow_cost(1_000_000).items()}
    shared = {
        "ufid_element": 96,
        "buckets": 67,
        "record": 128,
        "tail": 184,
        "actions": 24,
        "free_slots": 4,
        "changes": 2,
    }
    assert cost == {
        SizeClass.SIZE_S: {"element": 128} | shared,
        SizeClass.SIZE_M: {"element": 192} | shared,
        SizeClass.SIZE_L: {"element": 192} | shared,
    }


def test_buckets_cost_most_just_above_a_power_of_two():
    assert flow_cost(1 << 20)[SizeClass.SIZE_S]["buckets"] == 64
    assert 127 < flow_cost((1 << 20) + 1)[SizeClass.SIZE_S]["buckets"] < 128
