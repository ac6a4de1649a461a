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

/* A descendant that is an agent of its own, or of another's, isn't this one's; in the group that the root was in until
 * now it is. */
static bool is_other_agents(const struct sweep *sweep, const struct proc *proc)
{
	const struct agent *agent = state_agent_of(sweep->manager->state, 0, proc->pid);

	if (!agent)
		agent = state_agent_of(sweep->manager->state, proc->cgroup_id, 0);

	return agent && agent != sweep->agent && agent->handle != sweep->agent->parent;
}

static size_t sweep_tell(struct sweep *sweep)
{
	struct manager *manager = sweep->manager;
	size_t told = 0;

	for (size_t i = 0; i < sweep->n; i++) {
		struct event event = {.kind = EVENT_FORK};
		struct proc proc;

		if (procfs_read(manager->procfs, sweep->pids[i], &proc) < 0 ||
		    proc.cgroup_id == sweep->agent->cgroup_id || is_other_agents(sweep, &proc) ||
		    match_is_protected(manager->policies, &proc))
			continue;
		event.fork.pid = proc.pid;
		event.fork.ppid = proc.ppid;
		event.fork.start_ticks = proc.start_ticks;
		event.fork.agent = sweep->agent->handle;
		event.fork.cgroup_id = proc.cgroup_id;
		manager_enqueue(manager, &event);
		told++;
	}
	return told;
}

void manager_sweep(struct manager *manager, const struct agent *agent)
{
	struct event end = {.kind = EVENT_SWEPT};
	struct sweep sweep = {.manager = manager, .agent = agent};

	end.swept.agent = agent->handle;
	if (agent->has_root && procfs_children(agent->root_pid, sweep_child, &sweep) == 0)
		for (size_t i = 0; i < sweep.n; i++)
			if (procfs_children(sweep.pids[i], sweep_child, &sweep) == -ENOMEM)
				manager->counts.actions_failed++;
	end.swept.moved = sweep_tell(&sweep);
	free(sweep.pids);
	manager_enqueue(manager, &end);
}
