"""What the doctor makes of made-up facts about a machine; datapaths and ports have a file of their own."""

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from ctl.doctor import GROUPS, after_mending, checks, examine, mend
from ctl.doctor.finding import Check, Finding, Mend, State, fault, note, ok, within
from ctl.doctor.kernel import Devices, Offer, judge_devices, judge_features, judge_jit
from ctl.doctor.leftovers import (
    Folders,
    Lab,
    Stray,
    judge_files,
    judge_folders,
    judge_labs,
)
from ctl.doctor.leftovers import (
    judge_devices as judge_strays,
)
from ctl.doctor.machine import CAPABILITIES, Machine, Rights, judge_machine, judge_rights
from ctl.doctor.storage import Storage
from ctl.doctor.storage import judge as judge_storage
from ctl.doctor.toolchain import PACKAGES, Compiler, judge_compiler, judge_libbpf, judge_packages
from ctl.errors import NotPermitted, NotSupported
from ctl.kernel.compile import Bcc
from ctl.kernel.features import FEATURES
from ctl.netns import NetNs

ALL_HELD = frozenset(c.name for c in CAPABILITIES)
MACHINE = Machine(system="Linux", release="6.18.1", machine="x86_64", byteorder="little")
RIGHTS = Rights(root=True, capabilities=ALL_HELD, own_user_namespace=False, lockdown="none")
STORAGE = Storage(known=True, place=True, mounted=True, read_only=False, elsewhere=(), lockable=True)
BCC = Bcc(version="0.26.0", place="/usr/lib/bcc", clang="14")
COMPILER = Compiler(bcc=BCC, warm=True, cache=Path("/var/cache/x"), writable=True)
NO_BCC = NotSupported("no BCC", "apt install python3-bpfcc")
OFFER = Offer(feature=FEATURES["tcx"], there=True, forbidden=False)
BLUE = NetNs.named("blue")


def wrong(findings):
    """(check, state) of every row that is not well."""
    return {(f.check, f.state.value) for f in findings if f.state is not State.OK}


def command(findings, check):
    """The command that mends what a check found; "" where there is none."""
    (finding,) = [f for f in findings if f.check == check]
    return finding.mend.command if finding.mend else ""


@pytest.mark.parametrize(
    ("judge", "facts"),
    [
        (judge_machine, MACHINE),
        (judge_rights, RIGHTS),
        (judge_storage, STORAGE),
        (judge_libbpf, "1.1"),
        (judge_compiler, COMPILER),
        (judge_packages, {"pyroute2": "0.9", "scapy": "2.6"}),
        (judge_features, [OFFER]),
        (judge_devices, Devices(veth=None, clsact=None)),
        (judge_jit, True),
        (judge_folders, Folders(remains=(), busy=False)),
        (judge_strays, []),
        (judge_labs, []),
        (judge_files, []),
    ],
)
def test_a_machine_in_order_has_a_row_for_each_fact_and_nothing_to_mend(judge, facts):
    findings = list(judge(facts))
    assert findings
    assert wrong(findings) == set()
    assert all(f.found and not f.consequence and f.mend is None for f in findings)


@pytest.mark.parametrize(
    ("judge", "facts", "rows"),
    [
        (judge_machine, replace(MACHINE, machine="s390x", byteorder="big"),
         {("architecture", "note"), ("byte order", "fault")}),
        (judge_rights, replace(RIGHTS, own_user_namespace=True, lockdown="confidentiality"),
         {("user namespace", "fault"), ("lockdown", "note")}),
        (judge_storage, replace(STORAGE, read_only=True), {("writable", "fault")}),
        (judge_storage, replace(STORAGE, lockable=False), {("locks", "fault")}),
        (judge_storage, replace(STORAGE, lockable=None), {("locks", "note")}),
        (judge_storage, replace(STORAGE, mounted=False), {("mounted", "note")}),
        (judge_storage, replace(STORAGE, mounted=False, place=False), {("mounted", "fault")}),
        (judge_storage, replace(STORAGE, mounted=False, known=False), {("mounted", "fault")}),
        (judge_storage, replace(STORAGE, mounted=False, elsewhere=("/mnt",)), {("mounted", "fault")}),
        (judge_libbpf, NotSupported("no libbpf", ""), {("libbpf", "fault")}),
        (judge_compiler, replace(COMPILER, bcc=NO_BCC), {("bcc", "note")}),
        (judge_compiler, replace(COMPILER, bcc=NO_BCC, warm=False), {("bcc", "fault")}),
        (judge_compiler, replace(COMPILER, warm=False), set()),
        (judge_compiler, replace(COMPILER, warm=False, writable=False), {("compile cache", "note")}),
        (judge_packages, {"pyroute2": "0.9"}, {("scapy", "fault")}),
        (judge_packages, {"pyroute2": "0.7.2", "scapy": "2.6"}, {("pyroute2", "fault")}),
        (judge_packages, {"pyroute2": "0.90", "scapy": "2.6"}, {("pyroute2", "fault")}),
        (judge_features, [replace(OFFER, there=False)], {("tcx", "note")}),
        (judge_features, [replace(OFFER, forbidden=True)], {("tcx", "note")}),
        (judge_devices, Devices(veth=NO_BCC, clsact=NO_BCC), {("veth", "fault"), ("clsact", "fault")}),
        (judge_jit, False, {("jit", "note")}),
        (judge_folders, Folders(remains=("br0",), busy=False), {("br0 folder", "fault")}),
        (judge_folders, Folders(remains=("br0",), busy=True), {("br0 folder", "note")}),
        (judge_strays, [Stray(ns=BLUE, datapath="br0", in_use=False)], {("br0.p0 in blue", "fault")}),
        (judge_strays, [Stray(ns=BLUE, datapath="br0", in_use=True)], {("br0.p0 in blue", "note")}),
        (judge_files, [Path("/var/cache/x/tmp1")], {("/var/cache/x/tmp1", "note")}),
    ],
)  # fmt: skip
def test_each_thing_that_is_wrong_is_said_with_what_follows(judge, facts, rows):
    findings = list(judge(facts))
    assert wrong(findings) == rows
    assert all(f.consequence for f in findings if f.state is not State.OK)


# --- rights ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("capability", [c.name for c in CAPABILITIES])
def test_each_capability_is_missed_by_itself(capability):
    findings = list(judge_rights(replace(RIGHTS, root=False, capabilities=ALL_HELD - {capability})))
    included = capability in {"CAP_BPF", "CAP_PERFMON"}
    assert wrong(findings) == (set() if included else {(capability, "fault")})
    assert command(findings, capability) == ("" if included else "sudo ctl doctor")


def test_what_includes_a_capability_may_be_missing_too():
    findings = list(judge_rights(replace(RIGHTS, capabilities=ALL_HELD - {"CAP_BPF", "CAP_SYS_ADMIN"})))
    assert wrong(findings) == {("CAP_BPF", "fault"), ("CAP_SYS_ADMIN", "fault")}
    assert command(findings, "CAP_BPF") == "", "root cannot become root to get it"


# --- the toolchain -----------------------------------------------------------------------------------


def test_the_packages_are_those_of_the_project(checkout):
    project = tomllib.loads((checkout / "pyproject.toml").read_text())["project"]
    wanted = {f"{p.name}>={p.series}" if p.series else p.name for p in PACKAGES}
    named = {dependency.partition(",")[0] for dependency in project["dependencies"]}
    assert {name for name in named if not name.startswith("click")} == wanted  # without click nothing is printed at all


# --- features ----------------------------------------------------------------------------------------


def test_what_is_missing_is_told_with_its_fallback():
    (lacking,) = judge_features([replace(OFFER, there=False)])
    assert "Linux 6.6" in lacking.found
    assert FEATURES["tcx"].instead in lacking.consequence
    (forbidden,) = judge_features([replace(OFFER, forbidden=True)])
    assert forbidden.mend.command == "unset CTL_WITHOUT"


# --- mends -------------------------------------------------------------------------------------------


def test_commands_for_the_file_system():
    def mend_of(**changes):
        (check,) = [f for f in judge_storage(replace(STORAGE, **changes)) if f.state is not State.OK]
        return check.mend.command, check.mend.act is not None

    assert mend_of(mounted=False) == ("mount -t bpf bpf /sys/fs/bpf", True)
    assert mend_of(read_only=True) == ("mount -o remount,rw /sys/fs/bpf", False)
    assert mend_of(mounted=False, elsewhere=("/mnt",)) == ("mount --bind /mnt /sys/fs/bpf", False)


@pytest.mark.parametrize(
    ("ns", "line"),
    [
        (BLUE, "nsenter --net=/run/netns/blue ip link"),
        (NetNs(Path("/proc/1/ns/net")), "nsenter --net=/proc/1/ns/net ip link"),
        (NetNs(Path("/proc/thread-self/ns/net")), "ip link"),
    ],
)
def test_a_command_is_for_the_namespace_that_it_concerns(ns, line):
    assert within(ns, "ip", "link") == line


def test_only_what_is_safe_is_done_and_failures_are_told():
    done = []

    def fail():
        raise NotPermitted("no")

    rows = [
        ok("a", "well"),
        note("b", "by hand", "x", Mend(command="b")),
        fault("c", "safe", "x", Mend(command="c", act=lambda: done.append("c"))),
        fault("d", "refused", "x", Mend(command="d", act=fail)),
    ]
    assert [(f.check, str(error or "")) for f, error in mend(rows)] == [("c", ""), ("d", "no")]
    assert done == ["c"]


def test_what_was_mended_is_marked_if_it_is_well_or_gone():
    before = [fault(check, "bad", "x", Mend(command="m", act=print)) for check in ("a", "b", "c")]
    again = [ok("a", "good"), fault("b", "bad", "x"), ok("d", "good")]
    rows = {f.check: (f.state, f.fixed) for f in after_mending(before, again)}
    assert rows == {
        "a": (State.OK, True),
        "b": (State.FAULT, False),
        "c": (State.OK, True),
        "d": (State.OK, False),
    }


# --- looking that fails ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (PermissionError(13, "no"), "note"),
        (NotPermitted("no"), "note"),
        (OSError(5, "eio"), "fault"),
        (NO_BCC, "fault"),
    ],
)
def test_what_cannot_be_looked_at_is_a_finding(error, state):
    def look():
        raise error

    (finding,) = examine([Check("g", "thing", look, lambda _: [])])
    assert (finding.group, finding.check, finding.state.value) == ("g", "thing", state)


def test_the_groups_are_those_of_the_checks_in_their_order():
    assert tuple(dict.fromkeys(check.group for check in checks())) == GROUPS


def test_findings_carry_the_group_of_their_check():
    (finding,) = examine([Check("g", "thing", lambda: 7, lambda facts: [ok("x", str(facts))])])
    assert finding == Finding(group="g", check="x", state=State.OK, found="7")


# --- labs --------------------------------------------------------------------------------------------

LAB = Lab(name="lab", namespaces=("ctl-lab-dp", "ctl-lab-h1"), dead=(), whole=True, processes=())


def test_labs():
    assert wrong(judge_labs([LAB])) == set()
    half = list(judge_labs([replace(LAB, whole=False)]))
    assert wrong(half) == {("lab lab", "fault")}
    assert command(half, "lab lab") == "ctl --dp lab down"
    dead = list(judge_labs([replace(LAB, dead=("ctl-lab-h1",))]))
    assert "ctl-lab-h1 is a name alone" in dead[0].found
    busy = list(judge_labs([replace(LAB, processes=tuple(f"sleep ({n}) in h1" for n in range(5)))]))
    assert wrong(busy) == {("lab lab processes", "note")}
    assert busy[1].found.endswith("sleep (2) in h1, ...")
