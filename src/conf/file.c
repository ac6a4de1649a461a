/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>

#include "base/file.h"
#include "conf/keys.h"

struct file_error {
	int error;
	const char *message;
};

static const struct file_error file_errors[] = {
	{-EISDIR, "is a directory; a policy is a file NAME.yaml"},
	{-EINVAL, "is neither a file nor a link to one; write a plain file"},
	{-ENOENT, "doesn't exist"},
	{-EACCES, "can't be read: permission denied; let govd read it"},
	{-ELOOP, "is a link that leads in a circle; link to a file"},
};

int conf_file_read(struct conf_context *context, char **ret_text, size_t *ret_length)
{
	int r = file_read_all(AT_FDCWD, context->file, CONF_FILE_MAX, ret_text, ret_length);

	if (r >= 0 || r == -ENOMEM)
		return r;
	if (r == -EFBIG) {
		conf_complain(context, NULL, NULL, "is larger than %u KiB; split it", CONF_FILE_MAX >> 10);
		return r;
	}
	for (size_t i = 0; i < ELEMENTSOF(file_errors); i++)
		if (file_errors[i].error == r) {
			conf_complain(context, NULL, NULL, "%s", file_errors[i].message);
			return r;
		}
	conf_complain(context, NULL, NULL, "can't be read: %s", strerror(-r));
	return r;
}
