/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * action_set_more.h - the set actions that only OVS's userspace datapath has: ARP, ICMP and neighbour discovery.
 *
 * As in action_set.h; but that these pass over no frame that is cut short, and that OVS's does.
 */
#ifndef UFID_ACTION_SET_MORE_H
#define UFID_ACTION_SET_MORE_H

#include "action_set.h"

/* ARP and RARP. */
INLINE long act_set_arp(hook_ctx *ctx, struct scratch *s, __u32 operand)
{
	enum { UNITS = sizeof(struct set_arp) / sizeof(struct action_unit) };
	struct set_arp *set = (void *)s->operand;

	if (act_operand(set, operand, 2 * UNITS))
		return -1;
	if (!s->at.l3 || hook_load(ctx, s->at.l3, s->header, sizeof(struct arp_header)))
		return -1;
	rewrite_arp(s->header, &set[0], &set[1]);
	return hook_store(ctx, s->at.l3, s->header, sizeof(struct arp_header));
}

/* Type and code, of ICMP and ICMPv6.  A later fragment has none: it passes unchanged. */
INLINE long act_set_icmp(hook_ctx *ctx, struct scratch *s, __u32 value, __u32 mask)
{
	struct csum_place place = { __builtin_offsetof(struct icmp_header, csum), sizeof(struct icmp_header) };

	return act_set_first_word(ctx, s, place, value, mask, 0);
}

/*
 * The first option of a neighbour message that is a link-layer address, and what it adds to the checksum's difference.
 *
 * Verifier: which of the two values it gets is computed, not chosen, or all that follows is followed twice.
 */
INLINE long act_set_option(hook_ctx *ctx, struct scratch *s, const struct set_nd *set, __u64 *difference)
{
	const struct nd_option *option = (void *)s->header;
	__u32 at = s->at.option, behind;

	if (!at)
		return 0;
	if (hook_load(ctx, at, s->header, sizeof(*option)))
		return -1;
	behind = ((option->type - ND_OPTION_SLL) & 1) * sizeof(*option);
	*difference += rewrite_option(s->header, set[0].sll_zero + behind, set[1].sll_zero + behind);
	return hook_store(ctx, at, s->header, sizeof(*option));
}

/*
 * Neighbour messages: the target, and the first option that holds a link-layer address, as a message can have one
 * only (OVS's packet_set_nd).
 */
INLINE long act_set_nd(hook_ctx *ctx, struct scratch *s, __u32 operand)
{
	enum { UNITS = sizeof(struct set_nd) / sizeof(struct action_unit) };
	struct set_nd *set = (void *)s->operand;
	__u32 l4 = s->at.l4, at = l4 + __builtin_offsetof(struct nd_message, target);
	__u64 difference;

	if (act_operand(set, operand, 2 * UNITS))
		return -1;
	if (!l4 || hook_load(ctx, at, s->header, sizeof(set->target)))
		return -1;
	difference = rewrite_address(s->header, set[0].target, set[1].target);
	if (hook_store(ctx, at, s->header, sizeof(set->target)) || act_set_option(ctx, s, set, &difference))
		return -1;
	if (!difference)
		return 0;
	return hook_csum(ctx, l4 + __builtin_offsetof(struct icmp_header, csum), difference, 0, 0);
}

#endif
