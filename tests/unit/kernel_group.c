/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kernel.h"

#include <criterion/criterion.h>

#include "base/text.h"

/* Agents and their groups, as the simulation comes to know them. */

struct owner *owner_of(struct kernel *kernel, const struct agent *agent)
{
	cr_assert_lt(agent->handle, (uint64_t)HANDLES);
	return kernel->by_handle[agent->handle] ? &kernel->owners[kernel->by_handle[agent->handle] - 1] : NULL;
}

static size_t cage_count(const struct kernel *kernel, int cage)
{
	size_t n = 0;

	for (size_t i = 0; i < TASKS; i++)
		n += kernel->tasks[i].lives && kernel->tasks[i].cage == cage;
	return n;
}

/* ---- agents become known ---- */

void task_is_swept(struct kernel *kernel, struct task *task, int node, uint64_t agent)
{
	const struct agent *other = state_by_mark(kernel->state, task->mark);

	task_come_along(kernel, task, node);
	if (other && other->handle != agent)
		task_make_lax(kernel, task);
}

/* Those that a sweep finds: descendants by living parents that belonged to the same agent until now. */
static void learn_descendants(struct kernel *kernel, const struct task *root, int old_node)
{
	int owner = kernel->nodes[root->node].owner, node;
	bool is_lax, is_new = true;
	struct owner *before = task_owner(kernel, &(struct task){.node = old_node}, &is_lax);

	for (unsigned pass = 0; pass < TASKS && is_new; pass++) {
		is_new = false;
		for (size_t i = 0; i < TASKS; i++) {
			struct task *task = &kernel->tasks[i];
			const struct task *parent = task_find(kernel, task->ppid, 0);

			if (!task->lives || !parent || task->is_guardian || task->is_released ||
			    node_is_of(kernel, task->node, owner) || !node_is_of(kernel, parent->node, owner) ||
			    task_owner(kernel, task, &is_lax) != before)
				continue;
			/* Who lives in another's group is that one's, and a root its own agent's. */
			if ((task->cage >= 0 && task->cage != root->cage) ||
			    state_by_root(kernel->state, task->pid, task->start))
				continue;
			is_new = true;
			/* From before what its parent has executed. */
			for (node = parent->node; exec_is_untold(kernel, parent, node);)
				node = kernel->nodes[node].parent;
			task_is_swept(kernel, task, node, kernel->owners[owner].handle);
			if (task->exe == EXE_GUARD)
				task_make_lax(kernel, task);
		}
	}
}

/* Whether its root was another agent's, which is being placed. */
static bool is_unplaced(const struct kernel *kernel, const struct agent *agent)
{
	for (size_t i = 0; i < kernel->n_slow; i++)
		if (kernel->slow[i].pid == agent->root_pid && kernel->slow[i].start == agent->root_start_ticks)
			return true;
	return false;
}

/* A record that has come late tells of an exec, and what is seen is the last one: what the process was part of between
 * them isn't what it is now. */
static int newest_node(const struct kernel *kernel, const struct task *root, int node)
{
	if (!root || root->token || root->request || node < 0 || kernel->nodes[root->node].owner >= 0)
		return node;
	for (int i = root->node; i >= 0 && i != node; i = kernel->nodes[i].parent)
		if (kernel->nodes[i].owner >= 0)
			return root->node;
	return node;
}

static void learn_agent(struct kernel *kernel, const struct agent *agent, int node)
{
	struct task *root = task_find(kernel, agent->root_pid, agent->root_start_ticks);
	bool takes_over = streq(agent->how, "scan") || streq(agent->how, "adopt");
	size_t size = (size_t)kernel->size_owners;
	int old_node = root ? root->node : -1, life = -1;

	cr_assert(!root || (!root->is_guardian && !root->told_guard), "an agent of a protected process");
	cr_assert(!root || agent->is_explicit || !root->is_released, "a released process is governed again");
	cr_assert(root || streq(agent->how, "exec"));
	kernel->owners = grow(kernel->owners, (size_t)kernel->n_owners, &size, sizeof(*kernel->owners));
	kernel->size_owners = (int)size;
	kernel->owners[kernel->n_owners] = (struct owner){.handle = agent->handle,
							  .is_observed = agent->is_observed,
							  .is_explicit = agent->is_explicit,
							  .root_start = agent->root_start_ticks,
							  .cage = -1};
	text_copy(kernel->owners[kernel->n_owners].policy, POLICY_NAME_MAX, agent->policy->name);
	/* Who is found with a mark that nobody knows stands for the process that it began with. */
	if (root)
		life = takes_over && agent->mark == root->mark ? mark_life(kernel, root->mark) : root->life;
	else if (node >= 0 && kernel->nodes[node].owner >= 0)
		/* It has ended, and was an observed agent's root already when it was held for this exec: the policies
		 * have changed before its record was read. What it has started since is told apart by its life. */
		life = kernel->nodes[node].life;
	kernel->owners[kernel->n_owners].life = life;
	node = newest_node(kernel, root, node);
	if (takes_over || node < 0 || kernel->nodes[node].owner >= 0) {
		node = node_new(kernel, old_node, life);
		if (root)
			root->node = node;
	}
	kernel->owners[kernel->n_owners].node = node;
	kernel->nodes[node].owner = kernel->n_owners;
	/* The look for descendants comes after the placing: parents may have ended until then. A root that becomes yet
	 * another agent while it is being placed has begun in several groups. */
	kernel->nodes[node].is_lax |= kernel->is_slow && (takes_over || is_unplaced(kernel, agent));
	kernel->by_handle[agent->handle] = ++kernel->n_owners;
	if (takes_over && root)
		learn_descendants(kernel, root, old_node);
}

void learn_agents(struct kernel *kernel, int node)
{
	const struct agent *agent;
	size_t cursor = 0;

	while ((agent = state_agent_next(kernel->state, &cursor))) {
		int cage = (int)agent->cgroup_id - 1000;

		if (owner_of(kernel, agent))
			continue;
		if (streq(agent->how, "found")) {
			int owner = kernel->cages[cage].owner;

			kernel->owners[owner].handle = agent->handle;
			kernel->owners[owner].has_ended = false;
			kernel->by_handle[agent->handle] = owner + 1;
		} else {
			learn_agent(kernel, agent, node);
		}
	}
}

/* ---- groups ---- */

static void do_place(struct kernel *kernel, struct event *result, const struct job *job)
{
	struct owner *owner = &kernel->owners[kernel->by_handle[result->result.agent] - 1];
	struct task *task = task_find(kernel, job->pid, job->start);
	const struct agent *agent = state_agent_by_handle(kernel->state, result->result.agent);
	size_t size = (size_t)kernel->size_cages;

	result->result.error = !task ? ESRCH : kernel_random(kernel, 100) < kernel->failures_pct ? EIO : 0;
	if (result->result.error) {
		if (task)
			task->is_released = true;
		return;
	}
	cr_assert_not_null(agent);
	kernel->cages = grow(kernel->cages, (size_t)kernel->n_cages, &size, sizeof(*kernel->cages));
	kernel->size_cages = (int)size;
	kernel->cages[kernel->n_cages] = (struct cage){.lives = true,
						       .is_occupied = true,
						       .owner = kernel->by_handle[agent->handle] - 1,
						       .origin = task->cage,
						       .saved = {.root_pid = agent->root_pid,
								 .root_start_ticks = agent->root_start_ticks,
								 .since_ns = agent->since_ns,
								 .is_explicit = agent->is_explicit}};
	text_copy(kernel->cages[kernel->n_cages].saved.id, AGENT_ID_SIZE, agent->id);
	owner->cage = task->cage = kernel->n_cages++;
	result->result.cgroup_id = 1000 + (uint64_t)owner->cage;
	result->result.cgroup = "/test.slice/agent";
	result->result.origin = "/";
}

/* What left a group goes to where its agent came from, if that still is there. */
int cage_origin(const struct kernel *kernel, int cage)
{
	int origin = kernel->cages[cage].origin;

	return origin >= 0 && kernel->cages[origin].lives ? origin : -1;
}

static void let_go(struct kernel *kernel, struct task *task, const struct owner *owner, const struct agent *agent)
{
	bool is_lax;

	task->cage = cage_origin(kernel, owner->cage);
	/* It is to follow an agent that is being placed from here; but in whose group this one began isn't known after
	 * a restart, and from another's it isn't taken. */
	if (task->cage >= 0 && streq(agent->how, "found") && task_owner(kernel, task, &is_lax) != owner)
		task_make_lax(kernel, task);
}

static void do_release(struct kernel *kernel, struct event *result, const struct job *job)
{
	struct owner *owner = &kernel->owners[kernel->by_handle[result->result.agent] - 1];
	const struct agent *agent = state_agent_by_handle(kernel->state, result->result.agent);
	struct task *root;

	result->result.error = kernel_random(kernel, 100) < kernel->failures_pct ? EIO : 0;
	if (owner->cage < 0)
		return;
	/* So that they can leave, and when they can't, too. */
	kernel->cages[owner->cage].is_frozen = false;
	if (result->result.error)
		return;
	for (size_t i = 0; i < TASKS; i++)
		if (kernel->tasks[i].lives && kernel->tasks[i].cage == owner->cage)
			let_go(kernel, &kernel->tasks[i], owner, agent);
	/* Its root may have left it before: it is let go like the others. */
	root = agent->has_root && !agent->stop_rule ? task_find(kernel, job->pid, job->start) : NULL;
	if (root)
		root->is_released = true;
	kernel->cages[owner->cage].lives = false;
	owner->cage = -1;
}

static void do_remove(struct kernel *kernel, struct event *result, _unused_ const struct job *job)
{
	struct owner *owner = &kernel->owners[kernel->by_handle[result->result.agent] - 1];

	if (owner->cage < 0)
		return;
	if (cage_count(kernel, owner->cage)) {
		kernel->cages[owner->cage].is_occupied = true;
		result->result.error = EBUSY;
		return;
	}
	kernel->cages[owner->cage].lives = false;
	owner->cage = -1;
}

static void do_freeze(struct kernel *kernel, struct event *result, _unused_ const struct job *job)
{
	struct owner *owner = &kernel->owners[kernel->by_handle[result->result.agent] - 1];

	if (owner->cage < 0)
		result->result.error = ESRCH;
	else
		kernel->cages[owner->cage].is_frozen = result->result.action == ACTION_FREEZE;
}

void job_do(struct kernel *kernel, struct job *job)
{
	static void (*const ways[ACTION_KINDS])(struct kernel *, struct event *, const struct job *) = {
		[ACTION_PLACE] = do_place,   [ACTION_RELEASE] = do_release, [ACTION_REMOVE] = do_remove,
		[ACTION_FREEZE] = do_freeze, [ACTION_THAW] = do_freeze,
	};

	if (job->event.kind == EVENT_RESULT)
		ways[job->event.result.action](kernel, &job->event, job);
}
