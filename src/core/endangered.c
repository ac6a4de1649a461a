/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/state.h"

#include "base/text.h"

/* Who is to be looked at before it may be ended. */

static bool is_same_key(const struct agent *a, const struct agent *b)
{
	return streq(a->policy->name, b->policy->name) && streq(a->key, b->key);
}

/* Whom a tick at this time may end: those that are due, and those whose place one of their key may take. */
static bool is_endangered(const struct state *state, const struct agent *agent, uint64_t at_ns, bool by_others)
{
	const struct agent *other;
	size_t cursor = 0;

	if (agent_is_ending(agent) || !agent->is_placed)
		return false;
	if (lifecycle_due(state, agent) <= at_ns)
		return true;
	while (by_others && (other = idmap_next(&state->by_handle, &cursor)))
		if (other != agent && is_same_key(other, agent) && lifecycle_due(state, other) <= at_ns)
			return true;
	return false;
}

const struct agent *state_endangered_next(const struct state *state, uint64_t at_ns, size_t *cursor)
{
	const struct agent *agent;
	bool by_others = false;
	size_t all = 0;

	while (!by_others && (agent = idmap_next(&state->by_handle, &all)))
		by_others = agent->probation_ns && lifecycle_due(state, agent) <= at_ns;
	while ((agent = idmap_next(&state->by_handle, cursor)))
		if (is_endangered(state, agent, at_ns, by_others))
			return agent;
	return NULL;
}
