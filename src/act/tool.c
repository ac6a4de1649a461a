/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "act/tool.h"

#include <fcntl.h>

#include "base/file.h"

/* What is done to tools, and what is seen of them. */

static struct tool_group *find(struct groups *groups, const struct action *action)
{
	struct group *group = group_find(groups, action->agent);

	return group ? tool_group_find(group, &action->tool.id) : NULL;
}

static int memory_fd(const struct groups *groups, const struct tool_group *tool)
{
	return groups->layout.where[CONTROLLER_MEMORY] == WHERE_V2 ? tool->v2_fd : tool->v1_fd;
}

static void tell(struct groups *groups, const struct action *action, struct event *event, int error)
{
	event->kind = EVENT_TOOL_RESULT;
	event->time_ns = watch_now_ns();
	event->tool.agent = action->agent->handle;
	event->tool.id = action->tool.id;
	event->tool.action = action->kind;
	event->tool.error = -error;
	if (groups->events.done)
		groups->events.done(event, groups->events.userdata);
}

/*
 * v1 first: as long as the process isn't in the v2 group it carries the tool's number, and who it forks meanwhile is
 * told of and moved like itself.
 */
static int move_member(struct groups *groups, struct tool_group *tool, const struct action *action)
{
	uint64_t start_ticks = action->tool.start_ticks;
	_cleanup_close_ int pid_fd = -EBADF;
	struct process_stat stat;
	pid_t pid = action->tool.pid;
	int r;

	r = process_open(&groups->guard, pid, &start_ticks, &pid_fd);
	if (r < 0)
		return r;
	/* It has become another's meanwhile. */
	if (!group_has(groups, tool->group, pid))
		return -ESRCH;
	if (tool->v1_fd >= 0)
		r = tree_move(tool->v1_fd, pid);
	if (r == 0)
		r = tree_move(tool->v2_fd, pid);
	if (r < 0)
		return r;
	tool->is_occupied = true;
	if (process_is_there(pid_fd))
		return 0;
	/* Reaped meanwhile: its pid may have been another process's already when it was written. */
	if (process_read_stat(pid, &stat) == 0 && stat.start_ticks != start_ticks)
		groups->ops->evict(groups, pid, action->agent->origin);
	return -ESRCH;
}

int tool_place(struct groups *groups, const struct action *action)
{
	struct group *group = group_find(groups, action->agent);
	struct event event = {.kind = EVENT_TOOL_RESULT};
	struct tool_group *tool = NULL;
	bool is_new = group && !tool_group_find(group, &action->tool.id);
	int r = -ESRCH;

	if (group && group->v2_fd >= 0)
		r = tool_group_open(groups, group, &action->tool.id, action->tool.since_ns, action->agent->policy,
				    &tool);
	if (r == 0)
		r = move_member(groups, tool, action);
	/* EBUSY: who has ended has left children there. Where it was before, its emptiness is told. */
	if (r < 0 && tool && is_new) {
		if (tool_group_remove(groups, tool) == -EBUSY)
			r = 0;
		else
			tool_group_drop(groups, tool);
	}
	if (r == 0) {
		event.tool.cgroup_id = tool->cgroup_id;
		event.tool.memory_id = tool->memory_id;
		groups->counts.moved++;
		tool->is_occupied = true;
		/* It may have ended, as the last one, before is_occupied was set. */
		watch_check_tool(groups, tool);
	}
	tell(groups, action, &event, r);
	return r;
}

static int first_pid(pid_t pid, void *userdata)
{
	*(pid_t *)userdata = pid;
	return 1;
}

static void read_name(const struct tool_group *tool, char name[static TOOL_NAME_SIZE])
{
	pid_t pid = tool->id.pid;

	name[0] = '\0';
	if (!process_lives(pid, tool->id.start_ticks) && tree_pids(tool->v2_fd, first_pid, &pid) != 1)
		return;
	process_read_comm(pid, name, TOOL_NAME_SIZE);
}

/* As it is now: soon nobody will know. */
static void describe(const struct groups *groups, const struct tool_group *tool, struct event *event)
{
	int fd = memory_fd(groups, tool);

	event->tool.memory_bytes = UINT64_MAX;
	if (fd >= 0 && file_read_u64(fd,
				     groups->layout.where[CONTROLLER_MEMORY] == WHERE_V2 ? "memory.current"
											 : "memory.usage_in_bytes",
				     &event->tool.memory_bytes) < 0)
		event->tool.memory_bytes = UINT64_MAX;
	read_name(tool, event->tool.name);
}

int tool_signal(struct groups *groups, const struct action *action)
{
	struct event event = {.kind = EVENT_TOOL_RESULT};
	const struct tool_group *tool = find(groups, action);
	int r = -ESRCH;

	if (tool) {
		describe(groups, tool, &event);
		r = group_signal_dir(groups, tool->group, tool->v2_fd, action->tool.signal);
	}
	tell(groups, action, &event, r);
	return r;
}

int tool_end(struct groups *groups, const struct action *action)
{
	struct event event = {.kind = EVENT_TOOL_RESULT};
	const struct tool_group *tool = find(groups, action);
	size_t n;
	int r = -ESRCH;

	if (tool) {
		describe(groups, tool, &event);
		r = group_kill_dir(groups, tool->group, tool->v2_fd, &n);
	}
	tell(groups, action, &event, r);
	return r;
}

int tool_remove(struct groups *groups, const struct action *action)
{
	struct event event = {.kind = EVENT_TOOL_RESULT};
	struct tool_group *tool = find(groups, action);
	int r = 0;

	/* None: it has been removed before. */
	if (tool)
		r = tool_group_remove(groups, tool);
	if (tool && r == 0)
		tool_group_drop(groups, tool);
	else if (tool)
		/* Not empty after all: tell when it is. */
		tool->is_occupied = true;
	tell(groups, action, &event, r);
	return r;
}

/* ---- what is seen of them ---- */

int tool_group_of(const struct groups *groups, const struct group *group, pid_t pid, struct tool_id *ret_id)
{
	char proc_cgroup[PROC_CGROUP_SIZE], path[PATH_MAX], *name, *end;
	size_t slice = strlen(groups->slice_below), length = strlen(group->name);

	if (proc_cgroup_read(pid, proc_cgroup) < 0 ||
	    layout_path_of(&groups->layout.v2, proc_cgroup, path, sizeof(path)) < 0)
		return -ESRCH;
	if (strncmp(path, groups->slice_below, slice) != 0 || path[slice] != '/' ||
	    strncmp(path + slice + 1, group->name, length) != 0 || path[slice + 1 + length] != '/')
		return -ENOENT;
	name = path + slice + 1 + length + 1;
	end = strchrnul(name, '/');
	*end = '\0';
	return tool_name_parse(name, ret_id) ? 0 : -ENOENT;
}

int groups_tool_of(const struct groups *groups, uint64_t agent, pid_t pid, struct tool_id *ret_id)
{
	const struct group *group = idmap_get(&groups->by_agent, agent);

	return group ? tool_group_of(groups, group, pid, ret_id) : -ENOENT;
}

size_t groups_tools(const struct groups *groups, uint64_t agent, struct group_tool *tools, size_t max)
{
	const struct group *group = idmap_get(&groups->by_agent, agent);
	size_t n = 0;

	for (const struct tool_group *tool = group ? group->tools : NULL; tool && n < max; tool = tool->next)
		tools[n++] = (struct group_tool){tool->id, tool->since_ns, tool->cgroup_id, tool->memory_id};
	return n;
}

void groups_tool_name(const struct groups *groups, uint64_t agent, const struct tool_id *id,
		      char name[static TOOL_NAME_SIZE])
{
	const struct group *group = idmap_get(&groups->by_agent, agent);
	const struct tool_group *tool = group ? tool_group_find(group, id) : NULL;

	name[0] = '\0';
	if (tool)
		read_name(tool, name);
}

int groups_tool_stats(const struct groups *groups, uint64_t agent, const struct tool_id *id,
		      struct group_stats *ret_stats)
{
	const struct group *group = idmap_get(&groups->by_agent, agent);
	const struct tool_group *tool = group ? tool_group_find(group, id) : NULL;

	if (!tool)
		return -ENOENT;
	/* Its processes: the kernel's count has those, too, that have ended and that nobody has waited for. */
	stats_read(groups, tool->v2_fd, memory_fd(groups, tool), -1, ret_stats);
	return 0;
}
