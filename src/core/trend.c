/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/trend.h"

#define NSEC_PER_DS (100 * NSEC_PER_MSEC)
#define HALF_MIN 4	  /* points of a half: fewer rise by chance too often */
#define SPAN_MIN_DS 100	  /* programs that start load for some seconds */
#define NARROW_DS 160	  /* how far back the narrowest level goes */
#define AHEAD_MAX 3	  /* times what was seen */
#define SWING_NUMERATOR 3 /* a rise counts from 3/2 of what was given back before */
#define SWING_DENOMINATOR 2
#define HALF_SLOWER_MAX 2 /* times than the other */
#define PAIRS_MAX (TREND_POINTS * (TREND_POINTS - 1) / 2)

static const uint32_t width_ds[TREND_LEVELS] = {10, 160, 2560};

static uint32_t to_kib(uint64_t bytes)
{
	return (uint32_t)MIN2(bytes >> 10, (uint64_t)UINT32_MAX);
}

static void level_add(struct trend *trend, size_t level, uint32_t at_ds, uint32_t kib)
{
	struct trend_point *points = trend->points[level];
	size_t n = trend->n[level], old = 0;
	struct trend_point *last = n ? &points[n - 1] : NULL;

	if (last && last->at_ds / width_ds[level] == at_ds / width_ds[level]) {
		last->most_kib = MAX2(last->most_kib, kib);
		if (kib <= last->least_kib) {
			last->least_kib = kib;
			last->at_ds = at_ds;
		}
		return;
	}
	/* The narrowest is of the last seconds; in the wider ones there may be gaps. */
	while (level == 0 && old < n && at_ds - points[old].at_ds > NARROW_DS)
		old++;
	if (n == TREND_POINTS && !old)
		old = 1;
	n -= old;
	memmove(points, points + old, n * sizeof(*points));
	points[n++] = (struct trend_point){at_ds, kib, kib};
	trend->n[level] = (uint8_t)n;
}

void trend_add(struct trend *trend, uint64_t time_ns, uint64_t bytes)
{
	uint64_t at_ds;

	if (!trend->n[0])
		trend->begin_ns = time_ns;
	if (time_ns < trend->begin_ns)
		return;
	at_ds = (time_ns - trend->begin_ns) / NSEC_PER_DS;
	/* After 13 years it begins anew. */
	if (at_ds > UINT32_MAX) {
		trend_clear(trend);
		trend->begin_ns = time_ns;
		at_ds = 0;
	}
	if (trend->n[0] && at_ds < trend->points[0][trend->n[0] - 1].at_ds)
		return;
	for (size_t level = 0; level < TREND_LEVELS; level++)
		level_add(trend, level, (uint32_t)at_ds, to_kib(bytes));
}

void trend_clear(struct trend *trend)
{
	*trend = (struct trend){0};
}

/* Kendall's S: pairs that rise less pairs that fall. */
static int kendall(const struct trend_point *points, size_t n)
{
	int s = 0;

	for (size_t i = 0; i < n; i++)
		for (size_t j = i + 1; j < n; j++)
			s += (points[j].least_kib > points[i].least_kib) - (points[j].least_kib < points[i].least_kib);
	return s;
}

/* Beyond three standard deviations of what chance makes: S^2 > 9 n(n-1)(2n+5)/18. */
static bool is_certain(int s, size_t n)
{
	return s > 0 && 18 * (size_t)s * (size_t)s > 9 * n * (n - 1) * (2 * n + 5);
}

/* A half has too few points for that: nine of ten pairs rise. */
static bool half_rises(const struct trend_point *points, size_t n)
{
	return kendall(points, n) * 10 >= (int)(n * (n - 1) / 2) * 8;
}

static int compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static int64_t median(int64_t *values, size_t n)
{
	qsort(values, n, sizeof(*values), compare);
	return values[n / 2];
}

/* Bytes/s. No overflow: 2^32 KiB in a tenth of a second are less than 2^46. */
static int64_t slope_of(const struct trend_point *points, size_t n)
{
	int64_t slopes[PAIRS_MAX] = {0};
	size_t n_slopes = 0;

	for (size_t i = 0; i < n; i++)
		for (size_t j = i + 1; j < n; j++)
			slopes[n_slopes++] = ((int64_t)points[j].least_kib - (int64_t)points[i].least_kib) * 10240 /
					     MAX2((int64_t)points[j].at_ds - (int64_t)points[i].at_ds, INT64_C(1));
	return median(slopes, n_slopes);
}

static uint64_t rise_of(uint64_t slope, uint32_t span_ds)
{
	uint64_t rise;

	return __builtin_mul_overflow(slope, (uint64_t)span_ds, &rise) ? UINT64_MAX / 10 : rise / 10;
}

/* The most that was given back, KiB: at this level between its troughs, at wider ones from a peak to a trough. */
static uint32_t swing_of(const struct trend *trend, size_t level)
{
	uint32_t swing = 0;

	for (size_t k = level; k < TREND_LEVELS; k++) {
		uint32_t top = 0;

		for (size_t i = 0; i < trend->n[k]; i++) {
			const struct trend_point *point = &trend->points[k][i];

			if (top > point->least_kib)
				swing = MAX2(swing, top - point->least_kib);
			top = MAX2(top, k == level ? point->least_kib : point->most_kib);
		}
	}
	return swing;
}

/* A level's points as far as they are complete. */
struct window {
	const struct trend_point *points;
	size_t n;
	uint32_t width_ds, now_ds, span_ds;
	uint64_t slope;	       /* bytes/s */
	uint64_t older, newer; /* of its halves */
};

/* What it has by the slope at this time, KiB, whatever the last one was; at its peaks, which reach the cap: beyond the
 * troughs by the usual difference in a bucket, less what it rises in that time. */
static uint64_t now_kib(const struct window *window)
{
	const struct trend_point *points = window->points;
	int64_t values[TREND_POINTS] = {0}, height;

	for (size_t i = 0; i < window->n; i++)
		values[i] = (int64_t)points[i].most_kib - (int64_t)points[i].least_kib;
	height = median(values, window->n) - (int64_t)(rise_of(window->slope, window->width_ds) >> 10);
	for (size_t i = 0; i < window->n; i++)
		values[i] = (int64_t)points[i].least_kib +
			    (int64_t)(rise_of(window->slope, window->now_ds - points[i].at_ds) >> 10);
	return (uint64_t)(median(values, window->n) + MAX2(height, INT64_C(0)));
}

static bool level_rises(const struct trend *trend, size_t level, struct window *ret_window)
{
	const struct trend_point *points = trend->points[level];
	/* The newest of the wide ones isn't over: its trough may be to come. */
	size_t n = trend->n[level] - (level && trend->n[level] ? 1U : 0U), half = n / 2;
	int64_t slope, older, newer;
	uint32_t span_ds;

	if (half < HALF_MIN)
		return false;
	span_ds = points[n - 1].at_ds - points[0].at_ds;
	if (span_ds < SPAN_MIN_DS || !is_certain(kendall(points, n), n) || !half_rises(points, half) ||
	    !half_rises(points + n - half, half))
		return false;
	slope = slope_of(points, n);
	older = slope_of(points, half);
	newer = slope_of(points + n - half, half);
	if (slope <= 0 || older <= 0 || newer <= 0 || older < newer / HALF_SLOWER_MAX ||
	    newer < older / HALF_SLOWER_MAX)
		return false;
	if ((rise_of((uint64_t)slope, span_ds) >> 10) * SWING_DENOMINATOR <=
	    (uint64_t)swing_of(trend, level) * SWING_NUMERATOR)
		return false;
	*ret_window = (struct window){.points = points,
				      .n = n,
				      .width_ds = width_ds[level],
				      .now_ds = trend->points[0][trend->n[0] - 1].at_ds,
				      .span_ds = span_ds,
				      .slope = (uint64_t)slope,
				      .older = (uint64_t)older,
				      .newer = (uint64_t)newer};
	return true;
}

/* How much more it may become, bytes. A rise that levels off by the same factor in each half, as caches that fill do,
 * ends at the sum of a geometric series. */
static uint64_t ahead_of(const struct window *window)
{
	uint64_t rise = rise_of(window->slope, window->span_ds), half = rise_of(window->newer, window->span_ds / 2),
		 sum;
	uint64_t ahead = rise > UINT64_MAX / AHEAD_MAX ? UINT64_MAX : rise * AHEAD_MAX;

	if (window->newer >= window->older || __builtin_mul_overflow(half, window->newer, &sum))
		return ahead;
	return MIN2(ahead, sum / (window->older - window->newer));
}

void trend_forecast(const struct trend *trend, uint64_t cap_bytes, struct trend_forecast *ret_forecast)
{
	struct trend_forecast forecast = {.reaches_ns = UINT64_MAX};

	for (size_t level = 0; level < TREND_LEVELS; level++) {
		uint64_t now_bytes, left, ns = UINT64_MAX;
		struct window window;

		if (!level_rises(trend, level, &window))
			continue;
		now_bytes = now_kib(&window) << 10;
		left = cap_bytes > now_bytes ? cap_bytes - now_bytes : 0;
		/* Which bounds the time, too: in ms, 2^42 bytes are still less than 2^64. */
		if (left <= UINT64_C(1) << 42 && left <= ahead_of(&window))
			ns = left * 1000 / window.slope * NSEC_PER_MSEC;
		if (!forecast.slope || ns < forecast.reaches_ns)
			forecast = (struct trend_forecast){window.slope, window.span_ds * NSEC_PER_DS, ns};
	}
	*ret_forecast = forecast;
}
