"""A lab is made whole or not at all, and removed without a trace."""

import os
import signal
import subprocess
import sys
import time

import pytest

from ctl import ethtool, netns
from ctl.errors import Exists, NotFound
from ctl.ethtool import Feature
from ctl.netns import NetNs
from netns_lab import build as build_module
from netns_lab.build import build, destroy
from netns_lab.record import find_leftovers
from netns_lab.run import exec_in
from netns_lab.topology import HOST_DEVICE, star


def own_devices():
    return NetNs.current().devices()


def test_build_and_destroy_leave_no_trace(lab_name):
    before = own_devices()
    topology = star(3, lab_name)
    build(topology)
    assert find_leftovers(lab_name) == [f"ctl-{lab_name}-{part}" for part in ("dp", "h1", "h2", "h3")]
    assert own_devices() == before
    assert len(destroy(lab_name)) == 4
    assert find_leftovers(lab_name) == []
    assert own_devices() == before
    assert destroy(lab_name) == []


def test_a_lab_is_not_built_over_another(lab):
    with pytest.raises(Exists):
        build(lab)
    assert len(find_leftovers(lab.lab)) == 4, "the one that was there is still there"


def test_labs_are_independent(lab):
    other = star(2, lab.lab + "x")
    build(other)
    destroy(other.lab)
    assert len(find_leftovers(lab.lab)) == 4


def test_ifindexes_are_equal_in_different_namespaces(lab):
    indexes = {host.name: lab.namespace(host).ifindex(HOST_DEVICE) for host in lab.hosts}
    assert len(set(indexes.values())) == 1
    assert lab.datapath_namespace.ifindex("p1") == indexes["h1"]
    assert lab.datapath_namespace.device_name(indexes["h1"]) == "p1"


def test_offloads_are_as_xdp_needs_them(lab):
    assert Feature.GRO in ethtool.features(lab.namespace(lab.hosts[0]), HOST_DEVICE)
    bad = {Feature.TX_CHECKSUM, Feature.TSO, Feature.TX_VLAN, Feature.RX_VLAN}
    for host in lab.hosts:
        assert not bad & ethtool.features(lab.namespace(host), HOST_DEVICE)
        assert not {Feature.TX_VLAN, Feature.RX_VLAN} & ethtool.features(lab.datapath_namespace, host.device)


@pytest.mark.parametrize("step", range(1, 4))
def test_a_build_that_fails_half_way_leaves_nothing(lab_name, monkeypatch, step):
    calls = iter(range(1, 10))
    real = build_module.make_safe_sender

    def fail_at_step(*args):
        if next(calls) == step:
            raise KeyboardInterrupt
        real(*args)

    monkeypatch.setattr(build_module, "make_safe_sender", fail_at_step)
    with pytest.raises(KeyboardInterrupt):
        build(star(3, lab_name))
    assert find_leftovers(lab_name) == []


BUILDER = """
import importlib.util, sys
sys.path.insert(0, {tests!r})
import conftest
from netns_lab.build import build
from netns_lab.topology import star
print("go", flush=True)
build(star(64, {lab!r}))
print("whole", flush=True)
"""


@pytest.mark.parametrize("delay_s", [0.25, 0.45])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_interrupt_leaves_nothing_and_a_kill_leaves_what_destroy_removes(lab_name, number, delay_s):
    code = BUILDER.format(tests=os.path.join(os.path.dirname(__file__), ".."), lab=lab_name)
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
        assert child.stdout.readline() == b"go\n"
        time.sleep(delay_s)
        child.send_signal(number)
        assert child.stdout.read() == b"", "the signal came too late to test anything"
        child.wait(10)
    if number == signal.SIGINT:
        assert find_leftovers(lab_name) == []
    destroy(lab_name)
    assert find_leftovers(lab_name) == []


def test_destroy_removes_a_name_that_never_became_a_namespace(lab_name):
    path = NetNs.named(f"ctl-{lab_name}-h1").path
    path.parent.mkdir(exist_ok=True)
    path.touch()
    assert destroy(lab_name) == [f"ctl-{lab_name}-h1"]


def test_largest_lab_is_down_within_five_seconds(lab_name):
    build(star(64, lab_name))
    start = time.monotonic()
    assert len(destroy(lab_name)) == 65
    assert time.monotonic() - start < 5


def test_a_process_in_a_host_is_cut_off_and_does_not_hold_up_destroy(lab):
    home = lab.namespace(lab.hosts[0])
    with home.enter():
        child = subprocess.Popen(["sleep", "60"])
    try:
        destroy(lab.lab)
        with open(f"/proc/{child.pid}/net/dev") as file:
            assert HOST_DEVICE not in file.read()
    finally:
        child.kill()
        child.wait()


def test_exec_runs_in_the_host_and_passes_its_status_on(lab):
    address = lab.host("h2").ipv4
    code = f"import os, socket; socket.socket().bind(('{address}', 0)); os.listdir('/sys/fs/bpf'); raise SystemExit(23)"
    assert exec_in(lab, "h2", [sys.executable, "-c", code]) == 23
    assert exec_in(lab, "h1", [sys.executable, "-c", code]) == 1, "that address is another host's"
    assert exec_in(lab, "h1", ["sh", "-c", "kill -TERM $$"]) == 143
    with pytest.raises(NotFound):
        exec_in(lab, "h1", ["no-such-command"])


@pytest.mark.parametrize("moment", ["before", "after"])
def test_an_interrupt_while_a_namespace_is_made_leaves_no_name(lab_name, monkeypatch, moment):
    """Before it is mounted, or after, when the name alone can no longer be removed."""
    real = netns._make_and_mount

    def interrupted(path):
        if moment == "after":
            real(path)
        raise KeyboardInterrupt

    monkeypatch.setattr(netns, "_make_and_mount", interrupted)
    namespace = NetNs.named(f"ctl-{lab_name}-h1")
    with pytest.raises(KeyboardInterrupt):
        namespace.create()
    assert not namespace.path.exists()
