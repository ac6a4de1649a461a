/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <time.h>

#include "base/unit.h"
#include "client.h"
#include "format.h"
#include "gov/bus.h"
#include "output.h"

#define WAIT_POLL_MS 100

/* Whether the agent lives: 1, 0, or -errno after telling why. *ret_tasks: as govd has it; -1 unknown. */
static int agent_lives(struct client *client, const char *id, int64_t *ret_tasks)
{
	_cleanup_(json_decrefp) json_t *agent = NULL;
	const json_t *tasks;
	const char *state;
	int r = client_ask_quiet(client, &agent, "ShowAgent", "s", id);

	if (r < 0 && client_failed_with(client, GOV_ERROR_NO_SUCH_AGENT))
		return 0;
	if (r < 0) {
		client_tell(client, r);
		return r;
	}
	state = json_string_value(json_object_get(agent, "state"));
	if (state && streq(state, "gone"))
		return 0;
	tasks = json_object_get(agent, "tasks");
	*ret_tasks = json_is_integer(tasks) ? (int64_t)json_integer_value(tasks) : -1;
	return 1;
}

static void progress_print(const char *id, uint64_t waited_ms, int64_t tasks)
{
	char duration[32], left[48] = "";

	unit_format_duration_rough(duration, sizeof(duration), waited_ms / 1000 * NSEC_PER_SEC);
	if (tasks >= 0)
		snprintf(left, sizeof(left), ", %lld tasks left", (long long)tasks);
	fprintf(stderr, "\r\033[K%s: waiting for %s%s", id, duration, left);
}

/* Until govd knows it no more. */
static int wait_gone(struct client *client, const char *id)
{
	const struct timespec pause = {.tv_nsec = WAIT_POLL_MS * 1000000L};
	bool shows = isatty(STDERR_FILENO);
	uint64_t waited_ms = 0;
	int64_t tasks = -1;
	char name[64];
	int r;

	format_escape(name, sizeof(name), id);
	while ((r = agent_lives(client, id, &tasks)) > 0) {
		if (shows && waited_ms % 1000 == 0)
			progress_print(name, waited_ms, tasks);
		nanosleep(&pause, NULL);
		waited_ms += WAIT_POLL_MS;
	}
	if (shows && waited_ms > 0)
		fprintf(stderr, "\r\033[K");
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int verb_drain(const struct context *context)
{
	const char *policy = context->options[OPTION_POLICY];
	_cleanup_(client_closep) struct client *client = NULL;
	_cleanup_(json_decrefp) json_t *answer = NULL;

	if (client_open(context->socket, &client) < 0 ||
	    client_ask(client, &answer, "Command", "ss", "drain", policy ? policy : "") < 0)
		return EXIT_FAILURE;
	if (!context->json)
		printf("Stopping %s%s; `govctl list` shows those that are left.\n",
		       policy ? "the agents of " : "all agents", policy ? policy : "");
	return EXIT_SUCCESS;
}

int verb_policy_resume(const struct context *context)
{
	_cleanup_(client_closep) struct client *client = NULL;
	_cleanup_(json_decrefp) json_t *answer = NULL;

	if (client_open(context->socket, &client) < 0 ||
	    client_ask(client, &answer, "Command", "ss", "resume", context->args[0]) < 0)
		return EXIT_FAILURE;
	if (!context->json)
		printf("%s: resumed\n", context->args[0]);
	return EXIT_SUCCESS;
}

static void command_print(const struct context *context, const char *id, bool is_gone)
{
	_cleanup_(json_decrefp) json_t *result = NULL;
	char name[64];

	if (context->json) {
		result = json_pack("{s:s, s:s}", "id", id, "command", context->verb->name);
		if (context->options[OPTION_WAIT])
			json_object_set_new(result, "gone", json_boolean(is_gone));
		output_json(context, result);
		return;
	}
	format_escape(name, sizeof(name), id);
	if (is_gone)
		printf("%s: gone\n", name);
	else
		printf("%s: %s\n", name, context->verb->name);
}

/* The full id, as govd answers it: a prefix or POLICY/KEY may come to mean another agent. */
static const char *full_id(const json_t *answer, const char *id)
{
	return json_is_string(answer) ? json_string_value(answer) : id;
}

int verb_touch(const struct context *context)
{
	_cleanup_(client_closep) struct client *client = NULL;
	_cleanup_(json_decrefp) json_t *answer = NULL;
	const char *id = context->args[0];

	if (client_open(context->socket, &client) < 0 || client_ask(client, &answer, "Touch", "s", id) < 0)
		return EXIT_FAILURE;
	command_print(context, full_id(answer, id), false);
	return EXIT_SUCCESS;
}

int verb_lease(const struct context *context)
{
	_cleanup_(client_closep) struct client *client = NULL;
	_cleanup_(json_decrefp) json_t *answer = NULL;
	const char *id = context->args[0];
	uint64_t ns;

	if (unit_parse_duration(context->args[1], &ns) < 0) {
		tell("%s isn't a time: write a number and a unit, such as 10min, or 0s to give the lease back",
		     context->args[1]);
		return EXIT_USAGE;
	}
	if (client_open(context->socket, &client) < 0 ||
	    client_ask(client, &answer, "Lease", "st", id, (uint64_t)(ns / NSEC_PER_MSEC)) < 0)
		return EXIT_FAILURE;
	command_print(context, full_id(answer, id), false);
	return EXIT_SUCCESS;
}

int verb_command(const struct context *context)
{
	_cleanup_(client_closep) struct client *client = NULL;
	_cleanup_(json_decrefp) json_t *answer = NULL;
	bool waits = context->options[OPTION_WAIT];
	const char *id;

	if (client_open(context->socket, &client) < 0 ||
	    client_ask(client, &answer, "Command", "ss", context->verb->name, context->args[0]) < 0)
		return EXIT_FAILURE;
	id = full_id(answer, context->args[0]);
	if (waits && wait_gone(client, id) != EXIT_SUCCESS)
		return EXIT_FAILURE;
	command_print(context, id, waits);
	return EXIT_SUCCESS;
}
