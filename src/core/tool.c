/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/tool.h"

#include "base/text.h"
#include "core/state.h"

/* The table of an agent's tools: how they come into it, and how they leave. */

#define LOOKS_MAX 10 /* in a row */

bool agent_has_tools(const struct agent *agent)
{
	return policy_has_tools(agent->policy) && !agent->is_observed && agent->placement != POLICY_PLACEMENT_NESTED;
}

struct tool *tool_find(const struct agent *agent, const struct tool_id *id)
{
	for (size_t i = 0; agent->tools && i < agent->tools->n; i++)
		if (agent->tools->items[i].id.pid == id->pid &&
		    agent->tools->items[i].id.start_ticks == id->start_ticks)
			return &agent->tools->items[i];
	return NULL;
}

struct tool *tool_by_number(const struct agent *agent, uint64_t number)
{
	for (size_t i = 0; number && agent->tools && i < agent->tools->n; i++)
		if (agent->tools->items[i].number == number)
			return &agent->tools->items[i];
	return NULL;
}

struct tool *tool_of_group(const struct agent *agent, uint64_t cgroup_id)
{
	for (size_t i = 0; cgroup_id && agent->tools && i < agent->tools->n; i++)
		if (agent->tools->items[i].cgroup_id == cgroup_id)
			return &agent->tools->items[i];
	return NULL;
}

void tools_free(struct tools *tools)
{
	if (!tools)
		return;
	free(tools->items);
	free(tools);
}

/* Room for one more. */
static bool tools_grow(struct tools *tools)
{
	size_t size = tools->size ? 2 * tools->size : 2;
	struct tool *items;

	if (tools->n < tools->size)
		return true;
	items = reallocarray(tools->items, size, sizeof(*items));
	if (!items)
		return false;
	tools->items = items;
	tools->size = size;
	return true;
}

static struct tool *tool_add(const struct state *state, struct agent *agent, const struct tool_id *id)
{
	struct tool *tool;

	if (!agent->tools)
		agent->tools = calloc(1, sizeof(*agent->tools));
	if (!agent->tools)
		return NULL;
	if (agent->tools->n == TOOLS_MAX || !tools_grow(agent->tools)) {
		agent->tools->missed++;
		return NULL;
	}
	tool = &agent->tools->items[agent->tools->n++];
	*tool = (struct tool){.id = *id, .since_ns = state->now_ns, .memory_bytes = UINT64_MAX};
	return tool;
}

static void tool_drop(struct agent *agent, struct tool *tool)
{
	*tool = agent->tools->items[--agent->tools->n];
}

static void set_runtime(struct state *state, const struct agent *agent, struct tool *tool, struct actions *actions)
{
	uint64_t runtime_ns = agent->policy->tools.max_runtime_ns;

	if (tool->state == TOOL_STOPPING || tool->state == TOOL_GONE)
		return;
	tool->deadline_ns = runtime_ns == UNIT_INFINITY || agent->policy->protect ? 0 : tool->since_ns + runtime_ns;
	if (tool->deadline_ns)
		set_timer(state, tool->deadline_ns, actions);
}

void tools_set_deadlines(struct state *state, struct agent *agent, struct actions *actions)
{
	for (size_t i = 0; agent->tools && i < agent->tools->n; i++)
		set_runtime(state, agent, &agent->tools->items[i], actions);
}

void tools_look(const struct agent *agent, struct actions *actions)
{
	if (agent_has_tools(agent) && agent->is_placed && agent->has_root && agent->state != AGENT_GONE &&
	    !agent->is_releasing)
		actions_add(actions, ACTION_TOOL_LOOK, agent);
}

void tools_begin(struct state *state, struct agent *agent, struct actions *actions)
{
	if (!agent->has_root || !agent_has_tools(agent))
		return;
	/* First the mark: who is born while the others are looked at is told of. */
	mark_root(state, agent, actions);
	tools_look(agent, actions);
}

/* ---- births ---- */

static void place_member(const struct agent *agent, const struct tool *tool, const struct event *event,
			 struct actions *actions)
{
	struct action *action = actions_add(actions, ACTION_TOOL_PLACE, agent);

	if (!action)
		return;
	action->tool.id = tool->id;
	action->tool.since_ns = tool->since_ns;
	action->tool.pid = event->fork.pid;
	action->tool.start_ticks = event->fork.start_ticks;
}

bool tool_forked(struct state *state, const struct event *event, struct actions *actions)
{
	struct agent *agent = event->fork.agent ? state_get(state, event->fork.agent)
						: idmap_get(&state->by_cgroup, event->fork.cgroup_id);
	const struct agent *lineage = state_by_mark(state, event->fork.mark);
	struct tool_id id = event->fork.of;
	struct tool *tool;

	/* It is to be another agent's. */
	if (!agent || (lineage && lineage != agent))
		return false;
	if (!agent->is_placed || agent->state == AGENT_GONE || agent->is_releasing)
		return true;
	if (!agent_has_tools(agent)) {
		/* Not any more: the kernel needn't tell. */
		if (agent->has_root && event->fork.ppid == agent->root_pid)
			mark_root(state, agent, actions);
		return true;
	}
	if (!id.pid)
		id = (struct tool_id){event->fork.pid, event->fork.start_ticks};
	tool = tool_by_number(agent, event->fork.tool);
	if (!tool)
		tool = tool_find(agent, &id);
	if (!tool)
		tool = tool_add(state, agent, &id);
	if (!tool)
		return true;
	if (event->fork.tool)
		tool->number = event->fork.tool;
	place_member(agent, tool, event, actions);
	return true;
}

void step_tool_looked(struct state *state, const struct event *event, struct actions *actions)
{
	struct agent *agent = state_get(state, event->tool.agent);

	if (!agent || !agent->tools)
		return;
	/* Those that were moved may have forked between the look and the move. */
	if (event->tool.found && ++agent->tools->looks < LOOKS_MAX)
		tools_look(agent, actions);
	else
		agent->tools->looks = 0;
}

void step_tool_found(struct state *state, const struct event *event, struct actions *actions)
{
	struct agent *agent = state_get(state, event->tool.agent);
	struct tool *tool;

	if (!agent || tool_find(agent, &event->tool.id))
		return;
	tool = tool_add(state, agent, &event->tool.id);
	if (!tool)
		return;
	tool->state = TOOL_ACTIVE;
	tool->since_ns = MIN2(event->tool.since_ns, state->now_ns);
	tool->cgroup_id = event->tool.cgroup_id;
	tool->memory_id = event->tool.memory_id;
	set_runtime(state, agent, tool, actions);
}

/* ---- ends ---- */

void tool_exited(struct state *state, const struct event *event)
{
	struct agent *agent = idmap_get(&state->by_cgroup, event->exit.cgroup_id);
	const struct tool_id id = {event->exit.pid, event->exit.start_ticks};
	struct tool *tool = agent ? tool_find(agent, &id) : NULL;

	if (!tool)
		return;
	tool->exit_code = event->exit.exit_code;
	tool->has_exit_code = event->exit.has_code;
}

static void record_end(const struct state *state, const struct agent *agent, const struct tool *tool,
		       struct actions *actions)
{
	struct incident *incident;

	if (!tool->rule || tool->ending == INCIDENT_OOM)
		return;
	incident = record_agent(actions, tool->ending, agent,
				(struct record_words){tool->rule, tool->tries ? "kill-tool" : "stop-tool", "done"});
	if (!incident)
		return;
	incident->by_uid = INCIDENT_BY_GOVD;
	incident_add_number(incident, "tool_pid", (uint64_t)tool->id.pid);
	incident_add_text(incident, "tool", tool->name);
	incident_add_number(incident, "runtime_s", (state->now_ns - tool->since_ns) / NSEC_PER_SEC);
	if (tool->memory_bytes != UINT64_MAX)
		incident_add_number(incident, "tool_bytes", tool->memory_bytes);
	if (tool->has_exit_code)
		incident_add_exit(incident, tool->exit_code);
}

void step_tool_empty(struct state *state, const struct event *event, struct actions *actions)
{
	struct agent *agent = state_get(state, event->tool.agent);
	struct tool *tool = agent ? tool_find(agent, &event->tool.id) : NULL;
	struct action *action = tool ? actions_add(actions, ACTION_TOOL_REMOVE, agent) : NULL;

	if (!action)
		return;
	action->tool.id = tool->id;
	tool->state = TOOL_GONE;
}

static void result_place(struct state *state, struct agent *agent, struct tool *tool, const struct event *event,
			 struct actions *actions)
{
	if (tool->state != TOOL_PLACING)
		return;
	if (event->tool.error) {
		tool_drop(agent, tool);
		return;
	}
	tool->state = TOOL_ACTIVE;
	tool->cgroup_id = event->tool.cgroup_id;
	tool->memory_id = event->tool.memory_id;
	set_runtime(state, agent, tool, actions);
}

static void result_end(_unused_ struct state *state, _unused_ struct agent *agent, struct tool *tool,
		       const struct event *event, _unused_ struct actions *actions)
{
	if (!*event->tool.name)
		return;
	text_copy(tool->name, sizeof(tool->name), event->tool.name);
	tool->memory_bytes = event->tool.memory_bytes;
}

static void result_remove(struct state *state, struct agent *agent, struct tool *tool, const struct event *event,
			  struct actions *actions)
{
	if (event->tool.error && event->tool.error != ENOENT) {
		/* Not empty after all: its end is told again. */
		tool->state = tool->rule ? TOOL_STOPPING : TOOL_ACTIVE;
		return;
	}
	record_end(state, agent, tool, actions);
	tool_drop(agent, tool);
}

void step_tool_result(struct state *state, const struct event *event, struct actions *actions)
{
	struct agent *agent = state_get(state, event->tool.agent);
	struct tool *tool = agent ? tool_find(agent, &event->tool.id) : NULL;

	if (!tool)
		return;
	if (event->tool.action == ACTION_TOOL_PLACE)
		result_place(state, agent, tool, event, actions);
	else if (event->tool.action == ACTION_TOOL_REMOVE)
		result_remove(state, agent, tool, event, actions);
	else
		result_end(state, agent, tool, event, actions);
}
