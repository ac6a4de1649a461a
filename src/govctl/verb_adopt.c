/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "client.h"
#include "format.h"
#include "output.h"
#include "pid.h"

int verb_adopt(const struct context *context)
{
	const char *policy = context->options[OPTION_POLICY];
	_cleanup_(client_closep) struct client *client = NULL;
	_cleanup_(json_decrefp) json_t *id = NULL, *result = NULL;
	uint32_t pid;

	if (pid_parse(context->args[0], &pid) < 0) {
		tell("%s isn't a process id: it must be a number", context->args[0]);
		return EXIT_USAGE;
	}
	if (client_open(context->socket, &client) < 0 ||
	    client_ask(client, &id, "Adopt", "us", pid, policy ? policy : "") < 0)
		return EXIT_FAILURE;
	result = json_pack("{s:O}", "id", id);
	if (context->json) {
		output_json(context, result);
	} else {
		char words[128];

		format_text(id, words, sizeof(words));
		printf("%s\n", words);
	}
	return EXIT_SUCCESS;
}
