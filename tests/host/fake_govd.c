/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * A govd that answers as a file tells it, for tests of govctl: fake_govd SOCKET ANSWERS.json
 *
 * ANSWERS: {"Status": {"types": "a{sv}", "value": {...}}, "Command": {"error": "org...", "message": "..."}, ...}; a
 * list of such answers is used one after the other, the last again and again. "events": [...] behind an answer are sent
 * as signals after it; "close": true ends the connection instead of an answer. In a dictionary text is s, a number x or
 * d, a list as or aa{sv}. Prints `ready`, then each call as a line of JSON: {method, pid, args}. Serves one client
 * after the other until it is killed.
 */

#include <jansson.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-bus.h>

#include "base/macro.h"
#include "gov/bus.h"

static void check(int r, const char *what)
{
	if (r < 0) {
		fprintf(stderr, "fake_govd: %s: %s\n", what, strerror(-r));
		exit(EXIT_FAILURE);
	}
}

static void append_dict(sd_bus_message *m, const json_t *object);

static void append_dicts(sd_bus_message *m, const json_t *array)
{
	json_t *object;
	size_t i;

	check(sd_bus_message_open_container(m, 'a', "a{sv}"), "open aa{sv}");
	json_array_foreach((json_t *)array, i, object) append_dict(m, object);
	check(sd_bus_message_close_container(m), "close aa{sv}");
}

static void append_strings(sd_bus_message *m, const json_t *array)
{
	json_t *string;
	size_t i;

	check(sd_bus_message_open_container(m, 'a', "s"), "open as");
	json_array_foreach((json_t *)array, i, string)
		check(sd_bus_message_append(m, "s", json_string_value(string)), "append as");
	check(sd_bus_message_close_container(m), "close as");
}

static const char *type_of(const json_t *value)
{
	if (json_is_string(value))
		return "s";
	if (json_is_integer(value))
		return "x";
	if (json_is_real(value))
		return "d";
	if (json_is_boolean(value))
		return "b";
	if (json_is_object(value))
		return "a{sv}";
	return json_is_object(json_array_get(value, 0)) ? "aa{sv}" : "as";
}

static void append_value(sd_bus_message *m, const char *type, const json_t *value)
{
	if (streq(type, "s"))
		check(sd_bus_message_append(m, "s", json_string_value(value)), "append s");
	else if (streq(type, "x"))
		check(sd_bus_message_append(m, "x", (int64_t)json_integer_value(value)), "append x");
	else if (streq(type, "d"))
		check(sd_bus_message_append(m, "d", json_real_value(value)), "append d");
	else if (streq(type, "b"))
		check(sd_bus_message_append(m, "b", (int)json_is_true(value)), "append b");
	else if (streq(type, "a{sv}"))
		append_dict(m, value);
	else if (streq(type, "as"))
		append_strings(m, value);
	else if (streq(type, "aa{sv}"))
		append_dicts(m, value);
	else
		check(-EINVAL, type);
}

static void append_dict(sd_bus_message *m, const json_t *object)
{
	const char *name;
	json_t *value;

	check(sd_bus_message_open_container(m, 'a', "{sv}"), "open a{sv}");
	json_object_foreach((json_t *)object, name, value)
	{
		if (json_is_null(value))
			continue;
		check(sd_bus_message_open_container(m, 'e', "sv"), "open entry");
		check(sd_bus_message_append(m, "s", name), "append name");
		check(sd_bus_message_open_container(m, 'v', type_of(value)), "open variant");
		append_value(m, type_of(value), value);
		check(sd_bus_message_close_container(m), "close variant");
		check(sd_bus_message_close_container(m), "close entry");
	}
	check(sd_bus_message_close_container(m), "close a{sv}");
}

/* types: one container or one basic type for value, or `sb` for a list of two. */
static void answer_body(sd_bus_message *reply, const char *types, const json_t *value)
{
	if (!streq(types, "sb")) {
		append_value(reply, types, value);
		return;
	}
	append_value(reply, "s", json_array_get(value, 0));
	append_value(reply, "b", json_array_get(value, 1));
}

/* The arguments: s b u t and as are all that the API has. */
static json_t *read_args(sd_bus_message *m)
{
	json_t *args = json_array();
	const char *contents, *s;
	char type, **strings;
	uint32_t u;
	uint64_t t;
	int b;

	while (sd_bus_message_peek_type(m, &type, &contents) > 0) {
		json_t *arg = NULL;

		if (type == 's' && sd_bus_message_read(m, "s", &s) > 0)
			arg = json_string(s);
		else if (type == 'b' && sd_bus_message_read(m, "b", &b) > 0)
			arg = json_boolean(b);
		else if (type == 'u' && sd_bus_message_read(m, "u", &u) > 0)
			arg = json_integer(u);
		else if (type == 't' && sd_bus_message_read(m, "t", &t) > 0)
			arg = json_integer((json_int_t)t);
		else if (type == 'a' && sd_bus_message_read_strv(m, &strings) >= 0) {
			arg = json_array();
			for (char **i = strings; i && *i; i++) {
				json_array_append_new(arg, json_string(*i));
				free(*i);
			}
			free(strings);
		}
		if (!arg)
			check(-EINVAL, "arguments");
		json_array_append_new(args, arg);
	}
	return args;
}

static void print_call(sd_bus *bus, const char *method, sd_bus_message *m)
{
	struct ucred peer = {};
	socklen_t size = sizeof(peer);
	json_t *line;

	getsockopt(sd_bus_get_fd(bus), SOL_SOCKET, SO_PEERCRED, &peer, &size);
	line = json_pack("{s:s, s:i, s:o}", "method", method, "pid", (int)peer.pid, "args", read_args(m));
	json_dumpf(line, stdout, JSON_COMPACT);
	putchar('\n');
	fflush(stdout);
	json_decref(line);
}

/* The answer for this call, borrowed; lists lose their first while they have more. */
static json_t *take_answer(json_t *answers, const char *method, json_t **ret_owned)
{
	json_t *answer = json_object_get(answers, method);

	*ret_owned = NULL;
	if (!json_is_array(answer))
		return answer;
	*ret_owned = json_incref(json_array_get(answer, 0));
	if (json_array_size(answer) > 1)
		json_array_remove(answer, 0);
	return *ret_owned;
}

static void send_events(sd_bus *bus, const json_t *events)
{
	json_t *event;
	size_t i;

	json_array_foreach((json_t *)events, i, event)
	{
		sd_bus_message *signal = NULL;

		check(sd_bus_message_new_signal(bus, &signal, GOV_BUS_PATH, GOV_BUS_MANAGER, "Event"), "new signal");
		append_dict(signal, event);
		sd_bus_send(bus, signal, NULL); /* fails when the client has gone: it may */
		sd_bus_message_unref(signal);
	}
}

/* False: the connection is to end. */
static bool answer_call(sd_bus *bus, sd_bus_message *call, json_t *answers)
{
	const char *method = sd_bus_message_get_member(call);
	sd_bus_message *reply = NULL;
	json_t *owned, *answer;
	const char *error;
	bool ends;

	print_call(bus, method, call);
	answer = take_answer(answers, method, &owned);
	error = json_string_value(json_object_get(answer, "error"));
	ends = json_is_true(json_object_get(answer, "close"));
	if (ends) {
		json_decref(owned);
		return false;
	}
	if (!answer) {
		sd_bus_reply_method_errorf(call, SD_BUS_ERROR_UNKNOWN_METHOD, "No %s", method);
	} else if (error) {
		sd_bus_reply_method_errorf(call, error, "%s", json_string_value(json_object_get(answer, "message")));
	} else {
		check(sd_bus_message_new_method_return(call, &reply), "new reply");
		answer_body(reply, json_string_value(json_object_get(answer, "types")),
			    json_object_get(answer, "value"));
		sd_bus_send(bus, reply, NULL);
		sd_bus_message_unref(reply);
	}
	send_events(bus, json_object_get(answer, "events"));
	sd_bus_flush(bus);
	json_decref(owned);
	return true;
}

static void serve(int fd, json_t *answers)
{
	sd_id128_t id = {};
	sd_bus *bus = NULL;
	bool goes_on = true;

	check(sd_bus_new(&bus), "new bus");
	check(sd_bus_set_fd(bus, fd, fd), "set fd");
	check(sd_bus_set_server(bus, 1, id), "set server");
	check(sd_bus_start(bus), "start");
	while (goes_on) {
		sd_bus_message *m = NULL;
		int r = sd_bus_process(bus, &m);

		if (r < 0)
			break;
		if (m && sd_bus_message_is_method_call(m, GOV_BUS_MANAGER, NULL) > 0)
			goes_on = answer_call(bus, m, answers);
		sd_bus_message_unref(m);
		if (r == 0 && sd_bus_wait(bus, UINT64_MAX) < 0)
			break;
	}
	sd_bus_close_unref(bus);
}

int main(int argc, char **argv)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	json_error_t error;
	json_t *answers;
	int fd;

	if (argc != 3 || strlen(argv[1]) >= sizeof(address.sun_path)) {
		fprintf(stderr, "usage: fake_govd SOCKET ANSWERS.json\n");
		return 2;
	}
	answers = json_load_file(argv[2], 0, &error);
	if (!answers) {
		fprintf(stderr, "fake_govd: %s:%d: %s\n", argv[2], error.line, error.text);
		return EXIT_FAILURE;
	}
	memcpy(address.sun_path, argv[1], strlen(argv[1]));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 16) < 0)
		check(-errno, argv[1]);
	puts("ready");
	fflush(stdout);
	for (;;) {
		int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		check(client < 0 ? -errno : 0, "accept");
		serve(client, answers);
	}
}
