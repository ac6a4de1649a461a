/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_GOVCTL_PID_H
#define GOV_GOVCTL_PID_H

#include "base/unit.h"

/* A process id as an argument: 0, or -EINVAL. */
static inline int pid_parse(const char *text, uint32_t *ret_pid)
{
	uint64_t pid;

	if (unit_parse_count(text, &pid) < 0 || pid == 0 || pid > INT32_MAX)
		return -EINVAL;
	*ret_pid = (uint32_t)pid;
	return 0;
}

#endif
