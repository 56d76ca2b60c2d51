/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * lookup.h - from a flow key to the flow that it hits: tuple-space search.
 *
 * Flows that share a mask form a subtable; all subtables of a size class live in one hash map, where
 * the mask's id is part of the key.  The search masks the packet's key with one mask after the other,
 * in rising order of their ids, and looks the result up.  The first hit wins, so among overlapping
 * flows the one with the lowest mask id does, in this layer and in every other.
 *
 * A hash hit is a hint.  The kernel recycles the elements of its hash maps at once: a program that
 * found the element of flow A may read the value of flow B that was inserted a moment later.  So the
 * record at the slot must agree with what was looked for, mask id and every compared bit; records
 * change only after a grace period, so that comparison is final.  After a mismatch the look-up is
 * done once more; a second mismatch counts as no hit.
 */
#ifndef UFID_LOOKUP_H
#define UFID_LOOKUP_H

#include "loop.h"
#include "maps.h"
#include "mask.h"

struct lookup {
	struct flow_record *flow;	/* NULL: no flow */
	__u32 masks_tried;
	__u32 stale;			/* hash hits that the record refused */
};

/* The record that the flow tables name for scratch->masked; not yet verified. */
INLINE struct flow_record *lookup_hint(struct scratch *s, const struct mask_entry *mask, __u32 *slot)
{
	const struct flow_ref *ref;

	if (mask->size_class == SIZE_S)
		ref = bpf_map_lookup_elem(MAP(MAP_FLOWS_S), &s->masked.hot);
	else
		ref = bpf_map_lookup_elem(MAP(MAP_FLOWS_M), &s->masked);
	if (!ref)
		return 0;
	*slot = ref->slot;
	return map_at(MAP(MAP_RECORDS), *slot);
}

INLINE int lookup_verify(const struct scratch *s, const struct mask_entry *mask,
			 const struct flow_record *flow, __u32 slot)
{
	const struct flow_tail *tail;

	if (mask_differs(&flow->key, &s->masked.hot, &mask->bits.hot))
		return 0;
	if (mask->size_class == SIZE_S)
		return 1;
	tail = map_at(MAP(MAP_TAILS), slot);
	return tail && !mask_differs(&tail->mid, &s->masked.mid, &mask->bits.mid);
}

INLINE struct flow_record *lookup_one(struct scratch *s, const struct mask_entry *mask, __u32 *stale)
{
	struct flow_record *flow;
	__u32 slot = 0;

#pragma unroll
	for (int attempt = 0; attempt < 2; attempt++) {
		flow = lookup_hint(s, mask, &slot);
		if (!flow)
			return 0;
		if (likely(lookup_verify(s, mask, flow, slot)))
			return flow;
		*stale += 1;
	}
	return 0;
}

/* Search s->key, all of it filled in, under the masks that the datapath has now. */
INLINE struct lookup lookup_flow(struct scratch *s)
{
	const struct dp_control *control = map_at(MAP(MAP_CONTROL), 0);
	struct lookup result = {};
	__u64 steps = 0, n = control ? control->n_masks : 0;

	s->mask_id = 0;
	while (loop_goes_on(steps, DP_MAX_MASKS) && s->mask_id < n) {
		__u32 id = s->mask_id++;
		const struct mask_entry *mask = map_at(MAP(MAP_MASKS), id);

		if (!mask)
			break;
		if (!mask->live)
			continue;
		result.masks_tried++;
		mask_part(&s->masked.hot, &s->key.hot, &mask->bits.hot);
		s->masked.hot.mask_id = id;
		if (mask->size_class != SIZE_S)
			mask_part(&s->masked.mid, &s->key.mid, &mask->bits.mid);
		result.flow = lookup_one(s, mask, &result.stale);
		if (result.flow)
			break;
	}
	return result;
}

#endif
