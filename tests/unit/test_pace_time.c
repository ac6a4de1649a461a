/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>

#include "base/macro.h"
#include "gov/pace.h"
#include "random.h"

/* Of include/gov/pace.h: windows in which storms are counted, the kernel's timers. */

#define MS NSEC_PER_MSEC
#define SEC NSEC_PER_SEC

TestSuite(pace_time, .timeout = 60);

/* ---- storms ------------------------------------------------------------------------------------------------------ */

Test(pace_time, a_storm_is_50_in_5_seconds)
{
	struct gov_burst burst = {0};
	uint64_t now_ns = 1000 * SEC;

	for (int i = 1; i <= 60; i++) {
		gov_burst_count(&burst, false, now_ns + (uint64_t)i * 99 * MS);
		cr_expect_eq(gov_burst_is_storm(&burst), i >= 50 && i <= 51, "%d", i);
	}
	/* In the window after: those of the one before are known, the older ones forgotten. */
	cr_expect_eq(burst.last_attempts, 51);
	gov_burst_turn(&burst, now_ns + 12 * SEC);
	cr_expect_eq(burst.last_attempts, 9);
	gov_burst_turn(&burst, now_ns + 30 * SEC);
	cr_expect_eq(burst.last_attempts, 0);
	cr_expect_eq(burst.attempts, 0);
}

/* Windows don't slide: 99 in any 5 s are one for certain, less than 50 in every 5 s never. */
Test(pace_time, windows_of_storms_miss_nothing_that_is_large)
{
	seed = 7;
	for (int round = 0; round < 2000; round++) {
		uint64_t times_ns[200], now_ns = 100 * SEC, most = 0, first = 0;
		struct gov_burst burst = {0};
		bool is_storm = false;

		for (uint64_t i = 0; i < ELEMENTSOF(times_ns); i++) {
			now_ns += next_random() % ((uint64_t)(40 + round % 160) * MS);
			if (next_random() % 40 == 0)
				now_ns += next_random() % (10 * SEC);
			times_ns[i] = now_ns;
			while (now_ns - times_ns[first] >= GOV_BURST_WINDOW_NS)
				first++;
			most = MAX2(most, i - first + 1);
			gov_burst_count(&burst, false, now_ns);
			is_storm |= gov_burst_is_storm(&burst);
		}
		cr_assert(is_storm || most < 99, "%lu", (unsigned long)most);
		cr_assert(!is_storm || most >= 50, "%lu", (unsigned long)most);
	}
}

Test(pace_time, five_waits_in_a_row_are_a_storm)
{
	struct gov_burst burst = {0};

	for (int i = 1; i <= 5; i++) {
		cr_expect_not(gov_burst_is_storm(&burst));
		gov_burst_count(&burst, true, (uint64_t)i * 100 * SEC);
	}
	cr_expect(gov_burst_is_storm(&burst));
	gov_burst_count(&burst, false, 600 * SEC);
	cr_expect_not(gov_burst_is_storm(&burst));
}

/* ---- the timer wheel --------------------------------------------------------------------------------------------- */

/* kernel/time/timer.c, calc_wheel_index() and calc_index(). */
static uint64_t wheel_fires(uint64_t clock, uint64_t ticks, uint64_t *ret_step)
{
	uint64_t expires = clock + ticks;
	unsigned level = 0;

	while (level < 8 && ticks >= UINT64_C(63) << (3 * level))
		level++;
	*ret_step = UINT64_C(1) << (3 * level);
	return ((expires >> (3 * level)) + 1) << (3 * level);
}

Test(pace_time, the_wheel_is_late_or_early_by_half_a_step)
{
	static const uint32_t hz[] = {100, 250, 300, 1000};

	seed = 5;
	for (size_t i = 0; i < ELEMENTSOF(hz); i++) {
		uint32_t tick_ns = (uint32_t)(SEC / hz[i]);

		for (int round = 0; round < 100000; round++) {
			uint64_t max_ns = round % 2 ? 120 * SEC : SEC, delay_ns = next_random() % max_ns;
			uint64_t clock = next_random() % (UINT64_C(1) << 40), step, asked_step;
			uint32_t ticks = gov_wheel_ticks(delay_ns, tick_ns);
			uint64_t waits = wheel_fires(clock, ticks, &step) - clock, wanted = delay_ns / tick_ns;

			wheel_fires(0, wanted, &asked_step);
			cr_assert_geq(ticks, 1);
			cr_assert(waits + asked_step / 2 >= wanted && waits <= wanted + asked_step / 2 + 2,
				  "HZ %u: %lu ticks instead of %lu", hz[i], (unsigned long)waits,
				  (unsigned long)wanted);
		}
	}
	cr_expect_eq(gov_wheel_ticks(0, 4000000), 1);
	cr_expect_eq(gov_wheel_ticks(SEC, 0), 0x7fffffff < SEC - 2048 ? 0x7fffffff : SEC - 2048);
	cr_expect_eq(gov_wheel_ticks(UINT64_MAX, 1), 0x7fffffff);
}

/* ---- repeated SYNs ----------------------------------------------------------------------------------------------- */

/* net/ipv4/tcp_timer.c, tcp_model_timeout(), with a first timeout of its own. */
static uint64_t syn_whole(uint64_t first_ns, uint32_t retries)
{
	uint64_t whole_ns = 0;

	for (uint32_t i = 0; i <= retries; i++)
		whole_ns += i < 32 ? MIN2(first_ns << i, 120 * SEC) : 120 * SEC;
	return whole_ns;
}

Test(pace_time, a_held_connect_takes_no_less_than_usual_to_fail)
{
	seed = 3;
	for (int round = 0; round < 100000; round++) {
		uint64_t most_ns = round % 2 ? 120 * SEC : 2 * SEC;
		uint64_t delay_ns = MS + next_random() % (most_ns - MS + 1);
		uint32_t usual = (uint32_t)(next_random() % 13), retries = gov_syn_retries(delay_ns, usual);

		cr_assert_geq(retries, 1);
		cr_assert_geq(syn_whole(delay_ns, retries), syn_whole(SEC, usual), "%lu ns, %u: %u",
			      (unsigned long)delay_ns, usual, retries);
		if (retries > 1)
			cr_assert_lt(syn_whole(delay_ns, retries - 1), syn_whole(SEC, usual));
	}
	cr_expect_eq(gov_syn_retries(SEC, 6), 6);
	cr_expect_eq(gov_syn_retries(30 * SEC, 6), 2);
	cr_expect_eq(gov_syn_retries(0, 6), 16);
	cr_expect_leq(gov_syn_retries(0, UINT32_MAX), 127);
	cr_expect_geq(gov_syn_retries(UINT64_MAX, 127), 1);
}
