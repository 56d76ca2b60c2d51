/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * bucket.h - the token bucket of a meter (OpenFlow 1.3, 5.7).  Pure.
 *
 * A bucket gains "rate" tokens with each whole millisecond until it is full.  A packet takes 1000 tokens or,
 * of a meter in kbit/s, as many as it has bits; one that finds fewer takes none and exceeds the meter.
 * ctl/meter.py has the same arithmetic.
 */
#ifndef UFID_BUCKET_H
#define UFID_BUCKET_H

#include "abi.h"
#include "cursor.h"

enum { BUCKET_PACKET = 1000 };		/* tokens that a packet takes of a meter in packets/s */

/*
 * A packet of size bytes comes at a time, in milliseconds; whether it exceeds the meter.  An earlier time than
 * the last one is that: two processors have read their clocks in one order and come here in the other.
 */
INLINE int bucket_take(struct meter_record *meter, __u64 now_ms, __u64 size)
{
	__u64 elapsed = now_ms > meter->time_ms ? now_ms - meter->time_ms : 0;
	__u64 cost = meter->kbps ? size * 8 : BUCKET_PACKET;
	__u64 tokens = meter->capacity;

	if (elapsed < meter->fill_ms)	/* else full; and no product is too large */
		tokens = meter->tokens + elapsed * meter->rate;
	if (tokens > meter->capacity)
		tokens = meter->capacity;
	meter->time_ms += elapsed;
	meter->tokens = tokens < cost ? tokens : tokens - cost;
	return tokens < cost;
}

#endif
