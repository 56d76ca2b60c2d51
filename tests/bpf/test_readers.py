"""Readers take no lock: what changes between two of their steps must not show as something that never was."""

import pytest

from ctl.errors import NotFound
from ctl.flow import Output
from ctl.kernel.datapath import KernelDatapath
from ctl.ufid import Ufid
from tests.bpf.harness import DROP, OUT2, numbered, udp_frame

UA, UB = Ufid(b"A"), Ufid(b"B")


@pytest.fixture
def reader(datapath):
    """A second look at the datapath, which the tests interrupt."""
    with KernelDatapath(datapath.name) as second:
        assert second.reader.control.n_flows == 0
        yield second


def once(meddle, real):
    """A function like ``real`` whose first call is followed by ``meddle``."""
    meddled = []

    def function(*arguments):
        result = real(*arguments)
        if not meddled:
            meddled.append(True)
            meddle()
        return result

    return function


@pytest.mark.parametrize("who", [UA, numbered(1).key], ids=["UFID", "key"])
def test_a_slot_that_is_given_to_another_flow_after_it_was_found(datapath, reader, monkeypatch, who):
    ufid = who if isinstance(who, Ufid) else None
    datapath.flow_new(numbered(1), OUT2, ufid)

    def replace():
        datapath.flow_del(who)
        datapath.flow_new(numbered(2), DROP, UB if ufid else None)

    finder = "slot_of_ufid" if ufid else "slot_of_key"
    monkeypatch.setattr(reader.reader, finder, once(replace, getattr(reader.reader, finder)))
    with pytest.raises(NotFound):
        reader.flow_get(who)


def test_a_flow_that_moves_to_another_slot_after_it_was_found(datapath, reader, monkeypatch):
    datapath.flow_new(numbered(1), OUT2, UA)

    def move():
        datapath.flow_del(UA)
        datapath.flow_new(numbered(2), DROP, UB)
        datapath.flow_new(numbered(1), OUT2, UA)

    monkeypatch.setattr(reader.reader, "slot_of_ufid", once(move, reader.reader.slot_of_ufid))
    assert reader.flow_get(UA).match == numbered(1)


STEPS = ("_tails", "action_list", "mask")


class Meddling:
    """A step of reading, memory or a method, which something happens before or after when it is first taken."""

    def __init__(self, step, meddle, *, before):
        self._step, self._meddle, self._before = step, meddle, before

    def _take(self, take, argument):
        meddle, self._meddle = self._meddle, None
        if meddle and self._before:
            meddle()
        result = take(argument)
        if meddle and not self._before:
            meddle()
        return result

    def __getitem__(self, key):
        return self._take(self._step.__getitem__, key)

    def __call__(self, argument):
        return self._take(self._step, argument)


def interrupt(datapath, step, meddle, *, before=True):
    setattr(datapath.reader, step, Meddling(getattr(datapath.reader, step), meddle, before=before))


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("before", [True, False])
def test_a_clear_at_any_step_of_reading_gives_no_negative_count(bench, datapath, reader, step, before):
    datapath.flow_new(numbered(1), OUT2, UA)
    bench.run(udp_frame(0x0A000001), repeat=5)

    def clear():
        bench.run(udp_frame(0x0A000001), repeat=2)
        datapath.flow_set(UA, None, clear=True)

    interrupt(reader, step, clear, before=before)
    stats = reader.flow_get(UA).stats
    assert stats.packets in (0, 5, 7)
    assert stats.bytes == 53 * stats.packets
    assert reader.flow_get(UA).stats.packets == 0


@pytest.mark.parametrize("step", STEPS)
def test_units_that_are_given_to_another_flow_while_they_are_read(datapath, reader, step):
    """The list of a flow is one that it had, not what its old units hold by now."""
    datapath.flow_new(numbered(1), OUT2, UA)

    def change():
        datapath.flow_set(UA, DROP)
        datapath.flow_new(numbered(2), (Output(3),), UB)

    interrupt(reader, step, change)
    assert reader.flow_get(UA).actions in (OUT2, DROP)


@pytest.mark.parametrize("step", STEPS)
def test_a_flow_that_goes_while_it_is_read_is_not_in_the_dump(datapath, reader, step):
    datapath.flow_new(numbered(1), OUT2, UA)

    def replace():
        datapath.flow_del(UA)
        datapath.flow_new(numbered(2), DROP, UB)

    interrupt(reader, step, replace)
    assert [flow.match for flow in reader.flow_dump()] in ([], [numbered(2)])
