/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * rewrite.h - set actions on copies of headers.  Pure: values in, values out.
 *
 * Each takes a header, the value to set and the mask of the bits to set; bits of the value outside the
 * mask are zero.  A function that touches what a transport checksum covers returns the difference for
 * that checksum (csum.h), or 0 when nothing of it changed.  Copies are aligned to 8 bytes.
 */
#ifndef UFID_REWRITE_H
#define UFID_REWRITE_H

#include "abi.h"
#include "csum.h"
#include "mask.h"
#include "wire.h"

#define MASKED(was, value, mask) (((was) & ~(mask)) | (value))

INLINE void rewrite_eth(struct eth_header *eth, const struct set_eth *value, const struct set_eth *mask)
{
#pragma unroll
	for (int i = 0; i < 6; i++) {
		eth->dst[i] = MASKED(eth->dst[i], value->dst[i], mask->dst[i]);
		eth->src[i] = MASKED(eth->src[i], value->src[i], mask->src[i]);
	}
}

/* Corrects the header's own checksum. */
INLINE __u64 rewrite_ipv4(struct ipv4_header *ip, const struct set_ipv4 *value, const struct set_ipv4 *mask)
{
	__be32 src = MASKED(ip->src, value->src, mask->src);
	__be32 dst = MASKED(ip->dst, value->dst, mask->dst);
	__u8 tos = MASKED(ip->tos, value->tos, mask->tos);
	__u8 ttl = MASKED(ip->ttl, value->ttl, mask->ttl);
	__u32 moved = (src ^ ip->src) | (dst ^ ip->dst);
	__u64 addresses = csum_diff32(ip->src, src) + csum_diff32(ip->dst, dst);
	__u64 others = csum_diff16(be16(ip->tos), be16(tos)) + csum_diff16(ip->ttl, ttl);

	if (moved | (tos ^ ip->tos) | (ttl ^ ip->ttl))
		ip->csum = csum_apply(ip->csum, addresses + others);
	ip->src = src;
	ip->dst = dst;
	ip->tos = tos;
	ip->ttl = ttl;
	return moved ? addresses : 0;
}

/* One less TTL, if there is one to take: of 1 and 0 nothing is left, and -1 is returned. */
INLINE int rewrite_ipv4_ttl(struct ipv4_header *ip)
{
	__u8 ttl = ip->ttl;

	if (ttl <= 1)
		return -1;
	ip->ttl = ttl - 1;
	ip->csum = csum_apply(ip->csum, csum_diff16(ttl, ttl - 1));
	return 0;
}

INLINE int rewrite_ipv6_hop_limit(struct ipv6_header *ip)
{
	if (ip->hop_limit <= 1)
		return -1;
	ip->hop_limit--;
	return 0;
}

/* One IPv6 address, two words; the difference, or 0 when it is the same. */
INLINE __u64 rewrite_address(__u8 *address, const __u8 *value, const __u8 *mask)
{
	key_word *at = (key_word *)address;
	const key_word *v = (const key_word *)value, *m = (const key_word *)mask;
	__u64 high = MASKED(at[0], v[0], m[0]), low = MASKED(at[1], v[1], m[1]);
	__u64 moved = (high ^ at[0]) | (low ^ at[1]);
	__u64 difference = csum_diff64(at[0], high) + csum_diff64(at[1], low);

	at[0] = high;
	at[1] = low;
	return moved ? difference : 0;
}

/* routed: the transport checksum is about another destination, that of the routing header. */
INLINE __u64 rewrite_ipv6(struct ipv6_header *ip, const struct set_ipv6 *value, const struct set_ipv6 *mask,
			  int routed)
{
	__be32 bits = mask->label | __builtin_bswap32((__u32)mask->tclass << 20);
	__be32 set = value->label | __builtin_bswap32((__u32)value->tclass << 20);
	__u64 src = rewrite_address(ip->src, value->src, mask->src);
	__u64 dst = rewrite_address(ip->dst, value->dst, mask->dst);

	ip->version_class_label = MASKED(ip->version_class_label, set, bits & __builtin_bswap32(0x0fffffff));
	ip->hop_limit = MASKED(ip->hop_limit, value->hop_limit, mask->hop_limit);
	return routed ? src : src + dst;
}

/* The ports that TCP, UDP and SCTP begin with, as one word. */
INLINE __u64 rewrite_ports(__u32 *ports, __u32 value, __u32 mask)
{
	__u32 was = *ports;

	*ports = MASKED(was, value, mask);
	return was != *ports ? csum_diff32(was, *ports) : 0;
}

/* Copies of struct arp_header have room for as much as struct set_arp. */
INLINE void rewrite_arp(void *arp, const struct set_arp *value, const struct set_arp *mask)
{
	key_word *at = arp;
	const key_word *v = (const key_word *)value, *m = (const key_word *)mask;

#pragma unroll
	for (int i = 0; i < (int)(sizeof(*value) / sizeof(*at)); i++)
		at[i] = MASKED(at[i], v[i], m[i]);
}

/* An option of a neighbour message, one word; the difference, or 0 when it is the same. */
INLINE __u64 rewrite_option(void *option, const void *value, const void *mask)
{
	key_word *at = option, was = *at;

	*at = MASKED(was, *(const key_word *)value, *(const key_word *)mask);
	return was != *at ? csum_diff64(was, *at) : 0;
}

#endif
