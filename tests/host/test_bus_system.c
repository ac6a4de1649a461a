/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The bus on a system bus: a dbus-daemon of the test's own, with made-up answers behind it, and a made-up polkit. */
#include "bus_clients.h"

#define POLKIT "org.freedesktop.PolicyKit1"

static char daemon_dir[] = "/tmp/govtest-dbus-XXXXXX";
static char daemon_address[96], daemon_socket[64];
static pid_t daemon_pid, polkit_pid;

/* ---- the daemon -------------------------------------------------------------------------------------------------- */

static void daemon_start(void)
{
	char config[64], option[80];
	FILE *file;

	snprintf(config, sizeof(config), "%s/config", daemon_dir);
	snprintf(option, sizeof(option), "--config-file=%s", config);
	file = fopen(config, "w");
	cr_assert_not_null(file);
	fprintf(file,
		"<busconfig><listen>%s</listen><auth>EXTERNAL</auth><policy context=\"default\">"
		"<allow user=\"*\"/><allow own=\"*\"/><allow send_type=\"method_call\"/><allow send_type=\"signal\"/>"
		"<allow send_requested_reply=\"true\"/><allow receive_type=\"method_call\"/>"
		"<allow receive_type=\"method_return\"/><allow receive_type=\"error\"/><allow receive_type=\"signal\"/>"
		"</policy></busconfig>\n",
		daemon_address);
	fclose(file);
	daemon_pid = fork();
	if (daemon_pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		umask(0);
		execlp("dbus-daemon", "dbus-daemon", option, "--nofork", "--nopidfile", "--nosyslog", NULL);
		_exit(127);
	}
	cr_assert_gt(daemon_pid, 0);
}

static void daemon_stop(void)
{
	kill(daemon_pid, SIGCONT);
	kill(daemon_pid, SIGKILL);
	waitpid(daemon_pid, NULL, 0);
	unlink(daemon_socket);
	daemon_pid = 0;
}

static void system_setup(void)
{
	cr_assert_not_null(mkdtemp(daemon_dir));
	cr_assert_eq(chmod(daemon_dir, 0755), 0);
	snprintf(daemon_socket, sizeof(daemon_socket), "%s/bus", daemon_dir);
	snprintf(daemon_address, sizeof(daemon_address), "unix:path=%s", daemon_socket);
	setenv("DBUS_SYSTEM_BUS_ADDRESS", daemon_address, 1);
	is_on_system_bus = true;
	setup();
}

static void system_teardown(void)
{
	char config[64];

	if (polkit_pid) {
		kill(polkit_pid, SIGKILL);
		waitpid(polkit_pid, NULL, 0);
	}
	if (daemon_pid)
		daemon_stop();
	snprintf(config, sizeof(config), "%s/config", daemon_dir);
	unlink(config);
	rmdir(daemon_dir);
	teardown();
}

static void both_start(void)
{
	daemon_start();
	WAIT_FOR(seen->is_named);
}

/* ---- clients ----------------------------------------------------------------------------------------------------- */

static sd_bus *system_open(void)
{
	uint64_t until = now_ms() + DEADLINE_MS;
	sd_bus *client = NULL;

	while (sd_bus_open_system(&client) < 0 && now_ms() < until)
		(void)poll(NULL, 0, 20);
	if (client)
		sd_bus_set_method_call_timeout(client, DEADLINE_MS * UINT64_C(1000));
	return client;
}

static const char *system_verror(sd_bus *client, const char *member, const char *types, va_list args)
{
	sd_bus_error error = SD_BUS_ERROR_NULL;
	sd_bus_message *m = NULL, *reply = NULL;
	static char name[128];
	int r;

	r = sd_bus_message_new_method_call(client, &m, GOV_BUS_SERVICE, GOV_BUS_PATH, GOV_BUS_MANAGER, member);
	if (r >= 0)
		r = sd_bus_message_appendv(m, types, args);
	if (r >= 0)
		r = sd_bus_call(client, m, 0, &error, &reply);
	snprintf(name, sizeof(name), "%s", r >= 0 ? "" : error.name ? error.name : strerror(-r));
	sd_bus_error_free(&error);
	sd_bus_message_unref(m);
	sd_bus_message_unref(reply);
	return name;
}

/* The name of the D-Bus error, "" for none. */
static const char *system_error(sd_bus *client, const char *member, const char *types, ...)
{
	const char *name;
	va_list args;

	va_start(args, types);
	name = system_verror(client, member, types, args);
	va_end(args);
	return name;
}

static bool is_served_there(void)
{
	sd_bus *client = system_open();
	bool is_ok = client && streq(system_error(client, "Status", ""), "");

	sd_bus_close_unref(client);
	return is_ok;
}

/* ---- polkit: grants run to all, act for Reload, and look to who authenticates -------------------------------------
 */

static int on_check(sd_bus_message *m, void *userdata _unused_, sd_bus_error *error _unused_)
{
	const char *kind, *key, *sender, *action, *detail, *method;
	bool is_granted, is_challenge;
	uint32_t flags;

	if (sd_bus_message_read(m, "(sa{sv})sa{ss}us", &kind, 1, &key, "s", &sender, &action, 1, &detail, &method,
				&flags, NULL) < 0 ||
	    !streq(kind, "system-bus-name") || !streq(key, "name") || *sender != ':' || !streq(detail, "method"))
		return -EINVAL;
	is_granted = streq(action, "org.govd1.run") || (streq(action, "org.govd1.act") && streq(method, "Reload")) ||
		     (streq(action, "org.govd1.look") && (flags & 1));
	is_challenge = streq(action, "org.govd1.look");
	return sd_bus_reply_method_return(m, "(bba{ss})", (int)is_granted, (int)(!is_granted && is_challenge), 0);
}

static const sd_bus_vtable polkit_vtable[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_METHOD("CheckAuthorization", "(sa{sv})sa{ss}us", "(bba{ss})", on_check, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_VTABLE_END,
};

static void polkit_serve(int ready)
{
	sd_bus *connection = system_open();

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (!connection ||
	    sd_bus_add_object_vtable(connection, NULL, "/org/freedesktop/PolicyKit1/Authority", POLKIT ".Authority",
				     polkit_vtable, NULL) < 0 ||
	    sd_bus_request_name(connection, POLKIT, 0) < 0 || write(ready, "r", 1) != 1)
		_exit(1);
	for (;;)
		if (sd_bus_process(connection, NULL) == 0 && sd_bus_wait(connection, UINT64_MAX) < 0)
			_exit(0);
}

static void polkit_start(void)
{
	int ready[2];
	char c;

	cr_assert_eq(pipe2(ready, O_CLOEXEC), 0);
	polkit_pid = fork();
	if (polkit_pid == 0)
		polkit_serve(ready[1]);
	close(ready[1]);
	cr_assert_eq(read(ready[0], &c, 1), 1, "the made-up polkit didn't start");
	close(ready[0]);
}

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
