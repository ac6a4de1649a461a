/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/state.h"

#include "base/text.h"
#include "core/placement.h"
#include "core/tool.h"

/* An agent begins: what is known of it, and what is done first. */

static const char *const how_names[] = {
	[BIRTH_EXEC] = "exec", [BIRTH_HOLD] = "hold",	[BIRTH_SCAN] = "scan",
	[BIRTH_RUN] = "run",   [BIRTH_ADOPT] = "adopt", [BIRTH_LINEAGE] = "lineage",
};

void tell_full(struct state *state, struct actions *actions)
{
	struct incident *incident;

	if (!may_tell(&state->full_told_ns, TOLD_EVERY_NS, state->now_ns))
		return;
	incident = record_agent(actions, INCIDENT_ALERT, NULL, (struct record_words){"agents", "place", "refused"});
	if (incident)
		incident_add_number(incident, "agents", state->by_handle.used);
}

static void place_agent(struct state *state, struct agent *agent, struct actions *actions)
{
	struct action *action = actions_add(actions, ACTION_PLACE, agent);

	if (!action)
		return;
	action->process.pid = agent->root_pid;
	action->process.start_ticks = agent->root_start_ticks;
	state_set_placing(state, agent, true);
}

void mark_root(struct state *state, struct agent *agent, struct actions *actions)
{
	struct action *action;

	if (!agent->mark && state_set_mark(state, agent, MARK_OF_CORE | agent->handle) < 0)
		return;
	action = actions_add(actions, ACTION_MARK, agent);
	if (!action)
		return;
	action->process.pid = agent->root_pid;
	action->process.start_ticks = agent->root_start_ticks;
	action->process.mark = agent->mark;
	action->process.is_quiet = agent->is_observed;
	action->process.has_tools = agent->is_placed && agent_has_tools(agent);
}

/* It is another agent's now, or has ended unseen and another process has its pid. An observed agent is nothing but its
 * root. */
static void lose_root(struct state *state, struct agent *agent, struct actions *actions)
{
	backoff_detach(state, agent);
	state_clear_root(state, agent);
	if (agent->is_observed)
		end_agent(state, agent, actions);
}

/* Whose group it begins in; of one that was outside and is being placed, in a moment that one's. */
static struct agent *find_parent(const struct state *state, const struct proc *proc, struct agent *previous)
{
	struct agent *parent = idmap_get(&state->by_cgroup, proc->cgroup_id);

	return !parent && previous && previous->is_placing ? previous : parent;
}

/* Nothing is done to it. */
static void begin_watched(struct state *state, struct agent *agent, struct actions *actions)
{
	agent->state = AGENT_ACTIVE;
	agent->request = 0;
	mark_root(state, agent, actions);
	if (agent->mark)
		actions_add(actions, ACTION_PACE, agent);
	record_observed(agent, actions);
	lifecycle_begin(state, agent, actions);
}

static void begin_governed(struct state *state, struct agent *agent, const struct birth *birth, struct actions *actions)
{
	/* An exec makes a mark of its own. */
	if (birth->how != BIRTH_HOLD && birth->how != BIRTH_EXEC)
		mark_root(state, agent, actions);
	if (birth->hold_token)
		agent->hold_tokens[agent->n_hold_tokens++] = birth->hold_token;
	place_agent(state, agent, actions);
}

struct agent *birth_agent(struct state *state, const struct birth *birth, struct actions *actions)
{
	const struct proc *proc = birth->proc;
	/* Itself, or a root that ended unseen and whose pid it has now. */
	struct agent *previous = idmap_get(&state->by_root, (uint64_t)proc->pid);
	const struct agent *parent = find_parent(state, proc, previous);
	char key[POLICY_KEY_MAX];
	struct agent *agent,
		template = {
			.state = birth->hold_token ? AGENT_HELD : AGENT_STARTING,
			.is_explicit = birth->how == BIRTH_RUN || birth->how == BIRTH_ADOPT,
			.has_root = true,
			.wants_sweep = birth->how == BIRTH_SCAN || birth->how == BIRTH_ADOPT,
			.root_pid = proc->pid,
			.root_start_ticks = proc->start_ticks,
			.root_ppid = proc->ppid,
			.uid = proc->uid,
			.parent_pid = proc->ppid,
			.mark = birth->mark,
			.held_mark = birth->how == BIRTH_HOLD && proc->mark < MARK_OF_CORE ? proc->mark : 0,
			.parent = parent ? parent->handle : 0,
			.request = birth->request,
			.by_uid = birth->by,
			.how = how_names[birth->how],
			.key = birth->key ? birth->key : key,
			.exe = proc->exe,
			.script = proc->script,
			/* What is in an agent's group is there by our doing. */
			.owner = parent ? OWNER_NONE : placement_owner(str_empty(proc->cgroup) ? "" : proc->cgroup),
		};

	template.placement = placement_choose(birth->policy, template.owner, template.is_explicit);
	template.is_observed = is_only_observed(state, birth->policy, template.placement);
	if (!birth->key)
		match_agent_key(birth->policy, proc, key, sizeof(key));
	if (template.is_observed || template.placement == POLICY_PLACEMENT_NESTED)
		template.cgroup = proc->cgroup;
	agent = state_add_agent(state, &template, birth->policy);
	if (!agent) {
		tell_full(state, actions);
		return NULL;
	}
	if (previous)
		lose_root(state, previous, actions);
	backoff_begin(state, agent, proc, actions);
	if (agent->is_observed)
		begin_watched(state, agent, actions);
	else
		begin_governed(state, agent, birth, actions);
	return agent;
}

void birth_anew(struct state *state, struct agent *agent, pid_t pid, uint64_t start_ticks, struct actions *actions)
{
	struct agent *previous = idmap_get(&state->by_root, (uint64_t)pid);

	if (previous && previous != agent)
		lose_root(state, previous, actions);
	state_set_root(state, agent, pid, start_ticks);
	agent->root_ppid = 0;
	agent->how = how_names[BIRTH_LINEAGE];
	mark_root(state, agent, actions);
	place_agent(state, agent, actions);
}
