/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "output.h"

#include <sys/ioctl.h>

#include "base/text.h"
#include "base/unit.h"
#include "format.h"

#define BLOCK_NAME_WIDTH 12
/* All decimal digits that a double is sure to hold: 1.003, not 1.0029999999999999. */
#define OUTPUT_REAL JSON_REAL_PRECISION(15)

static bool is_terminal(void)
{
	const char *term = getenv("TERM");

	return isatty(STDOUT_FILENO) && !(term && streq(term, "dumb"));
}

struct style style_get(void)
{
	const char *columns = getenv("COLUMNS");
	struct style style = {.is_coloured = is_terminal() && str_empty(getenv("NO_COLOR"))};
	struct winsize size;
	uint64_t width;

	if (columns && unit_parse_count(columns, &width) == 0 && width > 0)
		style.width = width;
	else if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0)
		style.width = size.ws_col;
	return style;
}

/* Of the control characters JSON leaves DEL alone; it only stands within strings. */
static int json_write(const char *bytes, size_t size, void *userdata)
{
	FILE *file = userdata;

	for (size_t i = 0; i < size; i++)
		if (bytes[i] == 0x7f)
			fputs("\\u007F", file);
		else
			putc(bytes[i], file);
	return ferror(file) ? -1 : 0;
}

void output_json_value(enum json_mode mode, const json_t *json)
{
	size_t layout = mode == JSON_MODE_PRETTY ? JSON_INDENT(2) : JSON_COMPACT;

	/* A failed write is told at the end, by main. */
	(void)json_dump_callback(json, json_write, stdout, JSON_ENCODE_ANY | JSON_ENSURE_ASCII | OUTPUT_REAL | layout);
}

void output_json(const struct context *context, const json_t *json)
{
	output_json_value(context->json, json);
	putchar('\n');
}

void output_text(const char *text)
{
	bool is_safe = !isatty(STDOUT_FILENO);

	for (const char *c = text; *c; c++)
		if (is_safe || *c == '\n' || *c == '\t' || ((unsigned char)*c >= 0x20 && (unsigned char)*c < 0x7f))
			putchar(*c);
		else
			printf("\\x%02x", (unsigned char)*c);
	if (*text && text[strlen(text) - 1] != '\n')
		putchar('\n');
}

/* `memory_max_bytes` -> `memory max`: the words have the unit. */
static void block_name(char *buffer, size_t size, const char *field)
{
	static const char *const units[] = {"_bytes", "_per_s", "_s"};
	size_t length;

	format_escape(buffer, size, field);
	length = strlen(buffer);
	for (size_t i = 0; i < ELEMENTSOF(units); i++)
		if (length > strlen(units[i]) && streq(buffer + length - strlen(units[i]), units[i])) {
			buffer[length - strlen(units[i])] = '\0';
			break;
		}
	for (char *c = buffer; *c; c++)
		if (*c == '_')
			*c = ' ';
}

/* An object's fields in one line: `total 3, held 0`. */
static void block_inline(const json_t *object, char *buffer, size_t size)
{
	struct text text = {.bytes = buffer, .size = size};
	const char *field;
	json_t *value;

	buffer[0] = '\0';
	json_object_foreach((json_t *)object, field, value)
	{
		char name[128], words[FORMAT_MAX];

		if (json_is_null(value))
			continue;
		block_name(name, sizeof(name), field);
		format_field(field, value, words, sizeof(words));
		text_addf(&text, "%s%s %s", text.length ? ", " : "", name, words);
	}
}

static bool is_listed(const char *const *list, const char *word)
{
	for (; list && *list; list++)
		if (streq(*list, word))
			return true;
	return false;
}

static bool is_blank(const json_t *value)
{
	return json_is_null(value) || (json_is_string(value) && json_string_length(value) == 0) ||
	       (json_is_object(value) && json_object_size(value) == 0) ||
	       (json_is_array(value) && json_array_size(value) == 0);
}

/* The widest name of those that are shown. */
static size_t block_width(const json_t *object, const char *const *skip)
{
	size_t width = BLOCK_NAME_WIDTH;
	const char *field;
	json_t *value;

	json_object_foreach((json_t *)object, field, value)
	{
		char name[128];

		if (is_listed(skip, field) || is_blank(value))
			continue;
		block_name(name, sizeof(name), field);
		width = MAX2(width, format_width(name));
	}
	return width;
}

void block_print(const json_t *object, const char *const *skip, size_t indent)
{
	size_t width = block_width(object, skip);
	const char *field;
	json_t *value;

	json_object_foreach((json_t *)object, field, value)
	{
		char name[128], words[FORMAT_MAX];

		if (is_listed(skip, field) || is_blank(value))
			continue;
		block_name(name, sizeof(name), field);
		if (json_is_object(value))
			block_inline(value, words, sizeof(words));
		else
			format_field(field, value, words, sizeof(words));
		if (words[0])
			printf("%*s%s%*s  %s\n", (int)indent, "", name, (int)(width - format_width(name)), "", words);
	}
}

static const char *colour_of(const char *words, const char *const (*table)[2], size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (streq(table[i][0], words))
			return table[i][1];
	return NULL;
}

const char *state_colour(const char *words)
{
	static const char *const colours[][2] = {
		{"active", COLOUR_GREEN},    {"idle", COLOUR_DIM},    {"frozen", COLOUR_BLUE},
		{"stopping", COLOUR_YELLOW}, {"held", COLOUR_YELLOW}, {"gone", COLOUR_DIM},
	};

	return colour_of(words, colours, ELEMENTSOF(colours));
}

const char *result_colour(const char *words)
{
	static const char *const colours[][2] = {
		{"failed", COLOUR_RED},
		{"refused", COLOUR_YELLOW},
		{"error", COLOUR_RED},
	};

	return colour_of(words, colours, ELEMENTSOF(colours));
}
