/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <sys/stat.h>

#include "act/internal.h"
#include "act/systemd.h"
#include "act/tool.h"
#include "base/text.h"

/* What all backends share: the tables of groups, telling results, opening and closing. */

struct group *group_find(struct groups *groups, const struct agent *agent)
{
	struct group *group = idmap_get(&groups->by_agent, agent->handle);

	if (group || !agent->cgroup_id)
		return group;
	/* A restored group, named for the first time. */
	group = idmap_get(&groups->by_id, agent->cgroup_id);
	if (!group || group->agent)
		return NULL;
	if (idmap_put(&groups->by_agent, agent->handle, group) < 0)
		return NULL;
	group->agent = agent->handle;
	watch_check_soon(groups, group);
	return group;
}

int groups_bind(struct groups *groups, const struct agent *agent)
{
	return group_find(groups, agent) ? 0 : -ENOENT;
}

void group_path(const struct groups *groups, const struct group *group, char ret_path[static AGENT_CGROUP_MAX])
{
	struct text text = {.bytes = ret_path, .size = AGENT_CGROUP_MAX};

	/* It fits: the backend's open sees to it, and nested_place(). */
	if (group->nested_in)
		text_addf(&text, "%s%s/%s", groups->layout.v2.root, group->nested_in, group->name);
	else
		text_addf(&text, "%s/%s", groups->slice_path, group->name);
}

bool group_holds(const struct groups *groups, const struct group *group, const char *path)
{
	const char *parent = group->nested_in ? group->nested_in : groups->slice_below;
	size_t above = strlen(parent), name = strlen(group->name);

	return strncmp(path, parent, above) == 0 && path[above] == '/' &&
	       strncmp(path + above + 1, group->name, name) == 0 &&
	       (path[above + 1 + name] == '\0' || path[above + 1 + name] == '/');
}

int group_add(struct groups *groups, uint64_t agent, const char *name, int v2_fd, struct group **ret_group)
{
	_cleanup_close_ int fd = v2_fd;
	_cleanup_free_ struct group *group = calloc(1, sizeof(*group));
	struct stat st;
	int r;

	if (!group)
		return -ENOMEM;
	if (fstat(fd, &st) < 0)
		return -errno;
	group->agent = agent;
	group->cgroup_id = st.st_ino;
	group->watch = -1;
	group->home_fd = group->root_fd = -EBADF;
	for (size_t i = 0; i < HIERARCHIES_V1; i++)
		group->v1_fd[i] = -EBADF;
	if (!text_copy(group->name, sizeof(group->name), name))
		return -ENAMETOOLONG;
	r = idmap_put(&groups->by_id, group->cgroup_id, group);
	if (r < 0)
		return r;
	r = agent ? idmap_put(&groups->by_agent, agent, group) : 0;
	if (r < 0) {
		idmap_remove(&groups->by_id, group->cgroup_id);
		return r;
	}
	group->v2_fd = TAKE_FD(fd);
	*ret_group = TAKE_PTR(group);
	return 0;
}

void group_set_root(struct group *group, pid_t pid, int pid_fd)
{
	close_p(&group->root_fd);
	group->root_pid = pid;
	/* Without it, its pid and start time have to do. */
	group->root_fd = fcntl(pid_fd, F_DUPFD_CLOEXEC, 3);
}

/*
 * A pid may be another process's since, and the start time has ticks of 10 ms (USER_HZ): the descriptor that was open
 * when the root was placed can't be mistaken.
 */
int group_open_process(const struct groups *groups, const struct group *group, pid_t pid, uint64_t *start_ticks,
		       int *ret_fd)
{
	_cleanup_close_ int pid_fd = -EBADF;
	int r = process_open(&groups->guard, pid, start_ticks, &pid_fd);

	if (r < 0)
		return r;
	if (group && group->root_fd >= 0 && group->root_pid == pid) {
		if (!process_is_there(group->root_fd))
			return -ESRCH;
		close_p(&pid_fd);
		pid_fd = fcntl(group->root_fd, F_DUPFD_CLOEXEC, 3);
		if (pid_fd < 0)
			return -errno;
	}
	*ret_fd = TAKE_FD(pid_fd);
	return 0;
}

void group_drop(struct groups *groups, struct group *group)
{
	while (group->tools)
		tool_group_drop(groups, group->tools);
	watch_remove(groups, group);
	idmap_remove(&groups->by_id, group->cgroup_id);
	if (group->agent)
		idmap_remove(&groups->by_agent, group->agent);
	close_p(&group->v2_fd);
	close_p(&group->home_fd);
	close_p(&group->root_fd);
	for (size_t i = 0; i < HIERARCHIES_V1; i++)
		close_p(&group->v1_fd[i]);
	free(group->nested_in);
	free(group);
}

void groups_tell_event(struct groups *groups, struct event *event)
{
	event->kind = EVENT_RESULT;
	event->time_ns = watch_now_ns();
	if (groups->events.done)
		groups->events.done(event, groups->events.userdata);
}

void groups_tell_placed(struct groups *groups, uint64_t agent, pid_t pid, const char *origin)
{
	const struct group *group = idmap_get(&groups->by_agent, agent);
	struct event event = {.kind = EVENT_RESULT};
	char cgroup[AGENT_CGROUP_MAX];

	group_path(groups, group, cgroup);
	event.result.action = ACTION_PLACE;
	event.result.agent = agent;
	event.result.pid = pid;
	event.result.cgroup_id = group->cgroup_id;
	event.result.cgroup = cgroup;
	event.result.origin = origin;
	groups_tell_event(groups, &event);
}

void groups_tell(struct groups *groups, const struct action *action, int error)
{
	struct event event = {.kind = EVENT_RESULT};

	event.result.action = action->kind;
	event.result.agent = action->agent->handle;
	event.result.error = error < 0 ? -error : error;
	groups_tell_event(groups, &event);
}

/* Which actions the core waits for: whatever goes wrong, it has to hear of it. */
static bool has_result(enum action_kind kind)
{
	return kind == ACTION_PLACE || kind == ACTION_RELEASE || kind == ACTION_FREEZE || kind == ACTION_THAW ||
	       kind == ACTION_KILL || kind == ACTION_REMOVE || kind == ACTION_RECLAIM;
}

int groups_act(struct groups *groups, const struct action *action)
{
	int r;

	if (!action->agent)
		return -EINVAL;
	if (action->agent->is_observed && action->kind != ACTION_FORGET) {
		/* Observed agents are never touched: the core doesn't ask for it, and nobody else may. */
		if (has_result(action->kind))
			groups_tell(groups, action, EPERM);
		r = -EPERM;
	} else {
		r = groups->ops->act(groups, action);
	}
	/* ESRCH: ended meanwhile, as processes do. */
	if (r < 0 && r != -ESRCH)
		groups->counts.failed++;
	return r;
}

static bool is_slice_name(const char *slice)
{
	size_t length = strlen(slice);

	if (length == 0 || length > NAME_MAX - 1 || streq(slice, ".") || streq(slice, ".."))
		return false;
	for (const unsigned char *s = (const unsigned char *)slice; *s; s++)
		if (*s <= ' ' || *s >= 0x7f || *s == '/')
			return false;
	/* The kernel's own files in the parent: `cgroup.procs` and the like. */
	return strncmp(slice, "cgroup.", 7) != 0;
}

static int groups_new(const struct group_ops *ops, const char *slice, const struct group_events *events,
		      struct groups **ret_groups, struct text *words)
{
	_cleanup_(groups_freep) struct groups *groups = NULL;
	int r;

	if (words->size)
		words->bytes[0] = '\0';
	if (!is_slice_name(slice)) {
		text_add(words, "not a slice's name: wanted a file name such as agents.slice");
		return -EINVAL;
	}
	groups = calloc(1, sizeof(*groups));
	if (!groups)
		return -ENOMEM;
	groups->ops = ops;
	groups->events = *events;
	groups->slice_fd = groups->usage_fd = groups->epoll_fd = groups->inotify_fd = groups->timer_fd = -EBADF;
	for (size_t i = 0; i < HIERARCHIES_V1; i++)
		groups->v1_slice_fd[i] = -EBADF;
	chores_init(groups);
	text_copy(groups->slice, sizeof(groups->slice), slice);
	process_guard_init(&groups->guard);
	r = watch_open(groups);
	if (r < 0) {
		text_addf(words, "inotify, epoll, timerfd: %s", strerror(-r));
		return r;
	}
	r = layout_discover(&groups->layout, words->bytes, words->size);
	if (r < 0)
		return r;
	r = groups->ops->open(groups, words->bytes, words->size);
	if (r < 0)
		return r;
	*ret_groups = TAKE_PTR(groups);
	return 0;
}

int groups_new_native(const char *slice, const struct group_events *events, struct groups **ret_groups, char *error,
		      size_t error_size)
{
	struct text words = {.bytes = error, .size = error_size};

	return groups_new(&native_ops, slice, events, ret_groups, &words);
}

int groups_new_systemd(const char *slice, const struct group_events *events, struct groups **ret_groups, char *error,
		       size_t error_size)
{
	struct text words = {.bytes = error, .size = error_size};

	return groups_new(&systemd_ops, slice, events, ret_groups, &words);
}

int groups_remember(struct groups *groups, const char *runtime_dir)
{
	return groups->ops->remember ? groups->ops->remember(groups, runtime_dir) : 0;
}

struct groups *groups_free(struct groups *groups)
{
	struct group *group;
	size_t cursor = 0;

	if (!groups)
		return NULL;
	chores_end(groups);
	groups->ops->close(groups);
	while ((group = idmap_next(&groups->by_id, &cursor))) {
		group_drop(groups, group);
		cursor = 0;
	}
	close_p(&groups->slice_fd);
	close_p(&groups->usage_fd);
	for (size_t i = 0; i < HIERARCHIES_V1; i++)
		close_p(&groups->v1_slice_fd[i]);
	watch_close(groups);
	idmap_done(&groups->by_id);
	idmap_done(&groups->by_agent);
	idmap_done(&groups->by_watch);
	idmap_done(&groups->by_tool_watch);
	free(groups);
	return NULL;
}

const char *groups_backend(const struct groups *groups)
{
	return groups->ops->name;
}

const char *groups_v2_root(const struct groups *groups)
{
	return groups->layout.v2.mount;
}

const char *groups_slice_path(const struct groups *groups)
{
	return groups->slice_path;
}

int groups_guard(struct groups *groups, pid_t pid)
{
	return process_guard_add(&groups->guard, pid);
}

uint64_t groups_slice_id(const struct groups *groups)
{
	return groups->slice_id;
}

uint32_t groups_slice_level(const struct groups *groups)
{
	return groups->slice_level;
}

int groups_fd(const struct groups *groups)
{
	return groups->epoll_fd;
}

void groups_get_counts(const struct groups *groups, struct groups_counts *ret_counts)
{
	*ret_counts = groups->counts;
}

int groups_describe(char *buffer, size_t size)
{
	_cleanup_free_ struct layout *layout = calloc(1, sizeof(*layout));
	int r;

	if (!layout)
		return -ENOMEM;
	r = layout_discover(layout, buffer, size);
	if (r == 0)
		layout_describe(layout, buffer, size);
	return r;
}

int groups_choose_backend(bool *ret_is_systemd, char *why, size_t why_size)
{
	_cleanup_free_ struct layout *layout = calloc(1, sizeof(*layout));
	int r;

	if (!layout)
		return -ENOMEM;
	r = layout_discover(layout, why, why_size);
	if (r == 0)
		*ret_is_systemd = layout_is_systemds(layout, why, why_size);
	return r;
}
