/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_CORE_EMERGENCY_H
#define GOV_CORE_EMERGENCY_H

#include "core/event.h"

/*
 * Emergency: the memory of the host is short, and an agent is ended before the kernel's OOM killer takes anybody.
 * Private to core's emergency*.c and state.h.
 *
 * `for` is the time over which pressure is measured, and that memory below `memory_available` may last. It isn't waited
 * for when memory is below a half of that, or would be gone within EMERGENCY_HORIZON_NS at the rate at which it falls:
 * a process fills gigabytes a second, and nothing is as late as the OOM killer.
 */

#define EMERGENCY_LOOKS 16
#define EMERGENCY_SAMPLES 32

/* From the decision until the memory of a large process is back. */
#define EMERGENCY_HORIZON_NS (NSEC_PER_SEC / 2)
/* What an end gives back is to last for a while: growth is counted for this time, in seconds. */
#define EMERGENCY_GROWTH_S 5
/* One that gives back less than this part of what is missing doesn't help. */
#define EMERGENCY_PART 10
/* For the end of one that was chosen; then it is the next one's turn. */
#define EMERGENCY_KILL_WAIT_NS (5 * NSEC_PER_SEC)
/* After its end, until memory that hasn't come back isn't expected any more: somebody else has it. */
#define EMERGENCY_SETTLE_NS (200 * NSEC_PER_MSEC)
#define EMERGENCY_WINDOW_NS (60 * NSEC_PER_SEC) /* of kills_per_min */

struct emergency_look {
	uint64_t time_ns, available_bytes;
};

struct emergency_sample {
	uint64_t time_ns, full_ns;
};

struct emergency {
	struct host_view host;			      /* as of the last look */
	uint64_t look_ns;			      /* its time; 0: there was none */
	struct emergency_look looks[EMERGENCY_LOOKS]; /* rings, by n modulo their size */
	struct emergency_sample samples[EMERGENCY_SAMPLES];
	size_t n_looks, n_samples;
	uint64_t low_since_ns; /* below memory_available without a break; 0: it isn't */
	const char *rule;      /* static: the key of govd.yaml that tells of an emergency; NULL: there is none */
	uint64_t since_ns;     /* when it began */
	unsigned ended;	       /* agents, in this one */
	bool is_choosing;      /* ACTION_WEIGH is under way */
	uint64_t choose_ns;    /* nobody could be chosen: not again before */
	uint64_t told_ns;      /* when that, or kills_per_min, was recorded; 0: never */
	/* Who was ended last. */
	uint64_t victim; /* handle; 0: nothing is waited for */
	uint64_t victim_ns, victim_bytes, victim_available_bytes;
	uint64_t victim_gone_ns;	     /* its end was seen; 0: not yet */
	uint64_t wait_until_ns;		     /* of one that was only observed; 0: it was ended */
	uint64_t kills[EMERGENCY_KILLS_MAX]; /* the last ones' times, in no order; 0: none */
	uint64_t n_kills;		     /* by this govd */
	uint64_t last_kill_ns;		     /* of one that was ended, not only observed; 0: never */
};

/* core/emergency.c, for emergency_choose.c */
struct state;
/* Bytes a second at which memory has become less over this time; 0: it hasn't. */
uint64_t emergency_fall(const struct emergency *emergency, uint64_t over_ns);
uint64_t emergency_share(const struct host_share *share, uint64_t total_bytes);
/* Thousandths of a percent of the time `for`; UINT64_MAX: not known. */
uint64_t emergency_pressure_milli(const struct emergency *emergency, uint64_t for_ns);
/* What is missing until memory is well above the threshold, and what one end has to give back to be worth it. */
struct emergency_need {
	uint64_t missing_bytes, growing_bytes;
};
struct emergency_need emergency_need(const struct state *state);
/* Within the last minute. */
unsigned emergency_kills(const struct emergency *emergency, uint64_t now_ns);
/* Takes the place of the oldest. */
void emergency_note_kill(uint64_t kills[static EMERGENCY_KILLS_MAX], uint64_t time_ns);

#endif
