/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * abi.h - every struct and enum that crosses between the datapath and userspace.
 *
 * This file, with abi_action.h and abi_key.h, is the single definition of those layouts.  The C side
 * includes it; ctl/abi.py and ctl/abi.btf are generated from it (python -m ctl.devtools.gen_abi) and a
 * contract test fails when they are not current.  They need the fixed-width types of <linux/types.h> and nothing else.
 */
#ifndef UFID_ABI_H
#define UFID_ABI_H

#include <linux/types.h>
#include "abi_action.h"
#include "abi_key.h"

enum dp_limit {
	DP_ABI_VERSION = 1,
	UFID_MAX_OCTETS = 16,
	DP_NAME_SIZE = 16,		/* IFNAMSIZ */
	DP_PATH_SIZE = 96,
	PORT_PLACES = 4096,		/* of the table of ports by ifindex */
	PORT_PROBES = 8,		/* places in it where a device can stand */
	DP_MAX_PORTS = 1024,		/* port numbers 0 .. 1023; 0 is the local port */
	DP_MAX_MASKS = 256,		/* most that the program's search loop can cover */
	TCP_FLAG_BYTES = 8,		/* the flags that statistics keep, one byte each */
};

/* Key of the UFID index.  Octets beyond len are zero, so that equal UFIDs have equal bytes. */
struct ufid_key {
	__u8 octets[16];		/* UFID_MAX_OCTETS */
	__u8 len;			/* 1 .. 16 */
};

/* Value of both: the number of the flow's record. */
struct flow_ref {
	__u32 slot;
	__u32 zero;
};

enum record_state {
	RECORD_FREE = 0,
	RECORD_PREPARED = 1,		/* written, perhaps in the tables, not yet committed */
	RECORD_LIVE = 2,
	RECORD_RETIRING = 3,		/* leaving the tables, or gone and not yet past its grace period */
};

/*
 * A flow's record, found by its slot.  Its life: free -> prepared -> live -> retiring -> free.  From
 * prepared to retiring the key, the UFID and the mask id do not change; the slot is used again only
 * after a grace period.  "actions" is replaced by one aligned 8-byte store.  The program writes
 * packets, bytes, used and tcp_flags, nobody else does while the flow can be hit; only a CLEAR zeroes
 * the flags that have the number of the epoch which it begins, as it had 255 CLEARs ago.
 */
struct flow_record {
	struct key_hot key;		/* the other parts: struct flow_tail at the same slot */
	__u64 packets;
	__u64 bytes;
	__u64 used;			/* the kernel's tick counter at the last hit, 0 before the first */
	__u8 tcp_flags[8];		/* [b] == clear_epoch: flag 1 << b was seen since the last CLEAR */
	__u64 actions;			/* enum action_ref_bits */
	__u8 ufid[16];
	__u32 generation;		/* one more each time that the slot is filled */
	__u8 state;			/* enum record_state */
	__u8 ufid_len;			/* 0: identified by key */
	__u8 clear_epoch;		/* 1 .. 255, one more (255 -> 1) at each CLEAR */
	__u8 size_class;		/* enum size_class of the mask */
};

/* What only flows of class M and L compare, and the statistics at the last CLEAR. */
struct flow_tail {
	struct key_mid mid;
	struct key_cold cold;
	__u64 base_packets;
	__u64 base_bytes;
};

/*
 * A mask.  Its id is its index and its rank: the program tries masks in rising order and the first
 * hit wins.  A new mask takes the lowest free id and keeps it.
 */
struct mask_entry {
	struct flow_key bits;		/* hot.mask_id is all ones */
	__u32 flows;			/* writer's count of flows with this mask */
	__u8 live;			/* the program skips masks that are not */
	__u8 size_class;		/* enum size_class */
	__u16 zero;
};

/* Why a packet ended here.  0 means it did not. */
enum drop_reason {
	DROP_NONE = 0,
	DROP_SHORT_FRAME = 1,		/* under 14 bytes */
	DROP_NOT_A_PORT = 2,		/* came in on a device that is no port */
	DROP_MISS = 3,			/* no flow, and nobody listens for misses */
	DROP_ACTION = 4,		/* the flow's actions ended without an output */
	DROP_NO_PORT = 5,		/* output to a port that does not exist */
	DROP_BAD_ACTIONS = 6,		/* an action list this program cannot read */
	DROP_INTERNAL = 7,		/* a map look-up that cannot fail did */
	DROP_EXPLICIT = 8,		/* a drop action with reason 0 */
	DROP_EXPLICIT_ERROR = 9,	/* a drop action with another reason */
	DROP_ACTION_ERROR = 10,		/* an action does not fit the packet, such as a header that is cut short */
	DROP_RECIRC_LIMIT = 11,		/* recirculated too often */
	DROP_TOO_LONG = 12,		/* longer than the MTU of the port it was to leave by */
	DROP_HAND_OVER = 13,		/* recirculated to actions that need the tc hook, and the device takes no note along */
	DROP_TRUNC = 14,		/* a copy that trunc cannot cut: from a frame in segments, or by over 16384 bytes */
	DROP_DEFERRED = 15,		/* a copy that was to walk by itself later, and there was no room for it to wait */
	DROP_METER = 16,		/* a meter said that there are too many */
	DROP_TTL = 17,			/* dec_ttl had nothing left to take, and its list ended without an output */
	DROP_TOO_MANY = 18,		/* more actions, over all passes, than programs can carry out in a row */
	DROP_STALE_COPY = 19,		/* a copy that waited until its flow was gone, or had other actions */
	DROP_SEGMENTS = 20,		/* push_mpls on a frame that is still to be cut into segments */
	DROP_REASONS = 24,
};

/* Per CPU. */
struct dp_stats {
	__u64 hit;			/* look-ups that found a flow */
	__u64 missed;
	__u64 lost;			/* missed, and nobody was told */
	__u64 mask_hit;			/* masks tried, over all look-ups */
	__u64 stale;			/* hash hits refused by the record */
	__u64 upcalls;			/* packets handed to userspace, for a miss or by an action */
	__u64 upcalls_lost;		/* not handed over: nobody listens, or the ring was full */
	__u64 samples;			/* packets handed to those who listen for psample actions */
	__u64 samples_lost;		/* not handed over: the ring was full */
	__u64 drops[24];		/* by enum drop_reason; DROP_REASONS */
};

/* Per CPU, by port number. */
struct port_stats {
	__u64 rx_packets;
	__u64 rx_bytes;
	__u64 tx_packets;
	__u64 tx_bytes;
	__u64 rx_dropped;		/* dropped by the program, counted where they came in */
};

/* A place in the table of ports by ifindex; ifindex 0: nobody's. */
struct port_place {
	__u32 ifindex;
	__u32 port;
};

enum port_kind {
	PORT_NONE = 0,
	PORT_NETDEV = 1,
	PORT_INTERNAL = 2,		/* the local port */
};

/* How the program of the tc hook is attached: by a tcx link or, before Linux 6.6, as a filter of clsact. */
enum clsact_use {
	CLSACT_NONE = 0,		/* a tcx link */
	CLSACT_FOUND = 1,		/* a filter; the queueing discipline was there before */
	CLSACT_OWN = 2,			/* a filter, and the queueing discipline came with it */
};

/* A port, by port number. */
struct port_info {
	__u8 name[16];			/* DP_NAME_SIZE; for the local port the host's end */
	__u8 device[16];		/* the device that the program is attached to */
	__u32 ifindex;			/* of device, in the datapath's namespace */
	__u8 kind;			/* enum port_kind */
	__u8 generic;			/* 1: generic XDP, the device has no native one */
	__u8 tc_only;			/* 1: no XDP at all, every frame goes through the tc hook */
	__u8 clsact;			/* enum clsact_use */
	__u8 no_redirect;		/* 1: takes nothing from XDP; lists that output to it run on tc */
	__u8 zero[7];
};

/*
 * The writer's own state, one element.  The program reads n_masks.  "dirty" is set while a writer is
 * at work; who finds it set derives the rest of this structure, the free lists, the masks' counts
 * and the tables' contents again from the records.
 */
struct dp_control {
	__u32 n_masks;			/* one more than the highest live mask id */
	__u32 dirty;
	__u32 owner;			/* pid of the last writer */
	__u32 n_flows;
	__u32 n_free_slots;		/* depth of the free_slots stack */
	__u32 high_slot;		/* one more than the highest slot ever filled */
	__u32 high_unit;		/* action units from here on were never used */
	__u32 listener;			/* pid of the process that reads upcalls; 0: nobody does */
	__u32 sampler;			/* pid of the process that reads what psample sends; 0: nobody does */
	__u32 free_units[12];		/* [k]: a chain of free runs of 2^k units, 1 + the first; 0: none */
	__u32 zero;
	__u64 luck;			/* for tests: 1 + the number that sample draws each time; 0: at random */
	__u64 generation;		/* more at each change of the flow table; that of the last one which is whole */
	__u64 change_generation;	/* of the last entry of the change log, which may be ahead of its change */
	__u64 next_change;		/* cells of the change log written so far: where the next one goes */
};

enum change_kind {
	CHANGE_ADD = 1,
	CHANGE_MODIFY = 2,
	CHANGE_DELETE = 3,
	CHANGE_CLEAR = 4,		/* statistics zeroed */
	CHANGE_FLUSH = 5,		/* all flows removed */
};

/*
 * A cell of the change log, a ring.  An entry names one flow that is about to change, and takes as many
 * cells as its name needs: a UFID one, a concrete key one for each 16 bytes.  It is complete when
 * next_change is behind it, and written before the change itself: what a writer that died did not come
 * to is named in vain, and nothing is ever changed without a name.
 */
struct change {
	__u64 generation;		/* the datapath's when the change is whole */
	__u32 slot;			/* of a flush: how many flows there were */
	__u8 kind;			/* enum change_kind */
	__u8 by_key;			/* 1: the name is the concrete key, without the zeros at its end */
	__u8 size;			/* bytes of the name, in all cells together */
	__u8 part;			/* which 16 bytes of it are here */
	__u8 name[16];			/* of a flush: final packets and bytes, size 0 until they are known */
};

/*
 * The journal of a transaction: a map that is pinned as long as one is at work.  Element 0 is the head,
 * whose slot is 1 from the commit on, and whose actions is how many intents follow.
 */
struct intent {
	__u32 slot;
	__u32 kind;			/* enum change_kind */
	__u64 actions;			/* of a modification: the new reference */
};

/* What a datapath is, one element, written once. */
struct dp_meta {
	__u32 abi_version;		/* DP_ABI_VERSION; first, for ever */
	__u32 layout;			/* fingerprint of all layouts; second, for ever */
	__u32 max_flows;
	__u32 max_masks;
	__u32 max_units;		/* of action lists, all together */
	__u32 tick_ns;
	__u64 tick_zero_ns;		/* CLOCK_MONOTONIC when the tick counter was 0, modulo 2^64 */
	__u64 netns_inode;		/* of the namespace that all ports live in */
	__u64 token;			/* random; says that a hand_over is this datapath's */
	__u8 netns_path[96];		/* DP_PATH_SIZE; empty: it has no name */
	__u8 name[16];			/* DP_NAME_SIZE */
	__u8 program_tag[16];
};

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

/*
 * Every map of a datapath, pinned under its name.  The program refers to maps by these numbers,
 * which the loader replaces; maps.h says who writes and who reads.
 */
enum map_id {
	MAP_META = 0,
	MAP_CONTROL = 1,
	MAP_MASKS = 2,
	MAP_FLOWS_S = 3,
	MAP_FLOWS_M = 4,
	MAP_FLOWS_L = 5,
	MAP_UFIDS = 6,
	MAP_RECORDS = 7,
	MAP_TAILS = 8,
	MAP_ACTIONS = 9,
	MAP_FREE_SLOTS = 10,
	MAP_PORTS = 11,
	MAP_PORT_OF = 12,
	MAP_PORT_INFO = 13,
	MAP_PORT_STATS = 14,
	MAP_DP_STATS = 15,
	MAP_SCRATCH = 16,
	MAP_PROGRAMS = 17,		/* of the XDP hook */
	MAP_UPCALLS = 18,
	MAP_UPCALL_BUFFER = 19,
	MAP_TC_PROGRAMS = 20,
	MAP_TC_PORTS = 21,		/* as MAP_PORTS, which belongs to the XDP hook */
	MAP_SAMPLES = 22,
	MAP_NESTED_COPIES = 23,
	MAP_CHANGES = 24,
};

ABI_ASSERT(sizeof(struct flow_record) == 128);
ABI_ASSERT(sizeof(struct flow_tail) == 184);
ABI_ASSERT(sizeof(struct mask_entry) == 240);
ABI_ASSERT(sizeof(struct change) == 32);
ABI_ASSERT(sizeof(struct intent) == 16);
ABI_ASSERT(sizeof(struct hand_over) == 24);
ABI_ASSERT(sizeof(struct copy_note) == 20);
ABI_ASSERT(sizeof(((struct scratch *)0)->nests) == NESTING_MAX * sizeof(struct nest));
ABI_ASSERT(sizeof(((struct dp_control *)0)->free_units) == 12 * sizeof(__u32) && ACTION_UNITS_MAX == 1 << 11);
ABI_ASSERT(sizeof(((struct sample *)0)->cookie) == COOKIE_MAX && COOKIE_MAX == sizeof(struct action_unit));
ABI_ASSERT(sizeof(struct port_info) % 8 == 0); /* as the elements of a mapped array lie */
ABI_ASSERT(sizeof(((struct upcall *)0)->userdata) == USERDATA_MAX);
ABI_ASSERT(sizeof(((struct flow_record *)0)->ufid) == UFID_MAX_OCTETS);
ABI_ASSERT(sizeof(((struct flow_record *)0)->tcp_flags) == TCP_FLAG_BYTES);
ABI_ASSERT(sizeof(((struct dp_stats *)0)->drops) == DROP_REASONS * sizeof(__u64));
ABI_ASSERT(sizeof(((struct dp_meta *)0)->netns_path) == DP_PATH_SIZE);
ABI_ASSERT(sizeof(((struct port_info *)0)->name) == DP_NAME_SIZE);

#endif
