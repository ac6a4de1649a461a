/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/fanotify.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/file.h"
#include "base/unit.h"
#include "group_fixture.h"

/* A freeze is told when all is frozen, tools in groups of their own too; one of govd's own doesn't outlive it. */

#define SLEEP_MS 10000

/* A file that nobody can open before the test says so: who tries sleeps where no freezer gets to it. */
struct gate {
	char path[32];
	int fan_fd, event_fd;
	int go[2];
};

static void gate_open(struct gate *gate)
{
	int fd;

	snprintf(gate->path, sizeof(gate->path), "/tmp/govtest-gate-XXXXXX");
	fd = mkstemp(gate->path);
	cr_assert_geq(fd, 0);
	close(fd);
	gate->fan_fd = fanotify_init(FAN_CLASS_CONTENT | FAN_CLOEXEC, O_RDONLY | O_CLOEXEC);
	cr_assert_geq(gate->fan_fd, 0);
	cr_assert_eq(fanotify_mark(gate->fan_fd, FAN_MARK_ADD, FAN_OPEN_PERM, AT_FDCWD, gate->path), 0);
	cr_assert_eq(pipe2(gate->go, O_CLOEXEC), 0);
}

static void gate_await(struct gate *gate)
{
	struct pollfd wait = {.fd = gate->fan_fd, .events = POLLIN};
	struct fanotify_event_metadata event;

	cr_assert_eq(poll(&wait, 1, SLEEP_MS), 1);
	cr_assert_eq(read(gate->fan_fd, &event, sizeof(event)), (ssize_t)sizeof(event));
	gate->event_fd = event.fd;
}

static void gate_let_go(const struct gate *gate)
{
	struct fanotify_response response = {.fd = gate->event_fd, .response = FAN_ALLOW};

	cr_assert_eq(write(gate->fan_fd, &response, sizeof(response)), (ssize_t)sizeof(response));
	close(gate->event_fd);
}

static void gate_close(const struct gate *gate)
{
	unlink(gate->path);
	close(gate->fan_fd);
	close(gate->go[0]);
	close(gate->go[1]);
}

static void run_tool(void *userdata)
{
	const struct gate *gate = userdata;
	char byte;

	if (read(gate->go[0], &byte, 1) == 1)
		(void)open(gate->path, O_RDONLY | O_CLOEXEC);
	pause();
}

static void make_tool(struct fixture *f, pid_t pid)
{
	struct action action = {.kind = ACTION_TOOL_PLACE, .agent = &f->agent};

	action.tool.id = (struct tool_id){.pid = pid, .start_ticks = start_ticks_of(pid)};
	action.tool.pid = pid;
	action.tool.start_ticks = action.tool.id.start_ticks;
	action.tool.since_ns = now_ns();
	cr_assert_eq(act_on(f, ACTION_MOVE, pid, action.tool.start_ticks, 0), 0);
	cr_assert_eq(groups_act(f->groups, &action), 0);
	cr_assert_eq(f->result.kind, EVENT_TOOL_RESULT);
}

/* What the kernel says of its group. */
static bool is_frozen(const struct fixture *f, pid_t pid)
{
	char group[PATH_MAX], path[PATH_MAX + 256], events[128];

	snprintf(path, sizeof(path), "%s%s/cgroup.events", groups_v2_root(f->groups),
		 path_of(pid, "", group, sizeof(group)));
	return file_read(AT_FDCWD, path, events, sizeof(events)) >= 0 && strstr(events, "frozen 1");
}

Test(group_freeze, is_told_when_the_tools_are_frozen_too)
{
	struct gate gate;
	struct fixture f;
	unsigned before;
	pid_t root, tool;

	gate_open(&gate);
	fixture_open(&f);
	f.policy.tools.memory_max_bytes = UNIT_INFINITY;
	root = fixture_spawn_idle(&f);
	cr_assert_eq(place(&f, root), 0);
	tool = fixture_spawn(&f, run_tool, &gate);
	make_tool(&f, tool);
	cr_assert_eq(write(gate.go[1], "", 1), 1);
	gate_await(&gate);
	before = f.results;
	cr_assert_eq(act(&f, ACTION_FREEZE), 0);
	WAIT_UNTIL(&f, is_frozen(&f, root));
	for (int i = 0; i < 10; i++)
		fixture_pump(&f);
	cr_expect_eq(f.results, before, "told while the tool runs");
	gate_let_go(&gate);
	WAIT_UNTIL(&f, f.results > before);
	cr_expect_eq(f.result.result.action, ACTION_FREEZE);
	cr_expect_eq(f.result.result.error, 0);
	cr_assert_eq(act(&f, ACTION_THAW), 0);
	fixture_close(&f);
	gate_close(&gate);
}

/* ---- govd dies while it lets an agent go that comes back all the time ---- */

/* Each opening of the file waits for the test, which has it open already. */
static int watch_file(int fan_fd, const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC);

	cr_assert_geq(fd, 0);
	cr_assert_eq(fanotify_mark(fan_fd, FAN_MARK_ADD, FAN_OPEN_PERM, AT_FDCWD, path), 0);
	return fd;
}

static bool is_same_file(int a, int b)
{
	struct stat of_a, of_b;

	cr_assert_eq(fstat(a, &of_a), 0);
	cr_assert_eq(fstat(b, &of_b), 0);
	return of_a.st_ino == of_b.st_ino;
}

/* Brings the root back whenever somebody asks who is in the group. Returns when that is frozen and somebody asks. */
static void bring_back_until_frozen(const struct fixture *f, int fan_fd, int procs_fd, int freeze_fd)
{
	struct fanotify_response response = {.response = FAN_ALLOW};
	struct pollfd wait = {.fd = fan_fd, .events = POLLIN};
	struct fanotify_event_metadata event;
	char frozen = '0';

	for (;;) {
		cr_assert_eq(poll(&wait, 1, SLEEP_MS), 1, "it was let go without a freeze");
		cr_assert_eq(read(fan_fd, &event, sizeof(event)), (ssize_t)sizeof(event));
		cr_assert_eq(pread(freeze_fd, &frozen, 1, 0), 1);
		if (is_same_file(event.fd, procs_fd)) {
			if (frozen == '1')
				return;
			cr_assert_gt(dprintf(procs_fd, "%d", (int)f->agent.root_pid), 0);
		}
		response.fd = event.fd;
		cr_assert_eq(write(fan_fd, &response, sizeof(response)), (ssize_t)sizeof(response));
		close(event.fd);
	}
}

Test(group_freeze, of_a_release_is_ended_by_the_next_govd)
{
	char path[PATH_MAX + 256], group[PATH_MAX];
	int fan_fd, procs_fd, freeze_fd;
	struct fixture f;
	pid_t govd;

	fixture_open(&f);
	cr_assert_eq(place(&f, fixture_spawn_idle(&f)), 0);
	fan_fd = fanotify_init(FAN_CLASS_CONTENT | FAN_CLOEXEC, O_RDONLY | O_CLOEXEC);
	cr_assert_geq(fan_fd, 0);
	/* Where its processes are may be a group in its own. */
	snprintf(path, sizeof(path), "%s%s/cgroup.procs", groups_v2_root(f.groups),
		 path_of(f.agent.root_pid, "", group, sizeof(group)));
	procs_fd = watch_file(fan_fd, path, O_WRONLY);
	snprintf(path, sizeof(path), "%s%s/cgroup.freeze", groups_v2_root(f.groups), f.cgroup);
	freeze_fd = watch_file(fan_fd, path, O_RDONLY);
	govd = fork();
	cr_assert_geq(govd, 0);
	if (govd == 0) {
		(void)act(&f, ACTION_RELEASE);
		_exit(0);
	}
	bring_back_until_frozen(&f, fan_fd, procs_fd, freeze_fd);
	cr_assert_eq(kill(govd, SIGKILL), 0);
	cr_assert_eq(waitpid(govd, NULL, 0), govd);
	close(fan_fd);
	close(procs_fd);
	close(freeze_fd);
	fixture_reopen(&f);
	cr_assert_eq(groups_restore(f.groups), 0);
	cr_assert_eq(f.founds, 1);
	cr_expect(f.found_frozen);
	cr_expect(f.found_briefly, "it is taken for frozen by a user");
	fixture_close(&f);
}
