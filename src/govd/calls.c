/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "govd/manager.h"

/* What govctl asks for: the table of calls, and agents. */

static double seconds(uint64_t ns)
{
	uint64_t ms = ns / NSEC_PER_MSEC;

	return (double)ms / 1000.0;
}

static uint64_t since(uint64_t then_ns)
{
	uint64_t now_ns = manager_now_ns();

	return now_ns > then_ns ? now_ns - then_ns : 0;
}

/* ---- agents ---- */

int agent_add_next(struct manager *manager, sd_bus_message *m, const struct agent *agent)
{
	uint64_t now_ns = manager_now_ns();
	int r;

	(void)manager;
	if (!agent->deadline_ns || agent->state != AGENT_STOPPING)
		return 0;
	r = bus_open_dict(m, "next");
	if (r < 0)
		return r;
	r = bus_add_string(m, "action", "kill");
	if (r < 0)
		return r;
	r = bus_add_double(m, "in_s", seconds(agent->deadline_ns > now_ns ? agent->deadline_ns - now_ns : 0));
	if (r < 0)
		return r;
	return bus_close_dict(m);
}

static int agent_add_stats(sd_bus_message *m, const struct group_stats *stats)
{
	int r;

	r = bus_add_u64(m, "memory_bytes", stats->memory_bytes);
	if (r < 0)
		return r;
	r = bus_add_u64(m, "memory_max_bytes", stats->memory_max_bytes);
	if (r < 0)
		return r;
	r = bus_add_u64(m, "memory_peak_bytes", stats->memory_peak_bytes);
	if (r < 0)
		return r;
	if (stats->cpu_ns != UINT64_MAX) {
		r = bus_add_double(m, "cpu_s", seconds(stats->cpu_ns));
		if (r < 0)
			return r;
	}
	return bus_add_u64(m, "tasks", stats->tasks);
}

int agent_add_fields(struct manager *manager, sd_bus_message *m, const struct agent *agent)
{
	const struct {
		const char *name, *value;
	} strings[] = {
		{"id", agent->id},	   {"policy", agent->policy->name},
		{"key", agent->key},	   {"state", agent_state_name(agent->state)},
		{"cgroup", agent->cgroup}, {"exe", agent->exe},
		{"script", agent->script},
	};
	struct group_stats stats;
	int r;

	for (size_t i = 0; i < ELEMENTSOF(strings); i++) {
		r = bus_add_string(m, strings[i].name, strings[i].value);
		if (r < 0)
			return r;
	}
	r = bus_add_i64(m, "pid", agent->root_pid);
	if (r < 0)
		return r;
	r = bus_add_double(m, "since_s", seconds(since(agent->since_ns)));
	if (r < 0)
		return r;
	r = bus_add_double(m, "idle_s", seconds(since(agent->active_ns)));
	if (r < 0)
		return r;
	r = bus_add_bool(m, "observed", agent->is_observed);
	if (r < 0)
		return r;
	if (!agent->is_placed || groups_stats(manager->groups, agent->handle, &stats) < 0)
		return 0;
	return agent_add_stats(m, &stats);
}

static int call_list(sd_bus_message *reply, const char *policy, sd_bus_error *error, void *userdata)
{
	struct manager *manager = userdata;
	const struct agent *agent;
	size_t cursor = 0;
	int r;

	if (*policy && !policy_set_find(manager->policies, policy))
		return sd_bus_error_setf(error, GOV_ERROR_NO_SUCH_POLICY,
					 "there is no policy %s: `govctl policy list` shows those in force", policy);
	manager_sample(manager);
	r = sd_bus_message_open_container(reply, 'a', "a{sv}");
	if (r < 0)
		return r;
	while ((agent = state_agent_next(manager->state, &cursor))) {
		if (*policy && !streq(agent->policy->name, policy))
			continue;
		r = sd_bus_message_open_container(reply, 'a', "{sv}");
		if (r < 0)
			return r;
		r = agent_add_fields(manager, reply, agent);
		if (r < 0)
			return r;
		r = agent_add_next(manager, reply, agent);
		if (r < 0)
			return r;
		r = sd_bus_message_close_container(reply);
		if (r < 0)
			return r;
	}
	return sd_bus_message_close_container(reply);
}

const struct bus_calls manager_calls = {
	.status = call_status,
	.list = call_list,
	.show = call_show,
	.list_policies = call_list_policies,
	.show_policy = call_show_policy,
	.test_policy = call_test_policy,
	.explain = call_explain,
	.reload = call_reload,
	.run = call_run,
	.adopt = call_adopt,
	.command = call_command,
	.may_connect = call_may_connect,
	.refused = call_refused,
};
