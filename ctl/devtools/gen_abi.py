"""Generate ctl/abi.py and ctl/abi.btf from bpf/abi.h.

    python -m ctl.devtools.gen_abi [--check]

clang compiles a stub that names every type, which puts their layouts into BTF; this module turns
that BTF into ctypes structures, enums and the table of key leaves, and keeps the BTF itself for the
kernel, which shows map contents by it.  No privilege and no kernel header is needed.
"""

from __future__ import annotations

import json
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import zlib
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parents[2]
HEADERS = [ROOT / "bpf" / name for name in ("abi_action.h", "abi_key.h", "abi_walk.h", "abi.h")]
TARGET_PY = ROOT / "ctl" / "abi.py"
TARGET_BTF = ROOT / "ctl" / "abi.btf"

_SCALARS = {"__u8": "c_uint8", "__u16": "c_uint16", "__u32": "c_uint32", "__u64": "c_uint64"}
_BIG = {"__be16": "c_uint16", "__be32": "c_uint32", "__be64": "c_uint64"}
_KEY = "flow_key"

_HEAD = '''\
"""GENERATED from bpf/abi.h by ctl.devtools.gen_abi.  Do not edit.

Every structure that crosses between the datapath and userspace, as ctypes.  ``__be`` members are
big-endian types, so that both sides read the same number.  ``KEY_LEAVES`` flattens struct flow_key:
name -> (byte offset, size in bytes, byte order of the number).  ``BTF_IDS`` gives the id of each
structure in abi.btf, ``LAYOUT`` a fingerprint of all of it.
"""

from ctypes import Structure, Union, c_uint8, c_uint16, c_uint32, c_uint64
from enum import IntEnum
from typing import Final
'''


class ToolMissing(Exception):
    """A development tool is not installed."""


def _tool(*names: str) -> str:
    for name in names:
        if path := shutil.which(name):
            return path
    raise ToolMissing(f"none of {', '.join(names)} is installed: run './setup test' first")


def _run(*argv: str, cwd: str | None = None) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True, cwd=cwd).stdout


def _names(kind: str) -> list[str]:
    text = "".join(header.read_text() for header in HEADERS)
    return re.findall(rf"^{kind} (\w+) {{", text, re.MULTILINE)


def _stub() -> str:
    params = [f"struct {n} *{n}" for n in _names("struct")] + [f"enum {n} {n}" for n in _names("enum")]
    functions = "\n".join(f"int use_{i}({p}) {{ return 0; }}" for i, p in enumerate(params))
    return f'#include "abi.h"\n{functions}\n'


def compile_btf() -> tuple[bytes, list[dict[str, Any]]]:
    """The raw BTF of abi.h and the same as bpftool's list of types."""
    multiarch = pathlib.Path("/usr/include") / f"{platform.machine()}-linux-gnu"
    with tempfile.TemporaryDirectory() as folder:
        source, obj, raw = (pathlib.Path(folder) / n for n in ("stub.c", "stub.o", "stub.btf"))
        source.write_text(_stub())
        _run(_tool("clang-14", "clang"), "-target", "bpf", "-g", "-O1", "-Werror", "-I", str(multiarch),
             "-I", str(HEADERS[0].parent), f"-fdebug-prefix-map={folder}=.",
             "-c", source.name, "-o", obj.name, cwd=folder)  # fmt: skip
        _run(_tool("llvm-objcopy-14", "llvm-objcopy"), f"--dump-section=.BTF={raw}", str(obj), f"{obj}.out")
        types = json.loads(_run(_tool("bpftool"), "-j", "btf", "dump", "file", str(obj)))["types"]
        return raw.read_bytes(), types


class _Writer:
    """Turns bpftool's list of BTF types into Python text."""

    def __init__(self, types: list[dict[str, Any]]) -> None:
        self.types = {t["id"]: t for t in types}
        self.lines: list[str] = []
        self.leaves: list[tuple[str, int, int, str]] = []

    def resolve(self, type_id: int) -> dict[str, Any]:
        return self.types[type_id]

    def ctype(self, type_id: int, owner: str, member: str) -> str:
        t = self.resolve(type_id)
        if t["kind"] == "ARRAY":
            return f"{self.ctype(t['type_id'], owner, member)} * {t['nr_elems']}"
        if t["kind"] == "TYPEDEF" and t["name"] in _SCALARS:
            return _SCALARS[t["name"]]
        if t["kind"] == "TYPEDEF" and t["name"] in _BIG:
            return f"{_BIG[t['name']]}.__ctype_be__"
        if t["kind"] in ("STRUCT", "UNION"):
            return self.aggregate(t, f"{owner}_{member}" if t["name"] == "(anon)" else t["name"])
        raise ValueError(f"{owner}.{member}: abi.h uses a type that has no fixed layout: {t}")

    def aggregate(self, t: dict[str, Any], c_name: str) -> str:
        """Emit one structure or union (once) and return its Python name."""
        name = "".join(part.capitalize() for part in c_name.split("_"))
        if any(line.startswith(f"class {name}(") for line in self.lines):
            return name
        fields, anonymous = [], []
        for i, m in enumerate(t["members"]):
            member = m["name"] if m["name"] != "(anon)" else f"u{i}"
            if member == f"u{i}":
                anonymous.append(member)
            fields.append(f'        ("{member}", {self.ctype(m["type_id"], c_name, member)}),')
        base = "Structure" if t["kind"] == "STRUCT" else "Union"
        self.lines += ["", "", f"class {name}({base}):"]
        if t["name"] != "(anon)":
            self.lines += [f'    """struct {c_name}: {t["size"]} bytes."""', ""]
        if anonymous:
            self.lines.append(f"    _anonymous_ = ({', '.join(repr(a) for a in anonymous)},)".replace("'", '"'))
        self.lines += ["    _fields_ = (", *fields, "    )"]
        return name

    def enum(self, t: dict[str, Any]) -> None:
        name = "".join(part.capitalize() for part in t["name"].split("_"))
        self.lines += ["", "", f"class {name}(IntEnum):", f'    """enum {t["name"]}."""', ""]
        self.lines += [f"    {v['name']} = {v['val']}" for v in t["values"]]

    def collect_leaves(self, t: dict[str, Any], base: int) -> None:
        for m in t["members"]:
            offset = base + m["bits_offset"] // 8
            kind = self.resolve(m["type_id"])
            if kind["kind"] in ("STRUCT", "UNION"):
                self.collect_leaves(kind, offset)
                continue
            if kind["kind"] == "ARRAY":
                each = int(self._scalar_size(kind["type_id"]))
                order = "big"
                size = each * kind["nr_elems"]
            else:
                size = self._scalar_size(m["type_id"])
                order = "big" if kind["name"] in _BIG else "little"
            self.leaves.append((m["name"], offset, size, order))

    def _scalar_size(self, type_id: int) -> int:
        name = self.resolve(type_id)["name"]
        return int(re.sub(r"\D", "", (_SCALARS | _BIG)[name])) // 8


def render(types: list[dict[str, Any]], raw: bytes) -> str:
    """The text of ctl/abi.py."""
    writer = _Writer(types)
    named = {(t["kind"], t["name"]): t for t in types}
    for name in _names("enum"):
        writer.enum(named["ENUM", name])
    structs = _names("struct")
    for name in structs:
        writer.aggregate(named["STRUCT", name], name)
    writer.collect_leaves(named["STRUCT", _KEY], 0)
    leaves = [f'    "{n}": ({o}, {s}, "{b}"),' for n, o, s, b in writer.leaves]
    ids = [f'    "{n}": {named["STRUCT", n]["id"]},' for n in structs]
    ids += [f'    "{n}": {named["TYPEDEF", n]["id"]},' for n in _SCALARS]
    return "\n".join([
        _HEAD.rstrip(), *writer.lines, "", "",
        "KEY_LEAVES: Final[dict[str, tuple[int, int, str]]] = {", *leaves, "}", "",
        "BTF_IDS: Final[dict[str, int]] = {", *ids, "}", "",
        f"LAYOUT: Final = {zlib.crc32(raw):#010x}", "",
    ])  # fmt: skip


def main(argv: list[str]) -> int:
    """Write both files, or with --check compare them; exit status 1 when they are not current."""
    raw, types = compile_btf()
    text = render(types, raw)
    if "--check" not in argv:
        TARGET_PY.write_text(text)
        TARGET_BTF.write_bytes(raw)
        return 0
    stale = [p.name for p, want in ((TARGET_PY, text.encode()), (TARGET_BTF, raw)) if p.read_bytes() != want]
    if stale:
        print(f"{', '.join(stale)}: not current with bpf/abi.h; run python -m ctl.devtools.gen_abi", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except ToolMissing as missing:
        sys.exit(f"gen_abi: {missing}")
