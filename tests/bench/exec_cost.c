/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What an exec costs: exec_cost [-s SINCE] N PROGRAM [ARG].... Starts PROGRAM (vfork, execve, wait) N times (a multiple
 * of 20) on one CPU and prints the medians of the wall time and of the CPU time, user and system, of one, in ns. With
 * -s instead what the kernel counts for govd's programs in an exec, in ns: those named spawn_* that were loaded after
 * SINCE, ns of CLOCK_BOOTTIME. Needs root for that.
 */
#include <bpf/bpf.h>
#include <sched.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#include "base/macro.h"
#include "median.h"

#define WARM_EXECS 50
#define BATCH 20
#define EXECS_MAX 100000
#define PROGRAM_PREFIX "spawn_"

static double clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/* Of the children that have been waited for. */
static double children_ns(void)
{
	struct rusage usage;

	getrusage(RUSAGE_CHILDREN, &usage);
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e9 +
	       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e3;
}

static double cpu_ns(void)
{
	return clock_ns(CLOCK_PROCESS_CPUTIME_ID) + children_ns();
}

/* Wall time. */
static double exec_once(char **argv)
{
	double begin = clock_ns(CLOCK_MONOTONIC);
	pid_t pid;

	if (posix_spawn(&pid, argv[0], NULL, NULL, argv, environ) != 0 || waitpid(pid, NULL, 0) != pid)
		abort();
	return clock_ns(CLOCK_MONOTONIC) - begin;
}

/* Run time and runs of the programs of one govd. */
static void kernel_sum(unsigned long long since_ns, double *ret_ns, double *ret_runs)
{
	__u32 id = 0;

	*ret_ns = *ret_runs = 0;
	while (bpf_prog_get_next_id(id, &id) == 0) {
		_cleanup_close_ int fd = bpf_prog_get_fd_by_id(id);
		struct bpf_prog_info info = {};
		__u32 size = sizeof(info);

		if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &size) < 0 || info.load_time < since_ns ||
		    strncmp(info.name, PROGRAM_PREFIX, strlen(PROGRAM_PREFIX)) != 0)
			continue;
		*ret_ns += (double)info.run_time_ns;
		*ret_runs += (double)info.run_cnt;
	}
}

static void pin(void)
{
	int cpu = sched_getcpu();
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu < 0 ? 0U : (unsigned)cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set) < 0)
		perror("exec_cost: sched_setaffinity");
}

int main(int argc, char **argv)
{
	static double wall[EXECS_MAX], cpu[EXECS_MAX / BATCH];
	bool has_stats = argc > 1 && streq(argv[1], "-s");
	_cleanup_close_ int stats_fd = -EBADF;
	unsigned long long since_ns = 0;
	size_t n;

	if (has_stats && argc > 2) {
		since_ns = strtoull(argv[2], NULL, 10);
		argv += 2;
		argc -= 2;
	}
	n = argc > 2 ? (size_t)strtoul(argv[1], NULL, 10) : 0;
	if (n == 0 || n % BATCH || n > EXECS_MAX)
		return 2;
	pin();
	for (size_t i = 0; i < WARM_EXECS; i++)
		exec_once(argv + 2);
	if (has_stats) {
		double ns, runs, end_ns, end_runs;

		stats_fd = bpf_enable_stats(BPF_STATS_RUN_TIME);
		kernel_sum(since_ns, &ns, &runs);
		for (size_t i = 0; i < n; i++)
			exec_once(argv + 2);
		kernel_sum(since_ns, &end_ns, &end_runs);
		/* Others' execs are in both sums: by the run, and one exec is three: fork, exec, exit. */
		printf("%.1f\n", end_runs > runs ? (end_ns - ns) / (end_runs - runs) * 3 : 0);
		return stats_fd < 0;
	}
	/* CPU time comes in microseconds: of a batch of execs. */
	for (size_t i = 0; i < n; i += BATCH) {
		double begin = cpu_ns();

		for (size_t j = i; j < i + BATCH; j++)
			wall[j] = exec_once(argv + 2);
		cpu[i / BATCH] = (cpu_ns() - begin) / BATCH;
	}
	printf("%.0f %.0f\n", median(wall, n), median(cpu, n / BATCH));
	return 0;
}
