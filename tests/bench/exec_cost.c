// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What the programs add to the exec of a process that no policy concerns: vfork + execve + wait of a small static
 * program, in turns with the programs attached and not. Prints the medians of the CPU time and their ratio; `-n
 * ROUNDS`. Needs root.
 */
#include <fcntl.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "sense/bpf.h"

#define ROUND_EXECS 200
#define WARM_EXECS 50
#define ROUNDS_DEFAULT 40
#define ROUNDS_MAX 1000

/* The least that can be executed, so that what is added weighs the most: exit(0) as an ELF file of its own. */
static const char source[] = ".globl _start\n_start:\n"
#if defined(__x86_64__)
			     "mov $60, %eax\nxor %edi, %edi\nsyscall\n";
#elif defined(__aarch64__)
			     "mov x8, #93\nmov x0, #0\nsvc #0\n";
#else
#error "exit(0) in this machine's assembly, please"
#endif

/* CPU time of this process and of the children it has waited for: other load of the machine counts little. */
static double cpu_ns(void)
{
	static const int who[] = {RUSAGE_SELF, RUSAGE_CHILDREN};
	double sum = 0;

	for (size_t i = 0; i < ELEMENTSOF(who); i++) {
		struct rusage usage;

		if (getrusage(who[i], &usage) < 0)
			abort();
		sum += (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e9;
		sum += (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e3;
	}
	return sum;
}

static int file_write_new(const char *path)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	return fd >= 0 && write(fd, source, sizeof(source) - 1) == (ssize_t)sizeof(source) - 1 ? 0 : -EIO;
}

static int make_program(const char *dir, const char *path)
{
	char assembly[64];
	const char *const compiler[] = {"cc", "-static", "-nostdlib", "-o", path, assembly, NULL};
	int status = -1;
	pid_t pid;

	snprintf(assembly, sizeof(assembly), "%s/stranger.s", dir);
	if (file_write_new(assembly) < 0)
		return -EIO;
	if (posix_spawnp(&pid, compiler[0], NULL, NULL, (char *const *)(uintptr_t)compiler, environ) == 0)
		waitpid(pid, &status, 0);
	unlink(assembly);
	return status == 0 ? 0 : -EIO;
}

/* Mean CPU ns an exec of one round. */
static double round_run(const char *path)
{
	char *const argv[] = {(char *)(uintptr_t)path, NULL};
	double begin = 0;

	/* The first ones meet cold caches: the programs have just been attached or taken away. */
	for (int i = -WARM_EXECS; i < ROUND_EXECS; i++) {
		pid_t pid;

		if (i == 0)
			begin = cpu_ns();

		if (posix_spawn(&pid, path, NULL, NULL, argv, environ) != 0 || waitpid(pid, NULL, 0) != pid)
			abort();
	}
	return (cpu_ns() - begin) / ROUND_EXECS;
}

static int compare(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static double median(double *values, size_t n)
{
	qsort(values, n, sizeof(*values), compare);
	return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

/* As many as a host with a dozen policies has: interpreters and agents. */
static const char *const candidates[] = {
	"python*", "node*", "bash", "dash", "sh", "deno", "bun", "ruby*", "perl*", "claude", "chrome*", "chromium*",
};

static int measure(const char *path, size_t rounds)
{
	static double with[ROUNDS_MAX], without[ROUNDS_MAX], ratios[ROUNDS_MAX];
	char error[256];
	double a, b, ratio;

	for (size_t i = 0; i < rounds; i++) {
		struct bpf_sense *sense = NULL;

		without[i] = round_run(path);
		if (bpf_sense_new(0, &sense, error, sizeof(error)) < 0 ||
		    bpf_sense_set_candidates(sense, candidates, ELEMENTSOF(candidates)) < 0) {
			fprintf(stderr, "exec_cost: %s\n", error);
			return EXIT_FAILURE;
		}
		with[i] = round_run(path);
		bpf_sense_free(sense);
		ratios[i] = with[i] / without[i];
	}
	a = median(without, rounds);
	b = median(with, rounds);
	ratio = median(ratios, rounds);
	printf("stranger's exec, us of CPU: without %.2f, with %.2f; ratio of medians %.4f, median of ratios %.4f (%zu "
	       "x "
	       "%d)\n",
	       a / 1000, b / 1000, b / a, ratio, rounds, ROUND_EXECS);
	return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	char dir[] = "/tmp/govtest-exec-XXXXXX", path[64];
	size_t rounds = ROUNDS_DEFAULT;
	int r = EXIT_FAILURE;

	if (argc == 3 && streq(argv[1], "-n"))
		rounds = MIN2(MAX2((size_t)strtoul(argv[2], NULL, 10), (size_t)1), (size_t)ROUNDS_MAX);
	if (!mkdtemp(dir)) {
		perror("exec_cost: mkdtemp");
		return EXIT_FAILURE;
	}
	snprintf(path, sizeof(path), "%s/stranger", dir);
	if (make_program(dir, path) < 0)
		fprintf(stderr, "exec_cost: can't compile the program to execute\n");
	else
		r = measure(path, rounds);
	unlink(path);
	rmdir(dir);
	return r;
}
