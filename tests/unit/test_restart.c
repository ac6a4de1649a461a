/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>
#include <signal.h>

#include "core/state.h"
#include "random.h"
#include "world.h"

#define MS NSEC_PER_MSEC
#define S NSEC_PER_SEC
#define EXE "/opt/bots/crash"

static const struct policy_restart rule = {
	.min_uptime_ns = 10 * S,
	.delay_ns = 5 * S,
	.max_delay_ns = 300 * S,
	.window_ns = 600 * S,
	.factor_milli = 1500,
	.limit = 10,
};

static uint64_t delay_after(const struct restart *restart, const struct policy_restart *of, uint64_t now_ns)
{
	uint64_t delay_ns;

	restart_decide(restart, of, now_ns, 0, &delay_ns);
	return delay_ns;
}

TestSuite(restart, .timeout = 60);

Test(restart, delays_grow_from_the_second_crash_to_the_limit)
{
	static const uint64_t delays_ms[] = {0, 0, 5000, 7500, 11250, 16875, 25312, 37968, 56953, 85429};
	struct restart restart = {0};
	uint64_t now_ns = 100 * S, delay_ns;

	for (size_t i = 0; i < ELEMENTSOF(delays_ms); i++) {
		cr_expect_eq(delay_after(&restart, &rule, now_ns) / MS, delays_ms[i], "after %zu crashes", i);
		now_ns += 50 * MS;
		restart_end(&restart, &rule, 50 * MS, now_ns);
	}
	cr_expect_eq(restart_decide(&restart, &rule, now_ns, 0, &delay_ns), RESTART_LIMIT);
	cr_expect_eq(delay_ns, 0);
	/* It is over when the crashes are. */
	cr_expect_eq(restart_decide(&restart, &rule, now_ns + rule.window_ns, 0, &delay_ns), RESTART_RUN);
}

Test(restart, a_delay_has_jitter_and_a_longest)
{
	const struct policy_restart alert = {.min_uptime_ns = S,
					     .delay_ns = 8 * S,
					     .max_delay_ns = 20 * S,
					     .window_ns = 600 * S,
					     .factor_milli = 100000,
					     .limit = 3,
					     .on_limit = POLICY_LIMIT_ALERT};
	struct restart restart = {0};
	uint64_t delay_ns;

	for (int i = 0; i < 99; i++)
		restart_end(&restart, &alert, 0, S);
	cr_expect_eq(delay_after(&restart, &alert, S), 20 * S);
	cr_expect_eq(restart_decide(&restart, &alert, S, UINT32_MAX, &delay_ns), RESTART_DELAY);
	cr_expect(delay_ns >= 15 * S && delay_ns < 16 * S);
}

/* As PM2 never stops one that lives for more than a second. */
Test(restart, an_agent_that_lives_for_1200_ms_for_ever_is_caught)
{
	struct restart restart = {0};
	uint64_t now_ns = S, delay_ns;
	unsigned starts = 0;

	while (restart_decide(&restart, &rule, now_ns, 0, &delay_ns) != RESTART_LIMIT && ++starts < 100) {
		restart_delay_begin(&restart, now_ns);
		now_ns += delay_ns;
		restart_delay_end(&restart, now_ns);
		now_ns += 1200 * MS;
		restart_end(&restart, &rule, 1200 * MS, now_ns);
	}
	cr_expect_eq(starts, rule.limit);
}

/* With delays of minutes the crashes would otherwise leave the window, and the next delay would be short again. */
Test(restart, the_window_stands_still_during_delays)
{
	struct policy_restart endless = rule;
	struct restart restart = {0};
	uint64_t now_ns = S, last_ns = 0;

	endless.limit = 0;
	for (int i = 0; i < 200; i++) {
		uint64_t delay_ns = delay_after(&restart, &endless, now_ns);

		cr_assert_geq(delay_ns, last_ns, "after %d crashes", i);
		last_ns = delay_ns;
		restart_delay_begin(&restart, now_ns);
		now_ns += delay_ns;
		restart_delay_end(&restart, now_ns);
		restart_end(&restart, &endless, 10 * MS, now_ns += 10 * MS);
	}
	cr_expect_eq(last_ns, endless.max_delay_ns);
}

Test(restart, a_life_that_lasted_makes_good_a_crash_for_each_min_uptime)
{
	struct restart restart = {0};

	for (int i = 0; i < 5; i++)
		restart_end(&restart, &rule, 0, S);
	restart_end(&restart, &rule, 9999 * MS, 12 * S);
	cr_expect_eq(restart_count(&restart, &rule, 12 * S), 6);
	restart_end(&restart, &rule, 10 * S, 22 * S);
	cr_expect_eq(restart_count(&restart, &rule, 22 * S), 5);
	restart_end(&restart, &rule, 35 * S, 60 * S);
	cr_expect_eq(restart_count(&restart, &rule, 60 * S), 2);
	restart_end(&restart, &rule, 3600 * S, 3700 * S);
	cr_expect_eq(restart_count(&restart, &rule, 3700 * S), 0);
}

Test(restart, a_name_is_its_key_or_what_runs_where_and_for_whom)
{
	const struct restart_name base = {.policy = "p", .program = "/a/b.py", .directory = "/a", .uid = 1};
	struct restart_name other = base;

	cr_expect_eq(restart_id(&base), restart_id(&other));
	other.directory = "/b";
	cr_expect_neq(restart_id(&base), restart_id(&other));
	other = base;
	other.uid = 2;
	cr_expect_neq(restart_id(&base), restart_id(&other));
	other.key = "room";
	cr_expect_neq(restart_id(&base), restart_id(&other));
	other.program = "/c";
	other.directory = NULL;
	cr_expect_eq(restart_id(&other), restart_id(&(struct restart_name){.policy = "p", .key = "room"}));
	/* What ends one part and begins the next can't be exchanged. */
	cr_expect_neq(restart_id(&(struct restart_name){.policy = "pa", .key = "b"}),
		      restart_id(&(struct restart_name){.policy = "p", .key = "ab"}));
}

/* Whatever a supervisor does, in no window of the agent's own time are more crashes let begin than the limit. */
Test(restart, property_never_more_crashes_than_the_limit)
{
	for (int round = 0; round < 300; round++) {
		struct policy_restart some = rule;
		struct restart restart = {0};
		uint64_t now_ns = next_random() % S, crashes_ns[400], own_ns;
		size_t n = 0;

		some.limit = 2 + (uint32_t)(next_random() % 20);
		some.window_ns = (1 + next_random() % 100) * S;
		for (int life = 0; life < 400; life++) {
			uint64_t lived_ns = next_random() % some.min_uptime_ns, delay_ns;
			enum restart_verdict verdict =
				restart_decide(&restart, &some, now_ns, (uint32_t)next_random(), &delay_ns);

			now_ns += next_random() % (2 * S);
			if (verdict == RESTART_LIMIT)
				continue;
			cr_assert_leq(delay_ns, some.max_delay_ns);
			restart_delay_begin(&restart, now_ns);
			now_ns += delay_ns;
			restart_delay_end(&restart, now_ns);
			now_ns += lived_ns;
			restart_end(&restart, &some, lived_ns, now_ns);
			own_ns = restart_own_ns(&restart, now_ns);
			crashes_ns[n++] = own_ns;
			if (n > some.limit)
				cr_assert_geq(own_ns - crashes_ns[n - 1 - some.limit] + 2 * some.min_uptime_ns,
					      some.window_ns, "round %d", round);
		}
	}
}

/* ---- in the core ---- */

static void begin(struct world *world, bool observe, enum policy_on_limit on_limit)
{
	const struct world_policy policy = {.name = "bots", .exe = EXE, .observe = observe};

	world_init(world, &policy, 1);
	world->set->policies[0]->restart = rule;
	world->set->policies[0]->restart.limit = 4;
	world->set->policies[0]->restart.on_limit = on_limit;
}

/* Starts, and what is done beside placing it. */
static const struct agent *start(struct world *world, pid_t pid, bool *ret_is_frozen)
{
	struct proc proc = world_proc(pid, EXE);

	world_hold(world, &proc, (uint64_t)pid);
	world_placed(world, 0);
	*ret_is_frozen = world_count(world, ACTION_FREEZE);
	return state_agent_of(world->state, 0, pid);
}

static void end(struct world *world, const struct agent *agent, int32_t code)
{
	uint64_t handle = agent->handle;

	world_exit(world, agent->root_pid, code);
	world_empty(world, handle);
	world_removed(world, handle, 0);
}

static void crash(struct world *world, pid_t pid)
{
	bool is_frozen;
	const struct agent *agent = start(world, pid, &is_frozen);

	if (is_frozen) {
		struct event tick = {.kind = EVENT_TICK};

		world->now_ns = agent->thaw_ns;
		world_step(world, &tick);
	}
	end(world, agent, 1 << 8);
}

static void frozen_is(struct world *world, const struct agent *agent, bool on)
{
	struct event event = {.kind = EVENT_RESULT};

	event.result.action = on ? ACTION_FREEZE : ACTION_THAW;
	event.result.agent = agent->handle;
	world_step(world, &event);
}

Test(restart, the_third_life_begins_frozen_and_is_thawed_in_time)
{
	struct event tick = {.kind = EVENT_TICK};
	const struct agent *agent;
	struct world world;
	uint64_t begun_ns;
	bool is_frozen;

	begin(&world, false, POLICY_LIMIT_FREEZE);
	crash(&world, 100);
	crash(&world, 101);
	agent = start(&world, 102, &is_frozen);
	begun_ns = world.now_ns;
	cr_assert(is_frozen);
	/* Frozen before it is let go. */
	EXPECT(&world, "pace save freeze timer hold-answer record");
	frozen_is(&world, agent, true);
	cr_expect_eq(agent->state, AGENT_FROZEN);
	world.now_ns = begun_ns + 3 * S;
	world_step(&world, &tick);
	cr_expect_eq(world_count(&world, ACTION_THAW), 0);
	world.now_ns = begun_ns + 5 * S;
	world_step(&world, &tick);
	cr_expect_eq(world_count(&world, ACTION_THAW), 1);
	frozen_is(&world, agent, false);
	cr_expect_eq(agent->state, AGENT_ACTIVE);
	/* The delay isn't a part of its life. */
	end(&world, agent, 0);
	start(&world, 103, &is_frozen);
	cr_expect(is_frozen);
	world_done(&world);
}

Test(restart, a_release_that_fails_leaves_the_delay_what_it_was)
{
	struct event failed = {.kind = EVENT_RESULT};
	const struct agent *agent;
	struct world world;
	bool is_frozen;

	begin(&world, false, POLICY_LIMIT_FREEZE);
	crash(&world, 100);
	crash(&world, 101);
	agent = start(&world, 102, &is_frozen);
	frozen_is(&world, agent, true);
	world_command(&world, COMMAND_RELEASE, agent->handle);
	failed.result.action = ACTION_RELEASE;
	failed.result.agent = agent->handle;
	failed.result.error = EBUSY;
	world_step(&world, &failed);
	cr_assert_eq(world_count(&world, ACTION_FREEZE), 1);
	/* The next govd, too, is to end it. */
	cr_expect(world_action(&world, ACTION_FREEZE, 0)->is_brief);
	frozen_is(&world, agent, true);
	world_wait(&world, 10 * S);
	cr_expect_eq(world_count(&world, ACTION_THAW), 1);
	world_done(&world);
}

Test(restart, beyond_the_limit_it_stays_frozen_until_somebody_thaws_it)
{
	const struct agent *agent;
	struct world world;
	bool is_frozen;

	begin(&world, false, POLICY_LIMIT_FREEZE);
	for (pid_t pid = 100; pid < 104; pid++)
		crash(&world, pid);
	agent = start(&world, 104, &is_frozen);
	cr_assert(is_frozen);
	cr_expect_eq(agent->thaw_ns, DELAY_BY_HAND);
	frozen_is(&world, agent, true);
	world_command(&world, COMMAND_THAW, agent->handle);
	cr_expect_eq(world_count(&world, ACTION_THAW), 1);
	frozen_is(&world, agent, false);
	/* Who has thawed it has said that it is well. */
	end(&world, agent, 1 << 8);
	agent = start(&world, 105, &is_frozen);
	cr_expect(!is_frozen);
	world_done(&world);
}

Test(restart, beyond_the_limit_the_exec_is_refused_if_the_policy_says_so)
{
	struct proc proc = world_proc(104, EXE);
	struct world world;

	begin(&world, false, POLICY_LIMIT_REFUSE);
	for (pid_t pid = 100; pid < 104; pid++)
		crash(&world, pid);
	world_hold(&world, &proc, 104);
	EXPECT(&world, "record hold-answer");
	cr_expect(world_action(&world, ACTION_HOLD_ANSWER, 0)->hold.is_refused);
	cr_expect_eq(world_action(&world, ACTION_RECORD, 0)->incident.kind, INCIDENT_RESTART_LIMIT);
	cr_expect_eq(state_agent_count(world.state), 0);
	/* Told once a minute. */
	world_hold(&world, &proc, 105);
	EXPECT(&world, "hold-answer");
	world_done(&world);
}

/* Its exec is told first; frozen, it would never open its script. */
Test(restart, one_that_is_to_be_refused_is_not_frozen_before_its_hold_has_come)
{
	struct proc proc = world_proc(104, EXE);
	struct event tick = {.kind = EVENT_TICK};
	const struct agent *agent;
	struct world world;

	begin(&world, false, POLICY_LIMIT_REFUSE);
	for (pid_t pid = 100; pid < 104; pid++)
		crash(&world, pid);
	world_exec(&world, &proc, 0);
	world_placed(&world, 0);
	cr_expect_eq(world_count(&world, ACTION_FREEZE), 0);
	world_hold(&world, &proc, 7);
	cr_expect(world_action(&world, ACTION_HOLD_ANSWER, 0)->hold.is_refused);
	world_exit(&world, 104, 2 << 8);
	/* One that isn't held at all. */
	proc = world_proc(105, EXE);
	world_exec(&world, &proc, 0);
	world_placed(&world, 0);
	agent = state_agent_of(world.state, 0, 105);
	world.now_ns += S;
	world_step(&world, &tick);
	cr_expect_eq(world_count(&world, ACTION_FREEZE), 1);
	cr_expect_eq(agent->thaw_ns, DELAY_BY_HAND);
	world_done(&world);
}

Test(restart, an_observed_agent_is_only_told_of)
{
	struct proc proc = world_proc(100, EXE);
	struct world world;

	begin(&world, true, POLICY_LIMIT_FREEZE);
	for (pid_t pid = 100; pid < 103; pid++) {
		proc = world_proc(pid, EXE);
		world_exec(&world, &proc, 0);
		cr_expect_eq(world_count(&world, ACTION_FREEZE), 0);
		if (pid == 102) {
			const struct incident *incident = &world_action(&world, ACTION_RECORD, 0)->incident;

			cr_expect_eq(incident->kind, INCIDENT_RESTART_DELAY);
			cr_expect_str_eq(incident->action, "would-freeze");
		}
		world_exit(&world, pid, 0);
	}
	world_done(&world);
}

Test(restart, what_somebody_has_stopped_has_not_crashed)
{
	const struct agent *agent;
	struct world world;
	bool is_frozen;

	begin(&world, false, POLICY_LIMIT_FREEZE);
	for (pid_t pid = 100; pid < 106; pid++) {
		agent = start(&world, pid, &is_frozen);
		cr_expect(!is_frozen, "life %d", (int)pid);
		world_command(&world, COMMAND_STOP, agent->handle);
		end(&world, agent, SIGTERM);
	}
	world_done(&world);
}

static const struct agent *start_in(struct world *world, pid_t pid, const char *directory)
{
	struct proc proc = world_proc(pid, EXE);

	proc.directory = directory;
	world_hold(world, &proc, (uint64_t)pid);
	world_placed(world, 0);
	return state_agent_of(world->state, 0, pid);
}

/* With a key, or a directory, a session. */
Test(restart, those_that_say_nothing_make_room_for_new_ones)
{
	size_t cursor = 0, n = 0;
	char directory[32];
	struct world world;
	pid_t pid = 100;

	begin(&world, false, POLICY_LIMIT_FREEZE);
	for (int i = 0; i < 2; i++)
		end(&world, start_in(&world, pid++, "/loop"), 1 << 8);
	for (int i = 0; i < 3 * STATE_RESTARTS_MAX; i++) {
		const struct agent *agent;

		snprintf(directory, sizeof(directory), "/session/%d", i);
		agent = start_in(&world, pid++, directory);
		cr_assert_not_null(agent->restart, "life %d is counted", i);
		world_command(&world, COMMAND_STOP, agent->handle);
		end(&world, agent, SIGTERM);
	}
	while (state_restart_next(world.state, &cursor))
		n++;
	cr_expect_eq(n, STATE_RESTARTS_MAX);
	/* Its crashes still count. */
	start_in(&world, pid, "/loop");
	cr_expect_eq(world_count(&world, ACTION_FREEZE), 1);
	world_done(&world);
}

/* One of a crash loop that had ended before /proc was looked at. */
Test(restart, a_life_without_a_directory_is_one_of_the_same_program)
{
	static const char *const directories[] = {"/srv/a", NULL, "/srv/a"};
	struct proc proc;
	struct world world;

	begin(&world, false, POLICY_LIMIT_FREEZE);
	for (pid_t pid = 100; pid < 103; pid++) {
		const struct agent *agent;

		proc = world_proc(pid, EXE);
		proc.directory = directories[pid - 100];
		world_exec(&world, &proc, 0);
		world_placed(&world, 0);
		cr_expect_eq(world_count(&world, ACTION_FREEZE), pid == 102, "life %d", (int)pid);
		agent = state_agent_of(world.state, 0, pid);
		end(&world, agent, 1 << 8);
	}
	/* Another directory is another agent, and so is another user. */
	for (pid_t pid = 103; pid < 105; pid++) {
		proc = world_proc(pid, EXE);
		proc.directory = pid == 103 ? "/srv/b" : NULL;
		proc.uid += pid == 104;
		world_exec(&world, &proc, 0);
		world_placed(&world, 0);
		cr_expect_eq(world_count(&world, ACTION_FREEZE), 0, "life %d", (int)pid);
	}
	world_done(&world);
}

/* Told of by its exec, and gone before it could be placed: how it has ended comes a moment later. */
Test(restart, a_life_that_ends_before_it_is_placed_is_a_crash)
{
	struct event end = {.kind = EVENT_CENSUS_END};
	struct world world;

	begin(&world, false, POLICY_LIMIT_FREEZE);
	for (pid_t pid = 100; pid < 103; pid++) {
		struct proc proc = world_proc(pid, EXE);

		proc.mark = (uint64_t)pid;
		world_exec(&world, &proc, 0);
		world_placed(&world, pid == 102 ? 0 : ESRCH);
		cr_expect_eq(world_count(&world, ACTION_FREEZE), pid == 102, "life %d", (int)pid);
		if (pid == 102)
			break;
		world_exit(&world, pid, 1 << 8);
		world_step(&world, &end);
		cr_expect_eq(state_agent_count(world.state), 0);
	}
	world_done(&world);
}
