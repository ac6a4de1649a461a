/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/fanout.h"

#include "core/state.h"
#include "gov/fanout.h"

/* Agents that begin processes without end: they are told of. What limits them is tasks.max. */

bool fanout_rule(const struct policy *policy, uint64_t *ret_length_ns, uint64_t *ret_limit)
{
	const struct policy_rate *spawn = &policy->spawn;
	uint64_t length_ns = MAX2((uint64_t)GOV_FANOUT_WINDOW_NS, spawn->per_ns);

	if (!spawn->count)
		return false;
	*ret_length_ns = length_ns;
	/* Nothing overflows: at most 1000000 in a time, and a window is a day or 5 s. */
	*ret_limit = MAX2(spawn->count * (length_ns / NSEC_PER_MSEC) / (spawn->per_ns / NSEC_PER_MSEC), UINT64_C(1));
	return true;
}

void step_fanout(struct state *state, const struct event *event, struct actions *actions)
{
	struct agent *agent = event->fanout.owner ? idmap_get(&state->by_cgroup, event->fanout.owner)
						  : state_by_mark(state, event->fanout.mark);
	const struct policy_rate *spawn;
	struct incident *incident;

	if (!agent || agent->state == AGENT_GONE)
		return;
	spawn = &agent->policy->spawn;
	/* The policy is another since. */
	if (!spawn->count)
		return;
	if (!told_may(&agent->fanouts_told, TOLD_EVERY_NS, state->now_ns))
		return;
	incident = record_agent(actions, INCIDENT_FAN_OUT, agent,
				(struct record_words){"tasks.spawn_rate", "alert", "done"});
	if (!incident)
		return;
	incident->by_uid = INCIDENT_BY_GOVD;
	incident_add_number(incident, "spawns", event->fanout.births);
	incident_add_milli(incident, "window_s", event->fanout.window_ns / NSEC_PER_MSEC);
	incident_add_milli(incident, "max_per_s", spawn->count * 1000 * NSEC_PER_SEC / spawn->per_ns);
	incident_add_number(incident, "by_pid", (uint64_t)event->fanout.pid);
	incident_add_text(incident, "by_name", event->fanout.comm);
	told_add(&agent->fanouts_told, incident);
}
