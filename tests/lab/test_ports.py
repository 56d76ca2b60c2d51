"""Devices and namespaces, as the controller uses them."""

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ctl import ethtool
from ctl.errors import Absent, Exists, NotFound, NotPermitted, UsageError
from ctl.ethtool import Feature
from ctl.netns import NetNs, error_from_errno
from ctl.ports import (
    Links,
    VethEnd,
    create_local_port,
    delete_local_port,
    local_port_names,
)
from ctl.wiring import prepare_port
from tests.lab.redirect import passing


@pytest.fixture
def pair(lab_name):
    """Two empty namespaces."""
    made = [NetNs.named(f"ctl-{lab_name}-{part}") for part in ("a", "b")]
    for ns in made:
        ns.create()
    return made


def test_enter_comes_back_after_an_exception_and_moves_one_thread_only(pair):
    own, seen, entered = NetNs.current().inode, [], threading.Event()

    def look():
        entered.wait(5)
        seen.append(os.stat("/proc/thread-self/ns/net").st_ino)

    thread = threading.Thread(target=look)
    thread.start()

    def fail_inside():
        with pair[0].enter():
            assert NetNs.current() == pair[0]
            entered.set()
            thread.join()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_inside()
    assert NetNs.current().inode == own
    assert seen == [own]


def test_names_are_those_of_ip_netns(pair):
    assert pair[0].exists()
    assert pair[0] in NetNs.all_named()
    with pytest.raises(Exists):
        pair[0].create()
    assert pair[0].delete()
    assert not pair[0].delete()
    with pytest.raises(Absent), pair[0].enter():
        pass
    for name in ("", "..", "a/b"):
        with pytest.raises(UsageError):
            NetNs.named(name)


def test_without_rights_lookups_work_and_changes_name_the_capability():
    root = Path(__file__).resolve().parents[2]
    code = f"""
import os, sys
sys.dont_write_bytecode = True
sys.path.insert(0, {str(root)!r})
from ctl.errors import NotPermitted
from ctl.netns import NetNs
from ctl.ports import Links, VethEnd
os.setgroups([])
os.setuid(65534)
assert NetNs.current().ifindex("lo") == 1
with Links(NetNs.current()) as links:
    try:
        links.create_veth(VethEnd(name="never0"), VethEnd(name="never1"))
    except NotPermitted as error:
        print(error.hint)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "CAP_NET_ADMIN is missing: run it as root\n"


def test_lookups(pair):
    ns = pair[0]
    assert ns.ifindex("lo") == 1
    assert ns.device_name(1) == "lo"
    assert ns.default_route_device() is None
    with pytest.raises(NotFound):
        ns.ifindex("eth9")
    with pytest.raises(NotFound):
        ethtool.features(ns, "eth9")
    with pytest.raises(NotFound):
        ethtool.features(ns, "a-name-of-more-than-15")


def test_default_route(pair):
    ns = pair[0]
    with Links(ns) as links:
        links.create_veth(VethEnd(name="v0"), VethEnd(name="v1"))
        for device in ("v0", "v1"):
            links.set_up(device)
        links.add_address("v0", "198.18.0.1", 24)
    with ns.enter():
        assert os.system("ip route add default via 198.18.0.9") == 0
    assert ns.default_route_device() == "v0"


def test_local_port(pair):
    ns = pair[0]
    local = create_local_port(ns, "lab", mac="02:00:00:00:00:aa")
    assert (local.stack, local.port) == ("lab", "lab.p0")
    assert Feature.GRO in ethtool.features(ns, "lab")
    assert not {Feature.TX_CHECKSUM, Feature.TSO} & ethtool.features(ns, "lab")
    with Links(ns) as links:
        stack, port = links.get("lab"), links.get("lab.p0")
    assert stack.up
    assert port.up
    assert stack.mac == "02:00:00:00:00:aa"
    assert (stack.peer_ifindex, port.peer_ifindex) == (port.ifindex, stack.ifindex)
    with pytest.raises(Exists):
        create_local_port(ns, "lab")
    assert delete_local_port(ns, "lab")
    assert not delete_local_port(ns, "lab")
    assert set(ns.devices()) == {"lo"}


def test_local_port_leaves_nothing_when_it_fails(pair, monkeypatch):
    monkeypatch.setattr("ctl.ports.make_safe_sender", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        create_local_port(pair[0], "lab")
    assert set(pair[0].devices()) == {"lo"}


def test_local_port_names():
    assert local_port_names("x" * 12).port == "x" * 12 + ".p0"
    for name in ("x" * 13, "", "a/b", "a b"):
        with pytest.raises(UsageError):
            local_port_names(name)


def test_prepare_port_finds_the_peer_among_namespaces_with_equal_ifindexes(pair):
    a, b = pair
    with Links(a) as links:
        links.create_veth(VethEnd(name="p1"), VethEnd(name="eth0"), b)
    first = prepare_port(a, "p1")
    assert (first.driver, first.problems) == ("veth", ())
    assert f"gro on at eth0 in {b.name}" in first.done
    assert f"tx checksum off at eth0 in {b.name}" in first.done
    assert prepare_port(a, "p1").done == ()


def test_prepare_port_leaves_gro_alone_when_the_peer_has_a_program(pair):
    a, b = pair
    with Links(a) as links:
        links.create_veth(VethEnd(name="p1"), VethEnd(name="eth0"), b)
    with passing(b, "eth0"):
        assert not [step for step in prepare_port(a, "p1", b).done if step.startswith("gro")]


def test_prepare_port_says_what_it_could_not_do(pair):
    a, b = pair
    with Links(a) as links:
        links.create_veth(VethEnd(name="p1"), VethEnd(name="eth0"), b)
    (problem,) = prepare_port(a, "p1", a).problems
    assert "out of reach" in problem
    assert prepare_port(a, "lo").problems == ()


def test_links_refuse_with_a_next_step(pair):
    with Links(pair[0]) as links:
        with pytest.raises(NotFound) as absent:
            links.get("eth9")
        assert absent.value.hint
        with pytest.raises(UsageError):
            links.create_veth(VethEnd(name="x" * 16), VethEnd(name="y"))
        links.create_veth(VethEnd(name="x", mtu=1400), VethEnd(name="y"))
        with pytest.raises(Exists):
            links.create_veth(VethEnd(name="x"), VethEnd(name="z"))
        assert links.get("x").mtu == 1400
        links.set_mtu("x", 1300)
        assert links.get(links.get("x").ifindex).mtu == 1300


def test_errors_name_the_capability():
    error = error_from_errno(errno.EPERM, "create veth p1")
    assert isinstance(error, NotPermitted)
    assert "CAP_NET_ADMIN" in error.hint
