/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "convert.h"

#include <math.h>

#include "base/text.h"

#define CONVERT_DEPTH_MAX 32

json_t *convert_string(const char *text)
{
	_cleanup_free_ char *escaped = NULL;
	json_t *json = json_string(text);
	size_t size;

	if (json)
		return json;
	size = 4 * strlen(text) + 1;
	escaped = malloc(size);
	if (!escaped)
		return NULL;
	text_escape(escaped, size, text);
	return json_string(escaped);
}

/* Where in a message we are. */
struct reader {
	sd_bus_message *m;
	unsigned depth; /* containers around the next value; not kept right once something failed */
};

/* json_int_t is signed: the few values above it lose digits rather than their magnitude. */
static json_t *from_u64(uint64_t value)
{
	return value <= INT64_MAX ? json_integer((json_int_t)value) : json_real((double)value);
}

static int convert_basic(sd_bus_message *m, char type, json_t **ret_json)
{
	union {
		const char *s;
		uint8_t y;
		int b;
		int16_t n;
		uint16_t q;
		int32_t i;
		uint32_t u;
		int64_t x;
		uint64_t t;
		double d;
	} value;
	json_t *json;
	int r = sd_bus_message_read_basic(m, type, &value);

	if (r < 0)
		return r;
	switch (type) {
	case SD_BUS_TYPE_STRING:
	case SD_BUS_TYPE_OBJECT_PATH:
	case SD_BUS_TYPE_SIGNATURE:
		json = convert_string(value.s);
		break;
	case SD_BUS_TYPE_BOOLEAN:
		json = json_boolean(value.b);
		break;
	case SD_BUS_TYPE_BYTE:
		json = json_integer(value.y);
		break;
	case SD_BUS_TYPE_INT16:
		json = json_integer(value.n);
		break;
	case SD_BUS_TYPE_UINT16:
		json = json_integer(value.q);
		break;
	case SD_BUS_TYPE_INT32:
		json = json_integer(value.i);
		break;
	case SD_BUS_TYPE_UINT32:
		json = json_integer(value.u);
		break;
	case SD_BUS_TYPE_INT64:
		json = json_integer(value.x);
		break;
	case SD_BUS_TYPE_UINT64:
		json = from_u64(value.t);
		break;
	case SD_BUS_TYPE_DOUBLE:
		json = isfinite(value.d) ? json_real(value.d) : json_null();
		break;
	default: /* a descriptor: nothing that a machine could read */
		json = json_null();
	}
	if (!json)
		return -ENOMEM;
	*ret_json = json;
	return 0;
}

static int convert_value(struct reader *reader, json_t **ret_json);

/* One {key, value} of a dictionary into object. 0: there is no more. */
static int convert_entry(struct reader *reader, const char *contents, json_t *object)
{
	_cleanup_(json_decrefp) json_t *key = NULL;
	json_t *value;
	int r;

	r = sd_bus_message_enter_container(reader->m, SD_BUS_TYPE_DICT_ENTRY, contents);
	if (r <= 0)
		return r;
	r = convert_value(reader, &key);
	if (r < 0)
		return r;
	if (!json_is_string(key))
		return -EBADMSG;
	r = convert_value(reader, &value);
	if (r < 0)
		return r;
	if (json_object_set_new(object, json_string_value(key), value) < 0)
		return -ENOMEM;
	r = sd_bus_message_exit_container(reader->m);
	return r < 0 ? r : 1;
}

static int convert_dict(struct reader *reader, const char *contents, json_t *object)
{
	char inner[256];
	int r;

	/* contents is `{sv}`: the entry's own signature is what the braces hold. */
	if (strlen(contents) < 2 || strlen(contents) > sizeof(inner))
		return -EBADMSG;
	text_copy(inner, MIN2(sizeof(inner), strlen(contents) - 1), contents + 1);
	do
		r = convert_entry(reader, inner, object);
	while (r > 0);
	return r;
}

static int convert_items(struct reader *reader, json_t *array)
{
	for (;;) {
		json_t *item;
		int r = sd_bus_message_at_end(reader->m, 0);

		if (r != 0)
			return r < 0 ? r : 0;
		r = convert_value(reader, &item);
		if (r < 0)
			return r;
		if (json_array_append_new(array, item) < 0)
			return -ENOMEM;
	}
}

static int convert_container(struct reader *reader, char type, const char *contents, json_t **ret_json)
{
	_cleanup_(json_decrefp) json_t *json = NULL;
	bool is_dict = type == SD_BUS_TYPE_ARRAY && contents[0] == '{';
	int r;

	r = sd_bus_message_enter_container(reader->m, type, contents);
	if (r < 0)
		return r;
	reader->depth++;
	if (type == SD_BUS_TYPE_VARIANT) {
		r = convert_value(reader, &json);
	} else {
		json = is_dict ? json_object() : json_array();
		if (!json)
			return -ENOMEM;
		r = is_dict ? convert_dict(reader, contents, json) : convert_items(reader, json);
	}
	if (r < 0)
		return r;
	r = sd_bus_message_exit_container(reader->m);
	if (r < 0)
		return r;
	reader->depth--;
	*ret_json = TAKE_PTR(json);
	return 0;
}

static int convert_value(struct reader *reader, json_t **ret_json)
{
	const char *contents;
	char type;
	int r;

	if (reader->depth >= CONVERT_DEPTH_MAX)
		return -ELOOP;
	r = sd_bus_message_peek_type(reader->m, &type, &contents);
	if (r < 0)
		return r;
	if (r == 0)
		return -EBADMSG;
	if (contents)
		return convert_container(reader, type, contents, ret_json);
	return convert_basic(reader->m, type, ret_json);
}

int convert_message(sd_bus_message *message, json_t **ret_json)
{
	_cleanup_(json_decrefp) json_t *all = json_array();
	struct reader reader = {.m = message};
	int r;

	if (!all)
		return -ENOMEM;
	r = convert_items(&reader, all);
	if (r < 0)
		return r;
	if (json_array_size(all) == 0)
		*ret_json = json_null();
	else if (json_array_size(all) == 1)
		*ret_json = json_incref(json_array_get(all, 0));
	else
		*ret_json = TAKE_PTR(all);
	return 0;
}
