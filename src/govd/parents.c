/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "govd/manager.h"

#include <sys/epoll.h>
#include <sys/pidfd.h>

/* Who has started an agent's root: a pidfd tells of its end at once, whoever adopts the root then. */

struct parent {
	struct manager *manager;
	uint64_t agent; /* handle */
	sd_event_source *source;
};

static void parent_free(struct parent *parent)
{
	sd_event_source_disable_unref(parent->source);
	free(parent);
}

static void tell_orphaned(struct manager *manager, uint64_t agent)
{
	struct event event = {.kind = EVENT_ORPHANED};

	event.orphaned.agent = agent;
	manager_dispatch(manager, &event);
}

static int on_end(_unused_ sd_event_source *source, _unused_ int fd, _unused_ uint32_t revents, void *userdata)
{
	struct parent *parent = userdata;
	struct manager *manager = parent->manager;
	uint64_t agent = parent->agent;

	parents_forget(manager, agent);
	tell_orphaned(manager, agent);
	return 0;
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

static int watch(struct parent *parent, int fd)
{
	int r = sd_event_add_io(parent->manager->event, &parent->source, fd, EPOLLIN, on_end, parent);

	if (r < 0) {
		close(fd);
		return r;
	}
	r = sd_event_source_set_io_fd_own(parent->source, true);
	return r < 0 ? r : idmap_put(&parent->manager->parents, parent->agent, parent);
}

void parents_watch(struct manager *manager, const struct action *action)
{
	_cleanup_close_ int fd = pidfd_open(action->process.pid, 0);
	bool has_ended = fd < 0 && errno == ESRCH;
	struct parent *parent;
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
	parent = r == 1 && fd >= 0 ? calloc(1, sizeof(*parent)) : NULL;
	if (!parent) {
		manager->counts.actions_failed++;
		return;
	}
	parent->manager = manager;
	parent->agent = action->agent->handle;
	if (watch(parent, TAKE_FD(fd)) < 0) {
		parent_free(parent);
		manager->counts.actions_failed++;
	}
}

void parents_forget(struct manager *manager, uint64_t agent)
{
	struct parent *parent = idmap_get(&manager->parents, agent);

	if (!parent)
		return;
	idmap_remove(&manager->parents, agent);
	parent_free(parent);
}

void parents_done(struct manager *manager)
{
	struct parent *parent;
	size_t cursor = 0;

	while ((parent = idmap_next(&manager->parents, &cursor)))
		parent_free(parent);
	idmap_done(&manager->parents);
}
