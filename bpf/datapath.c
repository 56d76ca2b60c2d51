/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * datapath.c - the program at each port: one entry point, one exit.
 *
 *	extract the key -> look the flow up -> account -> carry out its actions -> count the verdict
 */
#include "maps.h"
#include "key.h"
#include "lookup.h"
#include "stats.h"
#include "action.h"

/* Helper 188: the whole size of a frame, also of one in several buffers. */
static __u64 (*const xdp_get_buff_len)(struct xdp_md *) = (void *)188;

INLINE struct verdict dp_process(struct xdp_md *ctx, __u32 in_port, __u64 size, struct dp_stats *dp)
{
	struct cursor c = { (void *)(long)ctx->data, (void *)(long)ctx->data_end };
	struct scratch *s = map_at(MAP(MAP_SCRATCH), 0);
	struct lookup found;

	if (!s)
		return act_drop(DROP_INTERNAL);
	if (key_extract(c, in_port, &s->key) != DROP_NONE)
		return act_drop(DROP_SHORT_FRAME);
	found = lookup_flow(s);
	dp->mask_hit += found.masks_tried;
	dp->stale += found.stale;
	if (!found.flow) {
		dp->missed++;
		dp->lost++;		/* nobody listens */
		return act_drop(DROP_MISS);
	}
	dp->hit++;
	stats_flow(found.flow, size, s->key.hot.tcp_flags);
	return act_execute(found.flow);
}

INLINE void dp_count(struct dp_stats *dp, __u32 in_port, __u64 size, struct verdict v)
{
	struct port_stats *in = stats_port(in_port), *out;
	__u32 reason = v.reason;

	if (in) {
		in->rx_packets++;
		in->rx_bytes += size;
	}
	if (reason != DROP_NONE && reason < DROP_REASONS) {
		dp->drops[reason]++;
		if (in)
			in->rx_dropped++;
		return;
	}
	out = stats_port(v.out_port);
	if (out) {
		out->tx_packets++;
		out->tx_bytes += size;
	}
}

int dp_xdp(struct xdp_md *ctx)
{
	__u32 ifindex = ctx->ingress_ifindex;
	__u32 *port = bpf_map_lookup_elem(MAP(MAP_PORT_OF), &ifindex);
	struct dp_stats *dp = stats_dp();
	__u64 size = xdp_get_buff_len(ctx);
	struct verdict v;

	if (!dp)
		return XDP_DROP;
	if (!port) {
		dp->drops[DROP_NOT_A_PORT]++;
		return XDP_DROP;
	}
	v = dp_process(ctx, *port, size, dp);
	dp_count(dp, *port, size, v);
	return v.xdp;
}
