/* SPDX-License-Identifier: GPL-2.0-only OR GPL-2.0-or-later */
#ifndef GOV_PACE_H
#define GOV_PACE_H

/*
 * When a connect may leave: the schedule (GCRA, the generic cell rate algorithm of ITU-T I.371), the breaker, and the
 * window in which storms are counted. Pure: compiled into the BPF programs, which decide, and into userspace, which
 * explains and tests. All times are nanoseconds of CLOCK_MONOTONIC, handed in by the caller, who also holds the lock.
 */

#ifndef __VMLINUX_H__
#include <linux/types.h>
#include <stdbool.h>
#endif

#define GOV_PACE_INLINE static inline __attribute__((always_inline))

/* Beyond any uptime, and far enough below 2^64 that no sum of two overflows: a slot there has no time, nobody leaves.
 */
#define GOV_PACE_NEVER (1ULL << 62)

GOV_PACE_INLINE __u64 gov_pace_add(__u64 a, __u64 b)
{
	if (a >= GOV_PACE_NEVER || b >= GOV_PACE_NEVER || a + b >= GOV_PACE_NEVER)
		return GOV_PACE_NEVER;
	return a + b;
}

GOV_PACE_INLINE __u64 gov_pace_max(__u64 a, __u64 b)
{
	return a > b ? a : b;
}

GOV_PACE_INLINE __u64 gov_pace_min(__u64 a, __u64 b)
{
	return a < b ? a : b;
}

/* ---- the schedule ------------------------------------------------------------------------------------------------ */

/*
 * Slots lie interval apart; a slot may be used from its time on, and until tolerance after it. So in any time t there
 * are at most burst + t / interval departures, where tolerance = (burst - 1) * interval. A slot's time says nothing of
 * the tolerance, so that those of before and after a change of the policy are of one measure.
 *
 * A slot is its time + GOV_PACE_ORIGIN: soon after boot those that may still be used have times before 0. 2^58 ns are
 * 9 years, far beyond any tolerance.
 */
#define GOV_PACE_ORIGIN (1ULL << 58)

/* A slot's time; 0 for those of before 0. */
GOV_PACE_INLINE __u64 gov_pace_time(__u64 slot)
{
	if (slot >= GOV_PACE_NEVER)
		return slot;
	return slot > GOV_PACE_ORIGIN ? slot - GOV_PACE_ORIGIN : 0;
}

struct gov_pace_rate {
	__u64 interval_ns; /* 0: no limit */
	__u64 tolerance_ns;
	__u64 lead_ns; /* of the tolerance nothing is left for bursts: tolerance_ns while a breaker isn't closed */
};

/* Slots that were given back before their time, for those who come next; what doesn't fit here is lost. */
#define GOV_PACE_FREED 4

struct gov_pace {
	__u64 next_slot;	     /* the first that nobody has had; 0: nobody came yet */
	__u64 interval_ns;	     /* at which the last one was given */
	__u64 steady_slot;	     /* from this one on all were given at that interval */
	__u64 floor_ns;		     /* gov_pace_push() */
	__u64 freed[GOV_PACE_FREED]; /* 0: none */
};

struct gov_pace_slot {
	__u64 slot;	 /* 0: without a limit there are none */
	__u64 depart_ns; /* when its owner may leave; now, when at once */
};

/* The first slot that isn't over. Never 0, which is none. */
GOV_PACE_INLINE __u64 gov_pace_first(const struct gov_pace_rate *rate, __u64 now_ns)
{
	if (now_ns >= GOV_PACE_NEVER)
		return now_ns;
	return gov_pace_min(now_ns + GOV_PACE_ORIGIN - gov_pace_min(rate->tolerance_ns, GOV_PACE_ORIGIN - 1),
			    GOV_PACE_NEVER);
}

/* The slot that who comes now would get. */
GOV_PACE_INLINE struct gov_pace_slot gov_pace_peek(const struct gov_pace *pace, const struct gov_pace_rate *rate,
						   __u64 now_ns)
{
	struct gov_pace_slot slot = {0, now_ns};
	__u64 first = gov_pace_first(rate, gov_pace_add(gov_pace_max(pace->floor_ns, now_ns), rate->lead_ns));
	__u64 best = gov_pace_max(pace->next_slot, first);

	if (!rate->interval_ns)
		return slot;
	for (__u32 i = 0; i < GOV_PACE_FREED; i++) {
		__u64 freed = pace->freed[i];

		if (freed && freed >= first && freed < best)
			best = freed;
	}
	slot.slot = best;
	slot.depart_ns = gov_pace_max(gov_pace_time(best), now_ns);
	return slot;
}

/* Takes the slot that gov_pace_peek() has told for the same now. */
GOV_PACE_INLINE void gov_pace_take(struct gov_pace *pace, const struct gov_pace_rate *rate, __u64 slot)
{
	if (!slot)
		return;
	for (__u32 i = 0; i < GOV_PACE_FREED; i++) {
		if (pace->freed[i] == slot) {
			pace->freed[i] = 0;
			return;
		}
	}
	if (pace->interval_ns != rate->interval_ns) {
		pace->interval_ns = rate->interval_ns;
		pace->steady_slot = slot;
	}
	pace->next_slot = gov_pace_add(slot, rate->interval_ns);
}

/* Gives back a slot whose owner never left. */
GOV_PACE_INLINE void gov_pace_refund(struct gov_pace *pace, const struct gov_pace_rate *rate, __u64 slot, __u64 now_ns)
{
	__u64 first = gov_pace_first(rate, now_ns);

	if (!slot || slot < first)
		return;
	/* Is it the last one? Of slots that were given at another interval the sum doesn't tell. */
	if (pace->interval_ns == rate->interval_ns && slot >= pace->steady_slot &&
	    pace->next_slot == gov_pace_add(slot, rate->interval_ns)) {
		pace->next_slot = slot;
		return;
	}
	for (__u32 i = 0; i < GOV_PACE_FREED; i++) {
		if (pace->freed[i] < first) {
			pace->freed[i] = slot;
			return;
		}
	}
}

/* No slot before this time (with lead_ns: nobody leaves before it), whatever was or will be given back. */
GOV_PACE_INLINE void gov_pace_push(struct gov_pace *pace, __u64 until_ns)
{
	pace->floor_ns = gov_pace_max(pace->floor_ns, until_ns);
}

/* ---- the breaker ------------------------------------------------------------------------------------------------- */

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

/* ---- bursts ------------------------------------------------------------------------------------------------------ */

/*
 * A storm: 50 connects to one destination within 5 s (a browser opens 6 at once to a host, a polling client some a
 * minute; LiveKit's workers came with hundreds a second), or 5 in a row that had to wait for their slot.
 */
#define GOV_BURST_WINDOW_NS 5000000000ULL
#define GOV_STORM_ATTEMPTS 50
#define GOV_STORM_WAITED 5

struct gov_burst {
	__u64 window_ns;		  /* when the window began */
	__u32 attempts, failed;		  /* in it */
	__u32 last_attempts, last_failed; /* in the one before */
	__u32 waited;			  /* in a row */
	__u32 pad;
};

GOV_PACE_INLINE void gov_burst_turn(struct gov_burst *burst, __u64 now_ns)
{
	__u64 age_ns = now_ns > burst->window_ns ? now_ns - burst->window_ns : 0;

	if (age_ns < GOV_BURST_WINDOW_NS)
		return;
	burst->last_attempts = age_ns < 2 * GOV_BURST_WINDOW_NS ? burst->attempts : 0;
	burst->last_failed = age_ns < 2 * GOV_BURST_WINDOW_NS ? burst->failed : 0;
	burst->attempts = 0;
	burst->failed = 0;
	burst->window_ns = now_ns;
}

GOV_PACE_INLINE void gov_burst_count(struct gov_burst *burst, bool has_waited, __u64 now_ns)
{
	gov_burst_turn(burst, now_ns);
	burst->attempts++;
	burst->waited = has_waited ? burst->waited + 1 : 0;
}

GOV_PACE_INLINE bool gov_burst_is_storm(const struct gov_burst *burst)
{
	return burst->attempts >= GOV_STORM_ATTEMPTS || burst->waited >= GOV_STORM_WAITED;
}

/* ---- the timer wheel --------------------------------------------------------------------------------------------- */

/*
 * Ticks to ask of the kernel's timer for a delay. Its wheel rounds up by its level's step (kernel/time/timer.c: 1 tick
 * below 63, then 8, 64, 512, 4096): half a step less puts the lateness around zero. At least 1.
 */
GOV_PACE_INLINE __u32 gov_wheel_ticks(__u64 delay_ns, __u32 tick_ns)
{
	__u64 ticks = delay_ns / (tick_ns ? tick_ns : 1);

	if (ticks >= 32256)
		ticks -= 2048;
	else if (ticks >= 4032)
		ticks -= 256;
	else if (ticks >= 504)
		ticks -= 32;
	else if (ticks >= 63)
		ticks -= 4;
	return ticks ? (__u32)gov_pace_min(ticks, 0x7fffffff) : 1;
}

#define GOV_SYN_RETRIES_MAX 32
#define GOV_SYN_TIMEOUT_MAX_NS 120000000000ULL /* TCP_RTO_MAX, include/net/tcp.h */

/*
 * How often a SYN that was held for delay may be sent (TCP_SYNCNT), so that the whole takes at least as long as with
 * the usual first timeout of 1 s: each timeout is twice the one before, up to the longest (tcp_model_timeout()).
 */
GOV_PACE_INLINE __u32 gov_syn_retries(__u64 delay_ns, __u32 usual)
{
	__u64 usual_ns = ((2ULL << gov_pace_min(usual, 6)) - 1) * 1000000000ULL;
	__u64 timeout_ns = gov_pace_min(gov_pace_max(delay_ns, 1000000), GOV_SYN_TIMEOUT_MAX_NS), whole_ns = timeout_ns;
	__u32 retries = 0;

	if (usual > 6)
		usual_ns += (gov_pace_min(usual, 127) - 6) * GOV_SYN_TIMEOUT_MAX_NS;
	do {
		timeout_ns = gov_pace_min(2 * timeout_ns, GOV_SYN_TIMEOUT_MAX_NS);
		whole_ns += timeout_ns;
		retries++;
	} while (retries < GOV_SYN_RETRIES_MAX && whole_ns < usual_ns);
	return retries;
}

#endif
