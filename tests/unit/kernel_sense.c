/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kernel.h"

#include <criterion/criterion.h>

#include "world.h"

/* What the simulated kernel's edges tell the core. */

static void deliver(struct kernel *kernel, const struct record *record)
{
	struct task *task = task_find(kernel, record->pid, record->start);
	struct event event = {.kind = record->kind};

	switch (record->kind) {
	case EVENT_EXEC:
		event.exec.proc = task ? edge_proc(kernel, task)
				       : (struct proc){.pid = record->pid,
						       .start_ticks = record->start,
						       .cgroup_id = record->cgroup_id,
						       .flags = PROC_GONE};
		/* What it executes now, whatever the record tells of. */
		if (!task)
			event.exec.proc.exe = event.exec.proc.args = exe_paths[record->exe];
		kernel->handled_mark = MAX2(kernel->handled_mark, record->mark);
		event.exec.proc.mark = record->mark;
		event.exec.parent_mark = record->parent_mark;
		if (!task)
			break;
		task->told_guard = task->exe == EXE_GUARD;
		/* What it has started since the exec that is told of has the mark of what is protected. */
		kernel->nodes[record->node].is_lax |= task->told_guard;
		break;
	case EVENT_FORK:
		event.fork.pid = record->pid;
		event.fork.ppid = record->ppid;
		event.fork.start_ticks = record->start;
		event.fork.mark = record->mark;
		event.fork.cgroup_id = record->cgroup_id;
		break;
	default:
		event.exit.pid = record->pid;
		event.exit.start_ticks = record->start;
		event.exit.has_code = true;
		break;
	}
	edge_send(kernel, &event, record->node);
}

static void tell_lost(struct kernel *kernel)
{
	struct event event = {.kind = EVENT_LOST};

	if (!kernel->lost)
		return;
	event.lost.forks = kernel->lost;
	kernel->lost = 0;
	edge_send(kernel, &event, -1);
}

static void deliver_first(struct kernel *kernel)
{
	struct record record = kernel->ring[0];

	memmove(kernel->ring, kernel->ring + 1, --kernel->n_ring * sizeof(record));
	deliver(kernel, &record);
}

void edge_deliver(struct kernel *kernel)
{
	if (kernel->n_ring)
		deliver_first(kernel);
	tell_lost(kernel);
	if (kernel->n_ring || kernel->census_wanted)
		return;
	kernel->settled_mark = MAX2(kernel->settled_mark, state_settled(kernel->state, kernel->drained_mark));
	kernel->drained_mark = kernel->handled_mark;
}

void edge_drain(struct kernel *kernel)
{
	while (kernel->n_ring)
		deliver_first(kernel);
	tell_lost(kernel);
}

void edge_empty(struct kernel *kernel)
{
	for (int i = 0; i < kernel->n_cages; i++) {
		struct cage *cage = &kernel->cages[i];
		struct event event = {.kind = EVENT_EMPTY};
		bool has_any = false;

		for (size_t j = 0; j < TASKS; j++)
			has_any |= kernel->tasks[j].lives && kernel->tasks[j].cage == i;
		if (!cage->lives || !cage->is_occupied || has_any)
			continue;
		cage->is_occupied = false;
		edge_drain(kernel);
		event.empty.agent = kernel->owners[kernel->cages[i].owner].handle;
		edge_send(kernel, &event, -1);
	}
}

void edge_tick(struct kernel *kernel)
{
	struct event event = {.kind = EVENT_TICK};

	if (kernel->timer_ns == UINT64_MAX)
		return;
	kernel->now_ns = MAX2(kernel->now_ns, kernel->timer_ns);
	kernel->timer_ns = UINT64_MAX;
	edge_send(kernel, &event, -1);
}

static void see(struct kernel *kernel, const struct task *task, uint64_t mark)
{
	struct event event = {.kind = EVENT_SEEN};

	event.seen.proc = edge_proc(kernel, task);
	event.seen.proc.mark = mark;
	edge_send(kernel, &event, -1);
}

static void see_inside(struct kernel *kernel, const struct task *task, const struct task *now)
{
	struct event event = {.kind = EVENT_FORK};

	if (!mark_counts_inside(kernel, task))
		return;
	if (task->pid == task->mark_root) {
		see(kernel, now, task->mark);
		return;
	}
	event.fork.pid = task->pid;
	event.fork.ppid = task->ppid;
	event.fork.start_ticks = task->start;
	event.fork.mark = task->mark;
	event.fork.cgroup_id = 1000 + (uint64_t)task->cage;
	edge_send(kernel, &event, -1);
}

static void see_marked(struct kernel *kernel)
{
	struct task seen[TASKS];

	memcpy(seen, kernel->tasks, sizeof(seen));
	for (int roots = 1; roots >= 0; roots--)
		for (size_t i = 0; i < TASKS; i++) {
			const struct task *task = &seen[i], *now;

			if (!task->lives || !task->mark || (task->pid == task->mark_root) != (roots == 1))
				continue;
			if (kernel_random(kernel, 20) == 0)
				kernel_act(kernel);
			now = task_find(kernel, task->pid, task->start);
			/* It has executed since: that is told by its record. */
			if (now && now->mark != task->mark)
				continue;
			if (now && task->cage >= 0)
				see_inside(kernel, task, now);
			else if (now)
				see(kernel, now, now->cage < 0 ? task->mark : 0);
		}
}

static void see_all(struct kernel *kernel)
{
	uint64_t last = 0;

	for (;;) {
		const struct task *next = NULL;

		/* Parents before children. */
		for (size_t i = 0; i < TASKS; i++)
			if (kernel->tasks[i].lives && kernel->tasks[i].start > last &&
			    (!next || kernel->tasks[i].start < next->start))
				next = &kernel->tasks[i];
		if (!next)
			return;
		last = next->start;
		see(kernel, next, 0);
	}
}

static void see_ended_roots(struct kernel *kernel)
{
	struct event ended[TASKS] = {0};
	const struct agent *agent;
	size_t cursor = 0, n = 0;

	while ((agent = state_agent_next(kernel->state, &cursor))) {
		if (!agent->has_root || task_find(kernel, agent->root_pid, agent->root_start_ticks))
			continue;
		cr_assert_lt(n, ELEMENTSOF(ended), "more roots than processes");
		ended[n].kind = EVENT_EXIT;
		ended[n].exit.pid = agent->root_pid;
		ended[n++].exit.start_ticks = agent->root_start_ticks;
	}
	for (size_t i = 0; i < n; i++)
		edge_send(kernel, &ended[i], -1);
}

void edge_census(struct kernel *kernel)
{
	struct event end = {.kind = EVENT_CENSUS_END};
	bool scans = kernel->census_scans;

	kernel->census_wanted = kernel->census_scans = false;
	edge_drain(kernel);
	for (size_t i = 0; i < TASKS; i++)
		kernel->tasks[i].is_lost = false;
	kernel->in_census = true;
	for (size_t i = 0; i < kernel->n_overflow; i++) {
		struct record record = kernel->overflow[i];

		deliver(kernel, &record);
	}
	kernel->n_overflow = 0;
	see_marked(kernel);
	if (scans)
		see_all(kernel);
	/* Not what was lost: that needs another look. */
	while (kernel->n_ring)
		deliver_first(kernel);
	see_ended_roots(kernel);
	kernel->in_census = false;
	edge_send(kernel, &end, -1);
}

/* ---- people ---- */

void edge_command(struct kernel *kernel)
{
	struct event event = {.kind = EVENT_COMMAND};
	struct task *task = &kernel->tasks[kernel_random(kernel, TASKS)];
	const char *policies[] = {NULL, "bot", "tool", "watched", "worthy", "none"};
	const struct agent *agent;
	size_t cursor = 0;
	int node = -1;

	/* Those for one agent: the others are made of them. */
	event.command.command = (enum command)kernel_random(kernel, COMMAND_KILL + 1);
	event.command.reuse = kernel_random(kernel, 2);
	event.command.policy = policies[kernel_random(kernel, ELEMENTSOF(policies))];
	if (event.command.command == COMMAND_RUN || event.command.command == COMMAND_ADOPT) {
		if (!task->lives || task->token || task->request)
			return;
		event.command.proc = edge_proc(kernel, task);
	}
	event.command.request = ++kernel->next_request;
	if (event.command.command == COMMAND_RUN && !task->is_guardian) {
		task->told_guard = false;
		task->request = event.command.request;
		task->future = (enum exe)kernel_random(kernel, EXE_GUARD);
		node = task->node = node_new(kernel, task->node, task->life);
		event.command.proc.exe = event.command.proc.args = exe_paths[task->future];
	}
	for (uint32_t skip = kernel_random(kernel, 8); (agent = state_agent_next(kernel->state, &cursor)) && skip;
	     skip--)
		;
	event.command.agent = agent ? agent->handle : 0;
	if (agent && agent->is_observed && event.command.command == COMMAND_RELEASE) {
		struct task *root = task_find(kernel, agent->root_pid, agent->root_start_ticks);

		if (root)
			root->is_released = true;
	}
	edge_send(kernel, &event, node);
}

/* ---- policies and restarts ---- */

static struct policy_set *random_set(struct kernel *kernel)
{
	static const char *const names[] = {"bot", "tool", "watched", "worthy"};
	struct world_policy policies[ELEMENTSOF(names)];
	struct policy_set *set;
	size_t n = 0;

	for (size_t i = 0; i < ELEMENTSOF(names); i++)
		if (kernel_random(kernel, 8))
			policies[n++] = (struct world_policy){
				.name = names[i],
				.exe = exe_paths[i],
				.observe = kernel_random(kernel, 6) == 0 || i == EXE_WATCHED,
				.protect = i == EXE_WORTHY,
				.memory_max_bytes = kernel_random(kernel, 3) << 20,
			};
	set = world_make_set(policies, n);
	set->host.protect.globs = calloc(1, sizeof(char *));
	cr_assert_not_null(set->host.protect.globs);
	set->host.protect.globs[0] = strdup(exe_paths[EXE_GUARD]);
	set->host.protect.n = 1;
	return set;
}

void edge_reload(struct kernel *kernel)
{
	struct event event = {.kind = EVENT_POLICIES};
	struct policy_set *old = kernel->set;

	kernel->set = random_set(kernel);
	event.policies.set = kernel->set;
	edge_send(kernel, &event, -1);
	policy_set_unref(old);
}

/* Who waits outside for its agent's placing, or to be moved after it: only the govd that has died knows of them. */
static void leave_unmoved(struct kernel *kernel)
{
	for (size_t i = 0; i < TASKS && kernel->is_slow; i++) {
		struct task *task = &kernel->tasks[i];
		bool is_lax;
		const struct owner *owner = task->lives ? task_owner(kernel, task, &is_lax) : NULL;

		if (!owner || owner->is_observed || owner->cage == task->cage)
			continue;
		task_make_lax(kernel, task);
	}
}

/* Only the govd that has died would have been told of them: their marks, which aren't pinned, go with it. */
static void leave_untold(struct kernel *kernel)
{
	for (size_t i = 0; i < kernel->n_ring; i++) {
		struct task *child = task_find(kernel, kernel->ring[i].pid, kernel->ring[i].start);

		if (kernel->ring[i].kind == EVENT_FORK && child)
			task_make_lax(kernel, child);
	}
	for (size_t i = 0; i < TASKS; i++)
		if (kernel->tasks[i].lives && kernel->tasks[i].is_lost)
			task_make_lax(kernel, &kernel->tasks[i]);
}

static void forget_all(struct kernel *kernel)
{
	uint64_t seed = kernel_random(kernel, UINT32_MAX);

	state_free(kernel->state);
	kernel->state = state_new(seed);
	if (kernel_recorder)
		kernel_recorder->begin(seed);
	kernel->timer_ns = UINT64_MAX;
	leave_untold(kernel);
	leave_unmoved(kernel);
	kernel->n_ring = kernel->n_overflow = kernel->n_slow = 0;
	kernel->lost = kernel->n_mark_lives = 0;
	kernel->census_wanted = kernel->census_scans = false;
	memset(kernel->by_handle, 0, sizeof(kernel->by_handle));
	memset(kernel->answered, 0, sizeof(kernel->answered));
	kernel->next_request = 0;
	for (int i = 0; i < kernel->n_owners; i++)
		kernel->owners[i].has_ended |= kernel->owners[i].cage < 0;
	for (size_t i = 0; i < TASKS; i++) {
		struct task *task = &kernel->tasks[i];

		task->mark = task->request = 0;
		task->is_released = false;
		if (task->lives && task->token)
			task_exec(kernel, task, task->future);
	}
}

void edge_restart(struct kernel *kernel)
{
	forget_all(kernel);
	edge_reload(kernel);
	for (int i = 0; i < kernel->n_cages; i++) {
		struct cage *cage = &kernel->cages[i];
		struct event event = {.kind = EVENT_FOUND};
		struct agent saved = cage->saved;
		char policy[POLICY_NAME_MAX];

		if (!cage->lives)
			continue;
		for (size_t j = 0; j < TASKS; j++)
			event.found.is_populated |= kernel->tasks[j].lives && kernel->tasks[j].cage == i;
		memcpy(policy, kernel->owners[cage->owner].policy, sizeof(policy));
		saved.cgroup_id = 1000 + (uint64_t)i;
		cage->is_occupied = event.found.is_populated;
		event.found.agent = &saved;
		event.found.policy = policy;
		event.found.is_frozen = cage->is_frozen;
		event.found.root_lives = task_find(kernel, saved.root_pid, saved.root_start_ticks);
		edge_send(kernel, &event, -1);
	}
	edge_census(kernel);
}
