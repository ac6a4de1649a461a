/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_SENSE_HOST_H
#define GOV_SENSE_HOST_H

#include "core/event.h"

/* The host's memory and what waits for it: read by descriptors that are kept, as opening a file takes memory. */

struct host_sense {
	int meminfo_fd, pressure_fd; /* the second -EBADF: pressure isn't known */
};

/* 0, also without pressure; -errno: not even /proc/meminfo. */
int host_sense_open(struct host_sense *host) _must_check_;
void host_sense_close(struct host_sense *host);
int host_sense_read(const struct host_sense *host, struct host_view *ret_view) _must_check_;
/*
 * Becomes urgent (POLLPRI, again and again) when all wait for memory for this percentage of window_ns; the caller
 * closes. The window is brought within what the kernel has: 0, or 1 when that are multiples of 2 s, for want of
 * CAP_SYS_RESOURCE.
 */
int host_sense_trigger(uint32_t full_pct, uint64_t window_ns, int *ret_fd) _must_check_;

/* ---- parsers, pure: host_parse.c ---- */

/* Text of /proc/meminfo; swap, where it isn't told of, is none. 0 or -EBADMSG. Doesn't set full_ns. */
int host_meminfo_parse(const char *text, struct host_view *view) _must_check_;
/* Text of /proc/pressure/memory. */
int host_pressure_parse(const char *text, uint64_t *ret_full_ns) _must_check_;

#endif
