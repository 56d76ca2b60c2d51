"""What a flow costs in memory, by component.  Arithmetic over the layouts: nothing is measured here.

An element of a hash map that is not preallocated has a header of 48 bytes (struct htab_elem), its key and
its value, each a multiple of 8, and the link by which the kernel's allocator keeps free elements; kmalloc
rounds the sum up to one of its sizes.  Every table has a bucket of 16 bytes for each power of two that
holds ``max_flows``, whatever the classes of the flows, so the cost of a flow depends on the capacity and
is lowest just below a power of two.  Arrays cost what their values do.
"""

from __future__ import annotations

from typing import Final

from ctl.abi import SizeClass
from ctl.kernel.maps import Sizes, change_cells, size_of

LIMIT_BYTES: Final = 700  # for each flow of a full datapath of a million, all included
_ELEMENT_HEADER: Final = 48
_ALLOCATOR_LINK: Final = 8
_BUCKET: Final = 16
_TABLES: Final = 4  # classes S, M and L, and the UFID index
_KMALLOC_SIZES: Final = (8, 16, 32, 64, 96, 128, 192, 256, 512, 1024, 2048, 4096)

TABLE_KEYS: Final[dict[SizeClass, int]] = {
    SizeClass.SIZE_S: size_of("key_hot"),
    SizeClass.SIZE_M: size_of("key_hot_mid"),
    SizeClass.SIZE_L: size_of("key_hot_digest"),
}


def element_cost(key_size: int) -> int:
    """Bytes that one element of a hash map of flow references takes."""
    unpadded = _ELEMENT_HEADER + _multiple_of_8(key_size) + _multiple_of_8(size_of("flow_ref")) + _ALLOCATOR_LINK
    return next(size for size in _KMALLOC_SIZES if size >= unpadded)


def _multiple_of_8(size: int) -> int:
    return (size + 7) & ~7


def flow_cost(max_flows: int) -> dict[SizeClass, dict[str, float]]:
    """Bytes for each flow of a datapath that is full of flows of one class, all with a UFID.

    By component: ``element``, ``ufid_element``, ``buckets``, ``record``, ``tail``, ``actions``,
    ``free_slots``, ``changes``; their sum is the cost of a flow.  All action units are counted in.
    """
    units = Sizes(max_flows=max_flows, max_masks=1).max_units / max_flows
    n_buckets = 1 << (max_flows - 1).bit_length()
    shared = {
        "ufid_element": element_cost(size_of("ufid_key")),
        "buckets": _TABLES * _BUCKET * n_buckets / max_flows,
        "record": size_of("flow_record"),
        "tail": size_of("flow_tail"),
        "actions": units * size_of("action_unit"),
        "free_slots": size_of("__u32"),
        "changes": size_of("change") * change_cells(max_flows) / max_flows,
    }
    return {size: {"element": element_cost(key), **shared} for size, key in TABLE_KEYS.items()}
