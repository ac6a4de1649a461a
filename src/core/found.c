/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/state.h"

#include "base/text.h"
#include "core/placement.h"

/* Agents of an earlier govd. */

/* The policy of an agent that an earlier govd left behind and that no file tells of any more: no limits are touched,
 * and it stays where it is. */
static struct policy *policy_placeholder(const char *name, enum policy_placement placement)
{
	struct policy *policy = calloc(1, sizeof(*policy));

	if (!policy)
		return NULL;
	policy->references = 1;
	text_copy(policy->name, sizeof(policy->name), name);
	policy->placement = placement;
	policy->limits = (struct policy_limits){
		.memory_high_bytes = UNIT_INFINITY,
		.memory_max_bytes = UNIT_INFINITY,
		.swap_max_bytes = UNIT_INFINITY,
		.tasks_max = UNIT_INFINITY,
	};
	policy->tools = (struct policy_tools){UNIT_INFINITY, UNIT_INFINITY};
	policy->sockets.max = UNIT_INFINITY;
	policy->stop_signal = 15;		   /* SIGTERM, signal(7) */
	policy->stop_grace_ns = 10 * NSEC_PER_SEC; /* as the default of `stop.grace` */
	return policy;
}

void step_found(struct state *state, const struct event *event, struct actions *actions)
{
	_cleanup_(policy_unrefp) struct policy *policy = policy_ref(policy_set_find(state->set, event->found.policy));
	struct agent *agent, template = *event->found.agent;
	const struct agent *other = state_by_root(state, template.root_pid, template.root_start_ticks);
	bool is_orphan = !policy, is_delayed;

	if (template.placement != POLICY_PLACEMENT_NESTED)
		template.placement = POLICY_PLACEMENT_SCOPE;
	if (is_orphan)
		policy = policy_placeholder(event->found.policy, template.placement);
	if (!policy)
		return;
	template.policy = NULL;
	template.mark = 0;
	template.parent = 0;
	template.root_ppid = 0;
	template.request = 0;
	template.n_hold_tokens = 0;
	template.is_placed = true;
	template.is_placing = template.is_releasing = false;
	template.is_observed = false;
	if (!template.run_ns)
		template.run_ns = template.since_ns;
	template.restart = NULL;
	template.is_orphaned_policy = is_orphan;
	/* A root that became another agent is named by both groups: it is the younger agent's. */
	template.has_root = event->found.root_lives && !(other && other->since_ns > template.since_ns);
	template.owner = placement_owner_of_origin(str_empty(template.origin) ? "" : template.origin,
						   str_empty(template.cgroup) ? "" : template.cgroup);
	template.state = event->found.is_frozen ? AGENT_FROZEN : AGENT_ACTIVE;
	template.how = "found";
	/* The earlier govd may have ended between the move and the sweep: the census, after all others are found, does
	 * it. */
	template.wants_sweep = template.has_root && event->found.is_populated;
	agent = state_add_agent(state, &template, policy);
	if (!agent) {
		tell_full(state, actions);
		return;
	}
	is_delayed = backoff_found(state, agent, event->found.restart_id);
	if (agent->has_root)
		mark_root(state, agent, actions);
	if (!event->found.is_populated)
		end_agent(state, agent, actions);
	else if (mode_changed(state, agent))
		release_by_mode(agent, actions);
	else if (!is_orphan) {
		actions_add(actions, ACTION_LIMIT, agent);
		actions_add(actions, ACTION_PACE, agent);
		ladder_begin(agent, actions);
		lifecycle_begin(state, agent, actions);
	}
	if (!event->found.is_populated || !event->found.is_frozen_briefly)
		return;
	if (is_delayed)
		set_timer(state, agent->thaw_ns, actions);
	else
		actions_add(actions, ACTION_THAW, agent);
}
