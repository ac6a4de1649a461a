/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/trace_private.h"

/* Types of fields that are more than one value. */

#define TRACE_ITEM_MAX 1024 /* bytes; each of a dozen fields has at most 40, and a socket's address 64 */

/* Cuts text at the first separator; returns what is behind it, or NULL. */
static char *cut(char *text, char separator)
{
	char *at = strchr(text, separator);

	if (!at)
		return NULL;
	*at = '\0';
	return at + 1;
}

/* Of a struct proc. */
static void env_format(_unused_ const struct trace_field *field, const void *value,
		       _unused_ const struct trace_names *names, struct text *text)
{
	const struct proc *proc = value;
	char name[256];

	for (size_t i = 0; i < proc->n_env; i++)
		if ((size_t)snprintf(name, sizeof(name), "env.%s", proc->env[i].name) < sizeof(name) &&
		    !strpbrk(proc->env[i].name, " =\"\\"))
			trace_format_text(text, name, proc->env[i].value);
}

static bool env_parse(const struct trace_field *field, void *value, const char *name, const char *text,
		      struct trace_event *trace_event)
{
	struct proc *proc = value;

	if (proc->n_env == TRACE_ENV_MAX)
		return false;
	proc->env = trace_event->env;
	trace_event->env[proc->n_env++] = (struct proc_env){.name = name + strlen(field->name), .value = text};
	return true;
}

const struct trace_type trace_env = {env_format, env_parse, true};

/* Of a struct event. */
static void gids_format(const struct trace_field *field, const void *value, _unused_ const struct trace_names *names,
			struct text *text)
{
	const struct event *event = value;

	for (size_t i = 0; i < event->command.n_gids; i++) {
		text_addf(text, i ? "," : " %s=", field->name);
		text_addf(text, "%u", (unsigned)event->command.gids[i]);
	}
}

static bool gids_parse(_unused_ const struct trace_field *field, void *value, _unused_ const char *name,
		       const char *text, struct trace_event *trace_event)
{
	struct event *event = value;
	char *next, *item = (char *)(uintptr_t)text;
	uint64_t number;
	size_t n = 0;

	for (; item; item = next) {
		next = cut(item, ',');
		if (n == TRACE_GIDS_MAX || !trace_parse_number(item, UINT32_MAX, &number))
			return false;
		trace_event->gids[n++] = (gid_t)number;
	}
	event->command.gids = trace_event->gids;
	event->command.n_gids = n;
	return true;
}

const struct trace_type trace_gids = {gids_format, gids_parse, false};

/* Of a struct restart. */
static void crashes_format(const struct trace_field *field, const void *value, _unused_ const struct trace_names *names,
			   struct text *text)
{
	const struct restart *restart = value;

	for (size_t i = 0; i < restart->n_crashes; i++) {
		text_addf(text, i ? "," : " %s=", field->name);
		text_addf(text, "%llu", (unsigned long long)restart->crash_ns[i]);
	}
}

static bool crashes_parse(_unused_ const struct trace_field *field, void *value, _unused_ const char *name,
			  const char *text, struct trace_event *trace_event)
{
	struct restart *restart = value;
	char *next, *item = (char *)(uintptr_t)text;

	restart->crash_ns = trace_event->crashes;
	restart->n_crashes = 0;
	for (; item; item = next) {
		next = cut(item, ',');
		if (restart->n_crashes == RESTART_CRASHES_MAX ||
		    !trace_parse_number(item, UINT64_MAX, &trace_event->crashes[restart->n_crashes]))
			return false;
		restart->n_crashes++;
	}
	return true;
}

const struct trace_type trace_crashes = {crashes_format, crashes_parse, false};

/* Of a struct event: each item is a value of its own, with fields. */
static void list_format(const struct trace_field *field, const void *value, const struct trace_names *names,
			struct text *text)
{
	const struct trace_items *list = field->items;
	const char *items = *(const char *const *)(const void *)((const char *)value + list->items_at);
	size_t n = *(const size_t *)(const void *)((const char *)value + list->n_at);

	for (size_t i = 0; i < n; i++) {
		const void *const bases[] = {items + i * list->size};
		char bytes[TRACE_ITEM_MAX] = "";
		struct text item = TEXT_ON(bytes);

		trace_format_fields(&list->fields, bases, names, &item);
		trace_format_text(text, field->name, bytes + (*bytes == ' '));
	}
}

static bool list_parse(const struct trace_field *field, void *value, _unused_ const char *name, const char *text,
		       struct trace_event *trace_event)
{
	const struct trace_items *list = field->items;
	char *room = (char *)trace_event + list->room_at;
	size_t *n = (size_t *)(void *)((char *)value + list->n_at);
	bool is_known = trace_event->is_known;
	void *const bases[] = {room + *n * list->size};

	if (*n == TRACE_ITEMS_MAX)
		return false;
	memset(bases[0], 0, list->size);
	*(void **)(void *)((char *)value + list->items_at) = room;
	++*n;
	if (trace_parse_fields(&list->fields, bases, (char *)(uintptr_t)text, trace_event) < 0)
		return false;
	/* Of the others it tells as well. */
	trace_event->is_known = is_known;
	return true;
}

const struct trace_type trace_list = {list_format, list_parse, false};

/* Of a struct incident; only written. */
static void facts_format(_unused_ const struct trace_field *field, const void *value,
			 _unused_ const struct trace_names *names, struct text *text)
{
	const struct incident *incident = value;

	for (size_t i = 0; i < incident->n_facts; i++) {
		const struct fact *fact = &incident->facts[i];

		if (fact->is_milli)
			text_addf(text, " %s=%llu.%03u", fact->name, (unsigned long long)(fact->number / 1000),
				  (unsigned)(fact->number % 1000));
		else if (fact->is_number)
			text_addf(text, " %s=%llu", fact->name, (unsigned long long)fact->number);
		else
			trace_format_text(text, fact->name, incident_text(incident, fact));
	}
}

const struct trace_type trace_facts = {facts_format, NULL, false};

/* Of a struct incident, who asked; only written. */
static void by_format(const struct trace_field *field, const void *value, _unused_ const struct trace_names *names,
		      struct text *text)
{
	uint32_t by = *(const uint32_t *)value;

	if (by == INCIDENT_BY_KERNEL || by == INCIDENT_BY_OOMD)
		text_addf(text, " %s=%s", field->name, by == INCIDENT_BY_KERNEL ? "kernel" : "oomd");
	else if (by != INCIDENT_BY_GOVD)
		text_addf(text, " %s=%u", field->name, (unsigned)by);
}

const struct trace_type trace_by = {by_format, NULL, false};
