/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * csum.h - the Internet checksum, changed by differences (RFC 1624).  Pure.
 *
 * A difference is a one's complement sum of 16-bit words as they lie in memory: what was there, taken
 * away, and what is there now, added.  Differences are kept unfolded in 64 bits and simply added up; a
 * word that did not change adds 0xffff, which is another zero.
 */
#ifndef UFID_CSUM_H
#define UFID_CSUM_H

#include "cursor.h"

INLINE __u16 csum_fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

INLINE __u64 csum_diff16(__u16 was, __u16 is)
{
	return (__u64)(__u16)~was + is;
}

INLINE __u64 csum_diff32(__u32 was, __u32 is)
{
	return (__u64)(__u32)~was + is;
}

INLINE __u64 csum_diff64(__u64 was, __u64 is)
{
	return csum_diff32(was, is) + csum_diff32(was >> 32, is >> 32);
}

/* The checksum field after its data changed by a difference. */
INLINE __u16 csum_apply(__u16 check, __u64 difference)
{
	return ~csum_fold((__u64)(__u16)~check + csum_fold(difference));
}

#endif
