"""Count how many of OVS's own test vectors for the text of flows our parser and printer pass.

    python tests/odp_vectors.py OVS/tests/odp.at

The vectors are made by the file itself: its shell code, which writes base lines and runs `sed` over them,
is run by `sh` in a temporary folder.  Give it only a file that you trust.

Keys.  OVS's first test converts each line to a `struct flow` and back.  By that come in fields that the
line has not (`ct_state(0)`, `packet_type(ns=0,id=0)` and others), and a word on what does not fit; both are
taken out of what the file expects.  Its second test prints fields in the order of the line, ours in that of
the interface: there the fields of a line are compared in any order.  Three of its generators have a `/`
that sed takes for the end of a pattern, so OVS tests nothing there; here it is escaped, and what they make
is a group of its own, but for lines that break a rule of OVS, which must be refused.

Actions must come back as they are; invalid ones must be refused.  Exit status 1 when any vector fails.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from ctl.errors import CtlError  # noqa: E402
from ctl.text import format_actions, format_attrs, parse_actions, parse_attrs  # noqa: E402

_TEST = re.compile(r"^AT_SETUP\(\[OVS datapath (.*?)\]\)$(.*?)^AT_CLEANUP$", re.MULTILINE | re.DOTALL)
_DATA = re.compile(r"^AT_DATA\(\[([^]]+)\], \[dnl\n(.*?)^\]\)$", re.MULTILINE | re.DOTALL)
_MACRO = re.compile(r"^(?:AT_CAPTURE_FILE|dnl ).*$", re.MULTILINE)
_CHECK = re.compile(r"^AT_CHECK", re.MULTILINE)
_INSERTED = ("ct_state(0)", "ct_zone(0)", "ct_mark(0)", "ct_label(0)", "packet_type(ns=0,id=0)")
_NO_FIT = "ODP_FIT_TOO_LITTLE: "
_BARE_SLASH = re.compile(r"=(\w+)/(0\w*)")

Vector = tuple[str, str]  # what is read, and what must be printed
Check = Callable[[str, str], str]  # the reason of a failure; empty: it passed


def groups(source: str) -> Iterator[tuple[str, Check, list[Vector]]]:
    """Name, check and vectors of each group."""
    tests = dict(_TEST.findall(source))
    keys = _files(tests["key parsing and formatting - valid forms"], "odp-in.txt", "odp-out.txt")
    yield "valid keys", _check_key, [(line, _without_inserted(line, out)) for line, out in zip(*keys, strict=True)]
    wild = tests["wildcarded key parsing and formatting - valid forms"]
    (run,) = _files(wild, "odp.txt")
    yield "wildcarded keys", _check_fields, _same(run)
    (repaired,) = _files(wild, "odp.txt", repaired=True)
    lost = list((Counter(repaired) - Counter(run)).elements())
    yield "wildcarded keys that sed loses", _check_fields, _same(line for line in lost if not _breaks_a_rule(line))
    yield "  and keys among them that break a rule", _check_refused_key, _same(filter(_breaks_a_rule, lost))
    (valid,) = _files(tests["actions parsing and formatting - valid forms"], "actions.txt")
    yield "valid actions", _check_actions, _same(valid)
    (invalid,) = _files(tests["actions parsing and formatting - invalid forms"], "actions.txt")
    yield "invalid actions", _check_refused, _same(invalid)


def _files(test: str, *names: str, repaired: bool = False) -> list[list[str]]:
    """The lines of these files, as the code in front of the test's first check makes them, without comments."""
    code = _CHECK.split(test)[0]
    script = _unquoted(_MACRO.sub("", _DATA.sub("", code)))
    if repaired:
        script = _BARE_SLASH.sub(r"=\1\\/\2", script)
    with tempfile.TemporaryDirectory(prefix="odp-vectors-") as folder:
        for name, data in _DATA.findall(code):
            (Path(folder) / name).write_text(_unquoted(data))
        subprocess.run(["sh"], input=script, text=True, cwd=folder, stderr=subprocess.DEVNULL, check=False)
        texts = [(Path(folder) / name).read_text().splitlines() for name in names]
    return [[line for line in lines if line and not line.startswith("#")] for lines in texts]


def _unquoted(text: str) -> str:
    """Without the quotation of m4."""
    return text.replace("[[", "[").replace("]]", "]")


def _same(lines) -> list[Vector]:
    return [(line, line) for line in lines]


def _breaks_a_rule(line: str) -> bool:
    """Whether no OVS would take the key: a mask of four bits for a priority, which has three; an attribute twice."""
    return "pcp=7/0xe" in line or line.count("skb_mark(") > 1


def _without_inserted(line: str, expected: str) -> str:
    fields = _fields(expected.removeprefix(_NO_FIT))
    return ",".join(field for field in fields if field in _fields(line) or field not in _INSERTED)


def _fields(text: str) -> list[str]:
    """The fields of one level."""
    parts, depth = [""], 0
    for char in text:
        depth += (char == "(") - (char == ")")
        if char == "," and not depth:
            parts.append("")
        else:
            parts[-1] += char
    return parts


def _check_key(text: str, expected: str) -> str:
    parsed = parse_attrs(text)
    return _difference(format_attrs(parsed.key, parsed.mask), expected)


def _check_fields(text: str, expected: str) -> str:
    parsed = parse_attrs(text)
    printed = format_attrs(parsed.key, parsed.mask)
    return _difference(*(",".join(sorted(_fields(side))) for side in (printed, expected)))


def _check_actions(text: str, expected: str) -> str:
    return _difference(format_actions(parse_actions(text)), expected)


def _check_refused_key(text: str, _: str) -> str:
    try:
        parse_attrs(text)
    except CtlError:
        return ""
    return "is accepted"


def _check_refused(text: str, _: str) -> str:
    try:
        parse_actions(text)
    except CtlError:
        return ""
    return "is accepted"


def _difference(printed: str, expected: str) -> str:
    return "" if printed == expected else f"printed {printed}"


def _reason(check: Check, vector: Vector) -> str:
    try:
        return check(*vector)
    except CtlError as error:
        return f"{type(error).__name__}: {error}"


def main() -> int:
    """Write each group's count, and the lines that fail with the reason."""
    if len(sys.argv) != 2:
        sys.stderr.write(__doc__.split("\n\n")[1].strip() + "\n")
        return 2
    failed = 0
    for name, check, vectors in groups(Path(sys.argv[1]).read_text()):
        reasons = [(vector[0], reason) for vector in vectors if (reason := _reason(check, vector))]
        sys.stdout.write(f"{len(vectors) - len(reasons)}/{len(vectors)} {name}\n")
        for text, reason in reasons:
            sys.stdout.write(f"    {text}\n        {reason}\n")
        failed += len(reasons)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
