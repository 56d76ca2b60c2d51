"""Figures: statistics, order, tables and rows.  Nothing is measured."""

import json
import re

import pytest

from netns_lab.bench import BENCHMARKS, FULL, QUICK
from netns_lab.bench.figures import MPPS, NS, PERCENT, RATE, US, Case, Row, interleave, machine, number, rows, table

MACHINE = {"kernel": "6.18.0", "cpu": "A processor", "cpus": 2, "version": "0.1.0", "commit": "abc1234"}


def row(samples=(3.0, 1.0, 2.0), unit=NS, name="packet", **parameters):
    return Row(benchmark="lookup", name=name, parameters=parameters, unit=unit, samples=samples)


@pytest.mark.parametrize(
    ("samples", "median"), [((5.0,), 5.0), ((1.0, 100.0, 2.0), 2.0), ((1.0, 2.0, 3.0, 100.0), 2.5)]
)
def test_the_figure_is_the_median(samples, median):
    assert row(samples).median == median


@pytest.mark.parametrize(("unit", "best"), [(NS, 1.0), (US, 1.0), (MPPS, 3.0), (RATE, 3.0), (PERCENT, 3.0)])
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
        **MACHINE,
    }


@pytest.mark.parametrize(
    ("value", "text"), [(0.5, "0.50"), (9.876, "9.88"), (42.25, "42.2"), (171.4, "171"), (16384.0, "16,384")]
)
def test_numbers_have_the_digits_that_mean_something(value, text):
    assert number(value) == text


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
    for effort in (FULL, QUICK):
        assert all(count >= 32 and count & (count - 1) == 0 for count in effort.flow_counts)
        assert list(effort.flow_counts) == sorted(effort.flow_counts)


def test_there_are_four_benchmarks():
    assert list(BENCHMARKS) == ["lookup", "actions", "forward", "install"]
