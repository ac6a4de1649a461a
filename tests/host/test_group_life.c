/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include "base/text.h"
#include "emulated.h"
#include "group_fixture.h"

/* What is done to agents that run: freeze, signals, the end, letting go, and finding them again. */

static void count(void *userdata)
{
	volatile uint64_t *counter = userdata;

	for (;;) {
		++*counter;
		usleep(100);
	}
}

static volatile uint64_t *shared_counter(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

Test(group_life, freeze_stops_and_thaw_resumes)
{
	volatile uint64_t *counter = shared_counter();
	struct fixture f;
	uint64_t at, until;
	pid_t pid;
	int status;

	fixture_open(&f);
	pid = fixture_spawn(&f, count, (void *)counter);
	cr_assert_eq(place(&f, pid), 0);
	WAIT_UNTIL(&f, *counter > 10);
	cr_assert_eq(act(&f, ACTION_FREEZE), 0);
	WAIT_UNTIL(&f, f.result.result.action == ACTION_FREEZE);
	cr_expect_eq(f.result.result.error, 0);
	/* Not job control: the parent isn't told of a stop. */
	cr_expect_eq(waitpid(pid, &status, WUNTRACED | WNOHANG), 0);
	at = *counter;
	/* It would count some 500 meanwhile. */
	for (until = now_ns() + 100 * NSEC_PER_MSEC; now_ns() < until;)
		fixture_pump(&f);
	cr_expect_eq(*counter, at);
	cr_assert_eq(act(&f, ACTION_THAW), 0);
	cr_expect_eq(f.result.result.action, ACTION_THAW);
	WAIT_UNTIL(&f, *counter > at + 10);
	/* What is frozen can be killed. */
	cr_assert_eq(act(&f, ACTION_FREEZE), 0);
	cr_assert_eq(act(&f, ACTION_KILL), 0);
	WAIT_UNTIL(&f, f.empties == 1);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	f.n_children = 0;
	fixture_close(&f);
}

#define BOMB_SECONDS 40 /* less than the test's timeout */
/* So many live and each fork 20 times a second: 4000 births a second, and yet the machine stays usable. */
#ifdef __SANITIZE_ADDRESS__
#define BOMBS 40 /* which has a lot more to copy */
#else
#define BOMBS 200
#endif

struct bomb {
	int go[2];
	volatile uint64_t *born;
};

static void explode(void *userdata)
{
	const struct bomb *bomb = userdata;
	char byte;

	if (read(bomb->go[0], &byte, 1) != 1)
		_exit(1);
	for (int i = 0; i < BOMBS; i++)
		if (fork() == 0) {
			pid_t bomber = getppid();

			/* Whatever becomes of the test, the bomb goes out. */
			alarm(BOMB_SECONDS);
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			__atomic_add_fetch(bomb->born, 1, __ATOMIC_RELAXED);
			while (getppid() == bomber) {
				if (fork() == 0)
					_exit(0);
				wait(NULL);
				usleep(50000);
			}
			_exit(0);
		}
	for (;;)
		pause();
}

Test(group_life, kill_ends_a_fork_bomb_at_once, .timeout = 60)
{
	NEEDS_REAL_SPEED;
	struct bomb bomb = {.born = shared_counter()};
	struct fixture f;
	pid_t pid;

	fixture_open(&f);
	cr_assert_eq(pipe(bomb.go), 0);
	f.policy.limits.tasks_max = 1000;
	pid = fixture_spawn(&f, explode, &bomb);
	cr_assert_eq(place(&f, pid), 0);
	cr_assert_eq(write(bomb.go[1], "x", 1), 1);
	WAIT_UNTIL(&f, *bomb.born == BOMBS);
	cr_assert_eq(act(&f, ACTION_KILL), 0);
	cr_expect_eq(f.result.result.action, ACTION_KILL);
	cr_expect_geq(f.result.result.killed, BOMBS + 1);
	WAIT_UNTIL(&f, f.empties == 1);
	fixture_close(&f);
}

static void fork_for_ever(void *userdata _unused_)
{
	alarm(BOMB_SECONDS);
	for (;;) {
		pid_t pid = fork();

		if (pid == 0) {
			usleep(2000);
			_exit(0);
		}
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
	}
}

/* Who is born between the v2 move and the v1 moves is in the v2 group alone until it is fetched. */
Test(group_life, whoever_is_in_v2_is_in_v1_too, .timeout = 60)
{
	char path[PATH_MAX];

	if (!path_of(getpid(), "memory", path, sizeof(path))[0])
		cr_skip_test("memory is not a v1 controller here");
	for (int round = 0; round < 30; round++) {
		struct fixture f;
		pid_t pid, pids[256];
		ssize_t n;

		fixture_open(&f);
		f.policy.limits.tasks_max = 200;
		pid = fixture_spawn(&f, fork_for_ever, NULL);
		cr_assert_eq(place(&f, pid), 0);
		/* Frozen, so that the look is at one moment. */
		cr_assert_eq(act(&f, ACTION_FREEZE), 0);
		WAIT_UNTIL(&f, f.result.result.action == ACTION_FREEZE);
		n = groups_pids(f.groups, f.agent.handle, pids, ELEMENTSOF(pids));
		cr_assert(n > 0 && n <= (ssize_t)ELEMENTSOF(pids));
		for (ssize_t i = 0; i < n; i++)
			cr_expect(is_in_group(&f, "memory", pids[i]), "round %d: %d of %zd", round, (int)i, n);
		fixture_close(&f);
	}
}

static void exit_on_term(void *userdata _unused_)
{
	signal(SIGTERM, SIG_DFL);
	for (;;)
		pause();
}

Test(group_life, signals_reach_one_and_all)
{
	pid_t pids[3];
	struct fixture f;
	int status;

	fixture_open(&f);
	for (size_t i = 0; i < 3; i++)
		pids[i] = fixture_spawn(&f, exit_on_term, NULL);
	cr_assert_eq(place(&f, pids[0]), 0);
	cr_assert_eq(act_on(&f, ACTION_MOVE, pids[1], 0, 0), 0);
	cr_assert_eq(act_on(&f, ACTION_SIGNAL, pids[2], start_ticks_of(pids[2]), SIGTERM), 0);
	cr_assert_eq(waitpid(pids[2], &status, 0), pids[2]);
	cr_expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
	cr_expect_eq(waitpid(-1, NULL, WNOHANG), 0, "somebody else was hit");
	cr_assert_eq(act_on(&f, ACTION_SIGNAL_ALL, 0, 0, SIGTERM), 0);
	for (size_t i = 0; i < 2; i++) {
		cr_assert_eq(waitpid(pids[i], &status, 0), pids[i]);
		cr_expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
	}
	f.n_children = 0;
	WAIT_UNTIL(&f, f.empties == 1);
	fixture_close(&f);
}

Test(group_life, emptiness_is_told_once_also_when_it_was_quick)
{
	struct fixture f;
	pid_t pid;

	fixture_open(&f);
	pid = fixture_spawn_idle(&f);
	cr_assert_eq(place(&f, pid), 0);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	f.n_children = 0;
	cr_expect_eq(f.empties, 0, "told from within");
	WAIT_UNTIL(&f, f.empties == 1);
	for (int i = 0; i < 10; i++)
		fixture_pump(&f);
	cr_expect_eq(f.empties, 1);
	cr_expect_eq(act(&f, ACTION_REMOVE), 0);
	cr_expect_not(group_exists(&f, ""));
	cr_expect_not(group_exists(&f, "memory"));
	cr_expect_eq(act(&f, ACTION_REMOVE), 0, "again is fine");
	fixture_close(&f);
}

static void make_nested(struct fixture *f, const char *name)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s%s/%s", groups_v2_root(f->groups), f->agent.cgroup, name);
	cr_assert_eq(mkdir(path, 0755), 0);
}

Test(group_life, remove_takes_nested_groups_and_spares_the_living)
{
	struct fixture f;
	pid_t pid;

	fixture_open(&f);
	pid = fixture_spawn_idle(&f);
	cr_assert_eq(place(&f, pid), 0);
	make_nested(&f, "a");
	make_nested(&f, "a/b");
	make_nested(&f, "c");
	cr_expect_eq(act(&f, ACTION_REMOVE), -EBUSY);
	cr_expect_eq(f.result.result.action, ACTION_REMOVE);
	cr_expect_eq(f.result.result.error, EBUSY);
	cr_expect(group_exists(&f, ""));
	cr_expect(is_in_group(&f, "", pid));
	make_nested(&f, "d");
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	f.n_children = 0;
	WAIT_UNTIL(&f, f.empties == 1);
	cr_expect_eq(act(&f, ACTION_REMOVE), 0);
	cr_expect_not(group_exists(&f, ""));
	fixture_close(&f);
}

Test(group_life, release_brings_all_back_and_lifts)
{
	static const char *const controllers[] = {"", "memory", "pids", "cpu"};
	char before[4][PATH_MAX], after[PATH_MAX];
	pid_t pid, other;
	struct fixture f;

	fixture_open(&f);
	f.policy.limits.memory_max_bytes = 100 << 20;
	f.policy.limits.tasks_max = 50;
	f.policy.limits.cpu_weight = 10;
	pid = fixture_spawn_idle(&f);
	other = fixture_spawn_idle(&f);
	for (size_t i = 0; i < 4; i++)
		path_of(pid, controllers[i], before[i], sizeof(before[i]));
	cr_assert_eq(place(&f, pid), 0);
	cr_assert_eq(act_on(&f, ACTION_MOVE, other, 0, 0), 0);
	cr_assert_eq(act(&f, ACTION_FREEZE), 0);
	cr_assert_eq(act(&f, ACTION_RELEASE), 0);
	cr_expect_eq(f.result.result.action, ACTION_RELEASE);
	cr_expect_eq(f.result.result.error, 0);
	for (size_t i = 0; i < 4; i++) {
		cr_expect_str_eq(path_of(pid, controllers[i], after, sizeof(after)), before[i]);
		cr_expect_str_eq(path_of(other, controllers[i], after, sizeof(after)), before[i]);
	}
	cr_expect_not(group_exists(&f, ""));
	cr_expect_not(group_exists(&f, "memory"));
	cr_expect_eq(waitpid(pid, NULL, WNOHANG), 0, "it lives");
	fixture_close(&f);
}

Test(group_life, release_falls_back_when_the_origin_has_gone_or_lies)
{
	static const char *const origins[] = {"v2=/govtest-nowhere;memory=/govtest-nowhere", "v2=/../../../etc", "",
					      "v2=relative;;;=;memory", "v2=%2F%2E%2E%2F%2E%2E%2Ftmp"};
	char own[PATH_MAX], after[PATH_MAX];
	struct fixture f;
	pid_t pid;

	fixture_open(&f);
	pid = fixture_spawn_idle(&f);
	for (size_t i = 0; i < ELEMENTSOF(origins); i++) {
		cr_assert_eq(place(&f, pid), 0);
		f.agent.origin = origins[i];
		cr_assert_eq(act(&f, ACTION_RELEASE), 0);
		cr_expect_str_eq(path_of(pid, "", after, sizeof(after)), path_of(getpid(), "", own, sizeof(own)));
		f.agent.origin = "";
	}
	fixture_close(&f);
}

/* In a child that is then killed: what govd does before `kill -9`. */
static void be_govd(void *userdata)
{
	struct fixture *f = userdata;

	fixture_reopen(f);
	f->agent.key = "room \n=%\xff";
	f->agent.uid = 1234;
	f->agent.is_explicit = true;
	if (place(f, f->agent.root_pid) < 0)
		_exit(1);
	raise(SIGKILL);
}

Test(group_life, a_new_govd_finds_the_agent_again)
{
	struct fixture f;
	int status;
	pid_t govd;

	fixture_open(&f);
	groups_free(f.groups);
	f.policy.limits.memory_max_bytes = 64 << 20;
	f.agent.root_pid = fixture_spawn_idle(&f);
	f.agent.root_start_ticks = start_ticks_of(f.agent.root_pid);
	govd = fixture_spawn(&f, be_govd, &f);
	cr_assert_eq(waitpid(govd, &status, 0), govd);
	cr_assert(WIFSIGNALED(status), "status %x", (unsigned)status);
	f.n_children = 1;
	fixture_reopen(&f);
	cr_assert_eq(groups_restore(f.groups), 0);
	cr_assert_eq(f.founds, 1);
	cr_expect(f.found_populated && f.found_lives && !f.found_frozen);
	cr_expect_str_eq(f.found.id, "0badcafe");
	cr_expect_str_eq(f.found_policy, "test.pol_1");
	cr_expect_str_eq(f.found_key, "room \n=%\xff");
	cr_expect_eq(f.found.root_pid, f.agent.root_pid);
	cr_expect_eq(f.found.root_start_ticks, f.agent.root_start_ticks);
	cr_expect_eq(f.found.uid, 1234);
	cr_expect_eq(f.found.since_ns, f.agent.since_ns);
	cr_expect(f.found.is_explicit);
	cr_expect(is_in_group(&f, "", f.agent.root_pid));
	f.found.handle = 99;
	f.found.policy = &f.policy;
	f.agent = f.found;
	cr_assert_eq(groups_bind(f.groups, &f.agent), 0);
	kill(f.agent.root_pid, SIGKILL);
	WAIT_UNTIL(&f, f.empties == 1);
	fixture_close(&f);
}

static void make_dir(const struct fixture *f, const char *name, const char *state, char *path, size_t size)
{
	snprintf(path, size, "%s%s/%s", groups_v2_root(f->groups), groups_slice_path(f->groups), name);
	cr_assert_eq(mkdir(path, 0755), 0);
	if (state)
		cr_assert_eq(setxattr(path, "trusted.govd.agent", state, strlen(state), 0), 0);
}

Test(group_life, restore_sweeps_what_is_empty_and_spares_strangers)
{
	char empty[PATH_MAX], hostile[PATH_MAX], ended[PATH_MAX], inhabited[PATH_MAX], procs[PATH_MAX + 32];
	struct groups_counts counts;
	struct fixture f;
	FILE *file;
	pid_t pid;

	fixture_open(&f);
	make_dir(&f, "empty", NULL, empty, sizeof(empty));
	make_dir(&f, "hostile", "govd3 id=../../x policy=p", hostile, sizeof(hostile));
	make_dir(&f, "p-1",
		 "govd3 id=1 policy=p pid=1 start=1 uid=0 parent=1 since=1 run=1 thaw=0 lease=0 until=0 restart=0 "
		 "explicit=0 root=1 key= origin= exe= script=",
		 ended, sizeof(ended));
	make_dir(&f, "inhabited", NULL, inhabited, sizeof(inhabited));
	pid = fixture_spawn_idle(&f);
	snprintf(procs, sizeof(procs), "%s/cgroup.procs", inhabited);
	file = fopen(procs, "we");
	cr_assert_not_null(file);
	fprintf(file, "%d", (int)pid);
	cr_assert_eq(fclose(file), 0);
	cr_assert_eq(groups_restore(f.groups), 0);
	cr_expect_eq(f.founds, 1);
	cr_expect_str_eq(f.found.id, "1");
	cr_expect_not(f.found_populated || f.found_lives);
	cr_expect_neq(access(empty, F_OK), 0);
	cr_expect_neq(access(hostile, F_OK), 0);
	cr_expect_neq(access(ended, F_OK), 0);
	cr_expect_eq(access(inhabited, F_OK), 0);
	groups_get_counts(f.groups, &counts);
	cr_expect_eq(counts.strangers, 1);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	f.n_children = 0;
	WAIT_UNTIL(&f, rmdir(inhabited) == 0 || errno == ENOENT);
	fixture_close(&f);
}
