/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "govd/manager.h"

#include <sys/epoll.h>
#include <sys/pidfd.h>

/* Who has started an agent's root: a pidfd tells of its end at once, whoever adopts the root then. */

#define ENDS_MAX 16

/* The map keeps descriptors, which are never 0 here: three are open from the start. */
static void *entry_of(int fd)
{
	return (void *)(intptr_t)fd; // NOLINT(performance-no-int-to-ptr)
}

static int fd_of(const void *entry)
{
	return (int)(intptr_t)entry;
}

static void tell_orphaned(struct manager *manager, uint64_t agent)
{
	struct event event = {.kind = EVENT_ORPHANED};

	event.orphaned.agent = agent;
	manager_dispatch(manager, &event);
}

static int on_ends(_unused_ sd_event_source *source, int fd, _unused_ uint32_t revents, void *userdata)
{
	struct manager *manager = userdata;
	struct epoll_event ends[ENDS_MAX];
	int n = epoll_wait(fd, ends, ELEMENTSOF(ends), 0);

	for (int i = 0; i < n; i++) {
		uint64_t agent = ends[i].data.u64;

		/* The end of another may have ended this one. */
		if (!idmap_get(&manager->parents, agent))
			continue;
		parents_forget(manager, agent);
		tell_orphaned(manager, agent);
	}
	return 0;
}

/* One source of the loop for all of them: a source for each would take more memory than all else of an agent. */
static int open_parents(struct manager *manager)
{
	_cleanup_close_ int fd = epoll_create1(EPOLL_CLOEXEC);
	int r;

	if (fd < 0)
		return -errno;
	r = sd_event_add_io(manager->event, &manager->parents_source, fd, EPOLLIN, on_ends, manager);
	if (r < 0)
		return r;
	return manager_give_fd(&manager->parents_source, &fd);
}

/*
 * 1: the root has this parent, and as long as that holds its pid can't have become another's; 0: it has another one.
 * -ESRCH: the root has ended, which is told by itself; or another error, which says nothing of the parent.
 */
static int is_parent(struct manager *manager, const struct action *action)
{
	const struct agent *agent = action->agent;
	struct proc proc;
	int r = procfs_read(manager->procfs, agent->root_pid, &proc);

	if (r < 0)
		return r;
	if (proc.start_ticks != agent->root_start_ticks)
		return -ESRCH;
	return proc.ppid == action->process.pid;
}

/* Takes the descriptor. */
static int watch(struct manager *manager, uint64_t agent, int pid_fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = agent};
	_cleanup_close_ int fd = pid_fd;
	int r = manager->parents_source ? 0 : open_parents(manager);

	if (r < 0)
		return r;
	if (epoll_ctl(sd_event_source_get_io_fd(manager->parents_source), EPOLL_CTL_ADD, fd, &event) < 0)
		return -errno;
	r = idmap_put(&manager->parents, agent, entry_of(fd));
	if (r >= 0)
		TAKE_FD(fd);
	return r;
}

void parents_watch(struct manager *manager, const struct action *action)
{
	_cleanup_close_ int fd = pidfd_open(action->process.pid, 0);
	bool has_ended = fd < 0 && errno == ESRCH;
	int r;

	parents_forget(manager, action->agent->handle);
	r = is_parent(manager, action);
	if (r == -ESRCH)
		return;
	if (r == 0 || has_ended) {
		tell_orphaned(manager, action->agent->handle);
		return;
	}
	/* Without descriptors, or memory, nothing is known of it: that makes nobody an orphan. */
	if (r < 0 || fd < 0 || watch(manager, action->agent->handle, TAKE_FD(fd)) < 0)
		manager->counts.actions_failed++;
}

void parents_forget(struct manager *manager, uint64_t agent)
{
	void *entry = idmap_get(&manager->parents, agent);

	if (!entry)
		return;
	idmap_remove(&manager->parents, agent);
	close(fd_of(entry));
}

void parents_done(struct manager *manager)
{
	size_t cursor = 0;
	void *entry;

	while ((entry = idmap_next(&manager->parents, &cursor)))
		close(fd_of(entry));
	idmap_done(&manager->parents);
	manager->parents_source = sd_event_source_disable_unref(manager->parents_source);
}
