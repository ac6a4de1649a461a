/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>

#include "act/internal.h"
#include "base/file.h"

/* Who debugs an agent. */

#define LOOKS_MAX 512

struct search {
	const struct groups *groups;
	const struct group *group;
	size_t looks;
	pid_t found;
};

/* TracerPid of /proc/PID/status (proc_pid_status(5)); 0 also when the process has ended; -1: it can't be read. */
static pid_t tracer_of(pid_t pid)
{
	char path[32], status[2048];
	const char *line;
	ssize_t n;
	int tracer;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	n = file_read(AT_FDCWD, path, status, sizeof(status));
	if (n < 0)
		return n == -ENOENT || n == -ESRCH ? 0 : -1;
	/* It stands behind the name, in which the kernel writes a newline as \\n. */
	line = strstr(status, "\nTracerPid:");
	return line && sscanf(line, "\nTracerPid: %d", &tracer) == 1 ? tracer : 0;
}

static int look_at(pid_t pid, void *userdata)
{
	struct search *search = userdata;
	pid_t tracer;

	if (search->looks++ == LOOKS_MAX)
		return 1;
	tracer = tracer_of(pid);
	/* What an agent's own tools trace is its own business. */
	if (tracer == 0 || (tracer > 0 && group_has(search->groups, search->group, tracer)))
		return 0;
	search->found = tracer;
	return 1;
}

pid_t groups_debugger(struct groups *groups, uint64_t agent)
{
	const struct group *group = idmap_get(&groups->by_agent, agent);
	struct search search = {.groups = groups, .group = group};

	if (group && group->v2_fd >= 0 && tree_pids(group->v2_fd, look_at, &search) < 0)
		return -1;
	return search.found;
}
