/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_ACT_GROUP_H
#define GOV_ACT_GROUP_H

#include "core/action.h"
#include "core/event.h"

/*
 * The actuator of agents' groups: one ops table a backend. Idempotent; results that come later go to `done`. Handles
 * name agents. The native backend makes, for each agent, SLICE/POLICY-ID in the v2 tree (identity, freeze, kill,
 * cpu.stat, PSI) and in each v1 hierarchy that has a controller it needs. With the systemd backend it is the scope
 * govd-POLICY-ID.scope, which systemd starts, limits and ends.
 */

struct groups;
struct group;

/* A group of an earlier govd, with what its xattr says. */
struct group_found {
	const struct agent *saved;
	const char *policy;
	uint64_t restart_id; /* struct restart.id, of its lives; 0: they aren't counted */
	bool is_populated, is_frozen, root_lives;
	bool is_frozen_briefly; /* ACTION_FREEZE with is_brief */
};

struct group_events {
	/* An action's result, at once (from within the call) or later. */
	void (*done)(const struct event *result, void *userdata);
	/* The agent's group has no process left (v2 cgroup.events). */
	void (*empty)(uint64_t agent, void *userdata);
	/* The same of one of its tools. */
	void (*tool_empty)(uint64_t agent, const struct tool_id *tool, void *userdata);
	/* The slice is another group now: groups_slice_id. */
	void (*slice)(void *userdata);
	/* groups_restore */
	void (*found)(const struct group_found *found, void *userdata);
	void *userdata;
};

/* Counters of one group for list and show; UINT64_MAX: not known. */
struct group_stats {
	uint64_t memory_bytes, memory_max_bytes, memory_peak_bytes, cpu_ns, tasks;
};

struct group_ops {
	const char *name; /* "native", "systemd" */
	/* Finds or makes the slice. words: what went wrong or, on success, what degrades. */
	int (*open)(struct groups *groups, char *words, size_t words_size);
	int (*act)(struct groups *groups, const struct action *action);
	/* What the backend waits for; NULL: for nothing of its own. */
	int (*dispatch)(struct groups *groups);
	void (*close)(struct groups *groups);
	/* Removes an empty group's directories, as far as they are the backend's to remove. */
	int (*remove_dirs)(struct groups *groups, struct group *group);
	/* Moves a process out, to where the origin says. */
	void (*evict)(struct groups *groups, pid_t pid, const char *origin);
	/* Where to write what a govd that is killed hasn't done yet, and how to do it: NULL where nothing lies between.
	 */
	int (*remember)(struct groups *groups, const char *runtime_dir);
	int (*settle)(struct groups *groups);
	/* Removes a directory of the slice that has neither state nor processes: a leftover. */
	int (*sweep)(struct groups *groups, const char *name, int dir_fd);
};

/* slice: base name, e.g. agents.slice. Makes the slice's groups; removes nothing that it finds. error: in words what
 * went wrong or, on success, what degrades; "" nothing. */
int groups_new_native(const char *slice, const struct group_events *events, struct groups **ret_groups, char *error,
		      size_t error_size) _must_check_;
/* The same by systemd, whose slice it starts; waits for that, at most 10 s. -EOPNOTSUPP: systemd isn't PID 1 or has no
 * pure v2 tree. */
int groups_new_systemd(const char *slice, const struct group_events *events, struct groups **ret_groups, char *error,
		       size_t error_size) _must_check_;
/* Which of the two is right here, and why: in words. -errno: neither. */
int groups_choose_backend(bool *ret_is_systemd, char *why, size_t why_size) _must_check_;
/* The native backend removes the slice when it is empty; agents' groups stay. */
struct groups *groups_free(struct groups *groups);
DEFINE_CLEANUP(struct groups *, groups_free)

const char *groups_backend(const struct groups *groups);
const char *groups_v2_root(const struct groups *groups);    /* mount point */
const char *groups_slice_path(const struct groups *groups); /* v2 path as in /proc/PID/cgroup */
uint64_t groups_slice_id(const struct groups *groups);
/* A helper of govd's, which nobody may act on. */
int groups_guard(struct groups *groups, pid_t pid) _must_check_;
uint32_t groups_slice_level(const struct groups *groups); /* depth below the v2 root */

/* What is under way is kept below this directory from now on, for the next govd's groups_restore. */
int groups_remember(struct groups *groups, const char *runtime_dir) _must_check_;
/* Reports every group of the slice that carries state (the handle is 0 yet); sweeps away those that are empty. May wait
 * for systemd, at most 10 s. */
int groups_restore(struct groups *groups) _must_check_;
/* A restored group is this agent's, by its cgroup_id: call it when the core has made the agent. groups_act does it,
 * too; stats, pids and empty() need it. */
int groups_bind(struct groups *groups, const struct agent *agent);

/* Performs PLACE MOVE LIMIT SAVE RELEASE FREEZE THAW SIGNAL SIGNAL_ALL KILL REMOVE RECLAIM FORGET and TOOL_PLACE
 * TOOL_SIGNAL TOOL_KILL TOOL_REMOVE. Signals go through pidfds after a check of start_ticks. Returns 0 or -errno for
 * the log and the counters (-ESRCH: the process or the group has gone); the results of PLACE RELEASE FREEZE THAW KILL
 * REMOVE RECLAIM come as done(), also when they failed, and MOVE's when the group has gone and the process hasn't. */
int groups_act(struct groups *groups, const struct action *action);

/* Readable when some group's population changed: call groups_dispatch. */
int groups_fd(const struct groups *groups);
int groups_dispatch(struct groups *groups);

int groups_stats(struct groups *groups, uint64_t agent, struct group_stats *ret_stats) _must_check_;
/* Only the CPU time: one file, where groups_stats reads five. */
int groups_cpu_ns(struct groups *groups, uint64_t agent, uint64_t *ret_cpu_ns) _must_check_;
/* Only all of its memory, and anonymous memory alone: one file each. Bytes; UINT64_MAX: not known. */
uint64_t groups_memory_bytes(struct groups *groups, uint64_t agent);
uint64_t groups_anon_bytes(struct groups *groups, uint64_t agent);
/* Of all agents of the slice, nested ones (core/placement.h) not. Bytes; 0: not known. */
uint64_t groups_slice_bytes(struct groups *groups);
/* Processes in the agent's group: pids, at most max; returns how many there are. */
ssize_t groups_pids(struct groups *groups, uint64_t agent, pid_t *pids, size_t max);

/* Who traces (ptrace(2)) one of its processes and isn't one of them: a debugger; 0: nobody. Of the first 512. -1: it
 * can't be told, as for want of descriptors. */
pid_t groups_debugger(struct groups *groups, uint64_t agent);

/* What an agent's memory is, bytes; UINT64_MAX: not known. */
struct group_memory {
	uint64_t anon_bytes, file_bytes, shmem_bytes, kernel_bytes; /* file: the page cache without shmem */
};
int groups_memory(struct groups *groups, uint64_t agent, struct group_memory *ret_memory) _must_check_;
/* Of its group of the memory controller, the inode, also when that has been removed; 0: none. */
uint64_t groups_memory_id(struct groups *groups, uint64_t agent);
/* What an agent's end would give back: its memory without the page cache, which is available anyway. Those that have
 * less than rough_bytes with it aren't looked at as closely. UINT64_MAX: not known. */
uint64_t groups_weigh(struct groups *groups, uint64_t agent, uint64_t rough_bytes);
/* The same of one process: what is neither of a file nor shared. */
uint64_t groups_weigh_process(pid_t pid);
/* Its processes with the most memory of their own and shared, largest first. Returns how many, at most max. */
struct group_process {
	pid_t pid;
	uint64_t bytes;
	char comm[16]; /* TASK_COMM_LEN */
};
size_t groups_largest(struct groups *groups, uint64_t agent, struct group_process *processes, size_t max);

/* ---- tools: groups nested in an agent's ---- */

struct group_tool {
	struct tool_id id;
	uint64_t since_ns, cgroup_id, memory_id; /* as in EVENT_TOOL_FOUND */
};
/* Returns how many, at most max. */
size_t groups_tools(const struct groups *groups, uint64_t agent, struct group_tool *tools, size_t max);
int groups_tool_stats(const struct groups *groups, uint64_t agent, const struct tool_id *id,
		      struct group_stats *ret_stats) _must_check_;
/* The name of its first process or, when that has ended, of another; "": of none. */
void groups_tool_name(const struct groups *groups, uint64_t agent, const struct tool_id *id,
		      char name[static TOOL_NAME_SIZE]);
/* Which tool a process of the agent is in, by its group; -ENOENT: in none. */
int groups_tool_of(const struct groups *groups, uint64_t agent, pid_t pid, struct tool_id *ret_id) _must_check_;
/* Processes of the agent that are in no tool's group: pids, at most max; returns how many there are. */
ssize_t groups_home_pids(struct groups *groups, uint64_t agent, pid_t *pids, size_t max);

/* The agent's memory pressure, and what belongs to it; what isn't known is UINT64_MAX. */
int groups_pressure(struct groups *groups, uint64_t agent, struct pressure_view *ret_view) _must_check_;
/* For how long some of its tasks have waited for memory since it began, as in the view: one file. UINT64_MAX: not
 * known. */
uint64_t groups_pressure_some_us(struct groups *groups, uint64_t agent);
/* A descriptor that polls POLLPRI when some tasks of any agent in the slice may have waited for memory for 15 % of 1 or
 * 2 s, and also when they have waited for less. Not in an epoll within an epoll: the first look takes the event. */
int groups_slice_pressure_open(struct groups *groups, int *ret_fd) _must_check_;
/* The same of an agent that isn't in the slice; -ENOENT: this one is. */
int groups_pressure_open(struct groups *groups, uint64_t agent, int *ret_fd) _must_check_;
/* One event of this inotify when memory.events of the agent changes; -ENOENT: v1 has none. */
int groups_events_watch(struct groups *groups, uint64_t agent, int inotify_fd, int *ret_watch) _must_check_;

/* For doctor: layout (v1, hybrid, v2), controllers and where each is. */
int groups_describe(char *buffer, size_t size);
/* For status: sums since the start. */
struct groups_counts {
	uint64_t placed, moved, failed;
	uint64_t degraded;  /* limits that this host can't set */
	uint64_t strangers; /* processes found in the slice in groups without readable state: left alone */
};
void groups_get_counts(const struct groups *groups, struct groups_counts *ret_counts);

#endif
