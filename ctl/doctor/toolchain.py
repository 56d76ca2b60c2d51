"""What compiles and loads: libbpf, BCC, the compile cache, and the Python packages."""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ctl.doctor.finding import Check, Finding, Mend, by_hand, fault, note, ok
from ctl.errors import CtlError, NotSupported
from ctl.kernel import compile as compiler
from ctl.kernel import libbpf, program
from ctl.kernel.compile import Bcc


@dataclass(frozen=True, slots=True)
class Package:
    """A Python package, the versions that serve (their beginning; "" for any), and what does not work without it."""

    name: str
    series: str
    consequence: str

    @property
    def requirement(self) -> str:
        """As pip is told it."""
        return f"{self.name}=={self.series}.*" if self.series else self.name


PACKAGES: Final = (
    Package("pyroute2", "0.9", "no device can be made or examined"),
    Package("scapy", "", "ctl up and ctl send have no traffic"),
)


# --- libbpf and BCC ----------------------------------------------------------------------------------


def look_at_libbpf() -> str | NotSupported:
    """Its version, or why it cannot be used."""
    try:
        return libbpf.version()
    except NotSupported as e:
        return e


def judge_libbpf(seen: str | NotSupported) -> Iterator[Finding]:
    """Everything but text and help goes through it."""
    if isinstance(seen, str):
        yield ok("libbpf", seen)
    else:
        yield fault("libbpf", seen.message, "no command can reach a datapath", by_hand("apt", "install", "libbpf1"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiler:
    """BCC, or why there is none; and whether all that it would compile is in the cache."""

    bcc: Bcc | NotSupported
    warm: bool
    cache: Path  # where results are kept
    writable: bool


def look_at_compiler() -> Compiler:
    """Imports BCC; compiles nothing."""
    try:
        bcc: Bcc | NotSupported = compiler.describe_bcc()
    except NotSupported as e:
        bcc = e
    caches = compiler.caches()
    cache = next((folder for folder in caches if _is_writable(folder)), None)
    return Compiler(bcc=bcc, warm=_is_warm(), cache=cache or caches[0], writable=cache is not None)


def _is_warm() -> bool:
    """Which variant of the program is needed, is found out by trying."""
    try:
        return program.is_compiled()
    except CtlError:
        return False


def _is_writable(folder: Path) -> bool:
    """Whether files can be made in a folder, or the folder itself where it is not there yet."""
    while not folder.exists():
        folder = folder.parent
    return os.access(folder, os.W_OK | os.X_OK)


def judge_compiler(seen: Compiler) -> Iterator[Finding]:
    """BCC is needed once for each version of the program; then the cache has the result."""
    if isinstance(seen.bcc, Bcc):
        clang = f", clang {seen.bcc.clang}" if seen.bcc.clang else ""
        yield ok("bcc", f"{seen.bcc.version}{clang}, at {seen.bcc.place}")
    elif seen.warm:
        yield note("bcc", seen.bcc.message, "the compiled program is in the cache; another version of it could not be"
                   " compiled", by_hand("apt", "install", "python3-bpfcc"))  # fmt: skip
    else:
        yield fault("bcc", seen.bcc.message, "the program cannot be compiled, and no datapath made",
                    by_hand("apt", "install", "python3-bpfcc"))  # fmt: skip
    if seen.warm:
        yield ok("compile cache", f"{seen.cache}: all that is needed is in it")
    elif seen.writable:
        yield ok("compile cache", f"{seen.cache}: the first datapath compiles")
    else:
        yield note("compile cache", f"{seen.cache} cannot be written", "each datapath is compiled anew",
                   Mend(command="export XDG_CACHE_HOME=$HOME/.cache"))  # fmt: skip


# --- Python packages ---------------------------------------------------------------------------------


def look_at_packages() -> dict[str, str]:
    """The version of each package that is installed."""
    found = {}
    for package in PACKAGES:
        try:
            found[package.name] = importlib.metadata.version(package.name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def judge_packages(seen: dict[str, str]) -> Iterable[Finding]:
    """Those that commands import when they need them."""
    for package in PACKAGES:
        version = seen.get(package.name, "")
        if version and f"{version}.".startswith(f"{package.series}." if package.series else ""):
            yield ok(package.name, version)
        else:
            yield fault(package.name, version or "not installed", package.consequence,
                        by_hand("pip", "install", package.requirement))  # fmt: skip


CHECKS: Final = (
    Check("toolchain", "libbpf", look_at_libbpf, judge_libbpf),
    Check("toolchain", "bcc", look_at_compiler, judge_compiler),
    Check("toolchain", "packages", look_at_packages, judge_packages),
)
