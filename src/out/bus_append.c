/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>
#include <time.h>

#include "base/text.h"
#include "out/bus.h"

int bus_add_string(sd_bus_message *m, const char *name, const char *value)
{
	_cleanup_free_ char *utf8 = NULL;
	size_t size;

	if (!value)
		return 0;
	/* Each byte may become \xNN. */
	size = strlen(value) * 4 + 1;
	utf8 = malloc(size);
	if (!utf8)
		return -ENOMEM;
	text_utf8(utf8, size, value);
	return sd_bus_message_append(m, "{sv}", name, "s", utf8);
}

int bus_add_u64(sd_bus_message *m, const char *name, uint64_t value)
{
	return value == UINT64_MAX ? 0 : sd_bus_message_append(m, "{sv}", name, "t", value);
}

int bus_add_i64(sd_bus_message *m, const char *name, int64_t value)
{
	return sd_bus_message_append(m, "{sv}", name, "x", value);
}

int bus_add_double(sd_bus_message *m, const char *name, double value)
{
	return sd_bus_message_append(m, "{sv}", name, "d", value);
}

int bus_add_bool(sd_bus_message *m, const char *name, bool value)
{
	return sd_bus_message_append(m, "{sv}", name, "b", (int)value);
}

static int open_entry(sd_bus_message *m, const char *name, const char *variant, const char *element)
{
	int r = sd_bus_message_open_container(m, 'e', "sv");

	if (r >= 0)
		r = sd_bus_message_append(m, "s", name);
	if (r >= 0)
		r = sd_bus_message_open_container(m, 'v', variant);
	return r < 0 ? r : sd_bus_message_open_container(m, 'a', element);
}

static int close_entry(sd_bus_message *m)
{
	int r = 0;

	/* Array, variant, entry. */
	for (unsigned i = 0; r >= 0 && i < 3; i++)
		r = sd_bus_message_close_container(m);
	return r;
}

int bus_open_dict(sd_bus_message *m, const char *name)
{
	return open_entry(m, name, "a{sv}", "{sv}");
}

int bus_close_dict(sd_bus_message *m)
{
	return close_entry(m);
}

int bus_open_list(sd_bus_message *m, const char *name)
{
	return open_entry(m, name, "aa{sv}", "a{sv}");
}

int bus_close_list(sd_bus_message *m)
{
	return close_entry(m);
}

/* RFC 3339: 2024-05-01T12:00:00.123Z */
static void format_time(char *buffer, size_t size, uint64_t time_ms)
{
	time_t seconds = (time_t)(time_ms / 1000);
	struct tm tm = {};
	size_t n;

	gmtime_r(&seconds, &tm);
	n = strftime(buffer, size, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(buffer + n, size - n, ".%03" PRIu64 "Z", time_ms % 1000);
}

int bus_add_journal_line(sd_bus_message *m, const struct journal_line *line)
{
	char time[64];
	const struct {
		const char *name, *value;
	} texts[] = {
		{"time", time},	    {"event", line->event},   {"agent", line->agent},	{"policy", line->policy},
		{"key", line->key}, {"action", line->action}, {"result", line->result},
	};
	int r;

	format_time(time, sizeof(time), line->time_ms);
	r = sd_bus_message_open_container(m, 'a', "{sv}");
	for (size_t i = 0; r >= 0 && i < ELEMENTSOF(texts); i++)
		if (!str_empty(texts[i].value))
			r = bus_add_string(m, texts[i].name, texts[i].value);
	if (r >= 0 && line->pid > 0)
		r = bus_add_u64(m, "pid", (uint64_t)line->pid);
	return r < 0 ? r : sd_bus_message_close_container(m);
}
