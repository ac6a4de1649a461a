/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "format.h"

#include <inttypes.h>
#include <time.h>
#include <wchar.h>

#include "base/text.h"
#include "base/unit.h"

#define ELLIPSIS "\xe2\x80\xa6" /* U+2026, one column */

/* Unicode's format characters that reorder or hide text (UAX 9; zero width space and joiners, BOM). */
static bool is_deceiving(wchar_t c)
{
	return (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) ||
	       c == 0x061c || c == 0xfeff || (c >= 0xe0000 && c <= 0xe007f);
}

void format_escape(char *to, size_t size, const char *from)
{
	char escaped[2 * FORMAT_MAX];
	struct text text = {.bytes = to, .size = size};
	mbstate_t state = {};

	to[0] = '\0';
	text_escape(escaped, sizeof(escaped), from);
	for (const char *s = escaped; *s && !text.truncated;) {
		wchar_t c;
		size_t n = mbrtowc(&c, s, strlen(s), &state);

		if (n == 0 || n > 4) { /* cut by text_escape */
			text_add(&text, "?");
			state = (mbstate_t){};
			n = 1;
		} else if (is_deceiving(c)) {
			text_addf(&text, "\\u%04x", (unsigned)c);
		} else {
			text_addf(&text, "%.*s", (int)n, s);
		}
		s += n;
	}
}

size_t format_width(const char *text)
{
	mbstate_t state = {};
	size_t width = 0;

	while (*text) {
		wchar_t c;
		size_t n = mbrtowc(&c, text, strlen(text), &state);
		int columns = n == 0 || n > 4 ? 1 : wcwidth(c);

		if (n == 0 || n > 4) {
			state = (mbstate_t){};
			n = 1;
		}
		width += columns > 0 ? (size_t)columns : 0;
		text += n;
	}
	return width;
}

void format_cut(char *text, size_t size, size_t width)
{
	mbstate_t state = {};
	size_t used = 0, keep = 0;

	if (format_width(text) <= width || width == 0)
		return;
	for (;;) {
		wchar_t c;
		size_t n = mbrtowc(&c, text + keep, strlen(text + keep), &state);
		int columns = n == 0 || n > 4 ? 1 : wcwidth(c);

		if (n == 0 || n > 4) {
			state = (mbstate_t){};
			n = 1;
		}
		used += columns > 0 ? (size_t)columns : 0;
		if (used >= width)
			break;
		keep += n;
	}
	if (keep + sizeof(ELLIPSIS) <= size)
		memcpy(text + keep, ELLIPSIS, sizeof(ELLIPSIS));
	else
		text[keep] = '\0';
}

void format_pairs(const json_t *value, char *buffer, size_t size)
{
	struct text text = {.bytes = buffer, .size = size};
	const char *name;
	json_t *inner;

	buffer[0] = '\0';
	json_object_foreach((json_t *)value, name, inner)
	{
		char word[FORMAT_MAX], escaped[128];

		format_escape(escaped, sizeof(escaped), name);
		format_field(name, inner, word, sizeof(word));
		text_addf(&text, "%s%s=%s", text.length ? " " : "", escaped, word);
	}
	if (!buffer[0])
		text_copy(buffer, size, "-");
}

static void format_array(const json_t *value, char *buffer, size_t size)
{
	struct text text = {.bytes = buffer, .size = size};
	json_t *inner;
	size_t i;

	buffer[0] = '\0';
	json_array_foreach((json_t *)value, i, inner)
	{
		char word[FORMAT_MAX];

		format_text(inner, word, sizeof(word));
		text_addf(&text, "%s%s", text.length ? ", " : "", word);
	}
	if (!buffer[0])
		text_copy(buffer, size, "-");
}

void format_text(const json_t *value, char *buffer, size_t size)
{
	switch (value ? json_typeof(value) : JSON_NULL) {
	case JSON_STRING:
		format_escape(buffer, size, json_string_value(value));
		if (!buffer[0])
			text_copy(buffer, size, "-");
		break;
	case JSON_INTEGER:
		snprintf(buffer, size, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
		break;
	case JSON_REAL:
		snprintf(buffer, size, "%.4g", json_real_value(value));
		break;
	case JSON_TRUE:
	case JSON_FALSE:
		text_copy(buffer, size, json_is_true(value) ? "yes" : "no");
		break;
	case JSON_OBJECT:
		format_pairs(value, buffer, size);
		break;
	case JSON_ARRAY:
		format_array(value, buffer, size);
		break;
	case JSON_NULL:
	default:
		text_copy(buffer, size, "-");
	}
}

void format_size(const json_t *value, char *buffer, size_t size)
{
	if (json_is_integer(value) && json_integer_value(value) >= 0)
		unit_format_size_rough(buffer, size, (uint64_t)json_integer_value(value));
	else
		format_text(value, buffer, size);
}

void format_duration(const json_t *value, char *buffer, size_t size)
{
	double s = json_is_number(value) ? json_number_value(value) : -1;

	if (s >= 0 && s < 1e9)
		unit_format_duration_rough(buffer, size, (uint64_t)(s * 1e9));
	else
		format_text(value, buffer, size);
}

void format_rate(const json_t *value, char *buffer, size_t size)
{
	double per_s = json_is_number(value) ? json_number_value(value) : -1;

	if (per_s > 0 && per_s < 1)
		snprintf(buffer, size, "%.3g/min", per_s * 60);
	else if (per_s >= 0)
		snprintf(buffer, size, "%.4g/s", per_s);
	else
		format_text(value, buffer, size);
}

void format_time(const json_t *value, char *buffer, size_t size)
{
	struct tm utc = {}, local;
	time_t time;
	const char *rest = json_is_string(value) ? strptime(json_string_value(value), "%Y-%m-%dT%H:%M:%S", &utc) : NULL;

	if (!rest) {
		format_text(value, buffer, size);
		return;
	}
	time = timegm(&utc);
	localtime_r(&time, &local);
	strftime(buffer, size, "%Y-%m-%d %H:%M:%S", &local);
}

void format_rfc3339(char *buffer, size_t size, int64_t time_ms)
{
	time_t time = time_ms / 1000;
	struct tm utc = {};
	size_t length;

	gmtime_r(&time, &utc);
	length = strftime(buffer, size, "%Y-%m-%dT%H:%M:%S", &utc);
	snprintf(buffer + length, size - length, ".%03dZ", (int)(time_ms % 1000));
}

static bool has_suffix(const char *text, const char *suffix)
{
	size_t length = strlen(text), n = strlen(suffix);

	return length >= n && streq(text + length - n, suffix);
}

void format_field(const char *field, const json_t *value, char *buffer, size_t size)
{
	if (has_suffix(field, "_bytes"))
		format_size(value, buffer, size);
	else if (has_suffix(field, "_per_s"))
		format_rate(value, buffer, size);
	else if (has_suffix(field, "_s"))
		format_duration(value, buffer, size);
	else
		format_text(value, buffer, size);
}
