/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The bus: who gets in, who may call what, and the socket. */
#include "bus_clients.h"

TestSuite(bus_rights, .init = setup, .fini = teardown, .timeout = 90);

static int body_reader(void)
{
	sd_bus *client = client_open();
	const char *reading[] = {"Status", "ListPolicies"};

	if (!client)
		return 1;
	for (size_t i = 0; i < ELEMENTSOF(reading); i++)
		if (!streq(call_error(client, reading[i], ""), ""))
			return 2;
	if (!streq(call_error(client, "ListAgents", "s", ""), "") ||
	    !streq(call_error(client, "Subscribe", "b", 1), "") || !streq(call_error(client, "Explain", "s", "1"), ""))
		return 3;
	if (!streq(call_error(client, "Command", "ss", "stop", "0"), GOV_ERROR_DENIED))
		return 4;
	if (!streq(call_error(client, "Adopt", "us", 5, ""), GOV_ERROR_DENIED))
		return 5;
	if (!streq(call_error(client, "Reload", ""), GOV_ERROR_DENIED))
		return 6;
	return 0;
}

static int body_runner(void)
{
	sd_bus *client = client_open();

	if (!client)
		return 1;
	if (!streq(call_error(client, "Run", "ssbsas", "p", "", 0, "/bin/true", 1, "true"), ""))
		return 2;
	if (!streq(call_error(client, "Status", ""), GOV_ERROR_DENIED))
		return 3;
	/* Whether this agent is theirs is the core's decision. */
	if (!streq(call_error(client, "Touch", "s", "0"), "") ||
	    !streq(call_error(client, "Lease", "st", "0", UINT64_C(1000)), ""))
		return 6;
	if (!streq(call_error(client, "Subscribe", "b", 1), GOV_ERROR_DENIED))
		return 4;
	if (!streq(call_error(client, "Command", "ss", "kill", "0"), GOV_ERROR_DENIED))
		return 5;
	return 0;
}

static int body_nobody(void)
{
	int fd = raw_open();

	raw_send(fd, AUTH, sizeof(AUTH) - 1);
	return raw_is_closed(fd, 2000) ? 0 : 1;
}

Test(bus_rights, members_of_the_group_may_read)
{
	cr_expect_eq(as_user(USER_NOBODY, USER_NOBODY, GROUP_READERS, body_reader), 0);
	cr_expect_eq(seen->refused, 3);
	cr_expect_str_eq(seen->refused_method, "Reload");
	cr_expect_eq(seen->peer.uid, USER_NOBODY);
	/* As the primary group too. */
	cr_expect_eq(as_user(USER_NOBODY, GROUP_READERS, 0, body_reader), 0);
	cr_expect_eq(seen->command, 0);
}

Test(bus_rights, users_that_a_policy_allows_may_run)
{
	cr_expect_eq(as_user(USER_ALLOWED, USER_NOBODY, 0, body_runner), 0);
	cr_expect_eq(as_user(USER_NOBODY, USER_NOBODY, GROUP_ALLOWED, body_runner), 0);
	cr_expect_eq(seen->refused, 6);
}

Test(bus_rights, nobody_else_gets_anything)
{
	cr_expect_eq(as_user(USER_NOBODY, USER_NOBODY, 0, body_nobody), 0);
	WAIT_FOR(seen->counts.refused == 1);
	cr_expect_eq(seen->counts.clients, 0);
	cr_expect(is_served());
}

static int body_who(void)
{
	return streq(call_error(client_open(), "Run", "ssbsas", "p", "", 0, "/bin/true", 1, "true"), "") ? 0 : 1;
}

Test(bus_rights, knows_who_calls)
{
	char path[64], stat[512], *rest;
	pid_t pid;
	int fd, status;
	ssize_t n;

	pid = fork();
	if (pid == 0) {
		gid_t extra = GROUP_ALLOWED;

		if (setgroups(1, &extra) < 0 || setresgid(77, 77, 77) < 0 || setresuid(78, 78, 78) < 0 || body_who())
			_exit(1);
		raise(SIGSTOP);
		_exit(0);
	}
	cr_assert_eq(waitpid(pid, &status, WUNTRACED), pid);
	cr_assert(WIFSTOPPED(status));
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	fd = open(path, O_RDONLY);
	n = read(fd, stat, sizeof(stat) - 1);
	cr_assert_gt(n, 0);
	stat[n] = '\0';
	close(fd);
	rest = strrchr(stat, ')');
	for (unsigned i = 2; i < 22; i++)
		rest = strchr(rest + 1, ' ');
	cr_expect_eq(seen->peer.pid, pid);
	cr_expect_eq(seen->peer.uid, 78);
	cr_expect_eq(seen->peer.start_ticks, strtoull(rest, NULL, 10));
	cr_expect_eq(seen->peer.n_groups, 2);
	cr_expect_eq(seen->groups[0], 77);
	cr_expect_eq(seen->groups[1], GROUP_ALLOWED);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* ---- the socket -------------------------------------------------------------------------------------------------- */

static int try_listen(void)
{
	struct bus_calls calls = {};
	struct journal none = {};
	sd_event *event = NULL;
	struct bus *second = NULL;
	int r;

	cr_assert_geq(sd_event_new(&event), 0);
	r = bus_new(event, dir, &none, &calls, &second);
	bus_free(second);
	sd_event_unref(event);
	return r;
}

Test(bus_rights, the_socket_is_one_and_open_to_all)
{
	struct stat st;

	/* The server's umask is 0077. */
	cr_assert_eq(stat(socket_path, &st), 0);
	cr_expect_eq(st.st_mode & 0777, 0666);
	cr_expect_eq(try_listen(), -EADDRINUSE);
	cr_expect(is_served());
	kill(server, SIGKILL);
	waitpid(server, NULL, 0);
	/* A dead one's is taken over, and removed at the end. */
	cr_expect_eq(access(socket_path, F_OK), 0);
	cr_expect_eq(try_listen(), 0);
	cr_expect_eq(access(socket_path, F_OK), -1);
	server = fork();
	if (server == 0) {
		pause();
		_exit(0);
	}
}
