/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/state.h"

#include "base/text.h"

/*
 * What ends agents that nobody has asked to end: one law a row. None of them ends more than half of a policy's agents
 * in a minute: then the policy is suspended until somebody has looked at it.
 */

#define PROBATION_NS                                                                                                   \
	(10 * NSEC_PER_SEC)	     /* of one that is to take another's place, where restart.min_uptime isn't given */
#define SPARE_NS (30 * NSEC_PER_SEC) /* after which one that is being debugged is looked at again */
#define NEVER UINT64_MAX

struct law {
	const char *rule;
	enum incident_kind kind;
	/* When it comes to this agent; NEVER. */
	uint64_t (*due)(const struct agent *agent);
	void (*act)(struct state *state, struct agent *agent, const struct law *law, struct actions *actions);
	bool heeds_lease; /* it ends what nobody seems to need: not before the lease ends */
};

static uint64_t after(uint64_t since_ns, uint64_t wait_ns)
{
	return since_ns && wait_ns ? since_ns + wait_ns : NEVER;
}

static uint64_t due_runtime(const struct agent *agent)
{
	return after(agent->run_ns, agent->policy->lifecycle.max_runtime_ns);
}

static uint64_t due_orphan(const struct agent *agent)
{
	return after(agent->orphan_ns, agent->policy->lifecycle.orphan_ns);
}

static uint64_t due_probation(const struct agent *agent)
{
	/* Without its root it isn't what it was to be, though something may be left of it. */
	return agent->probation_ns && agent->has_root ? agent->probation_ns : NEVER;
}

/* Only in the moment in which a census says so. */
static uint64_t due_idle(const struct agent *agent)
{
	return agent->activity && agent->activity->is_idle ? 0 : NEVER;
}

static uint64_t due_hung(const struct agent *agent)
{
	return agent->activity && agent->activity->is_hung ? 0 : NEVER;
}

/* Not by time: when an agent begins, check_count() sees it. */
static uint64_t due_count(_unused_ const struct agent *agent)
{
	return NEVER;
}

static void end_by_law(struct state *state, struct agent *agent, const struct law *law, struct actions *actions);
static void tell_hung(struct state *state, struct agent *agent, const struct law *law, struct actions *actions);
static void end_duplicates(struct state *state, struct agent *agent, const struct law *law, struct actions *actions);

enum { LAW_RUNTIME, LAW_ORPHAN, LAW_DUPLICATE, LAW_IDLE, LAW_HUNG, LAW_COUNT };

static const struct law laws[] = {
	[LAW_RUNTIME] = {"lifecycle.max_runtime", INCIDENT_EXPIRED, due_runtime, end_by_law, false},
	[LAW_ORPHAN] = {"lifecycle.orphan", INCIDENT_ORPHAN, due_orphan, end_by_law, true},
	[LAW_DUPLICATE] = {"lifecycle.per_key", INCIDENT_DUPLICATE, due_probation, end_duplicates, false},
	[LAW_IDLE] = {"lifecycle.idle", INCIDENT_IDLE, due_idle, end_by_law, true},
	[LAW_HUNG] = {"hung", INCIDENT_HUNG, due_hung, tell_hung, false},
	[LAW_COUNT] = {"lifecycle.max_agents", INCIDENT_DUPLICATE, due_count, end_by_law, false},
};

static unsigned bit_of(const struct law *law)
{
	return 1U << (law - laws);
}

/* ---- who may be ended -------------------------------------------------------------------------------------------- */

/* Who has frozen it wants it as it is. In a delay of its restart it doesn't run, and yet its parent may end. */
static bool law_waits(const struct law *law, const struct agent *agent)
{
	if (agent->thaw_ns)
		return law != &laws[LAW_ORPHAN];
	return agent->state == AGENT_FROZEN && !ladder_of(agent)->has_frozen;
}

/* When it comes to this agent, debugged or not; NEVER also when it has. */
static uint64_t law_comes(const struct law *law, const struct agent *agent)
{
	uint64_t due_ns = law->due(agent);

	/* Most have no such rule, and all are asked at each tick. */
	if (due_ns == NEVER || agent->laws_done & bit_of(law) || law_waits(law, agent))
		return NEVER;
	return law->heeds_lease ? MAX2(due_ns, agent->lease_until_ns) : due_ns;
}

static uint64_t law_due(const struct law *law, const struct agent *agent)
{
	uint64_t due_ns = law_comes(law, agent);

	return agent->tracer_pid ? MAX2(due_ns, agent->traced_ns + SPARE_NS) : due_ns;
}

/* ---- the laws ---------------------------------------------------------------------------------------------------- */

static struct incident *record_end(struct state *state, struct agent *agent, const struct law *law,
				   struct record_words words, struct actions *actions)
{
	struct incident *incident = record_agent(actions, law->kind, agent, words);

	if (!incident)
		return NULL;
	incident->by_uid = INCIDENT_BY_GOVD;
	incident_add_number(incident, "lived_s", (state->now_ns - agent->since_ns) / NSEC_PER_SEC);
	if (law->kind == INCIDENT_ORPHAN)
		incident_add_number(incident, "orphan_s", (state->now_ns - agent->orphan_ns) / NSEC_PER_SEC);
	if (agent->parent_pid)
		incident_add_number(incident, "parent_pid", (uint64_t)agent->parent_pid);
	idle_evidence(state, agent, incident);
	return incident;
}

/* Whoever debugs it has it stopped: it looks idle, or hung, and is neither to be ended nor without need. */
static void spare_traced(struct state *state, struct agent *agent, const struct law *law, struct actions *actions)
{
	struct incident *incident;

	if (agent->laws_spared & bit_of(law) || agent->tracer_pid < 0)
		return;
	agent->laws_spared |= bit_of(law);
	incident = record_end(state, agent, law, (struct record_words){law->rule, "stop", "refused"}, actions);
	if (incident)
		incident_add_number(incident, "traced_by_pid", (uint64_t)agent->tracer_pid);
}

static void end_by_law(struct state *state, struct agent *agent, const struct law *law, struct actions *actions)
{
	struct record_words words = {law->rule, "stop", "done"};

	if (agent->laws_done & bit_of(law))
		return;
	if (agent->is_observed)
		words = (struct record_words){law->rule, "would-stop", "observed"};
	else if (agent->policy->protect)
		words.result = "refused";
	else if (agent->tracer_pid) {
		spare_traced(state, agent, law, actions);
		return;
	} else if (!cull_may_end(state, agent, actions))
		return;
	agent->laws_done |= bit_of(law);
	record_end(state, agent, law, words, actions);
	if (agent->is_observed || agent->policy->protect)
		return;
	agent->stop_rule = law->rule;
	agent->by_uid = INCIDENT_BY_GOVD;
	stop_agent(state, agent, actions);
}

static void tell(struct state *state, struct agent *agent, const struct law *law, struct actions *actions)
{
	record_end(state, agent, law, (struct record_words){law->rule, "alert", "done"}, actions);
}

static void tell_hung(struct state *state, struct agent *agent, const struct law *law, struct actions *actions)
{
	if (agent->policy->hung.action == POLICY_HUNG_STOP) {
		/* Whoever has leased it knows better, for as long as that lasts. */
		if (agent->lease_until_ns <= state->now_ns)
			end_by_law(state, agent, law, actions);
		return;
	}
	agent->laws_done |= bit_of(law);
	tell(state, agent, law, actions);
}

void lifecycle_forget(struct agent *agent, enum incident_kind kind)
{
	for (size_t i = 0; i < ELEMENTSOF(laws); i++)
		if (laws[i].kind == kind)
			agent->laws_done &= ~bit_of(&laws[i]);
}

/* Of the same policy and key, those that are no younger: who comes later decides about this one. */
static struct agent *oldest_of_key(const struct state *state, const struct agent *newest, size_t *ret_n)
{
	struct agent *oldest = NULL;
	size_t n = 0;

	for (struct agent *agent = state_first_of_key(state, newest); agent; agent = agent->next_of_key) {
		if (agent_is_ending(agent) || !key_is_same(agent, newest) || agent_is_older(newest, agent))
			continue;
		n++;
		if (agent != newest && !(agent->laws_done & bit_of(&laws[LAW_DUPLICATE])) &&
		    (!oldest || agent_is_older(agent, oldest)))
			oldest = agent;
	}
	*ret_n = n;
	return oldest;
}

static void end_duplicates(struct state *state, struct agent *agent, const struct law *law, struct actions *actions)
{
	struct agent *oldest;
	size_t n;

	agent->probation_ns = 0;
	while ((oldest = oldest_of_key(state, agent, &n)) && agent->policy->lifecycle.per_key &&
	       n > agent->policy->lifecycle.per_key) {
		unsigned done = oldest->laws_done;

		end_by_law(state, oldest, law, actions);
		if (oldest->laws_done != done)
			continue;
		if (oldest->tracer_pid)
			agent->probation_ns = state->now_ns + SPARE_NS;
		return;
	}
}

static bool is_under_laws(const struct state *state, const struct agent *agent)
{
	return !agent_is_ending(agent) && (agent->is_placed || agent->is_observed) && !agent->is_releasing &&
	       !cull_is_suspended(state, agent->policy);
}

uint64_t lifecycle_due(const struct state *state, const struct agent *agent)
{
	uint64_t due_ns = NEVER;

	if (!is_under_laws(state, agent))
		return NEVER;
	for (size_t i = 0; i < ELEMENTSOF(laws); i++)
		due_ns = MIN2(due_ns, law_due(&laws[i], agent));
	return due_ns;
}

void lifecycle_tick(struct state *state, struct agent *agent, uint64_t law_ns, struct actions *actions)
{
	for (size_t i = 0; i < ELEMENTSOF(laws) && !agent_is_ending(agent); i++)
		if (law_due(&laws[i], agent) <= law_ns)
			laws[i].act(state, agent, &laws[i], actions);
}

void lifecycle_judged(struct state *state, struct agent *agent, struct actions *actions)
{
	for (size_t i = LAW_IDLE; i <= LAW_HUNG && is_under_laws(state, agent); i++)
		if (law_due(&laws[i], agent) <= state->now_ns)
			laws[i].act(state, agent, &laws[i], actions);
}

/* ---- occasions --------------------------------------------------------------------------------------------------- */

static void rearm(struct state *state, const struct agent *agent, struct actions *actions)
{
	uint64_t due_ns = lifecycle_due(state, agent);

	if (due_ns != NEVER)
		set_timer(state, due_ns, actions);
}

/* For how long one must have run to take another's place. */
static uint64_t probation_of(const struct agent *agent)
{
	uint64_t min_uptime_ns = agent->policy->restart.min_uptime_ns;

	return min_uptime_ns ? min_uptime_ns : PROBATION_NS;
}

static void check_one(struct state *state, struct agent *agent, struct actions *actions)
{
	const struct policy_lifecycle *lifecycle = &agent->policy->lifecycle;
	size_t n;

	oldest_of_key(state, agent, &n);
	if (n <= lifecycle->per_key)
		return;
	switch (lifecycle->on_duplicate) {
	case POLICY_DUPLICATE_ALERT:
		tell(state, agent, &laws[LAW_DUPLICATE], actions);
		break;
	case POLICY_DUPLICATE_STOP_NEW:
		end_by_law(state, agent, &laws[LAW_DUPLICATE], actions);
		break;
	case POLICY_DUPLICATE_STOP_OLD:
		/* Not before the new one has shown that it lives: else nobody might be left. */
		agent->probation_ns = state->now_ns + probation_of(agent);
		break;
	}
}

/* Itself and, as an earlier govd's agents are found in any order, those that are younger. */
static void check_key(struct state *state, struct agent *agent, struct actions *actions)
{
	if (!agent->policy->lifecycle.per_key)
		return;
	for (struct agent *other = state_first_of_key(state, agent); other; other = other->next_of_key)
		if (!agent_is_ending(other) && key_is_same(other, agent) &&
		    (other == agent || agent_is_older(agent, other)))
			check_one(state, other, actions);
}

static void check_count(struct state *state, struct agent *agent, struct actions *actions)
{
	const struct policy_lifecycle *lifecycle = &agent->policy->lifecycle;

	if (!lifecycle->max_agents || agent_is_ending(agent) ||
	    state_count_living(state, agent->policy->name) <= lifecycle->max_agents)
		return;
	if (lifecycle->on_duplicate == POLICY_DUPLICATE_STOP_NEW)
		end_by_law(state, agent, &laws[LAW_COUNT], actions);
	else
		tell(state, agent, &laws[LAW_COUNT], actions);
}

/* PID 1 is nobody's parent by choice, and doesn't end. */
static void watch_parent(struct agent *agent, struct actions *actions)
{
	struct action *action;

	if (!agent->policy->lifecycle.orphan_ns || agent->parent_pid <= 1 || agent->orphan_ns)
		return;
	action = actions_add(actions, ACTION_WATCH_PARENT, agent);
	if (action)
		action->process.pid = agent->parent_pid;
}

void lifecycle_begin(struct state *state, struct agent *agent, struct actions *actions)
{
	watch_parent(agent, actions);
	idle_change(state, agent, actions);
	check_key(state, agent, actions);
	check_count(state, agent, actions);
	rearm(state, agent, actions);
}

void lifecycle_change(struct state *state, struct agent *agent, struct actions *actions)
{
	agent->laws_done = 0;
	watch_parent(agent, actions);
	idle_change(state, agent, actions);
	rearm(state, agent, actions);
}

void lifecycle_thawed(struct state *state, struct agent *agent, struct actions *actions)
{
	/* Frozen it has shown nothing. */
	if (agent->probation_ns)
		agent->probation_ns = state->now_ns + probation_of(agent);
	rearm(state, agent, actions);
}

void step_traced(struct state *state, const struct event *event, struct actions *actions)
{
	struct agent *agent = state_get(state, event->traced.agent);

	if (!agent || agent->is_observed || agent->policy->protect || agent_is_ending(agent))
		return;
	agent->tracer_pid = event->traced.tracer_pid;
	agent->traced_ns = state->now_ns;
	if (!agent->tracer_pid) {
		agent->laws_spared = 0;
		return;
	}
	for (size_t i = 0; i < ELEMENTSOF(laws); i++)
		if (laws[i].act == end_by_law && law_comes(&laws[i], agent) <= state->now_ns)
			spare_traced(state, agent, &laws[i], actions);
}

void step_orphaned(struct state *state, const struct event *event, struct actions *actions)
{
	struct agent *agent = state_get(state, event->orphaned.agent);

	if (!agent || agent->orphan_ns || !agent->has_root)
		return;
	agent->orphan_ns = state->now_ns;
	rearm(state, agent, actions);
}
