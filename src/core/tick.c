/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/state.h"
#include "core/tool.h"

/* Time: one timer for all that is due some day. */

#define LOOKS_MAX 32 /* for leaks, of one step: each is an action and an event */

void set_timer(struct state *state, uint64_t at_ns, struct actions *actions)
{
	struct action *action;

	if (at_ns >= state->timer_ns)
		return;
	action = actions_add(actions, ACTION_TIMER, NULL);
	if (!action)
		return;
	action->time_ns = at_ns;
	state->timer_ns = at_ns;
}

void set_deadline(struct state *state, struct agent *agent, uint64_t deadline_ns, struct actions *actions)
{
	agent->deadline_ns = deadline_ns;
	set_timer(state, deadline_ns, actions);
}

static void agent_deadline(struct state *state, struct agent *agent, struct actions *actions)
{
	agent->deadline_ns = 0;
	if (agent->state == AGENT_GONE) {
		actions_add(actions, ACTION_REMOVE, agent);
		return;
	}
	/* What is being let go isn't ended any more: its policy only observes by now. */
	if (agent->state == AGENT_STOPPING && !agent->is_releasing)
		kill_agent(state, agent, actions);
}

/* Laws apart. */
static uint64_t agent_next_ns(const struct agent *agent)
{
	uint64_t next_ns = UINT64_MAX;

	if (agent->deadline_ns)
		next_ns = MIN2(next_ns, agent->deadline_ns);
	if (agent->connect_look_ns)
		next_ns = MIN2(next_ns, agent->connect_look_ns);
	if (agent->refuse_ns)
		next_ns = MIN2(next_ns, agent->refuse_ns);
	if (agent->thaw_ns)
		next_ns = MIN2(next_ns, agent->thaw_ns);
	if (agent->leak && agent->leak->look_ns)
		next_ns = MIN2(next_ns, agent->leak->look_ns);
	if (ladder_of(agent)->look_ns)
		next_ns = MIN2(next_ns, ladder_of(agent)->look_ns);
	return MIN2(next_ns, idle_due(agent));
}

void step_tick(struct state *state, const struct event *event, struct actions *actions)
{
	uint64_t law_ns = event->tick.looked_ns ? event->tick.looked_ns : state->now_ns;
	uint64_t next_ns = UINT64_MAX;
	struct action *action;
	struct agent *agent;
	size_t cursor = 0, n_looks = 0;
	bool wants_activity = false;

	state->slice_bytes = event->tick.slice_bytes;
	state->timer_ns = 0; /* no timer while each is looked at: one is set at the end */
	while ((agent = idmap_next(&state->by_handle, &cursor))) {
		if (agent->deadline_ns && agent->deadline_ns <= state->now_ns)
			agent_deadline(state, agent, actions);
		if (agent->connect_look_ns && agent->connect_look_ns <= state->now_ns)
			connect_look(agent, actions);
		/* Those that are too many for one step are due still: the timer goes off at once. */
		if (agent->leak && agent->leak->look_ns && agent->leak->look_ns <= state->now_ns && n_looks < LOOKS_MAX)
			n_looks += leak_look(state, agent, actions);
		if (ladder_of(agent)->look_ns && ladder_of(agent)->look_ns <= state->now_ns)
			ladder_look(agent, actions);
		if ((agent->thaw_ns && agent->thaw_ns <= state->now_ns) ||
		    (agent->refuse_ns && agent->refuse_ns <= state->now_ns))
			backoff_due(state, agent, actions);
		if (state->laws_ns <= law_ns && lifecycle_due(state, agent) <= law_ns)
			lifecycle_tick(state, agent, law_ns, actions);
		next_ns = MIN2(next_ns, tools_tick(state, agent, actions));
		if (idle_due(agent) <= state->now_ns) {
			idle_look(state, agent);
			wants_activity = true;
		}
	}
	if (wants_activity)
		actions_add(actions, ACTION_ACTIVITY, NULL);
	/* What was done to one may have set the time of another. */
	cursor = 0;
	state->laws_ns = UINT64_MAX;
	while ((agent = idmap_next(&state->by_handle, &cursor))) {
		next_ns = MIN2(next_ns, agent_next_ns(agent));
		state->laws_ns = MIN2(state->laws_ns, lifecycle_due(state, agent));
	}
	next_ns = MIN2(next_ns, state->laws_ns);
	state->timer_ns = next_ns;
	action = actions_add(actions, ACTION_TIMER, NULL);
	if (action)
		action->time_ns = next_ns;
}
