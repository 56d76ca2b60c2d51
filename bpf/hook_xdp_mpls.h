/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * hook_xdp_mpls.h - room for labels, on the XDP hook: what stands before them moves.
 *
 * "room" has MPLS_ROOM bytes for what is moved; l3: where the label stack begins, or will.
 */
#ifndef UFID_HOOK_XDP_MPLS_H
#define UFID_HOOK_XDP_MPLS_H

#include "hook_xdp.h"

/* A label before all others, and its type before it. */
INLINE long hook_push_mpls(hook_ctx *ctx, __u8 *room, __u64 l3, __be16 type, __be32 lse)
{
	__u64 last = opaque(l3 - 1);

	if (last >= MPLS_AT_MAX || hook_load(ctx, 0, room, last + 1))
		return -1;
	if (bpf_xdp_adjust_head(ctx, -(int)sizeof(lse)) || hook_store(ctx, 0, room, last + 1))
		return -1;
	*(__be16 *)room = type;
	*(__be32 *)(room + sizeof(type)) = lse;
	return hook_store(ctx, l3 - sizeof(type), room, sizeof(type) + sizeof(lse));
}

/* The outer label goes; "type" is that of what stands behind it. */
INLINE long hook_pop_mpls(hook_ctx *ctx, __u8 *room, __u64 l3, __be16 type)
{
	__u64 last = opaque(l3 - 1);

	if (last >= MPLS_AT_MAX || l3 + sizeof(struct mpls_header) > hook_bytes(ctx))
		return -1;
	if (hook_load(ctx, 0, room, last + 1) || hook_store(ctx, sizeof(struct mpls_header), room, last + 1))
		return -1;
	*(__be16 *)room = type;
	if (hook_store(ctx, l3 + sizeof(struct mpls_header) - sizeof(type), room, sizeof(type)))
		return -1;
	return bpf_xdp_adjust_head(ctx, sizeof(struct mpls_header));
}

#endif
