/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>

#include "base/text.h"
#include "core/state.h"
#include "world.h"

/* step(): who is idle, who hangs, and when agents are looked at for that. */

#define S NSEC_PER_SEC
#define EXE "/opt/bots/agent"
#define IDLE_S 100
#define WINDOW_S 10 /* a tenth of that */

static const struct policy_idle thresholds = {
	.after_ns = IDLE_S * S,
	.cpu = {2000, 100000}, /* 2 % */
	.io = {1024, S},
	.net = {1024, S},
	.connects = {1, 60 * S},
	.spawns = {1, 60 * S},
};

static struct policy *begin(struct world *world, bool observe, bool protect)
{
	const struct world_policy policy = {.name = "bots", .exe = EXE, .observe = observe, .protect = protect};

	world_init(world, &policy, 1);
	world->set->policies[0]->idle = thresholds;
	return world->set->policies[0];
}

static struct agent *start(struct world *world, pid_t pid)
{
	struct proc proc = world_proc(pid, EXE);

	world_hold(world, &proc, (uint64_t)pid);
	if (world_action(world, ACTION_PLACE, 0))
		world_placed(world, 0);
	return state_by_root(world->state, pid, proc.start_ticks);
}

static void census(struct world *world, const struct activity_view *views, size_t n)
{
	struct event event = {.kind = EVENT_ACTIVITY};

	event.activity.items = views;
	event.activity.n = n;
	world_step(world, &event);
}

/* The next look of all at this agent, when it comes, shows this; whatever the others are asked for meanwhile. */
static void look(struct world *world, const struct agent *agent, struct activity_view view)
{
	struct event tick = {.kind = EVENT_TICK};

	view.agent = agent->handle;
	if (!view.connects)
		view.connects = UINT64_MAX;
	cr_assert_neq(idle_due(agent), UINT64_MAX);
	world->now_ns = MAX2(world->now_ns, idle_due(agent));
	world_step(world, &tick);
	cr_assert_eq(world_count(world, ACTION_ACTIVITY), 1);
	census(world, &view, 1);
}

/* As many looks as it takes until it is ended; how long that was from its first look on, in ms. */
static uint64_t rest(struct world *world, struct agent *agent, const struct activity_view *view)
{
	uint64_t begin_ns = agent->active_ns;

	for (unsigned i = 0; i < 100 && agent->state != AGENT_STOPPING; i++)
		look(world, agent, *view);
	return (world->now_ns - begin_ns) / NSEC_PER_MSEC;
}

TestSuite(idle, .timeout = 120);

Test(idle, who_does_nothing_is_ended_after_its_time)
{
	const struct activity_view nothing = {.cpu_ns = 1};
	const struct incident *incident;
	struct agent *agent;
	struct world world;
	uint64_t ms;

	begin(&world, false, false);
	agent = start(&world, 100);
	look(&world, agent, nothing);
	ms = rest(&world, agent, &nothing);
	cr_expect_eq(agent->state, AGENT_STOPPING);
	cr_expect_str_eq(agent->stop_rule, "lifecycle.idle");
	cr_expect_geq(ms, IDLE_S * 1000);
	cr_expect_leq(ms, IDLE_S * 1000 + 100);
	incident = world_incident(&world, INCIDENT_IDLE);
	cr_assert_not_null(incident);
	cr_expect_str_eq(incident->rule, "lifecycle.idle");
	cr_expect_str_eq(incident->action, "stop");
	cr_expect_str_eq(incident->result, "done");
	cr_expect_str_eq(world_text(incident, "last_signal"), "start");
	cr_expect_geq(world_number(incident, "idle_s"), IDLE_S * 1000);
	world_done(&world);
}

/* What each signal grows by in a window: just below, and just above its threshold. */
static const struct {
	const char *name;
	struct activity_view below, above;
} signals[] = {
	{"cpu", {.cpu_ns = WINDOW_S * S / 51}, {.cpu_ns = WINDOW_S * S / 49}},
	{"io", {.io_bytes = WINDOW_S * 1023}, {.io_bytes = WINDOW_S * 1026}},
	{"net", {.net_bytes = WINDOW_S * 1023}, {.net_bytes = WINDOW_S * 1026}},
	{"connects", {0}, {.connects = 1}},
	{"connects", {0}, {.accepts = 1}},
	{"spawns", {0}, {.spawns = 1}},
	{"spawns", {0}, {.child_faults = 1}},
	{"input", {0}, {.has_input = true}},
};

static void grow(struct activity_view *view, const struct activity_view *by)
{
	view->cpu_ns += by->cpu_ns;
	view->io_bytes += by->io_bytes;
	view->child_faults += by->child_faults;
	view->connects += by->connects;
	view->accepts = by->accepts;
	view->net_bytes = by->net_bytes;
	view->spawns = by->spawns;
	view->has_input = by->has_input;
}

static struct agent *live(struct world *world, const struct activity_view *by, unsigned windows)
{
	struct activity_view view = {.cpu_ns = 5 * S, .io_bytes = 1 << 20, .connects = 1000};
	struct agent *agent;

	begin(world, false, false);
	agent = start(world, 100);
	look(world, agent, view);
	for (unsigned i = 0; i < windows && agent->state != AGENT_STOPPING; i++) {
		grow(&view, by);
		look(world, agent, view);
	}
	return agent;
}

Test(idle, each_signal_keeps_alive_above_its_threshold_and_not_below)
{
	for (size_t i = 0; i < ELEMENTSOF(signals); i++) {
		const struct agent *agent;
		struct world world;

		agent = live(&world, &signals[i].above, 30);
		cr_expect_eq(agent->state, AGENT_ACTIVE, "%s", signals[i].name);
		cr_expect_str_eq(activity_signal_name(agent->activity->signal), signals[i].name);
		cr_expect_eq(agent->active_ns, world.now_ns);
		world_done(&world);

		agent = live(&world, &signals[i].below, 30);
		cr_expect_eq(agent->state, AGENT_STOPPING, "%s", signals[i].name);
		world_done(&world);
	}
}

/* A byte a minute: by 0 it lives, by infinity nothing of that kind counts. */
Test(idle, thresholds_decide_about_who_trickles)
{
	static const struct {
		struct policy_rate io;
		enum agent_state state;
	} cases[] = {{{0, 1}, AGENT_IDLE}, {{1024, S}, AGENT_STOPPING}, {{UNIT_INFINITY, 1}, AGENT_STOPPING}};

	for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
		struct activity_view view = {.cpu_ns = 1};
		struct agent *agent;
		struct world world;

		begin(&world, false, false)->idle.io = cases[i].io;
		agent = start(&world, 100);
		look(&world, agent, view);
		for (unsigned j = 0; j < 60 && agent->state != AGENT_STOPPING; j++) {
			view.io_bytes += j % 9 == 8;
			look(&world, agent, view);
		}
		/* It is shown as idle in between. */
		cr_expect(agent->state == cases[i].state || (i == 0 && agent->state == AGENT_ACTIVE), "%zu", i);
		world_done(&world);
	}
}

/* Only a part of its processes is left: that isn't less than before, but a change. */
Test(idle, the_end_of_a_process_is_a_sign_and_hides_nothing)
{
	struct activity_view view = {.cpu_ns = 100 * S, .io_bytes = 1 << 30};
	struct agent *agent;
	struct world world;

	begin(&world, false, false);
	agent = start(&world, 100);
	look(&world, agent, view);
	view.cpu_ns = 1;
	look(&world, agent, view);
	cr_expect_eq(agent->activity->signal, ACTIVITY_SPAWNS);
	view.cpu_ns += S;
	look(&world, agent, view);
	cr_expect_eq(agent->activity->signal, ACTIVITY_CPU);
	world_done(&world);
}

Test(idle, touch_and_a_debugger_and_frost_keep_it)
{
	const struct activity_view nothing = {.cpu_ns = 1}, traced = {.cpu_ns = 1, .is_traced = true};
	struct event frozen = {.kind = EVENT_RESULT};
	struct agent *agent;
	struct world world;

	begin(&world, false, false);
	agent = start(&world, 100);
	look(&world, agent, nothing);
	for (unsigned i = 0; i < 30; i++) {
		look(&world, agent, nothing);
		if (i % 5 == 0)
			world_command(&world, COMMAND_TOUCH, agent->handle);
	}
	cr_expect_neq(agent->state, AGENT_STOPPING);
	cr_expect_eq(agent->activity->signal, ACTIVITY_TOUCH);
	for (unsigned i = 0; i < 30; i++)
		look(&world, agent, traced);
	cr_expect_eq(agent->activity->signal, ACTIVITY_DEBUGGER);
	frozen.result.agent = agent->handle;
	frozen.result.action = ACTION_FREEZE;
	world_step(&world, &frozen);
	for (unsigned i = 0; i < 30; i++)
		look(&world, agent, nothing);
	cr_expect_eq(agent->state, AGENT_FROZEN);
	cr_expect_eq(agent->activity->signal, ACTIVITY_FROZEN);
	frozen.result.action = ACTION_THAW;
	world_step(&world, &frozen);
	cr_expect_geq(rest(&world, agent, &nothing), IDLE_S * 1000);
	cr_expect_eq(agent->state, AGENT_STOPPING);
	world_done(&world);
}

Test(idle, who_is_only_observed_is_told_of_once_a_time)
{
	struct activity_view view = {.cpu_ns = 1};
	unsigned n = 0;
	struct agent *agent;
	struct world world;

	begin(&world, true, false);
	agent = start(&world, 100);
	cr_assert_not_null(agent->activity);
	for (unsigned i = 0; i < 60; i++) {
		const struct incident *incident;

		if (i == 30)
			view.cpu_ns += 5 * S;
		look(&world, agent, view);
		incident = world_incident(&world, INCIDENT_IDLE);
		n += incident != NULL;
		if (incident)
			cr_expect_str_eq(incident->action, "would-stop");
	}
	cr_expect_eq(n, 2);
	cr_expect_eq(world_count(&world, ACTION_SIGNAL), 0);
	world_done(&world);
}

Test(idle, the_protected_stay)
{
	const struct activity_view nothing = {.cpu_ns = 1};
	struct agent *agent;
	struct world world;

	begin(&world, false, true);
	agent = start(&world, 100);
	for (unsigned i = 0; i < 30; i++)
		look(&world, agent, nothing);
	cr_expect_eq(agent->state, AGENT_IDLE);
	world_done(&world);
}

/* Nobody is looked at for whom nothing is asked, nor who is being stopped. */
Test(idle, without_the_key_nothing_is_looked_at)
{
	struct agent *agent;
	struct world world;

	begin(&world, false, false)->idle.after_ns = 0;
	agent = start(&world, 100);
	cr_expect_null(agent->activity);
	cr_expect_eq(world.state->timer_ns, UINT64_MAX);
	world_done(&world);

	begin(&world, false, false);
	agent = start(&world, 100);
	world_command(&world, COMMAND_STOP, agent->handle);
	cr_expect_eq(idle_due(agent), UINT64_MAX);
	world_done(&world);
}

/* What govd hasn't seen for a while, or a census doesn't know, may have happened. */
Test(idle, gaps_count_as_activity)
{
	const struct activity_view nothing = {.cpu_ns = 1};
	struct event tick = {.kind = EVENT_TICK};
	struct agent *agent;
	struct world world;

	begin(&world, false, false);
	agent = start(&world, 100);
	for (unsigned i = 0; i < 8; i++)
		look(&world, agent, nothing);
	world.now_ns += 50 * S;
	look(&world, agent, nothing);
	cr_expect_eq(agent->state, AGENT_ACTIVE);
	cr_expect_eq(agent->active_ns, world.now_ns);
	for (unsigned i = 0; i < 8; i++)
		look(&world, agent, nothing);
	world.now_ns = idle_due(agent);
	world_step(&world, &tick);
	census(&world, NULL, 0);
	look(&world, agent, nothing);
	cr_expect_eq(agent->active_ns, world.now_ns);
	cr_expect_geq(rest(&world, agent, &nothing), IDLE_S * 1000);
	world_done(&world);
}

Test(idle, a_lease_is_heeded)
{
	const struct activity_view nothing = {.cpu_ns = 1};
	struct event lease = {.kind = EVENT_COMMAND};
	struct agent *agent;
	struct world world;
	uint64_t until_ns;

	begin(&world, false, false);
	agent = start(&world, 100);
	lease.command.command = COMMAND_LEASE;
	lease.command.agent = agent->handle;
	lease.command.lease_ns = 3 * IDLE_S * S;
	world_step(&world, &lease);
	until_ns = world.now_ns + lease.command.lease_ns;
	rest(&world, agent, &nothing);
	cr_expect_eq(agent->state, AGENT_STOPPING);
	cr_expect_geq(world.now_ns, until_ns);
	cr_expect_leq(world.now_ns, until_ns + (WINDOW_S + 1) * S);
	world_done(&world);
}

/* The policy is given another time: the old one isn't waited for. */
Test(idle, a_new_policy_is_judged_by_at_once)
{
	const struct world_policy policy = {.name = "bots", .exe = EXE};
	const struct activity_view nothing = {.cpu_ns = 1};
	struct policy_set *set;
	struct agent *agent;
	struct world world;

	begin(&world, false, false);
	agent = start(&world, 100);
	for (unsigned i = 0; i < 5; i++)
		look(&world, agent, nothing);
	set = world_make_set(&policy, 1);
	set->policies[0]->idle = thresholds;
	set->policies[0]->idle.after_ns = 20 * S;
	world_set_policies(&world, set);
	look(&world, agent, nothing);
	cr_expect_eq(agent->state, AGENT_STOPPING);
	world_done(&world);
}

/* ---- hung -------------------------------------------------------------------------------------------------------- */

static struct agent *hang(struct world *world, struct policy_hung hung)
{
	struct policy *policy = begin(world, false, false);

	policy->idle.after_ns = 0;
	policy->hung = hung;
	return start(world, 100);
}

static struct activity_view waiting(const struct world *world, uint64_t since_ns)
{
	struct activity_view view = {.cpu_ns = 1, .is_stopped = true};

	view.wait =
		(struct activity_wait){.since_ns = MIN2(since_ns, world->now_ns), .unread = 3, .is_listening = true};
	text_copy(view.wait.socket, sizeof(view.wait.socket), "127.0.0.1:8000");
	return view;
}

Test(idle, who_reads_nothing_while_input_waits_hangs)
{
	const struct incident *incident = NULL;
	struct agent *agent;
	struct world world;
	uint64_t since_ns;

	agent = hang(&world, (struct policy_hung){60 * S, POLICY_HUNG_ALERT});
	since_ns = world.now_ns;
	for (unsigned i = 0; i < 20 && !incident; i++) {
		look(&world, agent, waiting(&world, since_ns));
		incident = world_incident(&world, INCIDENT_HUNG);
	}
	cr_assert_not_null(incident);
	cr_expect_geq(world.now_ns - since_ns, 60 * S);
	cr_expect_leq(world.now_ns - since_ns, 60 * S + 2 * 15 * S);
	cr_expect_str_eq(incident->rule, "hung");
	cr_expect_str_eq(incident->action, "alert");
	cr_expect_str_eq(world_text(incident, "socket"), "127.0.0.1:8000");
	cr_expect_str_eq(world_text(incident, "waiting"), "connections");
	cr_expect_str_eq(world_text(incident, "stopped"), "by a signal");
	cr_expect_eq(world_number(incident, "unread"), 3);
	cr_expect_neq(agent->state, AGENT_STOPPING);
	for (unsigned i = 0; i < 20; i++) {
		look(&world, agent, waiting(&world, since_ns));
		cr_expect_null(world_incident(&world, INCIDENT_HUNG), "it goes on");
	}
	/* It is read, and later it hangs again. */
	look(&world, agent, (struct activity_view){.cpu_ns = 2});
	since_ns = world.now_ns;
	incident = NULL;
	for (unsigned i = 0; i < 20 && !incident; i++) {
		look(&world, agent, waiting(&world, since_ns));
		incident = world_incident(&world, INCIDENT_HUNG);
	}
	cr_expect_not_null(incident);
	world_done(&world);
}

Test(idle, who_works_or_waits_for_input_or_is_frozen_does_not_hang)
{
	struct event freeze = {.kind = EVENT_RESULT};
	struct activity_view view;
	struct agent *agent;
	struct world world;

	agent = hang(&world, (struct policy_hung){60 * S, POLICY_HUNG_STOP});
	for (unsigned i = 0; i < 20; i++)
		look(&world, agent, (struct activity_view){.cpu_ns = 1});
	cr_expect_neq(agent->state, AGENT_STOPPING);
	view = waiting(&world, world.now_ns);
	for (unsigned i = 0; i < 20; i++) {
		view.cpu_ns += 16 * NSEC_PER_MSEC; /* more than a thousandth */
		look(&world, agent, view);
	}
	cr_expect_neq(agent->state, AGENT_STOPPING);
	freeze.result.agent = agent->handle;
	freeze.result.action = ACTION_FREEZE;
	world_step(&world, &freeze);
	for (unsigned i = 0; i < 20; i++)
		look(&world, agent, view);
	cr_expect_eq(agent->state, AGENT_FROZEN);
	freeze.result.action = ACTION_THAW;
	world_step(&world, &freeze);
	for (unsigned i = 0; i < 3; i++)
		look(&world, agent, view);
	cr_expect_neq(agent->state, AGENT_STOPPING);
	for (unsigned i = 0; i < 3 && agent->state != AGENT_STOPPING; i++)
		look(&world, agent, view);
	cr_expect_eq(agent->state, AGENT_STOPPING);
	cr_expect_str_eq(agent->stop_rule, "hung");
	world_done(&world);
}

Test(idle, a_lease_keeps_who_hangs_until_it_ends)
{
	struct agent *agent;
	struct world world;
	uint64_t since_ns;

	agent = hang(&world, (struct policy_hung){60 * S, POLICY_HUNG_STOP});
	since_ns = world.now_ns;
	agent->lease_until_ns = world.now_ns + 600 * S;
	while (world.now_ns < agent->lease_until_ns) {
		cr_expect_neq(agent->state, AGENT_STOPPING);
		look(&world, agent, waiting(&world, since_ns));
	}
	for (unsigned i = 0; i < 2 && agent->state != AGENT_STOPPING; i++)
		look(&world, agent, waiting(&world, since_ns));
	cr_expect_eq(agent->state, AGENT_STOPPING);
	world_done(&world);
}

/* ---- random lives ------------------------------------------------------------------------------------------------ */

#define RANDOM_AGENTS 12
#define RANDOM_RUNS 60
#define RANDOM_S 900
#define LATE_NS (20 * NSEC_PER_MSEC) /* at most, of a tick */

struct life {
	struct agent *agent;
	struct activity_view view;
	uint64_t handle, idle_ns, busy_ns; /* the end of the last second in which it was busy */
	uint64_t next_ns;		   /* of its seconds */
	unsigned chance;		   /* in 1000, of a second to be busy */
	bool is_lagging;		   /* a second has just been busy, and not seen yet */
};

static uint64_t window_ns(const struct life *life)
{
	return MIN2(MAX2(life->idle_ns / 10 / S * S, S), 30 * S);
}

/* One second of a life: well above a threshold for the longest window, or well below all. */
static void live_second(struct life *life, uint64_t random)
{
	uint64_t longest_s = 3 * window_ns(life) / S;

	life->next_ns += S;
	life->view.cpu_ns += 5 * NSEC_PER_MSEC;
	life->view.io_bytes += 300;
	life->view.net_bytes += 300;
	if (random % 1000 >= life->chance)
		return;
	life->busy_ns = life->next_ns;
	switch (random / 1000 % 6) {
	case 0:
		life->view.cpu_ns += longest_s * S / 25;
		break;
	case 1:
		life->view.io_bytes += longest_s * 2048;
		break;
	case 2:
		life->view.net_bytes += longest_s * 2048;
		break;
	case 3:
		life->view.spawns += 4;
		break;
	case 4:
		life->view.connects += 4;
		break;
	default:
		life->view.has_input = true;
	}
}

static void live_until(struct life *lives, uint64_t now_ns, uint64_t *seed)
{
	for (size_t i = 0; i < RANDOM_AGENTS; i++)
		while (lives[i].next_ns + S <= now_ns) {
			*seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
			live_second(&lives[i], *seed >> 33);
		}
}

static void tell_all(struct world *world, struct life *lives)
{
	struct activity_view views[RANDOM_AGENTS];
	size_t n = 0;

	for (size_t i = 0; i < RANDOM_AGENTS; i++) {
		if (!lives[i].agent)
			continue;
		views[n++] = lives[i].view;
		lives[i].view.net_bytes = lives[i].view.spawns = 0;
		lives[i].view.has_input = false;
	}
	census(world, views, n);
}

static void check_ends(const struct world *world, struct life *lives)
{
	for (size_t i = 0; i < RANDOM_AGENTS; i++) {
		struct life *life = &lives[i];
		uint64_t since_ns = world->now_ns - life->busy_ns;

		if (!life->agent)
			continue;
		if (life->agent->state == AGENT_STOPPING) {
			cr_expect_geq(since_ns, life->idle_ns, "ended after %.3f s", (double)since_ns / 1e9);
			life->agent = NULL;
		}
		/* The seconds of its life aren't those of the looks. */
		cr_expect_leq(since_ns, life->idle_ns + window_ns(life) + S + 10 * LATE_NS,
			      "not ended after %.3f s of %.3f", (double)since_ns / 1e9, (double)life->idle_ns / 1e9);
	}
}

static size_t play(uint64_t seed)
{
	struct world_policy policies[RANDOM_AGENTS];
	char names[RANDOM_AGENTS][32], exes[RANDOM_AGENTS][32];
	struct life lives[RANDOM_AGENTS] = {};
	struct world world;
	uint64_t end_ns;
	size_t living = 0;

	for (size_t i = 0; i < RANDOM_AGENTS; i++) {
		snprintf(names[i], sizeof(names[i]), "bot%zu", i);
		snprintf(exes[i], sizeof(exes[i]), "/opt/%zu", i);
		policies[i] = (struct world_policy){.name = names[i], .exe = exes[i]};
	}
	world_init(&world, policies, RANDOM_AGENTS);
	for (size_t i = 0; i < RANDOM_AGENTS; i++) {
		static const uint64_t idles_s[] = {5, 10, 33, 60, 100, 300};
		struct proc proc = world_proc((pid_t)(100 + i), exes[i]);

		world.now_ns += seed * (i + 7) % 1000 * 3 * NSEC_PER_MSEC;
		lives[i].idle_ns = idles_s[(seed + i) % ELEMENTSOF(idles_s)] * S;
		lives[i].chance = i % 3 ? (unsigned)(i * 8) : 0;
		world.set->policies[i]->idle = thresholds;
		world.set->policies[i]->idle.after_ns = lives[i].idle_ns;
		world_hold(&world, &proc, i + 1);
		world_placed(&world, 0);
		lives[i].agent = state_by_root(world.state, proc.pid, proc.start_ticks);
		lives[i].view.agent = lives[i].agent->handle;
	}
	/* They are taken for busy until they are looked at for the first time. */
	for (size_t i = 0; i < RANDOM_AGENTS; i++)
		lives[i].busy_ns = lives[i].next_ns = world.now_ns;
	for (end_ns = world.now_ns + RANDOM_S * S; world.now_ns < end_ns && world.state->timer_ns < end_ns;) {
		struct event tick = {.kind = EVENT_TICK};

		seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
		world.now_ns = MAX2(world.now_ns, world.state->timer_ns) + (seed >> 33) % LATE_NS;
		live_until(lives, world.now_ns, &seed);
		world_step(&world, &tick);
		if (world_count(&world, ACTION_ACTIVITY))
			tell_all(&world, lives);
		check_ends(&world, lives);
	}
	for (size_t i = 0; i < RANDOM_AGENTS; i++)
		living += lives[i].agent != NULL;
	world_done(&world);
	return living;
}

/* Never ended while any signal was above its threshold within its time, always ended otherwise. */
Test(idle, random_lives)
{
	size_t living = 0;

	for (uint64_t seed = 1; seed <= RANDOM_RUNS; seed++)
		living += play(seed * UINT64_C(0x9e3779b97f4a7c15));
	/* Of the busy ones some outlive it, of the others none. */
	cr_expect_gt(living, RANDOM_RUNS);
	cr_expect_lt(living, RANDOM_RUNS * RANDOM_AGENTS * 2 / 3);
}

/* ---- many -------------------------------------------------------------------------------------------------------- */

Test(idle, of_a_hundred_exactly_the_ten_idle_ones_are_ended)
{
	struct activity_view views[100] = {};
	struct agent *agents[100];
	struct world world;
	unsigned ended = 0, looks = 0;

	begin(&world, false, false);
	for (size_t i = 0; i < 100; i++) {
		agents[i] = start(&world, (pid_t)(100 + i));
		views[i].agent = agents[i]->handle;
	}
	for (looks = 0; looks < 14; looks++) {
		struct event tick = {.kind = EVENT_TICK};

		while (world.now_ns = MAX2(world.now_ns, world.state->timer_ns), world_step(&world, &tick),
		       !world_count(&world, ACTION_ACTIVITY))
			;
		for (size_t i = 0; i < 100; i++)
			views[i].cpu_ns += i % 10 ? S : 0;
		census(&world, views, 100);
	}
	for (size_t i = 0; i < 100; i++) {
		cr_expect_eq(agents[i]->state == AGENT_STOPPING, i % 10 == 0, "%zu", i);
		ended += agents[i]->state == AGENT_STOPPING;
	}
	cr_expect_eq(ended, 10);
	world_done(&world);
}
