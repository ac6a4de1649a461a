/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <pthread.h>
#include <spawn.h>
#include <sys/prctl.h>

#include "base/file.h"
#include "hold_play.h"

/* Who is held, when, and under what name. */

#define OPEN_PLAY _cleanup_(close_play) struct play *play = play_open()

TestSuite(hold, .timeout = 60);

static void close_play(struct play **play)
{
	play_close(*play);
}

/* Waits for ask number n (from 1) and returns it. */
static const struct play_ask *expect_ask(struct play *play, unsigned n)
{
	cr_assert(play_until(play, &play->n_asks, n), "nobody is held");
	cr_assert_eq(play->n_asks, n, "asked too often: %s", play->asks[play->n_asks - 1].path);
	return &play->asks[n - 1];
}

static void read_cmdline(pid_t pid, char *buffer, size_t size)
{
	char path[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
	n = file_read(AT_FDCWD, path, buffer, size);
	cr_assert_gt(n, 0);
	for (ssize_t i = 0; i < n - 1; i++)
		if (!buffer[i])
			buffer[i] = ' ';
}

static void expect_link(pid_t pid, const char *path)
{
	char link[64], exe[PATH_MAX], real[PATH_MAX];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/%d/exe", pid);
	n = readlink(link, exe, sizeof(exe) - 1);
	cr_assert_gt(n, 0);
	exe[n] = '\0';
	cr_assert_not_null(realpath(path, real));
	cr_assert_str_eq(exe, real);
}

/* Asked once, held until the answer, under the resolved name, and runs on. */
static void expect_held(struct play *play, pid_t pid, const char *path, bool is_exec)
{
	const struct play_ask *ask = expect_ask(play, play->n_answered + 1);

	cr_assert_eq(ask->pid, pid);
	cr_assert_eq(ask->is_exec, is_exec);
	cr_assert_str_eq(ask->path, path);
	play_for(play, 50);
	cr_assert_not(play_has_ended(pid), "not held");
	hold_answer(play->hold, ask->token, 0);
	cr_assert_eq(play_wait(play, pid), 0);
	cr_assert_eq(play->n_asks, ++play->n_answered);
	cr_assert_eq(play->n_expired, 0);
}

Test(hold, executable_waits_for_the_answer)
{
	OPEN_PLAY;
	pid_t pid;

	play_make_program(play, "agent");
	play_watch(play, "agent", "");
	pid = play_exec1(play_path(play, "agent"));
	cr_assert(play_until(play, &play->n_asks, 1));
	expect_link(pid, "/proc/self/exe"); /* still the child that called execve */
	expect_held(play, pid, play_path(play, "agent"), true);
}

Test(hold, refused_execve_fails_with_eperm)
{
	OPEN_PLAY;
	pid_t pid;

	play_make_program(play, "agent");
	play_watch(play, "agent", "");
	pid = play_exec1(play_path(play, "agent"));
	hold_answer(play->hold, expect_ask(play, 1)->token, EPERM);
	cr_assert_eq(play_wait(play, pid), PLAY_REFUSED);
	/* Only this one. */
	play->n_answered++;
	pid = play_exec1(play_path(play, "agent"));
	cr_assert(play_until(play, &play->n_asks, 2));
	expect_held(play, pid, play_path(play, "agent"), true);
}

Test(hold, refused_script_is_not_run)
{
	OPEN_PLAY;
	pid_t pid;

	play_make_script(play, "agent.sh", 0);
	play_watch(play, "", "*.sh");
	pid = play_exec((const char *const[]){"/bin/sh", play_path(play, "agent.sh"), NULL});
	hold_answer(play->hold, expect_ask(play, 1)->token, EPERM);
	cr_assert_neq(play_wait(play, pid), 0);
	cr_assert_eq(play->n_asks, 1);
}

Test(hold, script_is_held_as_its_interpreter)
{
	OPEN_PLAY;
	char cmdline[PATH_MAX], wanted[PATH_MAX];
	const char *script;
	pid_t pid;

	play_make_script(play, "agent.sh", 0);
	play_watch(play, "", "*.sh");
	script = play_path(play, "agent.sh");
	pid = play_exec((const char *const[]){"/bin/sh", script, "--room=1", NULL});
	cr_assert(play_until(play, &play->n_asks, 1));
	expect_link(pid, "/bin/sh");
	read_cmdline(pid, cmdline, sizeof(cmdline));
	snprintf(wanted, sizeof(wanted), "/bin/sh %s --room=1", script);
	cr_assert_str_eq(cmdline, wanted);
	expect_held(play, pid, script, false);
}

Test(hold, hash_bang_is_asked_once_and_as_the_interpreter)
{
	OPEN_PLAY;
	char cmdline[PATH_MAX], wanted[PATH_MAX];
	pid_t pid;

	play_make_script(play, "agent.sh", 0);
	play_watch(play, "", "agent.sh");
	pid = play_exec1(play_path(play, "agent.sh"));
	cr_assert(play_until(play, &play->n_asks, 1));
	expect_link(pid, "/bin/sh");
	read_cmdline(pid, cmdline, sizeof(cmdline));
	snprintf(wanted, sizeof(wanted), "/bin/sh %s", play_path(play, "agent.sh"));
	cr_assert_str_eq(cmdline, wanted);
	expect_held(play, pid, play_path(play, "agent.sh"), false);
}

Test(hold, replaced_executable_is_held)
{
	OPEN_PLAY;

	play_make_program(play, "agent");
	play_watch(play, "agent", "");
	for (int i = 0; i < 20; i++) {
		play_make_program(play, "new");
		cr_assert_eq(rename(play_path(play, "new"), play_path(play, "agent")), 0);
		expect_held(play, play_exec1(play_path(play, "agent")), play_path(play, "agent"), true);
	}
}

Test(hold, new_file_is_held_at_its_first_exec)
{
	OPEN_PLAY;

	play_watch(play, "agent*", "");
	for (int i = 0; i < 20; i++) {
		char name[32];

		snprintf(name, sizeof(name), "agent%d", i);
		play_make_program(play, name);
		expect_held(play, play_exec1(play_path(play, name)), play_path(play, name), true);
	}
}

Test(hold, other_files_of_the_directory_are_not_asked_about)
{
	OPEN_PLAY;

	play_make_script(play, "agent.sh", 0);
	play_make_script(play, "agent.txt", 0);
	play_make_program(play, "other");
	play_watch(play, "agent", "*.sh");
	for (int i = 0; i < 20; i++) {
		cr_assert_eq(play_wait(play, play_exec((const char *const[]){"/bin/cat", play_path(play, "agent.txt"),
									     NULL})),
			     0);
		cr_assert_eq(play_wait(play, play_exec1(play_path(play, "other"))), 0);
	}
	/* More than 2 GiB: govd-hold's descriptor must be able to be of it, or the kernel refuses the open. */
	cr_assert_eq(truncate(play_path(play, "agent.txt"), INT64_C(3) << 30), 0);
	cr_assert_eq(play_wait(play, play_exec((const char *const[]){"/usr/bin/tail", "-c1",
								     play_path(play, "agent.txt"), NULL})),
		     0);
	cr_assert_eq(play->n_asks, 0);
	expect_held(play, play_exec((const char *const[]){"/bin/cat", play_path(play, "agent.sh"), NULL}),
		    play_path(play, "agent.sh"), false);
}

/* A FIFO in a script's directory: neither opened by govd-hold (that would wake its writer) nor refused. */
Test(hold, fifo_is_left_alone)
{
	OPEN_PLAY;
	const char *fifo = play_path(play, "control.sh");
	int fd;

	cr_assert_eq(mkfifo(fifo, 0600), 0);
	play_watch(play, "", "*.sh");
	cr_assert_eq(play_wait(play, play_exec((const char *const[]){"/usr/bin/test", "-p", fifo, NULL})), 0);
	fd = open(fifo, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, "x", 1), 1);
	cr_assert_eq(play_wait(play, play_exec((const char *const[]){"/usr/bin/head", "-c1", fifo, NULL})), 0);
	cr_assert_eq(play->n_ended, 0);
	close(fd);
}

static void *exec_in_thread(void *path)
{
	execl(path, path, NULL);
	_exit(126);
}

static pid_t start_by_thread(const char *path)
{
	pid_t pid = fork();

	if (pid == 0) {
		pthread_t thread;

		pthread_create(&thread, NULL, exec_in_thread, (void *)path);
		pthread_join(thread, NULL);
		_exit(125);
	}
	return pid;
}

static pid_t start_by_fexecve(const char *path)
{
	pid_t pid = fork();

	if (pid == 0) {
		char *argv[] = {(char *)"agent", NULL};

		fexecve(open(path, O_PATH | O_CLOEXEC), argv, environ);
		_exit(126);
	}
	return pid;
}

Test(hold, threads_and_fexecve)
{
	OPEN_PLAY;
	const char *path = play_path(play, "agent");

	play_make_program(play, "agent");
	play_watch(play, "agent", "");
	expect_held(play, start_by_thread(path), path, true);
	expect_held(play, start_by_fexecve(path), path, true);
}

/* The parent of a vfork waits with its child, so it isn't us. */
Test(hold, posix_spawn)
{
	OPEN_PLAY;
	const char *path = play_path(play, "agent");
	const struct play_ask *ask;
	pid_t parent;

	play_make_program(play, "agent");
	play_watch(play, "agent", "");
	parent = fork();
	if (parent == 0) {
		char *argv[] = {(char *)path, NULL};
		int status;
		pid_t pid;

		if (posix_spawn(&pid, path, NULL, NULL, argv, environ))
			_exit(1);
		_exit(waitpid(pid, &status, 0) == pid && status == 0 ? 0 : 2);
	}
	ask = expect_ask(play, 1);
	cr_assert_neq(ask->pid, parent);
	play_for(play, 50);
	cr_assert_not(play_has_ended(parent));
	hold_answer(play->hold, ask->token, 0);
	cr_assert_eq(play_wait(play, parent), 0);
}

Test(hold, two_hundred_at_once)
{
	OPEN_PLAY;
	pid_t pids[200];

	play_make_program(play, "agent");
	play_watch(play, "agent", "");
	for (size_t i = 0; i < ELEMENTSOF(pids); i++) {
		pids[i] = play_exec1(play_path(play, "agent"));
		hold_dispatch(play->hold);
	}
	cr_assert(play_until(play, &play->n_asks, ELEMENTSOF(pids)), "%u asked", play->n_asks);
	for (unsigned i = 0; i < play->n_asks; i++)
		hold_answer(play->hold, play->asks[i].token, 0);
	for (size_t i = 0; i < ELEMENTSOF(pids); i++)
		cr_assert_eq(play_wait(play, pids[i]), 0);
}

Test(hold, govd_and_its_helpers_are_never_held)
{
	OPEN_PLAY;
	int go[2], fd;
	char byte = 0;
	pid_t pid;

	play_make_script(play, "agent.sh", 0);
	play_watch(play, "", "agent.sh");
	fd = open(play_path(play, "agent.sh"), O_RDONLY | O_CLOEXEC); /* would wait for us */
	cr_assert_geq(fd, 0);
	close(fd);
	cr_assert_eq(pipe2(go, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0)
		_exit(read(go[0], &byte, 1) == 1 && open(play_path(play, "agent.sh"), O_RDONLY) >= 0 ? 0 : 1);
	hold_exempt(play->hold, pid);
	play_for(play, 100); /* behind a ping, so that it has been read */
	cr_assert_eq(write(go[1], &byte, 1), 1);
	cr_assert_eq(play_wait(play, pid), 0);
	cr_assert_eq(play->n_asks, 0);
	close(go[0]);
	close(go[1]);
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

#define MEASURED 501

static void once_open(const char *path)
{
	close(open(path, O_RDONLY | O_CLOEXEC));
}

static void once_exec(const char *path)
{
	pid_t pid = vfork();

	if (pid == 0) {
		execl(path, path, NULL);
		_exit(1);
	}
	waitpid(pid, NULL, 0);
}

/* By a child, many times; p50 in us. */
static double measure(struct play *play, void (*once)(const char *path), const char *path)
{
	static uint64_t times_ns[MEASURED];
	int report[2];
	pid_t pid;

	cr_assert_eq(pipe2(report, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		for (int i = 0; i < MEASURED; i++) {
			uint64_t start_ns = play_now_ns();

			once(path);
			times_ns[i] = play_now_ns() - start_ns;
		}
		_exit(write(report[1], times_ns, sizeof(times_ns)) == sizeof(times_ns) ? 0 : 1);
	}
	cr_assert_eq(play_wait(play, pid), 0);
	cr_assert_eq(read(report[0], times_ns, sizeof(times_ns)), (ssize_t)sizeof(times_ns));
	close(report[0]);
	close(report[1]);
	qsort(times_ns, MEASURED, sizeof(times_ns[0]), compare);
	return (double)times_ns[MEASURED / 2] / 1000;
}

Test(hold, latency)
{
	OPEN_PLAY;
	double bare, unmatched, asked, bare_exec, asked_exec;

	play_make_script(play, "agent.sh", 0);
	play_make_script(play, "other", 0);
	bare = measure(play, once_open, play_path(play, "agent.sh"));
	play_watch(play, "", "agent.sh");
	play->does_answer = true;
	unmatched = measure(play, once_open, play_path(play, "other"));
	asked = measure(play, once_open, play_path(play, "agent.sh"));
	play_make_program(play, "agent");
	play->does_answer = true;
	bare_exec = measure(play, once_exec, play_path(play, "agent"));
	play_watch(play, "agent", "");
	asked_exec = measure(play, once_exec, play_path(play, "agent"));
	cr_log_info("exec p50: bare %.1f us, asked %.1f us", bare_exec, asked_exec);
	cr_log_info("open p50: bare %.1f us, unmatched in a watched directory %.1f us, asked %.1f us", bare, unmatched,
		    asked);
	cr_assert_geq(play->n_asks, 2 * MEASURED);
	cr_assert_lt(asked, 5000);
}
