/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>

#include "core/trend.h"
#include "random.h"

/* Forecasts of traces of which it is known what comes: when they come, how wrong they are, and that there are none of
 * what is no leak. */

#define MIB ((double)(UINT64_C(1) << 20))
#define HORIZON_NS (30 * 60 * NSEC_PER_SEC)
#define BEGIN_NS (7 * NSEC_PER_SEC)

/* From 0 to below 1. */
static double fraction(void)
{
	return (double)(next_random() >> 11) / (double)(UINT64_C(1) << 53);
}

/* Memory in MiB at t seconds. */
typedef double (*trace_f)(double t);

static double tooth(double t, double period, double height)
{
	double phase = t / period;

	return height * (phase - (double)(uint64_t)phase);
}

static double fast_leak(double t)
{
	return 20 + 10 * t;
}

static double slow_leak(double t)
{
	return 100 + t / 60;
}

static double noisy_leak(double t)
{
	return 100 + t / 60 + 3 * fraction();
}

/* 2 MiB/min below teeth of 40 MiB. */
static double leak_below_teeth(double t)
{
	return 60 + t / 30 + tooth(t, 37, 40);
}

/* 0.5 MiB/s below short teeth. */
static double fast_leak_below_teeth(double t)
{
	return 60 + t / 2 + tooth(t, 7, 20);
}

static double leak_with_spikes(double t)
{
	return slow_leak(t) + (next_random() % 2000 == 0 ? 100 : 0);
}

/* It leaks, gives all of it back after 100 s, and leaks on. */
static double leak_begins_anew(double t)
{
	return t < 100 ? 20 + t / 2 : 20 + (t - 100);
}

struct result {
	double at_s;	/* of the first forecast within the horizon; below 0: none */
	double error;	/* of the time that was left then: 0.1 is 10 % too late */
	double usual;	/* the median of all from then on, without sign */
	double bytes_s; /* slope */
	size_t n;
};

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Looks every `every` seconds until the cap is reached, at `reached` seconds. */
static struct result run(trace_f trace, double cap_mib, double reached, double every)
{
	static double errors[20000];
	struct result result = {.at_s = -1};
	struct trend trend = {0};

	seed = 88172645463325252u;
	for (double t = 0; t < reached; t += every) {
		struct trend_forecast forecast;
		double error;

		trend_add(&trend, BEGIN_NS + (uint64_t)(t * 1e9), (uint64_t)(trace(t) * MIB));
		trend_forecast(&trend, (uint64_t)(cap_mib * MIB), &forecast);
		if (forecast.reaches_ns > HORIZON_NS)
			continue;
		error = (double)forecast.reaches_ns / 1e9 / (reached - t) - 1;
		if (result.at_s < 0)
			result = (struct result){t, error, 0, (double)forecast.slope, 0};
		errors[result.n++] = error > 0 ? error : -error;
		cr_assert_lt(result.n, sizeof(errors) / sizeof(*errors));
	}
	qsort(errors, result.n, sizeof(*errors), compare);
	result.usual = result.n ? errors[result.n / 2] : 0;
	return result;
}

static void expect_forecast(const char *name, struct result result, double by_s, double error)
{
	printf("%s: at %.0f s, error %+.1f %%, usual later %.1f %% of %zu, %.0f KiB/s\n", name, result.at_s,
	       100 * result.error, 100 * result.usual, result.n, result.bytes_s / 1024);
	cr_expect(result.at_s >= 0 && result.at_s <= by_s, "%s: told at %.0f s", name, result.at_s);
	cr_expect(result.error < error && result.error > -error, "%s: wrong by %.0f %%", name, 100 * result.error);
	cr_expect_lt(result.usual, error, "%s: usually wrong by %.0f %%", name, 100 * result.usual);
}

Test(trend, leaks_are_seen_in_time)
{
	/* The fast one reaches 200 MiB after 18 s, 300 MiB after 28 s. */
	expect_forecast("10 MiB/s", run(fast_leak, 300, 28, 1), 13, 0.1);
	expect_forecast("1 MiB/min", run(slow_leak, 120, 1200, 1), 660, 0.1);
	expect_forecast("1 MiB/min, every 10 s", run(slow_leak, 140, 2400, 10), 1860, 0.1);
	expect_forecast("1 MiB/min with noise", run(noisy_leak, 163, 3600, 1), 3600 - 900, 0.3);
	expect_forecast("2 MiB/min below teeth", run(leak_below_teeth, 240, 4200, 1), 4200 - 900, 0.3);
	expect_forecast("30 MiB/min below teeth", run(fast_leak_below_teeth, 380, 600, 1), 300, 0.3);
	expect_forecast("1 MiB/min with spikes", run(leak_with_spikes, 160, 3600, 1), 3600 - 900, 0.1);
	expect_forecast("begins anew", run(leak_begins_anew, 300, 380, 1), 300, 1.2);
}

/* ---- what is no leak ---- */

static double plateau(double t)
{
	return (t < 5 ? 20 * t : 100) + 2 * fraction();
}

static double step(double t)
{
	return (t < 300 ? 50 : 170) + 2 * fraction();
}

/* A model is loaded in 8 s. */
static double load(double t)
{
	return (t < 300 ? 30 : t < 308 ? 30 + 18 * (t - 300) : 174) + fraction();
}

static double spike(double t)
{
	return 80 + (t >= 600 && t < 603 ? 110 : 0) + 2 * fraction();
}

static double decline(double t)
{
	return 180 - t / 60 + 4 * fraction();
}

static double saw(double t)
{
	return 80 + tooth(t, 60, 100);
}

static double slow_saw(double t)
{
	return 80 + tooth(t, 900, 100);
}

/* A collector that runs at odd times. */
static double odd_saw(double t)
{
	return 80 + 60 * (1 + tooth(t, 137, 1)) / 2 * tooth(t, 41, 1) + 5 * fraction();
}

/* A cache fills and levels off. */
static double cache(double t)
{
	return 160 - 100 / (1 + t / 120) + fraction();
}

static const struct {
	const char *name;
	trace_f trace;
	double from; /* before that nothing was ever given back: it may as well be a leak */
} calm[] = {
	{"plateau", plateau, 0},     {"step", step, 0},	      {"load", load, 0},
	{"spike", spike, 0},	     {"decline", decline, 0}, {"saw", saw, 60},
	{"slow saw", slow_saw, 900}, {"odd saw", odd_saw, 0}, {"cache", cache, 0},
};

/* How often it is told after from. */
static size_t count_told(trace_f trace, double from, double every)
{
	struct trend trend = {0};
	size_t told = 0;

	seed = 88172645463325252u;
	for (double t = 0; t < 4 * 3600; t += every) {
		struct trend_forecast forecast;

		trend_add(&trend, BEGIN_NS + (uint64_t)(t * 1e9), (uint64_t)(trace(t) * MIB));
		trend_forecast(&trend, (uint64_t)(200 * MIB), &forecast);
		told += t >= from && forecast.reaches_ns <= HORIZON_NS;
	}
	return told;
}

Test(trend, what_is_no_leak_is_not_told)
{
	for (size_t i = 0; i < sizeof(calm) / sizeof(*calm); i++)
		for (double every = 1; every < 100; every *= 10) {
			size_t told = count_told(calm[i].trace, calm[i].from, every);

			cr_expect_eq(told, 0, "%s, every %.0f s: told %zu times", calm[i].name, every, told);
		}
}

/* Of random parts, each of which ends sooner or later: a base with steps, spikes, teeth of random period and height,
 * and noise; never above 95 % of the cap of 200 MiB. */
struct random_trace {
	double base, until; /* of this plateau */
	double height, period, begun, noise, spikes;
};

static double random_next(struct random_trace *trace, double t)
{
	if (t >= trace->until) {
		*trace = (struct random_trace){.base = 20 + 100 * fraction(),
					       .until = t + 30 + 3000 * fraction() * fraction(),
					       .height = next_random() % 2 ? 60 * fraction() : 0,
					       .period = 3 + 300 * fraction() * fraction(),
					       .begun = t,
					       .noise = 6 * fraction(),
					       .spikes = next_random() % 4 ? 0 : 0.01};
	}
	if (fraction() < trace->spikes)
		return trace->base + 70;
	return trace->base + tooth(t - trace->begun, trace->period, trace->height) + trace->noise * fraction();
}

Test(trend, random_traces_are_not_told)
{
	size_t hours = 0, told = 0;

	for (uint64_t run_no = 1; run_no <= 60; run_no++) {
		struct random_trace random = {0};
		struct trend trend = {0};
		double last = -1e9;

		seed = run_no * UINT64_C(0x9e3779b97f4a7c15);
		for (double t = 0; t < 6 * 3600; t += run_no % 3 ? 1 : 10) {
			struct trend_forecast forecast;

			trend_add(&trend, BEGIN_NS + (uint64_t)(t * 1e9), (uint64_t)(random_next(&random, t) * MIB));
			trend_forecast(&trend, (uint64_t)(200 * MIB), &forecast);
			/* As incidents would be. */
			if (t < 600 || forecast.reaches_ns > HORIZON_NS || t - last < 60)
				continue;
			last = t;
			told++;
		}
		hours += 6;
	}
	printf("random: %zu told in %zu hours\n", told, hours);
	cr_expect_leq(told, hours / 100);
}

/* Memory that comes back by force is none that the program gave back. */
Test(trend, begins_anew_when_it_is_cleared)
{
	struct trend trend = {0};
	struct trend_forecast forecast;
	double t, at = 0;

	for (t = 0; t < 100; t++)
		trend_add(&trend, BEGIN_NS + (uint64_t)(t * 1e9), (uint64_t)(fast_leak(t / 5) * MIB));
	trend_clear(&trend);
	for (; t < 150 && at < 1; t++) {
		trend_add(&trend, BEGIN_NS + (uint64_t)(t * 1e9), (uint64_t)((20 + 2 * (t - 100)) * MIB));
		trend_forecast(&trend, (uint64_t)(60 * MIB), &forecast);
		if (forecast.reaches_ns < HORIZON_NS)
			at = t;
	}
	cr_expect_leq(at, 111);
	cr_expect_geq(at, 110);
	cr_expect_eq(forecast.slope, 2 << 20);
}

Test(trend, extremes_do_not_overflow)
{
	static const uint64_t values[] = {0, 1, UINT64_C(1) << 40, UINT64_C(1) << 62, UINT64_MAX};
	struct trend trend = {0};
	struct trend_forecast forecast;
	uint64_t time_ns = 0;

	seed = 7;
	for (size_t i = 0; i < 200000; i++) {
		/* It may jump by days, and seem to go back. */
		time_ns += next_random() % (next_random() % 50 ? 2 * NSEC_PER_SEC : 1000000 * NSEC_PER_SEC);
		trend_add(&trend, next_random() % 100 ? time_ns : time_ns / 2, values[next_random() % 5]);
		trend_forecast(&trend, values[next_random() % 5], &forecast);
		cr_assert(forecast.slope || forecast.reaches_ns == UINT64_MAX);
	}
	/* Of growth at the limit of what there is. */
	trend_clear(&trend);
	for (uint64_t i = 0; i < 14; i++)
		trend_add(&trend, time_ns + i * NSEC_PER_SEC, i << 38);
	trend_forecast(&trend, UINT64_C(20) << 38, &forecast);
	cr_expect_eq(forecast.slope, UINT64_C(1) << 38);
	cr_expect_eq(forecast.reaches_ns / NSEC_PER_SEC, 7);
}
