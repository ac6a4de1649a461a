/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/state.h"

/*
 * Who does nothing: a census tells what each agent has done since the one before, and an agent is idle when each signal
 * has stayed below its threshold in all windows of its last `idle`. Windows are a tenth of that, so that a burst isn't
 * lost in a long mean, and begin on whole seconds for all agents, so that one census serves them all.
 */

#define WINDOWS 10		  /* of `idle` */
#define HUNG_WINDOWS 4		  /* of `hung.after` */
#define EVERY_MIN_NS NSEC_PER_SEC /* between two looks at one agent */
#define EVERY_MAX_NS (30 * NSEC_PER_SEC)
#define LATE_PART 4	/* of a window: what is due so soon after a look waits for no other */
#define GAP 2		/* windows: nobody has looked for so long that a mean says nothing */
#define QUIET_PART 1000 /* of a window: less CPU time than that is none; an idle claude uses 1.8 ms a second */
#define SHOWN_IDLE_NS (60 * NSEC_PER_SEC)	 /* without a sign of life an agent is shown as idle */
#define CPU_SIGN_OF_LIFE_NS (10 * NSEC_PER_MSEC) /* within CPU_OVER_NS; an idle claude uses 1.8 ms a second */
#define CPU_OVER_NS (20 * NSEC_PER_SEC)		 /* a sample comes twice a minute, and whenever somebody looks */
#define NEVER UINT64_MAX

static const char *const signal_names[ACTIVITY_SIGNALS] = {
	[ACTIVITY_CPU] = "cpu",		  [ACTIVITY_IO] = "io",		[ACTIVITY_NET] = "net",
	[ACTIVITY_CONNECTS] = "connects", [ACTIVITY_SPAWNS] = "spawns", [ACTIVITY_INPUT] = "input",
	[ACTIVITY_START] = "start",	  [ACTIVITY_TOUCH] = "touch",	[ACTIVITY_FROZEN] = "frozen",
	[ACTIVITY_DEBUGGER] = "debugger",
};

const char *activity_signal_name(enum activity_signal signal)
{
	return signal_names[signal];
}

static bool is_wanted(const struct policy *policy)
{
	return policy->idle.after_ns || policy->hung.after_ns;
}

static uint64_t window_of(const struct policy *policy)
{
	uint64_t ns = EVERY_MAX_NS;

	if (policy->idle.after_ns)
		ns = MIN2(ns, policy->idle.after_ns / WINDOWS);
	if (policy->hung.after_ns)
		ns = MIN2(ns, policy->hung.after_ns / HUNG_WINDOWS);
	return MAX2(ns / NSEC_PER_SEC * NSEC_PER_SEC, EVERY_MIN_NS);
}

static uint64_t age(const struct state *state, uint64_t then_ns)
{
	return state->now_ns - MIN2(then_ns, state->now_ns);
}

/* ---- when to look ------------------------------------------------------------------------------------------------ */

static void plan(const struct state *state, struct agent *agent)
{
	uint64_t every_ns = window_of(agent->policy), at_ns = (state->now_ns / every_ns + 1) * every_ns;
	uint64_t due_ns = agent->active_ns + agent->policy->idle.after_ns;

	/* An agent that was last active at a look is due a moment after a later one. */
	if (agent->policy->idle.after_ns && due_ns > at_ns && due_ns - at_ns <= every_ns / LATE_PART)
		at_ns = due_ns;
	agent->activity->look_ns = at_ns;
}

uint64_t idle_due(const struct agent *agent)
{
	if (!agent->activity || agent_is_ending(agent) || agent->is_releasing)
		return NEVER;
	return agent->activity->look_ns;
}

void idle_look(const struct state *state, struct agent *agent)
{
	/* Before the answer comes it isn't due again. */
	plan(state, agent);
	agent->activity->is_asked = true;
}

void idle_change(struct state *state, struct agent *agent, struct actions *actions)
{
	if (!is_wanted(agent->policy)) {
		free(agent->activity);
		agent->activity = NULL;
		return;
	}
	if (!agent->activity) {
		agent->activity = calloc(1, sizeof(*agent->activity));
		if (!agent->activity)
			return;
		idle_sign(state, agent, ACTIVITY_START);
		agent->activity->quiet_ns = state->now_ns;
	}
	plan(state, agent);
	set_timer(state, agent->activity->look_ns, actions);
}

/* ---- signs of life ----------------------------------------------------------------------------------------------- */

void idle_sign(const struct state *state, struct agent *agent, enum activity_signal signal)
{
	agent->active_ns = state->now_ns;
	if (agent->state == AGENT_IDLE)
		agent->state = AGENT_ACTIVE;
	if (!agent->activity)
		return;
	agent->activity->signal = signal;
	lifecycle_forget(agent, INCIDENT_IDLE);
}

void idle_sample(const struct state *state, struct agent *agent, uint64_t cpu_ns)
{
	bool is_alive = !agent->activity && cpu_ns > agent->cpu_ns + CPU_SIGN_OF_LIFE_NS;

	if (is_alive)
		agent->active_ns = state->now_ns;
	/* Between two looks of somebody who looks often nobody does much. */
	if (is_alive || state->now_ns - agent->cpu_look_ns >= CPU_OVER_NS) {
		agent->cpu_ns = cpu_ns;
		agent->cpu_look_ns = state->now_ns;
	}
	if (agent->state == AGENT_ACTIVE && state->now_ns - agent->active_ns > SHOWN_IDLE_NS)
		agent->state = AGENT_IDLE;
	else if (agent->state == AGENT_IDLE && state->now_ns - agent->active_ns <= SHOWN_IDLE_NS)
		agent->state = AGENT_ACTIVE;
}

static uint64_t difference(uint64_t now, uint64_t *last, bool *has_gone_back)
{
	uint64_t grown = now - MIN2(*last, now);

	*has_gone_back |= now < *last;
	*last = now;
	return grown;
}

static void count(struct activity *activity, const struct activity_view *view)
{
	uint64_t *grown = activity->grown;
	bool has_gone_back = false, has_ended;

	grown[ACTIVITY_CPU] += difference(view->cpu_ns, &activity->last.cpu_ns, &has_gone_back);
	grown[ACTIVITY_IO] += difference(view->io_bytes, &activity->last.io_bytes, &has_gone_back);
	grown[ACTIVITY_NET] += view->net_bytes;
	grown[ACTIVITY_CONNECTS] += view->accepts;
	if (view->connects != UINT64_MAX) {
		bool ignored = false;

		grown[ACTIVITY_CONNECTS] += difference(view->connects, &activity->last.connects, &ignored);
	}
	/* Whoever has ended was there: that counts as one. */
	has_ended = difference(view->child_faults, &activity->last.child_faults, &has_gone_back) > 0;
	grown[ACTIVITY_SPAWNS] += view->spawns ? view->spawns : has_ended || has_gone_back;
	grown[ACTIVITY_INPUT] |= view->has_input;
}

static bool is_above(uint64_t grown, const struct policy_rate *rate, uint64_t window_ns)
{
	if (rate->count == UNIT_INFINITY || !grown)
		return false;
	return (unsigned __int128)grown * rate->per_ns > (unsigned __int128)rate->count * window_ns;
}

static enum activity_signal find_signal(const struct agent *agent, uint64_t window_ns)
{
	const struct policy_idle *idle = &agent->policy->idle;
	static const struct policy_rate any = {0, 1};
	const struct policy_rate *const rates[ACTIVITY_MEASURED] = {
		[ACTIVITY_CPU] = &idle->cpu,	       [ACTIVITY_IO] = &idle->io,	  [ACTIVITY_NET] = &idle->net,
		[ACTIVITY_CONNECTS] = &idle->connects, [ACTIVITY_SPAWNS] = &idle->spawns, [ACTIVITY_INPUT] = &any,
	};

	for (unsigned i = 0; i < ACTIVITY_MEASURED; i++)
		if (is_above(agent->activity->grown[i], rates[i], window_ns))
			return (enum activity_signal)i;
	return ACTIVITY_SIGNALS;
}

/* ---- the census -------------------------------------------------------------------------------------------------- */

static void judge_idle(struct state *state, struct agent *agent, uint64_t window_ns, const struct activity_view *view)
{
	struct activity *activity = agent->activity;
	enum activity_signal signal = find_signal(agent, window_ns);
	uint64_t after_ns = agent->policy->idle.after_ns;

	if (agent->state == AGENT_FROZEN)
		signal = ACTIVITY_FROZEN;
	else if (view->is_traced)
		signal = ACTIVITY_DEBUGGER;
	if (signal != ACTIVITY_SIGNALS)
		idle_sign(state, agent, signal);
	else if (agent->state == AGENT_ACTIVE && age(state, agent->active_ns) >= SHOWN_IDLE_NS)
		agent->state = AGENT_IDLE;
	activity->is_idle = after_ns && age(state, agent->active_ns) >= after_ns;
}

static void judge_hung(struct state *state, struct agent *agent, uint64_t window_ns, const struct activity_view *view)
{
	struct activity *activity = agent->activity;
	uint64_t after_ns = agent->policy->hung.after_ns;

	if (agent->state == AGENT_FROZEN || view->is_traced || activity->grown[ACTIVITY_CPU] > window_ns / QUIET_PART)
		activity->quiet_ns = state->now_ns;
	activity->wait = &view->wait;
	activity->is_stopped = view->is_stopped;
	activity->is_hung = after_ns && view->wait.since_ns &&
			    age(state, MAX2(view->wait.since_ns, activity->quiet_ns)) >= after_ns;
	if (!view->wait.since_ns || activity->quiet_ns == state->now_ns)
		lifecycle_forget(agent, INCIDENT_HUNG);
}

/* A window ends. */
static void judge(struct state *state, struct agent *agent, const struct activity_view *view, struct actions *actions)
{
	struct activity *activity = agent->activity;
	uint64_t window_ns = age(state, activity->seen_ns);
	bool has_gap = !activity->seen_ns || window_ns > GAP * window_of(agent->policy) + EVERY_MIN_NS;

	activity->is_asked = false;
	if (!view->is_traced)
		agent->tracer_pid = 0;
	if (has_gap) {
		idle_sign(state, agent, ACTIVITY_START);
		activity->quiet_ns = state->now_ns;
	} else {
		judge_idle(state, agent, window_ns, view);
		judge_hung(state, agent, window_ns, view);
		memcpy(activity->window, activity->grown, sizeof(activity->window));
		activity->window_ns = window_ns;
	}
	memset(activity->grown, 0, sizeof(activity->grown));
	activity->seen_ns = state->now_ns;
	lifecycle_judged(state, agent, actions);
	activity->is_idle = activity->is_hung = false;
	activity->wait = NULL;
	plan(state, agent);
	set_timer(state, activity->look_ns, actions);
}

void step_activity(struct state *state, const struct event *event, struct actions *actions)
{
	struct agent *agent;
	size_t cursor = 0;

	for (size_t i = 0; i < event->activity.n; i++) {
		const struct activity_view *view = &event->activity.items[i];

		agent = state_get(state, view->agent);
		if (!agent || !agent->activity)
			continue;
		count(agent->activity, view);
		if (agent->activity->is_asked)
			judge(state, agent, view, actions);
	}
	/* What an agent did that the census knows nothing of can't be told afterwards either. */
	while ((agent = idmap_next(&state->by_handle, &cursor))) {
		if (!agent->activity || !agent->activity->is_asked)
			continue;
		agent->activity->is_asked = false;
		agent->activity->seen_ns = 0;
	}
}

bool agent_is_idle_at(const struct agent *agent, uint64_t *ret_at_ns)
{
	if (!agent->activity || !agent->policy->idle.after_ns || agent_is_ending(agent) || agent->state == AGENT_FROZEN)
		return false;
	*ret_at_ns = agent->active_ns + agent->policy->idle.after_ns;
	return true;
}

void idle_evidence(const struct state *state, const struct agent *agent, struct incident *incident)
{
	const struct activity *activity = agent->activity;

	if (!activity)
		return;
	if (incident->kind == INCIDENT_IDLE) {
		incident_add_milli(incident, "idle_s", age(state, agent->active_ns) / NSEC_PER_MSEC);
		incident_add_text(incident, "last_signal", activity_signal_name(activity->signal));
	}
	if (incident->kind != INCIDENT_HUNG || !activity->wait)
		return;
	incident_add_text(incident, "socket", activity->wait->socket);
	incident_add_text(incident, "waiting", activity->wait->is_listening ? "connections" : "bytes");
	incident_add_number(incident, "unread", activity->wait->unread);
	incident_add_milli(incident, "waiting_s", age(state, activity->wait->since_ns) / NSEC_PER_MSEC);
	if (activity->is_stopped)
		incident_add_text(incident, "stopped", "by a signal");
	incident_add_milli(incident, "quiet_s", age(state, activity->quiet_ns) / NSEC_PER_MSEC);
}
