/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_CORE_LEAK_H
#define GOV_CORE_LEAK_H

#include "core/trend.h"

/* The forecast of an agent whose policy has `leak`: when its anonymous memory reaches the cap. */

struct leak {
	struct trend trend;
	struct trend_forecast forecast;
	uint64_t seen_ns;			/* the last sample; CLOCK_MONOTONIC as all here */
	uint64_t read_ns;			/* the last that told anonymous memory */
	uint64_t look_ns;			/* the next is asked for */
	uint64_t hurry_ns;			/* until then one a second */
	uint64_t slice_bytes;			/* at the last sample; 0: not known */
	uint64_t anon_bytes, read_memory_bytes; /* at read_ns */
	uint64_t told_ns;			/* the last time that it was within the horizon; 0: it isn't */
};

#endif
