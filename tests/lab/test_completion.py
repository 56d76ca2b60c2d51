"""Shell completion in the shells themselves: bash, zsh and fish complete commands, options and names."""

import os
import re
import shlex
import subprocess
import sys

import pytest

from tests.lab.commands import Ctl

UFIDS = ("0a0b0c0d-0000-0000-0000-000000000001", "0a0bffff-0000-0000-0000-000000000002")
SHORT = "ufid:0x01"

# Each takes lines as its arguments, and prints for each what is offered for the last word, then an empty line.

# bash calls the function with the line as readline would; `compopt` works only there, so it is told here.
BASH = """
eval "$(ctl completion bash)"
[[ $(complete -p ctl) == *" -F _ctl_completion "* ]] || exit 1
compopt() { echo compopt "$@"; }
for COMP_LINE; do
    COMP_POINT=${#COMP_LINE}
    _ctl_completion ctl
    printf '%s\\n' "${COMPREPLY[@]}" ''
done
"""

# zsh's own functions work only in its line editor; these say what they were asked to offer.
ZSH = """
compdef() { [[ "$*" == "_ctl_completion ctl" ]] || exit 1 }
compadd() { print -rl -- ${(P)@[-1]} }
_describe() { print -rl -- 'described '${^${(P)3}} }
eval "$(ctl completion zsh)"
for line; do
    words=(${(z)line})
    [[ $line != *' ' ]] || words+=('')
    CURRENT=${#words}
    _ctl_completion
    print
done
"""

FISH = """
ctl completion fish | source
for line in $argv
    complete --do-complete $line
    echo
end
"""

SHELLS = {
    "bash": ["bash", "--norc", "-c", BASH, "bash"],
    "zsh": ["zsh", "-f", "-c", ZSH, "zsh"],
    "fish": ["fish", "--no-config", "-c", FISH],
}


@pytest.fixture(scope="module")
def lab():
    command = Ctl(f"c{os.getpid()}")
    command("up", "--hosts", "2", "--no-traffic")
    command("del-flows")
    for number in (7, 70):
        command("add-meter", f"meter={number},kbps,band=type=drop,rate=1")
    for number, ufid in enumerate(UFIDS):
        command("add-flow", f"ufid:{ufid},in_port({number}),eth()", "drop")
    command("add-flow", f"{SHORT},in_port(7),eth()", "drop")
    yield command
    command("down")


@pytest.fixture
def environment(tmp_path):
    """In which the shells find this checkout's `ctl`, and no settings of anybody's."""
    launcher = tmp_path / "ctl"
    launcher.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -c "from ctl.cli import main; main()" "$@"\n')
    launcher.chmod(0o755)
    return {"PATH": f"{tmp_path}:{os.environ['PATH']}", "HOME": str(tmp_path), "TERM": "dumb", "LANG": "C.UTF-8"}


def offers(shell, environment, *lines):
    """What the shell offers for each line."""
    run = [*SHELLS[shell], *lines]
    done = subprocess.run(run, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    return [answer.splitlines() for answer in re.split(r"(?<=\n)\n|^\n", done.stdout)[:-1]]


@pytest.mark.parametrize("shell", SHELLS)
def test_commands_options_and_names(shell, require, environment, lab):
    require.tool(shell)
    this = f"ctl --dp {lab.name}"
    # bash takes what stands before a colon or an equals sign for a word of its own, and is offered what follows.
    ufids = {f"ufid:{ufid}" for ufid in UFIDS}
    wanted = {
        "ctl add-": {"add-dp", "add-if", "add-flow", "add-flows", "add-meter"},
        "ctl dump-flows --n": {"--names"},
        "ctl -o js": {"json", "jsonl"},
        f"ctl --dp {lab.name[:4]}": {lab.name},
        f"ctl --dp={lab.name[:4]}": {lab.name if shell == "bash" else f"--dp={lab.name}"},
        f"{this} del-if p": {"p1", "p2"},
        f"{this} del-if 2": {"2"},
        f"{this} send h1 ": {"h1", "h2"},
        "ctl --dp nowhere del-if ": set(),
        f"{this} get-flow ": ufids | {SHORT},
        f"{this} get-flow 0a0b": set(UFIDS),
        f"{this} mod-flow 0a0bf": {UFIDS[1]},
        f"{this} del-flow ufid:0a0bf": {UFIDS[1] if shell == "bash" else f"ufid:{UFIDS[1]}"},
        "ctl bench ": {"lookup", "actions", "forward", "install", "text", "startup"},
        f"{this} get-meter ": {"7", "70"},
        f"{this} del-meter 70": {"70"},
        "ctl help dump-d": {"dump-dps"},
        "ctl add-if l": {"lo"},
        "ctl add-if lo,ho": {"lo,hook=tc", "lo,hook=xdp"},
    }
    answers = offers(shell, environment, *wanted)
    words = [{word_of(shell, line) for line in answer} for answer in answers]
    assert dict(zip(wanted, words, strict=True)) == wanted


def word_of(shell, line):
    """The word of an offer, without its explanation."""
    if shell == "fish":
        return line.partition("\t")[0]
    kind, _, offer = line.partition(" ")
    return re.match(r"(?:\\.|[^:\\])*", offer)[0].replace("\\:", ":") if kind == "described" else line


def test_bash_goes_on_behind_an_equals_sign_and_offers_files(require, environment, lab):
    require.tool("bash")
    wanted = {
        f"ctl add-if lo,netns=ctl-{lab.name}-d": [f"ctl-{lab.name}-dp"],
        "ctl dump-flows w": ["compopt -o nospace", "where="],
        "ctl dump-flows type=t": ["tc"],
        "ctl add-if lo,po": ["compopt -o nospace", "lo,port_no="],
        "ctl send h1 h2 --pcap /": ["compopt -o default"],
    }
    assert dict(zip(wanted, offers("bash", environment, *wanted), strict=True)) == wanted


@pytest.mark.parametrize("command", ["", "get-flow", "send", "add-if"])
def test_completing_needs_no_heavy_library(lab, command):
    line = f"ctl --dp {lab.name} {command} "
    code = f"""
import os, sys
os.environ |= {{"_CTL_COMPLETE": "bash_complete", "COMP_WORDS": {line!r}, "COMP_CWORD": ""}}
from ctl.cli import main
try:
    main([])
finally:
    print(sorted({{"numpy", "pyroute2", "scapy", "bcc"}} & sys.modules.keys()), file=sys.stderr)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout
    assert run.stderr.splitlines()[-1] == "[]"
