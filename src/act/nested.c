/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "act/internal.h"
#include "act/saved.h"
#include "base/file.h"
#include "base/text.h"

/*
 * Groups inside of the group that an agent is in (`placement: nested`): PARENT/govd-POLICY-ID. Only where systemd has
 * delegated the parent, or where there is no systemd. The parent's controllers are its owner's affair: what it doesn't
 * pass on, and with processes of its own it can't pass on any (cgroup-v2.rst, no internal processes), isn't limited.
 * Identity, freezing, killing, CPU time and pressure need no controller.
 */

#define NESTED_PREFIX "govd-"
#define NESTED_XATTR "trusted.govd.slice" /* whose: the slice's name */
#define NESTED_DEPTH_MAX 16		  /* where an earlier govd's are looked for */

/* systemd marks what it delegates: trusted.delegate, and user.delegate since 251. */
static bool is_marked_delegated(int dir_fd)
{
	static const char *const names[] = {"trusted.delegate", "user.delegate"};
	char value[4];

	for (size_t i = 0; i < ELEMENTSOF(names); i++)
		if (fgetxattr(dir_fd, names[i], value, sizeof(value)) == 1 && value[0] == '1')
			return true;
	return false;
}

static bool is_delegated(const struct hierarchy *v2, const char *path)
{
	char above[PATH_MAX];
	struct stat st;

	if (lstat("/run/systemd/system", &st) < 0)
		return true;
	text_copy(above, sizeof(above), path);
	while (above[0]) {
		_cleanup_close_ int fd = -EBADF;

		if (hierarchy_open(v2, above, &fd) < 0)
			return false;
		if (is_marked_delegated(fd))
			return true;
		*strrchr(above, '/') = '\0';
	}
	return false;
}

/* On failure nothing is left. */
static int nested_make(struct groups *groups, const struct agent *agent, const char *parent)
{
	_cleanup_close_ int parent_fd = -EBADF;
	char name[GROUP_NAME_MAX];
	struct group *group;
	int fd = -EBADF, r;

	if (strlen(groups->layout.v2.root) + strlen(parent) + 1 + GROUP_NAME_MAX > AGENT_CGROUP_MAX)
		return -ENAMETOOLONG;
	snprintf(name, sizeof(name), NESTED_PREFIX "%s-%s", agent->policy->name, agent->id);
	r = hierarchy_open(&groups->layout.v2, parent, &parent_fd);
	if (r < 0)
		return r;
	r = group_fresh_dir(parent_fd, name, &fd);
	if (r < 0)
		return r;
	r = group_save(fd, agent);
	if (r == 0 && fsetxattr(fd, NESTED_XATTR, groups->slice, strlen(groups->slice), 0) < 0)
		r = -errno;
	if (r == 0)
		r = limit_apply(groups, fd, WHERE_V2, &agent->policy->limits, true);
	if (r == 0)
		r = group_add(groups, agent->handle, name, TAKE_FD(fd), &group);
	if (r == 0) {
		group->nested_in = strdup(parent);
		if (group->nested_in)
			return 0;
		group_drop(groups, group);
		r = -ENOMEM;
	}
	close_p(&fd);
	unlinkat(parent_fd, name, AT_REMOVEDIR);
	return r;
}

static int nested_enter(struct groups *groups, struct group *group, const struct action *action, int pid_fd)
{
	pid_t pid = action->process.pid;
	int r;

	r = tree_move(group->v2_fd, pid);
	if (r == 0 && group->watch < 0)
		watch_add(groups, group);
	if (r == 0 && !process_is_there(pid_fd))
		r = group_evict(groups, group, pid, action->process.start_ticks, action->agent->origin);
	return r;
}

/* Its group, made if need be; origin: where it is. */
static int nested_open(struct groups *groups, const struct action *action, char origin[static AGENT_CGROUP_MAX])
{
	char proc_cgroup[PROC_CGROUP_SIZE], path[PATH_MAX];
	struct agent saved = *action->agent;
	int r;

	if (group_find(groups, action->agent))
		return 0;
	r = proc_cgroup_read(action->process.pid, proc_cgroup);
	if (r < 0)
		return r;
	r = layout_path_of(&groups->layout.v2, proc_cgroup, path, sizeof(path));
	if (r < 0)
		return r;
	if (!is_delegated(&groups->layout.v2, path))
		return -EPERM;
	origin_format(&groups->layout, proc_cgroup, origin);
	saved.origin = origin;
	return nested_make(groups, &saved, path);
}

static int place(struct groups *groups, const struct action *action, char origin[static AGENT_CGROUP_MAX])
{
	uint64_t start_ticks = action->process.start_ticks;
	_cleanup_close_ int pid_fd = -EBADF;
	struct group *group;
	int r;

	r = process_open(&groups->guard, action->process.pid, &start_ticks, &pid_fd);
	if (r < 0)
		return r;
	r = nested_open(groups, action, origin);
	if (r < 0)
		return r;
	group = group_find(groups, action->agent);
	if (!group)
		return -ESRCH;
	r = nested_enter(groups, group, action, pid_fd);
	if (r < 0) {
		(void)group_dissolve(groups, group, origin);
		return r;
	}
	group->is_occupied = true;
	group_set_root(group, action->process.pid, pid_fd);
	/* It may have ended before there was a watch. */
	watch_check_soon(groups, group);
	return 0;
}

int nested_place(struct groups *groups, const struct action *action)
{
	char origin[AGENT_CGROUP_MAX];
	int r;

	text_copy(origin, sizeof(origin), action->agent->origin);
	r = place(groups, action, origin);
	if (r < 0) {
		groups_tell(groups, action, r);
		return r;
	}
	groups->counts.placed++;
	groups_tell_placed(groups, action->agent->handle, action->process.pid, origin);
	return 0;
}

/* ---- those of an earlier govd ---- */

static bool is_ours(const struct groups *groups, int dir_fd)
{
	char slice[NAME_MAX + 1];
	ssize_t n = fgetxattr(dir_fd, NESTED_XATTR, slice, sizeof(slice));

	return n > 0 && (size_t)n == strlen(groups->slice) && memcmp(slice, groups->slice, (size_t)n) == 0;
}

static int restore_below(struct groups *groups, int dir_fd, const char *path, unsigned depth)
{
	struct dirent *entry;
	int first = 0, r;
	DIR *dir;

	if (file_open_dir(dir_fd, ".", &dir) < 0)
		return 0;
	while ((entry = readdir(dir))) {
		_cleanup_close_ int child_fd = -EBADF;
		char child[PATH_MAX];

		if (entry->d_type != DT_DIR || streq(entry->d_name, ".") || streq(entry->d_name, "..") ||
		    (size_t)snprintf(child, sizeof(child), "%s/%s", path, entry->d_name) >= sizeof(child))
			continue;
		child_fd = openat(dir_fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (child_fd < 0)
			continue;
		/* First, as what is nested in an empty group goes with it. */
		r = depth < NESTED_DEPTH_MAX ? restore_below(groups, child_fd, child, depth + 1) : 0;
		if (first == 0)
			first = r;
		if (strncmp(entry->d_name, NESTED_PREFIX, strlen(NESTED_PREFIX)) != 0 || !is_ours(groups, child_fd))
			continue;
		r = group_restore_nested(groups, entry->d_name, path, &child_fd);
		if (first == 0)
			first = r;
	}
	closedir(dir);
	return first;
}

int nested_restore(struct groups *groups)
{
	_cleanup_close_ int top_fd = -EBADF;
	int r = hierarchy_open(&groups->layout.v2, "", &top_fd);

	return r < 0 ? r : restore_below(groups, top_fd, "", 0);
}
