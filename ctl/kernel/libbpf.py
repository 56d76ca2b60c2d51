"""The calls of libbpf that the project uses, by ctypes.

Only libbpf's low-level functions are used: one system call each, an fd or zero on success, a negative
errno on failure, which becomes OSError here.  Structures of options follow libbpf 1.1's bpf.h; their
first member is their own size, so newer and older libraries agree on what is there.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import functools
import os
from collections.abc import Iterator, Sequence
from ctypes import POINTER, Structure, byref, c_char_p, c_int, c_size_t, c_uint32, c_uint64, c_void_p
from typing import Any, Final

from ctl.errors import NotSupported, VerifierError
from ctl.kernel.structures import LinkCreateOpts, MapBatchOpts, MapCreateOpts, ProgLoadOpts, TcHook, TcOpts, TestRunOpts

# enum bpf_map_type, enum bpf_prog_type, enum bpf_attach_type and flags of <linux/bpf.h>
MAP_HASH: Final = 1
MAP_ARRAY: Final = 2
MAP_PROG_ARRAY: Final = 3
MAP_PERCPU_ARRAY: Final = 6
MAP_DEVMAP: Final = 14
MAP_RINGBUF: Final = 27
PROG_SCHED_CLS: Final = 3
PROG_XDP: Final = 6
ATTACH_XDP: Final = 37
ATTACH_TCX_INGRESS: Final = 46
F_NO_PREALLOC: Final = 1 << 0
F_MMAPABLE: Final = 1 << 10
F_XDP_HAS_FRAGS: Final = 1 << 5
F_TEST_XDP_LIVE_FRAMES: Final = 1 << 1
XDP_SKB_MODE: Final = 1 << 1
XDP_DRV_MODE: Final = 1 << 2
NOEXIST: Final = 1
F_LOCK: Final = 4  # read or write an element whole, under the lock that is in it
_TC_INGRESS, _TC_EGRESS = 1 << 0, 1 << 1  # enum bpf_tc_attach_point of libbpf.h
LICENSE: Final = b"Dual BSD/GPL"

_LOG_SIZE: Final = 16 << 20


def _load() -> ctypes.CDLL:
    """The library, whose functions know their arguments.  NotSupported when it is not installed."""
    try:
        lib = ctypes.CDLL("libbpf.so.1", use_errno=True)
    except OSError as e:
        raise NotSupported("libbpf.so.1 is not installed", "apt install libbpf1") from e
    signatures: dict[str, tuple[Any, ...]] = {
        "bpf_map_create": (c_int, c_char_p, c_uint32, c_uint32, c_uint32, POINTER(MapCreateOpts)),
        "bpf_prog_load": (c_int, c_char_p, c_char_p, c_char_p, c_size_t, POINTER(ProgLoadOpts)),
        "bpf_btf_load": (c_char_p, c_size_t, c_void_p),
        "bpf_obj_pin": (c_int, c_char_p),
        "bpf_obj_get": (c_char_p,),
        "bpf_map_update_elem": (c_int, c_void_p, c_void_p, c_uint64),
        "bpf_map_lookup_elem": (c_int, c_void_p, c_void_p),
        "bpf_map_lookup_elem_flags": (c_int, c_void_p, c_void_p, c_uint64),
        "bpf_map_lookup_batch": (
            c_int,
            c_void_p,
            c_void_p,
            c_void_p,
            c_void_p,
            POINTER(c_uint32),
            POINTER(MapBatchOpts),
        ),
        "bpf_map_delete_elem": (c_int, c_void_p),
        "bpf_map_update_batch": (c_int, c_char_p, c_char_p, POINTER(c_uint32), c_void_p),
        "bpf_map_delete_batch": (c_int, c_char_p, POINTER(c_uint32), c_void_p),
        "bpf_map_get_next_key": (c_int, c_void_p, c_void_p),
        "bpf_link_create": (c_int, c_int, c_int, POINTER(LinkCreateOpts)),
        "bpf_link_detach": (c_int,),
        "bpf_tc_hook_create": (POINTER(TcHook),),
        "bpf_tc_hook_destroy": (POINTER(TcHook),),
        "bpf_tc_attach": (POINTER(TcHook), POINTER(TcOpts)),
        "bpf_tc_detach": (POINTER(TcHook), POINTER(TcOpts)),
        "bpf_prog_test_run_opts": (c_int, POINTER(TestRunOpts)),
        "bpf_obj_get_info_by_fd": (c_int, c_void_p, POINTER(c_uint32)),
        "libbpf_num_possible_cpus": (),
    }
    for name, arguments in signatures.items():
        function = getattr(lib, name)
        function.argtypes = arguments
        function.restype = c_int
    lib.libbpf_version_string.restype = c_char_p
    lib.libbpf_set_print(None)  # it would write to stderr what is said here as an error
    return lib


class _Library:
    """The library, loaded with the first call: a command that makes none works where it is not installed."""

    @functools.cached_property
    def _loaded(self) -> ctypes.CDLL:
        return _load()

    def __getattr__(self, name: str) -> Any:
        function = getattr(self._loaded, name)
        setattr(self, name, function)  # from now on nothing stands between the caller and the function
        return function


_lib = _Library()


def _checked(result: int, what: str) -> int:
    if result < 0:
        error = ctypes.get_errno() or -result
        raise OSError(error, f"{what}: {os.strerror(error)}")
    return result


def map_create(  # noqa: PLR0913, PLR0917 - one argument for each number that the kernel wants
    map_type: int,
    name: str,
    key_size: int,
    value_size: int,
    max_entries: int,
    flags: int = 0,
    btf: tuple[int, int, int] = (0, 0, 0),
    inner_map_fd: int = 0,
) -> int:
    """A new map's fd.  ``btf`` is (fd, key type id, value type id); zeros: none."""
    opts = MapCreateOpts(sz=ctypes.sizeof(MapCreateOpts), map_flags=flags, btf_fd=btf[0], btf_key_type_id=btf[1],
                          btf_value_type_id=btf[2], inner_map_fd=inner_map_fd)  # fmt: skip
    result = _lib.bpf_map_create(map_type, name.encode(), key_size, value_size, max_entries, byref(opts))
    return _checked(result, f"creating map {name}")


def prog_load(prog_type: int, name: str, instructions: bytes, flags: int = 0) -> int:
    """A loaded program's fd.  VerifierError with the verifier's log when the kernel refuses it."""

    def load(log: ctypes.Array[ctypes.c_char] | None) -> int:
        opts = ProgLoadOpts(sz=ctypes.sizeof(ProgLoadOpts), attempts=1, prog_flags=flags)
        if log is not None:
            opts.log_level, opts.log_size, opts.log_buf = 1, len(log), ctypes.addressof(log)
        return int(
            _lib.bpf_prog_load(prog_type, name.encode(), LICENSE, instructions, len(instructions) // 8, byref(opts))
        )

    result = load(None)
    if result >= 0:
        return result
    error = ctypes.get_errno() or -result
    log = ctypes.create_string_buffer(_LOG_SIZE)
    load(log)
    text = log.value.decode(errors="replace")
    if not text:
        raise OSError(error, f"loading program {name}: {os.strerror(error)}")
    lines = [line for line in text.splitlines() if line and not line.startswith(("processed ", "verification time"))]
    raise VerifierError(f"the kernel refuses program {name}: {lines[-1]} ({len(lines)} lines more)", text)


def btf_load(raw: bytes) -> int:
    """The fd of loaded BTF."""
    return _checked(_lib.bpf_btf_load(raw, len(raw), None), "loading BTF")


def obj_pin(fd: int, path: str) -> None:
    """Pin a map, program or link."""
    _checked(_lib.bpf_obj_pin(fd, path.encode()), f"pinning {path}")


def obj_get(path: str) -> int:
    """The fd of what is pinned there.  FileNotFoundError."""
    return _checked(_lib.bpf_obj_get(path.encode()), path)


@contextlib.contextmanager
def opened(path: str) -> Iterator[int]:
    """The fd of what is pinned there, within the block."""
    fd = obj_get(path)
    try:
        yield fd
    finally:
        os.close(fd)


def map_update(fd: int, key: Any, value: Any, flags: int = 0) -> None:
    """Write an element.  ``key`` and ``value`` are bytes or ctypes objects."""
    result = _lib.bpf_map_update_elem(fd, _pointer(key), _pointer(value), flags)
    if result < 0:
        _checked(result, "updating a map")


def map_lookup(fd: int, key: Any, value: Any, flags: int = 0) -> bool:
    """Read an element into ``value``, a ctypes object; False when there is none."""
    if flags:
        result = _lib.bpf_map_lookup_elem_flags(fd, _pointer(key), byref(value), flags)
    else:
        result = _lib.bpf_map_lookup_elem(fd, _pointer(key), byref(value))
    if result == 0:
        return True
    if ctypes.get_errno() == 2:  # ENOENT
        return False
    _checked(result, "reading a map")
    return False


def map_array(fd: int, structure: type[Structure], entries: int, flags: int = 0) -> ctypes.Array[Any]:
    """All elements of an array map, by one call; each is read whole with F_LOCK, all together are no snapshot."""
    opts = MapBatchOpts(sz=ctypes.sizeof(MapBatchOpts), elem_flags=flags)
    keys, values, count, at = (c_uint32 * entries)(), (structure * entries)(), c_uint32(entries), c_uint32()
    result = _lib.bpf_map_lookup_batch(fd, None, byref(at), keys, values, byref(count), byref(opts))
    if result < 0 and count.value != entries:  # ENOENT at the end says that there is no more
        _checked(result, "reading a map")
    return values


def map_delete(fd: int, key: Any) -> bool:
    """Remove an element; False when there was none."""
    result = _lib.bpf_map_delete_elem(fd, _pointer(key))
    if result == 0:
        return True
    if ctypes.get_errno() == 2:  # ENOENT
        return False
    _checked(result, "deleting from a map")
    return False


def map_update_batch(fd: int, keys: Sequence[bytes], values: Sequence[bytes]) -> tuple[int, OSError | None]:
    """Write elements in their order; how many were written, and what stopped it."""
    count = c_uint32(len(keys))
    result = _lib.bpf_map_update_batch(fd, b"".join(keys), b"".join(values), byref(count), None)
    return _batched(result, count, len(keys), "updating a map")


def map_delete_batch(fd: int, keys: Sequence[bytes]) -> tuple[int, OSError | None]:
    """Remove elements in their order; how many were removed, and what stopped it, such as one that is not there."""
    count = c_uint32(len(keys))
    result = _lib.bpf_map_delete_batch(fd, b"".join(keys), byref(count), None)
    return _batched(result, count, len(keys), "deleting from a map")


def _batched(result: int, count: Any, wanted: int, what: str) -> tuple[int, OSError | None]:
    if result >= 0:
        return wanted, None
    error = ctypes.get_errno() or -result
    return min(count.value, wanted), OSError(error, f"{what}: {os.strerror(error)}")


def map_keys(fd: int, key_size: int) -> list[bytes]:
    """Every key of a hash map.  Not a snapshot."""
    keys: list[bytes] = []
    here, following = ctypes.create_string_buffer(key_size), ctypes.create_string_buffer(key_size)
    at: Any = None
    while _lib.bpf_map_get_next_key(fd, at, following) == 0:
        keys.append(following.raw)
        ctypes.memmove(here, following, key_size)
        at = here
    return keys


def _pointer(value: Any) -> Any:
    return value if isinstance(value, bytes) else byref(value)


def link_create_xdp(prog_fd: int, ifindex: int, flags: int) -> int:
    """Attach an XDP program to a device of the caller's network namespace; the link's fd."""
    opts = LinkCreateOpts(sz=ctypes.sizeof(LinkCreateOpts), flags=flags)
    return _checked(_lib.bpf_link_create(prog_fd, ifindex, ATTACH_XDP, byref(opts)), "attaching")


def link_create_tcx(prog_fd: int, ifindex: int) -> int:
    """Attach a tc program to what a device of the caller's network namespace receives; the link's fd.  Linux 6.6."""
    opts = LinkCreateOpts(sz=ctypes.sizeof(LinkCreateOpts))
    return _checked(_lib.bpf_link_create(prog_fd, ifindex, ATTACH_TCX_INGRESS, byref(opts)), "attaching to tc")


def link_detach(fd: int) -> None:
    """Take the program off its device; the link remains, without effect."""
    _checked(_lib.bpf_link_detach(fd), "detaching")


def clsact_create(ifindex: int) -> bool:
    """Give a device the clsact queueing discipline; False when it has one."""
    hook = TcHook(sz=ctypes.sizeof(TcHook), ifindex=ifindex, attach_point=_TC_INGRESS)
    result = _lib.bpf_tc_hook_create(byref(hook))
    if -result == errno.EEXIST:
        return False
    _checked(result, "adding clsact")
    return True


def clsact_delete(ifindex: int) -> None:
    """Take clsact away, with every filter in it."""
    hook = TcHook(sz=ctypes.sizeof(TcHook), ifindex=ifindex, attach_point=_TC_INGRESS | _TC_EGRESS)
    _checked(_lib.bpf_tc_hook_destroy(byref(hook)), "removing clsact")


def filter_attach(prog_fd: int, ifindex: int, handle: int, priority: int) -> None:
    """Run a direct-action tc program on what a device of the caller's network namespace receives.  EEXIST."""
    hook = TcHook(sz=ctypes.sizeof(TcHook), ifindex=ifindex, attach_point=_TC_INGRESS)
    opts = TcOpts(sz=ctypes.sizeof(TcOpts), prog_fd=prog_fd, handle=handle, priority=priority)
    _checked(_lib.bpf_tc_attach(byref(hook), byref(opts)), "attaching to clsact")


def filter_detach(ifindex: int, handle: int, priority: int) -> None:
    """Undo `filter_attach`."""
    hook = TcHook(sz=ctypes.sizeof(TcHook), ifindex=ifindex, attach_point=_TC_INGRESS)
    opts = TcOpts(sz=ctypes.sizeof(TcOpts), handle=handle, priority=priority)
    _checked(_lib.bpf_tc_detach(byref(hook), byref(opts)), "detaching from clsact")


def info(fd: int, structure: type[Structure]) -> Any:
    """What the kernel says of a map, program or link: an instance of the given structure."""
    result = structure()
    size = c_uint32(ctypes.sizeof(result))
    _checked(_lib.bpf_obj_get_info_by_fd(fd, byref(result), byref(size)), "asking for information")
    return result


def test_run(prog_fd: int, opts: TestRunOpts) -> None:
    """BPF_PROG_TEST_RUN, in the caller's network namespace; results are in ``opts``."""
    opts.sz = ctypes.sizeof(opts)
    _checked(_lib.bpf_prog_test_run_opts(prog_fd, byref(opts)), "running a program")


def version() -> str:
    """Of the library: "1.1".  NotSupported when it is not installed."""
    return str(_lib.libbpf_version_string().decode().removeprefix("v"))


def possible_cpus() -> int:
    """How many values an element of a per-CPU map has."""
    return _checked(_lib.libbpf_num_possible_cpus(), "counting processors")
