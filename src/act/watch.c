/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/timerfd.h>
#include <time.h>

#include "act/internal.h"
#include "base/text.h"

/* Watches cgroup.events of every group: kernfs makes IN_MODIFY of each change of `populated` and `frozen`. */

/* A process that sleeps uninterruptibly can't be frozen: then it is told as failed, and thawed. */
#define FREEZE_TIMEOUT_NS (2 * NSEC_PER_SEC)

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

int watch_add(struct groups *groups, struct group *group)
{
	char path[PATH_MAX + NAME_MAX + 64];
	int watch, r;

	snprintf(path, sizeof(path), "/proc/self/fd/%d/cgroup.events", group->v2_fd);
	watch = inotify_add_watch(groups->inotify_fd, path, IN_MODIFY);
	if (watch < 0)
		return -errno;
	r = idmap_put(&groups->by_watch, (uint64_t)watch, group);
	if (r < 0) {
		inotify_rm_watch(groups->inotify_fd, watch);
		return r;
	}
	group->watch = watch;
	return 0;
}

void watch_remove(struct groups *groups, struct group *group)
{
	if (group->watch < 0)
		return;
	inotify_rm_watch(groups->inotify_fd, group->watch);
	idmap_remove(&groups->by_watch, (uint64_t)group->watch);
	group->watch = -1;
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

void watch_freeze(struct groups *groups, struct group *group)
{
	if (tree_read_flag(group->v2_fd, "cgroup.events", "frozen") == 1) {
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

static void group_check(struct groups *groups, struct group *group)
{
	int populated;

	group->is_unchecked = false;
	if (group->v2_fd < 0)
		return;
	if (group->freeze_deadline_ns && tree_read_flag(group->v2_fd, "cgroup.events", "frozen") == 1) {
		/* The rest later: what is told may end the group. */
		watch_check_soon(groups, group);
		freeze_end(groups, group, 0);
		return;
	}
	if (!group->is_occupied || !group->agent)
		return;
	populated = tree_read_flag(group->v2_fd, "cgroup.events", "populated");
	/* ENODEV: somebody else has removed it. */
	if (populated != 0 && populated != -ENODEV && populated != -ENOENT)
		return;
	group->is_occupied = false;
	if (groups->events.empty)
		groups->events.empty(group->agent, groups->events.userdata);
}

/*
 * Looks at what is unchecked or overdue, and sets the timer for the next deadline. A callback may end any group, so
 * that the iteration starts anew after each.
 */
static void groups_check(struct groups *groups)
{
	uint64_t now = watch_now_ns(), next = UINT64_MAX;
	struct group *group;
	size_t cursor = 0;

	while ((group = idmap_next(&groups->by_id, &cursor))) {
		if (group->is_unchecked) {
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
	struct group *group;

	if (event->mask & IN_Q_OVERFLOW) {
		size_t cursor = 0;

		while ((group = idmap_next(&groups->by_id, &cursor)))
			group->is_unchecked = true;
		timer_arm(groups, 1);
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
	if (read(groups->timer_fd, &expirations, sizeof(expirations)) > 0)
		groups_check(groups);
	return groups->ops->dispatch ? groups->ops->dispatch(groups) : 0;
}
