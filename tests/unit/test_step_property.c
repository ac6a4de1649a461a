/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>

#include "kernel.h"

/*
 * What must hold whatever happens, on a simulated kernel: each seed is a history of forks, execs, exits, lost records,
 * commands, reloads and restarts. What must hold of every action is asserted where it is carried out, kernel_edge.c.
 */

#define ROUNDS 12
#define ACTS 150 /* of a round, after which the host comes to rest */

static void check_index(const struct kernel *kernel, const struct idmap *map, const char *name)
{
	const struct agent *agent;
	size_t cursor = 0;

	while ((agent = idmap_next(map, &cursor)))
		cr_assert_eq(state_agent_by_handle(kernel->state, agent->handle), agent, "%s names one that ended",
			     name);
}

static void check_agents(struct kernel *kernel)
{
	const struct agent *agent;
	size_t cursor = 0;

	check_index(kernel, &kernel->state->by_cgroup, "by_cgroup");
	check_index(kernel, &kernel->state->by_root, "by_root");
	check_index(kernel, &kernel->state->by_mark, "by_mark");
	while ((agent = state_agent_next(kernel->state, &cursor))) {
		const struct task *root = task_find(kernel, agent->root_pid, agent->root_start_ticks);
		bool is_populated = false;

		cr_assert(!agent->has_root || root, "agent %s: its root has ended", agent->id);
		cr_assert(!agent->has_root || state_agent_of(kernel->state, 0, agent->root_pid) == agent);
		cr_assert(!agent->mark || idmap_get(&kernel->state->by_mark, agent->mark) == agent);
		cr_assert_eq(agent->n_hold_tokens, 0);
		cr_assert_eq(agent->request, 0);
		if (agent->is_observed) {
			cr_assert(agent->has_root, "agent %s of %d is observed and has ended", agent->id,
				  agent->root_pid);
			continue;
		}
		cr_assert(agent->is_placed && agent->state != AGENT_GONE, "agent %s has no group", agent->id);
		cr_assert_eq(state_agent_of(kernel->state, agent->cgroup_id, 0), agent);
		for (size_t i = 0; i < TASKS; i++)
			is_populated |= kernel->tasks[i].lives && kernel->tasks[i].cage == (int)agent->cgroup_id - 1000;
		cr_assert(is_populated, "agent %s has no process", agent->id);
	}
}

static void check_task(const struct kernel *kernel, const struct task *task)
{
	const struct policy *policy = kernel_match(kernel, task->exe);
	const struct owner *owner;
	bool is_lax;

	if (task->cage >= 0)
		cr_assert(task_may_be_in(kernel, task, kernel->cages[task->cage].owner),
			  "process %d is in the group of a stranger", task->pid);
	cr_assert(!task->is_guardian || task->cage < 0);
	cr_assert_eq(task->token, 0, "process %d is held for ever", task->pid);
	cr_assert_eq(task->request, 0, "process %d waits for ever for its answer", task->pid);
	owner = task_owner(kernel, task, &is_lax);
	if (is_lax || task->is_guardian)
		return;
	if (owner && !owner->is_observed && !task->is_released)
		cr_assert_eq(task->cage, owner->cage, "process %d of %s is outside of its group", task->pid,
			     owner->policy);
	/* Who is only observed is told apart by living parents, which end. */
	if (policy && policy->mode == POLICY_OBSERVE)
		return;
	/* A child is a copy of its parent, whatever that is. */
	if (!policy || !task->has_executed || task->is_released ||
	    (owner && owner->is_explicit && owner->root_start == task->start))
		return;
	/* An observed agent may live in another's group: both govern what it executes. */
	if (task->cage >= 0 && streq(kernel->owners[kernel->cages[task->cage].owner].policy, policy->name))
		return;
	cr_assert(owner && streq(owner->policy, policy->name), "process %d is %s's and isn't governed by it", task->pid,
		  policy->name);
}

static void check(struct kernel *kernel)
{
	check_agents(kernel);
	for (size_t i = 0; i < TASKS; i++)
		if (kernel->tasks[i].lives)
			check_task(kernel, &kernel->tasks[i]);
	for (uint64_t i = 1; i <= kernel->next_request; i++)
		cr_assert_eq(kernel->answered[i % REQUESTS], 1, "request %llu has %d answers", (unsigned long long)i,
			     kernel->answered[i % REQUESTS]);
}

/* Of the history that is played; 0: none. */
static uint64_t played;

static uint64_t play(uint64_t seed, bool is_slow)
{
	struct kernel *kernel = malloc(sizeof(*kernel));
	uint64_t hash;

	cr_assert_not_null(kernel);
	played = seed;
	kernel_init(kernel, seed, is_slow);
	for (unsigned round = 0; round < ROUNDS; round++) {
		for (unsigned i = 0; i < ACTS; i++)
			kernel_act(kernel);
		kernel_settle(kernel);
		check(kernel);
	}
	hash = kernel->hash;
	kernel_done(kernel);
	free(kernel);
	played = 0;
	return hash;
}

/* GOV_SEEDS=FIRST[-LAST] in the environment: those instead; GOV_TRACE=1: what happens, on stderr. */
static void play_all(uint64_t last, bool is_slow)
{
	const char *seeds = getenv("GOV_SEEDS"), *trace = getenv("GOV_TRACE");
	uint64_t first = 1;

	if (trace && streq(trace, "1"))
		kernel_trace();
	if (seeds) {
		char *end;

		first = last = strtoull(seeds, &end, 10);
		if (*end == '-')
			last = strtoull(end + 1, NULL, 10);
	}
	for (uint64_t seed = first; seed <= last; seed++)
		play(seed, is_slow);
}

/* A failed assertion leaves the test in the middle. */
static void tell_seed(void)
{
	if (played)
		fprintf(stderr, "step_property: the seed is %llu: GOV_SEEDS=%llu GOV_TRACE=1 shows its history\n",
			(unsigned long long)played, (unsigned long long)played);
}

Test(step_property, holds_with_results_at_once, .fini = tell_seed)
{
	play_all(600, false);
}

Test(step_property, holds_with_placings_that_take_time, .fini = tell_seed)
{
	play_all(600, true);
}

Test(step_property, same_seed_same_actions, .fini = tell_seed)
{
	cr_assert_eq(play(7, true), play(7, true));
	cr_assert_neq(play(7, true), play(8, true));
}
