/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "base/file.h"
#include "base/text.h"
#include "sense/procfs_private.h"

/*
 * A process held in execve: still its old image, the new one's arguments are where the system call's pointers point.
 * That the memory is shared (vfork) doesn't matter.
 *
 * Reading faults its pages in, as reading /proc/PID/cmdline and environ does. Where these are of a FUSE mount or under
 * userfaultfd(2), whoever serves those decides how long it takes: only SIGKILL ends the wait. govd-hold lets the
 * process go at its deadline, and what ends a govd that hangs is the service manager's watchdog (WATCHDOG_USEC).
 */

#define PEEK_BLOCK 4096U /* at most a page of any machine, so that a block is readable or not as a whole */
#define PEEK_BLOCKS 4
#define PEEK_ENV_MAX 16384 /* variables that are looked at */

/* How long govd waits for a process to fall asleep: 100 us, doubled each time, 51 ms in all. */
#define ASLEEP_WAIT_US 100U
#define ASLEEP_WAITS 9

/* The other process's memory by blocks, as strings lie near each other. */
struct peek {
	pid_t tid;
	unsigned next;
	uint64_t at[PEEK_BLOCKS]; /* 0: nothing */
	char blocks[PEEK_BLOCKS][PEEK_BLOCK];
};

static int peek_block(struct peek *peek, uint64_t at, const char **ret_block)
{
	struct iovec local = {.iov_base = peek->blocks[peek->next], .iov_len = PEEK_BLOCK};
	struct iovec remote = {.iov_base = (void *)(uintptr_t)at, .iov_len = PEEK_BLOCK};

	for (size_t i = 0; i < PEEK_BLOCKS; i++)
		if (at && peek->at[i] == at) {
			*ret_block = peek->blocks[i];
			return 0;
		}
	peek->at[peek->next] = 0;
	if (process_vm_readv(peek->tid, &local, 1, &remote, 1, 0) != (ssize_t)PEEK_BLOCK)
		return -EAGAIN;
	peek->at[peek->next] = at;
	*ret_block = peek->blocks[peek->next];
	peek->next = (peek->next + 1) % PEEK_BLOCKS;
	return 0;
}

static int peek_pointer(struct peek *peek, uint64_t at, uint64_t *ret_pointer)
{
	char bytes[sizeof(uint64_t)];

	for (size_t i = 0; i < sizeof(bytes); i++) {
		const char *block;
		int r = peek_block(peek, (at + i) & ~(uint64_t)(PEEK_BLOCK - 1), &block);

		if (r < 0)
			return r;
		bytes[i] = block[(at + i) % PEEK_BLOCK];
	}
	memcpy(ret_pointer, bytes, sizeof(bytes));
	return 0;
}

/* At most size bytes of a string, without its NUL; *ret_length == size: there may be more. */
static int peek_string(struct peek *peek, uint64_t at, char *to, size_t size, size_t *ret_length)
{
	size_t length = 0;

	while (length < size) {
		size_t offset = (at + length) % PEEK_BLOCK, part = MIN2(PEEK_BLOCK - offset, size - length), text;
		const char *block;
		int r = peek_block(peek, at + length - offset, &block);

		if (r < 0)
			return r;
		text = strnlen(block + offset, part);
		memcpy(to + length, block + offset, text);
		length += text;
		if (text < part)
			break;
	}
	*ret_length = length;
	return 0;
}

/* ---- the system call --------------------------------------------------------------------------------------------- */

struct exec_call {
	pid_t tid;
	uint64_t argv, envp;
};

/* /proc/PID/task/TID/syscall, proc_pid_syscall(5): number and six arguments in hex. */
static int call_parse(const char *text, struct exec_call *ret_call)
{
	unsigned long long a[4];
	long number;

	if (sscanf(text, "%ld 0x%llx 0x%llx 0x%llx 0x%llx", &number, &a[0], &a[1], &a[2], &a[3]) != 5)
		return -EAGAIN;
	/* Those of 32-bit programs have other numbers, and none of these waits in an exec. */
	if (number == SYS_execve)
		*ret_call = (struct exec_call){.argv = a[1], .envp = a[2]};
	else if (number == SYS_execveat)
		*ret_call = (struct exec_call){.argv = a[2], .envp = a[3]};
	else
		return -EAGAIN;
	return 0;
}

static int call_read(int dir_fd, const char *tid, struct exec_call *ret_call)
{
	char path[64], text[256];
	ssize_t n;
	int r;

	snprintf(path, sizeof(path), "task/%.20s/syscall", tid);
	n = file_read(dir_fd, path, text, sizeof(text));
	if (n > 0 && strncmp(text, "running", strlen("running")) == 0)
		return -EBUSY;
	r = n < 0 ? -EAGAIN : call_parse(text, ret_call);
	if (r == 0)
		ret_call->tid = (pid_t)strtol(tid, NULL, 10);
	return r;
}

/* Any thread may call execve; mostly it is the leader. -EBUSY: it may be one that runs. */
static int call_find(int dir_fd, pid_t pid, struct exec_call *ret_call)
{
	char name[16];
	DIR *tasks;
	int r, opened;

	snprintf(name, sizeof(name), "%d", pid);
	r = call_read(dir_fd, name, ret_call);
	if (r == 0)
		return 0;
	opened = file_open_dir(dir_fd, "task", &tasks);
	if (opened < 0)
		return opened == -ENOMEM ? opened : -EAGAIN;
	for (struct dirent *entry; r < 0 && (entry = readdir(tasks));) {
		bool is_busy = r == -EBUSY;

		if (entry->d_name[0] != '.')
			r = call_read(dir_fd, entry->d_name, ret_call);
		if (r < 0 && is_busy)
			r = -EBUSY;
	}
	closedir(tasks);
	return r;
}

/*
 * The kernel tells of the open before the opener sleeps (fanotify_handle_event), and knows the system call of sleepers
 * only. An opener that has lost its CPU in between has to get it back first, so let go of ours.
 */
static int call_await(int dir_fd, pid_t pid, struct exec_call *ret_call)
{
	int r = call_find(dir_fd, pid, ret_call);

	for (unsigned i = 0; i < ASLEEP_WAITS && r == -EBUSY; i++) {
		usleep(ASLEEP_WAIT_US << i);
		r = call_find(dir_fd, pid, ret_call);
	}
	return r == -EBUSY ? -EAGAIN : r;
}

/* ---- the image to come ------------------------------------------------------------------------------------------- */

static int peek_args(struct peek *peek, uint64_t argv, struct proc_image *image)
{
	size_t used = 0;

	/* Linux takes NULL for an empty list. */
	while (argv && used <= PROC_ARGS_MAX) {
		uint64_t pointer;
		size_t length;
		int r = peek_pointer(peek, argv, &pointer);

		if (r < 0)
			return r;
		if (!pointer)
			break;
		r = peek_string(peek, pointer, image->args + used, sizeof(image->args) - 1 - used, &length);
		if (r < 0)
			return r;
		used += length;
		if (used < sizeof(image->args) - 1)
			image->args[used++] = '\0';
		argv += sizeof(uint64_t);
	}
	proc_image_set_args(image, image->args, used);
	return 0;
}

static int peek_env(struct procfs *procfs, struct peek *peek, uint64_t envp)
{
	char entry[PROCFS_ENV_NAME_MAX + 1 + PROCFS_ENV_VALUE_MAX];

	proc_env_clear(procfs);
	for (size_t i = 0; envp && procfs->n_env_names > 0 && i < PEEK_ENV_MAX; i++) {
		uint64_t pointer;
		size_t length;
		int r = peek_pointer(peek, envp + i * sizeof(uint64_t), &pointer);

		if (r < 0)
			return r;
		if (!pointer)
			break;
		r = peek_string(peek, pointer, entry, sizeof(entry), &length);
		if (r < 0)
			return r;
		proc_env_add(procfs, entry, length);
	}
	explicit_bzero(entry, sizeof(entry));
	return 0;
}

static int read_coming_image(struct procfs *procfs, int dir_fd, pid_t pid)
{
	struct peek peek = {};
	struct exec_call call;
	int r;

	r = call_await(dir_fd, pid, &call);
	if (r < 0)
		return r;
	peek.tid = call.tid;
	r = peek_args(&peek, call.argv, &procfs->image);
	if (r == 0)
		r = peek_env(procfs, &peek, call.envp);
	explicit_bzero(peek.blocks, sizeof(peek.blocks));
	if (r < 0)
		return r;
	proc_dir_find_script(dir_fd, &procfs->image);
	return 0;
}

int procfs_read_exec(struct procfs *procfs, pid_t pid, const char *path, struct proc *ret_proc)
{
	_cleanup_close_ int dir_fd = -EBADF;
	struct proc proc;
	int r;

	/* All but the image. */
	r = proc_read_as(procfs, pid, PROC_EXEC_PENDING, &proc);
	if (r < 0)
		return r;
	dir_fd = proc_dir_open(procfs->proc_fd, pid);
	if (dir_fd < 0)
		return dir_fd;
	if (!text_copy(procfs->image.exe, sizeof(procfs->image.exe), path))
		return -ENAMETOOLONG;
	r = read_coming_image(procfs, dir_fd, pid);
	if (r < 0)
		return r;
	proc_use_image(procfs, &proc);
	*ret_proc = proc;
	return 0;
}

/* ---- a script that is being opened ------------------------------------------------------------------------------- */

/* The file by what is in the kernel's caches only: a path of the process's choice must not make govd wait (FUSE, NFS).
 * A script that is being opened is in them. */
static int file_identity(const char *path, struct statx *ret_statx)
{
	struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_CACHED};
	_cleanup_close_ int fd = (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));

	if (fd < 0)
		return -errno;
	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_INO, ret_statx) < 0)
		return -errno;
	return 0;
}

static bool is_same_file(const char *a, const char *b)
{
	struct statx x, y;

	return file_identity(a, &x) == 0 && file_identity(b, &y) == 0 && x.stx_ino == y.stx_ino &&
	       x.stx_dev_major == y.stx_dev_major && x.stx_dev_minor == y.stx_dev_minor;
}

/* node finds a file for a name without an extension, and for a directory. */
static bool is_completed(const char *script, const char *path)
{
	static const char *const tails[] = {".js", ".cjs", ".mjs", "/index.js", "/__main__.py"};
	size_t length = strlen(script);

	if (strncmp(script, path, length) != 0)
		return false;
	for (size_t i = 0; i < ELEMENTSOF(tails); i++)
		if (streq(path + length, tails[i]))
			return true;
	return false;
}

int procfs_read_script(struct procfs *procfs, pid_t pid, const char *path, struct proc *ret_proc)
{
	struct proc proc;
	int r;

	r = procfs_read(procfs, pid, &proc);
	if (r < 0)
		return r;
	if (!proc.script)
		return -ENOENT;
	if (!streq(proc.script, path) && !is_completed(proc.script, path) && !is_same_file(proc.script, path))
		return -ENOENT;
	/* The resolved name, as it was opened. */
	if (!text_copy(procfs->image.script, sizeof(procfs->image.script), path))
		return -ENAMETOOLONG;
	proc.script = procfs->image.script;
	*ret_proc = proc;
	return 0;
}
