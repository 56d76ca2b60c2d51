"""The field table and the C layout name the same leaves."""

from ctl import abi, fields
from ctl.action import SETTABLE


def test_every_leaf_has_a_row_or_is_reserved():
    named = {row.leaf for row in fields.ROWS} | fields.IMPLIED_LEAVES
    assert named | fields.RESERVED_LEAVES == set(abi.KEY_LEAVES)
    assert not named & fields.RESERVED_LEAVES


def test_what_is_reserved_is_conntrack_tunnels_and_filling():
    for leaf in fields.RESERVED_LEAVES - {"mask_id"}:
        assert leaf.startswith(("ct_", "tun_")) or leaf.endswith("_zero"), leaf


def test_groups_repeat_their_sub_fields():
    for rows in fields.SECTIONS.values():
        groups = [[row.name for row in rows if row.group == group] for group in range(rows[-1].group + 1)]
        assert all(names == groups[0] for names in groups)
        assert [row.group for row in rows] == sorted(row.group for row in rows)


def test_packed_rows_fill_their_leaf_without_overlap():
    for rows in fields.SECTIONS.values():
        packed = [row for row in rows if row.packed]
        assert packed in ([], list(rows))
        if packed:
            assert len({row.leaf for row in packed}) == 1
            assert sum(row.full << row.shift for row in packed) == (1 << packed[0].leaf_bits) - 1


def test_actions_set_whole_sections():
    assert set(SETTABLE) <= set(fields.SECTIONS)
    assert {name for name in SETTABLE if any(row.packed for row in fields.SECTIONS[name])} == {"mpls"}


def test_rows_fit_their_leaves():
    for row in fields.ROWS:
        largest = row.full if row.limit is None else row.limit
        if row.leaf != "in_port":  # 32 bits in messages, and rule 13 limits it
            assert (largest << row.shift).bit_length() <= row.leaf_bits, row


def test_masks_convert_both_ways():
    for row in fields.ROWS:
        assert row.from_leaf_mask(row.to_leaf_mask(row.full)) == row.full, row
        assert row.to_leaf_mask(0) == row.from_leaf_mask(0) == 0, row
        if not row.packed:
            assert row.to_leaf_mask(row.full) == (1 << row.leaf_bits) - 1, row


def test_sections_and_unsupported_fields_are_disjoint():
    assert not set(fields.SECTIONS) & fields.NOT_YET
