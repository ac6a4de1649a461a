/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "client.h"
#include "format.h"
#include "output.h"
#include "shape.h"

static void status_print(const json_t *status)
{
	static const char *const in_title[] = {"version", "backend", "mode", "kernel", NULL};
	struct style style = style_get();
	char words[4][128];

	for (size_t i = 0; i < ELEMENTSOF(words); i++)
		format_text(json_object_get(status, in_title[i]), words[i], sizeof(words[i]));
	printf("%sgovd %s%s: %s, %s backend, Linux %s\n", style.is_coloured ? COLOUR_BOLD : "", words[0],
	       style.is_coloured ? COLOUR_OFF : "", words[2], words[1], words[3]);
	block_print(status, in_title, 2);
}

int verb_status(const struct context *context)
{
	_cleanup_(client_closep) struct client *client = NULL;
	_cleanup_(json_decrefp) json_t *answer = NULL, *status = NULL;

	if (client_open(context->socket, &client) < 0 || client_ask(client, &answer, "Status", "") < 0)
		return EXIT_FAILURE;
	status = shape_fill(&shape_status, answer);
	if (context->json)
		output_json(context, status);
	else
		status_print(status);
	return EXIT_SUCCESS;
}

int verb_version(const struct context *context)
{
	_cleanup_(client_closep) struct client *client = NULL;
	_cleanup_(json_decrefp) json_t *answer = NULL, *versions = NULL;
	const char *daemon = NULL;

	if (client_open_quiet(context->socket, &client) >= 0 && client_ask_quiet(client, &answer, "Status", "") >= 0)
		daemon = json_string_value(json_object_get(answer, "version"));
	versions = json_pack("{s:s, s:s?}", "version", GOV_VERSION, "daemon", daemon);
	if (context->json) {
		output_json(context, versions);
		return EXIT_SUCCESS;
	}
	printf("govctl %s\n", GOV_VERSION);
	if (daemon) {
		char words[128];

		format_escape(words, sizeof(words), daemon);
		printf("govd %s\n", words);
	}
	return EXIT_SUCCESS;
}
