/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/state.h"

/* Agents by key. The state has each text once, so that the address of a key's stands for it. */

static uint64_t key_id(const struct agent *agent)
{
	return (uint64_t)(uintptr_t)agent->key;
}

struct agent *state_first_of_key(const struct state *state, const struct agent *agent)
{
	return *agent->key ? idmap_get(&state->by_key, key_id(agent)) : NULL;
}

int key_add(struct state *state, struct agent *agent)
{
	if (!*agent->key)
		return 0;
	agent->next_of_key = state_first_of_key(state, agent);
	return idmap_put(&state->by_key, key_id(agent), agent);
}

void key_remove(struct state *state, const struct agent *agent)
{
	struct agent *previous = state_first_of_key(state, agent);

	if (!previous)
		return;
	if (previous != agent) {
		while (previous->next_of_key && previous->next_of_key != agent)
			previous = previous->next_of_key;
		if (previous->next_of_key)
			previous->next_of_key = agent->next_of_key;
		return;
	}
	idmap_remove(&state->by_key, key_id(agent));
	/* There is room for it in the map: that of the one that has just left. */
	if (agent->next_of_key)
		(void)!idmap_put(&state->by_key, key_id(agent), agent->next_of_key);
}

struct agent *state_living_key(const struct state *state, const char *policy, const char *key)
{
	struct agent *agent;
	size_t cursor = 0;

	while ((agent = idmap_next(&state->by_handle, &cursor)))
		if (!agent_is_ending(agent) && streq(agent->policy->name, policy) && streq(agent->key, key))
			return agent;
	return NULL;
}

int state_set_key(struct state *state, struct agent *agent, const char *key)
{
	key_remove(state, agent);
	state_set_text(state, &agent->key, key, POLICY_KEY_MAX);
	return key_add(state, agent);
}
