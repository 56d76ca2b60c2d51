/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * crc32c.h - the checksum of SCTP (RFC 9260, appendix A), changed by differences.  Pure.
 *
 * CRC32c (RFC 3720, 12.1) is linear: two messages of one size differ in their CRCs by the CRC of their
 * exclusive or, from a register of zero and without the inversion at the end.  There, bytes that did not
 * change are zeros: those before the change leave the register at zero, each one behind it multiplies the
 * register by x^8 modulo the polynomial.  So a changed header costs the same in a frame of any size, and
 * nobody reads the payload.
 *
 * A register is a polynomial over GF(2) of degree below 32 with its bits reflected: bit 31 is the
 * coefficient of 1, bit 0 that of x^31.
 */
#ifndef UFID_CRC32C_H
#define UFID_CRC32C_H

#include "cursor.h"

#define CRC32C_POLYNOMIAL 0x82f63b78U	/* x^32 */
#define CRC32C_ONE 0x80000000U

/* The product modulo the polynomial: Horner's rule, from the coefficient of x^31 down. */
INLINE __u32 crc32c_times(__u32 a, __u32 b)
{
	__u64 product = 0;

#pragma clang loop unroll_count(4)
	for (int i = 0; i < 32; i++) {
		product = product >> 1 ^ (product & 1) * CRC32C_POLYNOMIAL;
		product ^= (__u64)(a & 1) * b;
		a >>= 1;
	}
	return product;
}

/*
 * The power that an octal digit chooses: p1 for 1 to p7 for 7, and 1 for 0.  Written as a sum of products
 * of the digit's bits, for want of a table; after branches the verifier would know the number, and follow
 * eight multiplications instead of one.
 */
INLINE __u32 crc32c_power(__u32 digit, __u32 p1, __u32 p2, __u32 p3, __u32 p4, __u32 p5, __u32 p6, __u32 p7)
{
	__u64 a = digit & 1, b = digit >> 1 & 1, c = digit >> 2 & 1;
	__u32 abc = CRC32C_ONE ^ p1 ^ p2 ^ p3 ^ p4 ^ p5 ^ p6 ^ p7;

	return CRC32C_ONE ^ a * (CRC32C_ONE ^ p1) ^ b * (CRC32C_ONE ^ p2) ^ c * (CRC32C_ONE ^ p4) ^
	       (a & b) * (CRC32C_ONE ^ p1 ^ p2 ^ p3) ^ (a & c) * (CRC32C_ONE ^ p1 ^ p4 ^ p5) ^
	       (b & c) * (CRC32C_ONE ^ p2 ^ p4 ^ p6) ^ (a & b & c) * abc;
}

/*
 * How the CRC changes when 4 bytes do.  difference: what was there XOR what is, as a little-endian word;
 * bytes: from the first of the 4 to the end, fewer than 2^18.
 *
 * That is the difference times x^(8 * bytes), an octal digit at a time: the numbers are the powers of x
 * to 8 * digit * 8^place, for the digits 1 to 7 of each place.
 */
INLINE __u32 crc32c_diff32(__u32 difference, __u32 bytes)
{
	__u32 crc = difference;

	crc = crc32c_times(crc, crc32c_power(bytes, 0x00800000, 0x00008000, 0x00000080,
					   0x82f63b78, 0xfbc3faf9, 0x8b277743, 0x52a0c93f));
	crc = crc32c_times(crc, crc32c_power(bytes >> 3, 0x6ea2d55c, 0x18b8ea18, 0x9957c0a6,
					   0x510ac59a, 0x19e65dde, 0xb2dea967, 0x52377a55));
	crc = crc32c_times(crc, crc32c_power(bytes >> 6, 0xb82be955, 0xb8fdb1e7, 0x18e4a304,
					   0x88e56f72, 0x9030a49c, 0x67db2c4a, 0xe744dcb2));
	crc = crc32c_times(crc, crc32c_power(bytes >> 9, 0x74c360a4, 0xe4172b16, 0x835305c9,
					   0x0d65762a, 0xb5a50ab7, 0x5f60970f, 0x3a5275ea));
	crc = crc32c_times(crc, crc32c_power(bytes >> 12, 0x35d73a62, 0x28461564, 0x43eefc9f,
					   0xbf455269, 0x5edcdeb9, 0x65059450, 0x4e6f41a4));
	crc = crc32c_times(crc, crc32c_power(bytes >> 15, 0xe2ea32dc, 0xfe7740e6, 0x78b57ca2,
					   0xf946610b, 0xf5942afb, 0xa0a51f5f, 0x8fd57416));
	return crc;
}

#endif
