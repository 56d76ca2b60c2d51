/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * action_mpls.h - labels on a frame (RFC 3032): push, pop and set the outer one.
 *
 * The label stack begins where layer 3 did, behind all tags.  What stands behind a label is not known, and lists
 * that would go on with that are not installed; here layer 4 is gone then.
 */
#ifndef UFID_ACTION_MPLS_H
#define UFID_ACTION_MPLS_H

#include "maps.h"
#include "rewrite.h"

INLINE long act_push_mpls(hook_ctx *ctx, struct scratch *s, __be32 lse, __u16 type)
{
	s->at.l4 = 0;
	return hook_push_mpls(ctx, s->header, s->at.l3, be16(type), lse);
}

/* A frame that ends within the label is refused, as in the kernel. */
INLINE long act_pop_mpls(hook_ctx *ctx, struct scratch *s, __u16 type)
{
	s->at.l4 = 0;
	return hook_pop_mpls(ctx, s->header, s->at.l3, be16(type));
}

INLINE long act_set_mpls(hook_ctx *ctx, struct scratch *s, __be32 value, __be32 mask)
{
	struct mpls_header *mpls = (void *)s->header;

	if (!s->at.l3 || hook_load(ctx, s->at.l3, mpls, sizeof(*mpls)))
		return -1;
	mpls->lse = MASKED(mpls->lse, value, mask);
	return hook_store(ctx, s->at.l3, mpls, sizeof(*mpls));
}

#endif
