/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_SENSE_PROCFS_H
#define GOV_SENSE_PROCFS_H

#include "core/policy.h"
#include "core/proc.h"
#include "gov/event.h"

/* /proc -> struct proc. One reader is reused for each process: it owns the strings of the last one read. */

struct procfs;

/* cgroup_root: mount point of the v2 tree (for group ids), e.g. /sys/fs/cgroup/unified. */
int procfs_new(const char *cgroup_root, struct procfs **ret_procfs) _must_check_;
struct procfs *procfs_free(struct procfs *procfs);
DEFINE_CLEANUP(struct procfs *, procfs_free)

/* The variables that may be read of environments; borrowed until replaced. */
void procfs_set_env_names(struct procfs *procfs, char *const *names, size_t n);
/* Whether parent_exe and parent_script are read at all, as they are at first: only for policies that match a parent. */
void procfs_set_parent_wanted(struct procfs *procfs, bool is_wanted);
/* v2 path of the slice: sets PROC_OUTSIDE. NULL: none. */
void procfs_set_slice(struct procfs *procfs, const char *cgroup);
/* These pids are PROC_PROTECTED besides PID 1, this process and its ancestors (govd-hold, govd-recorder). */
int procfs_protect(struct procfs *procfs, pid_t pid) _must_check_;

/* 0 (ret_proc valid until the next call), -ESRCH, or -errno. Consistent: read again when the process has executed
 * meanwhile. */
int procfs_read(struct procfs *procfs, pid_t pid, struct proc *ret_proc) _must_check_;
/* The same for a process held in execve of path: exe, script, args and env are those to come (/proc/PID/syscall and its
 * memory). -EAGAIN: they can't be read (compat syscall, memory gone); the exec record will tell. */
int procfs_read_exec(struct procfs *procfs, pid_t pid, const char *path, struct proc *ret_proc) _must_check_;
/* A process held in opening path: like procfs_read, script is path when it is the interpreter's script.
 * -ENOENT: pid only opens the file (cat, an editor), it isn't its interpreter's script. */
int procfs_read_script(struct procfs *procfs, pid_t pid, const char *path, struct proc *ret_proc) _must_check_;
/* From an exec record, completed from /proc while the process lives; else PROC_GONE and what the record holds. */
int procfs_read_record(struct procfs *procfs, const struct gov_record_exec *record, struct proc *ret_proc) _must_check_;

/* start_ticks of a living process, by /proc/PID/stat. 0, -ESRCH. */
int procfs_start_ticks(pid_t pid, uint64_t *ret_ticks) _must_check_;
/* Its name, /proc/PID/comm. 0, -ESRCH. */
int procfs_comm(pid_t pid, char *comm, size_t size) _must_check_;
/* The parent of a living process, now; -ESRCH: it isn't this one any more. Takes no lock of its memory, so that it
 * doesn't wait for a process that waits for memory. */
int procfs_parent(pid_t pid, uint64_t start_ticks, pid_t *ret_ppid) _must_check_;
/* As above from start_boottime. */
uint64_t procfs_ticks_of_ns(uint64_t start_ns);

/* Calls fn for the pid of each process (thread group), parents before children (by start time). fn returns < 0 to end.
 */
int procfs_scan(int (*fn)(pid_t pid, void *userdata), void *userdata) _must_check_;

/* Calls fn for the pid of each child of the process that pid was when it started then. fn returns < 0 to end. 0,
 * -ESRCH: it isn't this one any more, or what fn returned. */
int procfs_children(pid_t pid, uint64_t start_ticks, int (*fn)(pid_t pid, void *userdata), void *userdata) _must_check_;

#endif
