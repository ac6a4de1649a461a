/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "support.h"

#include <sys/wait.h>

/* Which execs give records, and what is in them. */

static const struct gov_record_exec *exec_of(struct bench *bench, pid_t pid)
{
	return (const struct gov_record_exec *)(const void *)bench_wait(bench, is_exec_of, &pid, "exec");
}

Test(exec, record_says_what_was_executed)
{
	struct bench bench;
	const struct gov_record_exec *record;
	char path[96], args[128];
	uint64_t ticks;
	pid_t pid;
	int n;

	bench_open(&bench, 0);
	bench_copy(&bench, "/bin/sleep", "agent", path);
	bench_candidates(&bench, "agent", NULL);
	pid = start((const char *[]){path, "30", "0.5", NULL});
	record = exec_of(&bench, pid);
	cr_expect_str_eq(record->filename, path);
	cr_expect_eq(record->filename_size, strlen(path) + 1);
	cr_expect_eq(strncmp(record->comm, bench.tag, 4), 0);
	n = snprintf(args, sizeof(args), "%s%c30%c0.5", path, 0, 0);
	cr_expect_eq(record->args_size, (uint32_t)n + 1);
	cr_expect_eq(memcmp(record->args, args, (size_t)n + 1), 0);
	cr_expect_eq(record->head.ppid, (uint32_t)getpid());
	cr_expect_eq(record->head.uid, getuid());
	cr_expect_eq(record->head.flags, 0);
	cr_expect_eq(record->parent_mark, 0);
	cr_assert_eq(procfs_start_ticks(pid, &ticks), 0);
	cr_expect_eq(procfs_ticks_of_ns(record->head.start_ns), ticks);
	cr_expect_neq(record->head.mark, 0);
	kill(pid, SIGTERM);
	cr_expect_eq(wait_for(pid), SIGTERM);
	bench_close(&bench);
}

Test(exec, stranger_gives_no_record)
{
	struct bench bench;
	char agent[96], stranger[96];
	pid_t pid;

	bench_open(&bench, 0);
	bench_copy(&bench, "/bin/true", "agent", agent);
	bench_copy(&bench, "/bin/true", "agen", stranger);
	bench_candidates(&bench, "agent", NULL);
	cr_assert_eq(run((const char *[]){stranger, NULL}), 0);
	pid = start((const char *[]){agent, NULL});
	exec_of(&bench, pid);
	cr_assert_eq(wait_for(pid), 0);
	bench_wait(&bench, is_exit_of, &pid, "exit of the agent");
	cr_expect_eq(bench.n, 2, "%zu records", bench.n);
	bench_close(&bench);
}

/* name of the copy, candidate, whether it is one */
static const struct {
	const char *name, *candidate;
	bool is_one;
} candidates[] = {
	{"abc", "abc", true},
	{"abcd", "abc", false},
	{"ab", "abc", false},
	{"abcd", "abc*", true},
	{"abc", "abc*", true},
	{"ab", "abc*", false},
	{"abxd", "ab?d", true}, /* counts up to the wildcard */
	/* With the tag these are longer than a comm: the first 15 bytes count. */
	{"a-very-long-name-indeed", "a-very-long-name-indeed", true},
	{"a-very-long-name-other", "a-very-long-name-indeed", true},
	{"a-very-lonG-name-indeed", "a-very-long-name-indeed", false},
	{"elevenchars", "elevenchars", true},
};

Test(exec, candidates_are_exact_or_prefixes)
{
	for (size_t i = 0; i < ELEMENTSOF(candidates); i++) {
		struct bench bench;
		char path[96], last[96];
		pid_t pid, last_pid;

		bench_open(&bench, 0);
		bench_copy(&bench, "/bin/true", candidates[i].name, path);
		bench_copy(&bench, "/bin/true", "zz", last);
		bench_candidates(&bench, candidates[i].candidate, "zz", NULL);
		pid = start((const char *[]){path, NULL});
		cr_assert_eq(wait_for(pid), 0);
		last_pid = start((const char *[]){last, NULL});
		exec_of(&bench, last_pid);
		cr_assert_eq(wait_for(last_pid), 0);
		cr_expect_eq(bench_count(&bench, is_exec_of, &pid), candidates[i].is_one, "%s by %s",
			     candidates[i].name, candidates[i].candidate);
		bench_close(&bench);
	}
}

Test(exec, star_is_everybody)
{
	struct bench bench;
	char path[96];
	pid_t pid;

	bench_open(&bench, 0);
	bench_copy(&bench, "/bin/true", "x", path);
	cr_assert_eq(bpf_sense_set_candidates(bench.sense, (const char *[]){"*"}, 1), 0);
	pid = start((const char *[]){path, NULL});
	exec_of(&bench, pid);
	cr_assert_eq(wait_for(pid), 0);
	/* And nobody again. */
	cr_assert_eq(bpf_sense_set_candidates(bench.sense, NULL, 0), 0);
	bench_read(&bench);
	pid = start((const char *[]){path, NULL});
	cr_assert_eq(wait_for(pid), 0);
	bench_read(&bench);
	cr_expect_eq(bench_count(&bench, is_exec_of, &pid), 0);
	bench_close(&bench);
}

Test(exec, script_by_its_own_name_and_by_its_interpreter)
{
	struct bench bench;
	char text[160], script[96], other[96];
	const struct gov_record_exec *record;
	pid_t pid;

	bench_open(&bench, 0);
	snprintf(text, sizeof(text), "#!%s\nexit 0\n", bench.shell);
	bench_script(&bench, "bot.py", text, script);
	bench_candidates(&bench, "bot.py", NULL);
	pid = start((const char *[]){script, NULL});
	record = exec_of(&bench, pid);
	cr_expect_str_eq(record->filename, script);
	cr_expect_str_eq(record->args, bench.shell);
	cr_assert_eq(wait_for(pid), 0);

	bench_script(&bench, "other.py", text, other);
	bench_candidates(&bench, "sh", NULL);
	pid = start((const char *[]){other, NULL});
	record = exec_of(&bench, pid);
	cr_expect_str_eq(record->filename, other);
	cr_assert_eq(wait_for(pid), 0);
	bench_close(&bench);
}

Test(exec, candidates_that_stay_are_never_missing)
{
	struct bench bench;
	char path[96];
	size_t before;

	bench_open(&bench, 0);
	bench_copy(&bench, "/bin/true", "agent", path);
	bench_candidates(&bench, "agent", NULL);
	for (int i = 0; i < 50; i++) {
		pid_t pid = start((const char *[]){path, NULL});

		/* The set changes all the time while it executes. */
		while (waitpid(pid, NULL, WNOHANG) == 0) {
			bench_candidates(&bench, "agent", "other", NULL);
			bench_candidates(&bench, "agent", NULL);
		}
		before = bench.n;
		exec_of(&bench, pid);
		cr_assert_gt(bench.n, before);
	}
	bench_close(&bench);
}

Test(exec, long_arguments_are_cut_and_flagged)
{
	struct bench bench;
	const struct gov_record_exec *record;
	_cleanup_free_ char *big = malloc(100001);
	const char *argv[13] = {};
	char path[96];
	pid_t pid;

	bench_open(&bench, 0);
	bench_copy(&bench, "/bin/true", "agent", path);
	bench_candidates(&bench, "agent", NULL);
	memset(big, 'x', 100000);
	big[100000] = '\0';
	argv[0] = path;
	for (int i = 1; i < 12; i++)
		argv[i] = big;
	pid = start(argv);
	record = exec_of(&bench, pid);
	cr_assert_eq(wait_for(pid), 0);
	cr_expect(record->head.flags & GOV_RECORD_ARGS_TRUNCATED);
	cr_expect_eq(record->args_size, GOV_ARGS_SIZE);
	cr_expect_eq(record->args[GOV_ARGS_SIZE - 1], 'x');
	bench_close(&bench);
}

Test(exec, ring_sizes_that_cannot_be_are_refused)
{
	const struct bpf_sense_options options = {.ring_bytes = 5000};
	struct bpf_sense *sense = NULL;
	char error[128] = "";

	cr_expect_eq(bpf_sense_new(&options, &sense, error, sizeof(error)), -EINVAL);
	cr_expect_neq(error[0], '\0');
	cr_expect_null(sense);
}

static void probed(const char *program, int error, const char *detail, void *userdata)
{
	/* Not every kernel lets its functions be attached to. */
	bool is_optional = strcmp(program, "oom_begin") == 0 || strcmp(program, "oom_end") == 0;

	cr_expect(error == 0 || (is_optional && error == -EPERM), "%s: %s", program, detail);
	++*(int *)userdata;
}

Test(exec, probe_tries_every_program)
{
	int n = 0;

	cr_assert_eq(bpf_sense_probe(probed, &n), 0);
	cr_expect_geq(n, 4);
}
