/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>

#include "base/text.h"
#include "core/fanout.h"
#include "core/state.h"
#include "gov/fanout.h"
#include "world.h"

#define S NSEC_PER_SEC
#define EXE "/opt/bots/agent"

static struct agent *begin(struct world *world, bool observe)
{
	const struct world_policy policy = {.name = "bots", .exe = EXE, .observe = observe};
	struct proc proc = world_proc(100, EXE);

	world_init(world, &policy, 1);
	world->set->policies[0]->spawn = (struct policy_rate){50, S};
	proc.mark = 7;
	world_exec(world, &proc, 0);
	if (!observe)
		world_placed(world, 0);
	return state_by_root(world->state, 100, proc.start_ticks);
}

static const struct incident *tell(struct world *world, const struct agent *agent)
{
	struct event event = {.kind = EVENT_FANOUT};
	const struct action *record;

	event.fanout.owner = agent->is_observed ? 0 : agent->cgroup_id;
	event.fanout.mark = agent->is_observed ? agent->mark : 0;
	event.fanout.births = 251;
	event.fanout.window_ns = 1250 * NSEC_PER_MSEC;
	event.fanout.pid = 101;
	text_copy(event.fanout.comm, sizeof(event.fanout.comm), "make");
	world_step(world, &event);
	record = world_action(world, ACTION_RECORD, 0);
	cr_expect_leq(world->actions.n, 1);
	return record ? &record->incident : NULL;
}

TestSuite(fanout, .timeout = 60);

Test(fanout, windows_are_of_five_seconds_or_the_rates_own_time)
{
	static const struct {
		struct policy_rate spawn;
		uint64_t length_ns, limit;
	} cases[] = {
		{{50, S}, 5 * S, 250},		{{1, S}, 5 * S, 5},
		{{300, 60 * S}, 60 * S, 300},	{{1, 86400 * S}, 86400 * S, 1},
		{{1000000, S}, 5 * S, 5000000}, {{1000000, 86400 * S}, 86400 * S, 1000000},
	};
	struct policy policy = {0};
	uint64_t length_ns, limit;

	cr_expect_not(fanout_rule(&policy, &length_ns, &limit));
	for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
		policy.spawn = cases[i].spawn;
		cr_assert(fanout_rule(&policy, &length_ns, &limit));
		cr_expect_eq(length_ns, cases[i].length_ns, "case %zu", i);
		cr_expect_eq(limit, cases[i].limit, "case %zu", i);
	}
}

Test(fanout, is_told_once_a_minute_and_nobody_is_ended)
{
	struct world world;
	struct agent *agent = begin(&world, false);
	const struct incident *incident = tell(&world, agent);

	cr_assert_not_null(incident);
	cr_expect_eq(incident->kind, INCIDENT_FAN_OUT);
	cr_expect_str_eq(incident->rule, "tasks.spawn_rate");
	cr_expect_eq(incident->by_uid, INCIDENT_BY_GOVD);
	cr_expect_eq(world_number(incident, "spawns"), 251);
	cr_expect_eq(world_number(incident, "window_s"), 1250);
	cr_expect_eq(world_number(incident, "max_per_s"), 50000);
	cr_expect_eq(world_number(incident, "by_pid"), 101);
	cr_expect_null(world_fact(incident, "untold"));
	for (unsigned i = 0; i < 11; i++) {
		world.now_ns += 5 * S;
		cr_expect_null(tell(&world, agent));
	}
	world.now_ns += 5 * S;
	incident = tell(&world, agent);
	cr_assert_not_null(incident);
	cr_expect_eq(world_number(incident, "untold"), 11);
	cr_expect_eq(agent->state, AGENT_ACTIVE);
	world_done(&world);
}

Test(fanout, of_an_observed_agent_by_its_mark_and_of_nobody_without_a_rule)
{
	struct world world;
	struct agent *agent = begin(&world, true);

	cr_expect_not_null(tell(&world, agent));
	world_done(&world);
	agent = begin(&world, false);
	world.set->policies[0]->spawn.count = 0;
	cr_expect_null(tell(&world, agent));
	world.set->policies[0]->spawn.count = 1;
	world_exit(&world, 100, 0);
	world_empty(&world, agent->handle);
	cr_expect_null(tell(&world, agent));
	world_done(&world);
}
