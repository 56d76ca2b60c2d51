/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * clock.c - what time it is by two clocks: the tick counter that flows are stamped with, which costs a
 * program nothing to read, and CLOCK_MONOTONIC, which is what people and OVS mean by time.
 *
 * A test run of clock_pair writes both into the first 16 bytes of the frame.
 */
#include "maps.h"

int clock_pair(struct xdp_md *ctx)
{
	__u64 *pair = (void *)(long)ctx->data;

	if ((void *)(pair + 2) > (void *)(long)ctx->data_end)
		return XDP_DROP;
	pair[0] = ((__u64 (*)(void))118)();	/* bpf_jiffies64, Linux 5.5 */
	pair[1] = bpf_ktime_get_ns();
	return XDP_PASS;
}
