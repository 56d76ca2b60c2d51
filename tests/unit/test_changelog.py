"""The ring of changes: what is told is complete, and what cannot be is refused."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctl.abi import ChangeKind
from ctl.errors import NotFound, UsageError
from ctl.flow import FlowKey
from ctl.kernel.changelog import ChangeLog
from ctl.ufid import Ufid

CELLS = 64
UA = Ufid(b"A" * 16)
ADD, FLUSH = ChangeKind.CHANGE_ADD, ChangeKind.CHANGE_FLUSH


def log_of(memory=None):
    control = SimpleNamespace(generation=0, change_generation=0, next_change=0)
    return ChangeLog(memory or bytearray(32 * CELLS), control, CELLS), control


names = st.one_of(
    st.binary(min_size=1, max_size=16).map(Ufid),
    st.just(FlowKey()),
    st.builds(lambda value: FlowKey.of(in_port=value), st.integers(0, 9)),
    st.builds(lambda value: FlowKey.of(nd_target=value), st.integers(1, 1 << 100)),
)


@given(st.lists(st.tuples(st.sampled_from([ADD, ChangeKind.CHANGE_DELETE, ChangeKind.CHANGE_CLEAR]), names)))
def test_what_is_told_is_what_was_noted(noted):
    """From each generation on: all of it, or a refusal, and never a refusal for one behind one that is told."""
    log, control = log_of()
    for slot, (kind, who) in enumerate(noted):
        control.generation = log.note(kind, slot, who)
    assert control.generation == len(noted)
    told = False
    for since in range(len(noted) + 1):
        try:
            now, events = log.events("m", since)
        except NotFound:
            assert not told
            continue
        told = True
        assert now == len(noted)
        wanted = list(enumerate(noted, start=1))[since:]
        assert [(event.generation, (event.kind, event.who)) for event in events] == wanted
    assert told
    assert control.next_change > CELLS - 15 or log.events("m", 0)[0] == len(noted)


def test_how_far_the_log_reaches_back():
    """All cells but those that the longest entry could be overwriting at this moment."""
    log, control = log_of()
    for turn in range(1000):
        control.generation = log.note(ADD, turn, UA)
    reach = CELLS - 15
    assert len(log.events("m", 1000 - reach)[1]) == reach
    with pytest.raises(NotFound, match="no longer reaches back to generation 950; it is at 1000") as refused:
        log.events("m", 1000 - reach - 1)
    assert "--since 1000" in refused.value.hint


def test_a_generation_to_come():
    log, _ = log_of()
    with pytest.raises(UsageError, match="generation 1 is yet to come: m is at 0"):
        log.events("m", 1)


def test_an_entry_whose_change_is_to_come_is_none():
    log, control = log_of()
    control.generation = log.note(ADD, 1, UA)
    assert log.note(ADD, 2, UA) == 2
    assert [event.generation for event in log.events("m", 0)[1]] == [1]
    assert log.note(ADD, 3, UA) == 3, "the generation of a writer that died is nobody else's"


def test_sums_of_a_flush():
    log, control = log_of()
    control.generation = log.note_flush(7)
    (event,) = log.events("m", 0)[1]
    assert (event.kind, event.who, event.flows, event.packets, event.bytes) == (FLUSH, None, 7, None, None)
    log.tell_sums(1 << 40, (1 << 64) - 1)
    (event,) = log.events("m", 0)[1]
    assert (event.flows, event.packets, event.bytes) == (7, 1 << 40, (1 << 64) - 1)


class Moving(bytearray):
    """Memory that is written while it is copied."""

    def __getitem__(self, place):
        if isinstance(place, slice) and self.meanwhile:
            self.meanwhile()
        return bytes(bytearray.__getitem__(self, place))


def test_a_reader_beside_a_writer_is_told_nothing_that_was_overwritten():
    memory = Moving(32 * CELLS)
    memory.meanwhile = None
    log, control = log_of(memory)
    for turn in range(100):
        control.generation = log.note(ADD, turn, UA)
    since = 100 - CELLS + 20
    assert len(log.events("m", since)[1]) == CELLS - 20
    memory.meanwhile = lambda: [log.note(ADD, turn, Ufid(b"B")) for turn in range(10)]
    with pytest.raises(NotFound):
        log.events("m", since)
    assert [event.who for event in log.events("m", 90)[1]] == [UA] * 10
