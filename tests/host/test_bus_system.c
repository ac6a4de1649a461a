/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The bus on a system bus: a dbus-daemon of the test's own, with made-up answers behind it, and a made-up polkit. */
#include "bus_daemon.h"

/* ---- who may do what --------------------------------------------------------------------------------------------- */

TestSuite(bus_system, .init = system_setup, .fini = system_teardown, .timeout = 90);

static int body_reader(void)
{
	sd_bus *client = system_open();

	if (!streq(system_error(client, "Status", ""), "") || !streq(system_error(client, "Subscribe", "b", 1), ""))
		return 1;
	if (!streq(system_error(client, "Command", "ss", "stop", "0"), GOV_ERROR_DENIED))
		return 2;
	return streq(system_error(client, "Reload", ""), GOV_ERROR_DENIED) ? 0 : 3;
}

static int body_runner(void)
{
	sd_bus *client = system_open();

	if (!streq(system_error(client, "Run", "ssbsas", "p", "", 0, "/bin/true", 1, "true"), ""))
		return 1;
	if (!streq(system_error(client, "Status", ""), GOV_ERROR_DENIED))
		return 2;
	if (!streq(system_error(client, "Command", "ss", "kill", "0"), GOV_ERROR_DENIED))
		return 3;
	return 0;
}

static int body_stranger(void)
{
	sd_bus *client = system_open();

	if (!streq(system_error(client, "Status", ""), GOV_ERROR_DENIED) ||
	    !streq(system_error(client, "Touch", "s", "0"), GOV_ERROR_DENIED) ||
	    !streq(system_error(client, "Reload", ""), GOV_ERROR_DENIED))
		return 1;
	return 0;
}

Test(bus_system, rights_are_those_of_the_socket)
{
	sd_bus *client;

	both_start();
	client = system_open();
	cr_assert_not_null(client);
	cr_expect_str_eq(system_error(client, "Status", ""), "");
	cr_expect_str_eq(system_error(client, "Command", "ss", "stop", "0"), "");
	cr_expect_eq(seen->command, COMMAND_STOP);
	cr_expect_eq(seen->peer.uid, 0);
	cr_expect_eq(seen->peer.pid, getpid());
	cr_expect_neq(seen->peer.start_ticks, 0);
	cr_expect_not(seen->peer.is_granted);
	sd_bus_close_unref(client);
	cr_expect_eq(as_user(USER_NOBODY, USER_NOBODY, GROUP_READERS, body_reader), 0);
	cr_expect_eq(as_user(USER_NOBODY, USER_NOBODY, GROUP_ALLOWED, body_runner), 0);
	cr_expect_eq(seen->refused, 4);
	cr_expect_eq(seen->counts.refused, 0);
	cr_expect_eq(as_user(USER_NOBODY, USER_NOBODY, 0, body_stranger), 0);
	/* Strangers are counted, and fill no history. */
	WAIT_FOR(seen->counts.refused == 3);
	cr_expect_eq(seen->refused, 4);
}

static int body_granted(void)
{
	sd_bus *client = system_open();

	if (!streq(system_error(client, "Reload", ""), "") || !streq(system_error(client, "Touch", "s", "0"), ""))
		return 1;
	if (!streq(system_error(client, "Command", "ss", "kill", "0"), GOV_ERROR_DENIED))
		return 2;
	if (!streq(system_error(client, "Status", ""), SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED))
		return 3;
	sd_bus_set_allow_interactive_authorization(client, 1);
	return streq(system_error(client, "Status", ""), "") ? 0 : 4;
}

/* By its number, the made-up core answers with what it's told: that the policy denies it. */
static int body_appeals(void)
{
	char denied[16];

	snprintf(denied, sizeof(denied), "%d", REPLY_DENIED);
	return streq(system_error(system_open(), "Touch", "s", denied), GOV_ERROR_DENIED) ? 0 : 1;
}

Test(bus_system, polkit_grants_the_rest)
{
	both_start();
	polkit_start();
	cr_expect_eq(as_user(USER_NOBODY, USER_NOBODY, 0, body_granted), 0);
	cr_expect(seen->peer.is_granted);
	cr_expect_eq(seen->peer.uid, USER_NOBODY);
	seen->peer.is_granted = false;
	/* What its own policy refuses is tried again once, as granted. */
	cr_expect_eq(as_user(USER_NOBODY, USER_NOBODY, GROUP_ALLOWED, body_appeals), 0);
	cr_expect(seen->peer.is_granted);
	cr_expect(is_served());
}

static int body_hangs(void)
{
	sd_bus_message *m = NULL;
	sd_bus *client = system_open();

	for (unsigned i = 0; i < 3 * BUS_CALLS_MAX; i++) {
		if (sd_bus_message_new_method_call(client, &m, GOV_BUS_SERVICE, GOV_BUS_PATH, GOV_BUS_MANAGER,
						   "Reload") < 0 ||
		    sd_bus_send(client, m, NULL) < 0)
			return 1;
		m = sd_bus_message_unref(m);
	}
	return streq(system_error(client, "Reload", ""), GOV_ERROR_BUSY) ? 0 : 2;
}

Test(bus_system, a_polkit_that_hangs_holds_nobody_up)
{
	both_start();
	polkit_start();
	kill(polkit_pid, SIGSTOP);
	cr_expect_eq(as_user(USER_NOBODY, USER_NOBODY, 0, body_hangs), 0);
	cr_expect(is_served_there());
	cr_expect(is_served());
}

/* ---- the bus comes and goes -------------------------------------------------------------------------------------- */

Test(bus_system, it_may_come_later_and_go_and_come_again)
{
	cr_expect(is_served());
	cr_expect_not(seen->is_named);
	for (unsigned i = 0; i < 3; i++) {
		both_start();
		cr_expect(is_served_there());
		daemon_stop();
		WAIT_FOR(!seen->is_named);
		cr_expect(is_served());
	}
}

Test(bus_system, one_that_hangs_holds_nobody_up)
{
	both_start();
	cr_expect(is_served_there());
	kill(daemon_pid, SIGSTOP);
	for (unsigned i = 0; i < 5; i++) {
		tell_server('P');
		cr_expect(is_served());
	}
	kill(daemon_pid, SIGCONT);
	cr_expect(is_served_there());
}

Test(bus_system, senders_may_be_any_number)
{
	both_start();
	for (unsigned i = 0; i < 2 * BUS_SENDERS_MAX; i++)
		cr_assert(is_served_there(), "client %u", i);
}

Test(bus_system, many_that_stay_are_served_too)
{
	sd_bus *clients[2 * BUS_SENDERS_MAX];

	both_start();
	for (unsigned turn = 0; turn < 2; turn++)
		for (size_t i = 0; i < ELEMENTSOF(clients); i++) {
			if (!turn)
				clients[i] = system_open();
			cr_assert_not_null(clients[i]);
			cr_expect_str_eq(system_error(clients[i], "Status", ""), "");
		}
	for (size_t i = 0; i < ELEMENTSOF(clients); i++)
		sd_bus_close_unref(clients[i]);
}

static int on_event(sd_bus_message *m, void *userdata, sd_bus_error *error _unused_)
{
	unsigned *events = userdata;

	*events += sd_bus_message_is_signal(m, GOV_BUS_MANAGER, "Event") > 0;
	return 0;
}

Test(bus_system, events_are_for_who_has_subscribed)
{
	unsigned events[2] = {};
	sd_bus *clients[2];

	both_start();
	for (size_t i = 0; i < ELEMENTSOF(clients); i++) {
		clients[i] = system_open();
		cr_assert_not_null(clients[i]);
		cr_assert_geq(sd_bus_add_filter(clients[i], NULL, on_event, &events[i]), 0);
		cr_expect_str_eq(system_error(clients[i], "Subscribe", "b", i == 0), "");
	}
	tell_server('p');
	WAIT_FOR(sd_bus_process(clients[0], NULL) >= 0 && events[0] == 1);
	cr_expect_str_eq(system_error(clients[1], "Status", ""), "");
	while (sd_bus_process(clients[1], NULL) > 0)
		;
	cr_expect_eq(events[1], 0);
	for (size_t i = 0; i < ELEMENTSOF(clients); i++)
		sd_bus_close_unref(clients[i]);
}
