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

INLINE __u16 be16(__u16 x)		/* both ways */
{
	return __builtin_bswap16(x);
}

#endif
