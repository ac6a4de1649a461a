/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>
#include <signal.h>

#include "base/text.h"
#include "core/state.h"
#include "world.h"

#define S NSEC_PER_SEC
#define EXE "/opt/bots/agent"
#define PARENT 2 /* of world_proc() */

static struct policy_lifecycle *begin(struct world *world, bool observe, bool protect)
{
	const struct world_policy policy = {.name = "bots", .exe = EXE, .observe = observe, .protect = protect};

	world_init(world, &policy, 1);
	return &world->set->policies[0]->lifecycle;
}

static struct agent *start(struct world *world, pid_t pid, const char *key)
{
	struct proc proc = world_proc(pid, EXE);
	struct agent *agent;

	world_hold(world, &proc, (uint64_t)pid);
	agent = state_by_root(world->state, pid, proc.start_ticks);
	world_set_key(world, agent, key);
	world_placed(world, 0);
	return agent;
}

static void end(struct world *world, pid_t pid, uint64_t handle)
{
	world_exit(world, pid, SIGTERM);
	world_empty(world, handle);
	world_removed(world, handle, 0);
}

TestSuite(lifecycle, .timeout = 60);

Test(lifecycle, max_runtime_ends_an_agent_and_only_then)
{
	struct world world;
	struct agent *agent;

	begin(&world, false, false)->max_runtime_ns = 60 * S;
	agent = start(&world, 100, "");
	world_wait(&world, 59 * S);
	cr_expect_eq(agent->state, AGENT_ACTIVE);
	world_wait(&world, 2 * S);
	cr_expect_eq(agent->state, AGENT_STOPPING);
	cr_expect_not_null(world_incident(&world, INCIDENT_EXPIRED));
	cr_expect_eq(world_count(&world, ACTION_SIGNAL), 1);
	world_done(&world);
}

Test(lifecycle, an_orphan_has_its_grace)
{
	struct world world;
	struct agent *agent, *other;

	begin(&world, false, false)->orphan_ns = 30 * S;
	agent = start(&world, 100, "");
	cr_assert_eq(world_count(&world, ACTION_WATCH_PARENT), 1);
	cr_expect_eq(world_action(&world, ACTION_WATCH_PARENT, 0)->process.pid, PARENT);
	other = start(&world, 101, "");
	world_wait(&world, 3600 * S);
	world_orphan(&world, agent);
	world_wait(&world, 29 * S);
	cr_expect_eq(agent->state, AGENT_ACTIVE);
	/* Told twice, as after a restart of govd: the grace doesn't begin anew. */
	world_orphan(&world, agent);
	world_wait(&world, 2 * S);
	cr_expect_eq(agent->state, AGENT_STOPPING);
	cr_expect_eq(other->state, AGENT_ACTIVE);
	cr_expect_not_null(world_incident(&world, INCIDENT_ORPHAN));
	world_done(&world);
}

Test(lifecycle, the_old_one_of_a_key_is_stopped_once_the_new_one_has_lived)
{
	struct world world;
	struct agent *old, *new, *other;

	begin(&world, false, false)->per_key = 1;
	old = start(&world, 100, "room");
	other = start(&world, 101, "another");
	new = start(&world, 102, "room");
	world_wait(&world, 9 * S);
	cr_expect_eq(old->state, AGENT_ACTIVE);
	world_wait(&world, 2 * S);
	cr_expect_eq(old->state, AGENT_STOPPING);
	cr_expect_eq(new->state, AGENT_ACTIVE);
	cr_expect_eq(other->state, AGENT_ACTIVE);
	cr_expect_str_eq(world_incident(&world, INCIDENT_DUPLICATE)->rule, "lifecycle.per_key");
	world_done(&world);
}

/* Never both. */
Test(lifecycle, the_old_one_stays_when_the_new_one_does_not_live)
{
	struct world world;
	struct agent *old, *new;

	begin(&world, false, false)->per_key = 1;
	old = start(&world, 100, "room");
	new = start(&world, 101, "room");
	world_wait(&world, 5 * S);
	end(&world, 101, new->handle);
	world_wait(&world, 100 * S);
	cr_expect_eq(old->state, AGENT_ACTIVE);
	world_done(&world);
}

Test(lifecycle, the_newest_stays_whatever_comes_in_between)
{
	struct world world;
	struct agent *agents[5];

	begin(&world, false, false)->per_key = 2;
	for (pid_t i = 0; i < 5; i++) {
		agents[i] = start(&world, 100 + i, "room");
		world_wait(&world, S);
	}
	world_wait(&world, 60 * S);
	for (int i = 0; i < 5; i++)
		cr_expect_eq(agents[i]->state, i < 3 ? AGENT_STOPPING : AGENT_ACTIVE, "agent %d", i);
	world_done(&world);
}

Test(lifecycle, without_a_key_nothing_is_a_duplicate)
{
	struct world world;

	begin(&world, false, false)->per_key = 1;
	for (pid_t pid = 100; pid < 110; pid++)
		start(&world, pid, "");
	world_wait(&world, 100 * S);
	cr_expect_eq(world_count(&world, ACTION_SIGNAL), 0);
	world_done(&world);
}

Test(lifecycle, on_duplicate_stop_new_and_alert)
{
	struct policy_lifecycle *lifecycle;
	struct world world;
	struct agent *old, *new;

	lifecycle = begin(&world, false, false);
	lifecycle->per_key = 1;
	lifecycle->on_duplicate = POLICY_DUPLICATE_STOP_NEW;
	old = start(&world, 100, "room");
	new = start(&world, 101, "room");
	cr_expect_eq(new->state, AGENT_STOPPING);
	cr_expect_eq(old->state, AGENT_ACTIVE);
	lifecycle->on_duplicate = POLICY_DUPLICATE_ALERT;
	new = start(&world, 102, "room");
	cr_expect_eq(new->state, AGENT_ACTIVE);
	cr_expect_str_eq(world_incident(&world, INCIDENT_DUPLICATE)->action, "alert");
	world_done(&world);
}

Test(lifecycle, beyond_max_agents_the_new_one_is_stopped_or_told_of)
{
	struct policy_lifecycle *lifecycle;
	struct world world;
	struct agent *agent;

	lifecycle = begin(&world, false, false);
	lifecycle->max_agents = 3;
	for (pid_t pid = 100; pid < 103; pid++)
		start(&world, pid, "");
	cr_expect_null(world_incident(&world, INCIDENT_DUPLICATE));
	cr_expect_eq(start(&world, 103, "")->state, AGENT_ACTIVE);
	cr_expect_str_eq(world_incident(&world, INCIDENT_DUPLICATE)->rule, "lifecycle.max_agents");
	lifecycle->on_duplicate = POLICY_DUPLICATE_STOP_NEW;
	agent = start(&world, 104, "");
	cr_expect_eq(agent->state, AGENT_STOPPING);
	cr_expect_str_eq(world_incident(&world, INCIDENT_DUPLICATE)->rule, "lifecycle.max_agents");
	cr_expect_str_eq(agent->stop_rule, "lifecycle.max_agents");
	world_done(&world);
}

Test(lifecycle, observed_and_protected_agents_are_only_told_of)
{
	struct proc proc = world_proc(100, EXE);
	struct world world;
	struct agent *agent;

	begin(&world, true, false)->max_runtime_ns = 60 * S;
	world_exec(&world, &proc, 0);
	world_wait(&world, 61 * S);
	cr_expect_str_eq(world_incident(&world, INCIDENT_EXPIRED)->action, "would-stop");
	world_wait(&world, 61 * S);
	cr_expect_eq(world_count(&world, ACTION_RECORD), 0, "once");
	world_done(&world);

	begin(&world, false, true)->max_runtime_ns = 60 * S;
	agent = start(&world, 100, "");
	world_wait(&world, 61 * S);
	cr_expect_str_eq(world_incident(&world, INCIDENT_EXPIRED)->result, "refused");
	cr_expect_eq(agent->state, AGENT_ACTIVE);
	world_done(&world);
}

static void resume(struct world *world)
{
	struct event event = {.kind = EVENT_COMMAND};

	event.command.command = COMMAND_RESUME;
	event.command.policy = "bots";
	world_step(world, &event);
	cr_expect_eq(world_count(world, ACTION_REPLY), 1);
}

Test(lifecycle, a_policy_that_would_end_most_of_its_agents_is_suspended)
{
	struct agent *agents[10];
	unsigned stopping = 0;
	struct world world;

	begin(&world, false, false)->max_runtime_ns = 60 * S;
	for (pid_t i = 0; i < 10; i++)
		agents[i] = start(&world, 100 + i, "");
	world_wait(&world, 61 * S);
	for (int i = 0; i < 10; i++)
		stopping += agents[i]->state == AGENT_STOPPING;
	cr_expect_eq(stopping, 5);
	cr_expect_str_eq(world_incident(&world, INCIDENT_ALERT)->action, "suspend");
	world_wait(&world, 3600 * S);
	cr_expect_null(world_incident(&world, INCIDENT_EXPIRED));
	resume(&world);
	world_wait(&world, S);
	stopping = 0;
	for (int i = 0; i < 10; i++)
		stopping += agents[i]->state == AGENT_STOPPING;
	cr_expect_gt(stopping, 5);
	world_done(&world);
}

Test(lifecycle, a_suspension_outlives_govd)
{
	struct event suspended = {.kind = EVENT_SUSPENDED};
	struct world world;
	struct agent *agent;

	begin(&world, false, false)->max_runtime_ns = 60 * S;
	suspended.suspended.policy = "bots";
	world_step(&world, &suspended);
	agent = start(&world, 100, "");
	world_wait(&world, 61 * S);
	cr_expect_eq(agent->state, AGENT_ACTIVE);
	cr_expect(cull_is_suspended(world.state, agent->policy));
	resume(&world);
	world_wait(&world, S);
	cr_expect_eq(agent->state, AGENT_STOPPING);
	world_done(&world);
}

Test(lifecycle, bulk_and_few_agents_are_not_suspended)
{
	struct world world;
	struct agent *agent;

	begin(&world, false, false)->max_runtime_ns = 60 * S;
	world.set->policies[0]->bulk = true;
	for (pid_t pid = 100; pid < 110; pid++)
		start(&world, pid, "");
	world_wait(&world, 61 * S);
	cr_expect_eq(world_count(&world, ACTION_SIGNAL), 10);
	world_done(&world);

	begin(&world, false, false)->max_runtime_ns = 60 * S;
	agent = start(&world, 100, "");
	world_wait(&world, 61 * S);
	cr_expect_eq(agent->state, AGENT_STOPPING);
	world_done(&world);
}

Test(lifecycle, drain_stops_all_of_a_policy)
{
	struct event drain = {.kind = EVENT_COMMAND};
	struct world world;
	struct agent *agent;

	begin(&world, false, false);
	agent = start(&world, 100, "");
	drain.command.command = COMMAND_DRAIN;
	drain.command.policy = "others";
	world_step(&world, &drain);
	cr_expect_eq(agent->state, AGENT_ACTIVE);
	drain.command.policy = "";
	world_step(&world, &drain);
	cr_expect_eq(agent->state, AGENT_STOPPING);
	cr_expect_eq(world_count(&world, ACTION_REPLY), 1);
	world_done(&world);
}

Test(lifecycle, drain_on_stop_ends_those_that_may_be_ended)
{
	struct event ending = {.kind = EVENT_ENDING};
	struct world world;
	struct agent *agent;
	uint64_t grace_ns;

	begin(&world, false, false);
	agent = start(&world, 100, "");
	start(&world, 101, "");
	cr_expect_eq(state_draining(world.state, &grace_ns), 0);
	world_command(&world, COMMAND_STOP, agent->handle);
	ending.ending.drains = true;
	world_step(&world, &ending);
	/* The other one is being stopped by somebody else. */
	cr_expect_eq(state_draining(world.state, &grace_ns), 1);
	cr_expect_eq(grace_ns, 10 * S);
	cr_expect_eq(world_count(&world, ACTION_SIGNAL), 1);
	end(&world, 101, 2);
	cr_expect_eq(state_draining(world.state, &grace_ns), 0);
	world_done(&world);

	begin(&world, false, true);
	agent = start(&world, 100, "");
	world_step(&world, &ending);
	cr_expect_eq(state_draining(world.state, &grace_ns), 0);
	cr_expect_eq(agent->state, AGENT_ACTIVE);
	world_done(&world);
}
