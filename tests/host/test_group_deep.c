/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/file.h"
#include "group_fixture.h"

/* Groups that an agent has made in its own: in each of them another, deeper than a path or govd's descriptors reach. */

#define LEVELS 100
#define DESCRIPTORS 64
/* Of 100 bytes: all together twice what PATH_MAX is. */
#define NAME "nested-----10--------20--------30--------40--------50--------60--------70--------80--------90-------100"

/* With the agent in the outermost, and another process in the innermost. */
static void open_deep(struct fixture *f, pid_t *ret_pid, pid_t *ret_deep)
{
	const struct rlimit limit = {.rlim_cur = DESCRIPTORS, .rlim_max = DESCRIPTORS};
	char path[PATH_MAX];
	int fd;

	fixture_open(f);
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	*ret_pid = fixture_spawn_idle(f);
	*ret_deep = fixture_spawn_idle(f);
	cr_assert_eq(place(f, *ret_pid), 0);
	snprintf(path, sizeof(path), "%s%s", groups_v2_root(f->groups), f->cgroup);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (unsigned level = 0; level < LEVELS; level++) {
		int below;

		cr_assert_eq(mkdirat(fd, NAME, 0755), 0, "level %u: %s", level, strerror(errno));
		/* Neighbours are visited as well. */
		cr_assert_eq(mkdirat(fd, "a", 0755), 0);
		below = openat(fd, NAME, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		cr_assert_geq(below, 0);
		close(fd);
		fd = below;
	}
	cr_assert_eq(file_writef(fd, "cgroup.procs", "%d", (int)*ret_deep), 0);
	close(fd);
}

static void reap(struct fixture *f)
{
	for (size_t i = 0; i < f->n_children; i++)
		cr_assert_eq(waitpid(f->children[i], NULL, 0), f->children[i]);
	f->n_children = 0;
}

Test(group_deep, kill_reaches_the_innermost, .timeout = 60)
{
	pid_t pid, deep;
	struct fixture f;

	open_deep(&f, &pid, &deep);
	cr_expect_eq(act(&f, ACTION_REMOVE), -EBUSY);
	cr_assert_eq(act(&f, ACTION_KILL), 0);
	cr_expect_eq(f.result.result.killed, 2);
	reap(&f);
	WAIT_UNTIL(&f, f.empties == 1);
	cr_expect_eq(act(&f, ACTION_REMOVE), 0);
	cr_expect_not(group_exists(&f, ""));
	fixture_close(&f);
}

Test(group_deep, release_brings_the_innermost_back, .timeout = 60)
{
	char before[PATH_MAX], after[PATH_MAX];
	pid_t pid, deep;
	struct fixture f;

	path_of(getpid(), "", before, sizeof(before));
	open_deep(&f, &pid, &deep);
	cr_assert_eq(act(&f, ACTION_RELEASE), 0);
	cr_expect_str_eq(path_of(pid, "", after, sizeof(after)), before);
	cr_expect_str_eq(path_of(deep, "", after, sizeof(after)), before);
	cr_expect_not(group_exists(&f, ""));
	cr_expect_eq(waitpid(deep, NULL, WNOHANG), 0, "it lives");
	fixture_close(&f);
}
