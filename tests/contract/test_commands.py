"""Every command says what it is, what it takes and how it is used; the manual page says the same."""

import re
import shlex
import subprocess
import sys

import pytest

from ctl.cli import names
from ctl.cli.main import COMMANDS, cli
from ctl.cli.manual import entries, top
from ctl.devtools import gen_man
from ctl.text import parse_actions
from ctl.text.where import parse_where

ENTRIES = {entry.name: entry for group in entries().values() for entry in group}
METAVAR = re.compile(r"[A-Z]+|\[[a-z0-9]+(\|[a-z0-9]+)+\]")  # FILE, or a choice


@pytest.fixture(params=ENTRIES.values(), ids=ENTRIES.keys())
def entry(request):
    return request.param


def command_of(name):
    return cli.get_command(cli.context_class(cli), name)


def test_entries_are_the_commands():
    assert list(ENTRIES) == [name for commands in COMMANDS.values() for name in commands]


def test_a_summary_fits_its_line_and_is_a_sentence(entry):
    assert command_of(entry.name).get_short_help_str(limit=60) == entry.summary
    assert entry.summary.endswith(".")


def test_arguments_and_options_are_explained(entry):
    for term, text in (*entry.arguments, *entry.options, *top().options):
        assert text.partition("  [")[0].endswith((".", ";", "'")), f"{term}: {text!r}"


def test_metavars_are_capitals_or_choices(entry):
    command = command_of(entry.name)
    context = command.context_class(command)
    for param in command.params:
        metavar = param.make_metavar(context)
        if param.param_type_name == "option" and not param.is_flag:
            assert METAVAR.fullmatch(metavar), metavar
        if param.param_type_name == "argument":
            assert re.fullmatch(r"\[?[A-Z]+[A-Z|,\[\]]*(\.\.\.)?", metavar), metavar


def test_examples_parse(entry):
    assert entry.examples
    for line in entry.examples:
        words = shlex.split(line.replace('eval "$(', "").replace(')"', ""), posix=True)
        words = words[: next((i for i, word in enumerate(words) if word.startswith(">")), None)]
        assert words[0] == "ctl"
        with cli.make_context("ctl", words[1:]) as context:
            name, command, arguments = cli.resolve_command(context, [*context._protected_args, *context.args])
            assert name == entry.name
            command.make_context(name, arguments, parent=context)


def test_what_is_completed_is_known(entry):
    for param in command_of(entry.name).params:
        if ask := param._custom_shell_complete:
            kind = dict(zip(ask.__code__.co_freevars, (cell.cell_contents for cell in ask.__closure__), strict=True))
            assert callable(getattr(names, kind["kind"]))


@pytest.mark.parametrize("generator", ["gen_man", "gen_schemas"])
def test_what_is_generated_is_current(checkout, generator):
    check = [sys.executable, "-m", f"ctl.devtools.{generator}", "--check"]
    result = subprocess.run(check, cwd=checkout, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("action", gen_man.ACTIONS_SHOWN)
def test_actions_that_the_manual_page_shows_are_actions(action):
    assert action.startswith(parse_actions(action)[0].name.partition("(")[0])


@pytest.mark.parametrize("condition", gen_man.CONDITIONS_SHOWN)
def test_conditions_that_the_manual_page_shows_are_conditions(condition):
    parse_where(condition)


def test_the_manual_page_has_its_sections(checkout):
    text = (checkout / "ctl" / "share" / "man" / "man1" / "ctl.1").read_text()
    wanted = ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", *(f"{heading.upper()} COMMANDS" for heading in COMMANDS),
              "FLOW SYNTAX", "OUTPUT", "EXIT STATUS", "ENVIRONMENT", "FILES", "EXAMPLES", "SEE ALSO"]  # fmt: skip
    assert re.findall(r"^\.SH (.*)$", text, re.MULTILINE) == wanted


def test_the_manual_page_renders_without_a_warning(checkout, require):
    require.tool("groff")
    page = checkout / "ctl" / "share" / "man" / "man1" / "ctl.1"
    rendered = subprocess.run(
        ["groff", "-ww", "-man", "-Tutf8", "-P-c", str(page)], capture_output=True, text=True, check=True
    )
    assert rendered.stderr == ""
    plain = re.sub(r".\x08", "", rendered.stdout)
    for name in ENTRIES:
        assert re.search(rf"^   ctl {name}\b", plain, re.MULTILINE), name
