/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <limits.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include "base/text.h"
#include "hold/hold.h"

/* realpath(3) that also asks inotify to tell what would change the result: a directory on the way that goes, a
 * symlink that is replaced, a missing component that comes. */

#define LINKS_MAX 40 /* as the kernel's MAXSYMLINKS */

struct walk {
	char rest[PATH_MAX]; /* still to resolve */
	char *done;	     /* resolved: PATH_MAX bytes, "" is / */
	char component[NAME_MAX + 1];
	unsigned links;
};

/* Moves the next component out of rest: 1, 0 at the end, or -ENAMETOOLONG. */
static int walk_next(struct walk *walk)
{
	char *start = walk->rest + strspn(walk->rest, "/");
	size_t length = strcspn(start, "/");

	if (length == 0)
		return 0;
	if (length >= sizeof(walk->component))
		return -ENAMETOOLONG;
	memcpy(walk->component, start, length);
	walk->component[length] = '\0';
	memmove(walk->rest, start + length, strlen(start + length) + 1);
	return 1;
}

static int walk_push(struct walk *walk, const char *component)
{
	size_t length = strlen(walk->done), size = strlen(component) + 1;

	if (length + 1 + size > PATH_MAX)
		return -ENAMETOOLONG;
	walk->done[length] = '/';
	memcpy(walk->done + length + 1, component, size);
	return 0;
}

static void walk_pop(struct walk *walk)
{
	char *slash = strrchr(walk->done, '/');

	if (slash)
		*slash = '\0';
}

static int walk_follow(struct walk *walk, const char *link)
{
	char target[PATH_MAX];
	ssize_t n = readlink(link, target, sizeof(target) - 1);

	if (n < 0)
		return -errno;
	target[n] = '\0';
	if (++walk->links > LINKS_MAX)
		return -ELOOP;
	if ((size_t)n + 1 + strlen(walk->rest) >= sizeof(walk->rest))
		return -ENAMETOOLONG;
	memmove(walk->rest + n + 1, walk->rest, strlen(walk->rest) + 1);
	memcpy(walk->rest, target, (size_t)n);
	walk->rest[n] = '/';
	if (target[0] == '/')
		walk->done[0] = '\0';
	return 0;
}

/* lstat done/component; when it can be replaced without a trace on itself, the directory is watched before it counts.
 */
static int walk_look(struct plan *plan, const struct walk *walk, const char *path, struct stat *st)
{
	int wd;

	if (lstat(path, st) == 0 && !S_ISLNK(st->st_mode))
		return 0;
	wd = plan_notify(plan, walk->done, IN_CREATE | IN_MOVED_TO);
	if (wd >= 0)
		plan_add_interest(plan, &(struct interest){.wd = wd, .name = walk->component}, walk->done);
	return lstat(path, st) < 0 ? -errno : 0;
}

static int walk_step(struct plan *plan, struct walk *walk)
{
	char path[PATH_MAX + NAME_MAX + 2];
	struct stat st;
	int r;

	if (streq(walk->component, "."))
		return 0;
	if (streq(walk->component, "..")) {
		walk_pop(walk);
		return 0;
	}
	snprintf(path, sizeof(path), "%s/%s", walk->done, walk->component);
	(void)plan_notify(plan, walk->done, 0);
	r = walk_look(plan, walk, path, &st);
	if (r < 0)
		return r;
	if (S_ISLNK(st.st_mode))
		return walk_follow(walk, path);
	if (!S_ISDIR(st.st_mode) && walk->rest[strspn(walk->rest, "/")])
		return -ENOTDIR;
	return walk_push(walk, walk->component);
}

int plan_resolve(struct plan *plan, const char *path, char *real)
{
	struct walk walk = {.done = real};
	int r;

	if (!text_copy(walk.rest, sizeof(walk.rest), path))
		return -ENAMETOOLONG;
	real[0] = '\0';
	while ((r = walk_next(&walk)) > 0) {
		r = walk_step(plan, &walk);
		if (r < 0)
			return r;
	}
	return r;
}
