"""The tc hook where the differential test does not look: metadata, limits, and what is left behind."""

import os
import struct
from contextlib import contextmanager

import pytest

from ctl import abi, ethtool, netlink
from ctl.action import Hash, HashAlgorithm, Output, PushVlan, Recirc, Set, Trunc, Userspace
from ctl.errors import Exists, NotFound
from ctl.execute import hash_key
from ctl.kernel import attach, bpffs, clsact, features, libbpf, lifecycle
from ctl.kernel.maps import Sizes
from ctl.kernel.ring import UpcallReader
from ctl.packet import extract
from ctl.ports import Links, VethEnd
from tests.bpf.harness import (
    NOTE_SIZE,
    OUT2,
    TC_REDIRECT,
    TC_SHOT,
    XDP_DROP,
    XDP_PASS,
    match_of,
    udp_frame,
)
from tests.bpf.harness import bench as make_bench
from tests.waiting import eventually

FRAME = udp_frame(0x0A000007)
EVERYTHING = match_of(in_port=1, l2_kind=1)
COPIES = (Output(2), Output(3))


def test_mark_and_priority_that_a_packet_comes_with_are_in_its_key(bench, datapath):
    datapath.flow_new(match_of(in_port=1, skb_mark=0x17, skb_priority=5), OUT2)
    assert bench.run_tc(FRAME, mark=0x17, priority=5).verdict == TC_REDIRECT
    assert bench.run_tc(FRAME, mark=0x17).verdict == TC_SHOT
    assert bench.run_tc(FRAME, priority=5).verdict == TC_SHOT


def test_a_device_that_is_no_port_is_shut(bench, counted):
    assert bench.run_tc(FRAME, None).verdict == TC_SHOT
    assert counted() == {"drop_not_a_port": 1}


def test_what_xdp_leaves_to_tc_is_not_counted(bench, datapath, counted):
    datapath.flow_new(EVERYTHING, COPIES)
    left = bench.run(FRAME)
    assert (left.verdict, left.frame[NOTE_SIZE:], counted()) == (XDP_PASS, FRAME, {})
    assert bench.run_tc(left.frame[NOTE_SIZE:]).verdict == TC_REDIRECT
    size = len(FRAME)
    arrival = {"rx_packets_1": 1, "rx_bytes_1": size}
    left = {f"tx_{what}_{port}": n for port in (2, 3) for what, n in (("packets", 1), ("bytes", size))}
    assert counted() == {"hit": 1, "mask_hit": 1, **arrival, **left}


@pytest.fixture
def crowd(bench):
    """So many bytes of metadata that a note does not fit; older kernels take no more than 32 in all."""
    try:
        bench.run(FRAME, meta=200)
    except OSError:
        return 32
    return 200


def test_where_nothing_can_be_noted_a_whole_walk_is_left_all_the_same(bench, datapath, crowd):
    datapath.flow_new(EVERYTHING, COPIES)
    assert bench.run(FRAME, meta=crowd).verdict == XDP_PASS


def test_where_nothing_can_be_noted_half_a_walk_is_lost_and_says_so(bench, datapath, counted, crowd):
    datapath.flow_new(match_of(in_port=1, recirc_id=0), (Recirc(1),))
    datapath.flow_new(match_of(in_port=1, recirc_id=1), COPIES)
    assert bench.run(FRAME).verdict == XDP_PASS
    before = counted()
    assert bench.run(FRAME, meta=crowd).verdict == XDP_DROP
    gained = {name: count - before.get(name, 0) for name, count in counted().items()}
    assert (gained["drop_hand_over"], gained["hit"], gained["rx_packets_1"], gained["rx_dropped_1"]) == (1, 2, 1, 1)


def test_a_copy_that_is_cut_leaves_the_packet_as_it_was(bench, datapath, counted):
    datapath.flow_new(EVERYTHING, (Trunc(20), Output(3), Output(2)))
    assert bench.run_tc(FRAME).frame == FRAME
    gained = counted()
    assert (gained["tx_bytes_3"], gained["tx_bytes_2"]) == (20, len(FRAME))


def test_an_upcall_has_the_tag_that_lies_beside_the_frame(bench, datapath):
    tag = PushVlan(0x8100, 0x7005)
    datapath.flow_new(EVERYTHING, (Set("skb_mark", (3,)), tag, Userspace(1), Recirc(1)))
    tagged = FRAME[:12] + bytes.fromhex("81006005") + FRAME[12:]
    with UpcallReader(datapath) as reader:
        bench.run_tc(FRAME)
        action, *_ = reader.read(1.0)
    assert (action.packet, action.frame_size) == (tagged, len(tagged))
    with UpcallReader(datapath) as reader:
        datapath.flow_flush()
        datapath.flow_new(match_of(in_port=1, recirc_id=0, l2_kind=1), (Set("skb_mark", (3,)), tag, Recirc(1)))
        bench.run_tc(FRAME)
        (miss,) = reader.read(1.0)
    assert (miss.reason, miss.packet) == ("miss", tagged)
    assert miss.key == extract(tagged, 1).with_leaves(recirc_id=1, skb_mark=3)


@pytest.mark.parametrize("tc_only", [True, False])
def test_a_port_on_either_hook_leaves_nothing_behind(datapath, tc_only):
    attach.detach(datapath, 3)
    try:
        assert attach.attach(datapath, "p3", 3, tc_only=tc_only).hook == ("tc" if tc_only else "xdp/native")
        pins = [bpffs.link(datapath.name, 3).exists(), bpffs.tc_link(datapath.name, 3).exists()]
        assert pins == [not tc_only, features.has("tcx")]
        attach.detach(datapath, 3)
        assert not bpffs.link(datapath.name, 3).exists()
        assert not bpffs.tc_link(datapath.name, 3).exists()
        with pytest.raises(NotFound):
            attach.detach(datapath, 3)
    finally:
        attach.attach(datapath, "p3", 3)


def test_a_copy_that_is_recirculated_comes_back_as_it_left(bench, datapath, counted):
    """With its port, mark, priority and hash; the packet itself goes on unchanged."""
    sets = (Set("skb_mark", (0x17,)), Set("skb_priority", (5,)), Hash(HashAlgorithm.L4, 0))
    datapath.flow_new(match_of(in_port=1, recirc_id=0), (*sets, Recirc(1), Output(2)))
    dp_hash = hash_key(extract(FRAME, 1), HashAlgorithm.L4, 0)
    datapath.flow_new(match_of(in_port=1, recirc_id=1, skb_mark=0x17, skb_priority=5, dp_hash=dp_hash), (Output(3),))
    assert bench.run_tc(FRAME).verdict == TC_REDIRECT
    size = len(FRAME)
    assert eventually(lambda: counted().get("tx_packets_3") == 1), counted()
    assert counted() == {
        "hit": 2, "mask_hit": 3, "rx_packets_1": 1, "rx_bytes_1": size,
        "tx_packets_2": 1, "tx_bytes_2": size, "tx_packets_3": 1, "tx_bytes_3": size,
    }  # fmt: skip


def test_a_copy_that_cannot_be_sent_back_is_counted(bench, datapath, counted):
    datapath.flow_new(match_of(in_port=1), (Recirc(1), Output(2)))
    with Links(datapath.netns) as links:
        links.set_down(f"{datapath.name}.p0")
        try:
            assert bench.run_tc(FRAME).verdict == TC_REDIRECT
            assert counted()["drop_deferred"] == 1
        finally:
            links.set_up(f"{datapath.name}.p0")


def test_what_lies_beside_other_frames_is_no_note(bench, datapath):
    """A frame that comes in at the local port has whatever an earlier owner left in its buffer."""
    datapath.flow_new(match_of(in_port=0, recirc_id=0), OUT2)
    for token in (0, datapath.meta.token & 0xFFFFFFFF):
        note = abi.CopyNote(token=token, recirc_id=9, in_port=1, passes=0)
        assert bench.run_tc(FRAME, 0, note=note).verdict == TC_REDIRECT
    note.passes = 1
    assert bench.run_tc(FRAME, 1, note=note).verdict == TC_SHOT, "port 1 has no flow"
    assert bench.run_tc(FRAME, 0, note=note).verdict == TC_SHOT, "port 1 has no flow in pass 9"


# --- without links -----------------------------------------------------------------------------------


@pytest.fixture
def no_tcx(datapath, monkeypatch):
    """Port 3 is not there, and is to be attached without a tcx link."""
    attach.detach(datapath, 3)
    monkeypatch.setenv("CTL_WITHOUT", "tcx")
    yield datapath.netns, datapath.netns.ifindex("p3")
    monkeypatch.undo()
    if 3 not in {port.number for port in datapath.ports()}:
        attach.attach(datapath, "p3", 3)
    attach.detach(datapath, 3)
    attach.attach(datapath, "p3", 3)


@pytest.mark.parametrize("tc_only", [True, False])
def test_a_port_without_a_tcx_link_has_a_filter(datapath, no_tcx, tc_only):
    namespace, ifindex = no_tcx
    port = attach.attach(datapath, "p3", 3, tc_only=tc_only)
    assert (port.ifindex, port.hook) == (ifindex, "tc" if tc_only else "xdp/native")
    (found,) = netlink.filters(namespace, ifindex)
    assert found.program_id == datapath.tc_program_id
    assert not bpffs.tc_link(datapath.name, 3).exists()
    assert attach.detach(datapath, 3).number == 3
    assert not has_clsact(namespace, "p3")


def test_a_clsact_that_was_there_stays(datapath, no_tcx):
    namespace, ifindex = no_tcx
    with namespace.enter():
        assert libbpf.clsact_create(ifindex)
    attach.attach(datapath, "p3", 3)
    attach.detach(datapath, 3)
    assert has_clsact(namespace, "p3")
    assert netlink.filters(namespace, ifindex) == []
    with namespace.enter():
        libbpf.clsact_delete(ifindex)


def test_a_filter_of_somebody_else_is_neither_moved_nor_removed(datapath, no_tcx):
    namespace, ifindex = no_tcx
    with namespace.enter(), trivial_program() as fd:
        libbpf.clsact_create(ifindex)
        libbpf.filter_attach(fd, ifindex, clsact.HANDLE, clsact.PREFERENCE)
        before = netlink.filters(namespace, ifindex)
        with pytest.raises(Exists, match="preference 1"):
            attach.attach(datapath, "p3", 3)
        assert netlink.filters(namespace, ifindex) == before
        libbpf.filter_detach(ifindex, clsact.HANDLE, clsact.PREFERENCE)
        attach.attach(datapath, "p3", 3)
        libbpf.filter_attach(fd, ifindex, 2, 2)
        attach.detach(datapath, 3)
        assert [found.handle for found in netlink.filters(namespace, ifindex)] == [2]
        libbpf.clsact_delete(ifindex)


def test_a_filter_goes_with_its_device(datapath, no_tcx):
    namespace, _ = no_tcx
    with Links(namespace) as links:
        attach.attach(datapath, "p3", 3)
        links.delete("p3")
        assert [port.ifindex for port in datapath.ports() if port.number == 3] == [0]
        attach.detach(datapath, 3)
        links.create_veth(VethEnd(name="p3"), VethEnd(name="q3"))
        ethtool.switch(namespace, "q3", on=(ethtool.Feature.GRO,))
        links.set_up("p3")


def test_a_datapath_that_is_removed_leaves_no_filter(monkeypatch):
    monkeypatch.setenv("CTL_WITHOUT", "tcx")
    with make_bench() as made:
        namespace, devices = made.datapath.netns, made.devices.values()
        assert all(len(netlink.filters(namespace, ifindex)) == 1 for ifindex in devices)
        lifecycle.destroy(made.datapath.name)
        assert not any(netlink.filters(namespace, ifindex) for ifindex in devices)
        lifecycle_again(made.datapath.name, namespace)


def lifecycle_again(name, namespace):
    """A datapath for the end of the bench to remove."""
    with lifecycle.creating(name, Sizes(max_flows=7, max_masks=3), namespace):
        pass


def has_clsact(namespace, device):
    """Whether the device has the queueing discipline: it takes a filter only then."""
    ifindex = namespace.ifindex(device)
    with namespace.enter(), trivial_program() as fd:
        try:
            libbpf.filter_attach(fd, ifindex, 7, 7)
        except OSError:
            return False
        libbpf.filter_detach(ifindex, 7, 7)
    return True


@contextmanager
def trivial_program():
    """A program of the tc hook that ends nothing."""
    fd = libbpf.prog_load(libbpf.PROG_SCHED_CLS, "trivial", struct.pack("<BBhiBBhi", 0xB7, 0, 0, -1, 0x95, 0, 0, 0))
    try:
        yield fd
    finally:
        os.close(fd)
