/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The system bus and those of ill will on it: the server survives, serves the others, and stays small. */
#include "bus_daemon.h"

#define USER_OTHER 1	/* daemon: the bus wants users that it finds */
#define CONNECTIONS 200 /* of one user, whom a system bus lets have 256 */
#define MEMORY_MAX_KIB (UINT64_C(64) << 10)

TestSuite(bus_system_hostile, .init = system_setup, .fini = system_teardown, .timeout = 120);

/* ---- memory ------------------------------------------------------------------------------------------------------ */

static int body_sends_large_calls(void)
{
	size_t size = 4U << 20;
	char *text = malloc(size + 1);

	if (!text)
		return 1;
	memset(text, 'x', size);
	text[size] = '\0';
	for (unsigned i = 0; i < 4; i++) {
		sd_bus *client = system_open();

		for (unsigned j = 0; j < BUS_CALLS_MAX - 1; j++)
			if (call_send(client, "Run", "ssbsas", "", "", 0, "/bin/true", 2, "true", text) < 0)
				return 2;
		if (!streq(system_error(client, "Run", "ssbsas", "", "", 0, "/bin/true", 2, "true", text),
			   GOV_ERROR_INVALID))
			return 3;
	}
	return 0;
}

/* Together they may be as large as one. */
static int body_sends_halves(void)
{
	sd_bus *client = system_open();
	char text[BUS_MESSAGE_MAX / 2];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	if (call_send(client, "Run", "ssbsas", "", "", 0, "/bin/true", 2, "true", text) < 0)
		return 1;
	return streq(system_error(client, "Run", "ssbsas", "", "", 0, "/bin/true", 2, "true", text), GOV_ERROR_BUSY)
		       ? 0
		       : 2;
}

Test(bus_system_hostile, large_calls_are_not_kept)
{
	both_start();
	polkit_kind = POLKIT_KEEPS;
	polkit_start();
	cr_expect_eq(as_user(USER_NOBODY, USER_NOBODY, 0, body_sends_large_calls), 0);
	if (getenv("DBG"))
		fprintf(stderr, "DBG %d %lu\n", __LINE__, (unsigned long)server_memory_kib());
	cr_expect_lt(server_memory_kib(), MEMORY_MAX_KIB * MEMORY_FACTOR);
	WAIT_FOR(seen->counts.dropped_large == UINT64_C(4) * BUS_CALLS_MAX);
	cr_expect_eq(as_user(USER_NOBODY, USER_NOBODY, 0, body_sends_halves), 0);
	cr_expect(is_served_there());
}

static void body_sends_many_at_once(int fd)
{
	char text[BUS_MESSAGE_MAX - 1024];
	sd_bus *client;

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	for (unsigned i = 0; i < CONNECTIONS; i++) {
		client = system_open();
		if (call_send(client, "Run", "ssbsas", "", "", 0, "/bin/true", 2, "true", text) < 0 ||
		    sd_bus_flush(client) < 0)
			return;
	}
	stay(fd);
}

Test(bus_system_hostile, calls_of_strangers_are_few)
{
	pid_t many;

	both_start();
	cr_assert(is_served_there());
	/* Then all are there before the bus tells whose they are. */
	kill(server, SIGSTOP);
	many = beside(USER_NOBODY, body_sends_many_at_once);
	kill(server, SIGCONT);
	cr_expect(is_served_there());
	cr_expect_lt(server_memory_kib(), MEMORY_MAX_KIB / 2 * MEMORY_FACTOR);
	end(many);
	cr_expect(is_served_there());
}

/* Whether the server sleeps: it has done all that it had to. */
static bool server_is_idle(void)
{
	char path[64], state = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)server);
	for (unsigned i = 0; i < 20; i++) {
		file = fopen(path, "r");
		if (!file || fscanf(file, "%*d (%*[^)]) %c", &state) != 1)
			state = 0;
		if (file)
			fclose(file);
		if (state != 'S')
			return false;
		(void)poll(NULL, 0, 5);
	}
	return true;
}

Test(bus_system_hostile, answers_that_the_bus_does_not_take_are_few)
{
	uint64_t until;
	sd_bus *client;

	both_start();
	client = system_open();
	cr_expect_str_eq(system_error(client, "Status", ""), "");
	/* All of them are in the server's socket. */
	kill(server, SIGSTOP);
	for (unsigned i = 0; i < 100; i++)
		cr_assert_geq(call_send(client, "ListAgents", "s", "big"), 0);
	cr_assert_geq(sd_bus_flush(client), 0);
	for (unsigned i = 0; i < 10; i++)
		cr_assert_str_neq(govd_name(client), "");
	kill(daemon_pid, SIGSTOP);
	kill(server, SIGCONT);
	/* With AddressSanitizer a list takes a second. */
	until = now_ms() + UINT64_C(4) * DEADLINE_MS;
	while (!server_is_idle())
		cr_assert_lt(now_ms(), until);
	cr_expect_lt(server_memory_kib(), MEMORY_MAX_KIB * MEMORY_FACTOR);
	kill(daemon_pid, SIGCONT);
	WAIT_FOR(is_served_there());
	sd_bus_close_unref(client);
}

Test(bus_system_hostile, events_that_the_bus_does_not_take_are_few)
{
	sd_bus *client;
	uint64_t kib;

	both_start();
	client = system_open();
	cr_expect_str_eq(system_error(client, "Subscribe", "b", 1), "");
	kill(daemon_pid, SIGSTOP);
	for (unsigned i = 0; i < 40; i++)
		tell_server('P');
	WAIT_FOR(!seen->is_named);
	cr_expect(is_served());
	kib = server_memory_kib();
	cr_expect_lt(kib, MEMORY_MAX_KIB * MEMORY_FACTOR);
	/* What comes until the connection is made anew isn't kept either. */
	for (unsigned i = 0; i < 40; i++)
		tell_server('P');
	cr_expect(is_served());
	cr_expect_lt(server_memory_kib(), kib + (UINT64_C(8) << 10) * MEMORY_FACTOR);
	kill(daemon_pid, SIGCONT);
	WAIT_FOR(seen->is_named);
	cr_expect(is_served_there());
	sd_bus_close_unref(client);
}

/* ---- many -------------------------------------------------------------------------------------------------------- */

static void body_floods(int fd)
{
	sd_bus *clients[CONNECTIONS];

	for (size_t i = 0; i < ELEMENTSOF(clients); i++)
		if (!(clients[i] = system_open()))
			return;
	for (unsigned turn = 0;; turn++) {
		for (size_t i = 0; i < ELEMENTSOF(clients); i++) {
			if (call_send(clients[i], "Status", "") < 0)
				return;
		}
		for (size_t i = 0; i < ELEMENTSOF(clients); i++)
			(void)system_error(clients[i], "Status", "");
		if (turn == 3)
			(void)!write(fd, "r", 1);
	}
}

Test(bus_system_hostile, one_that_floods_keeps_nobody_out)
{
	pid_t flood;

	both_start();
	flood = beside(USER_NOBODY, body_floods);
	for (unsigned i = 0; i < 50; i++) {
		sd_bus *client = system_open();

		cr_assert_not_null(client);
		cr_expect_str_eq(system_error(client, "Status", ""), "");
		sd_bus_close_unref(client);
	}
	end(flood);
	if (getenv("DBG"))
		fprintf(stderr, "DBG %d %lu\n", __LINE__, (unsigned long)server_memory_kib());
	cr_expect_lt(server_memory_kib(), MEMORY_MAX_KIB * MEMORY_FACTOR);
}

/* What the bus lets govd ask at a time, 128 (max_replies_per_connection), isn't all one user's. */
static void body_asks_much(int fd)
{
	sd_bus *client = NULL;

	for (unsigned i = 0; i < BUS_CLIENTS_PER_USER_MAX; i++) {
		client = system_open();
		for (unsigned j = 0; j < BUS_CALLS_MAX; j++)
			if (call_send(client, "Adopt", "us", 1, "") < 0)
				return;
		if (sd_bus_flush(client) < 0)
			return;
	}
	if (streq(system_error(client, "Adopt", "us", 1, ""), GOV_ERROR_BUSY))
		stay(fd);
}

Test(bus_system_hostile, one_that_asks_polkit_much_leaves_room_for_others)
{
	pid_t other;

	both_start();
	polkit_kind = POLKIT_KEEPS;
	polkit_start();
	other = beside(USER_NOBODY, body_asks_much);
	cr_expect_eq(as_user(USER_OTHER, USER_OTHER, 0, body_reloads), 0);
	cr_expect(is_served_there());
	end(other);
	cr_expect(is_served_there());
}

/* Its own policy denies it, and what polkit would say isn't known. */
static int body_appeals_much(void)
{
	sd_bus *client = system_open();
	char denied[16];

	snprintf(denied, sizeof(denied), "%d", REPLY_DENIED);
	if (!streq(system_error(client, "Touch", "s", "0"), ""))
		return 3;
	for (unsigned i = 0; i < BUS_CALLS_MAX; i++)
		if (call_send(client, "Touch", "s", denied) < 0)
			return 1;
	return streq(system_error(client, "Touch", "s", denied), GOV_ERROR_BUSY) ? 0 : 2;
}

Test(bus_system_hostile, who_cannot_appeal_now_is_not_told_no)
{
	both_start();
	polkit_start();
	kill(polkit_pid, SIGSTOP);
	cr_expect_eq(as_user(USER_NOBODY, USER_NOBODY, GROUP_ALLOWED, body_appeals_much), 0);
	cr_expect(is_served_there());
}
