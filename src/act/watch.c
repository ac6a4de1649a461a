/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/timerfd.h>
#include <time.h>

#include "act/tool.h"
#include "base/text.h"

/* Watches cgroup.events of every group: kernfs makes IN_MODIFY of each change of `populated` and `frozen`; but of those
 * before somebody else removes the group not of all, see on_unit_removed() of systemd_bus.c. */

/* A process that sleeps uninterruptibly can't be frozen: then it is told as failed, and thawed. One that memory.high
 * slows down sleeps so for up to 2 s (MEMCG_MAX_HIGH_DELAY_JIFFIES, mm/memcontrol.c). */
#define FREEZE_TIMEOUT_NS (4 * NSEC_PER_SEC)

#define LOOK_NS NSEC_PER_SEC /* at groups without a watch */

uint64_t watch_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NSEC_PER_SEC + (uint64_t)now.tv_nsec;
}

static int epoll_add(int epoll_fd, int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

	return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

int watch_open(struct groups *groups)
{
	int r;

	groups->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	groups->inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	groups->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (groups->epoll_fd < 0 || groups->inotify_fd < 0 || groups->timer_fd < 0)
		return -errno;
	r = epoll_add(groups->epoll_fd, groups->inotify_fd);
	return r < 0 ? r : epoll_add(groups->epoll_fd, groups->timer_fd);
}

int watch_fd(struct groups *groups, int fd)
{
	return epoll_add(groups->epoll_fd, fd);
}

void watch_close(struct groups *groups)
{
	close_p(&groups->timer_fd);
	close_p(&groups->inotify_fd);
	close_p(&groups->epoll_fd);
}

static int events_add(struct groups *groups, int dir_fd, struct idmap *map, void *value)
{
	char path[64];
	int watch, r;

	snprintf(path, sizeof(path), "/proc/self/fd/%d/cgroup.events", dir_fd);
	watch = inotify_add_watch(groups->inotify_fd, path, IN_MODIFY);
	if (watch < 0)
		return -errno;
	r = idmap_put(map, (uint64_t)watch, value);
	if (r < 0) {
		inotify_rm_watch(groups->inotify_fd, watch);
		return r;
	}
	return watch;
}

static void events_remove(struct groups *groups, struct idmap *map, int *watch)
{
	if (*watch < 0)
		return;
	inotify_rm_watch(groups->inotify_fd, *watch);
	idmap_remove(map, (uint64_t)*watch);
	*watch = -1;
}

void watch_add(struct groups *groups, struct group *group)
{
	int watch = events_add(groups, group->v2_fd, &groups->by_watch, group);

	if (watch >= 0)
		group->watch = watch;
	else
		groups->counts.degraded++;
}

void watch_remove(struct groups *groups, struct group *group)
{
	events_remove(groups, &groups->by_watch, &group->watch);
}

int watch_add_tool(struct groups *groups, struct tool_group *tool)
{
	int watch = events_add(groups, tool->v2_fd, &groups->by_tool_watch, tool);

	if (watch < 0)
		return watch;
	tool->watch = watch;
	return 0;
}

void watch_remove_tool(struct groups *groups, struct tool_group *tool)
{
	events_remove(groups, &groups->by_tool_watch, &tool->watch);
}

static void timer_arm(struct groups *groups, uint64_t after_ns)
{
	struct itimerspec timer = {
		.it_value = {.tv_sec = (time_t)(after_ns / NSEC_PER_SEC), .tv_nsec = (long)(after_ns % NSEC_PER_SEC)}};

	timerfd_settime(groups->timer_fd, 0, &timer, NULL);
}

void watch_check_soon(struct groups *groups, struct group *group)
{
	group->is_unchecked = true;
	timer_arm(groups, 1);
}

void watch_check_tool(struct groups *groups, struct tool_group *tool)
{
	tool->is_unchecked = true;
	watch_check_soon(groups, tool->group);
}

void watch_check_all(struct groups *groups)
{
	struct group *group;
	size_t cursor = 0;

	while ((group = idmap_next(&groups->by_id, &cursor))) {
		group->is_unchecked = true;
		for (struct tool_group *tool = group->tools; tool; tool = tool->next)
			tool->is_unchecked = true;
	}
	timer_arm(groups, 1);
}

static void freeze_end(struct groups *groups, struct group *group, int error)
{
	struct event event = {.kind = EVENT_RESULT};

	group->freeze_deadline_ns = 0;
	event.result.action = ACTION_FREEZE;
	event.result.agent = group->agent;
	event.result.error = error;
	groups_tell_event(groups, &event);
}

static void freeze_expire(struct groups *groups, struct group *group)
{
	/* Best effort: half-frozen is worse than either. */
	(void)!tree_freeze(group->v2_fd, false);
	groups->counts.failed++;
	freeze_end(groups, group, ETIMEDOUT);
}

/*
 * With its tools: a group is told as frozen as soon as its own processes are, whatever those do that are in groups
 * nested in it (cgroup_update_frozen(), kernel/cgroup/freezer.c).
 */
static bool group_is_frozen(const struct group *group)
{
	if (tree_read_flag(group->v2_fd, "cgroup.events", "frozen") != 1)
		return false;
	for (const struct tool_group *tool = group->tools; tool; tool = tool->next)
		if (tree_read_flag(tool->v2_fd, "cgroup.events", "frozen") == 0)
			return false;
	return true;
}

void watch_freeze(struct groups *groups, struct group *group)
{
	if (group_is_frozen(group)) {
		freeze_end(groups, group, 0);
		return;
	}
	group->freeze_deadline_ns = watch_now_ns() + FREEZE_TIMEOUT_NS;
	watch_check_soon(groups, group);
}

void watch_freeze_cancel(struct groups *groups, struct group *group)
{
	freeze_end(groups, group, ECANCELED);
}

/* ENODEV: somebody else has removed it. */
static bool dir_is_empty(int dir_fd)
{
	int populated = tree_read_flag(dir_fd, "cgroup.events", "populated");

	return populated == 0 || populated == -ENODEV || populated == -ENOENT;
}

static void tool_check(struct groups *groups, struct tool_group *tool)
{
	struct tool_id id = tool->id;

	tool->is_unchecked = false;
	/* It may be the one that the freeze of all waits for. */
	if (tool->group->freeze_deadline_ns)
		watch_check_soon(groups, tool->group);
	if (!tool->is_occupied || !tool->group->agent || !dir_is_empty(tool->v2_fd))
		return;
	tool->is_occupied = false;
	if (groups->events.tool_empty)
		groups->events.tool_empty(tool->group->agent, &id, groups->events.userdata);
}

/* True: one was, and a callback may have ended the others, and the group. */
static bool tools_check(struct groups *groups, struct group *group)
{
	for (struct tool_group *tool = group->tools; tool; tool = tool->next)
		if (tool->is_unchecked) {
			tool_check(groups, tool);
			return true;
		}
	return false;
}

static void group_check(struct groups *groups, struct group *group)
{
	group->is_unchecked = false;
	if (group->v2_fd < 0)
		return;
	if (group->freeze_deadline_ns && group_is_frozen(group)) {
		/* The rest later: what is told may end the group. */
		watch_check_soon(groups, group);
		freeze_end(groups, group, 0);
		return;
	}
	if (!group->is_occupied || !group->agent || !dir_is_empty(group->v2_fd))
		return;
	group->is_occupied = false;
	if (groups->events.empty)
		groups->events.empty(group->agent, groups->events.userdata);
}

/* Has those looked at that nothing tells of. Returns when to do so again; UINT64_MAX: there are none. */
static uint64_t check_unwatched(struct groups *groups, uint64_t now)
{
	uint64_t next = UINT64_MAX;
	struct group *group;
	size_t cursor = 0;

	while ((group = idmap_next(&groups->by_id, &cursor))) {
		if (group->watch >= 0 || group->v2_fd < 0)
			continue;
		group->is_unchecked = true;
		next = now + LOOK_NS;
	}
	return next;
}

/*
 * Looks at what is unchecked or overdue, and sets the timer for the next deadline. A callback may end any group, so
 * that the iteration starts anew after each.
 */
static void groups_check(struct groups *groups)
{
	uint64_t now = watch_now_ns(), next = check_unwatched(groups, now);
	struct group *group;
	size_t cursor = 0;

	while ((group = idmap_next(&groups->by_id, &cursor))) {
		if (tools_check(groups, group)) {
			cursor = 0;
		} else if (group->is_unchecked) {
			group_check(groups, group);
			cursor = 0;
		} else if (group->freeze_deadline_ns && group->freeze_deadline_ns <= now) {
			freeze_expire(groups, group);
			cursor = 0;
		} else if (group->freeze_deadline_ns) {
			next = MIN2(next, group->freeze_deadline_ns);
		}
	}
	if (next != UINT64_MAX)
		timer_arm(groups, next - now);
}

static void inotify_handle(struct groups *groups, const struct inotify_event *event)
{
	struct tool_group *tool;
	struct group *group;

	if (event->mask & IN_Q_OVERFLOW) {
		watch_check_all(groups);
		return;
	}
	tool = idmap_get(&groups->by_tool_watch, (uint64_t)event->wd);
	if (tool) {
		tool_check(groups, tool);
		return;
	}
	group = idmap_get(&groups->by_watch, (uint64_t)event->wd);
	if (!group)
		return;
	if (event->mask & IN_IGNORED) {
		/* The directory was removed by somebody else. */
		idmap_remove(&groups->by_watch, (uint64_t)event->wd);
		group->watch = -1;
	}
	group_check(groups, group);
}

int groups_dispatch(struct groups *groups)
{
	_Alignas(struct inotify_event) char buffer[4096];
	uint64_t expirations;
	ssize_t n;

	while ((n = read(groups->inotify_fd, buffer, sizeof(buffer))) > 0)
		for (char *p = buffer; p < buffer + n;) {
			const struct inotify_event *event = (const struct inotify_event *)(const void *)p;

			inotify_handle(groups, event);
			p += sizeof(*event) + event->len;
		}
	if (n < 0 && errno != EAGAIN && errno != EINTR)
		return -errno;
	chores_dispatch(groups);
	if (read(groups->timer_fd, &expirations, sizeof(expirations)) > 0)
		groups_check(groups);
	return groups->ops->dispatch ? groups->ops->dispatch(groups) : 0;
}
