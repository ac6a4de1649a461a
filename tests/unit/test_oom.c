/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>
#include <signal.h>

#include "base/text.h"
#include "world.h"

/* step(): deaths that govd hasn't ordered. */

#define MIB (UINT64_C(1) << 20)
#define ROOT 100

static const struct world_policy policies[] = {
	{.name = "bot", .exe = "/opt/bot"},
	{.name = "watched", .exe = "/opt/watched", .observe = true},
};

static void init(struct world *world, enum policy_on_oom on_oom)
{
	struct policy_set *set = world_make_set(policies, ELEMENTSOF(policies));
	struct event end = {.kind = EVENT_CENSUS_END};

	for (size_t i = 0; i < set->n; i++)
		set->policies[i]->limits.on_oom = on_oom;
	world_init(world, policies, ELEMENTSOF(policies));
	world_set_policies(world, set);
	world_step(world, &end);
}

static const struct agent *born(struct world *world)
{
	struct proc proc = world_proc(ROOT, "/opt/bot");

	proc.mark = 7;
	world_exec(world, &proc, 0);
	world_placed(world, 0);
	EXPECT(world, "pace record");
	return world_action(world, ACTION_PACE, 0)->agent;
}

static struct victim victim_of(const struct agent *agent, pid_t pid)
{
	return (struct victim){
		.owner = agent->cgroup_id, .pid = pid, .start_ticks = (uint64_t)pid * 10, .comm = "worker"};
}

static void tell_oom(struct world *world, struct victim victim, enum oom_limit limit)
{
	struct event event = {.kind = EVENT_OOM};

	event.oom = (struct oom_view){
		.victim = victim,
		.limit = limit,
		.anon_bytes = 39 * MIB,
		.limit_bytes = 40 * MIB,
		.usage_bytes = 40 * MIB,
		.agent_anon_bytes = 38 * MIB,
		.agent_kernel_bytes = UINT64_MAX,
		.largest = "101 worker 39.0M",
	};
	world_step(world, &event);
}

static void tell_killed(struct world *world, struct victim victim, bool is_oomd)
{
	struct event event = {.kind = EVENT_KILLED};

	event.killed.victim = victim;
	event.killed.sender_pid = 55;
	event.killed.sender_uid = 1000;
	event.killed.is_oomd = is_oomd;
	text_copy(event.killed.sender_comm, sizeof(event.killed.sender_comm), "killer");
	world_step(world, &event);
}

static void tell_killed_by_init(struct world *world, struct victim victim)
{
	struct event event = {.kind = EVENT_KILLED};

	event.killed.victim = victim;
	event.killed.sender_pid = 1;
	text_copy(event.killed.sender_comm, sizeof(event.killed.sender_comm), "systemd");
	world_step(world, &event);
}

static void expect_words(const struct incident *incident, const char *rule, const char *action)
{
	cr_expect_str_eq(incident->rule, rule);
	cr_expect_str_eq(incident->action, action);
}

static void expect_number(const struct incident *incident, const char *name, uint64_t number)
{
	uint64_t is = world_number(incident, name);

	cr_expect_eq(is, number, "%s is %llu", name, (unsigned long long)is);
}

static void expect_text(const struct incident *incident, const char *name, const char *text)
{
	cr_assert_not_null(world_fact(incident, name), "no %s", name);
	cr_expect_str_eq(world_text(incident, name), text);
}

/* The root has ended by this code, the group is empty and removed: what is told of the end. */
static const struct incident *end_of(struct world *world, uint64_t handle, int32_t exit_code)
{
	world_exit(world, ROOT, exit_code);
	world_empty(world, handle);
	world_removed(world, handle, 0);
	cr_expect_eq(world_told(world)->kind, INCIDENT_STOPPED);
	return world_told(world);
}

Test(oom, a_tool_is_told_with_all_evidence)
{
	const struct agent *agent;
	const struct incident *incident;
	struct world world;

	init(&world, POLICY_OOM_KERNEL);
	agent = born(&world);
	tell_oom(&world, victim_of(agent, 101), OOM_LIMIT_AGENT);
	EXPECT(&world, "record");
	incident = world_told(&world);
	cr_expect_eq(incident->kind, INCIDENT_OOM);
	cr_expect_eq(incident->by_uid, INCIDENT_BY_KERNEL);
	cr_expect_str_eq(incident->policy, "bot");
	expect_words(incident, "memory.max", "kill");
	expect_number(incident, "pid", ROOT);
	expect_number(incident, "victim_pid", 101);
	expect_text(incident, "victim", "worker");
	expect_text(incident, "victim_is", "tool");
	expect_text(incident, "limit", "agent");
	expect_number(incident, "limit_bytes", 40 * MIB);
	expect_number(incident, "victim_anon_bytes", 39 * MIB);
	expect_number(incident, "anon_bytes", 38 * MIB);
	expect_number(incident, "file_bytes", 0);
	cr_expect_null(world_fact(incident, "kernel_bytes"), "what isn't known isn't told");
	expect_text(incident, "largest", "101 worker 39.0M");
	/* The agent's end isn't by that. */
	expect_words(end_of(&world, agent->handle, 0), "exit", "none");
	world_done(&world);
}

Test(oom, the_host_has_no_limit)
{
	struct world world;

	init(&world, POLICY_OOM_KERNEL);
	tell_oom(&world, victim_of(born(&world), 101), OOM_LIMIT_HOST);
	expect_words(world_told(&world), "host", "kill");
	expect_text(world_told(&world), "limit", "host");
	cr_expect_null(world_fact(world_told(&world), "limit_bytes"));
	tell_oom(&world, (struct victim){.owner = 77, .pid = 9}, OOM_LIMIT_HOST);
	EXPECT(&world, "");
	world_done(&world);
}

Test(oom, the_end_of_the_root_tells_it)
{
	const struct incident *end;
	const struct agent *agent;
	struct world world;

	init(&world, POLICY_OOM_KERNEL);
	agent = born(&world);
	tell_oom(&world, victim_of(agent, ROOT), OOM_LIMIT_AGENT);
	expect_text(world_told(&world), "victim_is", "root");
	end = end_of(&world, agent->handle, SIGKILL);
	expect_words(end, "oom", "none");
	cr_expect_eq(end->by_uid, INCIDENT_BY_KERNEL);
	expect_number(end, "exit_signal", SIGKILL);
	world_done(&world);
}

Test(oom, one_that_ended_by_itself_meanwhile_did_so)
{
	const struct agent *agent;
	struct world world;

	init(&world, POLICY_OOM_KERNEL);
	agent = born(&world);
	tell_killed(&world, victim_of(agent, ROOT), false);
	expect_words(end_of(&world, agent->handle, 3 << 8), "exit", "none");
	world_done(&world);
}

Test(oom, kill_agent_ends_the_others)
{
	const struct incident *end;
	const struct agent *agent;
	struct world world;

	init(&world, POLICY_OOM_KILL_AGENT);
	agent = born(&world);
	tell_oom(&world, victim_of(agent, 101), OOM_LIMIT_AGENT);
	EXPECT(&world, "record kill timer");
	expect_words(world_told(&world), "memory.max", "kill-agent");
	cr_expect_eq(agent->state, AGENT_STOPPING);
	/* The others of its group, where the kernel ends all. */
	tell_oom(&world, victim_of(agent, ROOT), OOM_LIMIT_AGENT);
	EXPECT(&world, "");
	end = end_of(&world, agent->handle, SIGKILL);
	expect_words(end, "oom", "stop");
	cr_expect_eq(end->by_uid, INCIDENT_BY_GOVD);
	world_done(&world);
}

Test(oom, kill_agent_leaves_the_observed_alone)
{
	struct proc proc = world_proc(ROOT, "/opt/watched");
	struct victim victim = {.mark = 7, .pid = ROOT, .start_ticks = ROOT * 10};
	struct world world;

	init(&world, POLICY_OOM_KILL_AGENT);
	proc.mark = 7;
	world_exec(&world, &proc, 0);
	tell_oom(&world, victim, OOM_LIMIT_OTHER);
	EXPECT(&world, "record");
	expect_words(world_told(&world), "memory", "kill");
	expect_text(world_told(&world), "limit", "other");
	world_done(&world);
}

Test(oom, many_in_a_second_are_counted)
{
	const struct agent *agent;
	struct world world;

	init(&world, POLICY_OOM_KERNEL);
	agent = born(&world);
	tell_oom(&world, victim_of(agent, 101), OOM_LIMIT_AGENT);
	EXPECT(&world, "record");
	for (pid_t pid = 102; pid < 110; pid++) {
		tell_oom(&world, victim_of(agent, pid), OOM_LIMIT_AGENT);
		EXPECT(&world, "");
	}
	world.now_ns += NSEC_PER_SEC;
	tell_oom(&world, victim_of(agent, 110), OOM_LIMIT_AGENT);
	expect_number(world_told(&world), "untold", 8);
	/* Of SIGKILLs by themselves. */
	tell_killed(&world, victim_of(agent, 111), false);
	EXPECT(&world, "record");
	cr_expect_null(world_fact(world_told(&world), "untold"));
	tell_killed(&world, victim_of(agent, 112), false);
	EXPECT(&world, "");
	world_done(&world);
}

Test(oom, sigkill_is_an_alert_with_its_sender)
{
	const struct incident *incident;
	const struct agent *agent;
	struct world world;

	init(&world, POLICY_OOM_KILL_AGENT);
	agent = born(&world);
	tell_killed(&world, victim_of(agent, ROOT), false);
	EXPECT(&world, "record");
	incident = world_told(&world);
	cr_expect_eq(incident->kind, INCIDENT_ALERT);
	cr_expect_eq(incident->by_uid, 1000);
	expect_words(incident, "sigkill", "none");
	expect_number(incident, "victim_pid", ROOT);
	expect_number(incident, "sender_pid", 55);
	expect_number(incident, "sender_uid", 1000);
	expect_text(incident, "sender", "killer");
	incident = end_of(&world, agent->handle, SIGKILL);
	expect_words(incident, "sigkill", "none");
	cr_expect_eq(incident->by_uid, 1000);
	world_done(&world);
}

Test(oom, init_is_told_unless_govd_has_asked_it)
{
	const struct agent *agent;
	struct world world;

	init(&world, POLICY_OOM_KERNEL);
	agent = born(&world);
	tell_killed_by_init(&world, victim_of(agent, 101));
	EXPECT(&world, "record");
	expect_words(world_told(&world), "sigkill", "none");
	world.now_ns += NSEC_PER_SEC;
	world_command(&world, COMMAND_KILL, agent->handle);
	tell_killed_by_init(&world, victim_of(agent, ROOT));
	EXPECT(&world, "");
	tell_killed(&world, victim_of(agent, 102), false);
	EXPECT(&world, "record");
	world_done(&world);
}

Test(oom, systemd_oomd_is_told_as_what_it_is)
{
	const struct agent *agent;
	struct world world;

	init(&world, POLICY_OOM_KERNEL);
	agent = born(&world);
	tell_killed(&world, victim_of(agent, ROOT), true);
	cr_expect_eq(world_told(&world)->kind, INCIDENT_OOM);
	cr_expect_eq(world_told(&world)->by_uid, INCIDENT_BY_OOMD);
	expect_words(world_told(&world), "systemd-oomd", "kill");
	expect_words(end_of(&world, agent->handle, SIGKILL), "oom", "none");
	cr_expect_eq(world_told(&world)->by_uid, INCIDENT_BY_OOMD);
	world_done(&world);
}
