/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>

#include "emulated.h"
#include "hold_play.h"

/* Nobody is held longer than 1 s, whatever happens to govd and to govd-hold: each sum of src/hold/hold.h. */

TestSuite(hold_second, .timeout = 60);

/* The promise is made for real processors. */
static unsigned real_ms(unsigned ms)
{
	return is_emulated() ? 2 * ms : ms;
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
	play_make_script(play, "agent.sh", 0);
	play_watch(play, "agent", "agent.sh");
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
	snprintf(path, sizeof(path), "%s/agent.sh", govd->directory);
	unlink(path);
	rmdir(govd->directory);
}

static pid_t start_agent(const struct govd *govd)
{
	char path[96];

	snprintf(path, sizeof(path), "%s/agent", govd->directory);
	return play_exec1(path);
}

static void sleep_until(uint64_t start_ns, unsigned ms)
{
	uint64_t end_ns = start_ns + ms * NSEC_PER_MSEC;
	struct timespec end = {(time_t)(end_ns / NSEC_PER_SEC), (long)(end_ns % NSEC_PER_SEC)};

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &end, NULL);
}

/* Starts an agent and, once it waits, does that to both; how long it waited in all, in ms. */
static unsigned start_and_signal(struct govd *govd, int govd_signal, int hold_signal)
{
	uint64_t start_ns = play_now_ns();
	char byte;
	pid_t pid;

	pid = start_agent(govd);
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

Test(hold_second, one_second_whatever_happens)
{
	for (size_t i = 0; i < ELEMENTSOF(fates); i++) {
		struct govd govd = start_govd(true);
		unsigned ms = start_and_signal(&govd, fates[i].govd, fates[i].hold);

		cr_expect_lt(ms, real_ms(fates[i].max_ms), "fate %zu: held for %u ms", i, ms);
		end_govd(&govd);
	}
}

/* Both stopped before the event: only the kernel's timer is left. Many times, as it comes at any point of a tick. */
Test(hold_second, both_stopped_before_the_start)
{
	for (unsigned i = 0; i < 6; i++) {
		struct govd govd = start_govd(true);
		struct timespec pause = {.tv_nsec = (long)(i * 37 * NSEC_PER_MSEC)};
		uint64_t start_ns;
		unsigned ms;

		nanosleep(&pause, NULL);
		kill(govd.pid, SIGSTOP);
		kill(govd.hold_pid, SIGSTOP);
		start_ns = play_now_ns();
		ms = play_wait_alone(start_agent(&govd), start_ns);
		cr_expect_lt(ms, real_ms(1000), "held for %u ms", ms);
		end_govd(&govd);
	}
}

/* govd-hold doesn't know how long it was stopped; when it goes on it counts from before. */
Test(hold_second, hold_continued_late)
{
	for (unsigned late_ms = 150; late_ms < 700; late_ms += 150) {
		struct govd govd = start_govd(true);
		uint64_t start_ns;
		unsigned ms;
		pid_t pid;

		kill(govd.pid, SIGSTOP);
		kill(govd.hold_pid, SIGSTOP);
		start_ns = play_now_ns();
		pid = start_agent(&govd);
		sleep_until(start_ns, late_ms);
		kill(govd.hold_pid, SIGCONT);
		ms = play_wait_alone(pid, start_ns);
		cr_expect_lt(ms, real_ms(900), "continued after %u ms: held for %u ms", late_ms, ms);
		end_govd(&govd);
	}
}

/* It goes on for a moment only, which may be before or after it has read the event and pushed its timer on. */
Test(hold_second, hold_stopped_again_and_again)
{
	for (unsigned turn_us = 0; turn_us < 3000; turn_us = turn_us * 2 + 50) {
		struct govd govd = start_govd(true);
		uint64_t start_ns;
		unsigned ms;
		pid_t pid;

		kill(govd.pid, SIGSTOP);
		kill(govd.hold_pid, SIGSTOP);
		start_ns = play_now_ns();
		pid = start_agent(&govd);
		for (unsigned at_ms = 150; at_ms <= 600; at_ms += 150) {
			struct timespec turn = {.tv_nsec = (long)turn_us * 1000};

			sleep_until(start_ns, at_ms);
			kill(govd.hold_pid, SIGCONT);
			nanosleep(&turn, NULL);
			kill(govd.hold_pid, SIGSTOP);
		}
		ms = play_wait_alone(pid, start_ns);
		cr_expect_lt(ms, real_ms(1000), "turns of %u us: held for %u ms", turn_us, ms);
		end_govd(&govd);
	}
}

/* On to the entry or the exit of its next system call; false: it has been killed. */
static bool step_hold(pid_t hold_pid)
{
	int status;

	return ptrace(PTRACE_SYSCALL, hold_pid, NULL, NULL) == 0 && waitpid(hold_pid, &status, __WALL) == hold_pid &&
	       WIFSTOPPED(status);
}

/* Stopped at any point of a turn of its loop when the event comes, continued late, and stopped again at a later point,
 * like between the reading and the push of its timer. */
Test(hold_second, hold_stopped_at_every_point)
{
	for (unsigned point = 0; point < 12; point++) {
		struct govd govd = start_govd(true);
		unsigned ms, steps = point % 2 ? 3 : 1;
		uint64_t start_ns;
		int status;
		pid_t pid;

		kill(govd.pid, SIGSTOP);
		cr_assert_eq(ptrace(PTRACE_SEIZE, govd.hold_pid, NULL, NULL), 0);
		cr_assert_eq(ptrace(PTRACE_INTERRUPT, govd.hold_pid, NULL, NULL), 0);
		cr_assert_eq(waitpid(govd.hold_pid, &status, __WALL), govd.hold_pid);
		/* A turn in which nothing happens is three calls: timer_settime, ppoll, ioctl. */
		for (unsigned i = 0; i <= point / 2; i++)
			cr_assert(step_hold(govd.hold_pid));
		start_ns = play_now_ns();
		pid = start_agent(&govd);
		sleep_until(start_ns, 360); /* before the timer that it set in the turn before */
		while (steps && step_hold(govd.hold_pid))
			steps--;
		ms = play_wait_alone(pid, start_ns);
		cr_expect_lt(ms, real_ms(1000), "point %u: held for %u ms", point, ms);
		end_govd(&govd);
	}
}

/* It has read the event and is stopped at some time before or just about the deadline. */
Test(hold_second, hold_stopped_before_the_deadline)
{
	for (unsigned at_ms = 100; at_ms < GOV_HOLD_DEADLINE_MS; at_ms += 180) {
		struct govd govd = start_govd(true);
		uint64_t start_ns = play_now_ns();
		unsigned ms;
		pid_t pid;
		char byte;

		pid = start_agent(&govd);
		cr_assert_eq(read(govd.report_fd, &byte, 1), 1, "it isn't held");
		kill(govd.pid, SIGSTOP);
		sleep_until(start_ns, at_ms);
		kill(govd.hold_pid, SIGSTOP);
		ms = play_wait_alone(pid, start_ns);
		cr_expect_lt(ms, real_ms(1000), "stopped after %u ms: held for %u ms", at_ms, ms);
		end_govd(&govd);
	}
}

#define CROWD 700 /* more than govd-hold reads in one turn */

struct opener {
	pthread_t thread;
	const char *path;
	uint64_t end_ns;
};

static void *open_once(void *userdata)
{
	struct opener *opener = userdata;
	int fd = open(opener->path, O_RDONLY | O_CLOEXEC);

	opener->end_ns = play_now_ns();
	if (fd >= 0)
		close(fd);
	return NULL;
}

/* Also those whom it reads in a later turn have waited since it was stopped. */
Test(hold_second, a_crowd_and_hold_continued_late)
{
	struct govd govd = start_govd(true);
	struct opener *openers = calloc(CROWD, sizeof(*openers));
	uint64_t start_ns, last_ns = 0;
	char path[96];

	snprintf(path, sizeof(path), "%s/agent.sh", govd.directory);
	kill(govd.pid, SIGSTOP);
	kill(govd.hold_pid, SIGSTOP);
	start_ns = play_now_ns();
	for (size_t i = 0; i < CROWD; i++) {
		openers[i].path = path;
		cr_assert_eq(pthread_create(&openers[i].thread, NULL, open_once, &openers[i]), 0);
	}
	sleep_until(start_ns, 500);
	kill(govd.hold_pid, SIGCONT);
	for (size_t i = 0; i < CROWD; i++) {
		cr_assert_eq(pthread_join(openers[i].thread, NULL), 0);
		last_ns = MAX2(last_ns, openers[i].end_ns);
	}
	cr_expect_geq(last_ns - start_ns, 500 * NSEC_PER_MSEC, "nobody was held");
	cr_expect_lt(last_ns - start_ns, real_ms(1000) * NSEC_PER_MSEC, "held for %u ms",
		     (unsigned)((last_ns - start_ns) / NSEC_PER_MSEC));
	free(openers);
	end_govd(&govd);
}

/* govd hangs without reading, for many starts: each waits its deadline at the most. */
Test(hold_second, govd_hangs)
{
	struct govd govd = start_govd(false);
	uint64_t start_ns = play_now_ns();
	pid_t pids[50];

	for (size_t i = 0; i < ELEMENTSOF(pids); i++)
		pids[i] = start_agent(&govd);
	for (size_t i = 0; i < ELEMENTSOF(pids); i++)
		cr_expect_lt(play_wait_alone(pids[i], start_ns), real_ms(1000));
	end_govd(&govd);
}
