"""The tc hook on real packets: behind XDP, and alone with every offload on."""

import subprocess
from contextlib import contextmanager

import pytest
from scapy.layers.l2 import Dot1Q

from ctl import ethtool
from ctl.ethtool import Feature
from ctl.ports import Links
from netns_lab.bulk import tcp_transfer, udp_count
from netns_lab.frames import Stream
from netns_lab.record import existing
from netns_lab.topology import HOST_DEVICE
from netns_lab.traffic import exchange
from tests.lab.commands import lab_up
from tests.lab.test_actions import ANY, COUNT, TAGGED, V4_UDP, changed, tagged, untagged

OFFLOADS = (Feature.TX_CHECKSUM, Feature.TSO, Feature.GSO, Feature.TX_VLAN, Feature.RX_VLAN)


@pytest.fixture(scope="module", params=["xdp", "tc"])
def lab(request):
    with lab_on(request.param, "q") as command:
        yield command


@pytest.fixture
def ctl(lab):
    lab("del-flows")
    return lab


@contextmanager
def lab_on(hook, letter):
    """A lab within the block, whose ports have XDP before tc, or tc alone and every offload on."""
    with lab_up(letter + hook[0]) as command:
        command.hook = hook
        if hook == "tc":
            to_tc_only(command, "h1", "h2", "h3")
        yield command


def to_tc_only(ctl, *names):
    """The ports of these hosts on the tc hook, and every offload on at both ends of their cables."""
    topology = existing(ctl.name)
    home = topology.datapath_namespace
    for host in map(topology.host, names):
        ctl("del-if", host.device)
        run = [*ctl.argv("add-if", f"{host.device},port_no={host.port},hook=tc,netns={home.name}")]
        with home.enter():
            subprocess.run(run, check=True, capture_output=True)
        ethtool.switch(topology.namespace(host), HOST_DEVICE, on=OFFLOADS)
        ethtool.switch(home, host.device, on=OFFLOADS)


def both_copies(ctl, first, second, **stream):
    """What h2 and h3 received of frames of h1; each names how a frame arrives there."""
    topology = existing(ctl.name)
    results = []
    for dst, arrives_as in (("h2", first), ("h3", second)):
        (result,) = exchange(topology, [Stream(src="h1", dst=dst, count=COUNT, arrives_as=arrives_as, **stream)])
        results.append((result.received, result.mismatched, result.duplicated, result.elsewhere))
    return results


def test_each_output_sends_the_packet_as_it_then_is(ctl):
    edit = "set(ipv4(src=198.18.9.9,ttl=7)),set(udp(dst=53)),push_vlan(vid=7,pcp=3)"
    ctl("add-flow", f"ufid:0x01,{V4_UDP}", f"2,{edit},3")

    def edited(frame):
        after = changed(ip={"src": "198.18.9.9", "ttl": 7}, udp={"dport": 53})(frame)
        return tagged(Dot1Q(vlan=7, prio=3))(after)

    assert both_copies(ctl, None, edited) == [(COUNT, 0, 0, COUNT)] * 2
    row = ctl.flow("ufid:0x01")
    assert (row["packets"], row["dp"], row["offloaded"]) == (2 * COUNT, "tc", False)
    assert row["dp_reason"] == "more than one copy"
    statistics = {port["number"]: port["statistics"] for port in ctl.json("show")["datapaths"][0]["ports"]}
    assert (statistics[1]["rx_packets"], statistics[2]["tx_packets"], statistics[3]["tx_packets"]) == (2 * COUNT,) * 3
    assert statistics[1]["rx_dropped"] == 0
    assert statistics[3]["tx_bytes"] - statistics[2]["tx_bytes"] == 4 * 2 * COUNT, "a tag is counted"


def test_tags_on_both_copies(ctl):
    ctl("add-flow", f"ufid:0x01,{TAGGED}", "pop_vlan,2,push_vlan(vid=9,pcp=0),3")

    def moved(frame):
        return tagged(Dot1Q(vlan=9))(untagged(frame))

    assert both_copies(ctl, untagged, moved, vlan=5) == [(COUNT, 0, 0, COUNT)] * 2


def test_a_cut_copy_leaves_the_packet_whole(ctl):
    """The copy lacks its trailer, so nobody counts it as a frame of the stream."""
    ctl("add-flow", f"ufid:0x01,{ANY}", "trunc(40),2,3")
    (result,) = exchange(existing(ctl.name), [Stream(src="h1", dst="h3", count=COUNT, kind="udp")])
    assert result.ok, result


def test_a_mark_is_matched_by_the_next_pass(ctl):
    ctl("add-flow", "ufid:0x01,recirc_id(0),in_port(1),eth()", "set(skb_mark(0x17)),set(skb_priority(0x5)),recirc(0x7)")
    ctl("add-flow", "ufid:0x02,recirc_id(0x7),skb_mark(0x17/0xff),skb_priority(0x5),in_port(1),eth()", "2")
    (result,) = exchange(existing(ctl.name), [Stream(src="h1", dst="h2", count=COUNT)])
    assert result.ok, result
    assert [ctl.flow(f"ufid:0x0{n}")["packets"] for n in (1, 2)] == [COUNT, COUNT]


def test_a_second_pass_goes_on_where_xdp_stopped(ctl):
    """The first pass, its edits and hash included, is XDP's where there is one; the second is tc's."""
    before = ctl.json("show")["datapaths"][0]
    ctl("add-flow", "ufid:0x01,recirc_id(0),in_port(1),eth()", "hash(l4(3)),push_vlan(vid=9,pcp=0),recirc(0x7)")
    second = "recirc_id(0x7),in_port(1),eth(),eth_type(0x8100),vlan(vid=9),encap()"
    for name, half in (("2", "0/0x1"), ("3", "1/0x1")):
        ctl("add-flow", f"ufid:0x0{name},{second.replace('in_port', f'dp_hash({half}),in_port')}", "2,pop_vlan,3")
    assert both_copies(ctl, tagged(Dot1Q(vlan=9)), None) == [(COUNT, 0, 0, COUNT)] * 2
    packets = [ctl.flow(f"ufid:0x0{name}")["packets"] for name in (1, 2, 3)]
    assert packets[0] == packets[1] + packets[2] == 2 * COUNT
    after = ctl.json("show")["datapaths"][0]
    assert after["hit"] - before["hit"] == 4 * COUNT, "each pass is counted once"
    rx = [dp["ports"][1]["statistics"]["rx_packets"] for dp in (before, after)]
    assert rx[1] - rx[0] == 2 * COUNT, "and the packet once"


def test_copies_are_looked_up_again_as_they_were(ctl):
    """Two copies, one with a tag and a mark, while the packet itself goes on with both and without its source."""
    edit = "push_vlan(vid=9,pcp=0),set(skb_mark(0x17)),recirc(0x8),set(eth(src=02:00:00:00:00:aa)),pop_vlan"
    ctl("add-flow", "ufid:0x01,recirc_id(0),in_port(1),eth()", f"recirc(0x7),{edit},3")
    ctl("add-flow", "ufid:0x02,recirc_id(0x7),skb_mark(0),in_port(1),eth()", "2")
    second = "recirc_id(0x8),skb_mark(0x17),in_port(1),eth(),eth_type(0x8100),vlan(vid=9),encap()"
    ctl("add-flow", f"ufid:0x03,{second}", "drop(0)")
    before = ctl.json("show")["datapaths"][0]
    anew = changed(eth={"src": "02:00:00:00:00:aa"})
    assert both_copies(ctl, None, anew) == [(COUNT, 0, 0, COUNT)] * 2
    assert [ctl.flow(f"ufid:0x0{n}")["packets"] for n in (1, 2, 3)] == [2 * COUNT] * 3
    after = ctl.json("show")["datapaths"][0]
    assert after["drops"]["explicit"] - before["drops"]["explicit"] == 2 * COUNT
    rx = [[port["statistics"]["rx_packets"] for port in dp["ports"]] for dp in (before, after)]
    assert [b - a for a, b in zip(*rx, strict=True)] == [0, 2 * COUNT, 0, 0], "a packet comes in once"


def test_nothing_reaches_the_stack_behind_a_port(ctl):
    """A packet that hits no flow ends on either hook, and so does one whose list comes to nothing."""
    ctl("add-flow", f"ufid:0x01,{ANY}", "set(skb_mark(1))")
    before = ctl.json("show")["datapaths"][0]["drops"]
    exchange(existing(ctl.name), [Stream(src=src, dst="h3", count=COUNT) for src in ("h1", "h2")], timeout_s=0.3)
    after = ctl.json("show")["datapaths"][0]["drops"]
    assert (after["action"] - before["action"], after["miss"] - before["miss"]) == (COUNT, COUNT)


def test_show_says_which_hook(ctl):
    ports = ctl.json("show")["datapaths"][0]["ports"]
    assert {port["hook"] for port in ports[1:]} == {"tc" if ctl.hook == "tc" else "xdp/native"}
    assert ("port 1: p1 (tc only)" in ctl("show").out) == (ctl.hook == "tc")


def test_dump_says_where_a_flow_runs(ctl):
    ctl("add-flow", f"ufid:0x01,{ANY}", "2,3")
    assert ", dp:tc, actions:2,3" in ctl("dump-flows", "-m").out
    assert "offloaded" not in ctl("dump-flows", "-m").out
    ctl("mod-flow", "ufid:0x01", "2")
    assert ", offloaded:yes, dp:xdp, actions:2" in ctl("dump-flows", "-m").out


# --- between stacks, with every offload on -----------------------------------------------------------


alone = pytest.mark.parametrize("lab", ["tc"], indirect=True)


@pytest.fixture
def sums_completed(ctl):
    """The ports' devices compute the sums that were left to a device: a receiver then checks them."""
    home = existing(ctl.name).datapath_namespace
    for device in ("p1", "p2"):
        ethtool.switch(home, device, off=(Feature.TX_CHECKSUM,))
    yield
    for device in ("p1", "p2"):
        ethtool.switch(home, device, on=OFFLOADS)


TTL = {"ipv4": "ttl", "ipv6": "hlimit"}
SET_UP = {
    "plain": ("{n}", "{n}"),
    "tags on and off": ("push_vlan(vid=7,pcp=1),pop_vlan,{n}", "push_vlan(vid=7,pcp=1),recirc(0x1)"),
    "a copy to h3": ("3,{n}", "3,{n}"),
    "a copy looked up again": ("recirc(0x2),3", "recirc(0x2),3"),
}


@alone
@pytest.mark.parametrize("name", SET_UP)
@pytest.mark.parametrize("ipv6", [False, True], ids=["ipv4", "ipv6"])
def test_tcp_between_stacks(ctl, name, ipv6):
    forth, back = SET_UP[name]
    ctl("add-flow", "ufid:0x01,recirc_id(0),in_port(1),eth()", forth.format(n=2))
    ctl("add-flow", "ufid:0x02,recirc_id(0),in_port(2),eth()", back.format(n=1))
    ctl("add-flow", "ufid:0x03,recirc_id(0x1),in_port(2),eth(),eth_type(0x8100),vlan(vid=7),encap()", "pop_vlan,1")
    for port, other in ((1, 2), (2, 1)):
        ctl("add-flow", f"ufid:0x1{port},recirc_id(0x2),in_port({port}),eth()", f"{other}")
    assert tcp_transfer(existing(ctl.name), "h1", "h2", mib=16, ipv6=ipv6).ok
    row = ctl.flow("ufid:0x01")
    assert row["bytes"] / row["packets"] > 3000, "segmentation stayed with the sender's device"


NAT = {
    "tcp": ("0x0800", "ipv4(proto=6,frag=no),tcp(),tcp_flags(0/0)", "198.18.0.1", "198.18.0.77"),
    "udp": ("0x0800", "ipv4(proto=17,frag=no),udp()", "198.18.0.1", "198.18.0.77"),
    "tcp over ipv6": ("0x86dd", "ipv6(proto=6,frag=no),tcp(),tcp_flags(0/0)", "2001:db8::1", "2001:db8::77"),
}


@alone
@pytest.mark.parametrize("name", NAT)
@pytest.mark.parametrize("completed", [False, True], ids=["sums left", "sums completed"])
def test_nat_between_stacks(request, ctl, name, completed):
    """h2 sees another address than h1's; ports change too, and back, as both stacks hold them to be their own."""
    if completed:
        request.getfixturevalue("sums_completed")
    eth_type, upper, own, shown = NAT[name]
    network, transport = upper.partition("(")[0], name[:3]
    port, shape = {"tcp": 5001, "udp": 5002}[transport], f"eth(),eth_type({eth_type}),{upper}"
    first = f"set({network}(src={shown},{TTL[network]}=9)),set({transport}(dst=1)),recirc(0x1)"
    ctl("add-flow", f"ufid:0x01,recirc_id(0),in_port(1),{shape}", first)
    ctl("add-flow", f"ufid:0x02,recirc_id(0x1),in_port(1),{shape}", f"set({transport}(dst={port})),2")
    ctl("add-flow", f"ufid:0x03,in_port(2),{shape}", f"set({network}(dst={own})),1")
    topology = existing(ctl.name)
    with Links(topology.namespace(topology.host("h2"))) as links:
        links.add_neighbours(HOST_DEVICE, {shown: topology.host("h1").mac})
    if transport == "udp":
        assert udp_count(topology, "h1", "h2", count=1009).received == 1009
    else:
        assert tcp_transfer(topology, "h1", "h2", mib=16, ipv6=network == "ipv6").ok
        assert ctl.flow("ufid:0x03")["packets"] > 0
    assert ctl.flow("ufid:0x02")["packets"] > 0


@pytest.mark.parametrize("lab", ["xdp"], indirect=True)
def test_a_port_on_each_hook(ctl):
    """XDP sends to a port that has none itself: the peer polls, and all that the stacks leave to devices is kept."""
    topology = existing(ctl.name)
    ethtool.switch(topology.namespace(topology.host("h3")), HOST_DEVICE, off=(Feature.GRO,))
    to_tc_only(ctl, "h3")
    ctl("add-flow", "ufid:0x01,in_port(1),eth()", "3")
    ctl("add-flow", "ufid:0x03,in_port(3),eth()", "1")
    assert tcp_transfer(topology, "h1", "h3", mib=4).ok
    assert tcp_transfer(topology, "h3", "h1", mib=4).ok


@alone
def test_a_copy_of_what_is_still_one_segment_for_many_cannot_be_cut(ctl):
    """Such copies are lost, and say so; the packets themselves are not."""
    ctl("add-flow", "ufid:0x01,in_port(1),eth()", "trunc(60),3,2")
    ctl("add-flow", "ufid:0x02,in_port(2),eth()", "1")
    before = ctl.json("show")["datapaths"][0]["drops"]["trunc"]
    assert tcp_transfer(existing(ctl.name), "h1", "h2", mib=1).ok
    assert ctl.json("show")["datapaths"][0]["drops"]["trunc"] > before
