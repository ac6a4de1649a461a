/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <time.h>

#include "base/unit.h"
#include "format.h"
#include "incidents.h"
#include "output.h"
#include "since.h"

/* How many people see when they ask for nothing in particular. */
#define INCIDENTS_LAST 200

static const struct column columns[] = {
	{.title = "TIME", .field = "time", .format = format_time},
	{.title = "KIND", .field = "kind"},
	{.title = "AGENT", .field = "agent", .expendable = 1},
	{.title = "POLICY", .field = "policy", .expendable = 3, .min_width = 8},
	{.title = "KEY", .field = "key", .expendable = 6, .min_width = 8},
	{.title = "ACTION", .field = "action", .expendable = 2},
	{.title = "RESULT", .field = "result", .expendable = 4, .colour = result_colour},
	{.title = "RULE", .field = "rule", .expendable = 7},
	{.title = "BY", .field = "by", .expendable = 8},
	{.title = "EVIDENCE", .field = "evidence", .expendable = 5, .min_width = 12, .format = format_pairs},
};

static int query_parse(const struct context *context, struct incidents_query *query)
{
	const char *since = context->options[OPTION_SINCE], *last = context->options[OPTION_COUNT];
	struct timespec now;

	*query = (struct incidents_query){
		.kind = context->options[OPTION_KIND],
		.agent = context->options[OPTION_AGENT],
		.policy = context->options[OPTION_POLICY],
		.last = context->json || since ? 0 : INCIDENTS_LAST,
	};
	clock_gettime(CLOCK_REALTIME, &now);
	if (since && since_parse(since, (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000, &query->since_ms) < 0) {
		tell("--since is %s: it must be a time ago like 2h, a date like 2026-11-21 or '2026-11-21 10:00', or "
		     "@SECONDS since 1970",
		     since);
		return EXIT_USAGE;
	}
	if (last && unit_parse_count(last, &query->last) < 0) {
		tell("-n is %s: it must be a number", last);
		return EXIT_USAGE;
	}
	return EXIT_SUCCESS;
}

/* One by one: a long history doesn't fit into memory as JSON. */
static int print_json(const struct context *context, struct incidents *incidents)
{
	size_t n = 0;
	int r;

	putchar('[');
	for (;; n++) {
		_cleanup_(json_decrefp) json_t *incident = NULL;

		r = incidents_next(incidents, &incident);
		if (r <= 0)
			break;
		fputs(n ? ",\n" : "", stdout);
		output_json_value(context->json, incident);
	}
	puts("]");
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int print_table(struct incidents *incidents)
{
	const struct table table = {.columns = columns, .n_columns = ELEMENTSOF(columns), .style = style_get()};
	_cleanup_(json_decrefp) json_t *rows = json_array();
	json_t *incident;
	int r;

	while ((r = incidents_next(incidents, &incident)) > 0)
		json_array_append_new(rows, incident);
	if (r < 0)
		return EXIT_FAILURE;
	if (json_array_size(rows) > 0)
		table_print(&table, rows);
	else
		printf("No incidents.\n");
	return EXIT_SUCCESS;
}

int verb_incidents(const struct context *context)
{
	_cleanup_(incidents_closep) struct incidents *incidents = NULL;
	struct incidents_query query;
	int code = query_parse(context, &query);

	if (code != EXIT_SUCCESS)
		return code;
	if (incidents_open(context, &query, &incidents) < 0)
		return EXIT_FAILURE;
	return context->json ? print_json(context, incidents) : print_table(incidents);
}
