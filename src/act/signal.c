/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <signal.h>
#include <sys/xattr.h>

#include "act/internal.h"
#include "base/file.h"

/* What is done to running agents: freeze, thaw, signals, the end. */

#define KILL_PASSES 4

/* On the group as long as a freeze is one that govd ends by itself: should it die, the next one thaws it. */
#define BRIEF_XATTR "trusted.govd.brief"

bool group_was_frozen_briefly(const struct group *group)
{
	return fgetxattr(group->v2_fd, BRIEF_XATTR, NULL, 0) >= 0;
}

static int brief_set(const struct group *group, bool is_brief)
{
	int r = is_brief ? fsetxattr(group->v2_fd, BRIEF_XATTR, "1", 1, 0) : fremovexattr(group->v2_fd, BRIEF_XATTR);

	return r < 0 && errno != ENODATA ? -errno : 0;
}

static int freeze_group(const struct group *group, bool is_brief)
{
	/* First, so that there is no moment in which it is frozen for ever. */
	int r = brief_set(group, is_brief);

	return r < 0 ? r : tree_freeze(group->v2_fd, true);
}

static int thaw_group(const struct group *group)
{
	int r = tree_freeze(group->v2_fd, false);

	if (r == 0)
		(void)!brief_set(group, false);
	return r;
}

int group_freeze_briefly(const struct group *group, bool on)
{
	return on ? freeze_group(group, true) : thaw_group(group);
}

int group_freeze(struct groups *groups, const struct action *action)
{
	struct group *group = group_find(groups, action->agent);
	int r = group && group->v2_fd >= 0 ? freeze_group(group, action->is_brief) : -ESRCH;

	if (r < 0) {
		groups_tell(groups, action, r);
		return r;
	}
	watch_freeze(groups, group);
	return 0;
}

int group_thaw(struct groups *groups, const struct action *action)
{
	struct group *group = group_find(groups, action->agent);
	int r;

	r = group && group->v2_fd >= 0 ? thaw_group(group) : -ESRCH;
	if (r == 0 && group->freeze_deadline_ns)
		watch_freeze_cancel(groups, group);
	groups_tell(groups, action, r);
	return r;
}

int group_signal(struct groups *groups, const struct action *action)
{
	const struct group *group = action->agent ? group_find(groups, action->agent) : NULL;
	uint64_t start_ticks = action->process.start_ticks;
	_cleanup_close_ int pid_fd = -EBADF;
	int r;

	r = group_open_process(groups, group, action->process.pid, &start_ticks, &pid_fd);
	return r < 0 ? r : process_signal(pid_fd, action->process.signal);
}

struct volley {
	struct groups *groups;
	const struct group *group;
	int number, error;
};

/* Asked after the pidfd is open: whoever has the pid by then is the one that the signal goes to. */
bool group_has(const struct groups *groups, const struct group *group, pid_t pid)
{
	char proc_cgroup[PROC_CGROUP_SIZE], path[PATH_MAX];

	if (proc_cgroup_read(pid, proc_cgroup) < 0 ||
	    layout_path_of(&groups->layout.v2, proc_cgroup, path, sizeof(path)) < 0)
		return false;
	return group_holds(groups, group, path);
}

static int signal_pid(pid_t pid, void *userdata)
{
	struct volley *volley = userdata;
	_cleanup_close_ int pid_fd = -EBADF;
	uint64_t start_ticks = 0;
	int r;

	r = process_open(&volley->groups->guard, pid, &start_ticks, &pid_fd);
	if (r == 0 && group_has(volley->groups, volley->group, pid))
		r = process_signal(pid_fd, volley->number);
	if (r < 0 && r != -ESRCH && volley->error == 0)
		volley->error = r;
	return 0;
}

int group_signal_dir(struct groups *groups, const struct group *group, int dir_fd, int number)
{
	struct volley volley = {.groups = groups, .group = group, .number = number};
	int r = tree_pids(dir_fd, signal_pid, &volley);

	return r < 0 ? r : volley.error;
}

int group_signal_all(struct groups *groups, const struct action *action)
{
	const struct group *group = group_find(groups, action->agent);

	if (!group || group->v2_fd < 0)
		return -ESRCH;
	return group_signal_dir(groups, group, group->v2_fd, action->process.signal);
}

struct tally {
	const struct process_guard *guard;
	size_t n, n_guarded;
};

static int tally_pid(pid_t pid, void *userdata)
{
	struct tally *tally = userdata;

	if (process_is_guarded_now(tally->guard, pid))
		tally->n_guarded++;
	else
		tally->n++;
	return 0;
}

/*
 * Who has moved govd or an ancestor of it into the group doesn't save the group by that: all others are killed one by
 * one. What is born between the passes is left for the next try.
 */
static int kill_unguarded(struct groups *groups, const struct group *group, int dir_fd)
{
	struct volley volley = {.groups = groups, .group = group, .number = SIGKILL};

	for (unsigned pass = 0; pass < KILL_PASSES; pass++) {
		int r = tree_pids(dir_fd, signal_pid, &volley);

		if (r < 0)
			return r;
	}
	return -EPERM;
}

/* A root that runs as root may have left for another group; by its pidfd the signal can't reach anybody else. */
static void kill_root_outside(struct groups *groups, const struct group *group, const struct agent *agent)
{
	uint64_t start_ticks = agent->root_start_ticks;
	_cleanup_close_ int pid_fd = -EBADF;

	if (agent->has_root && group_open_process(groups, group, agent->root_pid, &start_ticks, &pid_fd) == 0 &&
	    !group_has(groups, group, agent->root_pid))
		(void)!process_signal(pid_fd, SIGKILL);
}

int group_kill_dir(struct groups *groups, const struct group *group, int dir_fd, size_t *ret_killed)
{
	struct tally tally = {.guard = &groups->guard};
	int r = tree_pids(dir_fd, tally_pid, &tally);

	if (r < 0)
		return r;
	/* Kills what is frozen, too, and what forks at the same moment: cgroup-v2.rst, cgroup.kill. */
	r = tally.n_guarded ? kill_unguarded(groups, group, dir_fd) : file_write(dir_fd, "cgroup.kill", "1");
	if (r == 0)
		*ret_killed = tally.n;
	return r;
}

int group_kill(struct groups *groups, const struct action *action)
{
	struct group *group = group_find(groups, action->agent);
	struct event event = {.kind = EVENT_RESULT};
	size_t killed = 0;
	int r = -ESRCH;

	if (group && group->v2_fd >= 0) {
		if (action->is_again)
			group_look_left(group->v2_fd, &event.result.left);
		/* First, so that it doesn't learn of the end of the others. */
		kill_root_outside(groups, group, action->agent);
		r = group_kill_dir(groups, group, group->v2_fd, &killed);
	}
	event.result.action = ACTION_KILL;
	event.result.agent = action->agent->handle;
	event.result.error = -r;
	event.result.killed = killed;
	groups_tell_event(groups, &event);
	return r;
}

int group_forget(struct groups *groups, const struct action *action)
{
	struct group *group = idmap_get(&groups->by_agent, action->agent->handle);

	if (group)
		group_drop(groups, group);
	return 0;
}
