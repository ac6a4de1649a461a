/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/text.h"
#include "group_fixture.h"

/* Placing, moving, limits. Run as root on a host whose cgroups may be laid out in any way. */

static bool has_v1(const char *controller)
{
	char path[PATH_MAX];

	return path_of(getpid(), controller, path, sizeof(path))[0] != '\0';
}

Test(group, slice_names_are_checked)
{
	static const char *const bad[] = {"", ".", "..", "a/b", "/", "a b", "cgroup.procs", "x\n"};
	struct group_events events = {0};
	struct groups *groups = NULL;
	char words[256];

	for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
		cr_expect_eq(groups_new_native(bad[i], &events, &groups, words, sizeof(words)), -EINVAL);
		cr_expect(words[0]);
	}
	cr_expect_null(groups);
}

Test(group, describe_tells_the_layout)
{
	char words[1024];

	cr_assert_eq(groups_describe(words, sizeof(words)), 0);
	cr_expect(strstr(words, "v2 at /"), "%s", words);
	cr_expect(strstr(words, "memory"), "%s", words);
}

Test(group, place_puts_the_process_and_its_state)
{
	char before[PATH_MAX], after[PATH_MAX];
	struct group_stats stats;
	struct fixture f;
	struct stat st;
	pid_t pid;

	fixture_open(&f);
	pid = fixture_spawn_idle(&f);
	path_of(pid, "", before, sizeof(before));
	cr_assert_eq(place(&f, pid), 0);
	cr_expect_eq(f.result.result.pid, pid);
	cr_expect(is_in_group(&f, "", pid));
	path_of(pid, "", after, sizeof(after));
	cr_expect_eq(strncmp(after, f.agent.cgroup, strlen(f.agent.cgroup)), 0, "%s, and not below %s", after,
		     f.agent.cgroup);
	cr_expect_neq(strncmp(before, after, sizeof(before)), 0);
	if (has_v1("memory"))
		cr_expect(is_in_group(&f, "memory", pid));
	cr_expect_eq(strncmp(f.agent.origin, "v2=", 3), 0, "%s", f.agent.origin);
	snprintf(after, sizeof(after), "%s%s", groups_v2_root(f.groups), f.agent.cgroup);
	cr_assert_eq(stat(after, &st), 0);
	cr_expect_eq(st.st_ino, f.agent.cgroup_id);
	cr_assert_eq(groups_stats(f.groups, f.agent.handle, &stats), 0);
	cr_expect_eq(stats.tasks, 1);
	cr_expect_neq(stats.cpu_ns, UINT64_MAX);
	cr_expect_eq(stats.memory_max_bytes, UINT64_MAX);
	/* A retry is harmless. */
	cr_expect_eq(place(&f, pid), 0);
	fixture_close(&f);
}

Test(group, place_of_one_that_has_gone_leaves_nothing)
{
	struct fixture f;
	uint64_t start;
	pid_t pid;

	fixture_open(&f);
	pid = fixture_spawn_idle(&f);
	start = start_ticks_of(pid);
	kill(pid, SIGKILL);
	/* A zombie: the kernel takes the move and does nothing. */
	WAIT_UNTIL(&f, waitid(P_PID, (id_t)pid, &(siginfo_t){0}, WEXITED | WNOWAIT) == 0);
	cr_expect_eq(act_on(&f, ACTION_PLACE, pid, start, 0), -ESRCH);
	cr_expect_eq(f.result.result.error, ESRCH);
	cr_expect_not(group_exists(&f, ""));
	cr_expect_not(group_exists(&f, "memory"));
	waitpid(pid, NULL, 0);
	f.n_children = 0;
	cr_expect_eq(act_on(&f, ACTION_PLACE, pid, start, 0), -ESRCH);
	cr_expect_not(group_exists(&f, ""));
	fixture_close(&f);
}

Test(group, another_process_with_that_pid_is_refused)
{
	struct fixture f;
	pid_t pid, other;

	fixture_open(&f);
	pid = fixture_spawn_idle(&f);
	other = fixture_spawn_idle(&f);
	cr_expect_eq(act_on(&f, ACTION_PLACE, pid, start_ticks_of(pid) + 1, 0), -ESRCH);
	cr_expect_not(group_exists(&f, ""));
	cr_assert_eq(place(&f, pid), 0);
	cr_expect_eq(act_on(&f, ACTION_MOVE, other, start_ticks_of(other) + 1, 0), -ESRCH);
	cr_expect_not(is_in_group(&f, "", other));
	cr_expect_eq(act_on(&f, ACTION_SIGNAL, other, start_ticks_of(other) + 1, SIGKILL), -ESRCH);
	cr_expect_eq(waitpid(other, NULL, WNOHANG), 0);
	fixture_close(&f);
}

Test(group, move_takes_another_process_in)
{
	struct groups_counts counts;
	struct fixture f;
	pid_t pid, other, pids[4];

	fixture_open(&f);
	pid = fixture_spawn_idle(&f);
	other = fixture_spawn_idle(&f);
	cr_assert_eq(place(&f, pid), 0);
	cr_assert_eq(act_on(&f, ACTION_MOVE, other, start_ticks_of(other), 0), 0);
	cr_expect(is_in_group(&f, "", other));
	if (has_v1("memory"))
		cr_expect(is_in_group(&f, "memory", other));
	cr_expect_eq(groups_pids(f.groups, f.agent.handle, pids, 4), 2);
	cr_expect_eq(groups_pids(f.groups, f.agent.handle, pids, 1), 2);
	groups_get_counts(f.groups, &counts);
	cr_expect_eq(counts.placed, 1);
	cr_expect_eq(counts.moved, 1);
	fixture_close(&f);
}

/* On v1: the value; elsewhere the v2 file holds what is asked for in its own words. */
static void expect_file(struct fixture *f, const char *controller, const char *v1_file, const char *v1,
			const char *v2_file, const char *v2)
{
	bool is_v1 = has_v1(controller);
	char value[256];

	group_file(f, is_v1 ? controller : "", is_v1 ? v1_file : v2_file, value, sizeof(value));
	cr_expect_str_eq(value, is_v1 ? v1 : v2, "%s: %s", is_v1 ? v1_file : v2_file, value);
}

Test(group, limits_are_set_raised_lowered_and_lifted)
{
	struct policy_limits none;
	struct group_stats stats;
	struct fixture f;
	pid_t pid;

	fixture_open(&f);
	none = f.policy.limits;
	f.policy.limits = (struct policy_limits){.memory_high_bytes = 100 << 20,
						 .memory_max_bytes = 200 << 20,
						 .swap_max_bytes = 0,
						 .cpu_weight = 50,
						 .cpu_max_pct = 150,
						 .tasks_max = 64};
	pid = fixture_spawn_idle(&f);
	cr_assert_eq(place(&f, pid), 0);
	expect_file(&f, "memory", "memory.limit_in_bytes", "209715200", "memory.max", "209715200");
	expect_file(&f, "memory", "memory.soft_limit_in_bytes", "104857600", "memory.high", "104857600");
	expect_file(&f, "memory", "memory.memsw.limit_in_bytes", "209715200", "memory.swap.max", "0");
	expect_file(&f, "pids", "pids.max", "64", "pids.max", "64");
	expect_file(&f, "cpu", "cpu.shares", "512", "cpu.weight", "50");
	expect_file(&f, "cpu", "cpu.cfs_quota_us", "150000", "cpu.max", "150000 100000");
	cr_assert_eq(groups_stats(f.groups, f.agent.handle, &stats), 0);
	cr_expect_eq(stats.memory_max_bytes, 200 << 20);
	f.policy.limits.memory_max_bytes = 400 << 20;
	cr_expect_eq(act(&f, ACTION_LIMIT), 0);
	expect_file(&f, "memory", "memory.limit_in_bytes", "419430400", "memory.max", "419430400");
	f.policy.limits.memory_max_bytes = 150 << 20;
	cr_expect_eq(act(&f, ACTION_LIMIT), 0);
	expect_file(&f, "memory", "memory.limit_in_bytes", "157286400", "memory.max", "157286400");
	expect_file(&f, "memory", "memory.memsw.limit_in_bytes", "157286400", "memory.swap.max", "0");
	f.policy.limits = none;
	cr_expect_eq(act(&f, ACTION_LIMIT), 0);
	cr_assert_eq(groups_stats(f.groups, f.agent.handle, &stats), 0);
	cr_expect_eq(stats.memory_max_bytes, UINT64_MAX);
	expect_file(&f, "pids", "pids.max", "max", "pids.max", "max");
	expect_file(&f, "cpu", "cpu.cfs_quota_us", "-1", "cpu.max", "max 100000");
	fixture_close(&f);
}

Test(group, a_limit_that_comes_later_takes_in_who_is_there)
{
	struct fixture f;
	pid_t pid, other;

	fixture_open(&f);
	pid = fixture_spawn_idle(&f);
	other = fixture_spawn_idle(&f);
	cr_assert_eq(place(&f, pid), 0);
	cr_assert_eq(act_on(&f, ACTION_MOVE, other, 0, 0), 0);
	f.policy.limits.tasks_max = 99;
	cr_assert_eq(act(&f, ACTION_LIMIT), 0);
	expect_file(&f, "pids", "pids.max", "99", "pids.max", "99");
	expect_file(&f, "pids", "pids.current", "2", "pids.current", "2");
	fixture_close(&f);
}

#define HOARD_BYTES (256UL << 20)

static void hoard(void *userdata)
{
	const int *go = userdata;
	char byte, *memory;

	if (read(*go, &byte, 1) != 1)
		_exit(3);
	memory = mmap(NULL, HOARD_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (size_t i = 0; i < HOARD_BYTES; i += 4096)
		((volatile char *)memory)[i] = 1;
	_exit(0);
}

Test(group, the_memory_cap_is_enforced, .timeout = 60)
{
	struct group_stats stats;
	struct fixture f;
	int go[2], status;
	pid_t pid;

	fixture_open(&f);
	cr_assert_eq(pipe(go), 0);
	f.policy.limits.memory_max_bytes = 32 << 20;
	f.policy.limits.swap_max_bytes = 0;
	pid = fixture_spawn(&f, hoard, &go[0]);
	cr_assert_eq(place(&f, pid), 0);
	cr_assert_eq(write(go[1], "x", 1), 1);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	f.n_children = 0;
	cr_expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "status %x", (unsigned)status);
	WAIT_UNTIL(&f, f.empties == 1);
	cr_assert_eq(groups_stats(f.groups, f.agent.handle, &stats), 0);
	cr_expect_leq(stats.memory_peak_bytes, 32 << 20);
	fixture_close(&f);
}

static void fork_until_refused(void *userdata)
{
	const int *go = userdata;
	pid_t pid = 1;
	char byte;
	int n;

	if (read(*go, &byte, 1) != 1)
		_exit(200);
	for (n = 0; n < 100 && (pid = fork()) > 0; n++)
		;
	if (pid == 0) {
		alarm(60); /* whatever becomes of the test */
		pause();
	}
	_exit(n);
}

Test(group, the_cap_on_tasks_is_enforced)
{
	struct fixture f;
	int go[2], status;
	pid_t pid;

	fixture_open(&f);
	cr_assert_eq(pipe(go), 0);
	f.policy.limits.tasks_max = 10;
	pid = fixture_spawn(&f, fork_until_refused, &go[0]);
	cr_assert_eq(place(&f, pid), 0);
	cr_assert_eq(write(go[1], "x", 1), 1);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	f.n_children = 0;
	cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 9, "status %x", (unsigned)status);
	fixture_close(&f);
}

/* This process alone loses the mounts: a host without v1 controllers, and one without v2. */
static void umount_here(const char *const *paths)
{
	cr_assert_eq(unshare(CLONE_NEWNS), 0);
	cr_assert_eq(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	for (; *paths; paths++)
		umount2(*paths, MNT_DETACH);
}

Test(group, without_controllers_there_is_identity_and_a_word)
{
	static const char *const paths[] = {"/sys/fs/cgroup/memory", "/sys/fs/cgroup/pids", "/sys/fs/cgroup/cpu",
					    "/sys/fs/cgroup/cpu,cpuacct", NULL};
	struct groups_counts counts;
	struct group_stats stats;
	struct fixture f;
	pid_t pid;

	if (!has_v1("memory"))
		cr_skip_test("memory is not a v1 controller here");
	umount_here(paths);
	fixture_open(&f);
	cr_expect(strstr(f.words, "no memory limits"), "%s", f.words);
	cr_expect(strstr(f.words, "no cpu limits"), "%s", f.words);
	f.policy.limits.memory_max_bytes = 1 << 20;
	pid = fixture_spawn_idle(&f);
	cr_assert_eq(place(&f, pid), 0);
	cr_expect(is_in_group(&f, "", pid));
	groups_get_counts(f.groups, &counts);
	cr_expect_eq(counts.degraded, 1);
	cr_assert_eq(groups_stats(f.groups, f.agent.handle, &stats), 0);
	cr_expect_eq(stats.memory_bytes, UINT64_MAX);
	cr_expect_eq(stats.tasks, 1);
	cr_assert_eq(act(&f, ACTION_RELEASE), 0);
	fixture_close(&f);
}

Test(group, without_v2_the_error_says_what_to_do)
{
	static const char *const paths[] = {"/sys/fs/cgroup/unified", "/sys/fs/cgroup", NULL};
	struct group_events events = {0};
	struct groups *groups = NULL;
	char words[512];

	umount_here(paths);
	cr_assert_eq(groups_new_native("govtest.slice", &events, &groups, words, sizeof(words)), -ENODEV);
	cr_expect(strstr(words, "mount -t cgroup2"), "%s", words);
	cr_expect_eq(groups_describe(words, sizeof(words)), -ENODEV);
}

Test(group, a_full_tree_is_told_and_leaves_nothing)
{
	char path[PATH_MAX];
	struct fixture f;
	pid_t pid;
	FILE *file;

	fixture_open(&f);
	snprintf(path, sizeof(path), "%s%s/cgroup.max.descendants", groups_v2_root(f.groups),
		 groups_slice_path(f.groups));
	file = fopen(path, "we");
	cr_assert_not_null(file);
	fputs("0", file);
	cr_assert_eq(fclose(file), 0);
	pid = fixture_spawn_idle(&f);
	cr_expect_eq(place(&f, pid), -EAGAIN);
	cr_expect_not(group_exists(&f, ""));
	cr_expect_not(group_exists(&f, "memory"));
	fixture_close(&f);
}

Test(group, a_place_that_fails_half_way_is_undone)
{
	char before[PATH_MAX], after[PATH_MAX], own[PATH_MAX], slice[2 * PATH_MAX];
	struct fixture f;
	pid_t pid;

	if (!has_v1("memory"))
		cr_skip_test("memory is not a v1 controller here");
	fixture_open(&f);
	pid = fixture_spawn_idle(&f);
	path_of(pid, "", before, sizeof(before));
	/* Somebody removes our slice in one hierarchy. */
	snprintf(slice, sizeof(slice), "/sys/fs/cgroup/memory%s/%s", path_of(getpid(), "memory", own, sizeof(own)),
		 f.slice);
	cr_assert_eq(rmdir(slice), 0);
	cr_expect_eq(place(&f, pid), -ENOENT);
	cr_expect_str_eq(path_of(pid, "", after, sizeof(after)), before);
	cr_expect_not(group_exists(&f, ""));
	cr_expect_eq(waitpid(pid, NULL, WNOHANG), 0, "it lives");
	fixture_close(&f);
}

Test(group, whose_limit_it_was_is_known_when_the_group_has_been_removed)
{
	const char *controller = has_v1("memory") ? "memory" : "";
	struct group_memory memory;
	struct fixture f;
	uint64_t id;
	pid_t pid;

	fixture_open(&f);
	pid = fixture_spawn_idle(&f);
	cr_assert_eq(place(&f, pid), 0);
	if (groups_memory(f.groups, f.agent.handle, &memory) < 0)
		cr_skip_test("there is no memory controller here");
	id = group_inode(&f, controller);
	cr_assert_neq(id, 0);
	cr_expect_eq(groups_memory_id(f.groups, f.agent.handle), id);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	f.n_children = 0;
	/* The backend isn't told in between. */
	for (int left = 1000; left > 0 && !group_remove(&f, controller); left--)
		usleep(5000);
	cr_expect_not(group_exists(&f, controller));
	cr_expect_lt(groups_memory(f.groups, f.agent.handle, &memory), 0);
	cr_expect_eq(groups_memory_id(f.groups, f.agent.handle), id);
	fixture_close(&f);
}
