/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Only for `make lint`: clang's analyzer doesn't know that errno is positive after a failed call, so that it takes
 * `return -errno` for a success and then finds what wasn't written.
 */
#include <errno.h>

static inline int *analyzer_errno(void)
{
	int *location = __errno_location();

	if (*location <= 0)
		__builtin_unreachable();
	return location;
}

#undef errno
#define errno (*analyzer_errno())
