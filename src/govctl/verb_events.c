/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "client.h"
#include "format.h"
#include "output.h"

#define EVENT_ID_WIDTH 8
#define EVENT_WIDTH 10

/* `2026-11-21 10:00:00  placed  1a2b3c4d  bots/room-7  pid=12  action=place result=done`. */
static void event_print(const json_t *event)
{
	static const char *const in_line[] = {"time", "event", "agent", "policy", "key"};
	_cleanup_(json_decrefp) json_t *rest = json_object();
	char words[ELEMENTSOF(in_line)][FORMAT_MAX], pairs[FORMAT_MAX];
	bool has_key;
	const char *field;
	json_t *value;

	for (size_t i = 0; i < ELEMENTSOF(in_line); i++)
		format_text(json_object_get(event, in_line[i]), words[i], sizeof(words[i]));
	format_time(json_object_get(event, "time"), words[0], sizeof(words[0]));
	json_object_foreach((json_t *)event, field, value)
	{
		bool is_in_line = false;

		for (size_t i = 0; i < ELEMENTSOF(in_line); i++)
			is_in_line = is_in_line || streq(field, in_line[i]);
		if (!is_in_line && !(json_is_string(value) && !json_string_length(value)))
			json_object_set(rest, field, value);
	}
	format_pairs(rest, pairs, sizeof(pairs));
	has_key = !streq(words[4], "-");
	printf("%s  %-*s  %-*s  %s%s%s  %s\n", words[0], EVENT_WIDTH, words[1], EVENT_ID_WIDTH, words[2], words[3],
	       has_key ? "/" : "", has_key ? words[4] : "", pairs);
}

static void print(const struct context *context, const json_t *event)
{
	if (context->json) {
		output_json_value(JSON_MODE_SHORT, event);
		putchar('\n');
	} else {
		event_print(event);
	}
}

int verb_events(const struct context *context)
{
	bool follows = context->options[OPTION_FOLLOW];
	_cleanup_(client_closep) struct client *client = NULL;
	_cleanup_(json_decrefp) json_t *recent = NULL;
	json_t *event;
	size_t i;
	int r;

	if (client_open(context->socket, &client) < 0 ||
	    client_ask(client, &recent, "Subscribe", "b", (int)follows) < 0)
		return EXIT_FAILURE;
	json_array_foreach(recent, i, event) print(context, event);
	if (!follows)
		return EXIT_SUCCESS;
	fflush(stdout);
	while ((r = client_next_event(client, &event)) > 0) {
		print(context, event);
		json_decref(event);
		/* Each when it happens, also into a pipe. */
		if (fflush(stdout) != 0)
			return EXIT_FAILURE;
	}
	if (r == 0)
		tell("govd has ended, or cut this reader off for being too slow");
	return EXIT_FAILURE;
}
