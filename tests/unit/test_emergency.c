/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>

#include "base/text.h"
#include "core/emergency.h"
#include "emergency_case.h"

/* step(): when it is an emergency of the host, and how often something is done. test_emergency_choose.c: to whom. */

TestSuite(emergency, .timeout = 30);

Test(emergency, calm_hosts_are_looked_at_by_how_fast_they_could_fill)
{
	struct emergency_case c;

	emergency_case_init(&c, 1);
	look(&c, 800 * MIB);
	EXPECT(&c.world, "");
	/* 750 MiB at 4 GB a second. */
	cr_expect_eq(state_next_look_ns(c.world.state) - c.world.now_ns, 750 * MIB / 4);
	look(&c, 60 * MIB);
	cr_expect_eq(state_next_look_ns(c.world.state) - c.world.now_ns, 50 * NSEC_PER_MSEC);
	c.host.total_bytes = 100000 * MIB;
	look(&c, 90000 * MIB);
	cr_expect_eq(state_next_look_ns(c.world.state), (c.world.now_ns / NSEC_PER_SEC + 1) * NSEC_PER_SEC,
		     "on the next whole second");
	expect_state(&c, "calm");
	emergency_case_done(&c);
}

Test(emergency, below_half_of_the_threshold_something_is_done_at_once)
{
	struct emergency_case c;

	emergency_case_init(&c, 1);
	look(&c, 51 * MIB);
	EXPECT(&c.world, "");
	pass(&c, 10 * NSEC_PER_SEC);
	look(&c, 24 * MIB);
	EXPECT(&c.world, "weigh");
	weigh(&c);
	EXPECT(&c.world, "kill timer record");
	expect_state(&c, "ending");
	emergency_case_done(&c);
}

Test(emergency, below_the_threshold_for_as_long_as_for)
{
	struct emergency_case c;

	emergency_case_init(&c, 1);
	for (unsigned i = 0; i < 99; i++) {
		look(&c, 40 * MIB);
		EXPECT(&c.world, "");
		pass(&c, 50 * NSEC_PER_MSEC);
	}
	expect_state(&c, "short");
	/* A moment of more begins it anew. */
	look(&c, 60 * MIB);
	expect_state(&c, "calm");
	for (unsigned i = 0; i < 100; i++) {
		look(&c, 40 * MIB);
		EXPECT(&c.world, "");
		pass(&c, 49 * NSEC_PER_MSEC);
	}
	pass(&c, 50 * NSEC_PER_MSEC);
	look(&c, 40 * MIB);
	EXPECT(&c.world, "weigh");
	emergency_case_done(&c);
}

Test(emergency, memory_that_will_be_gone_in_a_moment_is_not_waited_for)
{
	struct emergency_case c;

	emergency_case_init(&c, 1);
	/* 80 MiB a second, 40 in the half of a second that an end may take. */
	for (uint64_t mib = 100; mib > 40; mib -= 4) {
		look(&c, mib * MIB);
		EXPECT(&c.world, "");
		pass(&c, 50 * NSEC_PER_MSEC);
	}
	look(&c, 36 * MIB);
	EXPECT(&c.world, "weigh");
	emergency_case_done(&c);
}

Test(emergency, one_jump_is_not_a_fall)
{
	struct emergency_case c;

	emergency_case_init(&c, 1);
	look(&c, 300 * MIB);
	pass(&c, 50 * NSEC_PER_MSEC);
	look(&c, 30 * MIB);
	EXPECT(&c.world, "");
	pass(&c, 50 * NSEC_PER_MSEC);
	look(&c, 30 * MIB);
	EXPECT(&c.world, "");
	emergency_case_done(&c);
}

Test(emergency, free_swap_is_memory_too)
{
	struct emergency_case c;

	emergency_case_init(&c, 1);
	c.host.swap_total_bytes = 1000 * MIB;
	c.host.swap_free_bytes = 51 * MIB;
	look(&c, 1 * MIB);
	EXPECT(&c.world, "");
	c.host.swap_free_bytes = 49 * MIB;
	look(&c, 1 * MIB);
	EXPECT(&c.world, "weigh");
	emergency_case_done(&c);
}

/* Stalls of so many thousandths of the time, for so long. */
static bool stall(struct emergency_case *c, uint64_t permille, uint64_t ns, uint64_t available)
{
	for (uint64_t passed = 0; passed < ns; passed += 100 * NSEC_PER_MSEC) {
		pass(c, 100 * NSEC_PER_MSEC - NSEC_PER_MSEC);
		c->host.full_ns += 100 * NSEC_PER_MSEC / 1000 * permille;
		look(c, available);
		if (world_count(&c->world, ACTION_WEIGH))
			return true;
	}
	return false;
}

Test(emergency, pressure_is_a_share_of_the_time)
{
	struct emergency_case c;

	emergency_case_init(&c, 1);
	c.host.full_ns = 0;
	look(&c, 100 * MIB);
	cr_expect_not(stall(&c, 190, 60 * NSEC_PER_SEC, 100 * MIB));
	expect_state(&c, "calm");
	cr_expect(stall(&c, 220, 6 * NSEC_PER_SEC, 100 * MIB));
	weigh(&c);
	cr_expect_str_eq(told(&c)->rule, "emergency.pressure_full");
	expect_number(&c, "pressure_full_pct", 20000, 22000);
	emergency_case_done(&c);
}

Test(emergency, all_that_waits_is_seen_within_a_second)
{
	struct emergency_case c;

	emergency_case_init(&c, 1);
	c.host.full_ns = 0;
	look(&c, 100 * MIB);
	pass(&c, 20 * NSEC_PER_SEC);
	look(&c, 100 * MIB);
	cr_expect_not(stall(&c, 1000, 1 * NSEC_PER_SEC, 100 * MIB));
	cr_expect(stall(&c, 1000, NSEC_PER_SEC / 5, 100 * MIB));
	emergency_case_done(&c);
}

Test(emergency, pressure_of_groups_own_limits_is_not_the_hosts)
{
	struct emergency_case c;

	emergency_case_init(&c, 1);
	c.host.full_ns = 0;
	look(&c, 300 * MIB);
	cr_expect_not(stall(&c, 1000, 60 * NSEC_PER_SEC, 300 * MIB));
	emergency_case_done(&c);
}

Test(emergency, pressure_that_is_not_known_is_none)
{
	struct emergency_case c;
	struct emergency_view view;

	emergency_case_init(&c, 1);
	for (unsigned i = 0; i < 100; i++) {
		look(&c, 100 * MIB);
		EXPECT(&c.world, "");
		pass(&c, 100 * NSEC_PER_MSEC);
	}
	state_emergency(c.world.state, &view);
	cr_expect_eq(view.full_milli, UINT64_MAX);
	/* From when it is known on it counts from there. */
	c.host.full_ns = 3600 * NSEC_PER_SEC;
	look(&c, 100 * MIB);
	EXPECT(&c.world, "");
	state_emergency(c.world.state, &view);
	cr_expect_eq(view.full_milli, 0);
	emergency_case_done(&c);
}

Test(emergency, off_is_off)
{
	struct emergency_case c;

	emergency_case_init(&c, 1);
	c.world.set->host.emergency = (struct host_emergency){.for_ns = 5 * NSEC_PER_SEC, .kills_per_min = 3};
	c.host.full_ns = 0;
	look(&c, 1 * MIB);
	cr_expect_not(stall(&c, 1000, 10 * NSEC_PER_SEC, 1 * MIB));
	cr_expect_eq(state_next_look_ns(c.world.state), UINT64_MAX);
	expect_state(&c, "off");
	emergency_case_done(&c);
}

/* ---- one at a time ---- */

Test(emergency, memory_is_waited_for)
{
	struct emergency_case c;

	emergency_case_init(&c, 3);
	look(&c, 20 * MIB);
	weigh(&c);
	cr_assert_eq(world_count(&c.world, ACTION_KILL), 1);
	/* It ends slowly, and nobody else is ended. */
	for (unsigned i = 0; i < 40; i++) {
		pass(&c, 100 * NSEC_PER_MSEC);
		look(&c, 5 * MIB);
		EXPECT(&c.world, "");
	}
	ended(&c);
	look(&c, 5 * MIB);
	EXPECT(&c.world, "");
	/* It has, and memory isn't back: somebody else has it. */
	pass(&c, 200 * NSEC_PER_MSEC);
	look(&c, 5 * MIB);
	EXPECT(&c.world, "weigh");
	weigh(&c);
	cr_assert_eq(world_count(&c.world, ACTION_KILL), 1);
	ended(&c);
	look(&c, 500 * MIB);
	EXPECT(&c.world, "record");
	cr_expect_str_eq(told(&c)->result, "over");
	expect_number(&c, "ended", 2, 2);
	expect_number(&c, "available_bytes", 500 * MIB, 500 * MIB);
	expect_state(&c, "calm");
	emergency_case_done(&c);
}

Test(emergency, one_that_does_not_end_is_not_waited_for_for_ever)
{
	struct emergency_case c;

	emergency_case_init(&c, 2);
	look(&c, 20 * MIB);
	weigh(&c);
	pass(&c, 5 * NSEC_PER_SEC);
	look(&c, 20 * MIB);
	EXPECT(&c.world, "weigh");
	weigh(&c);
	cr_assert_eq(world_count(&c.world, ACTION_KILL), 1);
	emergency_case_done(&c);
}

Test(emergency, kills_per_min_is_a_limit_and_an_alert)
{
	struct emergency_case c;

	emergency_case_init(&c, 5);
	for (unsigned i = 0; i < 3; i++) {
		look(&c, 20 * MIB);
		weigh(&c);
		cr_assert_eq(world_count(&c.world, ACTION_KILL), 1);
		ended(&c);
		look(&c, 20 * MIB);
		EXPECT(&c.world, "");
		pass(&c, NSEC_PER_SEC);
	}
	look(&c, 20 * MIB);
	EXPECT(&c.world, "record");
	cr_expect_str_eq(told(&c)->rule, "emergency.kills_per_min");
	cr_expect_eq(told(&c)->kind, INCIDENT_ALERT);
	for (unsigned i = 0; i < 55; i++) {
		pass(&c, NSEC_PER_SEC);
		look(&c, 20 * MIB);
		EXPECT(&c.world, "");
	}
	/* A minute after the first. */
	pass(&c, 3 * NSEC_PER_SEC);
	look(&c, 20 * MIB);
	EXPECT(&c.world, "weigh");
	emergency_case_done(&c);
}

static void past_kill(struct emergency_case *c, uint64_t kill_ns)
{
	struct event event = {.kind = EVENT_PAST_KILL};

	event.past_kill.kill_ns = kill_ns;
	world_step(&c->world, &event);
	EXPECT(&c->world, "");
}

Test(emergency, kills_per_min_counts_those_of_an_earlier_govd)
{
	struct emergency_case c;

	emergency_case_init(&c, 5);
	pass(&c, 100 * NSEC_PER_SEC);
	/* In no order; the first is out of date, and there is room for as many as may ever be. */
	for (unsigned i = 0; i < EMERGENCY_KILLS_MAX; i++)
		past_kill(&c, c.world.now_ns - 61 * NSEC_PER_SEC);
	past_kill(&c, c.world.now_ns - 10 * NSEC_PER_SEC);
	past_kill(&c, c.world.now_ns - 50 * NSEC_PER_SEC);
	cr_expect_eq(state_last_kill_ns(c.world.state), 0, "it isn't of this one");
	look(&c, 20 * MIB);
	EXPECT(&c.world, "weigh");
	weigh(&c);
	cr_assert_eq(world_count(&c.world, ACTION_KILL), 1);
	cr_expect_eq(state_last_kill_ns(c.world.state), c.world.now_ns);
	expect_number(&c, "kills_in_minute", 3, 3);
	ended(&c);
	look(&c, 20 * MIB);
	EXPECT(&c.world, "");
	pass(&c, NSEC_PER_SEC);
	look(&c, 20 * MIB);
	EXPECT(&c.world, "record");
	cr_expect_str_eq(told(&c)->rule, "emergency.kills_per_min");
	/* A minute after the first of the three. */
	pass(&c, 9 * NSEC_PER_SEC);
	look(&c, 20 * MIB);
	EXPECT(&c.world, "weigh");
	emergency_case_done(&c);
}

Test(emergency, what_was_only_observed_is_not_for_the_next_govd)
{
	struct emergency_case c;

	emergency_case_init(&c, 0);
	add_agent(&c, "/opt/watched");
	look(&c, 20 * MIB);
	weigh(&c);
	cr_assert_str_eq(told(&c)->action, "would-kill");
	cr_expect_eq(state_last_kill_ns(c.world.state), 0);
	emergency_case_done(&c);
}

Test(emergency, nobody_is_told_once_a_minute)
{
	struct emergency_case c;
	unsigned records = 0;

	emergency_case_init(&c, 0);
	for (unsigned i = 0; i < 150; i++) {
		look(&c, 20 * MIB);
		EXPECT(&c.world, "weigh");
		weigh(&c);
		records += (unsigned)world_count(&c.world, ACTION_RECORD);
		pass(&c, NSEC_PER_SEC);
	}
	cr_expect_eq(records, 3);
	expect_state(&c, "short");
	emergency_case_done(&c);
}

Test(emergency, weights_that_nobody_asked_for_do_nothing)
{
	struct emergency_case c;

	emergency_case_init(&c, 1);
	weigh(&c);
	EXPECT(&c.world, "");
	look(&c, 20 * MIB);
	weigh(&c);
	weigh(&c);
	EXPECT(&c.world, "");
	emergency_case_done(&c);
}

/* ---- what must hold whatever happens ---- */

static uint64_t dice(uint64_t *seed, uint64_t n)
{
	*seed = *seed * UINT64_C(6364136223846793005) + 1442695040888963407;
	return (*seed >> 33) % n;
}

static void play(uint64_t seed)
{
	uint64_t kills[64] = {0}, n_kills = 0, fast_until = 0;
	struct emergency_case c;

	emergency_case_init(&c, 20);
	c.host.full_ns = 0;
	for (unsigned i = 0; i < 20; i++)
		if (dice(&seed, 4) == 0)
			c.agents[i]->policy = c.world.set->policies[1]; /* protected */
	for (unsigned i = 0; i < 3000; i++) {
		uint64_t wait = dice(&seed, 8) ? 50 * NSEC_PER_MSEC : dice(&seed, 5 * NSEC_PER_SEC);

		/* A clock that stalls, too. */
		if (dice(&seed, 10))
			pass(&c, wait);
		c.host.full_ns += dice(&seed, 3) ? 0 : wait / 2;
		look(&c, dice(&seed, 3) ? dice(&seed, 60) * MIB : dice(&seed, 1000) * MIB);
		if (world_count(&c.world, ACTION_WEIGH))
			weigh(&c);
		for (size_t k = 0; world_action(&c.world, ACTION_KILL, k); k++) {
			const struct agent *agent = world_action(&c.world, ACTION_KILL, k)->agent;

			cr_assert_not(agent->policy->protect);
			cr_assert_eq(k, 0, "two at once");
			cr_assert_geq(c.world.now_ns, fast_until, "while another one ends");
			if (n_kills >= 3)
				cr_assert_geq(c.world.now_ns - kills[(n_kills - 3) % 64], 60 * NSEC_PER_SEC);
			kills[n_kills++ % 64] = c.world.now_ns;
			fast_until = c.world.now_ns + EMERGENCY_KILL_WAIT_NS;
		}
		if (fast_until && dice(&seed, 5) == 0) {
			ended(&c);
			fast_until = 0;
		}
	}
	cr_expect_gt(n_kills, 0);
	for (unsigned i = 0; i < 20; i++)
		if (c.agents[i])
			c.agents[i]->policy = c.world.set->policies[0];
	emergency_case_done(&c);
}

Test(emergency, never_the_protected_never_too_many_one_at_a_time)
{
	for (uint64_t seed = 1; seed <= 100; seed++)
		play(seed);
}
