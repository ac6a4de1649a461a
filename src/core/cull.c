/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/state.h"

#include "base/text.h"

/* How many of its agents a policy has ended lately: one that would end most of them is suspended. */

#define CULL_MIN 4 /* ends in a minute that are too few to be worth an alarm */

static uint64_t cull_id(const char *policy)
{
	return restart_id(&(struct restart_name){.policy = policy});
}

static struct cull *find_cull(const struct state *state, const char *policy)
{
	return idmap_get(&state->culls, cull_id(policy));
}

/* There, or new; NULL: no memory. */
static struct cull *get_cull(struct state *state, const char *policy)
{
	struct cull *cull = find_cull(state, policy);

	if (cull)
		return cull;
	cull = calloc(1, sizeof(*cull));
	if (cull && idmap_put(&state->culls, cull_id(policy), cull) < 0) {
		free(cull);
		return NULL;
	}
	return cull;
}

static size_t recent_ends(struct cull *cull, uint64_t now_ns)
{
	uint64_t span = now_ns / CULL_SPAN_NS;
	size_t sum = 0;

	if (span - cull->span >= CULL_SPANS) {
		memset(cull->ends, 0, sizeof(cull->ends));
		cull->span = span;
	}
	while (cull->span < span)
		cull->ends[++cull->span % CULL_SPANS] = 0;
	for (size_t i = 0; i < CULL_SPANS; i++)
		sum += cull->ends[i];
	return sum;
}

size_t state_count_living(const struct state *state, const char *policy)
{
	const struct agent *agent;
	size_t cursor = 0, n = 0;

	/* Mostly it is the name of the same policy. */
	while ((agent = idmap_next(&state->by_handle, &cursor)))
		n += !agent_is_ending(agent) && (agent->policy->name == policy || streq(agent->policy->name, policy));
	return n;
}

static void record_suspended(const struct agent *agent, size_t ended, size_t living, struct actions *actions)
{
	struct incident *incident =
		record_agent(actions, INCIDENT_ALERT, NULL, (struct record_words){"bulk", "suspend", "done"});

	if (!incident)
		return;
	text_copy(incident->policy, sizeof(incident->policy), agent->policy->name);
	incident_add_number(incident, "ended_in_a_minute", ended);
	incident_add_number(incident, "living", living);
}

bool cull_may_end(struct state *state, const struct agent *agent, struct actions *actions)
{
	struct cull *cull = get_cull(state, agent->policy->name);
	size_t ended, living;

	if (!cull || cull->is_suspended)
		return false;
	ended = recent_ends(cull, state->now_ns) + 1;
	living = state_count_living(state, agent->policy->name);
	if (!agent->policy->bulk && ended >= CULL_MIN && 2 * ended > living + ended - 1) {
		cull->is_suspended = true;
		state->n_suspended++;
		state->restarts_changed++;
		record_suspended(agent, ended - 1, living, actions);
		return false;
	}
	cull->ends[cull->span % CULL_SPANS]++;
	return true;
}

bool cull_is_suspended(const struct state *state, const struct policy *policy)
{
	const struct cull *cull = state->n_suspended ? find_cull(state, policy->name) : NULL;

	return cull && cull->is_suspended;
}

bool cull_resume(struct state *state, const struct policy *policy, struct actions *actions)
{
	struct cull *cull = find_cull(state, policy->name);

	if (!cull || !cull->is_suspended)
		return false;
	*cull = (struct cull){0};
	state->n_suspended--;
	state->restarts_changed++;
	set_timer(state, state->now_ns, actions);
	return true;
}

void step_suspended(struct state *state, const struct event *event, _unused_ struct actions *actions)
{
	struct cull *cull = str_empty(event->suspended.policy) ? NULL : get_cull(state, event->suspended.policy);

	if (!cull || cull->is_suspended)
		return;
	cull->is_suspended = true;
	state->n_suspended++;
}
