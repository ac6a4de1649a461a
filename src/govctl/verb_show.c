/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "client.h"
#include "format.h"
#include "incidents.h"
#include "output.h"
#include "shape.h"

#define SHOW_INCIDENTS 10

static const struct column tool_columns[] = {
	{.title = "PID", .field = "pid", .is_right = true},
	{.title = "NAME", .field = "name", .min_width = 8},
	{.title = "AGE", .field = "since_s", .expendable = 2, .is_right = true},
	{.title = "MEMORY", .field = "memory_bytes", .expendable = 1, .is_right = true},
	{.title = "MAX", .field = "memory_max_bytes", .expendable = 3, .is_right = true},
	{.title = "CPU", .field = "cpu_s", .expendable = 4, .is_right = true},
	{.title = "TASKS", .field = "tasks", .expendable = 5, .is_right = true},
	{.title = "EXE", .field = "exe", .expendable = 6, .min_width = 12},
};

/* `open 12s`: how its breaker stands. */
static void format_breaker(const json_t *value, char *buffer, size_t size)
{
	char interval[FORMAT_MAX];
	double interval_s = json_number_value(json_object_get(value, "interval_s"));

	format_text(json_object_get(value, "state"), buffer, size);
	if (interval_s <= 0)
		return;
	format_duration(json_object_get(value, "interval_s"), interval, sizeof(interval));
	snprintf(buffer + strlen(buffer), size - strlen(buffer), " %.32s", interval);
}

static const char *storm_colour(const char *words)
{
	return streq(words, "yes") ? COLOUR_YELLOW : NULL;
}

static const struct column destination_columns[] = {
	{.title = "DESTINATION", .field = "destination", .min_width = 12},
	{.title = "PROTOCOL", .field = "protocol", .expendable = 9},
	{.title = "ATTEMPTS", .field = "attempts", .is_right = true},
	{.title = "DELAYED", .field = "delayed", .expendable = 1, .is_right = true},
	{.title = "REFUSED", .field = "refused", .expendable = 4, .is_right = true},
	{.title = "ESTABLISHED", .field = "established", .expendable = 8, .is_right = true},
	{.title = "FAILED", .field = "failed", .expendable = 5, .is_right = true},
	{.title = "DROPPED", .field = "dropped", .expendable = 6, .is_right = true},
	{.title = "OPEN", .field = "open", .expendable = 7, .is_right = true},
	{.title = "RATE", .field = "rate_per_s", .expendable = 3, .is_right = true},
	{.title = "STORM", .field = "storm", .expendable = 2, .colour = storm_colour},
	{.title = "BREAKER", .field = "breaker", .expendable = 2, .format = format_breaker},
	{.title = "NEXT", .field = "next_in_s", .expendable = 3, .is_right = true},
};

static const struct column incident_columns[] = {
	{.title = "TIME", .field = "time", .format = format_time},
	{.title = "KIND", .field = "kind"},
	{.title = "ACTION", .field = "action", .expendable = 1},
	{.title = "RESULT", .field = "result", .expendable = 2, .colour = result_colour},
	{.title = "BY", .field = "by", .expendable = 4},
	{.title = "EVIDENCE", .field = "evidence", .expendable = 3, .min_width = 12, .format = format_pairs},
};

/* What the history has about it; null when it can't be read. */
static json_t *recent_incidents(const struct context *context, const char *id)
{
	const struct incidents_query query = {.agent = id, .last = SHOW_INCIDENTS};
	_cleanup_(incidents_closep) struct incidents *incidents = NULL;
	json_t *rows, *incident;

	if (!id || incidents_open_quiet(context, &query, &incidents) < 0)
		return json_null();
	rows = json_array();
	while (incidents_next(incidents, &incident) > 0)
		json_array_append_new(rows, incident);
	return rows;
}

static void part_print(const char *title, const json_t *rows, const struct column *columns, size_t n_columns)
{
	const struct table table = {.columns = columns, .n_columns = n_columns, .style = style_get()};

	if (json_array_size(rows) == 0)
		return;
	printf("\n%s\n", title);
	table_print(&table, rows);
}

static void show_print(const json_t *agent)
{
	static const char *const skip[] = {"id",    "policy",	    "key",	 "state", "limits",
					   "tools", "destinations", "incidents", NULL};
	const json_t *limits = json_object_get(agent, "limits");
	struct style style = style_get();
	const char *colour;
	char words[4][FORMAT_MAX];

	for (size_t i = 0; i < ELEMENTSOF(words); i++)
		format_text(json_object_get(agent, skip[i]), words[i], sizeof(words[i]));
	colour = style.is_coloured ? state_colour(words[3]) : NULL;
	printf("%s  %s%s%s  %s%s%s\n", words[0], words[1], streq(words[2], "-") ? "" : "/",
	       streq(words[2], "-") ? "" : words[2], colour ? colour : "", words[3], colour ? COLOUR_OFF : "");
	block_print(agent, skip, 2);
	if (json_object_size(limits) > 0) {
		printf("  limits\n");
		block_print(limits, NULL, 4);
	}
	part_print("Tools", json_object_get(agent, "tools"), tool_columns, ELEMENTSOF(tool_columns));
	part_print("Destinations", json_object_get(agent, "destinations"), destination_columns,
		   ELEMENTSOF(destination_columns));
	part_print("Recent incidents", json_object_get(agent, "incidents"), incident_columns,
		   ELEMENTSOF(incident_columns));
}

int verb_show(const struct context *context)
{
	_cleanup_(client_closep) struct client *client = NULL;
	_cleanup_(json_decrefp) json_t *answer = NULL, *agent = NULL;

	if (client_open(context->socket, &client) < 0 ||
	    client_ask(client, &answer, "ShowAgent", "s", context->args[0]) < 0)
		return EXIT_FAILURE;
	if (!json_object_get(answer, "incidents"))
		json_object_set_new(answer, "incidents",
				    recent_incidents(context, json_string_value(json_object_get(answer, "id"))));
	agent = shape_fill(&shape_agent_full, answer);
	if (context->json)
		output_json(context, agent);
	else
		show_print(agent);
	return EXIT_SUCCESS;
}
