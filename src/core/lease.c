/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/state.h"

/*
 * Somebody says that an agent is in use: for a moment (touch) or for a time (lease). Until a lease ends, the laws that
 * end what nobody seems to need leave the agent alone; those that limit it (runtime, number, memory) don't.
 */

void lease_touch(const struct state *state, struct agent *agent)
{
	agent->touched_ns = agent->active_ns = state->now_ns;
	if (agent->lease_ns)
		agent->lease_until_ns = state->now_ns + agent->lease_ns;
	if (agent->state == AGENT_IDLE)
		agent->state = AGENT_ACTIVE;
}

void lease_set(struct state *state, struct agent *agent, uint64_t lease_ns, struct actions *actions)
{
	agent->lease_ns = lease_ns;
	if (lease_ns) {
		lease_touch(state, agent);
		return;
	}
	/* What the lease has put off may be due now. */
	if (agent->lease_until_ns)
		set_timer(state, state->now_ns, actions);
	agent->lease_until_ns = 0;
}
