"""Everything that must agree in the maps of a datapath that no writer is working on."""

import struct

from ctl import abi
from ctl.abi import MapId, RecordState
from ctl.kernel import bpffs, libbpf
from ctl.kernel.records import HOT_SIZE, MASK_SIZE, MID_END, key_for_table, run_of, size_class, table_key
from ctl.kernel.transaction import JOURNAL
from ctl.kernel.units import UNIT_SIZE, run_class

TABLES = {
    MapId.MAP_FLOWS_S: HOT_SIZE,
    MapId.MAP_FLOWS_M: MID_END,
    MapId.MAP_FLOWS_L: HOT_SIZE + 16,
    MapId.MAP_UFIDS: 17,
}


def contents(datapath, map_id):
    """A flow table or the UFID index, as slot by key."""
    fd, found, ref = datapath.maps.fd(map_id), {}, abi.FlowRef()
    for key in libbpf.map_keys(fd, TABLES[map_id]):
        if libbpf.map_lookup(fd, key, ref):
            found[key] = ref.slot
    return found


def numbers(datapath, map_id, count):
    """The first numbers of a free list."""
    return list(struct.unpack_from(f"<{count}I", datapath.maps.memory(map_id)))


def free_runs(datapath):
    """Every free run of action units below high_unit, as (index, how many)."""
    memory, found = datapath.maps.memory(MapId.MAP_ACTIONS), []
    for k, head in enumerate(datapath.reader.control.free_units):
        link = head
        while link:
            found.append((link - 1, 1 << k))
            (link,) = struct.unpack_from("<I", memory, (link - 1) * UNIT_SIZE)
    return found


def used_runs(datapath):
    """The runs of action units that live flows refer to, as (index, how many)."""
    reader = datapath.reader
    lists = [run_of(reader.record(slot).actions) for slot in reader.live_slots()]
    return sorted((at, 1 << run_class(units)) for at, units in lists if units)


def state_of(datapath):
    """All that a request which fails must leave as it was, comparable."""
    control = datapath.reader.control
    return {
        "tables": {map_id.name: contents(datapath, map_id) for map_id in TABLES},
        "free slots": numbers(datapath, MapId.MAP_FREE_SLOTS, control.n_free_slots),
        "units": used_runs(datapath),
        "masks": [bytes(datapath.reader.mask_entry(i)) for i in range(control.n_masks)],
        "live": list(datapath.reader.live_slots()),
        "flows": control.n_flows,
    }


def occupancy(datapath):
    """How much of everything is in use."""
    control = datapath.reader.control
    return {
        "tables": {map_id.name: len(contents(datapath, map_id)) for map_id in TABLES},
        "free slots": sorted(numbers(datapath, MapId.MAP_FREE_SLOTS, control.n_free_slots)),
        "units": sum(size for _, size in used_runs(datapath)),
        "masks": datapath.reader.live_masks(),
        "n_masks": control.n_masks,
        "flows": control.n_flows,
    }


def audit(datapath):
    """Fail unless records, tables, masks, free lists and counts all tell the same."""
    reader, sizes = datapath.reader, datapath.sizes
    states = {slot: reader.record(slot).state for slot in range(sizes.max_flows)}
    live = [slot for slot, state in states.items() if state == RecordState.RECORD_LIVE]
    assert set(states.values()) <= {RecordState.RECORD_FREE, RecordState.RECORD_LIVE}
    _audit_tables(datapath, live)
    _audit_masks(reader, sizes, live)
    control = reader.control
    free_slots = numbers(datapath, MapId.MAP_FREE_SLOTS, control.n_free_slots)
    assert sorted([*free_slots, *live]) == list(range(sizes.max_flows))
    _audit_units(datapath)
    assert control.n_flows == len(live)
    assert control.high_slot > max(live, default=-1)
    assert control.dirty == 0
    assert not (bpffs.folder(datapath.name) / JOURNAL).exists()
    assert control.change_generation <= control.generation


def _audit_units(datapath):
    """Used and free runs lie side by side, without gap or overlap, up to high_unit."""
    end = 0
    for at, size in sorted([*used_runs(datapath), *free_runs(datapath)]):
        assert at == end, "runs of action units overlap or leave a gap"
        end = at + size
    assert end == datapath.reader.control.high_unit <= datapath.sizes.max_units


def _audit_tables(datapath, live):
    reader = datapath.reader
    expected = {map_id: {} for map_id in TABLES}
    for slot in live:
        record = reader.record(slot)
        mask = reader.mask(record.key.mask_id)
        assert record.size_class == size_class(mask)
        table, key = table_key(size_class(mask), key_for_table(reader.key(slot) & mask, record.key.mask_id))
        assert key not in expected[table], "two flows have one match"
        expected[table][key] = slot
        if record.ufid_len:
            key = bytes(record.ufid) + bytes((record.ufid_len,))
            assert key not in expected[MapId.MAP_UFIDS], "two flows have one UFID"
            expected[MapId.MAP_UFIDS][key] = slot
            assert reader.key(slot) & mask == reader.key(slot), "a flow with a UFID keeps its masked key"
    for map_id, elements in expected.items():
        assert contents(datapath, map_id) == elements, map_id.name


def _audit_masks(reader, sizes, live):
    counts = dict.fromkeys(range(sizes.max_masks), 0)
    for slot in live:
        counts[reader.record(slot).key.mask_id] += 1
    entries = {mask_id: reader.mask_entry(mask_id) for mask_id in counts}
    assert {i: e.flows for i, e in entries.items() if e.live} == {i: n for i, n in counts.items() if n}
    in_use = [i for i, n in counts.items() if n]
    assert reader.control.n_masks == max(in_use, default=-1) + 1
    bits = [reader.mask(i) for i in in_use]
    assert len(set(bits)) == len(bits), "one mask has two ids"
    for i in in_use:
        assert entries[i].size_class == size_class(reader.mask(i))
        assert bytes(entries[i])[:2] == b"\xff\xff", "the mask's id is compared"
        assert len(bytes(entries[i])) == MASK_SIZE
