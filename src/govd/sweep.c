/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "govd/manager.h"

#include "core/match.h"

/* All descendants of an agent's root that are outside of its group: for agents that ran before govd saw them. */

#define SWEEP_MAX 4096 /* descendants of one agent */

struct sweep {
	struct manager *manager;
	const struct agent *agent;
	pid_t *pids; /* found, in order of generations */
	size_t n, size;
	size_t told; /* that are outside */
};

static int sweep_child(pid_t pid, void *userdata)
{
	struct sweep *sweep = userdata;

	if (sweep->n == SWEEP_MAX)
		return -E2BIG;
	if (sweep->n == sweep->size) {
		size_t size = sweep->size ? sweep->size * 2 : 64;
		pid_t *pids = reallocarray(sweep->pids, size, sizeof(*pids));

		if (!pids)
			return -ENOMEM;
		sweep->pids = pids;
		sweep->size = size;
	}
	sweep->pids[sweep->n++] = pid;
	return 0;
}

static void sweep_children(struct sweep *sweep, pid_t pid, uint64_t start_ticks)
{
	int r = procfs_children(pid, start_ticks, sweep_child, sweep);

	if (r < 0 && r != -ESRCH)
		sweep->manager->counts.actions_failed++;
}

static void sweep_tell(struct sweep *sweep, const struct proc *proc)
{
	struct event event = {.kind = EVENT_FORK};

	if (proc->cgroup_id == sweep->agent->cgroup_id || match_is_protected(sweep->manager->policies, proc))
		return;
	event.fork.pid = proc->pid;
	event.fork.ppid = proc->ppid;
	event.fork.start_ticks = proc->start_ticks;
	event.fork.agent = sweep->agent->handle;
	event.fork.cgroup_id = proc->cgroup_id;
	manager_enqueue(sweep->manager, &event);
	sweep->told++;
}

/* What another agent has started is that one's, wherever it is: an observed one has no group. */
static void sweep_below(struct sweep *sweep, pid_t pid)
{
	struct proc proc;

	if (procfs_read(sweep->manager->procfs, pid, &proc) < 0 ||
	    !state_sweep_takes(sweep->manager->state, sweep->agent, &proc))
		return;
	sweep_children(sweep, pid, proc.start_ticks);
	sweep_tell(sweep, &proc);
}

void manager_sweep(struct manager *manager, const struct agent *agent)
{
	struct event end = {.kind = EVENT_SWEPT};
	struct sweep sweep = {.manager = manager, .agent = agent};

	end.swept.agent = agent->handle;
	if (agent->has_root)
		sweep_children(&sweep, agent->root_pid, agent->root_start_ticks);
	for (size_t i = 0; i < sweep.n; i++)
		sweep_below(&sweep, sweep.pids[i]);
	end.swept.moved = sweep.told;
	free(sweep.pids);
	manager_enqueue(manager, &end);
}
