/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "support.h"

#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/file.h"

#define OWN_MARK (UINT64_C(1) << 62) /* none that the kernel gives out */

/* The mark: who inherits it, who tells of its forks, what the exits say. */

static const struct gov_record_exec *exec_of(struct bench *bench, pid_t pid)
{
	return (const struct gov_record_exec *)(const void *)bench_wait(bench, is_exec_of, &pid, "exec");
}

static const struct gov_record_exit *exit_of(struct bench *bench, pid_t pid)
{
	return (const struct gov_record_exit *)(const void *)bench_wait(bench, is_exit_of, &pid, "exit");
}

static int mark_of(struct bench *bench, pid_t pid, struct gov_mark *ret_mark)
{
	_cleanup_close_ int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);

	cr_assert_geq(pidfd, 0);
	return bpf_sense_get_mark(bench->sense, pidfd, ret_mark);
}

/* A candidate shell that waits for orders; returns its mark. */
static uint64_t open_agent(struct bench *bench, struct puppet *agent)
{
	bench_candidates(bench, "sh", NULL);
	puppet_open(agent, bench->shell);
	return exec_of(bench, agent->pid)->head.mark;
}

Test(lineage, children_inherit_and_are_told_of)
{
	struct bench bench;
	struct puppet agent;
	struct gov_mark mark;
	const struct gov_record_head *fork;
	uint64_t id, ticks;
	pid_t child;

	bench_open(&bench, 0);
	id = open_agent(&bench, &agent);
	child = (pid_t)puppet_do(&agent, "sleep 30 & echo $!");
	fork = bench_wait(&bench, is_fork_of, &child, "fork");
	cr_expect_eq(fork->mark, id);
	cr_expect_eq(fork->ppid, (uint32_t)agent.pid);
	cr_assert_eq(procfs_start_ticks(child, &ticks), 0);
	cr_expect_eq(procfs_ticks_of_ns(fork->start_ns), ticks);
	cr_assert_eq(mark_of(&bench, child, &mark), 0);
	cr_expect_eq(mark.id, id);
	cr_expect_eq(mark.root_pid, (uint32_t)agent.pid);
	kill(child, SIGKILL);
	puppet_do(&agent, "wait");
	puppet_close(&agent);
	cr_expect_eq(exit_of(&bench, agent.pid)->head.mark, id);
	cr_expect_eq(bench_count(&bench, is_exit_of, &child), 0, "only the root's end is told");
	bench_close(&bench);
}

Test(lineage, daemons_keep_the_mark)
{
	struct bench bench;
	struct puppet agent;
	struct gov_mark mark;
	uint64_t id;
	pid_t daemon;

	bench_open(&bench, 0);
	id = open_agent(&bench, &agent);
	/* Twice forked, in a session of its own, its parents gone. */
	daemon = (pid_t)puppet_do(&agent, "(setsid sh -c 'sleep 30 >/dev/null & echo $!' &) ; sleep 0.2; :");
	cr_assert_gt(daemon, 0);
	bench_wait(&bench, is_fork_of, &daemon, "fork of the daemon");
	cr_assert_eq(mark_of(&bench, daemon, &mark), 0);
	cr_expect_eq(mark.id, id);
	kill(daemon, SIGKILL);
	puppet_close(&agent);
	bench_close(&bench);
}

Test(lineage, root_that_executes_again_gets_a_fresh_mark)
{
	struct bench bench;
	struct puppet agent;
	const struct gov_record_exec *record;
	char other[96], line[128];
	uint64_t id;
	pid_t pid;

	bench_open(&bench, 0);
	bench_copy(&bench, "/bin/true", "other", other);
	bench_candidates(&bench, "sh", "other", NULL);
	puppet_open(&agent, bench.shell);
	id = exec_of(&bench, agent.pid)->head.mark;
	snprintf(line, sizeof(line), "%s & echo $!; wait", other);
	pid = (pid_t)puppet_do(&agent, line);
	record = exec_of(&bench, pid);
	cr_expect_eq(record->parent_mark, id);
	cr_expect_neq(record->head.mark, id);
	puppet_close(&agent);
	bench_close(&bench);
}

/* ---- threads ----------------------------------------------------------------------------------------------------- */

static int go[2];
static const char *to_execute;

static void *execute(void *argument)
{
	char byte;

	(void)argument;
	if (read(go[0], &byte, 1) == 1)
		execl(to_execute, to_execute, "30", (char *)NULL);
	_exit(127);
}

/* A process whose second thread executes path when it is told to by go. */
static pid_t start_threaded(const char *path)
{
	pid_t pid;

	cr_assert_eq(pipe2(go, O_CLOEXEC), 0);
	to_execute = path;
	pid = fork();
	cr_assert_geq(pid, 0);
	if (pid == 0) {
		pthread_t thread;

		if (pthread_create(&thread, NULL, execute, NULL) == 0)
			pthread_join(thread, NULL);
		_exit(127);
	}
	return pid;
}

static void wait_for_comm(pid_t pid, const char *comm)
{
	char path[32], text[64];

	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	for (int i = 0; i < WAIT_MS / 10; i++) {
		cr_assert_gt(file_read(AT_FDCWD, path, text, sizeof(text)), 0);
		if (strncmp(text, comm, strlen(comm)) == 0)
			return;
		usleep(10000);
	}
	cr_assert_fail("%d never became %s", pid, comm);
}

static void wait_for_threads(pid_t pid, long n)
{
	char path[32];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	for (int i = 0; i < WAIT_MS / 10; i++) {
		cr_assert_eq(stat(path, &st), 0);
		if ((long)st.st_nlink == n + 2)
			return;
		usleep(10000);
	}
	cr_assert_fail("%d never had %ld threads", pid, n);
}

/* The mark was given to the leader when the thread was there already: at the exec it must pass to it. */
Test(lineage, exec_by_another_thread_keeps_the_mark)
{
	struct bench bench;
	struct gov_mark mark = {}, after;
	_cleanup_close_ int pidfd = -EBADF;
	char path[96];
	pid_t pid;

	bench_open(&bench, 0);
	bench_copy(&bench, "/bin/sleep", "t", path);
	pid = start_threaded(path);
	wait_for_threads(pid, 2);
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	mark.id = OWN_MARK;
	mark.root_pid = (uint32_t)pid;
	cr_assert_eq(bpf_sense_set_mark(bench.sense, pidfd, &mark), 0);
	cr_assert_eq(write(go[1], "x", 1), 1);
	wait_for_comm(pid, bench.tag);
	cr_assert_eq(bpf_sense_get_mark(bench.sense, pidfd, &after), 0);
	cr_expect_eq(after.id, mark.id);
	bench_read(&bench);
	cr_expect_eq(bench_count(&bench, is_exit_of, &pid), 0, "the old leader's end isn't the process's");
	kill(pid, SIGKILL);
	wait_for(pid);
	cr_expect_eq(exit_of(&bench, pid)->exit_code, SIGKILL);
	cr_expect_eq(bench_count(&bench, is_exit_of, &pid), 1);
	bench_close(&bench);
}

Test(lineage, candidate_executed_by_another_thread)
{
	struct bench bench;
	const struct gov_record_exec *record;
	struct gov_mark mark;
	char path[96];
	pid_t pid;

	bench_open(&bench, 0);
	bench_copy(&bench, "/bin/sleep", "t", path);
	bench_candidates(&bench, "t", NULL);
	pid = start_threaded(path);
	wait_for_threads(pid, 2);
	cr_assert_eq(write(go[1], "x", 1), 1);
	record = exec_of(&bench, pid);
	cr_assert_eq(mark_of(&bench, pid, &mark), 0);
	cr_expect_eq(mark.id, record->head.mark);
	kill(pid, SIGKILL);
	wait_for(pid);
	bench_close(&bench);
}

Test(lineage, deleted_mark_is_gone_for_children)
{
	struct bench bench;
	struct puppet agent;
	struct gov_mark mark;
	pid_t child;

	bench_open(&bench, 0);
	open_agent(&bench, &agent);
	cr_assert_eq(bpf_sense_set_mark(bench.sense, agent.pidfd, &(struct gov_mark){}), 0);
	cr_expect_eq(bpf_sense_get_mark(bench.sense, agent.pidfd, &mark), -ENOENT);
	child = (pid_t)puppet_do(&agent, "sleep 30 & echo $!");
	cr_expect_eq(mark_of(&bench, child, &mark), -ENOENT);
	bench_read(&bench);
	cr_expect_eq(bench_count(&bench, is_fork_of, &child), 0);
	kill(child, SIGKILL);
	puppet_close(&agent);
	bench_read(&bench);
	cr_expect_eq(bench_count(&bench, is_exit_of, &agent.pid), 0);
	bench_close(&bench);
}

/* ---- slice, quiet marks ------------------------------------------------------------------------------------------ */

Test(lineage, no_forks_are_told_of_inside_the_slice)
{
	struct bench bench;
	struct puppet agent;
	struct slice slice;
	struct gov_mark mark;
	struct stat st;
	char root[PATH_MAX];
	uint64_t id;
	pid_t child;

	bench_open(&bench, 0);
	slice_make(&slice);
	cr_assert_eq(bpf_sense_set_config(bench.sense, &slice.config), 0);
	id = open_agent(&bench, &agent);
	slice_move(agent.pid, slice.agent);
	bench_read(&bench);
	cr_assert_eq(bpf_sense_settle(bench.sense, id), 0);
	child = (pid_t)puppet_do(&agent, "sleep 30 & echo $!");
	bench_read(&bench);
	cr_expect_eq(bench_count(&bench, is_fork_of, &child), 0);
	cr_expect_eq(mark_of(&bench, child, &mark), -ENOENT);
	kill(child, SIGKILL);
	puppet_do(&agent, "wait");

	/* A candidate's exec inside says where it was. */
	pid_t nested = (pid_t)puppet_do(&agent, "$0 -c 'exit 0' & echo $!; wait");
	const struct gov_record_exec *record = exec_of(&bench, nested);
	cr_expect(record->head.flags & GOV_RECORD_IN_SLICE);
	cr_expect_eq(record->parent_mark, 0);
	cr_assert_eq(stat(slice.agent, &st), 0);
	cr_expect_eq(record->head.cgroup_id, st.st_ino);

	/* Outside again, all is as before. */
	snprintf(root, sizeof(root), "%.*s", (int)(strrchr(slice.path, '/') - slice.path), slice.path);
	slice_move(agent.pid, root);
	child = (pid_t)puppet_do(&agent, "sleep 30 & echo $!");
	cr_expect_eq(bench_wait(&bench, is_fork_of, &child, "fork outside again")->mark, id);
	kill(child, SIGKILL);
	puppet_close(&agent);
	slice_remove(&slice);
	bench_close(&bench);
}

/* Executed in an agent's group, and perhaps an agent of its own: what it forks follows it until that is known. */
Test(lineage, fresh_mark_counts_inside_the_slice_until_it_is_settled)
{
	const struct gov_record_head *fork;
	struct bench bench;
	struct puppet agent;
	struct slice slice;
	struct gov_mark mark;
	char line[128];
	pid_t nested, child;
	uint64_t id;

	bench_open(&bench, 0);
	slice_make(&slice);
	cr_assert_eq(bpf_sense_set_config(bench.sense, &slice.config), 0);
	id = open_agent(&bench, &agent);
	slice_move(agent.pid, slice.agent);
	cr_assert_eq(bpf_sense_settle(bench.sense, id), 0);
	cr_expect(bpf_sense_is_settled(bench.sense, id));
	snprintf(line, sizeof(line), "$0 -c 'sleep 300 & wait' >%s/out & echo $!", bench.dir);
	nested = (pid_t)puppet_do(&agent, line);
	id = exec_of(&bench, nested)->head.mark;
	cr_expect_not(bpf_sense_is_settled(bench.sense, id));
	fork = bench_wait(&bench, is_fork_by, &nested, "fork inside the slice");
	cr_expect_eq(fork->mark, id);
	cr_expect(fork->flags & GOV_RECORD_IN_SLICE);
	child = (pid_t)fork->pid;
	cr_assert_eq(mark_of(&bench, child, &mark), 0);
	cr_expect_eq(mark.id, id);
	cr_expect_eq(mark.root_pid, (uint32_t)nested);

	/* Settled: the group tells, whoever carries the mark. */
	cr_assert_eq(bpf_sense_settle(bench.sense, id), 0);
	kill(child, SIGKILL); /* which nested waits for */
	puppet_do(&agent, "wait");
	nested = (pid_t)puppet_do(&agent, "sleep 30 & echo $!");
	bench_read(&bench);
	cr_expect_eq(bench_count(&bench, is_fork_of, &nested), 0);
	cr_expect_eq(mark_of(&bench, nested, &mark), -ENOENT);
	kill(nested, SIGKILL);
	puppet_do(&agent, "wait");
	puppet_close(&agent);
	slice_remove(&slice);
	bench_close(&bench);
}

Test(lineage, quiet_mark_tells_of_the_root_only)
{
	struct bench bench;
	struct puppet agent;
	struct gov_mark mark;
	uint64_t id;
	pid_t child;

	bench_open(&bench, 0);
	id = open_agent(&bench, &agent);
	cr_assert_eq(bpf_sense_get_mark(bench.sense, agent.pidfd, &mark), 0);
	cr_expect_eq(mark.id, id);
	mark.flags = GOV_MARK_QUIET;
	cr_assert_eq(bpf_sense_set_mark(bench.sense, agent.pidfd, &mark), 0);
	child = (pid_t)puppet_do(&agent, "sleep 30 & echo $!");
	cr_assert_eq(mark_of(&bench, child, &mark), 0);
	cr_expect_eq(mark.flags, GOV_MARK_QUIET);
	kill(child, SIGKILL);
	puppet_close(&agent);
	cr_expect_eq(exit_of(&bench, agent.pid)->head.mark, id);
	cr_expect_eq(bench_count(&bench, is_fork_of, &child), 0);
	cr_expect_eq(bench_count(&bench, is_exit_of, &child), 0);
	bench_close(&bench);
}

Test(lineage, own_forks_are_not_told_of)
{
	struct bench bench;
	struct puppet agent;
	pid_t child;

	bench_open(&bench, 0);
	open_agent(&bench, &agent);
	cr_assert_eq(bpf_sense_set_config(bench.sense, &(struct gov_config){.self_pid = (uint32_t)agent.pid}), 0);
	child = (pid_t)puppet_do(&agent, "true & sleep 30 & echo $!");
	bench_read(&bench);
	cr_expect_eq(bench_count(&bench, is_fork_by, &agent.pid), 0);
	kill(child, SIGKILL);
	puppet_close(&agent);
	bench_close(&bench);
}

/* ---- exits ------------------------------------------------------------------------------------------------------- */

static const struct {
	const char *command;
	int status;
} exits[] = {
	{"exit 0", 0},
	{"exit 7", 7 << 8},
	{"kill -KILL $$", SIGKILL},
	{"kill -TERM $$", SIGTERM},
};

Test(lineage, exit_code_is_that_of_wait)
{
	for (size_t i = 0; i < ELEMENTSOF(exits); i++) {
		struct bench bench;
		const struct gov_record_exit *record;
		pid_t pid;

		bench_open(&bench, 0);
		bench_candidates(&bench, "sh", NULL);
		pid = start((const char *[]){bench.shell, "-c", exits[i].command, NULL});
		cr_assert_eq(wait_for(pid), exits[i].status);
		record = exit_of(&bench, pid);
		cr_expect_eq(record->exit_code, exits[i].status, "%s", exits[i].command);
		cr_expect_eq(record->head.mark, exec_of(&bench, pid)->head.mark);
		bench_close(&bench);
	}
}

Test(lineage, adopted_process_ends_as_a_root)
{
	struct bench bench;
	struct gov_mark mark = {};
	_cleanup_close_ int pidfd = -EBADF;
	pid_t pid;

	bench_open(&bench, 0);
	pid = start((const char *[]){"/bin/sleep", "30", NULL});
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	mark.id = OWN_MARK;
	mark.root_pid = (uint32_t)pid;
	cr_assert_eq(bpf_sense_set_mark(bench.sense, pidfd, &mark), 0);
	kill(pid, SIGTERM);
	wait_for(pid);
	cr_expect_eq(exit_of(&bench, pid)->head.mark, mark.id);
	cr_expect_eq(exit_of(&bench, pid)->exit_code, SIGTERM);
	cr_expect_eq(bpf_sense_set_mark(bench.sense, pidfd, &mark), -ESRCH);
	bench_close(&bench);
}
