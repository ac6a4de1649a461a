/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_TESTS_UNIT_RANDOM_H
#define GOV_TESTS_UNIT_RANDOM_H

#include <stdint.h>

/* Random numbers of one test file, the same in each run; a test may choose others by its seed, which isn't 0. */

static uint64_t seed = UINT64_C(88172645463325252);

/* xorshift64 (Marsaglia) */
static uint64_t next_random(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

#endif
