/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/state.h"

/* Who is to be looked at before it may be ended. */

/* Whom a tick at this time may end: those that are due, and those whose place one of their key may take. */
static bool is_endangered(const struct state *state, const struct agent *agent, uint64_t at_ns)
{
	if (agent_is_ending(agent) || !agent->is_placed)
		return false;
	if (lifecycle_due(state, agent) <= at_ns)
		return true;
	/* Without a key all of a policy have the same. */
	if (!agent->policy->lifecycle.per_key)
		return false;
	for (const struct agent *other = state_first_of_key(state, agent); other; other = other->next_of_key)
		if (other->probation_ns && key_is_same(other, agent) && lifecycle_due(state, other) <= at_ns)
			return true;
	return false;
}

const struct agent *state_endangered_next(const struct state *state, uint64_t at_ns, size_t *cursor)
{
	const struct agent *agent;

	if (at_ns < state->laws_ns)
		return NULL;
	while ((agent = idmap_next(&state->by_handle, cursor)))
		if (is_endangered(state, agent, at_ns))
			return agent;
	return NULL;
}
