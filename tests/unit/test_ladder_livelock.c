/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>

#include "core/tool.h"
#include "ladder_model.h"

/* The livelock of memory.high below memory.max, and what holds whatever happens. */

static const struct model_policy base = {
	.on_pressure = POLICY_PRESSURE_HIGH, .high_bytes = 200 * MIB, .max_bytes = 300 * MIB};

static void stuck(struct model *model, const struct model_policy *policy)
{
	model_init(model, policy);
	model->view.memory_bytes = policy->high_bytes + 4 * MIB;
	model->view.file_bytes = 0;
}

static const struct incident *livelock(const struct model *model)
{
	for (size_t i = 0; i < model->n_incidents; i++)
		if (streq(model->incidents[i].rule, "livelock"))
			return &model->incidents[i];
	return NULL;
}

Test(ladder_livelock, the_kernel_decides)
{
	struct model model;

	stuck(&model, &base);
	model_run(&model, 8, 99, 97);
	cr_expect_eq(model.high_bytes, UNIT_INFINITY);
	cr_assert_not_null(livelock(&model));
	cr_expect_str_eq(livelock(&model)->action, "raise-high");
	cr_expect_eq(model.counts[ACTION_SIGNAL] + model.counts[ACTION_KILL], 0);
	/* It goes on to use more, and later less. */
	model.view.memory_bytes = 290 * MIB;
	model_run(&model, 120, 0, 0);
	cr_expect_eq(model.high_bytes, UNIT_INFINITY);
	model.view.memory_bytes = 176 * MIB;
	model_run(&model, 11, 0, 0);
	cr_expect_eq(model.high_bytes, UNIT_INFINITY, "not before there is some room");
	model.view.memory_bytes = 174 * MIB;
	model_run(&model, 11, 0, 0);
	cr_expect_eq(model.high_bytes, base.high_bytes);
	model_run(&model, 11, 0, 0);
	cr_expect(model.is_watched);
	model_done(&model);
}

Test(ladder_livelock, the_agent_ends_whole)
{
	struct model_policy policy = base;
	struct model model;

	policy.on_oom = POLICY_OOM_KILL_AGENT;
	stuck(&model, &policy);
	model_run(&model, 8, 99, 97);
	cr_expect_geq(model.counts[ACTION_KILL], 1);
	cr_expect_str_eq(model.agent->stop_rule, "livelock");
	cr_assert_not_null(livelock(&model));
	cr_expect_str_eq(livelock(&model)->action, "kill-agent");
	model_done(&model);
	policy.protect = true;
	stuck(&model, &policy);
	model_run(&model, 8, 99, 97);
	cr_expect_eq(model.counts[ACTION_KILL], 0);
	cr_expect_eq(model.high_bytes, UNIT_INFINITY);
	model_done(&model);
}

Test(ladder_livelock, an_agent_without_tools_ends_whole)
{
	struct model_policy policy = base;
	struct model model;

	policy.on_oom = POLICY_OOM_KILL_TOOL;
	stuck(&model, &policy);
	model_run(&model, 8, 99, 97);
	cr_expect_geq(model.counts[ACTION_KILL], 1);
	cr_assert_not_null(livelock(&model));
	cr_expect_str_eq(livelock(&model)->action, "kill-agent");
	model_done(&model);
}

Test(ladder_livelock, its_tool_ends_first)
{
	struct model_policy policy = base;
	struct event event = {.kind = EVENT_FORK};
	struct model model;

	policy.on_oom = POLICY_OOM_KILL_TOOL;
	stuck(&model, &policy);
	event.fork.pid = ROOT + 1;
	event.fork.ppid = ROOT;
	event.fork.start_ticks = (ROOT + 1) * 10;
	event.fork.cgroup_id = model.agent->cgroup_id;
	event.fork.tool = ROOT + 1;
	model_send(&model, &event);
	cr_assert_eq(model.counts[ACTION_TOOL_PLACE], 1);
	event = (struct event){.kind = EVENT_TOOL_RESULT};
	event.tool.agent = model.handle;
	event.tool.id = model.agent->tools->items[0].id;
	event.tool.action = ACTION_TOOL_PLACE;
	event.tool.cgroup_id = 2000;
	model_send(&model, &event);
	model_run(&model, 6, 99, 97);
	cr_assert_not_null(livelock(&model));
	cr_expect_str_eq(livelock(&model)->action, "kill-tool");
	cr_expect_eq(model.counts[ACTION_TOOL_WEIGH] > 0, true);
	cr_expect_eq(model.counts[ACTION_KILL], 0);
	model_done(&model);
}

Test(ladder_livelock, is_only_told_where_nothing_else_is_safe)
{
	struct model_policy no_max = base, note = base;
	struct model model;

	no_max.max_bytes = 0;
	stuck(&model, &no_max);
	model_run(&model, 8, 99, 97);
	cr_assert_not_null(livelock(&model));
	cr_expect_str_eq(livelock(&model)->action, "none");
	cr_expect_leq(model.high_bytes, no_max.high_bytes);
	model_done(&model);
	note.on_pressure = POLICY_PRESSURE_NOTE;
	note.on_oom = POLICY_OOM_KILL_AGENT;
	stuck(&model, &note);
	model_run(&model, 120, 99, 97);
	cr_assert_not_null(livelock(&model));
	cr_expect_str_eq(livelock(&model)->action, "none");
	cr_expect_eq(model.counts[ACTION_KILL] + model.counts[ACTION_LIMIT], 0);
	model_done(&model);
}

Test(ladder_livelock, is_none_with_swap_or_below_high_or_with_progress)
{
	struct model_policy policy = base;
	struct model model;

	policy.on_pressure = POLICY_PRESSURE_RECLAIM;
	policy.on_oom = POLICY_OOM_KILL_AGENT;
	stuck(&model, &policy);
	model.view.swap_free_bytes = 100 * MIB;
	model_run(&model, 60, 99, 97);
	model_done(&model);
	cr_expect_null(livelock(&model));
	stuck(&model, &policy);
	model.view.memory_bytes = 190 * MIB;
	model_run(&model, 60, 99, 97);
	cr_expect_null(livelock(&model));
	model_done(&model);
	stuck(&model, &policy);
	for (unsigned i = 0; i < 60; i++)
		model_run(&model, 1, 99, i % 3 ? 97 : 70);
	cr_expect_null(livelock(&model));
	cr_expect_eq(model.counts[ACTION_KILL], 0);
	model_done(&model);
}

Test(ladder_livelock, is_found_also_when_the_agent_pauses_by_itself)
{
	struct model_policy policy = base;
	struct model model;

	stuck(&model, &policy);
	for (unsigned i = 0; i < 8; i++)
		model_run(&model, 1, 99, i % 3 == 1 ? 80 : 99);
	cr_expect_eq(model.high_bytes, UNIT_INFINITY);
	cr_assert_not_null(livelock(&model));
	model_done(&model);
}

Test(ladder_livelock, is_not_suspected_for_ever)
{
	struct model_policy policy = base;
	struct model model;

	policy.on_pressure = POLICY_PRESSURE_FREEZE;
	stuck(&model, &policy);
	model_run(&model, 30, 90, 85);
	cr_expect_null(livelock(&model));
	cr_expect_geq(model.counts[ACTION_FREEZE], 1);
	model_done(&model);
}

/* ---- whatever happens ---- */

static uint64_t random_below(uint64_t *seed, uint64_t n)
{
	*seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (*seed >> 33) % n;
}

static void check_second(const struct model *model, const struct model_policy *policy)
{
	static const enum action_kind acts[] = {ACTION_RECLAIM, ACTION_LIMIT, ACTION_FREEZE, ACTION_SIGNAL,
						ACTION_KILL};
	enum policy_pressure top = policy->on_pressure;
	bool may_end = (top == POLICY_PRESSURE_STOP || (policy->on_oom != POLICY_OOM_KERNEL && livelock(model))) &&
		       !policy->protect && top != POLICY_PRESSURE_NOTE;
	size_t n = 0;

	for (size_t i = 0; i < ELEMENTSOF(acts); i++)
		n += model->second[acts[i]];
	/* Who is stopped is thawed and let loose in the same moment. */
	if (model->agent->state != AGENT_STOPPING)
		cr_assert_leq(n + model->second[ACTION_THAW], 1);
	cr_assert(top >= POLICY_PRESSURE_FREEZE || !model->second[ACTION_FREEZE]);
	cr_assert(top >= POLICY_PRESSURE_RECLAIM || n == 0);
	cr_assert(may_end || !(model->second[ACTION_SIGNAL] + model->second[ACTION_KILL]));
	cr_assert_leq(model->second[ACTION_PRESSURE], 1);
	cr_assert(!model->is_frozen || ladder_of(model->agent)->has_frozen);
}

static void play(uint64_t seed)
{
	struct model_policy policy = base;
	struct model model;

	policy.on_pressure = (enum policy_pressure)random_below(&seed, POLICY_PRESSURE_STOP + 1);
	policy.on_oom = (enum policy_on_oom)random_below(&seed, POLICY_OOM_KILL_TOOL + 1);
	policy.protect = random_below(&seed, 4) == 0;
	if (random_below(&seed, 4) == 0)
		policy.max_bytes = 0;
	model_init(&model, &policy);
	model.view.can_throttle = random_below(&seed, 4);
	model.view.can_reclaim = random_below(&seed, 4);
	for (unsigned phase = 0; phase < 20 && model.agent->state != AGENT_STOPPING; phase++) {
		unsigned some = (unsigned)random_below(&seed, 101), full = (unsigned)random_below(&seed, some + 1);
		unsigned seconds = (unsigned)random_below(&seed, 30);

		model.view.memory_bytes = random_below(&seed, 320) * MIB;
		model.view.file_bytes = random_below(&seed, 100) * MIB;
		model.view.swap_free_bytes = random_below(&seed, 2) * 64 * MIB;
		for (unsigned i = 0; i < seconds && model.agent->state != AGENT_STOPPING; i++) {
			model_run(&model, 1, some, full);
			check_second(&model, &policy);
		}
	}
	if (model.agent->state != AGENT_STOPPING) {
		model.view.memory_bytes = 10 * MIB;
		model_run(&model, 60, 0, 0);
		cr_assert_eq(ladder_of(model.agent)->rung, LADDER_REST);
		cr_assert_eq(model.high_bytes, policy.high_bytes);
		cr_assert(model.is_watched && !model.is_frozen);
		memset(model.counts, 0, sizeof(model.counts));
		model_run(&model, 60, 0, 0);
		cr_assert_eq(model.counts[ACTION_PRESSURE] + model.counts[ACTION_LIMIT], 0);
	}
	model_done(&model);
}

Test(ladder_livelock, property)
{
	for (uint64_t seed = 1; seed <= 500; seed++)
		play(seed);
}
