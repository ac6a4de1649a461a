/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_CORE_AGENT_H
#define GOV_CORE_AGENT_H

#include "core/incident.h"
#include "core/ladder.h"
#include "core/policy.h"
#include "core/restart.h"

/* One governed instance: a root process and all its descendants, in one cgroup, with one id. */

enum agent_state {
	AGENT_STARTING, /* its group is being made */
	AGENT_HELD,	/* and its root waits in the kernel for that */
	AGENT_ACTIVE,
	AGENT_IDLE,
	AGENT_FROZEN,
	AGENT_STOPPING,
	AGENT_GONE, /* the last that is heard of it */
	AGENT_STATES,
};

/* Who else has put it where it was found: core/placement.h. */
enum cgroup_owner { OWNER_NONE, OWNER_SERVICE, OWNER_CONTAINER };

const char *agent_state_name(enum agent_state state);

#define AGENT_CGROUP_MAX 512 /* bytes with the NUL, as the next */
#define AGENT_EXE_MAX 256
#define DELAY_BY_HAND UINT64_MAX /* until somebody thaws it */
#define TOOL_NAME_SIZE 16	 /* TASK_COMM_LEN */

/* A tool by the process that it began with. */
struct tool_id {
	pid_t pid;
	uint64_t start_ticks;
};

#define AGENT_TOKENS_MAX 4

struct agent {
	uint64_t handle; /* unique in this run of govd; how the edges name it */
	char id[AGENT_ID_SIZE];
	const char *key;       /* at most POLICY_KEY_MAX bytes; all texts are the state's, never NULL */
	struct policy *policy; /* a reference */
	enum agent_state state;
	bool is_observed;	 /* mode: observe, or not to be moved: watched, never touched */
	bool is_placed;		 /* its group exists and holds the root */
	bool is_placing;	 /* ACTION_PLACE is under way; with is_placed: its group has gone, for another one */
	bool is_releasing;	 /* ACTION_RELEASE is */
	bool wants_sweep;	 /* its root may have descendants from before: look when it is placed */
	bool wants_census;	 /* marked members of its lineage wait outside until it is placed */
	bool is_orphaned_policy; /* its policy isn't in the set any more: kept as it is */
	bool is_empty;		 /* its group has no process: to be removed */
	bool is_explicit;	 /* by `govctl run` or `adopt`: another policy doesn't take its root */
	bool has_root;		 /* the root process lives */
	pid_t root_pid;
	uint64_t root_start_ticks;
	pid_t root_ppid; /* whose child the root was when this govd saw it first; 0: not seen yet */
	uid_t uid;
	uint64_t mark;
	uint64_t held_mark; /* the kernel's that its root had when it was held: it is older than the agent; 0: none */
	uint64_t parent;    /* handle of the agent that started it; 0: none */
	uint64_t cgroup_id;
	const char *cgroup; /* v2 path; of an observed agent: where the root was seen */
	/* Where it came from, for release: the root's groups before placing, lines of /proc/PID/cgroup. */
	const char *origin;
	const char *exe, *script; /* for people: what it is; cut */
	uint64_t since_ns;	  /* CLOCK_MONOTONIC */
	uint64_t active_ns;	  /* last sign of life */
	uint64_t cpu_ns;	  /* at cpu_look_ns: signs of life are counted from there */
	uint64_t cpu_look_ns;	  /* of the sample that the next ones are compared with */
	uint64_t memory_bytes;	  /* and all of its memory; UINT64_MAX: not known */
	uint64_t deadline_ns;	  /* of the stop's grace; 0: none */
	struct restart *restart;  /* of its lives, state's; NULL: they aren't counted */
	uint64_t run_ns;	  /* since when it runs: its birth, or the end of its delay */
	uint64_t delay_ns;	  /* for which it is to be frozen when it is placed; 0: it isn't */
	uint64_t refuse_ns;	  /* until then its hold may still come, to be refused; 0: none is awaited */
	uint64_t thaw_ns;	  /* when that is over; 0: it isn't delayed; DELAY_BY_HAND */
	pid_t parent_pid;	  /* that has started it, also under an earlier govd; 0: not known */
	uint64_t orphan_ns;	  /* when that ended; 0: it lives */
	uint64_t lease_ns;	  /* for how long it is left alone from the last touch on; 0: it has no lease */
	uint64_t lease_until_ns;  /* when the lease ends; 0: none */
	unsigned laws_done;	  /* bits: what lifecycle.c has done or told of it already */
	unsigned laws_spared;	  /* bits: of those, what was told not to be done as it is being debugged */
	pid_t tracer_pid;	  /* who debugs it; 0: nobody; -1: not known */
	uint64_t traced_ns;	  /* when that was looked at last */
	uint64_t probation_ns;	  /* when it may take the place of others of its key; 0: nothing to decide */
	uint64_t connect_look_ns; /* when its connects are looked at again; 0: there is no trouble */
	unsigned sweep_tries;
	unsigned stop_tries;   /* failed attempts to end the group */
	unsigned remove_tries; /* and to remove it, when it had ended */
	bool is_stuck_told;    /* that it can't be ended */
	uint32_t by_uid;       /* who asked for what is under way, as incident.by_uid */
	const char *stop_rule; /* static */
	int32_t exit_code;     /* of the root, as wait(2) has it; valid when !has_root */
	bool has_exit_code;
	const char *root_rule; /* static: what has ended the root, when it was known before its end: oom, sigkill */
	uint32_t root_by;      /* and who, as incident.by_uid */
	struct told ooms_told, kills_told, fanouts_told;
	uint64_t would_end_ns; /* when an emergency would have ended it, were it not observed; 0: never */
	const char *how;       /* static: how govd came by it: hold, exec, scan, run, adopt, lineage, found */
	enum cgroup_owner owner;
	enum policy_placement placement; /* never AUTO */
	/* Waiting for the placing's result. */
	uint64_t hold_tokens[AGENT_TOKENS_MAX];
	size_t n_hold_tokens;
	struct troubles *troubles; /* core/trouble.h, owned; NULL: there never was any */
	struct leak *leak;	   /* core/leak.h, owned; NULL: nothing is forecast */
	struct tools *tools;	   /* core/tool.h, owned; NULL: there never was any */
	struct activity *activity; /* core/activity.h, owned; NULL: nobody asks whether it does anything */
	struct ladder *ladder;	   /* core/ladder.h, owned; NULL: there never was any pressure */
	struct agent *next_of_key; /* core's list of those that have the same key */
	struct agent *next_ended;  /* core's list of those to be freed */
	uint64_t request;	   /* of the command that is to be answered; 0: none */
};

/* Or was: pids come again, with another start. */
static inline bool agent_is_root(const struct agent *agent, pid_t pid, uint64_t start_ticks)
{
	return agent->root_pid == pid && agent->root_start_ticks == start_ticks;
}

/* Nothing is decided about it any more but how it ends. */
static inline bool agent_is_ending(const struct agent *agent)
{
	return agent->state == AGENT_STOPPING || agent->state == AGENT_GONE;
}

#endif
