/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_CORE_RESTART_H
#define GOV_CORE_RESTART_H

#include "core/policy.h"
#include "core/told.h"

/*
 * How often the same agent was started and has crashed, whoever starts it: a supervisor, a shell loop, an SDK. The same
 * is what has the same policy and key or, without a key, the same policy, script (else executable), working directory
 * and user. A crash is a life shorter than restart.min_uptime that nobody asked to end; a life that lasted longer makes
 * good one crash for each min_uptime. From the second crash within restart.window on, the next life begins frozen.
 *
 * The window is of the agent's own time, which stands still as long as one of its lives is delayed: else long delays
 * would move the crashes out of the window, and the next delay would be short again.
 */

/* As many as restart.limit may be. */
#define RESTART_CRASHES_MAX POLICY_RESTARTS_MAX

struct restart {
	uint64_t id;		      /* restart_id() */
	uint64_t program_id;	      /* the same whatever its directory; 0: not known */
	char policy[POLICY_NAME_MAX]; /* for people and the file */
	uint64_t *crash_ns;	      /* own time, oldest first; owned */
	uint32_t n_crashes, crashes_size;
	uint64_t starts;	 /* ever seen */
	uint64_t used_ns;	 /* CLOCK_MONOTONIC of the last start or end */
	uint64_t delayed_ns;	 /* sum of the times in which one was delayed */
	uint64_t delay_since_ns; /* one is now, since then */
	unsigned delays;	 /* lives that are delayed now */
	unsigned lives;		 /* that refer to this */
	struct told delay_told, limit_told;
	int32_t exit_code; /* of the last end, as wait(2) has it */
	bool has_exit_code;
};

void restart_done(struct restart *restart);
void restart_free(struct restart *restart);

/* What makes a life one of this agent. Never 0. */
struct restart_name {
	const char *policy, *key, *program, *directory; /* NULL: not known */
	uid_t uid;
};
uint64_t restart_id(const struct restart_name *name);

uint64_t restart_own_ns(const struct restart *restart, uint64_t now_ns);
/* Crashes in the window. */
size_t restart_count(const struct restart *restart, const struct policy_restart *rule, uint64_t now_ns);

enum restart_verdict { RESTART_RUN, RESTART_DELAY, RESTART_LIMIT };
/* What becomes of a life that begins now. random: any 32 bits; takes up to a quarter of the delay away, so that those
 * whom one failure has ended don't come back in step. ret_delay_ns: 0 unless DELAY. */
enum restart_verdict restart_decide(const struct restart *restart, const struct policy_restart *rule, uint64_t now_ns,
				    uint32_t random, uint64_t *ret_delay_ns);

/* A life has ended by itself after running for lived_ns. */
void restart_end(struct restart *restart, const struct policy_restart *rule, uint64_t lived_ns, uint64_t now_ns);
/* Beyond RESTART_CRASHES_MAX, or for want of memory, the oldest is forgotten, or this one. */
void restart_add_crash(struct restart *restart, uint64_t own_ns);
void restart_delay_begin(struct restart *restart, uint64_t now_ns);
void restart_delay_end(struct restart *restart, uint64_t now_ns);
/* Somebody has said that all is well now. */
void restart_forgive(struct restart *restart);

#endif
