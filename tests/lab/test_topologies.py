"""Every shipped topology, and a user's: counted traffic, pings, TCP; and nothing left of it afterwards."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from netns_lab.bulk import tcp_transfer
from netns_lab.files import load
from netns_lab.frames import Stream, tour
from netns_lab.paths import find_legs
from netns_lab.record import existing
from netns_lab.topology import star
from netns_lab.traffic import exchange
from tests.lab.commands import Ctl

COUNT = 23
OFFICE = Path(__file__).resolve().parents[1] / "golden" / "office.toml"
DOCS = Path(__file__).resolve().parents[2] / "docs" / "topologies.md"


def everything():
    """All that a lab could have made or touched."""
    return {
        "namespaces": sorted(p.name for p in Path("/run/netns").glob("*")),
        "links": sorted(p.name for p in Path("/sys/class/net").iterdir()),
        "pins": sorted(str(p) for p in Path("/sys/fs/bpf").glob("ufid/*")),
        "records": sorted(str(p) for p in Path("/run/ufid-datapath").glob("labs/*")),
    }


def written(name, folder):
    """The topology of that name: a shipped one, the file of the unit tests, or that of the docs."""
    if name == "office":
        return str(OFFICE)
    if name != "docs":
        return name
    path = folder / "docs.toml"
    path.write_text(re.search(r"```toml\n(.*?)```", DOCS.read_text(), re.DOTALL)[1])
    return str(path)


@pytest.fixture
def ctl():
    """A lab that is down, and nothing of which is left."""
    command = Ctl(f"y{os.getpid() % 1000000}")
    before = everything()
    yield command
    command("down")
    assert everything() == before


CASES = [
    ("two", "xdp"),
    ("docs", "xdp"),
    ("office", "tc"),
    *((name, hook) for name in ("trunk", "chain", "router") for hook in ("xdp", "tc")),
]


@pytest.fixture(scope="module", params=CASES, ids="-".join)
def up(request, tmp_path_factory):
    """A lab, and what `ctl up` said."""
    name, hook = request.param
    before = everything()
    command = Ctl(f"z{os.getpid() % 1000000}")
    command.outcome = command("up", written(name, tmp_path_factory.mktemp("files")), "--hook", hook)
    command.topology = existing(command.name)
    command.hook = hook
    yield command
    command("down")
    assert everything() == before


def pairs(topology, *, ipv6=False):
    """All ordered pairs of hosts, and whether there is a way."""
    for src in topology.hosts:
        for dst in topology.hosts:
            if src is not dst:
                yield src.name, dst.name, find_legs(topology, src.name, dst.name, ipv6=ipv6)


def test_every_packet_arrives_as_expected(up):
    sent = COUNT * len(tour(up.topology, COUNT))
    assert f"{sent} packets sent, {sent} received" in up.outcome.err
    status = up.json("status")["status"][0]
    assert status["hosts"] == [host.name for host in up.topology.hosts]
    assert status["datapaths"] == up.topology.datapath_names()
    assert (status["up"], status["faults"], status["missed"]) == (True, [], 0)


def test_ports_are_on_the_hook_that_was_asked_for(up):
    for name in up.topology.datapath_names():
        (row,) = Ctl(name).json("show")["datapaths"]
        assert {port["hook"] for port in row["ports"][1:]} == {"tc" if up.hook == "tc" else "xdp/native"}


def test_the_doctor_finds_ports_fit_for_what_they_do(up):
    for name in up.topology.datapath_names():
        assert "no faults" in Ctl(name)("doctor", "ports").out


def test_all_that_have_a_way_are_sent_to(up):
    ways = [(src, dst, legs) for src, dst, legs in pairs(up.topology) if legs]
    streams = [Stream(src=src, dst=dst, kind=kind) for src, dst, _ in ways for kind in ("udp", "tcp")]
    assert [result for result in exchange(up.topology, streams) if not result.ok] == []
    src, dst, _ = max(ways, key=lambda way: len(way[2]))
    assert f"{COUNT} sent, {COUNT} received\n" in up("send", src, dst, "--icmp").out


def test_the_others_are_told_that_there_is_none(up):
    for src, dst, _ in [pair for pair in pairs(up.topology) if not pair[2]][:1]:
        assert f"there is no way from {src} to {dst}" in up("send", src, dst, status=2).err
        assert not answers(up.topology, src, up.topology.host(dst).ipv4)


@pytest.mark.parametrize("ipv6", [False, True], ids=["ipv4", "ipv6"])
def test_all_that_have_a_way_can_be_pinged(up, ipv6):
    for src, _, legs in pairs(up.topology, ipv6=ipv6):
        if legs:
            ping(up.topology, src, legs[-1].dst.address_of(ipv6=ipv6), hops=len(legs) - 1)


def ping(topology, src, address, hops):
    answered = answers(topology, src, address)
    assert answered, f"{src} to {address}"
    assert int(re.search(r"ttl=(\d+)", answered)[1]) == 64 - hops


def answers(topology, src, address):
    """What ping printed, or nothing when there was no answer."""
    with topology.namespace(topology.host(src)).enter():
        run = subprocess.run(
            ["ping", "-n", "-c", "1", "-W", "1", address], capture_output=True, text=True, check=False, timeout=10
        )
    return run.stdout if run.returncode == 0 else ""


def test_tcp_between_the_ends_of_the_longest_way(up):
    src, dst, _ = max(pairs(up.topology), key=lambda pair: len(pair[2]))
    assert tcp_transfer(up.topology, src, dst, mib=8).ok
    assert tcp_transfer(up.topology, dst, src, mib=8).ok


def test_drops_are_told_by_datapath(up):
    """Frames with a tag that no port's flows know end at the first datapath."""
    src, dst, _ = next(pair for pair in pairs(up.topology) if pair[2])
    outcome = up("send", src, dst, "--vlan", "99", status=1)
    first = up.topology.datapath_name(up.topology.host(src).devices[0].datapath)
    several = len(up.topology.datapaths) > 1
    assert f"dropped meanwhile{f' by {first}' if several else ''}: miss:{COUNT}" in outcome.err


# --- one lab at a time -------------------------------------------------------------------------------


def test_a_printed_topology_is_the_one_that_is_built(ctl, tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text(ctl("up", "--print", "two").out)
    ctl("up", str(file), "--no-traffic")
    assert existing(ctl.name) == load("two", ctl.name)
    assert ctl.json("status")["status"][0]["topology"] == str(file)
    assert "is up already" in ctl("up", "two", "--no-traffic").err, "a copy is no other topology"


def test_another_topology_than_the_one_that_is_up(ctl):
    ctl("up", "--hosts", "2", "--no-traffic")
    message = f"lab {ctl.name} is up with another topology: star with 2 hosts, hook xdp; ctl down removes it"
    for other in (["--hosts", "3"], ["star"], ["--hook", "tc", "--hosts", "2"], ["chain"]):
        assert message in ctl("up", *other, "--no-traffic", status=4).err
    assert existing(ctl.name) == star(2, ctl.name)
    assert "is up already" in ctl("up", "--no-traffic").err, "nothing was asked for"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["office.toml"], "office.toml:3: host h1: there is no datapath s1; datapaths: dp"),
        (["nothing.toml"], "no file nothing.toml"),
        (["strar"], "did you mean star?"),
        (["chain", "--hosts", "3"], "--hosts is for the star"),
        (["--print", "--hosts", "3"], "--print prints a topology as it is shipped"),
        (["--print", "office.toml"], "no topology office.toml is shipped"),
    ],
)
def test_mistakes_are_found_before_anything_is_made(ctl, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    Path("office.toml").write_text("# an office\n[hosts.h1]\nport = 's1:1'\nipv4 = '198.18.0.1/24'\n"
                                   "[hosts.h2]\nport = 2\nipv4 = '198.18.0.2/24'\n")  # fmt: skip
    before = everything()
    assert message in ctl("up", *arguments, status=3 if arguments == ["nothing.toml"] else 2).err
    assert everything() == before


def test_a_lab_without_its_record_is_half_made(ctl):
    ctl("up", "--hosts", "2", "--no-traffic")
    record = Path(f"/run/ufid-datapath/labs/{ctl.name}.json")
    kept = record.read_text()
    record.unlink()
    half_made(ctl)
    record.write_text(kept)
    assert "is up already" in ctl("up", "--no-traffic").err
    record.unlink()


def test_a_lab_that_lacks_a_namespace_is_half_made(ctl):
    ctl("up", "chain", "--no-traffic")
    existing(ctl.name).namespace(existing(ctl.name).host("h2")).delete()
    half_made(ctl)


def test_datapaths_without_namespaces_are_half_made(ctl):
    ctl("up", "chain", "--no-traffic")
    for namespace in existing(ctl.name).namespaces():
        namespace.delete()
    assert "its record alone is there" in half_made(ctl).err
    ctl("down")
    assert not list(Path("/sys/fs/bpf").glob(f"ufid/{ctl.name}*"))


@pytest.mark.parametrize("text", [None, "{}"], ids=["whole", "damaged"])
def test_a_record_alone_is_written_over(ctl, text):
    ctl("up", "--hosts", "2", "--no-traffic")
    record = Path(f"/run/ufid-datapath/labs/{ctl.name}.json")
    kept = record.read_text()
    ctl("down")
    record.parent.mkdir(parents=True, exist_ok=True)
    record.write_text(text or kept)
    assert "is half made" in faults(ctl)[0]
    ctl("up", "--no-traffic")
    assert existing(ctl.name) == star(3, ctl.name)


def half_made(ctl):
    assert faults(ctl)[0] == f"lab {ctl.name} is half made: ctl --dp {ctl.name} down"
    assert "is not up" in ctl("exec", "h1", "--", "true", status=7).err
    refused = ctl("up", status=4)
    assert "was left half made" in refused.err
    return refused


def test_a_kill_between_two_datapaths_is_cleared_away(ctl):
    process = subprocess.Popen(ctl.argv("up", "chain", "--no-traffic"), stderr=subprocess.DEVNULL)
    while not Path(f"/sys/fs/bpf/ufid/{ctl.name}-s2").exists():
        assert process.poll() is None, "the kill came too late to test anything"
    process.kill()
    process.wait()
    assert faults(ctl)
    ctl("down")
    assert not list(Path("/sys/fs/bpf").glob(f"ufid/{ctl.name}*"))
    ctl("up", "chain", "--traffic", "3")


def test_down_leaves_a_datapath_of_ones_own(ctl):
    """One that is called like the lab, but was made by hand."""
    ctl("add-dp", ctl.name)
    assert "nothing to remove" in ctl("down").err
    assert [row["name"] for row in ctl.json("show")["datapaths"]] == [ctl.name]
    ctl("del-dp", ctl.name)


def test_a_datapath_that_is_gone_is_a_fault(ctl):
    ctl("up", "chain", "--no-traffic")
    ctl("del-dp", f"{ctl.name}-s2")
    assert faults(ctl) == [f"lab {ctl.name} has no datapath {ctl.name}-s2: ctl --dp {ctl.name} down, and up again"]


def faults(ctl):
    """What `ctl status` complains of."""
    return json.loads(ctl("-o", "json", "status", status=1).out)["status"][0]["faults"]


def test_hosts_that_have_no_way_to_one_another(ctl, tmp_path):
    file = tmp_path / "apart.toml"
    file.write_text(
        "[hosts.h1]\nport = 1\nipv4 = '198.18.1.1/24'\n[hosts.h2]\nport = 2\nvlan = 2\nipv4 = '198.18.2.2/24'\n"
    )
    outcome = ctl("up", str(file))
    assert "flows        0 installed" in outcome.err
    assert "traffic      none: no two hosts have a way to one another" in outcome.err
    assert "next: ctl --dp" in outcome.err


def test_json_rows_name_their_datapath(ctl):
    rows = ctl.json("up", "chain", "--traffic", "3")["flows"]
    count = {
        name: len([row for row in rows if row["datapath"] == name]) for name in existing(ctl.name).datapath_names()
    }
    assert list(count.values()) == [4, 6, 4]


def test_long_frames_through_a_router(ctl, tmp_path):
    file = tmp_path / "jumbo.toml"
    file.write_text("mtu = 9000\n" + ctl("up", "--print", "router").out)
    ctl("up", str(file), "--no-traffic")
    for host, address in (("h1", "198.18.20.3"), ("h3", "198.18.10.1")):
        ping = ["ping", "-q", "-c", "3", "-i", "0.05", "-M", "do", "-s", "8972", "-W", "2", address]
        assert "3 received" in ctl("exec", host, "--", *ping).out
