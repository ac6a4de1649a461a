/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The bus and clients of ill will: the server survives, serves the others, and stays small. */
#include "bus_clients.h"

TestSuite(bus_hostile, .init = setup, .fini = teardown, .timeout = 90);

Test(bus_hostile, survives_garbage)
{
	unsigned state = 12345;
	char bytes[8192];

	for (unsigned i = 0; i < 200; i++) {
		int fd = raw_open();

		for (size_t j = 0; j < sizeof(bytes); j++)
			bytes[j] = (char)((state = state * 1103515245 + 12345) >> 16);
		/* Half of them get as far as the messages. */
		if (i % 2)
			raw_authenticate(fd);
		else
			bytes[0] = (char)(i % 4 ? 0 : 'x');
		raw_send(fd, bytes, sizeof(bytes));
		cr_expect(raw_is_closed(fd, DEADLINE_MS), "round %u", i);
		close(fd);
	}
	WAIT_FOR(seen->clients == 0);
	cr_expect(is_served());
}

Test(bus_hostile, cuts_off_who_does_not_authenticate)
{
	int half = raw_open(), silent = raw_open(), loris = raw_open();
	uint64_t began = now_ms();

	raw_send(half, "\0AUTH EXT", 9);
	raw_send(loris, "\0", 1);
	for (uint64_t until = began + BUS_PATIENCE_MS - 500; now_ms() < until;) {
		raw_send(loris, "A", 1);
		cr_assert(is_served());
		(void)poll(NULL, 0, 100);
	}
	cr_expect(raw_is_closed(half, DEADLINE_MS));
	cr_expect(raw_is_closed(silent, DEADLINE_MS));
	cr_expect(raw_is_closed(loris, DEADLINE_MS));
	cr_expect_geq(now_ms() - began, BUS_PATIENCE_MS - 100);
	cr_expect_lt(now_ms() - began, BUS_PATIENCE_MS + 3000);
	WAIT_FOR(seen->counts.dropped_slow == 3);
	close(half);
	close(silent);
	close(loris);
}

Test(bus_hostile, cuts_off_endless_authentication)
{
	int fd = raw_open();
	char line[1024];

	memset(line, 'A', sizeof(line));
	line[0] = '\0';
	for (unsigned i = 0; i < 8; i++)
		raw_send(fd, line, sizeof(line));
	cr_expect(raw_is_closed(fd, BUS_PATIENCE_MS / 2));
	close(fd);
	cr_expect(is_served());
}

Test(bus_hostile, cuts_off_huge_messages_by_their_header)
{
	static const uint32_t sizes[] = {BUS_MESSAGE_MAX, 127U << 20, UINT32_MAX};

	for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
		int fd = raw_open();
		char m[256] = {};
		size_t size = ping_make(m, sizes[i]);

		/* In one packet with the authentication, where sd-bus reads ahead. */
		if (i % 2 == 0) {
			char both[512];

			memcpy(both, AUTH, sizeof(AUTH) - 1);
			memcpy(both + sizeof(AUTH) - 1, m, size);
			raw_send(fd, both, sizeof(AUTH) - 1 + size);
		} else {
			raw_authenticate(fd);
			raw_send(fd, m, size);
		}
		cr_expect(raw_is_closed(fd, BUS_PATIENCE_MS / 2), "size %u", sizes[i]);
		close(fd);
	}
	WAIT_FOR(seen->counts.dropped_large == ELEMENTSOF(sizes));
	cr_expect(is_served());
	cr_expect_lt(server_memory_kib(), MEMORY_FACTOR * 32 << 10);
}

Test(bus_hostile, does_not_lose_step_with_sd_bus)
{
	/* BEGIN is nothing to sd-bus before AUTH has succeeded; what follows must not be taken for messages by one of
	 * us. */
	static const char trick[] = "\0BEGIN\r\nl\1\0\1....AUTH ANONYMOUS\r\nBEGIN\r\n";
	int fd = raw_open();

	raw_send(fd, trick, sizeof(trick) - 1);
	cr_expect(raw_is_closed(fd, BUS_PATIENCE_MS / 2));
	close(fd);
	cr_expect(is_served());
}

Test(bus_hostile, takes_authentication_and_messages_in_one)
{
	int fd = raw_open();
	char both[512] = {}, m[256] = {}, got[1024];
	size_t size = ping_make(m, 0), length = 0, ok;
	char *end = NULL;

	memcpy(both, AUTH, sizeof(AUTH) - 1);
	memcpy(both + sizeof(AUTH) - 1, m, size);
	raw_send(fd, both, sizeof(AUTH) - 1 + size);
	for (uint64_t until = now_ms() + DEADLINE_MS; now_ms() < until && !end;) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		ssize_t n = poll(&p, 1, 100) > 0 ? recv(fd, got + length, sizeof(got) - length, 0) : 0;

		length += n > 0 ? (size_t)n : 0;
		end = memmem(got, length, "\r\nl\2", 4);
	}
	cr_assert_not_null(end, "no method return");
	ok = (size_t)(end - got);
	cr_expect(ok > 3 && strncmp(got, "OK ", 3) == 0);
	close(fd);
}

Test(bus_hostile, takes_large_messages_within_the_limit)
{
	sd_bus *client = client_open();
	char *text = malloc(300 << 10);

	memset(text, 'x', 300 << 10);
	text[200 << 10] = '\0';
	cr_expect_str_eq(call_error(client, "Explain", "s", text), "");
	text[200 << 10] = 'x';
	text[(300 << 10) - 1] = '\0';
	cr_expect_str_eq(call_error(client, "Explain", "s", text), "closed");
	free(text);
	sd_bus_close_unref(client);
	WAIT_FOR(seen->counts.dropped_large == 1);
	cr_expect(is_served());
}

Test(bus_hostile, cuts_off_messages_that_never_end)
{
	int fd = raw_open();
	uint64_t began = now_ms();
	char m[256] = {};

	raw_authenticate(fd);
	(void)ping_make(m, 1000);
	raw_send(fd, m, 64);
	while (now_ms() - began < BUS_PATIENCE_MS - 500) {
		raw_send(fd, "x", 1);
		cr_assert(is_served());
		(void)poll(NULL, 0, 100);
	}
	cr_expect(raw_is_closed(fd, DEADLINE_MS));
	cr_expect_geq(now_ms() - began, BUS_PATIENCE_MS - 100);
	close(fd);
}

Test(bus_hostile, idle_clients_stay)
{
	sd_bus *client = client_open();

	cr_expect_str_eq(call_error(client, "Status", ""), "");
	for (uint64_t until = now_ms() + BUS_PATIENCE_MS + 1000; now_ms() < until;)
		(void)poll(NULL, 0, 100);
	cr_expect_str_eq(call_error(client, "Status", ""), "");
	sd_bus_close_unref(client);
}

/* Asks for megabytes again and again and never reads. */
Test(bus_hostile, bounds_what_a_client_makes_it_keep)
{
	sd_bus *client = client_open();
	uint64_t until, cookie;

	cr_expect_str_eq(call_error(client, "Status", ""), "");
	for (unsigned i = 0; i < 500; i++) {
		sd_bus_message *m = NULL;

		cr_assert_geq(
			sd_bus_message_new_method_call(client, &m, NULL, GOV_BUS_PATH, GOV_BUS_MANAGER, "ListAgents"),
			0);
		sd_bus_message_append(m, "s", "big");
		/* With a cookie: it wants the answer. */
		(void)sd_bus_send(client, m, &cookie);
		sd_bus_message_unref(m);
	}
	for (until = now_ms() + DEADLINE_MS; seen->counts.dropped_slow == 0 && now_ms() < until;)
		cr_expect(is_served());
	cr_expect_eq(seen->counts.dropped_slow, 1);
	cr_expect_lt(server_memory_kib(), MEMORY_FACTOR * 96 << 10, "%zu KiB", (size_t)server_memory_kib());
	sd_bus_close_unref(client);
}

static int body_many(void)
{
	int fds[100], open_ones = 0;

	for (size_t i = 0; i < ELEMENTSOF(fds); i++)
		fds[i] = raw_open();
	for (size_t i = 0; i < ELEMENTSOF(fds); i++)
		open_ones += !raw_is_closed(fds[i], i < BUS_CLIENTS_PER_USER_MAX ? 60 : 1000);
	return open_ones;
}

Test(bus_hostile, bounds_the_connections_of_a_user)
{
	cr_expect_eq(as_user(USER_ALLOWED, USER_NOBODY, 0, body_many), BUS_CLIENTS_PER_USER_MAX);
	WAIT_FOR(seen->counts.refused == 100 - BUS_CLIENTS_PER_USER_MAX);
	cr_expect(is_served());
}

Test(bus_hostile, bounds_all_connections)
{
	int fds[100], open_ones = 0;

	for (size_t i = 0; i < ELEMENTSOF(fds); i++)
		fds[i] = raw_open();
	WAIT_FOR(seen->counts.refused == ELEMENTSOF(fds) - BUS_CLIENTS_MAX);
	cr_expect_eq(seen->clients, BUS_CLIENTS_MAX);
	for (size_t i = 0; i < ELEMENTSOF(fds); i++) {
		open_ones += !raw_is_closed(fds[i], 20);
		close(fds[i]);
	}
	cr_expect_eq(open_ones, BUS_CLIENTS_MAX);
	WAIT_FOR(seen->clients == 0);
	cr_expect(is_served());
}
