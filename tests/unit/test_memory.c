/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>
#include <malloc.h>

#include "core/state.h"
#include "core/tool.h"
#include "world.h"

/* What an agent costs govd: under 2 KiB, whatever its policy asks for; what is seldom needed is allocated then. */

#define S NSEC_PER_SEC
#define AGENTS 1000
#define AGENT_BYTES 2048
#define EXE "/opt/agents/venv/bin/python3.12"
#define SCRIPT "/srv/agents/livekit/agent_worker.py"
#define ORIGIN                                                                                                         \
	"v2=/user.slice/user-1000.slice;memory=/user.slice;cpu,cpuacct=/user.slice;pids=/user.slice/user-1000.slice"

_Static_assert(sizeof(struct agent) <= 576, "of each");
_Static_assert(sizeof(struct leak) <= 640, "where the policy has `leak`");
_Static_assert(sizeof(struct ladder) <= 336, "after the first pressure");
_Static_assert(sizeof(struct restart) <= 192, "of what has the same identity, beside 8 a crash");
_Static_assert(sizeof(struct tool) <= 128, "of each tool");

static void begin_agent(struct world *world, pid_t pid)
{
	struct proc proc = world_proc(pid, EXE);
	struct event event = {.kind = EVENT_RESULT};
	const struct action *place;
	char env[32], cgroup[64];

	snprintf(env, sizeof(env), "room-%d", (int)pid);
	snprintf(cgroup, sizeof(cgroup), "/agents.slice/livekit-agents-%08x", (unsigned)pid);
	proc.script = SCRIPT;
	proc.directory = env;
	world_exec(world, &proc, 0);
	place = world_action(world, ACTION_PLACE, 0);
	cr_assert_not_null(place);
	state_set_text(world->state, &state_by_root(world->state, pid, proc.start_ticks)->key, env, POLICY_KEY_MAX);
	event.result.action = ACTION_PLACE;
	event.result.agent = place->agent->handle;
	event.result.pid = pid;
	event.result.cgroup_id = 1000000 + (uint64_t)pid;
	event.result.cgroup = cgroup;
	event.result.origin = ORIGIN;
	world_step(world, &event);
}

/* Bytes of the heap that each agent takes, all included: itself, its texts, its places in the indexes. */
static size_t measure(void (*prepare)(struct policy *policy), void (*each)(struct world *world, struct agent *agent))
{
	static const struct world_policy policy = {.name = "livekit-agents", .exe = EXE};
	struct world world;
	size_t before;

	world_init(&world, &policy, 1);
	prepare(world.set->policies[0]);
	begin_agent(&world, 999); /* what all share */
	before = mallinfo2().uordblks;
	for (pid_t pid = 1000; pid < 1000 + AGENTS; pid++) {
		begin_agent(&world, pid);
		if (each)
			each(&world, state_by_root(world.state, pid, (uint64_t)pid * 10));
	}
	before = mallinfo2().uordblks - before;
	cr_log_info("%zu bytes an agent", before / AGENTS);
	world_done(&world);
	return before / AGENTS;
}

static void prepare_plain(struct policy *policy)
{
	policy->limits.memory_max_bytes = UINT64_C(600) << 20;
	policy->limits.tasks_max = 512;
	policy->lifecycle.orphan_ns = 30 * S;
	policy->lifecycle.max_runtime_ns = 3600 * S;
}

static void prepare_all(struct policy *policy)
{
	prepare_plain(policy);
	policy->leak.horizon_ns = 1800 * S;
	policy->restart = (struct policy_restart){.min_uptime_ns = 10 * S, .window_ns = 600 * S, .factor_milli = 1500};
}

static void lease_and_sample(struct world *world, struct agent *agent)
{
	struct event lease = {.kind = EVENT_COMMAND}, sample = {.kind = EVENT_SAMPLE};

	lease.command.command = COMMAND_LEASE;
	lease.command.request = 1;
	lease.command.agent = agent->handle;
	lease.command.lease_ns = 60 * S;
	world_step(world, &lease);
	sample.sample =
		(typeof(sample.sample)){agent->handle, UINT64_MAX, UINT64_C(200) << 20, UINT64_C(100) << 20, true};
	world_step(world, &sample);
	cr_assert_not_null(agent->leak);
	cr_assert_not_null(agent->restart);
}

Test(memory, a_plain_agent_takes_less_than_a_kibibyte)
{
	cr_expect_lt(measure(prepare_plain, NULL), 1024);
}

Test(memory, one_whose_policy_asks_for_everything_takes_less_than_two)
{
	cr_expect_lt(measure(prepare_all, lease_and_sample), AGENT_BYTES);
}

Test(memory, nothing_is_left_of_those_that_have_gone)
{
	static const struct world_policy policy = {.name = "livekit-agents", .exe = EXE};
	struct event tick = {.kind = EVENT_TICK};
	struct world world;

	world_init(&world, &policy, 1);
	for (pid_t pid = 100; pid < 150; pid++) {
		uint64_t handle;

		begin_agent(&world, pid);
		handle = state_by_root(world.state, pid, (uint64_t)pid * 10)->handle;
		world_exit(&world, pid, 0);
		world_empty(&world, handle);
		world_removed(&world, handle, 0);
	}
	world_step(&world, &tick);
	cr_expect_eq(state_agent_count(world.state), 0);
	cr_expect_eq(intern_count(&world.state->texts), 0);
	world_done(&world);
}
