/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_CORE_MATCH_H
#define GOV_CORE_MATCH_H

#include "core/policy.h"
#include "core/proc.h"

/* Which policy is a process for? Pure. */

enum match_key {
	MATCH_ALL = 0, /* every key given matched */
	MATCH_EXE,
	MATCH_SCRIPT,
	MATCH_ARGS,
	MATCH_ENV,
	MATCH_USER,
	MATCH_CGROUP,
	MATCH_PARENT,
	MATCH_KEYS,
};

const char *match_key_name(enum match_key key); /* "exe"; "" for MATCH_ALL */

/* MATCH_ALL, or the first key (in the order above, cheapest and most telling first) that didn't match. */
enum match_key match_policy(const struct policy *policy, const struct proc *proc);

/* For people, after match_policy said key: `exe is /usr/bin/python3, wanted /opt/bin/x`. Values are escaped and cut; of
 * args and environment, which may hold secrets, only what the policy wanted is told. */
void match_explain(const struct policy *policy, const struct proc *proc, enum match_key key, char *buffer, size_t size);

/* The first policy of the set that matches, borrowed; NULL: none, or the process may not be governed. */
struct policy *match_find(const struct policy_set *set, const struct proc *proc);

/* Whether govd may never touch it: kernel thread, PID 1, govd, ancestors, host.protect. */
bool match_is_protected(const struct policy_set *set, const struct proc *proc);

/* The key of the agent that proc would be the root of: group 1 of key.args, or the variable; "" when there is none. */
void match_agent_key(const struct policy *policy, const struct proc *proc, char *key, size_t size);

#endif
