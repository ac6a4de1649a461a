/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "act/process.h"

#include <fcntl.h>
#include <sys/syscall.h>

#include "base/file.h"

#define PF_KTHREAD 0x00200000U /* include/linux/sched.h */

int process_read_stat(pid_t pid, struct process_stat *ret_stat)
{
	char path[32], buffer[1024], *p;
	unsigned long long start;
	unsigned flags;
	char state;
	ssize_t n;
	int ppid;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	n = file_read(AT_FDCWD, path, buffer, sizeof(buffer));
	if (n < 0)
		return n == -ENOENT ? -ESRCH : (int)n;
	/* comm is the process's own choice and may hold anything: what follows its last `)` is the kernel's. */
	p = strrchr(buffer, ')');
	if (!p || sscanf(p + 1, " %c %d %*d %*d %*d %*d %u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
			 &state, &ppid, &flags, &start) != 4)
		return -ESRCH;
	*ret_stat = (struct process_stat){
		.ppid = ppid, .state = state, .is_kthread = flags & PF_KTHREAD, .start_ticks = start};
	return 0;
}

void process_read_comm(pid_t pid, char *ret_comm, size_t size)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	if (file_read(AT_FDCWD, path, ret_comm, size) < 0)
		ret_comm[0] = '\0';
	ret_comm[strcspn(ret_comm, "\n")] = '\0';
}

void process_guard_init(struct process_guard *guard)
{
	pid_t pid = getpid();

	guard->n = 0;
	while (pid > 1 && guard->n < PROCESS_GUARD_MAX) {
		struct process_stat stat;

		if (process_read_stat(pid, &stat) < 0)
			break;
		guard->guarded[guard->n].pid = pid;
		guard->guarded[guard->n++].start_ticks = stat.start_ticks;
		pid = stat.ppid;
	}
	guard->n_ancestors = guard->n;
}

int process_guard_add(struct process_guard *guard, pid_t pid)
{
	size_t at = guard->n_ancestors;
	struct process_stat stat;
	int r;

	r = process_read_stat(pid, &stat);
	if (r < 0)
		return r;
	/* In the place of one that has ended. */
	while (at < guard->n && process_lives(guard->guarded[at].pid, guard->guarded[at].start_ticks))
		at++;
	if (at >= PROCESS_GUARD_MAX)
		return -E2BIG;
	guard->guarded[at].pid = pid;
	guard->guarded[at].start_ticks = stat.start_ticks;
	guard->n = MAX2(guard->n, at + 1);
	return 0;
}

bool process_is_guarded(const struct process_guard *guard, pid_t pid, uint64_t start_ticks)
{
	if (pid <= 1 || pid == getpid())
		return true;
	for (size_t i = 0; i < guard->n; i++)
		if (guard->guarded[i].pid == pid && guard->guarded[i].start_ticks == start_ticks)
			return true;
	return false;
}

bool process_is_guarded_now(const struct process_guard *guard, pid_t pid)
{
	struct process_stat stat;

	if (process_is_guarded(guard, pid, 0))
		return true;
	for (size_t i = 0; i < guard->n; i++)
		if (guard->guarded[i].pid == pid)
			return process_read_stat(pid, &stat) == 0 && process_is_guarded(guard, pid, stat.start_ticks);
	return false;
}

int process_open(const struct process_guard *guard, pid_t pid, uint64_t *start_ticks, int *ret_fd)
{
	_cleanup_close_ int fd = -EBADF;
	struct process_stat stat;
	int r;

	if (pid <= 1)
		return -EPERM;
	fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (fd < 0)
		/* EINVAL: pid is a thread, not a process. */
		return errno == EINVAL ? -ESRCH : -errno;
	r = process_read_stat(pid, &stat);
	if (r < 0)
		return r;
	if (*start_ticks && stat.start_ticks != *start_ticks)
		return -ESRCH;
	if (stat.is_kthread || process_is_guarded(guard, pid, stat.start_ticks))
		return -EPERM;
	*start_ticks = stat.start_ticks;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

int process_signal(int pid_fd, int number)
{
	return syscall(SYS_pidfd_send_signal, pid_fd, number, NULL, 0) < 0 ? -errno : 0;
}

bool process_is_there(int pid_fd)
{
	return process_signal(pid_fd, 0) != -ESRCH;
}

bool process_lives(pid_t pid, uint64_t start_ticks)
{
	struct process_stat stat;

	return pid > 0 && process_read_stat(pid, &stat) == 0 && stat.start_ticks == start_ticks && stat.state != 'Z' &&
	       stat.state != 'X';
}
