/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/intern.h"

#include <stddef.h>

struct interned {
	struct interned *next; /* of the same hash */
	uint32_t references;
	uint32_t length;
	char text[];
};

/* Of no length: nobody's, and as all others the same whoever asks. */
static const char no_text[] = "";

/* FNV-1a, 64 bits (Fowler, Noll, Vo). */
static uint64_t hash_of(const char *text, size_t length)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < length; i++)
		hash = (hash ^ (unsigned char)text[i]) * UINT64_C(0x100000001b3);
	return hash;
}

void intern_done(struct intern *intern)
{
	struct interned *item, *next;
	size_t cursor = 0;

	while ((item = idmap_next(&intern->by_hash, &cursor)))
		for (; item; item = next) {
			next = item->next;
			free(item);
		}
	idmap_done(&intern->by_hash);
}

static size_t length_of(const char *text, size_t max)
{
	return text ? strnlen(text, MIN2(max, (size_t)UINT32_MAX)) : 0;
}

static struct interned *item_find(const struct intern *intern, uint64_t hash, const char *text, size_t length)
{
	struct interned *item = idmap_get(&intern->by_hash, hash);

	while (item && (item->length != length || memcmp(item->text, text, length) != 0))
		item = item->next;
	return item;
}

const char *intern_find(const struct intern *intern, const char *text, size_t max)
{
	size_t length = length_of(text, max);
	const struct interned *item = length ? item_find(intern, hash_of(text, length), text, length) : NULL;

	if (!length)
		return no_text;
	return item ? item->text : NULL;
}

const char *intern_get(struct intern *intern, const char *text, size_t max)
{
	size_t length = length_of(text, max);
	uint64_t hash = hash_of(text, length);
	struct interned *item;

	if (!length)
		return no_text;
	item = item_find(intern, hash, text, length);
	if (item) {
		item->references++;
		return item->text;
	}
	item = malloc(sizeof(*item) + length + 1);
	if (!item)
		return NULL;
	*item = (struct interned){
		.next = idmap_get(&intern->by_hash, hash), .references = 1, .length = (uint32_t)length};
	memcpy(item->text, text, length);
	item->text[length] = '\0';
	if (idmap_put(&intern->by_hash, hash, item) == 0)
		return item->text;
	free(item);
	return NULL;
}

static void item_remove(struct intern *intern, struct interned *item)
{
	uint64_t hash = hash_of(item->text, item->length);
	struct interned *first = idmap_get(&intern->by_hash, hash);

	if (first != item) {
		while (first->next != item)
			first = first->next;
		first->next = item->next;
	} else if (item->next) {
		/* In the place of another, which needs no memory. */
		(void)!idmap_put(&intern->by_hash, hash, item->next);
	} else {
		idmap_remove(&intern->by_hash, hash);
	}
	free(item);
}

void intern_put(struct intern *intern, const char *text)
{
	struct interned *item;

	if (str_empty(text))
		return;
	item = (struct interned *)(void *)((char *)(uintptr_t)text - offsetof(struct interned, text));
	if (--item->references == 0)
		item_remove(intern, item);
}

size_t intern_count(const struct intern *intern)
{
	size_t cursor = 0, n = 0;

	for (const struct interned *item; (item = idmap_next(&intern->by_hash, &cursor));)
		for (; item; item = item->next)
			n++;
	return n;
}
