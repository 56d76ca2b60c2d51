/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * abi_action.h - action lists, as the controller writes and the program reads them.  Part of abi.h.
 */
#ifndef UFID_ABI_ACTION_H
#define UFID_ABI_ACTION_H

#include <linux/types.h>

#define ABI_ASSERT(what) _Static_assert(what, #what)

/*
 * A reference to an action list: where its units begin and how many there are.  0 is the empty list,
 * which drops.
 */
enum action_ref_bits {
	ACTIONS_AT_SHIFT = 0,		/* 32 bits: index of the first unit */
	ACTIONS_UNITS_SHIFT = 32,	/* 16 bits: units in the list */
	ACTIONS_NOT_XDP_SHIFT = 48,	/* 1 bit: the list can be carried out on the tc hook only */
	ACTIONS_SERIAL_SHIFT = 49,	/* 15 bits: tells a list from the one that had its place before */
};

enum action_limit {
	ACTIONS_IN_A_ROW = 32,		/* after so many steps a program calls itself to go on */
	ACTION_UNITS_MAX = 2048,	/* units in a list, with all lists within it */
	NESTING_MAX = 16,		/* lists within one another */
	RECIRC_LIMIT = 5,		/* passes after the first */
	USERDATA_MAX = 128,		/* bytes of cookie of a userspace action */
	COOKIE_MAX = 16,		/* bytes of cookie of a psample action */
};

enum action_type {
	ACTION_END = 0,
	ACTION_OUTPUT = 1,		/* arg: port number */
	ACTION_DROP = 2,		/* arg: the user's reason */
	ACTION_PUSH_VLAN = 3,		/* arg: TPID << 16 | TCI, host order */
	ACTION_POP_VLAN = 4,
	ACTION_SET_ETH = 5,		/* operand: struct set_eth, twice */
	ACTION_SET_IPV4 = 6,		/* operand: struct set_ipv4, twice */
	ACTION_SET_IPV6 = 7,		/* operand: struct set_ipv6, twice */
	ACTION_SET_TP = 8,		/* arg: protocol; wide: struct set_tp, twice */
	ACTION_RECIRC = 9,		/* arg: recirculation id */
	ACTION_HASH = 10,		/* arg: enum hash_algorithm; wide: basis */
	ACTION_TRUNC = 11,		/* arg: longest frame */
	ACTION_USERSPACE = 12,		/* arg: pid; wide: enum userspace_bits; operand: userdata */
	ACTION_SET_MARK = 13,		/* arg: value; wide: mask */
	ACTION_SET_PRIORITY = 14,	/* arg: value; wide: mask */
	ACTION_PUSH_MPLS = 15,		/* arg: label stack entry, as on the wire; wide: EtherType, host order */
	ACTION_POP_MPLS = 16,		/* arg: EtherType behind it, host order */
	ACTION_SET_MPLS = 17,		/* arg: value; wide: mask; of a label stack entry, as on the wire */
	ACTION_SET_ARP = 18,		/* operand: struct set_arp, twice */
	ACTION_SET_ICMP = 19,		/* arg: protocol; wide: struct set_icmp, twice */
	ACTION_SET_ND = 20,		/* operand: struct set_nd, twice */
	ACTION_SAMPLE = 21,		/* arg: probability; wide: enum nested_bits; a list */
	ACTION_CLONE = 22,		/* wide: enum nested_bits; a list */
	ACTION_CHECK_PKT_LEN = 23,	/* arg: bytes; wide: enum nested_bits; lists for more than these, and for others */
	ACTION_DEC_TTL = 24,		/* wide: enum nested_bits; a list for the packet that has no TTL left */
	ACTION_METER = 25,		/* arg: meter number */
	ACTION_PSAMPLE = 26,		/* arg: group; wide: bytes of cookie; operand: cookie */
};

/* Which bits "flags" of a unit has. */
enum action_flag {
	ACTION_PLAIN_SET = 1,		/* written as set(), not as set with masks; no other effect */
	ACTION_ADD_MPLS = 2,		/* written as add_mpls(), not as push_mpls(); no other effect */
	ACTION_FIRST_CHANGES = 4,	/* the first list within this action changes the frame that it is given */
	ACTION_SECOND_CHANGES = 8,	/* so does the second one */
};

enum hash_algorithm {			/* as OVS_HASH_ALG_* */
	HASH_L4 = 0,
	HASH_SYM_L4 = 1,
};

/* Parts of the wide argument of a userspace action. */
enum userspace_bits {
	USERSPACE_TUN_PORT_SHIFT = 0,	/* 32 bits: egress tunnel port */
	USERSPACE_SIZE_SHIFT = 32,	/* 16 bits: bytes of userdata */
	USERSPACE_HAS_USERDATA_SHIFT = 48,
	USERSPACE_HAS_TUN_PORT_SHIFT = 49,
	USERSPACE_ACTIONS_SHIFT = 50,	/* the upcall tells the flow's actions */
};

/* Parts of the wide argument of an action that has lists within. */
enum nested_bits {
	NESTED_FIRST_SHIFT = 0,		/* 32 bits: units of its first list */
	NESTED_SECOND_SHIFT = 32,	/* 32 bits: units of its second list */
};

/*
 * An action list is a run of units.  Each action is one unit, followed by the units of its operand, and by
 * those of the lists within it, one behind the other.
 * A list never changes once a record refers to it.  Operands of the set actions are a value and then
 * a mask of the same layout; bits of the value outside the mask are zero.
 */
struct action_unit {
	__u8 type;			/* enum action_type */
	__u8 flags;			/* enum action_flag */
	__u16 units;			/* of operand that follow */
	__u32 arg;
	__u64 wide;
};

struct set_eth {
	__u8 dst[6];
	__u8 src[6];
	__u32 zero;
};

struct set_ipv4 {
	__be32 src;
	__be32 dst;
	__u8 tos;
	__u8 ttl;
	__u8 proto;			/* this and the next: kept for the reader of the list, never set */
	__u8 frag;
	__u8 zero[4];
};

struct set_ipv6 {
	__u8 src[16];
	__u8 dst[16];
	__be32 label;
	__u8 tclass;
	__u8 hop_limit;
	__u8 proto;			/* as in struct set_ipv4 */
	__u8 frag;
	__u8 zero[8];
};

struct set_tp {
	__be16 src;
	__be16 dst;
};

/* The head of an ICMP or an ICMPv6 message. */
struct set_icmp {
	__u8 type;
	__u8 code;
	__u8 zero[2];
};

/* An ARP packet for IPv4 over Ethernet, from its beginning (struct arp_header). */
struct set_arp {
	__u8 zero[6];
	__be16 op;
	__u8 sha[6];
	__u8 sip[4];
	__u8 tha[6];
	__u8 tip[4];
	__u8 end[4];
};

/* The target of a neighbour message, and its two options (struct nd_option). */
struct set_nd {
	__u8 target[16];
	__u8 sll_zero[2];
	__u8 sll[6];
	__u8 tll_zero[2];
	__u8 tll[6];
};

ABI_ASSERT(sizeof(struct action_unit) == 16);
ABI_ASSERT(sizeof(struct set_eth) == sizeof(struct action_unit));
ABI_ASSERT(sizeof(struct set_ipv4) == sizeof(struct action_unit));
ABI_ASSERT(sizeof(struct set_ipv6) == 3 * sizeof(struct action_unit));
ABI_ASSERT(sizeof(struct set_arp) == 2 * sizeof(struct action_unit));
ABI_ASSERT(sizeof(struct set_nd) == 2 * sizeof(struct action_unit));

#endif
