/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_ACT_SAVED_H
#define GOV_ACT_SAVED_H

#include "core/agent.h"

/*
 * An agent's state as kept in the xattr of its v2 directory: `govd3 id=... policy=... ...`, all fields once and in
 * order, separated by one space; every byte of a value that isn't printable ASCII, and %, is %XX. A changed set of
 * fields is a new number behind `govd`.
 */

#define SAVED_XATTR "trusted.govd.agent" /* trusted.*: only root reads and writes it, xattr(7) */
/* id, key, origin, exe and script, all escaped, and the numbers: it always fits. */
#define SAVED_SIZE 4096

struct saved {
	/* id key root_pid root_start_ticks uid parent_pid since_ns run_ns thaw_ns lease_ns lease_until_ns is_explicit
	 * has_root origin exe script are set; the texts are those below. */
	struct agent agent;
	char policy[POLICY_NAME_MAX];
	char key[POLICY_KEY_MAX], origin[AGENT_CGROUP_MAX], exe[AGENT_EXE_MAX], script[AGENT_EXE_MAX];
	uint64_t restart_id; /* of what its lives are counted as; 0: they aren't */
};

/* Returns the length. */
size_t saved_format(const struct agent *agent, char buffer[static SAVED_SIZE]);
/* -EINVAL: not what saved_format writes. text needn't be terminated. */
int saved_parse(const char *text, size_t length, struct saved *ret_saved) _must_check_;

/* Percent escapes, also for the origin. stop: further characters to escape. */
struct text;
void saved_escape(struct text *to, const char *from, const char *stop);
/* Unescapes length bytes; -EINVAL: a bad escape, a byte that should have been escaped, a NUL; -ENAMETOOLONG. */
int saved_unescape(const char *from, size_t length, char *ret_to, size_t size) _must_check_;

#endif
