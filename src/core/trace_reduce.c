/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/match.h"
#include "core/regex.h"
#include "core/step.h"
#include "core/trace.h"

/* What may be written down of a process: command lines and environments hold secrets. */

static void keep_match(const struct regex *regex, const char *args, char *is_kept)
{
	size_t start, end;

	if (regex && regex_find(regex, args, &start, &end) == 1)
		memset(is_kept + start, 1, end - start);
}

/* Of each run of bytes in a word that nothing matches a `*` is left. */
static void mask_args(const char *args, const char *is_kept, char *to)
{
	for (size_t i = 0; args[i]; i++) {
		bool is_hidden = !is_kept[i] && args[i] != ' ';

		if (!is_hidden)
			*to++ = args[i];
		else if (i == 0 || is_kept[i - 1] || args[i - 1] == ' ')
			*to++ = '*';
	}
	*to = '\0';
}

static void reduce_args(const struct policy *policy, struct trace_reduced *reduced)
{
	char is_kept[PROC_ARGS_MAX + 1] = {0};
	const char *args = reduced->proc.args;

	if (!args || (!policy->match.n_args && !policy->key_args) || strlen(args) > PROC_ARGS_MAX) {
		reduced->proc.args = NULL;
		return;
	}
	for (size_t i = 0; i < policy->match.n_args; i++)
		keep_match(policy->match.args[i], args, is_kept);
	keep_match(policy->key_args, args, is_kept);
	mask_args(args, is_kept, reduced->args);
	reduced->proc.args = reduced->args;
}

static bool is_named(const struct policy *policy, const char *variable)
{
	if (policy->key_env && streq(policy->key_env, variable))
		return true;
	for (size_t i = 0; i < policy->match.n_env; i++)
		if (streq(policy->match.env[i].name, variable))
			return true;
	return false;
}

static void reduce_env(const struct policy *policy, struct trace_reduced *reduced)
{
	const struct proc_env *from = reduced->proc.env;
	size_t n = reduced->proc.n_env;

	reduced->proc.env = reduced->env;
	reduced->proc.n_env = 0;
	for (size_t i = 0; i < n && reduced->proc.n_env < ELEMENTSOF(reduced->env); i++)
		if (is_named(policy, from[i].name))
			reduced->env[reduced->proc.n_env++] = from[i];
}

static void forget_strings(struct proc *proc)
{
	proc->exe = proc->script = proc->args = proc->directory = proc->cgroup = NULL;
	proc->parent_exe = proc->parent_script = NULL;
	proc->env = NULL;
	proc->n_env = 0;
}

bool trace_reduce(const struct policy_set *set, const struct policy *policy, const struct proc *from,
		  struct trace_reduced *reduced)
{
	char key[POLICY_KEY_MAX], key_before[POLICY_KEY_MAX];
	const struct policy *found = match_find(set, from);

	reduced->proc = *from;
	if (!policy)
		policy = found;
	if (!policy) {
		/* What host.protect names is told by its path. */
		bool is_protected = match_is_protected(set, from);
		const char *exe = from->exe, *script = from->script;

		forget_strings(&reduced->proc);
		if (is_protected) {
			reduced->proc.exe = exe;
			reduced->proc.script = script;
		}
		return true;
	}
	reduce_args(policy, reduced);
	reduce_env(policy, reduced);
	if (!policy->match.parent.n)
		reduced->proc.parent_exe = reduced->proc.parent_script = NULL;
	match_agent_key(policy, from, key_before, sizeof(key_before));
	match_agent_key(policy, &reduced->proc, key, sizeof(key));
	return streq(key, key_before) && match_find(set, &reduced->proc) == found;
}

bool trace_matters(const struct state *state, const struct event *event)
{
	const struct proc *proc = &event->seen.proc;

	if (event->kind != EVENT_SEEN || proc->mark || match_find(state_policies(state), proc))
		return true;
	/* A part of an agent by its group, its root, or a child of one that is observed. */
	return state_agent_of(state, proc->cgroup_id, proc->pid) || state_agent_of(state, 0, proc->ppid);
}
