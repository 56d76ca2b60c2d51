"""The doctor on a lab whose ports, links and offloads are broken one by one, for real.

What it prints as the mending command is run as it stands, by a shell.
"""

import os
import subprocess

import pytest

from ctl import ethtool
from ctl.doctor import State
from ctl.ethtool import Feature
from ctl.kernel import bpffs
from ctl.kernel.datapath import KernelDatapath
from ctl.ports import Links, VethEnd
from netns_lab.record import existing
from netns_lab.topology import HOST_DEVICE
from tests.lab.patient import Patient, shell


@pytest.fixture(scope="module")
def whole_lab():
    command = Patient(f"d{os.getpid()}")
    command("up", "--no-traffic")
    yield command
    command("down")


@pytest.fixture
def lab(whole_lab):
    """Well before the test and after it."""
    assert whole_lab.ill("ports") == set()
    yield whole_lab
    assert whole_lab.ill("ports") == set()


@pytest.fixture
def topology(whole_lab):
    return existing(whole_lab.name)


def home_of(topology, host):
    return topology.namespace(topology.host(host))


def arrives(ctl, *ends):
    return ctl.json("send", *ends, "--count", "23")["traffic"][0]["received"] == 23


def test_a_lab_that_is_well(whole_lab):
    rows = whole_lab.document("datapaths", "ports")
    name = whole_lab.name
    assert {row["state"] for row in rows.values()} <= {"ok", "note"}
    assert rows[" flows"]["found"] == "6 of 65536"
    assert rows[":p1"]["found"] == f"port 1: p1 (veth) in ctl-{name}-dp"
    assert rows[":p1 redirects"]["found"] == "taken by the device"
    assert f":{name} gro" in rows, "the local port is a port"


def test_every_group_is_told_as_text_with_what_it_comes_to(whole_lab):
    lines = whole_lab("doctor", "machine", "bpffs", "ports").lines
    assert [line for line in lines if not line.startswith(" ")] == ["machine", "bpffs", "ports", "no faults, no notes"]


def test_a_group_that_does_not_exist(whole_lab):
    assert "'machine', 'rights', 'bpffs'" in whole_lab("doctor", "nonsense", status=2).err


# --- offloads ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("check", "states"),
    [
        ("gro", {"off": [Feature.GRO]}),
        ("tx checksum", {"on": [Feature.TX_CHECKSUM]}),
        ("vlan offload", {"on": [Feature.TX_VLAN, Feature.RX_VLAN]}),
    ],
)
def test_offloads_that_a_port_cannot_have_are_switched_back(lab, topology, check, states):
    ethtool.switch(home_of(topology, "h1"), HOST_DEVICE, **states)
    assert lab.ill("ports") == {(f":p1 {check}", "fault")}
    row = lab.document("--fix", "ports")[f":p1 {check}"]
    assert (row["state"], row["fixed"]) == ("ok", True)
    assert arrives(lab, "h2", "h1")


def test_offloads_of_the_port_itself(lab, topology):
    ethtool.switch(topology.datapath_namespace, "p2", on=[Feature.RX_VLAN])
    assert lab.ill("ports") == {(":p2 vlan offload", "fault")}
    lab.mend(":p2 vlan offload", "ports")


# --- links -------------------------------------------------------------------------------------------


def test_mtu_of_a_peer(lab, topology):
    with Links(home_of(topology, "h1")) as links:
        links.set_mtu(HOST_DEVICE, 1400)
    assert lab.ill("ports") == {(":p1 mtu", "fault")}
    lab.mend(":p1 mtu", "ports")


def test_mtu_of_one_port_among_others(lab, topology):
    for ns, device in ((home_of(topology, "h1"), HOST_DEVICE), (topology.datapath_namespace, "p1")):
        with Links(ns) as links:
            links.set_mtu(device, 1400)
    assert lab.ill("ports") == {(":p1 mtu", "note")}
    lab.mend(":p1 mtu", "ports")


def set_down(ns, device):
    with ns.enter():
        subprocess.run(["ip", "link", "set", "dev", device, "down"], check=True)


def test_a_port_that_is_down(lab, topology):
    set_down(topology.datapath_namespace, "p3")
    assert lab.ill("ports") == {(":p3 link", "fault")}
    lab.mend(":p3 link", "ports")
    assert arrives(lab, "h1", "h3")


def test_a_peer_that_is_down(lab, topology):
    set_down(home_of(topology, "h3"), HOST_DEVICE)
    assert lab.ill("ports") == {(":p3 link", "fault")}
    command = lab.rows("ports")[f"{lab.name}:p3 link"].mend.command
    assert command.startswith(f"nsenter --net=/run/netns/ctl-{lab.name}-h3 ")
    shell(command)


# --- devices and programs ----------------------------------------------------------------------------


class Cable:
    """A veth pair p9 and q9, in the namespace of the ports."""

    def __init__(self, ns):
        self.ns = ns

    def plug(self):
        with Links(self.ns) as links:
            links.create_veth(VethEnd(name="p9"), VethEnd(name="q9"))
            for device in ("p9", "q9"):
                links.set_up(device)

    def unplug(self):
        with Links(self.ns) as links:
            links.delete("q9")

    def ip_link_set(self, *words):
        with self.ns.enter():
            subprocess.run(["ip", "link", "set", "dev", "p9", *words], check=True)


@pytest.fixture
def cable(whole_lab, topology):
    """Its p9 is port 9."""
    cable = Cable(topology.datapath_namespace)
    cable.plug()
    whole_lab("add-if", f"p9,port_no=9,netns={cable.ns.name}")
    assert whole_lab.ill("ports") == set()
    yield cable
    cable.unplug()
    with KernelDatapath(whole_lab.name) as datapath:
        is_left = any(port.number == 9 for port in datapath.ports())
    if is_left:
        whole_lab("del-if", "9")


def test_a_device_that_is_gone(whole_lab, cable):
    cable.unplug()
    assert whole_lab.ill("ports") == {(":p9", "fault")}
    whole_lab.mend(":p9", "ports")
    assert f"{whole_lab.name}:p9" not in whole_lab.rows("ports")


def test_a_device_that_is_gone_and_back_again(whole_lab, cable):
    cable.unplug()
    cable.plug()
    assert whole_lab.ill("ports") == {(":p9", "fault")}
    whole_lab.mend(":p9", "ports")
    assert whole_lab.ill("ports") == set()


def test_a_device_with_another_name(whole_lab, cable):
    cable.ip_link_set("down")
    cable.ip_link_set("name", "r9", "up")
    assert whole_lab.ill("ports") == set()
    assert whole_lab.rows("ports")[f"{whole_lab.name}:r9"].state is State.OK


@pytest.mark.usefixtures("cable")
def test_a_program_that_was_taken_off(whole_lab):
    bpffs.link(whole_lab.name, 9).unlink()
    assert (":p9 program", "fault") in whole_lab.ill("ports")
    whole_lab.mend(":p9 program", "ports")
    assert whole_lab.ill("ports") == set()


def test_a_device_in_another_namespace(whole_lab, cable):
    cable.ip_link_set("netns", f"ctl-{whole_lab.name}-h1")
    assert whole_lab.ill("ports") == {(":p9", "fault")}
    whole_lab.mend(":p9", "ports")
    assert whole_lab.ill("ports") == set()


def test_another_device_with_the_ifindex_of_one_that_was_moved_away(whole_lab, cable, topology):
    ifindex = cable.ns.ifindex("p9")
    cable.ip_link_set("netns", f"ctl-{whole_lab.name}-h1")
    with cable.ns.enter():
        subprocess.run(["ip", "link", "add", "x9", "index", str(ifindex), "type", "veth", "peer", "y9"], check=True)
    assert whole_lab.ill("ports") == {(":p9", "fault")}
    with Links(topology.datapath_namespace) as links:
        links.delete("x9")
    whole_lab.mend(":p9", "ports")


# --- what is around a lab ----------------------------------------------------------------------------


def test_who_lives_in_a_host(whole_lab):
    with subprocess.Popen(
        whole_lab.argv("exec", "h1", "--", "sh", "-c", "echo in; read _; :"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as child:
        assert child.stdout.readline() == b"in\n"
        row = whole_lab.rows("leftovers")[f"lab {whole_lab.name} processes"]
        child.stdin.close()
    assert row.state is State.NOTE
    assert f"in ctl-{whole_lab.name}-h1" in row.found


def test_an_interrupted_writer_is_found_and_its_work_finished(whole_lab):
    with KernelDatapath(whole_lab.name) as datapath:
        datapath.reader.control.dirty = 1
    assert (" writer", "fault") in whole_lab.ill("datapaths")
    with KernelDatapath(whole_lab.name) as datapath, datapath.hold():
        assert (" writer", "fault") not in whole_lab.ill("datapaths"), "a writer at work is no fault"
    with KernelDatapath(whole_lab.name) as datapath:
        datapath.reader.control.dirty = 1
    whole_lab.mend(" writer", "datapaths")
    assert (" writer", "fault") not in whole_lab.ill("datapaths")


def test_a_host_that_is_gone(lab_name):
    ctl = Patient(lab_name)
    ctl("up", "--no-traffic", "--hosts", "2")
    existing(lab_name).namespaces()[1].delete()
    row = ctl.rows("leftovers")[f"lab {lab_name}"]
    assert row.state is State.FAULT
    shell(row.mend.command)
    assert f"lab {lab_name}" not in ctl.rows("leftovers")
