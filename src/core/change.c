/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/placement.h"
#include "core/state.h"
#include "core/tool.h"

/* What a new set of policies changes for the agents there are. */

static bool limits_equal(const struct policy_limits *a, const struct policy_limits *b)
{
	return a->memory_high_bytes == b->memory_high_bytes && a->memory_max_bytes == b->memory_max_bytes &&
	       a->swap_max_bytes == b->swap_max_bytes && a->on_oom == b->on_oom && a->cpu_weight == b->cpu_weight &&
	       a->cpu_max_pct == b->cpu_max_pct && a->tasks_max == b->tasks_max;
}

static bool tools_equal(const struct policy *a, const struct policy *b)
{
	return policy_has_tools(a) == policy_has_tools(b) && a->tools.memory_max_bytes == b->tools.memory_max_bytes;
}

static void agent_set_policy(struct state *state, struct agent *agent, struct actions *actions)
{
	struct policy *policy = policy_set_find(state->set, agent->policy->name);
	bool is_same, is_paced, was_limited, had_tools = policy_has_tools(agent->policy);

	if (!policy) {
		agent->is_orphaned_policy = true; /* what it was started under stays in force until it ends */
		return;
	}
	is_same = !agent->is_orphaned_policy && limits_equal(&policy->limits, &agent->policy->limits) &&
		  tools_equal(policy, agent->policy);
	is_paced = !agent->is_orphaned_policy && pacing_equal(policy, agent->policy);
	was_limited = ladder_is_limited(agent->policy);
	agent->is_orphaned_policy = false;
	policy_unref(agent->policy);
	agent->policy = policy_ref(policy);
	lifecycle_change(state, agent, actions);
	if ((agent->is_placed || agent->is_placing) && agent->state != AGENT_GONE && !is_same)
		actions_add(actions, ACTION_LIMIT, agent);
	if (agent->is_placed && !had_tools && policy_has_tools(policy))
		tools_begin(state, agent, actions);
	tools_set_deadlines(state, agent, actions);
	if (!was_limited)
		ladder_begin(agent, actions);
	if ((agent->is_placed || agent->is_observed) && agent->state != AGENT_GONE && !is_paced)
		actions_add(actions, ACTION_PACE, agent);
}

bool is_only_observed(const struct state *state, const struct policy *policy, enum policy_placement placement)
{
	return state->observe || policy->mode == POLICY_OBSERVE || placement == POLICY_PLACEMENT_NONE;
}

/* An agent that was only watched is to be governed from now on, or the other way round: it is let go, and the scan
 * finds it again. */
bool mode_changed(const struct state *state, const struct agent *agent)
{
	enum policy_placement placement = placement_choose(agent->policy, agent->owner, agent->is_explicit);
	bool is_observed = is_only_observed(state, agent->policy, placement);

	if (agent->state == AGENT_GONE)
		return false;
	return is_observed != agent->is_observed || (!is_observed && placement != agent->placement);
}

/* One that is let go for good already stays let go. */
void release_by_mode(struct agent *agent, struct actions *actions)
{
	if (agent->is_releasing)
		return;
	agent->stop_rule = "mode";
	agent->is_releasing = actions_add(actions, ACTION_RELEASE, agent);
}

/* Protection that came in between wins until the kill has been sent. */
static void cancel_stop(struct agent *agent, struct actions *actions)
{
	struct incident *incident;

	if (agent->state != AGENT_STOPPING || agent->stop_tries || !agent->policy->protect)
		return;
	incident =
		record_agent(actions, INCIDENT_PROTECTED, agent, (struct record_words){"protect", "stop", "refused"});
	if (incident)
		incident->by_uid = INCIDENT_BY_GOVD;
	agent->state = AGENT_ACTIVE;
	agent->deadline_ns = 0;
	agent->stop_rule = NULL;
}

/* Of those that have no group, nor will have one in a moment. */
static struct agent *find_mode_changed(const struct state *state)
{
	struct agent *agent;
	size_t cursor = 0;

	while ((agent = idmap_next(&state->by_handle, &cursor)))
		if (!agent->is_placed && !agent->is_placing && mode_changed(state, agent))
			return agent;
	return NULL;
}

void step_policies(struct state *state, const struct event *event, struct actions *actions)
{
	struct policy_set *old = state->set;
	struct agent *agent;
	size_t cursor = 0;

	state->set = policy_set_ref(event->policies.set);
	state->observe = event->policies.observe;
	policy_set_unref(old);
	while ((agent = idmap_next(&state->by_handle, &cursor))) {
		agent_set_policy(state, agent, actions);
		cancel_stop(agent, actions);
	}
	cursor = 0;
	while ((agent = idmap_next(&state->by_handle, &cursor)))
		if (agent->is_placed && !agent->is_placing && mode_changed(state, agent))
			release_by_mode(agent, actions);
	while ((agent = find_mode_changed(state))) {
		actions_add(actions, ACTION_FORGET, agent);
		state_end_agent(state, agent);
	}
	ask_census(state, "policies", actions);
}
