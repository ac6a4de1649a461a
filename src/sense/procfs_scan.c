/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <ctype.h>
#include <dirent.h>

#include "sense/procfs_private.h"

#define DEPTH_MAX 1024 /* of a chain of parents; longer ones, and circles of a torn view, end here */

struct scanned {
	pid_t pid, ppid;
	uint64_t start_ticks;
	unsigned depth;
};

struct scan {
	struct scanned *items;
	size_t n, size;
};

static int scan_add(struct scan *scan, const struct scanned *item)
{
	if (scan->n == scan->size) {
		size_t size = scan->size ? 2 * scan->size : 256;
		struct scanned *items = reallocarray(scan->items, size, sizeof(*items));

		if (!items)
			return -ENOMEM;
		scan->items = items;
		scan->size = size;
	}
	scan->items[scan->n++] = *item;
	return 0;
}

static int scan_collect(DIR *dir, struct scan *scan)
{
	for (struct dirent *entry; errno = 0, (entry = readdir(dir));) {
		_cleanup_close_ int dir_fd = -EBADF;
		struct proc_stat stat;
		struct scanned item;
		int r;

		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		item.pid = (pid_t)strtol(entry->d_name, NULL, 10);
		dir_fd = proc_dir_open(dirfd(dir), item.pid);
		if (dir_fd < 0 || proc_dir_stat(dir_fd, &stat) < 0 || proc_stat_is_dead(&stat))
			continue;
		item.ppid = stat.ppid;
		item.start_ticks = stat.start_ticks;
		item.depth = 0;
		r = scan_add(scan, &item);
		if (r < 0)
			return r;
	}
	return -errno;
}

static int compare_pid(const void *a, const void *b)
{
	const struct scanned *x = a, *y = b;

	return (x->pid > y->pid) - (x->pid < y->pid);
}

/* A tick is 10 ms: many a child starts in that of its parent. */
static int compare_age(const void *a, const void *b)
{
	const struct scanned *x = a, *y = b;

	if (x->start_ticks != y->start_ticks)
		return x->start_ticks < y->start_ticks ? -1 : 1;
	if (x->depth != y->depth)
		return x->depth < y->depth ? -1 : 1;
	return compare_pid(a, b);
}

static void scan_sort(struct scan *scan)
{
	qsort(scan->items, scan->n, sizeof(*scan->items), compare_pid);
	for (size_t i = 0; i < scan->n; i++) {
		struct scanned key = {.pid = scan->items[i].ppid};
		const struct scanned *parent;
		unsigned depth = 0;

		while (depth < DEPTH_MAX && (parent = bsearch(&key, scan->items, scan->n, sizeof(key), compare_pid))) {
			key.pid = parent->ppid;
			depth++;
		}
		scan->items[i].depth = depth;
	}
	qsort(scan->items, scan->n, sizeof(*scan->items), compare_age);
}

static void closedir_p(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

int procfs_scan(int (*fn)(pid_t pid, void *userdata), void *userdata)
{
	_cleanup_(closedir_p) DIR *dir = opendir("/proc");
	_cleanup_free_ struct scanned *items = NULL;
	struct scan scan = {};
	int r;

	if (!dir)
		return -errno;
	r = scan_collect(dir, &scan);
	items = scan.items;
	if (r < 0)
		return r;
	scan_sort(&scan);
	for (size_t i = 0; i < scan.n; i++) {
		r = fn(items[i].pid, userdata);
		if (r < 0)
			return r;
	}
	return 0;
}
