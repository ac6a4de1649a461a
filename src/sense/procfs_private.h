/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_SENSE_PROCFS_PRIVATE_H
#define GOV_SENSE_PROCFS_PRIVATE_H

#include <limits.h>

#include "sense/procfs.h"

/* Shared by the files of procfs.c. */

#define PROCFS_ARGV_MAX 512	     /* arguments that are looked at for the script */
#define PROCFS_ENV_ARENA_BYTES 16384 /* values of all named variables of one process */
#define PROCFS_ENV_VALUE_MAX 4096    /* of one; longer ones are cut */
#define PROCFS_ENV_NAME_MAX 256	     /* longer names aren't found */
#define PROCFS_ENV_NAMES_MAX 256     /* of all policies together */
#define PROCFS_PROTECTED_MAX 64
#define PROCFS_STAT_BYTES 2048

/* What is used of /proc/PID/stat, proc_pid_stat(5). The addresses change with each execve: they tell images apart. */
struct proc_stat {
	char state;
	pid_t ppid;
	uint64_t flags, threads, start_ticks, start_stack, arg_start, env_start;
};

/* NUL-separated arguments of one process and the script found in them. */
struct proc_image {
	char exe[PATH_MAX];
	char script[PATH_MAX];	      /* "": none */
	char args[PROC_ARGS_MAX + 2]; /* one more than is used: to tell that there was more */
	size_t args_size;	      /* bytes used, without the final NUL */
	bool is_truncated;
	bool is_pm2; /* the script is in the environment */
};

struct proc_identity {
	pid_t pid;
	uint64_t start_ticks;
};

struct procfs {
	int proc_fd, cgroup_fd;
	char *const *env_names; /* borrowed */
	size_t n_env_names;
	bool wants_parent;
	char slice[PATH_MAX]; /* "": none */
	pid_t parent;	      /* for which the ancestors were listed */
	struct proc_identity ancestors[PROCFS_PROTECTED_MAX];
	size_t n_ancestors;
	struct proc_identity protected[PROCFS_PROTECTED_MAX];
	size_t n_protected;
	/* Of the process last read. */
	struct proc_image image, parent_image;
	char cgroup[PATH_MAX], directory[PATH_MAX];
	struct proc_env env[PROCFS_ENV_NAMES_MAX];
	size_t n_env;
	char arena[PROCFS_ENV_ARENA_BYTES];
	size_t arena_used;
};

/* ---- parsers, pure: procfs_parse.c ---- */

/* 0 or -EBADMSG. The comm in it is the process's own choice and may hold anything, also `) R 1 `. */
int proc_stat_parse(const char *text, struct proc_stat *ret_stat) _must_check_;
/* The v2 path in the text of /proc/PID/cgroup, without " (deleted)"; -ENODATA: none. */
int proc_cgroup_parse(const char *text, char *path, size_t size) _must_check_;
/* The real uid in the text of /proc/PID/status. */
int proc_uid_parse(const char *text, uid_t *ret_uid) _must_check_;
/* Sets image->script, is_pm2 from its arguments, which stay; base: of the executable. cwd: "" when not known. */
void proc_image_find_script(struct proc_image *image, const char *base, const char *cwd);
/* Whether the image may run this script at all: a relative one needs the working directory. */
bool proc_image_needs_cwd(struct proc_image *image, const char *base);
/* Sets image->args to bytes of NUL-separated arguments, cut when they are too long. */
void proc_image_set_args(struct proc_image *image, const char *bytes, size_t size);
/* From NUL-separated to space-separated. */
void proc_image_join_args(struct proc_image *image);
/* Removes `//`, `/./` and `/../` by the letter; path is absolute. */
void proc_path_normalize(char *path);

/* ---- reading: procfs_read.c ---- */

int proc_dir_open(int proc_fd, pid_t pid) _must_check_;
int proc_dir_stat(int dir_fd, struct proc_stat *ret_stat) _must_check_;
bool proc_stat_is_dead(const struct proc_stat *stat);
/* All that doesn't come from the image: group, uid, flags. */
int proc_dir_read_place(struct procfs *procfs, int dir_fd, struct proc *proc) _must_check_;
int proc_dir_read_exe(int dir_fd, char *exe, size_t size) _must_check_;
void proc_dir_find_script(int dir_fd, struct proc_image *image);
void proc_read_parent(struct procfs *procfs, struct proc *proc);

/* procfs.c: procfs_read with these flags; with PROC_EXEC_PENDING all but the image. */
int proc_read_as(struct procfs *procfs, pid_t pid, unsigned flags, struct proc *ret_proc) _must_check_;

/* ---- environments: procfs_env.c ---- */

void proc_env_clear(struct procfs *procfs);
/* Keeps NAME=value when the name is wanted and new. entry is cut at size. */
void proc_env_add(struct procfs *procfs, const char *entry, size_t size);
int proc_env_read(struct procfs *procfs, int dir_fd) _must_check_;
const char *proc_env_find(const struct procfs *procfs, const char *name);

/* Fills what is borrowed from procfs: exe, script, args, env, flags. */
void proc_use_image(struct procfs *procfs, struct proc *proc);

#endif
