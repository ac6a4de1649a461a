/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_CONF_SCHEMA_H
#define GOV_CONF_SCHEMA_H

#include "conf/keys.h"

/* The files as libcyaml loads them: all scalars are texts, which value.c parses. NULL and 0: not given. */

struct conf_strings {
	char **items;
	uint32_t n;
};

struct conf_pair_text {
	char *name;
	struct conf_strings values;
};

struct conf_match_text {
	struct conf_strings exe, script, args, user, cgroup, parent;
	struct conf_pair_text *env;
	uint32_t n_env;
};

struct conf_policy_text {
	struct conf_match_text match;
	struct conf_key_text {
		char *args, *env;
	} key;
	char *mode, *hold, *placement;
	struct conf_allow_text {
		struct conf_strings users, groups;
	} allow;
	struct conf_memory_text {
		char *high, *max, *swap_max, *on_oom, *on_pressure;
	} memory;
	struct conf_cpu_text {
		char *weight, *max;
	} cpu;
	struct conf_tasks_text {
		char *max, *spawn_rate;
	} tasks;
	struct conf_tools_text {
		char *memory_max, *max_runtime;
	} tools;
	struct conf_connect_text {
		char *rate, *burst, *per, *max_delay, *on_excess, *udp;
	} connect;
	struct conf_breaker_text {
		char *failures, *factor, *max_interval, *stable_after;
	} breaker;
	struct conf_sockets_text {
		char *max, *new_rate;
	} sockets;
	struct conf_leak_text {
		char *horizon, *action;
	} leak;
	struct conf_restart_text {
		char *min_uptime, *delay, *factor, *max_delay, *limit, *window, *on_limit;
	} restart;
	struct conf_lifecycle_text {
		char *idle, *idle_cpu, *idle_io, *idle_net, *idle_connects, *idle_spawns;
		char *max_runtime, *orphan, *max_agents, *per_key, *on_duplicate;
	} lifecycle;
	struct conf_hung_text {
		char *after, *action;
	} hung;
	struct conf_stop_text {
		char *signal, *grace;
	} stop;
	char *bulk, *priority, *protect;
};

struct conf_host_text {
	struct conf_emergency_text {
		char *memory_available, *pressure_full, *lasting, *kills_per_min;
	} emergency;
	struct conf_incidents_text {
		char *keep, *max;
	} incidents;
	char *watch_strangers;
	char *drain_on_stop;
	struct conf_strings protect;
};

/* Text of a file -> its struct, errors told. 0 also when some were: what is right is there. */
int conf_policy_text_load(struct conf_context *context, const char *text, size_t length,
			  struct conf_policy_text **ret_loaded) _must_check_;
int conf_host_text_load(struct conf_context *context, const char *text, size_t length,
			struct conf_host_text **ret_loaded) _must_check_;
struct conf_policy_text *conf_policy_text_free(struct conf_policy_text *loaded);
struct conf_host_text *conf_host_text_free(struct conf_host_text *loaded);
DEFINE_CLEANUP(struct conf_policy_text *, conf_policy_text_free)
DEFINE_CLEANUP(struct conf_host_text *, conf_host_text_free)

#endif
