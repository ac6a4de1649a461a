/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "govd/manager.h"

/* One agent, with its limits and its tools. */

#define SHOW_PIDS_MAX 1024

static int add_limits(sd_bus_message *m, const struct policy *policy)
{
	const struct policy_limits *limits = &policy->limits;
	const struct {
		const char *name;
		uint64_t value; /* UINT64_MAX: none */
	} numbers[] = {
		{"memory_high_bytes", limits->memory_high_bytes},
		{"memory_max_bytes", limits->memory_max_bytes},
		{"swap_max_bytes", limits->swap_max_bytes},
		{"cpu_weight", limits->cpu_weight ? limits->cpu_weight : UINT64_MAX},
		{"cpu_max_pct", limits->cpu_max_pct ? limits->cpu_max_pct : UINT64_MAX},
		{"tasks_max", limits->tasks_max},
	};
	int r;

	r = bus_open_dict(m, "limits");
	for (size_t i = 0; r >= 0 && i < ELEMENTSOF(numbers); i++)
		r = bus_add_u64(m, numbers[i].name, numbers[i].value);
	return r < 0 ? r : bus_close_dict(m);
}

static int add_tool(sd_bus_message *m, const struct proc *proc)
{
	int r;

	r = sd_bus_message_open_container(m, 'a', "{sv}");
	if (r < 0)
		return r;
	r = bus_add_i64(m, "pid", proc->pid);
	if (r < 0)
		return r;
	r = bus_add_string(m, "exe", proc->exe);
	if (r < 0)
		return r;
	r = bus_add_string(m, "script", proc->script);
	if (r < 0)
		return r;
	return sd_bus_message_close_container(m);
}

/* The commands that the agent has started: children of its root, and orphans of theirs that are in its group still. */
static int add_tools(struct manager *manager, sd_bus_message *m, const struct agent *agent)
{
	_cleanup_free_ pid_t *pids = calloc(SHOW_PIDS_MAX, sizeof(*pids));
	ssize_t n = 0;
	int r;

	if (!pids)
		return -ENOMEM;
	if (agent->is_placed)
		n = groups_pids(manager->groups, agent->handle, pids, SHOW_PIDS_MAX);
	r = bus_open_list(m, "tools");
	if (r < 0)
		return r;
	for (ssize_t i = 0; i < MIN2(n, (ssize_t)SHOW_PIDS_MAX); i++) {
		struct proc proc, parent;

		if (pids[i] == agent->root_pid || procfs_read(manager->procfs, pids[i], &proc) < 0)
			continue;
		if (proc.ppid != agent->root_pid && procfs_read(manager->procfs, proc.ppid, &parent) == 0 &&
		    parent.cgroup_id == agent->cgroup_id)
			continue;
		/* Reading the parent has taken the reader's strings. */
		if (procfs_read(manager->procfs, pids[i], &proc) < 0)
			continue;
		r = add_tool(m, &proc);
		if (r < 0)
			return r;
	}
	return bus_close_list(m);
}

int call_show(sd_bus_message *reply, const char *id, sd_bus_error *error, void *userdata)
{
	struct manager *manager = userdata;
	const struct agent *agent, *parent;
	int r;

	r = call_find_agent(manager, id, &agent, error);
	if (r < 0)
		return r;
	manager_sample(manager);
	r = sd_bus_message_open_container(reply, 'a', "{sv}");
	if (r < 0)
		return r;
	r = agent_add_fields(manager, reply, agent);
	if (r < 0)
		return r;
	r = bus_add_string(reply, "how", agent->how);
	if (r < 0)
		return r;
	parent = state_agent_by_handle(manager->state, agent->parent);
	r = bus_add_string(reply, "parent", parent ? parent->id : NULL);
	if (r < 0)
		return r;
	r = add_limits(reply, agent->policy);
	if (r < 0)
		return r;
	r = add_tools(manager, reply, agent);
	if (r < 0)
		return r;
	r = agent_add_next(manager, reply, agent);
	if (r < 0)
		return r;
	return sd_bus_message_close_container(reply);
}
