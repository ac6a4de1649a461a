/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>

#include "base/text.h"
#include "core/state.h"
#include "world.h"

/* Whose a process is, in the moments in which its mark, its group and its parent say different things. */

TestSuite(lineage, .timeout = 60);

static const struct world_policy policies[] = {
	{.name = "bot", .exe = "/opt/bot"},
	{.name = "tool", .exe = "/opt/tool"},
	{.name = "watched", .exe = "/opt/watched", .observe = true},
	{.name = "worthy", .exe = "/opt/worthy"},
};

static void init(struct world *world)
{
	world_init(world, policies, ELEMENTSOF(policies));
}

/* In the group of this agent; 0: outside. */
static struct proc proc_in(uint64_t agent, pid_t pid, const char *exe, uint64_t mark)
{
	struct proc proc = world_proc(pid, exe);

	proc.mark = mark;
	if (!agent)
		return proc;
	proc.cgroup_id = 1000 + agent;
	proc.flags = 0;
	return proc;
}

/* The agent that its exec makes, whose placing is under way. */
static struct action exec_agent(struct world *world, const struct proc *proc, uint64_t parent_mark)
{
	world_exec(world, proc, parent_mark);
	cr_assert_eq(world_count(world, ACTION_PLACE), 1);
	return *world_action(world, ACTION_PLACE, 0);
}

static uint64_t place(struct world *world, const struct action *action)
{
	world->actions.items[0] = *action;
	world->actions.n = 1;
	world_placed(world, 0);
	return action->agent->handle;
}

static uint64_t begin(struct world *world, const struct proc *proc, uint64_t parent_mark)
{
	struct action placing = exec_agent(world, proc, parent_mark);

	return place(world, &placing);
}

static void seen(struct world *world, const struct proc *proc)
{
	struct event event = {.kind = EVENT_SEEN};

	event.seen.proc = *proc;
	world_step(world, &event);
}

static void census_end(struct world *world)
{
	struct event event = {.kind = EVENT_CENSUS_END};

	world_step(world, &event);
}

static void fork_in(struct world *world, uint64_t agent, pid_t pid, uint64_t mark)
{
	struct event event = {.kind = EVENT_FORK};

	event.fork.pid = pid;
	event.fork.start_ticks = (uint64_t)pid * 10;
	event.fork.mark = mark;
	event.fork.cgroup_id = 1000 + agent;
	world_step(world, &event);
}

static void released(struct world *world, uint64_t agent, pid_t pid)
{
	struct event event = {.kind = EVENT_RELEASED};

	event.released.agent = agent;
	event.released.pid = pid;
	event.released.start_ticks = (uint64_t)pid * 10;
	world_step(world, &event);
}

static void release_done(struct world *world, uint64_t agent)
{
	struct event event = {.kind = EVENT_RESULT};

	event.result.action = ACTION_RELEASE;
	event.result.agent = agent;
	world_step(world, &event);
}

static void expect_move(const struct world *world, pid_t pid, uint64_t agent)
{
	const struct action *move = world_action(world, ACTION_MOVE, 0);

	cr_assert_not_null(move, "%d isn't moved", (int)pid);
	cr_assert_eq(move->process.pid, pid);
	cr_assert_eq(move->agent->handle, agent);
}

/* The nested agent's child executes an interpreter in the group of the outer one, before the nested one has its own. */
Test(lineage, what_a_nested_agent_starts_before_it_is_placed_follows_it)
{
	struct world world;
	struct proc bot = proc_in(0, 100, "/opt/bot", 7), tool, python;
	struct action placing;
	uint64_t outer, inner;

	init(&world);
	outer = begin(&world, &bot, 0);
	tool = proc_in(outer, 101, "/opt/tool", 8);
	placing = exec_agent(&world, &tool, 7);
	fork_in(&world, outer, 102, 8);
	EXPECT(&world, "");
	python = proc_in(outer, 102, "/usr/bin/python3", 9);
	world_exec(&world, &python, 8);
	EXPECT(&world, "");
	inner = place(&world, &placing);
	cr_assert_eq(world_count(&world, ACTION_CENSUS), 1);
	seen(&world, &python);
	expect_move(&world, 102, inner);
	fork_in(&world, outer, 103, 9);
	expect_move(&world, 103, inner);
	world_done(&world);
}

/* And what governs that group is another agent when one of the nested agent's executes it. */
Test(lineage, what_governs_the_outer_group_is_an_agent_of_its_own_below_the_nested_one)
{
	struct world world;
	struct proc bot = proc_in(0, 100, "/opt/bot", 7), tool, other;
	struct action placing;
	uint64_t outer;

	init(&world);
	outer = begin(&world, &bot, 0);
	tool = proc_in(outer, 101, "/opt/tool", 8);
	exec_agent(&world, &tool, 7);
	other = proc_in(outer, 102, "/opt/bot", 9);
	placing = exec_agent(&world, &other, 8);
	cr_assert_str_eq(placing.agent->policy->name, "bot");
	cr_assert_neq(placing.agent->handle, outer);
	world_done(&world);
}

/* 102 is born in the group of the first, the root is the third by the time that its record is read. */
Test(lineage, root_that_becomes_two_agents_while_it_is_placed_has_begun_in_both_groups)
{
	struct world world;
	struct proc bot = proc_in(0, 100, "/opt/bot", 7), tool, worthy;
	uint64_t first, second, third;

	init(&world);
	first = begin(&world, &bot, 0);
	tool = proc_in(first, 100, "/opt/tool", 8);
	second = begin(&world, &tool, 7);
	worthy = proc_in(second, 100, "/opt/worthy", 9);
	third = begin(&world, &worthy, 8);
	fork_in(&world, first, 102, 9);
	expect_move(&world, 102, third);
	/* Also when the one in between has ended. */
	world_empty(&world, second);
	world_removed(&world, second, 0);
	cr_assert_null(state_agent_by_handle(world.state, second));
	fork_in(&world, first, 103, 9);
	expect_move(&world, 103, third);
	world_done(&world);
}

/* The mark that it carries is that of the observed agent that it was a part of, and its brothers' still. */
Test(lineage, look_at_a_held_root_tells_nothing_of_its_agents_mark)
{
	struct world world;
	const uint64_t mark = MARK_OF_CORE | 1;
	struct proc held = proc_in(0, 101, "/opt/bot", mark);
	struct proc before = proc_in(0, 101, "/usr/bin/python3", mark);
	struct proc brother = proc_in(0, 102, "/usr/bin/python3", mark);
	struct action placing;

	init(&world);
	world_hold(&world, &held, 1);
	placing = *world_action(&world, ACTION_PLACE, 0);
	seen(&world, &before);
	EXPECT(&world, "");
	cr_assert_eq(placing.agent->mark, 0);
	place(&world, &placing);
	seen(&world, &brother);
	cr_assert_eq(world_count(&world, ACTION_MOVE), 0);
	world_done(&world);
}

/* It executed something, forked, and was held for the agent, before any of it was told. */
Test(lineage, record_of_an_exec_before_the_hold_is_not_the_agents)
{
	struct world world;
	struct proc held = proc_in(0, 100, "/opt/bot", 9), now;
	struct action placing;
	uint64_t agent;

	init(&world);
	world_hold(&world, &held, 1);
	placing = *world_action(&world, ACTION_PLACE, 0);
	agent = place(&world, &placing);
	now = proc_in(agent, 100, "/opt/bot", 9);
	world_exec(&world, &now, 0);
	world_fork(&world, 101, 100, 9);
	EXPECT(&world, "");
	/* Its own is the next. */
	now.mark = 10;
	world_exec(&world, &now, 9);
	world_fork(&world, 102, 100, 10);
	expect_move(&world, 102, agent);
	world_done(&world);
}

/* Exec records that don't fit into the ring come later than those behind them. */
Test(lineage, exec_whose_lineage_is_told_of_later_belongs_to_it)
{
	struct world world;
	struct proc python = proc_in(0, 101, "/usr/bin/python3", 8), bot = proc_in(0, 100, "/opt/bot", 7);
	uint64_t agent;

	init(&world);
	world_exec(&world, &python, 7);
	agent = begin(&world, &bot, 0);
	seen(&world, &python);
	expect_move(&world, 101, agent);
	world_done(&world);
}

/* The same in the group of another: it belongs to that one until its lineage turns out to have begun there. */
Test(lineage, exec_in_a_group_waits_for_what_is_told_of_its_lineage)
{
	struct world world;
	struct proc bot = proc_in(0, 100, "/opt/bot", 7), tool, python;
	uint64_t outer, inner;

	init(&world);
	outer = begin(&world, &bot, 0);
	python = proc_in(outer, 102, "/usr/bin/python3", 10);
	world_exec(&world, &python, 9);
	EXPECT(&world, "");
	tool = proc_in(outer, 101, "/opt/tool", 9);
	inner = begin(&world, &tool, 7);
	seen(&world, &python);
	expect_move(&world, 102, inner);
	world_done(&world);
}

/* 102 was forked by 101 before 101 executed: their common mark is that of 100's lineage. */
Test(lineage, mark_of_an_observed_agents_child_may_be_others_too)
{
	struct world world;
	struct proc watched = proc_in(0, 101, "/opt/watched", 8), child = proc_in(0, 102, "/bin/cat", 7);
	struct proc brother = proc_in(0, 103, "/bin/cat", 7);
	static const struct world_policy enforced[] = {{.name = "watched", .exe = "/opt/watched"}};
	struct action placing;

	init(&world);
	world_exec(&world, &watched, 0);
	child.ppid = 101;
	seen(&world, &child);
	world_set_policies(&world, world_make_set(enforced, ELEMENTSOF(enforced)));
	seen(&world, &watched);
	placing = *world_action(&world, ACTION_PLACE, 0);
	place(&world, &placing);
	seen(&world, &brother);
	cr_assert_eq(world_count(&world, ACTION_MOVE), 0);
	world_done(&world);
}

/* The exit record of an observed agent's root was lost, and its pid is that of a process that takes over a lineage. */
Test(lineage, pid_that_is_used_again_ends_the_observed_agent_that_had_it)
{
	struct world world;
	struct proc watched = proc_in(0, 102, "/opt/watched", 5), bot = proc_in(0, 100, "/opt/bot", 7);
	struct event fork = {.kind = EVENT_FORK};
	struct action placing;

	init(&world);
	world_exec(&world, &watched, 0);
	cr_assert_eq(state_agent_count(world.state), 1);
	placing = exec_agent(&world, &bot, 0);
	world.actions.items[0] = placing;
	world.actions.n = 1;
	world_placed(&world, ESRCH);
	fork.fork.pid = 102;
	fork.fork.start_ticks = 5000;
	fork.fork.mark = 7;
	fork.fork.cgroup_id = 1;
	world_step(&world, &fork);
	cr_assert_eq(world_count(&world, ACTION_PLACE), 1);
	cr_assert_eq(world_count(&world, ACTION_FORGET), 1);
	census_end(&world);
	cr_assert_eq(state_agent_count(world.state), 1);
	world_done(&world);
}

/* What it has started goes where the group's processes go, and the nested agent's leave from there. */
Test(lineage, nested_agent_whose_outer_one_is_released_has_begun_further_out)
{
	struct world world;
	struct proc bot = proc_in(0, 100, "/opt/bot", 7), tool, worthy;
	struct action placing;
	uint64_t outer, middle, inner;

	init(&world);
	outer = begin(&world, &bot, 0);
	tool = proc_in(outer, 101, "/opt/tool", 8);
	middle = begin(&world, &tool, 7);
	worthy = proc_in(middle, 102, "/opt/worthy", 9);
	placing = exec_agent(&world, &worthy, 8);
	world_command(&world, COMMAND_RELEASE, middle);
	released(&world, middle, 101);
	release_done(&world, middle);
	inner = place(&world, &placing);
	fork_in(&world, outer, 103, 9);
	expect_move(&world, 103, inner);
	world_done(&world);
}

Test(lineage, sweep_takes_neither_the_released_nor_roots)
{
	struct world world;
	struct proc bot = proc_in(0, 100, "/opt/bot", 7), tool, child, let_go = proc_in(0, 104, "/bin/cat", 0);
	const struct agent *outer, *inner;

	init(&world);
	outer = state_agent_by_handle(world.state, begin(&world, &bot, 0));
	released(&world, outer->handle, 104);
	tool = proc_in(outer->handle, 101, "/opt/tool", 8);
	inner = state_agent_by_handle(world.state, begin(&world, &tool, 7));
	/* What is in the group that it came from yet is its own, but for that one's root. */
	child = proc_in(outer->handle, 102, "/bin/cat", 0);
	cr_assert(state_sweep_takes(world.state, inner, &child));
	child = proc_in(outer->handle, 100, "/opt/bot", 7);
	cr_assert(!state_sweep_takes(world.state, inner, &child));
	child = proc_in(inner->handle, 103, "/bin/cat", 0);
	cr_assert(!state_sweep_takes(world.state, outer, &child));
	child = proc_in(0, 105, "/bin/cat", 0);
	cr_assert(state_sweep_takes(world.state, inner, &child));
	cr_assert(!state_sweep_takes(world.state, inner, &let_go));
	world_done(&world);
}

/* Only a command takes again what was let go: this one asks for all descendants. */
Test(lineage, adoption_takes_the_released_too)
{
	struct world world;
	struct proc bot = proc_in(0, 100, "/opt/bot", 7), let_go = proc_in(0, 104, "/bin/cat", 0);
	struct event adopt = {.kind = EVENT_COMMAND};

	init(&world);
	released(&world, begin(&world, &bot, 0), 104);
	adopt.command.command = COMMAND_ADOPT;
	adopt.command.request = 1;
	adopt.command.policy = "tool";
	adopt.command.proc = proc_in(0, 106, "/bin/cat", 0);
	world_step(&world, &adopt);
	cr_assert_eq(world_count(&world, ACTION_PLACE), 1);
	cr_assert(state_sweep_takes(world.state, world_action(&world, ACTION_PLACE, 0)->agent, &let_go));
	world_done(&world);
}
