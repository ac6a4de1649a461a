/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The system bus and those who lie on it, or leave, or end, while something waits for them. */
#include "bus_daemon.h"

TestSuite(bus_system_lies, .init = system_setup, .fini = system_teardown, .timeout = 120);

/* ---- lies -------------------------------------------------------------------------------------------------------- */

static char victim[64];

/* In the bus's name: that the victim has left, and that govd has lost its own. */
static int body_forges_signals(void)
{
	sd_bus *client = system_open();
	const char *to = govd_name(client);
	static const char *const members[] = {"NameOwnerChanged", "NameLost", "NameAcquired"};

	for (size_t i = 0; i < ELEMENTSOF(members); i++) {
		sd_bus_message *m = NULL;
		int r = sd_bus_message_new_signal(client, &m, "/org/freedesktop/DBus", "org.freedesktop.DBus",
						  members[i]);

		if (r >= 0)
			r = i ? sd_bus_message_append(m, "s", GOV_BUS_SERVICE)
			      : sd_bus_message_append(m, "sss", victim, victim, "");
		if (r >= 0)
			r = sd_bus_send_to(client, m, to, NULL);
		sd_bus_message_unref(m);
		if (r < 0)
			return 1;
	}
	/* It has got them when it answers. */
	return streq(system_error(client, "Status", ""), GOV_ERROR_DENIED) ? 0 : 2;
}

static int on_event(sd_bus_message *m, void *userdata, sd_bus_error *error _unused_)
{
	unsigned *events = userdata;

	*events += sd_bus_message_is_signal(m, GOV_BUS_MANAGER, "Event") > 0;
	return 0;
}

Test(bus_system_lies, nobody_speaks_for_the_bus)
{
	const char *name = NULL;
	unsigned events = 0;
	sd_bus *client;

	both_start();
	client = system_open();
	cr_assert_geq(sd_bus_add_filter(client, NULL, on_event, &events), 0);
	cr_expect_str_eq(system_error(client, "Subscribe", "b", 1), "");
	cr_assert_geq(sd_bus_get_unique_name(client, &name), 0);
	snprintf(victim, sizeof(victim), "%s", name);
	cr_expect_eq(as_user(USER_NOBODY, USER_NOBODY, 0, body_forges_signals), 0);
	cr_expect(seen->is_named);
	tell_server('p');
	WAIT_FOR(sd_bus_process(client, NULL) >= 0 && events == 1);
	sd_bus_close_unref(client);
}

/* An answer to govd's question for our credentials, before the bus's own: we're root. */
static int forge_credentials(sd_bus *client, const char *to, uint64_t cookie)
{
	sd_bus_message *call = NULL, *m = NULL;
	int r;

	r = sd_bus_message_new_method_call(client, &call, NULL, "/", "a.b", "C");
	if (r >= 0)
		r = sd_bus_message_seal(call, cookie, 0);
	if (r >= 0)
		r = sd_bus_message_new_method_return(call, &m);
	if (r >= 0)
		r = sd_bus_message_append(m, "a{sv}", 2, "UnixUserID", "u", 0, "ProcessID", "u", (uint32_t)getpid());
	if (r >= 0)
		r = sd_bus_send_to(client, m, to, NULL);
	sd_bus_message_unref(call);
	sd_bus_message_unref(m);
	return r;
}

static int body_forges_credentials(void)
{
	sd_bus *known = system_open();
	const char *to = govd_name(known);
	bool is_root = false;

	/* A turn may be lost, when the bus is between the two. */
	for (unsigned i = 0; i < 20 && !is_root; i++) {
		sd_bus_error error = SD_BUS_ERROR_NULL;
		sd_bus_message *m = NULL, *reply = NULL;
		sd_bus *client = system_open();
		uint64_t cookie = 0;

		(void)sd_bus_call_method(known, GOV_BUS_SERVICE, "/", "org.freedesktop.DBus.Peer", "Ping", &error,
					 &reply, "");
		if (!reply || sd_bus_message_get_cookie(reply, &cookie) < 0)
			return 1;
		/* After it: AddMatch, GetConnectionCredentials. */
		if (call_send(client, "Command", "ss", "kill", "0") < 0 ||
		    forge_credentials(client, to, cookie + 2) < 0)
			return 2;
		is_root = streq(system_error(client, "Status", ""), "");
		sd_bus_message_unref(m);
		sd_bus_message_unref(reply);
		sd_bus_error_free(&error);
		sd_bus_close_unref(client);
	}
	return is_root ? 3 : 0;
}

Test(bus_system_lies, nobody_says_himself_who_he_is)
{
	daemon_is_lax = true;
	both_start();
	cr_expect_eq(as_user(USER_NOBODY, USER_NOBODY, 0, body_forges_credentials), 0);
	cr_expect_eq(seen->command, 0);
	cr_expect(is_served_there());
}

/* Its effective user is the caller's, but not all that it may become. */
static int body_is_root_for_a_while(void)
{
	if (setresuid(USER_OTHER, USER_OTHER, 0) < 0)
		return 1;
	return streq(system_error(system_open(), "Run", "ssbsas", "p", "", 0, "/bin/true", 1, "true"), "") ? 0 : 2;
}

Test(bus_system_lies, a_process_that_may_be_root_is_not_placed_for_a_user)
{
	both_start();
	cr_expect_eq(as_user(0, 0, GROUP_ALLOWED, body_is_root_for_a_while), 0);
	cr_expect_eq(seen->peer.uid, USER_OTHER);
	cr_expect_eq(seen->peer.pid, 0);
}

/* ---- comings and goings ------------------------------------------------------------------------------------------ */

static int body_gets_nothing(void)
{
	sd_bus *client = system_open();

	for (unsigned i = 0; i < 12; i++)
		if (!streq(system_error(client, "Reload", ""), GOV_ERROR_DENIED))
			return 1;
	return 0;
}

Test(bus_system_lies, a_polkit_that_talks_nonsense_grants_nothing)
{
	both_start();
	polkit_kind = POLKIT_GARBAGE;
	polkit_start();
	cr_expect_eq(as_user(USER_NOBODY, USER_NOBODY, 0, body_gets_nothing), 0);
	cr_expect(is_served_there());
}

static int body_calls_and_leaves(void)
{
	for (unsigned i = 0; i < 300; i++) {
		sd_bus *client = system_open();

		for (unsigned j = 0; j <= i % 3; j++)
			if (!client ||
			    call_send(client, j ? "Reload" : "Run", j ? "" : "ssbsas", "", "", 0, "/", 1, "x") < 0)
				return 1;
		sd_bus_flush_close_unref(client);
	}
	return 0;
}

Test(bus_system_lies, who_leaves_is_forgotten)
{
	both_start();
	polkit_start();
	/* Before its credentials are known, or polkit answers; and late, when polkit goes on. */
	for (unsigned i = 0; i < 2; i++) {
		cr_expect_eq(as_user(USER_NOBODY, USER_NOBODY, 0, body_calls_and_leaves), 0);
		cr_expect(is_served_there());
		kill(polkit_pid, i ? SIGCONT : SIGSTOP);
	}
	cr_expect_eq(as_user(USER_NOBODY, USER_NOBODY, 0, body_reloads), 0);
}

static void body_waits(int fd)
{
	for (unsigned i = 0; i < 4; i++) {
		sd_bus *client = system_open();

		if (call_send(client, "Adopt", "us", 1, "") < 0 || call_send(client, "Reload", "") < 0 ||
		    sd_bus_flush(client) < 0)
			return;
	}
	stay(fd);
}

Test(bus_system_lies, it_may_end_while_calls_wait)
{
	sd_bus *pending;
	pid_t waiting;

	both_start();
	polkit_start();
	kill(polkit_pid, SIGSTOP);
	pending = system_open();
	cr_assert_geq(call_send(pending, "Adopt", "us", 2, ""), 0);
	waiting = beside(USER_NOBODY, body_waits);
	WAIT_FOR(sd_bus_process(pending, NULL) >= 0 && seen->pending == 1);
	for (unsigned i = 0; i < 3; i++) {
		tell_server('r');
		WAIT_FOR(is_served_there());
	}
	tell_server('a');
	cr_expect(is_served());
	end(waiting);
	sd_bus_close_unref(pending);
}
