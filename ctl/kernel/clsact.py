"""The program of the tc hook as a filter of clsact, where there are no tcx links.

A filter has no pin and no owner: it stays on its device until it is taken off, and keeps its program.  It
is known as ours by the program's id.  It comes first, so that no other filter sees a frame before it.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from typing import Final

from ctl import netlink
from ctl.abi import ClsactUse
from ctl.errors import CtlError, Exists, NotSupported
from ctl.kernel import libbpf
from ctl.netns import NetNs

HANDLE: Final = 1
PREFERENCE: Final = 1  # of filters the one with the lowest is asked first


def attach(program_fd: int, namespace: NetNs, device: str, ifindex: int) -> ClsactUse:
    """Run the program on all that a device receives.  Exists when another filter has its place; NotSupported."""
    with namespace.enter():
        try:
            made = libbpf.clsact_create(ifindex)
        except OSError as e:
            raise NotSupported(f"{device} takes no clsact: {os.strerror(e.errno or 0)}", "modprobe sch_ingress") from e
        try:
            libbpf.filter_attach(program_fd, ifindex, HANDLE, PREFERENCE)
        except OSError as e:
            if made:
                libbpf.clsact_delete(ifindex)
            if e.errno == errno.EEXIST:
                raise Exists(
                    f"{device} has a tc filter of preference {PREFERENCE} already",
                    f"tc filter del dev {device} ingress pref {PREFERENCE}, or ctl del-if there",
                ) from e
            raise NotSupported(f"{device} takes no tc program: {os.strerror(e.errno or 0)}", "modprobe cls_bpf") from e
    return ClsactUse.CLSACT_OWN if made else ClsactUse.CLSACT_FOUND


def is_attached(program_id: int, namespace: NetNs, ifindex: int) -> bool:
    """Whether a device runs that program on what it receives."""
    return any(found.program_id == program_id for found in netlink.filters(namespace, ifindex))


def detach(program_id: int, namespace: NetNs, ifindex: int, *, own: bool = False) -> bool:
    """Take the program off a device; False when it was not there.

    ``own``: clsact came with it, and goes when no other filter is left in it.
    """
    ours = [found for found in netlink.filters(namespace, ifindex) if found.program_id == program_id]
    with namespace.enter():
        for found in ours:
            libbpf.filter_detach(ifindex, found.handle, found.priority)
        if (
            ours
            and own
            and not any(netlink.filters(namespace, ifindex, side) for side in (netlink.INGRESS, netlink.EGRESS))
        ):
            libbpf.clsact_delete(ifindex)
    return bool(ours)


def detach_everywhere(program_id: int, namespaces: Iterable[NetNs]) -> int:
    """Take the program off every device of these namespaces; how many had it.  One that is gone has none."""
    count = 0
    for namespace in namespaces:
        try:
            count += sum(detach(program_id, namespace, ifindex) for ifindex in namespace.devices().values())
        except CtlError:
            continue
    return count
