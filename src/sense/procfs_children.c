/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <dirent.h>
#include <limits.h>

#include "base/file.h"
#include "sense/procfs_private.h"

/* The children of a process, by the lists that the kernel keeps for each thread (CONFIG_PROC_CHILDREN,
 * proc_pid_task(5)). */

#define CHILDREN_MAX_BYTES (1U << 20)

static int tell_children(char *list, int (*fn)(pid_t pid, void *userdata), void *userdata)
{
	char *rest = list, *word;

	while ((word = strsep(&rest, " "))) {
		long pid = strtol(word, NULL, 10);
		int r;

		if (pid <= 0 || pid > INT_MAX)
			continue;
		r = fn((pid_t)pid, userdata);
		if (r < 0)
			return r;
	}
	return 0;
}

int procfs_children(pid_t pid, uint64_t start_ticks, int (*fn)(pid_t pid, void *userdata), void *userdata)
{
	char path[64];
	const struct dirent *entry;
	uint64_t now_ticks;
	DIR *tasks;
	int r;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	tasks = opendir(path);
	if (!tasks)
		return errno == ENOENT ? -ESRCH : -errno;
	/* The directory stays that of the process as which it was opened, whoever has its pid later. */
	r = procfs_start_ticks(pid, &now_ticks);
	if (r == 0 && now_ticks != start_ticks)
		r = -ESRCH;
	while (r == 0 && (entry = readdir(tasks))) {
		_cleanup_free_ char *list = NULL;
		char file[PATH_MAX];

		if (entry->d_name[0] == '.')
			continue;
		snprintf(file, sizeof(file), "%s/children", entry->d_name);
		/* A thread may have ended since: its children are with another one now, and the next sweep sees them.
		 */
		if (file_read_all(dirfd(tasks), file, CHILDREN_MAX_BYTES, &list, NULL) == 0)
			r = tell_children(list, fn, userdata);
	}
	closedir(tasks);
	return r;
}
