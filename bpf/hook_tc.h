/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * hook_tc.h - what actions need of a frame, on the tc hook.
 *
 * Here the outer VLAN tag is kept beside the frame, never in its bytes: offsets count without it, sizes
 * with it.  Checksums may be left to the device and frames may be long ones still to be cut into segments;
 * the helpers know both, so every change goes through them.  The kernel's own sum of the frame, where the
 * device gave one, is kept right as well: stores behind the Ethernet header are added to it.
 */
#ifndef UFID_HOOK_TC_H
#define UFID_HOOK_TC_H

#include "csum.h"
#include "hook.h"
#include "key.h"
#include "maps.h"

/* Helpers by number, as in hook_xdp.h. */
static long (*const tc_store_bytes)(void *, __u32, const void *, __u32, __u64) = (void *)9;
static long (*const tc_l4_csum_replace)(void *, __u32, __u64, __u64, __u64) = (void *)11;
static long (*const tc_tail_call)(void *, void *, __u32) = (void *)12;
static long (*const tc_clone_redirect)(void *, __u32, __u64) = (void *)13;
static long (*const tc_vlan_push)(void *, __be16, __u16) = (void *)18;
static long (*const tc_vlan_pop)(void *) = (void *)19;
static long (*const tc_redirect)(__u32, __u64) = (void *)23;
static long (*const tc_load_bytes)(const void *, __u32, void *, __u32) = (void *)26;
static long (*const tc_change_tail)(void *, __u32, __u64) = (void *)38;
static long (*const tc_pull_data)(void *, __u32) = (void *)39;
static __s64 (*const tc_csum_update)(void *, __u32) = (void *)40;
static long (*const tc_check_mtu)(void *, __u32, __u32 *, __s32, __u64) = (void *)163;

typedef struct __sk_buff hook_ctx;

enum {
	HOOK_DROP = 2,			/* TC_ACT_SHOT: nothing reaches the host's stack by itself */
	HOOK_PASS = HOOK_DROP,		/* nobody comes after this hook */
	HOOK_SENDS_COPIES = 1,
	HEADERS_MAX = 256,		/* bytes that are made readable in place */
	STORE_RECOMPUTE = 1 << 0,	/* BPF_F_RECOMPUTE_CSUM */
	CSUM_PSEUDO = 1 << 4,		/* BPF_F_PSEUDO_HDR */
	CSUM_ZERO_IS_NONE = 1 << 5,	/* BPF_F_MARK_MANGLED_0 */
	MTU_SEGMENTS = 1 << 0,		/* BPF_MTU_CHK_SEGS */
	REDIRECT_INGRESS = 1 << 0,	/* BPF_F_INGRESS */
};

INLINE void hook_call(hook_ctx *ctx, enum program_id program)
{
	tc_tail_call(ctx, MAP(MAP_TC_PROGRAMS), program);
}

INLINE __u32 hook_ifindex(hook_ctx *ctx)
{
	return ctx->ifindex;
}

/* The headers may lie in pages beside the frame's first buffer: bring them there. */
INLINE struct cursor hook_frame(hook_ctx *ctx)
{
	__u32 wanted = ctx->len < HEADERS_MAX ? ctx->len : HEADERS_MAX;

	if ((long)ctx->data + wanted > (long)ctx->data_end)
		tc_pull_data(ctx, wanted);
	return (struct cursor){ (void *)(long)ctx->data, (void *)(long)ctx->data_end };
}

INLINE __u64 hook_bytes(hook_ctx *ctx)
{
	return ctx->len;
}

INLINE __u64 hook_size(hook_ctx *ctx)
{
	return ctx->len + (ctx->vlan_present ? sizeof(struct vlan_header) : 0);
}

INLINE struct vlan_beside hook_tag(hook_ctx *ctx)
{
	if (!ctx->vlan_present)
		return (struct vlan_beside){};
	return (struct vlan_beside){ .tpid = ctx->vlan_proto, .tci = be16(ctx->vlan_tci) };
}

INLINE __u32 hook_mark(hook_ctx *ctx)
{
	return ctx->mark;
}

INLINE __u32 hook_priority(hook_ctx *ctx)
{
	return ctx->priority;
}

INLINE void hook_metadata(hook_ctx *ctx, struct flow_key *key)
{
	key->hot.skb_mark = ctx->mark;
	key->mid.skb_priority = ctx->priority;
}

INLINE long hook_load(hook_ctx *ctx, __u32 at, void *to, __u32 size)
{
	return tc_load_bytes(ctx, at, to, size);
}

/* How long the segments are that the frame is still to be cut into, but for an outer tag; 0: it is not. */
INLINE __u64 hook_segment_size(hook_ctx *ctx, const struct scratch *s)
{
	__u64 header = sizeof(struct udp_header);
	__u8 offset = 0;

	if (!ctx->gso_size || !s->at.l4)
		return 0;
	if (s->key.hot.ip_proto == PROTO_TCP) {
		if (hook_load(ctx, s->at.l4 + 12, &offset, sizeof(offset)))
			return 0;
		header = (offset >> 4) * 4;
	}
	return s->at.l4 + header + ctx->gso_size;
}

INLINE long hook_store(hook_ctx *ctx, __u32 at, const void *from, __u32 size)
{
	return tc_store_bytes(ctx, at, from, size, at ? STORE_RECOMPUTE : 0);
}

/* The tag goes behind the addresses.  "to" has room for a whole upcall's packet. */
INLINE long hook_copy_out(hook_ctx *ctx, void *to, __u64 size)
{
	struct vlan_beside tag = hook_tag(ctx);
	__u64 last = opaque(size - 1), last_of_rest = opaque(last - sizeof(tag));

	if (!tag.tpid)
		return last < UPCALL_PACKET_MAX ? tc_load_bytes(ctx, 0, to, last + 1) : -1;
	if (last_of_rest >= UPCALL_PACKET_MAX - sizeof(tag))
		return -1;
	if (tc_load_bytes(ctx, 0, to + sizeof(tag), last_of_rest + 1))
		return -1;
	if (tc_load_bytes(ctx, 0, to, 12))
		return -1;
	__builtin_memcpy(to + 12, &tag, sizeof(tag));
	return 0;
}

/*
 * The helper counts a difference of addresses in the kernel's sum of the frame; one of ports cancels out
 * there but for what the field itself changed by, which is nothing where UDP has no checksum.
 */
INLINE long hook_csum(hook_ctx *ctx, __u32 at, __u64 difference, int zero_is_none, int addresses)
{
	__u64 flags = (zero_is_none ? CSUM_ZERO_IS_NONE : 0) | (addresses ? CSUM_PSEUDO : 0);
	__u16 was, is;

	if (hook_load(ctx, at, &was, sizeof(was)))
		return -1;
	if (tc_l4_csum_replace(ctx, at, 0, csum_fold(difference), flags))
		return -1;
	if (!addresses && !hook_load(ctx, at, &is, sizeof(is)))
		tc_csum_update(ctx, csum_fold(csum_diff16(was, is)));
	return 0;
}

INLINE long hook_push_vlan(hook_ctx *ctx, __be16 tpid, __be16 tci)
{
	return tc_vlan_push(ctx, tpid, be16(tci));
}

/* The helper puts a second tag in the first one's place, and complains of one that is cut short; the first is gone. */
INLINE long hook_pop_vlan(hook_ctx *ctx)
{
	__u64 size = hook_size(ctx);
	__be16 type[3];

	if (!ctx->vlan_present) {
		if (hook_load(ctx, 12, type, sizeof(type)))
			return 0;
		if (type[0] != be16(ETHER_VLAN) && type[0] != be16(ETHER_QINQ))
			return 0;
	}
	return tc_vlan_pop(ctx) && hook_size(ctx) == size ? -1 : 0;
}

INLINE long hook_cut(hook_ctx *ctx, __u32 bytes)
{
	return tc_change_tail(ctx, ctx->len - bytes, 0);
}

/* As on the other hook, but that a frame which is still to be cut into segments is measured by these. */
INLINE enum drop_reason hook_refuses(hook_ctx *ctx, __u32 ifindex, __u64 size)
{
	__s32 difference = (__s32)size - (__s32)ctx->len - (__s32)sizeof(struct vlan_header);
	__u32 mtu = 0;
	long answer;

	if (!ifindex)
		return DROP_NO_PORT;
	answer = ctx->gso_size ? tc_check_mtu(ctx, ifindex, &mtu, 0, MTU_SEGMENTS) :
				 tc_check_mtu(ctx, ifindex, &mtu, difference, 0);
	if (answer < 0)
		return DROP_NO_PORT;
	return answer ? DROP_TOO_LONG : DROP_NONE;
}

/*
 * Where a port's frames go, or 0.  The kernel itself takes a device out of the map of ports when it is deleted or
 * leaves the namespace: another one that gets its ifindex is nobody's.
 */
INLINE __u32 hook_device_of(__u32 port, const struct port_info *info)
{
	const __u32 *ifindex = map_at(MAP(MAP_TC_PORTS), port);

	return ifindex ? *ifindex : 0;
}

INLINE int hook_send(hook_ctx *ctx, __u32 port, __u32 ifindex)
{
	return tc_redirect(ifindex, 0);
}

/*
 * Send a copy that lacks "cut" bytes at the end.  Those are put aside, and back again afterwards, in the
 * memory where upcalls are put together.  DROP_ACTION_ERROR: the frame itself is lost.
 */
INLINE enum drop_reason hook_send_cut(hook_ctx *ctx, __u32 ifindex, __u64 cut)
{
	struct upcall_buffer *buffer = map_at(MAP(MAP_UPCALL_BUFFER), 0);
	__u64 size = ctx->len, last = opaque(cut - 1);
	long sent;

	if (!buffer || ctx->gso_size || last >= UPCALL_PACKET_MAX || cut >= size)
		return DROP_TRUNC;
	cut = last + 1;
	if (tc_load_bytes(ctx, size - cut, buffer->packet, cut) || tc_change_tail(ctx, size - cut, 0))
		return DROP_TRUNC;
	sent = tc_clone_redirect(ctx, ifindex, 0);
	if (tc_change_tail(ctx, size, 0) || tc_store_bytes(ctx, size - cut, buffer->packet, cut, 0))
		return DROP_ACTION_ERROR;
	return sent < 0 ? DROP_NO_PORT : DROP_NONE;
}

/* What the device itself drops was sent all the same, as with the last output. */
INLINE enum drop_reason hook_send_copy(hook_ctx *ctx, __u32 ifindex, __u32 cut)
{
	if (cut)
		return hook_send_cut(ctx, ifindex, cut);
	return tc_clone_redirect(ctx, ifindex, 0) < 0 ? DROP_NO_PORT : DROP_NONE;
}

enum { NOTE_WORDS = sizeof(struct copy_note) / sizeof(__u32) };

/*
 * The note of a copy, in the words that a socket buffer has for programs.
 *
 * Verifier: the context may only be read at an offset that is in the instruction, and a compiler that is not
 * held back adds it to the pointer for all the words at once.
 */
INLINE void hook_write_copy_note(hook_ctx *ctx, const struct copy_note *note)
{
	const __u32 *words = (const void *)note;

#pragma unroll
	for (int i = 0; i < NOTE_WORDS; i++) {
		hook_ctx *same = ctx;

		asm volatile("" : "+r"(same));
		same->cb[i] = words[i];
	}
}

INLINE struct copy_note hook_read_copy_note(hook_ctx *ctx)
{
	struct copy_note note;
	__u32 *words = (void *)&note;

#pragma unroll
	for (int i = 0; i < NOTE_WORDS; i++) {
		hook_ctx *same = ctx;

		asm volatile("" : "+r"(same));
		words[i] = same->cb[i];
	}
	return note;
}

/* Send a copy in again at a device, with word of where its walk goes on: the note but for token and priority. */
INLINE enum drop_reason hook_send_with(hook_ctx *ctx, __u32 ifindex, struct copy_note note)
{
	const struct dp_meta *meta = map_at(MAP(MAP_META), 0);
	long lost;

	if (!meta)
		return DROP_INTERNAL;
	note.token = meta->token;
	note.priority = ctx->priority;
	hook_write_copy_note(ctx, &note);
	lost = tc_clone_redirect(ctx, ifindex, REDIRECT_INGRESS);
	note = (struct copy_note){};
	hook_write_copy_note(ctx, &note);
	return lost ? DROP_DEFERRED : DROP_NONE;
}

/* Send a copy in again, for another pass. */
INLINE enum drop_reason hook_send_back(hook_ctx *ctx, const struct scratch *s, __u32 ifindex, __u32 recirc_id)
{
	struct copy_note note = { .recirc_id = recirc_id, .dp_hash = s->dp_hash, .in_port = s->in_port,
				  .passes = s->passes + 1 };

	return hook_send_with(ctx, ifindex, note);
}

/* Send a copy in again, to go on within a list; what it needs waits at a place. */
INLINE enum drop_reason hook_send_nested(hook_ctx *ctx, const struct scratch *s, __u32 ifindex, __u32 place)
{
	struct copy_note note = { .recirc_id = place, .dp_hash = s->let_go, .in_port = s->in_port,
				  .passes = COPY_NESTED };

	return hook_send_with(ctx, ifindex, note);
}

INLINE long hook_set_mark(hook_ctx *ctx, __u32 value, __u32 mask)
{
	ctx->mark = (ctx->mark & ~mask) | value;
	return 0;
}

INLINE long hook_set_priority(hook_ctx *ctx, __u32 value, __u32 mask)
{
	ctx->priority = (ctx->priority & ~mask) | value;
	return 0;
}

/* There is no hook behind this one. */
INLINE enum handed hook_hand_over(hook_ctx *ctx, const struct scratch *s)
{
	return HANDED_NOT;
}

/*
 * Go on with a copy that was sent back, if this is one; the note is used up.  Any other buffer has anything there.
 * s->passes is COPY_NESTED for one that goes on within a list.
 */
INLINE int hook_resume_copy(hook_ctx *ctx, struct scratch *s, const struct dp_meta *meta)
{
	struct copy_note note = hook_read_copy_note(ctx);

	if (s->in_port || note.token != (__u32)meta->token || !note.passes)
		return 0;
	if (note.passes > RECIRC_LIMIT && note.passes != COPY_NESTED)
		return 0;
	s->in_port = note.in_port;
	s->passes = note.passes;
	s->recirc_id = note.recirc_id;
	s->dp_hash = note.dp_hash;
	ctx->priority = note.priority;
	note = (struct copy_note){};
	hook_write_copy_note(ctx, &note);
	return 1;
}

/* Go on where the walk of this frame stopped, if there is word of that.  To be asked before data moves. */
INLINE void hook_resume(hook_ctx *ctx, struct scratch *s)
{
	const struct dp_meta *meta = map_at(MAP(MAP_META), 0);
	const struct hand_over *note = (void *)(long)ctx->data_meta;

	if (!meta || hook_resume_copy(ctx, s, meta) || (void *)(note + 1) > (void *)(long)ctx->data)
		return;
	if (note->token != meta->token || note->in_port != s->in_port)
		return;
	s->passes = note->passes;
	s->recirc_id = note->recirc_id;
	s->dp_hash = note->dp_hash;
}

#endif
