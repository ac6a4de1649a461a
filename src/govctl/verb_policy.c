/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "client.h"
#include "executable.h"
#include "format.h"
#include "output.h"
#include "pid.h"
#include "reasons.h"
#include "shape.h"

static const struct column columns[] = {
	{.title = "POLICY", .field = "name", .min_width = 12},
	{.title = "MODE", .field = "mode", .expendable = 2},
	{.title = "AGENTS", .field = "agents", .expendable = 1, .is_right = true},
	{.title = "STATE", .field = "state", .colour = result_colour},
	{.title = "FILE", .field = "file", .expendable = 3, .min_width = 16},
	{.title = "ERROR", .field = "error", .expendable = 4, .min_width = 20},
};

int verb_policy_list(const struct context *context)
{
	const struct table table = {.columns = columns, .n_columns = ELEMENTSOF(columns), .style = style_get()};
	_cleanup_(client_closep) struct client *client = NULL;
	_cleanup_(json_decrefp) json_t *answer = NULL, *policies = NULL;

	if (client_open(context->socket, &client) < 0 || client_ask(client, &answer, "ListPolicies", "") < 0)
		return EXIT_FAILURE;
	policies = shape_fill_all(&shape_policy, answer);
	if (context->json)
		output_json(context, policies);
	else if (json_array_size(policies) > 0)
		table_print(&table, policies);
	else
		printf("No policies: write one, see govd.policy(5), then `govctl policy reload`.\n");
	return EXIT_SUCCESS;
}

int verb_policy_show(const struct context *context)
{
	_cleanup_(client_closep) struct client *client = NULL;
	_cleanup_(json_decrefp) json_t *yaml = NULL, *result = NULL;

	if (client_open(context->socket, &client) < 0 ||
	    client_ask(client, &yaml, "ShowPolicy", "s", context->args[0]) < 0)
		return EXIT_FAILURE;
	if (context->json) {
		result = json_pack("{s:s, s:O}", "name", context->args[0], "yaml", yaml);
		output_json(context, result);
	} else if (json_is_string(yaml)) {
		output_text(json_string_value(yaml));
	}
	return EXIT_SUCCESS;
}

/* The parser lives in govd. */
int verb_policy_check(const struct context *context)
{
	_cleanup_free_ const char **argv = calloc(context->n_args + 3, sizeof(*argv));

	if (!argv) {
		tell("out of memory");
		return EXIT_FAILURE;
	}
	argv[1] = "--check";
	memcpy(argv + 2, context->args, context->n_args * sizeof(*argv));
	return executable_become_govd(argv);
}

int verb_policy_test(const struct context *context)
{
	_cleanup_(client_closep) struct client *client = NULL;
	_cleanup_(json_decrefp) json_t *answer = NULL, *filled = NULL;
	uint32_t pid;

	if (pid_parse(context->args[0], &pid) < 0) {
		tell("%s isn't a process id: it must be a number", context->args[0]);
		return EXIT_USAGE;
	}
	if (client_open(context->socket, &client) < 0 || client_ask(client, &answer, "TestPolicy", "u", pid) < 0)
		return EXIT_FAILURE;
	filled = shape_fill(&shape_reasons, answer);
	if (context->json)
		output_json(context, filled);
	else
		reasons_print(answer);
	return EXIT_SUCCESS;
}

int verb_policy_reload(const struct context *context)
{
	_cleanup_(client_closep) struct client *client = NULL;
	_cleanup_(json_decrefp) json_t *answer = NULL;
	char words[FORMAT_MAX];
	json_t *errors, *error;
	size_t i;

	if (client_open(context->socket, &client) < 0 || client_ask(client, &answer, "Reload", "") < 0)
		return EXIT_FAILURE;
	errors = json_object_get(answer, "errors");
	if (context->json) {
		output_json(context, answer);
	} else {
		format_text(json_object_get(answer, "policies"), words, sizeof(words));
		printf("%s %s in force\n", words, streq(words, "1") ? "policy" : "policies");
		fflush(stdout);
		json_array_foreach(errors, i, error) if (json_is_string(error)) tell("%s", json_string_value(error));
	}
	return json_array_size(errors) > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
