/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/state.h"

/* The ends of agents that are asked for: signal, grace, kill; and what is done when that doesn't end them. */

#define RETRY_MAX_NS (32 * NSEC_PER_SEC)
#define CLEAN_UP_TRIES_ALERT 3 /* failed tries after which an alert is recorded */

uint64_t retry_ns(unsigned tries)
{
	return MIN2(KILL_RETRY_NS << MIN2(tries, 5U), RETRY_MAX_NS);
}

void kill_agent(struct state *state, struct agent *agent, struct actions *actions)
{
	struct action *action = actions_add(actions, ACTION_KILL, agent);

	agent->state = AGENT_STOPPING;
	if (action)
		action->is_again = agent->stop_tries;
	set_deadline(state, agent, state->now_ns + retry_ns(agent->stop_tries), actions);
	agent->stop_tries++;
}

/* All its processes were sent SIGKILL, and not all have gone. */
void stop_killed(_unused_ struct state *state, struct agent *agent, const struct event *event, struct actions *actions)
{
	const struct left_view *left = &event->result.left;
	struct incident *incident;

	if (agent->state != AGENT_STOPPING || agent->stop_tries <= CLEAN_UP_TRIES_ALERT || agent->is_stuck_told)
		return;
	agent->is_stuck_told = true;
	incident = record_agent(actions, INCIDENT_ALERT, agent,
				(struct record_words){agent->stop_rule ? agent->stop_rule : "", "kill", "failed"});
	if (!incident)
		return;
	incident->error = event->result.error;
	incident_add_number(incident, "tries", CLEAN_UP_TRIES_ALERT);
	incident_add_number(incident, "processes", left->processes);
	incident_add_number(incident, "uninterruptible", left->uninterruptible);
	incident_add_number(incident, "zombies", left->zombies);
	if (*left->first)
		incident_add_text(incident, "first", left->first);
}

void stop_census(struct state *state, struct agent *agent, struct actions *actions)
{
	if (agent->deadline_ns && agent->state == AGENT_STOPPING && agent->stop_tries > CLEAN_UP_TRIES_ALERT)
		kill_agent(state, agent, actions);
	else if (agent->deadline_ns && agent->state == AGENT_GONE && agent->remove_tries > CLEAN_UP_TRIES_ALERT)
		actions_add(actions, ACTION_REMOVE, agent);
}

void stop_agent(struct state *state, struct agent *agent, struct actions *actions)
{
	struct action *action;
	bool was_frozen = agent->state == AGENT_FROZEN && !ladder_of(agent)->has_frozen;

	agent->state = AGENT_STOPPING;
	action = actions_add(actions, agent->has_root ? ACTION_SIGNAL : ACTION_SIGNAL_ALL, agent);
	if (action) {
		action->process.pid = agent->root_pid;
		action->process.start_ticks = agent->root_start_ticks;
		action->process.signal = agent->policy->stop_signal;
	}
	if (was_frozen) /* so that it can act on the signal */
		actions_add(actions, ACTION_THAW, agent);
	ladder_leave(agent, actions);
	set_deadline(state, agent, state->now_ns + agent->policy->stop_grace_ns, actions);
}

void stop_removed(struct state *state, struct agent *agent, const struct event *event, struct actions *actions)
{
	struct incident *incident;

	if (agent->state != AGENT_GONE)
		return;
	if (!event->result.error || event->result.error == ENOENT) {
		end_agent(state, agent, actions);
		return;
	}
	if (event->result.error == EBUSY && agent->is_empty) {
		/* Not empty after all: one of its lineage came in since. */
		agent->is_empty = false;
		agent->state = agent->stop_rule ? AGENT_STOPPING : AGENT_ACTIVE;
		agent->remove_tries = 0;
		set_deadline(state, agent, state->now_ns + KILL_RETRY_NS, actions);
		return;
	}
	set_deadline(state, agent, state->now_ns + retry_ns(agent->remove_tries), actions);
	if (agent->remove_tries++ != CLEAN_UP_TRIES_ALERT)
		return;
	incident = record_agent(actions, INCIDENT_ALERT, agent, (struct record_words){"clean-up", "remove", "failed"});
	if (!incident)
		return;
	incident->by_uid = INCIDENT_BY_GOVD;
	incident->error = event->result.error;
	incident_add_number(incident, "tries", CLEAN_UP_TRIES_ALERT);
}
