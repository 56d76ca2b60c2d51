"""Each trap of veth under XDP: the loss is real without the cure, and gone with it."""

import os

import pytest

from ctl import ethtool
from ctl.ethtool import Feature
from ctl.kernel import libbpf
from ctl.ports import Links
from netns_lab.build import build, destroy
from netns_lab.bulk import tcp_transfer, udp_count
from netns_lab.bytecode import instruction
from netns_lab.frames import Stream
from netns_lab.topology import HOST_DEVICE, star
from netns_lab.traffic import exchange
from tests.lab.redirect import passing, redirecting

UDP = [Stream(src="h1", dst="h2", kind="udp", count=23)]


@pytest.fixture(autouse=True)
def forwarding(lab):
    with redirecting(lab):
        yield


def switch(lab, host, **states):
    ethtool.switch(lab.namespace(lab.host(host)), HOST_DEVICE, **states)


def test_frames_into_a_veth_whose_peer_does_not_poll_are_lost_until_gro_is_on(lab):
    switch(lab, "h2", off=[Feature.GRO])
    assert exchange(lab, UDP, timeout_s=0.3)[0].received == 0
    switch(lab, "h2", on=[Feature.GRO])
    assert exchange(lab, UDP)[0].ok


def test_a_program_on_the_peer_cures_the_loss_as_well(lab):
    switch(lab, "h2", off=[Feature.GRO])
    with passing(lab.namespace(lab.host("h2")), HOST_DEVICE):
        assert exchange(lab, UDP)[0].ok


def test_checksums_left_to_the_device_are_left_to_nobody(lab):
    switch(lab, "h1", on=[Feature.TX_CHECKSUM])
    broken = tcp_transfer(lab, "h1", "h2", mib=1, timeout_s=0.7)
    assert (broken.ok, broken.received_bytes) == (False, 0)
    assert udp_count(lab, "h1", "h2", count=23, timeout_s=0.3).received == 0
    assert exchange(lab, UDP)[0].ok, "finished frames do not show the trap"
    switch(lab, "h1", off=[Feature.TX_CHECKSUM])
    assert tcp_transfer(lab, "h1", "h2", mib=1).ok
    assert udp_count(lab, "h1", "h2", count=23).received == 23


VLAN_PUSH, EGRESS_NEXT = 18, -1
PUSH_VLAN_5 = b"".join(
    (
        instruction(0xB7, 2, value=0x0081),  # 802.1Q, big-endian, on a little-endian machine
        instruction(0xB7, 3, value=5),
        instruction(0x85, value=VLAN_PUSH),
        instruction(0xB7, 0, value=EGRESS_NEXT),
        instruction(0x95),
    )
)


def test_an_offloaded_vlan_tag_never_reaches_the_program(lab):
    """h1 tags what it sends, and leaves the tag beside the frame as long as it may."""

    def tagged(frame):
        return frame[:12] + bytes.fromhex("81000005") + frame[12:]

    home = lab.namespace(lab.host("h1"))
    program = libbpf.prog_load(libbpf.PROG_SCHED_CLS, "lab_tag", PUSH_VLAN_5)
    with Links(home) as links:
        links.attach_classifier(HOST_DEVICE, program, "tag", egress=True)
    os.close(program)
    streams = [Stream(src="h1", dst="h2", count=23, arrives_as=tagged)]
    switch(lab, "h1", on=[Feature.TX_VLAN])
    (lost,) = exchange(lab, streams)
    assert (lost.received, lost.mismatched) == (23, 23), "the frames arrive, all without their tag"
    switch(lab, "h1", off=[Feature.TX_VLAN])
    assert exchange(lab, streams)[0].ok


def test_an_mtu_of_9000_needs_a_program_that_takes_fragments(lab_name):
    topology = star(2, f"{lab_name}j", mtu=9000)
    build(topology)
    try:
        with pytest.raises(OSError, match="out of range"), redirecting(topology):
            pass
        with redirecting(topology, frags=True):
            assert tcp_transfer(topology, "h1", "h2", mib=3).ok
    finally:
        destroy(topology.lab)
