"""Topology files: what they mean, and every mistake with its line and what to do about it."""

import contextlib
import json
import pathlib
import re
from dataclasses import asdict, dataclass, replace
from ipaddress import IPv4Interface

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctl.cli import names
from ctl.cli.main import Context, cli
from ctl.errors import Exists, NotFound, UsageError
from netns_lab import record
from netns_lab.files import BUILT_IN, load, read, shipped
from netns_lab.rules import MAX_INTERFACES, check
from netns_lab.topology import Address, Device, End, Host, star

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"
OFFICE = (GOLDEN / "office.toml").read_text()


def test_a_file_is_what_it_says():
    topology = read(OFFICE, "office.toml", "lab")
    assert (topology.lab, topology.datapaths, topology.title) == ("lab", ("s1", "s2"), "office.toml")
    assert topology.cables == ((End("s1", 9), End("s2", 9)),)
    assert topology.datapath_names() == ["lab-s1", "lab-s2"]
    assert [ns.name for ns in topology.namespaces()] == [f"ctl-lab-{n}" for n in ("s1", "s2", "h1", "h2", "h3", "r")]
    assert topology.host("h1") == Host(
        name="h1",
        gateway="r",
        devices=(
            Device(
                name="eth0",
                datapath="s1",
                port=1,
                mac="02:00:00:00:00:01",
                mtu=1500,
                addresses=(Address(ipv4=IPv4Interface("198.18.1.1/24")),),
            ),
        ),
    )
    r = topology.host("r")
    assert [(d.name, d.port, d.vlan, d.mtu, d.mac) for d in r.devices] == [
        ("eth0", 3, None, 1500, "02:00:00:00:00:04"),
        ("eth1", 4, 7, 9000, "02:00:00:00:01:00"),
    ]
    h3 = topology.host("h3").interfaces()
    assert [(i.name, i.vlan, str(i.address.ipv4)) for i in h3] == [
        ("eth0.7", 7, "198.18.7.3/24"),
        ("eth0.8", 8, "198.18.8.3/24"),
    ]


def test_the_shipped_star_is_the_one_that_is_built_by_number():
    assert load("star", "lab") == star(3)
    assert load("two", "lab") == star(2)


@pytest.mark.parametrize("name", BUILT_IN)
def test_shipped_topologies(name, tmp_path):
    file = tmp_path / "copy.toml"
    file.write_text(shipped(name))
    topology = load(name, "lab")
    assert topology.title == name
    assert load(str(file), "lab") == topology
    assert load(str(file), "lab").title == str(file)


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_record_gives_back_the_topology(name, tmp_path, monkeypatch):
    monkeypatch.setattr(record, "RUN_DIR", tmp_path / "labs")
    topology = replace(load(name, "lab"), hook="tc")
    record.write(topology)
    assert record.recorded("lab") == topology
    assert record.recorded("lab").title == name
    assert record.recorded("other") is None
    with pytest.raises(Exists):
        record.write(star(2))
    assert [path.name for path in (tmp_path / "labs").iterdir()] == ["lab.json"]
    assert record.recorded("lab") == topology
    assert record.remove("lab")
    assert not record.remove("lab")
    assert not (tmp_path / "labs").exists()


def test_a_lab_is_no_path():
    with pytest.raises(UsageError):
        record.recorded("../lab")


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", json.dumps(asdict(star(2)), default=str)[:-40]])
def test_a_damaged_record_is_none(text, tmp_path, monkeypatch):
    monkeypatch.setattr(record, "RUN_DIR", tmp_path)
    (tmp_path / "lab.json").write_text(text)
    assert record.recorded("lab") is None
    assert record.is_there("lab")
    assert record.remove("lab")


# --- mistakes ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mistake:
    """A block of topology_mistakes.txt: lines by the mark that they begin with."""

    name: str
    lines: dict[str, list[str]]

    def made(self):
        """The file with the mistake in it."""
        before, after = ("".join(f"{line}\n" for line in self.lines.get(mark, [])) for mark in "-+")
        assert OFFICE.count(before) == 1, "the block says where the mistake is"
        return OFFICE.replace(before, after)


def mistakes():
    for block in (GOLDEN / "topology_mistakes.txt").read_text().split("\n== ")[1:]:
        name, *rest = block.splitlines()
        lines = {}
        for line in filter(None, rest):
            lines.setdefault(line[0], []).append(line[2:])
        yield Mistake(name, lines)


SCRAPS = [
    *"\"'[]{}=,.#1\n",
    *["[[", "[]", "{}", "-1", "4095", "true", "1.5", "1979-05-27", "nan", "h1", "h2", "r", "trunk", "gateway"],
    *['"s1:1"', '"s2:9"', '"s1"', '"r"', '"10.0.0.1/8"', '"::1/128"', '"a\\nb"'],
    *["[hosts]", "[hosts.h9]", "[[cables]]", "[[hosts.r.devices]]"],
    *("", "mtu = 1", "vlan = 7", "devices = [{}]", "router = true"),
]


def told(text, lab="lab"):
    """What is said of a file with a mistake."""
    with pytest.raises(UsageError) as error:
        read(text, "office.toml", lab)
    assert error.value.exit_status == 2
    return "; ".join(filter(None, (error.value.message, error.value.hint)))


@pytest.mark.parametrize("mistake", tuple(mistakes()), ids=lambda mistake: mistake.name)
def test_a_mistake_is_named_with_its_line(mistake):
    text = mistake.made()
    where, number, said = told(text).split(":", 2)
    assert where == "office.toml"
    assert [said[1:]] == mistake.lines["!"]
    assert [text.splitlines()[int(number) - 1].strip()] == mistake.lines[">"]


def test_the_messages_in_the_docs_are_true():
    docs = (GOLDEN.parents[1] / "docs" / "topologies.md").read_text()
    text = re.search(r"```toml\n(.*?)```", docs, re.DOTALL)[1]
    messages = re.findall(r"^ctl: mine\.toml:(.*)", docs, re.MULTILINE)
    for change, message in zip((('"f2:2"', '"f2:1"'), ("trunk =", "trunks =")), messages, strict=True):
        assert told(text.replace(*change)) == f"office.toml:{message}"


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 3), st.sampled_from(SCRAPS)), min_size=1, max_size=4))
def test_whatever_is_in_a_file_is_a_topology_or_told_by_its_line(edits):
    """Scraps put before, after or in place of a token of the file."""
    tokens = re.findall(r"\w+|\s+|.", OFFICE)
    for at, how, scrap in edits:
        where = at % len(tokens)
        tokens[where : where + how] = [scrap]
    text = "".join(tokens)
    with contextlib.suppress(UsageError):
        read(text, "office.toml", "lab")
        return
    line = re.match(r"office\.toml:(\d+): \S", told(text))
    assert 1 <= int(line[1]) <= len(text.splitlines()) + 1
    assert told(text).isprintable()


@pytest.mark.parametrize(
    "text",
    [
        "x = " + "[" * 5000,
        "x = " + "9" * 5000,
        '[hosts."a\\nb"]',
        '[hosts.h1]\nport = "d\\u2028p:1"\nipv4 = "10.0.0.1/8"\n[hosts.h2]\nport = 2\nipv4 = "10.0.0.2/8"',
        "[hosts.h1]\nport = 'dp:" + "9" * 5000 + "'",
    ],
)
def test_the_worst_is_told_in_one_line(text):
    assert re.match(r"office\.toml:\d+: \S", told(text))
    assert told(text).isprintable()


def test_too_few_and_too_many():
    assert told("") == "office.toml:1: the topology has no hosts; give it hosts = ..."
    assert "1 hosts: a lab has 2 to 64" in told(OFFICE[: OFFICE.index("[hosts.h2]")])
    row = '[hosts.h{n}]\nport = {n}\nipv4 = "198.18.0.{n}/24"\n'
    assert "65 hosts: a lab has 2 to 64" in told("".join(row.format(n=n) for n in range(1, 66)))
    tags = ", ".join(f'{{ vlan = {v}, ipv4 = "198.18.{v}.{{n}}/24" }}' for v in range(1, 130))
    text = "".join(f"[hosts.h{n}]\nport = {n}\ntrunk = [{tags.replace('{n}', str(n))}]\n" for n in (1, 2))
    assert f"the hosts have 258 addresses: at most {MAX_INTERFACES}" in told(text)


@pytest.mark.parametrize(("lab", "message"), [("x" * 12, "is 12 characters long"), ("0a", "begins with a letter")])
def test_the_labs_name_is_that_of_its_datapath(lab, message):
    with pytest.raises(UsageError) as error:
        check(star(2, lab))
    assert message in error.value.message + error.value.hint


def test_what_is_no_file(tmp_path):
    with pytest.raises(UsageError, match=r"there is no topology strar, and no file of that name: did you mean star\?"):
        load("strar", "lab")
    with pytest.raises(NotFound, match=r"no file \./strar"):
        load("./strar", "lab")
    with pytest.raises(UsageError, match=r"no topology rooter is shipped: did you mean router\?"):
        shipped("rooter")
    (tmp_path / "latin").write_bytes(b'\xe9 = "1"')
    with pytest.raises(UsageError, match="latin is no text in UTF-8"):
        load(str(tmp_path / "latin"), "lab")
    with pytest.raises(UsageError, match="is a directory"):
        load(str(tmp_path), "lab")


@pytest.mark.parametrize(
    ("there", "meant"), [([], "lab"), (["br0"], "br0"), (["br0", "lab"], "lab"), (["lab-s1", "lab-s2"], None)]
)
def test_which_datapath_is_meant(monkeypatch, there, meant):
    monkeypatch.setattr("ctl.kernel.lifecycle.datapath_names", lambda: there)
    context = Context(dp=None, output="text", timeout_s=1, verbose=False, color=False)
    if meant:
        assert context.name == meant
    else:
        with pytest.raises(UsageError) as error:
            _ = context.name
        assert error.value.hint == "ctl --dp NAME, of lab-s1 lab-s2"


def test_topologies_are_completed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("mine.toml", "sub/other.toml", "notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()

    def offered(word):
        return [item.value for item in names.topologies(cli.context_class(cli), None, word)]

    assert offered("") == [*BUILT_IN, "mine.toml"]
    assert offered("t") == ["two", "trunk"]
    assert offered("sub/") == ["sub/other.toml"]
