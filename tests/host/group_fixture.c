/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "group_fixture.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "base/file.h"
#include "base/text.h"

uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NSEC_PER_SEC + (uint64_t)now.tv_nsec;
}

static void on_done(const struct event *result, void *userdata)
{
	struct fixture *fixture = userdata;

	fixture->result = *result;
	fixture->results++;
	if (result->kind == EVENT_RESULT && result->result.action == ACTION_PLACE && result->result.error == 0) {
		fixture->agent.cgroup_id = result->result.cgroup_id;
		text_copy(fixture->cgroup, sizeof(fixture->cgroup), result->result.cgroup);
		text_copy(fixture->origin, sizeof(fixture->origin), result->result.origin);
		fixture->agent.cgroup = fixture->cgroup;
		fixture->agent.origin = fixture->origin;
		fixture->agent.is_placed = true;
	}
}

static void on_empty(uint64_t agent, void *userdata)
{
	struct fixture *fixture = userdata;

	cr_assert_eq(agent, fixture->agent.handle);
	fixture->empties++;
}

static void on_found(const struct group_found *found, void *userdata)
{
	struct fixture *fixture = userdata;

	fixture->found = *found->saved;
	text_copy(fixture->found_key, sizeof(fixture->found_key), found->saved->key);
	text_copy(fixture->found_policy, sizeof(fixture->found_policy), found->policy);
	fixture->found_populated = found->is_populated;
	fixture->found_frozen = found->is_frozen;
	fixture->found_briefly = found->is_frozen_briefly;
	fixture->found_lives = found->root_lives;
	fixture->founds++;
}

void fixture_reopen(struct fixture *fixture)
{
	struct group_events events = {.done = on_done, .empty = on_empty, .found = on_found, .userdata = fixture};
	int r;

	r = groups_new_native(fixture->slice, &events, &fixture->groups, fixture->words, sizeof(fixture->words));
	cr_assert_eq(r, 0, "%s", fixture->words);
}

void fixture_open(struct fixture *fixture)
{
	static unsigned number;

	memset(fixture, 0, sizeof(*fixture));
	snprintf(fixture->slice, sizeof(fixture->slice), "govtest-%d-%u.slice", (int)getpid(), number++);
	text_copy(fixture->policy.name, sizeof(fixture->policy.name), "test.pol_1");
	fixture->policy.references = 1;
	fixture->policy.limits.memory_high_bytes = UNIT_INFINITY;
	fixture->policy.limits.memory_max_bytes = UNIT_INFINITY;
	fixture->policy.limits.swap_max_bytes = UNIT_INFINITY;
	fixture->policy.limits.tasks_max = UNIT_INFINITY;
	fixture->agent.handle = 7;
	fixture->agent.policy = &fixture->policy;
	fixture->agent.has_root = true;
	fixture->agent.since_ns = now_ns();
	text_copy(fixture->agent.id, sizeof(fixture->agent.id), "0badcafe");
	fixture_reopen(fixture);
}

static void reap_all(struct fixture *fixture)
{
	for (size_t i = 0; i < fixture->n_children; i++) {
		kill(fixture->children[i], SIGKILL);
		waitpid(fixture->children[i], NULL, 0);
	}
	fixture->n_children = 0;
}

void fixture_close(struct fixture *fixture)
{
	char path[PATH_MAX];

	if (group_exists(fixture, "")) {
		act(fixture, ACTION_THAW);
		act(fixture, ACTION_KILL);
	}
	reap_all(fixture);
	WAIT_UNTIL(fixture, act(fixture, ACTION_REMOVE) == 0);
	snprintf(path, sizeof(path), "%s%s", groups_v2_root(fixture->groups), groups_slice_path(fixture->groups));
	groups_free(fixture->groups);
	cr_assert(access(path, F_OK) < 0 && errno == ENOENT, "the slice is still there");
}

pid_t fixture_spawn(struct fixture *fixture, void (*body)(void *userdata), void *userdata)
{
	pid_t pid = fork();

	cr_assert_geq(pid, 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		body(userdata);
		_exit(0);
	}
	cr_assert_lt(fixture->n_children, ELEMENTSOF(fixture->children));
	fixture->children[fixture->n_children++] = pid;
	return pid;
}

static void idle(void *userdata _unused_)
{
	for (;;)
		pause();
}

pid_t fixture_spawn_idle(struct fixture *fixture)
{
	return fixture_spawn(fixture, idle, NULL);
}

uint64_t start_ticks_of(pid_t pid)
{
	char path[64], buffer[1024], *p;
	unsigned long long start = 0;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	cr_assert_gt(file_read(AT_FDCWD, path, buffer, sizeof(buffer)), 0);
	p = strrchr(buffer, ')') + 2;
	for (int field = 3; field < 22; field++)
		p = strchr(p, ' ') + 1;
	cr_assert_eq(sscanf(p, "%llu", &start), 1);
	return start;
}

int act_on(struct fixture *fixture, enum action_kind kind, pid_t pid, uint64_t start_ticks, int number)
{
	struct action action = {.kind = kind, .agent = &fixture->agent};

	action.process.pid = pid;
	action.process.start_ticks = start_ticks;
	action.process.signal = number;
	return groups_act(fixture->groups, &action);
}

int act(struct fixture *fixture, enum action_kind kind)
{
	return act_on(fixture, kind, 0, 0, 0);
}

int place(struct fixture *fixture, pid_t pid)
{
	unsigned before = fixture->results;
	int r;

	fixture->agent.root_pid = pid;
	fixture->agent.root_start_ticks = start_ticks_of(pid);
	r = act_on(fixture, ACTION_PLACE, pid, fixture->agent.root_start_ticks, 0);
	cr_assert_eq(fixture->results, before + 1);
	cr_assert_eq(fixture->result.result.action, ACTION_PLACE);
	cr_assert_eq(fixture->result.result.agent, fixture->agent.handle);
	cr_assert_eq(fixture->result.result.error, -r);
	return r;
}

const char *path_of(pid_t pid, const char *controller, char *buffer, size_t size)
{
	char path[64], text[8192], wanted[64], *next = NULL;

	buffer[0] = '\0';
	snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)pid);
	if (file_read(AT_FDCWD, path, text, sizeof(text)) < 0)
		return buffer;
	snprintf(wanted, sizeof(wanted), ":%s:", controller);
	for (char *line = strtok_r(text, "\n", &next); line; line = strtok_r(NULL, "\n", &next)) {
		char *at = strstr(line, wanted);

		if (at)
			text_copy(buffer, size, at + strlen(wanted));
	}
	return buffer;
}

/* v1 hierarchies are where they are on all hosts that have them; below govd's own group, which is ours. */
static void group_path(struct fixture *fixture, const char *controller, char *path, size_t size)
{
	char own[PATH_MAX];

	if (controller[0])
		snprintf(path, size, "/sys/fs/cgroup/%s%s/%s/%s-%s", controller,
			 path_of(getpid(), controller, own, sizeof(own)), fixture->slice, fixture->policy.name,
			 fixture->agent.id);
	else
		snprintf(path, size, "%s%s/%s-%s", groups_v2_root(fixture->groups), groups_slice_path(fixture->groups),
			 fixture->policy.name, fixture->agent.id);
}

const char *group_file(struct fixture *fixture, const char *controller, const char *file, char *buffer, size_t size)
{
	char path[2 * PATH_MAX];
	struct text text;

	group_path(fixture, controller, path, PATH_MAX);
	text = (struct text){.bytes = path, .size = sizeof(path), .length = strlen(path)};
	text_addf(&text, "/%s", file);
	if (file_read(AT_FDCWD, path, buffer, size) < 0)
		buffer[0] = '\0';
	if (buffer[0] && buffer[strlen(buffer) - 1] == '\n')
		buffer[strlen(buffer) - 1] = '\0';
	return buffer;
}

bool group_exists(struct fixture *fixture, const char *controller)
{
	char path[PATH_MAX];

	group_path(fixture, controller, path, sizeof(path));
	return access(path, F_OK) == 0;
}

uint64_t group_inode(struct fixture *fixture, const char *controller)
{
	char path[PATH_MAX];
	struct stat st;

	group_path(fixture, controller, path, sizeof(path));
	return stat(path, &st) == 0 ? st.st_ino : 0;
}

bool group_remove(struct fixture *fixture, const char *controller)
{
	char path[PATH_MAX], main[2 * PATH_MAX];

	group_path(fixture, controller, path, sizeof(path));
	snprintf(main, sizeof(main), "%s/main", path);
	(void)rmdir(main);
	return rmdir(path) == 0;
}

bool is_in_group(struct fixture *fixture, const char *controller, pid_t pid)
{
	char path[PATH_MAX], wanted[PATH_MAX];
	struct text text = TEXT_ON(wanted);
	char *last;

	text_addf(&text, "%s/%s-%s", fixture->slice, fixture->policy.name, fixture->agent.id);
	path_of(pid, controller, path, sizeof(path));
	/* Where tools have groups of their own, the agent itself is in one, too: TOOL_MAIN of act/tool.h. */
	last = strrchr(path, '/');
	if (last && streq(last + 1, "main"))
		*last = '\0';
	return strlen(path) > text.length && streq(path + strlen(path) - text.length, wanted);
}

void fixture_pump(struct fixture *fixture)
{
	struct pollfd pollfd = {.fd = groups_fd(fixture->groups), .events = POLLIN};

	/* The timeout is for conditions that no descriptor tells, such as an exit seen in /proc. */
	if (poll(&pollfd, 1, 5) > 0)
		cr_assert_eq(groups_dispatch(fixture->groups), 0);
}
