/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * mask.h - masking and comparing keys as 64-bit words.  Pure: no context, no maps.
 */
#ifndef UFID_MASK_H
#define UFID_MASK_H

#include "abi.h"
#include "cursor.h"

typedef __u64 __attribute__((may_alias)) key_word;

/* A part of a key is a whole number of words. */
#define WORDS(part) ((int)(sizeof(part) / sizeof(__u64)))

/* out = key AND mask, for n words. */
INLINE void mask_words(void *out, const void *key, const void *mask, int n)
{
	key_word *o = out;
	const key_word *k = key, *m = mask;

#pragma unroll
	for (int i = 0; i < n; i++)
		o[i] = k[i] & m[i];
}

/* Zero when n recorded words equal masked ones in every bit that the mask compares. */
INLINE __u64 mask_differs(const void *recorded, const void *masked, const void *mask, int n)
{
	const key_word *r = recorded, *k = masked, *m = mask;
	__u64 differs = 0;

#pragma unroll
	for (int i = 0; i < n; i++)
		differs |= (r[i] ^ k[i]) & m[i];
	return differs;
}

#endif
