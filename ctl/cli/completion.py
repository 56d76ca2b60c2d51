"""`ctl completion`, and the other side of the script that it prints.

click's own protocol: the script calls `ctl` with _CTL_COMPLETE=SHELL_complete in its environment, and the
line so far in COMP_WORDS and COMP_CWORD.  Nothing of this is imported otherwise.  The script for zsh is
click's.  The others are ours: click's for fish cuts names off at their commas, and bash takes `ufid:0a0b` and
`--dp=la` for three words, so that ours passes on the line as it was typed and takes from the answers what
stands before the last break.
"""

from __future__ import annotations

import os
from typing import ClassVar, Final

import click
from click import shell_completion

from ctl.cli.common import examples, pass_context
from ctl.cli.main import COMPLETE_VARIABLE, Context, cli

SHELLS: Final = ("bash", "zsh", "fish")

_BASH: Final = """\
%(complete_func)s() {
    local IFS=$'\\n'
    local line=${COMP_LINE:0:COMP_POINT}
    local word=${line##*[[:space:]]}
    local before=${word%%"${word##*[$COMP_WORDBREAKS]}"}
    local type value

    COMPREPLY=()
    while IFS=, read -r type value; do
        case $type in
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            plain)
                COMPREPLY+=("${value#"$before"}")
                [[ $value != *= ]] || compopt -o nospace
                ;;
        esac
    done < <(COMP_WORDS=$line COMP_CWORD=$word %(complete_var)s=bash_complete "$1" 2>/dev/null)
}

complete -o nosort -F %(complete_func)s %(prog_name)s
"""


_FISH: Final = """\
function %(complete_func)s
    set --local answers (env %(complete_var)s=fish_complete COMP_WORDS=(commandline -cp | string collect) \
        COMP_CWORD=(commandline -t | string collect) %(prog_name)s 2>/dev/null)
    for answer in $answers
        set --local parts (string split --max 1 , -- $answer)
        switch $parts[1]
            case dir
                __fish_complete_directories $parts[2]
            case file
                __fish_complete_path $parts[2]
            case plain
                echo $parts[2]
        end
    end
end

complete --no-files --command %(prog_name)s --arguments '(%(complete_func)s)'
"""


class _WholeWords(shell_completion.ShellComplete):
    """What is offered replaces the whole word: behind `--dp=` too, where click offers the value alone."""

    def get_completions(self, args: list[str], incomplete: str) -> list[shell_completion.CompletionItem[str]]:
        """What may stand in the place of ``incomplete``."""
        found = super().get_completions(args, incomplete)
        option, equals, _ = incomplete.partition("=")
        if equals and option.startswith("--"):
            for item in found:
                item.value = f"{option}={item.value}"
        return found


@shell_completion.add_completion_class
class Bash(_WholeWords, shell_completion.BashComplete):
    """Completion for bash 4.4 and later."""

    source_template: ClassVar[str] = _BASH

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words before the last one, and that one, from the line up to the cursor."""
        line, incomplete = os.environ["COMP_WORDS"], os.environ["COMP_CWORD"]
        return shell_completion.split_arg_string(line.removesuffix(incomplete))[1:], incomplete

    def source(self) -> str:
        """The script, printed without running bash to ask for its version."""
        return shell_completion.ShellComplete.source(self)


@shell_completion.add_completion_class
class Fish(_WholeWords, shell_completion.FishComplete):
    """Completion for fish."""

    source_template: ClassVar[str] = _FISH


@shell_completion.add_completion_class
class Zsh(_WholeWords, shell_completion.ZshComplete):
    """Completion for zsh."""


@click.command(
    epilog=examples(
        'eval "$(ctl completion bash)"', "ctl completion zsh >~/.zfunc/_ctl",
        "ctl completion fish >~/.config/fish/completions/ctl.fish",
    )
)  # fmt: skip
@click.argument("shell", metavar="SHELL", type=click.Choice(SHELLS), help="bash, zsh or fish.")
@pass_context
def completion(_context: Context, shell: str) -> None:
    """Print the script by which a shell completes.

    It completes commands, options and names: of datapaths, ports, hosts, devices, namespaces and benchmarks, and
    the UFIDs of flows, as they are when the key is pressed.
    """
    script = shell_completion.get_completion_class(shell)
    if script is None:
        raise AssertionError(f"click knows no {shell}")
    click.echo(script(cli, {}, "ctl", COMPLETE_VARIABLE).source(), nl=False)
