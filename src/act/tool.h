/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_ACT_TOOL_H
#define GOV_ACT_TOOL_H

#include "act/internal.h"

/*
 * Tools' groups, nested in their agent's: tool-PID-TICKS in v2 and, where memory is v1's, in that hierarchy. Where
 * memory is v2's, an agent's group that passes controllers on may hold no processes itself (no internal processes,
 * cgroup-v2.rst): what isn't a tool's is in its child `main`.
 */

#define TOOL_MAIN "main"
#define TOOL_PREFIX "tool-"
#define TOOL_XATTR "trusted.govd.tool" /* since when it runs: CLOCK_MONOTONIC, ns */

struct tool_group {
	struct tool_group *next;
	struct group *group;
	struct tool_id id;
	uint64_t since_ns;
	uint64_t cgroup_id, memory_id; /* inodes; memory_id 0: none */
	int v2_fd, v1_fd;	       /* v1: of the memory controller; -EBADF: none */
	int watch;		       /* inotify */
	bool is_occupied;	       /* has held a process since its emptiness was told */
	bool is_unchecked;	       /* look at it at the next dispatch */
};

/* tool_group.c: the table, and the directories */
struct tool_group *tool_group_find(const struct group *group, const struct tool_id *id);
int tool_group_open(struct groups *groups, struct group *group, const struct tool_id *id, uint64_t since_ns,
		    const struct policy *policy, struct tool_group **ret_tool) _must_check_;
void tool_group_drop(struct groups *groups, struct tool_group *tool);
int tool_group_remove(struct groups *groups, struct tool_group *tool);
/* Finds those of an earlier govd, and removes what is empty. */
void tool_groups_restore(struct groups *groups, struct group *group);
int tool_groups_limit(struct groups *groups, const struct group *group, const struct policy *policy);
/* Which tool's group a process of the agent is in; -ENOENT: none. */
int tool_group_of(const struct groups *groups, const struct group *group, pid_t pid,
		  struct tool_id *ret_id) _must_check_;
/* The name of a tool's group; false: it is another's. */
bool tool_name_parse(const char *name, struct tool_id *ret_id);

/* tool.c: the actions */
int tool_place(struct groups *groups, const struct action *action);
int tool_signal(struct groups *groups, const struct action *action);
int tool_end(struct groups *groups, const struct action *action);
int tool_remove(struct groups *groups, const struct action *action);

#endif
