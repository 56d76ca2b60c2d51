/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * datapath.c - the program at each port.
 *
 *	extract the key -> look the flow up -> account -> carry out its actions -> count the verdict
 *
 * dp_xdp takes a frame as it comes from the device.  Actions other than a single output are carried out
 * in dp_xdp_actions, and recirculation goes on in dp_xdp_again, by tail calls; what the programs share
 * is in the scratch memory of their processor.
 *
 * Verifier: look-up and actions in one program are followed in all their combinations, 1,000,000
 * instructions and more; apart, each is a small part of that.
 */
#include "maps.h"
#include "hook_xdp.h"
#include "key.h"
#include "lookup.h"
#include "port.h"
#include "stats.h"
#include "action.h"

/* A list that is one output is carried out here, any other in a program of its own. */
INLINE struct verdict dp_act(struct xdp_md *ctx, struct scratch *s)
{
	const struct action_unit *unit = map_at(MAP(MAP_ACTIONS), s->unit);

	if (s->unit == s->units_end)
		return act_drop(DROP_ACTION);
	if (likely(unit && unit->type == ACTION_OUTPUT))
		return act_output(ctx, s, unit->arg);
	hook_call(ctx, PROGRAM_XDP_ACTIONS);
	return act_drop(DROP_INTERNAL);
}

INLINE struct verdict dp_pass(struct xdp_md *ctx, struct scratch *s, struct dp_stats *dp)
{
	struct cursor c = { (void *)(long)ctx->data, (void *)(long)ctx->data_end };
	struct lookup found;

	if (key_extract(c, s->in_port, &s->key, &s->at) != DROP_NONE)
		return act_drop(DROP_SHORT_FRAME);
	s->key.hot.recirc_id = s->recirc_id;
	s->key.hot.dp_hash = s->dp_hash;
	found = lookup_flow(s);
	dp->mask_hit += found.masks_tried;
	dp->stale += found.stale;
	if (!found.flow) {
		dp->missed++;
		upcall_miss(ctx, s, dp);
		return act_drop(DROP_MISS);
	}
	dp->hit++;
	stats_flow(found.flow, hook_size(ctx), s->key.hot.tcp_flags);
	act_begin(s, found.flow);
	return dp_act(ctx, s);
}

/* Count what became of the packet, and say so to the kernel. */
INLINE int dp_finish(struct scratch *s, struct dp_stats *dp, struct verdict v)
{
	struct port_stats *port = stats_port(v.reason ? s->in_port : v.out_port);
	__u32 reason = v.reason;

	if (reason != DROP_NONE && reason < DROP_REASONS)
		dp->drops[reason]++;
	if (port && reason != DROP_NONE)
		port->rx_dropped++;
	if (port && reason == DROP_NONE) {
		port->tx_packets++;
		port->tx_bytes += v.size;
	}
	return v.code;
}

/* A new frame: where it came from, and that it came. */
INLINE int dp_begin(struct xdp_md *ctx, struct scratch *s, struct dp_stats *dp)
{
	int number = port_of(ctx->ingress_ifindex);
	struct port_stats *port;

	if (number < 0) {
		dp->drops[DROP_NOT_A_PORT]++;
		return -1;
	}
	s->in_port = number;
	s->passes = 0;
	s->recirc_id = 0;
	s->dp_hash = 0;
	port = stats_port(number);
	if (port) {
		port->rx_packets++;
		port->rx_bytes += hook_size(ctx);
	}
	return 0;
}

int dp_xdp(struct xdp_md *ctx)
{
	struct scratch *s = map_at(MAP(MAP_SCRATCH), 0);
	struct dp_stats *dp = stats_dp();

	if (!s || !dp || dp_begin(ctx, s, dp))
		return XDP_DROP;
	return dp_finish(s, dp, dp_pass(ctx, s, dp));
}

int dp_xdp_again(struct xdp_md *ctx)
{
	struct scratch *s = map_at(MAP(MAP_SCRATCH), 0);
	struct dp_stats *dp = stats_dp();

	if (!s || !dp)
		return XDP_DROP;
	return dp_finish(s, dp, dp_pass(ctx, s, dp));
}

int dp_xdp_actions(struct xdp_md *ctx)
{
	struct scratch *s = map_at(MAP(MAP_SCRATCH), 0);
	struct dp_stats *dp = stats_dp();

	if (!s || !dp)
		return XDP_DROP;
	return dp_finish(s, dp, act_execute(ctx, s, dp));
}
