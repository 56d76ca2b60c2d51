/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * tc.c - the datapath on the tc hook, at a port's ingress: what xdp.c leaves, or every frame where a port
 * has no XDP.  What it does not send on ends here; nothing reaches the host's own stack but by port 0.
 */
#include "hook_tc_mpls.h"
#include "datapath.h"

int dp_tc(struct __sk_buff *ctx)
{
	return dp_run(ctx, DP_ENTER);
}

int dp_tc_again(struct __sk_buff *ctx)
{
	return dp_run(ctx, DP_AGAIN);
}

int dp_tc_actions(struct __sk_buff *ctx)
{
	return dp_run(ctx, DP_ACTIONS);
}
