/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "gov/hold.h"

/* The fuzzers are linked with base and core only. */
#include "hold/watch.c"

/* A packet as either side of the socket takes it, and what a WATCH makes of its path. */

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check_glob(const char *path)
{
	char glob[2 * NAME_MAX + 1];
	const char *name = strrchr(path, '/') + 1;

	if (strlen(name) > NAME_MAX)
		return;
	watch_glob_escape(glob, sizeof(glob), name);
	if (!watch_glob_match(glob, name))
		abort();
	if (watch_glob_is_literal(name) && !watch_glob_match(name, name))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static struct gov_hold_message message;
	struct watch_list list = {0}, copy = {0};

	/* Half of them with a head as it should be: all is the path. */
	if (size > 1 && size < PATH_MAX && (bytes[0] & 1)) {
		message = (struct gov_hold_message){.kind = GOV_HOLD_WATCH, .version = GOV_HOLD_VERSION};
		message.path_size = (uint32_t)size;
		memcpy(message.path, bytes + 1, size - 1);
		size += GOV_HOLD_HEAD_SIZE;
	} else {
		memcpy(&message, bytes, MIN2(size, sizeof(message)));
	}
	if (gov_hold_check(&message, size) < 0 || !message.path_size)
		return 0;
	if (strlen(message.path) + 1 != message.path_size)
		abort();
	if (watch_list_parse(&list, message.path, message.is_exec) >= 0) {
		(void)watch_list_match(&list, message.path);
		(void)watch_list_match(&list, "/etc/agent (deleted)");
		check_glob(message.path);
		if (watch_list_parse(&list, message.path, message.is_exec) != -EEXIST ||
		    watch_list_copy(&copy, &list) < 0 || copy.n != 1)
			abort();
	}
	watch_list_done(&copy);
	watch_list_done(&list);
	return 0;
}
