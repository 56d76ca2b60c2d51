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
 * change only after a grace period, so that comparison is final.  The first mismatch of a search is
 * looked up once more; a second one counts as no hit.
 */
#ifndef UFID_LOOKUP_H
#define UFID_LOOKUP_H

#include "digest.h"
#include "loop.h"
#include "maps.h"
#include "mask.h"

struct lookup {
	struct flow_record *flow;	/* NULL: no flow */
	__u32 masks_tried;
	__u32 stale;			/* 1: a hash hit was refused by the record */
};

/* What the flow tables say of scratch->masked: a slot, not yet verified.  NULL: nothing. */
INLINE const struct flow_ref *lookup_hint(struct scratch *s, const struct mask_entry *mask)
{
	const struct flow_ref *ref;

	if (mask->size_class == SIZE_S)
		ref = bpf_map_lookup_elem(MAP(MAP_FLOWS_S), &s->masked.hot);
	else if (mask->size_class == SIZE_M)
		ref = bpf_map_lookup_elem(MAP(MAP_FLOWS_M), &s->masked);
	else
		ref = bpf_map_lookup_elem(MAP(MAP_FLOWS_L), &s->digest);
	return ref;
}

INLINE int lookup_verify(const struct scratch *s, const struct mask_entry *mask,
			 const struct flow_record *flow, __u32 slot)
{
	const struct flow_tail *tail;

	if (mask_differs(&flow->key, &s->masked.hot, &mask->bits.hot, WORDS(struct key_hot)))
		return 0;
	if (mask->size_class == SIZE_S)
		return 1;
	tail = map_at(MAP(MAP_TAILS), slot);
	if (!tail || mask_differs(&tail->mid, &s->masked.mid, &mask->bits.mid, WORDS(struct key_mid)))
		return 0;
	return mask->size_class == SIZE_M ||
	       !mask_differs(&tail->cold, &s->masked.cold, &mask->bits.cold, WORDS(struct key_cold));
}

/* Fill in the key of the look-up under one mask. */
INLINE void lookup_mask(struct scratch *s, const struct mask_entry *mask, __u32 id)
{
	mask_words(&s->masked.hot, &s->key.hot, &mask->bits.hot, WORDS(struct key_hot));
	s->masked.hot.mask_id = id;
	if (mask->size_class == SIZE_S)
		return;
	mask_words(&s->masked.mid, &s->key.mid, &mask->bits.mid, WORDS(struct key_mid));
	if (mask->size_class == SIZE_M)
		return;
	mask_words(&s->masked.cold, &s->key.cold, &mask->bits.cold, WORDS(struct key_cold));
	s->digest.hot = s->masked.hot;
	digest_key(s->digest.digest, &s->masked);
}

/* Search s->key, all of it filled in, under the masks that the datapath has now. */
INLINE struct lookup lookup_flow(struct scratch *s)
{
	const struct dp_control *control = map_at(MAP(MAP_CONTROL), 0);
	struct lookup result = {};
	__u64 steps = 0, n = control ? control->n_masks : 0;

	s->mask_id = 0;
	s->retried = 0;
	s->tried = 0;
	while (loop_goes_on(steps, DP_MAX_MASKS + 1) && s->mask_id < n) {
		__u32 id = s->mask_id++, slot;
		const struct mask_entry *mask = map_at(MAP(MAP_MASKS), id);
		const struct flow_ref *ref;
		struct flow_record *flow;

		if (!mask)
			break;
		if (!mask->live)
			continue;
		s->tried++;
		lookup_mask(s, mask, id);
		ref = lookup_hint(s, mask);
		if (!ref)
			continue;
		slot = ref->slot;
		flow = map_at(MAP(MAP_RECORDS), slot);
		if (flow && lookup_verify(s, mask, flow, slot)) {
			s->slot = slot;
			result.flow = flow;
			break;
		}
		if (!s->retried) {		/* the record refused it: the same mask again */
			s->retried = 1;
			s->tried--;
			s->mask_id = id;
		}
	}
	result.masks_tried = s->tried;
	result.stale = s->retried;
	return result;
}

#endif
