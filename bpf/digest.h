/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * digest.h - 128 bits that stand for the mid and cold parts of a masked key.  Pure.
 *
 * A short name for a look-up, no proof: whoever finds a flow by it compares the record.  Two lanes of
 * exclusive or and addition, each multiplied by an odd constant and folded; lane by lane the same
 * arithmetic modulo 2^64 in any language.
 */
#ifndef UFID_DIGEST_H
#define UFID_DIGEST_H

#include "mask.h"

#define DIGEST_FACTOR_0 0x9e3779b97f4a7c15ULL
#define DIGEST_FACTOR_1 0xc2b2ae3d27d4eb4fULL

INLINE void digest_words(__u64 digest[2], const void *words, int n)
{
	const key_word *w = words;
	__u64 h0 = digest[0], h1 = digest[1];

#pragma unroll
	for (int i = 0; i < n; i++) {
		h0 = (h0 ^ w[i]) * DIGEST_FACTOR_0;
		h0 ^= h0 >> 32;
		h1 = (h1 + w[i]) * DIGEST_FACTOR_1;
		h1 ^= h1 >> 29;
	}
	digest[0] = h0;
	digest[1] = h1;
}

/* The digest of all that a masked key has behind its hot part. */
INLINE void digest_key(__u64 digest[2], const struct flow_key *masked)
{
	digest[0] = DIGEST_FACTOR_1;
	digest[1] = DIGEST_FACTOR_0;
	digest_words(digest, &masked->mid, sizeof(masked->mid) / sizeof(__u64));
	digest_words(digest, &masked->cold, sizeof(masked->cold) / sizeof(__u64));
}

#endif
