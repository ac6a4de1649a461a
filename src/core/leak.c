/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/leak.h"

#include "core/state.h"

/*
 * Anonymous memory costs more to read (memory.stat: the kernel sums up all CPUs) than the total does, and 300 agents at
 * rest mustn't be noticed. So the total is looked at, of all agents together and then, when that has moved, of each;
 * and the kinds when the agent's has moved or after a while. Who grows fast, or has just begun, is read once a second.
 */

#define GLANCE_MIN_NS (2 * NSEC_PER_SEC) /* of a young agent, and near the cap */
#define GLANCE_MAX_NS (10 * NSEC_PER_SEC)
#define YOUNG_PART 4		     /* of its age: the older it is, the less it is to be expected */
#define READ_NS (60 * NSEC_PER_SEC)  /* page cache may give way to what leaks, with the total as it was */
#define HURRY_NS (16 * NSEC_PER_SEC) /* a window of the trend's narrowest level */
#define MOVED_PART 128		     /* of the cap: the total has moved */
#define CLOSE_PART 8		     /* of the cap is left: near it */
#define FAST_NS (300 * NSEC_PER_SEC) /* to the cap, at the pace of the last two samples: fast */
#define OVER_NS (300 * NSEC_PER_SEC) /* without a forecast within the horizon: the next one is another leak */

uint64_t leak_cap(const struct policy *policy)
{
	const struct policy_limits *limits = &policy->limits;

	if (!policy->leak.horizon_ns)
		return UINT64_MAX;
	return limits->memory_max_bytes != UNIT_INFINITY ? limits->memory_max_bytes : limits->memory_high_bytes;
}

static uint64_t difference(uint64_t a, uint64_t b)
{
	return a > b ? a - b : b - a;
}

/* ---- when to look ---- */

static void plan(struct state *state, struct agent *agent, uint64_t after_ns, struct actions *actions)
{
	uint64_t now_s = state->now_ns / NSEC_PER_SEC, every_s = after_ns / NSEC_PER_SEC, at_s = now_s + every_s;

	/* On whole seconds, so that agents are looked at together, but not all of them in the same one. */
	at_s -= (at_s + agent->handle) % every_s;
	if (at_s <= now_s)
		at_s += every_s;
	agent->leak->look_ns = at_s * NSEC_PER_SEC;
	set_timer(state, agent->leak->look_ns, actions);
}

static uint64_t glance_every(const struct state *state, const struct agent *agent, uint64_t cap)
{
	uint64_t age_ns = state->now_ns - MIN2(agent->since_ns, state->now_ns);

	if (cap - MIN2(cap, agent->leak->anon_bytes) < cap / CLOSE_PART)
		return GLANCE_MIN_NS;
	return MIN2(MAX2(age_ns / YOUNG_PART, GLANCE_MIN_NS), GLANCE_MAX_NS);
}

static void ask(struct agent *agent, bool wants_anon, struct actions *actions)
{
	struct action *action = actions_add(actions, ACTION_SAMPLE, agent);

	if (action)
		action->wants_anon = wants_anon;
}

/* All agents together have what they had at its last sample: then it has, too, or what it took others have given back,
 * which isn't believed for longer than READ_NS. */
static bool is_at_rest(const struct state *state, const struct agent *agent)
{
	const struct leak *leak = agent->leak;

	return state->slice_bytes && leak->slice_bytes && agent->placement != POLICY_PLACEMENT_NESTED &&
	       state->now_ns >= leak->hurry_ns && state->now_ns - leak->read_ns < READ_NS &&
	       difference(state->slice_bytes, leak->slice_bytes) <= leak_cap(agent->policy) / MOVED_PART;
}

bool leak_look(struct state *state, struct agent *agent, struct actions *actions)
{
	uint64_t cap = leak_cap(agent->policy);

	agent->leak->look_ns = 0;
	if (agent->state == AGENT_GONE)
		return false;
	if (is_at_rest(state, agent)) {
		plan(state, agent, glance_every(state, agent, cap), actions);
		return false;
	}
	ask(agent, state->now_ns < agent->leak->hurry_ns, actions);
	return true;
}

/* Whether the cap would be reached soon at the pace since the last sample. */
static bool is_fast(uint64_t grown, uint64_t in_ns, uint64_t left)
{
	return grown && left / grown <= FAST_NS / (in_ns + 1);
}

/* ---- what is seen ---- */

static void record_leak(const struct agent *agent, const char *action, const char *result, struct actions *actions)
{
	const struct trend_forecast *forecast = &agent->leak->forecast;
	struct incident *incident =
		record_agent(actions, INCIDENT_LEAK, agent, (struct record_words){"leak.horizon", action, result});

	if (!incident)
		return;
	incident->by_uid = INCIDENT_BY_GOVD;
	incident_add_number(incident, "anon_bytes", agent->leak->anon_bytes);
	incident_add_number(incident, "cap_bytes", leak_cap(agent->policy));
	incident_add_number(incident, "slope_bytes_per_min", forecast->slope * 60);
	incident_add_milli(incident, "reached_in_s", forecast->reaches_ns / NSEC_PER_MSEC);
	incident_add_milli(incident, "measured_s", forecast->span_ns / NSEC_PER_MSEC);
}

static void tell(struct state *state, struct agent *agent, struct actions *actions)
{
	if (agent->policy->leak.action == POLICY_LEAK_ALERT) {
		record_leak(agent, "alert", "done", actions);
		return;
	}
	record_leak(agent, "stop", agent->policy->protect ? "refused" : "done", actions);
	if (agent->policy->protect)
		return;
	agent->stop_rule = "leak";
	agent->by_uid = INCIDENT_BY_GOVD;
	stop_agent(state, agent, actions);
}

static void judge(struct state *state, struct agent *agent, uint64_t cap, struct actions *actions)
{
	struct leak *leak = agent->leak;

	trend_forecast(&leak->trend, cap, &leak->forecast);
	if (leak->forecast.reaches_ns > agent->policy->leak.horizon_ns) {
		if (leak->told_ns && state->now_ns - leak->told_ns > OVER_NS)
			leak->told_ns = 0;
		return;
	}
	if (!leak->told_ns && agent->is_placed && !agent->is_releasing && agent->state != AGENT_STOPPING)
		tell(state, agent, actions);
	leak->told_ns = state->now_ns;
}

/* The total alone: true when the kinds are to be read. */
static bool has_moved(const struct state *state, const struct leak *leak, uint64_t memory_bytes, uint64_t cap)
{
	return !leak->read_ns || state->now_ns - leak->read_ns >= READ_NS ||
	       difference(memory_bytes, leak->read_memory_bytes) > cap / MOVED_PART;
}

static void read_anon(struct state *state, struct leak *leak, const struct event *event, uint64_t cap)
{
	uint64_t anon = event->sample.anon_bytes, left;

	/* Where the kinds can't be read, the total has to do. */
	if (anon == UINT64_MAX)
		anon = event->sample.memory_bytes;
	left = cap > anon ? cap - anon : 0;
	if (leak->read_ns && anon > leak->anon_bytes &&
	    is_fast(anon - leak->anon_bytes, state->now_ns - leak->read_ns, left))
		leak->hurry_ns = state->now_ns + HURRY_NS;
	leak->anon_bytes = anon;
	leak->read_memory_bytes = event->sample.memory_bytes;
	leak->read_ns = state->now_ns;
	trend_add(&leak->trend, state->now_ns, anon);
}

static bool is_watched(const struct agent *agent, const struct event *event, uint64_t cap)
{
	return cap != UINT64_MAX && agent->state != AGENT_GONE &&
	       (event->sample.memory_bytes != UINT64_MAX || event->sample.anon_bytes != UINT64_MAX);
}

void leak_sample(struct state *state, struct agent *agent, const struct event *event, struct actions *actions)
{
	uint64_t cap = leak_cap(agent->policy), memory = event->sample.memory_bytes;
	struct leak *leak;

	if (!is_watched(agent, event, cap)) {
		free(agent->leak);
		agent->leak = NULL;
		return;
	}
	if (!agent->leak) {
		agent->leak = calloc(1, sizeof(*agent->leak));
		if (!agent->leak)
			return;
	}
	leak = agent->leak;
	/* What has grown since the last look is read soon, and again soon. */
	if (leak->seen_ns && memory != UINT64_MAX && agent->memory_bytes != UINT64_MAX &&
	    memory > agent->memory_bytes &&
	    is_fast(memory - agent->memory_bytes, state->now_ns - leak->seen_ns, cap > memory ? cap - memory : 0))
		leak->hurry_ns = MAX2(leak->hurry_ns, state->now_ns + HURRY_NS);
	leak->seen_ns = state->now_ns;
	leak->slice_bytes = state->slice_bytes;
	if (event->sample.has_read) {
		read_anon(state, leak, event, cap);
		judge(state, agent, cap, actions);
	} else if (has_moved(state, leak, memory, cap)) {
		ask(agent, true, actions);
		return;
	}
	plan(state, agent, state->now_ns < leak->hurry_ns ? NSEC_PER_SEC : glance_every(state, agent, cap), actions);
}

void leak_forget(struct agent *agent)
{
	if (!agent->leak)
		return;
	trend_clear(&agent->leak->trend);
	agent->leak->forecast = (struct trend_forecast){.reaches_ns = UINT64_MAX};
}

bool agent_reaches_cap(const struct agent *agent, uint64_t *ret_at_ns)
{
	const struct leak *leak = agent->leak;

	if (!leak || !leak->forecast.slope || leak->forecast.reaches_ns == UINT64_MAX)
		return false;
	*ret_at_ns = leak->read_ns + leak->forecast.reaches_ns;
	return true;
}

const char *agent_cap_key(const struct agent *agent)
{
	return agent->policy->limits.memory_max_bytes != UNIT_INFINITY ? "memory.max" : "memory.high";
}
