/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_CORE_LADDER_H
#define GOV_CORE_LADDER_H

#include "core/policy.h"

/*
 * What is done about an agent that is short of memory: up one rung after the other while the pressure lasts, and down
 * again. An agent at rest costs nothing: the kernel tells when there is pressure (ACTION_WATCH), and from then on it
 * is looked at once a second (ACTION_PRESSURE) until it is at rest again.
 */

struct agent;

enum ladder_rung {
	LADDER_REST,
	LADDER_NOTE,	/* it is told */
	LADDER_RECLAIM, /* each second a part of its memory is reclaimed */
	LADDER_HIGH,	/* for a while memory.high is below what it uses: it is slowed down */
	LADDER_FREEZE,	/* for a while nothing of it runs */
	LADDER_STOP,	/* it is stopped */
	LADDER_RUNGS,
};

const char *ladder_rung_name(enum ladder_rung rung);

/* How an agent's memory is seen. UINT64_MAX: not known. */
struct pressure_view {
	uint64_t some_us, full_us;		     /* that some task, all tasks, have waited for memory: ever */
	uint64_t some_avg10_milli, full_avg10_milli; /* of the last 10 s, percent times 1000 */
	uint64_t memory_bytes, file_bytes;	     /* file: the page cache, which can be reclaimed without swap */
	uint64_t swap_free_bytes;		     /* that it may still use */
	uint64_t highs, maxes, ooms, oom_kills;	     /* memory.events */
	bool can_reclaim, can_throttle;		     /* this kernel, for this group */
};

enum ladder_move { LADDER_STAY, LADDER_UP, LADDER_DOWN };

struct ladder {
	enum ladder_rung rung;
	enum ladder_rung tried;	 /* the highest beyond reclaim that hasn't helped yet */
	enum ladder_rung peak;	 /* of this episode */
	enum ladder_move move;	 /* that all looks since move_ns have asked for */
	bool has_view;		 /* of a moment ago */
	bool has_frozen;	 /* it is frozen by the ladder, not by a user */
	bool is_lifted;		 /* of a livelock: memory.high isn't in force */
	bool is_livelock;	 /* it was found, and lasts */
	bool is_told;		 /* something of this episode was recorded: so is its end */
	unsigned full_looks;	 /* in a row that look like a livelock */
	uint64_t full_sum_milli; /* of their full_milli */
	unsigned calm_looks;	 /* in a row without pressure */
	unsigned freezes;	 /* of this episode */
	uint64_t throttle_bytes; /* memory.high instead of the policy's; 0: none */
	uint64_t look_ns;	 /* when it is looked at again; 0: at rest */
	uint64_t rung_ns, move_ns;
	struct pressure_view view; /* the last */
	uint64_t view_ns;
	uint64_t some_milli, full_milli; /* between the last two looks, percent times 1000 */
	uint64_t since_ns;		 /* of the episode, as are: */
	uint64_t peak_some_milli, peak_full_milli, peak_bytes, reclaimed_bytes;
	uint64_t begin_highs, begin_maxes;
	uint64_t told_ns[LADDER_RUNGS], livelock_told_ns; /* the last that was recorded; 0: never */
	uint64_t untold;				  /* episodes since then that weren't */
};

/* As it is or, where there never was any pressure, at rest. */
const struct ladder *ladder_of(const struct agent *agent);
/* What comes next by itself, and when: `thaw`, `unthrottle`; NULL: nothing is sure. */
const char *ladder_next(const struct agent *agent, uint64_t *ret_at_ns);
/* Whether the policy limits memory: then its agents are watched. */
bool ladder_is_limited(const struct policy *policy);
/* The limits that are in force: the policy's, but for what the ladder has set for a while. */
void ladder_limits(const struct agent *agent, struct policy_limits *ret_limits);

#endif
