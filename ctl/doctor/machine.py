"""The machine, and what the caller may do on it."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ctl.doctor.finding import Check, Finding, Mend, by_hand, fault, note, ok

TRIED_MACHINES: Final = ("x86_64", "aarch64")
_WHOLE_UID_MAP: Final = ["0", "0", "4294967295"]
_LOCKDOWN: Final = Path("/sys/kernel/security/lockdown")


# --- the machine -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What uname(2) says, and the byte order."""

    system: str
    release: str
    machine: str
    byteorder: str


def look_at_machine() -> Machine:
    """This one."""
    here = platform.uname()
    return Machine(system=here.system, release=here.release, machine=here.machine, byteorder=sys.byteorder)


def judge_machine(seen: Machine) -> Iterator[Finding]:
    """The kernel's version alone decides nothing: what it lacks is found by trying it."""
    yield ok("kernel", f"{seen.system} {seen.release}")
    if seen.machine in TRIED_MACHINES:
        yield ok("architecture", seen.machine)
    else:
        yield note("architecture", seen.machine, f"written for {' and '.join(TRIED_MACHINES)}, never tried on this one")
    if seen.byteorder == "little":
        yield ok("byte order", "little-endian")
    else:
        yield fault("byte order", f"{seen.byteorder}-endian", "keys and layouts are for little-endian machines alone")


# --- rights ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Capability:
    """One of capabilities(7), and what does not work without it.  ``also`` includes it."""

    name: str
    bit: int
    consequence: str
    also: str = ""


CAPABILITIES: Final = (
    Capability("CAP_BPF", 39, "no map can be made and no program loaded", "CAP_SYS_ADMIN"),
    Capability("CAP_PERFMON", 38, "the verifier refuses the program: it compares pointers", "CAP_SYS_ADMIN"),
    Capability("CAP_NET_ADMIN", 12, "no device can be made, set up or given a program"),
    Capability("CAP_SYS_ADMIN", 21, "no lab, no datapath of another network namespace, and bpffs cannot be mounted"),
    Capability("CAP_NET_RAW", 13, "ctl send and the traffic of ctl up cannot open packet sockets"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rights:
    """What the caller has: effective capabilities by name, and the kernel's lockdown mode or ""."""

    root: bool
    capabilities: frozenset[str]
    own_user_namespace: bool
    lockdown: str


def look_at_rights() -> Rights:
    """Those of this process."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines())
    effective = int(status["CapEff"], 16)
    return Rights(
        root=os.geteuid() == 0,
        capabilities=frozenset(c.name for c in CAPABILITIES if effective >> c.bit & 1),
        own_user_namespace=Path("/proc/self/uid_map").read_text(encoding="ascii").split() != _WHOLE_UID_MAP,
        lockdown=_lockdown(),
    )


def _lockdown() -> str:
    """The mode between brackets; "" where the kernel has none or the file is hidden."""
    try:
        text = _LOCKDOWN.read_text(encoding="ascii")
    except OSError:
        return ""
    return text.partition("[")[2].partition("]")[0]


def judge_rights(seen: Rights) -> Iterator[Finding]:
    """Each capability by itself."""
    for capability in CAPABILITIES:
        if capability.name in seen.capabilities:
            yield ok(capability.name, "held")
        elif capability.also in seen.capabilities:
            yield ok(capability.name, f"part of {capability.also}")
        else:
            yield fault(capability.name, "missing", capability.consequence, _become_root(seen))
    if seen.own_user_namespace:
        yield fault(
            "user namespace",
            "not the machine's own",
            "capabilities hold for this user namespace alone, and the kernel asks for those of the machine:"
            " leave the container, or run it privileged",
        )
    else:
        yield ok("user namespace", "the machine's own")
    if seen.lockdown == "confidentiality":
        yield note("lockdown", seen.lockdown, "programs cannot read kernel memory; this project's do not")
    else:
        yield ok("lockdown", seen.lockdown or "none")


def _become_root(seen: Rights) -> Mend | None:
    """Root without a capability is in a container: how that got started is not known here."""
    return None if seen.root else by_hand("sudo", "ctl", "doctor")


CHECKS: Final = (
    Check("machine", "kernel", look_at_machine, judge_machine),
    Check("rights", "capabilities", look_at_rights, judge_rights),
)
