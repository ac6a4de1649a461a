/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>
#include <signal.h>

#include "core/state.h"
#include "world.h"

/* step(): forecasts of leaks, when agents are looked at for them, and what is done. */

#define MIB (UINT64_C(1) << 20)
#define CAP (300 * MIB)
#define ROOT 100

static const struct world_policy policies[] = {
	{.name = "bot", .exe = "/opt/bot", .memory_max_bytes = CAP},
	{.name = "free", .exe = "/opt/free"},
};

static void set_leak(struct world *world, uint64_t horizon_ns, enum policy_leak_action action, bool protect)
{
	struct policy_set *set = world_make_set(policies, ELEMENTSOF(policies));
	struct event end = {.kind = EVENT_CENSUS_END};

	for (size_t i = 0; i < set->n; i++) {
		set->policies[i]->leak = (struct policy_leak){horizon_ns, action};
		set->policies[i]->protect = protect;
	}
	world_set_policies(world, set);
	world_step(world, &end);
}

static const struct agent *born(struct world *world, const char *exe)
{
	struct proc proc = world_proc(ROOT, exe);

	world_exec(world, &proc, 0);
	world_placed(world, 0);
	return world_action(world, ACTION_PACE, 0)->agent;
}

static const struct agent *init(struct world *world, enum policy_leak_action action, bool protect)
{
	world_init(world, policies, ELEMENTSOF(policies));
	set_leak(world, 30 * 60 * NSEC_PER_SEC, action, protect);
	return born(world, "/opt/bot");
}

/* What govd does when it is asked for a sample. */
static void sample(struct world *world, const struct agent *agent, uint64_t anon, bool has_read)
{
	struct event event = {.kind = EVENT_SAMPLE};

	event.sample.agent = agent->handle;
	event.sample.cpu_ns = UINT64_MAX;
	event.sample.memory_bytes = anon + 10 * MIB;
	event.sample.anon_bytes = has_read ? anon : UINT64_MAX;
	event.sample.has_read = has_read;
	world_step(world, &event);
}

/* What all agents of the slice have together, as ticks tell it; 0: they don't. */
static uint64_t slice_bytes;

struct seen {
	unsigned glances, reads, told, stops;
	double told_s, first_s; /* of the first */
};

/* Lets time pass until `until` seconds from now, with memory as anon_of says; ends when something is told. */
static struct seen play(struct world *world, const struct agent *agent, uint64_t (*anon_of)(double), double until)
{
	uint64_t begin_ns = world->now_ns;
	struct seen seen = {.told_s = -1};

	while (agent->leak && agent->leak->look_ns) {
		struct event tick = {.kind = EVENT_TICK, .tick.slice_bytes = slice_bytes};
		const struct action *asked;
		double t = (double)(agent->leak->look_ns - begin_ns) / 1e9;

		if (t > until)
			break;
		world->now_ns = MAX2(world->now_ns, agent->leak->look_ns);
		world_step(world, &tick);
		while ((asked = world_action(world, ACTION_SAMPLE, 0))) {
			bool wants_anon = asked->wants_anon;

			seen.glances += !wants_anon;
			seen.reads += wants_anon;
			sample(world, agent, anon_of(t), wants_anon);
			if (!world_action(world, ACTION_RECORD, 0))
				continue;
			seen.stops += (unsigned)world_count(world, ACTION_SIGNAL);
			seen.told++;
			seen.told_s = t;
			return seen;
		}
	}
	return seen;
}

static uint64_t grows(double t)
{
	return 10 * MIB + (uint64_t)(t * 10 * (double)MIB);
}

static uint64_t grows_slowly(double t)
{
	return 10 * MIB + (uint64_t)(t * (double)MIB);
}

static uint64_t rests(double t)
{
	(void)t;
	return 50 * MIB;
}

/* It rests for 100 s, then it grows by 10 MiB/s. */
static uint64_t grows_later(double t)
{
	return 50 * MIB + (t > 101 ? (uint64_t)((t - 101) * 10 * (double)MIB) : 0);
}

Test(leak, is_told_with_its_evidence_before_the_cap)
{
	const struct incident *incident;
	const struct agent *agent;
	struct world world;
	struct seen seen;

	agent = init(&world, POLICY_LEAK_ALERT, false);
	cr_assert_not_null(world_action(&world, ACTION_SAMPLE, 0), "it is looked at as soon as it is placed");
	sample(&world, agent, 10 * MIB, false);
	sample(&world, agent, 10 * MIB, true);
	seen = play(&world, agent, grows, 29);
	cr_assert_eq(seen.told, 1);
	cr_expect_leq(seen.told_s, 15);
	incident = world_told(&world);
	cr_expect_eq(incident->kind, INCIDENT_LEAK);
	cr_expect_eq(incident->by_uid, INCIDENT_BY_GOVD);
	cr_expect_str_eq(incident->rule, "leak.horizon");
	cr_expect_str_eq(incident->action, "alert");
	cr_expect_str_eq(incident->result, "done");
	cr_expect_eq(world_number(incident, "cap_bytes"), CAP);
	cr_expect_eq(world_number(incident, "anon_bytes"), grows(seen.told_s));
	cr_expect_leq(world_number(incident, "slope_bytes_per_min") / MIB, 610);
	cr_expect_geq(world_number(incident, "slope_bytes_per_min") / MIB, 590);
	cr_expect_geq(world_number(incident, "measured_s"), 10000);
	cr_expect_geq(world_number(incident, "reached_in_s"), (uint64_t)(1000 * (29 - seen.told_s) * 0.9));
	cr_expect_leq(world_number(incident, "reached_in_s"), (uint64_t)(1000 * (29 - seen.told_s) * 1.1));
	cr_expect_eq(agent->state, AGENT_ACTIVE);
	/* It goes on: that isn't told again. */
	cr_expect_eq(play(&world, agent, grows, 29 - seen.told_s).told, 0);
	world_done(&world);
}

Test(leak, one_that_begins_later_is_told_in_time)
{
	const struct agent *agent;
	struct world world;
	struct seen seen;

	agent = init(&world, POLICY_LEAK_ALERT, false);
	sample(&world, agent, 50 * MIB, false);
	sample(&world, agent, 50 * MIB, true);
	seen = play(&world, agent, grows_later, 126);
	cr_assert_eq(seen.told, 1);
	cr_expect_leq(seen.told_s, 122, "at %.1f", seen.told_s);
	world_done(&world);
}

Test(leak, who_rests_is_looked_at_seldom)
{
	const struct agent *agent;
	struct world world;
	struct seen seen;

	agent = init(&world, POLICY_LEAK_ALERT, false);
	sample(&world, agent, 50 * MIB, false);
	sample(&world, agent, 50 * MIB, true);
	play(&world, agent, rests, 40);
	seen = play(&world, agent, rests, 600);
	cr_expect_eq(seen.told, 0);
	cr_expect_leq(seen.glances, 61);
	cr_expect_leq(seen.reads, 10);
	world_done(&world);
}

/* Where all agents together are at rest none of them is looked at, but once in a while. */
Test(leak, who_rests_among_the_resting_is_looked_at_more_seldom)
{
	const struct agent *agent;
	struct world world;
	struct seen seen;

	slice_bytes = 500 * MIB;
	agent = init(&world, POLICY_LEAK_ALERT, false);
	sample(&world, agent, 50 * MIB, false);
	sample(&world, agent, 50 * MIB, true);
	play(&world, agent, rests, 40);
	seen = play(&world, agent, rests, 600);
	cr_expect_eq(seen.told, 0);
	cr_expect_geq(seen.glances, 8);
	cr_expect_leq(seen.glances, 10);
	cr_expect_leq(seen.reads, 10);
	slice_bytes = 520 * MIB;
	cr_expect_eq(play(&world, agent, rests, 15).glances, 1, "the slice has grown");
	world_done(&world);
}

/* Others give back what a leak takes. */
Test(leak, behind_a_slice_at_rest_is_told)
{
	const struct agent *agent;
	struct world world;
	struct seen seen;

	slice_bytes = 500 * MIB;
	agent = init(&world, POLICY_LEAK_ALERT, false);
	sample(&world, agent, 10 * MIB, false);
	sample(&world, agent, 10 * MIB, true);
	seen = play(&world, agent, grows_slowly, 200);
	cr_expect_eq(seen.told, 1);
	cr_expect_leq(seen.told_s, 130);
	world_done(&world);
}

Test(leak, stop_stops)
{
	const struct agent *agent;
	struct world world;
	struct seen seen;

	agent = init(&world, POLICY_LEAK_STOP, false);
	sample(&world, agent, 10 * MIB, false);
	sample(&world, agent, 10 * MIB, true);
	seen = play(&world, agent, grows, 29);
	cr_assert_eq(seen.told, 1);
	cr_expect_eq(seen.stops, 1);
	cr_expect_str_eq(world_told(&world)->action, "stop");
	cr_expect_eq(agent->state, AGENT_STOPPING);
	cr_expect_str_eq(agent->stop_rule, "leak");
	world_done(&world);
}

Test(leak, stop_spares_the_protected)
{
	const struct agent *agent;
	struct world world;

	agent = init(&world, POLICY_LEAK_STOP, true);
	sample(&world, agent, 10 * MIB, false);
	sample(&world, agent, 10 * MIB, true);
	cr_assert_eq(play(&world, agent, grows, 29).stops, 0);
	cr_expect_str_eq(world_told(&world)->result, "refused");
	cr_expect_eq(agent->state, AGENT_ACTIVE);
	world_done(&world);
}

Test(leak, nothing_is_forecast_without_a_cap_or_the_key)
{
	const struct agent *agent;
	struct world world;

	init(&world, POLICY_LEAK_ALERT, false);
	agent = born(&world, "/opt/free");
	cr_expect_null(world_action(&world, ACTION_SAMPLE, 0));
	sample(&world, agent, MIB, true);
	cr_expect_null(agent->leak);
	cr_expect_eq(agent->memory_bytes, 11 * MIB);
	world_done(&world);

	agent = init(&world, POLICY_LEAK_ALERT, false);
	sample(&world, agent, MIB, false);
	cr_expect_not_null(agent->leak);
	set_leak(&world, 0, POLICY_LEAK_ALERT, false);
	sample(&world, agent, MIB, false);
	cr_expect_null(agent->leak);
	world_done(&world);
}
