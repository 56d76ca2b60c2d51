"""The conformance report has every rule, and names tests that there are."""

import ast
import re
from types import SimpleNamespace

import pytest

from tests.conformance import REPORT, Report, refuses
from tests.conformance_rules import RULES

ROW = re.compile(r"^\| (\S+) \| (.*) \| (.*) \|$", re.MULTILINE)
TEST = re.compile(r"`(\S+)` (\w+)")


def rows():
    return {name: (text, tests) for name, text, tests in ROW.findall(REPORT.read_text()) if name != "rule"}


def functions(path):
    return {
        node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef | ast.alias)
    }


def test_the_report_lists_every_rule():
    assert {name: text for name, (text, _) in rows().items()} == {rule.name: rule.text for rule in RULES.values()}


def test_the_report_names_tests_that_exist(checkout):
    named = {pair for _, tests in rows().values() for pair in TEST.findall(tests)}
    files = {path: functions(checkout / "tests" / path) for path, _ in named}
    assert sorted(name for path, name in named if name not in files[path]) == []


def test_every_property_of_the_series_has_a_rule():
    assert {f"B{number}" for number in range(1, 24)} | {f"A17.{number}" for number in range(1, 18)} <= RULES.keys()


@pytest.fixture
def report():
    option = SimpleNamespace(markexpr="conformance", keyword="", conformance_report=False)
    return Report(SimpleNamespace(option=option, args_source=SimpleNamespace(name="TESTPATHS")))


def test_a_rule_without_a_test_is_missing(report):
    report.rules = {f"tests/x.py::test_{name}": [name] for name in RULES if name != "B7"}
    assert next(name for name in report.missing() if name.startswith("B")) == "B7"


def test_a_rule_that_accepts_and_refuses_needs_both(report):
    shown = {"tests/x.py::test_accepted[1]": ["A17.5"], "tests/x.py::test_refused[1]": ["A17.5"]}
    report.rules = shown
    assert not any("A17.5" in name for name in report.missing())
    for nodeid, other in zip(shown, ("refusing", "accepting"), strict=True):
        report.rules = {nodeid: ["A17.5"]}
        assert f"A17.5 ({other})" in report.missing()


def test_a_run_that_misses_a_rule_fails(report):
    session = SimpleNamespace(exitstatus=pytest.ExitCode.OK, items=[])
    report.pytest_sessionfinish(session)
    assert session.exitstatus == pytest.ExitCode.TESTS_FAILED


def test_a_failure_of_one_case_is_one_of_the_test(report):
    report.rules = {f"tests/x.py::test_it[{n}]": ["B7"] for n in (1, 2)}
    for nodeid, outcomes in zip(report.rules, (["passed"] * 3, ["passed", "failed", "passed"]), strict=True):
        for outcome in outcomes:
            report.pytest_runtest_logreport(SimpleNamespace(nodeid=nodeid, outcome=outcome))
    assert report.tests_of("B7") == {"tests/x.py::test_it": (2, "failed")}


def test_a_rule_that_is_none_is_an_error(report):
    item = SimpleNamespace(nodeid="x", iter_markers=lambda _: [SimpleNamespace(args=("B24",))])
    with pytest.raises(pytest.UsageError, match="no rules are B24"):
        report.pytest_collection_finish(SimpleNamespace(items=[item]))


@pytest.mark.parametrize("name", ["test_refused", "test_what_is_refused_too", "test_no_mask_refuses_it"])
def test_refusals_are_told_by_their_names(name):
    assert refuses(f"tests/x.py::{name}[accepted]")
    assert not refuses("tests/refused.py::test_accepted[refused]")
