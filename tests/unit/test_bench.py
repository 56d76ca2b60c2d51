"""Figures: statistics, order, tables and rows.  Nothing is measured."""

import errno
import json
import os
import re

import pytest

from ctl.text import format_flow, parse_dump_line
from netns_lab.bench import BENCHMARKS, FULL, LARGE, QUICK, instructions, text
from netns_lab.bench.figures import (
    MPPS,
    MS,
    NS,
    PERCENT,
    RATE,
    TIMES,
    US,
    Case,
    Row,
    interleave,
    machine,
    number,
    ratios,
    rows,
    table,
)  # fmt: skip
from netns_lab.bench.frames import S

MACHINE = {"kernel": "6.18.0", "cpu": "A processor", "cpus": 2, "version": "0.1.0", "commit": "abc1234"}


def row(samples=(3.0, 1.0, 2.0), unit=NS, name="packet", **parameters):
    return Row(benchmark="lookup", name=name, parameters=parameters, unit=unit, samples=samples)


@pytest.mark.parametrize(
    ("samples", "median"), [((5.0,), 5.0), ((1.0, 100.0, 2.0), 2.0), ((1.0, 2.0, 3.0, 100.0), 2.5)]
)
def test_the_figure_is_the_median(samples, median):
    assert row(samples).median == median


@pytest.mark.parametrize(("unit", "best"), [(NS, 1.0), (US, 1.0), (MS, 1.0), (MPPS, 3.0), (RATE, 3.0), (PERCENT, 3.0)])
def test_the_best_of_times_is_the_least_and_of_rates_the_most(unit, best):
    assert row(unit=unit).best == best


def test_rounds_take_every_case_in_turn_and_every_other_round_backwards():
    taken = []

    def case(name):
        return Case(name=name, parameters={}, sample=lambda: taken.append(name) or float(len(taken)))

    samples = interleave([case("a"), case("b"), case("c")], 3)
    assert "".join(taken) == "abccbaabc"
    assert samples == [(1.0, 6.0, 7.0), (2.0, 5.0, 8.0), (3.0, 4.0, 9.0)]


def test_each_case_becomes_a_row():
    cases = [Case(name="a", parameters={"flows": 7}, sample=lambda: 5.0)]
    assert rows("lookup", NS, cases, 3) == [
        Row(benchmark="lookup", name="a", parameters={"flows": 7}, unit=NS, samples=(5.0, 5.0, 5.0))
    ]


def test_a_row_says_what_was_measured_how_and_where():
    made = json.loads(json.dumps(row(flows=7, hit="mask 1").to_dict(MACHINE)))
    assert made == {
        "benchmark": "lookup",
        "name": "packet",
        "parameters": {"flows": 7, "hit": "mask 1"},
        "unit": "ns/packet",
        "median": 2.0,
        "min": 1.0,
        "max": 3.0,
        "rounds": 3,
        "net": None,
        **MACHINE,
    }


@pytest.mark.parametrize(
    ("value", "written"),
    [(0.5, "0.50"), (9.876, "9.88"), (42.25, "42.2"), (171.4, "171"), (16384.0, "16,384"), (-42.25, "-42.2")],
)
def test_numbers_have_the_digits_that_mean_something(value, written):
    assert number(value) == written


def test_what_measuring_costs_is_taken_off_in_the_rounds_in_which_it_was_measured():
    costs, wholes = iter([10.0, 30.0, 11.0]), iter([15.0, 36.0, 100.0])
    empty = Case(name="empty program", parameters={}, sample=lambda: next(costs))
    whole = Case(name="packet", parameters={}, sample=lambda: next(wholes), empty=empty)
    first, second = rows("lookup", NS, [empty, whole], 3)
    assert first.net == ()
    assert first.to_dict(MACHINE)["net"] is None
    assert second.samples == (15.0, 36.0, 100.0), "the figure itself is as measured"
    assert second.to_dict(MACHINE)["net"] == {"median": 6.0, "min": 5.0, "max": 89.0, "subtracted": "empty program"}
    assert table([first, second]) == [
        "                 median  best   net  unit",
        "empty program      11.0  10.0        ns/packet",
        "packet             36.0  15.0  6.00  ns/packet",
    ]


@pytest.mark.parametrize(("unit", "samples"), [(PERCENT, (50.0, 200.0)), (TIMES, (0.5, 2.0))])
def test_ratios_are_those_of_each_round(unit, samples):
    made = ratios(row((2.0, 8.0), flows=7), row((4.0, 4.0)), "ours / theirs", unit)
    assert (made.samples, made.name, made.unit, made.parameters) == (samples, "ours / theirs", unit, {"flows": 7})


def test_a_table_has_columns():
    assert table([row(flows=1024), row((4000.0,), RATE, "dump", class_="S")]) == [
        "                    median   best  unit",
        "packet  flows=1024    2.00   1.00  ns/packet",
        "dump    class_=S     4,000  4,000  flows/s",
    ]


def test_the_machine_is_named():
    found = machine()
    assert found.keys() == MACHINE.keys()
    assert found["kernel"]
    assert found["cpu"]
    assert re.fullmatch(r"[0-9a-f]*(-dirty)?", found["commit"])


def test_flow_counts_are_powers_of_two_that_fill_every_mask():
    for effort in (FULL, LARGE, QUICK):
        for counts in (effort.flow_counts, effort.mask_counts):
            assert all(count & (count - 1) == 0 for count in counts)
            assert list(counts) == sorted(counts)
        assert effort.flow_counts[0] >= effort.mask_counts[-1]
    assert LARGE.flow_counts[-1] == 1 << 20


def test_there_are_six_benchmarks():
    assert list(BENCHMARKS) == ["lookup", "actions", "forward", "install", "text", "startup"]


def test_the_masks_of_benchmarks_are_all_different_and_each_takes_the_frame():
    found = {S.match(0, mask).mask for mask in range(256)}
    assert len(found) == 256
    assert {S.match(0).masked["ipv4_dst"]} == {S.match(0, mask).masked["ipv4_dst"] for mask in range(256)}


def test_lines_of_flows_are_as_dump_flows_prints_them():
    made = text.lines(64)
    assert len(set(made)) == 64
    for line in made:
        flow = text.flow_of(line)
        written = format_flow(flow, 1_000_000)
        assert written.partition(", packets:")[0] == line.partition(", packets:")[0]
        assert written.partition(", actions:")[2] == line.partition(", actions:")[2]
        assert parse_dump_line(written) == parse_dump_line(line)


@pytest.mark.parametrize(
    "number", [errno.ENOENT, errno.EOPNOTSUPP, errno.ENODEV, errno.ENOSYS, errno.EACCES, errno.EIO]
)
def test_where_instructions_cannot_be_counted_a_note_says_why(monkeypatch, number):
    def refuse(_cpu):
        raise OSError(number, "refused")

    monkeypatch.setattr(instructions, "_open", refuse)
    notes = []
    with instructions.counter(0, notes.append) as count:
        assert count is None
    assert notes == [f"no instructions per packet: {instructions.why_not(number)}"]


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.ENOENT, "has no counter"), (errno.EACCES, "kernel.perf_event_paranoid"), (errno.EIO, "Input/output error")],
)
def test_the_reason_is_in_words(number, words):
    assert words in instructions.why_not(number)


def test_a_counter_is_read_as_one_number_and_closed(monkeypatch):
    reader, writer = os.pipe()
    monkeypatch.setattr(instructions, "_open", lambda _cpu: reader)
    notes = []
    with instructions.counter(0, notes.append) as count:
        os.write(writer, (12_345_678_901).to_bytes(8, "little"))
        assert count() == 12_345_678_901
    os.close(writer)
    assert notes == []
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(reader)
