"""Rows are printed as one document, or one by one as they come."""

import json

import pytest

from ctl.cli.common import print_json
from ctl.cli.main import Context


def context(output):
    return Context(dp=None, output=output, timeout_s=0.0, verbose=False, color=False)


def test_json_is_one_document_with_the_name_of_its_schema(capsys):
    print_json(context("json"), "ctl/some/1", "things", ({"n": n} for n in (1, 2)))
    assert json.loads(capsys.readouterr().out) == {"schema": "ctl/some/1", "things": [{"n": 1}, {"n": 2}]}


def test_a_line_of_jsonl_is_out_before_the_next_row_is_asked_for(capsys):
    def rows():
        yield {"n": 1}
        assert json.loads(capsys.readouterr().out) == {"schema": "ctl/some/1", "n": 1}
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        print_json(context("jsonl"), "ctl/some/1", "things", rows())


def test_json_of_rows_that_break_off_is_nothing_rather_than_half_a_document(capsys):
    def rows():
        yield {"n": 1}
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        print_json(context("json"), "ctl/some/1", "things", rows())
    assert capsys.readouterr().out == ""
