/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kernel.h"

#include <criterion/criterion.h>

#include "world.h"

/* govd's edges, as src/govd and src/act do it, on the simulated kernel; and what must hold of every action. */

struct proc edge_proc(const struct kernel *kernel, const struct task *task)
{
	bool is_outside = task->cage < 0;

	(void)kernel;
	return (struct proc){
		.pid = task->pid,
		.ppid = task->ppid,
		.start_ticks = task->start,
		.uid = 1000,
		.exe = exe_paths[task->exe],
		.args = exe_paths[task->exe],
		.cgroup = is_outside ? "/" : "/test.slice/agent",
		.cgroup_id = is_outside ? 1 : 1000 + (uint64_t)task->cage,
		.flags = (is_outside ? (unsigned)PROC_OUTSIDE : 0U) |
			 (task->is_guardian ? (unsigned)PROC_PROTECTED : 0U),
	};
}

const struct kernel_recorder *kernel_recorder;

static struct job *job_add(struct kernel *kernel, const struct event *event)
{
	kernel->jobs = grow(kernel->jobs, kernel->n_jobs, &kernel->size_jobs, sizeof(*kernel->jobs));
	kernel->jobs[kernel->n_jobs] = (struct job){.event = *event};
	return &kernel->jobs[kernel->n_jobs++];
}

/* ---- actions ---- */

static void on_result_action(struct kernel *kernel, const struct action *action)
{
	struct event event = {.kind = EVENT_RESULT};
	struct job *job;

	cr_assert(!action->agent->is_observed, "%s of an observed agent", action_kind_name(action->kind));
	event.result.action = action->kind;
	event.result.agent = action->agent->handle;
	job = job_add(kernel, &event);
	job->pid = action->kind == ACTION_PLACE ? action->process.pid : action->agent->root_pid;
	job->start = action->kind == ACTION_PLACE ? action->process.start_ticks : action->agent->root_start_ticks;
	if (action->kind == ACTION_PLACE) {
		const struct task *task = task_find(kernel, job->pid, job->start);

		cr_assert(!task || (!task->is_guardian && !task->told_guard), "a protected process is placed");
	}
	/* Between two events nothing else happens to a group. */
	if (action->kind != ACTION_PLACE || !kernel->is_slow) {
		job_do(kernel, job);
		return;
	}
	kernel->slow = grow(kernel->slow, kernel->n_slow, &kernel->size_slow, sizeof(*kernel->slow));
	kernel->slow[kernel->n_slow++] = *job;
	kernel->n_jobs--;
}

void edge_place(struct kernel *kernel)
{
	struct job job;

	if (!kernel->n_slow)
		return;
	job = kernel->slow[0];
	memmove(kernel->slow, kernel->slow + 1, --kernel->n_slow * sizeof(job));
	job_do(kernel, &job);
	edge_send(kernel, &job.event, -1);
}

static void on_move(struct kernel *kernel, const struct action *action)
{
	struct owner *owner = owner_of(kernel, action->agent);
	struct task *task = task_find(kernel, action->process.pid, action->process.start_ticks);

	cr_assert(owner && !owner->is_observed && action->agent->is_placed);
	if (!task || owner->cage < 0)
		return;
	cr_assert(!task->is_guardian && !task->told_guard, "a protected process is moved");
	cr_assert(task_may_be_in(kernel, task, (int)(owner - kernel->owners)), "a stranger is moved in");
	task->cage = owner->cage;
	kernel->cages[owner->cage].is_occupied = true;
	/* It has come along with what was taken over, and has executed nothing since. */
	if (task->node < 0 || kernel->nodes[task->node].life == task->life ||
	    node_is_of(kernel, task->node, (int)(owner - kernel->owners)))
		return;
	task->node = owner->node;
	/* A copy of what is protected: nobody tells until it is looked at. */
	if (task->exe == EXE_GUARD)
		task_make_lax(kernel, task);
}

static void on_evict(struct kernel *kernel, const struct action *action)
{
	struct owner *owner = owner_of(kernel, action->agent);
	struct task *task = task_find(kernel, action->process.pid, action->process.start_ticks);
	bool is_lax;

	cr_assert(owner && !owner->is_observed);
	if (!task || owner->cage < 0 || task->cage != owner->cage)
		return;
	task_owner(kernel, task, &is_lax);
	/* Who waits for the answer to a hold or to `run` executes still what it did before. */
	cr_assert(task->is_guardian || is_lax || (task->token && task->future == EXE_GUARD) ||
			  ((task->token || task->request) && task->exe == EXE_GUARD),
		  "what isn't protected is moved out");
	task->cage = cage_origin(kernel, owner->cage);
}

/* For good: its mark is taken away. Who belongs to an agent that is being placed from this group leaves that one, too.
 */
static void release_task(struct kernel *kernel, struct task *task, const struct owner *owner)
{
	bool is_lax;

	task->is_released = true;
	if (task_owner(kernel, task, &is_lax) != owner)
		task_make_lax(kernel, task);
}

static void on_release(struct kernel *kernel, const struct action *action)
{
	const struct owner *owner = owner_of(kernel, action->agent);
	struct event event = {.kind = EVENT_RELEASED};

	event.released.agent = action->agent->handle;
	for (size_t i = 0; i < TASKS; i++) {
		struct task *task = &kernel->tasks[i];

		if (!task->lives || owner->cage < 0 || task->cage != owner->cage)
			continue;
		event.released.pid = task->pid;
		event.released.start_ticks = task->start;
		if (!action->agent->stop_rule)
			release_task(kernel, task, owner);
		job_add(kernel, &event);
	}
	on_result_action(kernel, action);
}

static void on_signal(struct kernel *kernel, const struct action *action)
{
	struct owner *owner = owner_of(kernel, action->agent);

	cr_assert(owner && !owner->is_observed, "%s of an observed agent", action_kind_name(action->kind));
	/* A kill goes on, though the policy has changed since. */
	cr_assert(!action->agent->policy->protect || (owner->is_killed && action->kind == ACTION_KILL),
		  "an agent is ended whose policy protects it");
	owner->is_killed |= action->kind == ACTION_KILL;
	for (size_t i = 0; i < TASKS; i++) {
		struct task *task = &kernel->tasks[i];

		if (!task->lives || owner->cage < 0 || task->cage != owner->cage)
			continue;
		if (action->kind == ACTION_SIGNAL &&
		    (task->pid != action->process.pid || task->start != action->process.start_ticks))
			continue;
		if (action->kind == ACTION_KILL || kernel_random(kernel, 2))
			task_exit(kernel, task);
	}
}

static void on_limit(struct kernel *kernel, const struct action *action)
{
	cr_assert(!action->agent->is_observed && (action->agent->is_placed || action->agent->is_placing));
	(void)kernel;
}

static void on_mark(struct kernel *kernel, const struct action *action)
{
	struct task *task = task_find(kernel, action->process.pid, action->process.start_ticks);

	if (!task)
		return;
	if (action->process.mark) {
		/* What it starts from now on has an older mark than that of what it executes. */
		if (task->mark != action->process.mark && exec_is_untold(kernel, task, task->node))
			kernel->nodes[task->node].is_lax = true;
		mark_began(kernel, action->process.mark, task->life);
		task->mark = action->process.mark;
		task->mark_root = task->pid;
		task->is_quiet = false;
	} else if (!action->process.is_quiet) {
		task->mark = 0;
	}
	task->is_quiet |= action->process.is_quiet;
}

static void on_hold_answer(struct kernel *kernel, const struct action *action)
{
	size_t n = 0;

	for (size_t i = 0; i < TASKS; i++)
		if (kernel->tasks[i].lives && kernel->tasks[i].token == action->hold.token) {
			task_exec(kernel, &kernel->tasks[i], kernel->tasks[i].future);
			n++;
		}
	cr_assert_leq(n, 1U);
	cr_assert(action->hold.token && action->hold.token <= kernel->next_token);
}

static void on_reply(struct kernel *kernel, const struct action *action)
{
	for (size_t i = 0; i < TASKS; i++) {
		struct task *task = &kernel->tasks[i];

		if (!task->lives || task->request != action->reply.request)
			continue;
		if (action->reply.code == REPLY_OK && !action->reply.reused)
			task_exec(kernel, task, task->future);
		task->request = 0;
	}
	kernel->answered[action->reply.request % REQUESTS]++;
}

static bool is_swept(const struct kernel *kernel, const struct agent *agent, const struct task *task)
{
	struct proc proc = edge_proc(kernel, task);

	return state_sweep_takes(kernel->state, agent, &proc);
}

static void on_sweep(struct kernel *kernel, const struct action *action)
{
	struct event event = {.kind = EVENT_FORK}, end = {.kind = EVENT_SWEPT};
	const struct agent *agent = action->agent;
	struct owner *owner = owner_of(kernel, agent);
	struct task *found[TASKS];
	size_t n = 0;

	for (size_t at = 0; at <= n && at < TASKS && agent->has_root; at++) {
		pid_t pid = at ? found[at - 1]->pid : agent->root_pid;

		for (size_t i = 0; i < TASKS; i++)
			if (kernel->tasks[i].lives && kernel->tasks[i].ppid == pid && n < TASKS &&
			    is_swept(kernel, agent, &kernel->tasks[i]))
				found[n++] = &kernel->tasks[i];
	}
	end.swept.agent = event.fork.agent = agent->handle;
	for (size_t i = 0; i < n; i++) {
		struct proc proc = edge_proc(kernel, found[i]);

		if (proc.cgroup_id == agent->cgroup_id || match_is_protected(kernel->set, &proc))
			continue;
		if (!node_is_of(kernel, found[i]->node, (int)(owner - kernel->owners)))
			task_is_swept(kernel, found[i], owner->node, agent->handle);
		event.fork.pid = proc.pid;
		event.fork.ppid = proc.ppid;
		event.fork.start_ticks = proc.start_ticks;
		event.fork.cgroup_id = proc.cgroup_id;
		job_add(kernel, &event);
		end.swept.moved++;
	}
	job_add(kernel, &end);
}

static void on_census(struct kernel *kernel, const struct action *action)
{
	kernel->census_wanted = true;
	kernel->census_scans |= streq(action->reason, "policies");
}

static void on_timer(struct kernel *kernel, const struct action *action)
{
	kernel->timer_ns = action->time_ns;
}

static void on_forget(struct kernel *kernel, const struct action *action)
{
	struct owner *owner = owner_of(kernel, action->agent);

	if (!owner)
		return;
	cr_assert(owner->cage < 0, "an agent is forgotten with its group");
	owner->has_ended = true;
}

static void perform(struct kernel *kernel, const struct action *action)
{
	static void (*const ways[ACTION_KINDS])(struct kernel *, const struct action *) = {
		[ACTION_PLACE] = on_result_action,  [ACTION_MOVE] = on_move,
		[ACTION_LIMIT] = on_limit,	    [ACTION_MARK] = on_mark,
		[ACTION_RELEASE] = on_release,	    [ACTION_FREEZE] = on_result_action,
		[ACTION_THAW] = on_result_action,   [ACTION_SIGNAL] = on_signal,
		[ACTION_SIGNAL_ALL] = on_signal,    [ACTION_KILL] = on_signal,
		[ACTION_REMOVE] = on_result_action, [ACTION_HOLD_ANSWER] = on_hold_answer,
		[ACTION_REPLY] = on_reply,	    [ACTION_SWEEP] = on_sweep,
		[ACTION_CENSUS] = on_census,	    [ACTION_TIMER] = on_timer,
		[ACTION_FORGET] = on_forget,	    [ACTION_EVICT] = on_evict,
	};

	kernel->hash = (kernel->hash ^ (uint64_t)action->kind ^ (action->agent ? action->agent->handle << 8 : 0)) *
		       UINT64_C(0x100000001b3);
	if (action->kind == ACTION_HOLD_ANSWER)
		cr_assert_eq(++kernel->let_go[action->hold.token % REQUESTS], 1, "a hold is answered twice");
	if (ways[action->kind])
		ways[action->kind](kernel, action);
}

static void step_once(struct kernel *kernel, struct event *event, int node)
{
	event->time_ns = ++kernel->now_ns;
	if (kernel_recorder)
		kernel_recorder->event(kernel->state, event);
	step(kernel->state, event, &kernel->actions);
	if (kernel_recorder)
		kernel_recorder->actions(kernel->state, &kernel->actions);
	learn_agents(kernel, node);
	for (size_t i = 0; i < kernel->actions.n; i++)
		perform(kernel, &kernel->actions.items[i]);
}

void edge_send(struct kernel *kernel, struct event *event, int node)
{
	step_once(kernel, event, node);
	for (size_t i = 0; i < kernel->n_jobs; i++) {
		struct event next = kernel->jobs[i].event;

		step_once(kernel, &next, -1);
	}
	kernel->n_jobs = 0;
}
