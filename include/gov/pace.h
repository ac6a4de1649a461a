/* SPDX-License-Identifier: GPL-2.0-only OR GPL-2.0-or-later */
#ifndef GOV_PACE_H
#define GOV_PACE_H

/*
 * When a connect may leave: the schedule (GCRA, the generic cell rate algorithm of ITU-T I.371), and the window in
 * which storms are counted. Pure, as gov/breaker.h is: compiled into the BPF programs, which decide, and into
 * userspace, which explains and tests. All times are nanoseconds of CLOCK_MONOTONIC, handed in by the caller, who also
 * holds the lock.
 */

#ifndef __VMLINUX_H__
#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>
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

/*
 * Slots that were given back before their time, for those who come next: runs of them, one interval apart, as those
 * who have waited for the same server mostly give up together. What doesn't fit here is lost.
 */
#define GOV_PACE_RUNS 4

struct gov_pace_run {
	__u64 first, last; /* 0: none */
};

struct gov_pace {
	__u64 next_slot;   /* the first that nobody has had; 0: nobody came yet */
	__u64 interval_ns; /* at which the last one was given */
	__u64 steady_slot; /* from this one on all were given at that interval */
	__u64 floor_ns;	   /* gov_pace_push() */
	struct gov_pace_run freed[GOV_PACE_RUNS];
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

/* The first slot of a run that isn't before first; GOV_PACE_NEVER: there is none. */
GOV_PACE_INLINE __u64 gov_pace_run_next(const struct gov_pace_run *run, __u64 interval_ns, __u64 first)
{
	if (run->first >= first)
		return run->first;
	if (run->last < first || !interval_ns)
		return GOV_PACE_NEVER;
	return run->first + (first - run->first + interval_ns - 1) / interval_ns * interval_ns;
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
	for (__u32 i = 0; i < GOV_PACE_RUNS; i++)
		best = gov_pace_min(best, gov_pace_run_next(&pace->freed[i], pace->interval_ns, first));
	slot.slot = best;
	slot.depart_ns = gov_pace_max(gov_pace_time(best), now_ns);
	return slot;
}

/* Takes the slot that gov_pace_peek() has told for the same now. */
GOV_PACE_INLINE void gov_pace_take(struct gov_pace *pace, const struct gov_pace_rate *rate, __u64 slot)
{
	if (!slot)
		return;
	for (__u32 i = 0; i < GOV_PACE_RUNS; i++) {
		struct gov_pace_run *run = &pace->freed[i];

		if (slot < run->first || slot > run->last)
			continue;
		/* Those of the run that were before it are over. */
		run->first = slot < run->last ? slot + pace->interval_ns : 0;
		run->last = slot < run->last ? run->last : 0;
		return;
	}
	if (pace->interval_ns != rate->interval_ns) {
		/* A run of the old interval can't be told from its ends any more. */
		for (__u32 i = 0; i < GOV_PACE_RUNS; i++)
			pace->freed[i].last = pace->freed[i].first;
		pace->interval_ns = rate->interval_ns;
		pace->steady_slot = slot;
	}
	pace->next_slot = gov_pace_add(slot, rate->interval_ns);
}

/* Nobody has had next_slot; a run that ends there is a part of what is to come. */
GOV_PACE_INLINE void gov_pace_rewind(struct gov_pace *pace, __u64 slot)
{
	pace->next_slot = slot;
	for (__u32 i = 0; i < GOV_PACE_RUNS; i++) {
		struct gov_pace_run *run = &pace->freed[i];

		if (run->first < pace->steady_slot || run->last + pace->interval_ns != slot)
			continue;
		pace->next_slot = run->first;
		run->first = run->last = 0;
	}
}

/* Gives back a slot whose owner never left. */
GOV_PACE_INLINE void gov_pace_refund(struct gov_pace *pace, const struct gov_pace_rate *rate, __u64 slot, __u64 now_ns)
{
	struct gov_pace_run *before = NULL, *after = NULL, *spare = NULL;
	__u64 first = gov_pace_first(rate, now_ns), step = pace->interval_ns;
	/* Of slots that were given at another interval their distance tells nothing. */
	bool is_steady = step && slot >= pace->steady_slot;

	if (!slot || slot < first)
		return;
	if (is_steady && pace->next_slot == gov_pace_add(slot, step)) {
		gov_pace_rewind(pace, slot);
		return;
	}
	for (__u32 i = 0; i < GOV_PACE_RUNS; i++) {
		struct gov_pace_run *run = &pace->freed[i];

		if (run->last < first)
			spare = run;
		else if (!is_steady || run->first < pace->steady_slot)
			continue;
		else if (run->last + step == slot)
			before = run;
		else if (run->first == slot + step)
			after = run;
	}
	if (before && after) {
		before->last = after->last;
		after->first = after->last = 0;
	} else if (before) {
		before->last = slot;
	} else if (after) {
		after->first = slot;
	} else if (spare) {
		spare->first = spare->last = slot;
	}
}

/* No slot before this time (with lead_ns: nobody leaves before it), whatever was or will be given back. */
GOV_PACE_INLINE void gov_pace_push(struct gov_pace *pace, __u64 until_ns)
{
	pace->floor_ns = gov_pace_max(pace->floor_ns, until_ns);
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
