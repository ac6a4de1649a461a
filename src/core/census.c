/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/state.h"
#include "core/tool.h"

/* Records were lost, or policies have changed: everything is looked at again. */

#define SWEEP_TRIES_MAX 10

void ask_census(struct state *state, const char *reason, struct actions *actions)
{
	bool scans = streq(reason, "policies"), may_wait = streq(reason, "left");
	struct action *action;

	if (state->census_asked && (state->census_scans || !scans) && (may_wait || !state->census_waits))
		return;
	action = actions_add(actions, ACTION_CENSUS, NULL);
	if (!action)
		return;
	action->reason = reason;
	state->census_waits = may_wait && (state->census_waits || !state->census_asked);
	state->census_asked = true;
	state->census_scans |= scans;
}

void step_lost(struct state *state, const struct event *event, struct actions *actions)
{
	/* A storm loses records many times: one incident a census, with their sums. */
	state->lost_execs += event->lost.execs;
	state->lost_forks += event->lost.forks;
	state->lost_exits += event->lost.exits;
	ask_census(state, "lost", actions);
}

static void record_lost(struct state *state, struct actions *actions)
{
	struct incident *incident;

	if (!state->lost_execs && !state->lost_forks && !state->lost_exits)
		return;
	incident = record_agent(actions, INCIDENT_LOST, NULL, (struct record_words){"ring", "census", "done"});
	if (!incident)
		return;
	incident->by_uid = INCIDENT_BY_KERNEL;
	incident_add_number(incident, "execs", state->lost_execs);
	incident_add_number(incident, "forks", state->lost_forks);
	incident_add_number(incident, "exits", state->lost_exits);
	state->lost_execs = state->lost_forks = state->lost_exits = 0;
}

/* Its root ended before it was placed, and no descendant was seen: never more than a name. Or its group is empty for
 * sure now. */
static struct agent *find_finished(const struct state *state)
{
	struct agent *agent;
	size_t cursor = 0;

	while ((agent = idmap_next(&state->by_handle, &cursor))) {
		if (!agent->is_placed && !agent->is_placing && !agent->is_observed && !agent->has_root)
			return agent;
		if (agent->is_empty && agent->state != AGENT_GONE)
			return agent;
	}
	return NULL;
}

/* One that was found again: what its govd hadn't moved yet. */
static void sweep_found(struct state *state, struct agent *agent, struct actions *actions)
{
	if (!agent->wants_sweep || !agent->is_placed)
		return;
	/* What is on its way to a group of its own isn't to be swept into that of the one that started it. */
	if (state->n_placing) {
		state->sweep_waits = true;
		return;
	}
	agent->wants_sweep = false;
	if (agent->has_root && !agent->is_releasing && agent->state != AGENT_GONE)
		actions_add(actions, ACTION_SWEEP, agent);
}

void sweep_waiting(struct state *state, struct actions *actions)
{
	if (!state->sweep_waits || state->n_placing)
		return;
	state->sweep_waits = false;
	ask_census(state, "lineage", actions);
}

void step_census_end(struct state *state, _unused_ const struct event *event, struct actions *actions)
{
	struct agent *agent;
	size_t cursor = 0;

	state->census_asked = state->census_scans = false;
	record_lost(state, actions);
	while ((agent = find_finished(state)))
		end_agent(state, agent, actions);
	while ((agent = idmap_next(&state->by_handle, &cursor))) {
		sweep_found(state, agent, actions);
		tools_look(agent, actions);
		stop_census(state, agent, actions);
	}
}

void step_swept(struct state *state, const struct event *event, struct actions *actions)
{
	struct agent *agent = state_get(state, event->swept.agent);

	/* Those that were moved may have forked between the look and the move: look until nobody is outside. */
	if (agent && event->swept.moved && ++agent->sweep_tries < SWEEP_TRIES_MAX)
		actions_add(actions, ACTION_SWEEP, agent);
}
