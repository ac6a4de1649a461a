/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "act/internal.h"
#include "act/saved.h"
#include "act/tool.h"
#include "base/text.h"

/*
 * Placing. The v2 move comes as early as it can, since it is the identity: the directory, the state, v2 limits, the
 * move (some 70 us in all; 8..15 ms when no other move was a moment ago: an RCU grace period that the v1 moves then
 * don't pay again). Then each v1 group: the directory, its limits, the move.
 */

#define SETTLE_PASSES_MAX 16
#define SETTLE_KNOWN_MAX 64

int group_save(int dir_fd, const struct agent *agent)
{
	char state[SAVED_SIZE];
	size_t length = saved_format(agent, state);

	return fsetxattr(dir_fd, SAVED_XATTR, state, length, 0) < 0 ? -errno : 0;
}

int group_save_again(struct groups *groups, const struct action *action)
{
	const struct group *group = group_find(groups, action->agent);

	return group && group->v2_fd >= 0 ? group_save(group->v2_fd, action->agent) : -ESRCH;
}

int group_fresh_dir(int slice_fd, const char *name, int *ret_fd)
{
	int fd;

	if (mkdirat(slice_fd, name, 0755) < 0) {
		if (errno != EEXIST)
			return -errno;
		if (unlinkat(slice_fd, name, AT_REMOVEDIR) < 0)
			return -EEXIST;
		if (mkdirat(slice_fd, name, 0755) < 0)
			return -errno;
	}
	fd = openat(slice_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}

static int group_make(struct groups *groups, const struct agent *agent, const char *origin, struct group **ret_group)
{
	struct agent saved = *agent;
	char name[GROUP_NAME_MAX];
	int fd = -EBADF, r;

	if ((size_t)snprintf(name, sizeof(name), "%s-%s", agent->policy->name, agent->id) >= sizeof(name))
		return -ENAMETOOLONG;
	r = group_fresh_dir(groups->slice_fd, name, &fd);
	if (r < 0)
		return r;
	saved.origin = origin;
	r = group_save(fd, &saved);
	if (r >= 0)
		r = limit_apply(groups, fd, WHERE_V2, &agent->policy->limits, true);
	if (r >= 0)
		r = group_add(groups, agent->handle, name, TAKE_FD(fd), ret_group);
	if (r < 0) {
		close_p(&fd);
		unlinkat(groups->slice_fd, name, AT_REMOVEDIR);
	}
	return r;
}

static int group_move_v1(struct groups *groups, struct group *group, pid_t pid)
{
	int first = 0, memory = groups->layout.where[CONTROLLER_MEMORY];
	struct tool_id tool;

	for (size_t i = 0; i < groups->layout.n_v1; i++) {
		int r = 0;

		/* A tool's processes are in its own group there. */
		if (group->v1_fd[i] >= 0 &&
		    !(group->tools && memory == (int)i && tool_group_of(groups, group, pid, &tool) == 0))
			r = tree_move(group->v1_fd[i], pid);

		if (r < 0 && first == 0)
			first = r;
	}
	return first;
}

static int group_open_v1(struct groups *groups, struct group *group, const struct policy_limits *limits)
{
	for (size_t i = 0; i < groups->layout.n_v1; i++) {
		int r;

		if (groups->v1_slice_fd[i] < 0 || !limit_needs(&groups->layout.v1[i], limits))
			continue;
		r = native_open_v1(groups, group, i, limits);
		if (r < 0)
			return r;
	}
	return 0;
}

struct settle {
	struct groups *groups;
	struct group *group;
	pid_t known[SETTLE_KNOWN_MAX];
	size_t n_known, seen;
	bool is_settled;
	int error;
};

static int settle_pid(pid_t pid, void *userdata)
{
	struct settle *settle = userdata;
	int r;

	settle->seen++;
	for (size_t i = 0; i < settle->n_known; i++)
		if (settle->known[i] == pid)
			return 0;
	settle->is_settled = false;
	if (settle->n_known < SETTLE_KNOWN_MAX)
		settle->known[settle->n_known++] = pid;
	r = group_move_v1(settle->groups, settle->group, pid);
	if (r < 0 && r != -ESRCH)
		settle->error = r;
	return 0;
}

/*
 * Who was forked between the v2 move and the v1 moves is in the v2 group alone: into the v1 groups as well, until a
 * pass meets nobody new. known: a process that is in all of them; 0: none is. -ESRCH: the group is empty.
 */
static int group_settle(struct groups *groups, struct group *group, pid_t known)
{
	struct settle settle = {.groups = groups, .group = group};

	if (known)
		settle.known[settle.n_known++] = known;
	for (unsigned i = 0; i < SETTLE_PASSES_MAX && !settle.is_settled; i++) {
		int r;

		settle.is_settled = true;
		settle.seen = 0;
		r = tree_pids(group->v2_fd, settle_pid, &settle);
		if (r < 0)
			return r;
	}
	return settle.seen == 0 ? -ESRCH : settle.error;
}

/* Moves the root; on failure the caller dissolves the group. */
static int place_root(struct groups *groups, struct group *group, const struct action *action, pid_t pid)
{
	int r;

	r = tree_move(group_home(group), pid);
	if (r < 0)
		return r;
	r = group_open_v1(groups, group, &action->agent->policy->limits);
	if (r < 0)
		return r;
	r = group_move_v1(groups, group, pid);
	/* ESRCH: it has ended, but may have left children in the group. */
	if (r < 0 && r != -ESRCH)
		return r;
	r = group_settle(groups, group, pid);
	if (r < 0)
		return r;
	if (group->watch < 0)
		watch_add(groups, group);
	return 0;
}

/* On failure nothing is left: the processes are where they came from, the directories are gone. */
static int place(struct groups *groups, const struct action *action, struct group **ret_group,
		 char origin[static AGENT_CGROUP_MAX])
{
	const struct agent *agent = action->agent;
	char proc_cgroup[PROC_CGROUP_SIZE];
	uint64_t start_ticks = action->process.start_ticks;
	_cleanup_close_ int pid_fd = -EBADF;
	struct group *group = group_find(groups, agent);
	int r;

	r = group_open_process(groups, group, action->process.pid, &start_ticks, &pid_fd);
	if (r < 0)
		return r;
	r = proc_cgroup_read(action->process.pid, proc_cgroup);
	if (r < 0)
		return r;
	if (group && !str_empty(agent->origin))
		/* A retry: it is in the group by now. */
		text_copy(origin, AGENT_CGROUP_MAX, agent->origin);
	else
		origin_format(&groups->layout, proc_cgroup, origin);
	if (!group) {
		r = group_make(groups, agent, origin, &group);
		if (r < 0)
			return r;
	}
	/* Without controllers tools have no limits, and are told apart still. */
	if (policy_has_tools(agent->policy) && group_split(groups, group, agent->policy) < 0)
		groups->counts.degraded++;
	r = place_root(groups, group, action, action->process.pid);
	/* Reaped meanwhile: its pid may have been another process's already when it was written. */
	if (r == 0 && !process_is_there(pid_fd))
		r = group_evict(groups, group, action->process.pid, start_ticks, origin);
	if (r < 0) {
		(void)group_dissolve(groups, group, origin);
		return r;
	}
	group->is_occupied = true;
	group_set_root(group, action->process.pid, pid_fd);
	*ret_group = group;
	return 0;
}

int native_place(struct groups *groups, const struct action *action)
{
	char origin[AGENT_CGROUP_MAX];
	struct group *group = NULL;
	struct action placed = *action;
	int r;

	if (!placed.process.pid) {
		placed.process.pid = action->agent->root_pid;
		placed.process.start_ticks = action->agent->root_start_ticks;
	}
	if (placed.agent->placement == POLICY_PLACEMENT_NESTED)
		return nested_place(groups, &placed);
	r = place(groups, &placed, &group, origin);
	if (r < 0) {
		groups_tell(groups, &placed, r);
		return r;
	}
	groups->counts.placed++;
	/* It may have ended before there was a watch. */
	watch_check_soon(groups, group);
	groups_tell_placed(groups, action->agent->handle, placed.process.pid, origin);
	return 0;
}

/*
 * v1 first: as long as the process isn't in the v2 group its mark is alive, and who it forks meanwhile is reported and
 * moved like itself.
 */
int native_move(struct groups *groups, const struct action *action)
{
	uint64_t start_ticks = action->process.start_ticks;
	_cleanup_close_ int pid_fd = -EBADF;
	struct group *group = group_find(groups, action->agent);
	pid_t pid = action->process.pid;
	int r, v1;

	r = group_open_process(groups, group, pid, &start_ticks, &pid_fd);
	if (r < 0)
		return r;
	if (!group || group->v2_fd < 0)
		return -ESRCH;
	v1 = group_move_v1(groups, group, pid);
	r = tree_move(group_home(group), pid);
	if (r < 0)
		return r;
	if (!process_is_there(pid_fd))
		return group_evict(groups, group, pid, start_ticks, action->agent->origin);
	group->is_occupied = true;
	groups->counts.moved++;
	/* It may have ended, as the last one, before is_occupied was set. */
	watch_check_soon(groups, group);
	return v1;
}

int native_limit_tools(struct groups *groups, struct group *group, const struct policy *policy)
{
	int r = 0;

	/* Those that it has been given under another policy stay. */
	if (group->home_fd >= 0 || (policy_has_tools(policy) && !group->nested_in))
		r = group_split(groups, group, policy);
	return r < 0 ? r : tool_groups_limit(groups, group, policy);
}

int native_limit(struct groups *groups, const struct action *action)
{
	struct group *group = group_find(groups, action->agent);
	struct policy_limits limits;
	bool is_new = false;
	int r, first;

	if (!group || group->v2_fd < 0)
		return -ESRCH;
	ladder_limits(action->agent, &limits);
	first = limit_apply(groups, group->v2_fd, WHERE_V2, &limits, false);
	for (size_t i = 0; i < groups->layout.n_v1; i++) {
		if (group->v1_fd[i] >= 0) {
			r = limit_apply(groups, group->v1_fd[i], (int)i, &limits, false);
		} else if (!group->nested_in && groups->v1_slice_fd[i] >= 0 &&
			   limit_needs(&groups->layout.v1[i], &limits)) {
			r = native_open_v1(groups, group, i, &limits);
			is_new = true;
		} else {
			r = 0;
		}
		if (r < 0 && first == 0)
			first = r;
	}
	r = native_limit_tools(groups, group, action->agent->policy);
	if (r < 0 && first == 0)
		first = r;
	if (is_new) {
		r = group_settle(groups, group, 0);
		if (r < 0 && r != -ESRCH && first == 0)
			first = r;
	}
	return first;
}
