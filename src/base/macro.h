/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_BASE_MACRO_H
#define GOV_BASE_MACRO_H

/* Cleanup attributes and small helpers in the manner of systemd's coding style. */

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define _cleanup_(f) __attribute__((cleanup(f)))
#define _printf_(a, b) __attribute__((format(printf, a, b)))
#define _must_check_ __attribute__((warn_unused_result))
#define _unused_ __attribute__((unused))

#define ELEMENTSOF(x) (sizeof(x) / sizeof((x)[0]))
#define MIN2(a, b) ((a) < (b) ? (a) : (b))
#define MAX2(a, b) ((a) > (b) ? (a) : (b))
#define CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#define NSEC_PER_USEC UINT64_C(1000)
#define NSEC_PER_MSEC UINT64_C(1000000)
#define NSEC_PER_SEC UINT64_C(1000000000)

/* Moves ownership out of a variable that has a cleanup attribute. */
#define TAKE_PTR(p)                                                                                                    \
	({                                                                                                             \
		typeof(p) p_ = (p);                                                                                    \
		(p) = NULL;                                                                                            \
		p_;                                                                                                    \
	})
#define TAKE_FD(fd)                                                                                                    \
	({                                                                                                             \
		int fd_ = (fd);                                                                                        \
		(fd) = -EBADF;                                                                                         \
		fd_;                                                                                                   \
	})

/* Defines funcp(), for _cleanup_(funcp), which calls func() on a non-NULL pointer. */
#define DEFINE_CLEANUP(type, func)                                                                                     \
	static inline _unused_ void func##p(type *p)                                                                   \
	{                                                                                                              \
		if (*p)                                                                                                \
			func(*p);                                                                                      \
	}

static inline void free_p(void *p)
{
	free(*(void **)p);
}

/* Leaves errno alone, and none of that number behind: closed again it could be another's. */
static inline void close_p(int *fd)
{
	if (*fd >= 0) {
		int saved = errno;

		close(*fd);
		errno = saved;
		*fd = -EBADF;
	}
}

static inline void fclose_p(FILE **f)
{
	if (*f)
		fclose(*f);
}

#define _cleanup_free_ _cleanup_(free_p)
#define _cleanup_close_ _cleanup_(close_p)
#define _cleanup_fclose_ _cleanup_(fclose_p)

static inline bool streq(const char *a, const char *b)
{
	return strcmp(a, b) == 0;
}

/* NULL and "" are the same: no text. */
static inline bool str_empty(const char *s)
{
	return !s || !*s;
}

#endif
