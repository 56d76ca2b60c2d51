"""Labels, and sets of ARP, ICMP and neighbour discovery, on real packets on both hooks: scapy says what arrives."""

import select
import socket
import struct

import pytest
from scapy.contrib.mpls import MPLS
from scapy.layers.inet import ICMP, IP
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptMTU,
    ICMPv6NDOptSrcLLAddr,
    IPv6,
)
from scapy.layers.l2 import ARP, Dot1Q, Ether

from ctl import ethtool
from ctl.action import Output, PopMpls, PopVlan, PushMpls, PushVlan, Recirc, Set
from ctl.ethtool import Feature
from ctl.kernel.datapath import KernelDatapath
from ctl.text import parse_flow
from netns_lab.bulk import tcp_transfer
from netns_lab.frames import Stream
from netns_lab.record import existing
from netns_lab.topology import HOST_DEVICE
from netns_lab.traffic import exchange, open_socket, receive
from tests.lab.test_actions import COUNT, TAGGED, V4_UDP, tagged, untagged
from tests.lab.test_tc import OFFLOADS, lab_on
from tests.waiting import eventually

ARPS = "in_port(1),eth(),eth_type(0x0806),arp()"
V4_ICMP = "in_port(1),eth(),eth_type(0x0800),ipv4(proto=1,frag=no),icmp()"
V6_ICMP = "in_port(1),eth(),eth_type(0x86dd),ipv6(proto=58,frag=no),icmpv6()"
SECOND = "recirc_id(0x1),in_port(1),eth(),eth_type({}),mpls()"


@pytest.fixture(scope="module", params=["xdp", "tc"])
def lab(request):
    with lab_on(request.param, "l") as command:
        yield command


@pytest.fixture
def add(lab):
    """Adds a flow to the lab's datapath, which has no others: a match as text, and actions."""
    with KernelDatapath(lab.name) as datapath:
        datapath.flow_flush()
        yield lambda text, *actions: datapath.flow_new(parse_flow(text).match, actions)


def mpls(label, *, tc=0, ttl=64, bottom=1):
    """An entry as an action has it."""
    return label << 12 | tc << 9 | bottom << 8 | ttl


def labelled(*layers, ether_type=0x8847):
    """A function from a frame to the same with these labels, outermost first."""

    def change(frame):
        packet = Ether(frame)
        outer = Ether(src=packet.src, dst=packet.dst, type=ether_type)
        for layer in layers:
            outer /= layer
        return bytes(outer) + bytes(packet.payload)

    return change


def set_fields(kind, **values):
    """A function from a frame to the same with fields of a layer set, and checksums computed anew."""

    def change(frame):
        packet = Ether(frame)
        for name, value in values.items():
            setattr(packet[kind], name, value)
        if "chksum" in packet[kind].fields:
            del packet[kind].chksum
        if "cksum" in packet[kind].fields:
            del packet[kind].cksum
        return bytes(packet)

    return change


def both(*changes):
    def change(frame):
        for one in changes:
            frame = one(frame)
        return frame

    return change


PUSH, INNER = PushMpls(mpls(16, tc=3, ttl=9), 0x8847), PushMpls(mpls(17), 0x8848)
OUTER_LAYER, INNER_LAYER = MPLS(label=16, cos=3, s=1, ttl=9), MPLS(label=17, s=1, ttl=64)
CASES = {
    "a label": (V4_UDP, (PUSH,), {}, labelled(OUTER_LAYER)),
    "a label before ARP": (ARPS, (PUSH,), {"kind": "arp"}, labelled(OUTER_LAYER)),
    "a label before TCP on IPv6": (
        "in_port(1),eth(),eth_type(0x86dd),ipv6()", (PUSH,), {"kind": "tcp", "ipv6": True}, labelled(OUTER_LAYER),
    ),
    "two labels, one changed": (
        V4_UDP, (INNER, PushMpls(mpls(3, bottom=0), 0x8847), Set("mpls", (18, 5, 0, 0), (0xFFFFF, 7, 0, 0))), {},
        labelled(MPLS(label=18, cos=5, s=0, ttl=64), INNER_LAYER),
    ),
    "a label behind a tag": (
        V4_UDP, (PUSH, PushVlan(0x8100, 0x1007)), {}, both(labelled(OUTER_LAYER), tagged(Dot1Q(vlan=7))),
    ),
    "a label in a tag's place": (TAGGED, (PopVlan(), PUSH), {"vlan": 5}, both(untagged, labelled(OUTER_LAYER))),
    "set arp": (
        ARPS, (Set("arp", (0xC6120009, 0xC6120008, 2, 0x0200000000AA, 0x0200000000BB)),), {"kind": "arp"},
        set_fields(ARP, psrc="198.18.0.9", pdst="198.18.0.8", op=2, hwsrc="02:00:00:00:00:aa",
                   hwdst="02:00:00:00:00:bb"),
    ),
    "set arp, masked": (
        ARPS, (Set("arp", (0, 0x00000300, 0, 0, 0xFF << 40), (0, 0x0000FF00, 0, 0, 0xFF << 40)),), {"kind": "arp"},
        set_fields(ARP, pdst="198.18.3.2", hwdst="ff:00:00:00:00:00"),
    ),
    "set icmp": (V4_ICMP, (Set("icmp", (0, 5)),), {"kind": "icmp"}, set_fields(ICMP, type=0, code=5)),
    "set icmp, masked": (V4_ICMP, (Set("icmp", (0, 3), (0, 0xFF)),), {"kind": "icmp"}, set_fields(ICMP, code=3)),
    "set icmpv6": (
        V6_ICMP, (Set("icmpv6", (129, 0)),), {"kind": "icmp", "ipv6": True},
        set_fields(ICMPv6EchoRequest, type=129, code=0),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_on_the_wire(lab, add, name):
    flow, actions, stream, arrives_as = CASES[name]
    found = add(flow, *actions, Output(2))
    assert not found.not_xdp
    (result,) = exchange(existing(lab.name), [Stream(src="h1", dst="h2", count=COUNT, arrives_as=arrives_as, **stream)])
    assert result.ok, result


LABEL = "label=16,tc=3,ttl=9,bos=1,eth_type=0x8847"


@pytest.mark.usefixtures("add")
@pytest.mark.parametrize("actions", [f"push_mpls({LABEL}),2", f"add_mpls({LABEL},l3),2"])
def test_a_label_by_command(lab, actions):
    lab("add-flow", f"ufid:0x01,{V4_UDP}", actions)
    (result,) = exchange(
        existing(lab.name), [Stream(src="h1", dst="h2", count=COUNT, arrives_as=labelled(OUTER_LAYER))]
    )
    assert result.ok, result
    assert lab("get-flow", "ufid:0x01").lines[0].endswith(f"actions:{actions}")


def test_a_label_before_the_ethernet_header_is_refused(lab):
    refused = lab("add-flow", f"ufid:0x01,{V4_UDP}", f"add_mpls({LABEL}),2", status=6)
    assert "layer 3 packet" in refused.err


def test_a_label_comes_and_goes(lab, add):
    """Through a second pass, which sees the labels: h2 gets what h1 sent, h3 what went out between."""
    add("recirc_id(0)," + V4_UDP, INNER, PushMpls(mpls(3, bottom=0), 0x8847), Recirc(1))
    add(SECOND.format("0x8847"), PopMpls(0x8848), Output(3), Recirc(2))
    third = SECOND.format("0x8848").replace("0x1", "0x2")
    add(third, PopMpls(0x0800), Output(2))
    for dst, arrives_as in (("h2", None), ("h3", labelled(INNER_LAYER, ether_type=0x8848))):
        stream = Stream(src="h1", dst=dst, count=COUNT, arrives_as=arrives_as)
        (result,) = exchange(existing(lab.name), [stream])
        assert (result.received, result.mismatched, result.elsewhere) == (COUNT, 0, COUNT), result


# --- frames of our own making ------------------------------------------------------------------------

TARGET, OTHER = "2001:db8::7", "2001:db8::77"
MACS = "02:00:00:00:00:11", "02:00:00:00:00:22", "02:00:00:00:00:33"
SLL, TLL, NEW = MACS
MESSAGES = {
    "a solicitation": (
        ICMPv6ND_NS(tgt=TARGET) / ICMPv6NDOptSrcLLAddr(lladdr=SLL),
        ICMPv6ND_NS(tgt=OTHER) / ICMPv6NDOptSrcLLAddr(lladdr=NEW),
    ),
    "an advertisement": (
        ICMPv6ND_NA(tgt=TARGET) / ICMPv6NDOptMTU() / ICMPv6NDOptDstLLAddr(lladdr=TLL),
        ICMPv6ND_NA(tgt=OTHER) / ICMPv6NDOptMTU() / ICMPv6NDOptDstLLAddr(lladdr="02:00:00:00:00:44"),
    ),
    "no option": (ICMPv6ND_NS(tgt=TARGET), ICMPv6ND_NS(tgt=OTHER)),
    "the first option alone": (
        ICMPv6ND_NS(tgt=TARGET) / ICMPv6NDOptSrcLLAddr(lladdr=SLL) / ICMPv6NDOptSrcLLAddr(lladdr=SLL),
        ICMPv6ND_NS(tgt=OTHER) / ICMPv6NDOptSrcLLAddr(lladdr=NEW) / ICMPv6NDOptSrcLLAddr(lladdr=SLL),
    ),
}


@pytest.mark.parametrize("name", MESSAGES)
@pytest.mark.parametrize("tag", [False, True])
def test_set_nd(lab, add, name, tag):
    """The checksum is right as well: scapy computes that of what is expected."""
    target = int.from_bytes(socket.inet_pton(socket.AF_INET6, OTHER), "big")
    actions = (*((PushVlan(0x8100, 0x1007),) if tag else ()), Set("nd", (target, 0x020000000033, 0x020000000044)))
    for kind in (135, 136):
        flow = f"in_port(1),eth(),eth_type(0x86dd),ipv6(proto=58,frag=no),icmpv6(type={kind},code=0/0),nd()"
        add(flow, *actions, Output(2))
    head = Ether(src=SLL, dst="33:33:ff:00:00:07") / IPv6(src="2001:db8::1", dst="ff02::1:ff00:7", hlim=255)
    before, after = (bytes(head / message) for message in MESSAGES[name])
    assert sent_through(lab, before) == (tagged(Dot1Q(vlan=7))(after) if tag else after)


def sent_through(lab, frame):
    """What h2 receives of a frame that h1 sends."""
    topology = existing(lab.name)
    with open_socket(topology, "h1") as sender, open_socket(topology, "h2") as receiver:
        sender.send(frame)
        return next_frame(receiver)


def next_frame(sock):
    """The next frame that was not sent by the host itself; it has five seconds."""
    while select.select([sock], [], [], 5)[0]:
        if frame := receive(sock):
            return frame
    pytest.fail("nothing arrived")


# --- between stacks, with every offload on -----------------------------------------------------------

alone = pytest.mark.parametrize("lab", ["tc"], indirect=True)


@pytest.fixture
def no_segments(lab):
    """The hosts cut what they send themselves; sums are left to the devices all the same."""
    topology = existing(lab.name)
    hosts = [topology.namespace(topology.host(name)) for name in ("h1", "h2")]
    for host in hosts:
        ethtool.switch(host, HOST_DEVICE, off=(Feature.TSO, Feature.GSO))
    yield topology
    for host in hosts:
        ethtool.switch(host, HOST_DEVICE, on=OFFLOADS)


def labels_on_and_off(add):
    """Flows that carry everything between h1 and h2 with a label from one pass to the next."""
    for port, other in ((1, 2), (2, 1)):
        for eth_type, ip in ((0x0800, "ipv4()"), (0x86DD, "ipv6()"), (0x0806, "arp()")):
            flow = f"in_port({port}),eth(),eth_type({eth_type:#06x})"
            add(f"recirc_id(0),{flow},{ip}", PUSH, Recirc(eth_type))
            second = f"recirc_id({eth_type:#x}),in_port({port}),eth(),eth_type(0x8847),mpls(label=16,bos=1)"
            add(second, PopMpls(eth_type), Output(other))


@alone
@pytest.mark.parametrize("ipv6", [False, True], ids=["ipv4", "ipv6"])
def test_tcp_between_stacks(add, no_segments, ipv6):
    labels_on_and_off(add)
    assert tcp_transfer(no_segments, "h1", "h2", mib=2, ipv6=ipv6).ok


@alone
def test_a_frame_still_to_be_cut_into_segments_takes_no_label(lab, add):
    """It is lost, and says so; the smaller ones that open the connection are not."""
    labels_on_and_off(add)
    topology = existing(lab.name)
    before = segments_dropped(lab)
    with topology.namespace(topology.host("h2")).enter():
        listener = socket.create_server(("198.18.0.2", 5001))
    with topology.namespace(topology.host("h1")).enter():
        client = socket.create_connection(("198.18.0.2", 5001), timeout=5)
    with listener, client:
        client.sendall(bytes(20_000))
        assert eventually(lambda: segments_dropped(lab) > before)


def segments_dropped(lab):
    return lab.json("show")["datapaths"][0]["drops"]["segments"]


@alone
def test_a_sum_that_was_left_to_the_device_is_completed_behind_a_label(lab, add):
    """By a device that completes none itself: it has to know that this is no IPv4."""
    topology = existing(lab.name)
    home = topology.datapath_namespace
    ethtool.switch(home, "p2", off=(Feature.TX_CHECKSUM,))
    try:
        add(V4_UDP, PUSH, Output(2))
        with topology.namespace(topology.host("h1")).enter():
            sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with sender, open_socket(topology, "h2") as receiver:
            sender.sendto(b"seventeen octets!", ("198.18.0.2", 7))
            frame = next_frame(receiver)
    finally:
        ethtool.switch(home, "p2", on=OFFLOADS)
    packet = IP(frame[18:])
    checksum = packet.payload.chksum
    del packet.payload.chksum
    assert struct.unpack_from(">HI", frame, 12) == (0x8847, PUSH.lse)
    assert checksum == IP(bytes(packet)).payload.chksum
