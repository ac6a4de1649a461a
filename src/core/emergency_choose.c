/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/emergency.h"

#include "base/text.h"
#include "core/state.h"

/* Who is ended in an emergency, and the ranking that led to it. Allocates nothing. */

#define TOLD_MAX 5     /* of the ranking, in the incident */
#define TOLD_BYTES 112 /* of a line of it; six fit into an incident */
#define IDLE_UNIT_NS                                                                                                   \
	(60 * NSEC_PER_SEC) /* less of a difference decides nothing: signs of life are seen twice a minute */

struct candidate {
	struct agent *agent;
	uint64_t bytes; /* UINT64_MAX: not known */
	bool is_stopping, is_orphan, is_duplicate, is_over_high;
	uint64_t idle;	    /* in IDLE_UNIT_NS */
	const char *spared; /* static: why it can't be chosen; NULL: it can */
};

struct ranking {
	struct candidate first[TOLD_MAX]; /* of all but those that are too small */
	size_t n_first;
	struct candidate chosen, observed; /* the first that can be, and the first that could if it weren't observed */
	size_t too_small;
};

/* ---- what is true of an agent ---- */

/* A younger one has the same key of the same policy. */
static bool is_duplicate(const struct state *state, const struct agent *agent)
{
	for (const struct agent *other = state_first_of_key(state, agent); other; other = other->next_of_key)
		if (key_is_same(other, agent) && !agent_is_ending(other) && agent_is_older(agent, other))
			return true;
	return false;
}

/* The kernel reclaims before the limit is passed: who is within a 64th of it is at it. */
static bool is_over_high(const struct agent *agent, uint64_t bytes)
{
	uint64_t high = agent->policy->limits.memory_high_bytes;

	return high != UNIT_INFINITY && bytes != UINT64_MAX && bytes >= high - high / 64;
}

static const char *why_spared(const struct state *state, const struct agent *agent)
{
	if (agent->policy->protect)
		return "protected";
	/* Nor is it known whether its policy protected it. */
	if (agent->is_orphaned_policy)
		return "without-policy";
	if (agent->stop_tries || agent->is_empty || agent->state == AGENT_GONE)
		return "ending";
	if (agent->is_releasing)
		return "released";
	if (agent->is_observed)
		return agent->would_end_ns && state->now_ns - agent->would_end_ns < EMERGENCY_WINDOW_NS ? "would-end"
													: "observed";
	return agent->is_placed ? NULL : "starting";
}

static struct candidate look_at(const struct state *state, struct agent *agent, const struct agent_weight *weight)
{
	return (struct candidate){
		.agent = agent,
		.bytes = weight->bytes,
		.is_stopping = agent->state == AGENT_STOPPING,
		.is_orphan = !agent->has_root || (weight->ppid && agent->root_ppid && weight->ppid != agent->root_ppid),
		.is_duplicate = is_duplicate(state, agent),
		.is_over_high = is_over_high(agent, weight->bytes),
		.idle = (state->now_ns - MIN2(agent->active_ns, state->now_ns)) / IDLE_UNIT_NS,
		.spared = why_spared(state, agent),
	};
}

/* ---- the order ---- */

static int64_t by_stopping(const struct candidate *candidate)
{
	return candidate->is_stopping;
}

static int64_t by_use(const struct candidate *candidate)
{
	return candidate->is_orphan + candidate->is_duplicate;
}

static int64_t by_idle(const struct candidate *candidate)
{
	return (int64_t)candidate->idle;
}

static int64_t by_high(const struct candidate *candidate)
{
	return candidate->is_over_high;
}

static int64_t by_priority(const struct candidate *candidate)
{
	return -(int64_t)candidate->agent->policy->priority;
}

static int64_t by_size(const struct candidate *candidate)
{
	return candidate->bytes == UINT64_MAX ? 0 : (int64_t)candidate->bytes;
}

/* The younger has less to lose. */
static int64_t by_youth(const struct candidate *candidate)
{
	return (int64_t)candidate->agent->handle;
}

/* The one with more of the first that they differ in comes first. */
static int64_t (*const criteria[])(const struct candidate *) = {by_stopping, by_use,  by_idle, by_high,
								by_priority, by_size, by_youth};

static bool is_before(const struct candidate *a, const struct candidate *b)
{
	for (size_t i = 0; i < ELEMENTSOF(criteria); i++) {
		int64_t one = criteria[i](a), other = criteria[i](b);

		if (one != other)
			return one > other;
	}
	return false;
}

static void take_if_before(struct candidate *best, const struct candidate *candidate)
{
	if (!best->agent || is_before(candidate, best))
		*best = *candidate;
}

static void rank(struct ranking *ranking, const struct candidate *candidate)
{
	size_t at = ranking->n_first;

	if (!candidate->spared)
		take_if_before(&ranking->chosen, candidate);
	else if (streq(candidate->spared, "observed"))
		take_if_before(&ranking->observed, candidate);
	while (at > 0 && is_before(candidate, &ranking->first[at - 1]))
		at--;
	if (at == TOLD_MAX)
		return;
	ranking->n_first = MIN2(ranking->n_first + 1, (size_t)TOLD_MAX);
	memmove(&ranking->first[at + 1], &ranking->first[at], (ranking->n_first - at - 1) * sizeof(*candidate));
	ranking->first[at] = *candidate;
}

/*
 * An end has to give back a tenth of what is missing and of what will be in a few seconds, lest idle agents end one
 * after the other for nothing while somebody takes 100 MB a second. But where all are small, the larger half of them is
 * taken.
 */
static uint64_t floor_of(const struct state *state, const struct event *event)
{
	struct emergency_need need = emergency_need(state);
	uint64_t least = need.missing_bytes / EMERGENCY_PART, largest = 0;

	for (size_t i = 0; i < event->weighed.n; i++) {
		const struct agent_weight *weight = &event->weighed.items[i];
		const struct agent *agent = state_get(state, weight->agent);

		if (agent && weight->bytes != UINT64_MAX && !why_spared(state, agent))
			largest = MAX2(largest, weight->bytes);
	}
	return MAX2(least, MIN2((need.missing_bytes + need.growing_bytes) / EMERGENCY_PART, largest / 2));
}

/* ---- what is told ---- */

static void add_place(struct incident *incident, const char *name, const struct candidate *candidate)
{
	const struct agent *agent = candidate->agent;
	char line[TOLD_BYTES], size[32] = "?";
	struct text text = TEXT_ON(line);

	if (candidate->bytes != UINT64_MAX)
		unit_format_size_rough(size, sizeof(size), candidate->bytes);
	text_addf(&text, "%s %s", agent->id, size);
	if (candidate->spared)
		text_addf(&text, " [%s]", candidate->spared);
	if (candidate->is_stopping)
		text_add(&text, " stopping");
	if (candidate->is_orphan)
		text_add(&text, " orphan");
	if (candidate->is_duplicate)
		text_add(&text, " duplicate");
	if (candidate->idle)
		text_addf(&text, " idle %llumin", (unsigned long long)candidate->idle);
	if (candidate->is_over_high)
		text_add(&text, " over-high");
	if (agent->policy->priority)
		text_addf(&text, " priority %d", agent->policy->priority);
	text_addf(&text, " %s%s%s", agent->policy->name, *agent->key ? "/" : "", agent->key);
	incident_add_text(incident, name, line);
}

/* In place of the evidence that incidents of agents begin with: all is needed for the ranking. */
static void add_evidence(const struct state *state, const struct ranking *ranking, uint64_t least_bytes,
			 struct incident *incident)
{
	static const char *const places[TOLD_MAX] = {"rank_1", "rank_2", "rank_3", "rank_4", "rank_5"};
	const struct emergency *emergency = &state->emergency;
	const struct emergency_need need = emergency_need(state);
	uint64_t milli = emergency_pressure_milli(emergency, state->set->host.emergency.for_ns);

	incident_add_number(incident, "available_bytes", emergency->host.available_bytes);
	if (emergency->host.swap_total_bytes)
		incident_add_number(incident, "swap_free_bytes", emergency->host.swap_free_bytes);
	if (milli != UINT64_MAX)
		incident_add_milli(incident, "pressure_full_pct", milli);
	incident_add_number(incident, "missing_bytes", need.missing_bytes);
	incident_add_number(incident, "growing_bytes_per_s", need.growing_bytes / EMERGENCY_GROWTH_S);
	incident_add_number(incident, "least_bytes", least_bytes);
	incident_add_number(incident, "too_small", ranking->too_small);
	incident_add_number(incident, "kills_in_minute", emergency_kills(emergency, state->now_ns));
	for (size_t i = 0; i < ranking->n_first; i++)
		add_place(incident, places[i], &ranking->first[i]);
}

static struct incident *record(const struct state *state, const struct candidate *chosen, struct record_words words,
			       struct actions *actions)
{
	struct incident *incident =
		record_agent(actions, INCIDENT_EMERGENCY, chosen ? chosen->agent : NULL,
			     (struct record_words){state->emergency.rule, words.action, words.result});

	if (!incident)
		return NULL;
	incident->by_uid = INCIDENT_BY_GOVD;
	incident->n_facts = chosen ? 1 : 0;
	incident->texts_used = 0;
	if (chosen && chosen->bytes != UINT64_MAX)
		incident_add_number(incident, "agent_bytes", chosen->bytes);
	return incident;
}

/* ---- what is done ---- */

/* From now on its memory is waited for. */
static void note_end(struct state *state, const struct candidate *chosen)
{
	struct emergency *emergency = &state->emergency;

	emergency_note_kill(emergency->kills, state->now_ns);
	emergency->n_kills++;
	emergency->ended++;
	emergency->victim = chosen->agent->handle;
	emergency->victim_ns = state->now_ns;
	emergency->victim_gone_ns = 0;
	emergency->victim_bytes = chosen->bytes == UINT64_MAX ? 0 : chosen->bytes;
	emergency->victim_available_bytes = emergency->host.available_bytes;
	emergency->wait_until_ns = 0;
}

/* At once, without the policy's signal and grace: there is no time for them. */
static struct incident *end_chosen(struct state *state, const struct candidate *chosen, struct actions *actions)
{
	struct agent *agent = chosen->agent;
	struct incident *incident;

	if (agent->state != AGENT_STOPPING) {
		agent->stop_rule = "emergency";
		agent->by_uid = INCIDENT_BY_GOVD;
	}
	kill_agent(state, agent, actions);
	incident = record(state, chosen, (struct record_words){NULL, "kill", "done"}, actions);
	note_end(state, chosen);
	state->emergency.last_kill_ns = state->now_ns;
	return incident;
}

static struct incident *tell_observed(struct state *state, const struct candidate *chosen, struct actions *actions)
{
	struct emergency *emergency = &state->emergency;
	uint32_t kills_per_min = state->set->host.emergency.kills_per_min;
	struct incident *incident =
		record(state, chosen, (struct record_words){NULL, "would-kill", "observed"}, actions);

	note_end(state, chosen);
	chosen->agent->would_end_ns = state->now_ns;
	emergency->wait_until_ns = state->now_ns + EMERGENCY_WINDOW_NS / MAX2(kills_per_min, 1U);
	return incident;
}

static struct incident *tell_nobody(struct state *state, struct actions *actions)
{
	if (!may_tell(&state->emergency.told_ns, TOLD_EVERY_NS, state->now_ns))
		return NULL;
	return record(state, NULL, (struct record_words){NULL, "none", "failed"}, actions);
}

void step_weighed(struct state *state, const struct event *event, struct actions *actions)
{
	uint64_t least_bytes = floor_of(state, event);
	struct ranking ranking = {0};
	struct incident *incident;

	if (!state->emergency.is_choosing || !state->emergency.rule)
		return;
	state->emergency.is_choosing = false;
	for (size_t i = 0; i < event->weighed.n; i++) {
		const struct agent_weight *weight = &event->weighed.items[i];
		struct agent *agent = state_get(state, weight->agent);
		struct candidate candidate;

		if (!agent)
			continue;
		if (weight->bytes < least_bytes) {
			ranking.too_small++;
			continue;
		}
		candidate = look_at(state, agent, weight);
		rank(&ranking, &candidate);
	}
	if (ranking.chosen.agent)
		incident = end_chosen(state, &ranking.chosen, actions);
	else if (ranking.observed.agent)
		incident = tell_observed(state, &ranking.observed, actions);
	else
		incident = tell_nobody(state, actions);
	if (incident)
		add_evidence(state, &ranking, least_bytes, incident);
}
