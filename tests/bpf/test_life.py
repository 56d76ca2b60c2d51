"""Datapaths that are made and removed at the same time, by processes that know nothing of each other."""

import ctypes
import os
import pathlib

import pytest

from ctl import abi
from ctl.errors import Absent, Failure
from ctl.kernel import bpffs, libbpf, lifecycle
from ctl.kernel.datapath import KernelDatapath, read_meta
from ctl.kernel.maps import Sizes
from ctl.netns import NetNs

PATIENCE_S = 100.0  # three that wait for each other, on a machine with other work
SMALL = Sizes(max_flows=7, max_masks=3)


@pytest.fixture
def root(monkeypatch):
    """A folder of datapaths that is this test's alone."""
    bpffs.ensure_mounted()
    path = pathlib.Path(f"/sys/fs/bpf/tb{os.getpid()}")
    monkeypatch.setattr(bpffs, "ROOT", path)
    yield path
    for name in bpffs.names():
        bpffs.remove(name)
    if path.exists():
        path.rmdir()


def make(name):
    with lifecycle.creating(name, SMALL, NetNs.current(), PATIENCE_S):
        pass


@pytest.mark.parametrize("moment", ["before", "after"])
def test_the_folder_goes_while_somebody_takes_its_lock(root, monkeypatch, moment):
    """The last datapath is removed just before the folder is opened, or just before its lock is free."""
    real, taken = lifecycle.lock_folder, []

    def lock_folder(folder, timeout_s):
        taken.append(folder)
        if moment == "before" and len(taken) == 1:
            folder.rmdir()
        fd = real(folder, timeout_s)
        if moment == "after" and len(taken) == 1:
            folder.rmdir()
        return fd

    monkeypatch.setattr(lifecycle, "lock_folder", lock_folder)
    make("tb1")
    assert taken == [root, root]
    with KernelDatapath("tb1") as datapath:
        assert datapath.stats().flows == 0
    lifecycle.destroy("tb1")
    assert not root.exists()


def test_processes_that_make_and_remove_datapaths_do_not_disturb_each_other(root):
    children = []
    for number in range(3):
        pid = os.fork()
        if pid == 0:
            _make_and_remove(f"tb{number}")
        children.append(pid)
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children] == [0, 0, 0]
    assert not root.exists()


def _make_and_remove(name):
    """In a child: a datapath seven times."""
    status = 1
    try:
        for _ in range(7):
            make(name)
            lifecycle.destroy(name, PATIENCE_S)
        status = 0
    finally:
        os._exit(status)


@pytest.mark.usefixtures("root")
def test_what_fails_before_publication_leaves_nothing():
    def fail():
        with lifecycle.creating("tb1", SMALL, NetNs.current()):
            assert bpffs.names() == ["tb1"]
            assert lifecycle.datapath_names() == []
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert bpffs.names() == []
    with pytest.raises(Absent):
        KernelDatapath("tb1")


def test_remains_of_an_interrupted_creation_are_cleared_away(root):
    make("tb1")
    (root / "tb1" / "meta").unlink()
    assert lifecycle.datapath_names() == []
    make("tb1")
    assert lifecycle.datapath_names() == ["tb1"]
    (root / "tb1" / "meta").unlink()
    lifecycle.destroy("tb1")
    assert not root.exists()


def test_a_mount_that_is_in_use_stays_and_stays_ours(monkeypatch, tmp_path):
    monkeypatch.setattr(bpffs, "MOUNT_POINT", tmp_path)
    monkeypatch.setattr(bpffs, "ROOT", tmp_path / "ufid")
    monkeypatch.setattr(bpffs, "_OURS", tmp_path / "ufid_mounted")
    bpffs.ensure_mounted()
    try:
        busy = os.open(tmp_path, os.O_RDONLY)
        bpffs.unmount_if_ours()
        os.close(busy)
        assert bpffs.is_mounted()
    finally:
        bpffs.unmount_if_ours()
    assert not bpffs.is_mounted(), "the mark was lost, so nobody unmounted it"


@pytest.mark.parametrize("field", ["abi_version", "layout"])
def test_a_datapath_of_another_version_is_refused_but_can_be_removed(root, field):
    """Nobody reads maps whose layout is not what is expected; removing needs to read nothing."""
    root.mkdir()
    make("other")
    meta = read_meta("other")
    setattr(meta, field, getattr(meta, field) ^ 0x55)
    with libbpf.opened(str(bpffs.folder("other") / "meta")) as fd:
        libbpf.map_update(fd, ctypes.c_uint32(0), meta)
    with pytest.raises(Failure, match="another version"):
        KernelDatapath("other")
    assert lifecycle.datapath_names() == ["other"]
    lifecycle.destroy("other")
    assert bpffs.names() == []


def test_a_datapath_of_a_larger_layout_is_listed_and_refused(root):
    """Its version is read, and nothing is written behind what this version has room for."""
    root.mkdir()
    bpffs.folder("tb9").mkdir()
    size = ctypes.sizeof(abi.DpMeta) + 4096
    fd = libbpf.map_create(libbpf.MAP_ARRAY, "meta", 4, size, 1)
    libbpf.map_update(fd, ctypes.c_uint32(0), (99).to_bytes(4, "little").ljust(size, b"\xff"))
    libbpf.obj_pin(fd, str(bpffs.folder("tb9") / "meta"))
    os.close(fd)
    assert lifecycle.datapath_names() == ["tb9"]
    with pytest.raises(Failure, match="another version"):
        KernelDatapath("tb9")
