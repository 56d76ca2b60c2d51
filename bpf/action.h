/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * action.h - carry out an action list on a frame.
 *
 * The record's reference is read once, so that the list is the old or the new one whole.  The list's
 * place in it is kept in scratch memory, where the verifier does not follow it.  An output or a recirculation
 * that is not the end of the list is for a copy, with the edits so far; there are no copies on the XDP hook,
 * which leaves such lists to tc.  Lists within actions: action_nest.h.
 *
 * A program carries out so many actions and then calls itself.  What it goes on with is in scratch memory.
 */
#ifndef UFID_ACTION_H
#define UFID_ACTION_H

#include "action_mpls.h"
#include "action_set_more.h"
#include "hash.h"
#include "loop.h"
#include "maps.h"
#include "meter.h"
#include "upcall.h"

enum { NO_PORT = DP_MAX_PORTS };	/* for a packet that was not sent */

/* What becomes of the packet, or of a copy. */
struct verdict {
	int code;			/* what the program returns */
	enum drop_reason reason;	/* DROP_NONE unless the packet ends here */
	__u32 out_port;			/* when it was sent */
	__u32 size;			/* as it was sent */
};

INLINE struct verdict act_drop(enum drop_reason reason)
{
	return (struct verdict){ .code = HOOK_DROP, .reason = reason };
}

/* The program is done with the packet, and there is nothing to count. */
INLINE struct verdict act_end(int code)
{
	return (struct verdict){ .code = code, .out_port = NO_PORT };
}

/* Count a verdict: where the packet left or, if it ended here, where it had come in and by the reason. */
INLINE void act_count(const struct scratch *s, struct dp_stats *dp, struct verdict v)
{
	struct port_stats *port = stats_port(v.reason ? s->in_port : v.out_port);
	__u64 reason = opaque(v.reason);

	if (v.reason != DROP_NONE && reason < DROP_REASONS)
		dp->drops[reason]++;
	if (port && reason != DROP_NONE)
		port->rx_dropped++;
	if (port && reason == DROP_NONE) {
		port->tx_packets++;
		port->tx_bytes += v.size;
	}
}

/* What trunc takes off the next copy: at least an Ethernet header is left. */
INLINE __u32 act_take_cut(hook_ctx *ctx, struct scratch *s)
{
	__u64 size = hook_bytes(ctx);
	__u32 cut = s->cut;

	s->cut = 0;
	if (cut && size < sizeof(struct eth_header) + cut)
		cut = size > sizeof(struct eth_header) ? size - sizeof(struct eth_header) : 0;
	return cut;
}

INLINE struct verdict act_output(hook_ctx *ctx, struct scratch *s, __u32 port)
{
	const struct port_info *info = map_at(MAP(MAP_PORT_INFO), port);
	__u32 cut = act_take_cut(ctx, s);
	enum drop_reason refused;
	__u32 ifindex;
	__u64 size;
	int code;

	if (!info || info->kind == PORT_NONE)
		return act_drop(DROP_NO_PORT);
	if (cut && hook_cut(ctx, cut))
		return act_drop(DROP_ACTION_ERROR);
	size = hook_size(ctx);
	ifindex = hook_device_of(port, info);
	refused = hook_refuses(ctx, ifindex, size);
	if (refused)
		return act_drop(refused);
	code = hook_send(ctx, port, ifindex);
	if (code == HOOK_DROP)
		return act_drop(DROP_NO_PORT);
	return (struct verdict){ .code = code, .out_port = port, .size = size };
}

/* An output that is not the end of the list.  A copy that cannot be sent is counted; -1 ends the list. */
INLINE long act_output_copy(hook_ctx *ctx, struct scratch *s, struct dp_stats *dp, __u32 port)
{
	const struct port_info *info = map_at(MAP(MAP_PORT_INFO), port);
	__u32 cut = act_take_cut(ctx, s);
	__u64 size = hook_size(ctx) - cut;
	enum drop_reason reason = DROP_NO_PORT;
	__u32 ifindex = 0;

	s->copies++;
	if (info && info->kind != PORT_NONE)
		ifindex = hook_device_of(port, info);
	if (ifindex)
		reason = hook_refuses(ctx, ifindex, size);
	if (!reason)
		reason = hook_send_copy(ctx, ifindex, cut);
	if (reason == DROP_ACTION_ERROR)
		return -1;
	act_count(s, dp, (struct verdict){ .reason = reason, .out_port = port, .size = size });
	return 0;
}

/* Bytes came or, if negative, went behind the addresses. */
INLINE void act_shift(struct scratch *s, __s32 bytes)
{
	s->at.l3 += s->at.l3 ? bytes : 0;
	s->at.l4 += s->at.l4 ? bytes : 0;
	s->at.option += s->at.option ? bytes : 0;
}

/* The bit that says "present" in a key is not sent. */
INLINE long act_push_vlan(hook_ctx *ctx, struct scratch *s, __u32 tpid_tci)
{
	__u64 before = hook_bytes(ctx);

	if (hook_push_vlan(ctx, be16(tpid_tci >> 16), be16(tpid_tci & ~VLAN_PRESENT)))
		return -1;
	act_shift(s, hook_bytes(ctx) - before);
	return 0;
}

/* A frame without a whole tag and a type behind it passes unchanged. */
INLINE long act_pop_vlan(hook_ctx *ctx, struct scratch *s)
{
	__u64 before = hook_bytes(ctx);

	if (hook_pop_vlan(ctx))
		return -1;
	act_shift(s, hook_bytes(ctx) - before);
	return 0;
}

/* trunc counts what is to be cut now; later pushes and pops change the size, not the cut. */
INLINE void act_trunc(hook_ctx *ctx, struct scratch *s, __u32 max_size)
{
	__u64 size = hook_size(ctx);

	s->cut = size > max_size ? size - max_size : 0;
}

/* The cookie's units into the upcall; whole units, the rest is zero in both. */
INLINE void act_copy_userdata(struct upcall *head, __u32 first, __u32 units)
{
#pragma unroll
	for (int i = 0; i < USERDATA_MAX / (int)sizeof(struct action_unit); i++) {
		const struct action_unit *unit = map_at(MAP(MAP_ACTIONS), first + i);

		if (unit && i < units)
			__builtin_memcpy(head->userdata + i * sizeof(*unit), unit, sizeof(*unit));
	}
}

INLINE void act_userspace(hook_ctx *ctx, struct scratch *s, const struct action_unit *unit, struct dp_stats *dp)
{
	__u64 wide = unit->wide, size = hook_size(ctx), cut = s->cut;
	struct upcall_buffer *buffer;
	long result = -1;

	s->cut = 0;
	buffer = upcall_listened() ? upcall_begin(s, UPCALL_ACTION) : 0;
	if (buffer) {
		buffer->head.pid = unit->arg;
		buffer->head.tun_port = wide >> USERSPACE_TUN_PORT_SHIFT;
		buffer->head.userdata_size = wide >> USERSPACE_SIZE_SHIFT;
		buffer->head.has = (wide >> USERSPACE_HAS_USERDATA_SHIFT) & 7;
		if (wide >> USERSPACE_ACTIONS_SHIFT & 1)
			buffer->head.actions = s->actions;
		buffer->head.slot = s->slot;
		buffer->head.generation = s->generation;
		act_copy_userdata(&buffer->head, s->unit - unit->units, unit->units);
		result = upcall_send(ctx, buffer, size - (cut < size ? cut : 0), size);
	}
	upcall_count(dp, result);
}

INLINE struct verdict act_recirculate(hook_ctx *ctx, struct scratch *s, __u32 recirc_id)
{
	if (s->passes >= RECIRC_LIMIT)
		return act_drop(DROP_RECIRC_LIMIT);
	s->passes++;
	s->recirc_id = recirc_id;
	hook_call(ctx, PROGRAM_AGAIN);
	return act_drop(DROP_INTERNAL);
}

/*
 * Another pass for a copy, while the packet itself goes on.  The copy waits in the kernel's queue and comes back
 * in at the local port, after this walk.
 */
INLINE long act_recirculate_copy(hook_ctx *ctx, struct scratch *s, struct dp_stats *dp, __u32 recirc_id)
{
	const struct port_info *local = map_at(MAP(MAP_PORT_INFO), 0);
	enum drop_reason reason = DROP_RECIRC_LIMIT;

	s->copies++;
	if (s->passes < RECIRC_LIMIT)
		reason = local ? hook_send_back(ctx, s, hook_device_of(0, local), recirc_id) : DROP_INTERNAL;
	if (reason)
		act_count(s, dp, act_drop(reason));
	return 0;
}

#include "action_nest.h"
#include "sample.h"

/* The set actions; 0, or -1 when the frame does not fit. */
INLINE long act_set(hook_ctx *ctx, struct scratch *s, const struct action_unit *unit, __u32 operand)
{
	const void *value, *mask;

	if (unit->type == ACTION_SET_MARK)
		return hook_set_mark(ctx, unit->arg, unit->wide);
	if (unit->type == ACTION_SET_PRIORITY)
		return hook_set_priority(ctx, unit->arg, unit->wide);
	if (unit->type == ACTION_SET_TP)
		return act_set_ports(ctx, s, unit->arg, unit->wide);
	if (unit->type == ACTION_SET_IPV6)
		return act_set_ipv6(ctx, s, operand);
	if (unit->type == ACTION_SET_MPLS)
		return act_set_mpls(ctx, s, unit->arg, unit->wide);
	if (unit->type == ACTION_SET_ICMP)
		return act_set_icmp(ctx, s, unit->wide, unit->wide >> 32);
	if (unit->type == ACTION_SET_ARP)
		return act_set_arp(ctx, s, operand);
	if (unit->type == ACTION_SET_ND)
		return act_set_nd(ctx, s, operand);
	value = map_at(MAP(MAP_ACTIONS), operand);
	mask = map_at(MAP(MAP_ACTIONS), operand + 1);
	if (!value || !mask)
		return -1;
	if (unit->type == ACTION_SET_ETH)
		return act_set_eth(ctx, s, value, mask);
	return act_set_ipv4(ctx, s, value, mask);
}

/* Begin with a flow's list. */
INLINE void act_begin(struct scratch *s, const struct flow_record *flow)
{
	s->actions = *(volatile const __u64 *)&flow->actions;
	s->generation = flow->generation;
	s->unit = s->actions >> ACTIONS_AT_SHIFT;
	s->units_end = s->unit + (s->actions >> ACTIONS_UNITS_SHIFT & 0xffff);
	s->cut = 0;
	s->copies = 0;
}

/* What only a list of several actions needs. */
INLINE void act_begin_list(struct scratch *s)
{
	s->probability = 0;
	s->depth = 0;
	s->at_end = DROP_ACTION;
}

/* Whether the action that is being carried out is the packet's last one, and not a copy's. */
INLINE int act_is_last(const struct scratch *s)
{
	return !HOOK_SENDS_COPIES || (s->unit == s->units_end && !s->depth);
}

/* Nothing is left to do: the packet was sent already, or it was not. */
INLINE struct verdict act_finish(const struct scratch *s)
{
	return s->copies || !s->at_end ? act_end(HOOK_DROP) : act_drop(s->at_end);
}

INLINE struct verdict act_execute(hook_ctx *ctx, struct scratch *s, struct dp_stats *dp)
{
	__u64 steps = 0;

	while (loop_counts_on(steps, ACTIONS_IN_A_ROW)) {
		__u32 operand = s->unit + 1;
		enum drop_reason dropped = DROP_NONE;
		const struct action_unit *unit;
		long failed = 0;

		if (s->unit >= s->units_end) {
			if (!act_pop_nest(ctx, s))
				return act_finish(s);
			continue;
		}
		unit = map_at(MAP(MAP_ACTIONS), s->unit);
		if (!unit)
			return act_drop(DROP_BAD_ACTIONS);
		s->unit = operand + unit->units;
		switch (unit->type) {
		case ACTION_OUTPUT:
			if (act_is_last(s))
				return act_output(ctx, s, unit->arg);
			failed = act_output_copy(ctx, s, dp, unit->arg);
			break;
		case ACTION_DROP:
			dropped = unit->arg ? DROP_EXPLICIT_ERROR : DROP_EXPLICIT;
			break;
		case ACTION_RECIRC:
			if (act_is_last(s))
				return act_recirculate(ctx, s, unit->arg);
			failed = act_recirculate_copy(ctx, s, dp, unit->arg);
			break;
		case ACTION_PUSH_VLAN:
			failed = act_push_vlan(ctx, s, unit->arg);
			break;
		case ACTION_POP_VLAN:
			failed = act_pop_vlan(ctx, s);
			break;
		case ACTION_PUSH_MPLS:
			failed = act_push_mpls(ctx, s, unit->arg, unit->wide);
			break;
		case ACTION_POP_MPLS:
			failed = act_pop_mpls(ctx, s, unit->arg);
			break;
		case ACTION_SET_MPLS:
		case ACTION_SET_ARP:
		case ACTION_SET_ICMP:
		case ACTION_SET_ND:
		case ACTION_SET_ETH:
		case ACTION_SET_IPV4:
		case ACTION_SET_IPV6:
		case ACTION_SET_TP:
		case ACTION_SET_MARK:
		case ACTION_SET_PRIORITY:
			failed = act_set(ctx, s, unit, operand);
			break;
		case ACTION_HASH:
			s->dp_hash = hash_key(&s->key, unit->arg, unit->wide);
			break;
		case ACTION_TRUNC:
			act_trunc(ctx, s, unit->arg);
			break;
		case ACTION_USERSPACE:
			act_userspace(ctx, s, unit, dp);
			break;
		case ACTION_METER:
			dropped = meter_exceeded(unit->arg, hook_size(ctx)) ? DROP_METER : DROP_NONE;
			break;
		case ACTION_PSAMPLE:
			act_psample(ctx, s, unit, dp);
			break;
		case ACTION_SAMPLE:
		case ACTION_CLONE:
		case ACTION_CHECK_PKT_LEN:
		case ACTION_DEC_TTL:
			failed = act_nest(ctx, s, dp, unit);
			break;
		default:
			return act_drop(DROP_BAD_ACTIONS);
		}
		if (failed)
			return act_drop(failed < 0 ? DROP_ACTION_ERROR : (enum drop_reason)failed);
		if (dropped) {
			if (!s->depth)
				return act_drop(dropped);
			act_count(s, dp, act_drop(dropped));	/* of the copy; the packet goes on */
			s->unit = s->units_end;
		}
	}
	hook_call(ctx, PROGRAM_ACTIONS);
	return act_drop(DROP_TOO_MANY);
}

#endif
