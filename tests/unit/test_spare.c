/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>
#include <signal.h>

#include "base/text.h"
#include "core/state.h"
#include "world.h"

/* Whom the core must not end, however it looks. The same on real processes: tests/host/test_spare.py. */

#define S NSEC_PER_SEC
#define DAY (UINT64_C(86400) * S)
#define EXE "/opt/bots/agent"

static struct policy *begin(struct world *world)
{
	const struct world_policy policy = {.name = "bots", .exe = EXE};

	world_init(world, &policy, 1);
	return world->set->policies[0];
}

static struct agent *place(struct world *world, const struct proc *proc, const char *key)
{
	struct agent *agent;

	world_hold(world, proc, (uint64_t)proc->pid);
	agent = state_by_root(world->state, proc->pid, proc->start_ticks);
	world_set_key(world, agent, key);
	world_placed(world, 0);
	return agent;
}

static struct agent *start(struct world *world, pid_t pid, const char *key)
{
	struct proc proc = world_proc(pid, EXE);

	return place(world, &proc, key);
}

static void tell(struct world *world, enum event_kind kind, uint64_t agent)
{
	struct event event = {.kind = kind};

	/* The handle stands first in all that are told so. */
	event.orphaned.agent = agent;
	world_step(world, &event);
}

static void trace(struct world *world, const struct agent *agent, pid_t tracer)
{
	struct event event = {.kind = EVENT_TRACED};

	event.traced.agent = agent->handle;
	event.traced.tracer_pid = tracer;
	world_step(world, &event);
}

/* What of the last step is meant for this one. */
static size_t count_for(const struct world *world, enum action_kind kind, uint64_t agent)
{
	size_t n = 0;

	for (size_t i = 0; i < world->actions.n; i++)
		n += world->actions.items[i].kind == kind && world->actions.items[i].agent &&
		     world->actions.items[i].agent->handle == agent;
	return n;
}

TestSuite(spare, .timeout = 60);

/* ---- replacements ---- */

Test(spare, a_replacement_that_only_waits_frozen_takes_nobodys_place)
{
	struct world world;
	struct policy *policy = begin(&world);
	struct agent *old, *new;

	policy->lifecycle.per_key = 1;
	policy->restart = (struct policy_restart){.min_uptime_ns = 10 * S,
						  .delay_ns = 60 * S,
						  .factor_milli = 1000,
						  .max_delay_ns = 60 * S,
						  .window_ns = 3600 * S};
	old = start(&world, 100, "room");
	world_wait(&world, 100 * S);
	/* A loop that crashes, of the same key. */
	for (pid_t pid = 101; pid < 103; pid++) {
		new = start(&world, pid, "room");
		world_exit(&world, pid, 256);
		world_empty(&world, new->handle);
		world_removed(&world, new->handle, 0);
	}
	new = start(&world, 103, "room");
	cr_assert_eq(world_count(&world, ACTION_FREEZE), 1);
	world_result(&world, ACTION_FREEZE, new->handle);
	cr_assert_eq(new->state, AGENT_FROZEN);
	world_wait(&world, 40 * S);
	cr_expect_eq(old->state, AGENT_ACTIVE, "the frozen one has shown nothing");
	world_wait(&world, 21 * S);
	cr_assert_eq(world_count(&world, ACTION_THAW), 1);
	world_result(&world, ACTION_THAW, new->handle);
	world_wait(&world, 9 * S);
	cr_expect_eq(old->state, AGENT_ACTIVE);
	world_wait(&world, 2 * S);
	cr_expect_eq(old->state, AGENT_STOPPING, "now it has lived");
	cr_expect_eq(new->state, AGENT_ACTIVE);
	world_done(&world);
}

/* Its end has been told, and that its group is empty comes a moment later. */
Test(spare, a_replacement_whose_root_has_ended_takes_nobodys_place)
{
	struct world world;
	struct agent *old;

	begin(&world)->lifecycle.per_key = 1;
	old = start(&world, 100, "room");
	start(&world, 101, "room");
	world_exit(&world, 101, 256);
	world_wait(&world, 3600 * S);
	cr_expect_eq(old->state, AGENT_ACTIVE);
	world_done(&world);
}

Test(spare, the_replacement_of_the_same_second)
{
	struct world world;
	struct agent *old, *new;

	begin(&world);
	old = start(&world, 100, "room");
	world_command(&world, COMMAND_STOP, old->handle);
	cr_assert_eq(count_for(&world, ACTION_SIGNAL, old->handle), 1);
	new = start(&world, 101, "room");
	cr_expect_eq(new->state, AGENT_ACTIVE);
	world_exit(&world, 100, 0);
	cr_expect_eq(count_for(&world, ACTION_SIGNAL_ALL, old->handle), 1);
	cr_expect_eq(world_count(&world, ACTION_SIGNAL_ALL), 1);
	/* What is left of the old one is killed; the new one has come to nobody's notice. */
	world_wait(&world, 11 * S);
	cr_expect_eq(count_for(&world, ACTION_KILL, old->handle), 1);
	cr_expect_eq(world_count(&world, ACTION_KILL), 1);
	world_empty(&world, old->handle);
	world_removed(&world, old->handle, 0);
	world_wait(&world, 3600 * S);
	cr_expect_eq(new->state, AGENT_ACTIVE);
	world_done(&world);
}

/* The end of the old one is told late, or never: a signal to it names its own start. */
Test(spare, who_has_the_pid_of_a_stopping_agent)
{
	struct proc again = world_proc(100, EXE);
	struct world world;
	struct agent *old, *new;
	uint64_t old_handle;

	begin(&world);
	old = start(&world, 100, "");
	old_handle = old->handle;
	again.start_ticks++;
	new = place(&world, &again, "");
	cr_assert_neq(new->handle, old_handle);
	world_command(&world, COMMAND_STOP, old_handle);
	/* Without its root all that is in its group is signalled, by the group. */
	cr_expect_eq(count_for(&world, ACTION_SIGNAL_ALL, old_handle), 1);
	cr_expect_eq(world_count(&world, ACTION_SIGNAL), 0);
	world_wait(&world, 11 * S);
	cr_expect_eq(count_for(&world, ACTION_KILL, old_handle), 1);
	cr_expect_eq(new->state, AGENT_ACTIVE);
	/* The late end of the first one isn't the second one's. */
	world_exit(&world, 100, 0);
	cr_expect(new->has_root);
	world_command(&world, COMMAND_STOP, new->handle);
	cr_expect_eq(world_action(&world, ACTION_SIGNAL, 0)->process.start_ticks, again.start_ticks);
	world_done(&world);
}

/* govd comes to know of it now, but it isn't new. */
Test(spare, who_runs_already_isnt_delayed_for_crashes_of_its_lives_before)
{
	struct proc proc = world_proc(200, EXE), lost = world_proc(201, EXE), adopted = world_proc(202, EXE);
	struct event seen = {.kind = EVENT_SEEN}, adopt = {.kind = EVENT_COMMAND};
	struct world world;
	struct policy *policy = begin(&world);

	policy->restart = (struct policy_restart){.min_uptime_ns = 10 * S,
						  .delay_ns = 60 * S,
						  .factor_milli = 1000,
						  .max_delay_ns = 60 * S,
						  .limit = 3,
						  .window_ns = 3600 * S};
	for (pid_t pid = 100; pid < 103; pid++) {
		uint64_t handle = start(&world, pid, "")->handle;

		if (world_count(&world, ACTION_FREEZE)) {
			world_result(&world, ACTION_FREEZE, handle);
			world_wait(&world, 61 * S);
			world_result(&world, ACTION_THAW, handle);
		}
		world_exit(&world, pid, 256);
		world_empty(&world, handle);
		world_removed(&world, handle, 0);
	}
	seen.seen.proc = proc;
	world_step(&world, &seen);
	world_placed(&world, 0);
	cr_expect_eq(world_count(&world, ACTION_FREEZE), 0);
	adopt.command.command = COMMAND_ADOPT;
	adopt.command.request = 1;
	adopt.command.proc = adopted;
	world_step(&world, &adopt);
	world_placed(&world, 0);
	cr_expect_eq(world_count(&world, ACTION_FREEZE), 0);
	/* One whose exec was lost is new. */
	seen.seen.proc = lost;
	seen.seen.proc.mark = 4711;
	world_step(&world, &seen);
	world_placed(&world, 0);
	cr_expect_eq(world_count(&world, ACTION_FREEZE), 1);
	world_done(&world);
}

/* ---- released ---- */

Test(spare, the_released_stay_so_whatever_else_is_executed)
{
	struct proc proc = world_proc(100, EXE), other = world_proc(5000, "/usr/bin/python3");
	struct event seen = {.kind = EVENT_SEEN};
	struct world world;
	struct agent *agent;

	begin(&world)->lifecycle.max_runtime_ns = 60 * S;
	agent = start(&world, 100, "");
	world_command(&world, COMMAND_RELEASE, agent->handle);
	world_result(&world, ACTION_RELEASE, agent->handle);
	for (uint64_t i = 0; i < 2 * STATE_VERDICTS_MAX; i++) {
		other.mark = i + 1;
		world_exec(&world, &other, 0);
	}
	seen.seen.proc = proc;
	world_step(&world, &seen);
	cr_expect_eq(world_count(&world, ACTION_PLACE), 0);
	cr_expect_eq(state_agent_count(world.state), 0);
	/* Another process of the same pid isn't it. */
	seen.seen.proc.start_ticks++;
	world_step(&world, &seen);
	cr_expect_eq(world_count(&world, ACTION_PLACE), 1);
	world_done(&world);
}

/* Its policy only observes since: it is let go, however long that takes. */
Test(spare, the_stopping_whose_policy_observes_by_now)
{
	const struct world_policy observing = {.name = "bots", .exe = EXE, .observe = true};
	struct event failed = {.kind = EVENT_RESULT};
	struct world world;
	struct agent *agent;

	begin(&world);
	agent = start(&world, 100, "");
	world_command(&world, COMMAND_STOP, agent->handle);
	world_set_policies(&world, world_make_set(&observing, 1));
	cr_assert_eq(world_count(&world, ACTION_RELEASE), 1);
	world_wait(&world, 11 * S);
	cr_expect_eq(world_count(&world, ACTION_KILL), 0);
	/* What can't be let go is still to be stopped. */
	failed.result.action = ACTION_RELEASE;
	failed.result.agent = agent->handle;
	failed.result.error = EIO;
	world_step(&world, &failed);
	world_wait(&world, 2 * S);
	cr_expect_eq(world_count(&world, ACTION_KILL), 1);
	world_done(&world);
}

/* ---- laws that wait ---- */

Test(spare, who_was_frozen_by_hand)
{
	struct world world;
	struct agent *agent;

	begin(&world)->lifecycle.max_runtime_ns = 60 * S;
	agent = start(&world, 100, "");
	world_command(&world, COMMAND_FREEZE, agent->handle);
	world_result(&world, ACTION_FREEZE, agent->handle);
	world_wait(&world, DAY);
	cr_expect_eq(agent->state, AGENT_FROZEN);
	world_command(&world, COMMAND_THAW, agent->handle);
	world_result(&world, ACTION_THAW, agent->handle);
	world_wait(&world, S);
	cr_expect_eq(agent->state, AGENT_STOPPING);
	world_done(&world);
}

Test(spare, of_a_delayed_one_only_orphans_are_ended)
{
	struct world world;
	struct policy *policy = begin(&world);
	struct agent *agent;

	policy->lifecycle.max_runtime_ns = 60 * S;
	policy->lifecycle.orphan_ns = 30 * S;
	agent = start(&world, 100, "");
	agent->thaw_ns = DELAY_BY_HAND;
	agent->state = AGENT_FROZEN;
	world_wait(&world, DAY);
	cr_expect_eq(agent->state, AGENT_FROZEN);
	tell(&world, EVENT_ORPHANED, agent->handle);
	world_wait(&world, 31 * S);
	cr_expect_eq(agent->state, AGENT_STOPPING);
	cr_expect_str_eq(agent->stop_rule, "lifecycle.orphan");
	world_done(&world);
}

Test(spare, a_suspended_policy_ends_no_newcomers_either)
{
	struct world world;
	struct policy *policy = begin(&world);
	struct agent *agent;

	policy->lifecycle.max_runtime_ns = 60 * S;
	for (pid_t pid = 100; pid < 110; pid++)
		start(&world, pid, "");
	world_wait(&world, 61 * S);
	cr_assert(cull_is_suspended(world.state, policy));
	policy->lifecycle.max_agents = 1;
	policy->lifecycle.on_duplicate = POLICY_DUPLICATE_STOP_NEW;
	world_wait(&world, 3600 * S);
	agent = start(&world, 200, "");
	cr_expect_eq(agent->state, AGENT_ACTIVE);
	world_done(&world);
}

/* ---- debuggers ---- */

Test(spare, who_is_being_debugged)
{
	struct world world;
	struct agent *agent;
	size_t cursor = 0;

	begin(&world)->lifecycle.max_runtime_ns = 60 * S;
	agent = start(&world, 100, "");
	start(&world, 101, "");
	cr_expect_null(state_endangered_next(world.state, world.now_ns, &cursor));
	world.now_ns += 61 * S;
	cursor = 0;
	cr_expect_not_null(state_endangered_next(world.state, world.now_ns, &cursor));
	trace(&world, agent, 4711);
	cr_expect_str_eq(world_incident(&world, INCIDENT_EXPIRED)->result, "refused");
	world_wait(&world, S);
	cr_expect_eq(agent->state, AGENT_ACTIVE);
	/* Looked at again, told once. */
	for (int i = 0; i < 100; i++) {
		trace(&world, agent, 4711);
		cr_expect_null(world_incident(&world, INCIDENT_EXPIRED));
		world_wait(&world, 29 * S);
		cr_expect_eq(agent->state, AGENT_ACTIVE);
	}
	trace(&world, agent, 0);
	world_wait(&world, S);
	cr_expect_eq(agent->state, AGENT_STOPPING);
	world_done(&world);
}

Test(spare, the_old_one_of_a_key_that_is_being_debugged)
{
	struct world world;
	struct agent *old, *new;
	size_t cursor = 0, n = 0;

	begin(&world)->lifecycle.per_key = 1;
	old = start(&world, 100, "room");
	start(&world, 101, "other");
	new = start(&world, 102, "room");
	world.now_ns += 11 * S;
	while (state_endangered_next(world.state, world.now_ns, &cursor))
		n++;
	cr_expect_eq(n, 2, "both of this key, and nobody else");
	trace(&world, old, 4711);
	world_wait(&world, S);
	cr_expect_eq(old->state, AGENT_ACTIVE);
	cr_expect_str_eq(world_incident(&world, INCIDENT_DUPLICATE)->result, "refused");
	world_wait(&world, 40 * S);
	cr_expect_eq(old->state, AGENT_ACTIVE);
	trace(&world, old, 0);
	world_wait(&world, 40 * S);
	cr_expect_eq(old->state, AGENT_STOPPING);
	cr_expect_eq(new->state, AGENT_ACTIVE);
	world_done(&world);
}

Test(spare, of_whom_nobody_can_tell_whether_they_are_being_debugged)
{
	struct world world;
	struct agent *agent;

	begin(&world)->lifecycle.max_runtime_ns = 60 * S;
	agent = start(&world, 100, "");
	world.now_ns += 61 * S;
	trace(&world, agent, -1);
	cr_expect_null(world_incident(&world, INCIDENT_EXPIRED));
	world_wait(&world, S);
	cr_expect_eq(agent->state, AGENT_ACTIVE);
	trace(&world, agent, 0);
	world_wait(&world, S);
	cr_expect_eq(agent->state, AGENT_STOPPING);
	world_done(&world);
}

/* Nobody is ended of whom it isn't known whether somebody debugs them. */
Test(spare, who_has_become_due_since_the_look)
{
	struct event tick = {.kind = EVENT_TICK};
	struct world world;
	struct agent *agent;

	begin(&world)->lifecycle.max_runtime_ns = 60 * S;
	agent = start(&world, 100, "");
	tick.tick.looked_ns = world.now_ns + 59 * S;
	world.now_ns += 61 * S;
	world_step(&world, &tick);
	cr_expect_eq(agent->state, AGENT_ACTIVE);
	cr_expect_leq(world_action(&world, ACTION_TIMER, 0)->time_ns, world.now_ns, "looked at again at once");
	world_done(&world);
}

/* ---- deaths for want of memory ---- */

Test(spare, the_agent_whose_mark_a_process_outside_still_has)
{
	struct proc proc = world_proc(100, EXE);
	struct event oom = {.kind = EVENT_OOM};
	struct world world;
	struct policy *policy = begin(&world);
	struct agent *agent;

	policy->limits.on_oom = POLICY_OOM_KILL_AGENT;
	proc.mark = 7;
	world_exec(&world, &proc, 0);
	agent = state_by_root(world.state, 100, proc.start_ticks);
	world_placed(&world, 0);
	oom.oom.victim = (struct victim){.mark = agent->mark, .pid = 200, .start_ticks = 2000, .comm = "guard"};
	world_step(&world, &oom);
	cr_expect_eq(agent->state, AGENT_ACTIVE);
	oom.oom.victim.owner = agent->cgroup_id;
	world_step(&world, &oom);
	cr_expect_eq(agent->state, AGENT_STOPPING);
	world_done(&world);
}

/* ---- time ---- */

/* Suspended, stopped, or without a processor for days: what is due then begins with its first step. */
Test(spare, no_grace_is_skipped_by_a_jump_ahead)
{
	struct world world;
	struct policy *policy = begin(&world);
	struct agent *agent, *lost;

	policy->lifecycle.orphan_ns = 30 * S;
	agent = start(&world, 100, "");
	lost = start(&world, 101, "");
	tell(&world, EVENT_ORPHANED, lost->handle);
	world_wait(&world, 3 * DAY);
	cr_expect_eq(lost->state, AGENT_STOPPING);
	cr_expect_eq(world_count(&world, ACTION_SIGNAL), 1);
	cr_expect_eq(world_count(&world, ACTION_KILL), 0);
	cr_expect_eq(agent->state, AGENT_ACTIVE);
	world_wait(&world, 9 * S);
	cr_expect_eq(world_count(&world, ACTION_KILL), 0);
	/* One that loses its parent now has its whole grace. */
	tell(&world, EVENT_ORPHANED, agent->handle);
	world_wait(&world, 29 * S);
	cr_expect_eq(agent->state, AGENT_ACTIVE);
	world_done(&world);
}

Test(spare, time_that_goes_back_ends_nobody)
{
	struct event tick = {.kind = EVENT_TICK};
	struct world world;
	struct agent *agent;

	world_init(&world, &(struct world_policy){.name = "bots", .exe = EXE}, 1);
	world.now_ns = 3 * DAY;
	world.set->policies[0]->lifecycle.max_runtime_ns = 60 * S;
	agent = start(&world, 100, "");
	for (uint64_t at_ns = 0; at_ns < 3 * DAY; at_ns += DAY / 4) {
		tick.time_ns = at_ns;
		step(world.state, &tick, &world.actions);
		cr_expect_eq(agent->state, AGENT_ACTIVE);
	}
	world_wait(&world, 61 * S);
	cr_expect_eq(agent->state, AGENT_STOPPING);
	world_done(&world);
}

/* A hash of all that is done in a life of some agents, with crashes, delays, orphans, duplicates, an idle night. */
static uint64_t play(uint64_t begin_ns)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);
	const struct world_policy bots = {.name = "bots", .exe = EXE};
	struct world world;
	struct policy *policy;

	world_init(&world, &bots, 1);
	world.now_ns = begin_ns;
	policy = world.set->policies[0];
	policy->lifecycle = (struct policy_lifecycle){
		.max_runtime_ns = 2 * DAY, .orphan_ns = 30 * S, .per_key = 1, .max_agents = 20};
	policy->restart = (struct policy_restart){.min_uptime_ns = 10 * S,
						  .delay_ns = 5 * S,
						  .factor_milli = 1500,
						  .max_delay_ns = 300 * S,
						  .limit = 4,
						  .window_ns = 600 * S};
	for (pid_t pid = 100; pid < 130; pid++) {
		struct agent *agent = start(&world, pid, pid % 3 ? "room" : "");
		uint64_t handle = agent->handle;

		if (world_count(&world, ACTION_FREEZE))
			world_result(&world, ACTION_FREEZE, handle);
		for (unsigned i = 0; i < 40; i++) {
			world_wait(&world, pid % 7 ? S : 3600 * S);
			for (size_t j = 0; j < world.actions.n; j++)
				hash = (hash ^ (world.actions.items[j].kind + 1)) * UINT64_C(0x100000001b3);
		}
		if (pid % 5 == 0)
			tell(&world, EVENT_ORPHANED, handle);
		if (pid % 2 && state_agent_by_handle(world.state, handle)) {
			world_exit(&world, pid, 256);
			world_empty(&world, handle);
			world_removed(&world, handle, 0);
		}
	}
	hash ^= state_agent_count(world.state);
	world_done(&world);
	return hash;
}

/* Only differences of times count, after three days and after ten years of uptime. */
Test(spare, uptime_changes_nothing)
{
	uint64_t first = play(S);

	cr_expect_eq(play(3 * DAY + 12345), first);
	cr_expect_eq(play(3650 * DAY), first);
}

/* govd has come back after agents have run for three days. */
Test(spare, agents_of_three_days_that_are_found_again)
{
	struct event found = {.kind = EVENT_FOUND};
	struct agent saved = {.root_pid = 100, .root_start_ticks = 1000, .cgroup_id = 1001, .since_ns = S};
	const struct agent *agent;
	struct world world;
	struct policy *policy = begin(&world);
	size_t cursor = 0;

	policy->lifecycle.orphan_ns = 30 * S;
	policy->lifecycle.per_key = 1;
	policy->lifecycle.max_runtime_ns = 7 * DAY;
	world.now_ns = 3 * DAY;
	text_copy(saved.id, sizeof(saved.id), "0badcafe");
	saved.key = "room";
	saved.parent_pid = 2;
	found.found.agent = &saved;
	found.found.policy = "bots";
	found.found.is_populated = found.found.root_lives = true;
	world_step(&world, &found);
	world_wait(&world, S);
	world_wait(&world, 3600 * S);
	agent = state_agent_next(world.state, &cursor);
	cr_assert_not_null(agent);
	cr_expect_eq(agent->state, AGENT_ACTIVE);
	cr_expect_eq(agent->since_ns, S);
	world_wait(&world, 4 * DAY);
	cr_expect_eq(agent->state, AGENT_STOPPING, "seven days are over");
	world_done(&world);
}
