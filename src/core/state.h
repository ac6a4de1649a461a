/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_CORE_STATE_H
#define GOV_CORE_STATE_H

#include "base/intern.h"
#include "core/activity.h"
#include "core/leak.h"
#include "core/emergency.h"
#include "core/match.h"
#include "core/step.h"
#include "core/trouble.h"

/* What step() remembers, and its parts; private to core and its tests. */

/* A mark that isn't an agent's own: the lineage that it stands for. Or a process that couldn't be placed. */
struct verdict {
	uint64_t id;	/* of the mark, or process_id() */
	uint64_t alias; /* the mark to look at instead; 0: nobody's */
};

/* How many of a policy's agents govd has ended in the last minute, in spans of 10 s, the youngest begun. */
#define CULL_SPANS 7
#define CULL_SPAN_NS (10 * NSEC_PER_SEC)
struct cull {
	uint64_t span; /* the youngest: CLOCK_MONOTONIC / CULL_SPAN_NS */
	uint32_t ends[CULL_SPANS];
	bool is_suspended;
};

struct state {
	struct policy_set *set;
	bool observe;
	uint64_t now_ns;
	uint64_t slice_bytes; /* at the last tick; 0: not known; core/leak.c */
	uint64_t seed;
	uint64_t next_handle;
	struct idmap by_handle; /* owns the agents */
	struct idmap by_cgroup, by_root, by_mark;
	struct idmap by_key; /* address of the key's text -> the first, without those that have none */
	struct intern texts; /* of the agents */
	/* The newest STATE_VERDICTS_MAX verdicts, oldest overwritten. */
	struct verdict *verdicts;
	uint64_t n_verdicts; /* ever made */
	struct idmap verdict_of;
	/* process_id() of the newest STATE_RELEASED_MAX that were let go for good, oldest overwritten: apart from the
	 * verdicts, as any number of execs must not make them forgotten. */
	uint64_t *released;
	uint64_t n_released; /* ever */
	struct idmap released_at;
	/* Ended in this step: freed at the next. */
	struct agent *ended;
	uint64_t lost_execs, lost_forks, lost_exits; /* since the last census */
	bool census_asked, census_scans;	     /* one is due; and it looks at all of /proc */
	bool census_waits;			     /* it may be put off, as nothing but "left" asks for it */
	size_t n_placing;			     /* agents with is_placing */
	bool sweep_waits;			     /* of agents found again: until nobody is being placed */
	uint64_t timer_ns;			     /* asked for last; UINT64_MAX: none */
	uint64_t laws_ns;			     /* no law comes to anybody before; 0: not known */
	struct stranger strangers[STRANGERS_MAX];
	uint64_t strangers_missed;	  /* storms of more, since it was recorded */
	size_t n_suspended;		  /* of culls */
	struct idmap culls;		  /* of policies, by restart_id() of their names -> struct cull, owned */
	struct idmap restarts;		  /* id -> struct restart, owned */
	size_t spare_cursor;		  /* into restarts */
	struct idmap restarts_by_program; /* program_id -> the one of them that was started last */
	uint64_t restarts_changed;	  /* counts up: what the edges keep on disk is old; also of who is released */
	uint64_t restarts_missed;	  /* lives that couldn't be counted: too many agents */
	uint64_t full_told_ns;		  /* when ALERT for STATE_AGENTS_MAX was recorded last */
	struct emergency emergency;
};

/* Marks that the core gives to roots, with the agent's handle; the kernel's own count up from 1. */
#define MARK_OF_CORE (UINT64_C(1) << 62)

/* The identity of a process as one number, apart from marks by its highest bit: 22 bits of pid (PID_MAX_LIMIT) and 40
 * of ticks, which are 348 years. */
#define PROCESS_TICKS_BITS 40
#define PROCESS_TICKS_MASK ((UINT64_C(1) << PROCESS_TICKS_BITS) - 1)
#define PROCESS_PID_MASK ((UINT64_C(1) << 22) - 1)
static inline uint64_t process_id(pid_t pid, uint64_t start_ticks)
{
	return UINT64_C(1) << 63 | ((uint64_t)pid & PROCESS_PID_MASK) << PROCESS_TICKS_BITS |
	       (start_ticks & PROCESS_TICKS_MASK);
}

uint64_t state_random(struct state *state);
/* There, or new; NULL: too many, all of use, or no memory. */
struct restart *state_add_restart(struct state *state, uint64_t id, const char *policy);
struct agent *state_get(const struct state *state, uint64_t handle);
/* Its own agent or, by verdicts, the one that it stands for; NULL: nobody's, or not known. */
struct agent *state_by_mark(const struct state *state, uint64_t mark);
struct agent *state_by_root(const struct state *state, pid_t pid, uint64_t start_ticks);
/* key.c: in and out of the index of keys, by state_add_agent() and state_end_agent(). */
int key_add(struct state *state, struct agent *agent);
void key_remove(struct state *state, const struct agent *agent);
/* The first of those that have the same key, under whichever policies; agent->next_of_key is the next. */
struct agent *state_first_of_key(const struct state *state, const struct agent *agent);
/* The same policy's, too. */
bool key_is_same(const struct agent *a, const struct agent *b);
/* One that isn't ending; NULL: there is none. */
struct agent *state_living_key(const struct state *state, const char *policy, const char *key);
bool agent_is_older(const struct agent *a, const struct agent *b);
bool state_has_verdict(const struct state *state, uint64_t id);
void state_add_verdict(struct state *state, uint64_t id, uint64_t alias);
/* For good: only a command takes it again. */
void state_set_released(struct state *state, pid_t pid, uint64_t start_ticks);
bool state_is_released(const struct state *state, pid_t pid, uint64_t start_ticks);

/* A new agent with id and handle, in all indexes that its fields name; NULL: too many, or no memory. Takes a reference
 * of policy. */
struct agent *state_add_agent(struct state *state, const struct agent *template, struct policy *policy);
/* One of its texts, with the one that it had before given back; cut to size - 1 bytes. For want of memory it stays as
 * it is. */
void state_set_text(struct state *state, const char **text, const char *from, size_t size);
void state_set_root(struct state *state, struct agent *agent, pid_t pid, uint64_t start_ticks);
void state_clear_root(struct state *state, struct agent *agent);
void state_set_cgroup(struct state *state, struct agent *agent, uint64_t cgroup_id, const char *cgroup);
void state_set_placing(struct state *state, struct agent *agent, bool is_placing);
int state_set_mark(struct state *state, struct agent *agent, uint64_t mark);
/* Whether its root came from the group of `there`: itself, or as a part of another that came from there. */
bool state_began_in(const struct state *state, const struct agent *agent, const struct agent *there);
/* Out of all indexes; freed at the next step(). */
void state_end_agent(struct state *state, struct agent *agent);
void state_free_ended(struct state *state);

/* ---- the parts of step(), one a file ---- */

/* birth.c: an agent begins */
enum birth_how { BIRTH_EXEC, BIRTH_HOLD, BIRTH_SCAN, BIRTH_RUN, BIRTH_ADOPT, BIRTH_LINEAGE };
struct birth {
	const struct proc *proc;
	enum birth_how how;
	struct policy *policy; /* RUN, ADOPT: chosen; else NULL, found by match */
	const char *key;       /* RUN, ADOPT: chosen, or NULL */
	uint64_t mark;	       /* that the process carries and that is to be the new agent's; 0: none */
	uint64_t hold_token, request;
	uint32_t by;
	bool is_refused; /* set by it: the hold is answered already */
};
/* NULL: too many agents or no memory (an alert is recorded). */
struct agent *birth_agent(struct state *state, const struct birth *birth, struct actions *actions);
/* Its root ended before it could be placed: its lineage lives on in this process. */
void birth_anew(struct state *state, struct agent *agent, pid_t pid, uint64_t start_ticks, struct actions *actions);
/* The kernel is to know the root by the agent's mark: then it tells of its end, of its children outside, and of tools.
 */
void mark_root(struct state *state, struct agent *agent, struct actions *actions);
/* An alert, at most once a minute: there are too many agents. */
void tell_full(struct state *state, struct actions *actions);

/* kin.c: is this process an agent, a part of one, or nobody's? */
void step_exec(struct state *state, const struct event *event, struct actions *actions);
void step_fork(struct state *state, const struct event *event, struct actions *actions);
void step_hold(struct state *state, const struct event *event, struct actions *actions);
void step_seen(struct state *state, const struct event *event, struct actions *actions);

/* found.c: agents of an earlier govd */
void step_found(struct state *state, const struct event *event, struct actions *actions);

/* census.c: everything is looked at again */
void step_lost(struct state *state, const struct event *event, struct actions *actions);
void step_census_end(struct state *state, const struct event *event, struct actions *actions);
void step_swept(struct state *state, const struct event *event, struct actions *actions);
/* reason: `policies` asks for a look at every process, not only at marked ones; `left` (a root has left its group) may
 * wait for a second, as one may do that again and again. */
void ask_census(struct state *state, const char *reason, struct actions *actions);
/* Somebody has been placed. */
void sweep_waiting(struct state *state, struct actions *actions);

/* restarts.c: whose lives are counted */
uint64_t restart_id_of(const struct policy *policy, const char *key, const struct proc *proc);
/* What this agent, which begins, is a life of; NULL: too many, or no memory. */
struct restart *state_restart_of(struct state *state, const struct agent *agent, const struct proc *proc);

/* backoff.c: lives of the same agent that come too often */
void step_restart(struct state *state, const struct event *event, struct actions *actions);
/* True: the hold is to be answered with a refusal; recorded. */
bool backoff_refuses(struct state *state, const struct birth *birth, struct actions *actions);
/* The same for one whose exec was told before its hold: it is frozen, or is to be, because nothing was held then. */
bool backoff_takes_back(struct state *state, struct agent *agent, const struct proc *proc, struct actions *actions);
void backoff_begin(struct state *state, struct agent *agent, const struct proc *proc, struct actions *actions);
/* Before those who wait go on: none of its lines is to run before the delay is over. */
void backoff_placed(struct state *state, struct agent *agent, struct actions *actions);
/* agent->refuse_ns or agent->thaw_ns has come. */
void backoff_due(struct state *state, struct agent *agent, struct actions *actions);
/* By hand. */
void backoff_thawed(struct state *state, struct agent *agent, struct actions *actions);
/* Its root has ended; the exit code is set when it is known. */
void backoff_exited(struct state *state, struct agent *agent);
/* One of an earlier govd, whose lives are counted as restart_id (0: they aren't). True: its delay goes on, it stays
 * frozen. */
bool backoff_found(struct state *state, struct agent *agent, uint64_t restart_id);
/* It goes on, but isn't ours any more, or its root is another agent now. */
void backoff_detach(struct state *state, struct agent *agent);

/* lifecycle.c: what ends agents that nobody has asked to end */
/* It is placed, observed or found. */
void lifecycle_begin(struct state *state, struct agent *agent, struct actions *actions);
/* Its policy, or since when it runs, has changed. */
void lifecycle_change(struct state *state, struct agent *agent, struct actions *actions);
/* When lifecycle_tick() is due; UINT64_MAX: never. */
uint64_t lifecycle_due(const struct state *state, const struct agent *agent);
/* law_ns: up to when it is known who is being debugged. */
void lifecycle_tick(struct state *state, struct agent *agent, uint64_t law_ns, struct actions *actions);
/* It has been frozen, and runs now. */
void lifecycle_thawed(struct state *state, struct agent *agent, struct actions *actions);
/* A census says whether it is idle, or hangs. */
void lifecycle_judged(struct state *state, struct agent *agent, struct actions *actions);
/* What was told of it by this kind of incident is over: it may be told again. */
void lifecycle_forget(struct agent *agent, enum incident_kind kind);
void step_traced(struct state *state, const struct event *event, struct actions *actions);
void step_orphaned(struct state *state, const struct event *event, struct actions *actions);

/* cull.c: policies that end too many of their agents */
/* Counts it as ended when it may be; else its policy is suspended. */
bool cull_may_end(struct state *state, const struct agent *agent, struct actions *actions);
/* Agents of a policy that aren't being ended. */
size_t state_count_living(const struct state *state, const char *policy);
void step_suspended(struct state *state, const struct event *event, struct actions *actions);
/* False: it wasn't suspended. */
bool cull_resume(struct state *state, const struct policy *policy, struct actions *actions);

/* lease.c: somebody says that it is in use */
/* Writes to its group what the next govd is to know, where it has one. */
void agent_save(const struct agent *agent, struct actions *actions);
/* For a moment: its lease, if it has one, begins anew. */
void lease_touch(const struct state *state, struct agent *agent, struct actions *actions);
/* 0: it is given back. */
void lease_set(struct state *state, struct agent *agent, uint64_t lease_ns, struct actions *actions);

/* idle.c: who does nothing, or hangs */
/* Its policy is new, or has changed. */
void idle_change(struct state *state, struct agent *agent, struct actions *actions);
/* Something shows that it is in use, or can't show it. */
void idle_sign(const struct state *state, struct agent *agent, enum activity_signal signal);
/* All CPU time that it has used: a sign of life where no census looks for better ones. */
void idle_sample(const struct state *state, struct agent *agent, uint64_t cpu_ns);
/* When it is to be looked at; UINT64_MAX: never. */
uint64_t idle_due(const struct agent *agent);
/* That has come: the next census judges it. */
void idle_look(const struct state *state, struct agent *agent);
void step_activity(struct state *state, const struct event *event, struct actions *actions);
/* Of an incident IDLE or HUNG. */
void idle_evidence(const struct state *state, const struct agent *agent, struct incident *incident);

/* fanout.c: who begins processes without end */
void step_fanout(struct state *state, const struct event *event, struct actions *actions);

/* command.c: what people ask for */
void step_command(struct state *state, const struct event *event, struct actions *actions);
void step_ending(struct state *state, const struct event *event, struct actions *actions);
/* NULL for want of memory. */
struct action *reply(struct actions *actions, uint64_t request, enum reply_code code, const struct agent *agent);

/* change.c: a new set of policies */
bool is_only_observed(const struct state *state, const struct policy *policy, enum policy_placement placement);
/* Its policy's mode, or govd's, isn't any more what it has been treated by. */
bool mode_changed(const struct state *state, const struct agent *agent);
void release_by_mode(struct agent *agent, struct actions *actions);
void step_policies(struct state *state, const struct event *event, struct actions *actions);

/* life.c: results, ends */
/* For good: the scan doesn't take it again, and what it forks isn't of the lineage whose mark it may have inherited. */
void free_process(struct state *state, pid_t pid, uint64_t start_ticks, struct actions *actions);
void step_freed(struct state *state, const struct event *event, struct actions *actions);
void step_released(struct state *state, const struct event *event, struct actions *actions);
void step_exit(struct state *state, const struct event *event, struct actions *actions);
void step_empty(struct state *state, const struct event *event, struct actions *actions);
void step_sample(struct state *state, const struct event *event, struct actions *actions);
void step_result(struct state *state, const struct event *event, struct actions *actions);
/* The last that is heard of it: the incident, and out. */
void end_agent(struct state *state, struct agent *agent, struct actions *actions);

/* stop.c */
#define KILL_RETRY_NS NSEC_PER_SEC /* doubled with each try */
/* After which what has failed so often is tried again. */
uint64_t retry_ns(unsigned tries);
/* Gently, and at once. */
void stop_agent(struct state *state, struct agent *agent, struct actions *actions);
void kill_agent(struct state *state, struct agent *agent, struct actions *actions);
/* All its processes were sent SIGKILL. */
void stop_killed(struct state *state, struct agent *agent, const struct event *event, struct actions *actions);
/* Its group was removed, or couldn't be. */
void stop_removed(struct state *state, struct agent *agent, const struct event *event, struct actions *actions);
/* What couldn't be cleaned up is tried again. */
void stop_census(struct state *state, struct agent *agent, struct actions *actions);

/* tick.c: time */
void step_tick(struct state *state, const struct event *event, struct actions *actions);
/* Asks for the timer when this is the earliest time of all. */
void set_timer(struct state *state, uint64_t at_ns, struct actions *actions);
/* The deadline of an agent, with its timer. */
void set_deadline(struct state *state, struct agent *agent, uint64_t deadline_ns, struct actions *actions);

/* oom.c: deaths that nobody here has ordered */
void step_oom(struct state *state, const struct event *event, struct actions *actions);
void step_killed(struct state *state, const struct event *event, struct actions *actions);

/* emergency.c: is the memory of the host short, and may something be done? */
void step_host(struct state *state, const struct event *event, struct actions *actions);
void step_past_kill(struct state *state, const struct event *event, struct actions *actions);
/* emergency_choose.c: who is ended? */
void step_weighed(struct state *state, const struct event *event, struct actions *actions);

/* ladder.c: memory pressure */
void step_pressure(struct state *state, const struct event *event, struct actions *actions);
/* It has been placed or found, or its policy has limits now: from here on the kernel tells. */
void ladder_begin(struct agent *agent, struct actions *actions);
/* Its time to be looked at has come. */
void ladder_look(struct agent *agent, struct actions *actions);
/* Takes back what the ladder has done to it. */
void ladder_leave(struct agent *agent, struct actions *actions);
void ladder_freeze_failed(struct state *state, struct agent *agent);
#define LADDER_NO_SWAP_BYTES (UINT64_C(4) << 20) /* less than this is none */
/* ladder_limits.c: the highest rung that the policy allows */
enum ladder_rung ladder_top(const struct agent *agent);
/* ladder_livelock.c */
bool ladder_is_at_high(const struct agent *agent);
/* It is told from pressure in a moment. */
bool livelock_is_suspected(const struct agent *agent);
/* True when it was resolved at this moment */
bool livelock_watch(struct state *state, struct agent *agent, struct actions *actions);
/* True when memory.high is in force again. */
bool livelock_relax(struct agent *agent, struct actions *actions);
/* ladder_record.c: each rung at most once a minute */
void record_pressure(const struct state *state, struct agent *agent, enum ladder_rung rung, struct actions *actions);
void record_pressure_end(const struct state *state, struct agent *agent, struct actions *actions);
void record_livelock(const struct state *state, struct agent *agent, const char *action, struct actions *actions);

/* connect.c: storms, breakers, sockets */
void step_connects(struct state *state, const struct event *event, struct actions *actions);
void step_connects_end(struct state *state, const struct event *event, struct actions *actions);
void step_sockets(struct state *state, const struct event *event, struct actions *actions);
/* Its time to be looked at has come. */
void connect_look(struct agent *agent, struct actions *actions);
/* Of these two policies, what the kernel counts and paces by. */
bool pacing_equal(const struct policy *a, const struct policy *b);

/* connect_record.c: their incidents */
void record_storm(const struct agent *agent, struct trouble *trouble, struct actions *actions);
void record_storm_end(const struct state *state, const struct agent *agent, const struct trouble *trouble,
		      struct actions *actions);
void record_breaker(const struct state *state, const struct agent *agent, struct trouble *trouble,
		    struct actions *actions);
void record_rate(const struct agent *agent, struct trouble *trouble, struct actions *actions);
void record_sockets(const struct agent *agent, const struct socket_view *view, struct actions *actions);
/* More destinations are in trouble than are followed one by one. */
void record_missed(const struct agent *agent, struct actions *actions);
void record_stranger(const struct state *state, const struct event *event, struct stranger *stranger,
		     struct actions *actions);
/* `sockets.new_rate` a second, times 1000; UINT64_MAX: none. */
uint64_t new_rate_milli(const struct policy_sockets *sockets);

/* leak.c: where anonymous memory goes */
/* What it may have at the most by its policy, bytes; UINT64_MAX: nothing is forecast. */
uint64_t leak_cap(const struct policy *policy);
/* Before agent->memory_bytes is set. */
void leak_sample(struct state *state, struct agent *agent, const struct event *event, struct actions *actions);
/* Its time to be looked at has come; whether that needs a sample. */
bool leak_look(struct state *state, struct agent *agent, struct actions *actions);
/* Its memory was taken from it: what was there before says nothing of what comes. */
void leak_forget(struct agent *agent);

/* record.c: incidents; the words are static */
struct record_words {
	const char *rule, *action, *result;
};
/* That it is only watched. */
void record_observed(const struct agent *agent, struct actions *actions);
/* agent: NULL: it is of none. NULL for want of memory. */
struct incident *record_agent(struct actions *actions, enum incident_kind kind, const struct agent *agent,
			      struct record_words words);

#endif
