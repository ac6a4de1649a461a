/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/state.h"

#include "base/text.h"

/* What the edges may read of the state. */

const struct policy_set *state_policies(const struct state *state)
{
	return state->set;
}

size_t state_agent_count(const struct state *state)
{
	return state->by_handle.used;
}

const struct agent *state_agent_next(const struct state *state, size_t *cursor)
{
	return idmap_next(&state->by_handle, cursor);
}

const struct agent *state_agent_by_handle(const struct state *state, uint64_t handle)
{
	return state_get(state, handle);
}

const struct agent *state_agent_of(const struct state *state, uint64_t cgroup_id, pid_t root_pid)
{
	const struct agent *agent = cgroup_id ? idmap_get(&state->by_cgroup, cgroup_id) : NULL;

	return agent || root_pid <= 0 ? agent : idmap_get(&state->by_root, (uint64_t)root_pid);
}

const struct agent *state_agent_of_process(const struct state *state, uint64_t cgroup_id, uint64_t mark)
{
	const struct agent *agent = cgroup_id ? idmap_get(&state->by_cgroup, cgroup_id) : NULL;

	return agent ? agent : state_by_mark(state, mark);
}

bool state_sweep_takes(const struct state *state, const struct agent *agent, const struct proc *proc)
{
	const struct agent *root_of = state_by_root(state, proc->pid, proc->start_ticks);
	const struct agent *there = proc->cgroup_id ? idmap_get(&state->by_cgroup, proc->cgroup_id) : NULL;

	if (root_of && root_of != agent)
		return false;
	if (there && there != agent && !state_began_in(state, agent, there))
		return false;
	/* What was let go for good only a command takes again. */
	return streq(agent->how, "adopt") || !state_is_released(state, proc->pid, proc->start_ticks);
}

uint64_t state_settled(const struct state *state, uint64_t mark)
{
	const struct agent *agent;
	size_t cursor = 0;

	while (state->n_placing && (agent = idmap_next(&state->by_handle, &cursor)))
		if (agent->is_placing && agent->mark && agent->mark <= mark)
			mark = agent->mark - 1;
	return mark;
}

static bool agent_is_named(const struct agent *agent, const char *name)
{
	size_t policy_length = strlen(agent->policy->name);

	if (strncmp(agent->policy->name, name, policy_length) != 0)
		return false;
	return name[policy_length] == '\0' ||
	       (name[policy_length] == '/' && streq(name + policy_length + 1, agent->key));
}

int state_agent_find(const struct state *state, const char *name, const struct agent **ret_agent)
{
	const struct agent *agent, *by_prefix = NULL, *by_name = NULL;
	size_t cursor = 0, n_prefix = 0, n_name = 0, length = strlen(name);

	if (!length)
		return -ENOENT;
	while ((agent = idmap_next(&state->by_handle, &cursor))) {
		if (streq(agent->id, name)) {
			*ret_agent = agent;
			return 0;
		}
		if (strncmp(agent->id, name, length) == 0) {
			by_prefix = agent;
			n_prefix++;
		}
		if (agent_is_named(agent, name)) {
			by_name = agent;
			n_name++;
		}
	}
	if (n_name + n_prefix == 0)
		return -ENOENT;
	if (n_name + n_prefix > 1)
		return -ENOTUNIQ;
	*ret_agent = by_name ? by_name : by_prefix;
	return 0;
}
