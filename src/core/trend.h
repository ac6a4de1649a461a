/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_CORE_TREND_H
#define GOV_CORE_TREND_H

#include "base/macro.h"

/*
 * Where a series of memory sizes goes: bounded, of the last minute and of the last hour at the same time.
 *
 * The slope is Theil and Sen's (Sen, JASA 63, 1968): the median of the slopes between all pairs of points. A line by
 * least squares is bent by one spike as far as one likes; this one isn't moved by up to 29 % of points that are wrong.
 *
 * It is taken of the least value of each bucket: what a garbage collector gives back is no leak, and its troughs rise
 * when the live memory does. There are buckets of 1 s, 16 s and 256 s; the wider see slower leaks, below longer teeth.
 * What rises for the first time, with nothing given back before, may be a tooth or a long start as well as a leak:
 * nothing tells them apart.
 *
 * A slope alone says nothing of tomorrow. A forecast needs all of this:
 * - the rise is no chance: Kendall's S is beyond three standard deviations, which takes 8 points or more;
 * - it is no step: each half rises by itself, at half of the other's slope or more; and as far as it levels off,
 * it isn't taken to go on for ever;
 * - it is no tooth of a saw: it is half as high again as all that was given back within the hour, at this width or a
 * wider;
 * - it isn't far-fetched: what is still to come is at most three times what has been seen;
 * - it isn't a start: it has lasted for 10 s.
 */

#define TREND_LEVELS 3
#define TREND_POINTS 14

/* The values of one stretch of time. */
struct trend_point {
	uint32_t at_ds; /* of the least one, tenths of a second since the trend's begin */
	uint32_t least_kib, most_kib;
};

struct trend {
	uint64_t begin_ns; /* CLOCK_MONOTONIC */
	uint8_t n[TREND_LEVELS];
	struct trend_point points[TREND_LEVELS][TREND_POINTS]; /* oldest first */
};
_Static_assert(sizeof(struct trend) <= 600, "of each agent that has a forecast");

struct trend_forecast {
	uint64_t slope;	     /* bytes/s; 0: it doesn't rise */
	uint64_t span_ns;    /* over how long that was seen */
	uint64_t reaches_ns; /* from now on, to the cap; UINT64_MAX: never, or too far away to tell */
};

/* time_ns may not go back; what is older than the last is left out. */
void trend_add(struct trend *trend, uint64_t time_ns, uint64_t bytes);
/* What was there before says nothing of what comes: the next value is the first. */
void trend_clear(struct trend *trend);
void trend_forecast(const struct trend *trend, uint64_t cap_bytes, struct trend_forecast *ret_forecast);

#endif
