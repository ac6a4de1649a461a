/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/trace_private.h"

/* Types of fields. What is zero, or not given, isn't written. */

static bool is_bare(const char *value)
{
	for (const char *c = value; *c; c++)
		if (*c <= ' ' || *c > '~' || *c == '"' || *c == '\\')
			return false;
	return *value;
}

void trace_format_text(struct text *text, const char *name, const char *value)
{
	text_addf(text, " %s=", name);
	if (is_bare(value)) {
		text_add(text, value);
		return;
	}
	text_add(text, "\"");
	for (const char *c = value; *c; c++)
		if (*c == '"' || *c == '\\')
			text_addf(text, "\\%c", *c);
		else if (*c < ' ' || *c > '~')
			text_addf(text, "\\x%02x", (unsigned)(unsigned char)*c);
		else
			text_addf(text, "%c", *c);
	text_add(text, "\"");
}

bool trace_parse_number(const char *text, uint64_t max, uint64_t *ret_number)
{
	uint64_t number = 0;

	if (!*text)
		return false;
	for (; *text >= '0' && *text <= '9'; text++) {
		unsigned digit = (unsigned)(*text - '0');

		if (number > (max - digit) / 10)
			return false;
		number = number * 10 + digit;
	}
	if (*text)
		return false;
	*ret_number = number;
	return true;
}

/* ---- numbers; the longest of each size is written as max ---- */

static uint64_t max_of(size_t size)
{
	return size >= sizeof(uint64_t) ? UINT64_MAX : (UINT64_C(1) << (8 * size)) - 1;
}

static uint64_t load_unsigned(const void *value, size_t size)
{
	if (size == sizeof(uint64_t))
		return *(const uint64_t *)value;
	if (size == sizeof(uint32_t))
		return *(const uint32_t *)value;
	return *(const uint8_t *)value;
}

static void store_unsigned(void *value, size_t size, uint64_t number)
{
	if (size == sizeof(uint64_t))
		*(uint64_t *)value = number;
	else if (size == sizeof(uint32_t))
		*(uint32_t *)value = (uint32_t)number;
	else
		*(uint8_t *)value = (uint8_t)number;
}

static void unsigned_format(const struct trace_field *field, const void *value,
			    _unused_ const struct trace_names *names, struct text *text)
{
	uint64_t number = load_unsigned(value, field->size);

	if (number == max_of(field->size))
		text_addf(text, " %s=max", field->name);
	else if (number)
		text_addf(text, " %s=%llu", field->name, (unsigned long long)number);
}

static bool unsigned_parse(const struct trace_field *field, void *value, _unused_ const char *name, const char *text,
			   _unused_ struct trace_event *trace_event)
{
	uint64_t number = max_of(field->size);

	if (!streq(text, "max") && !trace_parse_number(text, number, &number))
		return false;
	store_unsigned(value, field->size, number);
	return true;
}

const struct trace_type trace_unsigned = {unsigned_format, unsigned_parse, false};

static void signed_format(const struct trace_field *field, const void *value, _unused_ const struct trace_names *names,
			  struct text *text)
{
	int32_t number = *(const int32_t *)value;

	if (number)
		text_addf(text, " %s=%d", field->name, (int)number);
}

static bool signed_parse(_unused_ const struct trace_field *field, void *value, _unused_ const char *name,
			 const char *text, _unused_ struct trace_event *trace_event)
{
	bool is_negative = *text == '-';
	uint64_t number;

	if (!trace_parse_number(text + is_negative, INT32_MAX, &number))
		return false;
	*(int32_t *)value = is_negative ? -(int32_t)number : (int32_t)number;
	return true;
}

const struct trace_type trace_signed = {signed_format, signed_parse, false};

static void flag_format(const struct trace_field *field, const void *value, _unused_ const struct trace_names *names,
			struct text *text)
{
	if (*(const bool *)value)
		text_addf(text, " %s=yes", field->name);
}

static bool flag_parse(_unused_ const struct trace_field *field, void *value, _unused_ const char *name,
		       const char *text, _unused_ struct trace_event *trace_event)
{
	*(bool *)value = streq(text, "yes");
	return *(bool *)value || streq(text, "no");
}

const struct trace_type trace_flag = {flag_format, flag_parse, false};

static void words_format(const struct trace_field *field, const void *value, _unused_ const struct trace_names *names,
			 struct text *text)
{
	text_addf(text, " %s=%s", field->name, field->word(*(const int *)value));
}

static bool words_parse(const struct trace_field *field, void *value, _unused_ const char *name, const char *text,
			_unused_ struct trace_event *trace_event)
{
	for (int i = 0; i < field->n_words; i++) {
		const char *word = field->word(i);

		if (word && streq(word, text)) {
			*(int *)value = i;
			return true;
		}
	}
	return false;
}

const struct trace_type trace_words = {words_format, words_parse, false};

/* ---- strings ---- */

static void string_format(const struct trace_field *field, const void *value, _unused_ const struct trace_names *names,
			  struct text *text)
{
	const char *string = *(const char *const *)value;

	if (string)
		trace_format_text(text, field->name, string);
}

static bool string_parse(_unused_ const struct trace_field *field, void *value, _unused_ const char *name,
			 const char *text, _unused_ struct trace_event *trace_event)
{
	*(const char **)value = text;
	return true;
}

const struct trace_type trace_string = {string_format, string_parse, false};

static void chars_format(const struct trace_field *field, const void *value, _unused_ const struct trace_names *names,
			 struct text *text)
{
	if (*(const char *)value)
		trace_format_text(text, field->name, value);
}

static bool chars_parse(const struct trace_field *field, void *value, _unused_ const char *name, const char *text,
			_unused_ struct trace_event *trace_event)
{
	return text_copy(value, field->size, text);
}

const struct trace_type trace_chars = {chars_format, chars_parse, false};

static void agent_format(const struct trace_field *field, const void *value, const struct trace_names *names,
			 struct text *text)
{
	uint64_t handle = *(const uint64_t *)value;
	char name[TRACE_AGENT_MAX];

	if (!handle)
		return;
	trace_name_format(names, handle, name);
	text_addf(text, " %s=%s", field->name, name);
}

static bool agent_parse(_unused_ const struct trace_field *field, void *value, _unused_ const char *name,
			const char *text, struct trace_event *trace_event)
{
	uint64_t handle = trace_name_find(trace_event->names, text);

	if (handle == UINT64_MAX)
		trace_event->is_known = false;
	*(uint64_t *)value = handle;
	return true;
}

const struct trace_type trace_agent = {agent_format, agent_parse, false};
