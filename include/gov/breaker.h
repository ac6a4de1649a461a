/* SPDX-License-Identifier: GPL-2.0-only OR GPL-2.0-or-later */
#ifndef GOV_BREAKER_H
#define GOV_BREAKER_H

#include "gov/pace.h"

/*
 * closed: connects leave by their rate. After `failures` bad outcomes in a row it opens: they leave one an interval,
 * which grows by `factor` with each further bad outcome. The first that leaves is a probe: half-open. It closes when a
 * connection has lived `stable_after`, or when the application itself has ended `failures` of them in a row.
 */
enum gov_breaker_state {
	GOV_BREAKER_CLOSED = 0,
	GOV_BREAKER_OPEN,
	GOV_BREAKER_HALF_OPEN,
	GOV_BREAKER_STATES,
};

struct gov_breaker_rule {
	__u64 first_ns; /* the interval at opening */
	__u64 max_ns;
	__u64 stable_ns;
	__u32 failures;	    /* 0: there is no breaker */
	__u32 factor_milli; /* 2000: twice as long each time */
};

struct gov_breaker {
	__u64 interval_ns; /* 0: closed */
	__u64 changed_ns;  /* the interval; what left before says nothing about it */
	__u64 alive_ns;	   /* since when one or another that left after that lives; 0: none */
	__u32 failures;	   /* bad outcomes in a row */
	__u32 good;	   /* good ones in a row while it isn't closed */
	__u32 is_probing;
	__u32 alive; /* connections that left after changed_ns and live */
};

enum gov_outcome {
	GOV_OUTCOME_FAILED = 0,	 /* never established although its SYN had left */
	GOV_OUTCOME_DROPPED,	 /* ended by the peer before stable_ns */
	GOV_OUTCOME_ESTABLISHED, /* and lives */
	GOV_OUTCOME_ENDED,	 /* by the application */
	GOV_OUTCOME_LIVED,	 /* ended, by whomever, after stable_ns */
};

GOV_PACE_INLINE bool gov_breaker_is_stable(const struct gov_breaker *breaker, const struct gov_breaker_rule *rule,
					   __u64 now_ns)
{
	return breaker->alive_ns && now_ns >= gov_pace_add(breaker->alive_ns, rule->stable_ns);
}

GOV_PACE_INLINE enum gov_breaker_state gov_breaker_state(const struct gov_breaker *breaker,
							 const struct gov_breaker_rule *rule, __u64 now_ns)
{
	if (!breaker->interval_ns || !rule->failures || gov_breaker_is_stable(breaker, rule, now_ns))
		return GOV_BREAKER_CLOSED;
	return breaker->is_probing ? GOV_BREAKER_HALF_OPEN : GOV_BREAKER_OPEN;
}

GOV_PACE_INLINE void gov_breaker_close(struct gov_breaker *breaker)
{
	breaker->interval_ns = 0;
	breaker->alive_ns = 0;
	breaker->alive = 0;
	breaker->failures = 0;
	breaker->good = 0;
	breaker->is_probing = 0;
}

/* Before any other look at it: closes it when a connection has lived long enough, or when the policy has none any more.
 * True when it has. */
GOV_PACE_INLINE bool gov_breaker_settle(struct gov_breaker *breaker, const struct gov_breaker_rule *rule, __u64 now_ns)
{
	if (!breaker->interval_ns || (rule->failures && !gov_breaker_is_stable(breaker, rule, now_ns)))
		return false;
	gov_breaker_close(breaker);
	return true;
}

/* The rate in force. random (any 32 bits) takes up to half of an open breaker's interval away, so that those whom one
 * outage has put in step don't come back in step. Never faster than rate itself. */
GOV_PACE_INLINE struct gov_pace_rate gov_breaker_rate(const struct gov_breaker *breaker,
						      const struct gov_pace_rate *rate, __u32 random)
{
	struct gov_pace_rate stretched = *rate;

	if (!breaker->interval_ns)
		return stretched;
	/* Not without tolerance: those who have left in a burst have slots that are still to come. */
	stretched.lead_ns = rate->tolerance_ns;
	stretched.interval_ns = gov_pace_max(rate->interval_ns,
					     breaker->interval_ns - ((breaker->interval_ns >> 17) * (random & 0xffff)));
	return stretched;
}

GOV_PACE_INLINE __u64 gov_breaker_grow(__u64 interval_ns, const struct gov_breaker_rule *rule)
{
	/* In this order nothing overflows: an interval is at most 2^37 ns (120 s), the factor at most 100. */
	return gov_pace_min(interval_ns / 1000 * rule->factor_milli, rule->max_ns);
}

/* A connect leaves now. */
GOV_PACE_INLINE void gov_breaker_leave(struct gov_breaker *breaker)
{
	if (breaker->interval_ns)
		breaker->is_probing = 1;
}

/* A connection that is_news has ended well. */
GOV_PACE_INLINE void gov_breaker_forget(struct gov_breaker *breaker)
{
	if (breaker->alive)
		breaker->alive--;
	if (!breaker->alive)
		breaker->alive_ns = 0;
}

/* Its outcome; left_ns: when its SYN left. True when the interval has changed: opened, grown, or (0) closed. */
GOV_PACE_INLINE bool gov_breaker_outcome(struct gov_breaker *breaker, const struct gov_breaker_rule *rule,
					 enum gov_outcome outcome, __u64 left_ns, __u64 now_ns)
{
	bool has_closed = gov_breaker_settle(breaker, rule, now_ns);
	bool is_open = breaker->interval_ns != 0;
	bool is_news = !is_open || left_ns > breaker->changed_ns;

	if (!rule->failures)
		return has_closed;
	if (outcome == GOV_OUTCOME_FAILED || outcome == GOV_OUTCOME_DROPPED) {
		if (breaker->failures < 0xffffffffU)
			breaker->failures++;
		if (!is_news || (!is_open && breaker->failures < rule->failures))
			return has_closed;
		breaker->interval_ns = is_open ? gov_breaker_grow(breaker->interval_ns, rule)
					       : gov_pace_min(rule->first_ns, rule->max_ns);
		breaker->changed_ns = now_ns;
		breaker->alive_ns = 0;
		breaker->alive = 0;
		breaker->good = 0;
		breaker->is_probing = 0;
		return true;
	}
	if (!is_open) {
		breaker->failures = outcome == GOV_OUTCOME_ESTABLISHED ? breaker->failures : 0;
		return has_closed;
	}
	/* An old connection that lives, or has lived, says nothing about a server that has gone since. */
	if (!is_news)
		return false;
	if (outcome == GOV_OUTCOME_ESTABLISHED) {
		if (!breaker->alive++)
			breaker->alive_ns = now_ns;
		return false;
	}
	gov_breaker_forget(breaker);
	if (outcome == GOV_OUTCOME_ENDED && ++breaker->good < rule->failures)
		return false;
	gov_breaker_close(breaker);
	return true;
}

#endif
