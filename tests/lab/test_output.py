"""What every command prints with -o json and jsonl is what its schema says; commands with no data print nothing."""

import json
import os
import pty
import subprocess

import pytest
from jsonschema import Draft202012Validator

from ctl.cli.main import COMMANDS
from tests.lab.commands import Ctl

FLOW = "in_port(1),eth(),eth_type(0x0800),ipv4(dst=10.0.0.0/255.0.0.0)"
OTHER = "in_port(2),eth(),eth_type(0x8100),vlan(vid=5,pcp=0),encap(eth_type(0x86dd),ipv6(proto=58),icmpv6(type=128))"
EDITS = "set(eth(src=02:00:00:00:00:09/ff:ff:ff:ff:ff:ff)),2,push_vlan(vid=7,pcp=1),2"
OVERLAPPING = "ufid:0x02,in_port(1),eth() 2\nufid:0x03,in_port(1),eth(dst=02:00:00:00:00:02) 1\n"
FRAME = "Ether(dst='02:00:00:00:00:02',src='02:00:00:00:00:01',type=0x88b5)"

# Run in this order; and the schema of what is printed, or None for nothing.  NS is where the ports live, FILE holds
# flows that overlap.
SESSION = [
    (["up", "--hosts", "2", "--traffic", "3"], "ctl/flow/1"),
    (["add-flow", f"ufid:0x01,{FLOW}", EDITS], None),
    (["add-flow", OTHER, "drop"], None),
    (["dump-flows"], "ctl/flow/1"),
    (
        ["dump-flows", "--terse", "--sort", "packets", "--limit", "9", "filter=in_port=1", "where=used >= 0"],
        "ctl/flow/1",
    ),
    (["get-flow", "ufid:0x01"], "ctl/flow/1"),
    (["get-flow", "--maps", "ufid:0x01"], "ctl/flow-maps/1"),
    (["mod-flow", "ufid:0x01", "2"], None),
    (["mod-flow", "-s", "ufid:0x01", "userspace(pid=1,userdata(0102)),hash(l4(0)),recirc(1)"], "ctl/flow/1"),
    (["del-flow", "-s", "ufid:0x01"], "ctl/flow/1"),
    (["del-flow", OTHER], None),
    (["add-meter", "meter=1,pktps,band=type=drop,rate=3"], None),
    (["add-meter", "-s", "meter=1,kbps,burst,band=type=drop,rate=3,burst_size=9"], "ctl/meter/1"),
    (["get-meter"], "ctl/meter/1"),
    (["get-meter", "1"], "ctl/meter/1"),
    (["del-meter", "-s", "1"], "ctl/meter/1"),
    (["del-meter", "--all"], None),
    (["add-flows", "FILE"], "ctl/applied/1"),
    (["mod-flows", "--atomic", "FILE"], "ctl/applied/1"),
    (["dump-flows", "--since", "0"], "ctl/change/1"),
    (["flow-check"], "ctl/overlap/1"),
    (["normalize-actions", "in_port(1),eth()", "2,1"], "ctl/normalized/1"),
    (["show"], "ctl/dp/1"),
    (["show", "-s"], "ctl/dp/1"),
    (["dump-dps"], "ctl/dp-name/1"),
    (["status"], "ctl/status/1"),
    (["doctor", "datapaths", "ports"], "ctl/doctor/1"),
    (["send", "h1", "h2", "--count", "3"], "ctl/traffic/1"),
    (["send", "h1", "h2", "--count", "3", "--scapy", FRAME], "ctl/traffic/1"),
    (["del-if", "p2"], None),
    (["add-if", "p2,netns=NS"], "ctl/port/1"),
    (["del-flows"], "ctl/removed/1"),
    (["version"], "ctl/version/1"),
    (["down"], None),
    (["add-dp"], None),
    (["del-dp"], None),
    (["bench", "--quick", "actions"], "ctl/bench/1"),
]

OF_FLOWS = {"ctl/flow/1", "ctl/flow-maps/1", "ctl/change/1"}  # a row of these has a ufid

# What these print is not data: another program's output, a script, prose.
NOT_DATA = {"exec", "shell", "completion", "help"}


def schemas(checkout):
    loaded = [json.loads(path.read_text()) for path in (checkout / "ctl" / "share" / "schemas").glob("*.json")]
    return {schema["title"]: schema for schema in loaded}


def documents(output, text):
    return [json.loads(text)] if output == "json" else [json.loads(line) for line in text.splitlines()]


def test_every_command_is_in_the_session():
    commands = {name for names in COMMANDS.values() for name in names}
    assert {argv[0] for argv, _ in SESSION} | NOT_DATA == commands


def test_every_schema_is_in_the_session(checkout):
    assert {schema for _, schema in SESSION} - {None} == schemas(checkout).keys()


@pytest.mark.parametrize("output", ["json", "jsonl"])
def test_what_is_printed_is_what_the_schemas_say(checkout, output, tmp_path):
    known = schemas(checkout)
    file = tmp_path / "flows"
    file.write_text(OVERLAPPING)
    ctl = Ctl(f"o{os.getpid()}")
    namespace = f"ctl-{ctl.name}-dp"
    try:
        for argv, schema in SESSION:
            words = (word.replace("NS", namespace).replace("FILE", str(file)) for word in argv)
            out = ctl("-o", output, *words, status=argv == ["flow-check"]).out
            found = documents(output, out) if out else []
            assert {document["schema"] for document in found} == ({schema} if schema else set()), argv
            for document in found:
                Draft202012Validator(known[schema]).validate(document)
                assert ("ufid" in document) == (output == "jsonl" and schema in OF_FLOWS), "a line is a row"
    finally:
        ctl("down")


# --- colour ------------------------------------------------------------------------------------------


def on_a_terminal(argv, environment):
    """What a command writes to a terminal."""
    ours, theirs = pty.openpty()
    try:
        subprocess.run(argv, stdout=theirs, stdin=subprocess.DEVNULL, env=environment, check=True, timeout=60)
        return os.read(ours, 1 << 16).decode()
    finally:
        os.close(theirs)
        os.close(ours)


@pytest.mark.parametrize(
    ("options", "no_color", "terminal", "wanted"),
    [
        ([], "", True, True),
        ([], "1", True, False),
        ([], "", False, False),
        (["--color", "never"], "", True, False),
        (["--color", "always"], "", False, True),
        (["--color", "always"], "1", False, True),
        (["-o", "json"], "", True, False),
    ],
)
def test_colour_is_for_terminals_and_for_who_asks(lab_name, options, no_color, terminal, wanted):
    argv = Ctl(lab_name).argv(*options, "status")
    environment = {**os.environ, "NO_COLOR": no_color, "TERM": "xterm"}
    if terminal:
        printed = on_a_terminal(argv, environment)
    else:
        printed = subprocess.run(argv, capture_output=True, text=True, env=environment, check=True).stdout
    assert '"schema"' in printed if "json" in options else "well" in printed
    assert ("\033[" in printed) == wanted
