"""Arrows between the rooms point one way, and each big library has one door.

An arrow is an import, wherever in the file it stands.  The rooms are listed from the bottom up; each may
import from itself and from those above it in the list.
"""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]

ROOMS = [
    "ctl.errors",
    "ctl.faults",
    "ctl.interrupts",
    "ctl.abi",
    "ctl.ufid",
    "ctl.fields",
    "ctl.headers",
    "ctl.attrs",
    "ctl.action",
    "ctl.flow",
    "ctl.change",
    "ctl.history",
    "ctl.overlap",
    "ctl.validate_held",
    "ctl.meter",
    "ctl.validate",
    "ctl.validate_sets",
    "ctl.validate_ct",
    "ctl.validate_actions",
    "ctl.placement",
    "ctl.outline",
    "ctl.text",
    "ctl.jsonout",
    "ctl.datapath",
    "ctl.plan",
    "ctl.identity",
    "ctl.requests",
    "ctl.codec",
    "ctl.packet",
    "ctl.rewrite",
    "ctl.execute",
    "ctl.model_table",
    "ctl.model",
    "ctl.netns",
    "ctl.journal",
    "ctl.ethtool",
    "ctl.offloads",
    "ctl.netlink",
    "ctl.kernel",
    "ctl.ports",
    "ctl.wiring",
    "ctl.manage",
    "netns_lab",
    "ctl.doctor",
    "ctl.cli",
    "ctl.devtools",
]

DOORS = {
    "bcc": {"ctl.kernel.compile"},
    "pyroute2": {"ctl.ports", "netns_lab"},
    "scapy": {"netns_lab", "tests"},
    "click": {"ctl.cli"},
}


def modules():
    """(name, path) of every Python file; the folder netns-lab is the package netns_lab."""
    for top in ("ctl", "netns-lab", "tests"):
        for path in sorted((ROOT / top).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(parts).replace("netns-lab", "netns_lab").removesuffix(".__init__"), path


def imports(name, source, *, package=False):
    """(line, imported name) for every import in a module's source."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = name.split(".")
                above = parts[: len(parts) - node.level + package]
                base = ".".join([*above, *filter(None, [base])])
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)


def within(name, room):
    return name == room or name.startswith(f"{room}.")


def rank(name):
    return next((i for i, room in enumerate(ROOMS) if within(name, room)), None)


def broken_arrows(name, source, *, package=False):
    if name.startswith("tests") or name == "ctl":
        return
    if (own := rank(name)) is None:
        yield f"{name} has no place in ROOMS"
        return
    for line, target in imports(name, source, package=package):
        if (other := rank(target)) is not None and other > own:
            yield f"{name}:{line}: {ROOMS[own]} -> {ROOMS[other]} points the wrong way"


def broken_doors(name, source, *, package=False):
    for line, target in imports(name, source, package=package):
        library = target.split(".")[0]
        doors = DOORS.get(library, {name})
        if not any(within(name, door) for door in doors):
            yield f"{name}:{line}: {library} may only be imported in {', '.join(sorted(doors))}"


def every(check):
    return [
        broken
        for name, path in modules()
        for broken in check(name, path.read_text(), package=path.name == "__init__.py")
    ]


def test_arrows_between_rooms_point_one_way():
    assert every(broken_arrows) == []


def test_each_library_has_its_door():
    assert every(broken_doors) == []


@pytest.mark.parametrize(
    ("name", "source", "broken"),
    [
        ("ctl.ufid", "from ctl.cli import main", "ctl.ufid:1: ctl.ufid -> ctl.cli points the wrong way"),
        ("ctl.flow", "def f():\n    import ctl.kernel.maps", "ctl.flow:2: ctl.flow -> ctl.kernel points the wrong way"),
        ("ctl.text", "from . import kernel", "ctl.text:1: ctl.text -> ctl.kernel points the wrong way"),
        ("ctl.kernel.maps", "from ..ports import X", "ctl.kernel.maps:1: ctl.kernel -> ctl.ports points the wrong way"),
        ("ctl.novel", "", "ctl.novel has no place in ROOMS"),
    ],
)
def test_a_wrong_arrow_is_named(name, source, broken):
    assert list(broken_arrows(name, source)) == [broken]


def test_a_wrong_door_is_named():
    wrong = "ctl.kernel.maps:1: bcc may only be imported in ctl.kernel.compile"
    assert list(broken_doors("ctl.kernel.maps", "from bcc import BPF")) == [wrong]
    assert list(broken_doors("ctl.kernel.compile", "from bcc import BPF")) == []
