/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_TESTS_BUS_FIXTURE_H
#define GOV_TESTS_BUS_FIXTURE_H

/* A bus in a process of its own with made-up answers, and clients of all kinds. Each suite includes it once. */

#include <criterion/criterion.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#include "out/bus.h"

#define DEADLINE_MS 20000
#define USER_NOBODY 65534
#define USER_ALLOWED 54320
#define GROUP_ALLOWED 54321
#define GROUP_READERS 54322
#define BIG_AGENTS 5000 /* of ListAgents("big"): about a MiB */

/* What the server has seen. */
struct seen {
	size_t clients;
	struct bus_counts counts;
	uint64_t refused;
	char refused_method[32];
	struct bus_peer peer;
	gid_t groups[8];
	char policy[64], key[64], executable[64], argv1[64];
	bool reuse;
	int command;
	uint64_t lease_ms;
	uint64_t pending; /* adopt calls that wait for 'a' */
	uint64_t published;
	bool is_named; /* on the system bus */
};

static struct seen unseen, *seen = &unseen; /* shared with the server from setup() on */
static char dir[] = "/tmp/govtest-bus-XXXXXX";
static char socket_path[64];
static pid_t server;
static int control = -EBADF;
static bool is_on_system_bus; /* set before setup() */

/* ---- the server -------------------------------------------------------------------------------------------------- */

static struct bus *bus;
static struct journal journal;
static uint64_t requests[64];

static int reply_dict(sd_bus_message *m, const char *name, const char *value)
{
	struct bus_writer writer = {.message = m};

	bus_begin_dict(&writer, NULL);
	bus_write_string(&writer, name, value);
	bus_end(&writer);
	return writer.error;
}

static int fake_status(sd_bus_message *m, void *userdata _unused_)
{
	struct bus_writer writer = {.message = m};

	bus_begin_dict(&writer, NULL);
	bus_write_string(&writer, "version", "1\xff\n");
	bus_write_u64(&writer, "none", UINT64_MAX);
	bus_begin_dict(&writer, "agents");
	bus_write_u64(&writer, "total", 7);
	bus_end(&writer);
	bus_begin_list(&writer, "rows");
	bus_begin_dict(&writer, NULL);
	bus_write_string(&writer, "a", "b");
	bus_end(&writer);
	bus_end(&writer);
	bus_end(&writer);
	return writer.error;
}

static int fake_list(sd_bus_message *m, const char *policy, sd_bus_error *error _unused_, void *userdata _unused_)
{
	struct bus_writer writer = {.message = m};
	size_t n = streq(policy, "big") ? BIG_AGENTS : 1;
	char text[200];

	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	bus_begin_list(&writer, NULL);
	for (size_t i = 0; i < n; i++) {
		bus_begin_dict(&writer, NULL);
		bus_write_string(&writer, "policy", n > 1 ? text : policy);
		bus_end(&writer);
	}
	bus_end(&writer);
	return writer.error;
}

static int fake_show(sd_bus_message *m, const char *id, sd_bus_error *error, void *userdata _unused_)
{
	if (streq(id, "none"))
		return sd_bus_error_setf(error, GOV_ERROR_NO_SUCH_AGENT, "There is no agent %s.", id);
	if (streq(id, "broken"))
		return -EIO;
	return reply_dict(m, "id", id);
}

static int fake_list_policies(sd_bus_message *m, void *userdata)
{
	return fake_list(m, "policies", NULL, userdata);
}

static int fake_show_policy(sd_bus_message *m, const char *name, sd_bus_error *error _unused_, void *userdata _unused_)
{
	return sd_bus_message_append(m, "s", name);
}

static int fake_test_policy(sd_bus_message *m, uint32_t pid, sd_bus_error *error _unused_, void *userdata _unused_)
{
	char text[32];

	snprintf(text, sizeof(text), "%u", pid);
	return reply_dict(m, "pid", text);
}

static int fake_explain(sd_bus_message *m, const char *what, sd_bus_error *error _unused_, void *userdata _unused_)
{
	return reply_dict(m, "what", what);
}

static int fake_reload(sd_bus_message *m, sd_bus_error *error _unused_, void *userdata _unused_)
{
	return reply_dict(m, "policies", "3");
}

static void see_peer(const struct bus_peer *peer)
{
	seen->peer = *peer;
	for (size_t i = 0; i < MIN2(peer->n_groups, ELEMENTSOF(seen->groups)); i++)
		seen->groups[i] = peer->groups[i];
}

static void answer(uint64_t request, enum reply_code code, const char *id)
{
	struct action action = {.kind = ACTION_REPLY};

	action.reply.request = request;
	action.reply.code = code;
	action.reply.error = code == REPLY_FAILED ? ENOSPC : 0;
	snprintf(action.reply.id, sizeof(action.reply.id), "%s", id);
	bus_reply(bus, request, &action);
}

static int fake_run(uint64_t request, const struct bus_peer *peer, const char *policy, const char *key, bool reuse,
		    const char *executable, char *const *argv, sd_bus_error *error _unused_, void *userdata _unused_)
{
	see_peer(peer);
	snprintf(seen->policy, sizeof(seen->policy), "%s", policy);
	snprintf(seen->key, sizeof(seen->key), "%s", key);
	snprintf(seen->executable, sizeof(seen->executable), "%s", executable);
	snprintf(seen->argv1, sizeof(seen->argv1), "%.60s", argv[0] && argv[1] ? argv[1] : "");
	seen->reuse = reuse;
	answer(request, REPLY_OK, "0000cafe");
	return 0;
}

static int fake_adopt(uint64_t request, const struct bus_peer *peer, uint32_t pid, const char *policy,
		      sd_bus_error *error, void *userdata _unused_)
{
	see_peer(peer);
	if (pid == 7)
		return sd_bus_error_setf(error, GOV_ERROR_NO_SUCH_POLICY, "no policy %s", policy);
	requests[seen->pending++ % ELEMENTSOF(requests)] = request;
	return 0;
}

static int fake_command(uint64_t request, const struct bus_peer *peer, enum command command, const char *id,
			sd_bus_error *error _unused_, void *userdata _unused_)
{
	see_peer(peer);
	seen->command = (int)command;
	answer(request, (enum reply_code)atoi(id), "0000beef");
	return 0;
}

static int fake_lease(uint64_t request, const struct bus_peer *peer, const char *id, uint64_t lease_ms,
		      sd_bus_error *error _unused_, void *userdata _unused_)
{
	see_peer(peer);
	seen->lease_ms = lease_ms;
	answer(request, (enum reply_code)atoi(id), "0000beef");
	return 0;
}

static bool fake_may_connect(uid_t uid, const gid_t *groups, size_t n_groups, void *userdata _unused_)
{
	for (size_t i = 0; i < n_groups; i++)
		if (groups[i] == GROUP_ALLOWED)
			return true;
	return uid == USER_ALLOWED;
}

static void fake_refused(const struct bus_peer *peer, const char *method, void *userdata _unused_)
{
	see_peer(peer);
	snprintf(seen->refused_method, sizeof(seen->refused_method), "%s", method);
	seen->refused++;
}

static void publish(void)
{
	struct journal_line *line = journal_add(&journal);

	line->time_ms = 1700000000123;
	line->event = "exec";
	snprintf(line->agent, sizeof(line->agent), "%08x", (unsigned)seen->published++);
	snprintf(line->key, sizeof(line->key), "room\xfe");
	line->pid = 4711;
	bus_publish(bus, line);
}

static void bus_open(sd_event *event);

static int on_control(sd_event_source *source, int fd, uint32_t events _unused_, void *userdata _unused_)
{
	char c;

	if (read(fd, &c, 1) != 1)
		_exit(0);
	if (c == 'a')
		for (size_t i = 0; i < MIN2(seen->pending, ELEMENTSOF(requests)); i++)
			answer(requests[i], REPLY_OK, "adopted");
	if (c == 'r') {
		bus = bus_free(bus);
		bus_open(sd_event_source_get_event(source));
	}
	for (unsigned i = 0; i < (c == 'p' ? 1 : c == 'P' ? 500 : 0); i++)
		publish();
	return 0;
}

/* After each turn of the loop: what the tests look at. */
static int on_turn(sd_event_source *source _unused_, void *userdata _unused_)
{
	seen->clients = bus_client_count(bus);
	seen->is_named = bus_system_is_named(bus);
	bus_get_counts(bus, &seen->counts);
	return 0;
}

static void bus_open(sd_event *event)
{
	static const struct bus_calls calls = {
		.status = fake_status,
		.list = fake_list,
		.show = fake_show,
		.list_policies = fake_list_policies,
		.show_policy = fake_show_policy,
		.test_policy = fake_test_policy,
		.explain = fake_explain,
		.reload = fake_reload,
		.run = fake_run,
		.adopt = fake_adopt,
		.command = fake_command,
		.lease = fake_lease,
		.may_connect = fake_may_connect,
		.refused = fake_refused,
	};

	if (bus_new(event, dir, &journal, &calls, &bus) < 0)
		_exit(1);
	bus_set_group(bus, GROUP_READERS);
	if (is_on_system_bus && bus_system_open(bus) < 0)
		_exit(1);
}

static void serve(int control_fd, int ready_fd)
{
	sd_event_source *turn = NULL;
	sd_event *event = NULL;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	umask(0077);
	if (sd_event_new(&event) < 0 || journal_init(&journal) < 0)
		_exit(1);
	bus_open(event);
	sd_event_add_io(event, NULL, control_fd, EPOLLIN, on_control, NULL);
	sd_event_add_post(event, &turn, on_turn, NULL);
	if (write(ready_fd, "r", 1) != 1)
		_exit(1);
	sd_event_loop(event);
	_exit(1);
}

static _unused_ void setup(void)
{
	int pair[2], ready[2];
	char c;

	signal(SIGPIPE, SIG_IGN);
	cr_assert_not_null(mkdtemp(dir));
	cr_assert_eq(chmod(dir, 0755), 0);
	snprintf(socket_path, sizeof(socket_path), "%s/%s", dir, GOV_BUS_SOCKET);
	seen = mmap(NULL, sizeof(*seen), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	cr_assert_neq(seen, MAP_FAILED);
	cr_assert(pipe2(pair, O_CLOEXEC) == 0 && pipe2(ready, O_CLOEXEC) == 0);
	server = fork();
	cr_assert_geq(server, 0);
	if (server == 0) {
		close(pair[1]);
		close(ready[0]);
		serve(pair[0], ready[1]);
	}
	close(pair[0]);
	close(ready[1]);
	control = pair[1];
	cr_assert_eq(read(ready[0], &c, 1), 1, "the server didn't start");
	close(ready[0]);
}

static _unused_ void teardown(void)
{
	int status = -1;

	/* It lives to the end, whatever it was sent. */
	cr_expect_eq(waitpid(server, &status, WNOHANG), 0, "the server has ended: status %x", (unsigned)status);
	kill(server, SIGKILL);
	waitpid(server, NULL, 0);
	unlink(socket_path);
	rmdir(dir);
}

#endif
