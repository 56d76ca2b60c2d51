"""Meters as users meet them: the commands, and real packets on both hooks."""

import pytest

from ctl.action import Meter, Output, Set
from ctl.kernel.datapath import KernelDatapath
from ctl.text import parse_flow
from ctl.ufid import Ufid
from netns_lab.record import existing
from netns_lab.traffic import send_frames
from tests.lab.commands import lab_up
from tests.metering import stop_filling

# 1000 bytes are 8000 bits: at 1 kbit/s the next frame passes eight seconds later.
FRAMES = [bytes.fromhex("020000000002 020000000001 88b5") + bytes((number,)) * 986 for number in range(23)]
FLOW, UFID = parse_flow("in_port(1),eth(),eth_type(0x88b5)").match, Ufid(b"\1")


MARK = Set("skb_mark", (1,))  # which only the tc hook can


@pytest.fixture(scope="module")
def lab():
    with lab_up("w") as command:
        yield command


@pytest.fixture
def ctl(lab):
    lab("del-flows")
    lab("del-meter", "--all")
    return lab


def sent(ctl, frames=FRAMES):
    """How many frames of h1 came to h2, each as it was."""
    result = send_frames(existing(ctl.name), "h1", "h2", frames, timeout_s=0.2)
    assert (result.sent, result.elsewhere) == (len(frames), 0)
    return result.received


@pytest.mark.parametrize(
    ("limit", "passed"),
    [("kbps,burst,band=type=drop,rate=1,burst_size=87", 11), ("pktps,band=type=drop,rate=5", 10)],
    ids=["kbps", "pktps"],
)
@pytest.mark.parametrize("before", [(), (MARK,)], ids=["xdp", "tc"])
def test_burst_and_rate_pass_of_real_packets(ctl, before, limit, passed):
    """88,000 bits are 11 frames; 10 packets are twice a rate of 5."""
    ctl("add-meter", f"meter=7,{limit}")
    with KernelDatapath(ctl.name) as datapath:
        datapath.flow_new(FLOW, (*before, Meter(7), Output(2)), UFID)
        if "pktps" in limit:
            stop_filling(datapath, 7)
        drops = datapath.stats().drops["meter"]
        assert sent(ctl) == passed
        assert datapath.stats().drops["meter"] - drops == 23 - passed
    assert (ctl.flow(f"{UFID}")["packets"], ctl.flow(f"{UFID}")["dp"]) == (23, "tc" if before else "xdp")
    (row,) = ctl.json("get-meter", "7")["meters"]
    assert (row["packets"], row["bytes"], row["bands"][0]["packets"]) == (23, 23000, 23 - passed)
    assert f"exceeded: packets:{23 - passed}, bytes:{1000 * (23 - passed)}" in ctl("del-meter", "-s", "7").out
    assert sent(ctl) == 23, "no meter has no limit"


def test_meters_are_listed_as_they_can_be_added_again(ctl):
    lines = ["meter=1 pktps burst stats bands=type=drop rate=100 burst_size=10",
             "meter=4095 kbps burst stats bands=type=drop rate=8000 burst_size=8000"]  # fmt: skip
    assert ctl("add-meter", "-s", "meter=4095,kbps,band=type=drop,rate=8000").out == ""
    assert ctl("add-meter", lines[0]).out == ""
    assert ctl("get-meter").lines == lines
    for line in lines:
        old = f"{line}, packets:0, bytes:0, used:never, exceeded: packets:0, bytes:0"
        assert ctl("add-meter", "-s", "--clear", line).lines == [old]
    assert ctl("del-meter", "--all", "-s").out.count("meter=") == 2
    assert ctl("get-meter").out == ""


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["get-meter", "3"], 3, "has no meter 3; ctl get-meter lists them"),
        (["del-meter", "1", "--all"], 2, "which meter is meant?; ctl del-meter ID, or ctl del-meter --all"),
        (["add-meter", "meter=1,kbps,band=type=drop,rate=0"], 2, "meter 1: its rate is 0; from 1 to 4294967295"),
        (["add-meter", "meter=1,kbps,band=rate=1"], 2, "\nmeter=1,kbps,band=rate=1\n                  ^"),
    ],
)
def test_refusals(ctl, arguments, status, said):
    assert said in ctl(*arguments, status=status).err
