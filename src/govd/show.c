/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "govd/manager.h"

#include <unistd.h>

#include "core/placement.h"

/* One agent, with its limits. */

static uint64_t or_unknown(uint64_t value)
{
	return value ? value : UINT64_MAX;
}

static void write_limits(struct bus_writer *writer, const struct policy *policy)
{
	const struct policy_limits *limits = &policy->limits;

	bus_begin_dict(writer, "limits");
	bus_write_u64(writer, "memory_high_bytes", limits->memory_high_bytes);
	bus_write_u64(writer, "memory_max_bytes", limits->memory_max_bytes);
	bus_write_u64(writer, "swap_max_bytes", limits->swap_max_bytes);
	bus_write_u64(writer, "cpu_weight", or_unknown(limits->cpu_weight));
	bus_write_u64(writer, "cpu_max_pct", or_unknown(limits->cpu_max_pct));
	bus_write_u64(writer, "tasks_max", limits->tasks_max);
	if (policy->spawn.count)
		bus_write_double(writer, "spawn_rate_per_s",
				 (double)policy->spawn.count * (double)NSEC_PER_SEC / (double)policy->spawn.per_ns);
	bus_write_u64(writer, "tool_memory_max_bytes", policy->tools.memory_max_bytes);
	if (policy->tools.max_runtime_ns != UNIT_INFINITY)
		bus_write_double(writer, "tool_max_runtime_s",
				 (double)policy->tools.max_runtime_ns / (double)NSEC_PER_SEC);
	connects_write_limits(writer, policy);
	bus_end(writer);
}

/* How its lives before this one went. */
static void write_restart(struct bus_writer *writer, const struct agent *agent)
{
	const struct policy_restart *rule = &agent->policy->restart;
	const struct restart *restart = agent->restart;

	if (!restart)
		return;
	bus_begin_dict(writer, "restart");
	bus_write_u64(writer, "starts", restart->starts);
	bus_write_u64(writer, "crashes", restart_count(restart, rule, manager_now_ns()));
	bus_write_u64(writer, "limit", or_unknown(rule->limit));
	if (restart->has_exit_code) {
		bus_write_u64(writer, "last_exit_code", (uint64_t)(restart->exit_code >> 8 & 0xff));
		bus_write_u64(writer, "last_exit_signal", (uint64_t)(restart->exit_code & 0x7f));
	}
	bus_write_bool(writer, "delayed", agent->thaw_ns);
	bus_end(writer);
}

int call_show(sd_bus_message *reply, const char *id, sd_bus_error *error, void *userdata)
{
	struct bus_writer writer = {.message = reply};
	struct manager *manager = userdata;
	const struct agent *agent, *parent;
	int r;

	r = call_find_agent(manager, id, &agent, error);
	if (r < 0)
		return r;
	manager_sample(manager);
	parent = state_agent_by_handle(manager->state, agent->parent);
	bus_begin_dict(&writer, NULL);
	agent_write(manager, &writer, agent);
	bus_write_string(&writer, "how", agent->how);
	/* Time since the host was started, with that in which it was suspended: since_s is without that. */
	bus_write_double(&writer, "started_boot_s", (double)agent->root_start_ticks / (double)sysconf(_SC_CLK_TCK));
	bus_write_string(&writer, "placement", placement_name(agent->placement));
	bus_write_string(&writer, "parent", parent ? parent->id : NULL);
	write_limits(&writer, agent->policy);
	write_restart(&writer, agent);
	tools_write(manager, &writer, agent);
	pressure_write(manager, &writer, agent);
	connects_write_sockets(manager, &writer, agent);
	connects_write_destinations(manager, &writer, agent);
	agent_write_leak(&writer, agent);
	activity_write(&writer, agent);
	agent_write_next(&writer, agent);
	bus_end(&writer);
	return writer.error;
}
