/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "support.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/file.h"
#include "base/text.h"

/* A real lack of memory in a small group of the test's own, and SIGKILLs: what the kernel's records say of them. */

#define LIMIT (16U << 20)

static const struct bpf_sense_options without_functions = {.without_functions = true};

/* A group of the memory controller: below one's own in v1, at the top of v2. */
struct small_group {
	char path[512];
	int fd;
	ino_t id;
};

static bool group_is_v2(void)
{
	return access("/sys/fs/cgroup/memory", F_OK) != 0;
}

static void group_parent(char *path, size_t size)
{
	char own[256] = "";
	FILE *file = fopen("/proc/self/cgroup", "re");
	char line[512];

	cr_assert_not_null(file);
	while (fgets(line, sizeof(line), file))
		sscanf(line, "%*d:memory:%255s", own);
	fclose(file);
	snprintf(path, size, group_is_v2() ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory%s", own);
}

/* In another one, or, NULL, in its place. */
static void group_open_in(struct small_group *group, const struct small_group *outer, const char *name, unsigned limit)
{
	bool is_v2 = group_is_v2();
	char parent[400];
	struct stat st;

	group_parent(parent, sizeof(parent));
	if (outer) {
		text_copy(parent, sizeof(parent), outer->path);
		if (is_v2)
			cr_assert_eq(file_write(outer->fd, "cgroup.subtree_control", "+memory"), 0);
	}
	snprintf(group->path, sizeof(group->path), "%s/govtest-%d-%s", parent, getpid(), name);
	cr_assert_eq(mkdir(group->path, 0755), 0, "%s: %s", group->path, strerror(errno));
	group->fd = open(group->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cr_assert(group->fd >= 0 && fstat(group->fd, &st) == 0);
	group->id = st.st_ino;
	cr_assert_eq(file_writef(group->fd, is_v2 ? "memory.max" : "memory.limit_in_bytes", "%u", limit), 0);
	/* Without swap there is nothing to be had; where swap isn't counted there is none here. */
	(void)!file_writef(group->fd, is_v2 ? "memory.swap.max" : "memory.memsw.limit_in_bytes", "%u",
			   is_v2 ? 0 : limit);
}

static void group_open(struct small_group *group)
{
	group_open_in(group, NULL, "oom", LIMIT);
}

static uint64_t group_usage(const struct small_group *group)
{
	uint64_t bytes;

	if (file_read_u64(group->fd, "memory.current", &bytes) < 0)
		cr_assert_eq(file_read_u64(group->fd, "memory.usage_in_bytes", &bytes), 0);
	return bytes;
}

static void group_close(struct small_group *group)
{
	close(group->fd);
	cr_expect_eq(rmdir(group->path), 0, "%s: %s", group->path, strerror(errno));
}

static bool is_oom_of(const struct gov_record_head *record, const void *pid)
{
	return record->kind == GOV_RECORD_OOM && record->pid == *(const uint32_t *)pid;
}

static bool is_kill_of(const struct gov_record_head *record, const void *pid)
{
	return record->kind == GOV_RECORD_KILL && record->pid == *(const uint32_t *)pid;
}

/* tail keeps all that it reads until it comes across a newline. */
static pid_t hoard(const struct small_group *group, const char *tail)
{
	pid_t pid = fork();

	cr_assert_geq(pid, 0);
	if (pid == 0) {
		if (file_writef(group->fd, "cgroup.procs", "%d", getpid()) == 0)
			execl(tail, tail, "/dev/zero", (char *)NULL);
		_exit(127);
	}
	return pid;
}

static void set_oom_score(pid_t pid, const char *score)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/oom_score_adj", pid);
	cr_assert_eq(file_write(AT_FDCWD, path, score), 0);
}

/* One that keeps what it is given through a pipe. */
static pid_t keep(const struct small_group *group, const char *tail, const char *oom_score, int *ret_fd)
{
	int ends[2];
	pid_t pid;

	cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
	pid = fork();
	cr_assert_geq(pid, 0);
	if (pid == 0) {
		if (dup2(ends[0], STDIN_FILENO) == 0 &&
		    file_write(AT_FDCWD, "/proc/self/oom_score_adj", oom_score) == 0 &&
		    file_writef(group->fd, "cgroup.procs", "%d", getpid()) == 0)
			execl(tail, tail, (char *)NULL);
		_exit(127);
	}
	close(ends[0]);
	*ret_fd = ends[1];
	return pid;
}

static void keep_bytes(const struct small_group *group, int fd, unsigned bytes)
{
	static const char zeros[4096];

	while (group_usage(group) < bytes)
		cr_assert_eq(write(fd, zeros, sizeof(zeros)), (ssize_t)sizeof(zeros));
}

static void victim_is_told(const struct bpf_sense_options *options)
{
	const struct gov_record_oom *record;
	const struct gov_record_exec *exec;
	struct small_group group;
	struct bench bench;
	char tail[96];
	int status;
	pid_t pid;

	bench_open_with(&bench, options);
	bench_copy(&bench, "/usr/bin/tail", "agent", tail);
	bench_candidates(&bench, "agent", NULL);
	group_open(&group);
	pid = hoard(&group, tail);
	record = (const struct gov_record_oom *)bench_wait(&bench, is_oom_of, &pid, "oom");
	status = wait_for(pid);
	cr_expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	exec = (const struct gov_record_exec *)bench_wait(&bench, is_exec_of, &pid, "exec");
	cr_expect_eq(record->head.mark, exec->head.mark);
	cr_expect_eq(record->head.start_ns, exec->head.start_ns);
	cr_expect_eq(record->head.cgroup_id, exec->head.cgroup_id);
	cr_expect_eq(record->owner_id, 0);
	cr_expect_str_eq(record->comm, exec->comm);
	cr_expect_eq(record->memory_id, group.id);
	cr_expect_eq(record->limit_id, group.id);
	cr_expect_eq(record->limit_pages, LIMIT / 4096);
	cr_expect_geq(record->usage_pages + 256, record->limit_pages);
	cr_expect_geq(record->anon_pages, record->limit_pages / 2);
	cr_expect_leq(record->anon_pages, record->limit_pages);
	cr_expect_leq(record->file_pages, 2048);
	cr_expect_leq(record->shmem_pages, 64);
	/* What the kernel sends it is told by that record. */
	bench_wait(&bench, is_exit_of, &pid, "exit");
	cr_expect_eq(bench_count(&bench, is_kill_of, &pid), 0);
	cr_expect_eq(bench_count(&bench, is_oom_of, &pid), 1);
	group_close(&group);
	bench_close(&bench);
}

Test(oom, victim_is_told_with_its_memory_and_whose_limit)
{
	victim_is_told(NULL);
	victim_is_told(&without_functions);
}

static void limit_reached_now_is_told(const struct bpf_sense_options *options)
{
	struct small_group outer, inner, beside;
	const struct gov_record_oom *record;
	struct bench bench;
	pid_t pid, other;
	char tail[96];
	int fd;

	bench_open_with(&bench, options);
	bench_copy(&bench, "/usr/bin/tail", "agent", tail);
	bench_candidates(&bench, "agent", NULL);
	group_open_in(&outer, NULL, "outer", 4 * LIMIT);
	group_open_in(&inner, &outer, "inner", LIMIT);
	group_open_in(&beside, &outer, "beside", 8 * LIMIT);
	pid = hoard(&inner, tail);
	record = (const struct gov_record_oom *)bench_wait(&bench, is_oom_of, &pid, "oom");
	cr_expect_eq(record->limit_id, inner.id);
	wait_for(pid);
	/* The next one in the same group is almost at its limit, but it is another one that lacks memory. */
	pid = keep(&inner, tail, "1000", &fd);
	keep_bytes(&inner, fd, LIMIT - LIMIT / 40);
	other = hoard(&beside, "/usr/bin/tail");
	record = (const struct gov_record_oom *)bench_wait(&bench, is_oom_of, &pid, "oom");
	cr_expect_eq(record->memory_id, inner.id);
	cr_expect_eq(record->limit_id, outer.id);
	cr_expect_eq(record->limit_pages, 4 * LIMIT / 4096);
	close(fd);
	wait_for(pid);
	wait_for(other);
	group_close(&beside);
	group_close(&inner);
	group_close(&outer);
	bench_close(&bench);
}

Test(oom, limit_is_the_one_that_was_reached_now)
{
	limit_reached_now_is_told(NULL);
	limit_reached_now_is_told(&without_functions);
}

/* is_above: also the inner group is above its limit, since one was set when nobody in it could be ended. */
static void limit_lowered_is_told(const struct bpf_sense_options *options, bool is_above)
{
	const struct gov_record_oom *record;
	struct small_group outer, inner;
	struct bench bench;
	char tail[96];
	pid_t pid;
	int fd;

	bench_open_with(&bench, options);
	bench_copy(&bench, "/usr/bin/tail", "agent", tail);
	bench_candidates(&bench, "agent", NULL);
	group_open_in(&outer, NULL, "outer", 4 * LIMIT);
	group_open_in(&inner, &outer, "inner", 2 * LIMIT);
	pid = keep(&inner, tail, is_above ? "-1000" : "1000", &fd);
	keep_bytes(&inner, fd, LIMIT);
	if (is_above) {
		cr_assert_eq(file_writef(inner.fd, "memory.max", "%u", LIMIT / 2), 0);
		set_oom_score(pid, "1000");
	}
	cr_assert_eq(file_writef(outer.fd, "memory.max", "%u", LIMIT / 4), 0);
	record = (const struct gov_record_oom *)bench_wait(&bench, is_oom_of, &pid, "oom");
	cr_expect_eq(record->limit_id, outer.id);
	close(fd);
	wait_for(pid);
	group_close(&inner);
	group_close(&outer);
	bench_close(&bench);
}

Test(oom, limit_that_was_lowered)
{
	struct small_group group;
	pid_t pid;
	int fd;

	if (group_is_v2()) {
		limit_lowered_is_told(NULL, false);
		limit_lowered_is_told(NULL, true);
		limit_lowered_is_told(&without_functions, false);
		return;
	}
	/* In v1 there is no OOM by it. */
	group_open(&group);
	pid = keep(&group, "/usr/bin/tail", "1000", &fd);
	keep_bytes(&group, fd, LIMIT / 2);
	cr_expect_eq(file_writef(group.fd, "memory.limit_in_bytes", "%u", LIMIT / 4), -EBUSY);
	cr_expect_eq(kill(pid, SIGKILL), 0);
	wait_for(pid);
	close(fd);
	group_close(&group);
}

Test(oom, sigkill_is_told_with_its_sender_once)
{
	const struct gov_record_kill *record;
	struct bench bench;
	char path[96];
	pid_t pid;

	bench_open(&bench, 0);
	bench_copy(&bench, "/bin/sleep", "agent", path);
	bench_candidates(&bench, "agent", NULL);
	pid = start((const char *[]){path, "60", NULL});
	bench_wait(&bench, is_exec_of, &pid, "exec");
	/* It isn't an end by SIGKILL, nor a SIGKILL that nobody gets. */
	cr_assert_eq(kill(pid, SIGCONT), 0);
	cr_assert_eq(kill(pid, 0), 0);
	cr_assert_eq(kill(pid, SIGKILL), 0);
	(void)!kill(pid, SIGKILL);
	bench_wait(&bench, is_exit_of, &pid, "exit");
	/* It waits for its parent, and is dead. */
	cr_assert_eq(kill(pid, SIGKILL), 0);
	cr_expect_eq(WTERMSIG(wait_for(pid)), SIGKILL);
	bench_read(&bench);
	cr_assert_eq(bench_count(&bench, is_kill_of, &pid), 1);
	record = (const struct gov_record_kill *)bench_wait(&bench, is_kill_of, &pid, "kill");
	cr_expect_eq(record->sender_pid, (uint32_t)getpid());
	cr_expect_eq(record->sender_uid, getuid());
	cr_expect_neq(record->head.mark, 0);
	cr_expect_eq(strncmp(record->comm, bench.tag, strlen(bench.tag)), 0);
	bench_close(&bench);
}

Test(oom, strangers_and_ones_own_arent_told)
{
	struct gov_config config = {};
	struct bench bench;
	char path[96];
	pid_t pid, stranger;

	bench_open(&bench, 0);
	bench_copy(&bench, "/bin/sleep", "agent", path);
	bench_candidates(&bench, "agent", NULL);
	/* No mark: nobody's. */
	stranger = start((const char *[]){"/bin/sleep", "60", NULL});
	cr_assert_eq(kill(stranger, SIGKILL), 0);
	cr_expect_eq(WTERMSIG(wait_for(stranger)), SIGKILL);
	/* This process is govd. */
	config.self_pid = (uint32_t)getpid();
	cr_assert_eq(bpf_sense_set_config(bench.sense, &config), 0);
	pid = start((const char *[]){path, "60", NULL});
	bench_wait(&bench, is_exec_of, &pid, "exec");
	cr_assert_eq(kill(pid, SIGKILL), 0);
	cr_expect_eq(WTERMSIG(wait_for(pid)), SIGKILL);
	bench_wait(&bench, is_exit_of, &pid, "exit");
	bench_read(&bench);
	cr_expect_eq(bench_count(&bench, is_kill_of, &pid), 0);
	cr_expect_eq(bench_count(&bench, is_kill_of, &stranger), 0);
	bench_close(&bench);
}

Test(oom, a_lineage_that_ends_its_own_isnt_told)
{
	struct bench bench;
	struct puppet puppet;
	char shell[96];
	pid_t tool;

	bench_open(&bench, 0);
	bench_copy(&bench, "/bin/sh", "agent", shell);
	bench_candidates(&bench, "agent", NULL);
	puppet_open(&puppet, shell);
	tool = (pid_t)puppet_do(&puppet, "sleep 60 & echo $!");
	puppet_do(&puppet, "kill -9 $!; wait $!");
	/* Another one, by somebody else: what is told of it comes behind what would have been told before. */
	cr_assert_eq(kill(puppet.pid, SIGKILL), 0);
	bench_wait(&bench, is_kill_of, &puppet.pid, "kill");
	cr_expect_eq(bench_count(&bench, is_kill_of, &tool), 0);
	puppet_close(&puppet);
	bench_close(&bench);
}
