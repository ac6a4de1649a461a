/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/text.h"
#include "sense/procfs_private.h"

/* Pieces of one process, by the descriptor of its directory: that stays its, whoever gets the pid later. */

int proc_dir_open(int proc_fd, pid_t pid)
{
	char name[16];
	int fd;

	if (pid <= 0)
		return -ESRCH;
	snprintf(name, sizeof(name), "%d", pid);
	fd = openat(proc_fd, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	return fd;
}

int proc_dir_stat(int dir_fd, struct proc_stat *ret_stat)
{
	char text[PROCFS_STAT_BYTES];
	ssize_t n = file_read(dir_fd, "stat", text, sizeof(text));

	if (n < 0)
		return n == -ENOENT ? -ESRCH : (int)n;
	return n == 0 ? -ESRCH : proc_stat_parse(text, ret_stat);
}

bool proc_stat_is_dead(const struct proc_stat *stat)
{
	/* A leader may be a zombie while other threads go on. */
	return stat->state == 'X' || (stat->state == 'Z' && stat->threads <= 1);
}

static int read_link(int dir_fd, const char *name, char *path, size_t size)
{
	ssize_t n = readlinkat(dir_fd, name, path, size);

	if (n < 0)
		return errno == ESRCH ? -ESRCH : -errno;
	if ((size_t)n >= size)
		return -ENAMETOOLONG;
	path[n] = '\0';
	return 0;
}

int proc_dir_read_place(struct procfs *procfs, int dir_fd, struct proc *proc)
{
	char text[PATH_MAX + 1024], known[sizeof(procfs->cgroup)];
	size_t slice = strlen(procfs->slice);
	struct stat st;
	ssize_t n;
	int r;

	n = file_read(dir_fd, "status", text, sizeof(text));
	if (n < 0)
		return n == -ENOENT ? -ESRCH : (int)n;
	r = proc_uid_parse(text, &proc->uid);
	if (r < 0)
		return r;
	/* A kernel thread's can't be read, nor that of one that ends right now. */
	if (read_link(dir_fd, "cwd", procfs->directory, sizeof(procfs->directory)) == 0)
		proc->directory = procfs->directory;
	n = file_read(dir_fd, "cgroup", text, sizeof(text));
	if (n < 0)
		return n == -ENOENT ? -ESRCH : (int)n;
	r = proc_cgroup_parse(text, procfs->cgroup, sizeof(procfs->cgroup));
	if (r < 0 && r != -ENODATA)
		return r;
	proc->flags |= PROC_OUTSIDE;
	if (r < 0)
		return 0;
	proc->cgroup = procfs->cgroup;
	text_copy(known, sizeof(known), procfs->cgroup);
	if (slice > 0 && strncmp(procfs->cgroup, procfs->slice, slice) == 0 &&
	    (procfs->cgroup[slice] == '/' || procfs->cgroup[slice] == '\0')) {
		proc->flags &= ~(unsigned)PROC_OUTSIDE;
		/* Its agent's group, whatever is nested in that. */
		if (known[slice])
			known[slice + 1 + strcspn(known + slice + 1, "/")] = '\0';
	}
	/* Its group's directory may be gone already. */
	if (fstatat(procfs->cgroup_fd, known[1] ? known + 1 : ".", &st, 0) == 0)
		proc->cgroup_id = st.st_ino;
	return 0;
}

int proc_dir_read_exe(int dir_fd, char *exe, size_t size)
{
	int r = read_link(dir_fd, "exe", exe, size);

	if (r == 0)
		file_strip_deleted(exe);
	return r;
}

void proc_dir_find_script(int dir_fd, struct proc_image *image)
{
	const char *base = text_basename(image->exe);
	char cwd[PATH_MAX];

	if (!proc_image_needs_cwd(image, base) || read_link(dir_fd, "cwd", cwd, sizeof(cwd)) < 0)
		cwd[0] = '\0';
	proc_image_find_script(image, base, cwd);
}

void proc_read_parent(struct procfs *procfs, struct proc *proc)
{
	struct proc_image *image = &procfs->parent_image;
	_cleanup_close_ int dir_fd = -EBADF;
	ssize_t n;

	if (proc->ppid <= 0)
		return;
	dir_fd = proc_dir_open(procfs->proc_fd, proc->ppid);
	if (dir_fd < 0 || proc_dir_read_exe(dir_fd, image->exe, sizeof(image->exe)) < 0)
		return;
	proc->parent_exe = image->exe;
	n = file_read(dir_fd, "cmdline", image->args, sizeof(image->args));
	if (n < 0)
		return;
	proc_image_set_args(image, image->args, (size_t)n);
	proc_dir_find_script(dir_fd, image);
	if (image->script[0])
		proc->parent_script = image->script;
}

void proc_use_image(struct procfs *procfs, struct proc *proc)
{
	struct proc_image *image = &procfs->image;
	const char *pm2 = image->is_pm2 ? proc_env_find(procfs, "pm_exec_path") : NULL;

	if (pm2)
		text_copy(image->script, sizeof(image->script), pm2);
	proc_image_join_args(image);
	proc->exe = image->exe[0] ? image->exe : NULL;
	proc->script = image->script[0] ? image->script : NULL;
	proc->args = image->args;
	proc->env = procfs->env;
	proc->n_env = procfs->n_env;
	if (image->is_truncated)
		proc->flags |= PROC_ARGS_TRUNCATED;
}
