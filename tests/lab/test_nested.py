"""Lists within actions on real packets, on both hooks: scapy says what arrives."""

import pytest
from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Dot1Q, Ether

from ctl.action import CheckPktLen, Clone, DecTtl, Output, PopVlan, Psample, PushVlan, Recirc, Sample, Set, Trunc
from ctl.kernel.datapath import KernelDatapath
from ctl.kernel.ring import SampleReader
from ctl.text import parse_flow
from netns_lab.bulk import tcp_transfer
from netns_lab.frames import Stream
from netns_lab.record import existing
from netns_lab.traffic import exchange
from tests.lab.test_actions import ANY, COUNT, TAGGED, V4_UDP, changed, tagged, untagged
from tests.lab.test_tc import both_copies, lab_on

ALWAYS = 0xFFFFFFFF
V6 = "in_port(1),eth(),eth_type(0x86dd),ipv6()"
TAG = PushVlan(0x8100, 0x1007)
TAGGED_7 = tagged(Dot1Q(vlan=7))


@pytest.fixture(scope="module", params=["xdp", "tc"])
def lab(request):
    with lab_on(request.param, "n") as command:
        yield command


@pytest.fixture
def datapath(lab):
    with KernelDatapath(lab.name) as found:
        found.flow_flush()
        yield found


@pytest.fixture
def add(datapath):
    """Adds a flow to the lab's datapath: a match as text, and actions."""
    return lambda text, *actions: datapath.flow_new(parse_flow(text).match, actions)


def less_ttl(layer, name):
    def change(frame):
        packet = Ether(frame)
        return changed(**{layer: {name: getattr(packet[IP if layer == "ip" else IPv6], name) - 1}})(frame)

    return change


# --- one that arrives --------------------------------------------------------------------------------

CASES = {
    "clone": (ANY, (Clone((TAG, Output(2))),), {}, TAGGED_7),
    "sample, always": (ANY, (Sample(ALWAYS, (TAG, Output(2))),), {}, TAGGED_7),
    "sample, never": (ANY, (Sample(0, (Trunc(14),)), Output(2)), {}, None),
    "check_pkt_len, greater": (ANY, (CheckPktLen(60, (TAG, Output(2)), (Output(3),)),), {}, TAGGED_7),
    "check_pkt_len, less": (ANY, (CheckPktLen(1000, (Output(3),), (TAG, Output(2))),), {}, TAGGED_7),
    "check_pkt_len without the tag": (
        TAGGED, (CheckPktLen(67, (Output(3),), (PopVlan(), Output(2))),), {"vlan": 5}, untagged,
    ),
    "dec_ttl": (V4_UDP, (DecTtl(()), Output(2)), {}, less_ttl("ip", "ttl")),
    "dec_ttl of ipv6": (V6, (DecTtl(()), Output(2)), {"ipv6": True}, less_ttl("ipv6", "hlim")),
    "dec_ttl of arp": (ANY, (DecTtl(()), Output(2)), {"kind": "arp"}, None),
    "without ttl": (
        V4_UDP, (Set("ipv4", (0, 0, 0, 0, 1, 0), (0, 0, 0, 0, 255, 0)), DecTtl((TAG, Output(2))), Output(3)), {},
        lambda frame: TAGGED_7(changed(ip={"ttl": 1})(frame)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_one_arrives(lab, add, name):
    flow, actions, stream, arrives_as = CASES[name]
    assert not add(flow, *actions).not_xdp
    (result,) = exchange(existing(lab.name), [Stream(src="h1", dst="h2", count=COUNT, arrives_as=arrives_as, **stream)])
    assert result.ok, result


# --- copies ------------------------------------------------------------------------------------------

COPIES = {
    "unchanged": ((Clone((Output(3),)), Output(2)), None, None),
    "changed": ((Clone((TAG, DecTtl(()), Output(3))), Output(2)), None, lambda f: TAGGED_7(less_ttl("ip", "ttl")(f))),
    "the packet changes later": ((Sample(ALWAYS, (Output(3),)), TAG, Output(2)), TAGGED_7, None),
    "of a copy": ((Clone((TAG, Clone((PopVlan(), Output(3))), Clone((Output(2),)))), Trunc(99)), TAGGED_7, None),
    "by size": ((CheckPktLen(60, (TAG, Output(3)), ()), Output(2)), None, TAGGED_7),
    "in another pass": ((Clone((TAG, Recirc(1))), Output(2)), None, TAGGED_7),
}  # fmt: skip


@pytest.mark.parametrize("name", COPIES)
def test_two_arrive(lab, add, name):
    actions, at_h2, at_h3 = COPIES[name]
    assert add("recirc_id(0)," + V4_UDP, *actions).not_xdp
    add("recirc_id(0x1),in_port(1),eth(),eth_type(0x8100),vlan(vid=7),encap()", Output(3))
    assert both_copies(lab, at_h2, at_h3) == [(COUNT, 0, 0, COUNT)] * 2


def test_the_text_of_a_flow_says_where_its_lists_run(lab):
    lab("del-flows")
    for actions, dp, reason in (
        ("clone(push_vlan(vid=7,pcp=0),3),2", "tc", "clone changes a copy"),
        ("check_pkt_len(size=1000,gt(drop),le(push_vlan(vid=7,pcp=0),2))", "xdp", None),
    ):
        lab("add-flow", f"ufid:0x01,{ANY}", actions)
        row = lab.flow("ufid:0x01")
        assert (row["dp"], row["dp_reason"]) == (dp, reason)
        assert lab("get-flow", "ufid:0x01").lines[0].endswith(f"actions:{actions}")
        lab("del-flows")


def test_samples_are_of_the_packets_as_they_then_are(lab, datapath, add):
    add(ANY, TAG, Psample(7, b"cookie"), Sample(ALWAYS, (Trunc(20), Psample(8))), Output(2))
    with SampleReader(datapath) as reader:
        wanted = Stream(src="h1", dst="h2", count=COUNT, arrives_as=TAGGED_7)
        (result,) = exchange(existing(lab.name), [wanted])
        samples = [sample for sample in reader.read(1.0) if sample.packet[12:14] == b"\x81\x00"]
    assert result.ok, result
    whole, cut = ([s for s in samples if s.group == group] for group in (7, 8))
    assert [(s.cookie, s.in_port, s.packet[14:16]) for s in whole] == [(b"cookie", 1, b"\0\7")] * COUNT
    assert [(s.rate, s.packet, s.frame_size) for s in cut] == [(ALWAYS, s.packet[:20], len(s.packet)) for s in whole]


@pytest.mark.parametrize("lab", ["tc"], indirect=True)
def test_frames_still_to_be_cut_are_measured_by_their_segments(lab, datapath, add):
    """Between stacks with segmentation left to devices: none is longer than an Ethernet frame may be."""
    add("in_port(1),eth()", CheckPktLen(1514, (), (Output(2),)))
    add("in_port(2),eth()", Output(1))
    assert tcp_transfer(existing(lab.name), "h1", "h2", mib=4).ok
    (stats,) = (flow.stats for flow in datapath.flow_dump() if flow.actions != (Output(1),))
    assert stats.bytes / stats.packets > 3000
