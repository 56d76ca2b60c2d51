/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * stats.h - every counter that the program writes.
 *
 * A flow has one line of counters that all CPUs add to atomically: exact, in the cache line that the
 * look-up has just verified, and half the memory of a line per CPU.  Ports and the datapath count per
 * CPU.  No counter is ever written from userspace while it can be hit, but for flags of a CLEAR long ago.
 */
#ifndef UFID_STATS_H
#define UFID_STATS_H

#include "maps.h"

/* Helper 118, inlined by the verifier: one load.  Userspace knows what time that is. */
static __u64 (*const jiffies64)(void) = (void *)118;

/* Helper 160: CLOCK_MONOTONIC as of the last tick, some 15 ns. */
static __u64 (*const ktime_get_coarse_ns)(void) = (void *)160;

/* Move *used on to now, never back, whatever other CPUs do meanwhile. */
INLINE void stats_touch(__u64 *used, __u64 now)
{
	__u64 seen = *used;

	if (seen >= now)
		return;
	if (__sync_val_compare_and_swap(used, seen, now) == seen)
		return;
	seen = *used;			/* another CPU was first; it is at most a tick away */
	if (seen < now)
		__sync_val_compare_and_swap(used, seen, now);
}

/*
 * Flags are one byte each, holding the CLEAR epoch in which they were last seen: storing one needs no
 * read-modify-write, and userspace clears them all by moving the epoch.
 */
INLINE void stats_tcp_flags(struct flow_record *flow, __u8 flags)
{
	__u8 epoch = flow->clear_epoch;

#pragma unroll
	for (int bit = 0; bit < TCP_FLAG_BYTES; bit++)
		if (flags & (1 << bit) && flow->tcp_flags[bit] != epoch)
			flow->tcp_flags[bit] = epoch;
}

/* One packet of size bytes hit the flow.  tcp_flags as in the key, network order. */
INLINE void stats_flow(struct flow_record *flow, __u64 size, __be16 tcp_flags)
{
	__sync_fetch_and_add(&flow->packets, 1);
	__sync_fetch_and_add(&flow->bytes, size);
	stats_touch(&flow->used, jiffies64());
	if (tcp_flags)
		stats_tcp_flags(flow, be16(tcp_flags));
}

INLINE struct dp_stats *stats_dp(void)
{
	return map_at(MAP(MAP_DP_STATS), 0);
}

INLINE struct port_stats *stats_port(__u32 port)
{
	return map_at(MAP(MAP_PORT_STATS), port);
}

#endif
