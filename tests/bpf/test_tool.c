/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "support.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/file.h"

/* Tools: whose births are told of, and for how long. */

struct play {
	struct bench bench;
	struct slice slice;
	struct puppet root;
	struct gov_mark mark;
};

static int mark_of(const struct play *play, pid_t pid, struct gov_mark *ret_mark)
{
	_cleanup_close_ int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);

	cr_assert_geq(pidfd, 0);
	return bpf_sense_get_mark(play->bench.sense, pidfd, ret_mark);
}

/* A root in its agent's group whose exec is settled, with these flags. */
static void play_open(struct play *play, uint32_t flags)
{
	struct bench *bench = &play->bench;

	bench_open(bench, 0);
	slice_make(&play->slice);
	cr_assert_eq(bpf_sense_set_config(bench->sense, &play->slice.config), 0);
	bench_candidates(bench, "sh", NULL);
	puppet_open(&play->root, bench->shell);
	bench_wait(bench, is_exec_of, &play->root.pid, "exec");
	slice_move(play->root.pid, play->slice.agent);
	cr_assert_eq(mark_of(play, play->root.pid, &play->mark), 0);
	play->mark.flags = flags;
	cr_assert_eq(bpf_sense_set_mark(bench->sense, play->root.pidfd, &play->mark), 0);
	cr_assert_eq(bpf_sense_settle(bench->sense, play->mark.id), 0);
}

static void play_close(struct play *play)
{
	puppet_do(&play->root, "wait");
	puppet_close(&play->root);
	/* Who has lost its parents is nobody's to wait for. */
	for (unsigned tries = 0; rmdir(play->slice.agent) < 0 && tries < 1000; tries++)
		usleep(10000);
	cr_expect_eq(mkdir(play->slice.agent, 0755), 0);
	slice_remove(&play->slice);
	bench_close(&play->bench);
}

static const struct gov_record_fork *fork_of(struct play *play, pid_t pid)
{
	return (const struct gov_record_fork *)(const void *)bench_wait(&play->bench, is_fork_of, &pid, "fork");
}

static pid_t begin(struct play *play, const char *command)
{
	char line[320];

	snprintf(line, sizeof(line), "%s & echo $!", command);
	return (pid_t)puppet_do(&play->root, line);
}

Test(tool, each_child_of_the_root_begins_one)
{
	const struct gov_record_fork *fork;
	uint64_t first;
	struct play play;
	struct stat st;
	pid_t pid;

	play_open(&play, GOV_MARK_TOOLS);
	pid = begin(&play, "sleep 30");
	fork = fork_of(&play, pid);
	first = fork->tool;
	cr_expect_neq(first, 0);
	cr_expect_eq(fork->head.mark, 0);
	cr_expect_eq(fork->head.ppid, (uint32_t)play.root.pid);
	cr_assert_eq(stat(play.slice.agent, &st), 0);
	cr_expect_eq(fork->head.cgroup_id, st.st_ino);
	/* Its end is told, with how it ended. */
	kill(pid, SIGTERM);
	cr_expect_eq(((const struct gov_record_exit *)(const void *)bench_wait(&play.bench, is_exit_of, &pid, "exit"))
			     ->exit_code,
		     SIGTERM);
	pid = begin(&play, "exit 3");
	cr_expect_gt(fork_of(&play, pid)->tool, first, "another tool");
	cr_expect_eq(((const struct gov_record_exit *)(const void *)bench_wait(&play.bench, is_exit_of, &pid, "exit"))
			     ->exit_code,
		     3 << 8);
	play_close(&play);
}

/* A file that the tool writes: a number. */
static pid_t number_in(const struct play *play, const char *name)
{
	char path[128], text[32];

	snprintf(path, sizeof(path), "%s/%s", play->bench.dir, name);
	for (unsigned tries = 0; tries < 1000; tries++) {
		if (file_read(AT_FDCWD, path, text, sizeof(text)) > 1)
			return atoi(text);
		usleep(10000);
	}
	cr_assert(false, "no %s", path);
	return 0;
}

Test(tool, what_a_tool_forks_is_a_part_of_it)
{
	struct play play;
	pid_t pid, child, last;
	char command[256];
	uint64_t tool;

	play_open(&play, GOV_MARK_TOOLS);
	/* It outlives its parents. */
	snprintf(command, sizeof(command), "( (sleep 30 & echo $! >%s/last) & echo $! >%s/child )", play.bench.dir,
		 play.bench.dir);
	pid = begin(&play, command);
	child = number_in(&play, "child");
	last = number_in(&play, "last");
	tool = fork_of(&play, pid)->tool;
	cr_expect_neq(tool, 0);
	cr_expect_eq(fork_of(&play, child)->tool, tool);
	cr_expect_eq(fork_of(&play, last)->tool, tool);
	bench_read(&play.bench);
	cr_expect_eq(bench_count(&play.bench, is_exit_of, &child), 0, "only the end of its first is told");
	kill(last, SIGKILL);
	play_close(&play);
}

Test(tool, in_its_own_group_nothing_is_told)
{
	char group[PATH_MAX + 32], command[256], fifo[128];
	struct gov_mark mark;
	struct play play;
	pid_t pid, child;

	play_open(&play, GOV_MARK_TOOLS);
	snprintf(group, sizeof(group), "%s/tool", play.slice.agent);
	snprintf(fifo, sizeof(fifo), "%s/go", play.bench.dir);
	cr_assert_eq(mkdir(group, 0755), 0);
	cr_assert_eq(mkfifo(fifo, 0600), 0);
	snprintf(command, sizeof(command), "(read line <%s; sleep 30 & echo $! >%s/child; wait; exit 0)", fifo,
		 play.bench.dir);
	pid = begin(&play, command);
	fork_of(&play, pid);
	slice_move(pid, group);
	cr_assert_geq(file_write(AT_FDCWD, fifo, "\n"), 0);
	child = number_in(&play, "child");
	bench_read(&play.bench);
	cr_expect_eq(bench_count(&play.bench, is_fork_of, &child), 0);
	cr_expect_eq(mark_of(&play, child, &mark), -ENOENT);
	kill(child, SIGKILL);
	bench_wait(&play.bench, is_exit_of, &pid, "exit");
	puppet_do(&play.root, "wait");
	cr_expect_eq(rmdir(group), 0);
	play_close(&play);
}

Test(tool, a_root_without_them_tells_of_nothing)
{
	struct gov_mark mark;
	struct play play;
	pid_t pid;

	play_open(&play, 0);
	for (unsigned i = 0; i < 20; i++) {
		pid = begin(&play, "sleep 30");
		bench_read(&play.bench);
		cr_expect_eq(bench_count(&play.bench, is_fork_of, &pid), 0);
		cr_expect_eq(mark_of(&play, pid, &mark), -ENOENT);
		kill(pid, SIGKILL);
	}
	play_close(&play);
}

Test(tool, a_root_that_executes_again_has_them_still)
{
	struct gov_mark mark;
	struct play play;
	char line[256];
	pid_t pid;

	play_open(&play, GOV_MARK_TOOLS);
	snprintf(line, sizeof(line), "exec %s", play.bench.shell);
	fprintf(play.root.to, "%s\n", line);
	fflush(play.root.to);
	/* What is written before the exec the old shell would read. */
	for (unsigned tries = 0; tries < 1000; tries++) {
		cr_assert_eq(mark_of(&play, play.root.pid, &mark), 0);
		if (mark.id != play.mark.id)
			break;
		usleep(10000);
	}
	cr_expect_gt(mark.id, play.mark.id);
	pid = begin(&play, "exit 0");
	cr_expect_neq(fork_of(&play, pid)->tool, 0);
	play_close(&play);
}
