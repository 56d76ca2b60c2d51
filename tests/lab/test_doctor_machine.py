"""The doctor on machines that lack something, and among what earlier commands left."""

import ctypes
import fcntl
import os
import subprocess
from contextlib import contextmanager

import pytest

from ctl.doctor import State
from ctl.kernel import bpffs, libbpf
from ctl.kernel.datapath import KernelDatapath, read_meta
from ctl.netns import NetNs
from ctl.text import parse_actions, parse_flow
from tests.lab.patient import Patient, shell


def examined(ctl, *groups, before=(), env=None):
    """The rows of `ctl doctor` as a process that is started by other words than usual, by their check."""
    document = ctl.document(*groups, before=before, env=env)
    return {check: row for check, row in document.items() if row["state"] != "ok"}


@pytest.fixture
def ctl():
    return Patient(f"e{os.getpid()}")


# --- rights ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("drop", "missing"),
    [
        ("-net_raw", {"CAP_NET_RAW"}),
        ("-net_admin", {"CAP_NET_ADMIN"}),
        ("-bpf,-perfmon", set()),
        ("-sys_admin,-bpf", {"CAP_SYS_ADMIN", "CAP_BPF"}),
        ("-sys_admin,-perfmon", {"CAP_SYS_ADMIN", "CAP_PERFMON"}),
    ],
)
def test_capabilities_that_were_dropped(ctl, drop, missing):
    rows = examined(ctl, "rights", before=["setpriv", f"--bounding-set={drop}"])
    assert rows.keys() == missing
    assert all(row["state"] == "fault" for row in rows.values())


def test_root_of_a_user_namespace_is_not_root_of_the_machine(ctl):
    assert examined(ctl, "rights", before=["unshare", "--user", "--map-root-user"]).keys() == {"user namespace"}


def test_a_user_without_rights_is_told_what_could_not_be_looked_at(ctl):
    with mounts("mount -t bpf -o mode=700 bpf /sys/fs/bpf") as enter:
        rows = examined(ctl, before=[*enter, "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"])
    assert {"CAP_BPF", "CAP_NET_ADMIN", "CAP_SYS_ADMIN"} <= rows.keys()
    for check in ("devices", "jit", "datapaths", "ports", "half made datapaths", "labs"):
        assert rows[check]["found"].startswith("not looked at"), check
        assert rows[check]["mend"] == "sudo ctl doctor"


# --- the BPF file system -----------------------------------------------------------------------------


@contextmanager
def mounts(commands):
    """A mount namespace in which these commands were run; the words that enter it."""
    private = "if mountpoint -q /; then mount --make-rprivate /; fi"
    script = f"{private}; {commands}; echo ready; read _; :"
    with subprocess.Popen(
        ["unshare", "--mount", "--propagation", "unchanged", "sh", "-ec", script],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as holder:  # fmt: skip
        assert holder.stdout.readline() == "ready\n"
        yield ["nsenter", "--mount", "--root", "--target", str(holder.pid)]
        holder.stdin.close()


@pytest.mark.parametrize(
    ("commands", "check", "state", "command"),
    [
        ("umount -l /sys/fs/bpf 2>/dev/null || :", "mounted", "note", "mount -t bpf bpf /sys/fs/bpf"),
        ("mount -t bpf -o ro bpf /sys/fs/bpf", "writable", "fault", "mount -o remount,rw /sys/fs/bpf"),
        (("mkdir -p /run/elsewhere; mount -t tmpfs none /run/elsewhere; mount -t bpf bpf /run/elsewhere;"
         " mkdir /run/elsewhere/ufid; umount -l /sys/fs/bpf 2>/dev/null || :"),
         "mounted", "fault", "mount --bind /run/elsewhere /sys/fs/bpf"),
    ],
    ids=["not mounted", "read-only", "elsewhere"],
)  # fmt: skip
def test_a_file_system_that_is_not_as_it_should_be(ctl, commands, check, state, command):
    with mounts(f"mount -t tmpfs none /run; {commands}") as enter:
        rows = examined(ctl, "bpffs", before=enter)
        assert {(name, row["state"], row["mend"]) for name, row in rows.items()} == {(check, state, command)}
        shell(command, before=enter)
        assert examined(ctl, "bpffs", before=enter) == {}


def test_fix_mounts_it_and_says_so(ctl):
    with mounts("umount -l /sys/fs/bpf 2>/dev/null || :") as enter:
        argv = [*enter, *ctl.argv("doctor", "--fix", "bpffs")]
        run = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60)
    assert run.stderr == "bpffs, mounted: not at /sys/fs/bpf: mended\n"
    assert run.stdout.splitlines() == [
        "bpffs",
        "  ok     mounted                     at /sys/fs/bpf (mended)",
        "  ok     writable                    /sys/fs/bpf is mounted for writing",
        "  ok     locks                       flock(2) works on its folders",
        "no faults, no notes",
    ]


def test_text_has_what_follows_and_the_command_below_a_row(ctl):
    with mounts("umount -l /sys/fs/bpf 2>/dev/null || :") as enter:
        argv = [*enter, *ctl.argv("doctor", "bpffs")]
        run = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60)
    assert run.stdout.splitlines() == [
        "bpffs",
        "  note   mounted                     not at /sys/fs/bpf",
        "         there is no datapath; who makes the first one mounts it",
        "         mend: mount -t bpf bpf /sys/fs/bpf",
        "no faults, 1 note; ctl doctor --fix mends 1 of them",
    ]


# --- the kernel --------------------------------------------------------------------------------------


def test_features_are_tried_and_those_that_are_forbidden_named(ctl):
    assert ctl.document("kernel")["tcx"]["state"] == "ok"
    rows = examined(ctl, "kernel", env={"CTL_WITHOUT": "tcx,may_goto"})
    assert rows.keys() == {"tcx", "may_goto"}
    assert "clsact" in rows["tcx"]["consequence"]
    wrong = examined(ctl, "kernel", env={"CTL_WITHOUT": "wings"})
    assert "which is no feature" in wrong["features"]["found"]


# --- the toolchain -----------------------------------------------------------------------------------


def test_without_libbpf_every_other_row_is_there(ctl, tmp_path):
    (tmp_path / "libbpf.so.1").write_text("no library")
    rows = ctl.document(env={"LD_LIBRARY_PATH": str(tmp_path)})
    assert rows["libbpf"]["state"] == "fault"
    assert rows["libbpf"]["mend"] == "apt install libbpf1"
    assert rows["jit"]["found"].startswith("could not be looked at: libbpf.so.1 is not installed")
    assert rows["veth"]["state"] == "ok"


@pytest.mark.parametrize("content", ["", "raise ImportError('no such thing')"], ids=["another", "broken"])
def test_the_wrong_bcc(ctl, tmp_path, content):
    (tmp_path / "bcc").mkdir()
    (tmp_path / "bcc" / "__init__.py").write_text(content)
    row = ctl.document("toolchain", env={"PYTHONPATH": str(tmp_path)})["bcc"]
    assert row["state"] in {"note", "fault"}, "it depends on what the cache has"
    assert "another library" in row["found"]
    assert row["mend"] == "apt install python3-bpfcc"


def test_a_package_that_cannot_be_imported_costs_the_rows_that_need_it(ctl, tmp_path):
    (tmp_path / "pyroute2.py").write_text("raise ImportError('no such thing')")
    rows = ctl.document("kernel", env={"PYTHONPATH": str(tmp_path)})
    assert rows["devices"]["found"] == "could not be looked at: no such thing"
    assert rows["clock"]["state"] == "ok"


def test_a_cache_that_cannot_be_written(ctl):
    with mounts("mkdir -p /var/cache/ufid-datapath; mount -t tmpfs -o ro none /var/cache/ufid-datapath") as enter:
        row = examined(ctl, "toolchain", before=enter)["compile cache"]
        assert (row["state"], row["mend"]) == ("note", "export XDG_CACHE_HOME=$HOME/.cache")
        elsewhere = {"XDG_CACHE_HOME": "/run"}
        assert "compile cache" not in examined(ctl, "toolchain", before=enter, env=elsewhere)


def test_what_an_interrupted_compilation_left(ctl, tmp_path):
    cache = tmp_path / "ufid-datapath"
    cache.mkdir()
    for name, age in (("tmpold", 7200), ("tmpnew", 0)):
        (cache / name).touch()
        os.utime(cache / name, (0, (cache / name).stat().st_mtime - age))
    rows = ctl.document("--fix", "leftovers", env={"XDG_CACHE_HOME": str(tmp_path)})
    assert rows[str(cache / "tmpold")]["fixed"]
    assert [path.name for path in cache.iterdir()] == ["tmpnew"]


# --- datapaths and what is left of them --------------------------------------------------------------


@pytest.fixture
def namespace(lab_name):
    """An empty one for ports, where a datapath's local port is in nobody's way."""
    ns = NetNs.named(f"ctl-{lab_name}-dp")
    ns.create()
    return ns


@pytest.fixture
def datapath(ctl, namespace):
    ctl("add-dp", "--max-flows", "10", "--netns", namespace.name)
    yield ctl
    if ctl.name in bpffs.names():
        ctl("del-dp")


@pytest.mark.parametrize(("flows", "state"), [(8, "ok"), (9, "note"), (10, "fault")])
def test_a_table_that_fills(datapath, flows, state):
    with KernelDatapath(datapath.name) as table, table.hold():
        for number in range(flows):
            table.flow_new(parse_flow(f"in_port({number}),eth()").match, ())
    row = datapath.rows("datapaths")[f"{datapath.name} flows"]
    assert (row.found, row.state.value) == (f"{flows} of 10", state)
    if row.mend:
        shell(row.mend.command)
        assert datapath.rows("datapaths")[f"{datapath.name} flows"].found == "0 of 20"


def test_room_for_actions_is_counted_in_runs(datapath):
    with KernelDatapath(datapath.name) as table, table.hold():
        for number, actions in enumerate(["drop", "1", "1,2,3"]):
            table.flow_new(parse_flow(f"in_port({number}),eth()").match, parse_actions(actions))
    assert datapath.rows("datapaths")[f"{datapath.name} action units"].found.startswith("5 of ")


def test_a_datapath_of_another_version_goes_by_the_printed_command(datapath, namespace):
    meta = read_meta(datapath.name)
    meta.layout ^= 0x55
    with libbpf.opened(str(bpffs.folder(datapath.name) / "meta")) as fd:
        libbpf.map_update(fd, ctypes.c_uint32(0), meta)
    assert datapath.ill("datapaths", "ports") == {("", "fault")}
    assert "another version" in datapath.rows("datapaths")[datapath.name].found
    datapath.mend("", "datapaths")
    assert datapath.rows("datapaths").keys().isdisjoint({datapath.name})
    datapath.document("--fix", "leftovers")
    assert set(namespace.devices()) == {"lo"}


def test_a_datapath_that_lacks_a_map(datapath):
    (bpffs.folder(datapath.name) / "control").unlink()
    assert datapath.ill("datapaths", "ports") == {("", "fault")}
    assert "a part of it is missing" in datapath.rows("datapaths")[datapath.name].found
    datapath.mend("", "datapaths")
    assert datapath.name not in bpffs.names()


def test_half_a_datapath_and_its_device_are_cleared_away(datapath, namespace):
    (bpffs.folder(datapath.name) / "meta").unlink()
    device = f".p0 in {namespace.name}"
    assert datapath.ill("leftovers") >= {(" folder", "fault"), (device, "note")}
    rows = datapath.document("--fix", "leftovers")
    assert rows[" folder"]["fixed"]
    assert rows[device]["fixed"]
    assert set(namespace.devices()) == {"lo"}


def test_half_a_datapath_and_its_device_by_the_printed_commands(datapath, namespace):
    (bpffs.folder(datapath.name) / "meta").unlink()
    datapath.mend(" folder", "leftovers")
    device = f".p0 in {namespace.name}"
    if namespace.devices().keys() > {"lo"}:
        datapath.mend(device, "leftovers")
    assert set(namespace.devices()) == {"lo"}


def test_a_folder_that_somebody_is_at_work_on_is_left_alone(datapath):
    meta = bpffs.folder(datapath.name) / "meta"
    with libbpf.opened(str(meta)) as fd:
        meta.unlink()
        lock = os.open(bpffs.ROOT, os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert (" folder", "note") in datapath.ill("leftovers")
        os.close(lock)
        assert (" folder", "fault") in datapath.ill("leftovers")
        libbpf.obj_pin(fd, str(meta))


def test_namespaces_without_a_lab(ctl, namespace):
    lab = namespace.name.split("-")[1]
    row = ctl.rows("leftovers")[f"lab {lab}"]
    assert row.state is State.FAULT
    shell(row.mend.command)
    assert not namespace.exists()


def test_a_datapath_whose_namespace_is_gone(datapath, namespace):
    namespace.delete()
    assert (" namespace", "fault") in datapath.ill("datapaths")
    datapath.mend(" namespace", "datapaths")
    assert datapath.name not in bpffs.names()
