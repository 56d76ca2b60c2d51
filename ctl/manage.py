"""Whole datapaths and ports: the kernel's part together with the devices."""

from __future__ import annotations

from dataclasses import dataclass

from ctl.datapath import Port
from ctl.errors import Absent, Failure, UsageError
from ctl.kernel import attach, lifecycle
from ctl.kernel.datapath import KernelDatapath
from ctl.kernel.maps import Sizes
from ctl.netns import NetNs


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """A new port, and what was or could not be done to make its device fit for XDP."""

    port: Port
    done: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


def add_datapath(name: str, sizes: Sizes, namespace: NetNs, timeout_s: float = 10.0) -> None:
    """Make a datapath with its local port, whose ports are to live in ``namespace``.

    Exists, UsageError, NotPermitted; nothing remains on any error.
    """
    from ctl.ports import create_local_port, delete_local_port

    made = False
    try:
        with lifecycle.creating(name, sizes, namespace, timeout_s) as datapath:
            local = create_local_port(namespace, name)
            made = True
            attach.attach(datapath, local.port, local_name=local.stack)
    except BaseException:
        if made:
            delete_local_port(namespace, name)
        raise


def delete_datapath(name: str, timeout_s: float = 10.0) -> None:
    """Remove a datapath and its local port, or what an interrupted command left of them.  Absent."""
    from ctl.ports import delete_local_port

    namespace = None
    try:
        with KernelDatapath(name) as datapath:
            namespace = datapath.netns
    except (Absent, Failure):
        pass  # half made, of another version, or its namespace and so its devices are gone
    lifecycle.destroy(name, timeout_s)
    if namespace is not None:
        delete_local_port(namespace, name)


def add_port(  # noqa: PLR0913 - the last two are options, by keyword only
    datapath: KernelDatapath,
    device: str,
    number: int | None,
    namespace: NetNs | None,
    *,
    tc_only: bool = False,
    force: bool = False,
) -> Added:
    """Make a device a port.  ``namespace``: where the caller says it is; None: the caller's own.

    ``tc_only`` leaves the device's offloads as they are.  UsageError for a device that is elsewhere, or that
    carries the default route unless ``force``.
    """
    from ctl.wiring import prepare_port

    home = datapath.netns
    where = namespace or NetNs.current()
    if where.inode != home.inode:
        raise UsageError(
            f"{device} is looked for in {where.name}, but the ports of {datapath.name} live in {home.name}",
            f"add netns={home.name}, and move the device there if need be: ip link set dev {device} netns ...",
        )
    home.ifindex(device)
    if home.default_route_device() == device and not force:
        raise UsageError(f"{device} carries the default route, which would be cut off", "--force does it all the same")
    ready = prepare_port(home, device, tc_only=tc_only)
    port = attach.attach(datapath, device, number, tc_only=tc_only)
    return Added(port=port, done=ready.done, problems=ready.problems)
