/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Starts agents one by one and tells when each was in its group: starts N SPACING_MS PROGRAM [ARG]...
 * SPACING_MS 0: each after the end of the one before. A line each: microseconds from execve to the first instruction
 * and to the group (-1: never), and whether its tool was left outside.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "newborn.h"

struct start {
	pid_t pid;
	volatile uint64_t exec_ns;
	struct report report;
};

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000ULL + (uint64_t)now.tv_nsec;
}

static int start_agent(struct start *start, char **argv, int report_fd)
{
	start->pid = vfork();
	if (start->pid == 0) {
		dup2(report_fd, 3);
		/* The memory is shared until then. */
		start->exec_ns = now_ns();
		execv(argv[0], argv);
		_exit(127);
	}
	return start->pid < 0 ? -errno : 0;
}

/* Takes reports until a time; with time 0: one. Returns how many, or -errno. */
static long take_reports(int fd, struct start *starts, long n, uint64_t until_ns)
{
	long taken = 0;

	for (;;) {
		uint64_t now = now_ns();
		struct pollfd in = {.fd = fd, .events = POLLIN};
		struct timespec wait = {.tv_sec = 5};
		struct report report;

		if (until_ns && now >= until_ns)
			return taken;
		if (until_ns)
			wait = (struct timespec){.tv_sec = (time_t)((until_ns - now) / 1000000000ULL),
						 .tv_nsec = (long)((until_ns - now) % 1000000000ULL)};
		if (ppoll(&in, 1, &wait, NULL) <= 0) {
			if (!until_ns)
				return -ETIMEDOUT;
			continue;
		}
		if (read(fd, &report, sizeof(report)) != (ssize_t)sizeof(report))
			return -EIO;
		for (long i = n - 1; i >= 0; i--)
			if (starts[i].pid == report.pid) {
				starts[i].report = report;
				waitpid(report.pid, NULL, 0);
				break;
			}
		taken++;
		if (!until_ns)
			return taken;
	}
}

static double us_since(const struct start *start, uint64_t time_ns)
{
	return time_ns ? ((double)time_ns - (double)start->exec_ns) / 1000 : -1;
}

int main(int argc, char **argv)
{
	long n = argc > 3 ? atol(argv[1]) : 0, told = 0, got = 0;
	uint64_t spacing_ns = argc > 3 ? strtoull(argv[2], NULL, 10) * 1000000ULL : 0, next_ns = now_ns();
	struct start *starts;
	int fds[2];

	if (n <= 0 || pipe2(fds, O_CLOEXEC) < 0 || (fds[1] = fcntl(fds[1], F_DUPFD_CLOEXEC, 10)) < 0)
		return 2;
	starts = calloc((size_t)n, sizeof(*starts));
	if (!starts)
		return 2;
	for (long i = 0; i < n && got >= 0; i++) {
		if (start_agent(&starts[i], argv + 3, fds[1]) < 0)
			return 1;
		next_ns += spacing_ns;
		got = take_reports(fds[0], starts, i + 1, spacing_ns ? next_ns : 0);
		told += got;
	}
	while (told < n && got >= 0)
		told += got = take_reports(fds[0], starts, n, 0);
	for (long i = 0; i < n; i++)
		if (starts[i].report.first_ns)
			printf("%.1f %.1f %d\n", us_since(&starts[i], starts[i].report.first_ns),
			       us_since(&starts[i], starts[i].report.placed_ns), starts[i].report.tool_outside);
	return got < 0;
}
