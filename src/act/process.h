/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_ACT_PROCESS_H
#define GOV_ACT_PROCESS_H

#include <sys/types.h>

#include "base/macro.h"

/* Processes that are acted on: by pidfd, and only when they still are what they were. */

struct process_stat {
	pid_t ppid;
	char state;
	bool is_kthread;
	uint64_t start_ticks;
};

/* Fields of /proc/PID/stat (proc_pid_stat(5)); -ESRCH: gone. */
int process_read_stat(pid_t pid, struct process_stat *ret_stat) _must_check_;
/* Its name; "" when it has ended. */
void process_read_comm(pid_t pid, char *ret_comm, size_t size);

/*
 * Whom nobody may touch: govd and its ancestors (and PID 1), and govd's helpers. The ancestors are taken once: a
 * process whose parent ends is adopted by one that is an ancestor already (a subreaper) or by PID 1, so no ancestor is
 * ever added.
 */
#define PROCESS_GUARD_MAX 64
struct process_guard {
	struct {
		pid_t pid;
		uint64_t start_ticks;
	} guarded[PROCESS_GUARD_MAX];
	size_t n, n_ancestors; /* govd is one of these */
};

void process_guard_init(struct process_guard *guard);
/* A helper, until it ends. */
int process_guard_add(struct process_guard *guard, pid_t pid) _must_check_;
bool process_is_guarded(const struct process_guard *guard, pid_t pid, uint64_t start_ticks);

/* The same when its start isn't known yet. */
bool process_is_guarded_now(const struct process_guard *guard, pid_t pid);

/*
 * A pidfd of the process that pid was when it started at *start_ticks (0: whatever it is; then it is filled in).
 * -ESRCH: gone, or another process by now; -EPERM: guarded, or a kernel thread.
 */
int process_open(const struct process_guard *guard, pid_t pid, uint64_t *start_ticks, int *ret_fd) _must_check_;
int process_signal(int pid_fd, int number) _must_check_;
/* Whether it hasn't been reaped: as long as that holds, its pid is nobody else's. */
bool process_is_there(int pid_fd);
/* Whether pid, which started then, runs: a zombie does not. */
bool process_lives(pid_t pid, uint64_t start_ticks);

#endif
