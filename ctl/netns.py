"""Network namespaces: names, entering and leaving, and the look-ups that need no netlink.

Owns every call of setns(2).  Only the network namespace is ever changed, and only that of the calling
thread: the mount namespace stays, so that pins under /sys/fs/bpf remain visible (``ip netns exec``
hides them).  Names are those of ``ip netns``: a bind mount under /run/netns.

Read-only commands come through here, so nothing expensive is imported: no pyroute2.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ctl.errors import Absent, Busy, CtlError, Exists, Failure, NotFound, NotPermitted, NotSupported, UsageError

RUN_DIR = Path("/run/netns")
_OWN = Path("/proc/thread-self/ns/net")
_MARK = Path("/run/ufid-datapath/netns_mounted")  # there when the mount at RUN_DIR is ours

_CLONE_NEWNET = 0x40000000
_MS_BIND, _MS_REC, _MS_SHARED = 0x1000, 0x4000, 0x100000
_MNT_DETACH = 2


def error_from_errno(code: int | None, doing: str, capability: str = "CAP_NET_ADMIN") -> CtlError:
    """The error for a system call or netlink request that failed with ``code`` while ``doing`` something."""
    if code == errno.EEXIST:
        return Exists(f"{doing}: it exists already", "choose another name, or delete that one first")
    what = f"{doing}: {os.strerror(code) if code is not None else 'no reason given'}"
    if code in (errno.EPERM, errno.EACCES):
        return NotPermitted(what, f"{capability} is missing: run it as root")
    kind, hint = _ERRORS.get(code, (Failure, ""))
    return kind(what, hint)


_LOOK = "ip -br link shows the devices of a namespace, ip netns the namespaces"
_ERRORS: dict[int | None, tuple[type[CtlError], str]] = {
    errno.ENODEV: (NotFound, _LOOK),
    errno.ENXIO: (NotFound, _LOOK),
    errno.ENOENT: (NotFound, _LOOK),
    errno.EINVAL: (UsageError, ""),
    errno.ERANGE: (UsageError, ""),
    errno.EADDRNOTAVAIL: (UsageError, ""),
    errno.EBUSY: (Busy, "try again"),
    errno.EAGAIN: (Busy, "try again"),
    errno.ETIMEDOUT: (Busy, "try again"),
    errno.EOPNOTSUPP: (NotSupported, ""),
}


class DeviceCounters(NamedTuple):
    """A line of /proc/net/dev, in its order (net/core/net-procfs.c, where some counters are sums of several)."""

    rx_bytes: int
    rx_packets: int
    rx_errors: int
    rx_dropped: int
    rx_overruns: int
    rx_frame: int
    rx_compressed: int
    rx_multicast: int
    tx_bytes: int
    tx_packets: int
    tx_errors: int
    tx_dropped: int
    tx_overruns: int
    collisions: int
    tx_carrier: int
    tx_compressed: int


@dataclass(frozen=True, slots=True)
class NetNs:
    """A network namespace by path.

    Two values with the same path may name different namespaces over time, and one namespace may have
    several paths: compare ``inode`` where identity matters.
    """

    path: Path

    @classmethod
    def named(cls, name: str) -> NetNs:
        """The namespace that ``ip netns`` calls ``name``.  It need not exist.  UsageError for a bad name."""
        if not name or "/" in name or name in (".", "..") or len(name) > 255:
            raise UsageError(f"{name!r} cannot be the name of a network namespace")
        return cls(RUN_DIR / name)

    @classmethod
    def current(cls) -> NetNs:
        """The namespace of the calling thread: by its name if it has one, else by its path in /proc.

        The path in /proc follows the thread: it means whatever namespace its reader is in.
        """
        inode = _OWN.stat().st_ino
        return next((ns for ns in cls.all_named() if ns.exists() and ns.inode == inode), cls(_OWN))

    @classmethod
    def all_named(cls) -> list[NetNs]:
        """Every namespace under /run/netns, in the order of the names."""
        with suppress(FileNotFoundError):
            return [cls(RUN_DIR / name) for name in sorted(os.listdir(RUN_DIR))]
        return []

    @property
    def name(self) -> str:
        """The name under /run/netns, else the whole path."""
        return self.path.name if self.path.parent == RUN_DIR else str(self.path)

    @property
    def inode(self) -> int:
        """The number that identifies the namespace while it lives.  Absent when there is none."""
        try:
            return self.path.stat().st_ino
        except FileNotFoundError:
            raise self._absent() from None

    def exists(self) -> bool:
        """Whether the path is a network namespace now, not merely a file that was to become one."""
        try:
            return self.path.stat().st_dev == _OWN.stat().st_dev
        except OSError:
            return False

    @contextmanager
    def enter(self) -> Iterator[None]:
        """The calling thread is in the namespace within the block, and back where it was after it.

        Sockets that are opened inside stay inside.  Entering the one we are in needs no capability.
        Absent, NotPermitted.
        """
        with _open(_OWN) as back, self.opened() as there:
            if os.path.sameopenfile(back, there):
                yield
                return
            try:
                _setns(there, self.name)
                yield
            finally:
                _setns(back, "the caller's own")

    @contextmanager
    def opened(self) -> Iterator[int]:
        """A file descriptor of the namespace, for calls that take one.  Absent."""
        if not self.exists():
            raise self._absent()
        with _open(self.path) as fd:
            yield fd

    def create(self) -> None:
        """Make a new, empty namespace of this name; its only device is a ``lo`` that is down.  Exists."""
        _prepare_run_dir()
        try:
            os.close(os.open(self.path, os.O_RDONLY | os.O_CREAT | os.O_EXCL, 0))
        except OSError as e:
            raise error_from_errno(e.errno, f"create network namespace {self.name}", "CAP_SYS_ADMIN") from e
        try:
            _in_new_thread(lambda: _make_and_mount(self.path))
        except BaseException:
            self.delete()
            raise

    def delete(self) -> bool:
        """Drop the name; False when there was none.  The namespace dies with its last socket and process."""
        result = _libc().umount2(os.fsencode(self.path), _MNT_DETACH)
        if result != 0 and (code := ctypes.get_errno()) not in (errno.EINVAL, errno.ENOENT):
            raise error_from_errno(code, f"delete network namespace {self.name}", "CAP_SYS_ADMIN")
        try:
            self.path.unlink()
        except FileNotFoundError:
            return False
        return True

    def ifindex(self, device: str) -> int:
        """The number of a device, valid in this namespace only.  NotFound, Absent."""
        with self.enter():
            try:
                return socket.if_nametoindex(device)
            except OSError:
                raise NotFound(f"no device {device} in {self.name}", "ip -br link shows those there are") from None

    def device_name(self, ifindex: int) -> str:
        """The name of the device with that number.  NotFound, Absent."""
        with self.enter():
            try:
                return socket.if_indextoname(ifindex)
            except OSError:
                raise NotFound(f"no device with ifindex {ifindex} in {self.name}") from None

    def devices(self) -> dict[str, int]:
        """Every device and its ifindex."""
        with self.enter():
            return {name: index for index, name in socket.if_nameindex()}

    def device_counters(self) -> dict[str, DeviceCounters]:
        """What the devices themselves count, by name."""
        with self.enter():
            lines = Path("/proc/thread-self/net/dev").read_text(encoding="ascii").splitlines()[2:]
        rows = (line.rpartition(":") for line in lines)
        return {name.strip(): DeviceCounters(*map(int, numbers.split())) for name, _, numbers in rows}

    def default_route_device(self) -> str | None:
        """The device that carries the IPv4 default route of lowest metric, or else that of IPv6."""
        with self.enter():
            return _ipv4_default() or _ipv6_default()

    def sysctl(self, key: str, value: int) -> None:
        """Set ``net.KEY`` of this namespace; components of ``key`` are separated by '/'.  NotFound."""
        with self.enter():
            try:
                Path("/proc/sys/net", key).write_text(str(value), encoding="ascii")
            except OSError as e:
                raise error_from_errno(e.errno, f"set sysctl net/{key} in {self.name}") from e

    def _absent(self) -> Absent:
        return Absent(f"no network namespace {self.name}", "ip netns lists those that have names")


@contextmanager
def _open(path: Path) -> Iterator[int]:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as e:
        raise error_from_errno(e.errno, f"open {path}", "CAP_SYS_ADMIN") from e
    try:
        yield fd
    finally:
        os.close(fd)


def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)


def _check(result: int, doing: str) -> None:
    if result != 0:
        raise error_from_errno(ctypes.get_errno(), doing, "CAP_SYS_ADMIN")


def _setns(fd: int, name: str) -> None:
    _check(_libc().setns(fd, _CLONE_NEWNET), f"enter network namespace {name}")


def _prepare_run_dir() -> None:
    """Make /run/netns a shared mount point, as ``ip netns`` does: deletions then reach every mount namespace."""
    libc = _libc()
    try:
        RUN_DIR.mkdir(mode=0o755, exist_ok=True)
    except OSError as e:
        raise error_from_errno(e.errno, f"create {RUN_DIR}", "CAP_SYS_ADMIN") from e
    target = os.fsencode(RUN_DIR)
    if libc.mount(b"", target, b"none", _MS_SHARED | _MS_REC, None) == 0:
        return
    _MARK.parent.mkdir(exist_ok=True)
    _MARK.touch()
    _check(libc.mount(target, target, b"none", _MS_BIND | _MS_REC, None), f"bind {RUN_DIR}")
    _check(libc.mount(b"", target, b"none", _MS_SHARED | _MS_REC, None), f"share {RUN_DIR}")


def in_throw_away(work: Callable[[], None]) -> None:
    """Run ``work`` in a network namespace that is made for it and goes with all that is in it.  NotPermitted."""

    def within() -> None:
        _check(_libc().unshare(_CLONE_NEWNET), "create a network namespace")
        work()

    _in_new_thread(within)


def release_run_dir() -> None:
    """Undo what the first `NetNs.create` did to /run/netns, when no name is left there."""
    if not _MARK.exists() or any(RUN_DIR.iterdir()):
        return
    libc = _libc()
    if libc.umount2(os.fsencode(RUN_DIR), 0) == 0:
        with suppress(OSError):
            RUN_DIR.rmdir()
        _MARK.unlink()
        with suppress(OSError):
            _MARK.parent.rmdir()


def _make_and_mount(path: Path) -> None:
    libc = _libc()
    _check(libc.unshare(_CLONE_NEWNET), f"create network namespace {path.name}")
    _check(libc.mount(os.fsencode(_OWN), os.fsencode(path), b"none", _MS_BIND, None), f"mount {path}")


def _in_new_thread(work: Any) -> None:
    """Run ``work`` in a thread of its own: its namespace changes with it and nobody has to go back.

    The work is over when this returns or raises, an interrupt included.
    """
    raised: list[BaseException] = []

    def body() -> None:
        try:
            work()
        except BaseException as e:  # noqa: BLE001 -- handed to the caller below
            raised.append(e)

    thread = threading.Thread(target=body, name="netns")
    thread.start()
    while thread.is_alive():
        try:
            thread.join()
        except BaseException as e:  # noqa: BLE001 -- raised below, when the work is over
            raised.append(e)
    if raised:
        raise raised[0]


def _ipv4_default() -> str | None:
    """Columns of /proc/net/route: device, destination, ..., metric (6), mask (7)."""
    rows = [line.split() for line in Path("/proc/thread-self/net/route").read_text(encoding="ascii").splitlines()[1:]]
    found = [(int(row[6]), row[0]) for row in rows if row[1] == row[7] == "00000000"]
    return min(found)[1] if found else None


def _ipv6_default() -> str | None:
    """Columns of /proc/net/ipv6_route: destination, its length, ..., metric (5, hex), device (9)."""
    try:
        text = Path("/proc/thread-self/net/ipv6_route").read_text(encoding="ascii")
    except FileNotFoundError:
        return None
    rows = [line.split() for line in text.splitlines()]
    found = [(int(r[5], 16), r[9]) for r in rows if r[0] == "0" * 32 and r[1] == "00" and r[9] != "lo"]
    return min(found)[1] if found else None
