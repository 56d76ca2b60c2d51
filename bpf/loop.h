/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * loop.h - loops that the verifier accepts.
 *
 * `while (loop_goes_on(steps, limit) && ...)` is a loop that other conditions end; steps is a __u64
 * that starts at 0.  From Linux 6.9 on the loop carries a may_goto instruction, which makes the
 * kernel itself bound it: the verifier then looks at the body a few times.  Before, steps is counted
 * up to limit and the verifier follows every round.  Compilers of this age do not know the
 * instruction, so it is written out: opcode 0xe5, and a jump offset.
 *
 * `while (loop_counts_on(steps, limit) && ...)` is counted on every kernel, for a body whose many paths
 * cost less when each round is followed once.
 *
 * Verifier: the body must not carry a number that it can follow from round to round, or no two rounds
 * look alike.  Such a counter belongs in a map's memory.
 */
#ifndef UFID_LOOP_H
#define UFID_LOOP_H

#define loop_counts_on(steps, limit) ((steps)++ < (limit))

#ifdef HAVE_MAY_GOTO
#define loop_allowed()                                                                            \
	({                                                                                        \
		__label__ out, on;                                                                \
		int allowed = 1;                                                                  \
		asm volatile goto("1: .byte 0xe5; .byte 0; "                                      \
				  ".long ((%l[out] - 1b - 8) / 8) & 0xffff; .short 0" ::::out);   \
		goto on;                                                                          \
	out:                                                                                      \
		allowed = 0;                                                                      \
	on:;                                                                                      \
		allowed;                                                                          \
	})
#define loop_goes_on(steps, limit) ((void)(steps), loop_allowed())
#else
#define loop_goes_on(steps, limit) loop_counts_on(steps, limit)
#endif

#endif
