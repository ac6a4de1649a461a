/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "govd/manager.h"

/* One agent, with its limits and its tools. */

#define SHOW_PIDS_MAX 1024

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
	connects_write_limits(writer, policy);
	bus_end(writer);
}

/* A child of the agent's root, or an orphan in its group: what the agent has started as a command. */
static bool is_tool(struct manager *manager, const struct agent *agent, pid_t pid)
{
	struct proc proc, parent;

	if (pid == agent->root_pid || procfs_read(manager->procfs, pid, &proc) < 0)
		return false;
	if (proc.ppid == agent->root_pid)
		return true;
	return procfs_read(manager->procfs, proc.ppid, &parent) < 0 || parent.cgroup_id != agent->cgroup_id;
}

static void write_tools(struct manager *manager, struct bus_writer *writer, const struct agent *agent)
{
	_cleanup_free_ pid_t *pids = calloc(SHOW_PIDS_MAX, sizeof(*pids));
	ssize_t n = 0;

	if (pids && agent->is_placed)
		n = groups_pids(manager->groups, agent->handle, pids, SHOW_PIDS_MAX);
	bus_begin_list(writer, "tools");
	for (ssize_t i = 0; i < MIN2(n, (ssize_t)SHOW_PIDS_MAX); i++) {
		struct proc proc;

		if (!is_tool(manager, agent, pids[i]) || procfs_read(manager->procfs, pids[i], &proc) < 0)
			continue;
		bus_begin_dict(writer, NULL);
		bus_write_i64(writer, "pid", proc.pid);
		bus_write_string(writer, "exe", proc.exe);
		bus_write_string(writer, "script", proc.script);
		bus_end(writer);
	}
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
	bus_write_string(&writer, "parent", parent ? parent->id : NULL);
	write_limits(&writer, agent->policy);
	write_tools(manager, &writer, agent);
	connects_write_sockets(manager, &writer, agent);
	connects_write_destinations(manager, &writer, agent);
	agent_write_leak(&writer, agent);
	agent_write_next(&writer, agent);
	bus_end(&writer);
	return writer.error;
}
