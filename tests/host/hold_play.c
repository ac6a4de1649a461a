/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <ftw.h>
#include <poll.h>
#include <sys/sendfile.h>

#include "hold_play.h"

#define LIMIT_NS (3 * NSEC_PER_SEC)

uint64_t play_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NSEC_PER_SEC + (uint64_t)now.tv_nsec;
}

static void on_ask(uint64_t token, pid_t pid, bool is_exec, const char *path, void *userdata)
{
	struct play *play = userdata;
	struct play_ask *ask = &play->asks[play->n_asks++ % ASKS_MAX];

	*ask = (struct play_ask){.token = token, .pid = pid, .is_exec = is_exec};
	snprintf(ask->path, sizeof(ask->path), "%s", path);
	if (play->does_answer)
		hold_answer(play->hold, token, 0);
}

static void on_expired(uint64_t token _unused_, void *userdata)
{
	((struct play *)userdata)->n_expired++;
}

static void on_ended(const char *why, void *userdata)
{
	struct play *play = userdata;

	play->n_ended++;
	snprintf(play->why, sizeof(play->why), "%s", why);
	if (play->does_restart)
		cr_assert_eq(hold_start(play->hold), 0);
}

/* build/tests/... -> build/govd-hold */
static const char *find_program(void)
{
	static char path[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 32);

	cr_assert_gt(n, 0);
	path[n] = '\0';
	for (int i = 0; i < 2; i++)
		*strrchr(path, '/') = '\0';
	strcat(path, "/govd-hold");
	return path;
}

struct play *play_new(void)
{
	struct play *play = calloc(1, sizeof(*play));
	struct hold_events events = {on_ask, on_expired, on_ended, play};

	cr_assert_not_null(play);
	play->asks = calloc(ASKS_MAX, sizeof(*play->asks));
	strcpy(play->directory, "/tmp/govtest-hold-XXXXXX");
	cr_assert_not_null(mkdtemp(play->directory));
	cr_assert_eq(hold_new(find_program(), &events, &play->hold), 0);
	return play;
}

struct play *play_open(void)
{
	struct play *play = play_new();

	cr_assert_eq(hold_start(play->hold), 0);
	play_settle(play); /* of its first, empty set: later ones are told apart */
	return play;
}

static int remove_one(const char *path, const struct stat *st _unused_, int type _unused_, struct FTW *ftw _unused_)
{
	return remove(path);
}

void play_close(struct play *play)
{
	hold_free(play->hold);
	nftw(play->directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(play->asks);
	free(play);
}

static void play_turn(struct play *play, unsigned ms)
{
	struct pollfd poll_fd = {.fd = hold_fd(play->hold), .events = POLLIN};

	if (poll(&poll_fd, 1, (int)MIN2(ms, (unsigned)GOV_HOLD_PING_MS)) > 0)
		hold_dispatch(play->hold);
	(void)hold_watch_over(play->hold, play_now_ns());
}

bool play_until(struct play *play, const unsigned *number, unsigned reached)
{
	uint64_t end_ns = play_now_ns() + LIMIT_NS;

	while (*number < reached && play_now_ns() < end_ns)
		play_turn(play, GOV_HOLD_PING_MS);
	return *number >= reached;
}

void play_for(struct play *play, unsigned ms)
{
	uint64_t end_ns = play_now_ns() + ms * NSEC_PER_MSEC, now_ns;

	while ((now_ns = play_now_ns()) < end_ns)
		play_turn(play, (unsigned)((end_ns - now_ns) / NSEC_PER_MSEC) + 1);
}

bool play_has_ended(pid_t pid)
{
	siginfo_t info = {0};

	return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == pid;
}

static int exit_code(pid_t pid)
{
	int status;

	cr_assert_eq(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int play_wait(struct play *play, pid_t pid)
{
	uint64_t end_ns = play_now_ns() + LIMIT_NS;

	while (!play_has_ended(pid)) {
		cr_assert_lt(play_now_ns(), end_ns, "the process doesn't end");
		play_turn(play, 1);
	}
	return exit_code(pid);
}

unsigned play_wait_alone(pid_t pid, uint64_t start_ns)
{
	struct timespec pause = {.tv_nsec = 1000000};
	unsigned ms;

	while (!play_has_ended(pid)) {
		cr_assert_lt(play_now_ns() - start_ns, LIMIT_NS, "the process is held");
		nanosleep(&pause, NULL);
	}
	ms = (unsigned)((play_now_ns() - start_ns) / NSEC_PER_MSEC);
	cr_assert_eq(exit_code(pid), 0);
	return ms;
}

void play_settle(struct play *play)
{
	uint64_t end_ns = play_now_ns() + LIMIT_NS;

	play->hold->stats.marks = UINT32_MAX;
	while (play->hold->stats.marks == UINT32_MAX) {
		cr_assert_lt(play_now_ns(), end_ns, "govd-hold doesn't tell its marks");
		play_turn(play, GOV_HOLD_PING_MS);
	}
}

void play_watch(struct play *play, const char *exe, const char *script)
{
	char exe_glob[PATH_MAX], script_glob[PATH_MAX];
	char *exe_globs[] = {exe_glob}, *script_globs[] = {script_glob};
	struct policy by_exe = {.match.exe = {exe_globs, 1}}, by_script = {.match.script = {script_globs, 1}};
	struct policy *policies[2];
	struct policy_set set = {.policies = policies};

	snprintf(exe_glob, sizeof(exe_glob), "%s%s%s", *exe == '/' ? "" : play->directory, *exe == '/' ? "" : "/", exe);
	if (*exe)
		policies[set.n++] = &by_exe;
	snprintf(script_glob, sizeof(script_glob), "%s%s%s", *script == '/' ? "" : play->directory,
		 *script == '/' ? "" : "/", script);
	if (*script)
		policies[set.n++] = &by_script;
	cr_assert_eq(hold_set_policies(play->hold, &set), 0);
	play_settle(play);
}

const char *play_path(const struct play *play, const char *name)
{
	static char paths[8][PATH_MAX];
	static unsigned turn;
	char *path = paths[turn++ % ELEMENTSOF(paths)];

	snprintf(path, PATH_MAX, "%s/%s", play->directory, name);
	return path;
}

void play_make_program(const struct play *play, const char *name)
{
	int from = open("/bin/true", O_RDONLY | O_CLOEXEC), to;
	struct stat st;

	to = open(play_path(play, name), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
	cr_assert(from >= 0 && to >= 0 && fstat(from, &st) == 0);
	cr_assert_eq(sendfile(to, from, NULL, (size_t)st.st_size), st.st_size);
	close(from);
	close(to);
}

void play_make_script(const struct play *play, const char *name, int code)
{
	int fd = open(play_path(play, name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);

	cr_assert_geq(fd, 0);
	cr_assert_gt(dprintf(fd, "#!/bin/sh\nexit %d\n", code), 0);
	close(fd);
}

pid_t play_exec(const char *const argv[])
{
	pid_t pid = fork();

	cr_assert_geq(pid, 0);
	if (pid == 0) {
		dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), STDOUT_FILENO);
		execv(argv[0], (char *const *)argv);
		_exit(errno == ENOENT ? 127 : errno == EPERM ? PLAY_REFUSED : 126);
	}
	return pid;
}

pid_t play_exec1(const char *path)
{
	return play_exec((const char *const[]){path, NULL});
}
