/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * datapath.h - a packet's walk, the same on both hooks.
 *
 *	extract the key -> look the flow up -> account -> carry out its actions -> count the verdict
 *
 * Each hook has three programs: one for a new frame; one for actions other than a single output; one for
 * another pass after recirculation.  They call each other by tail call, and what they share is in the
 * scratch memory of their processor.
 *
 * Verifier: look-up and actions in one program are followed in all their combinations, 1,000,000
 * instructions and more; apart, each is a small part of that.
 */
#ifndef UFID_DATAPATH_H
#define UFID_DATAPATH_H

#include "action.h"
#include "lookup.h"
#include "port.h"
#include "stats.h"

/* Which part of the walk a program is. */
enum dp_part {
	DP_ENTER,
	DP_AGAIN,
	DP_ACTIONS,
};

/* A list that is one output is carried out here, any other in a program of its own. */
INLINE struct verdict dp_act(hook_ctx *ctx, struct scratch *s)
{
	const struct action_unit *unit = map_at(MAP(MAP_ACTIONS), s->unit);

	if (s->unit == s->units_end)
		return act_drop(DROP_ACTION);
	if (likely(unit && unit->type == ACTION_OUTPUT && s->unit + 1 == s->units_end))
		return act_output(ctx, s, unit->arg);
	act_begin_list(s);
	hook_call(ctx, PROGRAM_ACTIONS);
	return act_drop(DROP_INTERNAL);
}

/* A frame comes in once, before its first pass. */
INLINE void dp_count_arrival(const struct scratch *s)
{
	struct port_stats *port = stats_port(s->in_port);

	if (port && !s->passes) {
		port->rx_packets++;
		port->rx_bytes += s->size;
	}
}

/* The key of this pass: the frame's, and what the passes before left. */
INLINE enum drop_reason dp_extract(hook_ctx *ctx, struct scratch *s)
{
	struct cursor frame = hook_frame(ctx);

	if (key_extract(frame, s->in_port, hook_tag(ctx), &s->key, &s->at) != DROP_NONE)
		return DROP_SHORT_FRAME;
	hook_metadata(ctx, &s->key);
	s->key.hot.recirc_id = s->recirc_id;
	s->key.hot.dp_hash = s->dp_hash;
	return DROP_NONE;
}

/* One pass.  Of a frame that is handed over nothing is counted: the other hook looks it up again. */
INLINE struct verdict dp_pass(hook_ctx *ctx, struct scratch *s, struct dp_stats *dp)
{
	enum handed handed = HANDED_NOT;
	struct lookup found;

	s->size = hook_size(ctx);
	if (dp_extract(ctx, s) != DROP_NONE) {
		dp_count_arrival(s);
		return act_drop(DROP_SHORT_FRAME);
	}
	found = lookup_flow(s);
	if (found.flow) {
		act_begin(s, found.flow);
		handed = hook_hand_over(ctx, s);
	}
	if (handed == HANDED_ON)
		return act_end(HOOK_PASS);
	dp_count_arrival(s);
	dp->mask_hit += found.masks_tried;
	dp->stale += found.stale;
	if (!found.flow) {
		dp->missed++;
		upcall_miss(ctx, s, dp);
		return act_drop(DROP_MISS);
	}
	dp->hit++;
	stats_flow(found.flow, s->size, s->key.hot.tcp_flags);
	return handed == HANDED_LOST ? act_drop(DROP_HAND_OVER) : dp_act(ctx, s);
}

/* A new frame: where it came from. */
INLINE int dp_begin(hook_ctx *ctx, struct scratch *s, struct dp_stats *dp)
{
	int number = port_of(hook_ifindex(ctx));

	if (number < 0) {
		dp->drops[DROP_NOT_A_PORT]++;
		return -1;
	}
	s->in_port = number;
	s->passes = 0;
	s->recirc_id = 0;
	s->dp_hash = 0;
	hook_resume(ctx, s);
	return 0;
}

/* A part of the walk, and the program's return value. */
INLINE int dp_run(hook_ctx *ctx, enum dp_part part)
{
	struct scratch *s = map_at(MAP(MAP_SCRATCH), 0);
	struct dp_stats *dp = stats_dp();
	struct verdict v;

	if (!s || !dp || (part == DP_ENTER && dp_begin(ctx, s, dp)))
		return HOOK_DROP;
	if (HOOK_SENDS_COPIES && part == DP_ENTER && s->passes == COPY_NESTED)
		v = act_drop(act_resume(ctx, s));
	else
		v = part == DP_ACTIONS ? act_execute(ctx, s, dp) : dp_pass(ctx, s, dp);
	act_count(s, dp, v);
	return v.code;
}

#endif
