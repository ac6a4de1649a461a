/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <limits.h>

#include "client.h"
#include "executable.h"
#include "format.h"
#include "output.h"

/*
 * govctl asks govd to place it and then becomes CMD. Nothing of govctl is left behind: its descriptors are closed,
 * signals and environment were never touched, and there were no children.
 */

/* What govd takes of a message is bounded (BUS_MESSAGE_MAX of govd): arguments beyond aren't matched. */
#define RUN_ARGS_BYTES_MAX (64U << 10)

static int find(const char *cmd, char **ret_path)
{
	int r = executable_find(cmd, ret_path);

	if (r == -ENOENT) {
		tell("%s: there is no such command", cmd);
		return EXIT_NOT_FOUND;
	}
	if (r < 0) {
		tell("%s: it can't be executed: %s", cmd, strerror(-r));
		return EXIT_NOT_EXECUTABLE;
	}
	return EXIT_SUCCESS;
}

/* An argument as D-Bus can carry it: bytes that aren't UTF-8 become escapes. */
static int append_argument(sd_bus_message *message, const char *argument)
{
	_cleanup_free_ char *escaped = NULL;
	size_t size = 4 * strlen(argument) + 1;
	int r = sd_bus_message_append(message, "s", argument);

	if (r != -EINVAL)
		return r;
	escaped = malloc(size);
	if (!escaped)
		return -ENOMEM;
	format_escape(escaped, size, argument);
	return sd_bus_message_append(message, "s", escaped);
}

static int append_arguments(sd_bus_message *message, char *const *args)
{
	size_t bytes = 0;
	int r = sd_bus_message_open_container(message, 'a', "s");

	for (; r >= 0 && *args; args++) {
		bytes += strlen(*args) + 1;
		if (bytes > RUN_ARGS_BYTES_MAX)
			break;
		r = append_argument(message, *args);
	}
	return r < 0 ? r : sd_bus_message_close_container(message);
}

/* executable: what /proc/PID/exe will say. */
static int place(const struct context *context, const char *executable, char **ret_id, bool *ret_reused)
{
	const char *policy = context->options[OPTION_POLICY], *key = context->options[OPTION_KEY];
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL;
	_cleanup_(client_closep) struct client *client = NULL;
	_cleanup_(json_decrefp) json_t *answer = NULL;
	const char *id;
	int r = client_open(context->socket, &client);

	if (r >= 0)
		r = client_message(client, "Run", &message);
	if (r < 0)
		return r;
	r = sd_bus_message_append(message, "ssbs", policy ? policy : "", key ? key : "",
				  (int)(context->options[OPTION_REUSE] != NULL), executable);
	if (r >= 0)
		r = append_arguments(message, context->args);
	if (r < 0) {
		client_tell(client, r);
		return r;
	}
	r = client_send(client, message, &answer);
	if (r < 0)
		return r;
	id = json_string_value(json_array_get(answer, 0));
	*ret_id = strdup(id ? id : "");
	if (!*ret_id)
		return -ENOMEM;
	*ret_reused = json_is_true(json_array_get(answer, 1));
	return 0;
}

static int reused_print(const struct context *context, const char *id)
{
	_cleanup_(json_decrefp) json_t *result = json_pack("{s:s, s:b}", "id", id, "reused", 1);
	char words[128];

	if (context->json) {
		output_json(context, result);
		return EXIT_SUCCESS;
	}
	format_escape(words, sizeof(words), id);
	printf("%s\n", words);
	return EXIT_SUCCESS;
}

static int become(const char *path, char *const *args)
{
	int error;

	execv(path, args);
	if (errno == ENOEXEC) {
		/* A script without `#!`, as execvp(3) and shells have it. */
		const char **shell_args;
		size_t n = 0;

		while (args[n])
			n++;
		shell_args = calloc(n + 2, sizeof(*shell_args));
		if (shell_args) {
			shell_args[0] = "/bin/sh";
			shell_args[1] = path;
			memcpy(shell_args + 2, args + 1, n * sizeof(*shell_args));
			execv("/bin/sh", (char *const *)shell_args);
			free(shell_args);
		}
	}
	error = errno;
	tell("%s: it can't be executed: %s", args[0], strerror(error));
	return error == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE;
}

int verb_run(const struct context *context)
{
	_cleanup_free_ char *path = NULL, *executable = NULL, *id = NULL;
	bool is_reused = false;
	int code = find(context->args[0], &path);

	if (code != EXIT_SUCCESS)
		return code;
	executable = realpath(path, NULL);
	if (!executable) {
		tell("%s: can't follow its path: %m", path);
		return EXIT_NOT_EXECUTABLE;
	}
	if (place(context, executable, &id, &is_reused) < 0)
		return EXIT_FAILURE;
	if (is_reused)
		return reused_print(context, id);
	/* By the path as it was found: programs look at it, for example Python in a virtual environment. */
	return become(path, context->args);
}
