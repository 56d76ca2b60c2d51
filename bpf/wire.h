/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * wire.h - protocol headers as they lie in a frame, and the numbers in them.  Pure: types only.
 *
 * Only what the extractor reads is named in full.  The BPF machine reads words at any address, so the
 * structures have natural alignment there: told that they may lie anywhere, its compiler would take
 * every word apart into bytes.  A host build is told the truth, and its sanitizers hold it to that.
 */
#ifndef UFID_WIRE_H
#define UFID_WIRE_H

#include <linux/types.h>

#ifdef HOST_BUILD
#define WIRE __attribute__((packed))
#else
#define WIRE
#endif

enum ether_type {			/* IEEE 802 numbers */
	ETHER_IPV4 = 0x0800,
	ETHER_ARP = 0x0806,
	ETHER_RARP = 0x8035,
	ETHER_VLAN = 0x8100,		/* 802.1Q */
	ETHER_IPV6 = 0x86dd,
	ETHER_MPLS = 0x8847,
	ETHER_MPLS_UPSTREAM = 0x8848,
	ETHER_QINQ = 0x88a8,		/* 802.1ad */
	ETHER_802_2 = 0x0004,		/* stored for frames that have a length instead of a type */
	ETHER_TYPE_MIN = 0x0600,	/* below: a length (IEEE 802.3) */
};

enum ip_protocol {			/* IANA assigned internet protocol numbers */
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
	PROTO_SCTP = 132,
};

enum nd_number {			/* RFC 4861 */
	ND_SOLICITATION = 135,
	ND_ADVERTISEMENT = 136,
	ND_OPTION_SLL = 1,		/* source link-layer address */
	ND_OPTION_TLL = 2,		/* target link-layer address */
};

struct eth_header {
	__u8 dst[6];
	__u8 src[6];
	__be16 type;
} WIRE;

struct vlan_header {			/* behind a type that says so */
	__be16 tci;
	__be16 type;
} WIRE;

struct snap_header {			/* IEEE 802.2 LLC with SNAP */
	__u8 dsap;
	__u8 ssap;
	__u8 control;
	__u8 oui[3];
	__be16 type;
} WIRE;

struct mpls_header {			/* RFC 3032: label, traffic class, bottom of stack, TTL */
	__be32 lse;
} WIRE;

enum mpls_number {
	MPLS_BOTTOM = 0x100,
	MPLS_AT_MAX = 30,		/* a stack begins behind an Ethernet header, two tags and a SNAP header at most */
	MPLS_ROOM = MPLS_AT_MAX + 6,
};

struct arp_header {			/* RFC 826, for IPv4 over Ethernet */
	__be16 hardware;
	__be16 protocol;
	__u8 hardware_size;
	__u8 protocol_size;
	__be16 op;
	__u8 sha[6];
	__u8 sip[4];
	__u8 tha[6];
	__u8 tip[4];
} WIRE;

struct ipv4_header {			/* RFC 791 */
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
} WIRE;

struct ipv6_header {			/* RFC 8200 */
	__be32 version_class_label;
	__be16 payload;
	__u8 next;
	__u8 hop_limit;
	__u8 src[16];
	__u8 dst[16];
} WIRE;

struct ipv6_extension {			/* the head of any extension header */
	__u8 next;
	__u8 size;			/* AH: in 4-byte units less 2, else in 8-byte units less 1 */
} WIRE;

struct ipv6_routing {			/* the head of it */
	__u8 next;
	__u8 size;
	__u8 type;
	__u8 segments_left;
} WIRE;

struct ipv6_fragment {			/* the half of it that matters; 8 bytes in all */
	__u8 next;
	__u8 reserved;
	__be16 offset;			/* in 8-byte units, above 3 bits of flags */
} WIRE;

struct tcp_header {			/* RFC 9293 */
	__be16 src;
	__be16 dst;
	__be32 seq;
	__be32 ack;
	__be16 doff_flags;
	__be16 window;
	__be16 csum;
	__be16 urgent;
} WIRE;

struct udp_header {			/* RFC 768 */
	__be16 src;
	__be16 dst;
	__be16 size;
	__be16 csum;
} WIRE;

struct sctp_header {			/* RFC 9260, common header */
	__be16 src;
	__be16 dst;
	__be32 tag;
	__be32 csum;
} WIRE;

struct icmp_header {			/* RFC 792, RFC 4443 */
	__u8 type;
	__u8 code;
	__be16 csum;
	__u8 rest[4];
} WIRE;

struct nd_message {			/* RFC 4861: a solicitation or an advertisement */
	struct icmp_header icmp;
	__u8 target[16];
} WIRE;

struct nd_option {			/* the shortest, which is what a link-layer address of 6 bytes needs */
	__u8 type;
	__u8 size;			/* in 8-byte units */
	__u8 address[6];
} WIRE;

#endif
