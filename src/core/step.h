/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_CORE_STEP_H
#define GOV_CORE_STEP_H

#include "base/idmap.h"
#include "core/action.h"
#include "core/event.h"
#include "core/leak.h"

/*
 * The whole brain: step(state, event) -> actions. No clock (time comes with the event), no descriptor, no log. The same
 * events give the same actions.
 */

#define STATE_AGENTS_MAX 4096
#define STATE_VERDICTS_MAX 8192 /* marks and processes that are remembered as nobody's */

#define STATE_RELEASED_MAX 8192 /* processes that somebody has released */

#define STATE_RESTARTS_MAX 4096 /* agents whose lives are counted, living or not */

/* Deaths for want of memory, and SIGKILLs, that are recorded one by one: at most one of an agent in this time. */
#define DEATH_TOLD_EVERY_NS NSEC_PER_SEC

struct state;

/* seed: for ids; equal seeds and events give equal ids. NULL on ENOMEM. */
struct state *state_new(uint64_t seed);
struct state *state_free(struct state *state);
DEFINE_CLEANUP(struct state *, state_free)

/* Clears actions, then fills it. */
void step(struct state *state, const struct event *event, struct actions *actions);

/* Read access for the edges: status, list, explain. Borrowed until the next step(). */
const struct policy_set *state_policies(const struct state *state);
size_t state_agent_count(const struct state *state);
const struct agent *state_agent_next(const struct state *state, size_t *cursor);
const struct agent *state_agent_by_handle(const struct state *state, uint64_t handle);
/* Who was released for good. The cursor begins with 0; false: there is no more. */
bool state_released_next(const struct state *state, size_t *cursor, pid_t *ret_pid, uint64_t *ret_start_ticks);
/* What is counted of restarts; and a number that grows with each change of it, and of who is released. */
const struct restart *state_restart_next(const struct state *state, size_t *cursor);
uint64_t state_restart_changes(const struct state *state);
/* Whether it would have ended too many of its agents, and ends none until somebody resumes it. */
bool cull_is_suspended(const struct state *state, const struct policy *policy);
/* Whether a sweep finds this descendant of the agent's root to be the agent's, and goes on to what it has started. Not
 * what is another agent's; in the group that the root was in until now it is. */
bool state_sweep_takes(const struct state *state, const struct agent *agent, const struct proc *proc);
/* The agent whose group has this id, or whose root it is (0 and -1: not asked); NULL: none. */
const struct agent *state_agent_of(const struct state *state, uint64_t cgroup_id, pid_t root_pid);
/* Whose a process is: the agent of this group, or else of this mark; NULL: nobody's. */
const struct agent *state_agent_of_process(const struct state *state, uint64_t cgroup_id, uint64_t mark);
/* Whether the forecast has its memory reach the cap, and when (CLOCK_MONOTONIC); which key of the policy that is. */
bool agent_reaches_cap(const struct agent *agent, uint64_t *ret_at_ns);
const char *agent_cap_key(const struct agent *agent);
/* Whether it is to be ended (or told) when nothing of it is seen until then (CLOCK_MONOTONIC). */
bool agent_is_idle_at(const struct agent *agent, uint64_t *ret_at_ns);
/* Up to which mark, at most this one, all lineages are where they belong: those that are being placed aren't. */
uint64_t state_settled(const struct state *state, uint64_t mark);
/* Whom EVENT_TICK at this time may end. They are looked at before it: EVENT_TRACED. */
const struct agent *state_endangered_next(const struct state *state, uint64_t at_ns, size_t *cursor);
/* When the next EVENT_HOST is wanted; UINT64_MAX: never. */
uint64_t state_next_look_ns(const struct state *state);
/* When an agent was ended in an emergency last; 0: never. The next govd is to be told: EVENT_PAST_KILL. */
uint64_t state_last_kill_ns(const struct state *state);
/* How many agents are still being ended by drain_on_stop; and the longest grace of theirs. */
size_t state_draining(const struct state *state, uint64_t *ret_grace_ns);
struct emergency_view {
	const char
		*state; /* static: off, calm, short (nothing is done yet, or can be), ending (memory is to come back) */
	uint64_t available_bytes; /* UINT64_MAX: not known yet */
	uint64_t full_milli;	  /* percent of the time `for`; UINT64_MAX: not known */
	uint64_t kills;		  /* ever, by this govd */
};
void state_emergency(const struct state *state, struct emergency_view *ret_view);
/* By id, unique prefix of an id, POLICY/KEY, or POLICY when it has one agent. 0, -ENOENT, or -ENOTUNIQ. */
int state_agent_find(const struct state *state, const char *name, const struct agent **ret_agent) _must_check_;

#endif
