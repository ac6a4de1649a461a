/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/state.h"

#include "base/text.h"

/* What people ask for. Each command is answered by exactly one ACTION_REPLY, at once or with a result. */

struct action *reply(struct actions *actions, uint64_t request, enum reply_code code, const struct agent *agent)
{
	struct action *action = actions_add(actions, ACTION_REPLY, agent);

	if (!action)
		return NULL;
	action->reply.request = request;
	action->reply.code = code;
	if (agent)
		text_copy(action->reply.id, sizeof(action->reply.id), agent->id);
	return action;
}

static bool is_allowed(const struct policy *policy, const struct event *event)
{
	return event->command.uid == 0 || event->command.granted ||
	       policy_allows(policy, event->command.uid, event->command.gids, event->command.n_gids);
}

/* The policy asked for by name, or found by match. */
static enum reply_code choose_policy(const struct state *state, const struct event *event, struct policy **ret_policy)
{
	const struct proc *proc = &event->command.proc;
	struct policy *policy;

	if (match_is_protected(state->set, proc))
		return REPLY_PROTECTED;
	if (str_empty(event->command.policy)) {
		policy = match_find(state->set, proc);
		if (!policy)
			return REPLY_NO_MATCH;
	} else {
		policy = policy_set_find(state->set, event->command.policy);
		if (!policy)
			return REPLY_NO_SUCH_POLICY;
	}
	if (!is_allowed(policy, event))
		return REPLY_DENIED;
	*ret_policy = policy;
	return REPLY_OK;
}

static void record_refused(struct actions *actions, const struct event *event, const char *rule)
{
	struct incident *incident =
		record_agent(actions, INCIDENT_PROTECTED, NULL,
			     (struct record_words){rule, command_name(event->command.command), "refused"});

	if (!incident)
		return;
	incident->by_uid = event->command.uid;
	incident_add_number(incident, "pid", (uint64_t)event->command.proc.pid);
}

static void begin_agent(struct state *state, const struct event *event, struct policy *policy, struct actions *actions)
{
	struct birth birth = {
		.proc = &event->command.proc,
		.how = event->command.command == COMMAND_RUN ? BIRTH_RUN : BIRTH_ADOPT,
		.policy = policy,
		.key = str_empty(event->command.key) ? NULL : event->command.key,
		.request = event->command.request,
		.by = event->command.uid,
	};
	struct agent *agent;

	agent = birth_agent(state, &birth, actions);
	if (!agent)
		reply(actions, event->command.request, REPLY_FULL, NULL);
	else if (agent->is_observed)
		reply(actions, event->command.request, REPLY_OK, agent);
}

static void command_run(struct state *state, const struct event *event, struct actions *actions)
{
	char key[POLICY_KEY_MAX];
	enum reply_code code;
	struct policy *policy;
	struct agent *agent;

	code = choose_policy(state, event, &policy);
	if (code != REPLY_OK) {
		if (code == REPLY_PROTECTED)
			record_refused(actions, event, "protect");
		reply(actions, event->command.request, code, NULL);
		return;
	}
	if (str_empty(event->command.key))
		match_agent_key(policy, &event->command.proc, key, sizeof(key));
	else
		text_copy(key, sizeof(key), event->command.key);
	agent = event->command.reuse ? state_living_key(state, policy->name, key) : NULL;
	if (agent) {
		struct action *action;

		lease_touch(state, agent, actions);
		action = reply(actions, event->command.request, REPLY_OK, agent);
		if (action)
			action->reply.reused = true;
		return;
	}
	begin_agent(state, event, policy, actions);
}

static void command_adopt(struct state *state, const struct event *event, struct actions *actions)
{
	const struct proc *proc = &event->command.proc;
	struct policy *policy;
	enum reply_code code;

	code = choose_policy(state, event, &policy);
	if (code == REPLY_PROTECTED)
		record_refused(actions, event, "protect");
	if (code == REPLY_OK && (state_by_root(state, proc->pid, proc->start_ticks) ||
				 (proc->cgroup_id && idmap_get(&state->by_cgroup, proc->cgroup_id))))
		code = REPLY_ALREADY;
	if (code != REPLY_OK) {
		reply(actions, event->command.request, code, NULL);
		return;
	}
	begin_agent(state, event, policy, actions);
}

/* ---- commands for a living agent ---- */

static void command_touch(struct state *state, struct agent *agent, const struct event *event, struct actions *actions)
{
	if (event->command.command == COMMAND_LEASE)
		lease_set(state, agent, event->command.lease_ns, actions);
	else
		lease_touch(state, agent, actions);
	reply(actions, event->command.request, REPLY_OK, agent);
}

static void command_release(struct state *state, struct agent *agent, const struct event *event,
			    struct actions *actions)
{
	if (agent->is_observed) {
		actions_add(actions, ACTION_UNPACE, agent);
		record_agent(actions, INCIDENT_RELEASED, agent, (struct record_words){"release", "release", "done"});
		reply(actions, event->command.request, REPLY_OK, agent);
		actions_add(actions, ACTION_FORGET, agent);
		state_end_agent(state, agent);
		free_process(state, agent->root_pid, agent->root_start_ticks, actions);
		return;
	}
	agent->request = event->command.request;
	agent->is_releasing = actions_add(actions, ACTION_RELEASE, agent);
}

static void command_freeze(struct state *state, struct agent *agent, const struct event *event, struct actions *actions)
{
	agent->request = event->command.request;
	if (agent->ladder)
		agent->ladder->has_frozen = false; /* the user has the last word */
	backoff_thawed(state, agent, actions);
	actions_add(actions, event->command.command == COMMAND_FREEZE ? ACTION_FREEZE : ACTION_THAW, agent);
}

static void command_stop(struct state *state, struct agent *agent, const struct event *event, struct actions *actions)
{
	agent->stop_rule = command_name(event->command.command);
	reply(actions, event->command.request, REPLY_OK, agent);
	if (event->command.command == COMMAND_KILL)
		kill_agent(state, agent, actions);
	else
		stop_agent(state, agent, actions);
}

static const struct {
	void (*run)(struct state *, struct agent *, const struct event *, struct actions *);
	bool needs_placed;   /* an observed agent has no group to do it to */
	bool ends_agent;     /* refused by `protect: true` */
	bool while_stopping; /* allowed when it is being stopped already */
	bool at_once;	     /* nothing is waited for: also allowed while another is under way */
} agent_commands[COMMANDS] = {
	[COMMAND_TOUCH] = {.run = command_touch, .at_once = true},
	[COMMAND_LEASE] = {.run = command_touch, .at_once = true},
	[COMMAND_RELEASE] = {.run = command_release},
	[COMMAND_FREEZE] = {.run = command_freeze, .needs_placed = true},
	[COMMAND_THAW] = {.run = command_freeze, .needs_placed = true},
	[COMMAND_STOP] = {.run = command_stop, .needs_placed = true, .ends_agent = true},
	[COMMAND_KILL] = {.run = command_stop, .needs_placed = true, .ends_agent = true, .while_stopping = true},
};

static enum reply_code check_command(const struct agent *agent, enum command command)
{
	if (agent->is_observed && agent_commands[command].needs_placed)
		return REPLY_OBSERVED;
	if (agent->policy->protect && agent_commands[command].ends_agent)
		return REPLY_PROTECTED;
	if (agent->state == AGENT_GONE)
		return REPLY_NO_SUCH_AGENT;
	if (agent->state == AGENT_STOPPING && !agent_commands[command].while_stopping)
		return REPLY_BUSY;
	if (agent_commands[command].at_once)
		return REPLY_OK;
	if (agent->request || agent->is_placing || agent->is_releasing || (!agent->is_placed && !agent->is_observed))
		return REPLY_BUSY;
	return REPLY_OK;
}

/* ---- commands for policies ---- */

struct drain {
	const char *policy; /* "": all */
	const char *rule;
	uint32_t by;
};

static void drain_agents(struct state *state, const struct drain *drain, struct actions *actions)
{
	struct agent *agent;
	size_t cursor = 0;

	while ((agent = idmap_next(&state->by_handle, &cursor))) {
		if (*drain->policy && !streq(agent->policy->name, drain->policy))
			continue;
		if (check_command(agent, COMMAND_STOP) != REPLY_OK)
			continue;
		agent->stop_rule = drain->rule;
		agent->by_uid = drain->by;
		stop_agent(state, agent, actions);
	}
}

static void command_drain(struct state *state, const struct event *event, struct actions *actions)
{
	const struct drain drain = {
		.policy = str_empty(event->command.policy) ? "" : event->command.policy,
		.rule = command_name(COMMAND_DRAIN),
		.by = event->command.uid,
	};

	drain_agents(state, &drain, actions);
	reply(actions, event->command.request, REPLY_OK, NULL);
}

static const char drain_rule[] = "drain_on_stop";

size_t state_draining(const struct state *state, uint64_t *ret_grace_ns)
{
	const struct agent *agent;
	size_t cursor = 0, n = 0;

	*ret_grace_ns = 0;
	while ((agent = idmap_next(&state->by_handle, &cursor))) {
		if (agent->stop_rule != drain_rule)
			continue;
		*ret_grace_ns = MAX2(*ret_grace_ns, agent->policy->stop_grace_ns);
		n++;
	}
	return n;
}

void step_ending(struct state *state, const struct event *event, struct actions *actions)
{
	struct agent *agent;
	size_t cursor = 0;

	if (event->ending.drains) {
		drain_agents(state, &(struct drain){"", drain_rule, INCIDENT_BY_GOVD}, actions);
		return;
	}
	while ((agent = idmap_next(&state->by_handle, &cursor)))
		if (agent->is_placed)
			ladder_leave(agent, actions);
}

static void command_resume(struct state *state, const struct event *event, struct actions *actions)
{
	const char *name = event->command.policy;
	const struct policy *policy = str_empty(name) ? NULL : policy_set_find(state->set, name);
	struct incident *incident;

	if (policy && cull_resume(state, policy, actions)) {
		incident = record_agent(actions, INCIDENT_ALERT, NULL, (struct record_words){"bulk", "resume", "done"});
		if (incident) {
			text_copy(incident->policy, sizeof(incident->policy), policy->name);
			incident->by_uid = event->command.uid;
		}
	}
	reply(actions, event->command.request, policy ? REPLY_OK : REPLY_NO_SUCH_POLICY, NULL);
}

void step_command(struct state *state, const struct event *event, struct actions *actions)
{
	static void (*const others[COMMANDS])(struct state *, const struct event *, struct actions *) = {
		[COMMAND_RUN] = command_run,
		[COMMAND_ADOPT] = command_adopt,
		[COMMAND_DRAIN] = command_drain,
		[COMMAND_RESUME] = command_resume,
	};
	enum command command = event->command.command;
	struct incident *incident;
	struct agent *agent;
	enum reply_code code;

	if (others[command]) {
		others[command](state, event, actions);
		return;
	}
	agent = state_get(state, event->command.agent);
	code = agent ? check_command(agent, command) : REPLY_NO_SUCH_AGENT;
	/* Root alone, and those whom it has granted that, get here with all commands, others with those that the
	 * policy's users may give. */
	if (agent && !is_allowed(agent->policy, event))
		code = REPLY_DENIED;
	if (code == REPLY_OK) {
		agent->by_uid = event->command.uid;
		agent_commands[command].run(state, agent, event, actions);
		return;
	}
	if (code == REPLY_PROTECTED) {
		incident = record_agent(actions, INCIDENT_PROTECTED, agent,
					(struct record_words){"protect", command_name(command), "refused"});
		if (incident)
			incident->by_uid = event->command.uid;
	}
	reply(actions, event->command.request, code, agent);
}
