/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "conf/value.h"

#define VALUE(path, text, value, fallback, kind)                                                                       \
	{                                                                                                              \
		path, offsetof(struct conf_policy_text, text), offsetof(struct policy, value), fallback, &kind         \
	}
#define LIST(path, text, items, n, check)                                                                              \
	{                                                                                                              \
		path, offsetof(struct conf_policy_text, text), offsetof(struct policy, items),                         \
			offsetof(struct policy, n), check                                                              \
	}

static const struct conf_value policy_values[] = {
	VALUE("mode", mode, mode, "enforce", conf_kind_mode),
	VALUE("hold", hold, hold, "auto", conf_kind_hold),
	VALUE("placement", placement, placement, "auto", conf_kind_placement),
	VALUE("memory.high", memory.high, limits.memory_high_bytes, "infinity", conf_kind_memory),
	VALUE("memory.max", memory.max, limits.memory_max_bytes, "infinity", conf_kind_memory),
	VALUE("memory.swap_max", memory.swap_max, limits.swap_max_bytes, "infinity", conf_kind_swap),
	VALUE("memory.on_oom", memory.on_oom, limits.on_oom, "kernel", conf_kind_on_oom),
	VALUE("memory.on_pressure", memory.on_pressure, on_pressure, "high", conf_kind_on_pressure),
	VALUE("cpu.weight", cpu.weight, limits.cpu_weight, "default", conf_kind_weight),
	VALUE("cpu.max", cpu.max, limits.cpu_max_pct, "infinity", conf_kind_cpu),
	VALUE("tasks.max", tasks.max, limits.tasks_max, "infinity", conf_kind_tasks),
	VALUE("tasks.spawn_rate", tasks.spawn_rate, spawn, "infinity", conf_kind_new_rate),
	VALUE("tools.memory_max", tools.memory_max, tools.memory_max_bytes, "infinity", conf_kind_memory),
	VALUE("tools.max_runtime", tools.max_runtime, tools.max_runtime_ns, "infinity", conf_kind_runtime),
	VALUE("connect.rate", connect.rate, connect.rate, "infinity", conf_kind_rate),
	VALUE("connect.burst", connect.burst, connect.burst, "5", conf_kind_burst),
	VALUE("connect.per", connect.per, connect.per, "destination", conf_kind_per),
	VALUE("connect.max_delay", connect.max_delay, connect.max_delay_ns, "30s", conf_kind_delay),
	VALUE("connect.on_excess", connect.on_excess, connect.on_excess, "refuse", conf_kind_excess),
	VALUE("connect.udp", connect.udp, connect.udp, "count", conf_kind_udp),
	VALUE("breaker.failures", breaker.failures, breaker.failures, "infinity", conf_kind_failures),
	VALUE("breaker.factor", breaker.factor, breaker.factor_milli, "2", conf_kind_factor),
	VALUE("breaker.max_interval", breaker.max_interval, breaker.max_interval_ns, "1min", conf_kind_interval),
	VALUE("breaker.stable_after", breaker.stable_after, breaker.stable_after_ns, "30s", conf_kind_stable),
	VALUE("sockets.max", sockets.max, sockets.max, "infinity", conf_kind_sockets),
	VALUE("sockets.new_rate", sockets.new_rate, sockets.new_rate, "infinity", conf_kind_new_rate),
	VALUE("restart.min_uptime", restart.min_uptime, restart.min_uptime_ns, "0s", conf_kind_uptime),
	VALUE("restart.delay", restart.delay, restart.delay_ns, "5s", conf_kind_restart_delay),
	VALUE("restart.factor", restart.factor, restart.factor_milli, "1.5", conf_kind_factor),
	VALUE("restart.max_delay", restart.max_delay, restart.max_delay_ns, "5min", conf_kind_restart_delay),
	VALUE("restart.limit", restart.limit, restart.limit, "10", conf_kind_restart_limit),
	VALUE("restart.window", restart.window, restart.window_ns, "10min", conf_kind_window),
	VALUE("restart.on_limit", restart.on_limit, restart.on_limit, "freeze", conf_kind_on_limit),
	VALUE("lifecycle.max_runtime", lifecycle.max_runtime, lifecycle.max_runtime_ns, "infinity", conf_kind_life),
	VALUE("lifecycle.orphan", lifecycle.orphan, lifecycle.orphan_ns, "infinity", conf_kind_life),
	VALUE("lifecycle.max_agents", lifecycle.max_agents, lifecycle.max_agents, "infinity", conf_kind_agents),
	VALUE("lifecycle.per_key", lifecycle.per_key, lifecycle.per_key, "infinity", conf_kind_agents),
	VALUE("lifecycle.on_duplicate", lifecycle.on_duplicate, lifecycle.on_duplicate, "stop-old",
	      conf_kind_on_duplicate),
	VALUE("lifecycle.idle", lifecycle.idle, idle.after_ns, "infinity", conf_kind_life),
	VALUE("lifecycle.idle_cpu", lifecycle.idle_cpu, idle.cpu, "2%", conf_kind_idle_cpu),
	VALUE("lifecycle.idle_io", lifecycle.idle_io, idle.io, "1K/s", conf_kind_idle_bytes),
	VALUE("lifecycle.idle_net", lifecycle.idle_net, idle.net, "1K/s", conf_kind_idle_bytes),
	VALUE("lifecycle.idle_connects", lifecycle.idle_connects, idle.connects, "1/min", conf_kind_idle_count),
	VALUE("lifecycle.idle_spawns", lifecycle.idle_spawns, idle.spawns, "1/min", conf_kind_idle_count),
	VALUE("hung.after", hung.after, hung.after_ns, "infinity", conf_kind_life),
	VALUE("hung.action", hung.action, hung.action, "alert", conf_kind_hung_action),
	VALUE("leak.horizon", leak.horizon, leak.horizon_ns, "off", conf_kind_horizon),
	VALUE("leak.action", leak.action, leak.action, "alert", conf_kind_leak_action),
	VALUE("stop.signal", stop.signal, stop_signal, "TERM", conf_kind_signal),
	VALUE("stop.grace", stop.grace, stop_grace_ns, "10s", conf_kind_grace),
	VALUE("bulk", bulk, bulk, "false", conf_kind_bool),
	VALUE("priority", priority, priority, "0", conf_kind_priority),
	VALUE("protect", protect, protect, "false", conf_kind_bool),
};

static const struct conf_list policy_lists[] = {
	LIST("match.exe", match.exe, match.exe.globs, match.exe.n, conf_check_path_glob),
	LIST("match.script", match.script, match.script.globs, match.script.n, conf_check_path_glob),
	LIST("match.args", match.args, match.args_text, match.n_args, NULL),
	LIST("match.user", match.user, match.user_names, match.n_users, NULL),
	LIST("match.cgroup", match.cgroup, match.cgroup.globs, match.cgroup.n, conf_check_path_glob),
	LIST("match.parent", match.parent, match.parent.globs, match.parent.n, conf_check_path_glob),
	LIST("allow.users", allow.users, allow_user_names, n_allow_users, NULL),
	LIST("allow.groups", allow.groups, allow_group_names, n_allow_groups, NULL),
};

#define HOST_VALUE(path, text, value, fallback, kind)                                                                  \
	{                                                                                                              \
		path, offsetof(struct conf_host_text, text), offsetof(struct host_config, value), fallback, &kind      \
	}

static const struct conf_value host_values[] = {
	HOST_VALUE("emergency.memory_available", emergency.memory_available, emergency.memory_available, "5%",
		   conf_kind_share),
	HOST_VALUE("emergency.pressure_full", emergency.pressure_full, emergency.pressure_full_pct, "20%",
		   conf_kind_pressure),
	HOST_VALUE("emergency.for", emergency.lasting, emergency.for_ns, "5s", conf_kind_for),
	HOST_VALUE("emergency.kills_per_min", emergency.kills_per_min, emergency.kills_per_min, "3", conf_kind_kills),
	HOST_VALUE("incidents.keep", incidents.keep, incidents_keep_ns, "30d", conf_kind_keep),
	HOST_VALUE("incidents.max", incidents.max, incidents_max, "1000000", conf_kind_count),
	HOST_VALUE("watch_strangers", watch_strangers, watch_strangers, "false", conf_kind_bool),
	HOST_VALUE("drain_on_stop", drain_on_stop, drain_on_stop, "false", conf_kind_bool),
};

static const struct conf_list host_lists[] = {
	{"protect", offsetof(struct conf_host_text, protect), offsetof(struct host_config, protect.globs),
	 offsetof(struct host_config, protect.n), conf_check_path_glob},
};

const struct conf_values conf_policy_values = {policy_values, ELEMENTSOF(policy_values)};
const struct conf_lists conf_policy_lists = {policy_lists, ELEMENTSOF(policy_lists)};
const struct conf_values conf_host_values = {host_values, ELEMENTSOF(host_values)};
const struct conf_lists conf_host_lists = {host_lists, ELEMENTSOF(host_lists)};

static const void *at(const void *base, size_t offset)
{
	return (const char *)base + offset;
}

static void *at_mutable(void *base, size_t offset)
{
	return (char *)base + offset;
}

void conf_values_convert(struct conf_context *context, const struct conf_values *values, const void *texts, void *out)
{
	for (size_t i = 0; i < values->n; i++) {
		const struct conf_value *row = &values->items[i];
		const char *text = *(char *const *)at(texts, row->text_offset);
		void *value = at_mutable(out, row->value_offset);
		int r = row->kind->parse(row->kind, row->fallback, context->host, value);

		if (text && r == 0)
			r = row->kind->parse(row->kind, text, context->host, value);
		if (r < 0)
			conf_complain(context, row->path, text ? text : row->fallback, "%s",
				      r == -ERANGE ? row->kind->range : row->kind->wrong);
	}
}

static int list_copy(const struct conf_strings *from, char ***ret_items, size_t *ret_n)
{
	char **items = calloc(MAX2(from->n, 1U), sizeof(*items));

	if (!items)
		return -ENOMEM;
	*ret_items = items;
	*ret_n = from->n;
	for (uint32_t i = 0; i < from->n; i++) {
		items[i] = strdup(from->items[i]);
		if (!items[i])
			return -ENOMEM;
	}
	return 0;
}

void conf_lists_convert(struct conf_context *context, const struct conf_lists *lists, const void *texts, void *out)
{
	for (size_t i = 0; i < lists->n; i++) {
		const struct conf_list *row = &lists->items[i];
		const struct conf_strings *from = at(texts, row->text_offset);
		int r;

		if (!from->n)
			continue;
		r = list_copy(from, at_mutable(out, row->items_offset), at_mutable(out, row->n_offset));
		if (r < 0)
			context->error = r;
		for (uint32_t j = 0; row->check && j < from->n; j++) {
			const char *wrong = row->check(from->items[j]);

			if (wrong)
				conf_complain(context, row->path, from->items[j], "%s", wrong);
		}
	}
}
