/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "core/policy.h"
#include "out/kills.h"

/* When agents were ended in emergencies, as the next govd finds it. */

static char dir[64], path[128];

static void begin(void)
{
	snprintf(dir, sizeof(dir), "/tmp/govtest-kills-XXXXXX");
	cr_assert_not_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/" KILLS_FILE, dir);
}

static void end(void)
{
	(void)unlink(path);
	cr_expect_eq(rmdir(dir), 0);
}

TestSuite(kills, .init = begin, .fini = end, .timeout = 30);

/* A govd that is killed in the middle of it. */
static void add_and_die(uint64_t first, uint64_t last)
{
	pid_t pid = fork();

	cr_assert_geq(pid, 0);
	if (pid == 0) {
		struct kills kills = {0};

		if (kills_open(dir, &kills) < 0)
			_exit(1);
		for (uint64_t time_ns = first; time_ns <= last; time_ns++)
			kills_add(&kills, time_ns);
		raise(SIGKILL);
	}
	cr_assert_eq(waitpid(pid, NULL, 0), pid);
}

static size_t read_all(uint64_t *times_ns)
{
	struct kills kills = {0};
	size_t n;

	cr_assert_eq(kills_open(dir, &kills), 0);
	n = kills_read(&kills, times_ns, EMERGENCY_KILLS_MAX);
	kills_close(&kills);
	return n;
}

static void expect(uint64_t first, uint64_t last)
{
	uint64_t times_ns[EMERGENCY_KILLS_MAX];
	bool is_there[1000] = {0};
	size_t n = read_all(times_ns);

	cr_expect_eq(n, last - first + 1);
	for (size_t i = 0; i < n; i++)
		is_there[times_ns[i]] = true;
	for (uint64_t time_ns = first; time_ns <= last; time_ns++)
		cr_expect(is_there[time_ns], "%d isn't there", (int)time_ns);
}

Test(kills, are_there_after_a_sigkill)
{
	uint64_t times_ns[EMERGENCY_KILLS_MAX];
	struct stat st;

	cr_expect_eq(read_all(times_ns), 0);
	cr_assert_eq(stat(path, &st), 0);
	cr_expect_eq(st.st_mode, S_IFREG | 0600);
	add_and_die(5, 7);
	expect(5, 7);
	add_and_die(8, 8);
	expect(5, 8);
}

Test(kills, new_ones_take_the_place_of_the_oldest)
{
	add_and_die(1, 2);
	add_and_die(3, EMERGENCY_KILLS_MAX + 5);
	expect(6, EMERGENCY_KILLS_MAX + 5);
}

static void damage(off_t at, off_t size)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	cr_assert_geq(fd, 0);
	if (at >= 0)
		cr_assert_eq(pwrite(fd, "?", 1, at), 1);
	if (size >= 0)
		cr_assert_eq(ftruncate(fd, size), 0);
	close(fd);
}

Test(kills, of_another_boot_another_version_or_another_size_are_void)
{
	static const struct {
		off_t at, size;
	} damages[] = {{16, -1}, {0, -1}, {-1, 0}, {-1, 100}, {-1, 8192}};
	uint64_t times_ns[EMERGENCY_KILLS_MAX];

	for (size_t i = 0; i < ELEMENTSOF(damages); i++) {
		add_and_die(5, 7);
		expect(5, 7);
		damage(damages[i].at, damages[i].size);
		cr_expect_eq(read_all(times_ns), 0);
	}
}

Test(kills, that_can_not_be_kept_do_no_harm)
{
	struct kills kills = {0};
	uint64_t time_ns;

	cr_assert_eq(symlink("/dev/null", path), 0);
	cr_expect_lt(kills_open(dir, &kills), 0);
	kills_add(&kills, 5);
	cr_expect_eq(kills_read(&kills, &time_ns, 1), 0);
	kills_close(&kills);
}
