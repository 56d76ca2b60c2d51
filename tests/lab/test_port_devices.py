"""Devices of ports are renamed, deleted, moved and replaced: no frame is taken for another port's, nor sent to one."""

import ctypes
import os
import re

import pytest

from ctl import abi, ethtool
from ctl.abi import DpLimit, MapId
from ctl.errors import TableFull
from ctl.kernel import attach, features, libbpf, places
from ctl.kernel.datapath import KernelDatapath
from ctl.manage import add_port
from ctl.netns import NetNs
from ctl.ports import Links, VethEnd, remove_namespace
from tests.lab import crash
from tests.lab.commands import Ctl


@pytest.fixture(scope="module")
def surroundings():
    with crash.World(f"d{os.getpid()}") as made:
        yield made


@pytest.fixture
def world(surroundings):
    """Ports 1, 2 and 3 with their devices, and the flows 1 to 2, 2 to 1, 3 to 1."""
    for number in crash.PORTS:
        if f"p{number}" not in surroundings.home.devices():
            surroundings.plug_in(number)
    surroundings.with_ports(*crash.PORTS)
    assert surroundings.hears((1, 2), (2, 1), (3, 1))
    yield surroundings
    assert surroundings.strays == []
    surroundings.without_datapath()
    for number in crash.PORTS:
        with Links(surroundings.home) as links:
            links.delete(f"p{number}")


@pytest.fixture
def ctl(world):
    return Ctl(world.name)


def port(ctl, number):
    return next(p for p in ctl.json("show")["datapaths"][0]["ports"] if p["number"] == number)


def delete(ns, device):
    with Links(ns) as links:
        links.delete(device)


def in_ns(ns, *command):
    with ns.enter():
        assert os.spawnvp(os.P_WAIT, command[0], command) == 0


def test_a_renamed_device_has_its_present_name(world, ctl):
    in_ns(world.home, "ip", "link", "set", "p2", "name", "uplink")
    assert "  port 2: uplink" in ctl("show").lines
    assert ctl("get-flow", "--names", str(crash.UFIDS[1])).out.rstrip().endswith("actions:uplink")
    assert world.hears((1, 2), (2, 1), (3, 1))
    assert ctl("add-if", f"uplink,netns={world.home.name}", status=4)
    ctl("del-if", "uplink")
    delete(world.home, "uplink")


def test_a_deleted_device_is_said_to_be_gone_and_comes_back_with_its_number_and_counters(world, ctl):
    delete(world.home, "p3")
    assert "  port 3: p3 (device gone)" in ctl("show").lines
    assert re.search(r"port 3 of \w+: device p3 is gone: .*del-if 3", ctl("status", status=1).out)
    before = port(ctl, 3)
    world.plug_in(3)
    assert world.hears((1, 2), (2, 1)), "a device of the same name is not the port's yet"
    assert "leave port_no out" in ctl("add-if", f"p3,netns={world.home.name},port_no=7", status=4).err
    assert "p3 is port 3" in ctl("add-if", f"p3,netns={world.home.name}").err
    after = port(ctl, 3)
    assert (before["state"], after["state"]) == ("gone", "attached")
    assert after["statistics"]["rx_packets"] >= before["statistics"]["rx_packets"] > 0
    assert world.hears((1, 2), (2, 1), (3, 1))


def test_a_port_whose_device_is_gone_can_be_removed(world, ctl):
    delete(world.far, "q3")
    assert port(ctl, 3)["state"] == "gone", "a veth dies with its peer"
    ctl("del-if", "3")
    assert "port 3" not in ctl("show").out
    ctl("status")


@pytest.mark.parametrize("hook", ["xdp", "tc"])
def test_a_device_that_moved_is_no_port_although_it_got_the_ifindex_of_one(world, ctl, hook):
    """It is born in the other namespace with the ifindex of p2 here: by that alone it would be port 2."""
    ctl("del-if", "p1")
    ctl("add-if", f"p1,netns={world.home.name},port_no=1,hook={hook}")
    wanted, own = world.home.ifindex("p2"), world.home.ifindex("p1")
    elsewhere = NetNs.named(f"ctl-{world.name}_w-else")
    elsewhere.create()
    try:
        for index in range(2, wanted):  # p1's own among them, so that it gets the next one
            peer = ("peer", "name", f"g{index}", "netns", world.far.name)
            in_ns(elsewhere, "ip", "link", "add", f"f{index}", "index", str(index), "type", "veth", *peer)
        assert own in elsewhere.devices().values()
        in_ns(world.home, "ip", "link", "set", "p1", "netns", elsewhere.name)
        in_ns(elsewhere, "ip", "link", "set", "p1", "up")
        assert elsewhere.ifindex("p1") == wanted, "the kernel gave it another ifindex than this test is about"
        before = ctl.json("show")["datapaths"][0]
        for _ in range(23):
            world.talk()
        after = ctl.json("show")["datapaths"][0]
        assert port(ctl, 1)["state"] == "moved"
        assert "moved to another namespace" in ctl("show").out
        assert "p1 moved to another namespace" in ctl("status", status=1).out
        gained = [
            a["statistics"]["rx_packets"] - b["statistics"]["rx_packets"]
            for a, b in zip(after["ports"], before["ports"], strict=True)
        ]
        assert gained[1:] == [0, 23, 23]
        assert after["drops"]["not_a_port"] == before["drops"]["not_a_port"]
        ctl("del-if", "1")
        with Links(elsewhere) as links:
            assert not links.get("p1").has_xdp
    finally:
        remove_namespace(elsewhere)


def test_a_moved_device_that_is_back_is_its_port_again(world, ctl):
    elsewhere = NetNs.named(f"ctl-{world.name}_w-else")
    elsewhere.create()
    try:
        in_ns(world.home, "ip", "link", "set", "p3", "netns", elsewhere.name)
        in_ns(elsewhere, "ip", "link", "set", "p3", "netns", world.home.name)
    finally:
        elsewhere.delete()
    in_ns(world.home, "ip", "link", "set", "p3", "up")
    assert world.hears((1, 2), (2, 1)) or world.hears((1, 2), (2, 1), (3, 1))
    assert "p3 is port 3" in ctl("add-if", f"p3,netns={world.home.name}").err
    assert world.hears((1, 2), (2, 1), (3, 1))


@pytest.mark.parametrize("placed", ["xdp", "tc"])
def test_a_new_device_with_the_ifindex_of_one_that_is_gone_gets_no_frame(world, ctl, placed):
    """XDP sends by the map of ports; tc is given an ifindex, which the kernel would take for the new device's."""
    actions = "2" if placed == "xdp" else "set(skb_mark(1)),2"
    ctl("mod-flow", str(crash.UFIDS[1]), actions)
    index = world.home.ifindex("p2")
    delete(world.home, "p2")
    # The stray: another device with that ifindex, whose other end we listen to as if it were q3.
    delete(world.home, "p3")
    world.plug_in(3, index)
    assert world.home.ifindex("p3") == index
    before = ctl.json("show")["datapaths"][0]
    for _ in range(23):
        world.talk()
    after = ctl.json("show")["datapaths"][0]
    assert after["drops"]["no_port"] - before["drops"]["no_port"] == 23
    # Now it becomes a port itself, by its own number.
    ctl("mod-flow", str(crash.UFIDS[1]), "2")
    ctl("add-if", f"p3,netns={world.home.name}")
    assert world.hears((3, 1))


def test_without_the_ports_namespace_everything_can_still_be_removed(world):
    name, gone = f"e{os.getpid()}", NetNs.named(f"ctl-{world.name}_w-gone")
    ctl = Ctl(name)
    gone.create()
    try:
        with Links(gone) as links:
            links.create_veth(VethEnd(name="p1"), VethEnd(name="q1"))
        ctl("add-dp", name, "--netns", gone.name)
        ctl("add-if", f"p1,netns={gone.name}")
        delete(gone, name)
        delete(gone, "p1")
    finally:
        gone.delete()
    assert "p1 (device gone)" in ctl("show").out
    ctl("del-if", "p1")
    ctl("del-dp", name)
    ctl("show", status=7)


def test_offloads_are_given_back_by_the_last_port_that_needed_them(world, ctl):
    """Both ends of a cable become ports, so each is a port and a port's peer."""
    home = world.home
    with Links(home) as links:
        links.create_veth(VethEnd(name="m1"), VethEnd(name="m2"))
    try:
        found = {device: ethtool.features(home, device) for device in ("m1", "m2")}
        ctl("add-if", f"m1,netns={home.name}", f"m2,netns={home.name}")
        needed = {device: ethtool.features(home, device) for device in ("m1", "m2")}
        assert needed["m1"] != found["m1"]
        ctl("del-if", "m1")
        assert {device: ethtool.features(home, device) for device in ("m1", "m2")} == needed
        ctl("del-if", "m2")
        assert {device: ethtool.features(home, device) for device in ("m1", "m2")} == found
    finally:
        delete(home, "m1")


def test_a_full_table_of_ports_loses_nothing(world):
    """A device finds no place by its ifindex: it is told so, and is as it was found."""
    with Links(world.home) as links:
        links.create_veth(VethEnd(name="m1"), VethEnd(name="m2"))
    try:
        index, before = world.home.ifindex("m1"), crash.devices(world.home)
        with KernelDatapath(world.name) as datapath:
            memory = datapath.maps.memory(MapId.MAP_PORT_OF)
            others = [1000 + n for n in range(DpLimit.PORT_PROBES)]
            for n, other in enumerate(others, start=1):
                places.enter(memory, index + n * DpLimit.PORT_PLACES, other)
            with pytest.raises(TableFull, match="no place is left"):
                add_port(datapath, "m1", None, world.home)
            for other in others:
                places.leave(memory, other)
        assert crash.devices(world.home) == before
        assert world.hears((1, 2), (2, 1), (3, 1))
    finally:
        delete(world.home, "m1")


def test_a_datapath_of_another_version_is_changed_by_nothing_but_its_removal(world, ctl):
    """Every command says so and what to do, and it goes on forwarding."""
    with KernelDatapath(world.name) as datapath:
        meta = abi.DpMeta.from_buffer_copy(datapath.meta)
        meta.layout ^= 0x55
        libbpf.map_update(datapath.maps.fd(MapId.MAP_META), ctypes.c_uint32(0), meta)
    before = world.snapshot()["pins"]
    home = f"netns={world.home.name}"
    for command in (
        ["show"], ["dump-flows"], ["add-flow", "in_port(1),eth()", "2"], ["mod-flow", str(crash.UFIDS[1]), "drop"],
        ["del-flows"], ["add-if", f"p3,{home}"], ["del-if", "1"],
    ):  # fmt: skip
        assert f"remove it: ctl del-dp {world.name}" in ctl(*command, status=6).err
    assert "made by another version" in ctl("status", status=1).out
    ctl("add-dp", world.name, "--netns", world.home.name, status=4)
    assert world.snapshot()["pins"] == before
    assert world.hears((1, 2), (2, 1), (3, 1))
    ctl("del-dp", world.name)
    assert not any(f"/{world.name}" in pin for pin in world.snapshot()["pins"])
    delete(world.home, world.name)  # of that version nothing is known but the name


def test_a_kernel_that_does_not_tell_namespaces_is_served_without_the_guard(world, monkeypatch):
    monkeypatch.setenv(features.VARIABLE, "device_netns")
    world.without_datapath()
    world.with_ports(*crash.PORTS)
    assert world.hears((1, 2), (2, 1), (3, 1))
    with KernelDatapath(world.name) as datapath:
        assert attach.removable(datapath, 1).state == "attached"
