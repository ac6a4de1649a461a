/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>

#include "core/connect.h"
#include "core/policy.h"

/* What policies mean for the kernel, and what its counters mean for people. */

#define S NSEC_PER_SEC
#define NOW (1000 * S)

Test(connect_view, storm_of_many_is_over_after_two_windows)
{
	struct gov_burst burst = {0};

	for (unsigned i = 0; i < 49; i++)
		gov_burst_count(&burst, false, NOW);
	cr_assert_not(connect_is_storm(&burst, NOW, 0, NOW));
	gov_burst_count(&burst, false, NOW);
	cr_assert(connect_is_storm(&burst, NOW, 0, NOW));
	cr_assert(connect_is_storm(&burst, NOW, 0, NOW + 9 * S), "the window before counts");
	cr_assert_not(connect_is_storm(&burst, NOW, 0, NOW + 10 * S));
	/* A look changes nothing. */
	cr_assert_eq(burst.attempts, 50);
}

Test(connect_view, storm_that_is_paced_lasts_while_it_comes_back)
{
	struct gov_burst burst = {0};
	uint64_t now_ns = NOW;

	for (unsigned i = 0; i < 5; i++) {
		now_ns += 12 * S;
		gov_burst_count(&burst, true, now_ns);
	}
	cr_assert(connect_is_storm(&burst, now_ns, 12 * S, now_ns + 29 * S));
	cr_assert_not(connect_is_storm(&burst, now_ns, 12 * S, now_ns + 30 * S));
	/* At one a minute the next comes after a minute. */
	cr_assert(connect_is_storm(&burst, now_ns, 60 * S, now_ns + 61 * S));
	cr_assert_not(connect_is_storm(&burst, now_ns, 60 * S, now_ns + 120 * S));
	/* One that needn't wait is the end of it. */
	gov_burst_count(&burst, false, now_ns + S);
	cr_assert_not(connect_is_storm(&burst, now_ns + S, 12 * S, now_ns + S));
}

Test(connect_view, view_tells_rate_and_failures)
{
	struct gov_connect_entry entry = {.attempts = 500, .failed = 300, .open = 3, .last_ns = NOW};
	struct gov_connect_agent rule = {.new_max = 101};
	struct connect_view view = {.destination = "192.0.2.1:443", .is_udp = true};

	entry.burst = (struct gov_burst){
		.window_ns = NOW, .attempts = 50, .failed = 20, .last_attempts = 100, .last_failed = 40};
	entry.storm_ns = NOW - S;
	connect_view_of(&entry, &rule, NOW + 2 * S, &view);
	cr_assert_str_eq(view.destination, "192.0.2.1:443");
	cr_assert(view.is_udp);
	cr_assert_eq(view.rate_milli, 150 * 1000 / 7);
	cr_assert_eq(view.failed_pct, 40);
	cr_assert_eq(view.recent, 150);
	cr_assert_eq(view.storm_ns, NOW - S);
	cr_assert_eq(view.open, 3);
	cr_assert_not(view.is_over_new_rate);
	entry.burst.attempts = 101;
	connect_view_of(&entry, &rule, NOW + 2 * S, &view);
	cr_assert(view.is_over_new_rate);
	connect_view_of(&entry, &rule, NOW + 20 * S, &view);
	cr_assert_not(view.is_over_new_rate);
	cr_assert_eq(view.rate_milli, 0);
	cr_assert_eq(view.storm_ns, 0, "it is over, though the kernel has heard of nothing since");
}

Test(connect_view, one_attempt_is_no_rate)
{
	struct gov_connect_entry entry = {.attempts = 1, .last_ns = NOW};
	struct gov_connect_agent rule = {0};
	struct connect_view view = {0};

	gov_burst_count(&entry.burst, true, NOW);
	connect_view_of(&entry, &rule, NOW, &view);
	cr_assert_eq(view.rate_milli, 200);
	/* A real burst is. */
	for (unsigned i = 0; i < 99; i++)
		gov_burst_count(&entry.burst, true, NOW);
	connect_view_of(&entry, &rule, NOW + 100 * NSEC_PER_MSEC, &view);
	cr_assert_eq(view.rate_milli, 1000000);
}

Test(connect_view, breaker_is_told_while_it_is_open)
{
	struct gov_connect_entry entry = {.breaker = {.interval_ns = 12 * S, .failures = 7}};
	struct gov_connect_agent rule = {.breaker = {.failures = 5, .stable_ns = 30 * S}};
	struct connect_view view = {0};

	connect_view_of(&entry, &rule, NOW, &view);
	cr_assert_eq(view.breaker, GOV_BREAKER_OPEN);
	cr_assert_eq(view.breaker_interval_ns, 12 * S);
	cr_assert_eq(view.breaker_failures, 7);
	entry.breaker.is_probing = 1;
	connect_view_of(&entry, &rule, NOW, &view);
	cr_assert_str_eq(connect_breaker_name(view.breaker), "half-open");
	entry.breaker.alive_ns = NOW;
	connect_view_of(&entry, &rule, NOW + 30 * S, &view);
	cr_assert_eq(view.breaker, GOV_BREAKER_CLOSED);
	cr_assert_eq(view.breaker_interval_ns, 0);
}

static struct policy five_a_minute(void)
{
	return (struct policy){
		.connect = {.rate.count = 5, .rate.per_ns = 60 * S, .burst = 5, .max_delay_ns = 30 * S},
		.breaker = {.failures = 5, .factor_milli = 2000, .max_interval_ns = 60 * S, .stable_after_ns = 30 * S},
		.sockets = {.max = UNIT_INFINITY, .new_rate.count = 10, .new_rate.per_ns = S},
	};
}

Test(connect_view, rule_has_what_the_policy_says)
{
	struct policy policy = five_a_minute();
	struct gov_connect_agent rule;

	connect_rule(&policy, &rule);
	cr_assert_eq(rule.rate.interval_ns, 12 * S);
	cr_assert_eq(rule.rate.tolerance_ns, 48 * S);
	cr_assert_eq(rule.max_delay_ns, 30 * S);
	cr_assert_eq(rule.flags, GOV_CONNECT_REFUSE);
	cr_assert_eq(rule.breaker.failures, 5);
	cr_assert_eq(rule.breaker.first_ns, 12 * S);
	cr_assert_eq(rule.breaker.max_ns, 30 * S, "never beyond max_delay");
	cr_assert_eq(rule.breaker.stable_ns, 30 * S);
	cr_assert_eq(rule.new_max, 51);
	policy.connect.on_excess = POLICY_EXCESS_DELAY;
	policy.connect.per = POLICY_PER_PORT;
	policy.connect.udp = POLICY_UDP_REFUSE;
	connect_rule(&policy, &rule);
	cr_assert_eq(rule.flags, GOV_CONNECT_PER_PORT | GOV_CONNECT_REFUSE_UDP);
	policy.connect.per = POLICY_PER_AGENT;
	connect_rule(&policy, &rule);
	cr_assert_eq(rule.flags, GOV_CONNECT_PER_AGENT | GOV_CONNECT_REFUSE_UDP);
}

Test(connect_view, fast_rates_begin_their_breaker_at_a_second)
{
	struct policy policy = five_a_minute();
	struct gov_connect_agent rule;

	policy.connect.rate.count = 600;
	policy.connect.burst = 1;
	connect_rule(&policy, &rule);
	cr_assert_eq(rule.rate.interval_ns, 100 * NSEC_PER_MSEC);
	cr_assert_eq(rule.rate.tolerance_ns, 0);
	cr_assert_eq(rule.breaker.first_ns, S);
}

Test(connect_view, breaker_works_without_a_rate)
{
	struct policy policy = five_a_minute();
	struct gov_connect_agent rule;

	policy.connect = (struct policy_connect){0};
	connect_rule(&policy, &rule);
	cr_assert_eq(rule.rate.interval_ns, 0);
	cr_assert_eq(rule.flags, 0);
	cr_assert_eq(rule.breaker.first_ns, S);
	cr_assert_eq(rule.breaker.max_ns, 30 * S);
	cr_assert_eq(rule.max_delay_ns, 30 * S);
	policy = (struct policy){.sockets.max = UNIT_INFINITY};
	connect_rule(&policy, &rule);
	cr_assert_eq(rule.breaker.failures, 0);
	cr_assert_eq(rule.new_max, 0);
}
