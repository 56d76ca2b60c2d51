/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * driver.c - the datapath's pure headers in a process, for tests and sanitizers.
 *
 * Reads requests from stdin and answers each on stdout, all numbers in host order:
 *
 *	'K' u16 in_port, u32 size, frame	-> u32 enum drop_reason, struct flow_key
 *	'C' u32 difference, u32 bytes		-> u32, what a CRC32c changes by
 *	'B' struct meter_record, u64 now_ms, u64 size -> struct meter_record; u32, whether it is exceeded
 *	'M' key, recorded, mask: 64 bytes each	-> masked key, 64 bytes; u64, zero if nothing differs
 *	'A' ARP packet, struct set_arp twice	-> the packet, 28 bytes
 *	'O' option, value, mask: 8 bytes each	-> the option; u64, the difference
 *	'W' word, value, mask: 4 bytes each	-> the word; u64, the difference
 *
 * A frame lies at the very end of an allocation of its own, so that a read beyond it is seen.  A key
 * starts as garbage wherever the extractor promises to write.
 */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bucket.h"
#include "crc32c.h"
#include "key.h"
#include "mask.h"
#include "rewrite.h"

static void get(void *to, size_t size)
{
	if (size && fread(to, size, 1, stdin) != 1)
		exit(2);
}

static void put(const void *from, size_t size)
{
	if (fwrite(from, size, 1, stdout) != 1)
		exit(3);
}

static void answer_key(void)
{
	struct flow_key key = {};
	struct layout at = {};
	__u32 size, reason;
	__u16 in_port;
	__u8 *frame;

	get(&in_port, sizeof(in_port));
	get(&size, sizeof(size));
	frame = malloc(size);
	if (!frame)
		exit(4);
	get(frame, size);
	memset(&key, 0xa5, offsetof(struct flow_key, cold.tun_ipv6_src));
	reason = key_extract((struct cursor){ frame, frame + size }, in_port, (struct vlan_beside){}, &key, &at);
	free(frame);
	put(&reason, sizeof(reason));
	put(&key, sizeof(key));
	put(&at, sizeof(at));
}

static void answer_mask(void)
{
	struct key_hot key, recorded, mask, masked;
	__u64 differs;

	get(&key, sizeof(key));
	get(&recorded, sizeof(recorded));
	get(&mask, sizeof(mask));
	mask_words(&masked, &key, &mask, WORDS(key));
	differs = mask_differs(&recorded, &masked, &mask, WORDS(key));
	put(&masked, sizeof(masked));
	put(&differs, sizeof(differs));
}

static void answer_crc(void)
{
	__u32 difference, bytes, crc;

	get(&difference, sizeof(difference));
	get(&bytes, sizeof(bytes));
	crc = crc32c_diff32(difference, bytes);
	put(&crc, sizeof(crc));
}

/* What stands behind the packet is kept. */
static void answer_arp(void)
{
	_Alignas(8) __u8 packet[sizeof(struct set_arp)];
	_Alignas(8) struct set_arp set[2];

	memset(packet, 0xa5, sizeof(packet));
	get(packet, sizeof(struct arp_header));
	get(set, sizeof(set));
	rewrite_arp(packet, &set[0], &set[1]);
	if (packet[sizeof(struct arp_header)] != 0xa5)
		exit(5);
	put(packet, sizeof(struct arp_header));
}

static void answer_option(void)
{
	__u64 words[3], difference;

	get(words, sizeof(words));
	difference = rewrite_option(&words[0], &words[1], &words[2]);
	put(&words[0], sizeof(words[0]));
	put(&difference, sizeof(difference));
}

static void answer_word(void)
{
	__u32 words[3];
	__u64 difference;

	get(words, sizeof(words));
	difference = rewrite_ports(&words[0], words[1], words[2]);
	put(&words[0], sizeof(words[0]));
	put(&difference, sizeof(difference));
}

static void answer_bucket(void)
{
	struct meter_record meter;
	__u64 now_ms, size;
	__u32 exceeded;

	get(&meter, sizeof(meter));
	get(&now_ms, sizeof(now_ms));
	get(&size, sizeof(size));
	exceeded = bucket_take(&meter, now_ms, size);
	put(&meter, sizeof(meter));
	put(&exceeded, sizeof(exceeded));
}

int main(void)
{
	for (int what; (what = getchar()) != EOF; fflush(stdout)) {
		if (what == 'K')
			answer_key();
		else if (what == 'C')
			answer_crc();
		else if (what == 'B')
			answer_bucket();
		else if (what == 'M')
			answer_mask();
		else if (what == 'A')
			answer_arp();
		else if (what == 'O')
			answer_option();
		else if (what == 'W')
			answer_word();
		else
			return 1;
	}
	return 0;
}
