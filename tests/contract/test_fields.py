"""The field table and the C layout name the same leaves."""

from ctl import abi, fields


def test_every_leaf_has_a_row_or_is_reserved():
    named = {row.leaf for row in fields.ROWS} | fields.IMPLIED_LEAVES
    assert named | fields.RESERVED_LEAVES == set(abi.KEY_LEAVES)
    assert not named & fields.RESERVED_LEAVES


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
