/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An agent that looks where it is from its first instruction on: newborn LINE MARKER LIFE_MS [TOOL]
 * Reads its groups until LINE (`:memory:` or `0::`) has MARKER, at most PATIENCE times LIFE_MS; `-` as MARKER: doesn't
 * look. With TOOL, a program, it first forks and executes that, and tells whether it is outside after LIFE_MS. Writes a
 * struct report to descriptor 3. As a tool, without arguments, it only waits. Without a libc, so that its first
 * instruction is its own: cc -O2 -static -nostdlib -ffreestanding.
 */
#include <asm/unistd.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdint.h>
#include <time.h>

#include "../newborn.h"

#define NSEC_PER_MSEC 1000000ULL
#define PATIENCE 5
#define TOOL_LIFE_NS (3000 * NSEC_PER_MSEC) /* unless it is killed */

#if defined(__x86_64__)
static long call(long number, long a, long b, long c, long d)
{
	register long r10 __asm__("r10") = d, r8 __asm__("r8") = 0;

	__asm__ volatile("syscall" : "+a"(number) : "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8) : "rcx", "r11", "memory");
	return number;
}
__asm__(".globl _start\n_start:\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall begin\n\thlt\n");
#elif defined(__aarch64__)
static long call(long number, long a, long b, long c, long d)
{
	register long x8 __asm__("x8") = number, x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c,
			 x3 __asm__("x3") = d, x4 __asm__("x4") = 0;

	__asm__ volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
	return x0;
}
__asm__(".globl _start\n_start:\n\tmov x0, sp\n\tbl begin\n\tbrk #0\n");
#else
#error "system calls in this machine's assembly, please"
#endif

static uint64_t now_ns(void)
{
	struct timespec now;

	call(__NR_clock_gettime, CLOCK_MONOTONIC, (long)&now, 0, 0);
	return (uint64_t)now.tv_sec * 1000000000ULL + (uint64_t)now.tv_nsec;
}

static int begins(const char *at, const char *word)
{
	while (*word && *at == *word)
		at++, word++;
	return !*word;
}

/* Whether the line of these controllers has the marker. */
static int is_inside(int fd, const char *line, const char *marker)
{
	static char text[8192];
	long n = call(__NR_pread64, fd, (long)text, sizeof(text) - 1, 0);
	int is_line = 0;

	text[n < 0 ? 0 : n] = '\0';
	for (const char *at = text; *at; at++) {
		is_line = *at != '\n' && (is_line || begins(at, line));
		if (is_line && begins(at, marker))
			return 1;
	}
	return 0;
}

static int open_groups(long pid)
{
	char path[32] = "/proc/", digits[16];
	int n = 6, d = 0;

	for (; pid; pid /= 10)
		digits[d++] = (char)('0' + pid % 10);
	while (d)
		path[n++] = digits[--d];
	for (const char *rest = "/cgroup"; *rest;)
		path[n++] = *rest++;
	path[n] = '\0';
	return (int)call(__NR_openat, AT_FDCWD, (long)path, O_RDONLY, 0);
}

static void sleep_until(uint64_t time_ns)
{
	struct timespec at = {.tv_sec = (time_t)(time_ns / 1000000000ULL), .tv_nsec = (long)(time_ns % 1000000000ULL)};

	while (call(__NR_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, (long)&at, 0) != 0)
		;
}

static long tool_start(const char *program)
{
	const char *argv[] = {program, 0}, *envp[] = {0};
	long pid = call(__NR_clone, SIGCHLD, 0, 0, 0);

	if (pid == 0) {
		call(__NR_execve, (long)program, (long)argv, (long)envp, 0);
		call(__NR_exit_group, 127, 0, 0, 0);
	}
	return pid;
}

static void tool_look(long tool, const char *line, const char *marker, struct report *report)
{
	report->tool_outside = !is_inside(open_groups(tool), line, marker);
	report->is_looked_at = 1;
	call(__NR_kill, tool, SIGKILL, 0, 0);
}

static void live(const char *const *argv, long tool, struct report *report)
{
	const char *line = argv[1], *marker = argv[2];
	int fd = open_groups(report->pid);
	uint64_t life_ns = 0, end_ns, time_ns = report->first_ns;

	for (const char *digit = argv[3]; *digit; digit++)
		life_ns = life_ns * 10 + (uint64_t)(*digit - '0') * NSEC_PER_MSEC;
	end_ns = report->first_ns + life_ns;
	for (int looks = 0; !report->placed_ns && time_ns < report->first_ns + PATIENCE * life_ns; looks++) {
		int inside = is_inside(fd, line, marker);

		time_ns = now_ns();
		if (inside)
			report->placed_ns = looks ? time_ns : report->first_ns;
		if (tool && !report->is_looked_at && time_ns >= end_ns)
			tool_look(tool, line, marker, report);
	}
	if (tool && !report->is_looked_at) {
		sleep_until(end_ns);
		tool_look(tool, line, marker, report);
	}
}

__attribute__((noreturn, used)) void begin(const long *stack)
{
	struct report report = {.first_ns = now_ns()};
	const char *const *argv = (const char *const *)(stack + 1);
	long tool = 0;

	if (!argv[1]) {
		sleep_until(report.first_ns + TOOL_LIFE_NS);
	} else {
		if (argv[4])
			tool = tool_start(argv[4]);
		report.pid = (int32_t)call(__NR_getpid, 0, 0, 0, 0);
		if (argv[2][0] != '-')
			live(argv, tool, &report);
		call(__NR_write, 3, (long)&report, sizeof(report), 0);
	}
	call(__NR_exit_group, 0, 0, 0, 0);
	__builtin_unreachable();
}
