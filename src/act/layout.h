/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_ACT_LAYOUT_H
#define GOV_ACT_LAYOUT_H

#include <limits.h>
#include <sys/types.h>

#include "core/agent.h"

/* How this host's control groups are laid out, and where a process is in them. */

enum controller { CONTROLLER_MEMORY, CONTROLLER_PIDS, CONTROLLER_CPU, CONTROLLERS };

const char *controller_name(enum controller controller);

#define HIERARCHIES_V1 CONTROLLERS /* at most one a controller */
#define HIERARCHY_NAME_MAX 64

struct hierarchy {
	char mount[PATH_MAX];	       /* mount point */
	char root[PATH_MAX];	       /* which group is mounted there: "" or, without a cgroup namespace, a path */
	char name[HIERARCHY_NAME_MAX]; /* v1: its controllers as in /proc/PID/cgroup, `cpu,cpuacct`; v2: "" */
	char own[PATH_MAX];	       /* govd's own group, below mount: "" is the mount point itself */
	unsigned controllers;	       /* bits of the controllers that are used here */
};

enum where { WHERE_NONE = -2, WHERE_V2 = -1 }; /* else the index in v1 */

struct layout {
	struct hierarchy v2;
	struct hierarchy v1[HIERARCHIES_V1];
	size_t n_v1;
	int where[CONTROLLERS]; /* enum where, or the index in v1 */
};

/* The error is also told in words, with what to do. */
int layout_discover(struct layout *ret_layout, char *error, size_t error_size) _must_check_;
/* For people, one line a fact. */
void layout_describe(const struct layout *layout, char *buffer, size_t size);

/* Whether systemd can be had to make the groups: it is PID 1 and its tree is pure v2. words: why, or why not. */
bool layout_is_systemds(const struct layout *layout, char *words, size_t size);

/* Which of v2's controllers (bits) the native backend's slice has or would get. */
unsigned layout_passed_on(const struct layout *layout);
#define LAYOUT_NOT_PASSED_ON                                                                                           \
	"the top of the v2 tree doesn't pass it on (cgroup.subtree_control); with systemd, start govd in a unit with " \
	"Delegate=yes"

/* A group of a process: path below the mount point, "" for the mount point itself; -ENOENT: outside of the mount. */
int layout_path_of(const struct hierarchy *hierarchy, const char *proc_cgroup, char *ret_path,
		   size_t size) _must_check_;

/*
 * The groups of a process, as text for agent->origin: `v2=PATH;CONTROLLERS=PATH;...`, escaped as in saved.h. What
 * doesn't fit is left out, whole.
 */
void origin_format(const struct layout *layout, const char *proc_cgroup, char ret_origin[static AGENT_CGROUP_MAX]);
/* The path in one hierarchy; -ENOENT: not told. */
int origin_path(const char *origin, const struct hierarchy *hierarchy, char *ret_path, size_t size) _must_check_;

/* /proc/PID/cgroup; pid 0: one's own. -ESRCH: gone. */
#define PROC_CGROUP_SIZE 8192
int proc_cgroup_read(pid_t pid, char buffer[static PROC_CGROUP_SIZE]) _must_check_;

#endif
