"""Many changes at once come to the same as one after the other; all or none, if that is what is wanted."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctl.action import Drop, Output
from ctl.change import Add, Delete, Modify
from ctl.errors import Exists, FlowInvalid, NotFound, TableFull
from ctl.flow import FlowKey, Match
from ctl.history import ADDED, CHANGED, DELETED, FLUSHED
from ctl.kernel.many import bursts
from ctl.model import ModelDatapath
from ctl.plan import Plan, plan
from ctl.ufid import Ufid
from ctl.validate_actions import check_actions

U1, U2, U3 = (Ufid(bytes((n,))) for n in (1, 2, 3))
OUT2, OUT3 = (Output(2),), (Output(3),)


def match(port, mask=0xFFFF):
    return Match(FlowKey.of(in_port=port), FlowKey.of(in_port=mask))


def model(max_flows=4, max_masks=2):
    return ModelDatapath("m", max_flows=max_flows, max_masks=max_masks)


def table(datapath):
    return {(flow.who, flow.match, flow.actions) for flow in datapath.flow_dump()}


class TableOf:
    """A model's flows as a `ctl.plan.Table`."""

    def __init__(self, datapath):
        self.flows = list(datapath.flow_dump())

    def slot_of(self, who):
        return next((n for n, flow in enumerate(self.flows) if flow.who == who), None)

    def slot_under(self, mask, masked):
        places = ((flow.match.mask, flow.match.masked) for flow in self.flows)
        return next((n for n, place in enumerate(places) if place == (mask, masked)), None)

    def about(self, slot):
        return self.flows[slot].who, self.flows[slot].match


def planned(datapath, *changes):
    return plan("m", TableOf(datapath), changes, check_actions)


def carried_out(datapath, made):
    """What a table becomes by a plan."""
    flows = TableOf(datapath).flows
    left = {n: (f.who, f.match, f.actions) for n, f in enumerate(flows) if n not in made.deletes}
    for row in made.modifies:
        who, has, actions = left[row.slot]
        left[row.slot] = who, has, actions if row.actions is None else row.actions
    new = ((add.ufid or add.match.key, Match(add.match.masked, add.match.mask) if add.ufid else add.match, add.actions)
           for add in made.adds)  # fmt: skip
    return {*left.values(), *new}


who = st.sampled_from([U1, U2, U3, *(match(port).key for port in (1, 2, 3))])
matches = st.builds(match, st.integers(1, 3), st.sampled_from([0xFFFF, 3]))
actions = st.sampled_from([OUT2, OUT3, (), (Output(1),) * 65])
ufids = st.sampled_from([None, U1, U2, U3])
change = st.one_of(
    st.builds(Add, matches, actions, ufids),
    st.builds(Modify, who, st.none() | actions, st.booleans()),
    st.builds(lambda add: Modify(add.ufid or add.match.key, add.actions, create=add.match),
              st.builds(Add, matches, actions, ufids)),
    st.builds(Delete, who),
)  # fmt: skip


@settings(max_examples=60)
@given(before=st.lists(change, max_size=6), changes=st.lists(change, max_size=12))
def test_a_plan_comes_to_what_its_changes_come_to(before, changes):
    """With room for all: the flows, and which changes are refused, and why."""
    one_by_one = model(99, 99)
    one_by_one.flow_apply(before)
    made = planned(one_by_one, *changes)
    expected = carried_out(one_by_one, made)
    refused = one_by_one.flow_apply(changes)
    assert table(one_by_one) == expected
    assert [(n, str(e)) for n, e in made.refused.items()] == [(n, str(e)) for n, e in refused.items()]


@settings(max_examples=60)
@given(before=st.lists(change, max_size=6), changes=st.lists(change, max_size=12))
def test_all_or_none(before, changes):
    datapath, other = model(), model(99, 99)
    datapath.flow_apply(before)
    for flow in datapath.flow_dump():
        other.flow_new(flow.match, flow.actions, flow.ufid)
    was, generation, masks = table(datapath), datapath.stats().generation, datapath.stats().masks
    wanted = other.flow_apply(changes)
    try:
        refused = datapath.flow_apply(changes, atomic=True)
    except TableFull:
        refused = {None: None}
    if refused:
        assert (table(datapath), datapath.stats().generation, datapath.stats().masks) == (was, generation, masks)
    else:
        assert (table(datapath), wanted) == (table(other), {})
        assert datapath.stats().masks == len({flow.match.mask for flow in datapath.flow_dump()})


@settings(max_examples=60)
@given(changes=st.lists(st.sampled_from([Add(match(1), OUT2, U1), Modify(U2, OUT2), Delete(U1)]), max_size=30))
def test_bursts_are_all_changes_with_removals_last(changes):
    split = list(bursts(changes))
    assert [one for _, burst in split for one in burst] == changes
    assert all(changes[start : start + len(burst)] == burst for start, burst in split)
    for _, burst in split:
        removals = [isinstance(one, Delete) for one in burst]
        assert removals == sorted(removals)
        gone, new = ([one for one in burst if isinstance(one, kind)] for kind in (Delete, Add))
        assert not {one.who for one in gone} & {one.ufid for one in new}, "what comes and goes is not in one burst"


def test_bursts_have_an_end():
    many = [Add(match(1), OUT2)] * 10_000
    assert [start for start, _ in bursts(many)] == [0, 4096, 8192]


@pytest.mark.parametrize(
    ("changes", "left"),
    [
        ([Add(match(2), OUT2, U2), Delete(U2)], {U1: OUT2}),
        ([Add(match(2), OUT2, U2), Modify(U2, OUT3)], {U1: OUT2, U2: OUT3}),
        ([Delete(U1), Add(match(1), OUT3, U1)], {U1: OUT3}),
        ([Delete(U1), Add(match(1), OUT3, U2)], {U2: OUT3}),
        ([Modify(U1, OUT3), Delete(U1)], {}),
        ([Modify(U2, OUT3, create=match(2)), Modify(U2, None, clear=True)], {U1: OUT2, U2: OUT3}),
    ],
)
def test_changes_see_one_another(changes, left):
    datapath = model()
    datapath.flow_new(match(1), OUT2, U1)
    assert datapath.flow_apply(changes, atomic=True) == {}
    assert {flow.ufid: flow.actions for flow in datapath.flow_dump()} == left


@pytest.mark.parametrize(
    ("changes", "errors"),
    [
        ([Add(match(1), OUT3, U2)], {0: Exists}),
        ([Add(match(2), OUT3, U1)], {0: Exists}),
        ([Add(match(2), OUT3, U2), Add(match(2), OUT3, U3)], {1: Exists}),
        ([Add(match(2), OUT3), Add(match(2, 3), OUT3)], {1: Exists}),
        ([Delete(U1), Delete(U1), Modify(U1, OUT2)], {1: NotFound, 2: NotFound}),
        ([Add(match(2), (Output(1),) * 65, U2), Modify(U2, OUT2)], {0: FlowInvalid, 1: NotFound}),
        ([Modify(U1, OUT3), Modify(U1, (Drop(), Drop()))], {1: FlowInvalid}),
    ],
)
def test_all_that_is_wrong_is_told_and_nothing_is_done(changes, errors):
    datapath = model()
    datapath.flow_new(match(1), OUT2, U1)
    refused = datapath.flow_apply(changes, atomic=True)
    assert {index: type(error) for index, error in refused.items()} == errors
    assert {flow.ufid: flow.actions for flow in datapath.flow_dump()} == {U1: OUT2}


def test_old_and_new_need_room_side_by_side():
    datapath = model(max_flows=1)
    datapath.flow_new(match(1), OUT2, U1)
    swap = [Delete(U1), Add(match(2), OUT2, U2)]
    with pytest.raises(TableFull):
        datapath.flow_apply(swap, atomic=True)
    assert datapath.flow_get(U1)
    assert datapath.flow_apply(swap) == {}
    assert datapath.flow_get(U2)


def test_an_empty_plan():
    assert planned(model()) == Plan()


# --- what has changed --------------------------------------------------------------------------------


@settings(max_examples=60)
@given(st.lists(change, max_size=9), st.lists(change | st.just("flush"), max_size=15))
def test_differences_lead_from_then_to_now(before, changes):
    """Whoever had all flows then, and follows the differences, has all flows now; nothing is told without need."""
    datapath = model(99, 99)
    datapath.flow_apply(before)
    then = {flow.who: flow for flow in datapath.flow_dump()}
    since = datapath.stats().generation
    for one in changes:
        if one == "flush":
            datapath.flow_flush()
        else:
            datapath.flow_apply([one])
    told = datapath.flow_changes(since)
    known = dict(then)
    for row in told.differences:
        if row.change == FLUSHED:
            known.clear()
        elif row.change == DELETED:
            del known[row.who]
        else:
            assert (row.change == CHANGED) == (row.who in known)
            known[row.who] = row.flow
    assert known == {flow.who: flow for flow in datapath.flow_dump()}
    names = [row.who for row in told.differences if row.change != FLUSHED]
    assert len(set(names)) == len(names)
    assert all(since < row.generation <= told.generation for row in told.differences)
    assert datapath.flow_changes(told.generation).differences == ()


def test_changes_of_one_flow_are_one():
    datapath = model()
    datapath.flow_new(match(1), OUT2, U1)
    datapath.flow_new(match(2), OUT2, U2)
    since = datapath.stats().generation
    datapath.flow_apply(
        [Add(match(3), OUT2, U3), Modify(U3, OUT3), Modify(U1, OUT3), Modify(U1, None, clear=True), Delete(U2)]
    )
    rows = datapath.flow_changes(since).differences
    assert [(row.change, row.who) for row in rows] == [(ADDED, U3), (CHANGED, U1), (DELETED, U2)]
    assert [row.flow and row.flow.actions for row in rows] == [OUT3, OUT3, None]
