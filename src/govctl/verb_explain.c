/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "client.h"
#include "output.h"
#include "reasons.h"
#include "shape.h"

int verb_explain(const struct context *context)
{
	_cleanup_(client_closep) struct client *client = NULL;
	_cleanup_(json_decrefp) json_t *answer = NULL, *filled = NULL;

	if (client_open(context->socket, &client) < 0 ||
	    client_ask(client, &answer, "Explain", "s", context->args[0]) < 0)
		return EXIT_FAILURE;
	filled = shape_fill(&shape_reasons, answer);
	if (context->json)
		output_json(context, filled);
	else
		reasons_print(answer);
	return EXIT_SUCCESS;
}
