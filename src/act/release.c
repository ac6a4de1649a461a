/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "act/internal.h"
#include "act/saved.h"
#include "act/tool.h"
#include "base/text.h"

/* Letting an agent go, and removing what it was in. */

#define DISSOLVE_PASSES_MAX 200
#define DISSOLVE_PASSES_FREE 4 /* from then on the group is frozen: who leaves it runs on */

struct exits {
	struct groups *groups;
	/* Where to, and where to if that refuses: govd's own groups. */
	int v2_fd, v2_own_fd;
	int v1_fd[HIERARCHIES_V1], v1_own_fd[HIERARCHIES_V1];
	int from_v1; /* of which hierarchy the processes are listed; -1: v2, moves all */
	size_t seen;
	int error;
};

/* What passes controllers on takes no processes: who was in it before it did goes to where the others have gone. */
static void origin_enter_main(const struct groups *groups, char path[static PATH_MAX], int *fd)
{
	size_t slice = strlen(groups->slice_below), length = strlen(path);
	int main_fd;

	if (strncmp(path, groups->slice_below, slice) != 0 || path[slice] != '/' ||
	    (size_t)snprintf(path + length, PATH_MAX - length, "/" TOOL_MAIN) >= PATH_MAX - length ||
	    hierarchy_open(&groups->layout.v2, path, &main_fd) < 0) {
		path[length] = '\0';
		return;
	}
	close_p(fd);
	*fd = main_fd;
}

int origin_open(const struct groups *groups, const struct hierarchy *hierarchy, char path[static PATH_MAX], int *ret_fd)
{
	char *base = (char *)text_basename(path);
	struct tool_id tool;
	int fd, r;

	r = hierarchy_open(hierarchy, path, &fd);
	/* A tool's group may have gone since: then it is where the agent is that the tool was of. */
	if (r < 0 && base != path && (tool_name_parse(base, &tool) || streq(base, TOOL_MAIN))) {
		base[-1] = '\0';
		r = hierarchy_open(hierarchy, path, &fd);
	}
	if (r < 0)
		return r;
	if (hierarchy == &groups->layout.v2)
		origin_enter_main(groups, path, &fd);
	*ret_fd = fd;
	return 0;
}

static void exits_open_one(const struct groups *groups, const struct hierarchy *hierarchy, const char *origin,
			   int *ret_fd, int *ret_own_fd)
{
	char path[PATH_MAX];

	if (origin_path(origin, hierarchy, path, sizeof(path)) < 0 || origin_open(groups, hierarchy, path, ret_fd) < 0)
		*ret_fd = -EBADF;
	if (hierarchy_open(hierarchy, hierarchy->own, ret_own_fd) < 0)
		*ret_own_fd = -EBADF;
}

static void exits_open(struct exits *exits, struct groups *groups, const char *origin)
{
	exits->groups = groups;
	exits_open_one(groups, &groups->layout.v2, origin, &exits->v2_fd, &exits->v2_own_fd);
	for (size_t i = 0; i < HIERARCHIES_V1; i++) {
		exits->v1_fd[i] = exits->v1_own_fd[i] = -EBADF;
		if (i < groups->layout.n_v1)
			exits_open_one(groups, &groups->layout.v1[i], origin, &exits->v1_fd[i], &exits->v1_own_fd[i]);
	}
}

static void exits_close(struct exits *exits)
{
	close_p(&exits->v2_fd);
	close_p(&exits->v2_own_fd);
	for (size_t i = 0; i < HIERARCHIES_V1; i++) {
		close_p(&exits->v1_fd[i]);
		close_p(&exits->v1_own_fd[i]);
	}
}

static int exit_move(int fd, int own_fd, pid_t pid)
{
	int r = fd >= 0 ? tree_move(fd, pid) : -ENOENT;

	/* Gone, or a v2 group that passes controllers on (EBUSY) or is threaded (EOPNOTSUPP). */
	if (r < 0 && r != -ESRCH && own_fd >= 0)
		r = tree_move(own_fd, pid);
	return r;
}

static int exits_move(pid_t pid, void *userdata)
{
	struct exits *exits = userdata;
	int r;

	exits->seen++;
	for (size_t i = 0; i < exits->groups->layout.n_v1; i++) {
		if (exits->from_v1 >= 0 && exits->from_v1 != (int)i)
			continue;
		r = exit_move(exits->v1_fd[i], exits->v1_own_fd[i], pid);
		if (r < 0 && r != -ESRCH)
			exits->error = r;
	}
	if (exits->from_v1 >= 0)
		return 0;
	r = exit_move(exits->v2_fd, exits->v2_own_fd, pid);
	if (r < 0 && r != -ESRCH)
		exits->error = r;
	return 0;
}

static int group_empty_out(struct groups *groups, struct group *group, const char *origin)
{
	struct exits exits = {0};
	bool is_frozen = false;

	exits_open(&exits, groups, origin);
	for (unsigned pass = 0; pass < DISSOLVE_PASSES_MAX; pass++) {
		exits.seen = 0;
		exits.error = 0;
		exits.from_v1 = -1;
		if (pass == DISSOLVE_PASSES_FREE)
			is_frozen = group_freeze_briefly(group, true) == 0;
		if (group->v2_fd >= 0)
			(void)tree_pids(group->v2_fd, exits_move, &exits);
		for (size_t i = 0; i < groups->layout.n_v1; i++) {
			exits.from_v1 = (int)i;
			if (group->v1_fd[i] >= 0)
				(void)tree_pids(group->v1_fd[i], exits_move, &exits);
		}
		if (exits.seen == 0 || exits.error < 0)
			break;
	}
	if (is_frozen)
		(void)!group_freeze_briefly(group, false);
	exits_close(&exits);
	if (exits.error < 0)
		return exits.error;
	return exits.seen ? -EBUSY : 0;
}

int group_remove_dirs(struct groups *groups, struct group *group)
{
	int first = 0, r;

	if (group->v2_fd >= 0) {
		watch_remove(groups, group);
		first = tree_remove(group->v2_fd, group->name);
		if (first == 0)
			close_p(&group->v2_fd);
		else
			watch_add(groups, group);
	}
	for (size_t i = 0; i < HIERARCHIES_V1; i++) {
		if (group->v1_fd[i] < 0)
			continue;
		r = tree_remove(group->v1_fd[i], group->name);
		if (r == 0)
			close_p(&group->v1_fd[i]);
		else if (first == 0)
			first = r;
	}
	return first;
}

int group_dissolve(struct groups *groups, struct group *group, const char *origin)
{
	int r;

	if (group->v2_fd >= 0)
		(void)!tree_freeze(group->v2_fd, false);
	r = group_empty_out(groups, group, origin);
	if (r < 0)
		return r;
	r = group_remove_dirs(groups, group);
	if (r == 0)
		group_drop(groups, group);
	return r;
}

static void limits_lift(struct groups *groups, struct group *group)
{
	if (group->v2_fd >= 0)
		(void)limit_apply(groups, group->v2_fd, WHERE_V2, &limit_none, false);
	for (size_t i = 0; i < groups->layout.n_v1; i++)
		if (group->v1_fd[i] >= 0)
			(void)limit_apply(groups, group->v1_fd[i], (int)i, &limit_none, false);
}

int native_release(struct groups *groups, const struct action *action)
{
	struct group *group = group_find(groups, action->agent);
	int r = 0;

	/* No group: it has been let go before. */
	if (group) {
		group->freeze_deadline_ns = 0;
		limits_lift(groups, group);
		r = group_dissolve(groups, group, action->agent->origin);
	}
	groups_tell(groups, action, r);
	return r;
}

int native_remove(struct groups *groups, const struct action *action)
{
	struct group *group = group_find(groups, action->agent);
	int r = 0;

	/* No group: it has been removed before. */
	if (group) {
		r = group_remove_dirs(groups, group);
		if (r == 0)
			group_drop(groups, group);
		else if (r == -EBUSY && group->v2_fd < 0)
			/* Nobody of the agent is left, yet somebody is in its v1 groups: not ours to end. */
			r = group_dissolve(groups, group, action->agent->origin);
		else if (group->v2_fd >= 0 && tree_read_flag(group->v2_fd, "cgroup.events", "populated") == 1)
			/* Not empty after all: tell when it is. */
			group->is_occupied = true;
	}
	groups_tell(groups, action, r);
	return r;
}

void native_evict_pid(struct groups *groups, pid_t pid, const char *origin)
{
	struct exits exits = {.from_v1 = -1};

	exits_open(&exits, groups, origin);
	exits_move(pid, &exits);
	exits_close(&exits);
}

int group_evict(struct groups *groups, struct group *group, pid_t pid, uint64_t start_ticks, const char *origin)
{
	struct process_stat stat;

	if (process_read_stat(pid, &stat) == 0 && stat.start_ticks != start_ticks) {
		groups->ops->evict(groups, pid, origin);
		return -ESRCH;
	}
	/* It has ended in its group; its children may live. */
	return tree_read_flag(group->v2_fd, "cgroup.events", "populated") == 1 ? 0 : -ESRCH;
}

int native_evict(struct groups *groups, const struct action *action)
{
	uint64_t start_ticks = action->process.start_ticks;
	_cleanup_close_ int pid_fd = -EBADF;
	struct exits exits = {.from_v1 = -1};
	int r;

	r = process_open(&groups->guard, action->process.pid, &start_ticks, &pid_fd);
	if (r < 0)
		return r;
	exits_open(&exits, groups, action->agent->origin);
	r = exits_move(action->process.pid, &exits);
	exits_close(&exits);
	return r;
}
