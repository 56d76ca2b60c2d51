/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * action_set.h - the set actions on a frame: load a header, rewrite it, store it, mend the checksum.
 *
 * Each takes the operand's two halves, value and mask, or its place.  Returns 0, or -1 when the frame is too short
 * for the header, which drops it, as in the kernel datapath.
 *
 * Verifier: a header lies in scratch memory while it is rewritten.  On the stack, what one action left
 * there makes the next round of the loop look new, though nobody reads it again: with headers of Ethernet,
 * IPv4 and ports there, 281,000 instructions are processed instead of 45,000 (6.18, may_goto).
 */
#ifndef UFID_ACTION_SET_H
#define UFID_ACTION_SET_H

#include "crc32c.h"
#include "maps.h"
#include "rewrite.h"

INLINE long act_set_eth(hook_ctx *ctx, struct scratch *s, const struct set_eth *value, const struct set_eth *mask)
{
	struct eth_header *eth = (void *)s->header;

	if (hook_load(ctx, 0, eth, sizeof(*eth)))
		return -1;
	rewrite_eth(eth, value, mask);
	return hook_store(ctx, 0, eth, sizeof(*eth));
}

/* Where a transport header keeps its checksum, and how long the header is at least; 0: not known. */
struct csum_place {
	__u32 at;
	__u32 header_size;
};

INLINE struct csum_place act_csum_place(__be16 eth_type, __u8 proto)
{
	if (proto == PROTO_TCP)
		return (struct csum_place){ __builtin_offsetof(struct tcp_header, csum), sizeof(struct tcp_header) };
	if (proto == PROTO_UDP)
		return (struct csum_place){ __builtin_offsetof(struct udp_header, csum), sizeof(struct udp_header) };
	if (proto == PROTO_ICMPV6 && eth_type == be16(ETHER_IPV6))
		return (struct csum_place){ __builtin_offsetof(struct icmp_header, csum), sizeof(struct icmp_header) };
	return (struct csum_place){};
}

/*
 * The addresses of an IP header changed: mend the transport checksum, which covers them.  Only where
 * there is a transport header and all of it: later fragments have none.
 */
INLINE long act_mend_l4(hook_ctx *ctx, const struct scratch *s, __u64 difference)
{
	__u8 proto = s->key.hot.ip_proto;
	struct csum_place place = act_csum_place(s->key.hot.eth_type, proto);
	__u32 at = s->at.l4;

	if (!difference || !at || !place.header_size || at + place.header_size > hook_bytes(ctx))
		return 0;
	return hook_csum(ctx, at + place.at, difference, proto == PROTO_UDP, 1);
}

INLINE long act_set_ipv4(hook_ctx *ctx, struct scratch *s, const struct set_ipv4 *value,
			 const struct set_ipv4 *mask)
{
	struct ipv4_header *ip = (void *)s->header;
	__u64 difference;

	if (!s->at.l3 || hook_load(ctx, s->at.l3, ip, sizeof(*ip)))
		return -1;
	difference = rewrite_ipv4(ip, value, mask);
	if (hook_store(ctx, s->at.l3, ip, sizeof(*ip)))
		return -1;
	return act_mend_l4(ctx, s, difference);
}

/* An operand that takes several units, copied into one piece. */
INLINE long act_operand(void *to, __u32 first, int units)
{
#pragma unroll
	for (int i = 0; i < units; i++) {
		const struct action_unit *unit = map_at(MAP(MAP_ACTIONS), first + i);

		if (!unit)
			return -1;
		__builtin_memcpy(to + i * sizeof(*unit), unit, sizeof(*unit));
	}
	return 0;
}

INLINE long act_set_ipv6(hook_ctx *ctx, struct scratch *s, __u32 operand)
{
	enum { UNITS = sizeof(s->operand) / sizeof(struct action_unit) };
	struct ipv6_header *ip = (void *)s->header;
	__u64 difference;

	if (act_operand(s->operand, operand, UNITS))
		return -1;
	if (!s->at.l3 || hook_load(ctx, s->at.l3, ip, sizeof(*ip)))
		return -1;
	difference = rewrite_ipv6(ip, &s->operand[0], &s->operand[1], s->at.routed);
	if (hook_store(ctx, s->at.l3, ip, sizeof(*ip)))
		return -1;
	return act_mend_l4(ctx, s, difference);
}

/*
 * Ports of SCTP.  Its checksum covers the rest of the frame, padding too, as in the kernel datapath.  A wrong
 * one stays wrong by as much, and so does that of a first fragment, which is about more than is here.
 */
INLINE long act_set_sctp(hook_ctx *ctx, struct scratch *s, __u32 value, __u32 mask)
{
	struct sctp_header *sctp = (void *)s->header;
	__u32 at = s->at.l4, was, *ports = (void *)s->header;

	if (s->key.hot.ip_frag == FRAG_LATER)
		return 0;
	if (!at || hook_load(ctx, at, sctp, sizeof(*sctp)))
		return -1;
	was = *ports;
	rewrite_ports(ports, value, mask);
	sctp->csum ^= crc32c_diff32(was ^ *ports, hook_bytes(ctx) - at);
	return hook_store(ctx, at, sctp, sizeof(*sctp));
}

/*
 * The first four bytes of a transport header that its checksum covers, or is one half of.  A later fragment has no
 * such header: it passes unchanged.
 */
INLINE long act_set_first_word(hook_ctx *ctx, struct scratch *s, struct csum_place place, __u32 value, __u32 mask,
			       int zero_is_none)
{
	__u32 at = s->at.l4, *word = (void *)s->header;
	__u64 difference;

	if (s->key.hot.ip_frag == FRAG_LATER)
		return 0;
	if (!at || at + place.header_size > hook_bytes(ctx) || hook_load(ctx, at, word, sizeof(*word)))
		return -1;
	difference = rewrite_ports(word, value, mask);
	if (!difference)
		return 0;
	if (hook_store(ctx, at, word, sizeof(*word)))
		return -1;
	return hook_csum(ctx, at + place.at, difference, zero_is_none, 0);
}

/* Ports of TCP, UDP and SCTP. */
INLINE long act_set_ports(hook_ctx *ctx, struct scratch *s, __u32 proto, __u64 value_and_mask)
{
	__u32 value = value_and_mask, mask = value_and_mask >> 32;

	if (proto == PROTO_SCTP)
		return act_set_sctp(ctx, s, value, mask);
	return act_set_first_word(ctx, s, act_csum_place(s->key.hot.eth_type, proto), value, mask, proto == PROTO_UDP);
}

#endif
