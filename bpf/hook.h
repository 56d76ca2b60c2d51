/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * hook.h - what the two hooks have in common.  Pure: types only.
 *
 * hook_xdp.h and hook_tc.h define the same functions, hook_*, over their own kind of frame.  All else
 * is written once, over these.  A main file includes one of the two before anything that uses it.
 */
#ifndef UFID_HOOK_H
#define UFID_HOOK_H

#include "abi.h"

enum { UPCALL_PACKET_MAX = sizeof(((struct upcall_buffer *)0)->packet) };

/* What became of the wish to leave a frame to the other hook. */
enum handed {
	HANDED_NOT = 0,			/* this one carries the list out */
	HANDED_ON = 1,
	HANDED_LOST = 2,		/* it cannot be said where the walk is to go on */
};

#endif
