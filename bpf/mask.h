/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * mask.h - masking and comparing keys as 64-bit words.  Pure: no context, no maps.
 */
#ifndef UFID_MASK_H
#define UFID_MASK_H

#include "abi.h"
#include "cursor.h"

typedef __u64 __attribute__((may_alias)) key_word;

/* A part of a key is a whole number of words, eight of them in both that are compared so far. */
enum { PART_WORDS = sizeof(struct key_hot) / sizeof(__u64) };
_Static_assert(sizeof(struct key_hot) == sizeof(struct key_mid), "parts of one size");

/* out = key AND mask, for one part. */
INLINE void mask_part(void *out, const void *key, const void *mask)
{
	key_word *o = out;
	const key_word *k = key, *m = mask;

#pragma unroll
	for (int i = 0; i < PART_WORDS; i++)
		o[i] = k[i] & m[i];
}

/* Zero when a recorded part equals a masked one in every bit that the mask compares. */
INLINE __u64 mask_differs(const void *recorded, const void *masked, const void *mask)
{
	const key_word *r = recorded, *k = masked, *m = mask;
	__u64 differs = 0;

#pragma unroll
	for (int i = 0; i < PART_WORDS; i++)
		differs |= (r[i] ^ k[i]) & m[i];
	return differs;
}

#endif
