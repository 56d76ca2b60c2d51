/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * meter.h - whether a meter lets a packet pass.
 *
 * A meter has a lock, as in the OVS kernel datapath: bucket and counters are exact on any number of processors, and
 * userspace replaces a meter whole.
 */
#ifndef UFID_METER_H
#define UFID_METER_H

#include "bucket.h"
#include "maps.h"

enum { NS_PER_MS = 1000000 };

static __u64 (*const meter_clock_ns)(void) = (void *)5;			/* CLOCK_MONOTONIC */
static long (*const meter_lock)(struct bpf_spin_lock *) = (void *)93;	/* Linux 5.1 */
static long (*const meter_unlock)(struct bpf_spin_lock *) = (void *)94;

INLINE void meter_count(struct meter_counters *counters, __u64 now_ms, __u64 size, int exceeded)
{
	counters->packets++;
	counters->bytes += size;
	if (exceeded) {
		counters->exceeded_packets++;
		counters->exceeded_bytes += size;
	}
	if (counters->used_ms < now_ms)
		counters->used_ms = now_ms;
}

/* A packet of size bytes comes to the meter of that number: count it; whether it is too many.  No meter has no limit. */
INLINE int meter_exceeded(__u32 number, __u64 size)
{
	struct meter_record *meter = map_at(MAP(MAP_METERS), number);
	struct meter_counters *counters = map_at(MAP(MAP_METER_COUNTERS), number);
	int exceeded = 0;
	__u64 now_ms;

	if (!meter || !counters || !meter->rate)
		return 0;
	now_ms = meter_clock_ns() / NS_PER_MS;	/* no helper is to be called under the lock */
	meter_lock(&meter->lock);
	if (meter->rate) {
		exceeded = bucket_take(meter, now_ms, size);
		meter_count(counters, now_ms, size, exceeded);
	}
	meter_unlock(&meter->lock);
	return exceeded;
}

#endif
