/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/state.h"

#include "base/text.h"

/* Lives of the same agent that come too often: core/restart.h decides, here it is done to agents. */

#define HOLD_WAIT_NS NSEC_PER_SEC /* an interpreter opens its script some ms after its exec */

static bool has_rule(const struct policy *policy)
{
	return policy->restart.min_uptime_ns;
}

static void add_life(struct incident *incident, const struct restart *restart, const struct policy_restart *rule,
		     uint64_t now_ns)
{
	incident_add_number(incident, "crashes", restart_count(restart, rule, now_ns));
	incident_add_number(incident, "starts", restart->starts);
	if (restart->has_exit_code)
		incident_add_exit(incident, restart->exit_code);
}

static void record_limit(struct state *state, const struct agent *agent, struct record_words words,
			 struct actions *actions)
{
	const struct policy_restart *rule = &agent->policy->restart;
	struct incident *incident;

	if (!told_may(&agent->restart->limit_told, TOLD_EVERY_NS, state->now_ns))
		return;
	incident = record_agent(actions, INCIDENT_RESTART_LIMIT, agent, words);
	if (!incident)
		return;
	incident_add_number(incident, "limit", rule->limit);
	incident_add_number(incident, "window_s", rule->window_ns / NSEC_PER_SEC);
	add_life(incident, agent->restart, rule, state->now_ns);
	told_add(&agent->restart->limit_told, incident);
}

static void record_delay(struct state *state, struct agent *agent, struct actions *actions)
{
	struct incident *incident;

	if (!told_may(&agent->restart->delay_told, TOLD_EVERY_NS, state->now_ns))
		return;
	incident = record_agent(actions, INCIDENT_RESTART_DELAY, agent,
				(struct record_words){"restart", agent->is_observed ? "would-freeze" : "freeze",
						      agent->is_observed ? "observed" : "done"});
	if (!incident)
		return;
	incident_add_milli(incident, "delay_s", agent->delay_ns / NSEC_PER_MSEC);
	add_life(incident, agent->restart, &agent->policy->restart, state->now_ns);
	told_add(&agent->restart->delay_told, incident);
}

bool backoff_refuses(struct state *state, const struct birth *birth, struct actions *actions)
{
	const struct policy_restart *rule = &birth->policy->restart;
	char key[POLICY_KEY_MAX];
	struct agent unborn = {
		.policy = birth->policy,
		.key = key,
		.exe = birth->proc->exe,
		.script = birth->proc->script,
		.root_pid = birth->proc->pid,
		.by_uid = INCIDENT_BY_GOVD,
	};
	uint64_t delay_ns;

	if (!has_rule(birth->policy) || rule->on_limit != POLICY_LIMIT_REFUSE || !birth->hold_token || state->observe ||
	    birth->policy->mode == POLICY_OBSERVE)
		return false;
	match_agent_key(birth->policy, birth->proc, key, sizeof(key));
	unborn.restart = idmap_get(&state->restarts, restart_id_of(birth->policy, key, birth->proc));
	if (!unborn.restart || restart_decide(unborn.restart, rule, state->now_ns, 0, &delay_ns) != RESTART_LIMIT)
		return false;
	record_limit(state, &unborn, (struct record_words){"restart.limit", "refuse", "done"}, actions);
	return true;
}

/* Beyond the limit: told now, as for `freeze` there may be no other occasion. */
static void begin_limited(struct state *state, struct agent *agent, struct actions *actions)
{
	agent->delay_ns = agent->is_observed ? 0 : DELAY_BY_HAND;
	record_limit(state, agent,
		     (struct record_words){"restart.limit", agent->is_observed ? "would-freeze" : "freeze",
					   agent->is_observed ? "observed" : "done"},
		     actions);
}

void backoff_begin(struct state *state, struct agent *agent, const struct proc *proc, struct actions *actions)
{
	const struct policy_restart *rule = &agent->policy->restart;
	struct restart *restart;

	agent->run_ns = state->now_ns;
	if (!has_rule(agent->policy))
		return;
	restart = state_restart_of(state, agent, proc);
	if (!restart) {
		state->restarts_missed++;
		return;
	}
	state->restarts_changed++;
	agent->restart = restart;
	restart->lives++;
	restart->starts++;
	restart->used_ns = state->now_ns;
	/* It has run for a while, maybe well: that its lives before have crashed is no reason to stop it. With a mark
	 * it has only now executed, and that record was lost. */
	if (agent->wants_sweep && !agent->mark)
		return;
	switch (restart_decide(restart, rule, state->now_ns, (uint32_t)state_random(state), &agent->delay_ns)) {
	case RESTART_LIMIT:
		begin_limited(state, agent, actions);
		break;
	case RESTART_DELAY:
		if (rule->limit && restart_count(restart, rule, state->now_ns) >= rule->limit)
			record_limit(state, agent, (struct record_words){"restart.limit", "alert", "done"}, actions);
		else
			record_delay(state, agent, actions);
		break;
	case RESTART_RUN:
		break;
	}
	if (agent->is_observed)
		agent->delay_ns = 0;
}

static void freeze(struct state *state, struct agent *agent, struct actions *actions)
{
	struct action *action;

	agent->refuse_ns = 0;
	agent->thaw_ns = agent->delay_ns == DELAY_BY_HAND ? DELAY_BY_HAND : state->now_ns + agent->delay_ns;
	agent->delay_ns = 0;
	if (agent->restart)
		restart_delay_begin(agent->restart, state->now_ns);
	agent_save(agent, actions);
	action = actions_add(actions, ACTION_FREEZE, agent);
	if (agent->thaw_ns == DELAY_BY_HAND)
		return;
	if (action)
		action->is_brief = true;
	set_timer(state, agent->thaw_ns, actions);
}

/* It runs from now on, whoever has thawed it. */
static void end_delay(struct state *state, struct agent *agent)
{
	agent->thaw_ns = 0;
	agent->run_ns = state->now_ns;
	if (!agent->restart)
		return;
	restart_delay_end(agent->restart, state->now_ns);
	state->restarts_changed++;
}

void backoff_placed(struct state *state, struct agent *agent, struct actions *actions)
{
	bool is_refused = agent->delay_ns == DELAY_BY_HAND && agent->policy->restart.on_limit == POLICY_LIMIT_REFUSE;

	if (!agent->delay_ns)
		return;
	/* Its exec was told before its hold: frozen, it would never come to what can be refused. */
	if (is_refused && !agent->n_hold_tokens) {
		agent->refuse_ns = state->now_ns + HOLD_WAIT_NS;
		set_timer(state, agent->refuse_ns, actions);
		return;
	}
	freeze(state, agent, actions);
}

bool backoff_takes_back(struct state *state, struct agent *agent, const struct proc *proc, struct actions *actions)
{
	if (agent->policy->restart.on_limit != POLICY_LIMIT_REFUSE ||
	    !agent_is_root(agent, proc->pid, proc->start_ticks))
		return false;
	if (agent->delay_ns != DELAY_BY_HAND && agent->thaw_ns != DELAY_BY_HAND)
		return false;
	/* So that its end isn't counted as a crash. */
	agent->stop_rule = "restart.limit";
	agent->delay_ns = agent->refuse_ns = 0;
	if (agent->thaw_ns) {
		end_delay(state, agent);
		actions_add(actions, ACTION_THAW, agent);
	}
	return true;
}

void backoff_due(struct state *state, struct agent *agent, struct actions *actions)
{
	if (agent->refuse_ns) {
		freeze(state, agent, actions);
		return;
	}
	end_delay(state, agent);
	agent_save(agent, actions);
	if (agent->state == AGENT_FROZEN)
		actions_add(actions, ACTION_THAW, agent);
}

void backoff_thawed(struct state *state, struct agent *agent, struct actions *actions)
{
	if (!agent->thaw_ns)
		return;
	end_delay(state, agent);
	agent_save(agent, actions);
	if (agent->restart)
		restart_forgive(agent->restart);
}

void backoff_exited(struct state *state, struct agent *agent)
{
	struct restart *restart = agent->restart;
	bool was_delayed = agent->thaw_ns;

	agent->refuse_ns = 0;
	if (was_delayed)
		end_delay(state, agent);
	if (!restart)
		return;
	agent->restart = NULL;
	restart->lives--;
	restart->used_ns = state->now_ns;
	state->restarts_changed++;
	restart->has_exit_code = agent->has_exit_code;
	restart->exit_code = agent->exit_code;
	/* What somebody has ended hasn't crashed; nor has what ended unseen while no govd ran, or while it was frozen.
	 */
	if (!agent->stop_rule && !was_delayed && agent->has_exit_code)
		restart_end(restart, &agent->policy->restart, state->now_ns - agent->run_ns, state->now_ns);
}

bool backoff_found(struct state *state, struct agent *agent, uint64_t restart_id)
{
	bool is_delayed = agent->state == AGENT_FROZEN && agent->thaw_ns > state->now_ns && has_rule(agent->policy);

	if (!is_delayed)
		agent->thaw_ns = 0;
	if (!restart_id || !has_rule(agent->policy))
		return is_delayed;
	agent->restart = state_add_restart(state, restart_id, agent->policy->name);
	if (!agent->restart) {
		state->restarts_missed++;
		return is_delayed;
	}
	agent->restart->lives++;
	if (is_delayed)
		restart_delay_begin(agent->restart, state->now_ns);
	return is_delayed;
}

void backoff_detach(struct state *state, struct agent *agent)
{
	if (agent->thaw_ns)
		end_delay(state, agent);
	if (agent->restart)
		agent->restart->lives--;
	agent->restart = NULL;
}
