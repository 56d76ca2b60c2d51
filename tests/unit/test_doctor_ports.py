"""What the doctor makes of made-up facts about datapaths and their ports."""

from dataclasses import replace
from pathlib import Path

import pytest

from ctl.datapath import Port
from ctl.doctor.datapaths import Condition, Table
from ctl.doctor.datapaths import judge as judge_datapaths
from ctl.doctor.finding import State
from ctl.doctor.ports import Panel, Socket
from ctl.doctor.ports import judge as judge_ports
from ctl.errors import Absent, Failure
from ctl.ethtool import Feature
from ctl.netns import NetNs
from ctl.ports import Link, Need
from ctl.wiring import Wiring

BLUE, RED = NetNs.named("blue"), NetNs.named("red")


def wrong(findings):
    """The one row that is not well, or None."""
    found = [f for f in findings if f.state is not State.OK]
    assert len(found) <= 1, found
    assert all(f.consequence for f in found)
    return found[0] if found else None


def said(finding):
    """What a row names, its state, and the command."""
    return finding and (finding.check, finding.state.value, finding.mend.command if finding.mend else "")


# --- datapaths ---------------------------------------------------------------------------------------

FLOWS = Table(what="flows", used=0, limit=100, option="--max-flows")
BR0 = Condition(name="br0", namespace="/run/netns/blue", tables=(FLOWS,))


def test_a_datapath_in_order():
    assert wrong(judge_datapaths([BR0])) is None
    assert wrong(judge_datapaths([])) is None


@pytest.mark.parametrize(
    ("changes", "row"),
    [
        ({"refused": Failure("of another version")}, ("br0", "fault", "ctl del-dp br0")),
        ({"lost": Absent("gone")}, ("br0 namespace", "fault", "ctl del-dp br0")),
        ({"lost": Absent("gone"), "namespace": ""}, ("br0 namespace", "note", "")),
        ({"interrupted": True}, ("br0 writer", "fault", "ctl --dp br0 doctor --fix datapaths")),
        ({"unheard": 3}, ("br0 upcalls", "note", "ctl --dp br0 show -s")),
        ({"unheard": 3, "listener": 7}, None),
    ],
)
def test_a_datapath_out_of_order(changes, row):
    assert said(wrong(judge_datapaths([replace(BR0, **changes)]))) == row


@pytest.mark.parametrize(("used", "state"), [(89, None), (90, "note"), (99, "note"), (100, "fault")])
def test_room_is_told_before_it_is_used_up(used, state):
    finding = wrong(judge_datapaths([replace(BR0, tables=(replace(FLOWS, used=used),))]))
    assert (finding and finding.state.value) == state
    if finding:
        assert finding.mend.command == "ctl del-dp br0 && ctl add-dp br0 --max-flows 200 --netns blue"


# --- ports -------------------------------------------------------------------------------------------

PORT = Port(number=1, name="p1", device="p1", kind="netdev", ifindex=5, hook="xdp/native")
LINK = Link(name="p1", ifindex=5, kind="veth", mac="02:00:00:00:00:01", mtu=1500, up=True, carrier=True, has_xdp=True,
            peer_ifindex=5, peer_nsid=0)  # fmt: skip
PEER = replace(LINK, name="eth0", has_xdp=False)
GRO = Need(ns=RED, device="eth0", feature=Feature.GRO, on=True)
TX = Need(ns=RED, device="eth0", feature=Feature.TX_CHECKSUM, on=False)
VLANS = tuple(
    Need(ns=ns, device=device, feature=feature, on=False)
    for ns, device in ((BLUE, "p1"), (RED, "eth0"))
    for feature in (Feature.TX_VLAN, Feature.RX_VLAN)
)
WIRED = Wiring(link=LINK, peer=PEER, peer_ns=RED, needs=(GRO, TX, *VLANS))
SOCKET = Socket(datapath="br0", home=BLUE, port=PORT, wired=WIRED)


def judged(*sockets, ethtool=True):
    return list(judge_ports(Panel(sockets=sockets, ethtool=ethtool)))


def plugged(link=LINK, peer=PEER, **changes):
    """A port with other devices."""
    return replace(SOCKET, wired=replace(WIRED, link=link, peer=peer), **changes)


def test_a_port_in_order():
    assert wrong(judged(SOCKET)) is None


def test_a_device_that_is_no_veth_needs_nothing():
    link = replace(LINK, kind="", peer_ifindex=None, peer_nsid=None)
    assert wrong(judged(replace(SOCKET, wired=Wiring(link=link)))) is None


ADD_AGAIN = "ctl --dp br0 del-if 1 && ctl --dp br0 add-if p1,port_no=1,netns=blue"
ELSEWHERE = "  # of the peer, in its namespace"
SLOW = replace(PORT, takes_redirects=False)
GONE = replace(SOCKET, wired=None, port=replace(PORT, ifindex=0))


@pytest.mark.parametrize(
    ("socket", "row"),
    [
        (GONE, ("br0:p1", "fault", "ctl --dp br0 del-if 1")),
        (replace(GONE, namesake=True), ("br0:p1", "fault", ADD_AGAIN)),
        (replace(SOCKET, wired=None), ("br0:p1", "fault", "ctl --dp br0 del-if 1")),
        (plugged(link=replace(LINK, name="q1")), ("br0:p1", "note", ADD_AGAIN.replace("add-if p1", "add-if q1"))),
        (replace(SOCKET, foreign=("xdp",)), ("br0:p1 program", "fault", ADD_AGAIN)),
        (replace(SOCKET, port=replace(PORT, hook="xdp/generic")), ("br0:p1 program", "note", "")),
        (replace(SOCKET, port=replace(PORT, hook="tc")), None),
        (replace(SOCKET, port=replace(PORT, hook="tc"), foreign=("tc",)),
         ("br0:p1 program", "fault", ADD_AGAIN.replace("port_no=1", "port_no=1,hook=tc"))),
        (replace(SOCKET, port=replace(PORT, kind="internal"), foreign=("tc",)),
         ("br0:p1 program", "fault", "ctl del-dp br0")),
        (plugged(link=replace(LINK, up=False, carrier=False)),
         ("br0:p1 link", "fault", "nsenter --net=/run/netns/blue ip link set dev p1 up")),
        (plugged(link=replace(LINK, carrier=False), peer=replace(PEER, up=False)),
         ("br0:p1 link", "fault", "nsenter --net=/run/netns/red ip link set dev eth0 up")),
        (plugged(link=replace(LINK, carrier=False)), ("br0:p1 link", "fault", "")),
        (replace(SOCKET, takes_redirects=False), ("br0:p1 redirects", "fault", ADD_AGAIN)),
        (replace(SOCKET, takes_redirects=False, port=SLOW), ("br0:p1 redirects", "note", "")),
        (replace(SOCKET, port=SLOW), ("br0:p1 redirects", "note", ADD_AGAIN)),
        (plugged(link=replace(LINK, mtu=1400)),
         ("br0:p1 mtu", "fault", "nsenter --net=/run/netns/blue ip link set dev p1 mtu 1500")),
        (plugged(peer=replace(PEER, mtu=1400)),
         ("br0:p1 mtu", "fault", "nsenter --net=/run/netns/red ip link set dev eth0 mtu 1500")),
        (replace(SOCKET, wired=replace(WIRED, peer=None, peer_ns=None, needs=VLANS[:2])),
         ("br0:p1 peer", "note", f"ethtool -K DEVICE gro on tx off txvlan off rxvlan off{ELSEWHERE}")),
        (replace(SOCKET, port=replace(PORT, hook="tc"), wired=Wiring(link=LINK)),
         ("br0:p1 peer", "note", f"ethtool -K DEVICE gro on{ELSEWHERE}")),
    ],
)  # fmt: skip
def test_a_port_out_of_order(socket, row):
    assert said(wrong(judged(socket))) == row


@pytest.mark.parametrize(
    ("unmet", "check", "command"),
    [
        ([GRO], "gro", "nsenter --net=/run/netns/red ethtool -K eth0 gro on"),
        ([TX], "tx checksum", "nsenter --net=/run/netns/red ethtool -K eth0 tx off"),
        (VLANS[1:], "vlan offload",
         ("nsenter --net=/run/netns/blue ethtool -K p1 rxvlan off"
         " && nsenter --net=/run/netns/red ethtool -K eth0 txvlan off rxvlan off")),
    ],
)  # fmt: skip
def test_offloads(unmet, check, command):
    broken = replace(SOCKET, unmet=tuple(unmet))
    assert said(wrong(judged(broken))) == (f"br0:p1 {check}", "fault", command)
    without = wrong(judged(broken, ethtool=False))
    assert without.mend.command == "ctl --dp br0 doctor --fix ports"
    assert without.mend.act is not None


def test_a_veth_that_takes_no_redirects_because_of_gro_is_told_once():
    assert said(wrong(judged(replace(SOCKET, unmet=(GRO,), takes_redirects=False))))[0] == "br0:p1 gro"


def test_ports_of_a_datapath_are_compared_in_their_mtu():
    large, elsewhere = replace(LINK, name="p2", mtu=9000), replace(LINK, name="p9", mtu=9000)
    others = [
        plugged(link=large, peer=replace(PEER, mtu=9000), port=replace(PORT, number=2, name="p2", device="p2")),
        replace(plugged(link=elsewhere, peer=replace(PEER, mtu=9000)), datapath="br1",
                port=replace(PORT, number=9, name="p9", device="p9")),
    ]  # fmt: skip
    finding = wrong(judged(SOCKET, *others))
    assert said(finding) == (
        "br0:p1 mtu",
        "note",
        (
            "nsenter --net=/run/netns/blue ip link set dev p1 mtu 9000"
            " && nsenter --net=/run/netns/red ip link set dev eth0 mtu 9000"
        ),
    )
    assert "9000 at p2" in finding.found


def test_a_port_in_the_caller_s_own_namespace_is_added_again_without_naming_it():
    here = NetNs(Path("/proc/thread-self/ns/net"))
    finding = wrong(judged(replace(GONE, home=here, namesake=True)))
    assert finding.mend.command == ADD_AGAIN.removesuffix(",netns=blue")
