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

/* As long as the root has this parent, the pid can't have become another's. */
static bool is_parent(struct manager *manager, const struct action *action)
{
	const struct agent *agent = action->agent;
	struct proc proc;

	return procfs_read(manager->procfs, agent->root_pid, &proc) == 0 &&
	       proc.start_ticks == agent->root_start_ticks && proc.ppid == action->process.pid;
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
	int fd = pidfd_open(action->process.pid, 0);
	struct parent *parent;

	parents_forget(manager, action->agent->handle);
	/* What ends right now is told by the root's own end, or has left an orphan already. */
	if (fd < 0 || !is_parent(manager, action)) {
		if (fd >= 0)
			close(fd);
		tell_orphaned(manager, action->agent->handle);
		return;
	}
	parent = calloc(1, sizeof(*parent));
	if (!parent) {
		close(fd);
		manager->counts.actions_failed++;
		return;
	}
	parent->manager = manager;
	parent->agent = action->agent->handle;
	if (watch(parent, fd) < 0) {
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
