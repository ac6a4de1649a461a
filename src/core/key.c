/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/state.h"

#include "base/text.h"

/* Agents by key. The state has each text once, so that the address of a key's stands for it. */

static uint64_t key_id(const char *key)
{
	return (uint64_t)(uintptr_t)key;
}

struct agent *state_first_of_key(const struct state *state, const struct agent *agent)
{
	return *agent->key ? idmap_get(&state->by_key, key_id(agent->key)) : NULL;
}

int key_add(struct state *state, struct agent *agent)
{
	if (!*agent->key)
		return 0;
	agent->next_of_key = state_first_of_key(state, agent);
	return idmap_put(&state->by_key, key_id(agent->key), agent);
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
	idmap_remove(&state->by_key, key_id(agent->key));
	/* There is room for it in the map: that of the one that has just left. */
	if (agent->next_of_key)
		(void)!idmap_put(&state->by_key, key_id(agent->key), agent->next_of_key);
}

bool key_is_same(const struct agent *a, const struct agent *b)
{
	return a->key == b->key && (a->policy == b->policy || streq(a->policy->name, b->policy->name));
}

bool agent_is_older(const struct agent *a, const struct agent *b)
{
	return a->since_ns != b->since_ns ? a->since_ns < b->since_ns : a->handle < b->handle;
}

struct agent *state_living_key(const struct state *state, const char *policy, const char *key)
{
	const char *text = intern_find(&state->texts, key, POLICY_KEY_MAX - 1);
	bool has_key = !str_empty(text);
	struct agent *agent;
	size_t cursor = 0;

	if (!text)
		return NULL;
	/* Those without a key aren't in the index, and one of them does as well as another. */
	agent = has_key ? idmap_get(&state->by_key, key_id(text)) : idmap_next(&state->by_handle, &cursor);
	while (agent && (agent->key != text || agent_is_ending(agent) || !streq(agent->policy->name, policy)))
		agent = has_key ? agent->next_of_key : idmap_next(&state->by_handle, &cursor);
	return agent;
}
