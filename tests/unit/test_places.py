"""The table of ports by ifindex."""

import mmap

import pytest

from ctl import abi
from ctl.abi import DpLimit
from ctl.errors import TableFull
from ctl.kernel import places

SIZE = 8


@pytest.fixture
def memory():
    return mmap.mmap(-1, DpLimit.PORT_PLACES * SIZE)


def found(memory, ifindex):
    """The same search as in bpf/port.h."""
    for i in range(DpLimit.PORT_PROBES):
        place = abi.PortPlace.from_buffer(memory, (ifindex + i) % DpLimit.PORT_PLACES * SIZE)
        if place.ifindex == ifindex:
            return place.port
    return None


def test_ports_are_found_and_forgotten(memory):
    ifindexes = {number: 1 + 37 * number for number in range(1024)}
    for number, ifindex in ifindexes.items():
        places.enter(memory, ifindex, number)
    assert all(found(memory, ifindex) == number for number, ifindex in ifindexes.items())
    for number in list(ifindexes)[::2]:
        places.leave(memory, number)
    assert [found(memory, i) for i in ifindexes.values()] == [n if n % 2 else None for n in ifindexes]


def test_neighbours_at_the_end_of_the_table_go_on_at_its_beginning(memory):
    last = DpLimit.PORT_PLACES - 1
    same = [last + DpLimit.PORT_PLACES * n for n in range(DpLimit.PORT_PROBES)]
    for number, ifindex in enumerate(same):
        places.enter(memory, ifindex, number)
    assert [found(memory, ifindex) for ifindex in same] == list(range(DpLimit.PORT_PROBES))
    with pytest.raises(TableFull):
        places.enter(memory, last + DpLimit.PORT_PLACES * DpLimit.PORT_PROBES, 9)
    places.leave(memory, 0)
    assert [found(memory, ifindex) for ifindex in same] == [None, *range(1, DpLimit.PORT_PROBES)]


def test_a_port_is_forgotten_wherever_it_is(memory):
    places.enter(memory, 5, 1)
    places.enter(memory, 77, 1)
    places.leave(memory, 1)
    assert (found(memory, 5), found(memory, 77)) == (None, None)


def test_another_port_of_the_same_device_is_not_taken_away(memory):
    places.enter(memory, 5, 1)
    places.leave(memory, 2)
    assert found(memory, 5) == 1
