"""A writer may die between any two lines: the next one makes everything right, and no flow is half there."""

import errno
import functools
import os
import random
import signal
import sys
import time
from contextlib import contextmanager, suppress

import pytest

from ctl import faults
from ctl.abi import MapId
from ctl.change import Add, Delete, Modify
from ctl.errors import Busy, TableFull
from ctl.history import DELETED, FLUSHED
from ctl.kernel import bpffs, changelog, grace, libbpf, many, store, transaction
from ctl.kernel import lock as lock_module
from ctl.kernel import writer as writer_module
from ctl.kernel.datapath import KernelDatapath
from ctl.kernel.writer import Writer
from ctl.ufid import Ufid
from tests.bpf.audit import audit, state_of
from tests.bpf.harness import DROP, OUT2, XDP_REDIRECT, match_of, numbered, numbered_v6, udp_frame
from tests.bpf.harness import bench as make_bench

UA, UB, UC, UD = (Ufid(bytes((letter,)) * 16) for letter in b"ABCD")
NEW_MASK = match_of(in_port=1, ipv4_dst=0x0A000007)


@pytest.fixture(scope="module")
def shared_bench():
    with make_bench(max_flows=11, max_masks=5) as made:
        yield made


FILES = {module.__file__ for module in (changelog, store, transaction, writer_module)}


class Death(BaseException):
    """The writer's process is gone."""


@contextmanager
def dying_at(line):
    """Die before the modules that change the table execute their line of that number, counted as they are executed."""
    left = line

    def trace(frame, event, _argument):
        nonlocal left
        if frame.f_code.co_filename not in FILES:
            return None
        if event == "line":
            left -= 1
            if left < 0:
                raise Death
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)


def survives(datapath, line, change):
    """Whether a writer that dies at a line gets through a change; what it leaves behind stays as it is."""
    writer = Writer(datapath.maps, datapath.sizes, bpffs.folder(datapath.name), 0)
    writer.__enter__()
    try:
        with dying_at(line):
            change(writer)
            writer.__exit__(None, None, None)
    except Death:
        return False
    finally:
        with suppress(OSError):  # it may have died just after closing it
            os.close(writer._lock)
    return True


@pytest.fixture
def no_waiting(monkeypatch):
    """Test runs are over when they return: nobody is in the program whom a grace period would wait for."""
    monkeypatch.setattr(grace, "wait", lambda: None)


def install(datapath):
    """Four flows under three masks of both classes, two of them with a UFID."""
    datapath.flow_flush()
    datapath.flow_new(numbered(1), OUT2)
    datapath.flow_new(numbered(2), OUT2, UA)
    datapath.flow_new(numbered_v6(3), OUT2, UB)
    datapath.flow_new(match_of(in_port=9), OUT2)


def flows(datapath):
    return {(flow.ufid, flow.match, flow.actions) for flow in datapath.flow_dump()}


def slot(writer, who):
    return writer.slot_of_ufid(who) if isinstance(who, Ufid) else writer.slot_of_key(who.key)


def reuse(writer):
    """Free slots, units and a mask and use them again, all by one writer."""
    writer.remove([slot(writer, numbered(1)), slot(writer, match_of(in_port=9))])
    writer.insert(NEW_MASK, OUT2, UC)
    writer.modify(slot(writer, UC), DROP)
    writer.insert(numbered_v6(4), OUT2, UD)
    writer.remove([slot(writer, UC)])
    writer.insert(numbered(8), OUT2, UC)


CHANGES = {
    "insert under a mask that is there": lambda w: w.insert(numbered(5), OUT2, None),
    "insert with a UFID": lambda w: w.insert(numbered(5), OUT2, UC),
    "insert under a new mask": lambda w: w.insert(NEW_MASK, OUT2, UC),
    "insert into class M": lambda w: w.insert(numbered_v6(5), OUT2, UC),
    "insert two": lambda w: (w.insert(numbered(5), OUT2, None), w.insert(NEW_MASK, OUT2, UC)),
    "modify": lambda w: w.modify(slot(w, UA), DROP),
    "modify twice": lambda w: (w.modify(slot(w, UA), DROP), w.modify(slot(w, UA), DROP)),
    "remove": lambda w: w.remove([slot(w, numbered(1))]),
    "remove one with a UFID": lambda w: w.remove([slot(w, UA)]),
    "remove the last of a mask": lambda w: w.remove([slot(w, UB)]),
    "remove all": lambda w: w.remove(list(w.live_slots())),
    "reuse": reuse,
}


TRANSACTIONS = {
    "transaction of everything": [
        Delete(UA), Add(numbered(2), DROP, UA), Add(NEW_MASK, OUT2, UC), Delete(UB), Add(numbered_v6(5), OUT2, UB),
        Delete(numbered(1).key), Add(numbered(1), DROP, UD), Modify(match_of(in_port=9).key, DROP, clear=True),
    ],
    "transaction that changes and clears": [
        Modify(UA, DROP, clear=True), Modify(UB, DROP), Modify(UB, None, clear=True),
    ],
    "transaction that removes all": [
        Delete(UA), Delete(UB), Delete(numbered(1).key), Delete(match_of(in_port=9).key),
    ],
}  # fmt: skip


CHANGES |= {"flush": lambda w: w.flush()} | {
    name: functools.partial(lambda changes, w: many.apply("tb", w, changes, atomic=True), changes)
    for name, changes in TRANSACTIONS.items()
}


def followed(flows, changes):
    """Flows as they are by (UFID, match, actions), after these changes."""
    now = {ufid or match.key: (ufid, match, actions) for ufid, match, actions in flows}
    for row in changes.differences:
        if row.change == FLUSHED:
            now.clear()
        elif row.change == DELETED:
            del now[row.who]
        else:
            now[row.who] = (row.flow.ufid, row.flow.match, row.flow.actions)
    return set(now.values())


def every_state(datapath, change):
    """What the flow table may be: before the change, after it, and every flow of either in one or the other."""
    install(datapath)
    before = flows(datapath)
    with datapath.hold() as writer:
        change(writer)
    return before, flows(datapath)


@pytest.mark.usefixtures("no_waiting")
@pytest.mark.parametrize("name", CHANGES)
def test_death_at_any_line(bench, datapath, name):
    change = CHANGES[name]
    before, after = every_state(datapath, change)
    line, seen = 0, set()
    while True:
        install(datapath)
        mark = datapath.stats().generation
        alive = survives(datapath, line, change)
        with datapath.hold():
            pass
        audit(datapath)
        now = flows(datapath)
        assert followed(before, datapath.flow_changes(mark)) == now
        if name in TRANSACTIONS:
            assert now in (before, after)
        elif name != "reuse":
            assert before & after <= now <= before | after
        assert len({(ufid, match) for ufid, match, _ in now}) == len(now)
        for number in (1, 2):
            verdict = bench.run(udp_frame(0x0A000000 + number)).verdict
            there = any(m.key == numbered(number).key and actions for _, m, actions in now)
            assert (verdict == XDP_REDIRECT) == there
        seen.add(frozenset(now))
        if alive:
            break
        line += 1
    assert now == after
    assert line > 20, "hardly any line was tried"
    assert frozenset(before) in seen


@pytest.mark.usefixtures("no_waiting")
def test_a_batch_that_dies_leaves_each_flow_there_or_gone(datapath):
    sizes = set()
    install(datapath)
    line = 0
    while not survives(datapath, line, CHANGES["remove all"]):
        with datapath.hold():
            sizes.add(len(flows(datapath)))
        install(datapath)
        line += 1
    assert sizes == {0, 1, 2, 3, 4}


@pytest.mark.usefixtures("no_waiting")
@pytest.mark.parametrize("name", ["insert with a UFID", "remove all", "reuse", "transaction of everything"])
def test_death_during_the_repair(datapath, name):
    change = CHANGES[name]
    before, after = every_state(datapath, change)
    for first in (23, 41, 53, 67) if name not in TRANSACTIONS else deaths_between(datapath, change):
        line, repaired = 0, False
        while not repaired:
            install(datapath)
            if survives(datapath, first, change):
                break
            with locked(datapath) as writer:
                repaired = repairs(writer, line)
            with datapath.hold():
                pass
            audit(datapath)
            now = flows(datapath)
            assert name == "reuse" or before & after <= now <= before | after
            assert name not in TRANSACTIONS or now in (before, after)
            line += 5 if name in TRANSACTIONS else 1
        assert line != 1


def deaths_between(datapath, change):
    """A line of every stage of a transaction, from one fault point to the next."""
    lines, at = [], [0]

    def count(frame, event, _argument):
        if frame.f_code.co_filename not in FILES:
            return None
        at[0] += event == "line"
        return count

    faults.listen(lambda name: name.startswith("transaction.") and lines.append(at[0] + 3))
    before = sys.gettrace()
    try:
        install(datapath)
        sys.settrace(count)
        with Writer(datapath.maps, datapath.sizes, bpffs.folder(datapath.name), 0) as writer:
            at[0] = 0
            change(writer)
    finally:
        sys.settrace(before)
        faults.listen(None)
    return lines


@contextmanager
def locked(datapath):
    """A writer that has the lock and has repaired nothing."""
    writer = Writer(datapath.maps, datapath.sizes, bpffs.folder(datapath.name), 0)
    fd = lock_module.lock_folder(bpffs.folder(datapath.name), 0)
    try:
        yield writer
    finally:
        os.close(fd)


def repairs(writer, line):
    try:
        with dying_at(line):
            writer.recover()
    except Death:
        return False
    return True


def test_a_change_that_fails_in_the_kernel_is_undone_at_once_although_others_follow(datapath, monkeypatch):
    install(datapath)
    before = state_of(datapath)
    real, failing = libbpf.map_update, [3]

    def fail(fd, key, value, flags=0):
        failing[0] -= 1
        if failing[0] == 0:
            raise OSError(errno.E2BIG, "no room")
        real(fd, key, value, flags)

    with datapath.hold():
        monkeypatch.setattr(libbpf, "map_update", fail)
        datapath.flow_new(numbered(5), OUT2)
        with pytest.raises(OSError, match="no room"):
            datapath.flow_new(NEW_MASK, OUT2, UC)
        monkeypatch.undo()
        datapath.flow_del(numbered(5).key)
        assert state_of(datapath) == before
    audit(datapath)


@pytest.mark.parametrize(("failures", "works"), [(49, True), (50, False)])
def test_the_kernel_may_be_short_of_memory_for_a_moment(datapath, monkeypatch, failures, works):
    with datapath.hold() as writer:
        writer.recover()  # free slots lie in order, as they will after the repair
    install(datapath)
    before, real, left = state_of(datapath), libbpf.map_update, [failures]

    def short(*arguments):
        left[0] -= 1
        if left[0] >= 0:
            raise OSError(errno.ENOMEM, "short of memory")
        real(*arguments)

    monkeypatch.setattr(time, "sleep", lambda _seconds: None)
    monkeypatch.setattr(libbpf, "map_update", short)
    if works:
        assert datapath.flow_new(numbered(5), OUT2, UC).ufid == UC
    else:
        with pytest.raises(TableFull, match="no memory for another flow"):
            datapath.flow_new(numbered(5), OUT2, UC)
        assert state_of(datapath) == before


def test_a_repair_that_fails_gives_the_lock_back(datapath, monkeypatch):
    install(datapath)
    assert not survives(datapath, 23, CHANGES["remove all"])
    with monkeypatch.context() as patch:

        def fail(_writer):
            raise Death

        patch.setattr(Writer, "recover", fail)
        with pytest.raises(Death), datapath.hold():
            pass
    with datapath.hold():
        pass
    audit(datapath)


def test_interrupt_is_repaired_by_the_writer_itself(datapath):
    install(datapath)
    before = state_of(datapath)

    def interrupted():
        with datapath.hold() as writer:
            writer.insert(NEW_MASK, OUT2, UC)
            writer._pop(MapId.MAP_FREE_SLOTS, "n_free_slots")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    datapath.flow_del(UC)
    audit(datapath)
    after = state_of(datapath)
    assert all(after[part] == before[part] for part in ("tables", "live", "flows"))


# --- killed processes --------------------------------------------------------------------------------


def churn(name, seed, told):
    """Insert, change and delete flows at random for ever, one octet told for each change."""
    choose = random.Random(seed)
    with KernelDatapath(name) as datapath:
        while True:
            number = choose.randrange(7)
            match = (numbered if number % 2 else numbered_v6)(number)
            ufid = Ufid(bytes((number + 1,))) if number > 2 else None
            who = ufid or match.key
            known = [flow for flow in datapath.flow_dump() if (flow.ufid or flow.match.key) == who]
            if not known:
                datapath.flow_new(match, OUT2, ufid)
            elif choose.random() < 0.5:
                datapath.flow_set(who, DROP)
            else:
                datapath.flow_del(who)
            os.write(told, b".")


def start(function, *arguments):
    """Fork a child that calls a function with a pipe's end as its last argument; its pid and the other end."""
    here, there = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            function(*arguments, there)
        finally:
            os._exit(1)
    os.close(there)
    return pid, here


@pytest.mark.parametrize("seed", range(23))
def test_kill(datapath, seed):
    changes = random.Random(seed).randrange(1, 30)
    pid, told = start(churn, datapath.name, seed)
    try:
        assert all(os.read(told, 1) for _ in range(changes))
    finally:
        os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        os.close(told)
    assert os.WTERMSIG(status) == signal.SIGKILL
    with datapath.hold():
        pass
    audit(datapath)
    for flow in flows(datapath):
        assert flow[2] in (OUT2, DROP)


# --- two writers -------------------------------------------------------------------------------------


def test_a_second_writer_is_told_that_the_first_is_at_work(datapath):
    install(datapath)
    with datapath.hold(), KernelDatapath(datapath.name, timeout_s=0) as second:
        with pytest.raises(Busy):
            second.flow_new(numbered(5), OUT2)
        assert second.flow_get(UA).actions == OUT2, "readers do not wait"
        datapath.flow_new(numbered(6), OUT2)
    assert len(flows(datapath)) == 5


def test_a_second_writer_waits_for_the_first(datapath, monkeypatch):
    """The first is done when the second waits for the third time."""
    first = Writer(datapath.maps, datapath.sizes, bpffs.folder(datapath.name))
    first.__enter__()
    first.insert(numbered(1), OUT2, None)
    waits = []

    def sleep(_seconds):
        waits.append(len(flows(datapath)))
        if len(waits) == 3:
            first.__exit__(None, None, None)

    monkeypatch.setattr(time, "sleep", sleep)
    datapath.flow_new(numbered(2), OUT2)
    assert waits == [1, 1, 1]
    assert len(flows(datapath)) == 2
