/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * port.h - from the device that a frame came in on to the port that it is.
 *
 * An open hash table in an array: the port of a device stands at the device's ifindex modulo the size
 * of the table, or in one of the next few places.  A place is one aligned word, so it is written and
 * read whole.  That is a few instructions where the kernel's hash map takes 25 ns.
 */
#ifndef UFID_PORT_H
#define UFID_PORT_H

#include "maps.h"

/* The port number of a device, or -1. */
INLINE int port_of(__u32 ifindex)
{
#pragma unroll
	for (int i = 0; i < PORT_PROBES; i++) {
		const struct port_place *place = map_at(MAP(MAP_PORT_OF), (ifindex + i) & (PORT_PLACES - 1));

		if (place && place->ifindex == ifindex)
			return place->port;
	}
	return -1;
}

#endif
