/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "hold_play.h"

/* How govd-hold and its work end; and garbage. */

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
	cr_assert_geq(ms, 350, "%u ms", ms); /* it sleeps for up to 300 ms of the 650 */
	cr_assert_lt(ms, 900, "%u ms", ms);
	cr_assert_eq(play->n_asks, 1);
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
	hold_answer(play->hold, play->asks[0].token, 0);
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
	hold_answer(play->hold, 1, 0);
	cr_assert_eq(play_wait(play, play_exec1(play_path(play, "agent"))), 0);
	cr_assert_eq(play->n_asks, 0);
}

/* Its loop turns, or it would have ended, but it doesn't do its work. */
Test(hold_life, unanswered_ping_ends_hold)
{
	OPEN_PLAY;
	int pair[2], own = play->hold->fd;
	uint64_t now_ns = play_now_ns() + NSEC_PER_SEC;

	cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	play->hold->fd = pair[0];
	play->hold->ping_ns = 0; /* whatever was before was answered */
	cr_assert_eq(hold_watch_over(play->hold, now_ns), 0);
	cr_assert_eq(hold_watch_over(play->hold, now_ns + GOV_HOLD_PONG_MS * NSEC_PER_MSEC), 0);
	cr_assert_eq(play->n_ended, 0);
	cr_assert_eq(hold_watch_over(play->hold, now_ns + (GOV_HOLD_PONG_MS + 1) * NSEC_PER_MSEC), 0);
	cr_assert_eq(play->n_ended, 1);
	cr_assert_str_eq(play->why, "it didn't answer a ping");
	close(pair[1]);
	close(own);
}

/* govd was stopped for longer than a pong may take: that isn't govd-hold's fault. */
Test(hold_life, late_govd_does_not_kill_hold)
{
	OPEN_PLAY;
	struct timespec pause = {.tv_nsec = (GOV_HOLD_PONG_MS + 100) * NSEC_PER_MSEC};

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
