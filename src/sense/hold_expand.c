/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>

#include "base/text.h"
#include "core/glob.h"
#include "sense/hold_internal.h"

#define EXPAND_DEPTH_MAX 24 /* below the literal head */

/* A walk over the directories below a glob's literal head, on one path buffer. */
struct expand {
	struct hold_watches *watches;
	const char *glob;
	const char *last;
	bool is_exec;
	bool is_deep;	      /* has `**`: any depth, and only where a file matches */
	char *directory_glob; /* glob without the last component */
	unsigned depth_max;
	unsigned visits;
	char path[PATH_MAX];
};

size_t hold_literal_head(const char *glob)
{
	size_t wild = strcspn(glob, "*?[");

	while (wild > 0 && glob[wild - 1] != '/')
		wild--;
	return wild > 0 ? wild - 1 : 0;
}

const char *hold_last_glob(const char *glob)
{
	const char *last = text_basename(glob);

	return strstr(last, "**") ? "*" : last;
}

static int expand_add(struct expand *expand)
{
	char path[PATH_MAX + 16];
	struct text text = TEXT_ON(path);
	int r;

	path[0] = '\0';
	text_addf(&text, "%s/%s", expand->path, expand->last);
	if (text.truncated)
		return 0;
	r = hold_watches_add(expand->watches, path, expand->is_exec);
	return r < 0 ? r : 0;
}

/* Appends a component; the length before it, or -ENAMETOOLONG. */
static int expand_push(struct expand *expand, const char *name)
{
	size_t length = strlen(expand->path), size = strlen(name) + 1;

	if (length + 1 + size > sizeof(expand->path))
		return -ENAMETOOLONG;
	expand->path[length] = '/';
	memcpy(expand->path + length + 1, name, size);
	return (int)length;
}

static bool expand_is_directory(const struct expand *expand, const struct dirent *entry)
{
	struct stat st;

	/* Where `*` is a symlink it counts (`/opt/current/bin`); under `**` it could go in circles. */
	if (entry->d_type == DT_LNK || entry->d_type == DT_UNKNOWN)
		return (expand->is_deep ? lstat(expand->path, &st) : stat(expand->path, &st)) == 0 &&
		       S_ISDIR(st.st_mode);
	return entry->d_type == DT_DIR;
}

static int expand_directory(struct expand *expand, unsigned depth);

/* expand->path is the entry's. *is_wanted: under `**`, whether a file here matches. */
static int expand_entry(struct expand *expand, const struct dirent *entry, unsigned depth, bool *is_wanted)
{
	if (expand_is_directory(expand, entry))
		return depth < expand->depth_max ? expand_directory(expand, depth + 1) : 0;
	if (expand->is_deep && !*is_wanted)
		*is_wanted = glob_match_path(expand->glob, expand->path);
	return 0;
}

static int expand_entries(struct expand *expand, DIR *stream, unsigned depth, bool *is_wanted)
{
	const struct dirent *entry;
	int r = 0;

	while (r >= 0 && (entry = readdir(stream))) {
		int length;

		if (streq(entry->d_name, ".") || streq(entry->d_name, ".."))
			continue;
		length = expand_push(expand, entry->d_name);
		if (length < 0)
			continue;
		r = expand_entry(expand, entry, depth, is_wanted);
		expand->path[length] = '\0';
	}
	return r;
}

static int expand_directory(struct expand *expand, unsigned depth)
{
	bool is_wanted = !expand->is_deep && glob_match_path(expand->directory_glob, expand->path);
	DIR *stream;
	int r;

	if (++expand->visits > HOLD_VISITS_MAX) {
		expand->watches->error = E2BIG;
		return 0;
	}
	if (is_wanted)
		return expand_add(expand);
	stream = opendir(*expand->path ? expand->path : "/");
	if (!stream)
		return 0;
	r = expand_entries(expand, stream, depth, &is_wanted);
	closedir(stream);
	return r >= 0 && is_wanted ? expand_add(expand) : r;
}

/* The head as a path: backslashes away. */
static void expand_unescape(char *to, const char *from, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		if (from[i] == '\\' && i + 1 < length)
			i++;
		*to++ = from[i];
	}
	*to = '\0';
}

static unsigned expand_depth(const char *glob)
{
	unsigned depth = 0;

	for (; *glob; glob++)
		depth += *glob == '/';
	return depth;
}

int hold_expand(struct hold_watches *watches, const char *glob, bool is_exec)
{
	size_t head = hold_literal_head(glob), directory = (size_t)(strrchr(glob, '/') - glob);
	_cleanup_free_ char *directory_glob = strndup(glob, directory);
	struct expand expand = {
		.watches = watches,
		.glob = glob,
		.last = hold_last_glob(glob),
		.is_exec = is_exec,
		.is_deep = strstr(glob, "**"),
		.directory_glob = directory_glob,
	};

	if (!directory_glob)
		return -ENOMEM;
	if (head >= sizeof(expand.path))
		return 0;
	expand_unescape(expand.path, glob, head);
	if (head == directory && !expand.is_deep)
		return expand_add(&expand);
	expand.depth_max = expand.is_deep ? EXPAND_DEPTH_MAX : expand_depth(directory_glob + head);
	return expand_directory(&expand, 0);
}
