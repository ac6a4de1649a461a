/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "client.h"
#include "format.h"
#include "output.h"
#include "shape.h"

/* What is left out first where the terminal is narrow has the highest number. */
static const struct column columns[] = {
	{.title = "ID", .field = "id"},
	{.title = "POLICY", .field = "policy", .min_width = 8},
	{.title = "KEY", .field = "key", .expendable = 2, .min_width = 8},
	{.title = "PID", .field = "pid", .expendable = 5, .is_right = true},
	{.title = "STATE", .field = "state", .colour = state_colour},
	{.title = "AGE", .field = "since_s", .expendable = 3, .is_right = true},
	{.title = "IDLE", .field = "idle_s", .expendable = 8, .is_right = true},
	{.title = "MEMORY", .field = "memory_bytes", .expendable = 1, .is_right = true},
	{.title = "MAX", .field = "memory_max_bytes", .expendable = 6, .is_right = true},
	{.title = "CPU", .field = "cpu_s", .expendable = 9, .is_right = true},
	{.title = "TASKS", .field = "tasks", .expendable = 10, .is_right = true},
	{.title = "CONNECTS", .field = "connects", .expendable = 7, .is_right = true},
	{.title = "DELAYED", .field = "delayed", .expendable = 4, .is_right = true},
	{.title = "REFUSED", .field = "refused", .expendable = 11, .is_right = true},
	{.title = "SOCKETS", .field = "sockets", .expendable = 12, .is_right = true},
	{.title = "CGROUP", .field = "cgroup", .expendable = 13, .min_width = 16},
};

int verb_list(const struct context *context)
{
	const struct table table = {.columns = columns, .n_columns = ELEMENTSOF(columns), .style = style_get()};
	const char *policy = context->options[OPTION_POLICY];
	_cleanup_(client_closep) struct client *client = NULL;
	_cleanup_(json_decrefp) json_t *answer = NULL, *agents = NULL;

	if (client_open(context->socket, &client) < 0 ||
	    client_ask(client, &answer, "ListAgents", "s", policy ? policy : "") < 0)
		return EXIT_FAILURE;
	agents = shape_fill_all(&shape_agent, answer);
	if (context->json)
		output_json(context, agents);
	else if (json_array_size(agents) > 0)
		table_print(&table, agents);
	else
		printf("No agents.\n");
	return EXIT_SUCCESS;
}
