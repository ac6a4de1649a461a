/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>

#include "base/file.h"
#include "base/text.h"
#include "sense/procfs_private.h"

/* A process that executes all the time is taken as it is after so many looks. */
#define READ_TRIES 4

int procfs_new(const char *cgroup_root, struct procfs **ret_procfs)
{
	_cleanup_(procfs_freep) struct procfs *procfs = calloc(1, sizeof(*procfs));

	if (!procfs)
		return -ENOMEM;
	procfs->cgroup_fd = -EBADF;
	procfs->wants_parent = true;
	procfs->proc_fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (procfs->proc_fd < 0)
		return -errno;
	procfs->cgroup_fd = open(cgroup_root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (procfs->cgroup_fd < 0)
		return -errno;
	*ret_procfs = TAKE_PTR(procfs);
	return 0;
}

struct procfs *procfs_free(struct procfs *procfs)
{
	if (!procfs)
		return NULL;
	if (procfs->proc_fd >= 0)
		close(procfs->proc_fd);
	if (procfs->cgroup_fd >= 0)
		close(procfs->cgroup_fd);
	proc_env_clear(procfs);
	free(procfs);
	return NULL;
}

void procfs_set_env_names(struct procfs *procfs, char *const *names, size_t n)
{
	/* What was kept borrows the old names. */
	proc_env_clear(procfs);
	procfs->env_names = names;
	procfs->n_env_names = n;
}

void procfs_set_parent_wanted(struct procfs *procfs, bool is_wanted)
{
	procfs->wants_parent = is_wanted;
}

void procfs_set_slice(struct procfs *procfs, const char *cgroup)
{
	size_t length;

	/* One that doesn't fit would have no process inside: as none. */
	if (!text_copy(procfs->slice, sizeof(procfs->slice), cgroup))
		procfs->slice[0] = '\0';
	length = strlen(procfs->slice);
	while (length > 0 && procfs->slice[length - 1] == '/')
		procfs->slice[--length] = '\0';
}

/* ---- who may not be touched -------------------------------------------------------------------------------------- */

static bool is_listed(const struct proc_identity *list, size_t n, const struct proc *proc)
{
	for (size_t i = 0; i < n; i++)
		if (list[i].pid == proc->pid && list[i].start_ticks == proc->start_ticks)
			return true;
	return false;
}

int procfs_protect(struct procfs *procfs, pid_t pid)
{
	struct proc_identity identity = {.pid = pid};
	size_t kept = 0;
	int r;

	r = procfs_start_ticks(pid, &identity.start_ticks);
	if (r < 0)
		return r;
	/* Drops those that have ended: helpers are started again. */
	for (size_t i = 0; i < procfs->n_protected; i++) {
		uint64_t ticks;

		if (procfs_start_ticks(procfs->protected[i].pid, &ticks) == 0 &&
		    ticks == procfs->protected[i].start_ticks && procfs->protected[i].pid != pid)
			procfs->protected[kept++] = procfs->protected[i];
	}
	procfs->n_protected = kept;
	if (kept >= PROCFS_PROTECTED_MAX)
		return -ENOBUFS;
	procfs->protected[procfs->n_protected++] = identity;
	return 0;
}

/* This process and its ancestors; again when the parent has ended and another has taken over. */
static void list_ancestors(struct procfs *procfs)
{
	pid_t pid = getpid(), parent = getppid();

	if (procfs->n_ancestors > 0 && procfs->parent == parent)
		return;
	procfs->parent = parent;
	procfs->n_ancestors = 0;
	while (pid > 0 && procfs->n_ancestors < PROCFS_PROTECTED_MAX) {
		_cleanup_close_ int dir_fd = proc_dir_open(procfs->proc_fd, pid);
		struct proc_stat stat;

		if (dir_fd < 0 || proc_dir_stat(dir_fd, &stat) < 0)
			return;
		procfs->ancestors[procfs->n_ancestors++] =
			(struct proc_identity){.pid = pid, .start_ticks = stat.start_ticks};
		pid = stat.ppid;
	}
}

static bool is_protected(struct procfs *procfs, const struct proc *proc)
{
	list_ancestors(procfs);
	return proc->pid == 1 || is_listed(procfs->ancestors, procfs->n_ancestors, proc) ||
	       is_listed(procfs->protected, procfs->n_protected, proc);
}

/* ---- a living process -------------------------------------------------------------------------------------------- */

/* include/linux/sched.h */
#define PF_KTHREAD 0x00200000

/* exe, arguments, script, environment as they are now. */
static int read_image(struct procfs *procfs, int dir_fd)
{
	struct proc_image *image = &procfs->image;
	ssize_t n;
	int r;

	r = proc_dir_read_exe(dir_fd, image->exe, sizeof(image->exe));
	/* A zombie leader, or its mm is going; or a security module keeps even root from it: the rest is told. */
	if (r == -ENOENT || r == -ENAMETOOLONG || r == -EACCES || r == -EPERM)
		image->exe[0] = '\0';
	else if (r < 0)
		return r;
	n = file_read(dir_fd, "cmdline", image->args, sizeof(image->args));
	if (n < 0)
		return n == -ENOENT ? -ESRCH : (int)n;
	proc_image_set_args(image, image->args, (size_t)n);
	proc_dir_find_script(dir_fd, image);
	r = proc_env_read(procfs, dir_fd);
	return r == -EACCES || r == -EPERM ? 0 : r;
}

/* What stays through an execve, and the parent. */
static int read_rest(struct procfs *procfs, int dir_fd, const struct proc_stat *stat, struct proc *proc)
{
	int r;

	proc->ppid = stat->ppid;
	proc->start_ticks = stat->start_ticks;
	if (is_protected(procfs, proc))
		proc->flags |= PROC_PROTECTED;
	r = proc_dir_read_place(procfs, dir_fd, proc);
	if (r < 0)
		return r;
	if (stat->flags & PF_KTHREAD)
		proc->flags |= PROC_KTHREAD;
	else if (procfs->wants_parent)
		proc_read_parent(procfs, proc);
	return 0;
}

static bool is_same_image(const struct proc_stat *a, const struct proc_stat *b)
{
	return a->start_ticks == b->start_ticks && a->start_stack == b->start_stack && a->arg_start == b->arg_start &&
	       a->env_start == b->env_start && a->ppid == b->ppid;
}

static int read_once(struct procfs *procfs, int dir_fd, struct proc *proc, bool *ret_is_stable)
{
	struct proc_stat before, after;
	int r;

	r = proc_dir_stat(dir_fd, &before);
	if (r < 0)
		return r;
	if (proc_stat_is_dead(&before))
		return -ESRCH;
	proc_env_clear(procfs);
	procfs->image.exe[0] = procfs->image.script[0] = procfs->image.args[0] = '\0';
	procfs->image.args_size = 0;
	procfs->image.is_truncated = procfs->image.is_pm2 = false;
	/* Held in execve: its old image is nobody's concern. */
	if (!(before.flags & PF_KTHREAD) && !(proc->flags & PROC_EXEC_PENDING)) {
		r = read_image(procfs, dir_fd);
		if (r < 0)
			return r;
	}
	r = read_rest(procfs, dir_fd, &before, proc);
	if (r < 0)
		return r;
	r = proc_dir_stat(dir_fd, &after);
	if (r < 0)
		return r;
	*ret_is_stable = is_same_image(&before, &after);
	return 0;
}

int proc_read_as(struct procfs *procfs, pid_t pid, unsigned flags, struct proc *ret_proc)
{
	_cleanup_close_ int dir_fd = proc_dir_open(procfs->proc_fd, pid);
	bool is_stable = false;
	struct proc proc;

	if (dir_fd < 0)
		return dir_fd;
	for (int i = 0; i < READ_TRIES && !is_stable; i++) {
		int r;

		proc = (struct proc){.pid = pid, .flags = flags};
		r = read_once(procfs, dir_fd, &proc, &is_stable);
		if (r < 0)
			return r;
	}
	proc_use_image(procfs, &proc);
	*ret_proc = proc;
	return 0;
}

int procfs_read(struct procfs *procfs, pid_t pid, struct proc *ret_proc)
{
	return proc_read_as(procfs, pid, 0, ret_proc);
}

/* ---- from a record ----------------------------------------------------------------------------------------------- */

/* The process has ended: the record is all there is. */
static void use_record(struct procfs *procfs, const struct gov_record_exec *record, struct proc *proc)
{
	struct proc_image *image = &procfs->image;
	const char *base;

	proc_env_clear(procfs);
	text_copy(image->exe, sizeof(image->exe), record->filename);
	proc_image_set_args(image, record->args, record->args_size);
	if (record->head.flags & GOV_RECORD_ARGS_TRUNCATED)
		image->is_truncated = true;
	/* Of a `#!` file the kernel names the file, and the interpreter as the first argument. */
	base = text_basename(image->exe);
	if (!proc_is_interpreter(base) && proc_is_interpreter(text_basename(image->args))) {
		text_copy(image->exe, sizeof(image->exe), image->args);
		base = text_basename(image->exe);
	}
	proc_image_find_script(image, base, "");
	*proc = (struct proc){
		.pid = (pid_t)record->head.pid,
		.ppid = (pid_t)record->head.ppid,
		.uid = record->head.uid,
		.cgroup_id = record->head.cgroup_id,
		.flags = PROC_GONE | (record->head.flags & GOV_RECORD_IN_SLICE ? 0 : PROC_OUTSIDE),
	};
	proc_use_image(procfs, proc);
}

int procfs_read_record(struct procfs *procfs, const struct gov_record_exec *record, struct proc *ret_proc)
{
	uint64_t start_ticks = procfs_ticks_of_ns(record->head.start_ns);
	struct proc proc;
	int r;

	r = procfs_read(procfs, (pid_t)record->head.pid, &proc);
	if (r < 0 && r != -ESRCH)
		return r;
	if (r == -ESRCH || proc.start_ticks != start_ticks)
		use_record(procfs, record, &proc);
	proc.start_ticks = start_ticks;
	proc.mark = record->head.mark;
	*ret_proc = proc;
	return 0;
}

/* ---- identity ---------------------------------------------------------------------------------------------------- */

static int read_stat(pid_t pid, struct proc_stat *ret_stat)
{
	char path[32], text[PROCFS_STAT_BYTES];
	ssize_t n;
	int r;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	n = file_read(AT_FDCWD, path, text, sizeof(text));
	if (n <= 0)
		return n == -ENOENT || n == 0 ? -ESRCH : (int)n;
	r = proc_stat_parse(text, ret_stat);
	if (r < 0)
		return r;
	return proc_stat_is_dead(ret_stat) ? -ESRCH : 0;
}

int procfs_start_ticks(pid_t pid, uint64_t *ret_ticks)
{
	struct proc_stat stat;
	int r = read_stat(pid, &stat);

	if (r == 0)
		*ret_ticks = stat.start_ticks;
	return r;
}

int procfs_parent(pid_t pid, uint64_t start_ticks, pid_t *ret_ppid)
{
	struct proc_stat stat;
	int r = read_stat(pid, &stat);

	if (r < 0)
		return r;
	if (stat.start_ticks != start_ticks)
		return -ESRCH;
	*ret_ppid = stat.ppid;
	return 0;
}

int procfs_comm(pid_t pid, char *comm, size_t size)
{
	char path[32];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	n = file_read(AT_FDCWD, path, comm, size);
	if (n <= 0)
		return n == -ENOENT || n == 0 ? -ESRCH : (int)n;
	comm[strcspn(comm, "\n")] = '\0';
	return 0;
}

uint64_t procfs_ticks_of_ns(uint64_t start_ns)
{
	/* nsec_to_clock_t(), kernel/time/time.c */
	return start_ns / (NSEC_PER_SEC / (uint64_t)sysconf(_SC_CLK_TCK));
}
