"""Many changes at once, what packets see of them, and the log of all changes."""

import errno
import itertools

import pytest

from ctl.abi import RecordState
from ctl.action import Output
from ctl.change import Add, Delete, Modify
from ctl.errors import TableFull
from ctl.history import ADDED, CHANGED, DELETED, FLUSHED
from ctl.kernel import libbpf
from ctl.kernel.transaction import Transactions
from ctl.ufid import Ufid
from tests.bpf.audit import audit, occupancy, state_of
from tests.bpf.harness import DROP, OUT2, XDP_DROP, XDP_REDIRECT, match_of, numbered, numbered_v6, udp_frame
from tests.bpf.harness import bench as make_bench

MAX_FLOWS, MAX_MASKS = 23, 3
UA, UB, UC = (Ufid(bytes((letter,)) * 16) for letter in b"ABC")


@pytest.fixture(scope="module")
def shared_bench():
    with make_bench(MAX_FLOWS, MAX_MASKS) as made:
        yield made


def rows(changes):
    return [(row.change, row.who) for row in changes.differences]


# --- all or none -------------------------------------------------------------------------------------


def swap():
    """From the flows 1 and 2, the second named, to others in their place and beside it."""
    return [
        Delete(numbered(1).key), Add(numbered(1), DROP, UA), Modify(UB, (Output(3),)), Add(numbered(3), OUT2, UC),
        Add(match_of(ip_proto=17, ipv4_dst=0x0A000009), OUT2),
    ]  # fmt: skip


def begin(datapath):
    datapath.flow_new(numbered(1), OUT2)
    datapath.flow_new(numbered(2), OUT2, UB)


def test_packets_see_old_or_new_and_no_gap(bench, datapath, monkeypatch):
    """A frame for each flow behind every step of a transaction."""
    begin(datapath)
    seen = []

    def look(step):
        def looking(self, *arguments, **options):
            result = step(self, *arguments, **options)
            seen.append(tuple(bench.run(udp_frame(0x0A000000 + number)).verdict for number in (1, 2, 3, 9)))
            return result

        return looking

    steps = ("_prepare", "_enter_all", "_enter", "_show_mask", "_change", "_show", "_leave_all", "_withdraw_all")
    for name in steps:
        monkeypatch.setattr(Transactions, name, look(getattr(Transactions, name)))
    assert datapath.flow_apply(swap(), atomic=True) == {}
    old, new = (XDP_REDIRECT, XDP_REDIRECT, XDP_DROP, XDP_DROP), (XDP_DROP, XDP_REDIRECT, XDP_REDIRECT, XDP_REDIRECT)
    assert (seen[0], seen[-1]) == (old, new)
    for number in range(4):
        column = [verdicts[number] for verdicts in seen]
        turns = sum(a != b for a, b in itertools.pairwise(column))
        assert turns == (old[number] != new[number])
    third, ninth = ([verdicts[number] for verdicts in seen].index(XDP_REDIRECT) for number in (2, 3))
    assert third < ninth, "a flow under a new mask comes with that mask"


@pytest.mark.parametrize("failing", range(1, 5))
def test_a_map_that_refuses_leaves_nothing_changed(datapath, monkeypatch, failing):
    begin(datapath)
    before, left, real = state_of(datapath), [failing], libbpf.map_update_batch

    def refuse(fd, keys, refs):
        left[0] -= 1
        return (0, OSError(errno.E2BIG, "no room")) if left[0] == 0 else real(fd, keys, refs)

    monkeypatch.setattr(libbpf, "map_update_batch", refuse)
    try:
        assert datapath.flow_apply([*swap(), Add(numbered_v6(1), OUT2)], atomic=True) == {}
    except OSError:
        after = state_of(datapath)
        assert all(after[part] == before[part] for part in ("tables", "live", "flows"))
    else:
        assert failing == 4, "the UFID index and two tables"


def test_a_batch_goes_on_where_the_kernel_was_short_of_memory(datapath, monkeypatch):
    left, real = [5], libbpf.map_update_batch

    def short(fd, keys, refs):
        left[0] -= 1
        if left[0] < 0:
            return real(fd, keys, refs)
        count, _ = real(fd, keys[:1], refs[:1])
        return count, OSError(errno.ENOMEM, "short of memory")

    monkeypatch.setattr(libbpf, "map_update_batch", short)
    adds = [Add(numbered(number), OUT2, Ufid(bytes((1, number)))) for number in range(9)]
    assert datapath.flow_apply(adds, atomic=True) == {}
    assert sorted(flow.ufid for flow in datapath.flow_dump()) == [add.ufid for add in adds]


@pytest.mark.parametrize(
    "changes",
    [
        [Add(numbered(number), OUT2) for number in range(50, 50 + MAX_FLOWS)],
        [Add(match_of(**{leaf: 1}), OUT2) for leaf in ("ip_tos", "tp_src", "tp_dst")],
    ],
    ids=["slots", "masks"],
)
def test_a_transaction_without_room_takes_nothing(datapath, changes):
    begin(datapath)
    before = state_of(datapath)
    with pytest.raises(TableFull):
        datapath.flow_apply(changes, atomic=True)
    assert state_of(datapath) == before
    refused = datapath.flow_apply(changes)
    assert refused
    assert all(isinstance(error, TableFull) for error in refused.values())
    assert len(refused) == len(changes) + 2 - datapath.stats().flows, "one by one as many as there is room for"


def test_a_transaction_without_units_takes_nothing(datapath, monkeypatch):
    begin(datapath)
    before, changed = state_of(datapath), [Modify(UB, (Output(3),)), Modify(numbered(1).key, (Output(3),))]
    adds = [Add(numbered(n), (Output(1),) * 4) for n in range(5, 9)]
    with datapath.hold() as writer:
        real, left = writer._units.take, [5]

        def take(units):
            left[0] -= 1
            return real(units) if left[0] >= 0 else None

        monkeypatch.setattr(writer._units, "take", take)
        with pytest.raises(TableFull, match="action lists"):
            datapath.flow_apply([*changed, *adds], atomic=True)
    audit(datapath)
    assert state_of(datapath) == before


def test_a_full_table_is_renewed_without_atomic_only(datapath):
    for number in range(MAX_FLOWS):
        datapath.flow_new(numbered(number), OUT2)
    renewed = [change for n in range(MAX_FLOWS) for change in (Delete(numbered(n).key), Add(numbered(n), DROP))]
    with pytest.raises(TableFull):
        datapath.flow_apply(renewed, atomic=True)
    assert datapath.flow_apply(renewed) == {}
    assert {flow.actions for flow in datapath.flow_dump()} == {DROP}


def test_a_flow_that_comes_and_goes_keeps_others_from_its_rank(datapath):
    """One after the other the second flow has the second mask, together the first: which wins may hang on it."""
    changes = [Add(match_of(in_port=1), OUT2, UA), Add(match_of(ip_proto=17), OUT2, UB), Delete(UA)]
    datapath.flow_apply(changes)
    assert datapath.reader.live_masks() == [1]
    datapath.flow_flush()
    datapath.flow_apply(changes, atomic=True)
    assert datapath.reader.live_masks() == [0]


@pytest.mark.parametrize("together", [True, False])
def test_a_rank_that_has_just_become_free_is_taken(datapath, together):
    with datapath.hold():
        datapath.flow_apply([Add(match_of(in_port=1), OUT2, UA), Add(match_of(ip_proto=17), OUT2, UB), Delete(UA)])
        new = match_of(tp_dst=1)
        if together:
            datapath.flow_apply([Add(new, OUT2, UC)], atomic=True)
        else:
            datapath.flow_new(new, OUT2, UC)
        assert datapath.masks() == [new.mask, match_of(ip_proto=17).mask]


def test_a_reader_finds_a_renamed_flow_all_the_time(datapath, monkeypatch):
    """The UFID leads to the old flow until the new one is live."""
    datapath.flow_new(numbered(1), OUT2, UA)
    found = []
    real = Transactions._enter

    def looking(self, *arguments, **options):
        found.append(datapath.flow_get(UA).match)
        real(self, *arguments, **options)
        found.append(datapath.flow_get(UA).match)

    monkeypatch.setattr(Transactions, "_enter", looking)
    datapath.flow_apply([Delete(UA), Add(numbered(2), OUT2, UA)], atomic=True)
    assert [match.key for match in found] == [numbered(1).key, numbered(2).key]


def test_thousands_of_changes_in_one_hold_leave_everything_as_it_was(datapath):
    start = occupancy(datapath)
    with datapath.hold():
        for _ in range(53):
            adds = [Add((numbered if n % 2 else numbered_v6)(n), OUT2, Ufid(bytes((n + 1,)))) for n in range(MAX_FLOWS)]
            assert datapath.flow_apply(adds) == {}
            assert datapath.flow_apply([Modify(add.ufid, DROP, clear=True) for add in adds], atomic=True) == {}
            assert datapath.flow_apply([Delete(add.ufid) for add in adds], atomic=True) == {}
    assert occupancy(datapath) == start


# --- the log -----------------------------------------------------------------------------------------


def test_every_change_is_one_more(datapath):
    before = datapath.stats().generation
    datapath.flow_new(numbered(1), OUT2, UA)
    datapath.flow_set(UA, DROP)
    datapath.flow_set(UA, None, clear=True)
    datapath.flow_del(UA)
    assert datapath.flow_flush() == 0
    assert datapath.stats().generation == before + 4, "to remove no flows is no change"


def test_a_transaction_is_seen_at_once(datapath, monkeypatch):
    begin(datapath)
    mark, seen = datapath.stats().generation, []
    real = Transactions._withdraw_all

    def looking(self, *arguments):
        seen.append(rows(datapath.flow_changes(mark)))
        real(self, *arguments)

    monkeypatch.setattr(Transactions, "_withdraw_all", looking)
    datapath.flow_apply(swap(), atomic=True)
    assert seen == [[]]
    assert rows(datapath.flow_changes(mark)) == [
        (DELETED, numbered(1).key), (ADDED, UA), (ADDED, UC),
        (ADDED, match_of(ip_proto=17, ipv4_dst=0x0A000009).key), (CHANGED, UB),
    ]  # fmt: skip


def test_a_flush_is_one_change_with_its_sums(bench, datapath):
    begin(datapath)
    for _ in range(23):
        bench.run(udp_frame(0x0A000001))
    mark = datapath.stats().generation
    datapath.flow_flush()
    datapath.flow_new(numbered(5), OUT2, UC)
    flush, added = datapath.flow_changes(mark).differences
    assert (flush.change, flush.flows, flush.packets, flush.bytes) == (FLUSHED, 2, 23, 23 * 53)
    assert (added.change, added.who) == (ADDED, UC)
    assert datapath.stats().generation == mark + 2


@pytest.mark.parametrize("key", [numbered(1), numbered_v6(1), match_of(nd_target=(1 << 128) - 1), match_of()])
def test_keys_of_all_sizes_come_back(datapath, key):
    mark = datapath.stats().generation
    datapath.flow_new(key, OUT2)
    assert rows(datapath.flow_changes(mark)) == [(ADDED, key.key)]
    there = datapath.stats().generation
    datapath.flow_del(key.key)
    assert rows(datapath.flow_changes(there)) == [(DELETED, key.key)]


def test_what_never_came_is_no_change(datapath):
    """An entry whose change was not made, as of a writer that died in between."""
    datapath.flow_new(numbered(1), OUT2, UA)
    mark = datapath.stats().generation
    with datapath.hold() as writer:
        writer.log.note(1, 5, UB)
        assert datapath.flow_changes(mark).differences == ()
        writer.recover()
    assert datapath.flow_changes(mark).differences == ()
    datapath.flow_new(numbered(2), OUT2, UB)
    assert rows(datapath.flow_changes(mark)) == [(ADDED, UB)]
    assert {datapath.reader.record(slot).state for slot in datapath.reader.live_slots()} == {RecordState.RECORD_LIVE}
