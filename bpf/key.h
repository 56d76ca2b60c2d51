/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * key.h - from a frame to its flow key.  Pure: a cursor in, a key out; no context, no maps.
 *
 * The extractor is total.  Only a frame shorter than an Ethernet header is refused; any other
 * malformed or truncated part leaves its fields zero and the packet is still looked up, so that flows
 * decide.  Rules as in the OVS kernel datapath's flow.c; where that reads "skb->len" this reads the
 * frame's end, so Ethernet padding counts as payload in both.
 */
#ifndef UFID_KEY_H
#define UFID_KEY_H

#include "abi.h"
#include "cursor.h"

enum ether_type {
	ETHER_IPV4 = 0x0800,
	ETHER_ARP = 0x0806,
	ETHER_RARP = 0x8035,
	ETHER_VLAN = 0x8100,
	ETHER_IPV6 = 0x86dd,
	ETHER_QINQ = 0x88a8,
	ETHER_802_2 = 0x0004,		/* stored for frames that have a length instead of a type */
	ETHER_TYPE_MIN = 0x0600,	/* below: a length (IEEE 802.3) */
};

enum ip_protocol {
	PROTO_HOPOPTS = 0,
	PROTO_ICMP = 1,
	PROTO_TCP = 6,
	PROTO_UDP = 17,
	PROTO_ROUTING = 43,
	PROTO_FRAGMENT = 44,
	PROTO_AUTH = 51,
	PROTO_ICMPV6 = 58,
	PROTO_NONE = 59,
	PROTO_DSTOPTS = 60,
};

enum key_limit {
	VLAN_PRESENT = 0x1000,
	IPV6_EXTENSIONS = 6,		/* as many are walked; a longer chain counts as malformed */
};

struct eth_header {
	__u8 dst[6];
	__u8 src[6];
	__be16 type;
};

struct vlan_header {			/* behind the addresses of struct eth_header */
	__be16 tci;
	__be16 type;
};

struct snap_header {
	__u8 dsap;
	__u8 ssap;
	__u8 control;
	__u8 oui[3];
	__be16 type;
};

struct arp_header {
	__be16 hardware;
	__be16 protocol;
	__u8 hardware_size;
	__u8 protocol_size;
	__be16 op;
	__u8 sha[6];
	__u8 sip[4];
	__u8 tha[6];
	__u8 tip[4];
};

struct ipv4_header {
	__u8 version_ihl;
	__u8 tos;
	__be16 total;
	__be16 id;
	__be16 frag_off;
	__u8 ttl;
	__u8 proto;
	__be16 csum;
	__be32 src;
	__be32 dst;
};

struct ipv6_header {
	__be32 version_class_label;
	__be16 payload;
	__u8 next;
	__u8 hop_limit;
	__u8 src[16];
	__u8 dst[16];
};

struct ipv6_extension {			/* the first 4 bytes of any, enough to skip it */
	__u8 next;
	__u8 size;			/* AH: in 4-byte units less 2, else in 8-byte units less 1 */
	__be16 frag_off;		/* fragment header only */
};

struct tcp_header {
	__be16 src;
	__be16 dst;
	__be32 seq;
	__be32 ack;
	__be16 doff_flags;
	__be16 window;
	__be16 csum;
	__be16 urgent;
};

/* UDP ports, and ICMP type and code, are the first bytes of an 8-byte header. */
struct l4_header {
	union {
		struct {
			__be16 src;
			__be16 dst;
		};
		struct {
			__u8 type;
			__u8 code;
		};
	};
	__u8 rest[4];
};

INLINE void key_extract_tcp(struct cursor c, struct key_hot *key)
{
	const struct tcp_header *tcp = cursor_peek(&c, sizeof(*tcp));

	if (!tcp)
		return;
	__u32 size = (be16(tcp->doff_flags) >> 12) * 4;

	if (size < sizeof(*tcp) || c.pos + size > c.end)
		return;
	key->tp_src = tcp->src;
	key->tp_dst = tcp->dst;
	key->tcp_flags = tcp->doff_flags & be16(0x0fff);
}

/* key->ip_proto says what the cursor stands on; family is ETHER_IPV4 or ETHER_IPV6. */
INLINE void key_extract_l4(struct cursor c, enum ether_type family, struct key_hot *key)
{
	const struct l4_header *l4;

	if (key->ip_proto == PROTO_TCP) {
		key_extract_tcp(c, key);
		return;
	}
	l4 = cursor_peek(&c, sizeof(*l4));
	if (!l4)
		return;
	if (key->ip_proto == PROTO_UDP) {
		key->tp_src = l4->src;
		key->tp_dst = l4->dst;
	} else if (key->ip_proto == (family == ETHER_IPV4 ? PROTO_ICMP : PROTO_ICMPV6)) {
		key->tp_src = be16(l4->type);
		key->tp_dst = be16(l4->code);
	}
}

INLINE void key_extract_ipv4(struct cursor c, struct key_hot *key)
{
	const struct ipv4_header *ip = cursor_peek(&c, sizeof(*ip));

	if (!ip)
		return;
	__u32 size = (ip->version_ihl & 0x0f) * 4;

	if (size < sizeof(*ip) || c.pos + size > c.end)
		return;
	key->ipv4_src = ip->src;
	key->ipv4_dst = ip->dst;
	key->ip_proto = ip->proto;
	key->ip_tos = ip->tos;
	key->ip_ttl = ip->ttl;
	if (ip->frag_off & be16(0x1fff)) {
		key->ip_frag = FRAG_LATER;
		return;
	}
	key->ip_frag = ip->frag_off & be16(0x2000) ? FRAG_FIRST : FRAG_NONE;
	cursor_skip(&c, size);
	key_extract_l4(c, ETHER_IPV4, key);
}

INLINE int ipv6_is_extension(__u8 proto)
{
	return proto == PROTO_HOPOPTS || proto == PROTO_ROUTING || proto == PROTO_FRAGMENT ||
	       proto == PROTO_AUTH || proto == PROTO_DSTOPTS;
}

/*
 * Walk the extension headers: sets ip_frag, and ip_proto to the protocol behind them, PROTO_FRAGMENT
 * for a later fragment, PROTO_NONE when the chain is malformed.  Returns whether the cursor now
 * stands on a transport header.
 */
INLINE int key_walk_ipv6(struct cursor *c, __u8 proto, struct key_hot *key)
{
	key->ip_proto = PROTO_NONE;
#pragma unroll
	for (int i = 0; i < IPV6_EXTENSIONS; i++) {
		const struct ipv6_extension *ext;
		__u32 size;

		if (!ipv6_is_extension(proto))
			break;
		ext = cursor_peek(c, sizeof(*ext));
		if (!ext)
			return 0;
		size = (ext->size + 1) * 8;
		if (proto == PROTO_AUTH)
			size = (ext->size + 2) * 4;
		if (proto == PROTO_FRAGMENT) {
			size = 8;
			if (ext->frag_off & be16(0xfff8)) {
				key->ip_frag = FRAG_LATER;
				key->ip_proto = PROTO_FRAGMENT;
				return 0;
			}
			key->ip_frag = FRAG_FIRST;
		}
		proto = ext->next;
		cursor_skip(c, size);
	}
	if (ipv6_is_extension(proto))
		return 0;
	key->ip_proto = proto;
	return 1;
}

INLINE void key_extract_ipv6(struct cursor c, struct flow_key *key)
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
	if (key_walk_ipv6(&c, ip->next, &key->hot))
		key_extract_l4(c, ETHER_IPV6, &key->hot);
}

/* ARP and RARP; anything but IPv4 over Ethernet leaves the fields zero. */
INLINE void key_extract_arp(struct cursor c, struct flow_key *key)
{
	const struct arp_header *arp = cursor_peek(&c, sizeof(*arp));

	if (!arp || arp->hardware != be16(1) || arp->protocol != be16(ETHER_IPV4) ||
	    arp->hardware_size != 6 || arp->protocol_size != 4)
		return;
	if (be16(arp->op) <= 0xff)
		key->hot.ip_proto = be16(arp->op);
	__builtin_memcpy(&key->hot.ipv4_src, arp->sip, 4);
	__builtin_memcpy(&key->hot.ipv4_dst, arp->tip, 4);
	__builtin_memcpy(key->mid.arp_sha, arp->sha, 6);
	__builtin_memcpy(key->mid.arp_tha, arp->tha, 6);
}

/* A tag that the frame's end cuts short is not one: its TPID stays the frame's type. */
INLINE __be16 key_extract_vlan(struct cursor *c, __be16 type, struct key_hot *key)
{
	const struct vlan_header *tag;

	if (type != be16(ETHER_VLAN) && type != be16(ETHER_QINQ))
		return type;
	tag = cursor_peek(c, sizeof(*tag));
	if (!tag)
		return type;
	key->vlan_tpid = type;
	key->vlan_tci = tag->tci | be16(VLAN_PRESENT);
	cursor_skip(c, sizeof(*tag));
	return tag->type;
}

/* The type of a frame, looking through LLC/SNAP (IEEE 802.2) where it names one. */
INLINE __be16 key_extract_type(struct cursor *c, __be16 type)
{
	const struct snap_header *snap;

	if (be16(type) >= ETHER_TYPE_MIN)
		return type;
	snap = cursor_peek(c, sizeof(*snap));
	if (!snap || snap->dsap != 0xaa || snap->ssap != 0xaa || snap->oui[0] || snap->oui[1] ||
	    snap->oui[2])
		return be16(ETHER_802_2);
	cursor_skip(c, sizeof(*snap));
	return be16(snap->type) >= ETHER_TYPE_MIN ? snap->type : be16(ETHER_802_2);
}

/*
 * Fill *key from the frame at the cursor, which came in on in_port.  The key's hot and mid parts are
 * overwritten; its cold part has no field yet that is extracted, and must be zero.
 */
INLINE enum drop_reason key_extract(struct cursor c, __u16 in_port, struct flow_key *key)
{
	const struct eth_header *eth = cursor_peek(&c, sizeof(*eth));
	__be16 type;

	if (!eth)
		return DROP_SHORT_FRAME;
	__builtin_memset(&key->hot, 0, sizeof(key->hot));
	__builtin_memset(&key->mid, 0, sizeof(key->mid));
	key->hot.in_port = in_port;
	key->hot.l2_kind = L2_ETHERNET;
	__builtin_memcpy(key->hot.eth_dst, eth->dst, 6);
	__builtin_memcpy(key->hot.eth_src, eth->src, 6);
	cursor_skip(&c, sizeof(*eth));
	type = key_extract_vlan(&c, eth->type, &key->hot);
	type = key_extract_type(&c, type);
	key->hot.eth_type = type;
	if (type == be16(ETHER_IPV4))
		key_extract_ipv4(c, &key->hot);
	else if (type == be16(ETHER_IPV6))
		key_extract_ipv6(c, key);
	else if (type == be16(ETHER_ARP) || type == be16(ETHER_RARP))
		key_extract_arp(c, key);
	return DROP_NONE;
}

#endif
