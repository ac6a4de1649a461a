/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>

#include "base/text.h"
#include "core/state.h"
#include "world.h"

/* Agents that don't end: tries that come later each time, one alert with what is left, and nobody who waits for it. */

#define S NSEC_PER_SEC
#define MS NSEC_PER_MSEC
#define EXE "/opt/bots/agent"
#define KEY "room"

static struct agent *start(struct world *world, pid_t pid)
{
	struct proc proc = world_proc(pid, EXE);
	struct agent *agent;

	world_exec(world, &proc, 0);
	agent = state_by_root(world->state, pid, proc.start_ticks);
	world_set_key(world, agent, KEY);
	world_placed(world, 0);
	return agent;
}

static struct agent *begin(struct world *world)
{
	static const struct world_policy policy = {.name = "bots", .exe = EXE};

	world_init(world, &policy, 1);
	return start(world, 100);
}

static void result(struct world *world, const struct agent *agent, enum action_kind kind, int error)
{
	struct event event = {.kind = EVENT_RESULT};

	event.result.action = kind;
	event.result.agent = agent->handle;
	event.result.error = error;
	if (kind == ACTION_KILL) {
		event.result.left = (struct left_view){.processes = 3, .uninterruptible = 2, .zombies = 1};
		text_copy(event.result.left.first, sizeof(event.result.left.first),
			  "123 python3 D nfs_wait_bit_killable");
	}
	world_step(world, &event);
}

/* Kills that come without anything else happening, until at most ns from now; when they came. */
static size_t kills(struct world *world, const struct agent *agent, uint64_t ns, uint64_t *at_ns, size_t max)
{
	uint64_t end_ns = world->now_ns + ns;
	size_t n = 0;

	while (world->now_ns < end_ns) {
		world_wait(world, 99 * MS);
		if (!world_count(world, ACTION_KILL))
			continue;
		cr_expect_eq(world_action(world, ACTION_KILL, 0)->is_again, agent->stop_tries > 1);
		if (n < max)
			at_ns[n] = world->now_ns;
		n++;
		result(world, agent, ACTION_KILL, 0);
	}
	return n;
}

TestSuite(stop, .timeout = 60);

Test(stop, tries_come_later_each_time)
{
	static const uint64_t pauses_s[] = {1, 2, 4, 8, 16, 32, 32};
	struct world world;
	struct agent *agent = begin(&world);
	uint64_t at_ns[8];

	world_command(&world, COMMAND_STOP, agent->handle);
	cr_assert_eq(kills(&world, agent, 10 * S + 97 * S, at_ns, ELEMENTSOF(at_ns)), 8);
	for (size_t i = 0; i < ELEMENTSOF(pauses_s); i++) {
		cr_expect_geq(at_ns[i + 1] - at_ns[i], pauses_s[i] * S, "pause %zu", i);
		cr_expect_leq(at_ns[i + 1] - at_ns[i], pauses_s[i] * S + 200 * MS, "pause %zu", i);
	}
	world_done(&world);
}

Test(stop, after_three_that_failed_an_alert_says_what_is_left)
{
	struct world world;
	struct agent *agent = begin(&world);
	const struct incident *incident;
	uint64_t at_ns;

	world_command(&world, COMMAND_STOP, agent->handle);
	cr_assert_eq(kills(&world, agent, 10 * S + 3 * S + 500 * MS, &at_ns, 1), 3);
	cr_expect_eq(world_count(&world, ACTION_RECORD), 0);
	while (!world_count(&world, ACTION_KILL))
		world_wait(&world, 99 * MS);
	result(&world, agent, ACTION_KILL, 0);
	cr_assert_eq(world_count(&world, ACTION_RECORD), 1);
	incident = &world_action(&world, ACTION_RECORD, 0)->incident;
	cr_expect_eq(incident->kind, INCIDENT_ALERT);
	cr_expect_str_eq(incident->rule, "stop");
	cr_expect_str_eq(incident->action, "kill");
	cr_expect_str_eq(incident->result, "failed");
	cr_assert(world_fact(incident, "uninterruptible") && world_fact(incident, "zombies") &&
		  world_fact(incident, "first"));
	cr_expect_eq(world_fact(incident, "uninterruptible")->number, 2);
	cr_expect_eq(world_fact(incident, "zombies")->number, 1);
	cr_expect_eq(world_fact(incident, "processes")->number, 3);
	cr_expect_str_eq(incident_text(incident, world_fact(incident, "first")), "123 python3 D nfs_wait_bit_killable");
	/* Once. */
	for (unsigned i = 0; i < 1000; i++) {
		world_wait(&world, 99 * MS);
		if (world_count(&world, ACTION_KILL))
			result(&world, agent, ACTION_KILL, 0);
		cr_expect_eq(world_count(&world, ACTION_RECORD), 0);
	}
	/* And it ends some day. */
	world_exit(&world, 100, 9);
	world_empty(&world, agent->handle);
	EXPECT(&world, "remove");
	world_done(&world);
}

Test(stop, a_census_is_an_occasion)
{
	struct event end = {.kind = EVENT_CENSUS_END};
	struct world world;
	struct agent *agent = begin(&world);
	uint64_t at_ns;

	world_command(&world, COMMAND_STOP, agent->handle);
	kills(&world, agent, 12 * S, &at_ns, 1);
	world_step(&world, &end);
	cr_expect_eq(world_count(&world, ACTION_KILL), 0);
	kills(&world, agent, 10 * S, &at_ns, 1);
	world_step(&world, &end);
	cr_expect_eq(world_count(&world, ACTION_KILL), 1);
	world_done(&world);
}

Test(stop, nobody_waits_for_it)
{
	struct event run = {.kind = EVENT_COMMAND};
	struct world world;
	struct agent *agent = begin(&world), *next;
	uint64_t at_ns;

	world.set->policies[0]->lifecycle.per_key = 1;
	world.set->policies[0]->lifecycle.max_agents = 1;
	world_command(&world, COMMAND_STOP, agent->handle);
	kills(&world, agent, 60 * S, &at_ns, 1);
	/* It isn't reused, and isn't in the way. */
	run.command.command = COMMAND_RUN;
	run.command.request = 4711;
	run.command.key = KEY;
	run.command.reuse = true;
	run.command.proc = world_proc(101, EXE);
	world_step(&world, &run);
	cr_assert_eq(world_count(&world, ACTION_PLACE), 1);
	world_placed(&world, 0);
	next = state_by_root(world.state, 101, 1010);
	cr_assert_not_null(next);
	for (unsigned i = 0; i < 1000; i++)
		world_wait(&world, 99 * MS);
	cr_expect_eq(next->state, AGENT_ACTIVE);
	world_done(&world);
}

Test(stop, a_group_that_cant_be_removed_is_tried_again_and_told)
{
	struct world world;
	struct agent *agent = begin(&world);
	size_t tries = 0, alerts = 0;

	world_exit(&world, 100, 0);
	world_empty(&world, agent->handle);
	cr_assert_eq(world_count(&world, ACTION_REMOVE), 1);
	for (unsigned i = 0; i < 600; i++) {
		if (world_count(&world, ACTION_REMOVE)) {
			tries++;
			result(&world, agent, ACTION_REMOVE, EACCES);
			for (size_t j = 0; j < world_count(&world, ACTION_RECORD); j++)
				alerts += world_action(&world, ACTION_RECORD, j)->incident.kind == INCIDENT_ALERT;
			if (tries < 4)
				cr_expect_eq(alerts, 0);
		}
		world_wait(&world, 99 * MS);
	}
	/* In a minute: at once, after 1, 3, 7, 15, 31 s. */
	cr_expect_eq(tries, 6);
	cr_expect_eq(alerts, 1);
	while (!world_count(&world, ACTION_REMOVE))
		world_wait(&world, 99 * MS);
	result(&world, agent, ACTION_REMOVE, 0);
	cr_expect_eq(state_agent_count(world.state), 0);
	world_done(&world);
}
