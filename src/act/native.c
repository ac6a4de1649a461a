/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "act/internal.h"
#include "act/libcgroup.h"
#include "act/tool.h"
#include "base/file.h"
#include "base/text.h"

/*
 * The native backend: govd makes the tree itself.
 *
 * v1 groups go below govd's own. So does the v2 slice where v2 has none of the controllers. Where it has, it can't be
 * there: a group with processes, as govd's own is, passes no controllers on to its children (no internal processes,
 * cgroup-v2.rst), and if govd moved to a leaf of its unit, systemd could not start the unit again while agents live. So
 * the slice is made at the top of the tree. No group passes on more than the top does, and it is the same place
 * wherever and whenever a govd is started, so that each finds the agents of the one before: in a shell or as a service,
 * before or after systemd has switched on a controller in some group for one of its units. What isn't passed on even
 * there degrades, with a word. Controllers are never switched on in groups that aren't govd's.
 */

int hierarchy_open(const struct hierarchy *hierarchy, const char *path, int *ret_fd)
{
	struct open_how how = {.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC,
			       .resolve =
				       RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV};
	_cleanup_close_ int mount_fd = open(hierarchy->mount, O_PATH | O_DIRECTORY | O_CLOEXEC);
	long fd;

	if (mount_fd < 0)
		return -errno;
	path += strspn(path, "/");
	fd = syscall(SYS_openat2, mount_fd, *path ? path : ".", &how, sizeof(how));
	if (fd < 0)
		return -errno;
	*ret_fd = (int)fd;
	return 0;
}

/* Which of the wanted controllers (bits) the directory's children have. */
static unsigned passed_on(int dir_fd, unsigned wanted)
{
	char buffer[512], *next = NULL;
	unsigned found = 0;

	if (file_read(dir_fd, "cgroup.subtree_control", buffer, sizeof(buffer)) < 0)
		return 0;
	for (char *word = strtok_r(buffer, " \n", &next); word; word = strtok_r(NULL, " \n", &next))
		for (unsigned i = 0; i < CONTROLLERS; i++)
			if (wanted & 1U << i && streq(word, controller_name(i)))
				found |= 1U << i;
	return found;
}

/* Switches on, one by one, what can be; returns what is on. */
static unsigned pass_on(int dir_fd, unsigned wanted)
{
	unsigned on = passed_on(dir_fd, wanted);

	for (unsigned i = 0; i < CONTROLLERS; i++)
		if (wanted & ~on & 1U << i &&
		    file_writef(dir_fd, "cgroup.subtree_control", "+%s", controller_name(i)) == 0)
			on |= 1U << i;
	return on;
}

/*
 * Whether a group with processes may pass on all controllers: the root of the tree only. (The root of a cgroup
 * namespace isn't it.) In others the threaded controllers, cpu and pids, could be switched on too, but that makes the
 * group a threaded domain, and no process could be moved to groups below it: cgroup-v2.rst, Threads.
 */
static bool is_tree_root(int dir_fd)
{
	return faccessat(dir_fd, "cgroup.type", F_OK, 0) < 0 && errno == ENOENT;
}

/* The parent of the v2 slice, see above. */
static const char *slice_parent(const struct layout *layout)
{
	return layout->v2.controllers ? "" : layout->v2.own;
}

static int parent_open(const struct layout *layout, int *ret_fd)
{
	int r = hierarchy_open(&layout->v2, slice_parent(layout), ret_fd);

	if (r == 0 && !layout->v2.own[0] && is_tree_root(*ret_fd))
		(void)pass_on(*ret_fd, layout->v2.controllers);
	return r;
}

unsigned layout_passed_on(const struct layout *layout)
{
	_cleanup_close_ int fd = -EBADF;

	if (hierarchy_open(&layout->v2, slice_parent(layout), &fd) < 0)
		return 0;
	if (!layout->v2.own[0] && is_tree_root(fd))
		return layout->v2.controllers;
	return passed_on(fd, layout->v2.controllers);
}

/* A controller that can't be used: its limits degrade. */
static void controller_lost(struct groups *groups, enum controller controller, struct text *words, const char *why)
{
	groups->layout.where[controller] = WHERE_NONE;
	text_addf(words, "%sno %s limits: %s", words->length ? "; " : "", controller_name(controller), why);
}

static int slice_open_v2(struct groups *groups, struct text *words)
{
	struct layout *layout = &groups->layout;
	_cleanup_close_ int parent_fd = -EBADF;
	const char *parent = slice_parent(layout);
	struct stat st;
	unsigned on;
	int r;

	r = parent_open(layout, &parent_fd);
	if (r < 0)
		return r;
	if (mkdirat(parent_fd, groups->slice, 0755) < 0 && errno != EEXIST)
		return -errno;
	groups->slice_fd = openat(parent_fd, groups->slice, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (groups->slice_fd < 0 || fstat(groups->slice_fd, &st) < 0)
		return -errno;
	groups->slice_id = st.st_ino;
	if ((size_t)snprintf(groups->slice_below, PATH_MAX, "%s/%s", parent, groups->slice) >= PATH_MAX ||
	    (size_t)snprintf(groups->slice_path, PATH_MAX, "%s%s", layout->v2.root, groups->slice_below) >= PATH_MAX ||
	    strlen(groups->slice_path) + 1 + GROUP_NAME_MAX > AGENT_CGROUP_MAX)
		return -ENAMETOOLONG;
	for (const char *p = groups->slice_path; *p; p++)
		groups->slice_level += *p == '/';
	on = pass_on(groups->slice_fd, layout->v2.controllers);
	for (unsigned i = 0; i < CONTROLLERS; i++)
		if (layout->where[i] == WHERE_V2 && !(on & 1U << i))
			controller_lost(groups, i, words, LAYOUT_NOT_PASSED_ON);
	return 0;
}

static int slice_open_v1(struct groups *groups, size_t index)
{
	const struct hierarchy *hierarchy = &groups->layout.v1[index];
	enum controller first = (enum controller)__builtin_ctz(hierarchy->controllers);
	char path[PATH_MAX];
	int r;

	if ((size_t)snprintf(path, sizeof(path), "%s/%s", hierarchy->own, groups->slice) >= sizeof(path))
		return -ENAMETOOLONG;
	r = libcgroup_create(controller_name(first), path + 1);
	if (r < 0)
		return r;
	return hierarchy_open(hierarchy, path, &groups->v1_slice_fd[index]);
}

static int native_open(struct groups *groups, char *words, size_t words_size)
{
	struct text text = {.bytes = words, .size = words_size};
	int r;

	r = slice_open_v2(groups, &text);
	if (r < 0) {
		text_addf(&text, "%s%s/%s: %s", groups->layout.v2.mount, groups->layout.v2.own, groups->slice,
			  strerror(-r));
		return r;
	}
	for (size_t i = 0; i < groups->layout.n_v1; i++) {
		r = slice_open_v1(groups, i);
		if (r == 0)
			continue;
		for (unsigned c = 0; c < CONTROLLERS; c++)
			if (groups->layout.where[c] == (int)i)
				controller_lost(groups, c, &text, strerror(-r));
	}
	for (unsigned c = 0; c < CONTROLLERS; c++)
		if (groups->layout.where[c] == WHERE_NONE && !strstr(words, controller_name(c)))
			controller_lost(groups, c, &text, "the controller isn't mounted");
	return 0;
}

int native_open_v1(struct groups *groups, struct group *group, size_t index, const struct policy_limits *limits)
{
	int slice_fd = groups->v1_slice_fd[index], fd;
	bool is_fresh;

	if (group->v1_fd[index] >= 0)
		return 0;
	is_fresh = mkdirat(slice_fd, group->name, 0755) == 0;
	if (!is_fresh && errno != EEXIST)
		return -errno;
	fd = openat(slice_fd, group->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	group->v1_fd[index] = fd;
	return limit_apply(groups, fd, (int)index, limits, is_fresh);
}

static int (*const handlers[ACTION_KINDS])(struct groups *, const struct action *) = {
	[ACTION_PLACE] = native_place,	   [ACTION_MOVE] = native_move,
	[ACTION_EVICT] = native_evict,	   [ACTION_LIMIT] = native_limit,
	[ACTION_RELEASE] = native_release, [ACTION_FREEZE] = group_freeze,
	[ACTION_THAW] = group_thaw,	   [ACTION_SIGNAL] = group_signal,
	[ACTION_KILL] = group_kill,	   [ACTION_SIGNAL_ALL] = group_signal_all,
	[ACTION_REMOVE] = native_remove,   [ACTION_FORGET] = group_forget,
	[ACTION_TOOL_PLACE] = tool_place,  [ACTION_TOOL_SIGNAL] = tool_signal,
	[ACTION_TOOL_KILL] = tool_end,	   [ACTION_TOOL_REMOVE] = tool_remove,
	[ACTION_RECLAIM] = group_reclaim,  [ACTION_SAVE] = group_save_again,
};

static int native_act(struct groups *groups, const struct action *action)
{
	if ((unsigned)action->kind >= ACTION_KINDS || !handlers[action->kind])
		return -EOPNOTSUPP;
	return handlers[action->kind](groups, action);
}

/* Removes the slice's directories. EBUSY when agents are in it: they stay, for the next govd. */
static void native_close(struct groups *groups)
{
	if (groups->slice_fd >= 0)
		(void)tree_remove_leaf(groups->slice_fd, groups->slice);
	for (size_t i = 0; i < HIERARCHIES_V1; i++)
		if (groups->v1_slice_fd[i] >= 0)
			(void)tree_remove_leaf(groups->v1_slice_fd[i], groups->slice);
}

static int native_sweep(_unused_ struct groups *groups, const char *name, int dir_fd)
{
	return tree_remove(dir_fd, name);
}

const struct group_ops native_ops = {
	.name = "native",
	.open = native_open,
	.act = native_act,
	.close = native_close,
	.remove_dirs = group_remove_dirs,
	.evict = native_evict_pid,
	.sweep = native_sweep,
};
