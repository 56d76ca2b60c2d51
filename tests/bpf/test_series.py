"""The properties of tests/unit/test_series.py on the kernel datapath, and those that look into its maps."""

import pytest

from ctl.abi import MapId
from ctl.kernel.records import RECORD_REST, RecordReader
from ctl.ufid import Ufid
from tests.asking import OUT2, U1
from tests.bpf import cycles
from tests.bpf.audit import contents
from tests.bpf.harness import bench as make_bench
from tests.bpf.harness import numbered, numbered_v6, udp_frame
from tests.unit.test_series import (
    test_b01_a_name_that_is_not_the_key_does_all,
    test_b03_lists_and_removals_are_terse_by_default,
    test_b04_a_refusal_is_logged_with_its_reason_but_for_a_probe,
    test_b06_both_kinds_of_flow_are_in_one_table,
    test_b07_a_ufid_comes_back_with_its_length,
    test_b09_without_ufid_mask_and_flags_there_is_full_service,
    test_b10_the_key_is_masked_beside_a_ufid_and_concrete_without,
    test_b11_of_ufid_and_key_the_ufid_is_the_name,
    test_b12_one_kind_of_flow_is_not_found_by_the_other_s_name,
    test_b15_no_identifier_is_invented,
    test_b17_names_of_both_kinds_are_compared_in_one_way,
    test_b19_the_same_ufid_with_another_key_changes_nothing,
    test_b20_ufids_of_none_and_of_17_octets_are_not_stored,
    test_b21_a_key_flow_keeps_its_concrete_key,
    test_b22_a_key_flow_has_one_key_whatever_is_omitted,
    test_b23_a_wider_flow_whose_concrete_key_is_new_is_accepted,
)

__all__ = [
    "test_b01_a_name_that_is_not_the_key_does_all",
    "test_b03_lists_and_removals_are_terse_by_default",
    "test_b04_a_refusal_is_logged_with_its_reason_but_for_a_probe",
    "test_b06_both_kinds_of_flow_are_in_one_table",
    "test_b07_a_ufid_comes_back_with_its_length",
    "test_b09_without_ufid_mask_and_flags_there_is_full_service",
    "test_b10_the_key_is_masked_beside_a_ufid_and_concrete_without",
    "test_b11_of_ufid_and_key_the_ufid_is_the_name",
    "test_b12_one_kind_of_flow_is_not_found_by_the_other_s_name",
    "test_b15_no_identifier_is_invented",
    "test_b17_names_of_both_kinds_are_compared_in_one_way",
    "test_b19_the_same_ufid_with_another_key_changes_nothing",
    "test_b20_ufids_of_none_and_of_17_octets_are_not_stored",
    "test_b21_a_key_flow_keeps_its_concrete_key",
    "test_b22_a_key_flow_has_one_key_whatever_is_omitted",
    "test_b23_a_wider_flow_whose_concrete_key_is_new_is_accepted",
]


@pytest.mark.conformance("B2")
def test_b02_cycles_leave_nothing_behind():
    """Of 22 requests each; tests/long_cycles.py makes 100,000."""
    with make_bench(cycles.MAX_FLOWS, cycles.MAX_MASKS) as made:
        cycles.run(made.datapath, 80)


@pytest.mark.conformance("B5")
def test_b05_a_terse_dump_touches_neither_keys_masks_nor_actions(bench, datapath, monkeypatch):
    for number in range(11):
        datapath.flow_new(numbered(number), OUT2, Ufid(bytes((number,)) * 16))
        bench.run(udp_frame(0x0A000000 + number), repeat=number + 1)
    whole = [(flow.who, flow.stats, flow.generation) for flow in datapath.flow_dump()]

    def touched(*_):
        raise AssertionError("a terse dump looked at it")

    for name in ("key", "mask", "action_list", "_decode"):
        monkeypatch.setattr(RecordReader, name, touched)
    assert [(flow.who, flow.stats, flow.generation) for flow in datapath.flow_dump_terse()] == whole
    assert RECORD_REST.size + 16 == 80  # bytes read of a flow: behind its key, and what CLEAR has seen


@pytest.mark.conformance("B13")
@pytest.mark.parametrize("match", [numbered(1), numbered_v6(1)])
def test_b13_a_ufid_costs_an_element_of_the_index_and_no_second_key(datapath, match):
    where = {}
    for ufid in (None, Ufid(U1)):
        flow = datapath.flow_new(match, OUT2, ufid)
        where[ufid] = {e.map: (len(e.key), len(e.value)) for e in datapath.where(flow.who).elements}
        datapath.flow_del(flow.who)
    assert where[Ufid(U1)] == where[None] | {"ufids": (17, 8)}


@pytest.mark.conformance("B14")
def test_b14_rebuilding_loses_and_doubles_no_ufid(datapath):
    ufids = {Ufid(bytes((number, *U1[:15]))) for number in range(61)}
    for number, ufid in enumerate(sorted(ufids)):
        datapath.flow_new(numbered(number), OUT2, ufid)
    for ufid in sorted(ufids)[::7]:
        with datapath.hold() as writer:
            writer.recover()
            assert datapath.flow_del(ufid).ufid == ufid
        ufids.discard(ufid)
        assert sorted(datapath.ufids()) == sorted(ufids)
        index = contents(datapath, MapId.MAP_UFIDS)
        assert {key[:16] for key in index} == {ufid.octets for ufid in ufids}
        assert sorted(index.values()) == list(datapath.reader.live_slots())
