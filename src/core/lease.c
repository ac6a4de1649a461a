/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/state.h"

/*
 * Somebody says that an agent is in use: for a moment (touch) or for a time (lease). Until a lease ends, the laws that
 * end what nobody seems to need leave the agent alone; those that limit it (runtime, number, memory) don't.
 */

void agent_save(const struct agent *agent, struct actions *actions)
{
	if (agent->is_placed && agent->state != AGENT_GONE)
		actions_add(actions, ACTION_SAVE, agent);
}

void lease_touch(const struct state *state, struct agent *agent, struct actions *actions)
{
	if (agent->lease_ns) {
		agent->lease_until_ns = state->now_ns + agent->lease_ns;
		agent_save(agent, actions);
	}
	idle_sign(state, agent, ACTIVITY_TOUCH);
}

void lease_set(struct state *state, struct agent *agent, uint64_t lease_ns, struct actions *actions)
{
	agent->lease_ns = lease_ns;
	if (lease_ns) {
		lease_touch(state, agent, actions);
		return;
	}
	if (!agent->lease_until_ns)
		return;
	agent->lease_until_ns = 0;
	agent_save(agent, actions);
	/* What the lease has put off may be due now. */
	set_timer(state, state->now_ns, actions);
}
