"""Generate the manual page ctl/share/man/man1/ctl.1 from what the program says of itself.

    python -m ctl.devtools.gen_man [--check]

Commands come from their definitions, the fields of flows from the table of fields, exit statuses from the
errors, schemas from ctl/share/schemas.  What is left is written here.
"""

from __future__ import annotations

import json
import pathlib
import re
import sys
import textwrap
from collections.abc import Iterable, Iterator
from typing import Final

from ctl import __version__, errors, fields
from ctl.action import MAX_ACTIONS, SETTABLE
from ctl.cli.manual import Entry, entries, top
from ctl.errors import CtlError
from ctl.kernel import features
from ctl.kernel.bpffs import ROOT
from ctl.kernel.compile import SYSTEM_CACHE
from ctl.text.openflow import ALIASES, FIELDS, PROTOCOLS

SHARE: Final = pathlib.Path(__file__).resolve().parents[1] / "share"
TARGET: Final = SHARE / "man" / "man1" / "ctl.1"

_FLOWS: Final = """
FLOW and ACTIONS are written as the Open vSwitch datapath writes them, and what dump-flows prints add-flow reads.
A flow is a list of fields, each with an optional mask behind a slash; what is left out, as both addresses are in
eth(), matches anything. Fields come from the outer header to the inner, and each needs what leads to it:
udp(...) needs ipv4(proto=17).

A flow that begins with ufid:... is named by that: 32 hexadecimal digits, or 0x and 1 to 16 octets. One without is
named by its key. A flow with a UFID is never found by its key, nor the reverse. get-flow, mod-flow and del-flow
take the first 6 digits or more of a UFID too. Ports are written by number or by name.

Among overlapping flows the one with the lowest mask wins: a mask takes the lowest free rank with its first flow.
The fields are:
"""
_ACTIONS: Final = f"""
Actions are a list of up to {MAX_ACTIONS}, carried out in order; an empty list drops. A port sends the packet there,
drop or drop(REASON) drops it, and the others change what the following ones send:
"""
ACTIONS_SHOWN: Final = (
    "push_vlan(vid=5,pcp=0)", "pop_vlan", "set(udp(dst=53))", "set(eth(dst=02:00:00:00:00:01))", "trunc(100)",
    "hash(l4(0))", "recirc(1)", "meter(1)", "userspace(pid=1,userdata(0102))",
)  # fmt: skip
_FILTER: Final = """
filter=FLOW is a match as OpenFlow writes it: names of protocols and FIELD=VALUE or FIELD=VALUE/MASK, each behind what
leads to it, as in filter=in_port=1,ip,nw_src=10.0.0.0/8. A flow passes unless it and the filter both compare some bit
and differ in it: filter=tcp shows flows that any packet matches, too. Protocols and fields are:
"""
_WHERE: Final = """
where=CONDITION is about what a flow itself says: parts joined by and, or and not, with parentheses. In the parts
packets, bytes, generation and used are numbers (1k, 1.5M; used in seconds, or 20ms, or never, which is longer ago
than any time); flags are those of TCP seen; and fields of keys are called as above, ipv4.dst or in_port. A
comparison of a field holds if it holds for every packet that the flow matches; a field alone says that the flow
compares it.
"""
CONDITIONS_SHOWN: Final = (
    "packets > 100 and not used < 60", "bytes in 1k..10M", "ipv4.dst in 10.0.0.0/8", "tcp.dst == 80 or udp.dst < 1024",
    "actions has push_vlan", "actions has 2", "flags has syn|ack", "ufid == 0a0b0c", "ufid != none", "dp == tc",
    "offloaded", "vlan.vid",
)  # fmt: skip
_OUTPUT: Final = """
Data goes to standard output, everything else to standard error. With -o json a command that has data prints one
document: its schema and, under a name of their own, the rows. With -o jsonl it prints a line for each row as soon
as it is there, with the schema in each. Every row has every member, and numbers are numbers. The JSON Schemas are
installed with the program, in ctl/share/schemas:
"""
_ENVIRONMENT: Final = (
    ("NO_COLOR", "If it is set and not empty, no colour is used unless --color always asks for it."),
    ("SHELL", "What 'ctl shell' runs."),
    (
        features.VARIABLE,
        "Features of the kernel to do without, with commas between: " + ", ".join(features.FEATURES) + ".",
    ),
    ("XDG_CACHE_HOME", f"Where compiled programs are kept if they cannot be in {SYSTEM_CACHE}."),
)
_FILES: Final = (
    (f"{ROOT}/NAME", "A datapath: its maps, programs and links, pinned. No process stands behind it."),
    (str(SYSTEM_CACHE), "Compiled programs, so that the compiler is needed once."),
    ("/run/netns/ctl-LAB-*", "The hosts of a lab, and where the ports of its datapaths are."),
    ("/run/ufid-datapath/labs/LAB.json", "The topology of a lab that is up."),
)
_SEE_ALSO: Final = "ovs-dpctl(8), ip-netns(8), bpftool(8), tc-bpf(8)"


def escaped(text: str) -> str:
    """Text that roff takes as it is; a hyphen is one that can be copied."""
    text = text.replace("\\", r"\e").replace("-", r"\-")
    return re.sub(r"^(['.])", r"\\&\1", text, flags=re.MULTILINE)


def _paragraphs(paragraphs: Iterable[str]) -> Iterator[str]:
    for paragraph in paragraphs:
        yield from (".PP", escaped(paragraph))


def _prose(text: str) -> Iterator[str]:
    return _paragraphs(" ".join(part.split()) for part in text.strip().split("\n\n"))


def _terms(terms: Iterable[tuple[str, str]]) -> Iterator[str]:
    for term, text in terms:
        yield from (".TP", rf"\fB{escaped(term)}\fR", escaped(text))


def _lines(lines: Iterable[str]) -> Iterator[str]:
    """Lines as they are, set apart."""
    yield from (".PP", ".RS 4", ".nf", *map(escaped, lines), ".fi", ".RE")


def _command(entry: Entry) -> Iterator[str]:
    yield rf".SS \fBctl {escaped(entry.name)}\fR {escaped(entry.usage)}"
    yield escaped(entry.summary)
    yield from _paragraphs(entry.paragraphs)
    yield from _terms((*entry.arguments, *entry.options))
    yield from _lines(entry.examples)


def _fields() -> Iterator[str]:
    """One line for each field, with its sub-fields."""
    for name, rows in fields.SECTIONS.items():
        subs = [row.name for row in rows if not row.group]
        yield f"{name}({','.join(f'{sub}=' for sub in subs) if subs[0] else ''})"
    yield "encap(...), what stands behind vlan(...)"
    yield "Read, but not matched yet, so to be left out or all wild:"
    yield " ".join((*fields.HEADERS, *fields.NOT_HELD))


def _wrapped(words: Iterable[str]) -> list[str]:
    return textwrap.wrap(" ".join(words), width=72)


def _exit_statuses() -> Iterator[tuple[str, str]]:
    yield "0", "Done."
    yield "1", "The answer is no: something is not well, or not all packets arrived."
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, CtlError)]
    for status in sorted({kind.exit_status for kind in kinds} - {CtlError.exit_status}):
        said = dict.fromkeys(_first_sentence(kind.__doc__ or "") for kind in kinds if kind.exit_status == status)
        yield f"{status}", " ".join(said)
    yield f"{CtlError.exit_status}", "Something unexpected. With -v, where."
    yield "130", "Interrupted; what was begun is undone."


def _first_sentence(text: str) -> str:
    return text.split(".", maxsplit=1)[0] + "."


def _schemas() -> Iterator[tuple[str, str]]:
    for path in sorted((SHARE / "schemas").glob("*.json")):
        schema = json.loads(path.read_text())
        yield f"{schema['title']} ({path.name})", schema["description"]


def page() -> str:
    """The whole page."""
    general = top()
    commands = [entry for group in entries().values() for entry in group]
    examples = [entry.examples[0] for entry in commands if entry.examples]
    lines = [
        r'.\" GENERATED by ctl.devtools.gen_man.  Do not edit.',
        f'.TH CTL 1 "" "ufid\\-datapath {escaped(__version__)}" "User Commands"',
        ".nh", ".ad l",
        ".SH NAME", escaped("ctl - ") + "a flow datapath in eBPF whose flows are named by UFID",
        ".SH SYNOPSIS", r"\fBctl\fR [\fIOPTION\fR]... \fICOMMAND\fR [\fIARGUMENT\fR]...",
        ".SH DESCRIPTION", escaped(general.summary), *_paragraphs(general.paragraphs),
        ".SH OPTIONS", "These stand before the command.", *_terms(general.options),
    ]  # fmt: skip
    for heading, group in entries().items():
        lines += [f".SH {heading.upper()} COMMANDS"]
        for entry in group:
            lines += _command(entry)
    lines += [
        ".SH FLOW SYNTAX", *_prose(_FLOWS), *_lines(_fields()), *_prose(_ACTIONS), *_lines(ACTIONS_SHOWN),
        *_prose(f"What set() takes: {', '.join(SETTABLE)}, each with a mask if need be."),
        ".SS Choosing flows", *_prose(_FILTER), *_lines([*_wrapped(PROTOCOLS), *_wrapped([*FIELDS, *ALIASES])]),
        *_prose(_WHERE), *_lines(CONDITIONS_SHOWN),
        ".SH OUTPUT", *_prose(_OUTPUT), *_terms(_schemas()),
        ".SH EXIT STATUS", *_terms(_exit_statuses()),
        ".SH ENVIRONMENT", *_terms(_ENVIRONMENT),
        ".SH FILES", *_terms(_FILES),
        ".SH EXAMPLES", *_lines(examples),
        ".SH SEE ALSO", escaped(_SEE_ALSO),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def main(argv: list[str]) -> int:
    """Write the page, or with --check compare it; exit status 1 when it is not current."""
    text = page()
    if "--check" not in argv:
        TARGET.parent.mkdir(parents=True, exist_ok=True)
        TARGET.write_text(text)
        return 0
    if TARGET.exists() and TARGET.read_text() == text:
        return 0
    print(f"{TARGET.name}: not current; run python -m ctl.devtools.gen_man", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
