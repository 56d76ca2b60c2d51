/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * hook_tc_mpls.h - room for labels, on the tc hook: by tags that come and go.
 *
 * No helper of this hook makes or takes room behind an Ethernet header whatever the type of the frame, and keeps
 * the kernel's own idea of the type right, by which devices decide what sums they can complete.
 * bpf_skb_adjust_room knows IPv4 and IPv6 alone, bpf_skb_change_head leaves the type.  The helpers for VLAN
 * tags do both.  A tag lies beside the frame; one more pushes it into the bytes, behind the addresses; and to
 * pop one takes the four bytes there for the next tag if the frame's type says so, and the type behind them for the
 * frame's.  So the kernel also moves the header's offsets, and corrects its own sum of the frame.
 *
 * Stores before the end of the Ethernet header are in no sum of the kernel's.  When tags have been pushed, kernels
 * disagree about where that ends, whether the header's offsets move with the tags; so nothing is stored near it then.
 *
 * "room" has MPLS_ROOM bytes; l3: where the label stack begins, or will.
 */
#ifndef UFID_HOOK_TC_MPLS_H
#define UFID_HOOK_TC_MPLS_H

#include "hook_tc.h"

enum {
	TYPE_AT = 12,			/* where the first type of a frame is */
	SECOND_TYPE_AT = 16,		/* and the one behind a tag */
	MPLS_MORE_MAX = MPLS_AT_MAX - (int)sizeof(struct eth_header),
	ANY_TCI = 1,
};

INLINE int hook_is_tag(__be16 type)
{
	return type == be16(ETHER_VLAN) || type == be16(ETHER_QINQ);
}

/*
 * The types of a frame, from the first to that of layer 3, into "room"; how many bytes are behind the first one, none
 * but in 802.2 frames, or a number too large.  Frames with a tag in their bytes are refused.
 */
INLINE __u64 hook_load_types(hook_ctx *ctx, __u8 *room, __u64 l3)
{
	__u64 more = opaque(l3 - sizeof(struct eth_header));

	if (more >= MPLS_MORE_MAX || hook_load(ctx, TYPE_AT, room, more + sizeof(__be16)))
		return MPLS_MORE_MAX;
	return hook_is_tag(*(__be16 *)room) ? MPLS_MORE_MAX : more;
}

/* A tag beside the frame makes way, and comes back. */
INLINE long hook_put_aside(hook_ctx *ctx, struct vlan_beside tag)
{
	return tag.tpid ? tc_vlan_pop(ctx) : 0;
}

INLINE long hook_put_back(hook_ctx *ctx, struct vlan_beside tag)
{
	return tag.tpid ? tc_vlan_push(ctx, tag.tpid, be16(tag.tci)) : 0;
}

/*
 * A label before all others.  The types and the entry, one after the other, are to stand from TYPE_AT on, four bytes
 * more than the types alone.  Their first four go in as a tag does, the rest into the place of the types.
 */
INLINE long hook_push_mpls(hook_ctx *ctx, __u8 *room, __u64 l3, __be16 type, __be32 lse)
{
	struct vlan_beside beside = hook_tag(ctx);
	__u64 more = opaque(hook_load_types(ctx, room, l3)), last_of_more = opaque(more - 1);

	if (ctx->gso_size)
		return DROP_SEGMENTS;
	if (more >= MPLS_MORE_MAX)
		return -1;
	*(__be16 *)(room + more) = type;
	*(__be32 *)(room + more + sizeof(type)) = lse;
	if (hook_put_aside(ctx, beside) || tc_store_bytes(ctx, TYPE_AT, room + 4, 2, 0))
		return -1;
	if (last_of_more < MPLS_MORE_MAX &&
	    tc_store_bytes(ctx, TYPE_AT + 2, room + 6, last_of_more + 1, STORE_RECOMPUTE))
		return -1;
	if (tc_vlan_push(ctx, be16(ETHER_VLAN), be16(*(__be16 *)(room + 2))) ||
	    tc_vlan_push(ctx, be16(ETHER_VLAN), ANY_TCI) || tc_store_bytes(ctx, TYPE_AT, room, 2, 0))
		return -1;
	if (tc_vlan_push(ctx, be16(ETHER_VLAN), ANY_TCI) || tc_vlan_pop(ctx) || tc_vlan_pop(ctx))
		return -1;
	return hook_put_back(ctx, beside);
}

/*
 * The outer label goes.  First the frame's type becomes that of a tag, for the kernel as well; then the types, moved
 * to the label's end, begin where that tag would end, and it is taken away.  If another tag is behind the label, the
 * kernel takes it out of the bytes at last, which does not matter.
 */
INLINE long hook_pop_mpls(hook_ctx *ctx, __u8 *room, __u64 l3, __be16 type)
{
	struct vlan_beside beside = hook_tag(ctx);
	__u64 more = opaque(hook_load_types(ctx, room, l3));
	__be16 tag = be16(ETHER_VLAN);

	if (more >= MPLS_MORE_MAX || l3 + sizeof(struct mpls_header) > hook_bytes(ctx))
		return -1;
	*(__be16 *)(room + more) = type;
	if (hook_put_aside(ctx, beside) || tc_store_bytes(ctx, TYPE_AT, &tag, sizeof(tag), 0))
		return -1;
	if (tc_vlan_push(ctx, tag, ANY_TCI) || tc_vlan_push(ctx, tag, ANY_TCI) || tc_vlan_pop(ctx))
		return -1;
	if (tc_store_bytes(ctx, SECOND_TYPE_AT, room, more + sizeof(type), STORE_RECOMPUTE) || tc_vlan_pop(ctx))
		return -1;
	tc_vlan_pop(ctx);
	return hook_put_back(ctx, beside);
}

#endif
