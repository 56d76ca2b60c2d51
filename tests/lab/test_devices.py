"""Devices behind ports: such as take nothing from XDP, and what they lose themselves."""

import re
import subprocess

import pytest

from ctl.ports import Links
from netns_lab.frames import Stream
from netns_lab.record import existing
from netns_lab.topology import HOST_DEVICE
from netns_lab.traffic import exchange
from tests.lab.commands import lab_up
from tests.lab.test_actions import ANY

COUNT = 23


@pytest.fixture(scope="module")
def lab():
    with lab_up("w") as command:
        yield command


@pytest.fixture
def ctl(lab):
    lab("del-flows")
    return lab


@pytest.fixture
def macvlan(ctl):
    """Port 9: a macvlan over the cable to h3, in the place of port 3."""
    home = existing(ctl.name).datapath_namespace
    ctl("del-if", "p3")
    with home.enter():
        subprocess.run(
            ["ip", "link", "add", "link", "p3", "name", "m3", "type", "macvlan", "mode", "passthru"], check=True
        )
        subprocess.run(["ip", "link", "set", "m3", "up"], check=True)
        subprocess.run(ctl.argv("add-if", "m3,port_no=9"), check=True, capture_output=True)
    yield 9
    ctl("del-if", "9")
    with home.enter():
        subprocess.run(["ip", "link", "del", "m3"], check=True)
        subprocess.run(ctl.argv("add-if", "p3,port_no=3"), check=True, capture_output=True)


def test_a_device_that_takes_no_redirects_is_reached_through_tc(ctl, macvlan):
    assert re.search(r"port 9: m3 \((generic XDP, )?no redirects\)", ctl("show").out)
    ctl("add-flow", f"ufid:0x01,{ANY}", f"{macvlan}")
    (result,) = exchange(existing(ctl.name), [Stream(src="h1", dst="h3", count=COUNT)])
    assert result.ok, result
    row = ctl.flow("ufid:0x01")
    assert (row["packets"], row["dp"], row["dp_reason"]) == (COUNT, "tc", "port 9 takes nothing from XDP")


def test_a_device_that_takes_no_redirects_sends(ctl, macvlan):
    """In generic mode, where the device has no native one."""
    ctl("add-flow", f"ufid:0x02,in_port({macvlan}),eth()", "1")
    (result,) = exchange(existing(ctl.name), [Stream(src="h3", dst="h1", count=COUNT)])
    assert result.ok, result
    assert ctl.flow("ufid:0x02")["dp"] == "xdp"


@pytest.mark.parametrize("actions", ["2", "1,2"], ids=["xdp", "tc"])
def test_what_a_device_loses_after_the_redirect_is_shown(ctl, actions):
    """The peer of port 2 takes shorter frames than the port itself says."""
    topology = existing(ctl.name)
    ctl("add-flow", f"ufid:0x01,{ANY}", actions)
    before = device_of(ctl, 2)
    with Links(topology.namespace(topology.host("h2"))) as links:
        links.set_mtu(HOST_DEVICE, 1280)
        try:
            lost = send_long(ctl)
        finally:
            links.set_mtu(HOST_DEVICE, 1500)
    after = device_of(ctl, 2)
    assert lost == COUNT
    assert after["device_statistics"]["tx_dropped"] - before["device_statistics"]["tx_dropped"] == COUNT
    assert after["statistics"]["tx_packets"] - before["statistics"]["tx_packets"] == COUNT, "the program had sent them"
    shown = re.search(r"port 2: p2\n.*\n +TX packets:(\d+) errors:0 dropped:(\d+) ", ctl("show", "-s").out)
    assert int(shown[2]) == after["device_statistics"]["tx_dropped"]


def send_long(ctl):
    """How many of so many long frames from h1 to h2 are lost."""
    frame = 'Ether(src="02:00:00:00:00:01",dst="02:00:00:00:00:02",type=0x88b5)/("x" * 1400)'
    out = ctl("send", "h1", "h2", "--scapy", frame, "--count", str(COUNT), status=1).out
    sent, received = re.search(r"(\d+) sent, (\d+) received", out).groups()
    return int(sent) - int(received)


def device_of(ctl, number):
    return next(port for port in ctl.json("show")["datapaths"][0]["ports"] if port["number"] == number)
