/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/connect.h"

#include "core/policy.h"

/* What policies mean for the kernel, and what its counters mean for people. */

#define STORM_QUIET_NS (30 * NSEC_PER_SEC)	     /* without an attempt a storm of those that wait is over */
#define BREAKER_FIRST_NS NSEC_PER_SEC		     /* the shortest interval of an open breaker */
#define DELAY_WITHOUT_CONNECT_NS (30 * NSEC_PER_SEC) /* as the default of connect.max_delay */

static void rule_of_connect(const struct policy_connect *connect, struct gov_connect_agent *rule)
{
	static const uint32_t per_flags[] = {
		[POLICY_PER_DESTINATION] = 0,
		[POLICY_PER_PORT] = GOV_CONNECT_PER_PORT,
		[POLICY_PER_AGENT] = GOV_CONNECT_PER_AGENT,
	};

	if (!connect->rate.count)
		return;
	rule->rate.interval_ns = MAX2(connect->rate.per_ns / connect->rate.count, UINT64_C(1));
	rule->rate.tolerance_ns = connect->burst > 1 ? (connect->burst - 1) * rule->rate.interval_ns : 0;
	rule->max_delay_ns = connect->max_delay_ns;
	rule->flags |= per_flags[connect->per];
	rule->flags |= connect->on_excess == POLICY_EXCESS_REFUSE ? GOV_CONNECT_REFUSE : 0U;
	rule->flags |= connect->udp == POLICY_UDP_REFUSE ? GOV_CONNECT_REFUSE_UDP : 0U;
}

static void rule_of_breaker(const struct policy_breaker *breaker, struct gov_connect_agent *rule)
{
	if (!breaker->failures)
		return;
	rule->breaker.failures = breaker->failures;
	rule->breaker.factor_milli = breaker->factor_milli;
	rule->breaker.stable_ns = breaker->stable_after_ns;
	/* What it holds back is held by the same timers: never for longer than any connect may wait. */
	rule->breaker.max_ns = MIN2(breaker->max_interval_ns, rule->max_delay_ns);
	rule->breaker.first_ns = MIN2(MAX2(rule->rate.interval_ns, BREAKER_FIRST_NS), rule->breaker.max_ns);
}

void connect_rule(const struct policy *policy, struct gov_connect_agent *ret_rule)
{
	const struct policy_sockets *sockets = &policy->sockets;
	struct gov_connect_agent rule = {
		.max_delay_ns = DELAY_WITHOUT_CONNECT_NS,
	};

	rule_of_connect(&policy->connect, &rule);
	rule_of_breaker(&policy->breaker, &rule);
	/* The first that is more than the rate lets come in a window. */
	if (sockets->new_rate.count && sockets->new_rate.per_ns)
		rule.new_max = (uint32_t)MIN2((double)sockets->new_rate.count * (double)GOV_BURST_WINDOW_NS /
							      (double)sockets->new_rate.per_ns +
						      1.0,
					      (double)UINT32_MAX);
	if (policy->idle.after_ns)
		rule.flags |= GOV_CONNECT_COUNT_ACCEPTS;
	*ret_rule = rule;
}

bool connect_is_storm(const struct gov_burst *burst, uint64_t last_ns, uint64_t interval_ns, uint64_t now_ns)
{
	uint64_t age_ns = now_ns > last_ns ? now_ns - last_ns : 0;
	struct gov_burst now = *burst;

	gov_burst_turn(&now, now_ns);
	if (now.attempts >= GOV_STORM_ATTEMPTS || now.last_attempts >= GOV_STORM_ATTEMPTS)
		return true;
	return now.waited >= GOV_STORM_WAITED && age_ns < MAX2(STORM_QUIET_NS, 2 * interval_ns);
}

/* Of the last one or two windows. The one before has lasted for a window or longer: it ends with the first count after.
 */
static void view_burst(const struct gov_burst *burst, uint64_t now_ns, struct connect_view *view)
{
	uint64_t age_ns = now_ns > burst->window_ns ? now_ns - burst->window_ns : 0;
	uint64_t attempts = 0, failed = 0, time_ns;

	if (age_ns < 2 * GOV_BURST_WINDOW_NS) {
		attempts = burst->attempts;
		failed = burst->failed;
	}
	/* A few that have only begun are no rate yet. */
	time_ns = MAX2(age_ns, attempts < GOV_STORM_ATTEMPTS ? GOV_BURST_WINDOW_NS : 10 * NSEC_PER_MSEC);
	if (age_ns < GOV_BURST_WINDOW_NS && burst->last_attempts) {
		attempts += burst->last_attempts;
		failed += burst->last_failed;
		time_ns = age_ns + GOV_BURST_WINDOW_NS;
	}
	view->recent = MAX2(attempts, (uint64_t)burst->waited);
	view->rate_milli = attempts * 1000 * NSEC_PER_MSEC / (time_ns / 1000);
	view->failed_pct = attempts ? MIN2(failed * 100 / attempts, UINT64_C(100)) : 0;
}

static bool is_over_new_rate(const struct gov_burst *burst, uint32_t new_max, uint64_t now_ns)
{
	struct gov_burst now = *burst;

	gov_burst_turn(&now, now_ns);
	return new_max && (now.attempts >= new_max || now.last_attempts >= new_max);
}

void connect_view_of(const struct gov_connect_entry *entry, const struct gov_connect_agent *rule, uint64_t now_ns,
		     struct connect_view *ret_view)
{
	uint64_t interval_ns = MAX2(rule->rate.interval_ns, entry->breaker.interval_ns);
	struct connect_view view = {
		.attempts = entry->attempts,
		.delayed = entry->delayed,
		.refused = entry->refused,
		.established = entry->established,
		.failed = entry->failed,
		.dropped = entry->dropped,
		.open = entry->open,
		.last_ns = entry->last_ns,
		.breaker = gov_breaker_state(&entry->breaker, &rule->breaker, now_ns),
		.is_over_new_rate = is_over_new_rate(&entry->burst, rule->new_max, now_ns),
	};

	view_burst(&entry->burst, now_ns, &view);
	if (entry->storm_ns && connect_is_storm(&entry->burst, entry->last_ns, interval_ns, now_ns))
		view.storm_ns = entry->storm_ns;
	if (view.breaker != GOV_BREAKER_CLOSED) {
		view.breaker_interval_ns = entry->breaker.interval_ns;
		view.breaker_failures = entry->breaker.failures;
	}
	memcpy(view.destination, ret_view->destination, sizeof(view.destination));
	view.is_udp = ret_view->is_udp;
	*ret_view = view;
}

void connect_view_of_stranger(const struct gov_stranger *stranger, uint64_t now_ns, struct connect_view *ret_view)
{
	struct connect_view view = {
		.attempts = stranger->attempts,
		.failed = stranger->failed,
		.storm_ns = stranger->storm_ns,
	};

	view_burst(&stranger->burst, now_ns, &view);
	memcpy(view.destination, ret_view->destination, sizeof(view.destination));
	*ret_view = view;
}

const char *connect_breaker_name(enum gov_breaker_state state)
{
	static const char *const names[GOV_BREAKER_STATES] = {
		[GOV_BREAKER_CLOSED] = "closed",
		[GOV_BREAKER_OPEN] = "open",
		[GOV_BREAKER_HALF_OPEN] = "half-open",
	};

	return names[state];
}
