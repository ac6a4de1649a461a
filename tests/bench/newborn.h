/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_BENCH_NEWBORN_H
#define GOV_BENCH_NEWBORN_H

#include <stdint.h>

/* What an agent of the bench tells of itself; times of CLOCK_MONOTONIC. */
struct report {
	uint64_t first_ns;  /* its first instruction */
	uint64_t placed_ns; /* when it saw itself in its group, first_ns if at the first look; 0: never */
	int32_t pid;
	int32_t tool_outside, is_looked_at; /* its tool, after its life */
	int32_t zero;
};

#endif
