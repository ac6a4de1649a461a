/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>

#include "core/state.h"
#include "world.h"

/* step(): what was begun, and is another thing by the time that it is done. */

static const struct world_policy bot = {.name = "bot", .exe = "/opt/bot"};
static const struct world_policy bot_observed = {.name = "bot", .exe = "/opt/bot", .observe = true};
static const struct world_policy bot_protected = {.name = "bot", .exe = "/opt/bot", .protect = true};

static uint64_t place_bot(struct world *world, pid_t pid, uint64_t mark)
{
	struct proc proc = world_proc(pid, "/opt/bot");
	uint64_t handle;

	proc.mark = mark;
	world_exec(world, &proc, 0);
	EXPECT(world, "place");
	handle = world_action(world, ACTION_PLACE, 0)->agent->handle;
	world_placed(world, 0);
	return handle;
}

static void tell_released(struct world *world, uint64_t agent, pid_t pid)
{
	struct event event = {.kind = EVENT_RELEASED};

	event.released.agent = agent;
	event.released.pid = pid;
	event.released.start_ticks = (uint64_t)pid * 10;
	world_step(world, &event);
}

/* What it has inherited may stand for an agent that lives: its forks would be moved there. */
Test(step_change, released_process_loses_its_mark)
{
	const struct action *mark;
	struct world world;
	uint64_t agent;

	world_init(&world, &bot, 1);
	agent = place_bot(&world, 100, 7);
	world_command(&world, COMMAND_RELEASE, agent);
	tell_released(&world, agent, 101);
	EXPECT(&world, "mark");
	mark = world_action(&world, ACTION_MARK, 0);
	cr_assert_eq(mark->process.pid, 101);
	cr_assert_eq(mark->process.mark, 0);
	cr_assert(!mark->process.is_quiet);
	world_done(&world);
}

Test(step_change, observed_root_in_a_released_group_keeps_its_mark)
{
	const struct world_policy both[] = {bot, {.name = "watched", .exe = "/opt/watched", .observe = true}};
	struct proc watched = world_proc(101, "/opt/watched");
	struct world world;
	uint64_t agent;

	world_init(&world, both, 2);
	agent = place_bot(&world, 100, 7);
	watched.mark = 8;
	watched.cgroup_id = 1000 + agent;
	world_exec(&world, &watched, 0);
	EXPECT(&world, "mark pace record");
	world_command(&world, COMMAND_RELEASE, agent);
	tell_released(&world, agent, 101);
	EXPECT(&world, "");
	world_done(&world);
}

Test(step_change, mark_of_one_in_a_group_is_not_that_agents)
{
	struct proc inside = world_proc(101, "/bin/cat"), outside = world_proc(102, "/bin/cat");
	struct event seen = {.kind = EVENT_SEEN};
	struct world world;
	uint64_t agent;

	world_init(&world, &bot, 1);
	agent = place_bot(&world, 100, 7);
	/* Adopted or swept with a mark of a lineage that has ended: others carry it, too. */
	inside.mark = outside.mark = 9;
	inside.cgroup_id = 1000 + agent;
	seen.seen.proc = inside;
	world_step(&world, &seen);
	seen.seen.proc = outside;
	world_step(&world, &seen);
	cr_assert_eq(world_count(&world, ACTION_MOVE), 0);
	world_done(&world);
}

Test(step_change, protection_wins_until_the_kill)
{
	struct world world;
	uint64_t agent;

	world_init(&world, &bot, 1);
	agent = place_bot(&world, 100, 7);
	world_command(&world, COMMAND_STOP, agent);
	EXPECT(&world, "reply signal timer");
	world_set_policies(&world, world_make_set(&bot_protected, 1));
	cr_assert_eq(world_count(&world, ACTION_RECORD), 1);
	cr_assert_eq(world_action(&world, ACTION_RECORD, 0)->incident.kind, INCIDENT_PROTECTED);
	cr_assert_eq(state_agent_by_handle(world.state, agent)->state, AGENT_ACTIVE);
	world_wait(&world, 11 * NSEC_PER_SEC);
	EXPECT(&world, "timer");
	world_exit(&world, 100, 0);
	EXPECT(&world, "");
	world_done(&world);
}

Test(step_change, kill_goes_on_though_protection_comes)
{
	struct world world;
	uint64_t agent;

	world_init(&world, &bot, 1);
	agent = place_bot(&world, 100, 7);
	world_command(&world, COMMAND_STOP, agent);
	world_wait(&world, 11 * NSEC_PER_SEC);
	EXPECT(&world, "kill timer");
	world_set_policies(&world, world_make_set(&bot_protected, 1));
	cr_assert_eq(world_count(&world, ACTION_RECORD), 0);
	world_wait(&world, 2 * NSEC_PER_SEC);
	EXPECT(&world, "kill timer");
	world_done(&world);
}

Test(step_change, release_under_way_stays_for_good)
{
	struct event seen = {.kind = EVENT_SEEN};
	struct world world;
	uint64_t agent;

	world_init(&world, &bot, 1);
	agent = place_bot(&world, 100, 7);
	world_command(&world, COMMAND_RELEASE, agent);
	EXPECT(&world, "release");
	world_set_policies(&world, world_make_set(&bot_observed, 1));
	EXPECT(&world, "census");
	world_command(&world, COMMAND_KILL, agent);
	cr_assert_eq(world_action(&world, ACTION_REPLY, 0)->reply.code, REPLY_BUSY);
	world_result(&world, ACTION_RELEASE, agent);
	cr_assert_eq(world_count(&world, ACTION_REPLY), 1);
	seen.seen.proc = world_proc(100, "/opt/bot");
	world_step(&world, &seen);
	EXPECT(&world, "");
	world_done(&world);
}

static void fail(struct world *world, enum action_kind kind, uint64_t agent)
{
	struct event event = {.kind = EVENT_RESULT};

	event.result.action = kind;
	event.result.agent = agent;
	event.result.error = ETIMEDOUT;
	world_step(world, &event);
}

/* It has been thawed for it, and is as it was before. */
Test(step_change, release_that_fails_freezes_again)
{
	const struct agent *agent;
	struct world world;
	uint64_t handle;

	world_init(&world, &bot, 1);
	handle = place_bot(&world, 100, 7);
	agent = state_agent_by_handle(world.state, handle);
	world_command(&world, COMMAND_RELEASE, handle);
	fail(&world, ACTION_RELEASE, handle);
	EXPECT(&world, "record reply");
	world_command(&world, COMMAND_FREEZE, handle);
	world_result(&world, ACTION_FREEZE, handle);
	world_command(&world, COMMAND_RELEASE, handle);
	fail(&world, ACTION_RELEASE, handle);
	EXPECT(&world, "record reply freeze");
	cr_expect(!world_action(&world, ACTION_FREEZE, 0)->is_brief);
	cr_expect_eq(agent->state, AGENT_FROZEN);
	world_result(&world, ACTION_FREEZE, handle);
	cr_expect_eq(agent->state, AGENT_FROZEN);
	world_command(&world, COMMAND_RELEASE, handle);
	fail(&world, ACTION_RELEASE, handle);
	fail(&world, ACTION_FREEZE, handle);
	cr_expect_eq(agent->state, AGENT_ACTIVE);
	world_done(&world);
}

Test(step_change, release_by_mode_is_not_hurried)
{
	struct event seen = {.kind = EVENT_SEEN};
	struct world world;
	uint64_t agent;

	world_init(&world, &bot, 1);
	agent = place_bot(&world, 100, 7);
	world_set_policies(&world, world_make_set(&bot_observed, 1));
	EXPECT(&world, "release census");
	world_set_policies(&world, world_make_set(&bot_observed, 1));
	cr_assert_eq(world_count(&world, ACTION_RELEASE), 0);
	world_command(&world, COMMAND_RELEASE, agent);
	cr_assert_eq(world_action(&world, ACTION_REPLY, 0)->reply.code, REPLY_BUSY);
	world_result(&world, ACTION_RELEASE, agent);
	seen.seen.proc = world_proc(100, "/opt/bot");
	world_step(&world, &seen);
	EXPECT(&world, "mark pace record");
	world_done(&world);
}

/* A nested agent's first children are born in its parent's group; from any other group a mark takes nobody away. */
Test(step_change, mark_moves_out_of_the_parents_group_only)
{
	const struct world_policy both[] = {bot, {.name = "tool", .exe = "/opt/tool"}};
	struct proc nested = world_proc(101, "/opt/tool");
	struct event fork = {.kind = EVENT_FORK};
	struct world world;
	uint64_t agent, other;

	world_init(&world, both, 2);
	agent = place_bot(&world, 100, 7);
	other = place_bot(&world, 200, 8);
	nested.mark = 9;
	nested.cgroup_id = 1000 + agent;
	world_exec(&world, &nested, 7);
	EXPECT(&world, "place");
	world_placed(&world, 0);
	fork.fork.pid = 102;
	fork.fork.start_ticks = 1020;
	fork.fork.mark = 9;
	fork.fork.cgroup_id = 1000 + agent;
	world_step(&world, &fork);
	EXPECT(&world, "move");
	fork.fork.cgroup_id = 1000 + other;
	world_step(&world, &fork);
	EXPECT(&world, "");
	world_done(&world);
}

/* A root may leave its group as often as it likes; what else is missing isn't kept waiting for that. */
Test(step_change, census_after_lost_records_does_not_wait_for_the_one_after_a_root_has_left)
{
	struct event lost = {.kind = EVENT_LOST, .lost = {.forks = 1}};
	struct world world;
	uint64_t agent;

	world_init(&world, &bot, 1);
	agent = place_bot(&world, 100, 7);
	world_empty(&world, agent);
	EXPECT(&world, "census");
	cr_expect_str_eq(world_action(&world, ACTION_CENSUS, 0)->reason, "left");
	world_empty(&world, agent);
	EXPECT(&world, "");
	world_step(&world, &lost);
	EXPECT(&world, "census");
	cr_expect_str_eq(world_action(&world, ACTION_CENSUS, 0)->reason, "lost");
	world_step(&world, &lost);
	EXPECT(&world, "");
	world_empty(&world, agent);
	EXPECT(&world, "");
	world_done(&world);
}

static const struct agent *look_for_a_while(struct world *world, uint64_t handle, uint64_t cpu_ns_a_s)
{
	struct event event = {.kind = EVENT_SAMPLE};

	event.sample.agent = handle;
	event.sample.memory_bytes = event.sample.anon_bytes = UINT64_MAX;
	for (unsigned i = 0; i < 200; i++) {
		world->now_ns += NSEC_PER_SEC / 2;
		event.sample.cpu_ns += cpu_ns_a_s / 2;
		world_step(world, &event);
	}
	return state_get(world->state, handle);
}

/* `govctl top` looks every second: that makes nobody idle. */
Test(step_change, who_looks_often_sees_signs_of_life_as_well)
{
	const struct agent *agent;
	struct world world;

	world_init(&world, &bot, 1);
	agent = look_for_a_while(&world, place_bot(&world, 100, 7), 4 * NSEC_PER_MSEC);
	cr_assert_eq(agent->state, AGENT_ACTIVE);
	cr_assert_lt(world.now_ns - agent->active_ns, 10 * NSEC_PER_SEC);
	world_done(&world);
}

Test(step_change, who_does_next_to_nothing_is_idle)
{
	const struct agent *agent;
	struct world world;

	world_init(&world, &bot, 1);
	agent = look_for_a_while(&world, place_bot(&world, 100, 7), NSEC_PER_MSEC / 4);
	cr_assert_eq(agent->state, AGENT_IDLE);
	world_done(&world);
}
