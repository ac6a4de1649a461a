/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "govd/manager.h"

/* What govctl asks for: the table of calls, and agents. */

static uint64_t since(uint64_t then_ns)
{
	uint64_t now_ns = manager_now_ns();

	return now_ns > then_ns ? now_ns - then_ns : 0;
}

void agent_write_next(struct bus_writer *writer, const struct agent *agent)
{
	uint64_t now_ns = manager_now_ns(), at_ns = agent->deadline_ns;
	const char *action = "kill";

	if (!at_ns || agent->state != AGENT_STOPPING)
		action = ladder_next(agent, &at_ns);
	if (!action && agent->thaw_ns && agent->thaw_ns != DELAY_BY_HAND) {
		at_ns = agent->thaw_ns;
		action = "thaw";
	}
	if (!action && agent->state != AGENT_STOPPING && agent_reaches_cap(agent, &at_ns))
		action = agent_cap_key(agent);
	if (!action && agent_is_idle_at(agent, &at_ns))
		action = "idle";
	if (!action)
		return;
	bus_begin_dict(writer, "next");
	bus_write_string(writer, "action", action);
	bus_write_double(writer, "in_s", manager_seconds(at_ns > now_ns ? at_ns - now_ns : 0));
	bus_end(writer);
}

/* What is forecast, as of the last look. */
void agent_write_leak(struct bus_writer *writer, const struct agent *agent)
{
	uint64_t now_ns = manager_now_ns(), at_ns;

	if (!agent->leak)
		return;
	bus_begin_dict(writer, "leak");
	bus_write_u64(writer, "slope_bytes_per_s", agent->leak->forecast.slope);
	if (agent_reaches_cap(agent, &at_ns))
		bus_write_double(writer, "reaches_max_in_s", manager_seconds(at_ns > now_ns ? at_ns - now_ns : 0));
	bus_end(writer);
}

void agent_write(struct manager *manager, struct bus_writer *writer, const struct agent *agent)
{
	struct group_stats stats;

	bus_write_string(writer, "id", agent->id);
	bus_write_string(writer, "policy", agent->policy->name);
	bus_write_string(writer, "key", agent->key);
	bus_write_string(writer, "state", agent_state_name(agent->state));
	bus_write_string(writer, "cgroup", agent->cgroup);
	bus_write_string(writer, "exe", agent->exe);
	bus_write_string(writer, "script", agent->script);
	bus_write_i64(writer, "pid", agent->root_pid);
	bus_write_double(writer, "since_s", manager_seconds(since(agent->since_ns)));
	bus_write_double(writer, "idle_s", manager_seconds(since(agent->active_ns)));
	bus_write_bool(writer, "observed", agent->is_observed);
	if (agent->lease_until_ns > manager_now_ns())
		bus_write_double(writer, "lease_s", manager_seconds(agent->lease_until_ns - manager_now_ns()));
	connects_write(manager, writer, agent);
	if (!agent->is_placed || groups_stats(manager->groups, agent->handle, &stats) < 0)
		return;
	bus_write_u64(writer, "memory_bytes", stats.memory_bytes);
	bus_write_u64(writer, "memory_max_bytes", stats.memory_max_bytes);
	bus_write_u64(writer, "memory_peak_bytes", stats.memory_peak_bytes);
	if (stats.cpu_ns != UINT64_MAX)
		bus_write_double(writer, "cpu_s", manager_seconds(stats.cpu_ns));
	bus_write_u64(writer, "tasks", stats.tasks);
}

static int call_list(sd_bus_message *reply, const char *policy, sd_bus_error *error, void *userdata)
{
	struct bus_writer writer = {.message = reply};
	struct manager *manager = userdata;
	const struct agent *agent;
	size_t cursor = 0;

	if (*policy && !policy_set_find(manager->policies, policy))
		return sd_bus_error_setf(error, GOV_ERROR_NO_SUCH_POLICY,
					 "there is no policy %s: `govctl policy list` shows those in force", policy);
	manager_sample(manager);
	bus_begin_list(&writer, NULL);
	while ((agent = state_agent_next(manager->state, &cursor))) {
		if (*policy && !streq(agent->policy->name, policy))
			continue;
		bus_begin_dict(&writer, NULL);
		agent_write(manager, &writer, agent);
		agent_write_next(&writer, agent);
		bus_end(&writer);
	}
	bus_end(&writer);
	return writer.error;
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
	.lease = call_lease,
	.may_connect = call_may_connect,
	.refused = call_refused,
	.named = call_named,
};
