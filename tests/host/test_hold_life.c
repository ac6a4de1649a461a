/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "emulated.h"
#include "hold_play.h"

/* Nobody is held longer than 1 s, whatever happens to govd and to govd-hold; and garbage. */

#define OPEN_PLAY _cleanup_(close_play) struct play *play = play_open()

TestSuite(hold_life, .timeout = 60);

static void close_play(struct play **play)
{
	play_close(*play);
}

Test(hold_life, without_an_answer_let_go_at_the_deadline)
{
	OPEN_PLAY;
	uint64_t start_ns;
	unsigned ms;
	pid_t pid;

	play_make_program(play, "agent");
	play_watch(play, "agent", "");
	start_ns = play_now_ns();
	pid = play_exec1(play_path(play, "agent"));
	cr_assert(play_until(play, &play->n_expired, 1));
	cr_assert_eq(play_wait(play, pid), 0);
	ms = (unsigned)((play_now_ns() - start_ns) / NSEC_PER_MSEC);
	cr_assert_geq(ms, GOV_HOLD_DEADLINE_MS * 8 / 10);
	cr_assert_lt(ms, 900, "%u ms", ms);
	cr_assert_eq(play->n_asks, 1);
}

/* A process that plays govd and never answers. */
struct govd {
	pid_t pid, hold_pid;
	char directory[64];
	int report_fd; /* a byte for each ask */
};

static void be_govd(int report_fd, bool does_serve)
{
	struct play *play = play_open();
	unsigned reported = 0;
	struct {
		pid_t hold_pid;
		char directory[64];
	} hello;

	/* Ends with the test. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	play->does_restart = true;
	play_make_program(play, "agent");
	play_watch(play, "agent", "");
	hello.hold_pid = hold_pid(play->hold);
	memcpy(hello.directory, play->directory, sizeof(hello.directory));
	if (write(report_fd, &hello, sizeof(hello)) != sizeof(hello))
		_exit(1);
	while (does_serve) {
		play_for(play, 5);
		for (; reported < play->n_asks; reported++)
			if (write(report_fd, "", 1) != 1)
				_exit(1);
	}
	for (;;)
		pause();
}

static struct govd start_govd(bool does_serve)
{
	struct govd govd = {0};
	int report[2];
	struct {
		pid_t hold_pid;
		char directory[64];
	} hello;

	cr_assert_eq(pipe2(report, O_CLOEXEC), 0);
	govd.pid = fork();
	if (govd.pid == 0)
		be_govd(report[1], does_serve);
	close(report[1]);
	cr_assert_eq(read(report[0], &hello, sizeof(hello)), (ssize_t)sizeof(hello));
	govd.hold_pid = hello.hold_pid;
	memcpy(govd.directory, hello.directory, sizeof(govd.directory));
	govd.report_fd = report[0];
	return govd;
}

static void end_govd(struct govd *govd)
{
	char path[96];

	kill(govd->pid, SIGKILL);
	kill(govd->pid, SIGCONT);
	waitpid(govd->pid, NULL, 0);
	close(govd->report_fd);
	snprintf(path, sizeof(path), "%s/agent", govd->directory);
	unlink(path);
	rmdir(govd->directory);
}

/* Starts an agent and, once it waits, does that to both; how long it waited in all, in ms. */
static unsigned start_and_signal(struct govd *govd, int govd_signal, int hold_signal)
{
	uint64_t start_ns = play_now_ns();
	char path[96], byte;
	pid_t pid;

	snprintf(path, sizeof(path), "%s/agent", govd->directory);
	pid = play_exec1(path);
	cr_assert_eq(read(govd->report_fd, &byte, 1), 1, "it isn't held");
	cr_assert_not(play_has_ended(pid));
	if (govd_signal)
		kill(govd->pid, govd_signal);
	if (hold_signal)
		kill(govd->hold_pid, hold_signal);
	return play_wait_alone(pid, start_ns);
}

static const struct {
	int govd, hold;
	unsigned max_ms;
} fates[] = {
	{SIGKILL, 0, 300}, /* well before the deadline */
	{SIGSTOP, 0, 1000},	  {0, SIGSTOP, 1000},	   {0, SIGKILL, 300},
	{SIGSTOP, SIGSTOP, 1000}, {SIGSTOP, SIGKILL, 300}, {SIGKILL, SIGSTOP, 300},
};

Test(hold_life, one_second_whatever_happens)
{
	for (size_t i = 0; i < ELEMENTSOF(fates); i++) {
		struct govd govd = start_govd(true);
		unsigned ms = start_and_signal(&govd, fates[i].govd, fates[i].hold);

		/* The promise is made for real processors. */
		cr_expect_lt(ms, is_emulated() ? 2 * fates[i].max_ms : fates[i].max_ms, "fate %zu: held for %u ms", i,
			     ms);
		end_govd(&govd);
	}
}

/* Both stopped before the event: only the kernel's timer is left. Many times, as it comes at any point of a tick. */
Test(hold_life, both_stopped_before_the_start)
{
	for (unsigned i = 0; i < 6; i++) {
		struct govd govd = start_govd(true);
		struct timespec pause = {.tv_nsec = (long)(i * 37 * NSEC_PER_MSEC)};
		uint64_t start_ns;
		char path[96];
		unsigned ms;

		nanosleep(&pause, NULL);
		kill(govd.pid, SIGSTOP);
		kill(govd.hold_pid, SIGSTOP);
		start_ns = play_now_ns();
		snprintf(path, sizeof(path), "%s/agent", govd.directory);
		ms = play_wait_alone(play_exec1(path), start_ns);
		cr_expect_lt(ms, 1000, "held for %u ms", ms);
		end_govd(&govd);
	}
}

/* govd hangs without reading, for many starts: each waits its deadline at the most. */
Test(hold_life, govd_hangs)
{
	struct govd govd = start_govd(false);
	uint64_t start_ns = play_now_ns();
	char path[96];
	pid_t pids[50];

	snprintf(path, sizeof(path), "%s/agent", govd.directory);
	for (size_t i = 0; i < ELEMENTSOF(pids); i++)
		pids[i] = play_exec1(path);
	for (size_t i = 0; i < ELEMENTSOF(pids); i++)
		cr_expect_lt(play_wait_alone(pids[i], start_ns), 1000);
	end_govd(&govd);
}

Test(hold_life, stopped_hold_is_replaced_and_holds_again)
{
	OPEN_PLAY;
	struct hold_stats stats;
	pid_t pid, first = hold_pid(play->hold);

	play->does_restart = true;
	play_make_program(play, "agent");
	play_watch(play, "agent", "");
	kill(first, SIGSTOP);
	cr_assert(play_until(play, &play->n_ended, 1));
	/* By govd's ping, or, when this test is slow to send one, by the kernel's timer. */
	cr_assert(streq(play->why, "it didn't answer a ping") || streq(play->why, "it has died"), "%s", play->why);
	cr_assert_neq(hold_pid(play->hold), first);
	play_settle(play);
	pid = play_exec1(play_path(play, "agent"));
	cr_assert(play_until(play, &play->n_asks, 1));
	cr_assert_not(play_has_ended(pid));
	hold_answer(play->hold, play->asks[0].token);
	cr_assert_eq(play_wait(play, pid), 0);
	hold_get_stats(play->hold, &stats);
	cr_assert_eq(stats.restarts, 1);
	cr_assert_eq(stats.asked, 1);
	cr_assert_eq(stats.marks, 1);
	play_for(play, 300);
	cr_assert_eq(kill(first, 0), -1, "not reaped");
}

Test(hold_life, killed_hold_is_noticed)
{
	OPEN_PLAY;

	play_make_program(play, "agent");
	play_watch(play, "agent", "");
	kill(hold_pid(play->hold), SIGKILL);
	cr_assert(play_until(play, &play->n_ended, 1));
	cr_assert_str_eq(play->why, "it has died");
	cr_assert_eq(hold_fd(play->hold), -EBADF);
	cr_assert_eq(hold_pid(play->hold), 0);
	cr_assert_eq(hold_dispatch(play->hold), -EBADF);
	hold_answer(play->hold, 1);
	cr_assert_eq(play_wait(play, play_exec1(play_path(play, "agent"))), 0);
	cr_assert_eq(play->n_asks, 0);
}

/* govd was stopped for longer than a pong may take: that isn't govd-hold's fault. */
Test(hold_life, late_govd_does_not_kill_hold)
{
	OPEN_PLAY;
	struct timespec pause = {.tv_nsec = 400000000};

	play_watch(play, "agent", "");
	for (int i = 0; i < 3; i++) {
		cr_assert_eq(hold_watch_over(play->hold, play_now_ns()), 0);
		nanosleep(&pause, NULL);
	}
	cr_assert_eq(hold_watch_over(play->hold, play_now_ns()), 0);
	cr_assert_eq(play->n_ended, 0);
}

static const struct {
	const char *bytes;
	size_t size;
	bool is_fatal;
} garbage[] = {
	{"\x01", 1, true},
	{"\x02\x00\x01\x00", 4, true},
	/* version 9 */
	{"\x05\x00\x09\x00\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 32, true},
	/* a path that isn't there */
	{"\x02\x00\x01\x00\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x10\0\0\0", 32, true},
	/* a path without its end */
	{"\x02\x00\x01\x00\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x02\0\0\0/a", 34, true},
	/* a WATCH of no directory, of no file, without a path */
	{"\x02\x00\x01\x00\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x02\0\0\0a", 34, true},
	{"\x02\x00\x01\x00\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x03\0\0\0/a/", 36, true},
	{"\x02\x00\x01\x00\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 32, true},
	/* an unknown kind; an answer to nobody; a kind that only govd-hold sends */
	{"\x63\x00\x01\x00\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 32, false},
	{"\x04\x00\x01\x00\0\0\0\0\x07\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 32, false},
	{"\x07\x00\x01\x00\0\0\0\0\x07\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 32, false},
};

/* It ends in order or goes on; a crash would show in its status. */
Test(hold_life, garbage_to_hold)
{
	for (size_t i = 0; i < ELEMENTSOF(garbage); i++) {
		OPEN_PLAY;
		siginfo_t info = {0};
		pid_t pid;

		play_watch(play, "agent", "");
		pid = hold_pid(play->hold);
		cr_assert_eq(send(hold_fd(play->hold), garbage[i].bytes, garbage[i].size, 0), (ssize_t)garbage[i].size);
		if (!garbage[i].is_fatal) {
			play_watch(play, "other", "");
			cr_expect_eq(play->n_ended, 0, "garbage %zu", i);
			continue;
		}
		cr_assert_eq(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
		cr_expect_eq(info.si_code, CLD_EXITED, "garbage %zu", i);
		cr_expect_eq(info.si_status, 1, "garbage %zu", i);
	}
}

Test(hold_life, garbage_from_hold)
{
	for (size_t i = 0; i < ELEMENTSOF(garbage); i++) {
		OPEN_PLAY;
		int pair[2], own = play->hold->fd;

		cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
		play->hold->fd = pair[0];
		cr_assert_eq(send(pair[1], garbage[i].bytes, garbage[i].size, 0), (ssize_t)garbage[i].size);
		cr_assert_eq(hold_dispatch(play->hold), 0);
		cr_expect_eq(play->n_asks, 0);
		cr_expect_eq(play->n_ended, 1, "garbage %zu", i);
		close(pair[1]);
		close(own);
	}
}

Test(hold_life, not_started_by_govd)
{
	OPEN_PLAY;
	pid_t pid = play_exec1(play->hold->program); /* descriptor 3 is no socket of its parent's */

	cr_assert_neq(play_wait(play, pid), 0);
}

/* Without the privilege for fanotify: it says why and ends. */
Test(hold_life, no_fanotify)
{
	_cleanup_(close_play) struct play *play = play_new();
	struct hold_stats stats;
	int r;

	cr_assert_eq(prctl(PR_CAPBSET_DROP, CAP_SYS_ADMIN), 0);
	for (int i = 0; i < 20; i++) {
		play->n_ended = 0;
		r = hold_start(play->hold);
		/* It may have ended before it was told all; only then hold_start knows. */
		if (r == 0)
			cr_assert(play_until(play, &play->n_ended, 1));
		else
			cr_assert_eq(r, -EPIPE);
		cr_assert_eq(play->n_ended, r == 0);
		hold_get_stats(play->hold, &stats);
		cr_assert_eq(stats.error, EPERM);
	}
}

Test(hold_life, program_is_missing)
{
	struct hold_events events = {0};
	struct hold *hold = NULL;

	cr_assert_eq(hold_new("/nonexistent/govd-hold", &events, &hold), 0);
	cr_assert_eq(hold_start(hold), -ENOENT);
	cr_assert_eq(hold_pid(hold), 0);
	cr_assert_eq(hold_fd(hold), -EBADF);
	cr_assert_null(hold_free(hold));
}
