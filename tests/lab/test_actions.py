"""Every action on real packets between hosts, compared with scapy's idea of the result."""

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Dot1AD, Dot1Q, Ether
from scapy.layers.sctp import SCTP

from netns_lab.frames import Stream
from netns_lab.record import existing
from netns_lab.traffic import exchange
from tests.lab.commands import lab_up

COUNT = 23
NEW_SRC, NEW_DST = "02:00:00:00:00:aa", "02:00:00:00:00:bb"


@pytest.fixture(scope="module")
def lab():
    with lab_up("a") as command:
        yield command


@pytest.fixture
def ctl(lab):
    lab("del-flows")
    return lab


def rebuilt(packet):
    """The packet's bytes with checksums and lengths computed anew, by scapy."""
    for layer, fields in ((IP, ("chksum",)), (UDP, ("chksum",)), (TCP, ("chksum",))):
        if layer in packet:
            for field in fields:
                delattr(packet[layer], field)
    return bytes(Ether(bytes(packet)))


def changed(**layers):
    """A function from a frame to the frame with fields set: eth={...}, ip={...}, ..."""
    kinds = {"eth": Ether, "ip": IP, "ipv6": IPv6, "udp": UDP, "tcp": TCP}

    def change(frame):
        packet = Ether(frame)
        for name, fields in layers.items():
            for field, value in fields.items():
                setattr(packet[kinds[name]], field, value)
        return rebuilt(packet)

    return change


def sctp_ports(**ports):
    """A function from a frame to the frame with ports set; its checksum is as wrong as it was."""

    def checksum(packet):
        packet = packet.copy()
        del packet[SCTP].chksum
        return Ether(bytes(packet))[SCTP].chksum

    def change(frame):
        packet = Ether(frame)
        error = packet[SCTP].chksum ^ checksum(packet)
        for name, port in ports.items():
            setattr(packet[SCTP], name, port)
        packet[SCTP].chksum = checksum(packet) ^ error
        return bytes(packet)

    return change


def tagged(*tags):
    def change(frame):
        packet = Ether(frame)
        inner, packet_type = packet.payload, packet.type
        outer = Ether(src=packet.src, dst=packet.dst)
        for tag in tags:
            outer /= tag
        outer.lastlayer().type = packet_type
        return bytes(outer / inner)

    return change


def untagged(frame):
    return frame[:12] + frame[16:]


V4 = "in_port(1),eth(),eth_type(0x0800),ipv4()"
V4_UDP = "in_port(1),eth(),eth_type(0x0800),ipv4(proto=17,frag=no),udp()"
V4_TCP = "in_port(1),eth(),eth_type(0x0800),ipv4(proto=6,frag=no),tcp(),tcp_flags(0/0)"
V6_UDP = "in_port(1),eth(),eth_type(0x86dd),ipv6(proto=17,frag=no),udp()"
V6_TCP = "in_port(1),eth(),eth_type(0x86dd),ipv6(proto=6,frag=no),tcp(),tcp_flags(0/0)"
V4_SCTP = "in_port(1),eth(),eth_type(0x0800),ipv4(proto=132,frag=no),sctp()"
V6_SCTP = "in_port(1),eth(),eth_type(0x86dd),ipv6(proto=132,frag=no),sctp()"
ANY = "in_port(1),eth()"
TAGGED = "in_port(1),eth(),eth_type(0x8100),vlan(vid=5,pcp=0),encap(eth_type(0x0800),ipv4())"

CASES = {
    "output": (ANY, "2", {}, None),
    "set eth": (ANY, f"set(eth(src={NEW_SRC},dst={NEW_DST})),2", {}, changed(eth={"src": NEW_SRC, "dst": NEW_DST})),
    "set eth, masked": (
        ANY, "set(eth(src=00:00:00:00:77:00/00:00:00:00:ff:00)),2", {}, changed(eth={"src": "02:00:00:00:77:01"}),
    ),
    "set ipv4 addresses under UDP": (
        V4_UDP, "set(ipv4(src=198.18.9.9,dst=198.18.8.8)),2", {"kind": "udp"},
        changed(ip={"src": "198.18.9.9", "dst": "198.18.8.8"}),
    ),
    "set ipv4 addresses under TCP": (
        V4_TCP, "set(ipv4(src=198.18.9.9,dst=198.18.8.8)),2", {"kind": "tcp"},
        changed(ip={"src": "198.18.9.9", "dst": "198.18.8.8"}),
    ),
    "set ipv4 tos and ttl": (
        V4, "set(ipv4(tos=0x28/0xfc,ttl=7)),2", {"kind": "icmp"}, changed(ip={"tos": 0x28, "ttl": 7}),
    ),
    "set udp": (V4_UDP, "set(udp(src=4242,dst=53)),2", {"kind": "udp"}, changed(udp={"sport": 4242, "dport": 53})),
    "set tcp": (V4_TCP, "set(tcp(dst=8080)),2", {"kind": "tcp"}, changed(tcp={"dport": 8080})),
    "set sctp": (V4_SCTP, "set(sctp(src=4242,dst=3868)),2", {"kind": "sctp"}, sctp_ports(sport=4242, dport=3868)),
    "set sctp on ipv6, masked": (
        V6_SCTP, "set(sctp(dst=512/0xff00)),2", {"kind": "sctp", "ipv6": True}, sctp_ports(dport=0x207),
    ),
    "set ipv6 and udp": (
        V6_UDP, "set(ipv6(src=2001:db8::77,label=0x12345,tclass=0x10,hlimit=9)),set(udp(src=1,dst=2)),2",
        {"kind": "udp", "ipv6": True},
        changed(ipv6={"src": "2001:db8::77", "fl": 0x12345, "tc": 0x10, "hlim": 9}, udp={"sport": 1, "dport": 2}),
    ),
    "set ipv6 under TCP": (
        V6_TCP, "set(ipv6(dst=2001:db8::88)),2", {"kind": "tcp", "ipv6": True}, changed(ipv6={"dst": "2001:db8::88"}),
    ),
    "push_vlan": (ANY, "push_vlan(vid=7,pcp=3),2", {"kind": "icmp"}, tagged(Dot1Q(vlan=7, prio=3))),
    "push two": (
        ANY, "push_vlan(vid=7,pcp=0),push_vlan(tpid=0x88a8,vid=9,pcp=1),2", {"kind": "arp"},
        tagged(Dot1AD(vlan=9, prio=1), Dot1Q(vlan=7)),
    ),
    "pop_vlan": (TAGGED, "pop_vlan,2", {"vlan": 5}, untagged),
    "pop_vlan without a tag": (ANY, "pop_vlan,2", {}, None),
    "trunc that does not cut": (ANY, "trunc(1000),2", {}, None),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_on_the_wire(ctl, name):
    flow, actions, stream, arrives_as = CASES[name]
    ctl("add-flow", f"ufid:0x01,{flow}", actions)
    topology = existing(ctl.name)
    wanted = Stream(src="h1", dst="h2", count=COUNT, arrives_as=arrives_as, **stream)
    (result,) = exchange(topology, [wanted])
    assert result.ok, result
    row = ctl.flow("ufid:0x01")
    assert (row["packets"], row["dp"], row["offloaded"]) == (COUNT, "xdp", True)
    assert ctl("get-flow", "ufid:0x01").lines[0].endswith(f"actions:{actions}")


def test_recirculation_and_hash(ctl):
    ctl("add-flow", "ufid:0x01,recirc_id(0),in_port(1),eth()", "hash(l4(3)),push_vlan(vid=9,pcp=0),recirc(0x7)")
    ctl(
        "add-flow",
        "ufid:0x02,recirc_id(0x7),dp_hash(0/0x1),in_port(1),eth(),eth_type(0x8100),vlan(vid=9),encap()",
        "drop",
    )
    ctl(
        "add-flow", "ufid:0x03,recirc_id(0x7),dp_hash(1/0x1),in_port(1),eth(),eth_type(0x8100),vlan(vid=9),encap()", "2"
    )
    topology = existing(ctl.name)
    exchange(topology, [Stream(src="h1", dst="h2", kind="udp", count=COUNT, arrives_as=tagged(Dot1Q(vlan=9)))])
    packets = {name: ctl.flow(f"ufid:0x0{name}")["packets"] for name in (1, 2, 3)}
    assert packets[1] == COUNT
    assert sorted((packets[2], packets[3])) == [0, COUNT], "one conversation has one hash"


@pytest.mark.parametrize(
    ("actions", "reason"), [("drop(0)", "explicit"), ("drop(42)", "explicit_error"), ("drop", "action")]
)
def test_drops_say_why(ctl, actions, reason):
    ctl("add-flow", f"ufid:0x01,{ANY}", actions)
    outcome = ctl("send", "h1", "h2", "--udp", "--count", str(COUNT), status=1)
    assert f"dropped meanwhile: {reason}:{COUNT}" in outcome.err


def test_what_no_hook_can_do_is_refused_and_says_so(ctl):
    long = f"userspace(pid=1,userdata({'00' * 129}))"
    assert "userdata of 129 octets" in ctl("add-flow", f"ufid:0x01,{ANY}", long, status=6).err
    assert ctl("dump-flows").out == ""


def test_what_a_flow_does_not_match_cannot_be_set(ctl):
    assert "set(ipv4)" in ctl("add-flow", ANY, "set(ipv4(ttl=3)),2", status=2).err
    assert "set(tcp)" in ctl("add-flow", V4_UDP, "set(tcp(src=3)),2", status=2).err


def test_icmp_survives_nat(ctl):
    """ICMP's checksum does not cover the addresses."""
    ctl("add-flow", f"ufid:0x01,{V4}", "set(ipv4(src=198.18.7.7)),2")
    topology = existing(ctl.name)
    (result,) = exchange(
        topology, [Stream(src="h1", dst="h2", kind="icmp", count=COUNT, arrives_as=changed(ip={"src": "198.18.7.7"}))]
    )
    assert result.ok, result
