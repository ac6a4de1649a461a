/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Only for `make lint`: clang's analyzer doesn't know that errno is positive after a failed call, so that it takes
 * `return -errno` for a success and then finds what wasn't written. Here errno is one of three that matter.
 */
#include <errno.h>

int analyzer_choice(void);

static inline int *analyzer_errno(void)
{
	static int value;

	switch (analyzer_choice()) {
	case 0:
		value = EINTR;
		break;
	case 1:
		value = ENOENT;
		break;
	default:
		value = EIO;
	}
	return &value;
}

#undef errno
#define errno (*analyzer_errno())
