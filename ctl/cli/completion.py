"""`ctl completion`, and the other side of the script that it prints.

click's own protocol: the script calls `ctl` with _CTL_COMPLETE=SHELL_complete in its environment, and the
line so far in COMP_WORDS and COMP_CWORD.  Nothing of this is imported otherwise.  The scripts for zsh and
fish are click's.  The one for bash is ours, because bash takes `ufid:0a0b` and `--dp=la` for three words:
it passes on the line as it was typed and takes from the answers what stands before the last break.
"""

from __future__ import annotations

import os
from typing import Any, ClassVar, Final

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


@shell_completion.add_completion_class
class Bash(shell_completion.BashComplete):
    """Completion for bash 4.4 and later, of words with colons too."""

    source_template: ClassVar[str] = _BASH

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words before the last one, and that one, from the line up to the cursor."""
        line, incomplete = os.environ["COMP_WORDS"], os.environ["COMP_CWORD"]
        return shell_completion.split_arg_string(line.removesuffix(incomplete))[1:], incomplete

    def format_completion(self, item: shell_completion.CompletionItem[Any]) -> str:
        """What the script reads."""
        return f"{item.type},{item.value}"


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
