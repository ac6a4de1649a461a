/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/trace_private.h"

#include <stdarg.h>

/* Events <-> lines. */

struct trace_event *trace_event_new(void)
{
	return calloc(1, sizeof(struct trace_event));
}

struct trace_event *trace_event_free(struct trace_event *trace_event)
{
	free(trace_event);
	return NULL;
}

const char *trace_error(const struct trace_event *trace_event)
{
	return trace_event->error;
}

static int _printf_(2, 3) wrong(struct trace_event *trace_event, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(trace_event->error, sizeof(trace_event->error), format, args);
	va_end(args);
	return -EINVAL;
}

/* ---- event -> line ---- */

void trace_format_fields(const struct trace_fields *fields, const void *const bases[], const struct trace_names *names,
			 struct text *text)
{
	for (size_t i = 0; i < fields->n; i++) {
		const struct trace_field *field = &fields->items[i];

		field->type->format(field, (const char *)bases[field->base] + field->offset, names, text);
	}
}

void trace_encode(const struct event *event, const struct trace_names *names, struct text *text)
{
	const void *const bases[] = {
		[TRACE_EVENT] = event,
		[TRACE_FOUND] = event->kind == EVENT_FOUND ? event->found.agent : NULL,
		[TRACE_RESTART] = event->kind == EVENT_RESTART ? event->restart.restart : NULL,
	};

	text_addf(text, "%llu.%09u %s", (unsigned long long)(event->time_ns / NSEC_PER_SEC),
		  (unsigned)(event->time_ns % NSEC_PER_SEC), event_kind_name(event->kind));
	trace_format_fields(&trace_event_fields[event->kind], bases, names, text);
	text_add(text, "\n");
}

/* ---- line -> event ---- */

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* What `"` begins, in place; returns what is behind the closing one, or NULL. */
static char *unquote(char *from, char *to)
{
	while (*from && *from != '"') {
		int high, low;

		if (*from != '\\') {
			*to++ = *from++;
			continue;
		}
		if (from[1] != 'x') {
			if (!from[1])
				return NULL;
			*to++ = from[1];
			from += 2;
			continue;
		}
		high = hex_digit(from[2]);
		low = high < 0 ? -1 : hex_digit(from[3]);
		/* A NUL would end the string here. */
		if (low < 0 || (high | low) == 0)
			return NULL;
		*to++ = (char)(high << 4 | low);
		from += 4;
	}
	if (!*from)
		return NULL;
	*to = '\0';
	return from + 1;
}

/* Cuts `NAME=VALUE` off the line; false at its end. -EINVAL in *error. */
static bool next_pair(char **line, char **ret_name, char **ret_value, int *error)
{
	char *name = *line + strspn(*line, " "), *value, *end;

	*error = 0;
	if (!*name)
		return false;
	value = strpbrk(name, "= ");
	if (!value || *value != '=') {
		*error = -EINVAL;
		return false;
	}
	*value++ = '\0';
	end = *value == '"' ? unquote(value + 1, value) : value + strcspn(value, " ");
	if (!end || (*end && *end != ' ')) {
		*error = -EINVAL;
		return false;
	}
	*line = *end ? end + 1 : end;
	*end = '\0';
	*ret_name = name;
	*ret_value = value;
	return true;
}

static const struct trace_field *find_field(const struct trace_fields *fields, const char *name)
{
	for (size_t i = 0; i < fields->n; i++) {
		const struct trace_field *field = &fields->items[i];

		if (field->type->is_prefix ? strncmp(name, field->name, strlen(field->name)) == 0
					   : streq(name, field->name))
			return field;
	}
	return NULL;
}

int trace_parse_fields(const struct trace_fields *fields, void *const bases[], char *line,
		       struct trace_event *trace_event)
{
	char *name, *value;
	int error;

	while (next_pair(&line, &name, &value, &error)) {
		const struct trace_field *field = find_field(fields, name);

		if (!field)
			return wrong(trace_event, "%.60s is no field of %s", name,
				     event_kind_name(trace_event->event.kind));
		if (!field->type->parse(field, (char *)bases[field->base] + field->offset, name, value, trace_event))
			return wrong(trace_event, "%.60s=%.60s isn't what that field holds", name, value);
	}
	if (error < 0)
		return wrong(trace_event, "wanted NAME=VALUE, or NAME=\"VALUE\"");
	for (size_t i = 0; i < fields->n; i++) {
		const struct trace_field *field = &fields->items[i];

		if (field->is_required && !*(char **)(void *)((char *)bases[field->base] + field->offset))
			return wrong(trace_event, "%s= is missing", field->name);
	}
	return 0;
}

/* `12.5`, at most nine digits behind the point. */
static bool parse_time(const char *text, uint64_t *ret_ns)
{
	uint64_t seconds, fraction = 0, unit = NSEC_PER_SEC;
	char digits[32];
	char *point;

	if (!text_copy(digits, sizeof(digits), text))
		return false;
	point = strchr(digits, '.');
	if (point)
		*point++ = '\0';
	if (!trace_parse_number(digits, INT64_MAX / NSEC_PER_SEC - 1, &seconds))
		return false;
	if (point && (strlen(point) > 9 || !trace_parse_number(point, UINT32_MAX, &fraction)))
		return false;
	for (const char *c = point; c && *c; c++)
		unit /= 10;
	*ret_ns = seconds * NSEC_PER_SEC + fraction * unit;
	return true;
}

static bool find_kind(const char *word, enum event_kind *ret_kind)
{
	for (int i = 0; i < EVENT_KINDS; i++)
		if (streq(event_kind_name((enum event_kind)i), word)) {
			*ret_kind = (enum event_kind)i;
			return true;
		}
	return false;
}

/* Cuts a word off; "" at the end. */
static char *next_word(char **line)
{
	char *word = *line;

	*line += strcspn(*line, " ");
	if (**line)
		*(*line)++ = '\0';
	return word;
}

int trace_decode(const char *line, const struct trace_names *names, struct trace_event *trace_event,
		 struct event **ret_event, bool *ret_is_known)
{
	struct event *event = &trace_event->event;
	void *const bases[] = {
		[TRACE_EVENT] = event,
		[TRACE_FOUND] = &trace_event->found,
		[TRACE_RESTART] = &trace_event->restart,
	};
	char *rest = trace_event->line, *word;
	int r;

	*event = (struct event){0};
	trace_event->found = (struct agent){0};
	trace_event->restart = (struct restart){0};
	trace_event->names = names;
	trace_event->is_known = true;
	if (!text_copy(trace_event->line, sizeof(trace_event->line), line))
		return wrong(trace_event, "the line is longer than %u bytes", TRACE_LINE_MAX - 1);
	word = next_word(&rest);
	if (!parse_time(word, &event->time_ns))
		return wrong(trace_event, "%.60s is no time: wanted seconds, such as 12.5", word);
	word = next_word(&rest);
	if (!find_kind(word, &event->kind))
		return wrong(trace_event, "%.60s is no event", word);
	if (event->kind == EVENT_FOUND)
		event->found.agent = &trace_event->found;
	if (event->kind == EVENT_RESTART)
		event->restart.restart = &trace_event->restart;
	r = trace_parse_fields(&trace_event_fields[event->kind], bases, rest, trace_event);
	if (r < 0)
		return r;
	*ret_event = event;
	*ret_is_known = trace_event->is_known;
	return 0;
}
