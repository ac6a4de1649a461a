/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <sys/fanotify.h>
#include <sys/stat.h>

#include "hold/hold.h"

void marks_done(struct marks *marks)
{
	struct mark *mark;
	size_t cursor = 0;

	while ((mark = idmap_next(&marks->map, &cursor)))
		free(mark);
	idmap_done(&marks->map);
	*marks = (struct marks){0};
}

static int mark_id(const char *path, uint64_t *ret_id)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return -errno;
	*ret_id = (uint64_t)st.st_ino ^ ((uint64_t)st.st_dev * UINT64_C(0x9e3779b97f4a7c15));
	return 0;
}

static int mark_remember(struct marks *marks, const char *path, uint64_t mask)
{
	_cleanup_free_ struct mark *fresh = NULL;
	size_t size = strlen(path) + 1;
	struct mark *mark;
	uint64_t id = 0;
	int r;

	r = mark_id(path, &id);
	if (r < 0)
		return r;
	mark = idmap_get(&marks->map, id);
	if (mark) {
		mark->mask |= mask;
		return 0;
	}
	if (marks->map.used >= MARKS_MAX)
		return -E2BIG;
	fresh = malloc(sizeof(*fresh) + size);
	if (!fresh)
		return -ENOMEM;
	fresh->mask = mask;
	memcpy(fresh->path, path, size);
	r = idmap_put(&marks->map, id, fresh);
	if (r < 0)
		return r;
	(void)TAKE_PTR(fresh);
	return 0;
}

/* Also when it is marked already: the inode's number may have been used again. Adding twice changes nothing. */
void mark_add(struct marks *marks, int fan_fd, const char *path, uint64_t mask)
{
	int r = mark_remember(marks, path, mask);

	if (r >= 0 && fanotify_mark(fan_fd, FAN_MARK_ADD | FAN_MARK_DONT_FOLLOW, mask, AT_FDCWD, path) < 0)
		r = -errno;
	if (r < 0 && r != -ENOENT)
		marks->error = -r;
}

void mark_ignore(int fan_fd, const char *path)
{
	const unsigned flags =
		FAN_MARK_ADD | FAN_MARK_DONT_FOLLOW | FAN_MARK_IGNORED_MASK | FAN_MARK_IGNORED_SURV_MODIFY;

	/* If it fails then such opens are let go one by one. */
	(void)fanotify_mark(fan_fd, flags, FAN_OPEN_PERM | FAN_OPEN_EXEC_PERM, AT_FDCWD, path);
}

void marks_drop(const struct marks *old, const struct marks *new, int fan_fd)
{
	const struct mark *mark;
	size_t cursor = 0;

	while ((mark = idmap_next(&old->map, &cursor))) {
		const struct mark *other;
		uint64_t id = 0, mask = mark->mask;

		/* Gone or replaced: what is left of the mark only brings events that nobody asks about. */
		if (mark_id(mark->path, &id) < 0 || idmap_get(&old->map, id) != mark)
			continue;
		other = idmap_get(&new->map, id);
		if (other)
			mask &= ~other->mask;
		if (mask)
			(void)fanotify_mark(fan_fd, FAN_MARK_REMOVE | FAN_MARK_DONT_FOLLOW, mask, AT_FDCWD, mark->path);
	}
}
