/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/match.h"

#include "base/text.h"
#include "core/glob.h"
#include "core/regex.h"

static bool list_matches_path(const struct pattern_list *list, const char *path)
{
	for (size_t i = 0; path && i < list->n; i++)
		if (glob_match_path(list->globs[i], path))
			return true;
	return false;
}

static const char *env_value(const struct proc *proc, const char *name)
{
	for (size_t i = 0; i < proc->n_env; i++)
		if (streq(proc->env[i].name, name))
			return proc->env[i].value;
	return NULL;
}

static bool env_matches(const struct env_pattern *pattern, const struct proc *proc)
{
	const char *value = env_value(proc, pattern->name);

	for (size_t i = 0; value && i < pattern->values.n; i++)
		if (glob_match_text(pattern->values.globs[i], value))
			return true;
	return false;
}

/* A key: whether the policy gives it, whether the process fits, and what to say when it doesn't. */
struct key_row {
	const char *name;
	bool (*is_given)(const struct policy_match *match);
	bool (*matches)(const struct policy_match *match, const struct proc *proc);
	void (*explain)(const struct policy_match *match, const struct proc *proc, struct text *text);
};

static void add_escaped(struct text *text, const char *string)
{
	char escaped[160];

	text_escape(escaped, sizeof(escaped), string);
	text_add(text, escaped);
}

static void add_wanted(struct text *text, char *const *wanted, size_t n)
{
	text_add(text, n > 1 ? ", wanted one of " : ", wanted ");
	for (size_t i = 0; i < n; i++) {
		text_add(text, i ? ", " : "");
		add_escaped(text, wanted[i]);
	}
}

static void explain_path(struct text *text, const char *name, const char *value, const struct pattern_list *list)
{
	text_addf(text, "%s is ", name);
	add_escaped(text, value ? value : "not known");
	add_wanted(text, list->globs, list->n);
}

static bool exe_given(const struct policy_match *match)
{
	return match->exe.n > 0;
}

static bool exe_matches(const struct policy_match *match, const struct proc *proc)
{
	return list_matches_path(&match->exe, proc->exe);
}

static void exe_explain(const struct policy_match *match, const struct proc *proc, struct text *text)
{
	explain_path(text, "exe", proc->exe, &match->exe);
}

static bool script_given(const struct policy_match *match)
{
	return match->script.n > 0;
}

static bool script_matches(const struct policy_match *match, const struct proc *proc)
{
	return list_matches_path(&match->script, proc->script);
}

static void script_explain(const struct policy_match *match, const struct proc *proc, struct text *text)
{
	if (proc->script) {
		explain_path(text, "script", proc->script, &match->script);
		return;
	}
	text_add(text, "it runs no script");
	add_wanted(text, match->script.globs, match->script.n);
}

static bool args_given(const struct policy_match *match)
{
	return match->n_args > 0;
}

static bool args_matches(const struct policy_match *match, const struct proc *proc)
{
	for (size_t i = 0; proc->args && i < match->n_args; i++)
		if (regex_search(match->args[i], proc->args, NULL, 0) == 1)
			return true;
	return false;
}

static void args_explain(const struct policy_match *match, const struct proc *proc, struct text *text)
{
	bool is_stopped = false;

	for (size_t i = 0; proc->args && i < match->n_args; i++)
		is_stopped |= regex_search(match->args[i], proc->args, NULL, 0) == -E2BIG;
	if (!proc->args)
		text_add(text, "args are not known");
	else if (is_stopped)
		text_add(text, "args take too many steps to search, simplify the expression");
	else
		text_add(text, "args don't match");
	add_wanted(text, match->args_text, match->n_args);
}

static bool env_given(const struct policy_match *match)
{
	return match->n_env > 0;
}

static bool env_all_match(const struct policy_match *match, const struct proc *proc)
{
	for (size_t i = 0; i < match->n_env; i++)
		if (!env_matches(&match->env[i], proc))
			return false;
	return true;
}

static void env_explain(const struct policy_match *match, const struct proc *proc, struct text *text)
{
	for (size_t i = 0; i < match->n_env; i++) {
		const struct env_pattern *pattern = &match->env[i];

		if (env_matches(pattern, proc))
			continue;
		text_add(text, "env ");
		add_escaped(text, pattern->name);
		text_add(text, env_value(proc, pattern->name) ? " doesn't match" : " is not set");
		add_wanted(text, pattern->values.globs, pattern->values.n);
		return;
	}
}

static bool user_given(const struct policy_match *match)
{
	return match->n_users > 0;
}

static bool user_matches(const struct policy_match *match, const struct proc *proc)
{
	for (size_t i = 0; i < match->n_users; i++)
		if (match->users[i] == proc->uid)
			return true;
	return false;
}

static void user_explain(const struct policy_match *match, const struct proc *proc, struct text *text)
{
	text_addf(text, "user is %u", (unsigned)proc->uid);
	add_wanted(text, match->user_names, match->n_users);
}

static bool cgroup_given(const struct policy_match *match)
{
	return match->cgroup.n > 0;
}

static bool cgroup_matches(const struct policy_match *match, const struct proc *proc)
{
	return list_matches_path(&match->cgroup, proc->cgroup);
}

static void cgroup_explain(const struct policy_match *match, const struct proc *proc, struct text *text)
{
	explain_path(text, "cgroup", proc->cgroup, &match->cgroup);
}

static bool parent_given(const struct policy_match *match)
{
	return match->parent.n > 0;
}

static bool parent_matches(const struct policy_match *match, const struct proc *proc)
{
	return list_matches_path(&match->parent, proc->parent_exe) ||
	       list_matches_path(&match->parent, proc->parent_script);
}

static void parent_explain(const struct policy_match *match, const struct proc *proc, struct text *text)
{
	text_add(text, "parent is ");
	add_escaped(text, proc->parent_exe ? proc->parent_exe : "not known");
	if (proc->parent_script) {
		text_add(text, " with script ");
		add_escaped(text, proc->parent_script);
	}
	add_wanted(text, match->parent.globs, match->parent.n);
}

static const struct key_row key_rows[MATCH_KEYS] = {
	[MATCH_ALL] = {"", NULL, NULL, NULL},
	[MATCH_EXE] = {"exe", exe_given, exe_matches, exe_explain},
	[MATCH_SCRIPT] = {"script", script_given, script_matches, script_explain},
	[MATCH_ARGS] = {"args", args_given, args_matches, args_explain},
	[MATCH_ENV] = {"env", env_given, env_all_match, env_explain},
	[MATCH_USER] = {"user", user_given, user_matches, user_explain},
	[MATCH_CGROUP] = {"cgroup", cgroup_given, cgroup_matches, cgroup_explain},
	[MATCH_PARENT] = {"parent", parent_given, parent_matches, parent_explain},
};

const char *match_key_name(enum match_key key)
{
	return (size_t)key < MATCH_KEYS ? key_rows[key].name : "";
}

enum match_key match_policy(const struct policy *policy, const struct proc *proc)
{
	for (int key = MATCH_EXE; key < MATCH_KEYS; key++)
		if (key_rows[key].is_given(&policy->match) && !key_rows[key].matches(&policy->match, proc))
			return (enum match_key)key;
	return MATCH_ALL;
}

void match_explain(const struct policy *policy, const struct proc *proc, enum match_key key, char *buffer, size_t size)
{
	struct text text = {.bytes = buffer, .size = size};

	if (!size)
		return;
	buffer[0] = '\0';
	if ((size_t)key >= MATCH_KEYS || key == MATCH_ALL)
		text_add(&text, "every key matches");
	else
		key_rows[key].explain(&policy->match, proc, &text);
}

bool match_is_protected(const struct policy_set *set, const struct proc *proc)
{
	if (proc->pid == 1 || proc->flags & (PROC_KTHREAD | PROC_PROTECTED))
		return true;
	return set && (list_matches_path(&set->host.protect, proc->exe) ||
		       list_matches_path(&set->host.protect, proc->script));
}

struct policy *match_find(const struct policy_set *set, const struct proc *proc)
{
	if (!set || match_is_protected(set, proc))
		return NULL;
	for (size_t i = 0; i < set->n; i++)
		if (match_policy(set->policies[i], proc) == MATCH_ALL)
			return set->policies[i];
	return NULL;
}

void match_agent_key(const struct policy *policy, const struct proc *proc, char *key, size_t size)
{
	const char *value;

	if (!size)
		return;
	key[0] = '\0';
	if (policy->key_args && proc->args) {
		if (regex_search(policy->key_args, proc->args, key, size) != 1)
			key[0] = '\0';
	} else if (policy->key_env) {
		value = env_value(proc, policy->key_env);
		text_copy(key, size, value);
	}
}
