/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fnmatch.h>

#include "base/text.h"
#include "hold/hold.h"

void watch_list_done(struct watch_list *list)
{
	for (size_t i = 0; i < list->n; i++) {
		free(list->watches[i].directory);
		free(list->watches[i].glob);
	}
	free(list->watches);
	*list = (struct watch_list){0};
}

/* FNV-1a */
uint32_t watch_hash(const char *string, size_t length)
{
	uint32_t hash = 2166136261U;

	for (size_t i = 0; i < length; i++)
		hash = (hash ^ (uint8_t)string[i]) * 16777619U;
	return hash;
}

bool watch_glob_is_literal(const char *glob)
{
	return !strpbrk(glob, "*?[\\");
}

bool watch_glob_match(const char *glob, const char *name)
{
	return fnmatch(glob, name, 0) == 0;
}

void watch_glob_escape(char *to, size_t size, const char *name)
{
	struct text text = {.bytes = to, .size = size};

	to[0] = '\0';
	for (; *name; name++)
		text_addf(&text, strchr("*?[\\", *name) ? "\\%c" : "%c", *name);
}

static bool watch_list_has(const struct watch_list *list, const struct watch *watch)
{
	for (size_t i = 0; i < list->n; i++) {
		const struct watch *other = &list->watches[i];

		if (other->hash == watch->hash && other->is_exec == watch->is_exec && streq(other->glob, watch->glob) &&
		    streq(other->directory, watch->directory))
			return true;
	}
	return false;
}

static int watch_list_grow(struct watch_list *list)
{
	size_t room = MAX2(list->room * 2, (size_t)16);
	struct watch *watches;

	if (list->n < list->room)
		return 0;
	if (list->n >= WATCH_LIST_MAX)
		return -E2BIG;
	watches = reallocarray(list->watches, room, sizeof(*watches));
	if (!watches)
		return -ENOMEM;
	list->watches = watches;
	list->room = room;
	return 0;
}

int watch_list_add(struct watch_list *list, const char *directory, const char *glob, bool is_exec)
{
	_cleanup_free_ char *own_directory = strdup(directory), *own_glob = strdup(glob);
	struct watch watch = {own_directory, own_glob, watch_hash(directory, strlen(directory)), is_exec};
	int r;

	if (!own_directory || !own_glob)
		return -ENOMEM;
	if (watch_list_has(list, &watch))
		return -EEXIST;
	r = watch_list_grow(list);
	if (r < 0)
		return r;
	list->watches[list->n++] = watch;
	(void)TAKE_PTR(own_directory);
	(void)TAKE_PTR(own_glob);
	return 0;
}

int watch_list_parse(struct watch_list *list, const char *path, bool is_exec)
{
	_cleanup_free_ char *directory = NULL;
	const char *slash = strrchr(path, '/');
	size_t length;

	if (path[0] != '/' || str_empty(slash + 1))
		return -EINVAL;
	length = (size_t)(slash - path);
	while (length > 0 && path[length - 1] == '/')
		length--;
	directory = strndup(path, length);
	if (!directory)
		return -ENOMEM;
	return watch_list_add(list, directory, slash + 1, is_exec);
}

int watch_list_copy(struct watch_list *to, const struct watch_list *from)
{
	struct watch_list copy = {0};

	for (size_t i = 0; i < from->n; i++) {
		const struct watch *watch = &from->watches[i];
		int r = watch_list_add(&copy, watch->directory, watch->glob, watch->is_exec);

		if (r < 0) {
			watch_list_done(&copy);
			return r;
		}
	}
	watch_list_done(to);
	*to = copy;
	return 0;
}

static unsigned watch_hit(const struct watch *watch, const char *name)
{
	if (!watch_glob_match(watch->glob, name))
		return 0;
	return watch->is_exec ? WATCH_HIT_EXEC : WATCH_HIT_OPEN;
}

unsigned watch_list_match(const struct watch_list *list, const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;
	size_t length = slash ? (size_t)(slash - path) : 0;
	uint32_t hash = watch_hash(path, length);
	unsigned hits = 0, hits_elsewhere = 0;
	bool is_known = false;

	for (size_t i = 0; i < list->n; i++) {
		const struct watch *watch = &list->watches[i];

		if (watch->hash != hash || strncmp(watch->directory, path, length) != 0 || watch->directory[length])
			continue;
		is_known = true;
		hits |= watch_hit(watch, name);
	}
	if (is_known)
		return hits;
	for (size_t i = 0; i < list->n; i++)
		hits_elsewhere |= watch_hit(&list->watches[i], name);
	return hits_elsewhere;
}
