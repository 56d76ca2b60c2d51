/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * xdp.c - the datapath on the XDP hook: a frame as it comes from the device.
 *
 * A frame whose actions this hook cannot carry out goes on to tc.c, untouched in its first pass.
 */
#include "hook_xdp_mpls.h"
#include "datapath.h"

int dp_xdp(struct xdp_md *ctx)
{
	return dp_run(ctx, DP_ENTER);
}

int dp_xdp_again(struct xdp_md *ctx)
{
	return dp_run(ctx, DP_AGAIN);
}

int dp_xdp_actions(struct xdp_md *ctx)
{
	return dp_run(ctx, DP_ACTIONS);
}
