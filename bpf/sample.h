/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * sample.h - the psample action: hand a packet to those who listen to samples, through a ring of their own.
 *
 * A record is struct sample and then the frame.  It is put together where upcalls are, its head right before the
 * frame.  With nobody listening nothing is copied, and nothing is lost.
 */
#ifndef UFID_SAMPLE_H
#define UFID_SAMPLE_H

#include "maps.h"
#include "upcall.h"

INLINE int sample_listened(void)
{
	const struct dp_control *control = map_at(MAP(MAP_CONTROL), 0);

	return control && control->sampler;
}

/* Fill in a record's head.  cookie: the action's operand, or NULL; size: of the frame as it is cut. */
INLINE void sample_head(struct sample *head, const struct scratch *s, const struct action_unit *unit,
			const void *cookie, __u64 size, __u64 frame_size)
{
	*head = (struct sample){ .time_ns = ktime_get_coarse_ns(), .group = unit->arg,
				 .rate = s->probability ? s->probability : 0xffffffff, .packet_size = size,
				 .frame_size = frame_size, .cpu = bpf_get_smp_processor_id(),
				 .in_port = s->in_port };
	if (cookie) {
		head->cookie_size = unit->wide;
		__builtin_memcpy(head->cookie, cookie, sizeof(head->cookie));
	}
}

/* Send the frame but for its last "cut" bytes.  0, or negative when it is lost. */
INLINE long sample_send(hook_ctx *ctx, const struct scratch *s, const struct action_unit *unit, __u64 cut)
{
	const void *cookie = unit->units ? map_at(MAP(MAP_ACTIONS), s->unit - 1) : 0;
	struct upcall_buffer *buffer = map_at(MAP(MAP_UPCALL_BUFFER), 0);
	__u64 frame_size = hook_size(ctx), size = frame_size - (cut < frame_size ? cut : 0);
	struct sample *head;

	if (!buffer)
		return -1;
	head = (void *)(buffer->packet - sizeof(*head));
	if (size > UPCALL_PACKET_MAX)
		size = UPCALL_PACKET_MAX;
	if (!size || hook_copy_out(ctx, buffer->packet, size))
		return -1;
	sample_head(head, s, unit, cookie, size, frame_size);
	return ringbuf_output(MAP(MAP_SAMPLES), head, sizeof(*head) + size, 0);
}

INLINE void act_psample(hook_ctx *ctx, struct scratch *s, const struct action_unit *unit, struct dp_stats *dp)
{
	__u64 cut = s->cut;

	s->cut = 0;
	if (!sample_listened())
		return;
	if (sample_send(ctx, s, unit, cut))
		dp->samples_lost++;
	else
		dp->samples++;
}

#endif
