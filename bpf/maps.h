/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * maps.h - how the program reaches its maps, and what each map is for.
 *
 * The program is compiled once, without any map: a reference holds the number of enum map_id, which
 * the loader replaces by a file descriptor.  Types, sizes and flags are in ctl/kernel/maps.py.
 *
 *	map		key -> value			writer	  reader	full means
 *	meta		0 -> dp_meta			creator	  both		-
 *	control		0 -> dp_control			userspace both		-
 *	masks		mask id -> mask_entry		userspace both		new masks are refused
 *	flows_s		key_hot -> flow_ref		userspace both		never: slots run out first
 *	flows_m		key_hot_mid -> flow_ref		userspace both		never
 *	flows_l		key_hot_digest -> flow_ref	userspace both		never
 *	ufids		ufid_key -> flow_ref		userspace userspace	never
 *	records		slot -> flow_record		both	  both		new flows are refused
 *	tails		slot -> flow_tail		userspace both		as records
 *	actions		index -> action_unit		userspace both		new lists are refused
 *	free_slots	depth -> slot			userspace userspace	-
 *	changes		place -> change			userspace userspace	the oldest changes are forgotten
 *	ports, tc_ports	port number -> ifindex		userspace program	numbers end at 1023
 *	port_of		place -> port_place		userspace program	as ports, see port.h
 *	port_info	port number -> port_info	userspace both		as ports
 *	port_stats	port number -> port_stats	program	  userspace	as ports
 *	dp_stats	0 -> dp_stats			program	  userspace	-
 *	scratch		0 -> scratch			program	  program	-
 *	programs	program_id -> program		creator	  program	-
 *	tc_programs	program_id -> program		creator	  program	-
 *	upcalls		ring of upcall			program	  userspace	the upcall is lost and counted
 *	upcall_buffer	0 -> upcall_buffer		program	  program	-
 *	samples		ring of sample			program	  userspace	the sample is lost and counted
 *	nested_copies	place -> nested_copy		program	  program	the oldest copy is lost and counted
 *	meters		number -> meter_record		both	  both		numbers end at 4095
 *	meter_counters	number -> meter_counters	program	  userspace	as meters
 *
 * records, tails, masks, actions, control, changes, the free lists and meter_counters are mapped into userspace's
 * memory; meters cannot be, for each has a lock.
 */
#ifndef UFID_MAPS_H
#define UFID_MAPS_H

#include "abi.h"

#ifndef BPF_PSEUDO_MAP_FD
#define BPF_PSEUDO_MAP_FD 1
#endif

#define INLINE static inline __attribute__((always_inline))
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define MAP(id) ((void *)bpf_pseudo_fd(BPF_PSEUDO_MAP_FD, id))

/* The element at an index of an array map; NULL beyond its end. */
INLINE void *map_at(void *map, __u32 index)
{
	return bpf_map_lookup_elem(map, &index);
}

#endif
