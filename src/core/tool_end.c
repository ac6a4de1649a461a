/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/state.h"
#include "core/tool.h"

/* How tools are ended: by their runtime, and for memory. */

#define KILL_TRIES_WAITED 2	     /* as long a killed tool is waited for before another is chosen */
#define FROZEN_AGAIN_NS NSEC_PER_SEC /* a frozen tool can't act on a signal: it is looked at again */

static void act(const struct agent *agent, const struct tool *tool, enum action_kind kind, struct actions *actions)
{
	struct action *action = actions_add(actions, kind, agent);

	if (!action)
		return;
	action->tool.id = tool->id;
	action->tool.signal = agent->policy->stop_signal;
}

void tool_kill(struct state *state, const struct agent *agent, struct tool *tool, struct actions *actions)
{
	tool->deadline_ns = state->now_ns + retry_ns(tool->tries);
	tool->tries++;
	tool->state = TOOL_STOPPING;
	set_timer(state, tool->deadline_ns, actions);
	act(agent, tool, ACTION_TOOL_KILL, actions);
}

static void tool_due(struct state *state, const struct agent *agent, struct tool *tool, struct actions *actions)
{
	if (tool->state == TOOL_STOPPING) {
		tool_kill(state, agent, tool, actions);
		return;
	}
	if (agent->state == AGENT_FROZEN) {
		tool->deadline_ns = state->now_ns + FROZEN_AGAIN_NS;
		return;
	}
	tool->state = TOOL_STOPPING;
	tool->rule = "tools.max_runtime";
	tool->ending = INCIDENT_EXPIRED;
	tool->deadline_ns = state->now_ns + agent->policy->stop_grace_ns;
	act(agent, tool, ACTION_TOOL_SIGNAL, actions);
}

uint64_t tools_tick(struct state *state, struct agent *agent, struct actions *actions)
{
	uint64_t next_ns = UINT64_MAX;

	/* With the agent its tools end, too. */
	if (!agent->tools || agent_is_ending(agent))
		return next_ns;
	for (size_t i = 0; i < agent->tools->n; i++) {
		struct tool *tool = &agent->tools->items[i];

		if (!tool->deadline_ns || tool->state == TOOL_GONE)
			continue;
		if (tool->deadline_ns <= state->now_ns)
			tool_due(state, agent, tool, actions);
		next_ns = MIN2(next_ns, tool->deadline_ns);
	}
	return next_ns;
}

/* ---- the one that has grown most ---- */

static bool may_end(const struct tool *tool)
{
	return tool->state == TOOL_ACTIVE || (tool->state == TOOL_STOPPING && !tool->tries);
}

bool tool_end_grown(struct agent *agent, const char *rule, struct actions *actions)
{
	bool has_any = false;

	if (!agent->tools || agent->policy->protect || agent->is_observed || agent->is_releasing ||
	    agent_is_ending(agent))
		return false;
	for (size_t i = 0; i < agent->tools->n; i++) {
		const struct tool *tool = &agent->tools->items[i];

		/* Its memory is on its way back. */
		if (tool->state == TOOL_GONE ||
		    (tool->state == TOOL_STOPPING && tool->tries && tool->tries <= KILL_TRIES_WAITED))
			return true;
		has_any |= may_end(tool);
	}
	if (!has_any)
		return false;
	agent->tools->grown_rule = rule;
	return actions_add(actions, ACTION_TOOL_WEIGH, agent);
}

void step_tool_sample(struct state *state, const struct event *event, _unused_ struct actions *actions)
{
	const struct agent *agent = state_get(state, event->tool.agent);
	struct tool *tool = agent ? tool_find(agent, &event->tool.id) : NULL;

	if (tool)
		tool->memory_bytes = event->tool.memory_bytes;
}

/* A group's memory begins at nothing: what it holds is what it has grown by. */
void step_tool_weighed(struct state *state, const struct event *event, struct actions *actions)
{
	struct agent *agent = state_get(state, event->tool.agent);
	struct tool *largest = NULL;

	if (!agent || !agent->tools || !agent->tools->grown_rule)
		return;
	for (size_t i = 0; i < agent->tools->n; i++) {
		struct tool *tool = &agent->tools->items[i];

		if (may_end(tool) && tool->memory_bytes != UINT64_MAX &&
		    (!largest || tool->memory_bytes > largest->memory_bytes))
			largest = tool;
	}
	if (largest) {
		largest->rule = agent->tools->grown_rule;
		largest->ending = INCIDENT_PRESSURE;
		tool_kill(state, agent, largest, actions);
	}
	agent->tools->grown_rule = NULL;
}
