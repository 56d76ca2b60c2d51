/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * bench.c - programs that `ctl bench` measures with and against.  No part of the datapath.
 *
 *	bench_drop	the least there is: what a test run costs by itself
 *	bench_next	makes the next frame of a plan and calls another program with it
 *	bench_send	makes the next frame of a plan and sends it: a generator of live frames
 *	bench_redirect	a bare redirect
 *	bench_tc	a bare redirect on the tc hook
 *	bench_sink	counts and drops
 *
 * A test run repeats one packet, as the last run left it.  A plan puts the head of the frame back as it
 * was, whatever actions did to it, and writes a number into it that chooses a flow at random.
 */
#include "maps.h"

enum bench_map {			/* numbers of their own; netns-lab/bench/programs.py makes the maps */
	BENCH_PROGRAM = 0,		/* 0 -> the program that bench_next calls */
	BENCH_PLAN = 1,			/* 0 -> bench_plan */
	BENCH_PORTS = 2,		/* 0 -> ifindex to send to */
	BENCH_COUNT = 3,		/* 0 -> frames that reached the sink */
	BENCH_TC_PORTS = 4,		/* 0 -> ifindex to send to, for tc */
};

enum { HEAD_WORDS = 8, TC_DROP = 2 };	/* TC_ACT_SHOT */

struct bench_plan {
	__u64 random;
	__u32 vary;			/* bits of the number that change from frame to frame */
	__u32 fixed;			/* and bits that are always set */
	__u32 at;			/* where in the frame the number is, up to 127 */
	__u32 size;			/* of the frame */
	__u64 head[8];			/* HEAD_WORDS */
};

static long (*const bench_tail_call)(void *, void *, __u32) = (void *)12;
static long (*const bench_tc_send)(__u32, __u64) = (void *)23;

INLINE int bench_frame(struct xdp_md *ctx)
{
	struct bench_plan *plan = map_at(MAP(BENCH_PLAN), 0);
	__u64 *head;
	__u32 *number;
	long longer;

	if (!plan)
		return -1;
	longer = (long)ctx->data_end - (long)ctx->data - plan->size;
	if (longer && bpf_xdp_adjust_head(ctx, longer))
		return -1;
	head = (void *)(long)ctx->data;
	number = (void *)head + (plan->at & 127);
	if ((void *)(head + HEAD_WORDS) > (void *)(long)ctx->data_end ||
	    (void *)(number + 1) > (void *)(long)ctx->data_end)
		return -1;
#pragma unroll
	for (int i = 0; i < HEAD_WORDS; i++)
		head[i] = plan->head[i];
	plan->random = plan->random * 6364136223846793005ULL + 1442695040888963407ULL;
	*number = __builtin_bswap32((plan->random >> 33 & plan->vary) | plan->fixed);
	return 0;
}

int bench_drop(struct xdp_md *ctx)
{
	return XDP_DROP;
}

int bench_next(struct xdp_md *ctx)
{
	if (!bench_frame(ctx))
		bench_tail_call(ctx, MAP(BENCH_PROGRAM), 0);
	return XDP_ABORTED;
}

int bench_send(struct xdp_md *ctx)
{
	if (bench_frame(ctx))
		return XDP_ABORTED;
	return bpf_redirect_map(MAP(BENCH_PORTS), 0, XDP_ABORTED);
}

int bench_redirect(struct xdp_md *ctx)
{
	return bpf_redirect_map(MAP(BENCH_PORTS), 0, XDP_ABORTED);
}

int bench_tc(struct __sk_buff *ctx)
{
	__u32 *ifindex = map_at(MAP(BENCH_TC_PORTS), 0);

	return ifindex ? bench_tc_send(*ifindex, 0) : TC_DROP;
}

int bench_sink(struct xdp_md *ctx)
{
	__u64 *count = map_at(MAP(BENCH_COUNT), 0);

	if (count)
		__sync_fetch_and_add(count, 1);
	return XDP_DROP;
}
