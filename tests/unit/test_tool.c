/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>
#include <signal.h>

#include "base/text.h"
#include "core/tool.h"
#include "world.h"

/* step(): tools of an agent, in groups of their own. */

#define ROOT 100
#define MIB (UINT64_C(1) << 20)

static const struct world_policy policies[] = {
	{.name = "bot", .exe = "/opt/bot"},
	{.name = "plain", .exe = "/opt/plain"},
};

static struct policy_set *tool_set(enum policy_on_oom on_oom, uint64_t max_runtime_ns)
{
	struct policy_set *set = world_make_set(policies, ELEMENTSOF(policies));

	set->policies[0]->limits.on_oom = on_oom;
	set->policies[0]->tools.max_runtime_ns = max_runtime_ns;
	set->policies[0]->tools.memory_max_bytes = 64 * MIB;
	return set;
}

static const struct agent *born_under(struct world *world, struct policy_set *set)
{
	struct proc proc = world_proc(ROOT, "/opt/bot");
	struct event end = {.kind = EVENT_CENSUS_END};

	world_init(world, policies, ELEMENTSOF(policies));
	world_set_policies(world, set);
	world_step(world, &end);
	proc.mark = 7;
	world_exec(world, &proc, 0);
	world_placed(world, 0);
	return world_action(world, ACTION_PACE, 0)->agent;
}

static const struct agent *born(struct world *world)
{
	const struct agent *agent = born_under(world, tool_set(POLICY_OOM_KILL_TOOL, 10 * NSEC_PER_SEC));

	EXPECT(world, "pace mark record tool-look");
	cr_expect(world_action(world, ACTION_MARK, 0)->process.has_tools);
	return agent;
}

static void forked(struct world *world, const struct agent *agent, pid_t pid, uint64_t number)
{
	struct event event = {.kind = EVENT_FORK};

	event.fork.pid = pid;
	event.fork.ppid = ROOT;
	event.fork.start_ticks = (uint64_t)pid * 10;
	event.fork.cgroup_id = agent->cgroup_id;
	event.fork.tool = number;
	world_step(world, &event);
}

static void result(struct world *world, const struct agent *agent, pid_t pid, enum action_kind kind, int error)
{
	struct event event = {.kind = EVENT_TOOL_RESULT};

	event.tool.agent = agent->handle;
	event.tool.id = (struct tool_id){pid, (uint64_t)pid * 10};
	event.tool.action = kind;
	event.tool.error = error;
	event.tool.cgroup_id = event.tool.memory_id = 5000 + (uint64_t)pid;
	event.tool.memory_bytes = 5 * MIB;
	text_copy(event.tool.name, sizeof(event.tool.name), "cc1");
	world_step(world, &event);
}

static void begun(struct world *world, const struct agent *agent, pid_t pid)
{
	forked(world, agent, pid, (uint64_t)pid);
	EXPECT(world, "tool-place");
	result(world, agent, pid, ACTION_TOOL_PLACE, 0);
}

static void empty(struct world *world, const struct agent *agent, pid_t pid)
{
	struct event event = {.kind = EVENT_TOOL_EMPTY};

	event.tool.agent = agent->handle;
	event.tool.id = (struct tool_id){pid, (uint64_t)pid * 10};
	world_step(world, &event);
}

static void expect_told(const struct world *world, enum incident_kind kind, const char *rule, const char *action)
{
	const struct action *record = world_action(world, ACTION_RECORD, 0);

	cr_assert_not_null(record, "nothing is recorded");
	cr_expect_eq(record->incident.kind, kind);
	cr_expect_str_eq(record->incident.rule, rule);
	cr_expect_str_eq(record->incident.action, action);
	cr_expect_not_null(world_fact(&record->incident, "tool_pid"));
}

static const struct agent *other_agent(struct world *world, pid_t pid)
{
	struct proc proc = world_proc(pid, "/opt/plain");

	proc.mark = 8;
	world_exec(world, &proc, 0);
	world_placed(world, 0);
	EXPECT(world, "pace record");
	return world_action(world, ACTION_PACE, 0)->agent;
}

Test(tool, begins_with_a_child_and_ends_untold)
{
	struct event gone = {.kind = EVENT_EXIT};
	const struct agent *agent;
	struct world world;

	agent = born(&world);
	begun(&world, agent, 101);
	EXPECT(&world, "timer");
	cr_assert_eq(agent->tools->n, 1);
	/* What was born before it was moved follows, by the same number. */
	forked(&world, agent, 102, 101);
	EXPECT(&world, "tool-place");
	cr_expect_eq(world_action(&world, ACTION_TOOL_PLACE, 0)->tool.id.pid, 101);
	cr_expect_eq(world_action(&world, ACTION_TOOL_PLACE, 0)->tool.pid, 102);
	/* One that has ended before it could be moved changes nothing. */
	result(&world, agent, 101, ACTION_TOOL_PLACE, ESRCH);
	cr_assert_eq(agent->tools->n, 1);
	gone.exit.pid = 101;
	gone.exit.start_ticks = 1010;
	gone.exit.cgroup_id = agent->cgroup_id;
	gone.exit.has_code = true;
	world_step(&world, &gone);
	empty(&world, agent, 101);
	EXPECT(&world, "tool-remove");
	result(&world, agent, 101, ACTION_TOOL_REMOVE, 0);
	EXPECT(&world, "");
	cr_assert_eq(agent->tools->n, 0);
	world_done(&world);
}

Test(tool, one_that_is_gone_leaves_the_table)
{
	const struct agent *agent;
	struct world world;

	agent = born(&world);
	forked(&world, agent, 101, 1);
	result(&world, agent, 101, ACTION_TOOL_PLACE, ESRCH);
	cr_assert_eq(agent->tools->n, 0);
	/* Its child begins one of its own. */
	forked(&world, agent, 102, 1);
	cr_expect_eq(world_action(&world, ACTION_TOOL_PLACE, 0)->tool.id.pid, 102);
	world_done(&world);
}

Test(tool, what_is_none)
{
	const struct agent *agent, *other;
	struct event event = {.kind = EVENT_FORK};
	struct world world;

	agent = born(&world);
	other = other_agent(&world, 200);
	/* Of an agent without tools: the kernel is told that it needn't tell. */
	forked(&world, other, 201, 1);
	cr_expect_null(other->tools);
	cr_expect_eq(world_count(&world, ACTION_TOOL_PLACE), 0);
	/* The root of another agent, and what is of that one's lineage. */
	forked(&world, agent, 200, 2);
	EXPECT(&world, "");
	event.fork.pid = 202;
	event.fork.start_ticks = 2020;
	event.fork.mark = 8;
	event.fork.tool = 3;
	event.fork.cgroup_id = agent->cgroup_id;
	world_step(&world, &event);
	cr_expect_eq(world_count(&world, ACTION_TOOL_PLACE), 0);
	/* Beyond the bound they stay with the root. */
	for (pid_t pid = 300; pid < 300 + TOOLS_MAX + 5; pid++)
		forked(&world, agent, pid, (uint64_t)pid);
	cr_expect_eq(agent->tools->n, TOOLS_MAX);
	cr_expect_eq(agent->tools->missed, 5);
	EXPECT(&world, "");
	world_done(&world);
}

Test(tool, its_runtime_ends_it)
{
	const struct agent *agent;
	struct world world;

	agent = born(&world);
	begun(&world, agent, 101);
	cr_expect_eq(world_action(&world, ACTION_TIMER, 0)->time_ns,
		     agent->tools->items[0].since_ns + 10 * NSEC_PER_SEC);
	world_wait(&world, 9 * NSEC_PER_SEC);
	EXPECT(&world, "timer");
	world_wait(&world, 2 * NSEC_PER_SEC);
	EXPECT(&world, "tool-signal timer");
	cr_expect_eq(world_action(&world, ACTION_TOOL_SIGNAL, 0)->tool.signal, SIGTERM);
	result(&world, agent, 101, ACTION_TOOL_SIGNAL, 0);
	world_wait(&world, 11 * NSEC_PER_SEC);
	EXPECT(&world, "tool-kill timer");
	/* Again, as long as it is there. */
	world_wait(&world, 2 * NSEC_PER_SEC);
	EXPECT(&world, "tool-kill timer");
	empty(&world, agent, 101);
	result(&world, agent, 101, ACTION_TOOL_REMOVE, 0);
	EXPECT(&world, "record");
	expect_told(&world, INCIDENT_EXPIRED, "tools.max_runtime", "kill-tool");
	cr_expect_eq(agent->state, AGENT_ACTIVE);
	world_done(&world);
}

Test(tool, one_that_isnt_empty_after_all_stays)
{
	const struct agent *agent;
	struct world world;

	agent = born(&world);
	begun(&world, agent, 101);
	empty(&world, agent, 101);
	result(&world, agent, 101, ACTION_TOOL_REMOVE, EBUSY);
	cr_assert_eq(agent->tools->n, 1);
	cr_expect_eq(agent->tools->items[0].state, TOOL_ACTIVE);
	world_done(&world);
}

static void tell_oom(struct world *world, const struct agent *agent, pid_t pid, uint64_t group, enum oom_limit limit)
{
	struct event event = {.kind = EVENT_OOM};

	event.oom.victim = (struct victim){
		.owner = agent->cgroup_id, .pid = pid, .start_ticks = (uint64_t)pid * 10, .comm = "cc1"};
	event.oom.limit = limit;
	event.oom.tool_group = group;
	event.oom.tool_peak_bytes = 63 * MIB;
	world_step(world, &event);
}

Test(tool, memory_ends_what_it_is_to)
{
	static const struct {
		enum policy_on_oom on_oom;
		enum oom_limit limit;
		bool is_tools;
		const char *kinds, *action;
	} cases[] = {
		{POLICY_OOM_KILL_TOOL, OOM_LIMIT_AGENT, true, "record timer tool-kill", "kill-tool"},
		{POLICY_OOM_KILL_TOOL, OOM_LIMIT_HOST, true, "record timer tool-kill", "kill-tool"},
		{POLICY_OOM_KILL_TOOL, OOM_LIMIT_AGENT, false, "record kill timer", "kill-agent"},
		{POLICY_OOM_KILL_AGENT, OOM_LIMIT_AGENT, true, "record kill timer", "kill-agent"},
		{POLICY_OOM_KILL_AGENT, OOM_LIMIT_TOOL, true, "record timer tool-kill", "kill-tool"},
		{POLICY_OOM_KERNEL, OOM_LIMIT_TOOL, true, "record timer tool-kill", "kill-tool"},
		{POLICY_OOM_KERNEL, OOM_LIMIT_AGENT, true, "record", "kill"},
		{POLICY_OOM_KERNEL, OOM_LIMIT_AGENT, false, "record", "kill"},
	};

	for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
		const struct agent *agent;
		struct world world;

		agent = born_under(&world, tool_set(cases[i].on_oom, UNIT_INFINITY));
		begun(&world, agent, 101);
		tell_oom(&world, agent, cases[i].is_tools ? 102 : ROOT, cases[i].is_tools ? 5101 : 1, cases[i].limit);
		world_expect(&world, cases[i].kinds, __FILE__, (int)i);
		cr_expect_str_eq(world_action(&world, ACTION_RECORD, 0)->incident.action, cases[i].action, "case %zu",
				 i);
		/* The kernel tells of each that it has ended. */
		tell_oom(&world, agent, 103, cases[i].is_tools ? 5101 : 1, cases[i].limit);
		EXPECT(&world, "");
		world_done(&world);
	}
}

Test(tool, one_that_hasnt_been_moved_yet_is_one)
{
	struct event event = {.kind = EVENT_OOM};
	const struct agent *agent;
	struct world world;

	agent = born(&world);
	begun(&world, agent, 101);
	event.oom.victim = (struct victim){.owner = agent->cgroup_id, .pid = 102, .start_ticks = 1020};
	event.oom.limit = OOM_LIMIT_AGENT;
	event.oom.tool_number = 101;
	world_step(&world, &event);
	EXPECT(&world, "record timer tool-kill");
	cr_expect_eq(agent->state, AGENT_ACTIVE);
	world_done(&world);
}

Test(tool, the_one_that_has_grown_most_is_ended)
{
	struct event event = {.kind = EVENT_TOOL_SAMPLE};
	struct agent *agent;
	struct world world;

	agent = (struct agent *)born(&world);
	world.actions.n = 0;
	cr_expect_not(tool_end_grown(agent, "memory.high", &world.actions));
	for (pid_t pid = 101; pid < 104; pid++)
		begun(&world, agent, pid);
	world.actions.n = 0;
	cr_expect(tool_end_grown(agent, "memory.high", &world.actions));
	EXPECT(&world, "tool-weigh");
	event.tool.agent = agent->handle;
	for (pid_t pid = 101; pid < 104; pid++) {
		event.tool.id = (struct tool_id){pid, (uint64_t)pid * 10};
		event.tool.memory_bytes = (uint64_t)(pid == 102 ? 50 : pid - 100) * MIB;
		world_step(&world, &event);
	}
	event.kind = EVENT_TOOL_WEIGHED;
	world_step(&world, &event);
	cr_expect_eq(world_action(&world, ACTION_TOOL_KILL, 0)->tool.id.pid, 102);
	/* As long as it ends no other is. */
	world.actions.n = 0;
	cr_expect(tool_end_grown(agent, "memory.high", &world.actions));
	EXPECT(&world, "");
	empty(&world, agent, 102);
	result(&world, agent, 102, ACTION_TOOL_REMOVE, 0);
	expect_told(&world, INCIDENT_PRESSURE, "memory.high", "kill-tool");
	world_done(&world);
}

Test(tool, a_look_is_repeated_until_nobody_new_is_there)
{
	struct event event = {.kind = EVENT_FORK}, looked = {.kind = EVENT_TOOL_LOOKED};
	const struct agent *agent;
	struct world world;

	agent = born(&world);
	event.fork.pid = 105;
	event.fork.start_ticks = 1050;
	event.fork.agent = agent->handle;
	event.fork.of = (struct tool_id){101, 1010};
	event.fork.cgroup_id = agent->cgroup_id;
	world_step(&world, &event);
	EXPECT(&world, "tool-place");
	cr_expect_eq(world_action(&world, ACTION_TOOL_PLACE, 0)->tool.id.pid, 101);
	result(&world, agent, 101, ACTION_TOOL_PLACE, 0);
	looked.tool.agent = agent->handle;
	looked.tool.found = 1;
	world_step(&world, &looked);
	EXPECT(&world, "tool-look");
	for (unsigned i = 0; i < 20; i++)
		world_step(&world, &looked);
	looked.tool.found = 0;
	world_step(&world, &looked);
	EXPECT(&world, "");
	world_done(&world);
}

Test(tool, found_again_with_its_time_so_far)
{
	struct event event = {.kind = EVENT_TOOL_FOUND};
	const struct agent *agent;
	struct world world;

	agent = born(&world);
	world.now_ns += 100 * NSEC_PER_SEC;
	event.tool.agent = agent->handle;
	event.tool.id = (struct tool_id){101, 1010};
	event.tool.since_ns = world.now_ns - 20 * NSEC_PER_SEC;
	world_step(&world, &event);
	EXPECT(&world, "timer");
	world_wait(&world, NSEC_PER_MSEC);
	EXPECT(&world, "tool-signal timer");
	world_done(&world);
}

Test(tool, a_new_policy_begins_and_ends_it)
{
	const struct agent *agent;
	struct world world;

	agent = born_under(&world, world_make_set(policies, ELEMENTSOF(policies)));
	EXPECT(&world, "pace record");
	world_set_policies(&world, tool_set(POLICY_OOM_KERNEL, UNIT_INFINITY));
	EXPECT(&world, "limit mark tool-look census");
	begun(&world, agent, 101);
	EXPECT(&world, "");
	world_set_policies(&world, tool_set(POLICY_OOM_KERNEL, NSEC_PER_SEC));
	cr_expect_eq(world_count(&world, ACTION_TIMER), 1);
	world_set_policies(&world, world_make_set(policies, ELEMENTSOF(policies)));
	cr_expect_eq(world_count(&world, ACTION_LIMIT), 1);
	forked(&world, agent, 102, 102);
	EXPECT(&world, "mark");
	cr_expect_not(world_action(&world, ACTION_MARK, 0)->process.has_tools);
	world_done(&world);
}
