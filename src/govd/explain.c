/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "govd/manager.h"

#include <ctype.h>
#include <limits.h>

#include "core/match.h"
#include "core/placement.h"

/* Why: for a process or an agent, what each policy said of it, and what comes next. */

static void write_verdict(struct bus_writer *writer, const struct policy *policy, const struct proc *proc,
			  bool is_chosen)
{
	enum match_key key = match_policy(policy, proc);
	char why[512] = "";

	if (key != MATCH_ALL)
		match_explain(policy, proc, key, why, sizeof(why));
	else if (!is_chosen)
		snprintf(why, sizeof(why), "it matches too, but a policy whose name sorts before it does so first");
	bus_begin_dict(writer, NULL);
	bus_write_string(writer, "policy", policy->name);
	bus_write_bool(writer, "matched", key == MATCH_ALL);
	bus_write_string(writer, "key", match_key_name(key));
	bus_write_string(writer, "reason", why);
	bus_end(writer);
}

/* What a process is, and what each policy says of it. */
static void write_process(struct manager *manager, struct bus_writer *writer, const struct proc *proc)
{
	const struct policy *chosen = match_find(manager->policies, proc);

	bus_write_i64(writer, "pid", proc->pid);
	bus_write_string(writer, "exe", proc->exe);
	bus_write_string(writer, "script", proc->script);
	bus_write_string(writer, "in_cgroup", proc->cgroup);
	bus_write_bool(writer, "protected", match_is_protected(manager->policies, proc));
	bus_begin_list(writer, "policies");
	for (size_t i = 0; i < manager->policies->n; i++)
		write_verdict(writer, manager->policies->policies[i], proc, manager->policies->policies[i] == chosen);
	bus_end(writer);
}

/* Where it goes, or stays, and why. */
static void write_placement(struct bus_writer *writer, const struct policy *policy, enum cgroup_owner owner,
			    bool is_explicit)
{
	bus_write_string(writer, "placement", placement_name(placement_choose(policy, owner, is_explicit)));
	bus_write_string(writer, "placement_reason", placement_reason(policy, owner, is_explicit));
}

/* The policy that an ungoverned process would get. */
static void write_choice(struct manager *manager, struct bus_writer *writer, const struct proc *proc)
{
	const struct policy *chosen = match_find(manager->policies, proc);

	bus_write_string(writer, "policy", chosen ? chosen->name : NULL);
	if (chosen)
		write_placement(writer, chosen, placement_owner(proc->cgroup), false);
}

static int no_such_process(sd_bus_error *error, uint32_t pid)
{
	return sd_bus_error_setf(error, GOV_ERROR_NO_SUCH_PROCESS, "there is no process %u", pid);
}

int call_test_policy(sd_bus_message *reply, uint32_t pid, sd_bus_error *error, void *userdata)
{
	struct manager *manager = userdata;
	struct proc proc;
	struct bus_writer writer = {.message = reply};

	if (pid == 0 || pid > INT_MAX || procfs_read(manager->procfs, (pid_t)pid, &proc) < 0)
		return no_such_process(error, pid);
	bus_begin_dict(&writer, NULL);
	write_choice(manager, &writer, &proc);
	write_process(manager, &writer, &proc);
	bus_end(&writer);
	return writer.error;
}

static const char *ladder_sentence(const struct agent *agent)
{
	static const char *const sentences[LADDER_RUNGS] = {
		[LADDER_NOTE] = "its memory is short: if that goes on, memory.on_pressure says what is done",
		[LADDER_RECLAIM] = "its memory is short: each second a part of it is reclaimed",
		[LADDER_HIGH] = "its memory is short: for some seconds memory.high is below what it uses",
		[LADDER_FREEZE] = "its memory is short: it is frozen for some seconds",
	};

	if (agent->state == AGENT_FROZEN && !ladder_of(agent)->has_frozen)
		return NULL;
	if (ladder_of(agent)->is_lifted)
		return "it was stuck at memory.high, which isn't in force until it uses less: memory.max is";
	return sentences[ladder_of(agent)->rung];
}

/* One sentence: how it stands with this process. */
static const char *state_sentence(const struct manager *manager, const struct agent *agent, const struct proc *proc)
{
	const struct policy *chosen;

	if (agent && agent->is_observed && agent->placement == POLICY_PLACEMENT_NONE)
		return "it is watched where it is, and nothing is done to it";
	if (agent && agent->is_observed)
		return "its policy is in mode observe: it is watched, and nothing is done to it";
	if (agent && agent->state == AGENT_STOPPING)
		return "it is being stopped: after the grace its whole group is killed";
	if (agent && agent->tracer_pid > 0)
		return "it is being debugged: what its policy's rules would do waits until it isn't any more";
	if (agent && ladder_sentence(agent))
		return ladder_sentence(agent);
	if (agent && agent->state == AGENT_FROZEN)
		return "it is frozen until `govctl thaw`";
	if (agent && agent->is_orphaned_policy)
		return "its policy isn't in force any more: its limits stay as they were until it ends";
	if (agent && agent->leak && agent->leak->told_ns)
		return "it leaks: its memory grows steadily, and would reach its cap within leak.horizon; `govctl "
		       "show` tells when";
	if (agent && agent->activity && agent->state == AGENT_IDLE)
		return "it is governed, and does nothing that its policy's thresholds count: `govctl show` tells what "
		       "it did last, and when";
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

static void write_agent(struct bus_writer *writer, const struct agent *agent)
{
	bus_write_string(writer, "agent", agent->id);
	bus_write_string(writer, "policy", agent->policy->name);
	bus_write_string(writer, "agent_key", agent->key);
	bus_write_string(writer, "state", agent_state_name(agent->state));
	bus_write_string(writer, "how", agent->how);
	if (agent->placement == POLICY_PLACEMENT_NONE && agent->policy->placement == POLICY_PLACEMENT_NESTED) {
		bus_write_string(writer, "placement", placement_name(agent->placement));
		bus_write_string(writer, "placement_reason",
				 "no group can be made in the one that it is in: systemd hasn't delegated that "
				 "(Delegate=yes of its unit), or see `govctl incidents --agent`");
	} else {
		write_placement(writer, agent->policy, agent->owner, agent->is_explicit);
	}
	agent_write_next(writer, agent);
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
	struct bus_writer writer = {.message = reply};
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
	bus_begin_dict(&writer, NULL);
	if (agent)
		write_agent(&writer, agent);
	else
		write_choice(manager, &writer, &proc);
	if (has_proc)
		write_process(manager, &writer, &proc);
	bus_write_string(&writer, "why", state_sentence(manager, agent, has_proc ? &proc : NULL));
	bus_end(&writer);
	return writer.error;
}
