/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * upcall.h - hand a packet to userspace, through a ring buffer.
 *
 * A record is struct upcall and then the frame.  It is put together in per-CPU memory, because the
 * ring takes one piece.  With no listener nothing is copied; a full ring costs the copy and is counted.
 */
#ifndef UFID_UPCALL_H
#define UFID_UPCALL_H

#include "maps.h"
#include "stats.h"

static long (*const ringbuf_output)(void *, void *, __u64, __u64) = (void *)130;

INLINE int upcall_listened(void)
{
	const struct dp_control *control = map_at(MAP(MAP_CONTROL), 0);

	return control && control->listener;
}

/* The record to fill in, its head all zero but for what every upcall has; NULL if that cannot be. */
INLINE struct upcall_buffer *upcall_begin(const struct scratch *s, enum upcall_reason reason)
{
	struct upcall_buffer *buffer = map_at(MAP(MAP_UPCALL_BUFFER), 0);

	if (!buffer)
		return 0;
	__builtin_memset(&buffer->head, 0, sizeof(buffer->head));
	buffer->head.time_ns = ktime_get_coarse_ns();
	buffer->head.reason = reason;
	buffer->head.cpu = bpf_get_smp_processor_id();
	buffer->head.key = s->key;
	return buffer;
}

/* Add the first size bytes of the frame and send.  0, or negative when it is lost. */
INLINE long upcall_send(hook_ctx *ctx, struct upcall_buffer *buffer, __u64 size, __u64 frame_size)
{
	if (size > UPCALL_PACKET_MAX)
		size = UPCALL_PACKET_MAX;
	if (!size)
		return -1;
	buffer->head.packet_size = size;
	buffer->head.frame_size = frame_size;
	if (hook_copy_out(ctx, buffer->packet, size))
		return -1;
	return ringbuf_output(MAP(MAP_UPCALLS), buffer, sizeof(buffer->head) + size, 0);
}

INLINE void upcall_count(struct dp_stats *dp, long result)
{
	if (result)
		dp->lost++;
	else
		dp->upcalls++;
}

/* The packet hit no flow. */
INLINE void upcall_miss(hook_ctx *ctx, const struct scratch *s, struct dp_stats *dp)
{
	struct upcall_buffer *buffer;
	long result = -1;

	if (upcall_listened()) {
		buffer = upcall_begin(s, UPCALL_MISS);
		if (buffer)
			result = upcall_send(ctx, buffer, hook_size(ctx), hook_size(ctx));
	}
	upcall_count(dp, result);
}

#endif
