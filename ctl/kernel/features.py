"""What this kernel can do, found out by trying, and what takes the place of what it cannot.

A feature is tried once in a process, when it is first asked for.  CTL_WITHOUT, a list of names divided by
commas, makes this program do without features that are there: what runs then is what runs on a kernel
that lacks them.
"""

from __future__ import annotations

import errno
import functools
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ctl import netlink
from ctl.errors import UsageError, VerifierError
from ctl.kernel import grace, libbpf
from ctl.netns import NetNs

VARIABLE: Final = "CTL_WITHOUT"
_NO_SUCH_DEVICE: Final = 0x7FFFFFFF
_LOOPBACK: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """A feature of the kernel.

    ``since`` is the first Linux that has it, ``instead`` what this program does without it.  ``tried``
    finds out whether it is there, and changes nothing.
    """

    name: str
    purpose: str
    since: str
    instead: str
    tried: Callable[[], bool]


def has(name: str) -> bool:
    """Whether the feature of that name can be used.  KeyError for a name that there is not."""
    return name not in switched_off() and is_there(name)


@functools.cache
def is_there(name: str) -> bool:
    """Whether this kernel has it, used or not."""
    return FEATURES[name].tried()


def switched_off() -> frozenset[str]:
    """What CTL_WITHOUT names.  UsageError when that is no feature."""
    names = frozenset(filter(None, os.environ.get(VARIABLE, "").split(",")))
    for name in sorted(names - FEATURES.keys()):
        raise UsageError(f"{VARIABLE} names {name!r}, which is no feature", "there are " + ", ".join(FEATURES))
    return names


def _program(*instructions: tuple[int, int, int, int]) -> bytes:
    return b"".join(struct.pack("<BBhi", *instruction) for instruction in instructions)


_RETURN_0: Final = ((0xB7, 0, 0, 0), (0x95, 0, 0, 0))
# r0 = 0; 1: may_goto 2f; goto 1b; 2: exit
_MAY_GOTO: Final = ((0xB7, 0, 0, 0), (0xE5, 0, 1, 0), (0x05, 0, -2, 0), (0x95, 0, 0, 0))


def _may_goto() -> bool:
    try:
        os.close(libbpf.prog_load(libbpf.PROG_XDP, "try_may_goto", _program(*_MAY_GOTO)))
    except (VerifierError, OSError):
        return False
    return True


def _tcx() -> bool:
    """A kernel that knows the kind of attachment misses the device; one that does not, the kind."""
    fd = libbpf.prog_load(libbpf.PROG_SCHED_CLS, "try_tcx", _program(*_RETURN_0))
    try:
        os.close(libbpf.link_create_tcx(fd, _NO_SUCH_DEVICE))
    except OSError as e:
        return e.errno == errno.ENODEV
    finally:
        os.close(fd)
    return True


def _xdp_features() -> bool:
    return netlink.xdp_features(NetNs.current(), _LOOPBACK) is not None


FEATURES: Final[dict[str, Feature]] = {
    feature.name: feature
    for feature in (
        Feature(
            name="tcx",
            purpose="links that attach the program of the tc hook and outlive processes",
            since="6.6",
            instead="filters of the clsact queueing discipline",
            tried=_tcx,
        ),
        Feature(
            name="may_goto",
            purpose="loops that the kernel bounds while they run, quick to verify",
            since="6.9",
            instead="counted loops, of which the verifier follows every round",
            tried=_may_goto,
        ),
        Feature(
            name="membarrier",
            purpose="waiting for a grace period with one system call",
            since="4.3, but for kernels with nohz_full processors",
            instead="replacing a map within a map, which waits as well",
            tried=grace.by_membarrier,
        ),
        Feature(
            name="xdp_features",
            purpose="asking a device whether it takes frames that XDP redirects to it",
            since="6.3",
            instead="a list of the drivers that do",
            tried=_xdp_features,
        ),
    )
}
