/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>

#include "pace_model.h"

#define MS NSEC_PER_MSEC
#define SEC NSEC_PER_SEC

static const struct gov_breaker_rule rule = {
	.first_ns = 2 * SEC, .max_ns = 20 * SEC, .stable_ns = 30 * SEC, .failures = 3, .factor_milli = 2000};

TestSuite(breaker, .timeout = 60);

static bool bad(struct gov_breaker *breaker, uint64_t left_ns, uint64_t now_ns)
{
	return gov_breaker_outcome(breaker, &rule, GOV_OUTCOME_FAILED, left_ns, now_ns);
}

/* Opened by three bad outcomes at 100 s. */
static struct gov_breaker opened(void)
{
	struct gov_breaker breaker = {0};

	cr_assert_not(bad(&breaker, 98 * SEC, 98 * SEC));
	cr_assert_not(gov_breaker_outcome(&breaker, &rule, GOV_OUTCOME_DROPPED, 98 * SEC, 99 * SEC));
	cr_assert_eq(gov_breaker_state(&breaker, &rule, 99 * SEC), GOV_BREAKER_CLOSED);
	cr_assert(bad(&breaker, 99 * SEC, 100 * SEC));
	cr_assert_eq(gov_breaker_state(&breaker, &rule, 100 * SEC), GOV_BREAKER_OPEN);
	cr_assert_eq(breaker.interval_ns, 2 * SEC);
	return breaker;
}

Test(breaker, grows_once_a_probe_up_to_the_longest)
{
	static const uint64_t wanted[] = {4 * SEC, 8 * SEC, 16 * SEC, 20 * SEC, 20 * SEC};
	struct gov_breaker breaker = opened();
	uint64_t now_ns = 100 * SEC;

	/* Those of the same outage, that left before it opened, or in the very moment, when the clock stands still. */
	for (uint64_t i = 0; i < 100; i++)
		cr_assert_not(bad(&breaker, 99 * SEC + i * 10 * MS, 100 * SEC + i));
	cr_assert_not(bad(&breaker, 100 * SEC, 100 * SEC));
	for (size_t i = 0; i < ELEMENTSOF(wanted); i++) {
		now_ns += 20 * SEC;
		gov_breaker_leave(&breaker);
		cr_expect_eq(gov_breaker_state(&breaker, &rule, now_ns), GOV_BREAKER_HALF_OPEN);
		cr_expect(bad(&breaker, now_ns, now_ns + 1));
		cr_expect_eq(breaker.interval_ns, wanted[i]);
		cr_expect_eq(gov_breaker_state(&breaker, &rule, now_ns + 1), GOV_BREAKER_OPEN);
		/* A second one that left together with the probe. */
		cr_expect_not(bad(&breaker, now_ns, now_ns + 2));
		cr_expect_eq(breaker.interval_ns, wanted[i]);
	}
}

Test(breaker, any_good_outcome_ends_a_row_of_bad_ones)
{
	static const enum gov_outcome good[] = {GOV_OUTCOME_ENDED, GOV_OUTCOME_LIVED};

	for (size_t i = 0; i < ELEMENTSOF(good); i++) {
		struct gov_breaker breaker = {0};

		for (uint64_t now_ns = SEC; now_ns < 50 * SEC; now_ns += 3 * SEC) {
			cr_assert_not(bad(&breaker, now_ns, now_ns));
			cr_assert_not(bad(&breaker, now_ns + SEC, now_ns + SEC));
			cr_assert_not(gov_breaker_outcome(&breaker, &rule, good[i], now_ns, now_ns + 2 * SEC));
		}
		cr_expect_eq(breaker.interval_ns, 0);
	}
}

/* A server that takes connections and drops them is no better than one that isn't there. */
Test(breaker, to_be_established_alone_is_no_good_outcome)
{
	struct gov_breaker breaker = {0};

	for (uint64_t i = 1; i <= 3; i++) {
		cr_assert_not(gov_breaker_outcome(&breaker, &rule, GOV_OUTCOME_ESTABLISHED, i * SEC, i * SEC + 1));
		cr_assert_eq(gov_breaker_outcome(&breaker, &rule, GOV_OUTCOME_DROPPED, i * SEC, i * SEC + 2), i == 3);
	}
	cr_expect_eq(gov_breaker_state(&breaker, &rule, 4 * SEC), GOV_BREAKER_OPEN);
}

Test(breaker, closes_when_a_connection_has_lived)
{
	struct gov_breaker breaker = opened();

	gov_breaker_leave(&breaker);
	cr_assert_not(gov_breaker_outcome(&breaker, &rule, GOV_OUTCOME_ESTABLISHED, 102 * SEC, 103 * SEC));
	/* The ends of others don't matter while it lives: an old one, and one beside it. */
	cr_assert_not(gov_breaker_outcome(&breaker, &rule, GOV_OUTCOME_ENDED, 90 * SEC, 104 * SEC));
	cr_assert_not(gov_breaker_outcome(&breaker, &rule, GOV_OUTCOME_ESTABLISHED, 104 * SEC, 104 * SEC));
	cr_assert_not(gov_breaker_outcome(&breaker, &rule, GOV_OUTCOME_ENDED, 104 * SEC, 105 * SEC));
	cr_expect_not(gov_breaker_settle(&breaker, &rule, 133 * SEC - 1));
	cr_expect_eq(gov_breaker_state(&breaker, &rule, 133 * SEC - 1), GOV_BREAKER_HALF_OPEN);
	cr_expect_eq(gov_breaker_state(&breaker, &rule, 133 * SEC), GOV_BREAKER_CLOSED);
	cr_expect(gov_breaker_settle(&breaker, &rule, 133 * SEC));
	cr_expect_eq(breaker.interval_ns, 0);
	cr_expect_not(gov_breaker_settle(&breaker, &rule, 134 * SEC));

	/* Nobody looked meanwhile: one bad outcome after a good hour isn't the old outage. */
	breaker = opened();
	cr_assert_not(gov_breaker_outcome(&breaker, &rule, GOV_OUTCOME_ESTABLISHED, 102 * SEC, 103 * SEC));
	cr_expect(bad(&breaker, 3700 * SEC, 3701 * SEC), "closed");
	cr_expect_eq(breaker.interval_ns, 0);
	cr_expect_eq(breaker.failures, 1);

	breaker = opened();
	cr_assert_not(gov_breaker_outcome(&breaker, &rule, GOV_OUTCOME_ESTABLISHED, 102 * SEC, 103 * SEC));
	cr_assert_not(gov_breaker_outcome(&breaker, &rule, GOV_OUTCOME_ENDED, 102 * SEC, 104 * SEC));
	cr_expect_eq(gov_breaker_state(&breaker, &rule, 200 * SEC), GOV_BREAKER_OPEN, "what has ended doesn't live");
}

Test(breaker, closes_when_the_application_has_ended_enough)
{
	struct gov_breaker breaker = opened();

	for (uint64_t i = 1; i <= 3; i++)
		cr_assert_eq(gov_breaker_outcome(&breaker, &rule, GOV_OUTCOME_ENDED, (100 + i) * SEC, (100 + i) * SEC),
			     i == 3);
	cr_expect_eq(breaker.interval_ns, 0);

	/* In a row. */
	breaker = opened();
	for (uint64_t i = 1; i <= 40; i += 4) {
		uint64_t now_ns = (100 + i * 20) * SEC;

		cr_assert_not(gov_breaker_outcome(&breaker, &rule, GOV_OUTCOME_ENDED, now_ns, now_ns));
		cr_assert_not(gov_breaker_outcome(&breaker, &rule, GOV_OUTCOME_ENDED, now_ns + 1, now_ns + 1));
		cr_assert(bad(&breaker, now_ns + 2, now_ns + 2));
	}
	cr_expect_eq(breaker.interval_ns, 20 * SEC);
}

/* Of an outage also those learn late that were connected long before. */
Test(breaker, the_end_of_an_old_connection_does_not_close_it)
{
	struct gov_breaker breaker = opened();

	cr_expect_not(gov_breaker_outcome(&breaker, &rule, GOV_OUTCOME_LIVED, 5 * SEC, 101 * SEC));
	for (uint64_t i = 0; i < 5; i++)
		cr_expect_not(gov_breaker_outcome(&breaker, &rule, GOV_OUTCOME_ENDED, 99 * SEC, (101 + i) * SEC));
	cr_expect_eq(breaker.interval_ns, 2 * SEC);
	cr_expect(gov_breaker_outcome(&breaker, &rule, GOV_OUTCOME_LIVED, 102 * SEC, 140 * SEC));
	cr_expect_eq(breaker.interval_ns, 0);
}

Test(breaker, a_policy_without_one_has_none)
{
	static const struct gov_breaker_rule none = {0};
	struct gov_breaker breaker = {0}, old = opened();

	for (uint64_t i = 1; i < 100; i++)
		cr_expect_not(gov_breaker_outcome(&breaker, &none, GOV_OUTCOME_FAILED, i, i));
	/* Also where one was open when the policy changed. */
	cr_expect_eq(gov_breaker_state(&old, &none, 101 * SEC), GOV_BREAKER_CLOSED);
	cr_expect(gov_breaker_settle(&old, &none, 101 * SEC));
	cr_expect_eq(old.interval_ns, 0);
}

Test(breaker, jitter_spreads_from_half_to_whole)
{
	static const struct gov_pace_rate base = {.interval_ns = SEC, .tolerance_ns = 4 * SEC};
	struct gov_breaker breaker = {.interval_ns = 16 * SEC};
	unsigned bins[10] = {0};

	srand(11);
	for (int i = 0; i < 20000; i++) {
		struct gov_pace_rate rate = gov_breaker_rate(&breaker, &base, (uint32_t)rand());

		cr_assert(rate.interval_ns >= 8 * SEC && rate.interval_ns <= 16 * SEC);
		bins[(rate.interval_ns - 8 * SEC) * 10 / (8 * SEC + 1)]++;
	}
	for (size_t i = 0; i < ELEMENTSOF(bins); i++)
		cr_expect(bins[i] > 1600 && bins[i] < 2400, "%zu: %u", i, bins[i]);

	/* All 32 bits are random, and none makes it faster than the rate. */
	cr_expect_eq(gov_breaker_rate(&breaker, &base, 0).interval_ns, 16 * SEC);
	cr_expect_lt(gov_breaker_rate(&breaker, &base, UINT32_MAX).interval_ns, 8 * SEC + SEC / 1000);
	breaker.interval_ns = SEC;
	cr_expect_eq(gov_breaker_rate(&breaker, &base, UINT32_MAX).interval_ns, SEC);
	breaker.interval_ns = 0;
	cr_expect_eq(memcmp(&(struct gov_pace_rate){SEC, 4 * SEC, 0}, &base, sizeof(base)), 0);
	cr_expect_eq(gov_breaker_rate(&breaker, &base, 7).lead_ns, 0);
}

/* rate: 5/min, burst: 5, failures: 5: the burst fails, and whoever comes then waits for one interval, not for five. */
Test(breaker, a_burst_that_fails_does_not_shut_the_agent_out)
{
	struct pace_model model;

	pace_model_init(&model, 100 * SEC, 12 * SEC, 5);
	for (int i = 0; i < 5; i++)
		cr_assert_null(pace_model_arrive(&model, 0));
	for (size_t i = 0; i < 5; i++)
		cr_assert_null(pace_model_outcome(&model, &model.owners[i], GOV_OUTCOME_FAILED));
	cr_assert_eq(model.breaker.interval_ns, 12 * SEC);
	model.now_ns += SEC;
	cr_assert_null(pace_model_arrive(&model, 0));
	cr_assert_null(pace_model_arrive(&model, 0));
	cr_assert_eq(model.n, 7);
	cr_expect_eq(model.owners[5].depart_ns, 112 * SEC);
	cr_expect_eq(model.owners[6].depart_ns, 124 * SEC);
	cr_expect_null(pace_model_check_windows(&model));
}

/* An application's own timeout is shorter than the interval: it gets through all the same, as its slot comes back. */
Test(breaker, an_impatient_application_gets_its_probe)
{
	struct pace_model model;
	bool has_left = false;

	pace_model_init(&model, 100 * SEC, SEC, 1);
	model.max_delay_ns = 30 * SEC;
	model.breaker = (struct gov_breaker){.interval_ns = 30 * SEC, .changed_ns = 100 * SEC};
	gov_pace_push(&model.pace, 130 * SEC);
	for (int i = 0; i < 4 && !has_left; i++) {
		cr_assert_null(pace_model_arrive(&model, (uint32_t)i * 9999));
		cr_assert_eq(model.refused, 0);
		model.now_ns += 10 * SEC;
		has_left = pace_owner_left(&model, &model.owners[model.n - 1]);
		pace_model_refund(&model, &model.owners[model.n - 1]);
	}
	cr_expect(has_left);
}

/* Until the server is there again, each connect fails at once; the agent then tries again 100 ms later. */
static uint64_t reconnect(struct pace_model *model, uint64_t back_ns)
{
	while (true) {
		struct pace_owner *owner;

		cr_assert_null(pace_model_arrive(model, (uint32_t)rand()));
		cr_assert_eq(model->refused, 0);
		owner = &model->owners[model->n - 1];
		model->now_ns = owner->depart_ns;
		gov_breaker_leave(&model->breaker);
		if (model->now_ns >= back_ns)
			return model->now_ns;
		model->now_ns += MS;
		cr_assert_null(pace_model_outcome(model, owner, GOV_OUTCOME_FAILED));
		model->now_ns += 100 * MS;
	}
}

/* 20 agents whose server was away for 60 s come back within the longest interval, and not together. */
Test(breaker, a_fleet_comes_back_spread_out)
{
	uint64_t back_ns = 160 * SEC, times_ns[20], most = 0;

	srand(5);
	for (size_t i = 0; i < ELEMENTSOF(times_ns); i++) {
		static struct pace_model model;

		pace_model_init(&model, 100 * SEC, SEC, 5);
		model.rule.max_ns = 20 * SEC;
		times_ns[i] = reconnect(&model, back_ns);
		cr_expect_leq(times_ns[i], back_ns + 20 * SEC);
		cr_expect_null(pace_model_check_windows(&model));
		cr_expect_lt(model.n, 25, "%zu attempts", model.n);
	}
	for (size_t i = 0; i < ELEMENTSOF(times_ns); i++) {
		uint64_t n = 0;

		for (size_t j = 0; j < ELEMENTSOF(times_ns); j++)
			n += times_ns[j] >= times_ns[i] && times_ns[j] < times_ns[i] + SEC;
		most = MAX2(most, n);
	}
	cr_expect_leq(most, 6, "%lu come within one second", (unsigned long)most);
}
