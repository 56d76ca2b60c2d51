"""The tc hook where the differential test does not look: metadata, limits, and what is left behind."""

import pytest

from ctl.action import Output, PushVlan, Recirc, Set, Trunc, Userspace
from ctl.errors import NotFound
from ctl.kernel import attach, bpffs, libbpf
from ctl.kernel.ring import UpcallReader
from ctl.packet import extract
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


def test_where_nothing_can_be_noted_a_whole_walk_is_left_all_the_same(bench, datapath):
    datapath.flow_new(EVERYTHING, COPIES)
    assert bench.run(FRAME, meta=200).verdict == XDP_PASS


def test_where_nothing_can_be_noted_half_a_walk_is_lost_and_says_so(bench, datapath, counted):
    datapath.flow_new(match_of(in_port=1, recirc_id=0), (Recirc(1),))
    datapath.flow_new(match_of(in_port=1, recirc_id=1), COPIES)
    assert bench.run(FRAME).verdict == XDP_PASS
    before = counted()
    assert bench.run(FRAME, meta=200).verdict == XDP_DROP
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
        assert pins == [not tc_only, True]
        attach.detach(datapath, 3)
        assert not bpffs.link(datapath.name, 3).exists()
        assert not bpffs.tc_link(datapath.name, 3).exists()
        with pytest.raises(NotFound):
            attach.detach(datapath, 3)
    finally:
        attach.attach(datapath, "p3", 3)


def test_without_tcx_links_the_error_names_them(datapath, monkeypatch):
    """As a kernel before 6.6 answers: an unknown type of attachment."""
    monkeypatch.setattr(libbpf, "ATTACH_TCX_INGRESS", 9999)
    attach.detach(datapath, 3)
    try:
        with pytest.raises(libbpf.NotSupported, match=r"tcx.*Linux 6\.6"):
            attach.attach(datapath, "p3", 3)
        assert [port.number for port in datapath.ports()] == [0, 1, 2]
    finally:
        monkeypatch.undo()
        attach.attach(datapath, "p3", 3)
