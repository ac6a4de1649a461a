/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>

#include "ladder_model.h"

/* step(): the ladder of memory pressure. */

static const struct model_policy both = {
	.on_pressure = POLICY_PRESSURE_HIGH, .high_bytes = 200 * MIB, .max_bytes = 300 * MIB};

static struct model_policy with(enum policy_pressure on_pressure)
{
	struct model_policy policy = both;

	policy.on_pressure = on_pressure;
	return policy;
}

Test(ladder, at_rest_nothing_runs)
{
	struct model_policy none = {.on_pressure = POLICY_PRESSURE_STOP};
	struct model model;

	model_init(&model, &both);
	cr_expect(model.is_watched);
	model_run(&model, 600, 10, 5);
	cr_expect_eq(model.counts[ACTION_PRESSURE], 0);
	cr_expect_eq(model.counts[ACTION_TIMER], 0);
	model_done(&model);
	/* What has no limit isn't short of memory of its own. */
	model_init(&model, &none);
	cr_expect(!model.is_watched);
	model_set_policy(&model, &both);
	cr_expect(model.is_watched, "its policy limits it now");
	model_done(&model);
}

Test(ladder, climbs_rung_by_rung_and_stops)
{
	static const char *const order[] = {"note", "reclaim", "high", "freeze", "stop"};
	struct model_policy policy = with(POLICY_PRESSURE_STOP);
	struct model model;
	unsigned seconds = 0;

	model_init(&model, &policy);
	for (; seconds < 60 && !model.counts[ACTION_SIGNAL]; seconds++) {
		model_run(&model, 1, 80, 70);
		cr_expect_eq(ladder_of(model.agent)->throttle_bytes != 0, ladder_of(model.agent)->rung == LADDER_HIGH);
		cr_expect_eq(model.is_frozen, ladder_of(model.agent)->rung == LADDER_FREEZE);
	}
	cr_expect_geq(seconds, 25U);
	cr_expect_leq(seconds, 45U);
	cr_assert_eq(model.n_incidents, ELEMENTSOF(order));
	for (size_t i = 0; i < ELEMENTSOF(order); i++)
		cr_expect_str_eq(model.incidents[i].action, order[i]);
	cr_expect_eq(model.agent->state, AGENT_STOPPING);
	cr_expect_str_eq(model.agent->stop_rule, "pressure");
	cr_expect_eq(model.high_bytes, policy.high_bytes);
	cr_expect(!model.is_frozen);
	model_done(&model);
}

Test(ladder, never_above_the_policys_rung)
{
	for (enum policy_pressure top = POLICY_PRESSURE_NOTE; top <= POLICY_PRESSURE_STOP; top++) {
		struct model_policy policy = with(top);
		struct model model;

		policy.protect = top == POLICY_PRESSURE_STOP;
		model_init(&model, &policy);
		model_run(&model, 300, 95, 80);
		cr_expect_eq(model.counts[ACTION_RECLAIM] > 0, top >= POLICY_PRESSURE_RECLAIM);
		cr_expect_eq(model.counts[ACTION_LIMIT] > 0, top >= POLICY_PRESSURE_HIGH);
		cr_expect_eq(model.counts[ACTION_FREEZE] > 0, top >= POLICY_PRESSURE_FREEZE);
		cr_expect_eq(model.counts[ACTION_SIGNAL] + model.counts[ACTION_KILL], 0);
		model_done(&model);
	}
}

Test(ladder, comes_down_when_the_pressure_falls)
{
	struct model model;
	const struct incident *end;

	model_init(&model, &both);
	model_run(&model, 14, 60, 40);
	cr_expect_eq(ladder_of(model.agent)->rung, LADDER_HIGH);
	cr_expect_lt(model.high_bytes, both.high_bytes);
	model_run(&model, 40, 0, 0);
	cr_expect_eq(ladder_of(model.agent)->rung, LADDER_REST);
	cr_expect_eq(model.high_bytes, both.high_bytes);
	cr_expect(model.is_watched);
	end = &model.incidents[model.n_incidents - 1];
	cr_expect_str_eq(end->result, "over");
	for (size_t i = 0; i < end->n_facts; i++)
		if (streq(end->facts[i].name, "peak"))
			cr_expect_str_eq(incident_text(end, &end->facts[i]), "high");
	memset(model.counts, 0, sizeof(model.counts));
	model_run(&model, 60, 0, 0);
	cr_expect_eq(model.counts[ACTION_PRESSURE], 0);
	model_done(&model);
}

Test(ladder, at_its_own_high_it_is_slowed_down_already)
{
	struct model_policy policy = with(POLICY_PRESSURE_STOP);
	struct model model;

	model_init(&model, &both);
	model.view.memory_bytes = both.high_bytes;
	model_run(&model, 60, 80, 70);
	cr_expect_eq(model.counts[ACTION_LIMIT], 0);
	cr_expect_eq(ladder_of(model.agent)->rung, LADDER_RECLAIM);
	model_done(&model);
	model_init(&model, &policy);
	model.view.memory_bytes = both.high_bytes;
	model_run(&model, 60, 80, 70);
	cr_expect_geq(model.counts[ACTION_FREEZE], 1);
	cr_expect_eq(model.agent->state, AGENT_STOPPING);
	model_done(&model);
}

Test(ladder, light_pressure_keeps_it_where_it_is)
{
	struct model model;

	model_init(&model, &both);
	model_run(&model, 10, 20, 5);
	cr_expect_eq(ladder_of(model.agent)->rung, LADDER_RECLAIM);
	model_run(&model, 60, 10, 0);
	cr_expect_eq(ladder_of(model.agent)->rung, LADDER_RECLAIM);
	model_run(&model, 12, 0, 0);
	cr_expect_eq(ladder_of(model.agent)->rung, LADDER_REST);
	model_done(&model);
}

Test(ladder, reclaims_a_part_and_only_what_can_be)
{
	struct model model;

	model_init(&model, &both);
	model_run(&model, 8, 20, 5);
	cr_expect_eq(model.reclaim_bytes, 100 * MIB / 16);
	model.view.file_bytes = 4 * MIB;
	model_run(&model, 1, 20, 5);
	cr_expect_eq(model.reclaim_bytes, 2 * MIB);
	memset(model.counts, 0, sizeof(model.counts));
	model.view.file_bytes = MIB;
	model_run(&model, 5, 20, 5);
	cr_expect_eq(model.counts[ACTION_RECLAIM], 0);
	model.view.swap_free_bytes = 1024 * MIB;
	model_run(&model, 5, 20, 5);
	cr_expect_eq(model.counts[ACTION_RECLAIM], 5);
	model_done(&model);
}

/* As with v1's memory controller. */
Test(ladder, without_high_and_reclaim_it_goes_on_to_freeze)
{
	struct model_policy policy = with(POLICY_PRESSURE_FREEZE);
	struct model model;

	model_init(&model, &policy);
	model.view.can_reclaim = model.view.can_throttle = false;
	model_run(&model, 60, 80, 70);
	cr_expect_eq(model.counts[ACTION_RECLAIM] + model.counts[ACTION_LIMIT], 0);
	cr_expect_geq(model.counts[ACTION_FREEZE], 2);
	model_run(&model, 30, 0, 0);
	cr_expect(!model.is_frozen);
	cr_expect_eq(ladder_of(model.agent)->rung, LADDER_REST);
	model_done(&model);
}

Test(ladder, without_psi_only_events_are_noted)
{
	struct model_policy policy = with(POLICY_PRESSURE_STOP);
	struct model model;

	model_init(&model, &policy);
	for (unsigned i = 0; i < 100; i++) {
		/* With what the model adds it is not known. */
		model.view.some_us = model.view.full_us = UINT64_MAX - 900000;
		model_run(&model, 1, 90, 90);
	}
	cr_assert_not_null(model_incident(&model, "note", 0));
	cr_expect_eq(ladder_of(model.agent)->rung, LADDER_RECLAIM);
	cr_expect_eq(model.counts[ACTION_LIMIT] + model.counts[ACTION_FREEZE] + model.counts[ACTION_SIGNAL], 0);
	model_done(&model);
}

Test(ladder, a_lowered_policy_takes_back_what_was_done)
{
	struct model_policy policy = with(POLICY_PRESSURE_NOTE), none = {0};
	struct model model;

	model_init(&model, &both);
	model_run(&model, 14, 60, 40);
	cr_expect_lt(model.high_bytes, both.high_bytes);
	model_set_policy(&model, &policy);
	model_run(&model, 3, 60, 40);
	cr_expect_eq(model.high_bytes, both.high_bytes);
	cr_expect_leq(ladder_of(model.agent)->rung, LADDER_RECLAIM);
	model_done(&model);
	model_init(&model, &both);
	model_run(&model, 14, 60, 40);
	model_set_policy(&model, &none);
	model_run(&model, 3, 60, 40);
	cr_expect_eq(model.high_bytes, UNIT_INFINITY);
	cr_expect_eq(ladder_of(model.agent)->look_ns, 0);
	model_done(&model);
}

/* ---- freezing, by whom ---- */

static void freeze_by_ladder(struct model *model)
{
	struct model_policy policy = with(POLICY_PRESSURE_FREEZE);

	model_init(model, &policy);
	model->view.can_throttle = false;
	for (unsigned i = 0; i < 30 && !model->is_frozen; i++)
		model_run(model, 1, 80, 70);
	cr_assert(model->is_frozen);
	cr_expect_eq(model->agent->state, AGENT_FROZEN);
}

Test(ladder, thaws_what_it_has_frozen)
{
	struct model model;
	uint64_t at_ns;

	freeze_by_ladder(&model);
	cr_expect_str_eq(ladder_next(model.agent, &at_ns), "thaw");
	cr_expect_leq(at_ns - model.world.now_ns, 5 * NSEC_PER_SEC);
	model_run(&model, 6, 0, 0);
	cr_expect(!model.is_frozen);
	cr_expect_eq(model.agent->state, AGENT_ACTIVE);
	model_done(&model);
}

Test(ladder, a_users_freeze_stays)
{
	struct model_policy policy = with(POLICY_PRESSURE_STOP);
	struct model model;

	freeze_by_ladder(&model);
	model_command(&model, COMMAND_FREEZE);
	model_run(&model, 60, 0, 0);
	cr_expect(model.is_frozen);
	cr_expect_eq(model.counts[ACTION_THAW], 0);
	model_done(&model);
	model_init(&model, &policy);
	model_run(&model, 5, 80, 70);
	model_command(&model, COMMAND_FREEZE);
	model_run(&model, 60, 0, 0);
	cr_expect(model.is_frozen);
	cr_expect_eq(ladder_of(model.agent)->rung, LADDER_REST);
	model_command(&model, COMMAND_THAW);
	cr_expect(!model.is_frozen);
	model_done(&model);
}

Test(ladder, who_is_stopped_is_thawed_and_not_slowed_down)
{
	struct model model;

	freeze_by_ladder(&model);
	model_command(&model, COMMAND_STOP);
	cr_expect(!model.is_frozen);
	model_done(&model);
	model_init(&model, &both);
	model_run(&model, 14, 60, 40);
	cr_expect_lt(model.high_bytes, both.high_bytes);
	model_command(&model, COMMAND_STOP);
	cr_expect_eq(model.high_bytes, both.high_bytes);
	model_done(&model);
}

Test(ladder, a_freeze_that_failed_is_no_freeze)
{
	struct event event = {.kind = EVENT_RESULT};
	struct model model;

	freeze_by_ladder(&model);
	event.result.action = ACTION_FREEZE;
	event.result.agent = model.handle;
	event.result.error = ETIMEDOUT;
	model_send(&model, &event);
	cr_expect(!ladder_of(model.agent)->has_frozen);
	model.is_frozen = false;
	model_run(&model, 30, 0, 0);
	cr_expect_eq(model.counts[ACTION_THAW], 0);
	cr_expect_eq(ladder_of(model.agent)->rung, LADDER_REST);
	model_done(&model);
}

static void find(struct world *world, bool is_brief)
{
	static const struct world_policy policies[] = {{.name = "bot", .exe = "/opt/bot"}};
	struct agent saved = {.id = "00000001", .root_pid = ROOT, .root_start_ticks = 5, .cgroup_id = 1001};
	struct event event = {.kind = EVENT_FOUND};

	world_init(world, policies, ELEMENTSOF(policies));
	event.found.agent = &saved;
	event.found.policy = "bot";
	event.found.is_populated = event.found.is_frozen = event.found.root_lives = true;
	event.found.is_frozen_briefly = is_brief;
	world_step(world, &event);
}

Test(ladder, the_next_govd_thaws_what_the_ladder_froze)
{
	struct world world;

	find(&world, true);
	cr_expect_eq(world_count(&world, ACTION_THAW), 1);
	cr_expect_eq(world_count(&world, ACTION_LIMIT), 1);
	world_done(&world);
	find(&world, false);
	cr_expect_eq(world_count(&world, ACTION_THAW), 0);
	world_done(&world);
}

Test(ladder, what_it_has_done_ends_with_govd)
{
	struct event event = {.kind = EVENT_ENDING};
	struct model model;

	freeze_by_ladder(&model);
	model_send(&model, &event);
	cr_expect(!model.is_frozen);
	model_done(&model);
	model_init(&model, &both);
	model_run(&model, 14, 60, 40);
	cr_expect_lt(model.high_bytes, both.high_bytes);
	model_send(&model, &event);
	cr_expect_eq(model.high_bytes, both.high_bytes);
	model_done(&model);
}

/* ---- telling ---- */

Test(ladder, an_episode_is_told_once_a_minute)
{
	const struct incident *note;
	struct model model;

	model_init(&model, &both);
	for (unsigned i = 0; i < 5; i++) {
		model_run(&model, 3, 20, 0);
		model_run(&model, 9, 0, 0);
		cr_expect_eq(ladder_of(model.agent)->rung, LADDER_REST);
	}
	cr_expect_eq(model.n_incidents, 2, "begun and over");
	model_run(&model, 5, 20, 0);
	note = model_incident(&model, "note", 2);
	cr_assert_not_null(note);
	cr_expect_str_eq(note->result, "begun");
	cr_expect_str_eq(note->facts[note->n_facts - 1].name, "untold");
	cr_expect_eq(note->facts[note->n_facts - 1].number, 4);
	model_done(&model);
}
