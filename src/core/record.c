/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/text.h"
#include "core/placement.h"
#include "core/state.h"

struct incident *record_agent(struct actions *actions, enum incident_kind kind, const struct agent *agent,
			      struct record_words words)
{
	struct action *action = actions_add(actions, ACTION_RECORD, agent);
	struct incident *incident;

	if (!action)
		return NULL;
	incident = &action->incident;
	incident->kind = kind;
	incident->rule = words.rule;
	incident->action = words.action;
	incident->result = words.result;
	incident->by_uid = INCIDENT_BY_GOVD;
	if (!agent)
		return incident;
	text_copy(incident->agent, sizeof(incident->agent), agent->id);
	text_copy(incident->policy, sizeof(incident->policy), agent->policy->name);
	text_copy(incident->key, sizeof(incident->key), agent->key);
	incident->by_uid = agent->by_uid;
	incident_add_number(incident, "pid", (uint64_t)agent->root_pid);
	if (!str_empty(agent->exe))
		incident_add_text(incident, "exe", agent->exe);
	if (!str_empty(agent->script))
		incident_add_text(incident, "script", agent->script);
	return incident;
}

void record_observed(const struct agent *agent, struct actions *actions)
{
	bool is_left = agent->placement == POLICY_PLACEMENT_NONE;
	struct incident *incident =
		record_agent(actions, INCIDENT_PLACED, agent,
			     (struct record_words){is_left ? "placement" : "mode", "would-place", "observed"});

	if (incident && is_left)
		incident_add_text(incident, "owner", owner_name(agent->owner));
}
