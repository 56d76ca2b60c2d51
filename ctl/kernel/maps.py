"""Every map of a datapath: its type, layout, size, and how it is opened.

What each is for, who writes it and who reads it stands in bpf/maps.h.  Names and numbers are those of
enum map_id, layouts those of bpf/abi.h; BTF types go along, so that bpftool shows names.
"""

from __future__ import annotations

import ctypes
import importlib.resources
import mmap
import os
import pathlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from ctl import abi
from ctl.abi import DpLimit, MapId
from ctl.kernel import libbpf
from ctl.kernel.structures import MapInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much a datapath can hold.  Fixed when it is made."""

    max_flows: int
    max_masks: int
    max_units: int = 0  # action units; 0: three for every two flows, and some for lists in their grace period

    def __post_init__(self) -> None:
        if not self.max_units:
            object.__setattr__(self, "max_units", 3 * self.max_flows // 2 + 4096)


@dataclass(frozen=True, slots=True, kw_only=True)
class MapSpec:
    """A map before it exists.  ``key`` and ``value`` name types of abi.h."""

    type: int
    key: str = "__u32"
    value: str
    entries: Callable[[Sizes], int]
    flags: int = 0
    with_btf: bool = True

    @property
    def mapped(self) -> bool:
        """Userspace reads and writes it as memory."""
        return bool(self.flags & libbpf.F_MMAPABLE)


_CHANGE_CELLS: Final = 8192
_SCALAR_SIZES: Final = {"__u8": 1, "__u16": 2, "__u32": 4, "__u64": 8}


def _one(_: Sizes) -> int:
    return 1


def _ports(_: Sizes) -> int:
    return DpLimit.DP_MAX_PORTS


def _meters(_: Sizes) -> int:
    return DpLimit.DP_MAX_METERS


def _flows(sizes: Sizes) -> int:
    return sizes.max_flows


def change_cells(max_flows: int) -> int:
    """Cells of the change log: one for every 16 flows, and enough to be of use to a small datapath."""
    return max(_CHANGE_CELLS, max_flows // 16)


def _array(value: str, entries: Callable[[Sizes], int]) -> MapSpec:
    return MapSpec(type=libbpf.MAP_ARRAY, value=value, entries=entries)


def _mapped(value: str, entries: Callable[[Sizes], int]) -> MapSpec:
    return MapSpec(type=libbpf.MAP_ARRAY, value=value, entries=entries, flags=libbpf.F_MMAPABLE)


def _per_cpu(value: str, entries: Callable[[Sizes], int]) -> MapSpec:
    return MapSpec(type=libbpf.MAP_PERCPU_ARRAY, value=value, entries=entries)


def _without_btf(map_type: int, value: str, entries: Callable[[Sizes], int]) -> MapSpec:
    """A map of a type that the kernel keeps no BTF for.  A ring has neither keys nor values."""
    return MapSpec(type=map_type, key="__u32" if value else "", value=value, entries=entries, with_btf=False)


def _table(key: str, value: str, entries: Callable[[Sizes], int]) -> MapSpec:
    return MapSpec(type=libbpf.MAP_HASH, key=key, value=value, entries=entries, flags=libbpf.F_NO_PREALLOC)


UPCALL_RING_SIZE: Final = 1 << 20  # bytes
SAMPLE_RING_SIZE: Final = 1 << 18

SPECS: Final[dict[MapId, MapSpec]] = {
    MapId.MAP_META: _array("dp_meta", _one),
    MapId.MAP_CONTROL: _mapped("dp_control", _one),
    MapId.MAP_MASKS: _mapped("mask_entry", lambda s: s.max_masks),
    MapId.MAP_FLOWS_S: _table("key_hot", "flow_ref", _flows),
    MapId.MAP_FLOWS_M: _table("key_hot_mid", "flow_ref", _flows),
    MapId.MAP_FLOWS_L: _table("key_hot_digest", "flow_ref", _flows),
    MapId.MAP_UFIDS: _table("ufid_key", "flow_ref", _flows),
    MapId.MAP_RECORDS: _mapped("flow_record", _flows),
    MapId.MAP_TAILS: _mapped("flow_tail", _flows),
    MapId.MAP_ACTIONS: _mapped("action_unit", lambda s: s.max_units),
    MapId.MAP_FREE_SLOTS: _mapped("__u32", _flows),
    MapId.MAP_PORTS: _without_btf(libbpf.MAP_DEVMAP, "__u32", _ports),
    MapId.MAP_PORT_OF: _mapped("port_place", lambda _: DpLimit.PORT_PLACES),
    MapId.MAP_PORT_INFO: _mapped("port_info", _ports),
    MapId.MAP_PORT_STATS: _per_cpu("port_stats", _ports),
    MapId.MAP_DP_STATS: _per_cpu("dp_stats", _one),
    MapId.MAP_SCRATCH: _per_cpu("scratch", _one),
    MapId.MAP_PROGRAMS: _without_btf(libbpf.MAP_PROG_ARRAY, "__u32", lambda _: abi.ProgramId.PROGRAMS),
    MapId.MAP_UPCALLS: _without_btf(libbpf.MAP_RINGBUF, "", lambda _: UPCALL_RING_SIZE),
    MapId.MAP_UPCALL_BUFFER: _per_cpu("upcall_buffer", _one),
    MapId.MAP_TC_PROGRAMS: _without_btf(libbpf.MAP_PROG_ARRAY, "__u32", lambda _: abi.ProgramId.PROGRAMS),
    MapId.MAP_TC_PORTS: _without_btf(libbpf.MAP_DEVMAP, "__u32", _ports),
    MapId.MAP_SAMPLES: _without_btf(libbpf.MAP_RINGBUF, "", lambda _: SAMPLE_RING_SIZE),
    MapId.MAP_NESTED_COPIES: _array("nested_copy", lambda _: libbpf.possible_cpus() * abi.CopyLimit.COPIES_WAITING),
    MapId.MAP_METERS: _array("meter_record", _meters),
    MapId.MAP_METER_COUNTERS: _mapped("meter_counters", _meters),
    MapId.MAP_CHANGES: _mapped("change", lambda s: change_cells(s.max_flows)),
}


def name_of(map_id: MapId) -> str:
    """The name of a map, in the kernel and of its pin: `flows_s`."""
    return map_id.name.removeprefix("MAP_").lower()


def size_of(type_name: str) -> int:
    """Bytes of a type of abi.h; none for no type."""
    if not type_name:
        return 0
    if type_name in _SCALAR_SIZES:
        return _SCALAR_SIZES[type_name]
    structure: type[ctypes.Structure] = getattr(abi, "".join(p.capitalize() for p in type_name.split("_")))
    return ctypes.sizeof(structure)


def create_all(sizes: Sizes) -> dict[MapId, int]:
    """Make every map; their fds.  OSError, and none is left, when one cannot be made."""
    fds: dict[MapId, int] = {}
    btf = libbpf.btf_load(importlib.resources.files("ctl").joinpath("abi.btf").read_bytes())
    try:
        for map_id, spec in SPECS.items():
            types = (btf, abi.BTF_IDS[spec.key], abi.BTF_IDS[spec.value]) if spec.with_btf else (0, 0, 0)
            fds[map_id] = libbpf.map_create(
                spec.type,
                name_of(map_id),
                size_of(spec.key),
                size_of(spec.value),
                spec.entries(sizes),
                spec.flags,
                types,
            )
    except BaseException:
        for fd in fds.values():
            os.close(fd)
        raise
    finally:
        os.close(btf)
    return fds


class Maps:
    """The maps of one datapath, opened from their pins when first asked for.

    ``memory`` gives the mapped ones as writable views of their whole extent, elements side by side.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder = folder
        self._fds: dict[MapId, int] = {}
        self._memory: dict[MapId, mmap.mmap] = {}

    def fd(self, map_id: MapId) -> int:
        """The map's file descriptor."""
        if map_id not in self._fds:
            self._fds[map_id] = libbpf.obj_get(str(self._folder / name_of(map_id)))
        return self._fds[map_id]

    def memory(self, map_id: MapId) -> mmap.mmap:
        """The elements of a mapped array."""
        if map_id not in self._memory:
            fd = self.fd(map_id)
            about = libbpf.info(fd, MapInfo)
            each = (about.value_size + 7) & ~7
            pages = -(-each * about.max_entries // mmap.PAGESIZE)
            self._memory[map_id] = mmap.mmap(fd, pages * mmap.PAGESIZE)
        return self._memory[map_id]

    def per_cpu(self, map_id: MapId, index: int, structure: type[Any]) -> list[Any]:
        """The element of a per-CPU array, one structure for each possible processor."""
        values = (structure * libbpf.possible_cpus())()
        libbpf.map_lookup(self.fd(map_id), ctypes.c_uint32(index), values)
        return list(values)

    def close(self) -> None:
        """Give up all descriptors, and the mappings with the last structure that lies in them."""
        for fd in self._fds.values():
            os.close(fd)
        self._memory.clear()
        self._fds.clear()


def port_info(maps: Maps, number: int) -> Any:
    """What the program knows of a port, copied: an abi.PortInfo."""
    return abi.PortInfo.from_buffer_copy(maps.memory(MapId.MAP_PORT_INFO), number * ctypes.sizeof(abi.PortInfo))
