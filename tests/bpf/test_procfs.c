/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "support.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/fanotify.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <limits.h>
#include <sys/wait.h>

#include "base/file.h"

/* /proc -> struct proc, on real processes. */

static struct procfs *open_procfs(void)
{
	struct procfs *procfs = NULL;
	bool is_hybrid = access("/sys/fs/cgroup/unified/cgroup.procs", F_OK) == 0;

	cr_assert_eq(procfs_new(is_hybrid ? "/sys/fs/cgroup/unified" : "/sys/fs/cgroup", &procfs), 0);
	return procfs;
}

/* Waits until the process's first argument is this. */
static void wait_for_image(pid_t pid, const char *argv0)
{
	char path[32], text[256];

	snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
	for (int i = 0; i < WAIT_MS / 5; i++) {
		cr_assert_geq(file_read(AT_FDCWD, path, text, sizeof(text)), 0);
		if (streq(text, argv0))
			return;
		usleep(5000);
	}
	cr_assert_fail("%d never became %s", pid, argv0);
}

/* With what it has started: start() has made it the leader of a group. */
static void end(pid_t pid)
{
	kill(-pid, SIGKILL);
	kill(pid, SIGKILL);
	wait_for(pid);
}

Test(procfs, living_process)
{
	_cleanup_(procfs_freep) struct procfs *procfs = open_procfs();
	char *names[] = {(char[]){"ROOM"}, (char[]){"EMPTY"}, (char[]){"NOT_THERE"}};
	struct bench bench;
	struct proc proc;
	char path[96], args[128], self[256] = "", directory[PATH_MAX];
	uint64_t ticks;
	pid_t pid;

	bench_open(&bench, 0);
	bench_copy(&bench, "/bin/sleep", "agent", path);
	setenv("ROOM", "a=b", 1);
	setenv("ROOMY", "no", 1);
	setenv("EMPTY", "", 1);
	pid = start((const char *[]){path, "30", "0.1", NULL});
	wait_for_image(pid, path);
	procfs_set_env_names(procfs, names, ELEMENTSOF(names));
	cr_assert_eq(procfs_read(procfs, pid, &proc), 0);
	cr_expect_eq(proc.pid, pid);
	cr_expect_eq(proc.ppid, getpid());
	cr_expect_eq(proc.uid, getuid());
	cr_expect_str_eq(proc.exe, path);
	snprintf(args, sizeof(args), "%s 30 0.1", path);
	cr_expect_str_eq(proc.args, args);
	cr_expect_null(proc.script);
	cr_assert_eq(procfs_start_ticks(pid, &ticks), 0);
	cr_expect_eq(proc.start_ticks, ticks);
	cr_assert_geq(readlink("/proc/self/exe", self, sizeof(self) - 1), 0);
	cr_expect_str_eq(proc.parent_exe, self);
	cr_expect_eq(proc.flags, PROC_OUTSIDE);
	cr_expect_neq(proc.cgroup_id, 0);
	cr_assert_not_null(getcwd(directory, sizeof(directory)));
	cr_expect_str_eq(proc.directory, directory);
	cr_assert_eq(proc.n_env, 2);
	cr_expect_str_eq(proc.env[0].name, "ROOM");
	cr_expect_str_eq(proc.env[0].value, "a=b");
	cr_expect_str_eq(proc.env[1].value, "");

	/* Where no policy matches a parent, it isn't looked at. */
	procfs_set_parent_wanted(procfs, false);
	cr_assert_eq(procfs_read(procfs, pid, &proc), 0);
	cr_expect_null(proc.parent_exe);
	cr_expect_eq(proc.ppid, getpid());

	/* Its file goes: the name stays. */
	cr_assert_eq(unlink(path), 0);
	cr_assert_eq(procfs_read(procfs, pid, &proc), 0);
	cr_expect_str_eq(proc.exe, path);

	procfs_set_slice(procfs, proc.cgroup);
	cr_assert_eq(procfs_read(procfs, pid, &proc), 0);
	cr_expect_eq(proc.flags & PROC_OUTSIDE, streq(proc.cgroup, "/") ? PROC_OUTSIDE : 0);

	cr_assert_eq(procfs_protect(procfs, pid), 0);
	cr_assert_eq(procfs_read(procfs, pid, &proc), 0);
	cr_expect(proc.flags & PROC_PROTECTED);
	kill(pid, SIGKILL);
	siginfo_t info;
	cr_assert_eq(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
	cr_expect_eq(procfs_read(procfs, pid, &proc), -ESRCH, "a zombie");
	wait_for(pid);
	cr_expect_eq(procfs_read(procfs, pid, &proc), -ESRCH);
	cr_expect_eq(procfs_start_ticks(pid, &ticks), -ESRCH);
	bench_close(&bench);
}

Test(procfs, protected_and_kernel_threads)
{
	_cleanup_(procfs_freep) struct procfs *procfs = open_procfs();
	struct proc proc;
	int r;

	r = procfs_read(procfs, 1, &proc);
	cr_assert_eq(r, 0, "%d", r);
	cr_expect(proc.flags & PROC_PROTECTED);
	cr_assert_eq(procfs_read(procfs, getpid(), &proc), 0);
	cr_expect(proc.flags & PROC_PROTECTED);
	cr_assert_eq(procfs_read(procfs, getppid(), &proc), 0);
	cr_expect(proc.flags & PROC_PROTECTED);
	cr_assert_eq(procfs_read(procfs, 2, &proc), 0);
	cr_expect(proc.flags & PROC_KTHREAD);
	cr_expect_null(proc.exe);
	cr_expect_eq(procfs_read(procfs, -1, &proc), -ESRCH);
}

Test(procfs, comm_cannot_forge_stat)
{
	_cleanup_(procfs_freep) struct procfs *procfs = open_procfs();
	struct proc proc;
	int ready[2];
	char byte;
	pid_t pid;

	cr_assert_eq(pipe(ready), 0);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_NAME, ") Z 1 1 1\n(", 0, 0, 0);
		if (write(ready[1], "x", 1) == 1)
			pause();
		_exit(0);
	}
	cr_assert_eq(read(ready[0], &byte, 1), 1);
	cr_assert_eq(procfs_read(procfs, pid, &proc), 0);
	cr_expect_eq(proc.ppid, getpid());
	end(pid);
}

Test(procfs, script_relative_to_its_directory)
{
	_cleanup_(procfs_freep) struct procfs *procfs = open_procfs();
	struct bench bench;
	struct proc proc;
	char script[96], again[128], relative[128], line[256];
	pid_t pid;

	bench_open(&bench, 0);
	bench_script(&bench, "bot.sh", "#!/bin/sh\nsleep 30\n:\n", script);
	snprintf(relative, sizeof(relative), "./../%s", script + strlen("/tmp/"));
	snprintf(line, sizeof(line), "cd %s && exec sh %s", bench.dir, relative);
	pid = start((const char *[]){"/bin/sh", "-c", line, NULL});
	wait_for_image(pid, "sh");
	cr_assert_eq(procfs_read(procfs, pid, &proc), 0);
	cr_assert_not_null(proc.script);
	cr_expect_str_eq(proc.script, script);

	cr_expect_eq(procfs_read_script(procfs, pid, script, &proc), 0);
	/* By another name of the same file. */
	snprintf(again, sizeof(again), "%s/again", bench.dir);
	cr_assert_eq(link(script, again), 0);
	cr_assert_eq(procfs_read_script(procfs, pid, again, &proc), 0);
	cr_expect_str_eq(proc.script, again);
	cr_expect_eq(procfs_read_script(procfs, pid, "/etc/passwd", &proc), -ENOENT);
	cr_expect_eq(procfs_read_script(procfs, getpid(), script, &proc), -ENOENT);
	end(pid);
	bench_close(&bench);
}

Test(procfs, record_is_completed_while_the_process_lives)
{
	_cleanup_(procfs_freep) struct procfs *procfs = open_procfs();
	struct bench bench;
	const struct gov_record_exec *record;
	struct proc proc;
	char path[96], text[160], script[96];
	pid_t pid;

	bench_open(&bench, 0);
	bench_copy(&bench, "/bin/sleep", "agent", path);
	snprintf(text, sizeof(text), "#!/bin/sh\nexit 0\n");
	bench_script(&bench, "bot", text, script);
	bench_candidates(&bench, "agent", "bot", NULL);
	pid = start((const char *[]){path, "30", NULL});
	record = (const void *)bench_wait(&bench, is_exec_of, &pid, "exec");
	cr_assert_eq(procfs_read_record(procfs, record, &proc), 0);
	cr_expect_eq(proc.flags & PROC_GONE, 0);
	cr_expect_eq(proc.mark, record->head.mark);
	cr_expect_str_eq(proc.exe, path);
	cr_expect_not_null(proc.cgroup);
	end(pid);
	cr_assert_eq(procfs_read_record(procfs, record, &proc), 0);
	cr_expect(proc.flags & PROC_GONE);
	cr_expect_eq(proc.pid, pid);
	cr_expect_eq(proc.mark, record->head.mark);
	cr_expect_str_eq(proc.exe, path);
	snprintf(text, sizeof(text), "%s 30", path);
	cr_expect_str_eq(proc.args, text);

	pid = start((const char *[]){script, "x", NULL});
	record = (const void *)bench_wait(&bench, is_exec_of, &pid, "exec of a script");
	wait_for(pid);
	cr_assert_eq(procfs_read_record(procfs, record, &proc), 0);
	cr_expect_str_eq(proc.exe, "/bin/sh");
	cr_assert_not_null(proc.script);
	cr_expect_str_eq(proc.script, script);
	bench_close(&bench);
}

Test(procfs, long_arguments_are_cut_and_flagged)
{
	_cleanup_(procfs_freep) struct procfs *procfs = open_procfs();
	_cleanup_free_ char *big = malloc(100001);
	struct bench bench;
	struct proc proc;
	char path[96];
	pid_t pid;

	bench_open(&bench, 0);
	bench_copy(&bench, "/bin/sh", "agent", path);
	memset(big, 'x', 100000);
	big[100000] = '\0';
	pid = start(
		(const char *[]){path, "-c", "sleep 30; :", big, big, big, big, big, big, big, big, big, big, NULL});
	wait_for_image(pid, path);
	cr_assert_eq(procfs_read(procfs, pid, &proc), 0);
	cr_expect(proc.flags & PROC_ARGS_TRUNCATED);
	cr_expect_eq(strlen(proc.args), PROC_ARGS_MAX);
	end(pid);
	bench_close(&bench);
}

static int remember(pid_t pid, void *userdata)
{
	pid_t *last = userdata;

	/* Parent, then child: last[0] and last[1] say where they came. */
	for (int i = 0; i < 2; i++)
		if (last[i] == pid)
			last[2 + i] = ++last[4];
	return 0;
}

static int stop(pid_t pid, void *userdata)
{
	(void)pid;
	(void)userdata;
	return -ECANCELED;
}

Test(procfs, scan_tells_parents_before_children)
{
	pid_t child = start((const char *[]){"/bin/sleep", "30", NULL});
	pid_t seen[5] = {getpid(), child};

	cr_assert_eq(procfs_scan(remember, seen), 0);
	cr_expect_eq(seen[2], 1);
	cr_expect_eq(seen[3], 2);
	cr_expect_eq(procfs_scan(stop, NULL), -ECANCELED);
	end(child);
}

static int find_child(pid_t pid, void *userdata)
{
	pid_t *wanted = userdata;

	wanted[1] += pid == wanted[0];
	return 0;
}

/* Whoever has the pid of a root by now has other children. */
Test(procfs, children_are_those_of_the_process_and_not_of_its_pid)
{
	pid_t child = start((const char *[]){"/bin/sleep", "30", NULL}), wanted[2] = {child, 0};
	uint64_t ticks;

	cr_assert_eq(procfs_start_ticks(getpid(), &ticks), 0);
	cr_expect_eq(procfs_children(getpid(), ticks, find_child, wanted), 0);
	cr_expect_eq(wanted[1], 1);
	cr_expect_eq(procfs_children(getpid(), ticks - 1, find_child, wanted), -ESRCH);
	cr_expect_eq(wanted[1], 1);
	end(child);
}

/* ---- held in execve ---------------------------------------------------------------------------------------------- */

/* Waits for the exec that the mark holds. */
static void next_event(int fd, struct fanotify_event_metadata *ret_event)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

	cr_assert_eq(poll(&poll_fd, 1, WAIT_MS), 1);
	cr_assert_eq(read(fd, ret_event, sizeof(*ret_event)), (ssize_t)sizeof(*ret_event));
}

static void allow(int fd, const struct fanotify_event_metadata *event)
{
	struct fanotify_response response = {.fd = event->fd, .response = FAN_ALLOW};

	cr_assert_eq(write(fd, &response, sizeof(response)), (ssize_t)sizeof(response));
	close(event->fd);
}

static void check_held(struct procfs *procfs, const struct fanotify_event_metadata *event, const char *path)
{
	struct proc proc;
	char args[128];

	cr_assert_eq(procfs_read_exec(procfs, event->pid, path, &proc), 0);
	cr_expect_eq(proc.pid, event->pid);
	cr_expect(proc.flags & PROC_EXEC_PENDING);
	cr_expect_str_eq(proc.exe, path);
	snprintf(args, sizeof(args), "%s 0.01  0.02", path);
	cr_expect_str_eq(proc.args, args);
	cr_assert_eq(proc.n_env, 1);
	cr_expect_str_eq(proc.env[0].name, "ROOM");
	cr_expect_str_eq(proc.env[0].value, "to come");
}

/* By fork and by vfork, which shares this process's memory: it waits itself, so a child of fork looks. */
Test(procfs, held_in_execve)
{
	_cleanup_(procfs_freep) struct procfs *procfs = open_procfs();
	char *names[] = {(char[]){"ROOM"}};
	struct fanotify_event_metadata event;
	struct bench bench;
	struct proc proc;
	char path[96];
	int fd;

	bench_open(&bench, 0);
	bench_copy(&bench, "/bin/true", "agent", path);
	procfs_set_env_names(procfs, names, 1);
	setenv("ROOM", "that was", 1);
	fd = fanotify_init(FAN_CLASS_CONTENT | FAN_CLOEXEC, O_RDONLY | O_CLOEXEC);
	cr_assert_geq(fd, 0);
	cr_assert_eq(fanotify_mark(fd, FAN_MARK_ADD, FAN_OPEN_EXEC_PERM, AT_FDCWD, path), 0);
	for (int is_vfork = 0; is_vfork < 2; is_vfork++) {
		const char *argv[] = {path, "0.01", "", "0.02", NULL};
		const char *env[] = {"OTHER=1", "ROOM=to come", "ROOM=second", NULL};
		pid_t parent = fork();

		if (parent == 0) {
			pid_t child = is_vfork ? vfork() : fork();

			if (child == 0) {
				execve(path, (char **)(uintptr_t)argv, (char **)(uintptr_t)env);
				_exit(127);
			}
			_exit(waitpid(child, NULL, 0) != child);
		}
		next_event(fd, &event);
		check_held(procfs, &event, path);
		allow(fd, &event);
		cr_expect_eq(wait_for(parent), 0);
	}
	/* Not in execve. */
	cr_expect_eq(procfs_read_exec(procfs, getpid(), path, &proc), -EAGAIN);
	close(fd);
	bench_close(&bench);
}
