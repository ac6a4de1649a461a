/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_ACT_INTERNAL_H
#define GOV_ACT_INTERNAL_H

#include "act/group.h"
#include "act/layout.h"
#include "act/process.h"
#include "base/idmap.h"

/* Shared by the files of src/act; a backend replaces native.c and reuses the rest. */

/* POLICY-ID, or govd-POLICY-ID.scope */
#define GROUP_NAME_MAX (POLICY_NAME_MAX + AGENT_ID_SIZE + 16)

/* One agent's group: about 190 bytes and at most 3 + HIERARCHIES_V1 descriptors. */
struct group {
	uint64_t agent;		     /* handle; 0: restored, and not yet named by anyone */
	uint64_t cgroup_id;	     /* inode of the v2 directory */
	uint64_t freeze_deadline_ns; /* CLOCK_MONOTONIC; a freeze is under way; 0: none */
	int v2_fd;		     /* directory; -EBADF: removed */
	int v1_fd[HIERARCHIES_V1];
	int root_fd; /* pidfd of the root, from when it was placed or found; -EBADF: none */
	pid_t root_pid;
	int home_fd; /* `main`, see tool.h; -EBADF: the group itself */
	struct tool_group *tools;
	char *nested_in;   /* v2 path below the mount point of the group that it is in, NULL: the slice */
	int watch;	   /* inotify; -1: none */
	bool is_occupied;  /* has held a process since its emptiness was told */
	bool is_unchecked; /* look at it at the next dispatch */
	bool is_whole;	   /* memory's end ends all of it; systemd backend */
	char name[GROUP_NAME_MAX];
};

#define CHORES_MAX 4

/* A child that writes to a file of a group, as that may take long: reclaim.c. */
struct chore {
	int pid_fd; /* -EBADF: none */
	uint64_t agent, bytes;
};

struct groups {
	const struct group_ops *ops;
	struct group_events events;
	struct groups_counts counts;
	struct process_guard guard;
	struct layout layout;
	char slice[NAME_MAX + 1];
	char slice_path[PATH_MAX];  /* v2, as in /proc/PID/cgroup */
	char slice_below[PATH_MAX]; /* the same, below the mount point */
	uint64_t slice_id;
	uint32_t slice_level;
	int slice_fd; /* v2 */
	int usage_fd; /* the slice's memory in bytes, read often; -EBADF: not yet, or none */
	int v1_slice_fd[HIERARCHIES_V1];
	struct idmap by_agent, by_id, by_watch; /* handle, cgroup id, watch -> struct group; by_id owns */
	struct idmap by_tool_watch;		/* watch -> struct tool_group */
	int epoll_fd, inotify_fd, timer_fd;
	struct chore chores[CHORES_MAX];
	struct systemd *systemd; /* of that backend, see systemd.h */
};

/* groups.c */
struct group *group_find(struct groups *groups, const struct agent *agent);
/* A new one in the tables; the descriptor becomes the group's, also on failure. */
int group_add(struct groups *groups, uint64_t agent, const char *name, int v2_fd,
	      struct group **ret_group) _must_check_;
/* The v2 path as in /proc/PID/cgroup. */
void group_path(const struct groups *groups, const struct group *group, char ret_path[static AGENT_CGROUP_MAX]);
/* Whether a v2 path below the mount point is the group's or that of a group in it. */
bool group_holds(const struct groups *groups, const struct group *group, const char *path);
void group_drop(struct groups *groups, struct group *group);
/* Keeps a pidfd of its root. pid_fd: a descriptor of the process that pid is. */
void group_set_root(struct group *group, pid_t pid, int pid_fd);
/* As process_open(). Of the root's pid it is the root or nobody. */
int group_open_process(const struct groups *groups, const struct group *group, pid_t pid, uint64_t *start_ticks,
		       int *ret_fd) _must_check_;
void groups_tell(struct groups *groups, const struct action *action, int error);
/* The result of PLACE, when it is done. */
void groups_tell_placed(struct groups *groups, uint64_t agent, pid_t pid, const char *origin);
void groups_tell_event(struct groups *groups, struct event *event);

/* tree.c: a directory and what is nested in it */
typedef int (*tree_pid_f)(pid_t pid, void *userdata);
/* Calls for each process until one call returns not 0, and returns that. */
int tree_pids(int dir_fd, tree_pid_f each, void *userdata);
/* Only those of the directory itself, not of what is nested. */
int tree_own_pids(int dir_fd, tree_pid_f each, void *userdata);
/* Removes the groups nested in it, innermost first; -EBUSY: one has processes. */
int tree_prune(int dir_fd);
/* Removes the directory as well, by its parent; 0 when it is gone already. */
int tree_remove(int dir_fd, const char *name);
/* Only the directory itself. */
int tree_remove_leaf(int dir_fd, const char *name);
/* 1, 0, or -errno: the word after `name ` in a flat keyed file such as cgroup.events. */
int tree_read_flag(int dir_fd, const char *file, const char *name);
int tree_move(int dir_fd, pid_t pid) _must_check_;
int tree_freeze(int dir_fd, bool on) _must_check_;

/* stats.c: where a controller's files of this group are; -1: nowhere. */
int group_controller_fd(const struct groups *groups, const struct group *group, enum controller controller);

/* memory_fd, pids_fd: of these controllers; -1: nowhere. */
void stats_read(const struct groups *groups, int v2_fd, int memory_fd, int pids_fd, struct group_stats *ret_stats);

/* tool_group.c: makes `main`, moves there who is in the group itself, and passes controllers on; where memory is v2's.
 */
int group_split(struct groups *groups, struct group *group, const struct policy *policy) _must_check_;
int group_open_main(struct group *group);
/* Where its processes go that are no tool's. */
static inline int group_home(const struct group *group)
{
	return group->home_fd >= 0 ? group->home_fd : group->v2_fd;
}

/* limit.c */
/* Writes those of a hierarchy's controllers (v1: index; -1: v2). is_fresh: only what differs from a new group's. */
int limit_apply(struct groups *groups, int dir_fd, int where, const struct policy_limits *limits, bool is_fresh);
/* Whether memory's end ends the whole group, in one that is ours or delegated. */
int limit_apply_oom(int dir_fd, bool is_whole);
bool limit_needs(const struct hierarchy *hierarchy, const struct policy_limits *limits);
extern const struct policy_limits limit_none;

/* place.c */
int native_place(struct groups *groups, const struct action *action);
int native_move(struct groups *groups, const struct action *action);
int native_limit(struct groups *groups, const struct action *action);
/* What is nested in the group for tools, by the policy. */
int native_limit_tools(struct groups *groups, struct group *group, const struct policy *policy);
/* Writes the agent's state to its group. */
int group_save(int dir_fd, const struct agent *agent) _must_check_;
int group_save_again(struct groups *groups, const struct action *action);
/* A directory of this name that is there is a leftover, or somebody's: only an empty one makes room. */
int group_fresh_dir(int slice_fd, const char *name, int *ret_fd) _must_check_;
/* nested.c */
int nested_place(struct groups *groups, const struct action *action);
int nested_restore(struct groups *groups);
/* restore.c: the descriptor becomes the group's. */
int group_restore_nested(struct groups *groups, const char *name, const char *parent, int *dir_fd);
/* release.c */
int native_release(struct groups *groups, const struct action *action);
int native_remove(struct groups *groups, const struct action *action);
/* Moves every process back to where the origin says, or to govd's own group, and removes the directories. */
int group_dissolve(struct groups *groups, struct group *group, const char *origin);
/* The group that an origin's path names, or what is there in its place: path becomes that one's. */
int origin_open(const struct groups *groups, const struct hierarchy *hierarchy, char path[static PATH_MAX],
		int *ret_fd) _must_check_;
/* pid was reaped while it was moved. Moves a stranger that got its pid out again; -ESRCH if so, or if nobody is left.
 */
int native_evict(struct groups *groups, const struct action *action);
void native_evict_pid(struct groups *groups, pid_t pid, const char *origin);
int group_evict(struct groups *groups, struct group *group, pid_t pid, uint64_t start_ticks, const char *origin);
/* Removes the directories of an empty group. */
int group_remove_dirs(struct groups *groups, struct group *group);

/* signal.c; dir_fd: the group's own directory, or of a group nested in it */
int group_signal_dir(struct groups *groups, const struct group *group, int dir_fd, int number);
/* left.c */
void group_look_left(int dir_fd, struct left_view *ret_left);
int group_kill_dir(struct groups *groups, const struct group *group, int dir_fd, size_t *ret_killed);
/* Whether the process is in the group or in one nested in it. */
bool group_has(const struct groups *groups, const struct group *group, pid_t pid);
int group_freeze(struct groups *groups, const struct action *action);
int group_thaw(struct groups *groups, const struct action *action);
int group_kill(struct groups *groups, const struct action *action);
int group_signal(struct groups *groups, const struct action *action);
int group_signal_all(struct groups *groups, const struct action *action);
int group_forget(struct groups *groups, const struct action *action);

/* For a moment of govd's own; should it die meanwhile, the next one thaws it. */
int group_freeze_briefly(const struct group *group, bool on) _must_check_;
/* Whether govd has frozen it for a time only; what group_freeze() has left on the group says so. */
bool group_was_frozen_briefly(const struct group *group);

/* reclaim.c */
int group_reclaim(struct groups *groups, const struct action *action);
void chores_init(struct groups *groups);
/* Tells of those that are done. */
void chores_dispatch(struct groups *groups);
void chores_end(struct groups *groups);

/* watch.c */
int watch_open(struct groups *groups) _must_check_;
void watch_close(struct groups *groups);
/* Has groups_fd() be readable when this descriptor is. */
int watch_fd(struct groups *groups, int fd) _must_check_;
/* Without a watch, as when fs.inotify.max_user_watches is reached, the group is looked at once a second. */
void watch_add(struct groups *groups, struct group *group);
void watch_remove(struct groups *groups, struct group *group);
struct tool_group;
int watch_add_tool(struct groups *groups, struct tool_group *tool) _must_check_;
void watch_remove_tool(struct groups *groups, struct tool_group *tool);
void watch_check_tool(struct groups *groups, struct tool_group *tool);
/* Have groups_dispatch look at the group as soon as the loop comes to it. */
void watch_check_soon(struct groups *groups, struct group *group);
void watch_check_all(struct groups *groups);
/* Tells of a freeze that has completed; for freezes under way, waits until then or the deadline. */
void watch_freeze(struct groups *groups, struct group *group);
/* A freeze under way has been thawed: it is told as ECANCELED. */
void watch_freeze_cancel(struct groups *groups, struct group *group);
uint64_t watch_now_ns(void);

/* native.c */
extern const struct group_ops native_ops;
/* The group's directory in a v1 hierarchy, made if need be, with its limits, and kept. */
int native_open_v1(struct groups *groups, struct group *group, size_t index,
		   const struct policy_limits *limits) _must_check_;
/* A group by its path below the mount point: never out of the hierarchy, whatever the path says. */
int hierarchy_open(const struct hierarchy *hierarchy, const char *path, int *ret_fd) _must_check_;

#endif
