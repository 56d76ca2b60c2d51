/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * action.h - carry out a flow's action list on an XDP frame.
 *
 * The list is read through the record's reference once, so that it is the old or the new one whole.
 */
#ifndef UFID_ACTION_H
#define UFID_ACTION_H

#include "maps.h"

/* What becomes of the packet. */
struct verdict {
	int xdp;			/* enum xdp_action */
	enum drop_reason reason;	/* DROP_NONE unless the packet ends here */
	__u32 out_port;			/* when it was sent */
};

INLINE struct verdict act_drop(enum drop_reason reason)
{
	return (struct verdict){ .xdp = XDP_DROP, .reason = reason };
}

INLINE struct verdict act_output(__u32 port)
{
	if (bpf_redirect_map(MAP(MAP_PORTS), port, XDP_DROP) != XDP_REDIRECT)
		return act_drop(DROP_NO_PORT);
	return (struct verdict){ .xdp = XDP_REDIRECT, .out_port = port };
}

INLINE struct verdict act_execute(const struct flow_record *flow)
{
	__u64 ref = *(volatile const __u64 *)&flow->actions;
	const struct action_block *block = map_at(MAP(MAP_ACTIONS), ref >> ACTIONS_ID_SHIFT);

	if (!block || ref >> ACTIONS_CLASS_SHIFT)
		return act_drop(DROP_BAD_ACTIONS);
	if (!block->count)
		return act_drop(DROP_ACTION);
	if (block->count != 1 || block->list[0].type != ACTION_OUTPUT)
		return act_drop(DROP_BAD_ACTIONS);
	return act_output(block->list[0].arg);
}

#endif
