/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * hook_xdp.h - what actions need of a frame, on the XDP hook.
 *
 * Reads and writes at an offset go through the helpers that know frames in several buffers (Linux
 * 5.18), and fail beyond the frame's end.  There is one copy of a frame, so whatever cuts or sends it
 * comes last.  All return 0 on success.
 */
#ifndef UFID_HOOK_XDP_H
#define UFID_HOOK_XDP_H

#include "maps.h"
#include "csum.h"

/* Helpers by number: this age's compilers do not know them by name. */
static long (*const xdp_check_mtu)(void *, __u32, __u32 *, __s32, __u64) = (void *)163;
static __u64 (*const xdp_get_buff_len)(void *) = (void *)188;
static long (*const xdp_load_bytes)(void *, __u32, void *, __u32) = (void *)189;
static long (*const xdp_store_bytes)(void *, __u32, const void *, __u32) = (void *)190;

static long (*const xdp_tail_call)(void *, void *, __u32) = (void *)12;

typedef struct xdp_md hook_ctx;

enum { MTU_UNCHECKED = 576 };		/* no device has a smaller one (RFC 791, RFC 8200) */

/* Go on in another program; comes back only when that is not there. */
INLINE void hook_call(hook_ctx *ctx, enum program_id program)
{
	xdp_tail_call(ctx, MAP(MAP_PROGRAMS), program);
}

INLINE __u64 hook_size(hook_ctx *ctx)
{
	return xdp_get_buff_len(ctx);
}

INLINE long hook_load(hook_ctx *ctx, __u32 at, void *to, __u32 size)
{
	return xdp_load_bytes(ctx, at, to, size);
}

INLINE long hook_store(hook_ctx *ctx, __u32 at, const void *from, __u32 size)
{
	return xdp_store_bytes(ctx, at, from, size);
}

/* Change a 16-bit checksum in the frame by a difference.  zero_is_none: UDP's, where 0 means there is none. */
INLINE long hook_csum(hook_ctx *ctx, __u32 at, __u64 difference, int zero_is_none)
{
	__u16 check;

	if (hook_load(ctx, at, &check, sizeof(check)))
		return -1;
	if (zero_is_none && !check)
		return 0;
	check = csum_apply(check, difference);
	if (zero_is_none && !check)
		check = 0xffff;
	return hook_store(ctx, at, &check, sizeof(check));
}

/* Make room for 4 bytes behind the addresses, and fill them. */
INLINE long hook_push_vlan(hook_ctx *ctx, __be16 tpid, __be16 tci)
{
	__u8 addresses[12];
	__be16 tag[2] = { tpid, tci };

	if (hook_load(ctx, 0, addresses, sizeof(addresses)) || bpf_xdp_adjust_head(ctx, -4))
		return -1;
	return hook_store(ctx, 0, addresses, sizeof(addresses)) || hook_store(ctx, 12, tag, sizeof(tag));
}

/* Take the 4 bytes behind the addresses away. */
INLINE long hook_pop_vlan(hook_ctx *ctx)
{
	__u8 addresses[12];

	if (hook_load(ctx, 0, addresses, sizeof(addresses)) || hook_store(ctx, 4, addresses, sizeof(addresses)))
		return -1;
	return bpf_xdp_adjust_head(ctx, 4);
}

INLINE long hook_cut(hook_ctx *ctx, __u32 bytes)
{
	return bpf_xdp_adjust_tail(ctx, -(int)bytes);
}

/* Whether a frame of this size may leave by the device; a tag's 4 bytes are not counted, as in the kernel. */
INLINE int hook_fits(hook_ctx *ctx, __u32 ifindex, __u64 size)
{
	__u32 mtu = 0;

	return size <= MTU_UNCHECKED || xdp_check_mtu(ctx, ifindex, &mtu, -4, 0) <= 0;
}

#endif
