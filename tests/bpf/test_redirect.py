"""Ports whose devices take nothing that XDP redirects: flows that output there are executed on the tc hook."""

import pytest

from ctl import ethtool
from ctl.action import Clone, Output
from ctl.ethtool import Feature
from ctl.kernel import attach, features, redirect
from ctl.ports import Links, VethEnd
from tests.bpf.harness import OUT2, TC_REDIRECT, XDP_PASS, XDP_REDIRECT, match_of, numbered, udp_frame

WHY = "port 7 takes nothing from XDP"
OUT7 = (Output(7),)


@pytest.fixture
def asked(require):
    """Devices say whether they take redirects."""
    require(features.has("xdp_features"), "this kernel does not say what a device takes, as Linux 6.3 and later do")


@pytest.fixture
def deaf(datapath):
    """A veth whose peer does not poll."""
    with Links(datapath.netns) as links:
        links.create_veth(VethEnd(name="p7"), VethEnd(name="q7"))
        links.set_up("p7")
        yield "p7"
        if 7 in {port.number for port in datapath.ports()}:
            attach.detach(datapath, 7)
        links.delete("p7")


@pytest.mark.usefixtures("asked")
def test_flows_follow_a_port_that_comes_and_goes(bench, datapath, deaf):
    """Those to other ports stay where they are; an output within a list counts like any other."""
    frames = [udp_frame(0x0A000000 + number) for number in range(4)]
    datapath.flow_new(numbered(0), OUT2)
    datapath.flow_new(numbered(1), OUT7)
    datapath.flow_new(numbered(3), (Clone(OUT7),))
    assert datapath.flow_get(numbered(1).key).not_xdp is None
    assert not attach.attach(datapath, deaf, 7).takes_redirects
    datapath.flow_new(numbered(2), OUT7)
    assert [datapath.flow_get(numbered(n).key).not_xdp for n in range(4)] == [None, WHY, WHY, WHY]
    assert [bench.run(frame).verdict for frame in frames] == [XDP_REDIRECT, XDP_PASS, XDP_PASS, XDP_PASS]
    assert [bench.run_tc(frame).verdict for frame in frames] == [TC_REDIRECT] * 4
    attach.detach(datapath, 7)
    assert [datapath.flow_get(numbered(n).key).not_xdp for n in range(4)] == [None] * 4


@pytest.mark.usefixtures("asked")
def test_a_changed_flow_is_placed_again(datapath, deaf):
    attach.attach(datapath, deaf, 7)
    key = datapath.flow_new(match_of(in_port=1), OUT7).match.key
    assert datapath.flow_set(key, OUT2).not_xdp is None
    assert datapath.flow_set(key, OUT7).not_xdp == WHY


@pytest.mark.usefixtures("asked")
def test_a_veth_takes_redirects_when_its_peer_polls(datapath, deaf):
    namespace = datapath.netns
    ifindex = namespace.ifindex(deaf)
    assert not redirect.is_taken(namespace, deaf, ifindex)
    ethtool.switch(namespace, "q7", on=(Feature.GRO,))
    with Links(namespace) as links:
        links.set_down(deaf)
        assert redirect.is_taken(namespace, deaf, ifindex), "a device that is down does not say"
        links.set_up(deaf)
    assert redirect.is_taken(namespace, deaf, ifindex)


def test_where_devices_cannot_be_asked_the_driver_decides(datapath, deaf, monkeypatch):
    namespace = datapath.netns
    monkeypatch.setenv("CTL_WITHOUT", "xdp_features")
    assert redirect.is_taken(namespace, deaf, namespace.ifindex(deaf))
    assert not redirect.is_taken(namespace, "lo", 1)
