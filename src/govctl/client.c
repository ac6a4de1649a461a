/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "client.h"

#include <stdarg.h>
#include <time.h>

#include "base/text.h"
#include "convert.h"
#include "gov/bus.h"
#include "govctl.h"

#define CLIENT_START_USEC (5 * UINT64_C(1000000))
/* Placing may wait for a busy kernel; anything longer is a govd that hangs. */
#define CLIENT_CALL_USEC (15 * UINT64_C(1000000))

struct client {
	sd_bus *bus;
	char *socket;
	sd_bus_error error;
};

/* What to say when govd's answer has no words. */
static const struct {
	const char *name, *words;
} error_words[] = {
	{GOV_ERROR_NO_SUCH_AGENT, "there is no such agent: see `govctl list`"},
	{GOV_ERROR_AMBIGUOUS, "several agents have this name: give more of the id, see `govctl list`"},
	{GOV_ERROR_NO_SUCH_POLICY, "there is no such policy: see `govctl policy list`"},
	{GOV_ERROR_NO_SUCH_PROCESS, "there is no such process"},
	{GOV_ERROR_NO_MATCH, "no policy is for this process: name one with --policy, or see `govctl policy test PID`"},
	{GOV_ERROR_PROTECTED, "this process is protected: govd never touches it"},
	{GOV_ERROR_DENIED, "you may not do this: root may, members of group " GOV_BUS_GROUP
			   " may look, and a policy's `allow` lists who may run under it"},
	{GOV_ERROR_BUSY, "it is busy with another command: try again"},
	{GOV_ERROR_INVALID, "govd doesn't accept the arguments"},
	{GOV_ERROR_FAILED, "govd failed: see its log"},
	{SD_BUS_ERROR_UNKNOWN_METHOD, "this govd doesn't know the call: it is older than govctl, restart it"},
	{SD_BUS_ERROR_ACCESS_DENIED, "you may not do this: ask root"},
	{SD_BUS_ERROR_NO_REPLY, "govd doesn't answer: see its log"},
	{SD_BUS_ERROR_TIMEOUT, "govd doesn't answer: see its log"},
};

static void tell_not_running(const char *socket)
{
	const char *slash = strrchr(socket, '/');

	if (!streq(socket, GOV_DEFAULT_RUNTIME_DIR "/" GOV_BUS_SOCKET))
		tell("govd isn't running on %s: start it with `govd --runtime-dir %.*s`, or name its socket with "
		     "--socket",
		     socket, slash ? (int)(slash - socket) : 1, slash ? socket : ".");
	else if (access("/run/systemd/system", F_OK) == 0)
		tell("govd isn't running on %s: start it with `systemctl start govd`", socket);
	else
		tell("govd isn't running on %s: start it with `govd` as root", socket);
}

static void tell_open(const char *socket, int error)
{
	switch (-error) {
	case ENOENT:
	case ECONNREFUSED:
		tell_not_running(socket);
		break;
	case EACCES:
	case EPERM:
		tell("you may not talk to govd on %s: root may, members of group %s may look", socket, GOV_BUS_GROUP);
		break;
	case ECONNRESET:
	case EPIPE:
	case ENOTCONN:
		tell("govd on %s closed the connection: root may call, members of group %s may look, others may run "
		     "under policies that allow them; or it has too many clients, or has ended",
		     socket, GOV_BUS_GROUP);
		break;
	case EAGAIN:
	case ETIMEDOUT:
		tell("govd on %s doesn't answer: it is overloaded or hangs, see its log", socket);
		break;
	case ENAMETOOLONG:
		tell("the socket's path %s is too long: 107 bytes at the most", socket);
		break;
	default:
		tell("can't talk to govd on %s: %s", socket, strerror(-error));
	}
}

/* A path as a D-Bus address, where only some characters may stand for themselves (D-Bus specification). */
static int address_of(const char *path, char *address, size_t size)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_/.";
	struct text text = {.bytes = address, .size = size};

	text_add(&text, "unix:path=");
	for (const char *c = path; *c; c++)
		text_addf(&text, strchr(plain, *c) ? "%c" : "%%%02x", (unsigned char)*c);
	return text.truncated || strlen(path) > 107 ? -ENAMETOOLONG : 0;
}

static uint64_t now_usec(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* Authentication, with a deadline of our own: sd-bus would wait 90 s for a govd that hangs. */
static int wait_ready(sd_bus *bus)
{
	uint64_t end = now_usec() + CLIENT_START_USEC;

	for (;;) {
		uint64_t now = now_usec();
		int r = sd_bus_is_ready(bus);

		if (r != 0)
			return r < 0 ? r : 0;
		if (now >= end)
			return -ETIMEDOUT;
		r = sd_bus_process(bus, NULL);
		if (r < 0)
			return r;
		if (r == 0)
			r = sd_bus_wait(bus, end - now);
		if (r < 0 && r != -EINTR)
			return r;
	}
}

int client_open_quiet(const char *socket, struct client **ret_client)
{
	_cleanup_(client_closep) struct client *client = calloc(1, sizeof(*client));
	char address[512];
	int r;

	if (!client)
		return -ENOMEM;
	r = address_of(socket, address, sizeof(address));
	if (r < 0)
		return r;
	client->socket = strdup(socket);
	if (!client->socket)
		return -ENOMEM;
	r = sd_bus_new(&client->bus);
	if (r >= 0)
		r = sd_bus_set_address(client->bus, address);
	if (r >= 0)
		r = sd_bus_set_method_call_timeout(client->bus, CLIENT_CALL_USEC);
	if (r >= 0)
		r = sd_bus_start(client->bus);
	if (r >= 0)
		r = wait_ready(client->bus);
	if (r < 0)
		return r;
	*ret_client = TAKE_PTR(client);
	return 0;
}

int client_open(const char *socket, struct client **ret_client)
{
	int r = client_open_quiet(socket, ret_client);

	if (r < 0)
		tell_open(socket, r);
	return r;
}

struct client *client_close(struct client *client)
{
	if (!client)
		return NULL;
	sd_bus_error_free(&client->error);
	/* Not flushed: every call was answered, and a govd that hangs would never take the rest. */
	sd_bus_close_unref(client->bus);
	free(client->socket);
	free(client);
	return NULL;
}

int client_message(struct client *client, const char *method, sd_bus_message **ret_message)
{
	int r = sd_bus_message_new_method_call(client->bus, ret_message, NULL, GOV_BUS_PATH, GOV_BUS_MANAGER, method);

	if (r < 0)
		client_tell(client, r);
	return r;
}

int client_send_quiet(struct client *client, sd_bus_message *message, json_t **ret_answer)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
	int r;

	sd_bus_error_free(&client->error);
	r = sd_bus_call(client->bus, message, CLIENT_CALL_USEC, &client->error, &reply);
	if (r < 0)
		return r;
	return convert_message(reply, ret_answer);
}

int client_send(struct client *client, sd_bus_message *message, json_t **ret_answer)
{
	int r = client_send_quiet(client, message, ret_answer);

	if (r < 0)
		client_tell(client, r);
	return r;
}

static int ask(struct client *client, json_t **ret_answer, const char *method, const char *types, va_list args)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL;
	int r;

	sd_bus_error_free(&client->error);
	r = sd_bus_message_new_method_call(client->bus, &message, NULL, GOV_BUS_PATH, GOV_BUS_MANAGER, method);
	if (r < 0)
		return r;
	r = sd_bus_message_appendv(message, types, args);
	if (r < 0)
		return r;
	return client_send_quiet(client, message, ret_answer);
}

int client_ask(struct client *client, json_t **ret_answer, const char *method, const char *types, ...)
{
	va_list args;
	int r;

	va_start(args, types);
	r = ask(client, ret_answer, method, types, args);
	va_end(args);
	if (r < 0)
		client_tell(client, r);
	return r;
}

int client_ask_quiet(struct client *client, json_t **ret_answer, const char *method, const char *types, ...)
{
	va_list args;
	int r;

	va_start(args, types);
	r = ask(client, ret_answer, method, types, args);
	va_end(args);
	return r;
}

bool client_failed_with(const struct client *client, const char *error_name)
{
	return sd_bus_error_has_name(&client->error, error_name) > 0;
}

void client_tell(const struct client *client, int error)
{
	/* sd-bus has names of its own for what the socket said. */
	bool is_own = sd_bus_error_is_set(&client->error) && error != -ECONNRESET && error != -ENOTCONN;
	const char *words = NULL;

	if (!is_own || strncmp(client->error.name, "System.Error.", 13) == 0) {
		if (error == -EINVAL)
			tell("an argument isn't valid UTF-8: govd can't be told of it");
		else
			tell_open(client->socket, error);
		return;
	}
	for (size_t i = 0; i < ELEMENTSOF(error_words); i++)
		if (streq(error_words[i].name, client->error.name))
			words = error_words[i].words;
	/* Only govd's own errors come with words meant for people. */
	if (!str_empty(client->error.message) && (!words || strncmp(client->error.name, "org.govd1.", 10) == 0))
		words = client->error.message;
	if (!words)
		words = client->error.name;
	tell("%s", words);
}

int client_next_event(struct client *client, json_t **ret_event)
{
	for (;;) {
		_cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL;
		int r = sd_bus_process(client->bus, &message);

		if (r == -ECONNRESET || r == -ENOTCONN)
			return 0;
		if (r < 0) {
			tell_open(client->socket, r);
			return r;
		}
		if (message && sd_bus_message_is_signal(message, "org.freedesktop.DBus.Local", "Disconnected") > 0)
			return 0;
		if (message && sd_bus_message_is_signal(message, GOV_BUS_MANAGER, "Event") > 0) {
			r = convert_message(message, ret_event);
			return r < 0 ? r : 1;
		}
		if (r == 0 && sd_bus_wait(client->bus, UINT64_MAX) == -ENOTCONN)
			return 0;
	}
}
