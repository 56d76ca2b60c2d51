"""A datapath over a machine's own devices, without `ctl up`: a namespace stands for the machine.

The lab's wiring is used for two neighbours of the machine; what the lab does for its own ports is undone, as
no machine comes prepared.
"""

import os
import subprocess

import pytest

from ctl import ethtool
from ctl.ethtool import Feature
from ctl.ports import Links
from netns_lab.build import build
from netns_lab.bulk import tcp_transfer, udp_count
from netns_lab.topology import HOST_DEVICE, star
from tests.lab.commands import Ctl

OFFLOADS = (Feature.TX_CHECKSUM, Feature.TSO, Feature.GSO, Feature.TX_VLAN, Feature.RX_VLAN)
DATAGRAMS = 1009


class Machine:
    """`ctl` on a machine with the devices p1 and p2, and what is behind them."""

    def __init__(self, topology):
        self.topology = topology
        self.home = topology.datapath_namespace
        self.name = f"b{os.getpid() % 1000000}"
        self._ctl = Ctl(self.name)

    def __call__(self, *arguments, status=0):
        with self.home.enter():
            return self._ctl(*arguments, status=status)

    def ping(self, namespace, address):
        with namespace.enter():
            run = subprocess.run(
                ["ping", "-q", "-c", "5", "-i", "0.05", "-W", "2", address], capture_output=True, text=True, check=False
            )
        return "5 received" in run.stdout

    def bytes_per_packet(self, ufid):
        row = self._ctl.flow(ufid)
        return row["bytes"] / row["packets"]


@pytest.fixture
def machine(lab_name):
    topology = star(2, lab_name)
    build(topology)
    for host in topology.hosts:
        ethtool.switch(topology.datapath_namespace, host.device, on=OFFLOADS)
        ethtool.switch(topology.namespace(host), HOST_DEVICE, on=OFFLOADS, off=(Feature.GRO,))
    machine = Machine(topology)
    machine("add-dp", machine.name, "--max-flows", "100")
    yield machine
    if machine.name in machine("dump-dps").out:
        machine("del-dp", machine.name)


def connect(machine, *devices):
    """Make the devices ports 1 and 2, and forward all between them; what was said of each."""
    said = machine("add-if", *devices).err
    machine("add-flow", "ufid:0x01,in_port(1),eth()", "2")
    machine("add-flow", "ufid:0x02,in_port(2),eth()", "1")
    return said


HOOKS = {
    "xdp": ("p1", "p2"),
    "tc": ("p1,hook=tc", "p2,hook=tc"),
    "both": ("p1", "p2,hook=tc"),
}


@pytest.mark.parametrize("hook", HOOKS)
def test_neighbours_talk_through_the_machine(machine, hook):
    said = connect(machine, *HOOKS[hook])
    assert f"p1 is port 1 of {machine.name} ({'tc' if hook == 'tc' else 'xdp/native'})" in said
    assert ("tx checksum off at eth0" in said) == (hook != "tc"), "what was changed is told"
    h1, h2 = machine.topology.hosts
    assert machine.ping(machine.topology.namespace(h1), h2.ipv4)
    assert machine.ping(machine.topology.namespace(h2), h1.ipv6)
    for src, dst in (("h1", "h2"), ("h2", "h1")):
        assert tcp_transfer(machine.topology, src, dst, mib=8).ok
        assert udp_count(machine.topology, src, dst, count=DATAGRAMS).received == DATAGRAMS
    if hook == "tc":
        assert machine.bytes_per_packet("ufid:0x01") > 1000, "segmentation stayed with the sender's device"


@pytest.mark.parametrize("hook", ["xdp", "tc"])
def test_the_machine_itself_takes_part(machine, hook):
    """By the datapath's own device, port 0."""
    machine("add-if", HOOKS[hook][0])
    with Links(machine.home) as links:
        mac = links.get(machine.name).mac
        links.add_address(machine.name, "198.18.0.99", 24)
    machine("add-flow", "ufid:0x03,in_port(0),eth()", "1")
    machine("add-flow", f"ufid:0x04,in_port(1),eth(dst={mac})", "0")
    machine("add-flow", "ufid:0x05,in_port(1),eth(dst=ff:ff:ff:ff:ff:ff)", "0")
    h1 = machine.topology.host("h1")
    assert machine.ping(machine.home, h1.ipv4)
    assert machine.ping(machine.topology.namespace(h1), "198.18.0.99")


def test_devices_stay_when_the_datapath_goes(machine):
    connect(machine, "p1", "p2")
    machine("del-if", "p1")
    machine("del-dp", machine.name)
    assert set(machine.home.devices()) == {"lo", "p1", "p2"}
    with Links(machine.home) as links:
        assert not any(links.get(device).has_xdp for device in ("p1", "p2"))
        links.add_address("p1", "198.18.0.98", 24)
    assert machine.ping(machine.home, machine.topology.host("h1").ipv4), "the stack has the device back"


def test_a_device_elsewhere_is_refused_with_its_place(machine):
    """`ctl` outside the machine does not take a device of the same name for the machine's."""
    outside = Ctl(machine.name)("add-if", "p1", status=2).err
    assert f"add netns={machine.home.name}" in outside
    assert Ctl(machine.name)("add-if", f"p1,netns={machine.home.name}").err.startswith("p1 is port 1")


def test_the_way_to_the_machine_is_not_cut_off_unasked(machine):
    with machine.home.enter():
        for command in ("ip addr add 198.18.0.97/24 dev p1", "ip route add default via 198.18.0.1"):
            subprocess.run(command.split(), check=True)
    assert "p1 carries the default route" in machine("add-if", "p1", status=2).err
    assert "p1 is port 1" in machine("add-if", "--force", "p1").err
