/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>

#include "base/text.h"
#include "core/emergency.h"
#include "core/state.h"
#include "emergency_case.h"

/* step(): who is ended in an emergency of the host. */

TestSuite(emergency_choose, .timeout = 30);

static const struct agent *killed(const struct emergency_case *c)
{
	const struct action *kill = world_action(&c->world, ACTION_KILL, 0);

	cr_assert_leq(world_count(&c->world, ACTION_KILL), 1);
	return kill ? kill->agent : NULL;
}

static const struct agent *choose(struct emergency_case *c)
{
	look(c, 20 * MIB);
	EXPECT(&c->world, "weigh");
	weigh(c);
	return killed(c);
}

/* ---- the order ---- */

static void make_stopping(struct emergency_case *c, struct agent *agent)
{
	world_command(&c->world, COMMAND_STOP, agent->handle);
	cr_assert_eq(agent->state, AGENT_STOPPING);
}

static void make_orphan(struct emergency_case *c, struct agent *agent)
{
	weight_of(c, agent)->ppid = 1;
}

static void make_idle(struct emergency_case *c, struct agent *agent)
{
	agent->active_ns = c->world.now_ns - 61 * NSEC_PER_SEC;
}

static void make_over_high(struct emergency_case *c, struct agent *agent)
{
	agent->policy->limits.memory_high_bytes = weight_of(c, agent)->bytes;
}

static void make_unimportant(struct emergency_case *c _unused_, struct agent *agent)
{
	agent->policy->priority = -1;
}

static void make_large(struct emergency_case *c, struct agent *agent)
{
	weight_of(c, agent)->bytes = 90 * MIB;
}

static void make_nothing(struct emergency_case *c _unused_, struct agent *agent _unused_)
{
}

/* In the documented order; each counts more than all that follow it together. */
static const struct {
	void (*make)(struct emergency_case *c, struct agent *agent);
	const char *word;
} criteria[] = {
	{make_stopping, " stopping"},
	{make_orphan, " orphan"},
	{make_idle, " idle 1min"},
	{make_over_high, " over-high"},
	{make_unimportant, " priority -1"},
	{make_large, " 90.0M"},
	{make_nothing, ""},
};

/* A policy of its own for the one, so that its limits and priority are its own. */
static void play_order(size_t first)
{
	struct emergency_case c;
	struct agent *one, *other;

	emergency_case_init(&c, 0);
	c.world.set->policies[1]->protect = false;
	pass(&c, 3600 * NSEC_PER_SEC);
	/* The younger comes first where nothing else differs: so the one is the older. */
	one = add_agent(&c, "/opt/safe");
	other = add_agent(&c, "/opt/bot");
	criteria[first].make(&c, one);
	for (size_t i = first + 1; i < ELEMENTSOF(criteria); i++)
		criteria[i].make(&c, other);
	cr_expect_eq(choose(&c), one, "criterion %zu isn't before those after it", first);
	cr_expect_not_null(strstr(world_text(told(&c), "rank_1"), criteria[first].word), "%s",
			   world_text(told(&c), "rank_1"));
	cr_expect_eq(strncmp(world_text(told(&c), "rank_2"), other->id, strlen(other->id)), 0);
	emergency_case_done(&c);
}

Test(emergency_choose, in_the_order_that_is_documented)
{
	for (size_t i = 0; i + 1 < ELEMENTSOF(criteria); i++)
		play_order(i);
}

Test(emergency_choose, of_equals_the_youngest)
{
	struct emergency_case c;

	emergency_case_init(&c, 3);
	cr_expect_eq(choose(&c), c.agents[2]);
	emergency_case_done(&c);
}

Test(emergency_choose, of_duplicates_all_but_the_youngest_come_first)
{
	struct emergency_case c;
	struct agent *other;

	emergency_case_init(&c, 4);
	other = add_agent(&c, "/opt/watched");
	for (size_t i = 1; i < 4; i++)
		world_set_key(&c.world, c.agents[i], "blue");
	world_set_key(&c.world, other, "red");
	world_set_key(&c.world, c.agents[0], "red"); /* of another policy: no duplicate */
	c.agents[2]->since_ns = c.agents[1]->since_ns;
	c.agents[3]->since_ns = c.agents[1]->since_ns + 1;
	cr_expect_eq(choose(&c), c.agents[2]);
	ended(&c);
	look(&c, 20 * MIB);
	pass(&c, NSEC_PER_SEC);
	cr_expect_eq(choose(&c), c.agents[1]);
	ended(&c);
	look(&c, 20 * MIB);
	pass(&c, NSEC_PER_SEC);
	/* The last of them isn't one any more. */
	weight_of(&c, c.agents[0])->bytes = 51 * MIB;
	cr_expect_eq(choose(&c), c.agents[0]);
	emergency_case_done(&c);
}

Test(emergency_choose, whose_root_has_ended_is_an_orphan)
{
	struct emergency_case c;

	emergency_case_init(&c, 2);
	world_exit(&c.world, c.agents[0]->root_pid, 0);
	c.weights[0].ppid = 0;
	cr_expect_eq(choose(&c), c.agents[0]);
	emergency_case_done(&c);
}

/* One that an earlier govd left behind: who has started it isn't known, until the scan sees its parent. */
Test(emergency_choose, whose_parent_is_not_known_is_no_orphan)
{
	struct emergency_case c;

	emergency_case_init(&c, 2);
	c.agents[0]->root_ppid = 0;
	c.weights[0].ppid = 1;
	cr_expect_eq(choose(&c), c.agents[1]);
	emergency_case_done(&c);
}

/* ---- who never is ---- */

Test(emergency_choose, never_the_protected_nor_the_observed)
{
	struct emergency_case c;
	struct agent *safe, *watched;

	emergency_case_init(&c, 1);
	safe = add_agent(&c, "/opt/safe");
	watched = add_agent(&c, "/opt/watched");
	make_orphan(&c, safe);
	make_orphan(&c, watched);
	cr_expect_eq(choose(&c), c.agents[0]);
	cr_expect_not_null(strstr(world_text(told(&c), "rank_1"), "[observed]"));
	cr_expect_not_null(strstr(world_text(told(&c), "rank_2"), "[protected]"));
	cr_expect_str_eq(told(&c)->agent, c.agents[0]->id);
	ended(&c);
	look(&c, 20 * MIB);
	pass(&c, NSEC_PER_SEC);
	/* Now only what would be done can be told. */
	cr_expect_null(choose(&c));
	cr_expect_str_eq(told(&c)->action, "would-kill");
	cr_expect_str_eq(told(&c)->result, "observed");
	cr_expect_str_eq(told(&c)->agent, watched->id);
	cr_expect_neq(watched->state, AGENT_STOPPING);
	/* Not again and again. */
	for (unsigned i = 0; i < 19; i++) {
		pass(&c, NSEC_PER_SEC);
		look(&c, 20 * MIB);
		EXPECT(&c.world, "");
	}
	pass(&c, NSEC_PER_SEC);
	cr_expect_null(choose(&c));
	cr_expect_str_eq(told(&c)->action, "none");
	emergency_case_done(&c);
}

Test(emergency_choose, never_whose_policy_has_gone)
{
	struct emergency_case c;

	emergency_case_init(&c, 1);
	c.agents[0]->is_orphaned_policy = true;
	cr_expect_null(choose(&c));
	cr_expect_str_eq(told(&c)->action, "none");
	cr_expect_not_null(strstr(world_text(told(&c), "rank_1"), "[without-policy]"));
	emergency_case_done(&c);
}

Test(emergency_choose, who_is_being_stopped_gently_is_not_given_the_grace)
{
	struct emergency_case c;

	emergency_case_init(&c, 2);
	make_stopping(&c, c.agents[0]);
	cr_expect_eq(choose(&c), c.agents[0]);
	cr_expect_str_eq(c.agents[0]->stop_rule, "stop");
	emergency_case_done(&c);
}

Test(emergency_choose, who_ends_already_is_left_alone)
{
	struct emergency_case c;

	emergency_case_init(&c, 2);
	world_command(&c.world, COMMAND_KILL, c.agents[1]->handle);
	cr_expect_eq(choose(&c), c.agents[0]);
	emergency_case_done(&c);
}

/* ---- too small ---- */

Test(emergency_choose, who_would_not_help_is_not_ended)
{
	struct emergency_case c;

	emergency_case_init(&c, 4);
	for (size_t i = 0; i < 3; i++) {
		c.weights[i].bytes = 7 * MIB; /* 80 are missing, a tenth of which is 8 */
		make_orphan(&c, c.agents[i]);
	}
	cr_expect_eq(choose(&c), c.agents[3]);
	expect_number(&c, "too_small", 3, 3);
	expect_number(&c, "least_bytes", 8 * MIB, 8 * MIB);
	expect_number(&c, "agent_bytes", 50 * MIB, 50 * MIB);
	emergency_case_done(&c);
}

/* 100 MB a second are 500 in 5 s. */
static void fall_fast(struct emergency_case *c)
{
	for (uint64_t mib = 140; mib > 20; mib -= 10) {
		look(c, mib * MIB);
		EXPECT(&c->world, "");
		pass(c, 99 * NSEC_PER_MSEC);
		if (mib == 50)
			break;
	}
}

Test(emergency_choose, nor_who_would_not_help_for_long)
{
	struct emergency_case c;

	emergency_case_init(&c, 4);
	for (size_t i = 0; i < 3; i++)
		make_orphan(&c, c.agents[i]);
	c.weights[3].bytes = 600 * MIB;
	fall_fast(&c);
	cr_expect_eq(choose(&c), c.agents[3]);
	expect_number(&c, "growing_bytes_per_s", 95 * MIB, 125 * MIB);
	expect_number(&c, "too_small", 3, 3);
	emergency_case_done(&c);
}

Test(emergency_choose, but_where_all_are_small_one_of_them)
{
	struct emergency_case c;

	emergency_case_init(&c, 4);
	make_orphan(&c, c.agents[1]);
	fall_fast(&c);
	cr_expect_eq(choose(&c), c.agents[1]);
	expect_number(&c, "least_bytes", 25 * MIB, 25 * MIB);
	emergency_case_done(&c);
}

Test(emergency_choose, a_size_that_is_not_known_is_not_too_small)
{
	struct emergency_case c;

	emergency_case_init(&c, 2);
	c.weights[0].bytes = c.weights[1].bytes = UINT64_MAX;
	make_orphan(&c, c.agents[0]);
	cr_expect_eq(choose(&c), c.agents[0]);
	emergency_case_done(&c);
}

Test(emergency_choose, one_that_has_ended_meanwhile_is_passed_over)
{
	struct emergency_case c;

	emergency_case_init(&c, 2);
	look(&c, 20 * MIB);
	world_exit(&c.world, c.agents[1]->root_pid, 0);
	world_empty(&c.world, c.agents[1]->handle);
	world_removed(&c.world, c.agents[1]->handle, 0);
	weigh(&c);
	cr_expect_eq(killed(&c), c.agents[0]);
	emergency_case_done(&c);
}

/* ---- what is told ---- */

Test(emergency_choose, five_are_told_with_all_that_is_true_of_them)
{
	struct emergency_case c;
	const struct incident *incident;
	char line[128];

	emergency_case_init(&c, 7);
	world_set_key(&c.world, c.agents[6], "blue room");
	c.weights[6].bytes = 152 * MIB + 400 * 1024;
	make_orphan(&c, c.agents[6]);
	make_orphan(&c, c.agents[5]);
	make_orphan(&c, c.agents[4]);
	cr_expect_eq(choose(&c), c.agents[6]);
	incident = told(&c);
	snprintf(line, sizeof(line), "%s 152.4M orphan bot/blue room", c.agents[6]->id);
	cr_expect_str_eq(world_text(incident, "rank_1"), line);
	snprintf(line, sizeof(line), "%s 50.0M bot", c.agents[2]->id);
	cr_expect_str_eq(world_text(incident, "rank_5"), line);
	cr_expect_null(world_text(incident, "rank_6"));
	cr_expect_eq(incident->by_uid, INCIDENT_BY_GOVD);
	cr_expect_str_eq(incident->rule, "emergency.memory_available");
	expect_number(&c, "available_bytes", 20 * MIB, 20 * MIB);
	expect_number(&c, "missing_bytes", 80 * MIB, 80 * MIB);
	expect_number(&c, "kills_in_minute", 1, 1);
	emergency_case_done(&c);
}

/* All facts and texts have room, however long keys and policies are. */
Test(emergency_choose, the_longest_ranking_fits)
{
	char key[POLICY_KEY_MAX] = "";
	struct emergency_case c;

	emergency_case_init(&c, 6);
	c.host.swap_total_bytes = 1000 * MIB;
	c.host.full_ns = 0;
	memset(key, 'k', sizeof(key) - 1);
	for (size_t i = 0; i < 6; i++) {
		world_set_key(&c.world, c.agents[i], key);
		make_orphan(&c, c.agents[i]);
		make_idle(&c, c.agents[i]);
	}
	c.agents[0]->policy->priority = INT32_MIN + 1;
	choose(&c);
	cr_expect_eq(strlen(world_text(told(&c), "rank_5")), 111);
	expect_number(&c, "pressure_full_pct", 0, 0);
	expect_number(&c, "swap_free_bytes", 0, 0);
	emergency_case_done(&c);
}
