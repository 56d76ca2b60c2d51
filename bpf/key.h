/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * key.h - from a frame to its flow key.  Pure: a cursor in, a key out; no context, no maps.
 *
 * The extractor is total.  Only a frame shorter than an Ethernet header is refused; any other
 * malformed or truncated part leaves its fields zero and the packet is still looked up, so that flows
 * decide.  Rules as in the OVS kernel datapath's flow.c; where that reads "skb->len" this reads the
 * frame's end, so Ethernet padding counts as payload in both.  ctl/packet.py states the same rules
 * once more, to be read; the tests hold the two against each other.
 */
#ifndef UFID_KEY_H
#define UFID_KEY_H

#include "abi.h"
#include "cursor.h"
#include "key_ip.h"
#include "wire.h"

enum key_limit {
	VLAN_PRESENT = 0x1000,
	MPLS_LABELS = 3,		/* as many are stored, outermost first; what follows is not read */
};

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

/* The labels down to the bottom of the stack or the frame's end. */
INLINE void key_extract_mpls(struct cursor c, struct key_mid *key)
{
#pragma unroll
	for (int i = 0; i < MPLS_LABELS; i++) {
		const struct mpls_header *mpls = cursor_peek(&c, sizeof(*mpls));

		if (!mpls)
			return;
		key->mpls_lse[i] = mpls->lse;
		if (mpls->lse & __builtin_bswap32(MPLS_BOTTOM))
			return;
		cursor_skip(&c, sizeof(*mpls));
	}
}

/*
 * If type announces a tag, read that, and return the type behind it.  A tag that the frame's end cuts
 * short is not one: its TPID stays the frame's type.
 */
INLINE __be16 key_extract_vlan(struct cursor *c, __be16 type, __be16 *tpid, __be16 *tci)
{
	const struct vlan_header *tag;

	if (type != be16(ETHER_VLAN) && type != be16(ETHER_QINQ))
		return type;
	tag = cursor_peek(c, sizeof(*tag));
	if (!tag)
		return type;
	*tpid = type;
	*tci = tag->tci | be16(VLAN_PRESENT);
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

/* What stands behind the Ethernet header and its tags, by key->hot.eth_type. */
INLINE void key_extract_l3(struct cursor c, struct flow_key *key, struct layout *at)
{
	switch (be16(key->hot.eth_type)) {
	case ETHER_IPV4:
		key_extract_ipv4(c, key, at);
		break;
	case ETHER_IPV6:
		key_extract_ipv6(c, key, at);
		break;
	case ETHER_ARP:
	case ETHER_RARP:
		key_extract_arp(c, key);
		break;
	case ETHER_MPLS:
	case ETHER_MPLS_UPSTREAM:
		key_extract_mpls(c, &key->mid);
		break;
	}
}

/* A VLAN tag that is kept beside the frame; tpid 0: there is none. */
struct vlan_beside {
	__be16 tpid;
	__be16 tci;
};

/*
 * Fill *key from the frame at the cursor, which came in on in_port, and *at with where its layers
 * begin.  A tag beside the frame is its outer one.  All that a frame can fill is overwritten: the hot
 * and mid parts and the ND fields.  Tunnel and conntrack fields of the cold part are the caller's, and
 * zero so far.
 */
INLINE enum drop_reason key_extract(struct cursor c, __u16 in_port, struct vlan_beside outer, struct flow_key *key,
				    struct layout *at)
{
	const struct eth_header *eth = cursor_peek(&c, sizeof(*eth));
	const void *start = c.pos;
	__be16 type;

	if (!eth)
		return DROP_SHORT_FRAME;
	__builtin_memset(&key->hot, 0, sizeof(key->hot));
	__builtin_memset(&key->mid, 0, sizeof(key->mid));
	key_clear_nd(&key->cold);
	key->hot.in_port = in_port;
	key->hot.l2_kind = L2_ETHERNET;
	__builtin_memcpy(key->hot.eth_dst, eth->dst, 6);
	__builtin_memcpy(key->hot.eth_src, eth->src, 6);
	cursor_skip(&c, sizeof(*eth));
	if (outer.tpid) {
		type = eth->type;
		key->hot.vlan_tpid = outer.tpid;
		key->hot.vlan_tci = outer.tci | be16(VLAN_PRESENT);
	} else {
		type = key_extract_vlan(&c, eth->type, &key->hot.vlan_tpid, &key->hot.vlan_tci);
	}
	type = key_extract_vlan(&c, type, &key->hot.cvlan_tpid, &key->hot.cvlan_tci);
	key->hot.eth_type = key_extract_type(&c, type);
	cursor_blur(&c, start, 64);
	*at = (struct layout){ .l3 = c.pos - start };
	key_extract_l3(c, key, at);
	return DROP_NONE;
}

#endif
