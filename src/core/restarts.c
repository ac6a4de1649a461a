/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/state.h"

#include "base/text.h"

/* The table of those whose lives are counted. */

#define SPARES_MAX 64

uint64_t restart_id_of(const struct policy *policy, const char *key, const struct proc *proc)
{
	const struct restart_name name = {
		.policy = policy->name,
		.key = key,
		.program = str_empty(proc->script) ? proc->exe : proc->script,
		.directory = proc->directory,
		.uid = proc->uid,
	};

	return restart_id(&name);
}

/* Of a life that had ended before anybody looked at it the directory isn't known: it counts as one of what the same
 * user has started last of this program. */
static uint64_t known_id(const struct state *state, const struct agent *agent, const struct proc *proc)
{
	uint64_t id = restart_id_of(agent->policy, agent->key, proc);
	const struct restart *last;

	if (!str_empty(agent->key) || !str_empty(proc->directory))
		return id;
	last = idmap_get(&state->restarts_by_program, id);
	return last ? last->id : id;
}

static void note_program(struct state *state, struct restart *restart, const struct agent *agent,
			 const struct proc *proc)
{
	struct proc anywhere = *proc;

	if (!str_empty(agent->key) || str_empty(proc->directory))
		return;
	anywhere.directory = NULL;
	restart->program_id = restart_id_of(agent->policy, agent->key, &anywhere);
	if (idmap_put(&state->restarts_by_program, restart->program_id, restart) < 0)
		state->restarts_missed++;
}

static bool says_nothing(const struct state *state, const struct restart *restart)
{
	const struct policy *policy;

	if (restart->lives || !restart->n_crashes)
		return !restart->lives;
	policy = policy_set_find(state->set, restart->policy);
	return !policy || !restart_count(restart, &policy->restart, state->now_ns);
}

/* The one that was used longest ago, of some of those that say nothing: no life, no crash that still counts. With a key
 * a session the table is full before long, and a look at all would be a part of each start from then on. */
static struct restart *find_spare(struct state *state)
{
	struct restart *restart, *spare = NULL;

	for (size_t seen = 0, found = 0; seen < state->restarts.used && found < SPARES_MAX;) {
		restart = idmap_next(&state->restarts, &state->spare_cursor);
		if (!restart) {
			state->spare_cursor = 0;
			continue;
		}
		seen++;
		if (!says_nothing(state, restart))
			continue;
		found++;
		if (!spare || restart->used_ns < spare->used_ns)
			spare = restart;
	}
	return spare;
}

struct restart *state_add_restart(struct state *state, uint64_t id, const char *policy)
{
	struct restart *restart = idmap_get(&state->restarts, id);

	if (restart)
		return restart;
	if (state->restarts.used >= STATE_RESTARTS_MAX) {
		restart = find_spare(state);
		if (!restart)
			return NULL;
		idmap_remove(&state->restarts, restart->id);
		if (idmap_get(&state->restarts_by_program, restart->program_id) == restart)
			idmap_remove(&state->restarts_by_program, restart->program_id);
		restart_free(restart);
	}
	restart = calloc(1, sizeof(*restart));
	if (!restart)
		return NULL;
	restart->id = id;
	text_copy(restart->policy, sizeof(restart->policy), policy);
	if (idmap_put(&state->restarts, id, restart) < 0) {
		restart_free(restart);
		return NULL;
	}
	return restart;
}

struct restart *state_restart_of(struct state *state, const struct agent *agent, const struct proc *proc)
{
	struct restart *restart = state_add_restart(state, known_id(state, agent, proc), agent->policy->name);

	if (restart)
		note_program(state, restart, agent, proc);
	return restart;
}

void step_restart(struct state *state, const struct event *event, _unused_ struct actions *actions)
{
	const struct restart *saved = event->restart.restart;
	struct restart *restart = state_add_restart(state, saved->id, saved->policy);

	if (!restart) {
		state->restarts_missed++;
		return;
	}
	/* Its lives refer to it already when they were found first. */
	restart->starts += saved->starts;
	restart->used_ns = MAX2(restart->used_ns, saved->used_ns);
	restart->delayed_ns = saved->delayed_ns;
	restart->exit_code = saved->exit_code;
	restart->has_exit_code = saved->has_exit_code;
	restart->n_crashes = 0;
	for (size_t i = 0; i < saved->n_crashes; i++)
		restart_add_crash(restart, saved->crash_ns[i]);
}

const struct restart *state_restart_next(const struct state *state, size_t *cursor)
{
	return idmap_next(&state->restarts, cursor);
}

uint64_t state_restart_changes(const struct state *state)
{
	return state->restarts_changed;
}
