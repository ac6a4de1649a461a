/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>
#include <time.h>

#include "base/text.h"
#include "out/bus.h"

/* Takes the result of an sd-bus call; false: the writer has failed, now or before. */
static bool writer_took(struct bus_writer *writer, int r)
{
	if (writer->error == 0 && r < 0)
		writer->error = r;
	return writer->error == 0;
}

void bus_write_string(struct bus_writer *writer, const char *name, const char *value)
{
	_cleanup_free_ char *utf8 = NULL;
	size_t size;

	if (!value || writer->error)
		return;
	/* Each byte may become \xNN. */
	size = strlen(value) * 4 + 1;
	utf8 = malloc(size);
	if (!utf8) {
		writer->error = -ENOMEM;
		return;
	}
	text_utf8(utf8, size, value);
	writer_took(writer, sd_bus_message_append(writer->message, "{sv}", name, "s", utf8));
}

void bus_write_u64(struct bus_writer *writer, const char *name, uint64_t value)
{
	if (value != UINT64_MAX && !writer->error)
		writer_took(writer, sd_bus_message_append(writer->message, "{sv}", name, "t", value));
}

void bus_write_i64(struct bus_writer *writer, const char *name, int64_t value)
{
	if (!writer->error)
		writer_took(writer, sd_bus_message_append(writer->message, "{sv}", name, "x", value));
}

void bus_write_double(struct bus_writer *writer, const char *name, double value)
{
	if (!writer->error)
		writer_took(writer, sd_bus_message_append(writer->message, "{sv}", name, "d", value));
}

void bus_write_bool(struct bus_writer *writer, const char *name, bool value)
{
	if (!writer->error)
		writer_took(writer, sd_bus_message_append(writer->message, "{sv}", name, "b", (int)value));
}

static void begin(struct bus_writer *writer, char kind, const char *contents)
{
	if (writer->error)
		return;
	if (writer_took(writer, sd_bus_message_open_container(writer->message, kind, contents)))
		writer->levels[writer->depth - 1]++;
}

static void begin_array(struct bus_writer *writer, const char *name, const char *element)
{
	char variant[16];

	if (!writer->error && writer->depth == BUS_WRITER_DEPTH_MAX)
		writer->error = -ENOSPC;
	if (writer->error)
		return;
	writer->levels[writer->depth++] = 0;
	snprintf(variant, sizeof(variant), "a%s", element);
	if (name) {
		begin(writer, SD_BUS_TYPE_DICT_ENTRY, "sv");
		if (!writer->error)
			writer_took(writer, sd_bus_message_append(writer->message, "s", name));
		begin(writer, SD_BUS_TYPE_VARIANT, variant);
	}
	begin(writer, SD_BUS_TYPE_ARRAY, element);
}

void bus_begin_dict(struct bus_writer *writer, const char *name)
{
	begin_array(writer, name, "{sv}");
}

void bus_begin_list(struct bus_writer *writer, const char *name)
{
	begin_array(writer, name, "a{sv}");
}

void bus_end(struct bus_writer *writer)
{
	if (writer->error)
		return;
	for (unsigned i = writer->levels[--writer->depth]; i && !writer->error; i--)
		writer_took(writer, sd_bus_message_close_container(writer->message));
}

void bus_write_strings(struct bus_writer *writer, const char *name, char *const *values, size_t n)
{
	begin_array(writer, name, "s");
	for (size_t i = 0; i < n && !writer->error; i++)
		writer_took(writer, sd_bus_message_append(writer->message, "s", values[i]));
	bus_end(writer);
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

static const char *or_null(const char *text)
{
	return str_empty(text) ? NULL : text;
}

int bus_add_journal_line(sd_bus_message *m, const struct journal_line *line)
{
	struct bus_writer writer = {.message = m};
	char time[64];

	format_time(time, sizeof(time), line->time_ms);
	bus_begin_dict(&writer, NULL);
	bus_write_string(&writer, "time", time);
	bus_write_string(&writer, "event", or_null(line->event));
	bus_write_string(&writer, "agent", or_null(line->agent));
	bus_write_string(&writer, "policy", or_null(line->policy));
	bus_write_string(&writer, "key", or_null(line->key));
	bus_write_string(&writer, "action", or_null(line->action));
	bus_write_string(&writer, "result", or_null(line->result));
	if (line->pid)
		bus_write_u64(&writer, "pid", (uint64_t)line->pid);
	bus_end(&writer);
	return writer.error;
}
