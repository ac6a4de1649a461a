/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>

#include "core/state.h"
#include "world.h"

/* What a new govd makes of the agents of an earlier one: delays, lives and leases go on. */

#define S NSEC_PER_SEC
#define EXE "/opt/bots/agent"
#define RESTART UINT64_C(4711)

static void begin(struct world *world)
{
	static const struct world_policy policy = {.name = "bots", .exe = EXE};

	world_init(world, &policy, 1);
	world->now_ns = 1000 * S;
	world->set->policies[0]->restart = (struct policy_restart){
		.min_uptime_ns = 10 * S,
		.delay_ns = 5 * S,
		.max_delay_ns = 300 * S,
		.window_ns = 600 * S,
		.factor_milli = 1500,
	};
}

static struct agent *find_of(struct world *world, const struct agent *saved, const char *policy, bool is_frozen)
{
	struct event event = {.kind = EVENT_FOUND};
	struct agent found = *saved;

	found.root_pid = 100;
	found.root_start_ticks = 1000;
	found.has_root = true;
	found.cgroup_id = 77;
	event.found.agent = &found;
	event.found.policy = policy;
	event.found.restart_id = RESTART;
	event.found.is_populated = event.found.root_lives = true;
	event.found.is_frozen = is_frozen;
	event.found.is_frozen_briefly = is_frozen && saved->thaw_ns != DELAY_BY_HAND;
	world_step(world, &event);
	return state_by_root(world->state, 100, 1000);
}

static struct agent *find(struct world *world, const struct agent *saved, bool is_frozen)
{
	return find_of(world, saved, "bots", is_frozen);
}

static void tick(struct world *world, uint64_t now_ns)
{
	struct event event = {.kind = EVENT_TICK};

	world->now_ns = now_ns;
	world_step(world, &event);
}

static size_t crashes(struct world *world)
{
	const struct restart *restart = idmap_get(&world->state->restarts, RESTART);

	return restart ? restart_count(restart, &world->set->policies[0]->restart, world->now_ns) : 0;
}

TestSuite(found, .timeout = 60);

Test(found, a_delay_goes_on_to_its_end)
{
	const struct agent saved = {.since_ns = 990 * S, .thaw_ns = 1060 * S};
	struct world world;
	struct agent *agent;

	begin(&world);
	agent = find(&world, &saved, true);
	cr_expect_eq(world_count(&world, ACTION_THAW), 0);
	cr_expect_eq(agent->state, AGENT_FROZEN);
	cr_assert_eq(world_count(&world, ACTION_TIMER), 1);
	cr_expect_eq(world_action(&world, ACTION_TIMER, 0)->time_ns, 1060 * S);
	tick(&world, 1059 * S);
	cr_expect_eq(world_count(&world, ACTION_THAW), 0);
	tick(&world, 1061 * S);
	cr_expect_eq(world_count(&world, ACTION_THAW), 1);
	cr_expect_eq(world_count(&world, ACTION_SAVE), 1);
	/* Its life begins now. */
	world.now_ns = 1065 * S;
	world_exit(&world, 100, 1 << 8);
	cr_expect_eq(crashes(&world), 1);
	world_done(&world);
}

Test(found, a_delay_that_is_over_is_ended)
{
	const struct agent saved = {.since_ns = 990 * S, .thaw_ns = 995 * S}, other = {.since_ns = 990 * S};
	struct world world;

	begin(&world);
	cr_expect_eq(find(&world, &saved, true)->thaw_ns, 0);
	cr_expect_eq(world_count(&world, ACTION_THAW), 1);
	world_done(&world);
	/* The ladder's. */
	begin(&world);
	find(&world, &other, true);
	cr_expect_eq(world_count(&world, ACTION_THAW), 1);
	world_done(&world);
}

Test(found, what_waits_to_be_thawed_by_hand_goes_on_waiting)
{
	const struct agent saved = {.since_ns = 990 * S, .thaw_ns = DELAY_BY_HAND};
	struct world world;
	struct agent *agent;

	begin(&world);
	agent = find(&world, &saved, true);
	tick(&world, 100000 * S);
	cr_expect_eq(world_count(&world, ACTION_THAW), 0);
	cr_expect_eq(agent->thaw_ns, DELAY_BY_HAND);
	world_command(&world, COMMAND_THAW, agent->handle);
	cr_expect_eq(world_count(&world, ACTION_THAW), 1);
	cr_expect_eq(agent->thaw_ns, 0);
	world_done(&world);
}

Test(found, a_life_that_it_hasnt_seen_begin_counts_by_its_length)
{
	const struct agent young = {.since_ns = 900 * S, .run_ns = 995 * S},
			   old = {.since_ns = 900 * S, .run_ns = 900 * S};
	struct event exit = {.kind = EVENT_EXIT};
	struct world world;

	begin(&world);
	cr_expect_not_null(find(&world, &young, false)->restart);
	world_exit(&world, 100, 1 << 8);
	cr_expect_eq(crashes(&world), 1);
	world_done(&world);
	begin(&world);
	find(&world, &old, false);
	world_exit(&world, 100, 1 << 8);
	cr_expect_eq(crashes(&world), 0);
	world_done(&world);
	/* Nobody knows how it ended. */
	begin(&world);
	find(&world, &young, false);
	exit.exit.pid = 100;
	exit.exit.start_ticks = 1000;
	world_step(&world, &exit);
	world_empty(&world, 1);
	world_removed(&world, 1, 0);
	cr_expect_eq(crashes(&world), 0);
	cr_expect_eq(((struct restart *)idmap_get(&world.state->restarts, RESTART))->lives, 0);
	world_done(&world);
}

Test(found, a_lease_goes_on)
{
	const struct agent saved = {.since_ns = 990 * S, .lease_ns = 100 * S, .lease_until_ns = 1050 * S};
	struct event orphaned = {.kind = EVENT_ORPHANED};
	struct world world;
	struct agent *agent;

	begin(&world);
	world.set->policies[0]->lifecycle.orphan_ns = S;
	agent = find(&world, &saved, false);
	orphaned.orphaned.agent = agent->handle;
	world_step(&world, &orphaned);
	tick(&world, 1049 * S);
	cr_expect_eq(agent->state, AGENT_ACTIVE);
	tick(&world, 1051 * S);
	cr_expect_eq(agent->state, AGENT_STOPPING);
	world_done(&world);
}

Test(found, without_its_policy_it_stays_where_it_is)
{
	/* `placement: scope` isn't known any more, by which it was taken out of a service. */
	const struct agent saved = {.since_ns = 990 * S, .origin = "v2=/system.slice/bots.service"};
	struct event policies = {.kind = EVENT_POLICIES};
	struct world world;
	struct agent *agent;

	begin(&world);
	agent = find_of(&world, &saved, "gone", false);
	cr_assert_not_null(agent);
	cr_expect_eq(agent->owner, OWNER_SERVICE);
	cr_expect_eq(world_count(&world, ACTION_RELEASE), 0);
	policies.policies.set = world.set;
	world_step(&world, &policies);
	cr_expect_eq(world_count(&world, ACTION_RELEASE), 0);
	world_command(&world, COMMAND_RELEASE, agent->handle);
	cr_expect_eq(world_count(&world, ACTION_RELEASE), 1);
	/* One that was taken along by default, as its policy says, isn't any more. */
	world_done(&world);
	begin(&world);
	find(&world, &saved, false);
	cr_expect_eq(world_count(&world, ACTION_RELEASE), 1);
	world_done(&world);
}
