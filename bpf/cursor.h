/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * cursor.h - a position in a packet, and safe reads from it.  Pure: no context, no maps.
 *
 * A read returns a pointer to that many bytes at the cursor, or NULL when the packet ends before.
 * Nothing moves unless the caller says so.  It also compiles for the host.
 */
#ifndef UFID_CURSOR_H
#define UFID_CURSOR_H

#include <linux/types.h>

#ifndef INLINE
#define INLINE static inline __attribute__((always_inline))
#endif

struct cursor {
	const void *pos;
	const void *end;
};

INLINE const void *cursor_peek(const struct cursor *c, __u32 size)
{
	return c->pos + size <= c->end ? c->pos : (const void *)0;
}

INLINE void cursor_skip(struct cursor *c, __u32 size)
{
	c->pos += size;
}

/*
 * The same number, of which the compiler no longer knows anything.
 *
 * Verifier: a bound holds for the register that was compared, and old ones (6.1) learn nothing from a
 * comparison with zero.  What this returns is compared and used as it is written.
 */
INLINE __u64 opaque(__u64 number)
{
	asm volatile("" : "+r"(number));
	return number;
}

/*
 * Stand where the cursor stands, somewhere in the first "reach" bytes behind start, a power of two.
 *
 * Verifier: paths that arrive at one place with different offsets are followed separately from there
 * to the end of the program, every look-up included.  A difference of two packet pointers is a number
 * it knows nothing of, so after this they look alike.  Without it 463,000 instructions are processed
 * instead of 14,000 (6.18, may_goto), 741,000 instead of 287,000 without may_goto.
 */
INLINE void cursor_blur(struct cursor *c, const void *start, __u32 reach)
{
	const void *pos = c->pos;

	asm volatile("" : "+r"(pos));	/* or the compiler knows the difference */
	c->pos = start + ((__u64)(pos - start) & (reach - 1));
}

INLINE __u16 be16(__u16 x)		/* both ways */
{
	return __builtin_bswap16(x);
}

#endif
