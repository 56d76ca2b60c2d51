/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * key_ip.h - the part of the flow key that comes from IP and what it carries.  Part of key.h.  Pure.
 *
 * Every function takes a cursor at its header and a key whose fields are zero, and fills in what it
 * finds.  A header that is cut short or says nonsense leaves its fields zero.
 */
#ifndef UFID_KEY_IP_H
#define UFID_KEY_IP_H

#include "abi.h"
#include "cursor.h"
#include "wire.h"

enum ip_limit {
	IPV6_EXTENSIONS = 6,		/* as many are walked; a longer chain counts as malformed */
	ND_OPTIONS = 8,			/* as many are read; more make the message malformed */
};

/* --- transport ----------------------------------------------------------------------------------- */

/* 12 bits of flags.  A header that says it is longer than the frame has no ports either. */
INLINE void key_extract_tcp(struct cursor c, struct key_hot *key)
{
	const struct tcp_header *tcp = cursor_peek(&c, sizeof(*tcp));

	if (!tcp)
		return;
	__u32 size = (be16(tcp->doff_flags) >> 12) * 4;

	if (size < sizeof(*tcp) || !cursor_peek(&c, size))
		return;
	key->tp_src = tcp->src;
	key->tp_dst = tcp->dst;
	key->tcp_flags = tcp->doff_flags & be16(0x0fff);
}

INLINE void key_extract_udp(struct cursor c, struct key_hot *key)
{
	const struct udp_header *udp = cursor_peek(&c, sizeof(*udp));

	if (!udp)
		return;
	key->tp_src = udp->src;
	key->tp_dst = udp->dst;
}

INLINE void key_extract_sctp(struct cursor c, struct key_hot *key)
{
	const struct sctp_header *sctp = cursor_peek(&c, sizeof(*sctp));

	if (!sctp)
		return;
	key->tp_src = sctp->src;
	key->tp_dst = sctp->dst;
}

/* Type and code go where ports do; ICMPv6 as well. */
INLINE const struct icmp_header *key_extract_icmp(struct cursor c, struct key_hot *key)
{
	const struct icmp_header *icmp = cursor_peek(&c, sizeof(*icmp));

	if (!icmp)
		return 0;
	key->tp_src = be16(icmp->type);
	key->tp_dst = be16(icmp->code);
	return icmp;
}

/* --- neighbour discovery ------------------------------------------------------------------------- */

/* Zero the ND fields and what shares their place. */
INLINE void key_clear_nd(struct key_cold *key)
{
	__builtin_memset(key, 0, __builtin_offsetof(struct key_cold, tun_ipv6_src));
}

INLINE int nd_is_zero(const __u8 *address)
{
	return !(address[0] | address[1] | address[2] | address[3] | address[4] | address[5]);
}

/*
 * Target and link-layer addresses of a solicitation or an advertisement.  An option without a size,
 * or longer than what is left, ends the list; a link-layer address that was already there, not being
 * zero, voids the message: all ND fields are zero then.  The first of these options is noted in *at.
 */
INLINE void key_extract_nd(struct cursor c, struct key_cold *key, struct layout *at)
{
	const struct nd_message *nd = cursor_peek(&c, sizeof(*nd));
	const void *start = c.pos;

	if (!nd)
		return;
	__builtin_memcpy(key->nd_target, nd->target, 16);
	cursor_skip(&c, sizeof(*nd));
#pragma unroll
	for (int i = 0; i <= ND_OPTIONS; i++) {
		const struct nd_option *option = cursor_peek(&c, sizeof(*option));
		__u8 *address = 0;

		if (!option)
			return;
		__u32 size = option->size * 8;

		if (!size || !cursor_peek(&c, size))
			return;
		if (option->size == 1 && option->type == ND_OPTION_SLL)
			address = key->nd_sll;
		if (option->size == 1 && option->type == ND_OPTION_TLL)
			address = key->nd_tll;
		if (i == ND_OPTIONS || (address && !nd_is_zero(address)))
			break;
		if (address)
			__builtin_memcpy(address, option->address, 6);
		if (address && !at->option)
			at->option = at->l4 + (c.pos - start);
		cursor_skip(&c, size);
	}
	key_clear_nd(key);
}

INLINE void key_extract_icmpv6(struct cursor c, struct flow_key *key, struct layout *at)
{
	const struct icmp_header *icmp = key_extract_icmp(c, &key->hot);

	if (!icmp || icmp->code)
		return;
	if (icmp->type == ND_SOLICITATION || icmp->type == ND_ADVERTISEMENT)
		key_extract_nd(c, &key->cold, at);
}

/* --- IP ------------------------------------------------------------------------------------------ */

/* key->hot.ip_proto says what the cursor stands on; family is ETHER_IPV4 or ETHER_IPV6. */
INLINE void key_extract_l4(struct cursor c, enum ether_type family, struct flow_key *key, struct layout *at)
{
	__u8 proto = key->hot.ip_proto;

	if (proto == PROTO_TCP)
		key_extract_tcp(c, &key->hot);
	else if (proto == PROTO_UDP)
		key_extract_udp(c, &key->hot);
	else if (proto == PROTO_SCTP)
		key_extract_sctp(c, &key->hot);
	else if (proto == PROTO_ICMP && family == ETHER_IPV4)
		key_extract_icmp(c, &key->hot);
	else if (proto == PROTO_ICMPV6 && family == ETHER_IPV6)
		key_extract_icmpv6(c, key, at);
}

INLINE void key_extract_ipv4(struct cursor c, struct flow_key *key, struct layout *at)
{
	const struct ipv4_header *ip = cursor_peek(&c, sizeof(*ip));

	if (!ip)
		return;
	__u32 size = (ip->version_ihl & 0x0f) * 4;

	if (size < sizeof(*ip) || !cursor_peek(&c, size))
		return;
	key->hot.ipv4_src = ip->src;
	key->hot.ipv4_dst = ip->dst;
	key->hot.ip_proto = ip->proto;
	key->hot.ip_tos = ip->tos;
	key->hot.ip_ttl = ip->ttl;
	if (ip->frag_off & be16(0x1fff)) {
		key->hot.ip_frag = FRAG_LATER;
		return;
	}
	key->hot.ip_frag = ip->frag_off & be16(0x2000) ? FRAG_FIRST : FRAG_NONE;
	cursor_skip(&c, size);
	at->l4 = at->l3 + size;
	key_extract_l4(c, ETHER_IPV4, key, at);
}

INLINE int ipv6_is_extension(__u8 proto)
{
	return proto == PROTO_HOPOPTS || proto == PROTO_ROUTING || proto == PROTO_FRAGMENT ||
	       proto == PROTO_AUTH || proto == PROTO_DSTOPTS;
}

/*
 * A fragment header at the cursor.  Sets ip_frag, and ip_proto for a later fragment.  Returns whether
 * the packet goes on behind it.  Two corners are the kernel's: a header that is cut short counts as a
 * first fragment, and so does a later one that continues an extension header.
 */
INLINE int key_extract_fragment(const struct cursor *c, struct key_hot *key)
{
	const struct ipv6_fragment *fragment = cursor_peek(c, sizeof(*fragment));

	key->ip_frag = FRAG_FIRST;
	if (!fragment)
		return 0;
	if (!(fragment->offset & be16(0xfff8)))
		return 1;
	if (!ipv6_is_extension(fragment->next)) {
		key->ip_frag = FRAG_LATER;
		key->ip_proto = PROTO_FRAGMENT;
	}
	return 0;
}

/*
 * Walk the extension headers: sets ip_frag, and ip_proto to the protocol behind them, PROTO_FRAGMENT
 * for a later fragment, PROTO_NONE when the chain is malformed.  Returns whether the cursor now
 * stands where a transport header belongs, perhaps beyond the frame's end.
 */
INLINE int key_walk_ipv6(struct cursor *c, __u8 proto, struct key_hot *key, struct layout *at)
{
	key->ip_proto = PROTO_NONE;
#pragma unroll
	for (int i = 0; i < IPV6_EXTENSIONS; i++) {
		const struct ipv6_extension *extension;
		__u32 size;

		if (!ipv6_is_extension(proto))
			break;
		extension = cursor_peek(c, sizeof(*extension));
		if (!extension)
			return 0;
		size = (extension->size + 1) * 8;
		if (proto == PROTO_ROUTING) {
			const struct ipv6_routing *routing = cursor_peek(c, sizeof(*routing));

			if (!routing)
				return 0;
			at->routed |= routing->segments_left != 0;
		}
		if (proto == PROTO_AUTH)
			size = (extension->size + 2) * 4;
		if (proto == PROTO_FRAGMENT) {
			if (!key_extract_fragment(c, key))
				return 0;
			size = 8;
		}
		proto = extension->next;
		cursor_skip(c, size);
	}
	if (ipv6_is_extension(proto))
		return 0;
	key->ip_proto = proto;
	return 1;
}

INLINE void key_extract_ipv6(struct cursor c, struct flow_key *key, struct layout *at)
{
	const struct ipv6_header *ip = cursor_peek(&c, sizeof(*ip));
	__u32 word;

	if (!ip)
		return;
	word = ip->version_class_label;
	key->mid.ipv6_label = word & __builtin_bswap32(0x000fffff);
	key->hot.ip_tos = __builtin_bswap32(word) >> 20;
	key->hot.ip_ttl = ip->hop_limit;
	__builtin_memcpy(key->mid.ipv6_src, ip->src, 16);
	__builtin_memcpy(key->mid.ipv6_dst, ip->dst, 16);
	cursor_skip(&c, sizeof(*ip));
	if (!key_walk_ipv6(&c, ip->next, &key->hot, at))
		return;
	cursor_blur(&c, ip, 16384);
	at->l4 = at->l3 + (c.pos - (const void *)ip);
	key_extract_l4(c, ETHER_IPV6, key, at);
}

#endif
