/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * abi_key.h - flow keys, and what the flow tables are keyed by.  Part of abi.h.
 *
 * A "flow key" holds every header and metadata field that a flow can match.  A "mask" has the same
 * layout; its one-bits are compared.  A "masked key" is key AND mask.  A flow's record keeps the key
 * that identifies it: the masked key when the flow has a UFID, the concrete (unmasked) key when it
 * has none.  Comparing (record ^ packet) & mask is exact for both, so no flow needs a second copy.
 *
 * The key is 29 words of 64 bits in three parts, hot ones first.  The "size class" of a mask is the
 * smallest prefix of parts that holds all its one-bits:
 *
 *	class	parts		bytes	adds
 *	S	hot		 64	port, Ethernet, both VLAN tags, IPv4, ARP, TCP/UDP/ICMP,
 *					recirculation, hash, mark, conntrack state, zone and mark
 *	M	hot mid		128	IPv6, ARP hardware addresses, MPLS, priority, conntrack
 *					labels, tunnel id
 *	L	hot mid cold	232	ND, conntrack original tuple, tunnel end points and options
 *
 * Why these sizes: an element of a kernel hash map that is not preallocated costs key + 64 bytes (48
 * of header, 8 of value, 8 of free-list link), rounded up to a kmalloc size.  64 and 128 bytes of key
 * fill kmalloc-128 and kmalloc-192 to the last byte.  The whole of L would fall into kmalloc-512, so
 * the flow table of class L is keyed by the hot part and a 128-bit digest of the others:
 * kmalloc-192 again, and exact all the same, because every hit is verified against the record.
 *
 * Every byte of a key has a name and is zero unless a field says otherwise.  Multi-byte header
 * fields keep network byte order (__be types); metadata is in host order.  Hosts are little-endian.
 */
#ifndef UFID_ABI_KEY_H
#define UFID_ABI_KEY_H

#include <linux/types.h>
#include "abi_action.h"

/* Where the packet begins.  Always matched exactly. */
enum l2_kind {
	L2_NONE = 0,			/* a layer 3 packet */
	L2_ETHERNET = 1,
};

enum frag_kind {			/* as OVS_FRAG_TYPE_* */
	FRAG_NONE = 0,
	FRAG_FIRST = 1,
	FRAG_LATER = 2,
};

enum size_class {
	SIZE_S = 0,
	SIZE_M = 1,
	SIZE_L = 2,
};

struct key_hot {
	__u16 mask_id;			/* in tables the mask's id; zero in a packet's key */
	__u16 in_port;
	__be16 eth_type;		/* behind the tags; 0x0004 for 802.2 without a type */
	__be16 vlan_tci;		/* outer tag, 0x1000 set when present */

	__u8 eth_dst[6];
	__u8 ip_proto;			/* ARP: the operation */
	__u8 ip_tos;			/* IPv6: traffic class */

	__u8 eth_src[6];
	__u8 ip_ttl;			/* IPv6: hop limit */
	__u8 ip_frag;			/* enum frag_kind */

	__be32 ipv4_src;		/* ARP: sender protocol address */
	__be32 ipv4_dst;		/* ARP: target protocol address */

	__be16 tp_src;			/* ICMP, ICMPv6: type */
	__be16 tp_dst;			/* ICMP, ICMPv6: code */
	__be16 tcp_flags;		/* 12 bits */
	__be16 cvlan_tci;		/* inner tag */

	__u32 recirc_id;
	__u32 dp_hash;

	__u32 skb_mark;
	__be16 vlan_tpid;
	__be16 cvlan_tpid;

	__u32 ct_mark;
	__u16 ct_zone;
	__u8 ct_state;
	__u8 l2_kind;			/* enum l2_kind */
};

struct key_mid {
	union {				/* by eth_type */
		struct {
			__u8 ipv6_src[16];
			__u8 ipv6_dst[16];
		};
		struct {
			__u8 arp_sha[6];
			__u8 arp_tha[6];
			__u8 arp_zero[20];
		};
		struct {
			__be32 mpls_lse[3];
			__u8 mpls_zero[20];
		};
	};
	__be32 ipv6_label;		/* 20 bits */
	__u32 skb_priority;
	__u8 ct_labels[16];
	__be64 tun_id;
};

struct key_cold {
	union {				/* a key with ND fields has no IPv6 conntrack tuple */
		struct {
			__u8 nd_target[16];
			__u8 nd_sll[6];
			__u8 nd_tll[6];
			__u8 nd_zero[4];
		};
		struct {
			__u8 ct_ipv6_src[16];
			__u8 ct_ipv6_dst[16];
		};
		struct {
			__be32 ct_ipv4_src;
			__be32 ct_ipv4_dst;
			__u8 ct_zero[24];
		};
	};
	union {				/* by tun_kind */
		struct {
			__u8 tun_ipv6_src[16];
			__u8 tun_ipv6_dst[16];
		};
		struct {
			__be32 tun_ipv4_src;
			__be32 tun_ipv4_dst;
			__u8 tun_zero[24];
		};
	};
	__be16 tun_tp_src;
	__be16 tun_tp_dst;
	__u16 tun_flags;
	__u8 tun_tos;
	__u8 tun_ttl;

	__be16 ct_tp_src;
	__be16 ct_tp_dst;
	__u8 ct_proto;
	__u8 tun_kind;			/* none, IPv4, IPv6 */
	__u8 tun_opts_kind;		/* none, Geneve, GBP, ERSPAN */
	__u8 tun_opts_size;

	__u8 tun_opts[24];
};

struct flow_key {
	struct key_hot hot;
	struct key_mid mid;
	struct key_cold cold;
};

/* Key of the flow table of class M; class S uses struct key_hot itself. */
struct key_hot_mid {
	struct key_hot hot;
	struct key_mid mid;
};

/* Key of the flow table of class L: the digest (digest.h) is of the masked mid and cold parts. */
struct key_hot_digest {
	struct key_hot hot;
	__u64 digest[2];
};

ABI_ASSERT(sizeof(struct key_hot) == 64);
ABI_ASSERT(sizeof(struct key_mid) == 64);
ABI_ASSERT(sizeof(struct key_cold) == 104);
ABI_ASSERT(sizeof(struct flow_key) == 232);

#endif
