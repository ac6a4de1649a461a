/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Calls on the system bus, whose messages may be of 32 MiB (dbus-daemon(1)) and may have header fields that nobody
 * knows. What waits for something is a copy of what we know of it, no larger than what the socket takes.
 */
#include "out/bus_internal.h"

#define FIELD_BYTES 8 /* of a number; beside each text */

static int add_texts(sd_bus_message *m, size_t *size)
{
	const char *text;
	int r;

	while ((r = sd_bus_message_read_basic(m, SD_BUS_TYPE_STRING, &text)) > 0 && *size <= BUS_MESSAGE_MAX)
		*size += FIELD_BYTES + strlen(text);
	return r;
}

/* Of the types that our methods take. Stops where it's too much. */
static int add_argument(sd_bus_message *m, char type, size_t *size)
{
	const char *text;
	int r;

	if (type == SD_BUS_TYPE_STRING) {
		r = sd_bus_message_read_basic(m, type, &text);
		if (r > 0)
			*size += FIELD_BYTES + strlen(text);
		return r;
	}
	*size += FIELD_BYTES;
	if (type != SD_BUS_TYPE_ARRAY)
		return sd_bus_message_skip(m, NULL);
	r = sd_bus_message_enter_container(m, type, "s");
	if (r >= 0)
		r = add_texts(m, size);
	return r < 0 || *size > BUS_MESSAGE_MAX ? r : sd_bus_message_exit_container(m);
}

int bus_call_size(sd_bus_message *m, size_t *ret_size)
{
	size_t size = 0;
	char type;
	int r;

	(void)sd_bus_message_rewind(m, true);
	while ((r = sd_bus_message_peek_type(m, &type, NULL)) > 0 && size <= BUS_MESSAGE_MAX) {
		r = add_argument(m, type, &size);
		if (r < 0)
			break;
	}
	(void)sd_bus_message_rewind(m, true);
	if (r < 0)
		return r;
	*ret_size = size;
	return size > BUS_MESSAGE_MAX ? -EMSGSIZE : 0;
}

/* Answers to the copy go to the caller, as those to the call. */
int bus_call_copy(sd_bus_message *m, sd_bus_message **ret_copy)
{
	sd_bus_message *copy = NULL;
	uint64_t cookie = 0;
	const char *sender = sd_bus_message_get_sender(m);
	size_t size;
	int r = sender ? bus_call_size(m, &size) : -ENODATA;

	if (r >= 0)
		r = sd_bus_message_get_cookie(m, &cookie);
	if (r >= 0)
		r = sd_bus_message_new_method_call(sd_bus_message_get_bus(m), &copy, NULL, sd_bus_message_get_path(m),
						   sd_bus_message_get_interface(m), sd_bus_message_get_member(m));
	if (r >= 0)
		r = sd_bus_message_set_sender(copy, sender);
	if (r >= 0)
		r = sd_bus_message_set_expect_reply(copy, sd_bus_message_get_expect_reply(m));
	if (r >= 0)
		r = sd_bus_message_set_allow_interactive_authorization(
			copy, sd_bus_message_get_allow_interactive_authorization(m));
	if (r >= 0)
		r = sd_bus_message_copy(copy, m, true);
	if (r >= 0)
		r = sd_bus_message_seal(copy, cookie, 0);
	if (r < 0) {
		sd_bus_message_unref(copy);
		return r;
	}
	*ret_copy = copy;
	return 0;
}
