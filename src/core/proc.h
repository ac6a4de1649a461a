/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_CORE_PROC_H
#define GOV_CORE_PROC_H

#include <sys/types.h>

#include "base/macro.h"

/* What the edges know of a process. All strings are borrowed for the duration of step(); NULL: not known. */

enum proc_flags {
	PROC_KTHREAD = 1 << 0,
	PROC_PROTECTED = 1 << 1, /* PID 1, govd or one of its ancestors: the edge knows, the core obeys */
	PROC_ARGS_TRUNCATED = 1 << 2,
	PROC_GONE = 1 << 3,	    /* had ended when the edge looked: only what the record held is known */
	PROC_EXEC_PENDING = 1 << 4, /* held in execve: exe, script, args and env are those to come */
	PROC_OUTSIDE = 1 << 5,	    /* its group isn't below the slice */
};

struct proc_env {
	const char *name, *value;
};

struct proc {
	pid_t pid, ppid;
	uint64_t start_ticks;  /* field 22 of /proc/PID/stat, USER_HZ since boot: with pid, the identity */
	uint64_t mark;	       /* lineage mark, 0: none */
	uint64_t cgroup_id;    /* inode of the v2 group's directory, below the slice its agent's; 0: not known */
	uid_t uid;	       /* real */
	unsigned flags;	       /* enum proc_flags */
	const char *exe;       /* resolved path, without " (deleted)" */
	const char *script;    /* absolute path of the interpreter's script; NULL: not an interpreter, or none */
	const char *args;      /* argv joined by spaces, at most PROC_ARGS_MAX bytes */
	const char *directory; /* working directory */
	const char *cgroup;    /* v2 path as in /proc/PID/cgroup */
	const char *parent_exe, *parent_script;
	const struct proc_env *env; /* only the variables that policies name (policy_set.env_names) */
	size_t n_env;
};

#define PROC_ARGS_MAX 8192

/*
 * Which of argv is the script that an interpreter of this base name runs, by the interpreter's own option rules: python
 * `-u`, `-W x`, `-m mod` (none); node `--require x`; sh `-c` (none). Returns the index in argv, or -1: the executable
 * is no interpreter that we know or it runs no file.
 */
int proc_script_index(const char *exe_basename, const char *const *argv, size_t n_argv);
/* Whether a base name is that of a known interpreter (`python3.11`, `node`, `bash`, ...). */
bool proc_is_interpreter(const char *exe_basename);
/* Base-name globs of the interpreters that run scripts of this path glob, NULL-terminated: by its suffix (`.py`:
 * pythons only), else all that are known. The kernel looks for these: shells and pythons are executed all the time. */
const char *const *proc_interpreter_globs(const char *script_glob);
/* Whether that is PM2's container file: then the script is env pm_exec_path. */
bool proc_is_pm2_container(const char *script);

#endif
