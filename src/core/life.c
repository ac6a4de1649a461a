/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/state.h"

#include <signal.h>

#include "base/text.h"
#include "core/tool.h"

/* What becomes of agents: results of actions, ends. */

static void answer_waiters(struct agent *agent, struct actions *actions)
{
	for (size_t i = 0; i < agent->n_hold_tokens; i++) {
		struct action *action = actions_add(actions, ACTION_HOLD_ANSWER, NULL);

		if (action)
			action->hold.token = agent->hold_tokens[i];
	}
	agent->n_hold_tokens = 0;
}

static void answer_request(struct agent *agent, enum reply_code code, int error, struct actions *actions)
{
	struct action *action = agent->request ? reply(actions, agent->request, code, agent) : NULL;

	agent->request = 0;
	if (action)
		action->reply.error = error;
}

void end_agent(struct state *state, struct agent *agent, struct actions *actions)
{
	if (agent->is_placed && agent->state != AGENT_GONE) {
		/* First its group; EVENT_RESULT of the removal comes back here. */
		agent->state = AGENT_GONE;
		actions_add(actions, ACTION_REMOVE, agent);
		return;
	}
	if (agent->is_placed || agent->is_observed) {
		struct record_words words = {agent->root_rule ? agent->root_rule : "exit", "none", "done"};
		struct incident *incident;

		if (agent->stop_rule)
			words = (struct record_words){agent->stop_rule, "stop", "done"};
		incident = record_agent(actions, INCIDENT_STOPPED, agent, words);
		if (incident && !agent->stop_rule && agent->root_rule)
			incident->by_uid = agent->root_by;
		if (incident && agent->has_exit_code)
			incident_add_exit(incident, agent->exit_code);
		if (incident)
			incident_add_number(incident, "lived_s", (state->now_ns - agent->since_ns) / NSEC_PER_SEC);
	}
	answer_waiters(agent, actions);
	answer_request(agent, REPLY_NO_SUCH_PROCESS, 0, actions);
	actions_add(actions, ACTION_FORGET, agent);
	state_end_agent(state, agent);
}

/* ---- ends ---- */

void step_exit(struct state *state, const struct event *event, struct actions *actions)
{
	struct agent *agent = state_by_root(state, event->exit.pid, event->exit.start_ticks);
	struct action *action;

	tool_exited(state, event);
	if (!agent)
		return;
	state_clear_root(state, agent);
	agent->exit_code = event->exit.exit_code;
	agent->has_exit_code = event->exit.has_code;
	/* It was on its way out already. */
	if (event->exit.has_code && (event->exit.exit_code & 0x7f) != SIGKILL)
		agent->root_rule = NULL;
	backoff_exited(state, agent);
	if (agent->is_observed) {
		end_agent(state, agent, actions);
		return;
	}
	/* The root has done its part of stopping: now the others may. EVENT_EMPTY comes when there is none. */
	if (agent->state == AGENT_STOPPING && agent->is_placed && !agent->stop_tries) {
		action = actions_add(actions, ACTION_SIGNAL_ALL, agent);
		if (action)
			action->process.signal = agent->policy->stop_signal;
	}
}

void step_empty(struct state *state, const struct event *event, struct actions *actions)
{
	struct agent *agent = state_get(state, event->empty.agent);

	/* While it is placed anew it is the end of its former group that is told. */
	if (!agent || !agent->is_placed || agent->is_placing || agent->state == AGENT_GONE)
		return;
	agent->is_empty = true;
	/* The end of its root would have been told before: it has left the group, as root may, and is looked for. */
	if (agent->has_root)
		ask_census(state, "left", actions);
	/* Records were lost: a part of its lineage may be outside still. CENSUS_END decides. */
	if (!state->census_asked)
		end_agent(state, agent, actions);
}

void step_sample(struct state *state, const struct event *event, struct actions *actions)
{
	struct agent *agent = state_get(state, event->sample.agent);

	if (!agent)
		return;
	leak_sample(state, agent, event, actions);
	agent->memory_bytes = event->sample.memory_bytes;
	if (event->sample.cpu_ns != UINT64_MAX)
		idle_sample(state, agent, event->sample.cpu_ns);
}

/* ---- results of actions ---- */

/* Its own group isn't one to make groups in: better watched than forgotten. */
static void watch_instead(struct state *state, struct agent *agent, struct actions *actions)
{
	if (!agent->has_root) {
		end_agent(state, agent, actions);
		return;
	}
	agent->is_observed = true;
	agent->placement = POLICY_PLACEMENT_NONE;
	agent->state = AGENT_ACTIVE;
	if (agent->mark)
		actions_add(actions, ACTION_PACE, agent);
	answer_request(agent, REPLY_OBSERVED, 0, actions);
}

static void record_placed(const struct agent *agent, int error, struct actions *actions)
{
	struct incident *incident = record_agent(actions, INCIDENT_PLACED, agent,
						 (struct record_words){"match", "place", error ? "failed" : "done"});

	if (!incident)
		return;
	incident->error = error;
	incident_add_text(incident, "how", agent->how);
}

/* Its root had ended before it could be moved. */
static void place_too_late(struct state *state, struct agent *agent, struct actions *actions)
{
	answer_request(agent, REPLY_NO_SUCH_PROCESS, 0, actions);
	/* Its children may live: the census tells, and before that how it has ended, which may be a crash. */
	if (agent->mark && agent->has_root) {
		ask_census(state, "lineage", actions);
		return;
	}
	backoff_exited(state, agent);
	state_clear_root(state, agent);
	if (agent->mark)
		ask_census(state, "lineage", actions);
	else
		end_agent(state, agent, actions);
}

static void place_failed(struct state *state, struct agent *agent, int error, struct actions *actions)
{
	if (error == ESRCH) {
		place_too_late(state, agent, actions);
		return;
	}
	record_placed(agent, error, actions);
	if (agent->placement == POLICY_PLACEMENT_NESTED) {
		watch_instead(state, agent, actions);
		return;
	}
	answer_request(agent, REPLY_FAILED, error, actions);
	/* The next govd may do better: it isn't released for good. */
	state_add_verdict(state, process_id(agent->root_pid, agent->root_start_ticks), 0);
	end_agent(state, agent, actions);
}

/* It had left its group, which has gone: only its group is another one now. */
static void result_place_anew(struct state *state, struct agent *agent, const struct event *event,
			      struct actions *actions)
{
	if (event->result.error == ESRCH) {
		agent->is_empty = true;
		ask_census(state, "lineage", actions);
		return;
	}
	if (event->result.error) {
		agent->is_placed = false;
		place_failed(state, agent, event->result.error, actions);
		return;
	}
	if (agent->state != AGENT_STOPPING)
		agent->state = AGENT_ACTIVE;
	state_set_cgroup(state, agent, event->result.cgroup_id, event->result.cgroup);
	actions_add(actions, ACTION_PACE, agent);
	if (mode_changed(state, agent)) {
		release_by_mode(agent, actions);
		return;
	}
	ladder_begin(agent, actions);
	if (agent->wants_census)
		ask_census(state, "lineage", actions);
	agent->wants_census = false;
}

/* A group that goes with its last process, as systemd's do, has gone when who had left it was to be fetched. */
static void result_move(struct state *state, struct agent *agent, const struct event *event, struct actions *actions)
{
	struct action *action;

	if (!event->result.error || !agent->is_placed || agent->is_placing || agent->is_releasing ||
	    agent->state == AGENT_GONE)
		return;
	if (agent->state != AGENT_STOPPING)
		answer_request(agent, REPLY_FAILED, event->result.error, actions);
	actions_add(actions, ACTION_UNPACE, agent);
	action = actions_add(actions, ACTION_PLACE, agent);
	if (!action)
		return;
	action->process.pid = event->result.pid;
	action->process.start_ticks = event->result.start_ticks;
	agent->is_empty = false;
	state_set_placing(state, agent, true);
}

static void result_place(struct state *state, struct agent *agent, const struct event *event, struct actions *actions)
{
	int error = event->result.error;

	state_set_placing(state, agent, false);
	sweep_waiting(state, actions);
	if (agent->is_placed) {
		answer_waiters(agent, actions);
		result_place_anew(state, agent, event, actions);
		return;
	}
	agent->is_placed = !error;
	/* Before those who wait go on: none of their connects, and of their tools, is to be missed. */
	if (!error) {
		actions_add(actions, ACTION_PACE, agent);
		backoff_placed(state, agent, actions);
	}
	if (!error && agent_has_tools(agent))
		mark_root(state, agent, actions);
	answer_waiters(agent, actions);
	if (error) {
		place_failed(state, agent, error, actions);
		return;
	}
	record_placed(agent, 0, actions);
	agent->is_empty = false;
	agent->state = AGENT_ACTIVE;
	state_set_text(state, &agent->origin, event->result.origin, AGENT_CGROUP_MAX);
	state_set_cgroup(state, agent, event->result.cgroup_id, event->result.cgroup);
	answer_request(agent, REPLY_OK, 0, actions);
	if (leak_cap(agent->policy) != UINT64_MAX)
		actions_add(actions, ACTION_SAMPLE, agent);
	if (!mode_changed(state, agent))
		lifecycle_begin(state, agent, actions);
	if (mode_changed(state, agent)) {
		release_by_mode(agent, actions);
		return;
	}
	tools_look(agent, actions);
	ladder_begin(agent, actions);
	if (agent->wants_sweep)
		actions_add(actions, ACTION_SWEEP, agent);
	if (agent->wants_census)
		ask_census(state, "lineage", actions);
	agent->wants_sweep = agent->wants_census = false;
}

void free_process(struct state *state, pid_t pid, uint64_t start_ticks, struct actions *actions)
{
	struct action *action;

	state_set_released(state, pid, start_ticks);
	/* One that is only observed lives on in the group that is let go. */
	if (state_by_root(state, pid, start_ticks))
		return;
	action = actions_add(actions, ACTION_MARK, NULL);
	if (!action)
		return;
	action->process.pid = pid;
	action->process.start_ticks = start_ticks;
}

void step_freed(struct state *state, const struct event *event, _unused_ struct actions *actions)
{
	state_set_released(state, event->freed.pid, event->freed.start_ticks);
}

void step_released(struct state *state, const struct event *event, struct actions *actions)
{
	const struct agent *agent = state_get(state, event->released.agent);

	if (agent && !agent->stop_rule)
		free_process(state, event->released.pid, event->released.start_ticks, actions);
}

/* To let it go it has been thawed. */
static void freeze_again(struct agent *agent, struct actions *actions)
{
	bool is_delayed = agent->thaw_ns && agent->thaw_ns != DELAY_BY_HAND;
	struct action *action = agent->state == AGENT_FROZEN ? actions_add(actions, ACTION_FREEZE, agent) : NULL;

	if (action)
		action->is_brief = is_delayed || ladder_of(agent)->has_frozen;
}

static void result_release(struct state *state, struct agent *agent, const struct event *event, struct actions *actions)
{
	bool is_for_good = !agent->stop_rule, had_root = agent->has_root;
	struct incident *incident =
		record_agent(actions, INCIDENT_RELEASED, agent,
			     (struct record_words){is_for_good ? "release" : agent->stop_rule, "release",
						   event->result.error ? "failed" : "done"});

	if (incident)
		incident->error = event->result.error;
	agent->stop_rule = NULL;
	agent->is_releasing = false;
	if (event->result.error) {
		answer_request(agent, REPLY_FAILED, event->result.error, actions);
		if (agent->state == AGENT_STOPPING)
			set_deadline(state, agent, state->now_ns + KILL_RETRY_NS, actions);
		freeze_again(agent, actions);
		return;
	}
	actions_add(actions, ACTION_UNPACE, agent);
	answer_request(agent, REPLY_OK, 0, actions);
	actions_add(actions, ACTION_FORGET, agent);
	state_end_agent(state, agent);
	if (is_for_good && had_root)
		free_process(state, agent->root_pid, agent->root_start_ticks, actions);
	if (!is_for_good)
		ask_census(state, "policies", actions);
}

static void result_freeze(struct state *state, struct agent *agent, const struct event *event, struct actions *actions)
{
	bool is_freeze = event->result.action == ACTION_FREEZE;

	if (!event->result.error && !agent_is_ending(agent))
		agent->state = is_freeze ? AGENT_FROZEN : AGENT_ACTIVE;
	if (!event->result.error && !is_freeze) {
		lifecycle_thawed(state, agent, actions);
		idle_sign(state, agent, ACTIVITY_FROZEN);
	}
	if (event->result.error && is_freeze) {
		/* It has been thawed for that. */
		if (agent->state == AGENT_FROZEN)
			agent->state = AGENT_ACTIVE;
		ladder_freeze_failed(state, agent);
	}
	if (agent->request)
		answer_request(agent, event->result.error ? REPLY_FAILED : REPLY_OK, event->result.error, actions);
}

static void result_reclaim(_unused_ struct state *state, struct agent *agent, const struct event *event,
			   _unused_ struct actions *actions)
{
	if (agent->ladder)
		agent->ladder->reclaimed_bytes += event->result.bytes;
}

void step_result(struct state *state, const struct event *event, struct actions *actions)
{
	static void (*const results[ACTION_KINDS])(struct state *, struct agent *, const struct event *,
						   struct actions *) = {
		[ACTION_PLACE] = result_place, [ACTION_RELEASE] = result_release, [ACTION_FREEZE] = result_freeze,
		[ACTION_THAW] = result_freeze, [ACTION_REMOVE] = stop_removed,	  [ACTION_RECLAIM] = result_reclaim,
		[ACTION_KILL] = stop_killed,   [ACTION_MOVE] = result_move,
	};
	struct agent *agent = state_get(state, event->result.agent);

	if (agent && event->result.action >= 0 && event->result.action < ACTION_KINDS && results[event->result.action])
		results[event->result.action](state, agent, event, actions);
}
