/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The bus: its methods, calls that wait, and events. */
#include "bus_clients.h"

TestSuite(bus, .init = setup, .fini = teardown, .timeout = 90);

/* ---- methods ----------------------------------------------------------------------------------------------------- */

Test(bus, every_method_answers)
{
	sd_bus *client = client_open();
	char *argv[] = {(char *)"python3", (char *)"x.py", NULL};
	sd_bus_message *m = NULL, *reply = NULL;
	const char *id;
	int reused;

	cr_assert_not_null(client);
	cr_expect_str_eq(call_error(client, "Status", ""), "");
	cr_expect_str_eq(call_error(client, "ListAgents", "s", "p"), "");
	cr_expect_str_eq(call_error(client, "ShowAgent", "s", "x"), "");
	cr_expect_str_eq(call_error(client, "ShowAgent", "s", "none"), GOV_ERROR_NO_SUCH_AGENT);
	cr_expect_str_eq(call_error(client, "ShowAgent", "s", "broken"), GOV_ERROR_FAILED);
	cr_expect_str_eq(call_error(client, "ListPolicies", ""), "");
	cr_expect_str_eq(call_error(client, "ShowPolicy", "s", "p"), "");
	cr_expect_str_eq(call_error(client, "TestPolicy", "u", 5), "");
	cr_expect_str_eq(call_error(client, "Explain", "s", "5"), "");
	cr_expect_str_eq(call_error(client, "Reload", ""), "");
	cr_expect_str_eq(call_error(client, "Subscribe", "b", 0), "");
	cr_expect_str_eq(call_error(client, "Adopt", "us", 7, "p"), GOV_ERROR_NO_SUCH_POLICY);
	cr_expect_str_eq(call_error(client, "Adopt", "us", 0, "p"), GOV_ERROR_INVALID);
	cr_expect_str_eq(call_error(client, "Nothing", ""), SD_BUS_ERROR_UNKNOWN_METHOD);
	cr_expect_str_eq(call_error(client, "Status", "s", "too much"), SD_BUS_ERROR_INVALID_ARGS);
	sd_bus_message_new_method_call(client, &m, NULL, GOV_BUS_PATH, GOV_BUS_MANAGER, "Run");
	sd_bus_message_append(m, "ssbs", "pol", "key", 1, "/usr/bin/python3");
	sd_bus_message_append_strv(m, argv);
	cr_assert_geq(sd_bus_call(client, m, 0, NULL, &reply), 0);
	cr_assert_gt(sd_bus_message_read(reply, "sb", &id, &reused), 0);
	cr_expect_str_eq(id, "0000cafe");
	cr_expect_str_eq(seen->policy, "pol");
	cr_expect_str_eq(seen->key, "key");
	cr_expect_str_eq(seen->executable, "/usr/bin/python3");
	cr_expect_str_eq(seen->argv1, "x.py");
	cr_expect(seen->reuse);
	cr_expect_str_eq(call_error(client, "Run", "ssbsas", "", "", 0, "/bin/x", 0), GOV_ERROR_INVALID);
	sd_bus_message_unref(m);
	sd_bus_message_unref(reply);
	sd_bus_close_unref(client);
}

Test(bus, commands_and_their_errors)
{
	static const char *const commands[] = {"touch", "release", "freeze", "thaw", "stop", "kill"};
	static const int kinds[] = {COMMAND_TOUCH, COMMAND_RELEASE, COMMAND_FREEZE,
				    COMMAND_THAW,  COMMAND_STOP,    COMMAND_KILL};
	static const char *const errors[] = {
		[REPLY_OK] = "",
		[REPLY_NO_SUCH_PROCESS] = GOV_ERROR_NO_SUCH_PROCESS,
		[REPLY_NO_SUCH_AGENT] = GOV_ERROR_NO_SUCH_AGENT,
		[REPLY_NO_SUCH_POLICY] = GOV_ERROR_NO_SUCH_POLICY,
		[REPLY_NO_MATCH] = GOV_ERROR_NO_MATCH,
		[REPLY_PROTECTED] = GOV_ERROR_PROTECTED,
		[REPLY_DENIED] = GOV_ERROR_DENIED,
		[REPLY_ALREADY] = GOV_ERROR_INVALID,
		[REPLY_OBSERVED] = GOV_ERROR_INVALID,
		[REPLY_BUSY] = GOV_ERROR_BUSY,
		[REPLY_FULL] = GOV_ERROR_BUSY,
		[REPLY_FAILED] = GOV_ERROR_FAILED,
	};
	sd_bus *client = client_open();
	char code[16];

	for (size_t i = 0; i < ELEMENTSOF(commands); i++) {
		cr_expect_str_eq(call_error(client, "Command", "ss", commands[i], "0"), "");
		cr_expect_eq(seen->command, kinds[i]);
	}
	cr_expect_str_eq(call_error(client, "Command", "ss", "explode", "0"), GOV_ERROR_INVALID);
	for (size_t i = 0; i < ELEMENTSOF(errors); i++) {
		snprintf(code, sizeof(code), "%zu", i);
		cr_expect_str_eq(call_error(client, "Command", "ss", "stop", code), errors[i], "code %zu", i);
	}
	sd_bus_close_unref(client);
}

Test(bus, leases)
{
	const uint64_t month_ms = UINT64_C(30) * 86400 * 1000;
	sd_bus *client = client_open();

	cr_expect_str_eq(call_error(client, "Touch", "s", "0"), "");
	cr_expect_eq(seen->lease_ms, BUS_LEASE_RENEW);
	cr_expect_str_eq(call_error(client, "Lease", "st", "0", month_ms), "");
	cr_expect_eq(seen->lease_ms, month_ms);
	cr_expect_str_eq(call_error(client, "Lease", "st", "0", UINT64_C(0)), "");
	cr_expect_eq(seen->lease_ms, 0);
	cr_expect_str_eq(call_error(client, "Lease", "st", "0", month_ms + 1), GOV_ERROR_INVALID);
	cr_expect_str_eq(call_error(client, "Lease", "st", "0", BUS_LEASE_RENEW), GOV_ERROR_INVALID);
	cr_expect_eq(seen->lease_ms, 0);
	sd_bus_close_unref(client);
}

Test(bus, values_are_what_the_contract_says)
{
	sd_bus *client = client_open();
	sd_bus_message *reply = NULL;
	const char *name, *text;
	uint64_t total;

	cr_assert_geq(sd_bus_call_method(client, NULL, GOV_BUS_PATH, GOV_BUS_MANAGER, "Status", NULL, &reply, ""), 0);
	cr_assert_gt(sd_bus_message_enter_container(reply, 'a', "{sv}"), 0);
	cr_assert_gt(sd_bus_message_read(reply, "{sv}", &name, "s", &text), 0);
	cr_expect_str_eq(name, "version");
	cr_expect_str_eq(text, "1\\xff\n");
	cr_assert_gt(sd_bus_message_read(reply, "{sv}", &name, "a{sv}", 1, &text, "t", &total), 0);
	cr_expect_str_eq(name, "agents");
	cr_expect_eq(total, 7);
	cr_assert_gt(sd_bus_message_enter_container(reply, 'e', "sv"), 0);
	cr_assert_gt(sd_bus_message_read(reply, "s", &name), 0);
	cr_expect_str_eq(name, "rows");
	sd_bus_message_unref(reply);
	sd_bus_close_unref(client);
}

Test(bus, introspection_and_ping_work)
{
	sd_bus *client = client_open();
	sd_bus_message *reply = NULL;
	const char *xml;

	cr_assert_geq(sd_bus_call_method(client, NULL, GOV_BUS_PATH, "org.freedesktop.DBus.Introspectable",
					 "Introspect", NULL, &reply, ""),
		      0);
	cr_assert_gt(sd_bus_message_read(reply, "s", &xml), 0);
	cr_expect_not_null(strstr(xml, "name=\"ListAgents\""));
	cr_expect_not_null(strstr(xml, "signal name=\"Event\""));
	sd_bus_message_unref(reply);
	cr_expect_geq(sd_bus_call_method(client, NULL, "/", "org.freedesktop.DBus.Peer", "Ping", NULL, NULL, ""), 0);
	sd_bus_close_unref(client);
}

/* ---- calls that wait --------------------------------------------------------------------------------------------- */

static int on_reply(sd_bus_message *m, void *userdata, sd_bus_error *error _unused_)
{
	const char **last = userdata;
	const sd_bus_error *e = sd_bus_message_get_error(m);
	static char name[128];

	snprintf(name, sizeof(name), "%s", e ? e->name : "");
	*last = name;
	return 0;
}

static void adopt_async(sd_bus *client, const char **last)
{
	sd_bus_message *m = NULL;

	cr_assert_geq(sd_bus_message_new_method_call(client, &m, NULL, GOV_BUS_PATH, GOV_BUS_MANAGER, "Adopt"), 0);
	cr_assert_geq(sd_bus_message_append(m, "us", 4711, ""), 0);
	cr_assert_geq(sd_bus_call_async(client, NULL, m, on_reply, last, 60 * UINT64_C(1000000)), 0);
	sd_bus_message_unref(m);
}

static void client_pump_until(sd_bus *client, const char *const *last, uint64_t timeout_ms)
{
	uint64_t until = now_ms() + timeout_ms;

	while (!*last && now_ms() < until)
		if (sd_bus_process(client, NULL) == 0)
			sd_bus_wait(client, 100000);
}

Test(bus, answers_later)
{
	sd_bus *client = client_open();
	const char *last = NULL;

	adopt_async(client, &last);
	cr_assert_geq(sd_bus_flush(client), 0);
	WAIT_FOR(seen->pending == 1);
	cr_expect_str_eq(call_error(client, "Status", ""), "");
	cr_expect_null(last);
	tell_server('a');
	client_pump_until(client, &last, DEADLINE_MS);
	cr_assert_not_null(last);
	cr_expect_str_eq(last, "");
	sd_bus_close_unref(client);
}

Test(bus, forgets_clients_that_went_away)
{
	const char *last = NULL;

	for (size_t i = 0; i < 5; i++) {
		sd_bus *client = client_open();

		adopt_async(client, &last);
		cr_assert_geq(sd_bus_flush(client), 0);
		WAIT_FOR(seen->pending == i + 1);
		sd_bus_close_unref(client);
	}
	WAIT_FOR(seen->clients == 0);
	tell_server('a');
	cr_expect(is_served());
}

Test(bus, does_what_it_was_told_before_the_client_went)
{
	sd_bus *client = client_open();
	const char *last = NULL;

	adopt_async(client, &last);
	cr_assert_geq(sd_bus_flush(client), 0);
	sd_bus_close_unref(client);
	WAIT_FOR(seen->pending == 1);
	WAIT_FOR(seen->clients == 0);
}

Test(bus, bounds_the_calls_that_wait)
{
	sd_bus *client = client_open();
	const char *last = NULL;

	for (size_t i = 0; i < BUS_CALLS_MAX; i++)
		adopt_async(client, &last);
	cr_assert_geq(sd_bus_flush(client), 0);
	WAIT_FOR(seen->pending == BUS_CALLS_MAX);
	adopt_async(client, &last);
	client_pump_until(client, &last, DEADLINE_MS);
	cr_assert_not_null(last);
	cr_expect_str_eq(last, GOV_ERROR_BUSY);
	cr_expect_eq(seen->pending, BUS_CALLS_MAX);
	sd_bus_close_unref(client);
}

Test(bus, fails_calls_that_nobody_answers)
{
	uint64_t began = now_ms();
	sd_bus *client = client_open();
	const char *last = NULL;

	adopt_async(client, &last);
	client_pump_until(client, &last, UINT64_C(2) * BUS_ANSWER_MS);
	cr_assert_not_null(last);
	cr_expect_str_eq(last, GOV_ERROR_FAILED);
	cr_expect_geq(now_ms() - began, BUS_ANSWER_MS);
	/* Too late now, and harmless. */
	tell_server('a');
	cr_expect_str_eq(call_error(client, "Status", ""), "");
	sd_bus_close_unref(client);
}

/* ---- events ------------------------------------------------------------------------------------------------------ */

static unsigned events;

static int on_event(sd_bus_message *m, void *userdata _unused_, sd_bus_error *error _unused_)
{
	if (sd_bus_message_is_signal(m, GOV_BUS_MANAGER, "Event") > 0)
		events++;
	return 0;
}

static void check_line(sd_bus_message *m, const char *agent)
{
	const char *name, *text;
	uint64_t pid;

	cr_assert_gt(sd_bus_message_enter_container(m, 'a', "{sv}"), 0);
	cr_assert_gt(sd_bus_message_read(m, "{sv}", &name, "s", &text), 0);
	cr_expect_str_eq(name, "time");
	cr_expect_str_eq(text, "2023-11-14T22:13:20.123Z");
	cr_assert_gt(sd_bus_message_read(m, "{sv}", &name, "s", &text), 0);
	cr_expect_str_eq(text, "exec");
	cr_assert_gt(sd_bus_message_read(m, "{sv}", &name, "s", &text), 0);
	cr_expect_str_eq(text, agent);
	cr_assert_gt(sd_bus_message_read(m, "{sv}", &name, "s", &text), 0);
	cr_expect_str_eq(name, "key");
	cr_expect_str_eq(text, "room\\xfe");
	cr_assert_gt(sd_bus_message_read(m, "{sv}", &name, "t", &pid), 0);
	cr_expect_eq(pid, 4711);
	cr_expect_eq(sd_bus_message_at_end(m, 0), 1, "empty values are left out");
	cr_assert_geq(sd_bus_message_exit_container(m), 0);
}

Test(bus, subscribers_get_the_past_and_the_future)
{
	sd_bus *client = client_open(), *other = client_open();
	sd_bus_message *reply = NULL;

	sd_bus_add_filter(client, NULL, on_event, NULL);
	tell_server('p');
	tell_server('p');
	WAIT_FOR(seen->published == 2);
	cr_assert_geq(
		sd_bus_call_method(client, NULL, GOV_BUS_PATH, GOV_BUS_MANAGER, "Subscribe", NULL, &reply, "b", 1), 0);
	cr_assert_gt(sd_bus_message_enter_container(reply, 'a', "a{sv}"), 0);
	check_line(reply, "00000000");
	check_line(reply, "00000001");
	cr_expect_eq(sd_bus_message_at_end(reply, 0), 1);
	sd_bus_message_unref(reply);
	tell_server('p');
	for (uint64_t until = now_ms() + DEADLINE_MS; events < 1 && now_ms() < until;)
		if (sd_bus_process(client, NULL) == 0)
			sd_bus_wait(client, 100000);
	cr_expect_eq(events, 1);
	/* The one that didn't ask gets none: the answer to its call is the next that it sees. */
	events = 0;
	sd_bus_add_filter(other, NULL, on_event, NULL);
	cr_expect_str_eq(call_error(other, "Status", ""), "");
	while (sd_bus_process(other, NULL) > 0)
		;
	cr_expect_eq(events, 0);
	sd_bus_close_unref(client);
	sd_bus_close_unref(other);
}

Test(bus, drops_slow_readers_of_events)
{
	sd_bus *client = client_open();

	cr_expect_str_eq(call_error(client, "Subscribe", "b", 1), "");
	for (unsigned i = 0; i < 200 && seen->counts.dropped_slow == 0; i++) {
		tell_server('P');
		WAIT_FOR(seen->published == (i + UINT64_C(1)) * 500);
	}
	WAIT_FOR(seen->counts.dropped_slow == 1);
	WAIT_FOR(seen->clients == 0);
	cr_expect(is_served());
	cr_expect_lt(server_memory_kib(), MEMORY_FACTOR * 32 << 10);
	sd_bus_close_unref(client);
}
