/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_CORE_POLICY_H
#define GOV_CORE_POLICY_H

#include <sys/types.h>

#include "base/macro.h"
#include "base/unit.h"

/* A policy with everything parsed, defaults filled in and patterns compiled. Immutable once loaded; reference-counted.
 */

#define POLICY_NAME_MAX 64
#define POLICY_KEY_MAX 128
#define POLICY_PATTERNS_MAX 64 /* of one list */
#define POLICY_MAX 1024	       /* policies of one set */

struct regex; /* core/regex.h */

/* Globs, any of which may match; empty: the key isn't given. */
struct pattern_list {
	char **globs;
	size_t n;
};

struct env_pattern {
	char *name;
	struct pattern_list values;
};

struct policy_match {
	struct pattern_list exe, script, cgroup, parent;
	char **args_text; /* as written, for explain and show */
	struct regex **args;
	size_t n_args;
	struct env_pattern *env;
	size_t n_env;
	char **user_names; /* as written */
	uid_t *users;
	size_t n_users;
};

enum policy_mode { POLICY_ENFORCE, POLICY_OBSERVE };
enum policy_on_oom { POLICY_OOM_KERNEL, POLICY_OOM_KILL_AGENT, POLICY_OOM_KILL_TOOL };
/* Where its agents go: AUTO moves nothing that another service manager or a container runtime owns. */
enum policy_placement {
	POLICY_PLACEMENT_AUTO,
	POLICY_PLACEMENT_SCOPE,
	POLICY_PLACEMENT_NESTED,
	POLICY_PLACEMENT_NONE,
};

/* The highest rung of the ladder, core/ladder.h. */
enum policy_pressure {
	POLICY_PRESSURE_NOTE,
	POLICY_PRESSURE_RECLAIM,
	POLICY_PRESSURE_HIGH,
	POLICY_PRESSURE_FREEZE,
	POLICY_PRESSURE_STOP,
};
enum policy_hold { POLICY_HOLD_AUTO, POLICY_HOLD_NEVER };

struct policy_limits {
	uint64_t memory_high_bytes, memory_max_bytes, swap_max_bytes; /* UNIT_INFINITY: no limit */
	enum policy_on_oom on_oom;
	uint32_t cpu_weight;  /* 1..10000 as cgroup v2's cpu.weight; 0: not set */
	uint32_t cpu_max_pct; /* of one CPU; 0: no limit */
	uint64_t tasks_max;   /* UNIT_INFINITY: no limit */
};

/* count in this time. */
struct policy_rate {
	uint64_t count, per_ns;
};

/* Of each tool of an agent. */
struct policy_tools {
	uint64_t memory_max_bytes; /* UNIT_INFINITY: no limit */
	uint64_t max_runtime_ns;   /* UNIT_INFINITY: no limit */
};

enum policy_per { POLICY_PER_DESTINATION, POLICY_PER_PORT, POLICY_PER_AGENT };
enum policy_excess { POLICY_EXCESS_REFUSE, POLICY_EXCESS_DELAY };
enum policy_udp { POLICY_UDP_COUNT, POLICY_UDP_REFUSE };

/* The kernel's longest timeout of a SYN (TCP_RTO_MAX, include/net/tcp.h): nothing can be held longer. */
#define POLICY_DELAY_MAX_NS (120 * NSEC_PER_SEC)

struct policy_connect {
	struct policy_rate rate; /* 0: no limit */
	uint32_t burst;
	enum policy_per per;
	uint64_t max_delay_ns; /* at least rate.per_ns / rate.count, at most POLICY_DELAY_MAX_NS */
	enum policy_excess on_excess;
	enum policy_udp udp;
};

struct policy_breaker {
	uint32_t failures;     /* in a row; 0: no breaker */
	uint32_t factor_milli; /* 1000..100000 */
	uint64_t max_interval_ns, stable_after_ns;
};

struct policy_sockets {
	uint64_t max;		     /* UNIT_INFINITY: no limit */
	struct policy_rate new_rate; /* 0: no limit */
};

enum policy_leak_action { POLICY_LEAK_ALERT, POLICY_LEAK_STOP };

struct policy_leak {
	uint64_t horizon_ns; /* 0: nothing is forecast */
	enum policy_leak_action action;
};

enum policy_on_limit { POLICY_LIMIT_FREEZE, POLICY_LIMIT_REFUSE, POLICY_LIMIT_ALERT };

#define POLICY_RESTARTS_MAX 100 /* restart.limit */

struct policy_restart {
	uint64_t min_uptime_ns; /* 0: lives aren't counted */
	uint64_t delay_ns, max_delay_ns, window_ns;
	uint32_t factor_milli; /* 1000..100000 */
	uint32_t limit;	       /* crashes in the window; 0: none */
	enum policy_on_limit on_limit;
};

enum policy_on_duplicate { POLICY_DUPLICATE_STOP_OLD, POLICY_DUPLICATE_STOP_NEW, POLICY_DUPLICATE_ALERT };

/* 0: no limit */
struct policy_lifecycle {
	uint64_t max_runtime_ns, orphan_ns;
	uint32_t max_agents, per_key;
	enum policy_on_duplicate on_duplicate;
};

/* What is more than this shows that an agent is in use; UNIT_INFINITY: nothing does. */
struct policy_idle {
	uint64_t after_ns;	    /* 0: nobody is idle */
	struct policy_rate cpu;	    /* CPU time, ns */
	struct policy_rate io, net; /* bytes */
	struct policy_rate connects, spawns;
};

enum policy_hung_action { POLICY_HUNG_ALERT, POLICY_HUNG_STOP };

struct policy_hung {
	uint64_t after_ns; /* 0: nobody hangs */
	enum policy_hung_action action;
};

struct policy {
	unsigned references;
	char name[POLICY_NAME_MAX];
	char *file; /* it was read from */
	struct policy_match match;
	char *key_args_text; /* NULL: none */
	struct regex *key_args;
	char *key_env; /* NULL: none */
	enum policy_mode mode;
	enum policy_hold hold;
	enum policy_placement placement;
	struct policy_limits limits;
	struct policy_rate spawn; /* processes that an agent may begin before it is told of; 0: no limit */
	struct policy_tools tools;
	enum policy_pressure on_pressure;
	char **allow_user_names, **allow_group_names; /* as written */
	uid_t *allow_users;
	gid_t *allow_groups;
	size_t n_allow_users, n_allow_groups;
	struct policy_connect connect;
	struct policy_breaker breaker;
	struct policy_sockets sockets;
	struct policy_leak leak;
	struct policy_restart restart;
	struct policy_lifecycle lifecycle;
	struct policy_idle idle;
	struct policy_hung hung;
	int stop_signal;
	uint64_t stop_grace_ns;
	int32_t priority;
	bool bulk;    /* may end more than half of its agents in a minute */
	bool protect; /* its agents are placed and limited, and never ended */
};

/* A part of a whole: bytes or, when they are 0, a percentage; both 0: none. */
struct host_share {
	uint64_t bytes;
	uint32_t pct;
};

struct host_emergency {
	struct host_share memory_available; /* less is an emergency; none: never */
	uint32_t pressure_full_pct;	    /* of the time `for`: more is one; 0: never */
	uint64_t for_ns;
	uint32_t kills_per_min; /* at most EMERGENCY_KILLS_MAX */
};

#define EMERGENCY_KILLS_MAX 60

/* The host's configuration, govd.yaml. */
struct host_config {
	struct host_emergency emergency;
	struct pattern_list protect; /* exe or script: never placed, never signalled */
	uint64_t incidents_keep_ns;
	uint64_t incidents_max;
	bool watch_strangers;
	bool drain_on_stop; /* govd's end is its agents' end */
};

/* All policies in force, sorted by name: the first that matches wins. */
struct policy_set {
	unsigned references;
	struct policy **policies;
	size_t n;
	char **env_names; /* every variable that some policy names (and pm_exec_path): all that edges may read of an
			     environment */
	size_t n_env_names;
	struct host_config host;
};

struct policy *policy_ref(struct policy *policy);
struct policy *policy_unref(struct policy *policy); /* NULL-safe; returns NULL */
struct policy_set *policy_set_ref(struct policy_set *set);
struct policy_set *policy_set_unref(struct policy_set *set);
DEFINE_CLEANUP(struct policy *, policy_unref)
DEFINE_CLEANUP(struct policy_set *, policy_set_unref)

/* Borrowed, or NULL. */
struct policy *policy_set_find(const struct policy_set *set, const char *name);

/* Whether the tools of its agents are in groups of their own. */
bool policy_has_tools(const struct policy *policy);

/* Whether `allow` lists this user or one of the groups. */
bool policy_allows(const struct policy *policy, uid_t uid, const gid_t *groups, size_t n_groups);

void pattern_list_done(struct pattern_list *list);

#endif
