"""The kernel datapath and the model side by side: both get the same flows and packets, and must agree.

`Pair` is the two datapaths.  `cases()` makes lists of steps for hypothesis; `play` takes the steps one
by one and compares after each what there is to compare: verdict, key, result or refusal, and at the end
every counter.
"""

import errno
import os
import time
from contextlib import contextmanager
from dataclasses import fields, replace

from hypothesis import reject
from hypothesis import strategies as st

from ctl import abi
from ctl.abi import KEY_LEAVES, MapId
from ctl.action import (
    CheckPktLen,
    Clone,
    DecTtl,
    Drop,
    Hash,
    HashAlgorithm,
    Output,
    PopVlan,
    Psample,
    PushVlan,
    Recirc,
    Sample,
    Set,
    Trunc,
    Userspace,
    nested,
    walk,
)
from ctl.action import Meter as MeterAction
from ctl.change import Add, Modify
from ctl.change import Delete as Remove
from ctl.datapath import PortStats
from ctl.errors import CtlError
from ctl.flow import Flow, FlowKey, Match
from ctl.kernel.ring import SampleReader
from ctl.model import ModelDatapath
from ctl.packet import extract
from ctl.ufid import Ufid
from tests.bpf.audit import audit, occupancy
from tests.bpf.harness import NOTE_SIZE, PORTS, TC_REDIRECT, TC_SHOT, XDP_DROP, XDP_PASS, XDP_REDIRECT, bench, exact
from tests.frames import whole
from tests.golden.packets import GOLDEN
from tests.metering import meter_ids, meter_steps, remove_meters
from tests.steps import Apply, Change, Delete, Flush, Get, Luck, New, Packet, Since
from tests.unit.strategies import sets

MAX_FLOWS, MAX_MASKS = 7, 4
TPIDS = (b"\x81\x00", b"\x88\xa8")
BEHIND_TPID = 2 + 4  # bytes that skb_vlan_untag wants: the tag's number, and what it moves is one type more
VERDICTS = {"xdp": (XDP_DROP, XDP_REDIRECT), "tc": (TC_SHOT, TC_REDIRECT)}  # ended, sent


class Pair:
    """A kernel datapath on its bench, and the model of it.  ``tc_only``: packets come to the tc hook at once."""

    def __init__(self, made, samples, *, tc_only=False):
        self.tc_only = tc_only
        self.kernel = made.datapath
        self._bench = made
        self._samples = samples
        self._luck = 0
        self.model = None
        self._before = None
        self._marks = []
        self._empty = occupancy(self.kernel)

    def begin(self):
        """Empty both.  Counters of the kernel's go on, and are compared from here.

        Whatever was done before: maps, slots, action units and masks are as they were in the beginning.
        """
        self.kernel.flow_flush()
        audit(self.kernel)
        assert occupancy(self.kernel) == self._empty
        self.model = ModelDatapath(
            self.kernel.name, max_flows=MAX_FLOWS, max_masks=MAX_MASKS, clock=lambda: 1, draw=lambda: self._luck
        )
        self.luck(0)
        self._samples.read()  # what a case that was given up had left there
        for number in (0, *PORTS):
            self.model.add_port(number)
        remove_meters(self.kernel)
        self._before = counters(self.kernel)
        self._marks = [d.stats().generation for d in (self.kernel, self.model)]

    def luck(self, number):
        """What sample draws from now on."""
        self._luck = number
        self.kernel.reader.control.luck = number + 1

    def packet(self, frame, in_port):
        """One packet through both: verdict, key of the last pass, and the bytes of what is sent in the end.

        On the tc hook these can be compared but for the tags, one of which is not in the bytes; and trunc cannot cut
        within the tags there, so that nothing is said of a frame that the model cuts there.
        """
        before = lookups(self.model)
        expected = self.model.process(frame, -1 if in_port is None else in_port)
        hook, verdict, sent, key = self._run(frame, in_port, lookups(self.model) - before)
        if hook == "tc" and any(is_cut_within_tags(frame) for _, frame in expected.sent):
            reject()
        assert verdict == VERDICTS[hook][expected.out_port is not None], expected
        assert expected.key is None or key == expected.key
        if expected.out_port is not None:
            assert sent == expected.frame if hook == "xdp" else bare(sent) == bare(expected.frame)
        samples = [(s.group, s.cookie, s.rate, s.in_port, s.packet) for s in self._samples.read()]
        assert samples == [(a.group, a.cookie, rate, in_port, cut) for a, rate, cut in expected.samples]

    def control(self, call, *arguments, **options):
        """One call of the `Datapath` protocol on both."""
        got, expected = (outcome(getattr(d, call), *arguments, **options) for d in (self.kernel, self.model))
        assert got == expected

    def since(self, *, keep):
        """What has changed since the beginning or the last mark, which is moved to here unless it is to be kept."""
        both = [d.flow_changes(mark) for d, mark in zip((self.kernel, self.model), self._marks, strict=True)]
        got, expected = (sorted(map(told_difference, changes.differences)) for changes in both)
        assert got == expected
        if not keep:
            self._marks = [changes.generation for changes in both]

    def end(self):
        """All flows and counters, and all changes."""
        self.since(keep=True)
        got, expected = (sorted(map(told, d.flow_dump())) for d in (self.kernel, self.model))
        assert got == expected
        terse, full = (
            {(f.who, f.stats, f.generation) for f in dump()}
            for dump in (self.kernel.flow_dump_terse, self.kernel.flow_dump)
        )
        assert terse == full
        assert [told(meter) for meter in self.kernel.meters()] == [told(meter) for meter in self.model.meters()]
        assert self._gained() == counters(self.model)

    def _gained(self):
        after = counters(self.kernel)
        return {name: after[name] - self._before[name] for name in after}

    def _has_settled(self, expected):
        """Whether all copies have come back: there were so many look-ups, and what comes without one is counted."""
        if lookups(self.kernel) != expected:
            return False
        return not any(map(nested, self._actions())) or self._gained() == counters(self.model)

    def _actions(self):
        return [action for flow in self.model.flow_dump() for action in flow.actions]

    def _run(self, frame, in_port, passes):
        """Hook, return value, the frame, and the key that the program leaves in this processor's working memory.

        Copies that are recirculated come back from the kernel's queue: they may have done so only a moment later.
        """
        allowed = os.sched_getaffinity(0)
        cpu = min(allowed)
        os.sched_setaffinity(0, {cpu})
        expected, deadline = lookups(self.kernel) + passes, time.monotonic() + 1
        try:
            hook, ran = self._walk(frame, in_port)
            while not self._has_settled(expected) and time.monotonic() < deadline:
                time.sleep(0)
        finally:
            os.sched_setaffinity(0, allowed)
        scratch = self.kernel.maps.per_cpu(MapId.MAP_SCRATCH, 0, abi.Scratch)[cpu]
        return hook, ran.verdict, ran.frame, FlowKey(bytes(scratch.key))

    def _walk(self, frame, in_port):
        """From hook to hook.  A test run takes no note along: where it says so, its second part begins as it says."""
        if self.tc_only:
            return "tc", self._on_tc(frame, in_port, "dp_tc")
        before = counters(self.kernel)
        ran = self._bench.run(frame, in_port)
        if ran.verdict != XDP_PASS:
            return "xdp", ran
        note = abi.HandOver.from_buffer_copy(ran.frame)
        assert (note.token, note.in_port) == (self.kernel.meta.token, in_port)
        if not note.passes:
            assert ran.frame[NOTE_SIZE:] == frame
            assert counters(self.kernel) == before, "a frame that is handed over whole is not counted"
        return "tc", self._on_tc(ran.frame[NOTE_SIZE:], in_port, "dp_tc_again" if note.passes else "dp_tc")

    def _on_tc(self, frame, in_port, entry):
        """A test run takes no frame that ends before its IP header does: nothing can be said of such a case.

        Nor of a copy that comes back with a tag cut short.  A test run leaves the outer tag in the bytes, and the
        kernel takes it from there when the copy comes in, or loses the copy; a real frame's was beside it all along.
        An inner tag is there once the outer one has been popped.
        """
        if has_short_tag(frame) and self._sends_copies_back():
            reject()
        try:
            return self._bench.run_tc(frame, in_port, entry=entry)
        except OSError as e:
            if e.errno != errno.EINVAL or len(frame) >= 14 + 40:
                raise
            reject()

    def _sends_copies_back(self):
        return any(isinstance(action, Recirc) or nested(action) for action in self._actions())


@contextmanager
def pair(*, tc_only=False):
    """A pair, whose tables are small enough to be full at times."""
    with bench(MAX_FLOWS, MAX_MASKS) as made, SampleReader(made.datapath) as samples:
        yield Pair(made, samples, tc_only=tc_only)


def is_cut_within_tags(frame):
    """Whether a frame ends before the type behind its last tag."""
    at = 12
    while frame[at : at + 2] in TPIDS:
        at += 4
    return len(frame) < at + 2


def has_short_tag(frame):
    """Whether there is a tag that the kernel would not take from the bytes of a frame which comes in."""
    at = 12
    while frame[at : at + 2] in TPIDS:
        if len(frame) < at + 2 + BEHIND_TPID:
            return True
        at += 4
    return False


def bare(frame):
    """A frame without its VLAN tags."""
    while len(frame) >= 18 and frame[12:14] in TPIDS:
        frame = frame[:12] + frame[16:]
    return frame


def outcome(call, *arguments, **options):
    """What a call returned, or how it was refused, in a form that can be compared."""
    try:
        result = call(*arguments, **options)
    except CtlError as e:
        return told_error(e)
    if isinstance(result, dict):
        return {index: told_error(error) for index, error in result.items()}
    return result if isinstance(result, int) else told(result)


def told_error(error):
    return type(error), error.message, error.hint


def told(flow):
    """A flow without what the two need not agree on: the generation, and when it was hit.  Likewise a meter."""
    if not isinstance(flow, Flow):
        return flow and replace(flow, stats=replace(flow.stats, used_ms=flow.stats.used_ms is not None))
    stats = (flow.stats.packets, flow.stats.bytes, flow.stats.used_ms is not None, flow.stats.tcp_flags)
    name = flow.ufid.octets if flow.ufid else b""
    return name, flow.match.key.raw, flow.match.mask.raw, flow.actions, stats


def told_difference(row):
    """A difference without its generation; in order of the change and the name."""
    name = row.who.raw if isinstance(row.who, FlowKey) else row.who.octets if row.who else b""
    flow = told(row.flow) if row.flow else ()
    return row.change, name, isinstance(row.who, FlowKey), row.flows, row.packets, row.bytes, flow


def lookups(datapath):
    stats = datapath.stats()
    return stats.hit + stats.missed


def counters(datapath):
    """Every counter of a datapath and its ports, by name."""
    stats, ports = datapath.stats(), datapath.port_stats()
    return {
        **{name: getattr(stats, name) for name in ("hit", "missed", "lost", "mask_hit", "stale")},
        **stats.drops,
        **{(n, f.name): getattr(s, f.name) for n, s in ports.items() for f in fields(PortStats)},
    }


# --- cases -------------------------------------------------------------------------------------------


LEAVES = [name for name, (at, _, _) in KEY_LEAVES.items() if at < KEY_LEAVES["tun_ipv6_src"][0] and name != "mask_id"]
UFIDS = [Ufid(octets) for octets in (b"\1", b"\1\0", bytes(16), b"\1" * 16)]
plain = st.sampled_from([(), *((Output(port),) for port in (0, 1, 2, 2, 4, 1023, 4096)), (Output(1), Output(2))])
ends = st.sampled_from([Output(2), Output(2), Output(1), Output(4), Recirc(1), Recirc(1), Recirc(2), Drop(0), Drop(7)])
recirculations = st.builds(Recirc, st.integers(1, 2))
SHAPE = exact("eth_type", "ip_proto", "ip_frag", "l2_kind")
FIRST_PASS = exact("eth_type", "ip_proto", "ip_frag", "l2_kind", "recirc_id")
edits = st.one_of(
    st.builds(PushVlan, st.sampled_from([0x8100, 0x88A8]), st.integers(0x1000, 0xFFFF).map(lambda tci: tci | 0x1000)),
    st.just(PopVlan()),
    st.builds(Trunc, st.integers(14, 90)),
    st.builds(Hash, st.sampled_from(HashAlgorithm), st.integers(0, 3)),
    st.builds(Userspace, st.just(1), st.none() | st.binary(max_size=20)),
    st.builds(Psample, st.integers(0, 3), st.none() | st.binary(min_size=1, max_size=16)),
    st.builds(MeterAction, meter_ids),
)
chances = st.sampled_from([0, 1, 7, 0xFFFFFFFE, 0xFFFFFFFF])
marks = st.builds(Set, st.sampled_from(["skb_mark", "skb_priority"]), st.tuples(st.integers(0, 3)))
MOST_COPIES = 2  # that wait in the kernel's queue, of one list: it holds 1,000, and each copy may make as many
ufids = st.sampled_from(UFIDS)
any_frame = whole | st.sampled_from([row.frame for row in GOLDEN])
with_ports = st.sampled_from([row.frame for row in GOLDEN if row.key["ip_proto"] in {6, 17, 132}])


@st.composite
def masks(draw):
    """Some leaves, most of them whole: the others by any of their bits."""
    leaves = {}
    for name in draw(st.lists(st.sampled_from(LEAVES), unique=True, max_size=4)):
        ones = (1 << 8 * KEY_LEAVES[name][1]) - 1
        leaves[name] = draw(st.sampled_from((ones, ones, ones & ~1, ones << 1 & ones)) | st.integers(0, ones))
    return FlowKey.of(**leaves)


def header_sets(match):
    return sets(match).filter(lambda action: not action.section.startswith("skb_"))


@st.composite
def lists(draw, match):
    """An action list that mostly suits a match, and mostly ends in something."""
    if draw(st.booleans()):
        return draw(plain)
    steps = edits | header_sets(match) if match.masked["l2_kind"] else edits
    copies = st.builds(Output, st.sampled_from(PORTS)) if draw(st.booleans()) else steps
    within = st.recursive(
        simple_lists(steps | copies | marks), lambda inner: simple_lists(steps | nesting(inner)), max_leaves=4
    )
    listed = draw(st.lists(steps | steps | copies | recirculations | nesting(within), max_size=5))
    listed = without_crowds(listed)
    return (*listed, draw(ends)) if draw(st.integers(0, 4)) else tuple(listed)


def simple_lists(steps):
    """Lists of up to three of these, and an end."""
    return st.builds(lambda some, end: (*some, *end), st.lists(steps, max_size=3), st.lists(ends, max_size=1))


def nesting(lists):
    """Actions that have some of these lists inside."""
    return st.one_of(
        st.builds(Clone, lists),
        st.builds(Sample, chances, lists),
        st.builds(CheckPktLen, st.integers(1, 120), lists, lists),
        st.builds(DecTtl, lists),
    )


def without_crowds(listed):
    """A list without those actions that would make too many copies wait."""
    kept, waiting = [], 0
    for action in listed:
        count = sum(isinstance(one, Recirc) or bool(nested(one)) for one in walk((action,)))
        if waiting + count <= MOST_COPIES:
            kept.append(action)
            waiting += count
    return kept


@st.composite
def news(draw, keys, some_masks):
    """A flow for a key: under any mask, or under one that says what kind of packet it is."""
    key, mask = draw(keys), draw(some_masks)
    if draw(st.booleans()):
        mask = FlowKey(bytes(a | b for a, b in zip(mask.raw, SHAPE.raw, strict=True)))
    match = Match(key.with_leaves(recirc_id=draw(st.sampled_from([0, 0, 1, 2]))), mask)
    may_exist, like_kernel = draw(st.sampled_from([(False, False)] * 3 + [(True, False), (True, True), (False, True)]))
    listed = draw(plain if like_kernel else lists(match))  # which may go to a flow with another match
    return New(match, listed, draw(st.none() | ufids), may_exist, like_kernel)


@st.composite
def cases(draw):
    """Some flows, then any steps, over few frames and masks: packets hit, flows overlap and collide."""
    known = draw(st.lists(any_frame, min_size=1, max_size=3))
    frames = st.sampled_from([frame.ljust(14, b"\0") for frame in known])
    ports = st.sampled_from(PORTS)
    some_masks = st.sampled_from(draw(st.lists(masks(), min_size=1, max_size=5)))
    keys = st.builds(extract, frames, ports)
    who = st.one_of(ufids, ufids, keys)
    new = news(keys, some_masks)
    packet = st.builds(Packet, frames, ports)
    stray = st.builds(Packet, frames, st.none())
    match = st.none() | st.builds(Match, keys, some_masks)
    change = st.builds(Change, who, st.none() | plain, st.booleans(), match, st.booleans())
    others = (st.builds(Delete, who), st.builds(Get, who), st.builds(Luck, st.sampled_from([0, 5, 1 << 31])))
    one = st.one_of(new, new, packet, packet, packet, change, stray, meter_steps, *others)
    step = st.one_of(one, one, one, one, applies(new, who), st.builds(Since, st.booleans()), st.just(Flush()))
    return draw(st.lists(new | meter_steps, max_size=6)) + draw(st.lists(step, min_size=5, max_size=40))


def applies(new, who):
    """Several changes at once, which name few flows, so that they meet."""
    one = st.one_of(
        new.map(lambda step: Add(step.match, step.actions, step.ufid)),
        st.builds(Modify, who, st.none() | plain, st.booleans()),
        new.map(lambda step: Modify(step.ufid or step.match.key, step.actions, create=step.match)),
        st.builds(Remove, who),
        st.builds(Remove, who),
    )
    return st.builds(Apply, st.lists(one, min_size=1, max_size=9).map(tuple), st.booleans())


@st.composite
def changes(draw):
    """A frame, and a flow that changes it: what `cases` come to now and then, every time."""
    frame = draw(any_frame | with_ports).ljust(14, b"\0")
    match = Match(extract(frame, PORTS[0]), SHAPE)
    listed = draw(st.lists(header_sets(match) | header_sets(match) | edits, min_size=1, max_size=5))
    return [New(match, (*listed, Output(2)), None), Packet(frame, PORTS[0])]


@st.composite
def copied(draw):
    """A frame, and a flow that does things with copies of it: what `cases` come to now and then, every time."""
    frame = draw(any_frame | with_ports).ljust(14, b"\0")
    match = Match(extract(frame, PORTS[0]), FIRST_PASS)
    steps = st.one_of(edits, header_sets(match), st.builds(Output, st.sampled_from(PORTS)), marks)
    within = st.recursive(simple_lists(steps), lambda inner: simple_lists(steps | nesting(inner)), max_leaves=5)
    listed = draw(st.lists(steps | nesting(within), min_size=1, max_size=4))
    end = draw(nesting(within) | ends)
    return [Luck(draw(st.sampled_from([0, 5, 1 << 31]))), New(match, (*listed, end), None), Packet(frame, PORTS[0])]


def histories():
    """Several cases after one another on what the ones before them left: some hundred steps."""
    return st.lists(cases(), min_size=6, max_size=12).map(lambda lists: [step for steps in lists for step in steps])


def play(pair, steps):
    """The steps from the beginning."""
    pair.begin()
    for step in steps:
        step.play(pair)
    pair.end()
    audit(pair.kernel)
