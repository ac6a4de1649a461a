/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "govd/manager.h"

#include <ctype.h>
#include <limits.h>

#include "core/match.h"

/* Why: for a process or an agent, what each policy said of it, and what comes next. */

static int add_verdict(sd_bus_message *m, const struct policy *policy, const struct proc *proc, bool is_chosen)
{
	enum match_key key = match_policy(policy, proc);
	char why[512] = "";
	int r;

	if (key != MATCH_ALL)
		match_explain(policy, proc, key, why, sizeof(why));
	else if (!is_chosen)
		snprintf(why, sizeof(why), "it matches too, but a policy whose name sorts before it does so first");
	r = sd_bus_message_open_container(m, 'a', "{sv}");
	if (r < 0)
		return r;
	r = bus_add_string(m, "policy", policy->name);
	if (r < 0)
		return r;
	r = bus_add_bool(m, "matched", key == MATCH_ALL);
	if (r < 0)
		return r;
	r = bus_add_string(m, "key", match_key_name(key));
	if (r < 0)
		return r;
	r = bus_add_string(m, "reason", why);
	if (r < 0)
		return r;
	return sd_bus_message_close_container(m);
}

/* agent: that it is a part of, whose policy has been told; NULL: the policy is what it would get. */
static int add_process(struct manager *manager, sd_bus_message *m, const struct proc *proc, const struct agent *agent)
{
	const struct policy *chosen = match_find(manager->policies, proc);
	int r;

	r = bus_add_i64(m, "pid", proc->pid);
	if (r < 0)
		return r;
	r = bus_add_string(m, "exe", proc->exe);
	if (r < 0)
		return r;
	r = bus_add_string(m, "script", proc->script);
	if (r < 0)
		return r;
	r = bus_add_string(m, "in_cgroup", proc->cgroup);
	if (r < 0)
		return r;
	r = bus_add_bool(m, "protected", match_is_protected(manager->policies, proc));
	if (r < 0)
		return r;
	if (!agent)
		r = bus_add_string(m, "policy", chosen ? chosen->name : NULL);
	if (r < 0)
		return r;
	r = bus_open_list(m, "policies");
	if (r < 0)
		return r;
	for (size_t i = 0; i < manager->policies->n; i++) {
		const struct policy *policy = manager->policies->policies[i];

		r = add_verdict(m, policy, proc, policy == chosen);
		if (r < 0)
			return r;
	}
	return bus_close_list(m);
}

static int no_such_process(sd_bus_error *error, uint32_t pid)
{
	return sd_bus_error_setf(error, GOV_ERROR_NO_SUCH_PROCESS, "there is no process %u", pid);
}

int call_test_policy(sd_bus_message *reply, uint32_t pid, sd_bus_error *error, void *userdata)
{
	struct manager *manager = userdata;
	struct proc proc;
	int r;

	if (pid == 0 || pid > INT_MAX || procfs_read(manager->procfs, (pid_t)pid, &proc) < 0)
		return no_such_process(error, pid);
	r = sd_bus_message_open_container(reply, 'a', "{sv}");
	if (r < 0)
		return r;
	r = add_process(manager, reply, &proc, NULL);
	if (r < 0)
		return r;
	return sd_bus_message_close_container(reply);
}

/* One sentence: how it stands with this process. */
static const char *state_sentence(const struct manager *manager, const struct agent *agent, const struct proc *proc)
{
	const struct policy *chosen;

	if (agent && agent->is_observed)
		return "its policy is in mode observe: it is watched, and nothing is done to it";
	if (agent && agent->state == AGENT_STOPPING)
		return "it is being stopped: after the grace its whole group is killed";
	if (agent && agent->state == AGENT_FROZEN)
		return "it is frozen until `govctl thaw`";
	if (agent && agent->is_orphaned_policy)
		return "its policy isn't in force any more: its limits stay as they were until it ends";
	if (agent)
		return "it is governed: its limits are in force, and nothing else is due";
	if (proc && match_is_protected(manager->policies, proc))
		return "it is protected: govd never touches PID 1, kernel threads, itself, its ancestors, and what "
		       "`protect` lists";
	chosen = proc ? match_find(manager->policies, proc) : NULL;
	if (chosen)
		return "a policy matches it, but it isn't governed: it was released, or placing it failed; see `govctl "
		       "incidents`";
	return "no policy matches it: it isn't governed";
}

static int add_agent(struct manager *manager, sd_bus_message *m, const struct agent *agent)
{
	int r;

	r = bus_add_string(m, "agent", agent->id);
	if (r < 0)
		return r;
	r = bus_add_string(m, "policy", agent->policy->name);
	if (r < 0)
		return r;
	r = bus_add_string(m, "agent_key", agent->key);
	if (r < 0)
		return r;
	r = bus_add_string(m, "state", agent_state_name(agent->state));
	if (r < 0)
		return r;
	r = bus_add_string(m, "how", agent->how);
	if (r < 0)
		return r;
	return agent_add_next(manager, m, agent);
}

static bool is_number(const char *what)
{
	for (const char *s = what; *s; s++)
		if (!isdigit((unsigned char)*s))
			return false;
	return *what;
}

int call_explain(sd_bus_message *reply, const char *what, sd_bus_error *error, void *userdata)
{
	struct manager *manager = userdata;
	const struct agent *agent = NULL;
	struct proc proc = {};
	bool has_proc = false;
	int r;

	/* A number is a PID first; ids of eight digits are told apart by the process not being there. */
	if (is_number(what) && strlen(what) < 10 && atoi(what) > 0)
		has_proc = procfs_read(manager->procfs, atoi(what), &proc) == 0;
	if (has_proc)
		agent = state_agent_of(manager->state, proc.cgroup_id, proc.pid);
	if (!has_proc) {
		r = call_find_agent(manager, what, &agent, error);
		if (r < 0)
			return r;
		has_proc = agent->has_root && procfs_read(manager->procfs, agent->root_pid, &proc) == 0;
	}
	r = sd_bus_message_open_container(reply, 'a', "{sv}");
	if (r < 0)
		return r;
	if (agent) {
		r = add_agent(manager, reply, agent);
		if (r < 0)
			return r;
	}
	if (has_proc) {
		r = add_process(manager, reply, &proc, agent);
		if (r < 0)
			return r;
	}
	r = bus_add_string(reply, "why", state_sentence(manager, agent, has_proc ? &proc : NULL));
	if (r < 0)
		return r;
	return sd_bus_message_close_container(reply);
}
