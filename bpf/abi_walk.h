/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * abi_walk.h - a packet's walk: its working memory, the notes that it goes on by, and what it leaves for userspace.
 * Part of abi.h.
 */
#ifndef UFID_ABI_WALK_H
#define UFID_ABI_WALK_H

#include <linux/types.h>
#include "abi_action.h"
#include "abi_key.h"

/* Where the layers of a frame begin, counted from its first byte. */
struct layout {
	__u16 l3;
	__u16 l4;			/* 0: no transport header, as in a later fragment */
	__u16 option;			/* the first link-layer address of a neighbour message; 0: there is none */
	__u8 routed;			/* 1: an IPv6 routing header names another final destination */
	__u8 zero;
};

/* What a packet had before a list was carried out on a copy of it, and where its own goes on. */
struct nest {
	__u32 unit;			/* the action behind the one that has the list */
	__u32 units_end;
	__u32 cut;			/* this and the next: as in struct scratch */
	__u32 dp_hash;
	__u32 probability;
	__u32 mark;
	__u32 priority;
	__u32 zero;
};

/* Working memory of one packet's walk, per CPU: what does not fit on the program's stack. */
struct scratch {
	struct flow_key key;		/* the packet's */
	struct flow_key masked;		/* under the mask that is being tried */
	struct key_hot_digest digest;	/* key of the look-up for class L */
	__u32 mask_id;			/* of the mask to try next */
	__u32 retried;			/* a hash hit was refused once in this search */
	__u32 tried;			/* live masks in this search */
	struct layout at;
	__u32 in_port;
	__u32 passes;			/* recirculations so far */
	__u32 recirc_id;		/* for the next pass */
	__u32 dp_hash;
	__u32 unit;			/* of the action to carry out next */
	__u32 units_end;
	__u32 cut;			/* bytes that trunc takes off the end of the next copy */
	__u32 copies;			/* outputs of this list that were not its end */
	__u32 size;			/* of the frame when this pass began */
	__u32 probability;		/* of the sample action that this list is in, of 2^32 - 1; 0: in none */
	__u32 depth;			/* of nests */
	__u32 at_end;			/* enum drop_reason of a list that ends without an output */
	__u32 let_go;			/* copies that this processor has made wait, of all packets */
	__u32 zero;
	__u64 actions;			/* the reference that is being followed */
	__u32 slot;			/* of the flow that has it */
	__u32 generation;		/* of that flow */
	struct set_ipv6 operand[2];	/* of an action that takes several units, at most: value and mask */
	__u8 header[40];		/* a header while it is rewritten */
	struct nest nests[16];		/* NESTING_MAX */
};

/*
 * What the XDP program writes before a frame that it leaves to the tc program of the same port: where
 * the walk goes on.  It is in the frame's metadata, which may be left there from an earlier journey, so
 * every frame that is left to tc gets a new one, and the reader asks for its own token and port.
 */
struct hand_over {
	__u64 token;			/* of dp_meta */
	__u32 recirc_id;
	__u32 dp_hash;
	__u16 in_port;
	__u16 passes;			/* 0: from the beginning */
	__u32 zero;
};

/*
 * What the tc program writes beside a copy that is to be recirculated while the packet itself goes on: where
 * the walk of the copy goes on.  It lies in the 20 bytes that a socket buffer has for programs (cb), and
 * comes back in at the local port.
 */
struct copy_note {
	__u32 token;			/* low half of dp_meta's */
	__u32 recirc_id;
	__u32 dp_hash;
	__u32 priority;			/* the kernel sets it to 0 on the way */
	__u16 in_port;
	__u16 passes;			/* COPY_NESTED: it goes on within a list; then */
};					/* recirc_id is its place among nested_copies, dp_hash its number */

enum copy_limit {
	COPY_NESTED = 0xffff,
	COPIES_WAITING = 256,		/* places for copies that wait, for each processor */
};

/* A copy that waits to carry out a list of its own: what it has, beside its frame, mark and priority. */
struct nested_copy {
	__u32 number;			/* of all that this processor let go; another one has its place if it differs */
	__u32 bytes;			/* of the frame, but for a tag beside it: the kernel may move one there */
	__u32 unit;
	__u32 units_end;
	__u32 cut;
	__u32 probability;
	__u32 dp_hash;
	__u32 recirc_id;
	__u32 passes;
	__u32 slot;			/* this, the next, and actions: whose list it is */
	__u32 generation;
	__u32 zero;
	__u64 actions;
	struct layout at;
	struct flow_key key;		/* of the pass */
};

/* Programs that the datapath calls by tail call; each hook has a map of them. */
enum program_id {
	PROGRAM_AGAIN = 0,		/* another pass, after recirculation */
	PROGRAM_ACTIONS = 1,		/* carry out an action list */
	PROGRAMS = 2,
};

enum upcall_reason {
	UPCALL_MISS = 0,
	UPCALL_ACTION = 1,
};

/* What a ring buffer's record begins with; userdata_size bytes of cookie and then the frame follow. */
struct upcall {
	__u64 time_ns;			/* CLOCK_MONOTONIC (coarse) */
	__u64 actions;			/* the list that held the userspace action, if it asked for that; */
	__u32 slot;			/* and whose it was: if that flow still has it, it is what it was */
	__u32 generation;
	__u32 packet_size;		/* bytes of the frame in this record */
	__u32 frame_size;		/* of the frame itself; more, if it was cut */
	__u32 pid;			/* of the userspace action */
	__u32 tun_port;			/* egress tunnel port of the userspace action */
	__u8 reason;			/* enum upcall_reason */
	__u8 userdata_size;
	__u8 has;			/* bit 0 userdata, bit 1 tun_port, bit 2 actions */
	__u8 zero;
	__u32 cpu;
	struct flow_key key;		/* concrete, of this pass */
	__u8 userdata[128];		/* USERDATA_MAX */
};

/* What the record of a sample begins with; the frame follows. */
struct sample {
	__u64 time_ns;			/* CLOCK_MONOTONIC (coarse) */
	__u32 group;
	__u32 rate;			/* so many of 2^32 - 1 packets are chosen */
	__u32 packet_size;		/* bytes of the frame in this record */
	__u32 frame_size;		/* of the frame itself; more, if it was cut */
	__u32 cpu;
	__u16 in_port;
	__u8 cookie_size;		/* 0: none */
	__u8 zero;
	__u8 cookie[16];		/* COOKIE_MAX */
};

/* An upcall while it is put together, per CPU.  Longer frames are cut. */
struct upcall_buffer {
	struct upcall head;
	__u8 packet[16384];
};

ABI_ASSERT(sizeof(struct hand_over) == 24);
ABI_ASSERT(sizeof(struct copy_note) == 20);
ABI_ASSERT(sizeof(((struct scratch *)0)->nests) == NESTING_MAX * sizeof(struct nest));
ABI_ASSERT(sizeof(((struct sample *)0)->cookie) == COOKIE_MAX && COOKIE_MAX == sizeof(struct action_unit));
ABI_ASSERT(sizeof(((struct upcall *)0)->userdata) == USERDATA_MAX);

#endif
