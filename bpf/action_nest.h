/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * action_nest.h - actions that have lists within: sample, clone, check_pkt_len, dec_ttl.
 *
 * Such a list is carried out on a copy of the packet, in one of three ways:
 *
 *	nothing follows it	no copy is needed: the packet itself goes on within
 *	it changes no header	the packet goes on within, and what it had is remembered in a nest
 *	it does			a copy is sent back in at the local port, where it goes on within the list
 *				after this packet's walk; what it has waits in a map.  Only on the tc hook
 *
 * The writer of the list says whether a list changes headers (enum action_flag), so it costs nothing here.  The XDP
 * hook is given no list that needs a copy.  dec_ttl's list is the packet's own rest, never a copy's.
 */
#ifndef UFID_ACTION_NEST_H
#define UFID_ACTION_NEST_H

#include "maps.h"
#include "rewrite.h"

/* Go on within a list, and come back to "after" with what the packet has now. */
INLINE long act_push_nest(hook_ctx *ctx, struct scratch *s, __u32 after)
{
	__u64 depth = opaque(s->depth);

	if (depth >= NESTING_MAX)
		return -1;
	s->nests[depth] = (struct nest){ .unit = after, .units_end = s->units_end, .cut = s->cut,
					 .dp_hash = s->dp_hash, .probability = s->probability,
					 .mark = hook_mark(ctx), .priority = hook_priority(ctx) };
	s->depth = depth + 1;
	return 0;
}

/* A list is at its end: go on behind the action that it is in.  0 when it was in none. */
INLINE int act_pop_nest(hook_ctx *ctx, struct scratch *s)
{
	__u64 depth = opaque(s->depth - 1);
	const struct nest *nest;

	if (!s->depth || depth >= NESTING_MAX)
		return 0;
	nest = &s->nests[depth];
	s->depth = depth;
	s->unit = nest->unit;
	s->units_end = nest->units_end;
	s->cut = nest->cut;
	s->dp_hash = nest->dp_hash;
	s->probability = nest->probability;
	hook_set_mark(ctx, nest->mark, ~0U);
	hook_set_priority(ctx, nest->priority, ~0U);
	return 1;
}

/* Keep what a copy needs that is to carry out the next "units" units; its number is s->let_go.  The place, or -1. */
INLINE long act_keep_copy(hook_ctx *ctx, struct scratch *s, __u32 units, __u32 probability)
{
	__u32 number = s->let_go + 1;
	__u32 place = bpf_get_smp_processor_id() * COPIES_WAITING + number % COPIES_WAITING;
	struct nested_copy *copy = map_at(MAP(MAP_NESTED_COPIES), place);

	if (!copy)
		return -1;
	s->let_go = number;
	copy->number = number;
	copy->bytes = hook_bytes(ctx);
	copy->unit = s->unit;
	copy->units_end = s->unit + units;
	copy->cut = s->cut;
	copy->probability = probability;
	copy->dp_hash = s->dp_hash;
	copy->recirc_id = s->recirc_id;
	copy->passes = s->passes;
	copy->slot = s->slot;
	copy->generation = s->generation;
	copy->actions = s->actions;
	copy->at = s->at;
	copy->key = s->key;
	return place;
}

/* A copy is to carry out the next "units" units, by itself and later. */
INLINE void act_let_go(hook_ctx *ctx, struct scratch *s, struct dp_stats *dp, __u32 units, __u32 probability)
{
	const struct port_info *local = map_at(MAP(MAP_PORT_INFO), 0);
	enum drop_reason reason = DROP_INTERNAL;
	long place = act_keep_copy(ctx, s, units, probability);

	s->copies++;
	if (local && place >= 0)
		reason = hook_send_nested(ctx, s, hook_device_of(0, local), place);
	if (reason)
		act_count(s, dp, act_drop(reason));
}

/*
 * Carry out a list of the next "units" units on a copy, and go on at "after".  -1 for a list that cannot be.
 */
INLINE long act_on_copy(hook_ctx *ctx, struct scratch *s, struct dp_stats *dp, __u32 units, __u32 after,
			__u32 probability, int changes)
{
	__u32 end = s->unit + units;

	if (HOOK_SENDS_COPIES && changes && after != s->units_end) {
		act_let_go(ctx, s, dp, units, probability);
		s->unit = after;
		return 0;
	}
	if (after != s->units_end && act_push_nest(ctx, s, after))
		return -1;
	s->units_end = end;
	s->probability = probability;
	return 0;
}

/* Whether a packet is one of so many of 2^32 - 1. */
INLINE int act_is_chosen(__u32 probability)
{
	const struct dp_control *control = map_at(MAP(MAP_CONTROL), 0);
	__u32 number;

	if (!probability || probability == 0xffffffff)
		return !!probability;
	number = control && control->luck ? control->luck - 1 : bpf_get_prandom_u32();
	return number <= probability;
}

/*
 * Whether a frame is longer than so many bytes.  An outer tag is not counted, as in the kernel datapath, and a frame
 * that is still to be cut into segments is as long as these.
 */
INLINE int act_is_longer(hook_ctx *ctx, const struct scratch *s, __u32 limit)
{
	__u64 size = hook_bytes(ctx), segment = hook_segment_size(ctx, s);
	__be16 type[3];

	if (segment && segment <= limit)
		return 0;
	if (!hook_tag(ctx).tpid && !hook_load(ctx, 12, type, sizeof(type)) &&
	    (type[0] == be16(ETHER_VLAN) || type[0] == be16(ETHER_QINQ)))
		size -= sizeof(struct vlan_header);
	return size > limit;
}

/*
 * One less TTL or hop limit.  1 when there is none to take, -1 when the header is cut short.  The type is the frame's
 * own, right before layer 3: labels may have come or gone since the key was made.
 */
INLINE long act_dec_ttl(hook_ctx *ctx, struct scratch *s)
{
	struct ipv4_header *ip = (void *)s->header;
	struct ipv6_header *ip6 = (void *)s->header;
	__u32 at = s->at.l3;
	__be16 type;

	if (!at || hook_load(ctx, at - sizeof(type), &type, sizeof(type)))
		return -1;
	if (type == be16(ETHER_IPV4)) {
		if (hook_load(ctx, at, ip, sizeof(*ip)))
			return -1;
		return rewrite_ipv4_ttl(ip) ? 1 : hook_store(ctx, at, ip, sizeof(*ip));
	}
	if (type == be16(ETHER_IPV6)) {
		if (hook_load(ctx, at, ip6, sizeof(*ip6)))
			return -1;
		return rewrite_ipv6_hop_limit(ip6) ? 1 : hook_store(ctx, at, ip6, sizeof(*ip6));
	}
	return 0;
}

/* dec_ttl: what follows, or its list, which is then the packet's rest. */
INLINE long act_ttl(hook_ctx *ctx, struct scratch *s, __u32 units)
{
	long expired = act_dec_ttl(ctx, s);

	if (expired < 0)
		return -1;
	if (!expired) {
		s->unit += units;
		return 0;
	}
	s->units_end = s->unit + units;
	s->copies = 0;
	s->at_end = DROP_TTL;
	return 0;
}

/* The actions that have lists within; 0, or -1 when they do not fit the frame. */
INLINE long act_nest(hook_ctx *ctx, struct scratch *s, struct dp_stats *dp, const struct action_unit *unit)
{
	__u32 first = unit->wide >> NESTED_FIRST_SHIFT, second = unit->wide >> NESTED_SECOND_SHIFT;
	__u32 after = s->unit + first + second, units = first, probability = s->probability;
	int changes = unit->flags & ACTION_FIRST_CHANGES;

	if (unit->type == ACTION_DEC_TTL)
		return act_ttl(ctx, s, first);
	if (unit->type == ACTION_SAMPLE) {
		probability = unit->arg;
		if (!act_is_chosen(probability)) {
			s->unit = after;
			return 0;
		}
	}
	if (unit->type == ACTION_CHECK_PKT_LEN && !act_is_longer(ctx, s, unit->arg)) {
		s->unit += first;
		units = second;
		changes = unit->flags & ACTION_SECOND_CHANGES;
	}
	return act_on_copy(ctx, s, dp, units, after, probability, changes);
}

/*
 * Go on with a copy that has come back: hook_resume left the place where it waited in recirc_id and its number in
 * dp_hash.  Its list is carried out if its flow still has it; the list's place is given to no other meanwhile.
 */
INLINE enum drop_reason act_resume(hook_ctx *ctx, struct scratch *s)
{
	const struct nested_copy *copy = map_at(MAP(MAP_NESTED_COPIES), s->recirc_id);
	const struct flow_record *flow;
	__s32 moved;

	if (!copy || copy->number != s->dp_hash)
		return DROP_DEFERRED;
	flow = map_at(MAP(MAP_RECORDS), copy->slot);
	if (!flow || flow->state != RECORD_LIVE || flow->generation != copy->generation ||
	    *(volatile const __u64 *)&flow->actions != copy->actions)
		return DROP_STALE_COPY;
	s->key = copy->key;
	s->at = copy->at;
	s->passes = copy->passes;
	s->recirc_id = copy->recirc_id;
	s->dp_hash = copy->dp_hash;
	s->slot = copy->slot;
	s->generation = copy->generation;
	s->actions = copy->actions;
	s->unit = copy->unit;
	s->units_end = copy->units_end;
	s->cut = copy->cut;
	s->probability = copy->probability;
	s->copies = 0;
	s->depth = 0;
	s->at_end = DROP_NONE;
	moved = hook_bytes(ctx) - copy->bytes;
	act_shift(s, moved);
	hook_call(ctx, PROGRAM_ACTIONS);
	return DROP_INTERNAL;
}

#endif
