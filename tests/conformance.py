"""The conformance report: which tests show which rule of the flow interface, and how they ended.

    pytest -m conformance                         runs these tests and prints the table
    pytest -m conformance --conformance-report    ... and writes docs/conformance.md; with --co, without running them

The rules are in tests/conformance_rules.py.  A run of all tests of this kind fails if a rule has none.
"""

from __future__ import annotations

import pathlib
import re

import pytest

from tests.conformance_rules import RULES

REPORT = pathlib.Path(__file__).resolve().parents[1] / "docs" / "conformance.md"
_HEAD = """# Conformance

The rules of the OVS datapath flow interface, as `tests/conformance_rules.py` has them, and the tests that show each.
`pytest -m conformance --conformance-report` writes this table, and fails when a rule has no test. A4 to A9 are the
commands over flows, A17 the kernel's checks of keys and masks, A19 those of actions: of these there is a test that
accepts and one that refuses (`-`). B1 to B23 are what the versions of the series that brought UFIDs changed, and D1
to D15 are where this datapath differs from the kernel's on purpose.

"""
_FAILED, _SKIPPED, _PASSED = "failed", "skipped", "passed"


def by_rule(cases, name=str):
    """Parameters of a test: each case begins with the rule that it shows."""
    return [pytest.param(case, marks=pytest.mark.conformance(case[0]), id=name(case)) for case in cases]


def rules_of(item):
    """The rules that a test shows."""
    return [rule for mark in item.iter_markers("conformance") for rule in mark.args]


def refuses(nodeid):
    """Whether a test shows that something is refused; else it shows that something is accepted."""
    return re.search(r"refuse[ds]", nodeid.split("::")[-1].partition("[")[0]) is not None


class Report:
    """What was collected and how it ended.  ``whole``: nothing was left out of the collection."""

    def __init__(self, config):
        self.rules = {}  # by node id
        self.outcomes = {}  # likewise
        self.wanted = config.option.markexpr == "conformance"
        self.whole = self.wanted and not config.option.keyword and config.args_source.name != "ARGS"
        self.write = config.option.conformance_report

    def pytest_collection_finish(self, session):
        for item in session.items:
            unknown = set(rules_of(item)) - RULES.keys()
            if unknown:
                raise pytest.UsageError(f"{item.nodeid}: no rules are {', '.join(sorted(unknown))}")
            self.rules[item.nodeid] = rules_of(item)

    def pytest_runtest_logreport(self, report):
        now = {"failed": _FAILED, "skipped": _SKIPPED}.get(report.outcome, _PASSED)
        before = self.outcomes.get(report.nodeid, _PASSED)
        self.outcomes[report.nodeid] = min(before, now)  # in the order of the alphabet, the worst is the first

    def tests_of(self, rule):
        """By function: how many of its cases show the rule, and how they ended."""
        found = {}
        for nodeid, rules in self.rules.items():
            if rule in rules:
                name = nodeid.partition("[")[0]
                count, outcome = found.get(name, (0, _PASSED))
                found[name] = (count + 1, min(outcome, self.outcomes.get(nodeid, _SKIPPED)))
        return found

    def missing(self):
        """The rules that no test shows, or not in both ways."""
        for rule in RULES.values():
            names = self.tests_of(rule.name)
            if not names:
                yield rule.name
            elif rule.both and len({refuses(name) for name in names}) == 1:
                yield f"{rule.name} ({'accepting' if all(map(refuses, names)) else 'refusing'})"

    def pytest_sessionfinish(self, session):
        if self.whole and session.exitstatus == pytest.ExitCode.OK and any(self.missing()):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        if self.whole and self.write:
            REPORT.write_text(self.document())

    def pytest_terminal_summary(self, terminalreporter):
        if not self.wanted:
            return
        terminalreporter.section("conformance")
        for rule in RULES.values():
            for name, (count, outcome) in self.tests_of(rule.name).items():
                terminalreporter.line(f"{rule.name:<18} {outcome:<8} {count:>4}  {name}")
        if self.whole:
            for name in self.missing():
                terminalreporter.line(f"{name:<18} no test", red=True)

    def document(self):
        """docs/conformance.md."""
        lines = ["| rule | what it says | tests |", "|---|---|---|"]
        for rule in RULES.values():
            names = sorted(self.tests_of(rule.name))
            shown = [f"{'- ' if rule.both and refuses(name) else ''}{_short(name)}" for name in names]
            lines.append(f"| {rule.name} | {rule.text} | {'<br>'.join(shown) or 'none yet'} |")
        return _HEAD + "\n".join(lines) + "\n"


def _short(name):
    path, _, function = name.partition("::")
    return f"`{path.removeprefix('tests/')}` {function}"
