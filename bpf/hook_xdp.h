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

#include "csum.h"
#include "hook.h"
#include "key.h"
#include "maps.h"

/* Helpers by number: this age's compilers do not know them by name. */
static long (*const xdp_check_mtu)(void *, __u32, __u32 *, __s32, __u64) = (void *)163;
static __u64 (*const xdp_get_buff_len)(void *) = (void *)188;
static long (*const xdp_load_bytes)(void *, __u32, void *, __u32) = (void *)189;
static long (*const xdp_store_bytes)(void *, __u32, const void *, __u32) = (void *)190;

static long (*const xdp_tail_call)(void *, void *, __u32) = (void *)12;
static long (*const xdp_adjust_meta)(void *, int) = (void *)54;

typedef struct xdp_md hook_ctx;

enum {
	HOOK_DROP = XDP_DROP,
	HOOK_PASS = XDP_PASS,
	HOOK_SENDS_COPIES = 0,
	MTU_UNCHECKED = 576,		/* no device has a smaller one (RFC 791, RFC 8200) */
};

/* Go on in another program; comes back only when that is not there. */
INLINE void hook_call(hook_ctx *ctx, enum program_id program)
{
	xdp_tail_call(ctx, MAP(MAP_PROGRAMS), program);
}

/* The device that the frame came in on. */
INLINE __u32 hook_ifindex(hook_ctx *ctx)
{
	return ctx->ingress_ifindex;
}

/* The part of the frame that can be read in place. */
INLINE struct cursor hook_frame(hook_ctx *ctx)
{
	return (struct cursor){ (void *)(long)ctx->data, (void *)(long)ctx->data_end };
}

/* How far offsets go. */
INLINE __u64 hook_bytes(hook_ctx *ctx)
{
	return xdp_get_buff_len(ctx);
}

/* How long the frame is on the wire. */
INLINE __u64 hook_size(hook_ctx *ctx)
{
	return xdp_get_buff_len(ctx);
}

/* The first bytes of the frame as it is on the wire, 1 to UPCALL_PACKET_MAX. */
INLINE long hook_copy_out(hook_ctx *ctx, void *to, __u64 size)
{
	__u64 last = opaque(size - 1);

	return last < UPCALL_PACKET_MAX ? xdp_load_bytes(ctx, 0, to, last + 1) : -1;
}

INLINE struct vlan_beside hook_tag(hook_ctx *ctx)
{
	return (struct vlan_beside){};
}

/* Key fields and numbers that are not in the frame: none here. */
INLINE __u32 hook_mark(hook_ctx *ctx)
{
	return 0;
}

INLINE __u32 hook_priority(hook_ctx *ctx)
{
	return 0;
}

INLINE void hook_metadata(hook_ctx *ctx, struct flow_key *key)
{
}

INLINE long hook_load(hook_ctx *ctx, __u32 at, void *to, __u32 size)
{
	return xdp_load_bytes(ctx, at, to, size);
}

/* Frames come as they were on the wire, in one piece. */
INLINE __u64 hook_segment_size(hook_ctx *ctx, const struct scratch *s)
{
	return 0;
}

INLINE long hook_store(hook_ctx *ctx, __u32 at, const void *from, __u32 size)
{
	return xdp_store_bytes(ctx, at, from, size);
}

/*
 * Change a 16-bit checksum in the frame by a difference.  zero_is_none: UDP's, where 0 means there is none.
 * addresses: the difference is one of addresses, which a sum that is left to the device contains already.
 */
INLINE long hook_csum(hook_ctx *ctx, __u32 at, __u64 difference, int zero_is_none, int addresses)
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

/* Take the 4 bytes behind the addresses away.  A frame without a whole tag and a type behind it stays as it is. */
INLINE long hook_pop_vlan(hook_ctx *ctx)
{
	__u8 addresses[12];
	__be16 type[3];

	if (hook_load(ctx, 12, type, sizeof(type)))
		return 0;
	if (type[0] != be16(ETHER_VLAN) && type[0] != be16(ETHER_QINQ))
		return 0;
	if (hook_load(ctx, 0, addresses, sizeof(addresses)) || hook_store(ctx, 4, addresses, sizeof(addresses)))
		return -1;
	return bpf_xdp_adjust_head(ctx, 4);
}

INLINE long hook_cut(hook_ctx *ctx, __u32 bytes)
{
	return bpf_xdp_adjust_tail(ctx, -(int)bytes);
}

/* Why a frame of this size may not leave by the device; a tag's 4 bytes are not counted, as in the kernel. */
INLINE enum drop_reason hook_refuses(hook_ctx *ctx, __u32 ifindex, __u64 size)
{
	__u32 mtu = 0;

	if (size <= MTU_UNCHECKED || xdp_check_mtu(ctx, ifindex, &mtu, -4, 0) <= 0)
		return DROP_NONE;
	return DROP_TOO_LONG;
}

/* Send the frame; the program's verdict, HOOK_DROP when the port has no device. */
/* Where a port's frames go: the kernel, which is given the port, knows whether that device is still there. */
INLINE __u32 hook_device_of(__u32 port, const struct port_info *info)
{
	return info->ifindex;
}

INLINE int hook_send(hook_ctx *ctx, __u32 port, __u32 ifindex)
{
	return bpf_redirect_map(MAP(MAP_PORTS), port, XDP_DROP);
}

/* Only the other hook has these; no list that asks for them is carried out here. */
INLINE enum drop_reason hook_send_copy(hook_ctx *ctx, __u32 ifindex, __u32 cut)
{
	return DROP_BAD_ACTIONS;
}

INLINE enum drop_reason hook_send_back(hook_ctx *ctx, const struct scratch *s, __u32 ifindex, __u32 recirc_id)
{
	return DROP_BAD_ACTIONS;
}

INLINE enum drop_reason hook_send_nested(hook_ctx *ctx, const struct scratch *s, __u32 ifindex, __u32 place)
{
	return DROP_BAD_ACTIONS;
}

INLINE long hook_set_mark(hook_ctx *ctx, __u32 value, __u32 mask)
{
	return -1;
}

INLINE long hook_set_priority(hook_ctx *ctx, __u32 value, __u32 mask)
{
	return -1;
}

/* Write down where the walk goes on; -1 when the device takes nothing along with a frame. */
INLINE long hook_write_note(hook_ctx *ctx, const struct scratch *s)
{
	const struct dp_meta *meta = map_at(MAP(MAP_META), 0);
	struct hand_over *note;

	if (!meta || xdp_adjust_meta(ctx, -(int)sizeof(*note)))
		return -1;
	note = (void *)(long)ctx->data_meta;
	if ((void *)(note + 1) > (void *)(long)ctx->data)
		return -1;
	*note = (struct hand_over){ .token = meta->token, .recirc_id = s->recirc_id, .dp_hash = s->dp_hash,
				    .in_port = s->in_port, .passes = s->passes };
	return 0;
}

/* Leave the frame to the tc program of this port, if its list asks for that.  A whole walk needs no note. */
INLINE enum handed hook_hand_over(hook_ctx *ctx, const struct scratch *s)
{
	if (likely(!(s->actions >> ACTIONS_NOT_XDP_SHIFT & 1)))
		return HANDED_NOT;
	return hook_write_note(ctx, s) && s->passes ? HANDED_LOST : HANDED_ON;
}

INLINE void hook_resume(hook_ctx *ctx, struct scratch *s)
{
}

#endif
