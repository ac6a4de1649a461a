/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kernel.h"

#include <criterion/criterion.h>

const char *const exe_paths[EXES] = {
	[EXE_BOT] = "/opt/bot",	      [EXE_TOOL] = "/opt/tool",		 [EXE_WATCHED] = "/opt/watched",
	[EXE_WORTHY] = "/opt/worthy", [EXE_PYTHON] = "/usr/bin/python3", [EXE_GUARD] = "/usr/sbin/guard",
	[EXE_CAT] = "/bin/cat",
};

uint32_t kernel_random(struct kernel *kernel, uint32_t below)
{
	uint64_t x = kernel->random += UINT64_C(0x9e3779b97f4a7c15);

	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return (uint32_t)((x ^ (x >> 31)) >> 16) % below;
}

void *grow(void *items, size_t n, size_t *size, size_t item_size)
{
	if (n < *size)
		return items;
	*size = *size ? *size * 2 : 64;
	items = reallocarray(items, *size, item_size);
	cr_assert_not_null(items);
	return items;
}

struct task *task_find(struct kernel *kernel, pid_t pid, uint64_t start)
{
	for (size_t i = 0; i < TASKS; i++)
		if (kernel->tasks[i].lives && kernel->tasks[i].pid == pid &&
		    (!start || kernel->tasks[i].start == start))
			return &kernel->tasks[i];
	return NULL;
}

const struct policy *kernel_match(const struct kernel *kernel, enum exe exe)
{
	struct proc proc = {.pid = 2, .exe = exe_paths[exe]};

	return match_find(kernel->set, &proc);
}

/* ---- processes, as bpf/spawn.bpf.c tells of them ---- */

static void ring_put(struct kernel *kernel, const struct record *record)
{
	struct task *task = task_find(kernel, record->pid, record->start);

	if (kernel->n_ring < RING) {
		kernel->ring[kernel->n_ring++] = *record;
		return;
	}
	kernel->lost++;
	if (task)
		task->is_lost = true;
	if (record->kind != EVENT_EXEC)
		return;
	kernel->overflow =
		grow(kernel->overflow, kernel->n_overflow, &kernel->size_overflow, sizeof(*kernel->overflow));
	kernel->overflow[kernel->n_overflow++] = *record;
}

static struct record record_of(const struct task *task, enum event_kind kind)
{
	return (struct record){
		.kind = kind,
		.pid = task->pid,
		.ppid = task->ppid,
		.start = task->start,
		.mark = task->mark,
		.cgroup_id = task->cage < 0 ? 1 : 1000 + (uint64_t)task->cage,
		.exe = task->exe,
		.node = task->node,
	};
}

static struct task *task_new(struct kernel *kernel)
{
	for (size_t i = 0; i < TASKS; i++) {
		struct task *task = &kernel->tasks[i];

		if (task->lives)
			continue;
		/* Few pids, so that they are used again. */
		*task = (struct task){.lives = true,
				      .pid = 100 + (pid_t)i,
				      .ppid = 2,
				      .start = ++kernel->next_start,
				      .exe = EXE_CAT,
				      .cage = -1,
				      .node = -1,
				      .life = node_new(kernel, -1, -1)};
		return task;
	}
	return NULL;
}

bool mark_counts_inside(const struct kernel *kernel, const struct task *task)
{
	return task->mark > kernel->settled_mark && task->mark < MARK_OF_CORE && !task->is_quiet;
}

static void task_fork(struct kernel *kernel, const struct task *parent)
{
	struct task *child = task_new(kernel);
	struct record record;

	if (!child)
		return;
	child->ppid = parent->pid;
	child->exe = parent->exe;
	child->cage = parent->cage;
	child->node = parent->node;
	kernel->nodes[child->life].parent = parent->life;
	kernel_note(kernel, child, "fork");
	if (!parent->mark || (child->cage >= 0 && !mark_counts_inside(kernel, parent)))
		return;
	child->mark = parent->mark;
	child->mark_root = parent->mark_root;
	child->is_quiet = parent->is_quiet;
	/* Not told of, nor seen by the look that has its parent moved, if its lineage has come to be known meanwhile.
	 */
	if (child->is_quiet && kernel->in_census)
		task_make_lax(kernel, child);
	record = record_of(child, EVENT_FORK);
	if (!child->is_quiet)
		ring_put(kernel, &record);
}

void task_exec(struct kernel *kernel, struct task *task, enum exe exe)
{
	uint64_t parent_mark = task->mark;
	bool was_waiting = task->token || task->request;
	struct record record;

	task->token = task->request = 0;
	task->exe = exe;
	task->has_executed = true;
	task->told_guard = false;
	kernel_note(kernel, task, "exec");
	if (exe == EXE_CAT)
		return;
	task->mark = ++kernel->next_mark;
	task->mark_root = task->pid;
	mark_began(kernel, task->mark, task->life);
	task->is_quiet = false;
	if (!was_waiting)
		task->node = node_new(kernel, task->node, task->life);
	kernel->nodes[task->node].is_lax |= exe == EXE_GUARD;
	record = record_of(task, EVENT_EXEC);
	record.parent_mark = parent_mark;
	ring_put(kernel, &record);
}

void task_exit(struct kernel *kernel, struct task *task)
{
	struct record record = record_of(task, EVENT_EXIT);

	task->lives = false;
	kernel_note(kernel, task, "exit");
	for (size_t i = 0; i < TASKS; i++)
		if (kernel->tasks[i].lives && kernel->tasks[i].ppid == task->pid)
			kernel->tasks[i].ppid = 2;
	if (task->mark && task->mark_root == task->pid)
		ring_put(kernel, &record);
}

static void task_hold(struct kernel *kernel, struct task *task, enum exe exe)
{
	struct event event = {.kind = EVENT_HOLD};

	task->told_guard = false;
	task->token = ++kernel->next_token;
	task->future = exe;
	kernel_note(kernel, task, "hold");
	task->node = node_new(kernel, task->node, task->life);
	event.hold.proc = edge_proc(kernel, task);
	event.hold.proc.exe = event.hold.proc.args = exe_paths[exe];
	event.hold.proc.flags |= PROC_EXEC_PENDING;
	event.hold.proc.mark = task->mark;
	event.hold.token = task->token;
	edge_send(kernel, &event, task->node);
}

/* ---- what may happen ---- */

static struct task *task_pick(struct kernel *kernel)
{
	for (unsigned tries = 0; tries < 8; tries++) {
		struct task *task = &kernel->tasks[kernel_random(kernel, TASKS)];

		if (task->lives && !task->is_guardian && !task->token && !task->request)
			return task;
	}
	return NULL;
}

static void act_tasks(struct kernel *kernel)
{
	struct task *task = task_pick(kernel);
	enum exe exe = (enum exe)kernel_random(kernel, EXES);
	uint32_t what = kernel_random(kernel, 10);

	if (!task || what == 0) {
		task = task_new(kernel);
		if (task && kernel_random(kernel, 2))
			task_exec(kernel, task, exe);
		return;
	}
	if (task->cage >= 0 && kernel->cages[task->cage].is_frozen)
		return;
	if (what < 4)
		task_fork(kernel, task);
	else if (what < 7)
		task_exec(kernel, task, exe);
	else if (what < 8 && exe < EXE_CAT && !kernel->in_census)
		task_hold(kernel, task, exe);
	else
		task_exit(kernel, task);
}

void kernel_act(struct kernel *kernel)
{
	uint32_t what = kernel_random(kernel, 1000);

	if (what < 550 || kernel->in_census)
		act_tasks(kernel);
	else if (what < 780)
		edge_deliver(kernel);
	else if (what < 840 && kernel->n_slow)
		edge_place(kernel);
	else if (what < 900)
		edge_empty(kernel);
	else if (what < 940)
		edge_command(kernel);
	else if (what < 960)
		edge_census(kernel);
	else if (what < 980)
		edge_tick(kernel);
	else if (what < 988)
		edge_reload(kernel);
	else if (what < 990)
		edge_restart(kernel);
	else
		edge_place(kernel);
}

void kernel_settle(struct kernel *kernel)
{
	/* Bounded: a core that goes round in circles fails the test. */
	for (unsigned i = 0; i < 200; i++) {
		edge_drain(kernel);
		edge_empty(kernel);
		if (kernel->n_slow)
			edge_place(kernel);
		else if (kernel->census_wanted)
			edge_census(kernel);
		else if (kernel->timer_ns != UINT64_MAX)
			edge_tick(kernel);
		else if (!kernel->n_ring && !kernel->lost && i > 3)
			return;
	}
	cr_assert(false, "it doesn't come to rest");
}

void kernel_init(struct kernel *kernel, uint64_t seed, bool is_slow)
{
	*kernel = (struct kernel){.is_slow = is_slow, .random = seed, .now_ns = NSEC_PER_SEC, .timer_ns = UINT64_MAX};
	kernel->failures_pct = 3;
	for (size_t i = 0; i < 3; i++) {
		kernel->tasks[i] = (struct task){.lives = true,
						 .is_guardian = true,
						 .pid = 100 + (pid_t)i,
						 .ppid = 2,
						 .start = ++kernel->next_start,
						 .exe = EXE_BOT,
						 .cage = -1,
						 .node = -1,
						 .life = node_new(kernel, -1, -1)};
	}
	kernel->next_mark = 100;
	edge_restart(kernel);
}

void kernel_done(struct kernel *kernel)
{
	state_free(kernel->state);
	actions_done(&kernel->actions);
	policy_set_unref(kernel->set);
	free(kernel->nodes);
	free(kernel->owners);
	free(kernel->mark_lives);
	free(kernel->cages);
	free(kernel->overflow);
	free(kernel->jobs);
	free(kernel->slow);
}
