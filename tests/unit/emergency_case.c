/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "emergency_case.h"

#include <criterion/criterion.h>

#include "base/text.h"
#include "core/state.h"

static const struct world_policy policies[] = {
	{.name = "bot", .exe = "/opt/bot"},
	{.name = "safe", .exe = "/opt/safe", .protect = true},
	{.name = "watched", .exe = "/opt/watched", .observe = true},
};

static const struct host_emergency defaults = {
	.memory_available = {.pct = 5},
	.pressure_full_pct = 20,
	.for_ns = 5 * NSEC_PER_SEC,
	.kills_per_min = 3,
};

void emergency_case_init(struct emergency_case *c, size_t n)
{
	*c = (struct emergency_case){.host = {.total_bytes = 1000 * MIB, .full_ns = UINT64_MAX}};
	world_init(&c->world, policies, ELEMENTSOF(policies));
	c->world.set->host.emergency = defaults;
	for (size_t i = 0; i < n; i++)
		add_agent(c, "/opt/bot");
}

void emergency_case_done(struct emergency_case *c)
{
	world_done(&c->world);
}

struct agent *add_agent(struct emergency_case *c, const char *exe)
{
	pid_t pid = (pid_t)(100 + c->n);
	struct proc proc = world_proc(pid, exe);
	struct agent *agent;

	cr_assert_lt(c->n, CASE_AGENTS);
	proc.mark = (uint64_t)pid;
	world_exec(&c->world, &proc, 0);
	if (world_count(&c->world, ACTION_PLACE))
		world_placed(&c->world, 0);
	agent = idmap_get(&c->world.state->by_root, (uint64_t)pid);
	cr_assert_not_null(agent);
	c->agents[c->n] = agent;
	c->weights[c->n++] = (struct agent_weight){.agent = agent->handle, .bytes = 50 * MIB, .ppid = 2};
	return agent;
}

struct agent_weight *weight_of(struct emergency_case *c, const struct agent *agent)
{
	for (size_t i = 0; i < c->n; i++)
		if (c->agents[i] == agent)
			return &c->weights[i];
	cr_assert(false, "no such agent");
	return NULL;
}

void pass(struct emergency_case *c, uint64_t ns)
{
	c->world.now_ns += ns;
}

void look(struct emergency_case *c, uint64_t available_bytes)
{
	struct event event = {.kind = EVENT_HOST};

	c->host.available_bytes = available_bytes;
	event.host = c->host;
	world_step(&c->world, &event);
}

void weigh(struct emergency_case *c)
{
	struct event event = {.kind = EVENT_WEIGHED};

	event.weighed.items = c->weights;
	event.weighed.n = c->n;
	world_step(&c->world, &event);
}

void ended(struct emergency_case *c)
{
	for (size_t i = 0; i < c->n; i++) {
		struct agent *agent = c->agents[i];

		if (!agent || agent->state != AGENT_STOPPING)
			continue;
		world_exit(&c->world, agent->root_pid, 9);
		world_empty(&c->world, agent->handle);
		world_removed(&c->world, agent->handle, 0);
		c->agents[i] = NULL;
	}
}

const struct incident *told(const struct emergency_case *c)
{
	size_t n = world_count(&c->world, ACTION_RECORD);

	cr_assert_gt(n, 0, "nothing is recorded");
	return &world_action(&c->world, ACTION_RECORD, n - 1)->incident;
}

void expect_number(const struct emergency_case *c, const char *name, uint64_t least, uint64_t most)
{
	uint64_t number = world_number(told(c), name);

	cr_expect(number >= least && number <= most, "%s is %llu", name, (unsigned long long)number);
}

void expect_state(const struct emergency_case *c, const char *name)
{
	struct emergency_view view;

	state_emergency(c->world.state, &view);
	cr_expect_str_eq(view.state, name);
}
