/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>

#include "world.h"

/* step(): what becomes of processes, by the actions that each event leads to. */

static const struct world_policy policies[] = {
	{.name = "bot", .exe = "/opt/bot", .memory_max_bytes = 1 << 20, .allow_user = 1000},
	{.name = "tool", .exe = "/opt/tool"},
	{.name = "watched", .exe = "/opt/watched", .observe = true},
	{.name = "worthy", .exe = "/opt/worthy", .protect = true},
};

static void init(struct world *world)
{
	world_init(world, policies, ELEMENTSOF(policies));
}

/* An agent of bot, root pid, mark, placed. Returns its handle. */
static uint64_t place_bot(struct world *world, pid_t pid, uint64_t mark)
{
	struct proc proc = world_proc(pid, "/opt/bot");
	uint64_t handle;

	proc.mark = mark;
	world_exec(world, &proc, 0);
	EXPECT(world, "place");
	handle = world_action(world, ACTION_PLACE, 0)->agent->handle;
	world_placed(world, 0);
	EXPECT(world, "pace record watch");
	return handle;
}

static struct proc inside(uint64_t handle, pid_t pid, const char *exe)
{
	struct proc proc = world_proc(pid, exe);

	proc.cgroup_id = 1000 + handle;
	proc.flags = 0;
	return proc;
}

Test(step, stranger_is_left_alone)
{
	struct world world;
	struct proc proc = world_proc(100, "/bin/cat");

	init(&world);
	world_exec(&world, &proc, 0);
	EXPECT(&world, "");
	proc.mark = 7; /* a candidate by name that no policy wants: its children need no records */
	world_exec(&world, &proc, 0);
	EXPECT(&world, "mark");
	cr_assert(world_action(&world, ACTION_MARK, 0)->process.is_quiet);
	cr_assert_eq(state_agent_count(world.state), 0);
	world_done(&world);
}

Test(step, exec_is_placed_and_recorded)
{
	struct world world;
	const struct agent *agent;
	const struct action *record;

	init(&world);
	place_bot(&world, 100, 7);
	record = world_action(&world, ACTION_RECORD, 0);
	cr_assert_eq(record->incident.kind, INCIDENT_PLACED);
	cr_assert_str_eq(record->incident.result, "done");
	cr_assert_str_eq(record->incident.policy, "bot");
	cr_assert_eq(state_agent_find(world.state, "bot", &agent), 0);
	cr_assert_eq(agent->state, AGENT_ACTIVE);
	cr_assert_eq(agent->root_pid, 100);
	cr_assert_str_eq(agent->cgroup, "/test.slice/agent");
	world_done(&world);
}

Test(step, children_forked_before_the_move_follow)
{
	struct world world;
	struct proc proc = world_proc(100, "/opt/bot");

	init(&world);
	proc.mark = 7;
	world_exec(&world, &proc, 0);
	/* The result comes later (systemd): the fork in between is found by a census. */
	cr_assert_eq(world_count(&world, ACTION_PLACE), 1);
	struct action place = *world_action(&world, ACTION_PLACE, 0);
	world_fork(&world, 101, 100, 7);
	EXPECT(&world, "");
	world.actions.items[0] = place;
	world.actions.n = 1;
	world_placed(&world, 0);
	EXPECT(&world, "pace record watch census");
	world_fork(&world, 102, 100, 7);
	EXPECT(&world, "move");
	cr_assert_eq(world_action(&world, ACTION_MOVE, 0)->process.pid, 102);
	world_fork(&world, 103, 100, 8); /* of another mark */
	EXPECT(&world, "");
	world_done(&world);
}

Test(step, rejected_candidate_stays_in_its_lineage)
{
	struct world world;
	struct proc tool = world_proc(101, "/usr/bin/python3");

	init(&world);
	place_bot(&world, 100, 7);
	/* A child, outside still, has executed an interpreter that no policy wants: new mark 8, lineage 7. */
	tool.mark = 8;
	world_exec(&world, &tool, 7);
	EXPECT(&world, "move");
	world_fork(&world, 102, 101, 8);
	EXPECT(&world, "move");
	cr_assert_eq(world_action(&world, ACTION_MOVE, 0)->process.pid, 102);
	world_done(&world);
}

Test(step, nested_agent_is_its_own_only_under_another_policy)
{
	struct world world;
	uint64_t bot;
	struct proc proc;

	init(&world);
	bot = place_bot(&world, 100, 7);
	proc = inside(bot, 101, "/opt/bot");
	world_exec(&world, &proc, 0);
	EXPECT(&world, "");
	proc = inside(bot, 102, "/opt/tool");
	proc.mark = 9;
	world_exec(&world, &proc, 0);
	EXPECT(&world, "place");
	cr_assert_eq(world_action(&world, ACTION_PLACE, 0)->agent->parent, bot);
	cr_assert_str_eq(world_action(&world, ACTION_PLACE, 0)->agent->policy->name, "tool");
	world_done(&world);
}

Test(step, hold_is_answered_when_placed)
{
	struct world world;
	struct proc proc = world_proc(100, "/opt/bot"), stranger = world_proc(101, "/bin/cat");

	init(&world);
	world_hold(&world, &proc, 55);
	EXPECT(&world, "place");
	cr_assert_eq(world_action(&world, ACTION_PLACE, 0)->agent->state, AGENT_HELD);
	world_placed(&world, 0);
	EXPECT(&world, "pace hold-answer record watch");
	cr_assert_eq(world_action(&world, ACTION_HOLD_ANSWER, 0)->hold.token, 55);
	world_hold(&world, &stranger, 56);
	EXPECT(&world, "hold-answer");
	world_done(&world);
}

Test(step, hold_is_answered_when_placing_failed)
{
	static const int errors[] = {ESRCH, ENOSPC, EBUSY, EPERM};

	for (size_t i = 0; i < ELEMENTSOF(errors); i++) {
		struct world world;
		struct proc proc = world_proc(100, "/opt/bot");

		init(&world);
		world_hold(&world, &proc, 55);
		world_placed(&world, errors[i]);
		cr_assert_eq(world_count(&world, ACTION_HOLD_ANSWER), 1, "error %d", errors[i]);
		cr_assert_eq(state_agent_count(world.state), 0, "error %d", errors[i]);
		/* What could not be placed isn't tried again and again. */
		if (errors[i] != ESRCH) {
			world_hold(&world, &proc, 56);
			EXPECT(&world, "hold-answer");
		}
		world_done(&world);
	}
}

Test(step, held_exec_and_its_record_are_one_agent)
{
	struct world world;
	struct proc proc = world_proc(100, "/opt/bot");
	uint64_t handle;

	init(&world);
	world_hold(&world, &proc, 55);
	handle = world_action(&world, ACTION_PLACE, 0)->agent->handle;
	world_placed(&world, 0);
	proc = inside(handle, 100, "/opt/bot");
	proc.mark = 7;
	world_exec(&world, &proc, 0);
	EXPECT(&world, "");
	cr_assert_eq(state_agent_count(world.state), 1);
	cr_assert_eq(state_agent_by_handle(world.state, handle)->mark, 7);
	world_done(&world);
}

Test(step, root_gone_before_placing_leaves_its_lineage_governed)
{
	struct world world;
	struct proc proc = world_proc(100, "/opt/bot"), child = world_proc(101, "/opt/bot");
	struct event event = {.kind = EVENT_SEEN};

	init(&world);
	proc.mark = 7;
	world_exec(&world, &proc, 0);
	world_placed(&world, ESRCH);
	EXPECT(&world, "census");
	child.mark = 7;
	event.seen.proc = child;
	world_step(&world, &event);
	EXPECT(&world, "mark place");
	cr_assert_eq(world_action(&world, ACTION_PLACE, 0)->process.pid, 101);
	world_placed(&world, 0);
	event = (struct event){.kind = EVENT_CENSUS_END};
	world_step(&world, &event);
	EXPECT(&world, "");
	cr_assert_eq(state_agent_count(world.state), 1);
	world_done(&world);
}

Test(step, root_gone_without_lineage_is_forgotten)
{
	struct world world;
	struct proc proc = world_proc(100, "/opt/bot");
	struct event event = {.kind = EVENT_CENSUS_END}, gone = {.kind = EVENT_EXIT};

	init(&world);
	proc.mark = 7;
	world_exec(&world, &proc, 0);
	world_placed(&world, ESRCH);
	/* As the census tells it before its end, when the record was lost. */
	gone.exit.pid = 100;
	gone.exit.start_ticks = proc.start_ticks;
	world_step(&world, &gone);
	world_step(&world, &event);
	EXPECT(&world, "forget");
	cr_assert_eq(state_agent_count(world.state), 0);
	world_done(&world);
}

Test(step, lost_records_ask_for_a_census_once)
{
	struct world world;
	struct event lost = {.kind = EVENT_LOST}, seen = {.kind = EVENT_SEEN};

	init(&world);
	lost.lost.execs = 3;
	world_step(&world, &lost);
	EXPECT(&world, "census");
	world_step(&world, &lost);
	EXPECT(&world, "");
	/* The exec record of mark 7 was lost. */
	seen.seen.proc = world_proc(100, "/opt/bot");
	seen.seen.proc.mark = 7;
	world_step(&world, &seen);
	EXPECT(&world, "mark place");
	world_placed(&world, 0);
	seen.seen.proc = world_proc(101, "/bin/sleep");
	seen.seen.proc.mark = 7;
	world_step(&world, &seen);
	EXPECT(&world, "move");
	world_done(&world);
}

Test(step, losses_are_recorded_once_a_census)
{
	struct world world;
	struct event lost = {.kind = EVENT_LOST}, end = {.kind = EVENT_CENSUS_END};
	const struct incident *incident;

	init(&world);
	lost.lost.execs = 3;
	world_step(&world, &lost);
	world_step(&world, &lost);
	world_step(&world, &end);
	EXPECT(&world, "record");
	incident = &world_action(&world, ACTION_RECORD, 0)->incident;
	cr_assert_eq(incident->kind, INCIDENT_LOST);
	cr_assert_str_eq(incident->facts[0].name, "execs");
	cr_assert_eq(incident->facts[0].number, 6);
	world_step(&world, &end);
	EXPECT(&world, "");
	world_done(&world);
}

Test(step, workers_of_an_observed_agent_are_a_part_of_it)
{
	struct world world;
	struct proc proc = world_proc(100, "/opt/watched"), worker = world_proc(101, "/opt/watched");
	struct event seen = {.kind = EVENT_SEEN};

	init(&world);
	seen.seen.proc = proc;
	world_step(&world, &seen);
	EXPECT(&world, "mark pace record");
	worker.ppid = 100;
	seen.seen.proc = worker;
	world_step(&world, &seen);
	EXPECT(&world, "");
	cr_assert_eq(state_agent_count(world.state), 1);
	world_done(&world);
}

Test(step, all_processes_of_a_released_agent_are_free)
{
	struct world world;
	struct event released = {.kind = EVENT_RELEASED}, result = {.kind = EVENT_RESULT}, seen = {.kind = EVENT_SEEN};
	uint64_t bot;

	init(&world);
	bot = place_bot(&world, 100, 7);
	world_command(&world, COMMAND_RELEASE, bot);
	released.released.agent = result.result.agent = bot;
	released.released.pid = 101;
	released.released.start_ticks = 1010;
	world_step(&world, &released);
	result.result.action = ACTION_RELEASE;
	world_step(&world, &result);
	seen.seen.proc = world_proc(101, "/opt/bot");
	world_step(&world, &seen);
	EXPECT(&world, "");
	world_done(&world);
}

Test(step, released_process_does_not_follow_its_mark)
{
	struct event released = {.kind = EVENT_RELEASED};
	struct proc proc = world_proc(101, "/bin/cat");
	struct world world;
	uint64_t bot;

	init(&world);
	bot = place_bot(&world, 100, 7);
	released.released.agent = bot;
	released.released.pid = proc.pid;
	released.released.start_ticks = proc.start_ticks;
	world_step(&world, &released);
	proc.mark = 7;
	world_hold(&world, &proc, 1);
	EXPECT(&world, "hold-answer");
	world_done(&world);
}

Test(step, mark_of_a_protected_process_is_nobodys)
{
	struct proc guard = world_proc(100, "/usr/bin/python3"), tool = world_proc(101, "/opt/tool");
	struct event seen = {.kind = EVENT_SEEN};
	struct world world;

	init(&world);
	guard.flags |= PROC_PROTECTED;
	guard.mark = 7;
	world_exec(&world, &guard, 0);
	EXPECT(&world, "mark");
	/* Its child's own exec was lost: that is an agent, and the root of no lineage but its own. */
	tool.mark = 7;
	seen.seen.proc = tool;
	world_step(&world, &seen);
	cr_assert_eq(world_count(&world, ACTION_PLACE), 1);
	cr_assert_neq(world_action(&world, ACTION_PLACE, 0)->agent->mark, 7);
	world_done(&world);
}

Test(step, empty_group_waits_for_a_census_under_way)
{
	struct world world;
	struct event event = {.kind = EVENT_LOST};
	uint64_t bot;

	init(&world);
	bot = place_bot(&world, 100, 7);
	event.lost.forks = 1;
	world_step(&world, &event);
	world_empty(&world, bot);
	EXPECT(&world, "");
	event = (struct event){.kind = EVENT_CENSUS_END};
	world_step(&world, &event);
	EXPECT(&world, "record remove");
	world_removed(&world, bot, 0);
	EXPECT(&world, "record forget");
	world_done(&world);
}

Test(step, end_is_recorded_with_exit_code)
{
	struct world world;
	const struct incident *incident;
	uint64_t bot;
	bool has_code = false;

	init(&world);
	bot = place_bot(&world, 100, 7);
	world_exit(&world, 100, 3 << 8);
	EXPECT(&world, "");
	world_empty(&world, bot);
	EXPECT(&world, "remove");
	world_removed(&world, bot, 0);
	EXPECT(&world, "record forget");
	incident = &world_action(&world, ACTION_RECORD, 0)->incident;
	cr_assert_eq(incident->kind, INCIDENT_STOPPED);
	for (size_t i = 0; i < incident->n_facts; i++)
		has_code |= streq(incident->facts[i].name, "exit_code") && incident->facts[i].number == 3;
	cr_assert(has_code);
	cr_assert_eq(state_agent_count(world.state), 0);
	world_done(&world);
}

Test(step, group_that_fills_again_is_kept)
{
	struct world world;
	uint64_t bot;

	init(&world);
	bot = place_bot(&world, 100, 7);
	world_exit(&world, 100, 0);
	world_empty(&world, bot);
	world_removed(&world, bot, EBUSY);
	cr_assert_eq(state_agent_by_handle(world.state, bot)->state, AGENT_ACTIVE);
	world_empty(&world, bot);
	EXPECT(&world, "remove");
	world_done(&world);
}

Test(step, root_that_left_its_group_is_looked_for)
{
	struct event end = {.kind = EVENT_CENSUS_END}, seen = {.kind = EVENT_SEEN};
	struct world world;
	uint64_t bot;

	init(&world);
	bot = place_bot(&world, 100, 7);
	world_empty(&world, bot);
	EXPECT(&world, "census");
	seen.seen.proc = world_proc(100, "/opt/bot");
	seen.seen.proc.mark = 7;
	world_step(&world, &seen);
	EXPECT(&world, "move");
	world_step(&world, &end);
	EXPECT(&world, "remove");
	world_removed(&world, bot, EBUSY);
	cr_assert_eq(state_agent_by_handle(world.state, bot)->state, AGENT_ACTIVE);
	world_done(&world);
}

/* With systemd, whose scopes go with their last process. */
static void lose_group(struct world *world, uint64_t bot)
{
	struct event seen = {.kind = EVENT_SEEN}, moved = {.kind = EVENT_RESULT};

	world_empty(world, bot);
	seen.seen.proc = world_proc(100, "/opt/bot");
	seen.seen.proc.mark = 7;
	world_step(world, &seen);
	EXPECT(world, "move");
	moved.result.action = ACTION_MOVE;
	moved.result.agent = bot;
	moved.result.error = ENOENT;
	moved.result.pid = 100;
	moved.result.start_ticks = seen.seen.proc.start_ticks;
	world_step(world, &moved);
	EXPECT(world, "unpace place");
}

/* The group's id is another one. */
static void placed_anew(struct world *world, uint64_t bot, int error)
{
	struct event placed = {.kind = EVENT_RESULT};

	placed.result.action = ACTION_PLACE;
	placed.result.agent = bot;
	placed.result.error = error;
	placed.result.pid = 100;
	placed.result.cgroup_id = error ? 0 : 5000;
	placed.result.cgroup = error ? NULL : "/test.slice/anew";
	placed.result.origin = error ? NULL : "/";
	world_step(world, &placed);
}

Test(step, root_whose_group_has_gone_gets_another)
{
	struct event end = {.kind = EVENT_CENSUS_END};
	const struct agent *agent;
	struct world world;
	struct proc proc;
	uint64_t bot;

	init(&world);
	bot = place_bot(&world, 100, 7);
	lose_group(&world, bot);
	agent = state_agent_by_handle(world.state, bot);
	cr_assert_eq(world_action(&world, ACTION_PLACE, 0)->process.pid, 100);
	world_empty(&world, bot); /* told once more, by systemd */
	EXPECT(&world, "");
	world_step(&world, &end);
	EXPECT(&world, "");
	world_fork(&world, 101, 100, 7);
	EXPECT(&world, "");
	placed_anew(&world, bot, 0);
	EXPECT(&world, "pace watch census");
	cr_assert_eq(agent->state, AGENT_ACTIVE);
	cr_assert_eq(agent->root_pid, 100);
	cr_assert_eq(agent->cgroup_id, 5000);
	proc = inside(4000, 102, "/opt/bot"); /* in group 5000: a part of it */
	world_exec(&world, &proc, 0);
	EXPECT(&world, "");
	proc = inside(bot, 103, "/opt/bot"); /* in the one that has gone: of nobody */
	world_exec(&world, &proc, 0);
	EXPECT(&world, "place");
	world_done(&world);
}

Test(step, root_whose_group_has_gone_is_stopped_all_the_same)
{
	struct world world;
	uint64_t bot;

	init(&world);
	bot = place_bot(&world, 100, 7);
	world_command(&world, COMMAND_STOP, bot);
	cr_assert_eq(world_count(&world, ACTION_SIGNAL), 1);
	lose_group(&world, bot);
	placed_anew(&world, bot, 0);
	cr_assert_eq(state_agent_by_handle(world.state, bot)->state, AGENT_STOPPING);
	world_wait(&world, 60 * NSEC_PER_SEC);
	cr_assert_eq(world_count(&world, ACTION_KILL), 1);
	world_done(&world);
}

Test(step, root_that_ends_before_it_has_another_group_is_told_as_stopped)
{
	struct event end = {.kind = EVENT_CENSUS_END};
	struct world world;
	uint64_t bot;

	init(&world);
	bot = place_bot(&world, 100, 7);
	lose_group(&world, bot);
	world_step(&world, &end);
	placed_anew(&world, bot, ESRCH);
	EXPECT(&world, "census");
	world_exit(&world, 100, 0);
	world_step(&world, &end);
	EXPECT(&world, "remove");
	world_removed(&world, bot, 0);
	cr_assert_not_null(world_incident(&world, INCIDENT_STOPPED));
	world_done(&world);
}

Test(step, stop_is_signal_then_rest_then_kill)
{
	struct world world;
	uint64_t bot;

	init(&world);
	bot = place_bot(&world, 100, 7);
	world_command(&world, COMMAND_STOP, bot);
	EXPECT(&world, "reply signal timer");
	cr_assert_eq(world_action(&world, ACTION_SIGNAL, 0)->process.pid, 100);
	world_wait(&world, 5 * NSEC_PER_SEC);
	EXPECT(&world, "timer");
	world_exit(&world, 100, 0);
	EXPECT(&world, "signal-all");
	world_wait(&world, 6 * NSEC_PER_SEC);
	EXPECT(&world, "kill timer");
	/* It did not end: again, and each time later. */
	world_wait(&world, NSEC_PER_SEC + NSEC_PER_MSEC);
	EXPECT(&world, "kill timer");
	world_wait(&world, NSEC_PER_SEC);
	EXPECT(&world, "timer");
	world_wait(&world, NSEC_PER_SEC + NSEC_PER_MSEC);
	EXPECT(&world, "kill timer");
	world_wait(&world, 5 * NSEC_PER_SEC);
	EXPECT(&world, "kill timer");
	world_done(&world);
}

Test(step, kill_is_at_once_and_second_stop_is_busy)
{
	struct world world;
	uint64_t bot;

	init(&world);
	bot = place_bot(&world, 100, 7);
	world_command(&world, COMMAND_STOP, bot);
	world_command(&world, COMMAND_STOP, bot);
	EXPECT(&world, "reply");
	cr_assert_eq(world_action(&world, ACTION_REPLY, 0)->reply.code, REPLY_BUSY);
	world_command(&world, COMMAND_KILL, bot);
	cr_assert_eq(world_count(&world, ACTION_KILL), 1);
	cr_assert_eq(world_action(&world, ACTION_REPLY, 0)->reply.code, REPLY_OK);
	world_done(&world);
}

Test(step, frozen_agent_is_thawed_to_stop)
{
	struct world world;
	struct event result = {.kind = EVENT_RESULT};
	uint64_t bot, request;

	init(&world);
	bot = place_bot(&world, 100, 7);
	request = world_command(&world, COMMAND_FREEZE, bot);
	EXPECT(&world, "freeze");
	world_command(&world, COMMAND_THAW, bot);
	cr_assert_eq(world_action(&world, ACTION_REPLY, 0)->reply.code, REPLY_BUSY);
	result.result.action = ACTION_FREEZE;
	result.result.agent = bot;
	world_step(&world, &result);
	EXPECT(&world, "reply");
	cr_assert_eq(world_action(&world, ACTION_REPLY, 0)->reply.request, request);
	cr_assert_eq(state_agent_by_handle(world.state, bot)->state, AGENT_FROZEN);
	world_command(&world, COMMAND_STOP, bot);
	EXPECT(&world, "reply signal thaw timer");
	world_done(&world);
}

Test(step, observed_agent_is_never_touched)
{
	struct world world;
	struct proc proc = world_proc(100, "/opt/watched");
	static const enum command commands[] = {COMMAND_FREEZE, COMMAND_THAW, COMMAND_STOP, COMMAND_KILL};
	const struct agent *agent;

	init(&world);
	proc.mark = 7;
	world_exec(&world, &proc, 0);
	EXPECT(&world, "mark pace record");
	cr_assert_str_eq(world_action(&world, ACTION_RECORD, 0)->incident.action, "would-place");
	cr_assert_eq(state_agent_find(world.state, "watched", &agent), 0);
	for (size_t i = 0; i < ELEMENTSOF(commands); i++) {
		world_command(&world, commands[i], agent->handle);
		EXPECT(&world, "reply");
		cr_assert_eq(world_action(&world, ACTION_REPLY, 0)->reply.code, REPLY_OBSERVED);
	}
	world_fork(&world, 101, 100, 7);
	EXPECT(&world, "");
	world_exit(&world, 100, 0);
	EXPECT(&world, "record forget");
	world_done(&world);
}

Test(step, whole_host_observes)
{
	struct world world;
	struct proc proc = world_proc(100, "/opt/bot");
	struct event event = {.kind = EVENT_POLICIES};

	init(&world);
	event.policies.set = world.set;
	event.policies.observe = true;
	world_step(&world, &event);
	world_exec(&world, &proc, 0);
	EXPECT(&world, "mark pace record");
	world_done(&world);
}

Test(step, protected_is_never_placed_nor_ended)
{
	static const unsigned flags[] = {PROC_PROTECTED, PROC_KTHREAD};

	for (size_t i = 0; i < ELEMENTSOF(flags); i++) {
		struct world world;
		struct proc proc = world_proc(100, "/opt/bot");
		struct event adopt = {.kind = EVENT_COMMAND};

		init(&world);
		proc.flags |= flags[i];
		world_exec(&world, &proc, 0);
		EXPECT(&world, "");
		world_hold(&world, &proc, 5);
		EXPECT(&world, "hold-answer");
		adopt.command.command = COMMAND_ADOPT;
		adopt.command.request = 9;
		adopt.command.proc = proc;
		adopt.command.policy = "bot";
		world_step(&world, &adopt);
		EXPECT(&world, "record reply");
		cr_assert_eq(world_action(&world, ACTION_REPLY, 0)->reply.code, REPLY_PROTECTED);
		world_done(&world);
	}
}

Test(step, protect_policy_refuses_endings)
{
	struct world world;
	struct proc proc = world_proc(100, "/opt/worthy");
	uint64_t handle;

	init(&world);
	world_exec(&world, &proc, 0);
	handle = world_action(&world, ACTION_PLACE, 0)->agent->handle;
	world_placed(&world, 0);
	world_command(&world, COMMAND_STOP, handle);
	EXPECT(&world, "record reply");
	cr_assert_eq(world_action(&world, ACTION_REPLY, 0)->reply.code, REPLY_PROTECTED);
	world_command(&world, COMMAND_KILL, handle);
	EXPECT(&world, "record reply");
	world_command(&world, COMMAND_FREEZE, handle);
	EXPECT(&world, "freeze");
	world_done(&world);
}

Test(step, released_is_for_good)
{
	struct world world;
	struct event result = {.kind = EVENT_RESULT};
	struct event seen = {.kind = EVENT_SEEN};
	uint64_t bot;

	init(&world);
	bot = place_bot(&world, 100, 7);
	world_command(&world, COMMAND_RELEASE, bot);
	EXPECT(&world, "release");
	result.result.action = ACTION_RELEASE;
	result.result.agent = bot;
	world_step(&world, &result);
	EXPECT(&world, "record unpace reply forget mark");
	seen.seen.proc = world_proc(100, "/opt/bot");
	world_step(&world, &seen);
	EXPECT(&world, "");
	/* Another process with that number is another process. */
	seen.seen.proc.start_ticks++;
	world_step(&world, &seen);
	cr_assert_eq(world_count(&world, ACTION_PLACE), 1);
	world_done(&world);
}

/* ---- run ---- */

static uint64_t run(struct world *world, pid_t pid, const char *key, uid_t uid, bool reuse)
{
	struct event event = {.kind = EVENT_COMMAND};

	event.command.command = COMMAND_RUN;
	event.command.request = ++world->next_request;
	event.command.uid = uid;
	event.command.proc = world_proc(pid, "/opt/bot");
	event.command.key = key;
	event.command.reuse = reuse;
	world_step(world, &event);
	return world->next_request;
}

Test(step, run_replies_when_placed)
{
	struct world world;
	uint64_t request;

	init(&world);
	request = run(&world, 100, "room", 0, false);
	EXPECT(&world, "mark place");
	world_placed(&world, 0);
	EXPECT(&world, "pace record reply watch");
	cr_assert_eq(world_action(&world, ACTION_REPLY, 0)->reply.request, request);
	cr_assert_eq(world_action(&world, ACTION_REPLY, 0)->reply.code, REPLY_OK);
	world_done(&world);
}

Test(step, fifty_callers_of_one_key_get_one_agent)
{
	struct world world;
	char id[AGENT_ID_SIZE];

	init(&world);
	run(&world, 100, "room", 0, true);
	memcpy(id, world_action(&world, ACTION_PLACE, 0)->agent->id, sizeof(id));
	for (pid_t pid = 101; pid < 150; pid++) {
		run(&world, pid, "room", 0, true);
		EXPECT(&world, "reply");
		cr_assert(world_action(&world, ACTION_REPLY, 0)->reply.reused);
		cr_assert_str_eq(world_action(&world, ACTION_REPLY, 0)->reply.id, id);
	}
	run(&world, 150, "other", 0, true);
	cr_assert_eq(world_count(&world, ACTION_PLACE), 1);
	world_done(&world);
}

Test(step, callers_without_a_key_get_one_agent_without_one)
{
	struct world world;

	init(&world);
	run(&world, 100, "room", 0, true);
	run(&world, 101, NULL, 0, true);
	EXPECT(&world, "mark place");
	run(&world, 102, NULL, 0, true);
	cr_assert(world_action(&world, ACTION_REPLY, 0)->reply.reused);
	cr_assert_str_eq(world_action(&world, ACTION_REPLY, 0)->reply.id, state_agent_of(world.state, 0, 101)->id);
	world_done(&world);
}

Test(step, run_is_for_root_and_those_who_are_listed)
{
	static const struct {
		uid_t uid;
		enum reply_code code;
	} cases[] = {{1000, REPLY_OK}, {1001, REPLY_DENIED}, {65534, REPLY_DENIED}};

	for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
		struct world world;

		init(&world);
		run(&world, 100, NULL, cases[i].uid, false);
		if (cases[i].code == REPLY_OK)
			world_placed(&world, 0);
		cr_assert_eq(world_action(&world, ACTION_REPLY, 0)->reply.code, cases[i].code, "uid %u", cases[i].uid);
		world_done(&world);
	}
}

Test(step, root_that_ran_by_name_keeps_its_policy)
{
	struct world world;
	struct event event = {.kind = EVENT_COMMAND};
	struct proc proc;
	uint64_t handle;

	init(&world);
	event.command.command = COMMAND_RUN;
	event.command.request = 1;
	event.command.proc = world_proc(100, "/opt/tool");
	event.command.policy = "bot";
	world_step(&world, &event);
	handle = world_action(&world, ACTION_PLACE, 0)->agent->handle;
	world_placed(&world, 0);
	proc = inside(handle, 100, "/opt/tool");
	world_exec(&world, &proc, 0);
	EXPECT(&world, "");
	proc = inside(handle, 101, "/opt/tool");
	world_exec(&world, &proc, 0);
	cr_assert_eq(world_count(&world, ACTION_PLACE), 1);
	world_done(&world);
}

/* ---- reload and restart ---- */

Test(step, reload_sets_limits_again_only_when_they_changed)
{
	static const struct world_policy changed[] = {
		{.name = "bot", .exe = "/opt/bot", .memory_max_bytes = 2 << 20},
	};
	static const struct world_policy none[] = {{.name = "x", .exe = "/opt/x"}};
	struct world world;
	uint64_t bot;

	init(&world);
	bot = place_bot(&world, 100, 7);
	world_set_policies(&world, world_make_set(policies, ELEMENTSOF(policies)));
	EXPECT(&world, "census");
	world_set_policies(&world, world_make_set(changed, 1));
	EXPECT(&world, "limit");
	cr_assert_eq(state_agent_by_handle(world.state, bot)->policy->limits.memory_max_bytes, 2 << 20);
	/* A policy that is gone: its agents stay under it. */
	world_set_policies(&world, world_make_set(none, 1));
	EXPECT(&world, "");
	cr_assert_eq(state_agent_by_handle(world.state, bot)->policy->limits.memory_max_bytes, 2 << 20);
	world_done(&world);
}

Test(step, observed_agents_are_let_go_when_their_policy_enforces)
{
	static const struct world_policy enforced[] = {{.name = "watched", .exe = "/opt/watched"}};
	struct world world;
	struct proc proc = world_proc(100, "/opt/watched");

	init(&world);
	world_exec(&world, &proc, 0);
	world_set_policies(&world, world_make_set(enforced, 1));
	EXPECT(&world, "forget census");
	world_done(&world);
}

static void found(struct world *world, const char *policy, bool is_populated)
{
	struct agent saved = {.root_pid = 100, .root_start_ticks = 1000, .since_ns = 5, .cgroup_id = 77};
	struct event event = {.kind = EVENT_FOUND};

	strcpy(saved.id, "0badcafe");
	saved.key = "room";
	saved.cgroup = "/test.slice/bot-0badcafe";
	event.found.agent = &saved;
	event.found.policy = policy;
	event.found.is_populated = is_populated;
	event.found.root_lives = is_populated;
	world_step(world, &event);
}

Test(step, agents_of_an_earlier_govd_are_found)
{
	struct world world;
	const struct agent *agent;
	struct proc proc = world_proc(101, "/opt/bot");
	struct event end = {.kind = EVENT_CENSUS_END};

	init(&world);
	found(&world, "bot", true);
	EXPECT(&world, "mark limit pace watch");
	cr_assert_eq(state_agent_find(world.state, "bot/room", &agent), 0);
	cr_assert_str_eq(agent->id, "0badcafe");
	cr_assert_eq(agent->since_ns, 5);
	proc.cgroup_id = 77;
	world_exec(&world, &proc, 0);
	EXPECT(&world, "");
	/* Once, when all are known: what the earlier govd hadn't moved yet. */
	world_step(&world, &end);
	EXPECT(&world, "sweep");
	cr_expect_eq(world_action(&world, ACTION_SWEEP, 0)->agent, agent);
	world_step(&world, &end);
	EXPECT(&world, "");
	world_done(&world);
}

Test(step, found_root_belongs_to_the_younger_agent)
{
	struct agent young = {.root_pid = 100, .root_start_ticks = 1000, .since_ns = 9, .cgroup_id = 78};
	struct event event = {.kind = EVENT_FOUND};
	const struct agent *agent;
	struct world world;

	for (int young_first = 0; young_first < 2; young_first++) {
		init(&world);
		if (!young_first)
			found(&world, "bot", true);
		strcpy(young.id, "0badbabe");
		event.found.agent = &young;
		event.found.policy = "tool";
		event.found.is_populated = event.found.root_lives = true;
		world_step(&world, &event);
		if (young_first)
			found(&world, "bot", true);
		cr_assert_eq(state_agent_find(world.state, "0badcafe", &agent), 0);
		cr_assert(!agent->has_root);
		cr_assert_eq(state_agent_find(world.state, "0badbabe", &agent), 0);
		cr_assert(agent->has_root);
		cr_assert_eq(state_agent_of(world.state, 0, 100), agent);
		world_done(&world);
	}
}

Test(step, found_agent_without_policy_keeps_its_limits)
{
	struct world world;
	const struct agent *agent;

	init(&world);
	found(&world, "vanished", true);
	EXPECT(&world, "mark");
	cr_assert_eq(state_agent_find(world.state, "0bad", &agent), 0);
	cr_assert_str_eq(agent->policy->name, "vanished");
	world_done(&world);
}

Test(step, found_empty_group_is_removed)
{
	struct world world;

	init(&world);
	found(&world, "bot", false);
	EXPECT(&world, "remove");
	world_done(&world);
}

Test(step, names_find_agents)
{
	struct world world;
	const struct agent *agent;

	init(&world);
	run(&world, 100, "a", 0, false);
	world_placed(&world, 0);
	run(&world, 101, "b", 0, false);
	world_placed(&world, 0);
	cr_assert_eq(state_agent_find(world.state, "bot/b", &agent), 0);
	cr_assert_eq(agent->root_pid, 101);
	cr_assert_eq(state_agent_find(world.state, "bot", &agent), -ENOTUNIQ);
	cr_assert_eq(state_agent_find(world.state, "", &agent), -ENOENT);
	cr_assert_eq(state_agent_find(world.state, "nobody", &agent), -ENOENT);
	world_done(&world);
}

Test(step, held_child_is_not_drawn_back_by_the_record_of_its_fork)
{
	struct world world;
	struct proc tool = world_proc(101, "/opt/tool");

	init(&world);
	place_bot(&world, 100, 7);
	world_hold(&world, &tool, 55);
	world_placed(&world, 0);
	world_fork(&world, 101, 100, 7);
	EXPECT(&world, "");
	world_done(&world);
}

Test(step, observed_root_that_becomes_another_agent_ends_as_the_first)
{
	struct world world;
	struct proc proc = world_proc(100, "/opt/watched");

	init(&world);
	proc.mark = 7;
	world_exec(&world, &proc, 0);
	proc.exe = "/opt/bot";
	proc.mark = 8;
	world_exec(&world, &proc, 7);
	EXPECT(&world, "record forget place");
	cr_assert_eq(state_agent_count(world.state), 1);
	world_done(&world);
}

Test(step, reload_asks_for_every_process_although_a_census_is_due)
{
	struct world world;
	struct event lost = {.kind = EVENT_LOST};

	init(&world);
	world_step(&world, &lost);
	EXPECT(&world, "census");
	world_set_policies(&world, world_make_set(policies, 2));
	EXPECT(&world, "census");
	cr_assert_str_eq(world_action(&world, ACTION_CENSUS, 0)->reason, "policies");
	world_done(&world);
}
