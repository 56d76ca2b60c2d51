"""Reading the flow table of one datapath: records, masks, action lists, and the maps that lead to them.

Readers take no lock and never wait.  A record may be freed and filled again at any moment, so whoever
reads one checks its state and generation before and after; whoever follows a map to a record checks
that the record is the one that was asked for, as the program does.
"""

from __future__ import annotations

import ctypes
import functools
import struct
from collections.abc import Iterator
from typing import Any, Final

from ctl import abi
from ctl.abi import ActionRefBits, DpLimit, MapId, RecordState, SizeClass
from ctl.action import Actions
from ctl.flow import Flow, FlowId, FlowKey, FlowStats, Match, TerseFlow
from ctl.kernel import libbpf
from ctl.kernel.changelog import ChangeLog
from ctl.kernel.encode import decode
from ctl.kernel.maps import Maps, Sizes, change_cells, port_info
from ctl.kernel.ticks import Ticks
from ctl.kernel.units import UNIT_SIZE, run_class
from ctl.placement import why_not_xdp
from ctl.ufid import Ufid

RECORD_SIZE: Final = ctypes.sizeof(abi.FlowRecord)
TAIL_SIZE: Final = ctypes.sizeof(abi.FlowTail)
MASK_SIZE: Final = ctypes.sizeof(abi.MaskEntry)
HOT_SIZE: Final = ctypes.sizeof(abi.KeyHot)
MID_END: Final = ctypes.sizeof(abi.KeyHotMid)
KEY_SIZE: Final = ctypes.sizeof(abi.FlowKey)

# struct flow_record behind its key: packets, bytes, used, tcp_flags, actions, ufid, generation,
# state, ufid_len, clear_epoch, size_class.  Checked against the layout when the module is imported.
RECORD_REST: Final = struct.Struct("<QQQ8sQ16sIBBBB")
if HOT_SIZE + RECORD_REST.size != RECORD_SIZE:
    raise AssertionError("struct flow_record is not what this module reads")

_WORD: Final = (1 << 64) - 1
_DIGEST_FACTOR_0: Final = 0x9E3779B97F4A7C15
_DIGEST_FACTOR_1: Final = 0xC2B2AE3D27D4EB4F

_BASE_OFFSET: Final = abi.FlowTail.base_packets.offset
_STATE_OFFSET: Final = abi.FlowRecord.state.offset
_ACTIONS_OFFSET: Final = abi.FlowRecord.actions.offset
_REFERENCE: Final = struct.Struct("<Q")
_SERIAL_SHIFT: Final = int(ActionRefBits.ACTIONS_SERIAL_SHIFT)


def run_of(reference: int) -> tuple[int, int]:
    """Where a list begins, and how many units it has: enum action_ref_bits."""
    return reference & 0xFFFFFFFF, reference >> ActionRefBits.ACTIONS_UNITS_SHIFT & 0xFFFF


def reference_to(at: int, units: int, *, not_xdp: bool = False, serial: int = 0) -> int:
    """The reverse of `run_of`.  ``not_xdp``: XDP leaves packets of the flow to tc.

    ``serial``, of which 15 bits are kept: another number than that of the list that was there before.
    """
    flags = not_xdp << ActionRefBits.ACTIONS_NOT_XDP_SHIFT
    return at | units << ActionRefBits.ACTIONS_UNITS_SHIFT | flags | (serial & 0x7FFF) << _SERIAL_SHIFT


def placed(reference: int, *, not_xdp: bool) -> int:
    """The same list, to be executed on a hook."""
    bit = 1 << ActionRefBits.ACTIONS_NOT_XDP_SHIFT
    return reference | bit if not_xdp else reference & ~bit


def key_for_table(key: FlowKey, mask_id: int) -> bytes:
    """The bytes of a key as tables hold it: with the mask's id in its first two."""
    return mask_id.to_bytes(2, "little") + key.raw[2:]


def size_class(mask: FlowKey) -> SizeClass:
    """The smallest class that holds every one-bit of a mask."""
    if any(mask.raw[MID_END:]):
        return SizeClass.SIZE_L
    return SizeClass.SIZE_M if any(mask.raw[HOT_SIZE:MID_END]) else SizeClass.SIZE_S


class RecordReader:
    """Look-ups and decoding over the maps of a datapath.  Safe beside any writer."""

    def __init__(self, maps: Maps, sizes: Sizes) -> None:
        self.maps = maps
        self.sizes = sizes
        self._records = maps.memory(MapId.MAP_RECORDS)
        self._tails = maps.memory(MapId.MAP_TAILS)
        self._masks = maps.memory(MapId.MAP_MASKS)
        self._actions = maps.memory(MapId.MAP_ACTIONS)
        self.control = abi.DpControl.from_buffer(maps.memory(MapId.MAP_CONTROL))
        meta = abi.DpMeta()
        libbpf.map_lookup(maps.fd(MapId.MAP_META), ctypes.c_uint32(0), meta)
        self._ticks = Ticks(meta.tick_ns, meta.tick_zero_ns)
        self._mask_cache: dict[int, tuple[bytes, FlowKey]] = {}

    @functools.cached_property
    def log(self) -> ChangeLog:
        """The log of changes."""
        return ChangeLog(self.maps.memory(MapId.MAP_CHANGES), self.control, change_cells(self.sizes.max_flows))

    # --- structures in place ---------------------------------------------------------------------

    def record(self, slot: int) -> Any:
        """The record at a slot, in place: an abi.FlowRecord."""
        return abi.FlowRecord.from_buffer(self._records, slot * RECORD_SIZE)

    def tail(self, slot: int) -> Any:
        """The rest of the record, in place: an abi.FlowTail."""
        return abi.FlowTail.from_buffer(self._tails, slot * TAIL_SIZE)

    def mask_entry(self, mask_id: int) -> Any:
        """A mask's entry, in place: an abi.MaskEntry."""
        return abi.MaskEntry.from_buffer(self._masks, mask_id * MASK_SIZE)

    # --- decoding --------------------------------------------------------------------------------

    def mask(self, mask_id: int) -> FlowKey:
        """The bits of a mask."""
        raw = self._masks[mask_id * MASK_SIZE : mask_id * MASK_SIZE + KEY_SIZE]
        cached = self._mask_cache.get(mask_id)
        if cached and cached[0] == raw:
            return cached[1]
        mask = FlowKey(b"\0\0" + raw[2:])
        self._mask_cache[mask_id] = (raw, mask)
        return mask

    def flow(self, slot: int) -> Flow | None:
        """The flow at a slot; None when none is live there, or it went away while being read."""
        record = self.record(slot)
        while record.state == RecordState.RECORD_LIVE:
            before = record.generation, record.actions
            try:
                flow = self._decode(slot)
            except (ValueError, KeyError, struct.error):
                flow = None  # the list's place was given to another meanwhile, else it is a fault
            if before == (record.generation, record.actions) and record.state == RecordState.RECORD_LIVE:
                return flow or self._decode(slot)
        return None

    def terse(self, slot: int) -> TerseFlow | None:
        """Name and statistics of the flow at a slot; None as for `flow`.

        Of a flow with UFID nothing else is read: the halves of the record and its tail behind the key.
        """
        record = self.record(slot)
        while record.state == RecordState.RECORD_LIVE:
            before = record.generation
            flow = self._decode_terse(slot)
            if before == record.generation and record.state == RecordState.RECORD_LIVE:
                return flow
        return None

    def _decode_terse(self, slot: int) -> TerseFlow:
        base = struct.unpack_from("<QQ", self._tails, slot * TAIL_SIZE + _BASE_OFFSET)  # first, as in `_decode`
        rest = RECORD_REST.unpack_from(self._records, slot * RECORD_SIZE + HOT_SIZE)
        ufid, generation, ufid_len = rest[5][: rest[8]], rest[6], rest[8]
        return TerseFlow(
            who=Ufid(ufid) if ufid_len else self.key(slot), stats=self._stats(rest, base), generation=generation
        )

    def _stats(self, rest: tuple[Any, ...], base: tuple[int, int]) -> FlowStats:
        """The counters of a record less those that CLEAR has seen.  ``rest`` is of RECORD_REST."""
        packets, n_bytes, used, flags, *_, epoch, _ = rest
        return FlowStats(
            packets=packets - base[0],
            bytes=n_bytes - base[1],
            used_ms=self._ticks.time_ns(used) // 1_000_000 if packets - base[0] else None,
            tcp_flags=sum(1 << bit for bit, seen in enumerate(flags) if seen == epoch),
        )

    def final(self, slot: int) -> Flow:
        """The flow at a slot that a writer has retired and not yet freed."""
        return self._decode(slot)

    def _decode(self, slot: int) -> Flow:
        """What is in the record now.  The base of the statistics is read before them, so it is not above them."""
        tail = self._tails[slot * TAIL_SIZE : (slot + 1) * TAIL_SIZE]
        raw = self._records[slot * RECORD_SIZE : (slot + 1) * RECORD_SIZE]
        rest = RECORD_REST.unpack_from(raw, HOT_SIZE)
        actions, ufid, generation, _, ufid_len = rest[4:9]
        listed = self.action_list(actions)
        return Flow(
            ufid=Ufid(ufid[:ufid_len]) if ufid_len else None,
            match=Match(
                key=FlowKey(b"\0\0" + raw[2:HOT_SIZE] + tail[:_BASE_OFFSET]),
                mask=self.mask(int.from_bytes(raw[:2], "little")),
            ),
            actions=listed,
            stats=self._stats(rest, struct.unpack_from("<QQ", tail, _BASE_OFFSET)),
            generation=generation,
            not_xdp=self.why_not_xdp(listed, actions),
        )

    def action_list(self, reference: int) -> Actions:
        """The list that a record's reference means."""
        at, units = run_of(reference)
        return decode(self._actions[at * UNIT_SIZE : (at + units) * UNIT_SIZE])

    def why_not_xdp(self, actions: Actions, reference: int) -> str | None:
        """Why XDP leaves packets with this list to tc, as its reference says that it does; None: it does not."""
        if not reference >> ActionRefBits.ACTIONS_NOT_XDP_SHIFT & 1:
            return None
        return why_not_xdp(actions, self.takes_redirects) or "output to a port that took nothing from XDP"

    def takes_redirects(self, port: int) -> bool:
        """Whether what XDP sends to a port arrives there, or would if there were such a port."""
        return port >= DpLimit.DP_MAX_PORTS or not port_info(self.maps, port).no_redirect

    def list_of(self, slot: int, generation: int, reference: int) -> Actions | None:
        """The list that a flow had when it was hit; None when it has another by now, or is gone.

        As long as the flow has it, the list's place is given to no other.
        """
        record = self.record(slot)
        try:
            actions = self.action_list(reference)
        except (ValueError, KeyError, struct.error):
            return None
        now = record.state, record.generation, record.actions
        return actions if now == (RecordState.RECORD_LIVE, generation, reference) else None

    # --- finding ---------------------------------------------------------------------------------

    def live_slots(self) -> Iterator[int]:
        """Every slot that holds a flow, rising."""
        yield from self.slots_in(RecordState.RECORD_LIVE, self.control.high_slot)

    def slots_in(self, state: RecordState, end: int) -> Iterator[int]:
        """Every slot below ``end`` whose record is in that state, as of now."""
        with memoryview(self._records) as view, view[_STATE_OFFSET : end * RECORD_SIZE : RECORD_SIZE] as column:
            states = column.tobytes()
        at = states.find(state)
        while at >= 0:
            yield at
            at = states.find(state, at + 1)

    def units_in_use(self) -> int:
        """How many action units the lists of all flows take, with what rounding up to a run's size costs."""
        references = (
            _REFERENCE.unpack_from(self._records, slot * RECORD_SIZE + _ACTIONS_OFFSET) for slot in self.live_slots()
        )
        return sum(1 << run_class(units) for (reference,) in references if (units := run_of(reference)[1]))

    def live_masks(self) -> list[int]:
        """The ids of the masks in use, rising."""
        return [i for i in range(self.control.n_masks) if self.mask_entry(i).live]

    def mask_id_of(self, mask: FlowKey) -> int | None:
        """The id of a live mask with exactly these bits."""
        return next((i for i in self.live_masks() if self.mask(i) == mask), None)

    def slot_of(self, who: FlowId) -> int | None:
        """The flow of that name."""
        return self.slot_of_key(who) if isinstance(who, FlowKey) else self.slot_of_ufid(who)

    def name_at(self, slot: int) -> FlowId:
        """The name of the flow whose record is at a slot."""
        record = self.record(slot)
        return Ufid(bytes(record.ufid[: record.ufid_len])) if record.ufid_len else self.key(slot)

    def named(self, who: FlowId) -> Flow | None:
        """The flow of that name."""
        slot = self.slot_of(who)
        return None if slot is None else self.flow(slot)

    def matching(self, match: Match) -> Flow | None:
        """The flow with that mask and masked key."""
        mask_id = self.mask_id_of(match.mask)
        slot = None if mask_id is None else self.slot_of_match(mask_id, match.masked)
        return None if slot is None else self.flow(slot)

    def hit_by(self, key: FlowKey) -> Flow | None:
        """The flow that a packet with this key hits: under the mask of lowest rank that has one."""
        for mask_id in self.live_masks():
            slot = self.slot_of_match(mask_id, key & self.mask(mask_id))
            if slot is not None:
                return self.flow(slot)
        return None

    def slot_of_ufid(self, ufid: Ufid) -> int | None:
        """The flow with that UFID."""
        for _ in range(2):
            slot = self._hint(MapId.MAP_UFIDS, ufid_key(ufid))
            if slot is None:
                return None
            record = self.record(slot)
            if bytes(record.ufid[: record.ufid_len]) == ufid.octets:
                return slot
        return None

    def slot_of_match(self, mask_id: int, masked: FlowKey) -> int | None:
        """The flow with that mask and masked key."""
        mask = self.mask(mask_id)
        wanted = masked.raw
        table, key = table_key(size_class(mask), key_for_table(masked, mask_id))
        for _ in range(2):
            slot = self._hint(table, key)
            if slot is None:
                return None
            if self.record(slot).key.mask_id == mask_id and (self.key(slot) & mask).raw == wanted:
                return slot
        return None

    def elements_of(self, slot: int) -> list[tuple[MapId, bytes]]:
        """The elements by which the flow at a slot is found, as (map, key): the UFID index's, if any, first."""
        record = self.record(slot)
        mask_id = record.key.mask_id
        mask = self.mask(mask_id)
        in_table = table_key(size_class(mask), key_for_table(self.key(slot) & mask, mask_id))
        ufid = [(MapId.MAP_UFIDS, bytes(record.ufid) + bytes((record.ufid_len,)))] if record.ufid_len else []
        return [*ufid, in_table]

    def about(self, slot: int) -> tuple[FlowId, Match]:
        """The name and the match of the flow at a slot, for who holds the lock."""
        return self.name_at(slot), Match(self.key(slot), self.mask(self.record(slot).key.mask_id))

    def slot_of_key(self, key: FlowKey) -> int | None:
        """The flow that has no UFID and was installed with that concrete key."""
        for mask_id in self.live_masks():
            slot = self.slot_of_match(mask_id, key & self.mask(mask_id))
            if slot is not None and not self.record(slot).ufid_len and self.key(slot) == key:
                return slot
        return None

    def key(self, slot: int) -> FlowKey:
        """The key in the record at a slot."""
        hot = self._records[slot * RECORD_SIZE + 2 : slot * RECORD_SIZE + HOT_SIZE]
        return FlowKey(b"\0\0" + hot + self._tails[slot * TAIL_SIZE : slot * TAIL_SIZE + _BASE_OFFSET])

    def _hint(self, map_id: MapId, key: bytes) -> int | None:
        ref = abi.FlowRef()
        return ref.slot if libbpf.map_lookup(self.maps.fd(map_id), key, ref) else None


def ufid_key(ufid: Ufid) -> bytes:
    """Struct ufid_key."""
    return ufid.octets.ljust(16, b"\0") + bytes((len(ufid.octets),))


def table_key(size: SizeClass, key: bytes) -> tuple[MapId, bytes]:
    """The flow table of a size class, and what stands there for a masked key."""
    if size == SizeClass.SIZE_S:
        return MapId.MAP_FLOWS_S, key[:HOT_SIZE]
    if size == SizeClass.SIZE_M:
        return MapId.MAP_FLOWS_M, key[:MID_END]
    return MapId.MAP_FLOWS_L, key[:HOT_SIZE] + digest(key[HOT_SIZE:])


def digest(parts: bytes) -> bytes:
    """What stands for the mid and cold parts of a masked key; the arithmetic of bpf/digest.h."""
    low, high = _DIGEST_FACTOR_1, _DIGEST_FACTOR_0
    for word in struct.unpack(f"<{len(parts) // 8}Q", parts):
        low = (low ^ word) * _DIGEST_FACTOR_0 & _WORD
        low ^= low >> 32
        high = (high + word) * _DIGEST_FACTOR_1 & _WORD
        high ^= high >> 29
    return struct.pack("<QQ", low, high)
