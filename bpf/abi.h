/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * abi.h - every struct and enum that crosses between the datapath and userspace.
 *
 * This file, with abi_action.h, abi_key.h and abi_walk.h, is the single definition of those layouts.  The C side
 * includes it; ctl/abi.py and ctl/abi.btf are generated from it (python -m ctl.devtools.gen_abi) and a
 * contract test fails when they are not current.  They need the fixed-width types of <linux/types.h> and nothing else.
 */
#ifndef UFID_ABI_H
#define UFID_ABI_H

#include <linux/types.h>
#include "abi_action.h"
#include "abi_key.h"
#include "abi_walk.h"

enum dp_limit {
	DP_ABI_VERSION = 1,
	UFID_MAX_OCTETS = 16,
	DP_NAME_SIZE = 16,		/* IFNAMSIZ */
	DP_PATH_SIZE = 96,
	PORT_PLACES = 4096,		/* of the table of ports by ifindex */
	PORT_PROBES = 8,		/* places in it where a device can stand */
	DP_MAX_PORTS = 1024,		/* port numbers 0 .. 1023; 0 is the local port */
	DP_MAX_MASKS = 256,		/* most that the program's search loop can cover */
	DP_MAX_METERS = 4096,		/* meter numbers 0 .. 4095 */
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

#ifndef __KERNEL__			/* BCC's own headers have it */
struct bpf_spin_lock {
	__u32 val;
};
#endif

/*
 * A meter: a bucket of tokens with one band, which drops.  Written whole under its lock, by userspace
 * (BPF_F_LOCK) when it is set and by the program with each packet.  rate 0: there is no such meter.
 */
struct meter_record {
	struct bpf_spin_lock lock;
	__u32 rate;			/* tokens for each millisecond: kbit/s, or packets/s */
	__u64 capacity;			/* tokens in a full bucket: bits, or thousandths of a packet */
	__u64 tokens;			/* that are in it */
	__u64 time_ms;			/* CLOCK_MONOTONIC up to which it has been refilled */
	__u64 fill_ms;			/* in which an empty bucket becomes full, rounded up */
	__u32 burst;			/* kbit, or packets; kept for the reader */
	__u32 kbps;			/* 1: a packet takes its bits, 0: it takes 1000 */
	__u64 base_packets;		/* the counters at the last CLEAR, kept for the reader */
	__u64 base_bytes;
	__u64 base_exceeded_packets;
	__u64 base_exceeded_bytes;
};

/* What a meter has counted since the datapath was made.  Written by the program, under the meter's lock. */
struct meter_counters {
	__u64 packets;
	__u64 bytes;
	__u64 exceeded_packets;		/* those of them that were too many */
	__u64 exceeded_bytes;
	__u64 used_ms;			/* CLOCK_MONOTONIC of the last packet */
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
	MAP_METERS = 24,
	MAP_METER_COUNTERS = 25,
	MAP_CHANGES = 26,
};

ABI_ASSERT(sizeof(struct flow_record) == 128);
ABI_ASSERT(sizeof(struct flow_tail) == 184);
ABI_ASSERT(sizeof(struct mask_entry) == 240);
ABI_ASSERT(sizeof(struct change) == 32);
ABI_ASSERT(sizeof(struct intent) == 16);
ABI_ASSERT(sizeof(((struct dp_control *)0)->free_units) == 12 * sizeof(__u32) && ACTION_UNITS_MAX == 1 << 11);
ABI_ASSERT(sizeof(struct port_info) % 8 == 0); /* as the elements of a mapped array lie */
ABI_ASSERT(sizeof(struct meter_record) == 80);
ABI_ASSERT(sizeof(struct meter_counters) == 40);
ABI_ASSERT(sizeof(((struct flow_record *)0)->ufid) == UFID_MAX_OCTETS);
ABI_ASSERT(sizeof(((struct flow_record *)0)->tcp_flags) == TCP_FLAG_BYTES);
ABI_ASSERT(sizeof(((struct dp_stats *)0)->drops) == DROP_REASONS * sizeof(__u64));
ABI_ASSERT(sizeof(((struct dp_meta *)0)->netns_path) == DP_PATH_SIZE);
ABI_ASSERT(sizeof(((struct port_info *)0)->name) == DP_NAME_SIZE);

#endif
