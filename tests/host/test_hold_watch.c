/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <sys/mman.h>
#include <sys/prctl.h>

#include "hold_play.h"

/* What is watched: symlinks, directories that come and go, wildcards, a new set in the place of an old one. */

#define OPEN_PLAY _cleanup_(close_play) struct play *play = play_open()

TestSuite(hold_watch, .timeout = 60);

static void close_play(struct play **play)
{
	play_close(*play);
}

static void make_directory(const struct play *play, const char *name)
{
	cr_assert_eq(mkdir(play_path(play, name), 0755), 0, "%s", name);
}

static void make_link(const struct play *play, const char *target, const char *name)
{
	cr_assert_eq(symlink(target, play_path(play, name)), 0, "%s", name);
}

static void expect_asks(struct play *play, unsigned n, const char *name, const char *resolved)
{
	unsigned before = play->n_asks;

	play->does_answer = true;
	cr_assert_eq(play_wait(play, play_exec1(play_path(play, name))), 0);
	cr_assert_eq(play->n_asks - before, n, "%s: %u asks", name, play->n_asks - before);
	if (n)
		cr_assert_str_eq(play->asks[play->n_asks - 1].path, play_path(play, resolved));
}

/* After a change that only inotify tells: until then starts aren't asked about. */
static void await_held(struct play *play, const char *name)
{
	uint64_t end_ns = play_now_ns() + 3 * NSEC_PER_SEC;
	unsigned before = play->n_asks;

	play->does_answer = true;
	while (play->n_asks == before) {
		cr_assert_lt(play_now_ns(), end_ns, "%s isn't held", name);
		cr_assert_eq(play_wait(play, play_exec1(play_path(play, name))), 0);
	}
}

#define expect_held(play, name, resolved) expect_asks(play, 1, name, resolved)
#define expect_free(play, name) expect_asks(play, 0, name, NULL)

Test(hold_watch, both_names_of_a_linked_directory)
{
	OPEN_PLAY;

	make_directory(play, "releases");
	make_directory(play, "releases/1");
	make_link(play, "releases/1", "current");
	play_make_program(play, "releases/1/agent");
	play_watch(play, "current/agent", "");
	expect_held(play, "current/agent", "releases/1/agent");
	expect_held(play, "releases/1/agent", "releases/1/agent");
}

/* Until govd-hold has seen that the link leads elsewhere. */
static void repoint_link(struct play *play, const char *target, const char *name)
{
	make_link(play, target, "new");
	play->hold->stats.marks = UINT32_MAX;
	cr_assert_eq(rename(play_path(play, "new"), play_path(play, name)), 0);
	while (play->hold->stats.marks == UINT32_MAX)
		play_for(play, 10);
}

Test(hold_watch, linked_executable)
{
	OPEN_PLAY;

	make_directory(play, "bin");
	make_directory(play, "versions");
	play_make_program(play, "versions/1.0 [x]");
	play_make_program(play, "versions/2.0");
	make_link(play, "../versions/1.0 [x]", "bin/agent");
	play_watch(play, "bin/agent", "");
	expect_held(play, "bin/agent", "versions/1.0 [x]");
	expect_held(play, "versions/1.0 [x]", "versions/1.0 [x]");
	expect_free(play, "versions/2.0");
	/* An update repoints the link. */
	repoint_link(play, "../versions/2.0", "bin/agent");
	expect_held(play, "bin/agent", "versions/2.0");
	expect_free(play, "versions/1.0 [x]");
}

Test(hold_watch, linked_directory_is_repointed)
{
	OPEN_PLAY;

	make_directory(play, "1");
	make_directory(play, "2");
	play_make_program(play, "1/agent");
	play_make_program(play, "2/agent");
	make_link(play, "1", "current");
	play_watch(play, "current/agent", "");
	expect_free(play, "2/agent");
	repoint_link(play, "2", "current");
	expect_held(play, "current/agent", "2/agent");
	expect_free(play, "1/agent");
}

Test(hold_watch, directory_that_comes_later)
{
	OPEN_PLAY;
	struct hold_stats stats;

	play_watch(play, "a/b/agent", "");
	hold_get_stats(play->hold, &stats);
	cr_assert_eq(stats.marks, 0);
	cr_assert_eq(stats.error, 0);
	make_directory(play, "a");
	make_directory(play, "a/b");
	while (hold_get_stats(play->hold, &stats), stats.marks == 0)
		play_for(play, 10);
	play_make_program(play, "a/b/agent");
	expect_held(play, "a/b/agent", "a/b/agent");
	/* And is replaced, as a whole. */
	make_directory(play, "new");
	play_make_program(play, "new/agent");
	play->hold->stats.marks = UINT32_MAX;
	cr_assert_eq(rename(play_path(play, "a/b"), play_path(play, "old")), 0);
	cr_assert_eq(rename(play_path(play, "new"), play_path(play, "a/b")), 0);
	await_held(play, "a/b/agent");
	expect_held(play, "a/b/agent", "a/b/agent");
}

Test(hold_watch, wildcard_directories)
{
	OPEN_PLAY;

	make_directory(play, "a");
	make_directory(play, "a/bin");
	make_directory(play, "b");
	make_directory(play, "b/bin");
	make_directory(play, "b/deep");
	play_make_program(play, "b/deep/agent");
	play_watch(play, "*/bin/agent", "");
	cr_assert_eq(play->hold->stats.marks, 2);
	play_make_program(play, "a/bin/agent");
	play_make_program(play, "a/bin/other");
	expect_held(play, "a/bin/agent", "a/bin/agent");
	expect_free(play, "a/bin/other");
	expect_free(play, "b/deep/agent");
}

Test(hold_watch, found_directories_are_kept)
{
	OPEN_PLAY;

	make_directory(play, "a");
	make_directory(play, "b");
	play_make_program(play, "a/agent");
	play_watch(play, "**/agent", "");
	cr_assert_eq(play->hold->stats.marks, 1);
	expect_held(play, "a/agent", "a/agent");
	play_make_program(play, "b/agent");
	expect_free(play, "b/agent");
	/* The exec event tells. */
	cr_assert_eq(hold_watch_also(play->hold, play_path(play, "b/agent")), 0);
	play_settle(play);
	expect_held(play, "b/agent", "b/agent");
	expect_held(play, "a/agent", "a/agent");
	/* It is gone when the set is told again, and still watched: the next version comes to the same place. */
	cr_assert_eq(unlink(play_path(play, "b/agent")), 0);
	play_watch(play, "**/agent", "");
	play_make_program(play, "b/agent");
	expect_held(play, "b/agent", "b/agent");
	play->does_restart = true;
	kill(hold_pid(play->hold), SIGKILL);
	cr_assert(play_until(play, &play->n_ended, 1));
	play_settle(play);
	expect_held(play, "b/agent", "b/agent");
}

/* In /tmp itself the file is marked, not the directory. */
Test(hold_watch, busy_directory)
{
	OPEN_PLAY;
	char name[96], glob[96];

	snprintf(name, sizeof(name), "..%s-1.sh", play->directory + strlen("/tmp"));
	snprintf(glob, sizeof(glob), "%s-?.sh", play->directory);
	play_make_script(play, name, 0);
	play_watch(play, "", glob);
	cr_assert_eq(play->hold->stats.marks, 1);
	play->does_answer = true;
	cr_assert_eq(play_wait(play, play_exec1(play_path(play, name))), 0);
	cr_assert_eq(play->n_asks, 1);
	unlink(play_path(play, name));
	/* A new one is marked when it comes. */
	play_make_script(play, name, 0);
	await_held(play, name);
	unlink(play_path(play, name));
}

struct starts {
	unsigned n;
	bool is_enough;
};

static int start_until_enough(volatile struct starts *starts, const char *path)
{
	while (!starts->is_enough) {
		pid_t pid = fork();
		int status;

		if (pid == 0) {
			execl(path, path, NULL);
			_exit(1);
		}
		if (waitpid(pid, &status, 0) != pid || status)
			return 1;
		starts->n++;
	}
	return 0;
}

/* Every start is asked about, whatever else is watched meanwhile. */
Test(hold_watch, no_gap_while_the_set_is_replaced)
{
	OPEN_PLAY;
	volatile struct starts *starts =
		mmap(NULL, sizeof(*starts), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pid;

	cr_assert_neq(starts, MAP_FAILED);
	make_directory(play, "other");
	play_make_program(play, "agent");
	play_watch(play, "agent", "");
	play->does_answer = true;
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		_exit(start_until_enough(starts, play_path(play, "agent")));
	}
	for (int i = 0; i < 100; i++) {
		play_watch(play, "agent", i % 2 ? "other/*.sh" : "");
		play_watch(play, i % 2 ? "agent" : "*", i % 3 ? "" : "*.sh");
	}
	starts->is_enough = true;
	cr_assert_eq(play_wait(play, pid), 0);
	cr_assert_gt(starts->n, 20);
	cr_assert_eq(play->n_asks, starts->n, "%u asked of %u", play->n_asks, starts->n);
	cr_assert_eq(play->n_expired, 0);
	/* And it does end when nobody wants it any more. */
	play_watch(play, "other/agent", "");
	expect_free(play, "agent");
}
