/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/tool.h"

#include "core/match.h"
#include "govd/manager.h"

/* Tools: who is with the root and belongs to one, what they weigh, and what people see of them. */

#define HOME_MAX 4096 /* processes of one agent that are in no tool's group */
#define SHOW_PIDS_MAX 1024
#define ANCESTORS_MAX 64

/* ---- events ---- */

void tools_empty(uint64_t agent, const struct tool_id *tool, void *userdata)
{
	struct event event = {.kind = EVENT_TOOL_EMPTY};
	struct manager *manager = userdata;

	/* How it ended comes first. */
	if (!manager->is_dispatching)
		manager_drain_ring(manager);
	event.tool.agent = agent;
	event.tool.id = *tool;
	manager_dispatch(manager, &event);
}

void tools_found(struct manager *manager, const struct agent *agent)
{
	struct group_tool tools[TOOLS_MAX];
	struct event event = {.kind = EVENT_TOOL_FOUND};
	size_t n = groups_tools(manager->groups, agent->handle, tools, TOOLS_MAX);

	event.tool.agent = agent->handle;
	for (size_t i = 0; i < n; i++) {
		event.tool.id = tools[i].id;
		event.tool.since_ns = tools[i].since_ns;
		event.tool.cgroup_id = tools[i].cgroup_id;
		event.tool.memory_id = tools[i].memory_id;
		manager_dispatch(manager, &event);
	}
}

void tools_weigh(struct manager *manager, const struct action *action)
{
	const struct agent *agent = action->agent;
	struct event event = {.kind = EVENT_TOOL_SAMPLE};
	struct group_stats stats;

	event.tool.agent = agent->handle;
	for (size_t i = 0; agent->tools && i < agent->tools->n; i++) {
		event.tool.id = agent->tools->items[i].id;
		if (groups_tool_stats(manager->groups, agent->handle, &event.tool.id, &stats) < 0)
			continue;
		event.tool.memory_bytes = stats.memory_bytes;
		manager_enqueue(manager, &event);
	}
	event.kind = EVENT_TOOL_WEIGHED;
	manager_enqueue(manager, &event);
}

/* ---- a look ---- */

/*
 * The tool of a process that is with the root: that of the nearest ancestor in one, or a new one, begun by the last
 * ancestor before the root, or before those who are outside: what has lost its parents.
 */
static int tool_of(struct manager *manager, const struct agent *agent, pid_t pid, struct tool_id *ret_id)
{
	struct tool_id id = {.pid = pid};
	struct proc proc;
	int r;

	for (unsigned depth = 0; depth < ANCESTORS_MAX; depth++) {
		if (depth && groups_tool_of(manager->groups, agent->handle, pid, ret_id) == 0)
			return 0;
		r = procfs_read(manager->procfs, pid, &proc);
		if (r < 0 && !depth)
			return r;
		if (r < 0 || proc.pid == agent->root_pid || proc.cgroup_id != agent->cgroup_id)
			break;
		id = (struct tool_id){pid, proc.start_ticks};
		pid = proc.ppid;
	}
	*ret_id = id;
	return id.start_ticks ? 0 : -ESRCH;
}

static bool look_at(struct manager *manager, const struct agent *agent, pid_t pid)
{
	struct event event = {.kind = EVENT_FORK};
	struct proc proc;

	if (pid == agent->root_pid || procfs_read(manager->procfs, pid, &proc) < 0 ||
	    proc.cgroup_id != agent->cgroup_id || match_is_protected(manager->policies, &proc))
		return false;
	event.fork.pid = pid;
	event.fork.ppid = proc.ppid;
	event.fork.start_ticks = proc.start_ticks;
	event.fork.agent = agent->handle;
	event.fork.cgroup_id = proc.cgroup_id;
	if (tool_of(manager, agent, pid, &event.fork.of) < 0)
		return false;
	manager_enqueue(manager, &event);
	return true;
}

void tools_look_at(struct manager *manager, const struct action *action)
{
	_cleanup_free_ pid_t *pids = calloc(HOME_MAX, sizeof(*pids));
	struct event end = {.kind = EVENT_TOOL_LOOKED};
	ssize_t n = pids ? groups_home_pids(manager->groups, action->agent->handle, pids, HOME_MAX) : -ENOMEM;

	if (n < 0)
		manager->counts.actions_failed++;
	for (ssize_t i = 0; i < MIN2(n, (ssize_t)HOME_MAX); i++)
		end.tool.found += look_at(manager, action->agent, pids[i]);
	end.tool.agent = action->agent->handle;
	manager_enqueue(manager, &end);
}

/* ---- for people ---- */

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

static void write_process(struct manager *manager, struct bus_writer *writer, pid_t pid, uint64_t start_ticks)
{
	struct proc proc;

	if (procfs_read(manager->procfs, pid, &proc) < 0 || (start_ticks && proc.start_ticks != start_ticks))
		return;
	bus_write_string(writer, "exe", proc.exe);
	bus_write_string(writer, "script", proc.script);
}

static void write_tool(struct manager *manager, struct bus_writer *writer, const struct agent *agent,
		       const struct tool *tool)
{
	uint64_t now_ns = manager_now_ns();
	struct group_stats stats;
	char name[TOOL_NAME_SIZE];

	if (groups_tool_stats(manager->groups, agent->handle, &tool->id, &stats) < 0)
		return;
	groups_tool_name(manager->groups, agent->handle, &tool->id, name);
	bus_begin_dict(writer, NULL);
	bus_write_i64(writer, "pid", tool->id.pid);
	bus_write_string(writer, "name", name);
	write_process(manager, writer, tool->id.pid, tool->id.start_ticks);
	bus_write_double(writer, "since_s", (double)(now_ns - MIN2(now_ns, tool->since_ns)) / (double)NSEC_PER_SEC);
	bus_write_u64(writer, "memory_bytes", stats.memory_bytes);
	bus_write_u64(writer, "memory_max_bytes", stats.memory_max_bytes);
	if (stats.cpu_ns != UINT64_MAX)
		bus_write_double(writer, "cpu_s", (double)stats.cpu_ns / (double)NSEC_PER_SEC);
	bus_write_u64(writer, "tasks", stats.tasks);
	bus_end(writer);
}

/* Without groups of their own nothing more is known of them. */
static void write_ungrouped(struct manager *manager, struct bus_writer *writer, const struct agent *agent)
{
	_cleanup_free_ pid_t *pids = calloc(SHOW_PIDS_MAX, sizeof(*pids));
	char name[TOOL_NAME_SIZE];
	ssize_t n = 0;

	if (pids && agent->is_placed)
		n = groups_pids(manager->groups, agent->handle, pids, SHOW_PIDS_MAX);
	for (ssize_t i = 0; i < MIN2(n, (ssize_t)SHOW_PIDS_MAX); i++) {
		if (!is_tool(manager, agent, pids[i]))
			continue;
		bus_begin_dict(writer, NULL);
		bus_write_i64(writer, "pid", pids[i]);
		if (procfs_comm(pids[i], name, sizeof(name)) == 0)
			bus_write_string(writer, "name", name);
		write_process(manager, writer, pids[i], 0);
		bus_end(writer);
	}
}

void tools_write(struct manager *manager, struct bus_writer *writer, const struct agent *agent)
{
	bus_begin_list(writer, "tools");
	if (agent->is_placed && agent_has_tools(agent)) {
		for (size_t i = 0; agent->tools && i < agent->tools->n; i++)
			write_tool(manager, writer, agent, &agent->tools->items[i]);
	} else {
		write_ungrouped(manager, writer, agent);
	}
	bus_end(writer);
	if (agent->tools && agent->tools->missed)
		bus_write_u64(writer, "tools_missed", agent->tools->missed);
}
