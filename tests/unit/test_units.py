"""The store of action units: what is given out never overlaps, and all of it comes back."""

import mmap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctl import abi
from ctl.kernel.units import MAX_UNITS, UNIT_SIZE, UnitStore, run_class

CAPACITY = 1021


@pytest.fixture
def store():
    return new_store()


def new_store():
    memory = mmap.mmap(-1, CAPACITY * UNIT_SIZE)
    return UnitStore(memory, abi.DpControl(), CAPACITY)


def covers(runs):
    """Every unit of the runs; fails where two overlap."""
    units = [unit for at, size in runs for unit in range(at, at + (1 << run_class(size)))]
    assert len(units) == len(set(units))
    assert all(0 <= unit < CAPACITY for unit in units)
    return set(units)


@pytest.mark.parametrize(("units", "k"), [(1, 0), (2, 1), (3, 2), (4, 2), (5, 3), (512, 9)])
def test_a_run_holds_the_list(units, k):
    assert run_class(units) == k


def test_the_largest_list_has_a_chain():
    assert len(abi.DpControl().free_units) == run_class(MAX_UNITS) + 1


def test_what_is_given_back_is_given_out_first(store):
    first, second = store.take(3), store.take(3)
    store.give(first, 3)
    assert store.take(4) == first
    assert store.take(3) not in {first, second}


def test_a_full_store_says_so_and_goes_on_when_there_is_room(store):
    runs = []
    while (at := store.take(1)) is not None:
        runs.append((at, 1))
    assert covers(runs) == set(range(CAPACITY))
    store.give(*runs.pop(17))
    assert store.take(1) == 17
    assert store.take(1) is None


def test_a_large_run_is_split_when_nothing_else_is_left(store):
    large = store.take(512)
    while store.take(1) is not None:
        pass
    store.give(large, 512)
    small = [(store.take(1), 1) for _ in range(512)]
    assert covers(small) == set(range(large, large + 512))
    assert store.take(1) is None


def test_a_rebuild_joins_what_lies_side_by_side(store):
    runs = [store.take(1) for _ in range(CAPACITY)]
    for at in runs[:513]:
        store.give(at, 1)
    assert store.take(512) is None
    store.rebuild((at, 1) for at in runs[513:])
    assert store.take(512) is not None


lists = st.integers(1, MAX_UNITS) | st.integers(1, 9)


@given(st.lists(st.tuples(st.booleans(), lists, st.integers(0, 1 << 16)), max_size=200), st.data())
def test_any_sequence_keeps_the_books(steps, data):
    store, used = new_store(), []
    for take, units, pick in steps:
        if take:
            at = store.take(units)
            if at is not None:
                used.append((at, units))
        elif used:
            store.give(*used.pop(pick % len(used)))
        covers(used)
    if data.draw(st.booleans()):
        store.rebuild(used)
    rest = []
    while (at := store.take(1)) is not None:
        rest.append((at, 1))
    assert covers([*used, *rest]) == set(range(CAPACITY))
