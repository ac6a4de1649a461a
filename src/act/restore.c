/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <dirent.h>
#include <fcntl.h>
#include <sys/xattr.h>

#include "act/internal.h"
#include "act/saved.h"
#include "act/tool.h"
#include "base/file.h"
#include "base/text.h"

/* Finding what an earlier govd has left: the groups say themselves whose they are. */

static int state_read(int dir_fd, struct saved *ret_saved)
{
	char state[SAVED_SIZE];
	ssize_t n = fgetxattr(dir_fd, SAVED_XATTR, state, sizeof(state));

	return n < 0 ? -errno : saved_parse(state, (size_t)n, ret_saved);
}

static int first_pid(pid_t pid, void *userdata)
{
	*(pid_t *)userdata = pid;
	return 1;
}

static int count_pid(pid_t pid _unused_, void *userdata)
{
	++*(uint64_t *)userdata;
	return 0;
}

/*
 * The group's v1 directories: below our v1 slices or, when the earlier govd ran in another v1 group, where a member is.
 */
static void restore_v1(struct groups *groups, struct group *group)
{
	char proc_cgroup[PROC_CGROUP_SIZE], path[PATH_MAX];
	bool has_member = false;
	pid_t pid = 0;

	/* A tool's processes are in groups nested in them. */
	if (tree_own_pids(group_home(group), first_pid, &pid) == 1)
		has_member = proc_cgroup_read(pid, proc_cgroup) == 0;
	for (size_t i = 0; i < groups->layout.n_v1; i++) {
		const struct hierarchy *hierarchy = &groups->layout.v1[i];

		if (groups->v1_slice_fd[i] >= 0)
			group->v1_fd[i] = openat(groups->v1_slice_fd[i], group->name,
						 O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (group->v1_fd[i] < 0 && has_member &&
		    layout_path_of(hierarchy, proc_cgroup, path, sizeof(path)) == 0 &&
		    streq(text_basename(path), group->name) && hierarchy_open(hierarchy, path, &group->v1_fd[i]) < 0)
			group->v1_fd[i] = -EBADF;
	}
}

static void restore_root(struct groups *groups, struct group *group, const struct agent *agent)
{
	uint64_t start_ticks = agent->root_start_ticks;
	_cleanup_close_ int pid_fd = -EBADF;

	if (process_open(&groups->guard, agent->root_pid, &start_ticks, &pid_fd) == 0)
		group_set_root(group, agent->root_pid, pid_fd);
}

static int group_restore(struct groups *groups, const char *name, const char *nested_in, int *dir_fd,
			 const struct saved *saved)
{
	struct agent agent = saved->agent;
	char cgroup[AGENT_CGROUP_MAX];
	struct group *group;
	struct group_found found = {.saved = &agent, .policy = saved->policy, .restart_id = saved->restart_id};
	uint64_t freeze;
	int r;

	r = group_add(groups, 0, name, TAKE_FD(*dir_fd), &group);
	if (r < 0)
		return r;
	(void)!group_open_main(group);
	if (nested_in) {
		group->nested_in = strdup(nested_in);
		agent.placement = POLICY_PLACEMENT_NESTED;
		if (!group->nested_in) {
			group_drop(groups, group);
			return -ENOMEM;
		}
	} else {
		restore_v1(groups, group);
	}
	tool_groups_restore(groups, group);
	found.is_frozen = file_read_u64(group->v2_fd, "cgroup.freeze", &freeze) == 0 && freeze;
	found.is_frozen_briefly = found.is_frozen && group_was_frozen_briefly(group);
	found.is_populated = tree_read_flag(group->v2_fd, "cgroup.events", "populated") == 1;
	group->is_occupied = found.is_populated;
	agent.cgroup_id = group->cgroup_id;
	group_path(groups, group, cgroup);
	agent.cgroup = cgroup;
	found.root_lives = process_lives(agent.root_pid, agent.root_start_ticks);
	if (found.root_lives)
		restore_root(groups, group, &agent);
	if (found.is_populated) {
		watch_add(groups, group);
	} else {
		/* Told once, for the books, and swept away. */
		r = nested_in ? group_remove_dirs(groups, group) : groups->ops->remove_dirs(groups, group);
		group_drop(groups, group);
	}
	if (groups->events.found)
		groups->events.found(&found, groups->events.userdata);
	return r;
}

/* A directory of the v2 slice. */
static int restore_v2_dir(struct groups *groups, const char *name, int *dir_fd)
{
	_cleanup_free_ struct saved *saved = calloc(1, sizeof(*saved));
	uint64_t strangers = 0;

	if (!saved)
		return -ENOMEM;
	if (state_read(*dir_fd, saved) == 0)
		return group_restore(groups, name, NULL, dir_fd, saved);
	(void)tree_pids(*dir_fd, count_pid, &strangers);
	groups->counts.strangers += strangers;
	return strangers ? 0 : groups->ops->sweep(groups, name, *dir_fd);
}

int group_restore_nested(struct groups *groups, const char *name, const char *parent, int *dir_fd)
{
	_cleanup_free_ struct saved *saved = calloc(1, sizeof(*saved));
	int r;

	if (!saved)
		return -ENOMEM;
	r = state_read(*dir_fd, saved);
	return r < 0 ? r : group_restore(groups, name, parent, dir_fd, saved);
}

/* A directory of a v1 slice: without its v2 counterpart it is a leftover. */
static int restore_v1_dir(struct groups *groups, const char *name, int *dir_fd)
{
	uint64_t strangers = 0;

	if (faccessat(groups->slice_fd, name, F_OK, 0) == 0)
		return 0;
	(void)tree_pids(*dir_fd, count_pid, &strangers);
	groups->counts.strangers += strangers;
	return strangers ? 0 : tree_remove(*dir_fd, name);
}

static int slice_each(struct groups *groups, int slice_fd, int (*each)(struct groups *, const char *, int *))
{
	struct dirent *entry;
	int r, first = 0;
	DIR *dir;

	r = file_open_dir(slice_fd, ".", &dir);
	if (r < 0)
		return r;
	while ((entry = readdir(dir))) {
		_cleanup_close_ int dir_fd = -EBADF;

		if (entry->d_type != DT_DIR || streq(entry->d_name, ".") || streq(entry->d_name, ".."))
			continue;
		dir_fd = openat(slice_fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (dir_fd < 0)
			continue;
		r = each(groups, entry->d_name, &dir_fd);
		if (r < 0 && first == 0)
			first = r;
	}
	closedir(dir);
	return first;
}

int groups_restore(struct groups *groups)
{
	int first, r;

	first = groups->ops->settle ? groups->ops->settle(groups) : 0;
	r = slice_each(groups, groups->slice_fd, restore_v2_dir);
	if (first == 0)
		first = r;
	for (size_t i = 0; i < groups->layout.n_v1; i++) {
		if (groups->v1_slice_fd[i] < 0)
			continue;
		r = slice_each(groups, groups->v1_slice_fd[i], restore_v1_dir);
		if (first == 0)
			first = r;
	}
	r = nested_restore(groups);
	return first ? first : r;
}
