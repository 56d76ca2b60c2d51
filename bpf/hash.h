/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * hash.h - the hash action: a number from a packet's addresses and ports.  Pure.
 *
 * The kernel's own hash depends on the device and the boot; this one is the same on every hook, on
 * every machine and in the model.  Each 64-bit word is folded in by an exclusive or, a multiplication
 * and a shift.  HASH_SYM_L4 gives both directions of a conversation one number.
 */
#ifndef UFID_HASH_H
#define UFID_HASH_H

#include "abi.h"
#include "mask.h"

#define HASH_FACTOR 0x9e3779b97f4a7c15ULL	/* 2^64 / golden ratio, made odd */

INLINE __u64 hash_mix(__u64 hash, __u64 word)
{
	hash = (hash ^ word) * HASH_FACTOR;
	return hash ^ hash >> 32;
}

/*
 * The hash of the key of this pass.  Words, in this order: basis; protocol; source address (two words
 * for IPv6, else one); destination address; ports.  Where symmetric, source and destination are
 * added up before they are folded in.  Never 0, which means "no hash".
 */
INLINE __u32 hash_key(const struct flow_key *key, enum hash_algorithm algorithm, __u32 basis)
{
	const key_word *src = (const key_word *)key->mid.ipv6_src, *dst = (const key_word *)key->mid.ipv6_dst;
	__u64 hash = hash_mix(hash_mix(HASH_FACTOR, basis), key->hot.ip_proto), a0, a1, b0, b1, ports;

	if (key->hot.eth_type == __builtin_bswap16(0x86dd)) {
		a0 = src[0], a1 = src[1], b0 = dst[0], b1 = dst[1];
	} else {
		a0 = key->hot.ipv4_src, a1 = 0, b0 = key->hot.ipv4_dst, b1 = 0;
	}
	ports = (__u64)key->hot.tp_src << 16 | key->hot.tp_dst;
	if (algorithm == HASH_SYM_L4) {
		hash = hash_mix(hash_mix(hash, a0 + b0), a1 + b1);
		ports = (__u64)key->hot.tp_src + key->hot.tp_dst;
	} else {
		hash = hash_mix(hash_mix(hash, a0), a1);
		hash = hash_mix(hash_mix(hash, b0), b1);
	}
	hash = hash_mix(hash, ports);
	return (__u32)hash ? (__u32)hash : 1;
}

#endif
