/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/wait.h>

#include "base/file.h"
#include "group_fixture.h"

/* Whom no action may touch. */

TestSuite(group_guard, .timeout = 30);

Test(group_guard, observed_agents_and_the_guarded_are_never_touched)
{
	pid_t guarded[] = {1, getpid(), getppid()};
	struct fixture f;
	pid_t pid;

	fixture_open(&f);
	pid = fixture_spawn_idle(&f);
	f.agent.is_observed = true;
	cr_expect_eq(place(&f, pid), -EPERM);
	cr_expect_eq(act(&f, ACTION_LIMIT), -EPERM);
	cr_expect_eq(act_on(&f, ACTION_SIGNAL, pid, 0, SIGKILL), -EPERM);
	f.agent.is_observed = false;
	for (size_t i = 0; i < ELEMENTSOF(guarded); i++) {
		cr_expect_eq(act_on(&f, ACTION_PLACE, guarded[i], 0, 0), -EPERM);
		cr_expect_eq(act_on(&f, ACTION_MOVE, guarded[i], 0, 0), -EPERM);
		cr_expect_eq(act_on(&f, ACTION_SIGNAL, guarded[i], 0, 0), -EPERM);
	}
	cr_expect_eq(act_on(&f, ACTION_PLACE, 2, 0, 0), -EPERM, "a kernel thread");
	cr_expect_not(group_exists(&f, ""));
	fixture_close(&f);
}

/* This process stands for govd. */
Test(group_guard, a_group_that_guarded_ones_are_in_is_killed_but_for_them)
{
	char procs[PATH_MAX + 256], own[PATH_MAX], placed[PATH_MAX], back[PATH_MAX + 256];
	pid_t pids[2], helper;
	struct fixture f;
	int status;

	fixture_open(&f);
	for (size_t i = 0; i < 2; i++)
		pids[i] = fixture_spawn_idle(&f);
	helper = fixture_spawn_idle(&f);
	cr_assert_eq(groups_guard(f.groups, helper), 0);
	cr_assert_eq(place(&f, pids[0]), 0);
	cr_assert_eq(act_on(&f, ACTION_MOVE, pids[1], 0, 0), 0);
	cr_expect_eq(act_on(&f, ACTION_MOVE, helper, 0, 0), -EPERM);
	cr_expect_eq(act_on(&f, ACTION_SIGNAL, helper, 0, SIGKILL), -EPERM);
	snprintf(back, sizeof(back), "%s%s/cgroup.procs", groups_v2_root(f.groups),
		 path_of(getpid(), "", own, sizeof(own)));
	snprintf(procs, sizeof(procs), "%s%s/cgroup.procs", groups_v2_root(f.groups),
		 path_of(pids[0], "", placed, sizeof(placed)));
	cr_assert_geq(file_write(AT_FDCWD, procs, "0"), 0);
	cr_assert_geq(file_writef(AT_FDCWD, procs, "%d", (int)helper), 0);
	cr_expect_eq(act(&f, ACTION_KILL), -EPERM);
	cr_expect_eq(f.result.result.error, EPERM);
	for (size_t i = 0; i < 2; i++) {
		cr_assert_eq(waitpid(pids[i], &status, 0), pids[i]);
		cr_expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	}
	cr_expect_eq(waitpid(helper, NULL, WNOHANG), 0, "the helper was killed");
	cr_assert_geq(file_write(AT_FDCWD, back, "0"), 0);
	cr_assert_geq(file_writef(AT_FDCWD, back, "%d", (int)helper), 0);
	f.children[0] = helper;
	f.n_children = 1;
	WAIT_UNTIL(&f, f.empties == 1);
	fixture_close(&f);
}
