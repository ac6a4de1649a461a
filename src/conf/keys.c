/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "conf/keys.h"

/* A map stands before what is in it. The order is that of `policy show`. */
static const struct conf_key policy_keys[] = {
	{"match", CONF_MAP, "write the keys that choose its processes, such as match: {exe: /opt/bots/**/claude}",
	 false},
	{"match.exe", CONF_LIST, "write a path or glob, or a list of them, such as /opt/bots/**/claude", false},
	{"match.script", CONF_LIST, "write a path or glob, or a list of them, such as /srv/agents/*.py", false},
	{"match.args", CONF_LIST,
	 "write a regular expression, or a list of them, such as \"--input-format stream-json\"", false},
	{"match.env", CONF_PAIRS, "write variables with globs, such as env: {pm_exec_path: \"*/agent.js\"}", false},
	{"match.user", CONF_LIST, "write a user's name, or a list of them, such as [bots]", false},
	{"match.cgroup", CONF_LIST, "write a cgroup's path or glob, or a list of them, such as /system.slice/*", false},
	{"match.parent", CONF_LIST, "write the parent's executable or script, or a list of them, such as uvicorn",
	 false},
	{"key", CONF_MAP, "write key: {args: \"--room=(\\\\S+)\"} or key: {env: ROOM}", false},
	{"key.args", CONF_SCALAR, "write a regular expression whose group 1 is the key, such as \"--room=(\\\\S+)\"",
	 false},
	{"key.env", CONF_SCALAR, "write the name of a variable, such as ROOM", false},
	{"mode", CONF_SCALAR, "write enforce or observe", false},
	{"hold", CONF_SCALAR, "write auto or never", false},
	{"placement", CONF_SCALAR, "write auto, scope, nested or none", false},
	{"allow", CONF_MAP, "write who may use govctl run, such as allow: {users: [ann], groups: [bots]}", false},
	{"allow.users", CONF_LIST, "write a user's name, or a list of them, such as [ann]", true},
	{"allow.groups", CONF_LIST, "write a group's name, or a list of them, such as [bots]", true},
	{"memory", CONF_MAP, "write limits, such as memory: {high: 400M, max: 600M}", false},
	{"memory.high", CONF_SCALAR, "write a size such as 400M or 25%", false},
	{"memory.max", CONF_SCALAR, "write a size such as 600M or 25%", false},
	{"memory.swap_max", CONF_SCALAR, "write a size such as 0 or 1G", false},
	{"memory.on_oom", CONF_SCALAR, "write kill-tool, kill-agent or kernel", false},
	{"memory.on_pressure", CONF_SCALAR, "write note, reclaim, high, freeze or stop", false},
	{"cpu", CONF_MAP, "write limits, such as cpu: {weight: 100, max: 150%}", false},
	{"cpu.weight", CONF_SCALAR, "write a number from 1 to 10000, such as 100", false},
	{"cpu.max", CONF_SCALAR, "write a percentage of one CPU, such as 150%", false},
	{"tasks", CONF_MAP, "write what it may have, such as tasks: {max: 512, spawn_rate: 50/s}", false},
	{"tasks.max", CONF_SCALAR, "write a number, such as 512", false},
	{"tasks.spawn_rate", CONF_SCALAR, "write a rate such as 50/s", false},
	{"tools", CONF_MAP, "write limits of each tool, such as tools: {memory_max: 1G, max_runtime: 10min}", false},
	{"tools.memory_max", CONF_SCALAR, "write a size such as 1G or 25%", false},
	{"tools.max_runtime", CONF_SCALAR, "write a time such as 10min", false},
	{"connect", CONF_MAP, "write how often they may connect, such as connect: {rate: 5/min, burst: 5}", false},
	{"connect.rate", CONF_SCALAR, "write a rate such as 5/min", false},
	{"connect.burst", CONF_SCALAR, "write a number such as 5", false},
	{"connect.per", CONF_SCALAR, "write destination, port or agent", false},
	{"connect.max_delay", CONF_SCALAR, "write a time such as 30s", false},
	{"connect.on_excess", CONF_SCALAR, "write refuse or delay", false},
	{"connect.udp", CONF_SCALAR, "write count or refuse", false},
	{"breaker", CONF_MAP, "write when it opens, such as breaker: {failures: 5, max_interval: 1min}", false},
	{"breaker.failures", CONF_SCALAR, "write a number such as 5", false},
	{"breaker.factor", CONF_SCALAR, "write a number such as 2 or 1.5", false},
	{"breaker.max_interval", CONF_SCALAR, "write a time such as 1min", false},
	{"breaker.stable_after", CONF_SCALAR, "write a time such as 30s", false},
	{"sockets", CONF_MAP, "write what is worth an alert, such as sockets: {max: 100, new_rate: 10/s}", false},
	{"sockets.max", CONF_SCALAR, "write a number such as 100", false},
	{"sockets.new_rate", CONF_SCALAR, "write a rate such as 10/s", false},
	{"restart", CONF_MAP,
	 "write what a crash is and what it leads to, such as restart: {min_uptime: 10s, limit: 10}", false},
	{"restart.min_uptime", CONF_SCALAR, "write a time such as 10s", false},
	{"restart.delay", CONF_SCALAR, "write a time such as 5s", false},
	{"restart.factor", CONF_SCALAR, "write a number such as 2 or 1.5", false},
	{"restart.max_delay", CONF_SCALAR, "write a time such as 5min", false},
	{"restart.limit", CONF_SCALAR, "write a number such as 10", false},
	{"restart.window", CONF_SCALAR, "write a time such as 10min", false},
	{"restart.on_limit", CONF_SCALAR, "write freeze, refuse or alert", false},
	{"lifecycle", CONF_MAP, "write what ends its agents, such as lifecycle: {max_runtime: 1h, orphan: 30s}", false},
	{"lifecycle.idle", CONF_SCALAR, "write a time such as 5min", false},
	{"lifecycle.idle_cpu", CONF_SCALAR, "write a percentage of one CPU, such as 2%", false},
	{"lifecycle.idle_io", CONF_SCALAR, "write a rate of bytes such as 1K/s", false},
	{"lifecycle.idle_net", CONF_SCALAR, "write a rate of bytes such as 1K/s", false},
	{"lifecycle.idle_connects", CONF_SCALAR, "write a rate such as 1/min", false},
	{"lifecycle.idle_spawns", CONF_SCALAR, "write a rate such as 1/min", false},
	{"lifecycle.max_runtime", CONF_SCALAR, "write a time such as 1h", false},
	{"lifecycle.orphan", CONF_SCALAR, "write a time such as 30s", false},
	{"lifecycle.max_agents", CONF_SCALAR, "write a number such as 20", false},
	{"lifecycle.per_key", CONF_SCALAR, "write a number such as 1", false},
	{"lifecycle.on_duplicate", CONF_SCALAR, "write stop-old, stop-new or alert", false},
	{"hung", CONF_MAP, "write when an agent hangs, such as hung: {after: 1min, action: alert}", false},
	{"hung.after", CONF_SCALAR, "write a time such as 1min", false},
	{"hung.action", CONF_SCALAR, "write alert or stop", false},
	{"leak", CONF_MAP, "write when it is worth an alert, such as leak: {horizon: 30min}", false},
	{"leak.horizon", CONF_SCALAR, "write a time such as 30min", false},
	{"leak.action", CONF_SCALAR, "write alert or stop", false},
	{"stop", CONF_MAP, "write how its agents are stopped, such as stop: {signal: TERM, grace: 10s}", false},
	{"stop.signal", CONF_SCALAR, "write a signal such as TERM or INT", false},
	{"stop.grace", CONF_SCALAR, "write a time such as 10s", false},
	{"bulk", CONF_SCALAR, "write true or false", false},
	{"priority", CONF_SCALAR, "write a whole number, such as 0", false},
	{"protect", CONF_SCALAR, "write true or false", false},
};

/* A policy without `breaker` has none, with `breaker: {}` one that opens after 5; so have `restart`, `leak` and `hung`.
 */
static const struct conf_implied policy_implied[] = {
	{"connect.rate", NULL},	   {"breaker.failures", "5"}, {"restart.min_uptime", "10s"},
	{"leak.horizon", "30min"}, {"hung.after", "1min"},
};

static const struct conf_key host_keys[] = {
	{"emergency", CONF_MAP, "write when, such as emergency: {memory_available: 5%, pressure_full: 20%}", false},
	{"emergency.memory_available", CONF_SCALAR, "write a percentage or a size, such as 5% or 500M", false},
	{"emergency.pressure_full", CONF_SCALAR, "write a percentage, such as 20%", false},
	{"emergency.for", CONF_SCALAR, "write a time such as 5s", false},
	{"emergency.kills_per_min", CONF_SCALAR, "write a number such as 3", false},
	{"log", CONF_LATER, NULL, false},
	{"alerts", CONF_LATER, NULL, false},
	{"incidents", CONF_MAP, "write what is kept, such as incidents: {keep: 30d, max: 1000000}", false},
	{"incidents.keep", CONF_SCALAR, "write a time such as 30d", false},
	{"incidents.max", CONF_SCALAR, "write a number such as 1000000", false},
	{"watch_strangers", CONF_SCALAR, "write true or false", false},
	{"drain_on_stop", CONF_SCALAR, "write true or false", false},
	{"protect", CONF_LIST, "write a path or glob, or a list of them, such as /usr/sbin/sshd", true},
};

const struct conf_keys conf_policy_keys = {policy_keys, ELEMENTSOF(policy_keys), policy_implied,
					   ELEMENTSOF(policy_implied)};
const struct conf_keys conf_host_keys = {host_keys, ELEMENTSOF(host_keys), NULL, 0};

const struct conf_key *conf_key_find(const struct conf_keys *keys, const char *path)
{
	for (size_t i = 0; i < keys->n; i++)
		if (streq(keys->items[i].path, path))
			return &keys->items[i];
	return NULL;
}
