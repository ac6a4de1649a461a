/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>

#include "core/state.h"
#include "world.h"

#define S NSEC_PER_SEC
#define EXE "/opt/bots/agent"
#define USER 1000

static struct agent *begin(struct world *world, const struct world_policy *more)
{
	struct world_policy policy = {.name = "bots", .exe = EXE, .allow_user = USER};
	struct proc proc = world_proc(100, EXE);

	if (more)
		policy = *more;
	world_init(world, &policy, 1);
	world->set->policies[0]->lifecycle.orphan_ns = 30 * S;
	world_exec(world, &proc, 0);
	world_placed(world, 0);
	return state_by_root(world->state, 100, proc.start_ticks);
}

static enum reply_code ask(struct world *world, enum command command, uint64_t agent, uint64_t lease_ns, uint32_t uid)
{
	struct event event = {.kind = EVENT_COMMAND};

	event.command.command = command;
	event.command.request = ++world->next_request;
	event.command.agent = agent;
	event.command.lease_ns = lease_ns;
	event.command.uid = uid;
	world_step(world, &event);
	cr_assert_eq(world_count(world, ACTION_REPLY), 1);
	return world_action(world, ACTION_REPLY, 0)->reply.code;
}

TestSuite(lease, .timeout = 60);

Test(lease, an_orphan_lives_until_its_lease_ends)
{
	struct world world;
	struct agent *agent = begin(&world, NULL);

	cr_expect_eq(ask(&world, COMMAND_LEASE, agent->handle, 60 * S, 0), REPLY_OK);
	world_orphan(&world, agent);
	world_wait(&world, 59 * S);
	cr_expect_eq(agent->state, AGENT_ACTIVE);
	world_wait(&world, 2 * S);
	cr_expect_eq(agent->state, AGENT_STOPPING);
	world_done(&world);
}

Test(lease, the_grace_of_an_orphan_isnt_shorter_than_without)
{
	struct world world;
	struct agent *agent = begin(&world, NULL);

	ask(&world, COMMAND_LEASE, agent->handle, 10 * S, 0);
	world_orphan(&world, agent);
	world_wait(&world, 29 * S);
	cr_expect_eq(agent->state, AGENT_ACTIVE);
	world_wait(&world, 2 * S);
	cr_expect_eq(agent->state, AGENT_STOPPING);
	world_done(&world);
}

Test(lease, a_touch_renews_a_lease_and_makes_none)
{
	struct world world;
	struct agent *agent = begin(&world, NULL);

	cr_expect_eq(ask(&world, COMMAND_TOUCH, agent->handle, 0, 0), REPLY_OK);
	cr_expect_eq(agent->lease_until_ns, 0);
	cr_expect_eq(agent->active_ns, world.now_ns);
	ask(&world, COMMAND_LEASE, agent->handle, 60 * S, 0);
	world_orphan(&world, agent);
	world_wait(&world, 50 * S);
	ask(&world, COMMAND_TOUCH, agent->handle, 0, 0);
	world_wait(&world, 59 * S);
	cr_expect_eq(agent->state, AGENT_ACTIVE);
	world_wait(&world, 2 * S);
	cr_expect_eq(agent->state, AGENT_STOPPING);
	world_done(&world);
}

Test(lease, one_that_is_given_back_is_over_at_once)
{
	struct world world;
	struct agent *agent = begin(&world, NULL);

	ask(&world, COMMAND_LEASE, agent->handle, 3600 * S, 0);
	world_orphan(&world, agent);
	world_wait(&world, 60 * S);
	cr_expect_eq(agent->state, AGENT_ACTIVE);
	ask(&world, COMMAND_LEASE, agent->handle, 0, 0);
	cr_assert_eq(world_count(&world, ACTION_TIMER), 1);
	cr_expect_leq(world_action(&world, ACTION_TIMER, 0)->time_ns, world.now_ns);
	world_wait(&world, 0);
	cr_expect_eq(agent->state, AGENT_STOPPING);
	world_done(&world);
}

Test(lease, limits_heed_none)
{
	struct world world;
	struct agent *agent = begin(&world, NULL);

	world.set->policies[0]->lifecycle.max_runtime_ns = 60 * S;
	ask(&world, COMMAND_LEASE, agent->handle, 3600 * S, 0);
	world_wait(&world, 61 * S);
	cr_expect_eq(agent->state, AGENT_STOPPING);
	cr_expect_eq(ask(&world, COMMAND_LEASE, agent->handle, 3600 * S, 0), REPLY_BUSY);
	world_done(&world);
}

Test(lease, its_policys_users_may_touch_and_nobody_else)
{
	struct world world;
	struct agent *agent = begin(&world, NULL);

	cr_expect_eq(ask(&world, COMMAND_LEASE, agent->handle, S, USER), REPLY_OK);
	cr_expect_eq(ask(&world, COMMAND_TOUCH, agent->handle, 0, USER), REPLY_OK);
	cr_expect_eq(ask(&world, COMMAND_LEASE, agent->handle, S, USER + 1), REPLY_DENIED);
	cr_expect_eq(ask(&world, COMMAND_TOUCH, agent->handle, 0, USER + 1), REPLY_DENIED);
	cr_expect_eq(ask(&world, COMMAND_TOUCH, 4711, 0, 0), REPLY_NO_SUCH_AGENT);
	world_done(&world);
}

Test(lease, an_observed_or_a_frozen_one_can_be_leased)
{
	const struct world_policy observed = {.name = "bots", .exe = EXE, .observe = true};
	struct world world;
	struct agent *agent;
	struct proc proc = world_proc(100, EXE);

	world_init(&world, &observed, 1);
	world_exec(&world, &proc, 0);
	agent = state_by_root(world.state, 100, proc.start_ticks);
	cr_expect_eq(ask(&world, COMMAND_LEASE, agent->handle, S, 0), REPLY_OK);
	world_done(&world);

	/* Also while the answer to another command is awaited. */
	agent = begin(&world, NULL);
	world_command(&world, COMMAND_FREEZE, agent->handle);
	cr_expect_eq(ask(&world, COMMAND_LEASE, agent->handle, S, 0), REPLY_OK);
	world_done(&world);
}
