"""What the running kernel's type information says of its own structures and functions."""

from __future__ import annotations

import contextlib
import ctypes
import pathlib
from collections.abc import Iterator
from ctypes import c_char_p, c_int32, c_uint32, c_void_p
from typing import Any, Final

from ctl.errors import NotFound, NotSupported

KERNEL: Final = pathlib.Path("/sys/kernel/btf/vmlinux")
_STRUCT, _UNION, _FUNCTION = 4, 5, 12  # kinds of types
_HEAD: Final = 12  # bytes of struct btf_type, and of each struct btf_member behind it
_BIT_SIZED: Final = 1 << 31  # of a structure's info: offsets share their word with the sizes of bit fields


class KernelTypes:
    """The kernel's types, by `kernel_types`."""

    def __init__(self, lib: Any, btf: int) -> None:
        self._lib = lib
        self._btf = btf

    def function(self, name: str) -> int:
        """The number of a function.  NotFound."""
        return self._find(name, _FUNCTION)

    def offset(self, structure: str, member: str) -> int:
        """Where a member lies in a structure, in bytes.  NotFound."""
        bits = self._search(self._find(structure, _STRUCT), member)
        if bits is None:
            raise NotFound(f"the kernel's struct {structure} has no member {member}")
        return bits // 8

    def _search(self, number: int, member: str) -> int | None:
        """Where a member lies in a type, in bits; those of its members that have no name are looked into."""
        at = self._lib.btf__type_by_id(self._btf, number)
        info = c_uint32.from_address(at + 4).value
        if info >> 24 & 0x1F not in (_STRUCT, _UNION):
            return None
        for index in range(1, 1 + (info & 0xFFFF)):
            name, kind, offset = (c_uint32 * 3).from_address(at + index * _HEAD)
            bits = int(offset & 0xFFFFFF if info & _BIT_SIZED else offset)
            if name and self._lib.btf__name_by_offset(self._btf, name).decode() == member:
                return bits
            if not name and (inner := self._search(kind, member)) is not None:
                return bits + inner
        return None

    def _find(self, name: str, kind: int) -> int:
        number = self._lib.btf__find_by_name_kind(self._btf, name.encode(), kind)
        if number < 0:
            raise NotFound(f"the kernel has no {name}")
        return int(number)


@contextlib.contextmanager
def kernel_types() -> Iterator[KernelTypes]:
    """The kernel's types, within the block.  NotSupported where it was built without."""
    lib = _library()
    btf = lib.btf__parse(bytes(KERNEL), None) if KERNEL.exists() else None
    if not btf:
        raise NotSupported("this kernel has no type information", "CONFIG_DEBUG_INFO_BTF")
    try:
        yield KernelTypes(lib, btf)
    finally:
        lib.btf__free(btf)


def _library() -> Any:
    try:
        lib = ctypes.CDLL("libbpf.so.1")
    except OSError as e:
        raise NotSupported("libbpf.so.1 is not installed", "apt install libbpf1") from e
    for name, result, *arguments in (
        ("btf__parse", c_void_p, c_char_p, c_void_p),
        ("btf__free", None, c_void_p),
        ("btf__find_by_name_kind", c_int32, c_void_p, c_char_p, c_uint32),
        ("btf__type_by_id", c_void_p, c_void_p, c_uint32),
        ("btf__name_by_offset", c_char_p, c_void_p, c_uint32),
    ):
        function = getattr(lib, name)
        function.restype, function.argtypes = result, arguments
    return lib
