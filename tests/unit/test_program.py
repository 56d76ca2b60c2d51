"""Bytecode, maps and layouts, as far as they can be checked without a kernel."""

import ctypes
import struct

import pytest

from ctl import abi
from ctl.abi import MapId, SizeClass
from ctl.errors import Failure
from ctl.flow import FlowKey
from ctl.kernel import compile as compiler
from ctl.kernel import libbpf
from ctl.kernel.maps import SPECS, Sizes, name_of, size_of
from ctl.kernel.program import relocate
from ctl.kernel.records import RECORD_REST, key_for_table, size_class, table_key, ufid_key
from ctl.ufid import Ufid

EXIT = struct.pack("<BBhi", 0x95, 0, 0, 0)


def load_map(number, register=1):
    """The two halves of a load of a 64-bit constant that is a map."""
    return struct.pack("<BBhi", 0x18, 1 << 4 | register, 0, number) + bytes(8)


def load_constant(low, high):
    return struct.pack("<BBhiBBhi", 0x18, 2, 0, low, 0, 0, 0, high)


# --- relocation --------------------------------------------------------------------------------------


def test_every_map_number_becomes_a_descriptor():
    fds = {map_id: 100 + map_id for map_id in MapId}
    code = b"".join(load_map(map_id, register=map_id % 10) for map_id in MapId) + EXIT
    wanted = b"".join(load_map(100 + map_id, register=map_id % 10) for map_id in MapId) + EXIT
    assert relocate(code, fds) == wanted


def test_all_else_stays_as_it_is():
    # A constant that looks like a load of a map in its second half, and a number that is not one.
    code = load_constant(3, 0x1118) + load_constant(99, 0) + struct.pack("<BBhi", 0xB7, 0x11, 0, 5) + EXIT
    assert relocate(code, {}) == code


def test_the_second_half_of_a_constant_is_not_taken_for_an_instruction():
    second = struct.pack("<BBhi", 0x18, 0x11, 0, 99)
    code = struct.pack("<BBhi", 0x18, 2, 0, 0) + second + EXIT
    assert relocate(code, {}) == code


@pytest.mark.parametrize("number", [-1, len(MapId), 1 << 20])
def test_a_number_that_is_no_map_is_refused(number):
    with pytest.raises(Failure, match=str(number)):
        relocate(load_map(number) + EXIT, dict.fromkeys(MapId, 3))


def test_a_map_that_was_not_made_is_refused():
    with pytest.raises(Failure, match="map 4"):
        relocate(load_map(MapId.MAP_FLOWS_M), {MapId.MAP_FLOWS_S: 3})


# --- maps --------------------------------------------------------------------------------------------


def test_every_map_of_the_layout_is_described():
    assert set(SPECS) == set(MapId)
    assert len({name_of(map_id) for map_id in MapId}) == len(MapId)


@pytest.mark.parametrize("map_id", MapId)
def test_a_map_has_room_and_a_layout(map_id):
    spec = SPECS[map_id]
    assert len(name_of(map_id)) <= 15, "the kernel cuts longer names"
    has_elements = spec.type != libbpf.MAP_RINGBUF
    assert (size_of(spec.key) > 0) == has_elements
    assert (size_of(spec.value) > 0) == has_elements
    assert {spec.key, spec.value} - {""} <= set(abi.BTF_IDS)
    for sizes in (Sizes(max_flows=1, max_masks=1), Sizes(max_flows=1 << 24, max_masks=256)):
        assert 1 <= spec.entries(sizes) <= 1 << 25


def test_tables_hold_every_flow_and_there_are_units_for_each():
    sizes = Sizes(max_flows=1009, max_masks=31)
    tables = (MapId.MAP_FLOWS_S, MapId.MAP_FLOWS_M, MapId.MAP_FLOWS_L, MapId.MAP_UFIDS)
    for map_id in (*tables, MapId.MAP_RECORDS, MapId.MAP_TAILS, MapId.MAP_FREE_SLOTS):
        assert SPECS[map_id].entries(sizes) == 1009
    assert SPECS[MapId.MAP_MASKS].entries(sizes) == 31
    assert SPECS[MapId.MAP_ACTIONS].entries(sizes) > 1009
    assert SPECS[MapId.MAP_ACTIONS].entries(Sizes(max_flows=1009, max_masks=31, max_units=7)) == 7


def test_what_userspace_maps_are_plain_arrays():
    mapped = {name_of(map_id) for map_id, spec in SPECS.items() if spec.mapped}
    assert mapped == {
        "control", "masks", "records", "tails", "actions", "free_slots", "port_of", "port_info", "changes",
        "meter_counters",
    }  # fmt: skip
    assert all(SPECS[map_id].type == libbpf.MAP_ARRAY for map_id in MapId if SPECS[map_id].mapped)
    assert all(size_of(spec.value) % 8 == 0 or spec.value == "__u32" for spec in SPECS.values() if spec.mapped)


@pytest.mark.parametrize(
    ("name", "size"),
    [("__u32", 4), ("__u64", 8), ("key_hot", 64), ("key_hot_mid", 128), ("ufid_key", 17), ("flow_ref", 8)],
)
def test_size_of(name, size):
    assert size_of(name) == size


def test_size_of_an_unknown_type():
    with pytest.raises(AttributeError):
        size_of("flow_nonsense")


# --- records -----------------------------------------------------------------------------------------

REST = ("packets", "bytes", "used", "tcp_flags", "actions", "ufid", "generation", "state", "ufid_len", "clear_epoch",
        "size_class")  # fmt: skip


def test_the_format_of_records_is_the_layout():
    values = (1, 2, 3, b"\1\2\3\4\5\6\7\x08", 4, bytes(range(16)), 5, 2, 7, 8, 1)
    record = abi.FlowRecord.from_buffer_copy(bytes(abi.FlowRecord.packets.offset) + RECORD_REST.pack(*values))
    for name, value in zip(REST, values, strict=True):
        got = getattr(record, name)
        assert (bytes(got) if isinstance(value, bytes) else got) == value, name
    assert [name for name, *_ in abi.FlowRecord._fields_] == ["key", *REST]
    assert abi.FlowRecord.packets.offset + RECORD_REST.size == ctypes.sizeof(abi.FlowRecord)


@pytest.mark.parametrize(
    ("leaf", "size"),
    [("in_port", "S"), ("l2_kind", "S"), ("ipv6_src", "M"), ("tun_id", "M"), ("nd_target", "L"), ("tun_opts", "L")],
)
def test_the_class_of_a_mask_is_its_last_part(leaf, size):
    assert size_class(FlowKey.of(**{leaf: 1})) == SizeClass[f"SIZE_{size}"]
    assert size_class(FlowKey.of(**{leaf: 1}).with_leaves(in_port=1)) == SizeClass[f"SIZE_{size}"]


def test_keys_of_tables():
    key = key_for_table(FlowKey.of(in_port=1, ipv6_src=2), 0x0102)
    assert key[:4] == b"\x02\x01\x01\x00"
    assert table_key(SizeClass.SIZE_S, key) == (MapId.MAP_FLOWS_S, key[:64])
    assert table_key(SizeClass.SIZE_M, key) == (MapId.MAP_FLOWS_M, key[:128])


@pytest.mark.parametrize("size", range(1, 17))
def test_the_key_of_a_ufid_has_its_length(size):
    raw = abi.UfidKey.from_buffer_copy(ufid_key(Ufid(b"\xff" * size)))
    assert (bytes(raw.octets), raw.len) == (b"\xff" * size + bytes(16 - size), size)


# --- the cache of compiled programs ------------------------------------------------------------------


@pytest.fixture
def sources(tmp_path):
    (tmp_path / "kernel").mkdir()
    for name in ("main.c", "a.h", "kernel/b.h"):
        (tmp_path / name).write_text(f"/* {name} */\n", encoding="ascii")
    return tmp_path


def name_for(folder, main="main.c", defines=()):
    return compiler._cache_name(folder, main, defines)


@pytest.mark.parametrize("name", ["main.c", "a.h", "kernel/b.h"])
def test_the_name_in_the_cache_changes_with_every_source(sources, name):
    before = name_for(sources)
    assert name_for(sources) == before
    path = sources / name
    path.write_text(path.read_text(encoding="ascii") + "\n", encoding="ascii")
    assert name_for(sources) != before


def test_the_name_in_the_cache_changes_with_what_is_asked_for(sources):
    names = {
        name_for(sources),
        name_for(sources, defines=("A",)),
        name_for(sources, defines=("A", "B")),
        name_for(sources, defines=("A=B",)),
        name_for(sources, main="a.h"),
    }
    assert len(names) == 5


def test_the_name_in_the_cache_changes_with_a_new_and_a_renamed_source(sources, monkeypatch):
    first = name_for(sources)
    (sources / "c.h").write_text("", encoding="ascii")
    second = name_for(sources)
    (sources / "c.h").rename(sources / "d.h")
    third = name_for(sources)
    (sources / "d.h").rename(sources / "d.txt")
    assert name_for(sources) == first, "files of other kinds do not count"
    monkeypatch.setattr(compiler, "_toolchain", lambda: ["another"])
    assert len({first, second, third, name_for(sources)}) == 4


def test_what_is_stored_is_read_and_what_is_damaged_is_not(tmp_path, monkeypatch):
    monkeypatch.setattr(compiler, "caches", lambda: [tmp_path / "cache"])
    compiler._store("x.bpf", EXIT)
    path = tmp_path / "cache" / "x.bpf"
    raw = path.read_bytes()
    assert compiler._read(path) == EXIT
    for bad in (raw[:-1], raw + b"\0", b"", raw[:3], b"\0" + raw[1:]):
        path.write_bytes(bad)
        assert compiler._read(path) is None
    assert compiler._read(tmp_path / "none") is None
    assert [p.name for p in (tmp_path / "cache").iterdir()] == ["x.bpf"]
