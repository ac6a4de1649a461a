/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_TESTS_BUS_DAEMON_H
#define GOV_TESTS_BUS_DAEMON_H

/* The fixture's bus on a system bus: a dbus-daemon of the test's own, its clients, and a made-up polkit. */
#include "bus_clients.h"

#define USER_OTHER 1 /* daemon: the bus wants users that it finds */
#define POLKIT "org.freedesktop.PolicyKit1"

static char daemon_dir[] = "/tmp/govtest-dbus-XXXXXX";
static char daemon_address[96], daemon_socket[64];
static pid_t daemon_pid, polkit_pid;
static bool daemon_is_lax; /* it hands on answers that nobody has asked for */

/* What polkit does with actions other than the usual three's, set before polkit_start(). */
static enum {
	POLKIT_USUAL,
	POLKIT_KEEPS,	/* never answers to Adopt and Run */
	POLKIT_GARBAGE, /* answers in shapes that it hasn't */
} polkit_kind;

/* ---- the daemon -------------------------------------------------------------------------------------------------- */

static _unused_ void daemon_start(void)
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
		"<allow send_requested_reply=\"%s\" send_type=\"method_return\"/>"
		"<allow send_requested_reply=\"true\" send_type=\"error\"/><allow receive_type=\"method_call\"/>"
		"<allow receive_requested_reply=\"%s\" receive_type=\"method_return\"/>"
		"<allow receive_type=\"error\"/><allow receive_type=\"signal\"/></policy></busconfig>\n",
		daemon_address, daemon_is_lax ? "false" : "true", daemon_is_lax ? "false" : "true");
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

static _unused_ void daemon_stop(void)
{
	kill(daemon_pid, SIGCONT);
	kill(daemon_pid, SIGKILL);
	waitpid(daemon_pid, NULL, 0);
	unlink(daemon_socket);
	daemon_pid = 0;
}

static _unused_ void system_setup(void)
{
	cr_assert_not_null(mkdtemp(daemon_dir));
	cr_assert_eq(chmod(daemon_dir, 0755), 0);
	snprintf(daemon_socket, sizeof(daemon_socket), "%s/bus", daemon_dir);
	snprintf(daemon_address, sizeof(daemon_address), "unix:path=%s", daemon_socket);
	setenv("DBUS_SYSTEM_BUS_ADDRESS", daemon_address, 1);
	is_on_system_bus = true;
	setup();
}

static _unused_ void system_teardown(void)
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

static _unused_ void both_start(void)
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
static _unused_ const char *system_error(sd_bus *client, const char *member, const char *types, ...)
{
	const char *name;
	va_list args;

	va_start(args, types);
	name = system_verror(client, member, types, args);
	va_end(args);
	return name;
}

static _unused_ bool is_served_there(void)
{
	sd_bus *client = system_open();
	bool is_ok = client && streq(system_error(client, "Status", ""), "");

	sd_bus_close_unref(client);
	return is_ok;
}

/* ---- polkit: grants run to all, act for Reload, and look to who authenticates -------------------------------------
 */

static int reply_garbage(sd_bus_message *m)
{
	static unsigned turn;

	switch (turn++ % 6) {
	case 0:
		return sd_bus_reply_method_return(m, "");
	case 1:
		return sd_bus_reply_method_return(m, "b", 1);
	case 2:
		return sd_bus_reply_method_return(m, "bb", 1, 1);
	case 3:
		return sd_bus_reply_method_return(m, "(ss)", "yes", "yes");
	case 4:
		return sd_bus_reply_method_return(m, "(b)", 1);
	default:
		return sd_bus_reply_method_errorf(m, POLKIT ".Error.Failed", "%s", "%n%s");
	}
}

static int on_check(sd_bus_message *m, void *userdata _unused_, sd_bus_error *error _unused_)
{
	const char *kind, *key, *sender, *action, *detail, *method;
	bool is_granted, is_challenge;
	uint32_t flags;

	if (sd_bus_message_read(m, "(sa{sv})sa{ss}us", &kind, 1, &key, "s", &sender, &action, 1, &detail, &method,
				&flags, NULL) < 0 ||
	    !streq(kind, "system-bus-name") || !streq(key, "name") || *sender != ':' || !streq(detail, "method"))
		return -EINVAL;
	if (polkit_kind == POLKIT_KEEPS && (streq(method, "Adopt") || streq(method, "Run")))
		return 1;
	if (polkit_kind == POLKIT_GARBAGE)
		return reply_garbage(m);
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

static _unused_ void polkit_start(void)
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

/* ---- those of ill will ---- */

/* A call whose answer nobody waits for. */
static _unused_ int call_send(sd_bus *client, const char *member, const char *types, ...)
{
	sd_bus_message *m = NULL;
	uint64_t cookie; /* without it none would be sent */
	va_list args;
	int r;

	r = sd_bus_message_new_method_call(client, &m, GOV_BUS_SERVICE, GOV_BUS_PATH, GOV_BUS_MANAGER, member);
	va_start(args, types);
	if (r >= 0)
		r = sd_bus_message_appendv(m, types, args);
	va_end(args);
	if (r >= 0)
		r = sd_bus_send(client, m, &cookie);
	sd_bus_message_unref(m);
	return r;
}

/* Tells the parent that all is as it should be, and stays until it is killed. */
static _unused_ void stay(int fd)
{
	(void)!write(fd, "r", 1);
	for (;;)
		pause();
}

/* body runs as uid, until the test ends it; fd: to say that it's ready. */
static _unused_ pid_t beside(uid_t uid, void (*body)(int fd))
{
	int ready[2];
	pid_t pid;
	char c;

	cr_assert_eq(pipe2(ready, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (setgroups(0, NULL) < 0 || setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0)
			_exit(99);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		body(ready[1]);
		_exit(98);
	}
	close(ready[1]);
	cr_assert_eq(read(ready[0], &c, 1), 1, "the one beside has failed");
	close(ready[0]);
	return pid;
}

static _unused_ void end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static _unused_ const char *govd_name(sd_bus *client)
{
	static char name[64];
	sd_bus_message *reply = NULL;
	const char *owner = "";

	if (sd_bus_call_method(client, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus",
			       "GetNameOwner", NULL, &reply, "s", GOV_BUS_SERVICE) >= 0)
		(void)sd_bus_message_read(reply, "s", &owner);
	snprintf(name, sizeof(name), "%s", owner);
	sd_bus_message_unref(reply);
	return name;
}

static _unused_ int body_reloads(void)
{
	return streq(system_error(system_open(), "Reload", ""), "") ? 0 : 1;
}

#endif
