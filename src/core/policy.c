/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/policy.h"

#include "core/regex.h"

static void strings_free(char **strings, size_t n)
{
	for (size_t i = 0; strings && i < n; i++)
		free(strings[i]);
	free(strings);
}

void pattern_list_done(struct pattern_list *list)
{
	strings_free(list->globs, list->n);
	*list = (struct pattern_list){0};
}

static void match_done(struct policy_match *match)
{
	pattern_list_done(&match->exe);
	pattern_list_done(&match->script);
	pattern_list_done(&match->cgroup);
	pattern_list_done(&match->parent);
	strings_free(match->args_text, match->n_args);
	for (size_t i = 0; match->args && i < match->n_args; i++)
		regex_free(match->args[i]);
	free(match->args);
	for (size_t i = 0; match->env && i < match->n_env; i++) {
		free(match->env[i].name);
		pattern_list_done(&match->env[i].values);
	}
	free(match->env);
	strings_free(match->user_names, match->n_users);
	free(match->users);
}

static void policy_free(struct policy *policy)
{
	match_done(&policy->match);
	free(policy->file);
	free(policy->key_args_text);
	regex_free(policy->key_args);
	free(policy->key_env);
	strings_free(policy->allow_user_names, policy->n_allow_users);
	strings_free(policy->allow_group_names, policy->n_allow_groups);
	free(policy->allow_users);
	free(policy->allow_groups);
	free(policy);
}

bool policy_has_tools(const struct policy *policy)
{
	return policy->limits.on_oom == POLICY_OOM_KILL_TOOL || policy->tools.memory_max_bytes != UNIT_INFINITY ||
	       policy->tools.max_runtime_ns != UNIT_INFINITY;
}

struct policy *policy_ref(struct policy *policy)
{
	if (policy)
		policy->references++;
	return policy;
}

struct policy *policy_unref(struct policy *policy)
{
	if (policy && --policy->references == 0)
		policy_free(policy);
	return NULL;
}

struct policy_set *policy_set_ref(struct policy_set *set)
{
	if (set)
		set->references++;
	return set;
}

struct policy_set *policy_set_unref(struct policy_set *set)
{
	if (!set || --set->references > 0)
		return NULL;
	for (size_t i = 0; i < set->n; i++)
		policy_unref(set->policies[i]);
	free(set->policies);
	strings_free(set->env_names, set->n_env_names);
	pattern_list_done(&set->host.protect);
	free(set);
	return NULL;
}

struct policy *policy_set_find(const struct policy_set *set, const char *name)
{
	size_t low = 0, high = set->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(set->policies[middle]->name, name);

		if (order == 0)
			return set->policies[middle];
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

bool policy_allows(const struct policy *policy, uid_t uid, const gid_t *groups, size_t n_groups)
{
	for (size_t i = 0; i < policy->n_allow_users; i++)
		if (policy->allow_users[i] == uid)
			return true;
	for (size_t i = 0; i < policy->n_allow_groups; i++)
		for (size_t j = 0; j < n_groups; j++)
			if (policy->allow_groups[i] == groups[j])
				return true;
	return false;
}
